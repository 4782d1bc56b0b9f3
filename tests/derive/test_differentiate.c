// What the pass differentiate promises beyond right numbers: outputs, storage orders, names, groups, and that the
// backward pass meets the forward pass's nodes.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "passes/pass_functions.h"
#include "tests/reference/letters.h"

typedef struct {
    Arena *arena;
    Diags *diags;
    Graph *graph;
} Fixture;

static Fixture fixture;

static int setup(void **state) {
    (void)state;
    fixture.arena = arena_create();
    fixture.diags = diags_create(fixture.arena);
    fixture.graph = letters_graph(fixture.arena);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    arena_free(fixture.arena);
    return 0;
}

static Graph *differentiate(Graph *graph) {
    PassContext context = {.arena = fixture.arena, .diags = fixture.diags};
    return pass_differentiate(graph, &context);
}

static Graph *differentiate_sound(Graph *graph) {
    Graph *derived = differentiate(graph);
    assert_non_null(derived);
    assert_null(graph_verify(derived, fixture.arena));
    return derived;
}

static DimSet set(const char *dims) {
    return letter_set(fixture.graph, dims);
}

static void output_sum(NodeId node) {
    Graph *graph = fixture.graph;
    graph_output(graph, "loss", build_reduce(graph, OP_SUM, node, graph_node(graph, node)->dims));
}

static int count_live(const Graph *graph, Op op) {
    bool *live = graph_live(graph, fixture.arena);
    int count = 0;
    for (NodeId id = 0; id < graph_nodes(graph); id++)
        count += live[id] && graph_node(graph, id)->op == op;
    return count;
}

static void assert_order(const Graph *graph, NodeId node, const char *dims) {
    DimList wanted = letters(graph, dims);
    assert_true(dim_list_equal(&graph_node(graph, node)->order, &wanted));
}

// Softmax written as exp(x - lse(x)) is the very node that the derivative of lse asks for.
static void softmax_is_shared(void **state) {
    (void)state;
    Graph *graph = fixture.graph;
    NodeId x = letters_param(graph, "x", "BC"), v = letters_param(graph, "v", "CD");
    NodeId p = build_unary(graph, OP_EXP, build_binary(graph, OP_SUB, x, build_reduce(graph, OP_LSE, x, set("C"))));
    output_sum(build_contract(graph, p, v, set("C")));
    Graph *derived = differentiate_sound(graph);
    assert_int_equal(count_live(derived, OP_EXP), 1);
    assert_int_equal(count_live(derived, OP_LSE), 1);
}

// Cross-entropy: the gradient is pointwise, without gather or scatter.
static void cross_entropy_is_pointwise(void **state) {
    (void)state;
    Graph *graph = fixture.graph;
    NodeId x = letters_param(graph, "x", "BC");
    NodeId target = letters_table(graph, DTYPE_I32, "B", (const double[]){2, 0});
    NodeId hit = build_binary(graph, OP_EQ, build_index(graph, letter(graph, 'C')), target);
    NodeId chosen = build_reduce(graph, OP_SUM, build_where(graph, hit, x, build_const(graph, DTYPE_F32, 0)), set("C"));
    output_sum(build_binary(graph, OP_SUB, build_reduce(graph, OP_LSE, x, set("C")), chosen));
    Graph *derived = differentiate_sound(graph);
    assert_int_equal(count_live(derived, OP_GATHER) + count_live(derived, OP_SCATTER), 0);
    assert_int_equal(count_live(derived, OP_SUM), 2);
}

// A matrix product's gradients are matrix products, stored as the params are.
static void gradients_of_products(void **state) {
    (void)state;
    Graph *graph = fixture.graph;
    NodeId x = letters_param(graph, "x", "BDC"), w = letters_param(graph, "w", "FC"),
           b = letters_param(graph, "b", "F");
    NodeId y = build_binary(graph, OP_ADD, build_contract(graph, x, w, set("C")), b);
    output_sum(build_unary(graph, OP_TANH, y));
    Graph *derived = differentiate_sound(graph);
    assert_int_equal(count_live(derived, OP_CONTRACT), 3);
    assert_order(derived, graph_find_output(derived, "grad.x"), "BDC");
    assert_order(derived, graph_find_output(derived, "grad.w"), "FC");
    assert_int_equal(graph_node(derived, graph_find_output(derived, "grad.w"))->op, OP_CONTRACT);
    assert_int_equal(graph_node(derived, graph_find_output(derived, "grad.b"))->op, OP_SUM);
}

// q, k, v = t[Z=0], t[Z=1], t[Z=2]: one stack, and nothing added.
static void selects_become_one_stack(void **state) {
    (void)state;
    Graph *graph = fixture.graph;
    NodeId t = letters_param(graph, "t", "BCD"), parts[3];
    DimId z = letter(graph, 'C');
    for (int i = 0; i < 3; i++)
        parts[i] = build_select(graph, t, z, i);
    NodeId product = build_binary(graph, OP_MUL, parts[0], parts[1]);
    output_sum(build_unary(graph, OP_EXP, build_binary(graph, OP_MUL, product, parts[2])));
    Graph *derived = differentiate_sound(graph);
    NodeId gradient = graph_find_output(derived, "grad.t");
    assert_int_equal(graph_node(derived, gradient)->op, OP_STACK);
    assert_order(derived, gradient, "BCD");
    assert_int_equal(count_live(derived, OP_STACK), 1);
    assert_int_equal(count_live(derived, OP_ADD), 0);
}

// Of a long dim only the chosen entry is placed: the graph does not grow with the dim.
static void lone_select_is_not_stacked(void **state) {
    (void)state;
    Graph *graph = fixture.graph;
    NodeId t = letters_param(graph, "t", "GB");
    output_sum(build_select(graph, t, letter(graph, 'G'), 3));
    Graph *derived = differentiate_sound(graph);
    assert_int_equal(count_live(derived, OP_STACK), 0);
    assert_int_equal(count_live(derived, OP_EQ), 1);
}

static void groups_and_names(void **state) {
    (void)state;
    Graph *graph = fixture.graph;
    NodeId x = letters_param(graph, "x", "BC");
    GroupId gelu = graph_group(graph, "gelu", "layer[0].u", 0);
    graph_set_group(graph, gelu);
    NodeId y = build_unary(graph, OP_TANH, x);
    graph_set_name(graph, y, "layer[0].u");
    GroupId twice = graph_group(graph, "twice", "layer[0].w", 0);
    graph_set_group(graph, twice);
    NodeId sine = build_unary(graph, OP_SIN, y), cosine = build_unary(graph, OP_COS, y);
    graph_set_group(graph, 0);
    output_sum(build_binary(graph, OP_MUL, sine, cosine));
    Graph *derived = differentiate_sound(graph);
    assert_int_equal(graph_groups(derived), 4);
    GroupId backward_gelu = 0, backward_twice = 0;
    for (GroupId id = 3; id <= 4; id++) {
        if (graph_group_at(derived, id)->forward == gelu) backward_gelu = id;
        if (graph_group_at(derived, id)->forward == twice) backward_twice = id;
    }
    assert_string_equal(graph_group_at(derived, backward_gelu)->label, "gelu");
    assert_string_equal(graph_group_at(derived, backward_gelu)->place, "layer[0].u");
    NodeId gradient = graph_find_output(derived, "grad.x");
    assert_int_equal(graph_node_group(derived, gradient), backward_gelu);
    // The sum over the two users of y belongs to y's operator, its terms to theirs.
    const Node *product = graph_node(derived, gradient);
    NodeId sum = NODE_NONE;
    for (int i = 0; i < 2; i++) {
        if (graph_node(derived, product->operands[i])->op == OP_ADD) sum = product->operands[i];
    }
    assert_int_not_equal(sum, NODE_NONE);
    assert_string_equal(graph_node_name(derived, sum), "grad.layer[0].u");
    assert_int_equal(graph_node_group(derived, sum), backward_gelu);
    for (int i = 0; i < 2; i++)
        assert_int_equal(graph_node_group(derived, graph_node(derived, sum)->operands[i]), backward_twice);
}

// Existing outputs stay, gradients follow in the order of the leaves; what the loss does not depend on has none.
static void outputs_in_order_of_leaves(void **state) {
    (void)state;
    Graph *graph = fixture.graph;
    NodeId a = letters_param(graph, "a", "C"), idle = letters_param(graph, "idle", "C"),
           b = letters_param(graph, "b", "C");
    NodeId stopped = letters_param(graph, "stopped", "C");
    NodeId y = build_binary(graph, OP_MUL, b, build_binary(graph, OP_ADD, a, build_stop_gradient(graph, stopped)));
    output_sum(y);
    graph_output(graph, "y", y);
    graph_output(graph, "idle.twice", build_binary(graph, OP_ADD, idle, idle));
    Graph *derived = differentiate_sound(graph);
    static const char *const names[] = {"loss", "y", "idle.twice", "grad.a", "grad.b"};
    assert_int_equal(graph_outputs(derived), 5);
    for (uint32_t i = 0; i < 5; i++)
        assert_string_equal(graph_output_at(derived, i)->name, names[i]);
}

// A gradient that is constant along a dim still has it when it leaves.
static void constant_gradient_has_all_dims(void **state) {
    (void)state;
    NodeId w = letters_param(fixture.graph, "w", "BC");
    output_sum(w);
    Graph *derived = differentiate_sound(fixture.graph);
    NodeId gradient = graph_find_output(derived, "grad.w");
    assert_true(graph_node(derived, gradient)->dims == set("BC"));
    assert_order(derived, gradient, "BC");
}

static void refuse(Graph *graph, const char *reason) {
    size_t before = diags_errors(fixture.diags);
    assert_null(differentiate(graph));
    assert_int_equal(diags_errors(fixture.diags), before + 1);
    Text text = text_create(fixture.arena);
    diags_render(fixture.diags, &text);
    assert_non_null(strstr(text_string(&text), reason));
}

static void refusals(void **state) {
    (void)state;
    Graph *graph = fixture.graph;
    NodeId w = letters_param(graph, "w", "C");
    graph_output(graph, "y", w);
    refuse(graph, "no output 'loss'");
    graph_output(graph, "loss", w);
    refuse(graph, "without dimensions");
    graph_output(graph, "loss", build_const(graph, DTYPE_I32, 1));
    refuse(graph, "must be f32");
    output_sum(w);
    refuse(differentiate_sound(graph), "gradients already");
}

// Does nothing when the loss depends on no param.
static void nothing_to_do(void **state) {
    (void)state;
    Graph *graph = fixture.graph;
    output_sum(letters_table(graph, DTYPE_F32, "B", (const double[]){1, 2}));
    Graph *derived = differentiate_sound(graph);
    assert_int_equal(graph_outputs(derived), 1);
    assert_int_equal(graph_nodes(derived), graph_nodes(graph));
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    static const struct CMUnitTest tests[] = {
        TEST(softmax_is_shared),
        TEST(cross_entropy_is_pointwise),
        TEST(gradients_of_products),
        TEST(selects_become_one_stack),
        TEST(lone_select_is_not_stacked),
        TEST(groups_and_names),
        TEST(outputs_in_order_of_leaves),
        TEST(constant_gradient_has_all_dims),
        TEST(refusals),
        TEST(nothing_to_do),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
