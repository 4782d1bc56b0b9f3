// Every invariant of docs/ir.md, broken behind the builders' back, is found and named.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "ir/graph_storage.h"

typedef struct {
    Arena *arena;
    Graph *graph;
    DimId A, B;
    NodeId x, y, sum, param;  // x, y [A,B]; sum = add x y; param [A,B]
} Fixture;

static int setup(void **state) {
    Fixture *f = calloc(1, sizeof *f);
    f->arena = arena_create();
    Graph *g = f->graph = graph_create(f->arena, "test");
    f->A = graph_dim(g, "A", 2), f->B = graph_dim(g, "B", 3);
    DimList dims = {2, {f->A, f->B}};
    graph_group(g, "norm", "p", 0);
    f->x = build_input(g, graph_leaf(g, &(Leaf){.name = "x", .stored = dims}), DTYPE_F32);
    f->y = build_input(g, graph_leaf(g, &(Leaf){.name = "y", .stored = dims}), DTYPE_F32);
    f->param = build_param(g, graph_leaf(g, &(Leaf){.name = "w", .stored = dims}));
    f->sum = build_binary(g, OP_ADD, f->x, f->y);
    graph_output(g, "sum", f->sum);
    graph_output(g, "w", f->sum);
    assert_null(graph_verify(g, f->arena));
    *state = f;
    return 0;
}

static int teardown(void **state) {
    Fixture *f = *state;
    arena_free(f->arena);
    free(f);
    return 0;
}

static Node *node_of(Fixture *f, NodeId id) {
    return &graph_slot(f->graph, id)->node;
}

static void assert_broken(Fixture *f, const char *message) {
    const char *found = graph_verify(f->graph, f->arena);
    assert_non_null(found);
    if (!strstr(found, message)) fail_msg("expected '%s', found '%s'", message, found);
}

static void dim_twice(void **state) {
    Fixture *f = *state;
    f->graph->dims[1].name = f->graph->dims[0].name;
    assert_broken(f, "two dims are called A");
}

static void extent_zero(void **state) {
    Fixture *f = *state;
    f->graph->dims[1].extent = 0;
    assert_broken(f, "dim B has extent 0");
}

static void leaf_twice(void **state) {
    Fixture *f = *state;
    f->graph->leaves[1].name = f->graph->leaves[0].name;
    assert_broken(f, "two leaves are called \"x\"");
}

static void token_width(void **state) {
    Fixture *f = *state;
    f->graph->leaves[1].token_bytes = 3;
    assert_broken(f, "leaf \"y\" has tokens of 3 bytes");
}

static void group_of_later(void **state) {
    Fixture *f = *state;
    f->graph->groups[0].forward = 1;
    assert_broken(f, "group 1 is the backward of group 1, which comes later");
}

static void group_unknown(void **state) {
    Fixture *f = *state;
    graph_slot(f->graph, f->sum)->group = 7;
    assert_broken(f, "%3: there is no group 7");
}

static void operand_after(void **state) {
    Fixture *f = *state;
    graph_set_name(f->graph, f->sum, "layer[0].s");
    ((NodeId *)node_of(f, f->sum)->operands)[1] = f->sum;
    assert_broken(f, "%3 (layer[0].s): operand 2 is %3, which does not come before it");
}

static void operands_unsorted(void **state) {
    Fixture *f = *state;
    NodeId *operands = (NodeId *)node_of(f, f->sum)->operands;
    operands[0] = f->y, operands[1] = f->x;
    assert_broken(f, "not in ascending order");
}

static void operand_count(void **state) {
    Fixture *f = *state;
    node_of(f, f->sum)->operand_count = 1;
    assert_broken(f, "%3: add takes 2 operands, not 1");
}

static void wrong_type(void **state) {
    Fixture *f = *state;
    node_of(f, f->sum)->dtype = DTYPE_I32;
    assert_broken(f, "add gives f32 here, not i32");
}

static void operand_type(void **state) {
    Fixture *f = *state;
    node_of(f, f->y)->dtype = DTYPE_I32;
    assert_broken(f, "add: operand 1 is f32, but operand 2 is i32");
}

static void dims_against_order(void **state) {
    Fixture *f = *state;
    NodeId last = build_unary(f->graph, OP_EXP, f->sum);  // has no user, so that its own rule is what breaks
    node_of(f, last)->dims = dim_bit(f->A);
    assert_broken(f, "its order is not a permutation of its dims");
}

static void order_of_other_dims(void **state) {
    Fixture *f = *state;
    node_of(f, f->sum)->order = (DimList){1, {f->A}};
    assert_broken(f, "add gives the dims {A,B} here, not [A]");
}

static void unknown_op(void **state) {
    Fixture *f = *state;
    node_of(f, f->sum)->op = OP_COUNT;
    assert_broken(f, "unknown op");
}

static void attribute(void **state) {
    Fixture *f = *state;
    NodeId max = build_reduce(f->graph, OP_MAX, f->sum, dim_bit(f->A));
    node_of(f, max)->attr.set = 0;
    assert_broken(f, "max over no dim");
}

static void unknown_leaf(void **state) {
    Fixture *f = *state;
    node_of(f, f->param)->attr.leaf = 99;
    assert_broken(f, "param has no leaf");
}

static void leaf_in_two_ways(void **state) {
    Fixture *f = *state;
    build_state(f->graph, node_of(f, f->param)->attr.leaf);
    assert_broken(f, "%4: leaf \"w\" is already bound to %2");
}

static void operand_in_two_ways(void **state) {
    Fixture *f = *state;
    build_operand(f->graph, 0, DTYPE_F32, (DimList){1, {f->A}});
    build_operand(f->graph, 0, DTYPE_F32, (DimList){1, {f->B}});
    assert_broken(f, "%5: operand 0 is already %4");
}

static void no_output(void **state) {
    Fixture *f = *state;
    f->graph->output_count = 0;
    assert_broken(f, "the graph has no output");
}

static void output_of_nothing(void **state) {
    Fixture *f = *state;
    f->graph->outputs[0].node = 99;
    assert_broken(f, "output \"sum\" is %99, which does not exist");
}

static void output_twice(void **state) {
    Fixture *f = *state;
    f->graph->outputs[1].name = f->graph->outputs[0].name;
    assert_broken(f, "two outputs are called \"sum\"");
}

static void next_value_of_other_dims(void **state) {
    Fixture *f = *state;
    graph_output(f->graph, "w", build_reduce(f->graph, OP_SUM, f->sum, dim_bit(f->A)));
    assert_broken(f, "output \"w\" has dims {B}, but the state of that name has {A,B}");
}

static void next_value_of_other_type(void **state) {
    Fixture *f = *state;
    graph_output(f->graph, "w", build_binary(f->graph, OP_LT, f->x, f->y));
    assert_broken(f, "output \"w\" is bool, but the state of that name is f32");
}

// An output may be called like an input: that is no state.
static void output_named_like_an_input(void **state) {
    Fixture *f = *state;
    graph_output(f->graph, "x", build_reduce(f->graph, OP_SUM, f->sum, dim_bit(f->A)));
    assert_null(graph_verify(f->graph, f->arena));
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(dim_twice),         TEST(extent_zero),         TEST(leaf_twice),
        TEST(token_width),       TEST(group_of_later),      TEST(group_unknown),
        TEST(operand_after),     TEST(operands_unsorted),   TEST(operand_count),
        TEST(wrong_type),        TEST(operand_type),        TEST(dims_against_order),
        TEST(order_of_other_dims), TEST(unknown_op),        TEST(attribute),
        TEST(unknown_leaf),      TEST(leaf_in_two_ways),    TEST(operand_in_two_ways),
        TEST(no_output),         TEST(output_of_nothing),   TEST(output_twice),
        TEST(next_value_of_other_dims), TEST(next_value_of_other_type), TEST(output_named_like_an_input),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
