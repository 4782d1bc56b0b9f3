// Building: interning, shapes, preferred orders, copies, side notes.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "ir/graph.h"

// A graph with a few dims and leaves, made before each test.
typedef struct {
    Arena *arena;
    Graph *graph;
    DimId B, T, S, C, H, D, F, V;
    NodeId x, w, tok, scalar;  // [B,T,C], [C,F], i32 [B,T], [] f32
} Fixture;

static NodeId input(Graph *graph, const char *name, DType dtype, DimList dims) {
    return build_input(graph, graph_leaf(graph, &(Leaf){.name = name, .stored = dims, .init = INIT_CONSTANT}), dtype);
}

static int setup(void **state) {
    Fixture *f = calloc(1, sizeof *f);
    f->arena = arena_create();
    Graph *graph = f->graph = graph_create(f->arena, "test");
    f->B = graph_dim(graph, "B", 2), f->T = graph_dim(graph, "T", 3), f->S = graph_dim(graph, "S", 3);
    f->C = graph_dim(graph, "C", 6), f->H = graph_dim(graph, "H", 2), f->D = graph_dim(graph, "D", 3);
    f->F = graph_dim(graph, "F", 5), f->V = graph_dim(graph, "V", 7);
    f->x = input(graph, "x", DTYPE_F32, (DimList){3, {f->B, f->T, f->C}});
    f->w = input(graph, "w", DTYPE_F32, (DimList){2, {f->C, f->F}});
    f->tok = input(graph, "tok", DTYPE_I32, (DimList){2, {f->B, f->T}});
    f->scalar = input(graph, "scalar", DTYPE_F32, (DimList){0});
    *state = f;
    return 0;
}

static int teardown(void **state) {
    Fixture *f = *state;
    assert_null(graph_outputs(f->graph) ? graph_verify(f->graph, f->arena) : NULL);
    arena_free(f->arena);
    free(f);
    return 0;
}

// The node's order as "BTC".
static void assert_order(const Graph *graph, NodeId node, const char *names) {
    char text[MAX_RANK + 1] = {0};
    DimList order = graph_node(graph, node)->order;
    for (int i = 0; i < order.rank; i++) text[i] = graph_dim_name(graph, order.dims[i])[0];
    assert_string_equal(text, names);
    assert_int_equal(dim_list_set(&order), graph_node(graph, node)->dims);
}

static void dim_lists(void **state) {
    (void)state;
    DimList a = {3, {1, 2, 3}}, b = {2, {3, 5}};
    DimList both = dim_list_union(a, b), less = dim_list_without(a, dim_bit(2)), other = dim_list_replace(a, 2, 9);
    assert_true(dim_list_equal(&both, &(DimList){4, {1, 2, 3, 5}}));
    assert_true(dim_list_equal(&less, &(DimList){2, {1, 3}}));
    assert_true(dim_list_equal(&other, &(DimList){3, {1, 9, 3}}));
    assert_false(dim_list_equal(&a, &(DimList){3, {1, 3, 2}}));
    assert_int_equal(dim_list_set(&a), 14);
}

static void types_have_names(void **state) {
    (void)state;
    for (int i = 0; i < DTYPE_COUNT; i++) {
        DType dtype;
        assert_true(dtype_from_name(dtype_name((DType)i), &dtype));
        assert_int_equal(dtype, i);
    }
    DType dtype;
    assert_false(dtype_from_name("f64", &dtype));
    assert_int_equal(dtype_bytes(DTYPE_BF16), 2);
    assert_true(dtype_is_float(DTYPE_F16) && !dtype_is_float(DTYPE_I32));
}

static void ops_are_found_by_name(void **state) {
    (void)state;
    for (int i = 0; i < OP_COUNT; i++) {
        Op op;
        assert_true(op_from_name(op_name((Op)i), &op));
        assert_int_equal(op, i);
        assert_true(strlen(op_meaning((Op)i)) > 0);
        if (op_commutes((Op)i)) assert_int_equal(op_operands((Op)i), 2);
    }
    assert_int_equal(op_operands(OP_STACK), VARIADIC);
    assert_int_equal(op_class(OP_LSE), CLASS_REDUCE);
}

static void equal_nodes_are_one(void **state) {
    Fixture *f = *state;
    Graph *g = f->graph;
    NodeId y = build_unary(g, OP_EXP, f->x);
    assert_int_equal(build_unary(g, OP_EXP, f->x), y);
    assert_int_not_equal(build_unary(g, OP_NEG, f->x), y);
    assert_int_equal(build_binary(g, OP_ADD, f->x, y), build_binary(g, OP_ADD, y, f->x));
    assert_int_equal(build_contract(g, f->x, f->w, dim_bit(f->C)), build_contract(g, f->w, f->x, dim_bit(f->C)));
    assert_int_not_equal(build_binary(g, OP_SUB, f->x, y), build_binary(g, OP_SUB, y, f->x));
    assert_int_not_equal(build_reduce(g, OP_SUM, f->x, dim_bit(f->C)), build_reduce(g, OP_SUM, f->x, dim_bit(f->T)));
    assert_int_not_equal(build_reduce(g, OP_SUM, f->x, dim_bit(f->C)), build_reduce(g, OP_MAX, f->x, dim_bit(f->C)));
}

static void numbers_are_equal_by_bits(void **state) {
    Fixture *f = *state;
    Graph *g = f->graph;
    assert_int_equal(build_const(g, DTYPE_F32, 0.5), build_const(g, DTYPE_F32, 0.5));
    assert_int_not_equal(build_const(g, DTYPE_F32, 0.0), build_const(g, DTYPE_F32, -0.0));
    assert_int_not_equal(build_const(g, DTYPE_F32, 1), build_const(g, DTYPE_I32, 1));
    assert_int_equal(build_const(g, DTYPE_I32, 0.0), build_const(g, DTYPE_I32, -0.0));
    assert_int_equal(build_const(g, DTYPE_F32, -__builtin_nan("")), build_const(g, DTYPE_F32, __builtin_nan("1")));
}

static void tables_are_equal_by_content(void **state) {
    Fixture *f = *state;
    Graph *g = f->graph;
    double rows[] = {1, 2, 3, 4, 5, 6}, columns[] = {1, 4, 2, 5, 3, 6};
    NodeId a = build_table(g, DTYPE_F32, (DimList){2, {f->B, f->T}}, rows);
    rows[0] = 1;
    assert_int_equal(build_table(g, DTYPE_F32, (DimList){2, {f->B, f->T}}, rows), a);
    assert_int_equal(build_table(g, DTYPE_F32, (DimList){2, {f->T, f->B}}, columns), a);
    assert_int_not_equal(build_table(g, DTYPE_F32, (DimList){2, {f->T, f->B}}, rows), a);
    rows[0] = 9;  // the graph has its own copy
    assert_true(graph_node(g, a)->attr.table[0] == 1);
    graph_set_order(g, a, (DimList){2, {f->T, f->B}});
    assert_memory_equal(graph_node(g, a)->attr.table, columns, sizeof columns);
    // Found again after its storage order changed.
    rows[0] = 1;
    assert_int_equal(build_table(g, DTYPE_F32, (DimList){2, {f->B, f->T}}, rows), a);
}

static void orders_are_derived(void **state) {
    Fixture *f = *state;
    Graph *g = f->graph;
    NodeId bias = input(g, "bias", DTYPE_F32, (DimList){2, {f->F, f->C}});
    assert_order(g, build_binary(g, OP_ADD, bias, f->x), "BTCF");
    assert_order(g, build_binary(g, OP_ADD, f->scalar, f->x), "BTC");
    assert_order(g, build_reduce(g, OP_SUM, f->x, dim_bit(f->T)), "BC");
    assert_order(g, build_contract(g, f->x, f->w, dim_bit(f->C)), "BTF");
    NodeId q = build_split(g, f->x, f->C, f->H, f->D);
    assert_order(g, q, "BTHD");
    NodeId k = build_rename(g, q, f->T, f->S);
    assert_order(g, k, "BSHD");
    assert_order(g, build_contract(g, k, q, dim_bit(f->D)), "BHST");
    assert_order(g, build_merge(g, q, f->H, f->D, f->C), "BTC");
    assert_order(g, build_select(g, q, f->H, 1), "BTD");
    assert_order(g, build_stack(g, (NodeId[]){f->w, f->scalar}, 2, f->B), "BCF");
    NodeId table = input(g, "wte", DTYPE_F32, (DimList){2, {f->V, f->C}});
    NodeId embedded = build_gather(g, table, f->tok, f->V);
    assert_order(g, embedded, "BTC");
    assert_order(g, build_scatter(g, embedded, f->tok, f->V, (DimList){2, {f->C, f->V}}), "CV");
    const char *error = NULL;
    Attr attr = {.to = f->V, .set = dim_bit(f->V) | dim_bit(f->F)};
    NodeId wide = build_contract(g, f->x, f->w, dim_bit(f->C));
    assert_order(g, build_node(g, OP_SCATTER, DTYPE_COUNT, NULL, (NodeId[]){wide, f->tok}, 2, &attr, &error), "VF");
    assert_null(error);
}

static void contract_falls_back(void **state) {
    Fixture *f = *state;
    Graph *g = f->graph;
    // Each keeps a dim of its own: a contraction.
    assert_int_equal(graph_node(g, build_contract(g, f->x, f->w, dim_bit(f->C)))->op, OP_CONTRACT);
    // Over T, which only x has: summed there first; then C is contracted.
    NodeId both = build_contract(g, f->x, f->w, dim_bit(f->C) | dim_bit(f->T));
    const Node *node = graph_node(g, both);
    assert_int_equal(node->op, OP_CONTRACT);
    assert_order(g, both, "BF");
    // A bias keeps nothing that x lacks: multiply and sum.
    NodeId bias = input(g, "bias", DTYPE_F32, (DimList){1, {f->C}});
    node = graph_node(g, build_contract(g, f->x, bias, dim_bit(f->C)));
    assert_int_equal(node->op, OP_SUM);
    assert_int_equal(graph_node(g, node->operands[0])->op, OP_MUL);
    // All of `over` in one operand: sum, then multiply.
    assert_int_equal(graph_node(g, build_contract(g, f->x, bias, dim_bit(f->T)))->op, OP_MUL);
}

static void moves_of_nothing_are_nothing(void **state) {
    Fixture *f = *state;
    assert_int_equal(build_rename(f->graph, f->x, f->T, f->T), f->x);
    NodeId renamed = build_rename(f->graph, f->x, f->T, f->S);
    assert_int_equal(build_prefix(f->graph, f->x, f->T, f->S), renamed);
    assert_int_equal(build_pad(f->graph, f->x, f->T, f->S), renamed);
}

static void rules_answer_in_sentences(void **state) {
    Fixture *f = *state;
    const char *error = NULL;
    NodeId node = build_node(f->graph, OP_CONTRACT, DTYPE_COUNT, NULL, (NodeId[]){f->x, f->w}, 2,
                             &(Attr){.set = dim_bit(f->D)}, &error);
    assert_int_equal(node, NODE_NONE);
    assert_string_equal(error, "contract over {D}: operand 1 [B,T,C] lacks D");
    node = build_node(f->graph, OP_RENAME, DTYPE_COUNT, NULL, &f->x, 1, &(Attr){.from = DIM_NONE, .to = 63}, &error);
    assert_int_equal(node, NODE_NONE);
    assert_string_equal(error, "rename has no dim `from`");
    node = build_node(f->graph, OP_SUM, DTYPE_COUNT, NULL, &f->x, 1, &(Attr){.set = ~(DimSet)0}, &error);
    assert_int_equal(node, NODE_NONE);
    node = build_node(f->graph, OP_NEG, DTYPE_COUNT, NULL, (NodeId[]){1000}, 1, NULL, &error);
    assert_string_equal(error, "neg: operand 1 does not exist");
    node = build_node(f->graph, OP_STATE, DTYPE_COUNT, NULL, NULL, 0, &(Attr){.leaf = 99}, &error);
    assert_string_equal(error, "state has no leaf");
    DimList twice = {2, {f->B, f->B}}, unknown = {1, {63}};
    node = build_node(f->graph, OP_OPERAND, DTYPE_F32, &twice, NULL, 0, NULL, &error);
    assert_string_equal(error, "operand [B,B] has a dim twice");
    node = build_node(f->graph, OP_OPERAND, DTYPE_F32, &unknown, NULL, 0, NULL, &error);
    assert_string_equal(error, "operand names a dim that the graph does not have");
    node = build_node(f->graph, OP_OPERAND, DTYPE_F32, NULL, NULL, 0, NULL, &error);
    assert_string_equal(error, "operand needs its dims");
    node = build_node(f->graph, OP_INPUT, DTYPE_COUNT, NULL, NULL, 0, &(Attr){.leaf = 0}, &error);
    assert_string_equal(error, "input needs its type");
}

static void dims_are_named_once(void **state) {
    Fixture *f = *state;
    assert_int_equal(graph_dim(f->graph, "T", 3), f->T);
    DimId fresh = graph_dim_fresh(f->graph, "T", 9);
    assert_string_equal(graph_dim_name(f->graph, fresh), "T1");
    assert_string_equal(graph_dim_name(f->graph, graph_dim_fresh(f->graph, "T", 9)), "T2");
    assert_int_equal(graph_elements(f->graph, dim_bit(f->B) | dim_bit(fresh)), 18);
    while (graph_dims(f->graph) < MAX_DIMS) assert_int_not_equal(graph_dim_fresh(f->graph, "T", 1), DIM_NONE);
    assert_int_equal(graph_dim_fresh(f->graph, "T", 1), DIM_NONE);
}

static void notes_are_the_first_writers(void **state) {
    Fixture *f = *state;
    Graph *g = f->graph;
    GroupId first = graph_group(g, "norm", "layer[0].a", 0), second = graph_group(g, "gelu", "layer[0].u", first);
    assert_int_equal(graph_set_group(g, first), 0);
    NodeId y = build_unary(g, OP_EXP, f->x);
    assert_int_equal(graph_set_group(g, second), first);
    assert_int_equal(build_unary(g, OP_EXP, f->x), y);
    assert_int_equal(graph_node_group(g, y), first);
    assert_int_equal(graph_node_group(g, f->x), 0);
    assert_null(graph_node_name(g, y));
    graph_set_name(g, y, "layer[0].p");
    graph_set_name(g, y, "other");
    assert_string_equal(graph_node_name(g, y), "layer[0].p");
    graph_set_order(g, y, (DimList){3, {f->C, f->B, f->T}});
    assert_order(g, y, "CBT");
    assert_int_equal(graph_group_at(g, second)->forward, first);
}

static void leaves_and_outputs_are_found(void **state) {
    Fixture *f = *state;
    Graph *g = f->graph;
    assert_int_equal(graph_find_leaf_node(g, "w"), f->w);
    assert_int_equal(graph_find_leaf_node(g, "nothing"), NODE_NONE);
    const Leaf *leaf = graph_leaf_at(g, graph_node(g, f->w)->attr.leaf);
    assert_int_equal(leaf->stored_rank, 2);
    assert_int_equal(leaf->group_end[1], 2);
    graph_output(g, "y", f->x);
    graph_output(g, "z", f->x);
    graph_output(g, "y", f->w);
    assert_int_equal(graph_outputs(g), 2);
    assert_string_equal(graph_output_at(g, 0)->name, "y");
    assert_int_equal(graph_find_output(g, "y"), f->w);
    assert_int_equal(graph_find_output(g, "a"), NODE_NONE);
}

// Rebuilding from the outputs drops dead nodes and keeps names, orders and groups.
static void copies_keep_their_notes(void **state) {
    Fixture *f = *state;
    Graph *g = f->graph;
    GroupId group = graph_group(g, "exp", "p", 0);
    build_unary(g, OP_NEG, f->x);  // dead
    graph_set_group(g, group);
    NodeId y = build_unary(g, OP_EXP, f->x);
    NodeId table = build_table(g, DTYPE_F32, (DimList){1, {f->B}}, (double[]){1, 2});
    NodeId z = build_binary(g, OP_ADD, y, table);
    graph_set_group(g, 0);
    graph_set_name(g, y, "p");
    graph_set_order(g, z, (DimList){3, {f->T, f->B, f->C}});
    graph_output(g, "z", z);

    bool *live = graph_live(g, f->arena);
    assert_true(live[f->x] && live[y] && !live[f->w]);
    Graph *copy = graph_create_like(f->arena, g);
    assert_string_equal(graph_name(copy), "test");
    NodeId map[64];
    for (NodeId id = 0; id < graph_nodes(g); id++)
        if (live[id]) map[id] = build_copy_mapped(copy, g, id, map);
    graph_output(copy, "z", map[z]);
    assert_int_equal(graph_nodes(copy), 4);
    Text before = text_create(f->arena), after = text_create(f->arena);
    graph_print(g, &before);
    graph_print(copy, &after);
    assert_string_equal(text_string(&before), text_string(&after));
    assert_null(graph_verify(copy, f->arena));
}

// Nodes stay where they are while thousands more are built, and are all found again.
static void large_graphs_stay_interned(void **state) {
    Fixture *f = *state;
    Graph *g = f->graph;
    const Node *first = graph_node(g, f->x);
    enum { COUNT = 5000 };
    NodeId ids[COUNT];
    for (int i = 0; i < COUNT; i++) ids[i] = build_const(g, DTYPE_F32, i);
    uint32_t nodes = graph_nodes(g);
    for (int i = 0; i < COUNT; i++) assert_int_equal(build_const(g, DTYPE_F32, i), ids[i]);
    assert_int_equal(graph_nodes(g), nodes);
    assert_ptr_equal(graph_node(g, f->x), first);
    assert_ptr_equal(graph_string(g, "some text"), graph_string(g, "some text"));
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dim_lists),       cmocka_unit_test(types_have_names), cmocka_unit_test(ops_are_found_by_name),
        TEST(equal_nodes_are_one),         TEST(numbers_are_equal_by_bits),    TEST(tables_are_equal_by_content),
        TEST(orders_are_derived),          TEST(contract_falls_back),          TEST(moves_of_nothing_are_nothing),
        TEST(rules_answer_in_sentences),   TEST(dims_are_named_once),          TEST(notes_are_the_first_writers),
        TEST(leaves_and_outputs_are_found), TEST(copies_keep_their_notes),     TEST(large_graphs_stay_interned),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
