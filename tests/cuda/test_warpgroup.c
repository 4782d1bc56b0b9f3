// Products by wgmma, whose factors boxes bring into shared memory: the emulated kernels have the bits of a chain of
// fused multiply-adds, whichever way round factors lie, and slips of the printer are caught: another swizzle, a missing
// wait, a wrong parity.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "tests/cuda/side_by_side.h"
#include "tests/cuda/warpgroup_plan.h"
#include "tests/cuda/edited_text.h"
#include "tests/skipped.h"

enum { SEEDS = 3 };

// A GPU of so many multiprocessors: a block takes as many tiles.
static int cores = 132;

static const char *emulate_plan(Arena *arena, const Plan *plan, SourceEdit edit, bool rounds) {
    Target target;
    assert_true(target_of_gpu("sm_90a", &target));
    target.cores = cores;
    const char *why, *wrong = NULL;
    SideBySide *side = side_create(arena, plan, &target, edit, &why);
    if (!side) SKIP_TEST(why);
    side->rounds = rounds;
    for (uint64_t seed = 1; seed <= SEEDS && !wrong; seed++) {
        for (uint32_t i = 0; i < side->program->slot_count; i++) {
            const ProgramSlot *slot = &side->program->slots[i];
            float *values = side_data(side, slot);
            for (size_t k = 0; slot->kind == SLOT_INPUT && k < slot->bytes / sizeof *values; k++)
                values[k] = (float)((int)((k * 7919 + seed * 31 + i * 17) % 1009) - 504) / 253.0f;
        }
        wrong = side_run(side, seed);
    }
    side_free(side);
    return wrong;
}

static const char *emulate(Arena *arena, const char *text, TensorTile tile, SourceEdit edit, bool rounds) {
    return emulate_plan(arena, warpgroup_plan(arena, text, tile), edit, rounds);
}

static TensorTile tile_of(uint32_t rows, uint32_t lanes, uint32_t stages) {
    return (TensorTile){.kind = TENSOR_BF16, .rows = rows, .lanes = lanes, .stages = stages, .wgmma = true};
}

static TensorTile tile_in_turns(uint32_t rows, uint32_t lanes, uint32_t stages) {
    TensorTile tile = tile_of(rows, lanes, stages);
    tile.in_turns = true;
    return tile;
}

static void blocks_of_all_sizes(void **state) {
    (void)state;
    static const uint32_t blocks[][4] = {{64, 64, 2},   {64, 128, 3},     {64, 256, 4},     {128, 64, 4},
                                         {128, 128, 3}, {128, 192, 2},    {128, 256, 4},    {256, 128, 4},
                                         {64, 192, 3, 1}, {64, 64, 2, 1}, {128, 128, 5, 1}};
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++) {
        Arena *arena = arena_create();
        TensorTile tile = tile_of(blocks[i][0], blocks[i][1], blocks[i][2]);
        tile.in_turns = blocks[i][3];
        cores = i % 2 ? 132 : 3;
        const char *wrong = emulate(arena, warpgroup_four_ways, tile, NULL, i % 2 == 1);
        if (!wrong) wrong = emulate(arena, warpgroup_batches, tile, NULL, i % 2 == 0);
        if (wrong)
            fail_msg("%u by %u, %u stages%s: %s", tile.rows, tile.lanes, tile.stages, tensor_words(&tile), wrong);
        arena_free(arena);
    }
}

// ---- products of any dims in any order: whatever the plan lets go by wgmma has a kernel, and its bits

enum { RANDOM_PRODUCTS = 16, MOST_FACTOR_DIMS = 5 };

static uint32_t draw(uint64_t *random, uint32_t bound) {
    *random = *random * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*random >> 33) % bound;
}

// `dims` as they are, or in any order.
static const char *list(Arena *arena, const char *dims, uint64_t *random) {
    char order[MOST_FACTOR_DIMS + 1];
    size_t count = strlen(dims);
    Text text = text_create(arena);
    strcpy(order, dims);
    for (size_t i = count; random && i > 1; i--) {
        uint32_t other = draw(random, (uint32_t)i);
        char kept = order[i - 1];
        order[i - 1] = order[other];
        order[other] = kept;
    }
    for (size_t i = 0; i < count; i++)
        text_append(&text, i ? ",%c" : "%c", order[i]);
    return text_string(&text);
}

// A batch B, rows M and P, lanes N and Q, summed K and L: each of the second ones, and the batch, or not.
static const char *random_text(Arena *arena, uint64_t seed) {
    static const int many[] = {8, 16, 24, 40, 64, 72}, few[] = {1, 2, 3, 8};
    static const char *const rows[] = {"MK", "MPK", "MKL", "BMK", "BMPK", "BMPKL"};
    static const char *const lanes[] = {"KN", "KN", "KLN", "BKN", "BKN", "BKLNQ"};
    static const char *const result[] = {"MN", "MPN", "MN", "BMN", "BMPN", "BMPNQ"};
    static const char *const summed[] = {"K", "K", "K,L", "K", "K", "K,L"};
    uint64_t random = seed * 0x9e3779b97f4a7c15u;
    Text text = text_create(arena);
    text_append(&text, "graph \"random\"\ndim");
    for (const char *dim = "BMPNQKL"; *dim; dim++) {
        bool is_first = strchr("MNK", *dim);
        int extent = is_first ? many[draw(&random, 6)] : few[draw(&random, 4)];
        text_append(&text, " %c=%d", *dim, *dim == 'B' ? 2 : extent);
    }
    uint32_t kind = draw(&random, sizeof rows / sizeof *rows);
    const char *a = list(arena, rows[kind], NULL), *b = list(arena, lanes[kind], NULL);
    text_append(&text, "\n%%0 = input f32[%s] \"a\" stored(%s)\n", a, list(arena, rows[kind], &random));
    text_append(&text, "%%1 = input f32[%s] \"b\" stored(%s)\n", b, list(arena, lanes[kind], &random));
    text_append(&text, "%%2 = neg f32[%s] %%0\n%%3 = neg f32[%s] %%1\n", a, b);
    text_append(&text, "%%4 = contract f32[%s] %%2 %%3 over(%s)\n", list(arena, result[kind], NULL), summed[kind]);
    text_append(&text, draw(&random, 2) ? "output \"y\" %%4\n" : "%%5 = tanh f32[%s] %%4\noutput \"y\" %%5\n",
                list(arena, result[kind], NULL));
    return text_string(&text);
}

static void random_products(void **state) {
    (void)state;
    const char *setting = getenv("SINTER_FUZZ_GRAPHS");
    uint64_t count = setting ? strtoull(setting, NULL, 10) : RANDOM_PRODUCTS;
    uint32_t refused = 0, each;
    for (uint64_t seed = 1; seed <= count; seed++) {
        Arena *arena = arena_create();
        const char *text = random_text(arena, seed);
        TensorTile tile = tile_of(seed % 2 ? 64 : 128, 64 * (1 + (uint32_t)(seed / 2 % 4)), 2 + (uint32_t)(seed % 3));
        tile.in_turns = seed % 3 == 0 && (tile.rows == 64 || tile.lanes == 128);
        const Plan *plan = warpgroup_plan_of_some(arena, text, tile, &each);
        cores = seed % 4 == 0 ? 132 : (int)(seed % 4);
        const char *wrong = each ? NULL : emulate_plan(arena, plan, NULL, false);
        if (wrong) fail_msg("seed %llu: %s\n%s", (unsigned long long)seed, wrong, text);
        refused += each;
        arena_free(arena);
    }
    print_message("    %llu products, %u of them not by wgmma\n", (unsigned long long)count, refused);
    assert_true(refused < count / 2 + 1);
}

// ---- slips

static const struct {
    const char *what, *from, *to, *expected;
} slips[] = {
    {"a matrix that is not swizzled", "| 1ull << 62", "| 0ull << 62", ""},
    {"a matrix swizzled by 64 bytes", "| 1ull << 62", "| 2ull << 62", ""},
    {"blocks of rows too near", "| 64ull << 32", "| 32ull << 32", ""},
    {"lanes of the first box again", "(unsigned long long)(further >> 4) << 16", "0ull << 16", ""},
    {"the next summed indices too near", "start + 2 * part", "start + part", ""},
    {"summed indices taken as rows", ", 0, 1);", ", 0, 0);", ""},
    {"no wait for a stage to be full", "barrier_wait(full + slot, round);", ";", ""},
    {"no wait for a stage to be empty", "barrier_wait(empty + slot, 1 - round);", ";", ""},
    {"the other parity of a full stage", "(full + slot, round)", "(full + slot, 1 - round)", ""},
    {"the other parity of an empty stage", "(empty + slot, 1 - round)", "(empty + slot, round)", "does not end"},
    {"a parity that does not go on from tile to tile", "at / 2 % 2, before", "0, before", ""},
    {"stages of each tile from the first slot on", "slot = at % 2", "slot = 0", ""},
    {"too few bytes expected", "barrier_expect(full + slot, 32768)", "barrier_expect(full + slot, 16384)", ""},
    {"sums read before they are there", "products_wait(0);", ";", ""},
    {"a stage released too early", "products_wait(1);", "if (WARP_LANE == 0) barrier_arrive(empty + slot);", ""},
    {"a stage that is never released", "if (step > 0 && WARP_LANE == 0)", "if (step < 0)", "does not end"},
    {"a tile whose last stage is never released", "        if (WARP_LANE == 0) barrier_arrive(empty + before);", ";",
     "does not end"},
    {"the first tile again", "work += blocks", "work += blocks + 1", ""},
    {"stages of the first tile again", "64 * step", "64 * slot", ""},
    {"barriers that nobody publishes", "barriers_publish();", ";", "not published"},
    {"no barrier behind the first stores", "block_barrier();", ";", "nobody has begun"},
    {"products that are not begun", "products_begin();", ";", "not fenced"},
    {"products that are not ended", "products_end();", ";", ""},
    {"rows of the first warpgroup again", "8192 * (WARPGROUP - 1)", "0", ""},
    {"boxes of the next rows", "copy_box_2(stage + 0, &m0, full + slot, K",
     "copy_box_2(stage + 0, &m0, full + slot, 8 + K", "the CPU has"},
    {"fewer registers than there are kinds", "registers_increase(240)", "registers_increase(241)", "cannot be had"},
};

// In turns.
static const struct {
    const char *what, *from, *to, *expected;
} turns[] = {
    {"a tile for both warpgroups", "block + blocks * own", "block", ""},
    {"stages of the other's tile", "at = steps * own", "at = 0", ""},
    {"no wait for one's turn", "barrier_wait(turns + own, turn);", ";", ""},
    {"both wait at first", "turn = 1 - own", "turn = 0", "does not end"},
    {"the other's tile, too", "at += 2 * steps", "at += steps", ""},
    {"rows of the first 64 again", "matrix_by_rows(rows_panel + 8192, part)", "matrix_by_rows(rows_panel, part)",
     "the CPU has"},
    {"a stage that waits for both", "barrier_begin(empty + i, 4);", "barrier_begin(empty + i, 8);", "does not end"},
    {"sums of the second 64 rows read too early", "products_wait(0);", "products_wait(1);", ""},
};

static const char *planted_from, *planted_to;

static const char *plant(Arena *arena, const char *source) {
    return text_replaced(arena, source, planted_from, planted_to);
}

static void must_be_caught(const char *what, const char *from, const char *to, const char *expected, TensorTile tile) {
    Arena *arena = arena_create();
    planted_from = from;
    planted_to = to;
    const char *wrong = emulate(arena, warpgroup_four_ways, tile, plant, false);
    print_message("    %s: %.120s\n", what, wrong ? wrong : "NOT CAUGHT");
    assert_non_null(wrong);
    assert_non_null(strstr(wrong, expected));
    arena_free(arena);
}

static void slips_are_caught(void **state) {
    (void)state;
    cores = 2;
    for (size_t i = 0; i < sizeof slips / sizeof *slips; i++)
        must_be_caught(slips[i].what, slips[i].from, slips[i].to, slips[i].expected, tile_of(128, 128, 2));
}

static void slips_in_turns_are_caught(void **state) {
    (void)state;
    cores = 1;
    for (size_t i = 0; i < sizeof turns / sizeof *turns; i++)
        must_be_caught(turns[i].what, turns[i].from, turns[i].to, turns[i].expected, tile_in_turns(128, 128, 2));
}

// ---- the plan's text, and what the verifier refuses

static void text_and_back(void **state) {
    (void)state;
    Arena *arena = arena_create();
    Text first = text_create(arena), second = text_create(arena);
    plan_print(warpgroup_plan(arena, warpgroup_batches, tile_in_turns(64, 192, 3)), &first);
    assert_non_null(strstr(text_string(&first), "tensor bf16 64 by 192 stages 3 wgmma turns"));
    Plan *again = plan_parse(arena, "plan", text_string(&first), diags_create(arena));
    assert_non_null(again);
    assert_null(plan_verify(again, arena));
    plan_print(again, &second);
    assert_string_equal(text_string(&first), text_string(&second));
    arena_free(arena);
}

static Step *a_product(Plan *plan) {
    for (uint32_t s = 0; s < plan->step_count; s++)
        if (plan->steps[s].tensor.wgmma) return &plan->steps[s];
    fail_msg("no product");
    return NULL;
}

static void must_be_refused(TensorTile tile, const char *expected) {
    Arena *arena = arena_create();
    Plan *plan = warpgroup_plan(arena, warpgroup_batches, tile_of(128, 128, 3));
    a_product(plan)->tensor = tile;
    const char *wrong = plan_verify(plan, arena);
    assert_non_null(wrong);
    if (!strstr(wrong, expected)) fail_msg("%s", wrong);
    arena_free(arena);
}

static void wrong_tiles_are_refused(void **state) {
    (void)state;
    must_be_refused(tile_of(96, 128, 3), "64, 128 or 256 rows");
    must_be_refused(tile_of(128, 320, 3), "64, 128 or 256 rows");
    must_be_refused(tile_of(256, 192, 2), "other than 128 lanes");
    must_be_refused(tile_of(256, 64, 2), "other than 128 lanes");
    must_be_refused(tile_in_turns(256, 64, 2), "64, 128 or 256 rows");
    must_be_refused(tile_in_turns(128, 64, 2), "other than 128 lanes");
    must_be_refused(tile_of(128, 128, 1), "ring of less than 2");
    must_be_refused((TensorTile){TENSOR_TF32, 128, 128, 3, true, false}, "not bf16");
}

static void factors_in_f32_are_refused(void **state) {
    (void)state;
    Arena *arena = arena_create();
    Plan *plan = warpgroup_plan(arena, warpgroup_batches, tile_of(128, 128, 3));
    Step *step = a_product(plan);
    assert_null(step_box_refusal(plan, step));
    plan->values[step->operands[0]].dtype = DTYPE_F32;
    assert_string_equal(step_box_refusal(plan, step), "the rows' factor is not bf16 in memory");
    arena_free(arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_of_all_sizes),     cmocka_unit_test(random_products),
        cmocka_unit_test(slips_are_caught),        cmocka_unit_test(slips_in_turns_are_caught),
        cmocka_unit_test(text_and_back),
        cmocka_unit_test(wrong_tiles_are_refused), cmocka_unit_test(factors_in_f32_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
