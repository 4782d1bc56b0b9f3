// Slips of the printer, planted into the text of the kernels: the emulation catches each, and nothing without them.
//
//     a missing barrier          threads read what others have not written yet, or have written over
//     an out-of-bounds tail      lanes behind the end of a row reach behind the end of a buffer
//     a wrong shuffle            lanes are left out of a sum, or threads shuffle with some that are elsewhere
//     a race in an ordered sum   two workers add to one element
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <string.h>

#include "codegen/cuda/cuda.h"
#include "passes/passes.h"
#include "tests/cuda/side_by_side.h"
#include "tests/cuda/tensor_plan.h"
#include "tests/cuda/edited_text.h"
#include "tests/skipped.h"

enum { SEEDS = 4 };

// ---- edits of the text

static const char *without_barriers(Arena *arena, const char *source) {
    return text_replaced(arena, source, "worker_barrier();", "");
}

static const char *barrier_of_the_first_lane(Arena *arena, const char *source) {
    return text_replaced(arena, source, "        worker_barrier();", "if (lane == 0) worker_barrier();");
}

static const char *without_tails(Arena *arena, const char *source) {
    return text_replaced(arena, source, "i < 37) {", "i < 48) {");
}

static const char *half_a_tree(Arena *arena, const char *source) {
    return text_replaced(arena, source, "for (int distance = 8; distance > 0", "for (int distance = 4; distance > 0");
}

static const char *tree_by_wrong_partners(Arena *arena, const char *source) {
    return text_replaced(arena, source, "value += from_lane_xor(value, distance)",
                   "value += from_lane_xor(value, distance ^ 3)");
}

static const char *shuffle_of_the_whole_warp(Arena *arena, const char *source) {
    return text_replaced(arena, source, "return 0xffffu << (threadIdx.x & 16);", "return 0xffffffffu;");
}

static const char *everybody_adds(Arena *arena, const char *source) {
    return text_replaced(arena, source, "if (lane == 0) b2[", "b2[");
}

static const char *every_worker_takes_all(Arena *arena, const char *source) {
    return text_replaced(arena, source, "int piece = WORKER; piece < ", "int piece = 0; piece < ");
}

// ---- plans

// 37 columns: a vector and a tail of 5 lanes; rows that are summed; a scatter whose places meet.
static const char *const graph_text = "graph \"faults\"\n"
                                      "dim B=11 C=37 V=5\n"
                                      "%0 = input f32[B,C] \"x\" stored(B,C)\n"
                                      "%1 = input i32[B] \"t\" stored(B)\n"
                                      "%2 = sum f32[B] %0 over(C)\n"
                                      "%3 = sub f32[B,C] %0 %2\n"
                                      "%4 = scatter f32[V] %2 %1 to V\n"
                                      "output \"y\" %3\n"
                                      "output \"z\" %4\n";

static Plan *plan_of(Arena *arena, const Target *target) {
    Diags *diags = diags_create(arena);
    Graph *graph = graph_parse(arena, "faults", graph_text, diags);
    Text text = text_create(arena);
    diags_render(diags, &text);
    if (!graph) fail_msg("%s", text_string(&text));
    StateTable states = {.arena = arena};
    PassContext context = {.arena = arena, .diags = diags, .ledger = ledger_create(arena), .target = target,
                           .fuse = FUSE_OP, .states = &states, .program = PROGRAM_PLAIN};
    Plan *plan = NULL;
    assert_true(passes_run(&graph, &plan, NULL, &context, NULL));
    return plan;
}

// What the emulation says, NULL: nothing.
static const char *emulate_with(Arena *arena, SourceEdit edit) {
    Target target;
    assert_true(target_of_gpu("sm_90a", &target));
    const char *why, *wrong = NULL;
    SideBySide *side = side_create(arena, plan_of(arena, &target), &target, edit, &why);
    if (!side) SKIP_TEST(why);
    for (uint64_t seed = 1; seed <= SEEDS && !wrong; seed++) {
        side_fill(side, seed, 0, 5);
        float *x = side_data(side, program_slot(side->program, SLOT_INPUT, "x"));
        for (int i = 0; i < 11 * 37; i++) x[i] = (float)((i * 7919 + 13) % 1009 - 504) / 253.0f;
        wrong = side_run(side, seed);
    }
    side_free(side);
    return wrong;
}

static void must_be_caught(SourceEdit edit, const char *expected) {
    Arena *arena = arena_create();
    const char *wrong = emulate_with(arena, edit);
    print_message("    %.160s\n", wrong ? wrong : "NOT CAUGHT");
    assert_non_null(wrong);
    assert_non_null(strstr(wrong, expected));
    arena_free(arena);
}

static void nothing_without_faults(void **state) {
    (void)state;
    Arena *arena = arena_create();
    const char *wrong = emulate_with(arena, NULL);
    if (wrong) fail_msg("%s", wrong);
    arena_free(arena);
}

static void diverging_barrier(void **state) {
    (void)state;
    must_be_caught(barrier_of_the_first_lane, "divergence");
}
static void out_of_bounds_tail(void **state) {
    (void)state;
    must_be_caught(without_tails, "belongs to no buffer");
}
static void wrong_shuffles(void **state) {
    (void)state;
    must_be_caught(half_a_tree, "the CPU has");
    must_be_caught(tree_by_wrong_partners, "the CPU has");
    must_be_caught(shuffle_of_the_whole_warp, "divergence");
}
static void races_in_an_ordered_sum(void **state) {
    (void)state;
    must_be_caught(everybody_adds, "the CPU has");
    must_be_caught(every_worker_takes_all, "the CPU has");
}

// ---- a row that is written over by one thread while others want to read it

static const char *run_in_place(Arena *arena, SourceEdit edit);

static void missing_barrier(void **state) {
    (void)state;
    Arena *arena = arena_create();
    assert_null(run_in_place(arena, NULL));
    const char *wrong = run_in_place(arena, without_barriers);
    print_message("    %s\n", wrong ? wrong : "NOT CAUGHT");
    assert_non_null(wrong);
    arena_free(arena);
}

// b0[row] is read by all lanes, and b1[row], the same memory, written by the first one; b2[row][lane] = b0[row] + lane.
static TileProgram *program_in_place(Arena *arena) {
    TileBuilder *builder = tile_builder(arena, "in_place");
    int from = tile_buffer(builder, DTYPE_F32, 24, false), over = tile_buffer(builder, DTYPE_F32, 24, true);
    int wide = tile_buffer(builder, DTYPE_F32, 24 * 16, true);
    TileValue row = tile_loop(builder, LOOP_PLAIN, "row", 24, 0, 0, false);
    TileValue value = tile_load(builder, from, DTYPE_F32, tile_index_of(row));
    TileValue twice = tile_map(builder, OP_ADD, DTYPE_F32, (TileValue[]){value, value}, 2);
    tile_store(builder, over, tile_index_of(row), twice);
    TileValue lane = tile_loop(builder, LOOP_LANES, "lane", 16, 0, 16, false);
    TileValue number = tile_map(builder, OP_TO_FLOAT, DTYPE_F32, &lane, 1);
    TileValue sum = tile_map(builder, OP_ADD, DTYPE_F32, (TileValue[]){value, number}, 2);
    tile_store(builder, wide, tile_index_plus(tile_index_sum(tile_index(0), tile_index_of(row), 16), lane, 1), sum);
    tile_end(builder);
    tile_end(builder);
    TileProgram *program = tile_finish(builder);
    assert_null(tile_verify(program, arena));
    return program;
}

static const char *run_in_place(Arena *arena, SourceEdit edit) {
    TileProgram *program = program_in_place(arena);
    const bool aliased[3] = {true, true, false};
    const CudaBuffer buffers[3] = {{96, true, false}, {96, false, true}, {1536, false, true}};
    Spread spread = spread_of(program, aliased, arena);
    assert_int_equal(spread.kind, SPREAD_LOOPS);
    assert_int_equal(spread.units, 24);
    CudaKernel kernel = {.name = "in_place", .buffer_count = 3, .buffers = buffers, .threads = 64};
    kernel.text = print_kernel(arena, program, aliased, "in_place", &spread);
    const CudaCode code = {.common = cuda_common(), .kernels = &kernel, .kernel_count = 1};
    const char *why, *wrong = NULL;
    EmulatedCode *emulated = emulated_code_create(arena, &code, edit, &why);
    if (!emulated) SKIP_TEST(why);
    const ProgramBuffer places[3] = {{MEMORY_ARENA, 0}, {MEMORY_ARENA, 0}, {MEMORY_ARENA, 128}};
    const CudaLaunch launch = {.blocks = 6, .buffers = places};
    for (uint64_t seed = 1; seed <= SEEDS && !wrong; seed++) {
        float memory[32 + 24 * 16];
        for (int i = 0; i < 24; i++) memory[i] = (float)i + 100;
        wrong = emulated_launch(emulated, arena, &launch, &(EmulatedRun){.memory = (char *)memory, .seed = seed});
        for (int i = 0; i < 24 && !wrong; i++)
            for (int k = 0; k < 16 && !wrong; k++)
                if (memory[32 + 16 * i + k] != (float)(i + 100 + k) || memory[i] != 2 * (float)(i + 100))
                    wrong = arena_format(arena, "row %d, lane %d: %g", i, k, (double)memory[32 + 16 * i + k]);
    }
    emulated_code_free(emulated);
    return wrong;
}

// ---- products in blocks for tensor cores

// Rows and lanes that no block divides, sums that no stage does; a factor that is read by depth, one by rows.
#define PRODUCT_TEXT                                                                                                   \
    "graph \"products\"\n"                                                                                             \
    "dim M=75 N=44 K=136 J=37\n"                                                                                       \
    "%0 = input f32[M,K] \"a\" stored(M,K)\n"                                                                          \
    "%1 = input f32[K,N] \"b\" stored(K,N)\n"                                                                          \
    "%2 = input f32[J,M] \"c\" stored(J,M)\n"                                                                          \
    "%3 = contract f32[M,N] %0 %1 over(K)\n"                                                                           \
    "%4 = contract f32[J,N] %2 %3 over(M)\n"                                                                           \
    "%5 = tanh f32[J,N] %4\n"                                                                                          \
    "output \"y\" %5\n"

// Factors that are stored in 16 bits, in copies of single elements and of 16 bytes.
#define NARROW(dims)                                                                                                   \
    "graph \"products\"\n" dims "%0 = input f32[M,K] \"a\" stored(M,K)\n"                                              \
    "%1 = input f32[K,N] \"b\" stored(K,N)\n"                                                                          \
    "%2 = input f32[J,M] \"c\" stored(J,M)\n"                                                                          \
    "%3 = neg f32[M,K] %0\n"                                                                                           \
    "%4 = tanh f32[K,N] %1\n"                                                                                          \
    "%5 = tanh f32[J,M] %2\n"                                                                                          \
    "%6 = contract f32[M,N] %3 %4 over(K)\n"                                                                           \
    "%7 = contract f32[J,N] %5 %6 over(M)\n"                                                                           \
    "output \"y\" %7\n"
#define NARROW_TEXT NARROW("dim M=75 N=44 K=136 J=37\n")
#define NARROW_EVEN_TEXT NARROW("dim M=72 N=40 K=136 J=40\n")

static Plan *plan_of_products(Arena *arena, const Target *target, const char *text, TensorTile tile) {
    Plan *plan = tensor_plan_of_text(arena, "products", text, tile.kind, target, diags_create(arena));
    assert_non_null(plan);
    for (uint32_t s = 0; s < plan->step_count; s++) {
        if (plan->steps[s].form != FORM_PRODUCT) continue;
        assert_int_equal(plan->steps[s].tensor.kind, tile.kind);
        plan->steps[s].tensor = tile;
    }
    assert_null(plan_verify(plan, arena));
    return plan;
}

static const char *emulate_products(Arena *arena, const char *text, TensorTile tile, SourceEdit edit) {
    Target target;
    assert_true(target_of_gpu("sm_90a", &target));
    const char *why, *wrong = NULL;
    SideBySide *side = side_create(arena, plan_of_products(arena, &target, text, tile), &target, edit, &why);
    if (!side) SKIP_TEST(why);
    for (uint64_t seed = 1; seed <= SEEDS && !wrong; seed++) {
        static const char *const names[] = {"a", "b", "c"};
        for (int k = 0; k < 3; k++) {
            const ProgramSlot *slot = program_slot(side->program, SLOT_INPUT, names[k]);
            float *values = side_data(side, slot);
            for (size_t i = 0; i < slot->bytes / sizeof *values; i++)
                values[i] = (float)((int)((i * 7919 + seed * 31 + (size_t)k * 17) % 1009) - 504) / 253.0f;
        }
        wrong = side_run(side, seed);
    }
    assert_true(wrong || side->tensor_steps == 2 * SEEDS);
    side_free(side);
    return wrong;
}

// All blocks and rings, and the same bits as a chain of fused multiply-adds.
static void blocks_of_all_sizes(void **state) {
    (void)state;
    static const uint32_t blocks[][3] = {{32, 32, 2}, {32, 64, 4}, {64, 32, 3}, {64, 64, 2}, {128, 64, 3}, {64, 128, 4},
                                         {128, 128, 2}, {128, 128, 4}, {32, 128, 2}, {128, 32, 3}};
    static const struct {
        TensorKind kind;
        const char *text;
    } products[] = {{TENSOR_TF32, PRODUCT_TEXT},      {TENSOR_BF16, PRODUCT_TEXT}, {TENSOR_BF16, NARROW_TEXT},
                    {TENSOR_BF16, NARROW_EVEN_TEXT},  {TENSOR_F16, PRODUCT_TEXT},  {TENSOR_F16, NARROW_TEXT},
                    {TENSOR_F16, NARROW_EVEN_TEXT}};
    enum { PRODUCTS = sizeof products / sizeof *products };
    for (size_t i = 0; i < PRODUCTS * (sizeof blocks / sizeof *blocks); i++) {
        Arena *arena = arena_create();
        const uint32_t *block = blocks[i / PRODUCTS];
        TensorTile tile = {products[i % PRODUCTS].kind, block[0], block[1], block[2], false, false};
        const char *wrong = emulate_products(arena, products[i % PRODUCTS].text, tile, NULL);
        if (wrong)
            fail_msg("%s, %u by %u, %u stages: %s", tensor_name(tile.kind), tile.rows, tile.lanes, tile.stages, wrong);
        arena_free(arena);
    }
}

static const char *without_block_barrier(Arena *arena, const char *source) {
    return text_replaced(arena, source, "            block_barrier();\n", "\n");
}
static const char *without_waiting_for_copies(Arena *arena, const char *source) {
    return text_replaced(arena, source, "            copies_wait(1);\n", "\n");
}
static const char *one_group_too_late(Arena *arena, const char *source) {
    return text_replaced(arena, source, "copies_wait(1);", "copies_wait(2);");
}
static const char *another_swizzle_to_write(Arena *arena, const char *source) {
    return text_replaced(arena, source, "copy_16(stage + PLACE_BY_ROWS(line, along / 4)",
                   "copy_16(stage + 128 * line + 4 * along");
}
static const char *another_swizzle_of_pairs(Arena *arena, const char *source) {
    return text_replaced(arena, source, "copy_16(stage + PAIRS_BY_ROWS(line, along / 4)",
                   "copy_16(stage + PLACE_BY_ROWS(line, along / 4)");
}
static const char *pairs_of_one_summed_index(Arena *arena, const char *source) {
    return text_replaced(arena, source, "factor_by_depth(panel, pitch, row, line + 1)",
                   "factor_by_depth(panel, pitch, row, line)");
}
static const char *summed_indices_of_the_other_half(Arena *arena, const char *source) {
    return text_replaced(arena, source, "HALF(pair_by_rows)(panel, first + 8 * (i & 1), depth + 8 * (i >> 1))",
                   "HALF(pair_by_rows)(panel, first + 8 * (i & 1), depth)");
}
static const char *another_swizzle_of_halves(Arena *arena, const char *source) {
    return text_replaced(arena, source, "copy_16(stage + PLACE_OF_HALVES(line, along / 8, 128)",
                   "copy_16(stage + 128 * line + 2 * along");
}
static const char *halves_that_are_not_turned(Arena *arena, const char *source) {
    return text_replaced(arena, source, "HALF(load_halves_turned)(b, panel", "HALF(load_halves)(b, panel");
}
static const char *rows_of_one_matrix(Arena *arena, const char *source) {
    return text_replaced(arena, source, "(WARP_LANE & 15), piece = 2 * part + (WARP_LANE >> 4);\n    HALF(load_halves)",
                   "(WARP_LANE & 7), piece = 2 * part + (WARP_LANE >> 4);\n    HALF(load_halves)");
}
static const char *rounding_to_zero(Arena *arena, const char *source) {
    return text_replaced(arena, source, "nearest = bits + 0x7fffu + (bits >> 16 & 1u)", "nearest = bits");
}
static const char *stored_in_the_other_type(Arena *arena, const char *source) {
    return text_replaced(arena, source, " = f16_of(", " = bf16_of(");
}
static const char *factors_of_the_other_type(Arena *arena, const char *source) {
    return text_replaced(arena, source, "lanes_by_depth_f16(", "lanes_by_depth_bf16(");
}
static const char *ties_away_from_zero(Arena *arena, const char *source) {
    return text_replaced(arena, source, "nearest = bits + 0x7fffu + (bits >> 16 & 1u)", "nearest = bits + 0x8000u");
}
static const char *lanes_of_the_next_fragment(Arena *arena, const char *source) {
    return text_replaced(arena, source, "b[j / 2] + 2 * (j % 2)", "b[j / 2] + 2 * (1 - j % 2)");
}
static const char *without_row_tails(Arena *arena, const char *source) {
    return text_replaced(arena, source, "75 - M_", "96 - M_");
}
static const char *without_lane_tails(Arena *arena, const char *source) {
    return text_replaced(arena, source, "OWN_LANE(four) < 44) {", "OWN_LANE(four) < 64) {");
}
static const char *without_exchange(Arena *arena, const char *source) {
    return text_replaced(arena, source, ") exchange_four(", ") (void)(");
}
static const char *lanes_of_the_neighbour(Arena *arena, const char *source) {
    return text_replaced(arena, source, "2 * (WARP_LANE & 2) + 8 * (WARP_LANE & 1)", "4 * (WARP_LANE & 3)");
}
static const char *lanes_between_fours(Arena *arena, const char *source) {
    return text_replaced(arena, source, "store_four_f32(b2 + (", "store_four_f32(b2 + (1 + ");
}
static const char *without_the_end_of_the_sum(Arena *arena, const char *source) {
    return text_replaced(arena, source, "136 - K_", "160 - K_");
}
static const char *stage_that_is_in_use(Arena *arena, const char *source) {
    return text_replaced(arena, source, "ring + (ahead + 1) % 3", "ring + (ahead + 2) % 3");
}

static const char *without_passing_on(Arena *arena, const char *source) {
    return text_replaced(arena, source, "parts[i - 1][v] = parts[i][v]", "parts[i - 1][v] = parts[i - 1][v]");
}

static void must_fail(const char *text, TensorKind kind, SourceEdit edit, const char *expected) {
    Arena *arena = arena_create();
    const char *wrong = emulate_products(arena, text, (TensorTile){kind, 32, 32, 3, false, false}, edit);
    print_message("    %.160s\n", wrong ? wrong : "NOT CAUGHT");
    assert_non_null(wrong);
    assert_non_null(strstr(wrong, expected));
    arena_free(arena);
}

static void product_must_fail(TensorKind kind, SourceEdit edit, const char *expected) {
    must_fail(PRODUCT_TEXT, kind, edit, expected);
}

static void missing_waits_in_the_ring(void **state) {
    (void)state;
    product_must_fail(TENSOR_TF32, without_block_barrier, "the CPU has");
    product_must_fail(TENSOR_TF32, without_waiting_for_copies, "");
    product_must_fail(TENSOR_TF32, one_group_too_late, "");
    product_must_fail(TENSOR_TF32, stage_that_is_in_use, "the CPU has");
}
static void wrong_swizzles(void **state) {
    (void)state;
    product_must_fail(TENSOR_TF32, another_swizzle_to_write, "the CPU has");
    product_must_fail(TENSOR_TF32, lanes_of_the_next_fragment, "the CPU has");
    product_must_fail(TENSOR_BF16, another_swizzle_of_pairs, "the CPU has");
    product_must_fail(TENSOR_BF16, lanes_of_the_next_fragment, "the CPU has");
    product_must_fail(TENSOR_BF16, pairs_of_one_summed_index, "the CPU has");
    product_must_fail(TENSOR_BF16, summed_indices_of_the_other_half, "the CPU has");
    must_fail(NARROW_EVEN_TEXT, TENSOR_BF16, another_swizzle_of_halves, "the CPU has");
    must_fail(NARROW_EVEN_TEXT, TENSOR_BF16, halves_that_are_not_turned, "the CPU has");
    must_fail(NARROW_EVEN_TEXT, TENSOR_BF16, rows_of_one_matrix, "the CPU has");
}
static void wrong_rounding(void **state) {
    (void)state;
    must_fail(NARROW_TEXT, TENSOR_BF16, rounding_to_zero, "the CPU has");
    must_fail(NARROW_TEXT, TENSOR_BF16, ties_away_from_zero, "the CPU has");
    must_fail(NARROW_TEXT, TENSOR_F16, stored_in_the_other_type, "the CPU has");
    must_fail(NARROW_EVEN_TEXT, TENSOR_F16, factors_of_the_other_type, "the CPU has");
}
// An epilogue of a large tile is rolled.
static void parts_that_stay_where_they_are(void **state) {
    (void)state;
    Arena *arena = arena_create();
    TensorTile large = {TENSOR_TF32, 128, 128, 2, false, false};
    const char *wrong = emulate_products(arena, PRODUCT_TEXT, large, without_passing_on);
    print_message("    %.160s\n", wrong ? wrong : "NOT CAUGHT");
    assert_non_null(wrong);
    assert_non_null(strstr(wrong, "the CPU has"));
    arena_free(arena);
}
static void tails_of_blocks(void **state) {
    (void)state;
    product_must_fail(TENSOR_TF32, without_row_tails, "belongs to no buffer");
    product_must_fail(TENSOR_TF32, without_lane_tails, "");
    product_must_fail(TENSOR_TF32, without_the_end_of_the_sum, "");
    must_fail(NARROW_TEXT, TENSOR_BF16, without_row_tails, "belongs to no buffer");
    must_fail(NARROW_TEXT, TENSOR_BF16, without_the_end_of_the_sum, "");
}

static void wrong_fours(void **state) {
    (void)state;
    product_must_fail(TENSOR_TF32, without_exchange, "the CPU has");
    product_must_fail(TENSOR_BF16, lanes_of_the_neighbour, "the CPU has");
    product_must_fail(TENSOR_TF32, lanes_between_fours, "does not begin at such a multiple");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_of_all_sizes),    cmocka_unit_test(missing_waits_in_the_ring),
        cmocka_unit_test(wrong_swizzles),         cmocka_unit_test(tails_of_blocks),
        cmocka_unit_test(wrong_fours),
        cmocka_unit_test(parts_that_stay_where_they_are),
        cmocka_unit_test(wrong_rounding),
        cmocka_unit_test(nothing_without_faults), cmocka_unit_test(missing_barrier),
        cmocka_unit_test(diverging_barrier),      cmocka_unit_test(out_of_bounds_tail),
        cmocka_unit_test(wrong_shuffles),         cmocka_unit_test(races_in_an_ordered_sum),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
