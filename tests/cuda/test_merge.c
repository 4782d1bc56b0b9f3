// Merged launches: a model's step in fewer launches of the same kernels, in any order that their edges allow, gives the
// CPU's bits, or, of tensor cores, those of the same launches by themselves; slips in a merged kernel's text do not.
// Neither merging nor memory makes a launch wait that needs nothing of another.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <math.h>
#include <string.h>

#include "codegen/cuda/kernel.h"
#include "codegen/cuda/merge.h"
#include "passes/launch_levels.h"
#include "tests/cuda/edited_text.h"
#include "tests/cuda/model_plans.h"
#include "tests/cuda/side_by_side.h"
#include "tests/skipped.h"

enum { ORDERS = 6 };

#define SMALL                                                                                                          \
    {"n_layer", "2"}, {"n_head", "2"}, {"n_embd", "32"}, {"block_size", "16"}, {"batch_size", "3"},                    \
        {"vocab_size", "37"}, {"gradient_accumulation_steps", "1"}

typedef struct {
    Arena *arena;
    SideBySide *side;
    int64_t vocabulary;
    uint32_t steps;   // launches before merging
    uint32_t levels;  // launches in a row, as values and states alone have it
} Bench;

static uint32_t levels_of(Arena *arena, const CudaProgram *program) {
    uint32_t *levels = ARENA_ARRAY(arena, uint32_t, program->launch_count + 1), count = 0;
    for (uint32_t i = 0; i < program->launch_count; i++) {
        const CudaLaunch *launch = &program->launches[i];
        levels[i] = 1;
        for (uint32_t k = 0; k < launch->after_count; k++)
            if (levels[launch->after[k]] >= levels[i]) levels[i] = levels[launch->after[k]] + 1;
        if (count < levels[i]) count = levels[i];
    }
    return count;
}

static Bench bench_create(ModelCase which, const char *choices, bool merges, SourceEdit edit) {
    Bench bench = {.arena = arena_create()};
    Target target;
    assert_true(target_of_gpu("sm_90a", &target));
    const Plan *plan = model_plan_chosen(bench.arena, &which, choices, &target, &bench.vocabulary);
    const char *why;
    bench.side = side_create(bench.arena, plan, &target, NULL, &why);
    if (!bench.side) SKIP_TEST(why);
    bench.steps = bench.side->code->programs[0].launch_count;
    const uint32_t *levels = launch_levels(plan, &target, bench.arena);
    for (uint32_t s = 0; s < plan->step_count; s++)
        if (bench.levels <= levels[s]) bench.levels = levels[s] + 1;
    if (!merges) return bench;
    cuda_merge_launches(bench.side->code, &target);
    emulated_code_free(bench.side->emulated);
    bench.side->emulated = emulated_code_create(bench.arena, bench.side->code, edit, &why);
    assert_non_null(bench.side->emulated);
    return bench;
}

static void bench_free(Bench *bench) {
    side_free(bench->side);
    arena_free(bench->arena);
}

static const uint32_t *draw_order(const Bench *bench, uint64_t *random) {
    const CudaProgram *program = &bench->side->code->programs[0];
    uint32_t count = program->launch_count;
    uint32_t *order = ARENA_ARRAY(bench->arena, uint32_t, count), *ready = ARENA_ARRAY(bench->arena, uint32_t, count);
    bool *done = ARENA_ARRAY(bench->arena, bool, count);
    for (uint32_t at = 0; at < count; at++) {
        uint32_t found = 0;
        for (uint32_t i = 0; i < count; i++) {
            const CudaLaunch *launch = &program->launches[i];
            bool waits = done[i];
            for (uint32_t k = 0; k < launch->after_count; k++) waits |= !done[launch->after[k]];
            if (!waits) ready[found++] = i;
        }
        *random = *random * 6364136223846793005u + 1442695040888963407u;
        order[at] = ready[(*random >> 33) % found];
        done[order[at]] = true;
    }
    return order;
}

// NULL, or what is wrong in one of the orders.
static const char *run(const Bench *bench) {
    const char *wrong = NULL;
    uint64_t random = 1;
    for (int i = 0; i < ORDERS && !wrong; i++) {
        side_fill(bench->side, 7, i, bench->vocabulary);
        wrong = side_run_in_order(bench->side, draw_order(bench, &random), (uint64_t)i + 1);
    }
    return wrong;
}

static bool is_merged(const CudaKernel *kernel) { return strncmp(kernel->name, "level_", 6) == 0; }

static void has_the_same_bits(const char *model, FuseLevel level) {
    ModelCase which = {model, level, MODEL_STEP, {SMALL}};
    if (strcmp(model, "llama") == 0) {
        which.sizes[7][0] = "n_kv_head", which.sizes[7][1] = "1";
        which.sizes[8][0] = "n_ffn", which.sizes[8][1] = "40";
    }
    Bench bench = bench_create(which, NULL, true, NULL);
    const CudaCode *code = bench.side->code;
    uint32_t merged = 0;
    for (uint32_t k = 0; k < code->kernel_count; k++) merged += is_merged(&code->kernels[k]);
    print_message("    %s at level %s: %u launches for %u steps, %u of %u kernels are merged ones\n", model,
                  fuse_name(level), code->programs[0].launch_count, bench.steps, merged, code->kernel_count);
    assert_true(merged > 0 && 2 * code->programs[0].launch_count < bench.steps + bench.steps / 2);
    assert_int_equal(levels_of(bench.arena, &code->programs[0]), bench.levels);
    const char *wrong = run(&bench);
    if (wrong) fail_msg("%s", wrong);
    bench_free(&bench);
}

static void gpt2(void **state) {
    (void)state;
    has_the_same_bits("gpt2", FUSE_ALL);
}
static void gpt2_an_operator_at_a_time(void **state) {
    (void)state;
    has_the_same_bits("gpt2", FUSE_OP);
}
static void llama(void **state) {
    (void)state;
    has_the_same_bits("llama", FUSE_ALL);
}

// ---- what takes long waits for nobody, and keeps nobody waiting

// Seconds from the first launch to the last one's end, by the model of codegen/cuda.
static double critical_seconds(Arena *arena, const CudaProgram *program, const Target *target) {
    double *ends = ARENA_ARRAY(arena, double, program->launch_count + 1), last = 0;
    for (uint32_t i = 0; i < program->launch_count; i++) {
        const CudaLaunch *launch = &program->launches[i];
        double start = 0, roofline = fmax(launch->flops / target->peak_flops, launch->bytes / target->bandwidth);
        for (uint32_t k = 0; k < launch->after_count; k++) start = fmax(start, ends[launch->after[k]]);
        ends[i] = start + 3e-6 + fmax(roofline, launch->serial_seconds);
        last = fmax(last, ends[i]);
    }
    return last;
}

static void check_critical_path(const char *key, const char *setting) {
    Arena *arena = arena_create();
    ModelCase which = {"gpt2", FUSE_ALL, MODEL_STEP,
                       {{"n_layer", "4"}, {"n_head", "4"}, {"n_embd", "128"}, {"block_size", "64"},
                        {"batch_size", "12"}, {"vocab_size", "65"}, {"gradient_accumulation_steps", "1"},
                        {key, setting}}};
    Target target;
    assert_true(target_of_gpu("sm_90a", &target));
    const Plan *plan = model_plan(arena, &which, &target, NULL);
    const char *name = "step";
    CudaCode *code = codegen_cuda(&plan, &name, 1, &target, NULL, diags_create(arena));
    assert_non_null(code);
    uint32_t launches = code->programs[0].launch_count;
    double alone = critical_seconds(arena, &code->programs[0], &target);
    cuda_merge_launches(code, &target);
    double merged = critical_seconds(arena, &code->programs[0], &target);
    print_message("    %s %s: %u launches, %.0f us by the model; merged %u, %.0f us\n", key, setting, launches,
                  1e6 * alone, code->programs[0].launch_count, 1e6 * merged);
    assert_true(merged < 1.15 * alone && 3 * code->programs[0].launch_count < 2 * launches);
    cuda_code_free(code);
    arena_free(arena);
}

static void the_critical_path_stays(void **state) {
    (void)state;
    check_critical_path("tf32", "False");
    check_critical_path("tf32", "True");
    check_critical_path("dtype", "bfloat16");
}

// ---- tensor cores: the bits of the same launches by themselves

static const CudaProgram *run_once(const Bench *bench) {
    uint64_t random = 5;
    side_fill(bench->side, 7, 0, bench->vocabulary);
    side_run_in_order(bench->side, draw_order(bench, &random), 3);   // not all of it has the CPU's bits
    return &bench->side->code->programs[0];
}

static const char *data_of(const Bench *bench, const ProgramSlot *slot) {
    return bench->side->gpu[slot->buffer.memory] + slot->buffer.offset;
}

static void tensor_cores(void **state) {
    (void)state;
    ModelCase which = {"gpt2", FUSE_ALL, MODEL_STEP, {SMALL, {"tf32", "True"}}};
    static const char all[] = "make product by tensor cores\n";
    Bench alone = bench_create(which, all, false, NULL), merged = bench_create(which, all, true, NULL);
    uint32_t heads = 0, finite = 0;
    for (uint32_t k = 0; k < merged.side->code->kernel_count; k++)
        heads += is_merged(&merged.side->code->kernels[k]) && merged.side->code->kernels[k].text->resident > 0;
    assert_true(heads > 0);
    const CudaProgram *program = run_once(&alone);
    run_once(&merged);
    for (uint32_t i = 0; i < program->slot_count; i++) {
        const ProgramSlot *slot = &program->slots[i];
        if (slot->kind == SLOT_INPUT) continue;
        if (memcmp(data_of(&alone, slot), data_of(&merged, slot), slot->bytes) != 0) fail_msg("%s differs", slot->name);
        finite += slot->element == ELEMENT_F32 && isfinite(*(const float *)data_of(&merged, slot));
    }
    assert_true(finite > 20);
    bench_free(&alone);
    bench_free(&merged);
}

// ---- slips

static const char *all_blocks_alike(Arena *arena, const char *source) {
    return text_replaced(arena, source, "own % ", "0 * own % ");
}
static const char *buffers_of_the_first(Arena *arena, const char *source) {
    return text_replaced(arena, source, "        case 1:", "        case 1000:");
}
static const char *no_ranges(Arena *arena, const char *source) {
    return text_replaced(arena, source, "own = block - ", "own = block - 0 * ");
}

static const char *ranges_of_the_first(Arena *arena, const char *source) {
    return text_replaced(arena, source, "own -= ", "own -= 0 * ");
}
static const char *a_round_less(Arena *arena, const char *source) {
    return text_replaced(arena, source, "blocks, works);", "blocks, works - 1);");
}

static void slips_are_seen(void **state) {
    (void)state;
    const SourceEdit slips[] = {all_blocks_alike, buffers_of_the_first, no_ranges, ranges_of_the_first, a_round_less};
    for (size_t i = 0; i < sizeof slips / sizeof *slips; i++) {
        Bench bench = bench_create((ModelCase){"gpt2", FUSE_ALL, MODEL_STEP, {SMALL}}, NULL, true, slips[i]);
        const char *wrong = run(&bench);
        print_message("    %s\n", wrong ? wrong : "NOT SEEN");
        assert_non_null(wrong);
        bench_free(&bench);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gpt2),
        cmocka_unit_test(gpt2_an_operator_at_a_time),
        cmocka_unit_test(llama),
        cmocka_unit_test(the_critical_path_stays),
        cmocka_unit_test(tensor_cores),
        cmocka_unit_test(slips_are_seen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
