// Whole trainings on a GPU that is none, beside the same plans on the processor: every loss, gradient norm, parameter
// and moment has the same bits, whatever is under way at once, with micro-batches, dropout, evaluations, and behind
// losses that are not finite. So does a scaled loss, which overflows and recovers: in f32, without tensor cores.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dlfcn.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "driver/gpu.h"
#include "driver/training.h"
#include "runtime/slot.h"
#include "runtime/weights.h"

enum { MOST_RECORDS = 64, VOCABULARY = 32 };

typedef struct {
    const char *model, *level, *accumulation, *dropout;
    const char *together;      // steps a launch; NULL: one
    const char *eval_interval; // NULL: 5
    bool is_poisoned;          // some batches are not finite
    uint64_t seed;             // which ones
    NonfinitePolicy nonfinite;
    RuntimeStatus status;
    const char *init_scale;    // of the loss, which doubles every third step; NULL: it has none
} Case;

typedef struct {
    StepRecord records[MOST_RECORDS];
    int count;
    TrainResult result;
    RuntimeStatus status;
} Outcome;

// Its head is not its embedding: a word that is not a number makes the batches it is in not finite, and no others.
static const char untied[] = "model untied\n"
                             "config n_layer=1 n_head=1 n_embd=16 block_size=8 vocab_size=32 dropout=0.0\n"
                             "dim    B=batch_size T=block_size V=vocab_size C=n_embd F=4*C\n"
                             "input  tok[B,T]:token(V)  target[B,T]:token(V)\n"
                             "init   default normal(0.02)\n"
                             "param  wte[V,C] as \"wte.weight\"\n"
                             "param  up[C,F] as \"up.weight\"\n"
                             "param  head[F,V] as \"head.weight\"\n"
                             "x[B,T,C]      = dropout(wte[V=tok])\n"
                             "h[B,T,F]      = tanh(sum(C) x * up)\n"
                             "logits[B,T,V] = sum(F) h * head\n"
                             "loss          = mean(B,T) cross_entropy(V)(logits, target)\n";

static char tokens_path[] = "/tmp/sinter-device-XXXXXX";

static int write_tokens(void **state) {
    (void)state;
    int file = mkstemp(tokens_path);
    uint16_t tokens[4000];
    for (uint32_t i = 0, x = 7; i < 4000; i++) {
        uint32_t drawn = (x = x * 1664525u + 1013904223u) >> 16;
        tokens[i] = (uint16_t)(i % 80 == 0 ? VOCABULARY - 1 : drawn % (VOCABULARY - 1)); // the last word is rare
    }
    bool written = file >= 0 && write(file, tokens, sizeof tokens) == sizeof tokens;
    close(file);
    return written ? 0 : -1;
}

static int remove_tokens(void **state) {
    (void)state;
    return unlink(tokens_path);
}

static void keep(void *context, const StepRecord *record) {
    Outcome *outcome = context;
    assert_in_range(outcome->count, 0, MOST_RECORDS - 1);
    outcome->records[outcome->count++] = *record;
}

// ---- the model, twice

static void assert_quiet(const Command *command) {
    Text text = text_create(command->arena);
    diags_render(command->diags, &text);
    if (*text_string(&text)) fail_msg("%s", text_string(&text));
}

static Command command_of(Arena *arena, const Case *which) {
    Command command = {.arena = arena, .diags = diags_create(arena), .config = config_create(arena), .echo = stderr};
    declare_train_keys(command.config);
    const char *source = spec_embedded(which->model);
    command.spec = spec_parse(arena, which->model, source ? source : untied, command.diags);
    if (!command.spec || !spec_declare(command.spec, command.config, command.diags)) assert_quiet(&command);
    if (text_equal(which->model, "llama")) {
        assert_true(config_assign(command.config, "n_kv_head", "1", (Place){0}, command.diags));
        assert_true(config_assign(command.config, "n_ffn", "24", (Place){0}, command.diags));
    }
    const char *const keys[][2] = {{"n_layer", "1"}, {"n_head", "2"}, {"n_embd", "16"}, {"block_size", "8"},
                                   {"batch_size", "2"}, {"vocab_size", "32"}, {"eval_iters", "3"},
                                   {"eval_interval", which->eval_interval ? which->eval_interval : "5"},
                                   {"steps_per_launch", which->together ? which->together : "1"},
                                   {"max_iters", which->eval_interval ? "29" : "11"}, {"warmup_iters", "2"},
                                   {"learning_rate", "1e-2"},
                                   {"log_interval", "0"}, {"gradient_accumulation_steps", which->accumulation},
                                   {"dropout", which->dropout}, {"fuse", which->level}};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        assert_true(config_assign(command.config, keys[i][0], keys[i][1], (Place){0}, command.diags));
    const char *const scaled[][2] = {
        {"dtype", "float16"}, {"init_scale", which->init_scale}, {"growth_interval", "3"}};
    for (size_t i = 0; which->init_scale && i < sizeof scaled / sizeof *scaled; i++)
        assert_true(config_assign(command.config, scaled[i][0], scaled[i][1], (Place){0}, command.diags));
    const char *why;
    command.gpu = gpu_open(arena, &why);
    if (!command.gpu) fail_msg("%s", why);
    return command;
}

// The same plans as code for the processor.
static void compile_for_processor(Command *command, const Target *target, const CompiledModel *gpu,
                                  CompiledModel *cpu) {
    const Plan *plans[MODEL_PROGRAMS];
    const char *names[MODEL_PROGRAMS];
    Program *programs[MODEL_PROGRAMS];
    CodegenReport report = {0};
    int count = 0;
    *cpu = (CompiledModel){.ledger = gpu->ledger};
    for (int p = 0; p < MODEL_PROGRAMS; p++) {
        if (!(cpu->plans[p] = gpu->plans[p])) continue;
        plans[count] = gpu->plans[p];
        names[count++] = model_program_name((ModelProgram)p);
    }
    assert_true(codegen_cpu(plans, names, count, target, &report, programs, command->diags));
    for (int p = 0, i = 0; p < MODEL_PROGRAMS; p++)
        if (cpu->plans[p]) cpu->programs[p] = programs[i++];
}

// A word whose embedding is not a number.
static void poison(Command *command, const Training *training) {
    const Program *step = training->model.programs[MODEL_STEP];
    const ProgramSlot *slot = program_slot(step, SLOT_STATE, "wte.weight");
    assert_non_null(slot);
    size_t count = (size_t)slot_elements(slot);
    float *values = ARENA_ARRAY(command->arena, float, count);
    assert_int_equal(weights_get(training->session, slot, values, command->arena, command->diags), RUNTIME_OK);
    for (size_t i = count / VOCABULARY * (VOCABULARY - 1); i < count; i++) values[i] = NAN;
    assert_int_equal(weights_set(training->session, step, slot, values, command->arena, command->diags), RUNTIME_OK);
}

static void run(Command *command, const Case *which, Training *training, Outcome *outcome) {
    training->threads = threads_create(2, false, command->diags);
    assert_non_null(training->threads);
    assert_int_equal(training_session(command, training), EXIT_DONE);
    assert_int_equal(token_file_open(tokens_path, 2, &training->train_tokens, command->diags), RUNTIME_OK);
    assert_int_equal(token_file_open(tokens_path, 2, &training->validation_tokens, command->diags), RUNTIME_OK);
    const Program *step = training->model.programs[MODEL_STEP];
    assert_int_equal(weights_initialise(training->session, step, 1337, command->diags), RUNTIME_OK);
    if (which->is_poisoned) poison(command, training);
    TrainOptions options = training_options(command->config, training);
    if (which->is_poisoned) options.eval = NULL;
    options.nonfinite = which->nonfinite;
    options.seed += which->seed;
    options.after_step = keep;
    options.after_step_context = outcome;
    outcome->status = train_run(&options, &outcome->result, command->diags);
}

// Calls that the driver of the tests has had of its function `name`.
static int driver_calls(const char *name) {
    void *library = dlopen("libcuda.so.1", RTLD_NOW | RTLD_NOLOAD);
    assert_non_null(library);
    int (*count)(const char *name);
    *(void **)&count = dlsym(library, "fake_calls");
    assert_non_null(count);
    int calls = count(name);
    dlclose(library);
    return calls;
}

// ---- comparing

static bool same_number(double a, double b) { return a == b || (isnan(a) && isnan(b)); }

static void compare_records(const Outcome *cpu, const Outcome *gpu) {
    assert_int_equal(cpu->count, gpu->count);
    assert_int_equal(cpu->status, gpu->status);
    assert_int_equal(cpu->result.next_iteration, gpu->result.next_iteration);
    assert_int_equal(cpu->result.skipped, gpu->result.skipped);
    assert_true(same_number(cpu->result.train_loss, gpu->result.train_loss));
    assert_true(same_number(cpu->result.validation_loss, gpu->result.validation_loss));
    for (int i = 0; i < cpu->count; i++) {
        const StepRecord *a = &cpu->records[i], *b = &gpu->records[i];
        bool same = a->iteration == b->iteration && same_number(a->loss, b->loss) &&
                    same_number(a->grad_norm, b->grad_norm) && a->learning_rate == b->learning_rate &&
                    same_number(a->loss_scale, b->loss_scale);
        if (!same)
            fail_msg("iteration %d: loss %.9g and %.9g, grad_norm %.9g and %.9g", (int)a->iteration, a->loss, b->loss,
                     a->grad_norm, b->grad_norm);
    }
}

static void compare_states(Command *command, const Training *cpu, const Training *gpu) {
    const Program *step = cpu->model.programs[MODEL_STEP];
    int compared = 0;
    for (uint32_t i = 0; i < step->slot_count; i++) {
        const ProgramSlot *slot = &step->slots[i];
        if (slot->kind != SLOT_STATE || slot->element != ELEMENT_F32) continue;
        const ProgramSlot *other = program_slot(gpu->model.programs[MODEL_STEP], SLOT_STATE, slot->name);
        size_t count = (size_t)slot_elements(slot);
        float *a = ARENA_ARRAY(command->arena, float, count), *b = ARENA_ARRAY(command->arena, float, count);
        weights_get(cpu->session, slot, a, command->arena, command->diags);
        weights_get(gpu->session, other, b, command->arena, command->diags);
        for (size_t k = 0; k < count; k++)
            if (memcmp(&a[k], &b[k], sizeof *a) != 0 && !(isnan(a[k]) && isnan(b[k])))
                fail_msg("%s[%zu]: %.9g and %.9g", slot->name, k, (double)a[k], (double)b[k]);
        compared++;
    }
    assert_true(compared >= 9);
}

// The rule once more: halved behind an overflow, doubled behind the third sound step in a row, else as it was.
static void check_scales(const Outcome *outcome) {
    int good = 0, overflows = 0, growths = 0;
    for (int i = 0; i + 1 < outcome->count; i++) {
        const StepRecord *now = &outcome->records[i];
        bool is_sound = isfinite(now->grad_norm);
        good = is_sound ? good + 1 : 0;
        double factor = !is_sound ? 0.5 : good == 3 ? 2 : 1;
        assert_true(outcome->records[i + 1].loss_scale == factor * now->loss_scale);
        overflows += !is_sound;
        growths += good == 3;
        if (good == 3) good = 0;
    }
    assert_true(overflows > 0 && growths > 0);
    overflows += !isfinite(outcome->records[outcome->count - 1].grad_norm);
    assert_int_equal(outcome->result.skipped, overflows);
}

// Returns how many graphs were launched.
static int compare(const Case *which) {
    Arena *arena = arena_create();
    Command command = command_of(arena, which);
    Target target = gpu_target(command.gpu);
    CompileRequest request = {.fuse = configured_fuse(command.config), .observer = {.verify = true, .limit = -1}};
    request.choices = choices_create(arena);
    if (which->init_scale)
        assert_true(choices_add(request.choices, "choices", "forbid product by tensor cores\n", command.diags));
    choices_be_lenient(request.choices);
    Training cpu = {0}, gpu = {0};
    Outcome *outcomes = ARENA_ARRAY(arena, Outcome, 2);
    if (training_compile(&command, &target, true, &request, &gpu) != EXIT_DONE) assert_quiet(&command);
    compile_for_processor(&command, &target, &gpu.model, &cpu.model);
    int launches = driver_calls("cuGraphLaunch");
    run(&command, which, &gpu, &outcomes[1]);
    launches = driver_calls("cuGraphLaunch") - launches;
    run(&command, which, &cpu, &outcomes[0]);
    assert_int_equal(session_ahead(cpu.session), 0);
    assert_true(session_ahead(gpu.session) > 1);
    assert_int_equal(outcomes[0].status, which->status);
    compare_records(&outcomes[0], &outcomes[1]);
    compare_states(&command, &cpu, &gpu);
    if (which->is_poisoned && which->status == RUNTIME_OK) assert_true(outcomes[1].result.skipped > 0);
    if (which->init_scale && !which->is_poisoned) check_scales(&outcomes[1]);
    if (which->status != RUNTIME_OK) assert_true(outcomes[1].result.next_iteration <= 8);  // some were under way
    training_free(&cpu);
    training_free(&gpu);
    arena_free(arena);
    return launches;
}

// ---- tests

static void gpt2(void **state) {
    (void)state;
    compare(&(Case){.model = "gpt2", .level = "all", .accumulation = "1", .dropout = "0.1"});
}

static void an_operator_at_a_time(void **state) {
    (void)state;
    compare(&(Case){.model = "llama", .level = "op", .accumulation = "1", .dropout = "0.0"});
}

static void micro_batches(void **state) {
    (void)state;
    compare(&(Case){.model = "gpt2", .level = "all", .accumulation = "3", .dropout = "0.1"});
}

static void batches_that_are_not_finite_are_skipped(void **state) {
    (void)state;
    Case which = {.model = "untied", .level = "all", .accumulation = "1", .dropout = "0.0", .is_poisoned = true,
                  .nonfinite = NONFINITE_SKIP};
    compare(&which);
    which.accumulation = "2";
    compare(&which);
}

static void nothing_follows_a_batch_that_is_not_finite(void **state) {
    (void)state;
    Case which = {.model = "untied", .level = "all", .accumulation = "1", .dropout = "0.0", .is_poisoned = true,
                  .nonfinite = NONFINITE_HALT, .status = RUNTIME_NONFINITE, .seed = 2};
    compare(&which);
    which.accumulation = "3";
    compare(&which);
}

// 30 steps, and 6 batches of each evaluation. Launches of several end where an evaluation begins and where nothing
// follows; the first step's result is waited for before a third is started.
static void several_steps_a_launch(void **state) {
    (void)state;
    static const struct {
        const char *together, *eval_interval;
        int launches;
    } rows[] = {{"1", "11", 48}, {"2", "11", 28}, {"5", "11", 32}, {"8", "100", 15}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        Case which = {.model = "gpt2", .level = "all", .accumulation = "1", .dropout = "0.1",
                      .together = rows[i].together, .eval_interval = rows[i].eval_interval};
        assert_int_equal(compare(&which), rows[i].launches);
    }
}

// 12 iterations, with 6 batches of an evaluation before each fifth one. Runs of the first two iterations go one by one,
// as batches of evaluations do, and those of an iteration that an evaluation keeps from being launched with the next.
static void several_micro_batches_a_launch(void **state) {
    (void)state;
    static const struct {
        const char *accumulation, *together;
        int launches;
    } rows[] = {{"5", "1", 38}, {"3", "2", 34}, {"9", "1", 56}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        Case which = {.model = "gpt2", .level = "all", .accumulation = rows[i].accumulation, .dropout = "0.1",
                      .together = rows[i].together};
        assert_int_equal(compare(&which), rows[i].launches);
    }
}

static void several_steps_that_are_not_finite(void **state) {
    (void)state;
    Case which = {.model = "untied", .level = "all", .accumulation = "1", .dropout = "0.0", .is_poisoned = true,
                  .nonfinite = NONFINITE_SKIP, .together = "4"};
    compare(&which);
    which.nonfinite = NONFINITE_HALT;
    which.status = RUNTIME_NONFINITE;
    which.seed = 2;
    compare(&which);
}

// Far too large at first: squares of gradients overflow in f32.
static void a_scaled_loss_overflows_and_recovers(void **state) {
    (void)state;
    Case which = {.model = "gpt2", .level = "all", .accumulation = "1", .dropout = "0.1", .init_scale = "1e21"};
    compare(&which);
    which.together = "4";
    compare(&which);
    which = (Case){.model = "gpt2", .level = "op", .accumulation = "3", .dropout = "0.1", .init_scale = "1e21"};
    compare(&which);
}

static void a_scaled_loss_that_is_not_finite(void **state) {
    (void)state;
    Case which = {.model = "untied", .level = "all", .accumulation = "1", .dropout = "0.0", .is_poisoned = true,
                  .nonfinite = NONFINITE_SKIP, .init_scale = "1e21"};
    compare(&which);
    which.accumulation = "2";
    compare(&which);
    which.nonfinite = NONFINITE_HALT;
    which.status = RUNTIME_NONFINITE;
    which.seed = 2;
    compare(&which);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gpt2),
        cmocka_unit_test(an_operator_at_a_time),
        cmocka_unit_test(micro_batches),
        cmocka_unit_test(batches_that_are_not_finite_are_skipped),
        cmocka_unit_test(nothing_follows_a_batch_that_is_not_finite),
        cmocka_unit_test(several_steps_a_launch),
        cmocka_unit_test(several_micro_batches_a_launch),
        cmocka_unit_test(several_steps_that_are_not_finite),
        cmocka_unit_test(a_scaled_loss_overflows_and_recovers),
        cmocka_unit_test(a_scaled_loss_that_is_not_finite),
    };
    return cmocka_run_group_tests(tests, write_tokens, remove_tokens);
}
