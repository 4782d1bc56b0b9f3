// Rewrite passes on random graphs: the result verifies, has the same values by the reference, and the pass changes
// nothing the second time. Seeds are fixed; a failure prints the graph.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "passes/passes.h"
#include "tests/passes/same_values.h"

enum { GRAPHS = 3000, STEPS = 60 };

// A, B, C have one extent, so that renames meet; P is shorter, L longer; M = N * K.
static const struct {
    const char *name;
    int64_t extent;
} dims[] = {{"A", 3}, {"B", 3}, {"C", 3}, {"P", 2}, {"L", 5}, {"M", 6}, {"N", 3}, {"K", 2}};
enum { DIM_COUNT = sizeof dims / sizeof dims[0] };

typedef struct {
    Graph *graph;
    uint64_t state;
} Maker;

static uint32_t pick(Maker *maker, uint32_t below) {  // xorshift64* (Vigna, 2016)
    maker->state ^= maker->state >> 12;
    maker->state ^= maker->state << 25;
    maker->state ^= maker->state >> 27;
    return (uint32_t)((maker->state * 0x2545f4914f6cdd1du) >> 33) % below;
}

static DimId pick_dim(Maker *maker) {
    return (DimId)pick(maker, DIM_COUNT);
}

// A dim of the node, where it has one.
static DimId pick_dim_of(Maker *maker, NodeId id) {
    const DimList *order = &graph_node(maker->graph, id)->order;
    return order->rank ? order->dims[pick(maker, order->rank)] : 0;
}

static void add_sources(Maker *maker) {
    Graph *graph = maker->graph;
    for (int i = 0; i < 4; i++) {
        Leaf leaf = {.name = arena_format(graph_arena(graph), "x%d", i)};
        for (DimId dim = 0; dim < DIM_COUNT && leaf.stored.rank < 3; dim++)
            if (pick(maker, 3) == 0) leaf.stored.dims[leaf.stored.rank++] = dim;
        build_input(graph, graph_leaf(graph, &leaf), DTYPE_F32);
    }
    const double numbers[] = {1, -1, 0, -0.0, 2, 0.5, 3};
    for (int i = 0; i < 3; i++)
        build_const(graph, DTYPE_F32, numbers[pick(maker, 7)]);
    for (int i = 0; i < 2; i++)
        build_const(graph, DTYPE_BOOL, pick(maker, 2));
    for (int i = 0; i < 2; i++)
        build_unary(graph, OP_TO_FLOAT, build_index(graph, pick_dim(maker)));
}

// Ops whose values do not depend on the sign of a zero, and moves (some twice, to have inverse pairs).
static const Op ops[] = {OP_ADD,    OP_ADD,   OP_SUB,    OP_SUB,    OP_MUL,    OP_DIV,          OP_NEG,     OP_NEG,
                         OP_EXP,    OP_TANH,  OP_SQRT,   OP_COS,    OP_ABS,    OP_MAXIMUM,      OP_MINIMUM, OP_LT,
                         OP_LE,     OP_EQ,    OP_AND,    OP_OR,     OP_NOT,    OP_WHERE,        OP_WHERE,   OP_TO_FLOAT,
                         OP_SUM,    OP_MAX,   OP_RENAME, OP_RENAME, OP_RENAME, OP_PREFIX,       OP_PAD,     OP_SELECT,
                         OP_SELECT, OP_STACK, OP_SPLIT,  OP_MERGE,  OP_GATHER, OP_STOP_GRADIENT};

static bool is_nonzero_number(const Graph *graph, NodeId id) {
    const Node *node = graph_node(graph, id);
    return node->op == OP_CONST && node->dims == 0 && node->attr.value != 0;
}

// One random node, when the drawn parts obey the op's rule. Late nodes are likelier operands, so that chains get long.
static void add_node(Maker *maker) {
    Graph *graph = maker->graph;
    Op op = ops[pick(maker, sizeof ops / sizeof ops[0])];
    NodeId operands[3];
    uint32_t count = op_operands(op) == VARIADIC ? 3 : (uint32_t)op_operands(op), nodes = graph_nodes(graph);
    for (uint32_t i = 0; i < count; i++) {
        NodeId early = pick(maker, nodes), other = pick(maker, nodes);
        operands[i] = pick(maker, 2) && other > early ? other : early;
    }
    if (count > 1 && pick(maker, 6) == 0) operands[1] = operands[0];
    if (op == OP_DIV && !is_nonzero_number(graph, operands[1])) return;
    Attr attr = {.from = pick_dim_of(maker, operands[0]), .to = pick_dim(maker), .inner = pick_dim(maker)};
    attr.set = dim_bit(attr.from);
    attr.integer = (int32_t)pick(maker, 3);
    const char *error = NULL;
    build_node(graph, op, DTYPE_COUNT, NULL, operands, count, &attr, &error);
}

static Graph *random_graph(Arena *arena, uint64_t seed) {
    Maker maker = {graph_create(arena, "random"), seed * 0x9e3779b97f4a7c15u + 1};
    for (int i = 0; i < DIM_COUNT; i++)
        graph_dim(maker.graph, dims[i].name, dims[i].extent);
    add_sources(&maker);
    for (int i = 0; i < STEPS; i++)
        add_node(&maker);
    uint32_t nodes = graph_nodes(maker.graph);
    for (uint32_t i = 0; i < 3; i++)
        graph_output(maker.graph, arena_format(arena, "y%u", i), nodes - 1 - pick(&maker, nodes / 2));
    return maker.graph;
}

static void fail_with(const Graph *graph, const char *what, const char *detail, Arena *arena) {
    Text text = text_create(arena);
    graph_print(graph, &text);
    fail_msg("%s: %s\n%s", what, detail, text_string(&text));
}

// Returns whether the pass changed the graph.
static bool check_pass(const char *name, Graph **graph, PassContext *context) {
    Graph *before = *graph, *again;
    Plan *plan = NULL;
    assert_true(passes_run(graph, &plan, name, context, NULL));
    const char *wrong = same_values_graphs(before, *graph, context->arena);
    if (wrong) fail_with(before, name, wrong, context->arena);
    again = *graph;
    assert_true(passes_run(&again, &plan, name, context, NULL));
    if (again != *graph) fail_with(before, name, "changes its own result", context->arena);
    return *graph != before;
}

static void check_list(const char *const *names, int count) {
    Arena *arena = arena_create();
    int changed = 0;
    for (uint64_t seed = 1; seed <= GRAPHS; seed++) {
        arena_reset(arena);
        PassContext context = {.arena = arena, .diags = diags_create(arena)};
        Graph *graph = random_graph(arena, seed);
        for (int i = 0; i < count; i++)
            changed += check_pass(names[i], &graph, &context);
    }
    // A test of passes that never fire would show nothing.
    assert_true(changed > GRAPHS / 20);
    arena_free(arena);
}

static void simplify_keeps_values(void **state) {
    (void)state;
    check_list((const char *[]){"simplify"}, 1);
}

static void constants_keep_values(void **state) {
    (void)state;
    check_list((const char *[]){"constants"}, 1);
}

static void renames_keep_values(void **state) {
    (void)state;
    check_list((const char *[]){"renames"}, 1);
}

static void all_in_turn_keep_values(void **state) {
    (void)state;
    check_list((const char *[]){"simplify", "constants", "renames", "simplify"}, 4);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(simplify_keeps_values),
        cmocka_unit_test(constants_keep_values),
        cmocka_unit_test(renames_keep_values),
        cmocka_unit_test(all_in_turn_keep_values),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
