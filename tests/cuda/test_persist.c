// Whole steps as cooperative kernels, emulated: launches that became phases of one kernel have the bits of launches by
// themselves, for any number of blocks and any order of their threads, launch after launch; what is planted is seen.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <math.h>
#include <string.h>

#include "codegen/cuda/merge.h"
#include "codegen/cuda/persist.h"
#include "tests/cuda/edited_text.h"
#include "tests/cuda/model_plans.h"
#include "tests/cuda/side_by_side.h"
#include "tests/skipped.h"

enum { RUNS = 2 };

#define SMALL                                                                                                          \
    {"n_layer", "2"}, {"n_head", "2"}, {"n_embd", "32"}, {"block_size", "16"}, {"batch_size", "3"},                    \
        {"vocab_size", "37"}, {"gradient_accumulation_steps", "1"}

typedef struct {
    Arena *arena;
    SideBySide *side;
    int64_t vocabulary;
    uint32_t before;   // launches of the step, each by itself
} Bench;

static uint32_t launches_before;

static void persist(CudaCode *code, const Target *target) {
    launches_before = code->programs[0].launch_count;
    ((CudaProgram *)code->programs)->is_persistent = true;
    cuda_persist(code, target);
}

static Bench bench_create(ModelCase which, const char *choices, const Target *target, CodeChange change,
                          SourceEdit edit) {
    Bench bench = {.arena = arena_create()};
    const Plan *plan = model_plan_chosen(bench.arena, &which, choices, target, &bench.vocabulary);
    const char *why;
    bench.side = side_create_changed(bench.arena, plan, target, change, edit, &why);
    if (!bench.side) SKIP_TEST(why);
    bench.before = launches_before;
    return bench;
}

static Target hopper(void) {
    Target target;
    assert_true(target_of_gpu("sm_90a", &target));
    return target;
}

static void bench_free(Bench *bench) {
    side_free(bench->side);
    arena_free(bench->arena);
}

static const CudaProgram *program_of(const Bench *bench) { return &bench->side->code->programs[0]; }

// Launches in their order: NULL, or what is wrong behind one of the runs.
static const char *run(const Bench *bench) {
    uint32_t count = program_of(bench)->launch_count;
    uint32_t *order = ARENA_ARRAY(bench->arena, uint32_t, count);
    for (uint32_t i = 0; i < count; i++) order[i] = i;
    const char *wrong = NULL;
    for (int i = 0; i < RUNS && !wrong; i++) {
        side_fill(bench->side, 7, i, bench->vocabulary);
        wrong = side_run_in_order(bench->side, order, (uint64_t)i + 1);
    }
    return wrong;
}

static void check_launches(const Bench *bench, const char *model, uint32_t most) {
    const CudaProgram *program = program_of(bench);
    print_message("    %s: %u launches as %u\n", model, bench->before, program->launch_count);
    for (uint32_t i = 0; i < program->launch_count; i++) {
        const CudaLaunch *launch = &program->launches[i];
        print_message("        %s, at most %u blocks\n", launch->label, launch->blocks);
        assert_true(bench->side->code->kernels[launch->kernel].is_cooperative);
    }
    assert_true(program->launch_count <= most);
}

static void has_the_same_bits(ModelCase which, const char *choices, Target target) {
    Bench bench = bench_create(which, choices, &target, persist, NULL);
    check_launches(&bench, which.model, 3);
    const char *wrong = run(&bench);
    if (wrong) fail_msg("%s", wrong);
    bench_free(&bench);
}

static void gpt2(void **state) {
    (void)state;
    has_the_same_bits((ModelCase){"gpt2", FUSE_ALL, MODEL_STEP, {SMALL, {"dropout", "0.1"}}}, NULL, hopper());
}
static void llama(void **state) {
    (void)state;
    has_the_same_bits((ModelCase){"llama", FUSE_ALL, MODEL_STEP, {SMALL, {"n_kv_head", "1"}, {"n_ffn", "40"}}}, NULL,
                      hopper());
}
static void chains(void **state) {
    (void)state;
    Target target = hopper();
    target.l3_bytes = 64;
    target.l1_bytes = 6144;
    has_the_same_bits((ModelCase){"gpt2", FUSE_ALL, MODEL_STEP, {SMALL}}, "make plan_chains\n", target);
}

// ---- tensor cores: the bits of the same launches by themselves

static const char *data_of(const Bench *bench, const ProgramSlot *slot) {
    return bench->side->gpu[slot->buffer.memory] + slot->buffer.offset;
}

static void tensor_cores(void **state) {
    (void)state;
    ModelCase which = {"gpt2", FUSE_ALL, MODEL_STEP, {SMALL, {"tf32", "True"}}};
    static const char all[] = "make product by tensor cores\n";
    Target target = hopper();
    Bench alone = bench_create(which, all, &target, NULL, NULL), one = bench_create(which, all, &target, persist, NULL);
    check_launches(&one, "gpt2 in tf32", 3);
    run(&alone);   // not all of it has the CPU's bits
    run(&one);
    const CudaProgram *program = program_of(&alone);
    uint32_t finite = 0;
    for (uint32_t i = 0; i < program->slot_count; i++) {
        const ProgramSlot *slot = &program->slots[i];
        if (slot->kind == SLOT_INPUT) continue;
        if (memcmp(data_of(&alone, slot), data_of(&one, slot), slot->bytes) != 0) fail_msg("%s differs", slot->name);
        finite += slot->element == ELEMENT_F32 && isfinite(*(const float *)data_of(&one, slot));
    }
    assert_true(finite > 20);
    bench_free(&alone);
    bench_free(&one);
}

// ---- slips

static const char *no_barrier(Arena *arena, const char *source) {
    return text_replaced(arena, source, "if (phase > 0) grid_barrier", "if (phase > 0 && phase != 3) grid_barrier");
}
static const char *some_miss_one(Arena *arena, const char *source) {
    return text_replaced(arena, source, "if (phase > 0) grid_barrier",
                         "if (phase > 0 && (phase != 3 || block)) grid_barrier");
}
static const char *another_sum(Arena *arena, const char *source) {
    return text_replaced(arena, source, "(gridDim.x - 1)", "gridDim.x");
}
static const char *buffers_of_the_first(Arena *arena, const char *source) {
    return text_replaced(arena, source, "_places + work->buffers", "_places + 0 * work->buffers");
}
static const char *each_block_alike(Arena *arena, const char *source) {
    return text_replaced(arena, source, "mine = block; mine", "mine = 0 * block; mine");
}
static const char *workers_alike(Arena *arena, const char *source) {
    return text_replaced(arena, source, "* blocks + block) << 1)", "* blocks) << 1)");
}

static void slips_are_seen(void **state) {
    (void)state;
    const SourceEdit slips[] = {no_barrier,           some_miss_one,    another_sum,
                                buffers_of_the_first, each_block_alike, workers_alike};
    Target target = hopper();
    for (size_t i = 0; i < sizeof slips / sizeof *slips; i++) {
        ModelCase which = {"gpt2", FUSE_ALL, MODEL_STEP, {SMALL, {"n_layer", "1"}}};
        Bench bench = bench_create(which, NULL, &target, persist, slips[i]);
        const char *wrong = run(&bench);
        print_message("    %s\n", wrong ? wrong : "NOT SEEN");
        assert_non_null(wrong);
        bench_free(&bench);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gpt2),
        cmocka_unit_test(llama),
        cmocka_unit_test(chains),
        cmocka_unit_test(tensor_cores),
        cmocka_unit_test(slips_are_seen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
