// Drawing: nanoGPT's temperature and top_k; and the loop, with a "logits" program whose favourite token is a known
// function of the context.
#include "support.h"

#include <math.h>

#include "runtime/random.h"
#include "runtime/sample.h"

static void draws_follow_the_softmax(void **state) {
    (void)state;
    const float logits[4] = {0, 1, 2, -INFINITY};
    int counts[4] = {0};
    enum { DRAWS = 100000 };
    for (uint64_t i = 0; i < DRAWS; i++)
        counts[sample_draw(logits, 4, 0.5, 0, random_uniform(random_bits(1, i)))]++;
    double total = 1 + exp(2) + exp(4); // logits / 0.5
    assert_int_equal(counts[3], 0);
    for (int t = 0; t < 3; t++)
        assert_true(fabs((double)counts[t] / DRAWS - exp(2 * t) / total) < 0.01);
}

static void top_k_keeps_ties(void **state) {
    (void)state;
    const float logits[5] = {1, 3, 2, 3, 0};
    int counts[5] = {0};
    for (uint64_t i = 0; i < 10000; i++)
        counts[sample_draw(logits, 5, 1, 1, random_uniform(random_bits(2, i)))]++;
    assert_int_equal(counts[1] + counts[3], 10000);
    assert_in_range(counts[1], 4700, 5300);
    assert_int_equal(sample_draw(logits, 5, 1, 99, 0.0), 0);
    assert_int_equal(sample_draw(logits, 5, 1, 0, 1 - 0x1p-53), 4);
    assert_int_equal(sample_draw(logits, 5, 0, 0, 0.9), 1); // temperature 0: the largest, the first of equals
}

static void without_a_finite_logit(void **state) {
    (void)state;
    assert_int_equal(sample_draw((float[]){NAN, NAN}, 2, 1, 0, 0.5), -1);
    assert_int_equal(sample_draw((float[]){-INFINITY, -INFINITY}, 2, 1, 0, 0.5), -1);
    assert_int_equal(sample_draw((float[]){-INFINITY, 0}, 2, 1, 2, 0.0), 1);
}

enum { ROWS = 2, CONTEXT = 4, VOCABULARY = 16 };

// logits[b, t, v] favour v = (tok[b, t] + number of the position t) % VOCABULARY.
static void favour(void *const *buffers, int64_t piece, const void *context) {
    (void)piece, (void)context;
    const int32_t *tokens = buffers[0];
    float *logits = buffers[1];
    for (int i = 0; i < ROWS * CONTEXT; i++)
        for (int v = 0; v < VOCABULARY; v++)
            logits[i * VOCABULARY + v] = v == (tokens[i] + i % CONTEXT) % VOCABULARY ? 50.0f : 0.0f;
}

static const ProgramBuffer buffers[] = {{MEMORY_ARENA, 0}, {MEMORY_ARENA, 256}};
static const ProgramStep steps[] = {
    {.function = favour, .buffers = buffers, .buffer_count = 2, .pieces = 1, .wait = true, .label = "favour"}};
static const ProgramSlot slots[] = {
    {.name = "tok",
     .kind = SLOT_INPUT,
     .element = ELEMENT_I32,
     .rank = 2,
     .extents = {ROWS, CONTEXT},
     .is_plain = true,
     .bytes = 64,
     .buffer = {MEMORY_ARENA, 0}},
    {.name = "logits",
     .kind = SLOT_OUTPUT,
     .rank = 3,
     .extents = {ROWS, CONTEXT, VOCABULARY},
     .is_plain = true,
     .bytes = ROWS * CONTEXT * VOCABULARY * 4,
     .buffer = {MEMORY_ARENA, 256}},
};
static const Program program = {.name = "logits", .steps = steps, .step_count = 1, .slots = slots, .slot_count = 2,
                                .state_bytes = 64, .arena_bytes = 4096};

typedef struct {
    int samples;
    int32_t tokens[8][16];
    int64_t count;
} Collected;

static void collect(void *context, int64_t sample, const int32_t *tokens, int64_t count) {
    Collected *collected = context;
    assert_int_equal(sample, collected->samples++);
    collected->count = count;
    memcpy(collected->tokens[sample], tokens, (size_t)count * sizeof *tokens);
}

static RuntimeStatus run_sampling(Fixture *fixture, SampleOptions options, Collected *collected) {
    const Program *programs[] = {&program};
    ThreadPool *pool = threads_create(1, false, fixture->diags);
    assert_int_equal(session_create(programs, 1, pool, &options.session, fixture->diags), RUNTIME_OK);
    options.logits = &program;
    options.done = collect;
    options.context = collected;
    RuntimeStatus status = sample_run(&options, fixture->diags);
    session_free(options.session);
    threads_free(pool);
    return status;
}

static void context_is_read_at_its_last_token(void **state) {
    Fixture *fixture = *state;
    Collected collected = {0};
    SampleOptions options = {
        .temperature = 1, .start = (int32_t[]){3, 1}, .start_count = 2, .num_samples = 3, .max_new_tokens = 5};
    assert_int_equal(run_sampling(fixture, options, &collected), RUNTIME_OK);
    assert_int_equal(collected.samples, 3);
    assert_int_equal(collected.count, 7);
    // positions 1, 2, 3, and 3 again once the context is cropped to its last 4 tokens
    const int32_t expected[7] = {3, 1, 2, 4, 7, 10, 13};
    for (int s = 0; s < 3; s++)
        assert_memory_equal(collected.tokens[s], expected, sizeof expected);
}

static void samples_depend_on_seed_and_number_only(void **state) {
    Fixture *fixture = *state;
    Collected first = {0}, second = {0}, other = {0};
    SampleOptions options = {.temperature = 100,
                             .seed = 1,
                             .start = (int32_t[]){0},
                             .start_count = 1,
                             .num_samples = 4,
                             .max_new_tokens = 10,
                             .vocab_size = 5};
    assert_int_equal(run_sampling(fixture, options, &first), RUNTIME_OK);
    options.num_samples = 3;
    assert_int_equal(run_sampling(fixture, options, &second), RUNTIME_OK);
    assert_memory_equal(first.tokens, second.tokens, 3 * sizeof first.tokens[0]);
    assert_memory_not_equal(first.tokens[0], first.tokens[1], sizeof first.tokens[0]);
    for (int i = 0; i < 11; i++)
        assert_in_range(first.tokens[0][i], 0, 4); // only drawable tokens
    options.seed = 2;
    assert_int_equal(run_sampling(fixture, options, &other), RUNTIME_OK);
    assert_memory_not_equal(first.tokens, other.tokens, sizeof first.tokens[0]);
}

static void start_outside_the_vocabulary(void **state) {
    Fixture *fixture = *state;
    Collected collected = {0};
    SampleOptions options = {
        .temperature = 1, .start = (int32_t[]){16}, .start_count = 1, .num_samples = 1, .max_new_tokens = 1};
    assert_int_equal(run_sampling(fixture, options, &collected), RUNTIME_BAD_FILE);
    assert_says(fixture, "start token 16, but vocab_size is 16");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(draws_follow_the_softmax),
        FIXTURE_TEST(top_k_keeps_ties),
        FIXTURE_TEST(without_a_finite_logit),
        FIXTURE_TEST(context_is_read_at_its_last_token),
        FIXTURE_TEST(samples_depend_on_seed_and_number_only),
        FIXTURE_TEST(start_outside_the_vocabulary),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
