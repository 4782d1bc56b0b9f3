// The float64 meaning of every op, against values computed by hand: one function value_<op> per row of ir/ops.def.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "ir/reference/reference.h"
#include "tests/reference/letters.h"

typedef struct {
    Arena *arena;
    Graph *graph;
} Fixture;

static Fixture fixture;

static int setup(void **state) {
    (void)state;
    fixture.arena = arena_create();
    fixture.graph = letters_graph(fixture.arena);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    arena_free(fixture.arena);
    return 0;
}

#define VALUES(...) ((const double[]){__VA_ARGS__})
#define FLOATS(dims, ...) letters_table(fixture.graph, DTYPE_F32, dims, VALUES(__VA_ARGS__))
#define INTEGERS(dims, ...) letters_table(fixture.graph, DTYPE_I32, dims, VALUES(__VA_ARGS__))
#define BOOLS(dims, ...) letters_table(fixture.graph, DTYPE_BOOL, dims, VALUES(__VA_ARGS__))

static void check_value(double got, double wanted, int64_t at) {
    bool equal = isnan(wanted) ? isnan(got) : got == wanted || fabs(got - wanted) <= 1e-15 * fmax(1.0, fabs(wanted));
    if (!equal) fail_msg("element %lld is %.17g, not %.17g", (long long)at, got, wanted);
}

static void check_node(NodeId node, const char *dims, const double *wanted) {
    Graph *graph = fixture.graph;
    DimList order = letters(graph, dims);
    assert_true(dim_list_set(&order) == graph_node(graph, node)->dims);
    graph_output(graph, "result", node);
    Reference *reference = reference_create(graph);
    assert_true(reference_run(reference, NULL));
    int64_t count = graph_elements(graph, graph_node(graph, node)->dims);
    double *values = ARENA_ARRAY(fixture.arena, double, (size_t)count);
    reference_reorder(graph, reference_value(reference, node), graph_node(graph, node)->order, order, values);
    for (int64_t i = 0; i < count; i++)
        check_value(values[i], wanted[i], i);
    reference_free(reference);
}

#define EXPECT(node, dims, ...) check_node(node, dims, VALUES(__VA_ARGS__))

static NodeId unary(Op op, NodeId a) {
    return build_unary(fixture.graph, op, a);
}

static NodeId binary(Op op, NodeId a, NodeId b) {
    return build_binary(fixture.graph, op, a, b);
}

static NodeId reduce(Op op, NodeId a, const char *over) {
    return build_reduce(fixture.graph, op, a, letter_set(fixture.graph, over));
}

// ---- sources

static void check_leaf(NodeId leaf, const char *name) {
    Graph *graph = fixture.graph;
    graph_output(graph, "out", binary(OP_ADD, leaf, FLOATS("", 1)));
    Reference *reference = reference_create(graph);
    const char *unbound = NULL;
    assert_false(reference_run(reference, &unbound));
    assert_string_equal(unbound, name);
    assert_false(reference_bind(reference, "nobody", VALUES(0)));
    assert_true(reference_bind(reference, name, VALUES(1, 2, 3, 4, 5, 6)));
    for (int run = 0; run < 2; run++) { // a second run starts afresh
        assert_true(reference_run(reference, &unbound));
        const double *values = reference_value(reference, graph_find_output(graph, "out"));
        for (int i = 0; i < 6; i++)
            check_value(values[i], i + 2, i);
    }
    reference_free(reference);
}

static LeafId leaf_over(const char *name, const char *dims) {
    Leaf leaf = {.name = name, .stored = letters(fixture.graph, dims), .stored_rank = (uint8_t)strlen(dims)};
    for (int i = 0; i < leaf.stored_rank; i++)
        leaf.group_end[i] = (uint8_t)(i + 1);
    return graph_leaf(fixture.graph, &leaf);
}

static void value_input(void **state) {
    (void)state;
    check_leaf(build_input(fixture.graph, leaf_over("x", "BC"), DTYPE_F32), "x");
}

static void value_param(void **state) {
    (void)state;
    check_leaf(build_param(fixture.graph, leaf_over("w", "BC")), "w");
}

static void value_state(void **state) {
    (void)state;
    check_leaf(build_state(fixture.graph, leaf_over("adam.m.w", "BC")), "adam.m.w");
}

static void value_operand(void **state) {
    (void)state;
    Graph *graph = fixture.graph;
    NodeId a = build_operand(graph, 0, DTYPE_F32, letters(graph, "B"));
    NodeId b = build_operand(graph, 1, DTYPE_F32, letters(graph, "B"));
    graph_output(graph, "out", binary(OP_SUB, a, b));
    Reference *reference = reference_create(graph);
    const char *unbound = NULL;
    assert_true(reference_bind_operand(reference, 0, VALUES(5, 7)));
    assert_false(reference_run(reference, &unbound));
    assert_string_equal(unbound, "operand 1");
    assert_true(reference_bind_operand(reference, 1, VALUES(1, 10)));
    assert_false(reference_bind_operand(reference, 2, VALUES(1, 10)));
    assert_true(reference_run(reference, &unbound));
    const double *values = reference_value(reference, graph_find_output(graph, "out"));
    check_value(values[0], 4, 0);
    check_value(values[1], -3, 1);
    reference_free(reference);
}

static void value_const(void **state) {
    (void)state;
    EXPECT(FLOATS("", -INFINITY), "", -INFINITY);
    EXPECT(FLOATS("BC", 1, 2, 3, 4, 5, 6), "CB", 1, 4, 2, 5, 3, 6);
    EXPECT(BOOLS("B", 1, 0), "B", 1, 0);
}

static void value_index(void **state) {
    (void)state;
    EXPECT(build_index(fixture.graph, letter(fixture.graph, 'D')), "D", 0, 1, 2, 3, 4);
    EXPECT(build_index(fixture.graph, letter(fixture.graph, 'A')), "A", 0);
}

// Known answers of the Random123 distribution (Salmon et al.), threefry2x32 with 20 rounds.
static void threefry_known_answers(void **state) {
    (void)state;
    static const struct {
        uint32_t counter[2], key[2], result[2];
    } known[] = {{{0, 0}, {0, 0}, {0x6b200159, 0x99ba4efe}},
                 {{0xffffffff, 0xffffffff}, {0xffffffff, 0xffffffff}, {0x1cb996fc, 0xbb002be7}},
                 {{0x243f6a88, 0x85a308d3}, {0x13198a2e, 0x03707344}, {0xc4923a9c, 0x483df7a0}}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        uint32_t result[2];
        reference_threefry(known[i].key, known[i].counter, result);
        assert_int_equal(result[0], known[i].result[0]);
        assert_int_equal(result[1], known[i].result[1]);
    }
    // FNV-1a's published vectors.
    assert_int_equal(reference_site_key(""), 0x811c9dc5);
    assert_int_equal(reference_site_key("a"), 0xe40c292c);
    assert_int_equal(reference_site_key("foobar"), 0xbf9cf968);
}

static double random_at(uint32_t seed, uint32_t step, uint32_t micro, const char *site, uint64_t index) {
    uint32_t stream[2], words[2];
    reference_threefry((uint32_t[]){seed, reference_site_key(site)}, (uint32_t[]){step, micro}, stream);
    reference_threefry(stream, (uint32_t[]){(uint32_t)index, (uint32_t)(index >> 32)}, words);
    assert_int_equal(reference_random_bits(seed, step, micro, site, index), words[0]);
    return (words[0] >> 8) / 16777216.0;
}

// The bits belong to the logical index in ascending dim ids (B before C), not to the stored order.
static void value_random(void **state) {
    (void)state;
    Graph *graph = fixture.graph;
    NodeId seed = INTEGERS("", 1337), step = INTEGERS("", 7), micro = INTEGERS("", 2);
    double wanted[6];
    for (uint64_t i = 0; i < 6; i++)
        wanted[i] = random_at(1337, 7, 2, "h.0.attn", i);
    check_node(build_random(graph, seed, step, micro, "h.0.attn", letters(graph, "CB")), "BC", wanted);
    for (uint64_t i = 0; i < 6; i++)
        wanted[i] = random_at(1337, 7, 2, "h.1.attn", i);
    check_node(build_random(graph, seed, step, micro, "h.1.attn", letters(graph, "BC")), "BC", wanted);
    NodeId negative = build_random(graph, INTEGERS("", -1), step, micro, "s", letters(graph, ""));
    EXPECT(negative, "", random_at(UINT32_MAX, 7, 2, "s", 0));
    random_at(1, 2, 3, "an index beyond 32 bits", 0x123456789abcu);
}

// ---- pointwise

static void value_add(void **state) {
    (void)state;
    EXPECT(binary(OP_ADD, FLOATS("B", 1, 2), FLOATS("C", 10, 20, 30)), "BC", 11, 21, 31, 12, 22, 32);
    EXPECT(binary(OP_ADD, FLOATS("CB", 1, 2, 3, 4, 5, 6), FLOATS("BC", 10, 20, 30, 40, 50, 60)), "BC", //
           11, 23, 35, 42, 54, 66);
    EXPECT(binary(OP_ADD, INTEGERS("", 3), INTEGERS("B", 4, -5)), "B", 7, -2);
}

static void value_sub(void **state) {
    (void)state;
    EXPECT(binary(OP_SUB, FLOATS("", 1), FLOATS("C", 1, 2, 0.5)), "C", 0, -1, 0.5);
}

static void value_mul(void **state) {
    (void)state;
    EXPECT(binary(OP_MUL, FLOATS("BA", 2, 3), FLOATS("AC", 1, -1, 0)), "ABC", 2, -2, 0, 3, -3, 0);
}

static void value_div(void **state) {
    (void)state;
    EXPECT(binary(OP_DIV, FLOATS("C", 1, -3, 0), FLOATS("", 4)), "C", 0.25, -0.75, 0);
    EXPECT(binary(OP_DIV, FLOATS("B", 1, 0), FLOATS("", 0)), "B", INFINITY, NAN);
}

static void value_neg(void **state) {
    (void)state;
    EXPECT(unary(OP_NEG, FLOATS("B", 1, -2)), "B", -1, 2);
}

static void value_exp(void **state) {
    (void)state;
    EXPECT(unary(OP_EXP, FLOATS("C", 0, 1, -INFINITY)), "C", 1, 2.718281828459045, 0);
}

static void value_log(void **state) {
    (void)state;
    EXPECT(unary(OP_LOG, FLOATS("C", 1, 2, 0)), "C", 0, 0.6931471805599453, -INFINITY);
}

static void value_sqrt(void **state) {
    (void)state;
    EXPECT(unary(OP_SQRT, FLOATS("C", 4, 2, -1)), "C", 2, 1.4142135623730951, NAN);
}

static void value_rsqrt(void **state) {
    (void)state;
    EXPECT(unary(OP_RSQRT, FLOATS("C", 4, 2, 0)), "C", 0.5, 0.7071067811865475, INFINITY);
}

static void value_tanh(void **state) {
    (void)state;
    EXPECT(unary(OP_TANH, FLOATS("C", 0, 1, -100)), "C", 0, 0.7615941559557649, -1);
}

static void value_erf(void **state) {
    (void)state;
    EXPECT(unary(OP_ERF, FLOATS("C", 0, 1, -0.5)), "C", 0, 0.8427007929497149, -0.5204998778130465);
}

static void value_sin(void **state) {
    (void)state;
    EXPECT(unary(OP_SIN, FLOATS("C", 0, 1, -2)), "C", 0, 0.8414709848078965, -0.9092974268256817);
}

static void value_cos(void **state) {
    (void)state;
    EXPECT(unary(OP_COS, FLOATS("C", 0, 1, -2)), "C", 1, 0.5403023058681398, -0.4161468365471424);
}

static void value_abs(void **state) {
    (void)state;
    EXPECT(unary(OP_ABS, FLOATS("C", 3, -2, 0)), "C", 3, 2, 0);
}

static void value_maximum(void **state) {
    (void)state;
    EXPECT(binary(OP_MAXIMUM, FLOATS("D", 1, 2, 3, NAN, 5), FLOATS("D", 2, 1, 3, 0, NAN)), "D", 2, 2, 3, NAN, NAN);
    EXPECT(binary(OP_MAXIMUM, FLOATS("", -INFINITY), FLOATS("B", -1, -INFINITY)), "B", -1, -INFINITY);
}

static void value_minimum(void **state) {
    (void)state;
    EXPECT(binary(OP_MINIMUM, FLOATS("D", 1, 2, 3, NAN, 5), FLOATS("D", 2, 1, 3, 0, NAN)), "D", 1, 1, 3, NAN, NAN);
}

static void value_lt(void **state) {
    (void)state;
    EXPECT(binary(OP_LT, FLOATS("H", 1, 2, 3, NAN), FLOATS("", 2)), "H", 1, 0, 0, 0);
    EXPECT(binary(OP_LT, INTEGERS("B", 1, 2), INTEGERS("C", 1, 2, 3)), "BC", 0, 1, 1, 0, 0, 1);
}

static void value_le(void **state) {
    (void)state;
    EXPECT(binary(OP_LE, FLOATS("H", 1, 2, 3, NAN), FLOATS("", 2)), "H", 1, 1, 0, 0);
}

static void value_eq(void **state) {
    (void)state;
    EXPECT(binary(OP_EQ, INTEGERS("C", 1, 2, 3), INTEGERS("", 2)), "C", 0, 1, 0);
    EXPECT(binary(OP_EQ, FLOATS("", NAN), FLOATS("B", NAN, 1)), "B", 0, 0);
}

static void value_and(void **state) {
    (void)state;
    EXPECT(binary(OP_AND, BOOLS("H", 0, 0, 1, 1), BOOLS("H", 0, 1, 0, 1)), "H", 0, 0, 0, 1);
}

static void value_or(void **state) {
    (void)state;
    EXPECT(binary(OP_OR, BOOLS("H", 0, 0, 1, 1), BOOLS("H", 0, 1, 0, 1)), "H", 0, 1, 1, 1);
}

static void value_not(void **state) {
    (void)state;
    EXPECT(unary(OP_NOT, BOOLS("B", 0, 1)), "B", 1, 0);
}

// What is not chosen does not matter, even when it is infinite or not a number.
static void value_where(void **state) {
    (void)state;
    EXPECT(build_where(fixture.graph, BOOLS("B", 1, 0), FLOATS("C", 1, 2, 3), FLOATS("", -INFINITY)), "BC", //
           1, 2, 3, -INFINITY, -INFINITY, -INFINITY);
    EXPECT(build_where(fixture.graph, BOOLS("B", 1, 0), FLOATS("", 4), FLOATS("B", NAN, 5)), "B", 4, 5);
}

static void value_to_float(void **state) {
    (void)state;
    EXPECT(unary(OP_TO_FLOAT, INTEGERS("B", -3, 4)), "B", -3, 4);
    EXPECT(unary(OP_TO_FLOAT, BOOLS("B", 1, 0)), "B", 1, 0);
}

// ---- reductions and contraction

static void value_sum(void **state) {
    (void)state;
    NodeId a = FLOATS("BC", 1, 2, 3, 4, 5, 6);
    EXPECT(reduce(OP_SUM, a, "B"), "C", 5, 7, 9);
    EXPECT(reduce(OP_SUM, a, "C"), "B", 6, 15);
    EXPECT(reduce(OP_SUM, a, "BC"), "", 21);
    EXPECT(reduce(OP_SUM, FLOATS("A", 4), "A"), "", 4);
}

static void value_max(void **state) {
    (void)state;
    NodeId a = FLOATS("BC", 1, 5, 3, -4, -INFINITY, -6);
    EXPECT(reduce(OP_MAX, a, "B"), "C", 1, 5, 3);
    EXPECT(reduce(OP_MAX, a, "C"), "B", 5, -4);
    EXPECT(reduce(OP_MAX, FLOATS("BC", 1, NAN, 3, -INFINITY, -INFINITY, -INFINITY), "C"), "B", NAN, -INFINITY);
}

static void value_lse(void **state) {
    (void)state;
    EXPECT(reduce(OP_LSE, FLOATS("BC", 0, 0, 0, 1, 2, 3), "C"), "B", 1.0986122886681098, 3.4076059644443806);
    EXPECT(reduce(OP_LSE, FLOATS("BC", 0, 0, 0, 1, 2, 3), "B"), "C", //
           1.3132616875182228, 2.1269280110429727, 3.0485873515737421);
    EXPECT(reduce(OP_LSE, FLOATS("BC", 1000, 1000, 1000, -1e9, -1e9, -1e9), "C"), "B", //
           1001.0986122886681, -999999998.9013877);
    EXPECT(reduce(OP_LSE, FLOATS("A", -3), "A"), "", -3);
}

// An empty row: p = exp(x - lse(x)) is 0 everywhere in it.
static void lse_of_empty_rows(void **state) {
    (void)state;
    NodeId x = FLOATS("CB", -INFINITY, -INFINITY, 0, -INFINITY, INFINITY, 0), lse = reduce(OP_LSE, x, "B");
    EXPECT(lse, "C", INFINITY, 0, INFINITY);
    NodeId rows = FLOATS("CB", -INFINITY, -INFINITY, 0, -INFINITY, 7, NAN), sums = reduce(OP_LSE, rows, "B");
    EXPECT(sums, "C", INFINITY, 0, NAN);
    EXPECT(unary(OP_EXP, binary(OP_SUB, rows, sums)), "CB", 0, 0, 1, 0, NAN, NAN);
    EXPECT(reduce(OP_LSE, FLOATS("A", -INFINITY), "A"), "", INFINITY);
}

static void value_contract(void **state) {
    (void)state;
    Graph *graph = fixture.graph;
    NodeId a = FLOATS("BC", 1, 2, 3, 4, 5, 6), b = FLOATS("CH", 1, 0, 0, 1, 0, 1, 0, 1, 0, 0, 1, 1);
    NodeId product = build_contract(graph, a, b, letter_set(graph, "C"));
    assert_int_equal(graph_node(graph, product)->op, OP_CONTRACT);
    EXPECT(product, "BH", 1, 2, 3, 6, 4, 5, 6, 15);
    // The same with the second operand stored the other way round.
    NodeId turned = FLOATS("HC", 1, 0, 0, 0, 1, 0, 0, 0, 1, 1, 1, 1);
    EXPECT(build_contract(graph, a, turned, letter_set(graph, "C")), "HB", 1, 4, 2, 5, 3, 6, 6, 15);
    // A batch dim, and two summed dims.
    NodeId q = FLOATS("BHA", 1, 2, 3, 4, 5, 6, 7, 8), k = FLOATS("BCA", 1, 0, -1, 2, 1, 0);
    NodeId scores = build_contract(graph, q, k, letter_set(graph, "A"));
    EXPECT(scores, "BCH", 1, 2, 3, 4, 0, 0, 0, 0, -1, -2, -3, -4, 10, 12, 14, 16, 5, 6, 7, 8, 0, 0, 0, 0);
    NodeId left = FLOATS("HBC", 1, 2, 3, 4, 5, 6, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, -1);
    NodeId right = FLOATS("CBE", 1, 1, 1, 0, 0, 1, 2, 2, 2, 0, 0, 1, 3, 3, 3, 0, 0, 1);
    EXPECT(build_contract(graph, left, right, letter_set(graph, "BC")), "HE", //
           14, 14, 29, 0, 0, 0, 6, 6, 9, 1, 1, 0);
}

// ---- moves

static void value_rename(void **state) {
    (void)state;
    NodeId a = FLOATS("BC", 1, 2, 3, 4, 5, 6);
    EXPECT(build_rename(fixture.graph, a, letter(fixture.graph, 'C'), letter(fixture.graph, 'E')), "EB", //
           1, 4, 2, 5, 3, 6);
}

static void value_prefix(void **state) {
    (void)state;
    NodeId a = FLOATS("DB", 0, 1, 2, 3, 4, 5, 6, 7, 8, 9);
    EXPECT(build_prefix(fixture.graph, a, letter(fixture.graph, 'D'), letter(fixture.graph, 'C')), "CB", //
           0, 1, 2, 3, 4, 5);
}

static void value_pad(void **state) {
    (void)state;
    NodeId a = FLOATS("CB", 1, 2, 3, 4, 5, 6);
    EXPECT(build_pad(fixture.graph, a, letter(fixture.graph, 'C'), letter(fixture.graph, 'D')), "BD", //
           1, 3, 5, 0, 0, 2, 4, 6, 0, 0);
}

static void value_select(void **state) {
    (void)state;
    NodeId a = FLOATS("BC", 1, 2, 3, 4, 5, 6);
    EXPECT(build_select(fixture.graph, a, letter(fixture.graph, 'C'), 2), "B", 3, 6);
    EXPECT(build_select(fixture.graph, a, letter(fixture.graph, 'B'), 0), "C", 1, 2, 3);
}

// Operands of different dims: the missing ones broadcast.
static void value_stack(void **state) {
    (void)state;
    NodeId entries[] = {FLOATS("B", 1, 2), FLOATS("", 0), FLOATS("AB", 3, 4)};
    EXPECT(build_stack(fixture.graph, entries, 3, letter(fixture.graph, 'C')), "CAB", 1, 2, 0, 0, 3, 4);
}

static void value_split(void **state) {
    (void)state;
    Graph *graph = fixture.graph;
    NodeId a = FLOATS("FB", 0, 10, 1, 11, 2, 12, 3, 13, 4, 14, 5, 15);
    EXPECT(build_split(graph, build_select(graph, a, letter(graph, 'B'), 1), letter(graph, 'F'), letter(graph, 'B'),
                       letter(graph, 'C')),
           "BC", 10, 11, 12, 13, 14, 15);
    EXPECT(
        build_split(graph, FLOATS("F", 0, 1, 2, 3, 4, 5), letter(graph, 'F'), letter(graph, 'C'), letter(graph, 'B')),
        "BC", 0, 2, 4, 1, 3, 5);
}

static void value_merge(void **state) {
    (void)state;
    Graph *graph = fixture.graph;
    NodeId a = FLOATS("BC", 0, 1, 2, 3, 4, 5);
    EXPECT(build_merge(graph, a, letter(graph, 'B'), letter(graph, 'C'), letter(graph, 'F')), "F", 0, 1, 2, 3, 4, 5);
    EXPECT(build_merge(graph, a, letter(graph, 'C'), letter(graph, 'B'), letter(graph, 'F')), "F", 0, 3, 1, 4, 2, 5);
}

// ---- indexed

static void value_gather(void **state) {
    (void)state;
    Graph *graph = fixture.graph;
    NodeId a = FLOATS("CB", 1, 2, 3, 4, 5, 6);
    EXPECT(build_gather(graph, a, INTEGERS("H", 2, 0, 2, 1), letter(graph, 'C')), "HB", 5, 6, 1, 2, 5, 6, 3, 4);
    // A dim in both is aligned.
    EXPECT(build_gather(graph, a, INTEGERS("B", 2, 0), letter(graph, 'C')), "B", 5, 2);
    EXPECT(build_gather(graph, a, INTEGERS("", 1), letter(graph, 'C')), "B", 3, 4);
    EXPECT(build_gather(graph, a, INTEGERS("B", -1, 3), letter(graph, 'C')), "B", NAN, NAN);
}

static void value_scatter(void **state) {
    (void)state;
    Graph *graph = fixture.graph;
    NodeId a = FLOATS("HB", 1, 2, 3, 4, 5, 6, 7, 8);
    NodeId index = INTEGERS("H", 2, 0, 2, 2);
    EXPECT(build_scatter(graph, a, index, letter(graph, 'C'), letters(graph, "CB")), "CB", 3, 4, 0, 0, 13, 16);
    // B is summed; an index of both operands' dims; an index outside adds nowhere.
    EXPECT(build_scatter(graph, a, index, letter(graph, 'C'), letters(graph, "C")), "C", 7, 0, 29);
    NodeId pairs = INTEGERS("HB", 0, 1, 1, 0, -1, 3, 2, 2);
    EXPECT(build_scatter(graph, a, pairs, letter(graph, 'C'), letters(graph, "CB")), "CB", 1, 4, 3, 2, 7, 8);
    // A dim of the index alone stays, and a is added once for each of its entries.
    EXPECT(build_scatter(graph, FLOATS("", 2), index, letter(graph, 'C'), letters(graph, "C")), "C", 2, 0, 6);
}

static void value_scatter_onto(void **state) {
    (void)state;
    Graph *graph = fixture.graph;
    NodeId a = FLOATS("HB", 1, 2, 3, 4, 5, 6, 7, 8);
    NodeId index = INTEGERS("H", 2, 0, 2, -1);
    // Rows of the base that no index names stay; so does all of it when every index lies outside.
    NodeId base = FLOATS("BC", 10, 20, 30, 40, 50, 60);
    EXPECT(build_scatter_onto(graph, a, index, base, letter(graph, 'C')), "CB", 13, 44, 20, 50, 36, 68);
    EXPECT(build_scatter_onto(graph, a, INTEGERS("H", 3, 3, -1, 4), base, letter(graph, 'C')), "BC", 10, 20, 30, 40, 50,
           60);
    NodeId row = FLOATS("C", 1, 2, 3);
    EXPECT(build_scatter_onto(graph, a, index, row, letter(graph, 'C')), "C", 8, 2, 17);
}

static void value_stop_gradient(void **state) {
    (void)state;
    EXPECT(build_stop_gradient(fixture.graph, FLOATS("BC", 1, 2, 3, 4, 5, 6)), "CB", 1, 4, 2, 5, 3, 6);
}

static void reorder(void **state) {
    (void)state;
    double values[30], turned[30], back[30];
    for (int i = 0; i < 30; i++)
        values[i] = i;
    DimList bcd = letters(fixture.graph, "BCD"), dbc = letters(fixture.graph, "DBC");
    reference_reorder(fixture.graph, values, bcd, dbc, turned);
    for (int b = 0; b < 2; b++) {
        for (int c = 0; c < 3; c++) {
            for (int d = 0; d < 5; d++)
                check_value(turned[(d * 2 + b) * 3 + c], (b * 3 + c) * 5 + d, d);
        }
    }
    reference_reorder(fixture.graph, turned, dbc, bcd, back);
    assert_memory_equal(back, values, sizeof values);
}

int main(void) {
    static const struct CMUnitTest tests[] = {
#define OP(ENUM, name, class_, operands, meaning) {"value_" #name, value_##name, setup, teardown, NULL},
#include "ir/ops.def"
#undef OP
        cmocka_unit_test_setup_teardown(threefry_known_answers, setup, teardown),
        cmocka_unit_test_setup_teardown(lse_of_empty_rows, setup, teardown),
        cmocka_unit_test_setup_teardown(reorder, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
