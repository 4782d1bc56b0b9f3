// Tile programs as text: the builder's rules, golden programs of each form, and what the verifier refuses.
//
// A golden text that is meant to change: run with SINTER_UPDATE=1 and read the difference.
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/file.h"
#include "codegen/lower.h"
#include "passes/passes.h"

// ---- lowering a graph at level op

static const char *path_of(Arena *arena, const char *name, const char *kind) {
    return arena_format(arena, SOURCE_DIR "/tests/codegen/golden/%s.%s", name, kind);
}

static Plan *plan_of(Arena *arena, const char *name, const Target *target) {
    Diags *diags = diags_create(arena);
    char *source = file_read_all(arena, path_of(arena, name, "graph"), 1 << 20, NULL, diags);
    assert_non_null(source);
    Graph *graph = graph_parse(arena, name, source, diags);
    assert_non_null(graph);
    PassContext context = {
        .arena = arena, .diags = diags, .ledger = ledger_create(arena), .target = target, .fuse = FUSE_OP};
    Plan *plan = pass_find("draw_boxes")->draw(graph, &context);
    assert_non_null(plan);
    for (ValueId id = 0; id < plan->value_count; id++)
        plan->values[id].layout = layout_plain(plan->dims, plan->values[id].order);
    for (uint32_t s = 0; s < plan->step_count; s++) {
        if (plan->steps[s].form != FORM_PRODUCT) continue;
        plan->steps[s].tile_rows = 4;
        plan->steps[s].tile_lanes = 32;
    }
    assert_true(pass_find("pack_operands")->plan(plan, &context));
    for (uint32_t s = 0; s < plan->step_count; s++) {
        DimId first = plan->values[plan->steps[s].outputs[0]].order.dims[0];
        plan->steps[s].cut = (Cut){
            .dims = {.rank = 1, .dims = {first}}, .total = graph_extent(plan->dims, first), .pieces = 2};
    }
    return plan;
}

static void test_golden(void **state) {
    const char *name = *state;
    Arena *arena = arena_create();
    Target target = target_default();
    Plan *plan = plan_of(arena, name, &target);
    Text text = text_create(arena);
    for (uint32_t s = 0; s < plan->step_count; s++) {
        TileProgram *program = tile_lower(arena, plan, &plan->steps[s], &target);
        assert_null(tile_verify(program, arena));
        tile_print(program, &text);
    }
    if (getenv("SINTER_UPDATE")) {
        FILE *file = fopen(path_of(arena, name, "tiles"), "w");
        assert_non_null(file);
        fputs(text_string(&text), file);
        fclose(file);
    }
    char *golden = file_read_all(arena, path_of(arena, name, "tiles"), 1 << 20, NULL, diags_create(arena));
    if (!golden || strcmp(golden, text_string(&text)) != 0)
        fail_msg("the tile programs of %s are now:\n%s", name, text_string(&text));
    arena_free(arena);
}

// ---- equal boxes, equal names

static void test_names(void **state) {
    (void)state;
    Arena *arena = arena_create();
    Target target = target_default();
    Plan *plan = plan_of(arena, "softmax", &target);
    TileProgram *first = tile_lower(arena, plan, &plan->steps[0], &target);
    TileProgram *again = tile_lower(arena, plan, &plan->steps[0], &target);
    assert_string_equal(first->name, again->name);
    plan->steps[0].cut.pieces = 4;
    TileProgram *other = tile_lower(arena, plan, &plan->steps[0], &target);
    assert_string_not_equal(first->name, other->name);
    arena_free(arena);
}

// ---- indices and numbering

static void test_division(void **state) {
    (void)state;
    Arena *arena = arena_create();
    TileBuilder *builder = tile_builder(arena, "division");
    TileValue j = tile_loop(builder, LOOP_PLAIN, "j", 7, 0, 0, false);
    TileValue lane = tile_loop(builder, LOOP_LANES, "lane", 32, 0, 32, false);
    TileIndex flat = tile_index_plus(tile_index_plus(tile_index(64), j, 32), lane, 1);
    TileIndex high = tile_index_divide(builder, flat, 32), low = tile_index_remainder(builder, flat, 32);
    TileIndex expected = tile_index_plus(tile_index(2), j, 1), lane_index = tile_index_of(lane);
    assert_true(tile_index_equal(&high, &expected));
    assert_true(tile_index_equal(&low, &lane_index));
    // By 5 nothing is provable; put together again it is the index it came from.
    high = tile_index_divide(builder, flat, 5);
    low = tile_index_remainder(builder, flat, 5);
    assert_false(tile_index_equal(&low, &lane_index));
    TileIndex whole = tile_index_recombine(builder, tile_index_sum(low, high, 5));
    assert_true(tile_index_equal(&whole, &flat));
    // Three digits.
    TileIndex rest = tile_index_divide(builder, flat, 3);
    whole = tile_index_sum(tile_index_remainder(builder, flat, 3), tile_index_remainder(builder, rest, 5), 3);
    whole = tile_index_recombine(builder, tile_index_sum(whole, tile_index_divide(builder, rest, 5), 15));
    assert_true(tile_index_equal(&whole, &flat));
    arena_free(arena);
}

static void test_moving_out(void **state) {
    (void)state;
    Arena *arena = arena_create();
    TileBuilder *builder = tile_builder(arena, "moving");
    int input = tile_buffer(builder, DTYPE_F32, 8, false), output = tile_buffer(builder, DTYPE_F32, 512, true);
    TileValue r = tile_loop(builder, LOOP_PLAIN, "r", 8, 0, 0, false);
    for (int sweep = 0; sweep < 2; sweep++) {
        TileValue s = tile_loop(builder, LOOP_LANES, "s", 64, 0, 64, false);
        TileValue x = tile_load(builder, input, DTYPE_F32, tile_index_of(r));
        TileValue two = tile_const(builder, DTYPE_F32, 2), unused = tile_const(builder, DTYPE_F32, 3);
        TileValue product = tile_map(builder, OP_MUL, DTYPE_F32, (TileValue[]){x, two}, 2);
        tile_map(builder, OP_EXP, DTYPE_F32, &unused, 1);
        tile_store(builder, output, tile_index_plus(tile_index_plus(tile_index(0), r, 64), s, 1), product);
        tile_end(builder);
    }
    tile_end(builder);
    TileProgram *program = tile_finish(builder);
    Text text = text_create(arena);
    tile_print(program, &text);
    assert_string_equal(text_string(&text), "kernel moving (f32 b0[8], out f32 b1[512])\n"
                                            "%0 = const f32 2\n"
                                            "loop r.1 8\n"
                                            "  %2 = load f32 b0[r.1]\n"
                                            "  %3 = mul f32 %2 %0\n"
                                            "  lanes s.4 64 step 64\n"
                                            "    store b1[64*r.1 + s.4] %3\n"
                                            "  end\n"
                                            "  lanes s.7 64 step 64\n"
                                            "    store b1[64*r.1 + s.7] %3\n"
                                            "  end\n"
                                            "end\n");
    assert_null(tile_verify(program, arena));
    arena_free(arena);
}

// What an accumulator holds changes between two uses of it.
static void test_accumulators_are_not_numbered(void **state) {
    (void)state;
    Arena *arena = arena_create();
    TileBuilder *builder = tile_builder(arena, "accumulators");
    TileValue zero = tile_zero(builder, SHAPE_LANES, 0, 0), other = tile_zero(builder, SHAPE_LANES, 0, 0);
    assert_int_not_equal(zero, other);
    assert_int_not_equal(tile_row_reduce(builder, OP_SUM, zero), tile_row_reduce(builder, OP_SUM, zero));
    TileValue positive = tile_const(builder, DTYPE_F32, 0.0), negative = tile_const(builder, DTYPE_F32, -0.0);
    assert_int_not_equal(positive, negative);
    assert_int_equal(positive, tile_const(builder, DTYPE_F32, 0.0));
    arena_free(arena);
}

// ---- the verifier

typedef struct {
    Arena *arena;
    TileProgram *program;
} Broken;

static uint32_t find_op(const TileProgram *program, TileKind kind) {
    for (uint32_t i = 0; i < program->op_count; i++)
        if (program->ops[i].kind == kind) return i;
    fail_msg("no op of kind %d", kind);
    return 0;
}

static TileOp *op_of(Broken *broken, TileKind kind) {
    return &broken->program->ops[find_op(broken->program, kind)];
}

static void shrink_buffer(Broken *broken) {
    broken->program->buffers[0].elements--;
}
static void no_end(Broken *broken) {
    broken->program->op_count--;
}
static void odd_lanes(Broken *broken) {
    for (uint32_t i = 0; i < broken->program->op_count; i++)
        if (broken->program->ops[i].kind == TILE_LOOP && broken->program->ops[i].loop == LOOP_LANES)
            broken->program->ops[i].step = 24;
}
static void use_later(Broken *broken) {
    op_of(broken, TILE_MAP)->operands[0] = broken->program->op_count - 1;
}
static void use_closed(Broken *broken) {
    TileProgram *program = broken->program;
    uint32_t load = find_op(program, TILE_LOAD);
    for (uint32_t i = program->op_count; i-- > 0;)
        if (program->ops[i].kind == TILE_MAP && program->ops[i].operand_count == 1) {
            program->ops[i].operands[0] = load;
            return;
        }
}
static void read_only(Broken *broken) {
    broken->program->buffers[1].written = false;
}
static void no_buffer(Broken *broken) {
    op_of(broken, TILE_LOAD)->buffer = 9;
}
static void no_accumulator(Broken *broken) {
    op_of(broken, TILE_ACCUMULATE)->operands[0] = 0;
}
static void wrong_count(Broken *broken) {
    op_of(broken, TILE_MAP)->operand_count = 3;
}
static void no_pointwise(Broken *broken) {
    op_of(broken, TILE_MAP)->function = OP_SUM;
}
static void wrong_reduction(Broken *broken) {
    op_of(broken, TILE_ACCUMULATE)->function = OP_LSE;
}
static void negative_index(Broken *broken) {
    op_of(broken, TILE_LOAD)->index.constant = -1;
}
static void no_rounds(Broken *broken) {
    op_of(broken, TILE_LOOP)->extent = 0;
}
static void extra_end(Broken *broken) {
    op_of(broken, TILE_LOOP)->kind = TILE_END;
}
static void float_index(Broken *broken) {
    op_of(broken, TILE_LOOP)->dtype = DTYPE_F32;
}

static const struct {
    void (*mutate)(Broken *broken);
    const char *sentence;
} refusals[] = {
    {shrink_buffer, "reaches elements 0 to 399 of 399"},
    {no_end, "is never ended"},
    {odd_lanes, "steps by a multiple of 16"},
    {use_later, "not in sight"},
    {use_closed, "not in sight"},
    {read_only, "writes a buffer that is only read"},
    {no_buffer, "no such buffer"},
    {no_accumulator, "no accumulator"},
    {wrong_count, "wrong number of operands"},
    {no_pointwise, "not pointwise"},
    {wrong_reduction, "neither sum nor max"},
    {negative_index, "reaches elements -1"},
    {no_rounds, "no rounds"},
    {extra_end, "ends no loop"},
    {float_index, "not i32"},
};

static void test_verifier(void **state) {
    (void)state;
    Target target = target_default();
    for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++) {
        Broken broken = {.arena = arena_create()};
        Plan *plan = plan_of(broken.arena, "softmax", &target);
        broken.program = tile_lower(broken.arena, plan, &plan->steps[0], &target);
        assert_null(tile_verify(broken.program, broken.arena));
        refusals[i].mutate(&broken);
        const char *message = tile_verify(broken.program, broken.arena);
        if (!message || !strstr(message, refusals[i].sentence))
            fail_msg("wanted \"%s\", got \"%s\"", refusals[i].sentence, message ? message : "nothing");
        arena_free(broken.arena);
    }
}

#define GOLDEN(name)                                                                                                   \
    { "golden " name, test_golden, NULL, NULL, (void *)(uintptr_t)name }

int main(void) {
    const struct CMUnitTest tests[] = {
        GOLDEN("softmax"),
        GOLDEN("product"),
        GOLDEN("turned"),
        GOLDEN("columns"),
        GOLDEN("indexed"),
        GOLDEN("rotate"),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_division),
        cmocka_unit_test(test_moving_out),
        cmocka_unit_test(test_accumulators_are_not_numbered),
        cmocka_unit_test(test_verifier),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
