// Rounds change no bits: losses and states of some training steps are equal without rounds and with them, on 1, 2 and 3
// threads. So are those of steps that add up gradients over micro-batches.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "base/hash.h"
#include "driver/training.h"
#include "runtime/run_inputs.h"
#include "runtime/weights.h"

enum { STEPS = 3, BATCH = 4, TIME = 64, WORDS = 1031 }; // a prime: no whole tiles

static Command command_for(Arena *arena, int accumulation) {
    char *arguments[] = {"--model=gpt2",
                         "--n_layer=1",
                         "--n_head=2",
                         "--n_embd=32",
                         "--dropout=0.1",
                         arena_format(arena, "--batch_size=%d", BATCH),
                         arena_format(arena, "--block_size=%d", TIME),
                         arena_format(arena, "--vocab_size=%d", WORDS),
                         arena_format(arena, "--gradient_accumulation_steps=%d", accumulation)};
    Command command = {.arena = arena, .diags = diags_create(arena), .config = config_create(arena)};
    command.echo = fopen("/dev/null", "w");
    assert_non_null(command.echo);
    int count = sizeof arguments / sizeof *arguments;
    assert_int_equal(arguments_read(&command, count, arguments, declare_train_keys, true), EXIT_DONE);
    fclose(command.echo);
    return command;
}

// The logits are four times too large for it, and rounds may take any time.
static Target little_cache(void) {
    Target target = target_default();
    target.cores = 3;
    target.l3_bytes = 64 << 10;
    target.peak_flops = 0;
    return target;
}

static uint32_t steps_with_rounds(const Plan *plan) {
    uint32_t count = 0;
    for (uint32_t s = 0; s < plan->step_count; s++) count += plan->steps[s].cut.rounds > 1;
    return count;
}

// ---- runs

static float run(Session *session, const Program *program, int32_t step, int32_t micro) {
    int32_t tokens[BATCH * TIME], targets[BATCH * TIME];
    for (int32_t i = 0; i < BATCH * TIME; i++) {
        tokens[i] = (i * i + 31 * i + 97 * step + 13 * micro) % WORDS;
        targets[i] = (tokens[i] * 5 + i) % WORDS;
    }
    RunInputs inputs = run_inputs_find(session, program, BATCH * TIME);
    memcpy(inputs.tokens, tokens, sizeof tokens);
    memcpy(inputs.targets, targets, sizeof targets);
    run_inputs_set(&inputs, (RunNumbers){step, micro, .seed = 7, .learning_rate = 1e-2});
    session_run(session, program);
    return *(const float *)session_slot_data(session, program, SLOT_OUTPUT, "loss");
}

static void add_states(Session *session, const Program *program, Hash *hash, Arena *arena, Diags *diags) {
    for (uint32_t i = 0; i < program->slot_count; i++) {
        const ProgramSlot *slot = &program->slots[i];
        if (slot->kind != SLOT_STATE || slot->copy_of) continue;
        size_t count = 1;
        for (int axis = 0; axis < slot->stored_rank; axis++) count *= (size_t)slot->stored_extents[axis];
        float *values = ARENA_ARRAY(arena, float, count);
        assert_int_equal(weights_get(session, slot, values, arena, diags), RUNTIME_OK);
        hash_add(hash, values, count * sizeof *values);
    }
}

// Of all losses, and of parameters and moments after the last step.
static uint64_t train(const CompiledModel *model, int accumulation, int thread_count, Diags *diags) {
    const Program *step = model->programs[MODEL_STEP], *micro = model->programs[MODEL_MICRO];
    const Program *programs[] = {step, micro};
    Arena *arena = arena_create();
    ThreadPool *threads = threads_create(thread_count, false, diags);
    Session *session = NULL;
    assert_non_null(threads);
    assert_int_equal(session_create(programs, micro ? 2 : 1, threads, &session, diags), RUNTIME_OK);
    assert_int_equal(weights_initialise(session, step, 7, diags), RUNTIME_OK);
    Hash *hash = hash_create();
    for (int32_t s = 0; s < STEPS; s++)
        for (int32_t m = 0; m < accumulation; m++) {
            float loss = run(session, m + 1 < accumulation ? micro : step, s, m);
            assert_true(loss > 0 && loss < 20);
            hash_add(hash, &loss, sizeof loss);
        }
    add_states(session, step, hash, arena, diags);
    uint64_t all = hash_value(hash);
    hash_free(hash);
    session_free(session);
    threads_free(threads);
    arena_free(arena);
    return all;
}

// ---- with and without

static void compile(Command *command, const char *choices, bool has_rounds, Training *training) {
    Target target = little_cache();
    CompileRequest request = {.fuse = FUSE_ALL, .target = &target, .observer = {.verify = true, .limit = -1}};
    request.choices = choices_create(command->arena);
    assert_true(choices_add(request.choices, "test.choices", choices, command->diags));
    assert_int_equal(training_compile(command, &target, false, &request, training), EXIT_DONE);
    for (int program = MODEL_STEP; program <= MODEL_MICRO; program++) {
        const Plan *plan = training->model.plans[program];
        if (plan && has_rounds) assert_in_range(steps_with_rounds(plan), 4, plan->step_count);
        if (plan && !has_rounds) assert_int_equal(steps_with_rounds(plan), 0);
    }
}

static void equal_bits(int accumulation) {
    Arena *arena = arena_create();
    Command command = command_for(arena, accumulation);
    Training whole = {0}, rounds = {0};
    compile(&command, "forbid strand\nforbid rounds\n", false, &whole);
    compile(&command, "forbid strand\n", true, &rounds);
    uint64_t expected = train(&whole.model, accumulation, 1, command.diags);
    for (int threads = 1; threads <= 3; threads++)
        if (train(&rounds.model, accumulation, threads, command.diags) != expected)
            fail_msg("%d micro-batches: rounds on %d threads have other bits", accumulation, threads);
    training_free(&whole);
    training_free(&rounds);
    arena_free(arena);
}

static void one_batch(void **state) {
    (void)state;
    equal_bits(1);
}

static void micro_batches(void **state) {
    (void)state;
    equal_bits(3);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(one_batch), cmocka_unit_test(micro_batches)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
