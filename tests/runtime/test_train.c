// The loop's moments, with a model of one weight: loss = w^2 + mean(tok)/1000, gradient 2w, plain gradient descent.
#include "support.h"

#include <math.h>
#include <signal.h>

#include "base/file.h"
#include "runtime/train.h"
#include "runtime/weights.h"

enum { BATCH = 2, BLOCK = 4 };
enum { TOK = 0, TARGET = 64, RATE = 128, STEP = 192, SEED = 256, MICRO = 320, LOSS = 384, NORM = 448, GRAD = 512 };

static int poisoned_step = -1, poisoned_end; // losses of these steps are NaN, and they update nothing
static int32_t seen_micro, seen_seed;

static float batch_loss(void *const *buffers) {
    const int32_t *tokens = buffers[0];
    const float *w = buffers[1];
    float sum = 0;
    for (int i = 0; i < BATCH * BLOCK; i++)
        sum += (float)tokens[i];
    return w[0] * w[0] + sum / (BATCH * BLOCK) / 1000;
}

// buffers: tok, w, loss, accumulated, learning_rate, step, grad_norm, grad, micro, seed
static void update(void *const *buffers, int64_t piece, const void *context) {
    (void)piece, (void)context;
    float *w = buffers[1], *accumulated = buffers[3], gradient = *accumulated + 2 * *w;
    bool poisoned = *(const int32_t *)buffers[5] >= poisoned_step && *(const int32_t *)buffers[5] < poisoned_end;
    *(float *)buffers[2] = poisoned ? NAN : batch_loss(buffers);
    *(float *)buffers[6] = fabsf(gradient);
    *(float *)buffers[7] = gradient;
    if (!poisoned) *w -= *(const float *)buffers[4] * gradient;
    *accumulated = 0;
    seen_micro = *(const int32_t *)buffers[8];
    seen_seed = *(const int32_t *)buffers[9];
}

static void accumulate(void *const *buffers, int64_t piece, const void *context) {
    (void)piece, (void)context;
    *(float *)buffers[2] = batch_loss(buffers);
    *(float *)buffers[3] += 2 * *(float *)buffers[1];
}

static void measure(void *const *buffers, int64_t piece, const void *context) {
    (void)piece, (void)context;
    *(float *)buffers[2] = batch_loss(buffers);
}

static const ProgramBuffer buffers[] = {
    {MEMORY_ARENA, TOK},  {MEMORY_STATE, 0},    {MEMORY_ARENA, LOSS}, {MEMORY_STATE, 64},    {MEMORY_ARENA, RATE},
    {MEMORY_ARENA, STEP}, {MEMORY_ARENA, NORM}, {MEMORY_ARENA, GRAD}, {MEMORY_ARENA, MICRO}, {MEMORY_ARENA, SEED}};
static const ProgramStep update_step = {
    .function = update, .buffers = buffers, .buffer_count = 10, .pieces = 1, .wait = true, .label = "update"};
static const ProgramStep accumulate_step = {
    .function = accumulate, .buffers = buffers, .buffer_count = 10, .pieces = 1, .wait = true, .label = "accumulate"};
static const ProgramStep measure_step = {
    .function = measure, .buffers = buffers, .buffer_count = 10, .pieces = 1, .wait = true, .label = "measure"};

#define SCALAR(text, of, type, at)                                                                                     \
    {                                                                                                                  \
        .name = text, .kind = of, .element = type, .is_plain = true, .bytes = 64, .buffer = { MEMORY_ARENA, at }       \
    }
#define TOKENS(text, at)                                                                                               \
    {                                                                                                                  \
        .name = text, .kind = SLOT_INPUT, .element = ELEMENT_I32, .rank = 2, .extents = {BATCH, BLOCK},                \
        .is_plain = true, .bytes = 64, .token_bytes = 2, .buffer = {                                                   \
            MEMORY_ARENA,                                                                                              \
            at                                                                                                         \
        }                                                                                                              \
    }
static const ProgramSlot slots[] = {
    TOKENS("tok", TOK),
    TOKENS("target", TARGET),
    SCALAR("learning_rate", SLOT_INPUT, ELEMENT_F32, RATE),
    SCALAR("step", SLOT_INPUT, ELEMENT_I32, STEP),
    SCALAR("seed", SLOT_INPUT, ELEMENT_I32, SEED),
    SCALAR("micro", SLOT_INPUT, ELEMENT_I32, MICRO),
    SCALAR("loss", SLOT_OUTPUT, ELEMENT_F32, LOSS),
    SCALAR("grad_norm", SLOT_OUTPUT, ELEMENT_F32, NORM),
    SCALAR("grad.w", SLOT_OUTPUT, ELEMENT_F32, GRAD),
    {.name = "w", .kind = SLOT_STATE, .is_param = true, .is_plain = true, .bytes = 64, .init = 1, .init_value = 1},
    {.name = "accumulate.w",
     .kind = SLOT_STATE,
     .is_plain = true,
     .bytes = 64,
     .init = 1,
     .buffer = {MEMORY_STATE, 64}},
};
static const Program step_program = {.name = "step",
                                     .steps = &update_step,
                                     .step_count = 1,
                                     .slots = slots,
                                     .slot_count = 11,
                                     .state_bytes = 128,
                                     .arena_bytes = 1024};
static const Program micro_program = {.name = "micro",
                                      .steps = &accumulate_step,
                                      .step_count = 1,
                                      .slots = slots,
                                      .slot_count = 11,
                                      .state_bytes = 128,
                                      .arena_bytes = 1024};
static const Program eval_program = {.name = "eval",
                                     .steps = &measure_step,
                                     .step_count = 1,
                                     .slots = slots,
                                     .slot_count = 11,
                                     .state_bytes = 128,
                                     .arena_bytes = 1024};

typedef struct {
    Text said;
    const char *raise_at; // a line that begins so raises SIGTERM
} Listener;

static void listen(void *context, const char *line) {
    Listener *listener = context;
    text_append(&listener->said, "%s\n", line);
    if (listener->raise_at && strncmp(line, listener->raise_at, strlen(listener->raise_at)) == 0) raise(SIGTERM);
}

typedef struct {
    Fixture *fixture;
    ThreadPool *pool;
    TrainOptions options;
    TrainResult result;
    Listener listener;
} Training;

static Training training_create(Fixture *fixture) {
    static const Program *const programs[] = {&step_program, &micro_program, &eval_program};
    Training training = {.fixture = fixture, .listener = {.said = text_create(fixture->arena)}};
    uint16_t tokens[1000];
    for (int i = 0; i < 1000; i++)
        tokens[i] = (uint16_t)(i % 10);
    const char *path = fixture_file(fixture, "train.bin", tokens, sizeof tokens);
    training.pool = threads_create(2, false, fixture->diags);
    TrainOptions *options = &training.options;
    *options = (TrainOptions){
        .step = &step_program,
        .micro = &micro_program,
        .eval = &eval_program,
        .batch_size = BATCH,
        .block_size = BLOCK,
        .vocab_size = 10,
        .accumulation = 1,
        .max_iters = 9,
        .eval_interval = 4,
        .eval_iters = 3,
        .log_interval = 1,
        .best_val_loss = 1e9,
        .schedule = {.learning_rate = 0.1},
        .seed = 1337,
        .flops_per_iteration = 1e6,
        .peak_flops = 1e9,
        .keep_last = 1,
        .saved_iteration = -1,
        .metrics_path = fixture_path(fixture, "metrics.jsonl"),
        .say = listen,
    };
    assert_int_equal(checkpoints_open(fixture->folder, &options->checkpoints, fixture->diags), RUNTIME_OK);
    assert_int_equal(session_create(programs, 3, training.pool, &options->session, fixture->diags), RUNTIME_OK);
    assert_int_equal(token_file_open(path, 2, &options->train_tokens, fixture->diags), RUNTIME_OK);
    assert_int_equal(token_file_open(path, 2, &options->validation_tokens, fixture->diags), RUNTIME_OK);
    assert_int_equal(weights_initialise(options->session, &step_program, 1, fixture->diags), RUNTIME_OK);
    poisoned_step = -1;
    poisoned_end = 0;
    return training;
}

static RuntimeStatus training_run(Training *training) {
    training->options.say_context = &training->listener;
    return train_run(&training->options, &training->result, training->fixture->diags);
}

static void training_free(Training *training) {
    checkpoints_free(training->options.checkpoints);
    session_free(training->options.session);
    token_file_close(training->options.train_tokens);
    token_file_close(training->options.validation_tokens);
    threads_free(training->pool);
}

static float weight_of(const Training *training) {
    return *(float *)session_slot_data(training->options.session, &step_program, SLOT_STATE, "w");
}

static int count_of(const char *text, const char *part) {
    int count = 0;
    for (const char *at = text; (at = strstr(at, part)); at += strlen(part))
        count++;
    return count;
}

static const char *checkpoint_value(Training *training, const char *key) {
    TensorFile *file;
    const char *path = checkpoints_newest(training->options.checkpoints);
    assert_int_equal(tensor_file_open(training->fixture->arena, path, &file, training->fixture->diags), RUNTIME_OK);
    tensor_file_close(file);
    return tensor_file_metadata(file, key);
}

static void whole_run(void **state) {
    Fixture *fixture = *state;
    Training training = training_create(fixture);
    TensorMetadata metadata = {"spec", "gpt2"};
    training.options.metadata = &metadata;
    training.options.metadata_count = 1;
    assert_int_equal(training_run(&training), RUNTIME_OK);
    assert_quiet(fixture);
    const char *said = text_string(&training.listener.said);
    assert_int_equal(count_of(said, "iter "), 10);                // 0 to 9, inclusive
    assert_int_equal(count_of(said, "step "), 3);                 // at 0, 4, 8
    assert_int_equal(count_of(said, "saving checkpoint to "), 3); // at 4 and 8, where val improved, and at the end
    assert_true(strncmp(said, "step 0: train loss 1.00", 23) == 0);
    assert_non_null(strstr(said, ", val loss 1.00"));
    assert_non_null(strstr(said, "iter 4: loss 0."));
    assert_non_null(strstr(said, "ms, mfu -100.00%, tok/s "));
    assert_int_equal(count_of(said, "mfu -100.00%"), 5); // the first five
    assert_true(fabsf(weight_of(&training) - powf(0.8f, 10)) < 1e-6f);
    assert_string_equal(checkpoint_value(&training, "iter"), "10");
    assert_string_equal(checkpoint_value(&training, "spec"), "gpt2");
    assert_string_equal(checkpoint_value(&training, "seed"), "1337");
    assert_int_equal(training.result.next_iteration, 10);
    assert_int_equal(training.result.iterations, 10);
    assert_true(training.result.running_mfu > 0 && training.result.median_seconds > 0);
    assert_true(training.result.best_val_loss == training.result.validation_loss);
    assert_int_equal(seen_seed, 1337);
    size_t length;
    const char *metrics = fixture_read(fixture, training.options.metrics_path, &length);
    assert_int_equal(count_of(metrics, "\n"), 13);
    assert_true(strncmp(metrics, "{\"iter\":0,\"train_loss\":1.00", 27) == 0);
    assert_non_null(strstr(metrics, "{\"iter\":9,\"loss\":0.0"));
    assert_non_null(strstr(metrics, ",\"grad_norm\":2,\"lr\":0.1,\"ms\":"));
    training_free(&training);
}

// What depends on the clock is cut off.
static const char *losses_of(Fixture *fixture, const Training *training) {
    size_t length;
    char *metrics = fixture_read(fixture, training->options.metrics_path, &length);
    Text text = text_create(fixture->arena);
    for (char *line = strtok(metrics, "\n"); line; line = strtok(NULL, "\n")) {
        char *clock = strstr(line, ",\"ms\"");
        if (clock) *clock = '\0';
        text_append(&text, "%s\n", line);
    }
    return text_string(&text);
}

static void resumed_run_is_the_same(void **state) {
    Fixture *fixture = *state;
    Training whole = training_create(fixture);
    assert_int_equal(training_run(&whole), RUNTIME_OK);
    const char *expected = losses_of(fixture, &whole);
    Training first = training_create(fixture);
    first.options.max_iters = 5;
    assert_int_equal(training_run(&first), RUNTIME_OK);
    Training second = training_create(fixture);
    TensorFile *file;
    tensor_file_open(fixture->arena, checkpoints_newest(first.options.checkpoints), &file, fixture->diags);
    assert_int_equal(weights_load(second.options.session, &step_program, file, fixture->diags), RUNTIME_OK);
    second.options.first_iteration = atoll(tensor_file_metadata(file, "iter"));
    second.options.best_val_loss = strtod(tensor_file_metadata(file, "best_val_loss"), NULL);
    tensor_file_close(file);
    assert_int_equal(training_run(&second), RUNTIME_OK);
    assert_true(weight_of(&second) == weight_of(&whole));
    assert_string_equal(losses_of(fixture, &second), expected); // appended to the first half's
    second.options.first_iteration = 10;
    assert_int_equal(training_run(&second), RUNTIME_OK); // nothing left to do
    assert_int_equal(second.result.iterations, 0);
    training_free(&whole);
    training_free(&first);
    training_free(&second);
}

static void accumulation_averages_losses(void **state) {
    Fixture *fixture = *state;
    Training training = training_create(fixture);
    training.options.accumulation = 3;
    training.options.max_iters = 0;
    training.options.eval_interval = 0;
    training.options.grads_path = fixture_path(fixture, "grads.safetensors");
    training.options.order = ORDER_SEQUENTIAL;
    assert_int_equal(training_run(&training), RUNTIME_OK);
    assert_quiet(fixture);
    assert_int_equal(seen_micro, 2);
    assert_true(fabsf(weight_of(&training) - (1 - 0.1f * 6)) < 1e-6f);
    double tokens = 0;
    for (int i = 0; i < 3 * BATCH * BLOCK; i++)
        tokens += i % 10;
    assert_true(fabs(training.result.last_loss - (1 + tokens / 24 / 1000)) < 1e-6);
    TensorFile *file;
    float gradient;
    assert_int_equal(tensor_file_open(fixture->arena, training.options.grads_path, &file, fixture->diags), RUNTIME_OK);
    assert_int_equal(tensor_file_read(file, tensor_file_find(file, "w"), &gradient, fixture->diags), RUNTIME_OK);
    assert_true(gradient == 6);
    tensor_file_close(file);
    assert_true(isnan(training.result.validation_loss)); // never evaluated
    training_free(&training);
}

static void eval_only_trains_nothing(void **state) {
    Training training = training_create(*state);
    training.options.eval_only = true;
    assert_int_equal(training_run(&training), RUNTIME_OK);
    assert_true(weight_of(&training) == 1);
    assert_int_equal(count_of(text_string(&training.listener.said), "\n"), 1);
    assert_false(file_exists(checkpoints_newest(training.options.checkpoints)));
    training_free(&training);
}

static void checkpoints_at_nanogpts_moments(void **state) {
    Training training = training_create(*state);
    training.options.schedule.learning_rate = 0;
    training.options.best_val_loss = 0;
    assert_int_equal(training_run(&training), RUNTIME_OK);
    assert_int_equal(count_of(text_string(&training.listener.said), "saving"), 1); // only at the end
    training.options.always_save_checkpoint = true;
    training.listener.said = text_create(training.fixture->arena);
    assert_int_equal(training_run(&training), RUNTIME_OK);
    assert_int_equal(count_of(text_string(&training.listener.said), "saving"), 3);
    training_free(&training);
}

static void not_finite_halts_with_the_state_before(void **state) {
    Fixture *fixture = *state;
    Training training = training_create(fixture);
    training.options.eval_interval = 0;
    poisoned_step = 3, poisoned_end = 4;
    assert_int_equal(training_run(&training), RUNTIME_NONFINITE);
    assert_says(fixture, "iteration 3: loss is nan, grad_norm is ");
    assert_string_equal(checkpoint_value(&training, "iter"), "3");
    assert_int_equal(training.result.next_iteration, 3);
    assert_true(fabsf(weight_of(&training) - powf(0.8f, 3)) < 1e-6f);
    size_t length;
    assert_non_null(
        strstr(fixture_read(fixture, training.options.metrics_path, &length), "{\"iter\":3,\"loss\":null,"));
    training_free(&training);
}

static void not_finite_is_skipped(void **state) {
    Fixture *fixture = *state;
    Training training = training_create(fixture);
    training.options.nonfinite = NONFINITE_SKIP;
    poisoned_step = 3, poisoned_end = 6;
    assert_int_equal(training_run(&training), RUNTIME_OK);
    assert_quiet(fixture);
    assert_int_equal(training.result.skipped, 3);
    assert_true(fabsf(weight_of(&training) - powf(0.8f, 7)) < 1e-6f);
    assert_non_null(strstr(text_string(&training.listener.said), "iter 5: loss is nan, "));
    training_free(&training);
    Training hopeless = training_create(fixture);
    hopeless.options.nonfinite = NONFINITE_SKIP;
    poisoned_step = 3, poisoned_end = 7;
    assert_int_equal(training_run(&hopeless), RUNTIME_NONFINITE);
    assert_says(fixture, "3 iterations before it were skipped");
    assert_string_equal(checkpoint_value(&hopeless, "iter"), "6");
    training_free(&hopeless);
}

// The first micro-batch's loss is infinite; what it left in the accumulator does not reach the next iteration.
static void not_finite_in_a_micro_batch(void **state) {
    Fixture *fixture = *state;
    Training training = training_create(fixture);
    training.options.accumulation = 2;
    training.options.eval_interval = 0;
    training.options.max_iters = 0;
    float *w = session_slot_data(training.options.session, &step_program, SLOT_STATE, "w");
    *w = 1e30f; // w * w is infinite, and 2 w is not
    assert_int_equal(training_run(&training), RUNTIME_NONFINITE);
    assert_says(fixture, "iteration 0: loss is inf, grad_norm is nan");
    assert_true(*w == 1e30f);
    assert_true(*(float *)session_slot_data(training.options.session, &step_program, SLOT_STATE, "accumulate.w") == 0);
    training_free(&training);
}

static void states_that_are_not_finite_are_never_saved(void **state) {
    Fixture *fixture = *state;
    Training training = training_create(fixture);
    training.options.eval_interval = 0;
    training.options.max_iters = 2;
    assert_int_equal(training_run(&training), RUNTIME_OK);
    training.options.first_iteration = 3;
    training.options.max_iters = 3;
    training.options.schedule.learning_rate = INFINITY;
    assert_int_equal(training_run(&training), RUNTIME_NONFINITE);
    assert_says(fixture, "'w' holds values that are not finite");
    assert_string_equal(checkpoint_value(&training, "iter"), "3");
    training_free(&training);
}

static void signal_stops_after_the_step(void **state) {
    Training training = training_create(*state);
    training.options.eval_interval = 0;
    training.listener.raise_at = "iter 3:";
    assert_int_equal(training_run(&training), RUNTIME_STOPPED);
    assert_int_equal(training.result.next_iteration, 4);
    assert_string_equal(checkpoint_value(&training, "iter"), "4");
    Training again = training_create(*state);
    again.listener.raise_at = "step 4:"; // right after an evaluation: step 4 is done first
    assert_int_equal(training_run(&again), RUNTIME_STOPPED);
    assert_string_equal(checkpoint_value(&again, "iter"), "5");
    training_free(&training);
    training_free(&again);
}

static void troubles_with_files(void **state) {
    Fixture *fixture = *state;
    Training training = training_create(fixture);
    training.options.metrics_path = fixture_path(fixture, "no/such/metrics");
    assert_int_equal(training_run(&training), RUNTIME_IO);
    assert_says(fixture, "cannot create");
    training.options.metrics_path = NULL;
    Checkpoints *here = training.options.checkpoints;
    checkpoints_open(fixture_path(fixture, "no/such"), &training.options.checkpoints, fixture->diags);
    assert_int_equal(training_run(&training), RUNTIME_IO);
    assert_says(fixture, "cannot create");
    checkpoints_free(training.options.checkpoints);
    training.options.checkpoints = NULL;
    training.options.vocab_size = 5;
    assert_int_equal(training_run(&training), RUNTIME_BAD_FILE);
    assert_says(fixture, "but vocab_size is 5");
    training.options.vocab_size = 10;
    training.options.order = ORDER_SEQUENTIAL;
    training.options.max_iters = 1000;
    training.options.eval_interval = 0;
    assert_int_equal(training_run(&training), RUNTIME_BAD_FILE);
    assert_says(fixture, "batch 124 of 2 x 4 tokens lies beyond");
    assert_int_equal(training.result.iterations, 124);
    training.options.checkpoints = here;
    training_free(&training);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(whole_run),
        FIXTURE_TEST(resumed_run_is_the_same),
        FIXTURE_TEST(accumulation_averages_losses),
        FIXTURE_TEST(eval_only_trains_nothing),
        FIXTURE_TEST(checkpoints_at_nanogpts_moments),
        FIXTURE_TEST(not_finite_halts_with_the_state_before),
        FIXTURE_TEST(not_finite_is_skipped),
        FIXTURE_TEST(not_finite_in_a_micro_batch),
        FIXTURE_TEST(states_that_are_not_finite_are_never_saved),
        FIXTURE_TEST(signal_stops_after_the_step),
        FIXTURE_TEST(troubles_with_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
