// Tile programs against the float64 reference.
//
// Each case is a graph; its boxes are drawn at every level of fusion, every box is lowered, verified and interpreted,
// and every value that crosses a box edge is compared with the reference. Cutting into pieces, memory order, panels and
// the level of fusion must not change one bit of any output.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/hash.h"
#include "tests/codegen/interpret_tile.h"
#include "ir/reference/reference.h"
#include "passes/passes.h"

typedef enum { LAYOUT_PLAIN, LAYOUT_REVERSED, LAYOUT_PANELS } LayoutKind;

typedef struct {
    FuseLevel level;
    LayoutKind layout;
    int cut_dims; // how many leading dims are cut
    uint32_t pieces;
    EdgeKind edge;
} Variant;

typedef struct {
    Arena *arena;
    Plan *plan;
    void **buffers;    // by value
    double **expected; // by value, in its order
} Run;

// ---- numbers

static uint64_t next_random(uint64_t *state) {
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

// Floats in [-1,1) as f32 has them, weights smaller; integers 0..2, or with the name "wild" also outside every dim.
static const double *bind_leaf(void *context, const Leaf *leaf, DimList order) {
    Run *run = context;
    size_t count = (size_t)graph_elements(run->plan->dims, dim_list_set(&order));
    double *made = ARENA_ARRAY(run->arena, double, count), *result = ARENA_ARRAY(run->arena, double, count);
    uint64_t state = hash_text(leaf->name);
    DType dtype = DTYPE_F32;
    for (ValueId id = 0; id < run->plan->value_count; id++)
        if (run->plan->values[id].leaf && text_equal(run->plan->values[id].leaf->name, leaf->name))
            dtype = run->plan->values[id].dtype;
    for (size_t i = 0; i < count; i++) {
        uint64_t bits = next_random(&state) >> 40;
        made[i] = dtype == DTYPE_F32 ? (double)bits * 0x1p-23 - 1 : (double)(bits % 3);
        if (leaf->init == INIT_NORMAL) made[i] *= 0.25;
        if (dtype == DTYPE_BOOL) made[i] = (double)(bits % 2);
        if (text_equal(leaf->name, "wild")) made[i] = (double)(bits % 5) * 1000 - 1000;
    }
    reference_reorder(run->plan->dims, made, leaf->stored, order, result);
    return result;
}

static void count_up(const Graph *dims, DimList order, int64_t *index) {
    for (int i = order.rank - 1; i >= 0; i--) {
        if (++index[order.dims[i]] < graph_extent(dims, order.dims[i])) return;
        index[order.dims[i]] = 0;
    }
}

static double read_element(const Value *value, const void *buffer, int64_t at) {
    if (value->dtype == DTYPE_I32) return ((const int32_t *)buffer)[at];
    return value->dtype == DTYPE_BOOL ? ((const unsigned char *)buffer)[at] : ((const float *)buffer)[at];
}

static void write_element(const Value *value, void *buffer, int64_t at, double number) {
    if (value->dtype == DTYPE_I32)
        ((int32_t *)buffer)[at] = (int32_t)number;
    else if (value->dtype == DTYPE_BOOL)
        ((unsigned char *)buffer)[at] = number != 0;
    else
        ((float *)buffer)[at] = (float)number;
}

// The value's numbers in the order of its dims.
static double *extract(const Run *run, ValueId id) {
    const Value *value = &run->plan->values[id];
    size_t count = (size_t)graph_elements(run->plan->dims, dim_list_set(&value->order));
    double *result = ARENA_ARRAY(run->arena, double, count);
    int64_t index[MAX_DIMS] = {0};
    for (size_t i = 0; i < count; i++, count_up(run->plan->dims, value->order, index))
        result[i] = read_element(value, run->buffers[id], layout_offset(run->plan->dims, &value->layout, index));
    return result;
}

// ---- plans

static void lay_out(Plan *plan, LayoutKind kind) {
    for (ValueId id = 0; id < plan->value_count; id++) {
        Value *value = &plan->values[id];
        DimList order = value->order;
        for (int i = 0; i < order.rank && kind == LAYOUT_REVERSED; i++)
            order.dims[i] = value->order.dims[order.rank - 1 - i];
        value->layout = layout_plain(plan->dims, order);
    }
}

static void choose_tiles(Plan *plan, const Variant *variant) {
    for (uint32_t s = 0; s < plan->step_count; s++) {
        if (plan->steps[s].form != FORM_PRODUCT) continue;
        plan->steps[s].tile_rows = variant->pieces + 2;
        plan->steps[s].tile_lanes = variant->pieces % 2 ? 16 : 32;
    }
}

static void cut(Plan *plan, Step *step, const Variant *variant) {
    DimList order = plan->values[step->outputs[0]].order;
    step->cut = (Cut){.total = 1, .pieces = 1};
    const Layout *layout = &plan->values[step->outputs[0]].layout;
    bool panels = !layout_is_plain(plan->dims, layout);
    if (panels) order = layout->pieces[0].dims; // batch dims, or what the panels divide
    for (int i = 0; i < order.rank && (panels || i < variant->cut_dims); i++) {
        if (step->form == FORM_ROW && dim_in(step->inner, order.dims[i])) break;
        step->cut.dims.dims[step->cut.dims.rank++] = order.dims[i];
        step->cut.total *= graph_extent(plan->dims, order.dims[i]);
    }
    step->cut.pieces = step->cut.dims.rank == 0 ? 1 : variant->pieces;
    if (step->cut.pieces > step->cut.total) step->cut.pieces = (uint32_t)step->cut.total;
    for (uint32_t k = 0; k < step->operand_count; k++)
        step->edges[k] = variant->edge;
}

// ---- running

static void fill_leaves(Run *run) {
    run->buffers = ARENA_ARRAY(run->arena, void *, run->plan->value_count);
    for (ValueId id = 0; id < run->plan->value_count; id++) {
        const Value *value = &run->plan->values[id];
        size_t elements = (size_t)layout_elements(&value->layout);
        if (value->in_place) {
            run->buffers[id] = run->buffers[value->next_of];
            continue;
        }
        run->buffers[id] = arena_alloc_array(run->arena, elements, 4);
        if (value->kind != VALUE_INPUT && value->kind != VALUE_STATE) {
            memset(run->buffers[id], 0x5a, elements * 4);
            continue;
        }
        int64_t index[MAX_DIMS] = {0};
        size_t count = (size_t)graph_elements(run->plan->dims, dim_list_set(&value->order));
        for (size_t i = 0; i < count; i++, count_up(run->plan->dims, value->order, index))
            write_element(value, run->buffers[id], layout_offset(run->plan->dims, &value->layout, index),
                          run->expected[id][i]);
    }
}

static void run_step(Run *run, const Step *step) {
    Target target = target_default();
    TileProgram *program = tile_lower(run->arena, run->plan, step, &target);
    const char *wrong = tile_verify(program, run->arena);
    void **buffers = ARENA_ARRAY(run->arena, void *, program->buffer_count);
    for (uint32_t i = 0; i < step->operand_count; i++)
        buffers[i] = run->buffers[step->operands[i]];
    for (uint32_t i = 0; i < step->output_count; i++)
        buffers[step->operand_count + i] = run->buffers[step->outputs[i]];
    for (uint32_t i = tile_given(program); i < program->buffer_count; i++)
        buffers[i] = memset(arena_alloc(run->arena, (size_t)program->buffers[i].elements * sizeof(float)), 0xff,
                            (size_t)program->buffers[i].elements * sizeof(float));
    for (uint32_t piece = step->cut.pieces; piece-- > 0 && !wrong;)
        wrong = interpret_tile(program, buffers, piece, run->arena);
    if (!wrong) return;
    Text text = text_create(run->arena);
    tile_print(program, &text);
    graph_print(step->region, &text);
    fail_msg("%s\n%s", wrong, text_string(&text));
}

static void show_step(const Run *run, ValueId id) {
    for (uint32_t s = 0; s < run->plan->step_count; s++)
        for (uint32_t k = 0; k < run->plan->steps[s].output_count; k++) {
            if (run->plan->steps[s].outputs[k] != id) continue;
            Target target = target_default();
            Text text = text_create(run->arena);
            graph_print(run->plan->steps[s].region, &text);
            tile_print(tile_lower(run->arena, run->plan, &run->plan->steps[s], &target), &text);
            print_message("%s\n", text_string(&text));
        }
}

static bool is_close(double found, double expected) {
    if (isnan(expected)) return isnan(found);
    if (isinf(expected)) return found == expected;
    return fabs(found - expected) <= 1e-4 * (1 + fabs(expected));
}

// Every element, and zeros in the padding.
static void compare(const Run *run, ValueId id) {
    const Value *value = &run->plan->values[id];
    size_t elements = (size_t)layout_elements(&value->layout);
    double *wanted = ARENA_ARRAY(run->arena, double, elements);
    int64_t index[MAX_DIMS] = {0};
    size_t count = (size_t)graph_elements(run->plan->dims, dim_list_set(&value->order));
    for (size_t i = 0; i < count; i++, count_up(run->plan->dims, value->order, index))
        wanted[layout_offset(run->plan->dims, &value->layout, index)] = run->expected[id][i];
    for (size_t i = 0; i < elements; i++) {
        double found = read_element(value, run->buffers[id], (int64_t)i);
        if (is_close(found, wanted[i])) continue;
        show_step(run, id);
        fail_msg("value %u (%s) element %zu: %.9g instead of %.9g", id, value->name ? value->name : "unnamed", i, found,
                 wanted[i]);
    }
}

static Graph *read_case(Arena *arena, const char *name) {
    Diags *diags = diags_create(arena);
    char *source = file_read_all(arena, arena_format(arena, SOURCE_DIR "/tests/codegen/cases/%s.graph", name), 1 << 20,
                                 NULL, diags);
    Graph *graph = source ? graph_parse(arena, name, source, diags) : NULL;
    Text text = text_create(arena);
    diags_render(diags, &text);
    if (!graph) fail_msg("%s", text_string(&text));
    PassContext context = {.arena = arena, .diags = diags, .ledger = ledger_create(arena)};
    Target target = target_default();
    context.target = &target;
    if (graph_find_output(graph, "loss") != NODE_NONE) graph = pass_find("differentiate")->graph(graph, &context);
    return graph;
}

static Run run_variant(Arena *arena, const Graph *graph, const Variant *variant) {
    Target target = target_default();
    PassContext context = {.arena = arena,
                           .diags = diags_create(arena),
                           .ledger = ledger_create(arena),
                           .target = &target,
                           .fuse = variant->level};
    Run run = {.arena = arena};
    run.plan = pass_find("draw_boxes")->draw(graph, &context);
    assert_non_null(run.plan);
    lay_out(run.plan, variant->layout);
    choose_tiles(run.plan, variant);
    if (variant->layout == LAYOUT_PANELS) assert_true(pass_find("pack_operands")->plan(run.plan, &context));
    for (uint32_t s = 0; s < run.plan->step_count; s++)
        cut(run.plan, &run.plan->steps[s], variant);
    assert_true(pass_find("fold_sums")->plan(run.plan, &context));
    run.expected = ARENA_ARRAY(arena, double *, run.plan->value_count);
    assert_true(plan_reference(run.plan, arena, bind_leaf, &run, run.expected));
    fill_leaves(&run);
    for (uint32_t s = 0; s < run.plan->step_count; s++) {
        run_step(&run, &run.plan->steps[s]);
        for (uint32_t k = 0; k < run.plan->steps[s].output_count; k++)
            compare(&run, run.plan->steps[s].outputs[k]);
    }
    return run;
}

static const double *output_bits(const Run *run, const char *name) {
    for (ValueId id = 0; id < run->plan->value_count; id++)
        if (run->plan->values[id].kind == VALUE_OUTPUT && text_equal(run->plan->values[id].name, name))
            return extract(run, id);
    fail_msg("no value for output %s", name);
    return NULL;
}

static const Variant variants[] = {
    {FUSE_NONE, LAYOUT_PLAIN, 0, 1, EDGE_ALL},    {FUSE_NONE, LAYOUT_PLAIN, 1, 3, EDGE_ALL},
    {FUSE_NONE, LAYOUT_REVERSED, 2, 4, EDGE_ALL}, {FUSE_NONE, LAYOUT_PANELS, 9, 5, EDGE_ALL},
    {FUSE_OP, LAYOUT_PLAIN, 0, 1, EDGE_ALL},      {FUSE_OP, LAYOUT_PLAIN, 2, 7, EDGE_ALL},
    {FUSE_OP, LAYOUT_PANELS, 1, 2, EDGE_SAME},    {FUSE_OP, LAYOUT_PANELS, 1, 3, EDGE_ALL},
    {FUSE_OP, LAYOUT_REVERSED, 0, 1, EDGE_ALL},   {FUSE_ALL, LAYOUT_PLAIN, 1, 2, EDGE_ALL},
    {FUSE_ALL, LAYOUT_PANELS, 9, 3, EDGE_SAME},   {FUSE_ALL, LAYOUT_PANELS, 9, 1, EDGE_SAME},
};

static void run_case(const char *name) {
    Arena *arena = arena_create();
    const Graph *graph = read_case(arena, name);
    size_t count = sizeof variants / sizeof *variants;
    Run first = {0};
    for (size_t v = 0; v < count; v++) {
        Run run = run_variant(arena, graph, &variants[v]);
        if (v == 0) first = run;
        for (uint32_t i = 0; i < graph_outputs(graph); i++) {
            const Output *output = graph_output_at(graph, i);
            size_t elements = (size_t)graph_elements(graph, graph_node(graph, output->node)->dims);
            const double *a = output_bits(&first, output->name), *b = output_bits(&run, output->name);
            for (size_t k = 0; k < elements; k++)
                if (a[k] != b[k] && !(isnan(a[k]) && isnan(b[k])))
                    fail_msg("%s of %s, element %zu: %.9g, but variant %zu gives %.9g", output->name, name, k, a[k], v,
                             b[k]);
        }
    }
    arena_free(arena);
}

static void test_case(void **state) {
    run_case(*state);
}

#define CASE(name)                                                                                                     \
    { "tile " name, test_case, NULL, NULL, (void *)(uintptr_t)name }

int main(void) {
    const struct CMUnitTest tests[] = {
        CASE("map"),      CASE("moves"),   CASE("rows"),  CASE("columns"),
        CASE("products"), CASE("long_sums"), CASE("sums"), CASE("indexed"), CASE("block"), CASE("update"),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
