// Sweeps, emulated, against the float64 reference of their plans: whatever lies around the two products, masks, caps,
// dropout, no softmax at all; factors each by itself or out of one value; rows of queries and rows of keys. With tensor
// cores that do not round within what a fast exponential explains, with ones that do within 16 bits. Slips planted into
// the text are seen.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <string.h>

#include "codegen/cuda/merge.h"
#include "codegen/cuda/persist.h"
#include "tests/cuda/edited_text.h"
#include "tests/cuda/sweep_plan.h"
#include "tests/skipped.h"

enum { SEEDS = 2, SLIP_SEEDS = 4 };

// NULL, or what is wrong with one of the seeds; every other one with factors that are rounded.
static const char *emulate(Arena *arena, const SweepCase *how, const char *architecture, LaunchChange change,
                           SourceEdit edit, double *worst) {
    Target target;
    assert_true(target_of_gpu(architecture, &target));
    EmulatedPlan *run = emulated_plan_create(arena, sweep_plan(arena, how, &target));
    const char *why = emulated_plan_compile(run, &target, change, edit), *wrong = NULL;
    if (why) SKIP_TEST(why);
    uint64_t numbers = 7;
    emulated_plan_fill(run, sweep_fill, &numbers);
    for (uint64_t seed = 0; seed < (edit ? SLIP_SEEDS : SEEDS) && !wrong; seed++) {
        run->rounds = !edit && seed % 2;
        wrong = emulated_plan_run(run, seed);
        if (!wrong) wrong = sweep_wrong(run, how, &worst[run->rounds]);
        if (wrong && run->rounds) wrong = arena_format(arena, "with factors that are rounded, %s", wrong);
    }
    emulated_plan_free(run);
    return wrong;
}

static void check_changed(const SweepCase *how, const char *architecture, LaunchChange change) {
    Arena *arena = arena_create();
    double worst[2] = {0};
    const char *wrong = emulate(arena, how, architecture, change, NULL, worst);
    if (wrong) fail_msg("%s, %s: %s", how->name, architecture, wrong);
    print_message("    %s, %s: %.2f of what is allowed, %.2f with factors that are rounded\n", how->name, architecture,
                  worst[0], worst[1]);
    arena_free(arena);
}

static void check(const SweepCase *cases, size_t count) {
    for (size_t i = 0; i < count; i++) check_changed(&cases[i], i % 4 == 3 ? "sm_80" : "sm_90a", NULL);
}
#define CHECK_CASES(cases) check(cases, sizeof(cases) / sizeof *(cases))

static void forward(void **state) {
    (void)state;
    static const SweepCase cases[] = {
        {.name = "no mask", .parts = SWEEP_FORWARD},
        {.name = "causal, out of one value", .parts = SWEEP_FORWARD, .mask = MASK_CAUSAL, .in_one = true},
        {.name = "causal, steep, blocks of 128 rows, y in 16 bits", .parts = SWEEP_FORWARD, .mask = MASK_CAUSAL,
         .queries = 256, .keys = 256, .rows = 128, .stages = 3, .steep = true, .half_result = true},
        {.name = "more keys than queries, wide", .parts = SWEEP_FORWARD, .queries = 64, .keys = 192, .width = 128,
         .lanes = 32, .steep = true, .stages = 4},
        {.name = "more queries than keys, narrow, y twice", .parts = SWEEP_FORWARD, .queries = 192, .keys = 64,
         .width = 16, .lanes = 128, .heads_first = true, .both_results = true},
        {.name = "shared keys, causal", .parts = SWEEP_FORWARD, .mask = MASK_CAUSAL, .shared_keys = true,
         .without_lse = true, .width = 32, .lanes = 32},
    };
    CHECK_CASES(cases);
}

// Rows that see nothing of their first tile, or of any.
static void masks(void **state) {
    (void)state;
    static const SweepCase cases[] = {
        {.name = "window", .parts = SWEEP_FORWARD, .mask = MASK_WINDOW, .queries = 192, .keys = 192},
        {.name = "window that the step does not know", .parts = SWEEP_FORWARD, .mask = MASK_WINDOW, .queries = 192,
         .keys = 192, .no_band = true, .steep = true},
        {.name = "a row that sees nothing", .parts = SWEEP_FORWARD, .mask = MASK_STRICT, .steep = true},
        {.name = "later keys", .parts = SWEEP_FORWARD, .mask = MASK_LATER, .rows = 128, .band_turned = true},
        {.name = "later keys, and fewer of them", .parts = SWEEP_FORWARD, .mask = MASK_LATER, .queries = 128,
         .keys = 64},
        {.name = "later keys that the step does not know", .parts = SWEEP_FORWARD, .mask = MASK_LATER,
         .no_band = true},
        {.name = "causal, turned, fewer keys", .parts = SWEEP_FORWARD, .mask = MASK_CAUSAL, .queries = 192,
         .keys = 128, .band_turned = true},
    };
    CHECK_CASES(cases);
}

static void scores(void **state) {
    (void)state;
    static const SweepCase cases[] = {
        {.name = "capped and biased", .parts = SWEEP_ALL, .mask = MASK_CAUSAL, .capped = true, .biased = true,
         .steep = true},
        {.name = "dropout", .parts = SWEEP_ALL, .mask = MASK_CAUSAL, .dropped = true},
        {.name = "sigmoids", .parts = SWEEP_ALL, .scores = SCORES_SIGMOID, .mask = MASK_CAUSAL},
        {.name = "scores as they are", .parts = SWEEP_ALL, .scores = SCORES_PLAIN, .mask = MASK_CAUSAL},
    };
    CHECK_CASES(cases);
}

static void backward(void **state) {
    (void)state;
    static const SweepCase cases[] = {
        {.name = "queries", .parts = SWEEP_QUERIES, .stages = 3},
        {.name = "keys", .parts = SWEEP_KEYS, .stages = 3},
        {.name = "queries, causal, blocks of 128 rows", .parts = SWEEP_QUERIES, .mask = MASK_CAUSAL, .rows = 128,
         .queries = 256, .keys = 256, .heads_first = true},
        {.name = "keys, causal, blocks of 128 rows", .parts = SWEEP_KEYS, .mask = MASK_CAUSAL, .rows = 128,
         .queries = 256, .keys = 256, .in_one = true},
        {.name = "keys of a window, wide", .parts = SWEEP_KEYS, .mask = MASK_WINDOW, .queries = 192, .keys = 192,
         .width = 128, .lanes = 32},
        {.name = "fewer keys", .parts = SWEEP_QUERIES | SWEEP_KEYS, .mask = MASK_CAUSAL, .queries = 192, .keys = 64,
         .width = 16, .lanes = 64},
        {.name = "more keys, turned", .parts = SWEEP_QUERIES | SWEEP_KEYS, .mask = MASK_LATER, .queries = 64,
         .keys = 192, .width = 32, .lanes = 128, .band_turned = true},
        {.name = "keys that nobody sees, too wide for registers", .parts = SWEEP_KEYS, .mask = MASK_CAUSAL,
         .queries = 64, .keys = 192, .width = 112, .lanes = 48},
        {.name = "queries that share keys", .parts = SWEEP_QUERIES, .mask = MASK_STRICT, .shared_keys = true},
        {.name = "keys that queries share", .parts = SWEEP_KEYS, .mask = MASK_CAUSAL, .shared_keys = true},
        {.name = "shared keys that nobody sees, too wide for registers", .parts = SWEEP_KEYS, .mask = MASK_CAUSAL,
         .queries = 64, .keys = 192, .width = 112, .lanes = 48, .shared_keys = true},
    };
    CHECK_CASES(cases);
}

static void one_after_the_other(void **state) {
    (void)state;
    static const SweepCase cases[] = {
        {.name = "attention out of one value", .parts = SWEEP_ALL, .mask = MASK_CAUSAL, .in_one = true,
         .steep = true},
        {.name = "attention of a window in f16", .parts = SWEEP_ALL, .mask = MASK_WINDOW, .queries = 192, .keys = 192,
         .in_f16 = true, .heads_first = true},
        {.name = "attention in f16, without a mask", .parts = SWEEP_ALL, .in_f16 = true, .rows = 128, .width = 32,
         .lanes = 16},
    };
    CHECK_CASES(cases);
}

// ---- launches that are others'

static void persist(CudaCode *code, const Target *target) {
    ((CudaProgram *)code->programs)->is_persistent = true;
    cuda_persist(code, target);
}

static const SweepCase attention = {.name = "attention", .parts = SWEEP_ALL, .mask = MASK_CAUSAL};

static void merged(void **state) {
    (void)state;
    check_changed(&attention, "sm_90a", cuda_merge_launches);
}

static void persistent(void **state) {
    (void)state;
    check_changed(&attention, "sm_90a", persist);
}

// ---- slips

#define SMALL_SIZES .queries = 192, .keys = 192, .width = 32, .lanes = 16
static const SweepCase causal = {.parts = SWEEP_FORWARD, .mask = MASK_CAUSAL, .steep = true, SMALL_SIZES},
                       of_a_window = {.parts = SWEEP_FORWARD, .mask = MASK_WINDOW, .stages = 3, SMALL_SIZES},
                       of_none = {.parts = SWEEP_FORWARD, .mask = MASK_STRICT, SMALL_SIZES},
                       of_later = {.parts = SWEEP_FORWARD, .mask = MASK_LATER, .no_band = true, SMALL_SIZES},
                       of_keys = {.parts = SWEEP_KEYS, .mask = MASK_CAUSAL, SMALL_SIZES};

static const struct {
    const SweepCase *how;
    const char *what, *from, *to;
} slips[] = {
    {&causal, "no barrier before a tile is read, and another one copied", "(0);\n            block_barrier();", "(0);"},
    {&causal, "no wait for a tile", "            copies_wait(0);", "            ;"},
    {&causal, "no barrier behind the copies of rows", "(0);\n    block_barrier();", "(0);"},
    {&causal, "no barrier before the ring is where rows were", "    block_barrier();\n    float", "    float"},
    {&causal, "the stage that is being filled", "ring + (ahead + 1) % 2", "ring + ahead % 2"},
    {&causal, "a tile too few", "ahead < tiles + 1", "ahead < tiles"},
    {&causal, "the first tile again", "begin + 64 * ahead + line", "begin + line"},
    {&causal, "indices of the first tile", "begin + 64 * (ahead - 1)", "begin"},
    {&causal, "rows of the first block", "rows0 + 64ll * (", "rows0 + 0ll * ("},
    {&causal, "a band that ends early", "end = int_minimum(192, ", "end = int_minimum(192, 0 * "},
    {&causal, "largest scores that nobody looks for", "peak[r] = fmaxf(peak[r],", "fmaxf(peak[r],"},
    {&causal, "the largest score of one thread", "quad_maximum(peak[r])", "peak[r]"},
    {&causal, "a sum that is not scaled", "sum[r] *= scale;", ";"},
    {&causal, "results that are not scaled", "outer0[r][v] *= scale;", ";"},
    {&causal, "the sum of one thread", "quad_sum(sum[r])", "sum[r]"},
    {&causal, "another head's keys", "columns0 = b1 + (0ll + 32ll", "columns0 = b1 + (0ll + 0ll"},
    {&causal, "lanes that are not exchanged", "exchange_four(v", "(void)(v"},
    {&causal, "factors of other columns", "factor0[2 * i] + 4 * part", "factor0[2 * i]"},
    {&causal, "keys taken for values", "lanes_by_depth_bf16(b[i], stage + 4096", "lanes_by_depth_bf16(b[i], stage + 0"},
    {&of_a_window, "a band that begins late", "begin = int_maximum", "begin = 64 + int_maximum"},
    {&of_a_window, "a wait that leaves one more", "copies_wait(1)", "copies_wait(2)"},
    {&of_none, "a row that sees nothing, divided by it", "total == 0.0f ? 0.0f : 1.0f / total", "1.0f / total"},
    {&of_none, "a row that sees nothing, and its lse", "total == 0.0f ? INFINITE : greatest", "greatest"},
    {&of_later, "rows that have seen nothing yet", "greatest[r] == -INFINITE ? 0.0f : greatest[r]", "greatest[r]"},
    {&of_keys, "factors of the other product", "factor1[2 * i]", "factor0[2 * i]"},
    {&of_keys, "a band that begins late", "begin = int_maximum", "begin = 64 + int_maximum"},
    {&of_keys, "rows of the other product", "shared_memory + 4096, 64, 16 * WARP", "shared_memory + 0, 64, 16 * WARP"},
};

static const char *planted_from, *planted_to;

static const char *plant(Arena *arena, const char *source) {
    return text_replaced(arena, source, planted_from, planted_to);
}

static void slips_are_seen(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof slips / sizeof *slips; i++) {
        Arena *arena = arena_create();
        double worst[2] = {0};
        planted_from = slips[i].from;
        planted_to = slips[i].to;
        const char *wrong = emulate(arena, slips[i].how, "sm_90a", NULL, plant, worst);
        print_message("    %s: %.100s\n", slips[i].what, wrong ? wrong : "NOT SEEN");
        assert_non_null(wrong);
        arena_free(arena);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(forward),             cmocka_unit_test(masks),
        cmocka_unit_test(scores),              cmocka_unit_test(backward),
        cmocka_unit_test(one_after_the_other), cmocka_unit_test(merged),
        cmocka_unit_test(persistent),          cmocka_unit_test(slips_are_seen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
