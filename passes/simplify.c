// simplify: identities that change no rounding.
//
// Requires: nothing. Ensures: no node of the result matches an identity below; outputs keep their values. Does nothing
// where no identity applies.
//
//     %3 = mul f32[B,C] %2 1
//     %4 = neg f32[B,C] %3            ->   %3 = sub f32[B,C] %1 %2
//     %5 = add f32[B,C] %1 %4
//
// Every identity holds for all floating values, infinities and NaN among them, with one liberty: where a result is
// zero, its sign may differ (x + 0 turns -0 into +0, and x does not). Sums and products are never regrouped, so no
// other bit changes. For the same reason x * 0, x - x and x / x stay: x may be NaN or infinite. An identity never fires
// when it would lose dims: in where(c, a, a) the condition may have dims that a lacks.
#include <math.h>

#include "base/planted.h"
#include "passes/pass_functions.h"
#include "passes/rewrite.h"

// ---- patterns

static bool is_op(const Graph *graph, NodeId node, Op op) {
    return graph_node(graph, node)->op == op;
}

// A number (a constant without dims) equal to `value`; -0 equals 0.
static bool is_number(const Graph *graph, NodeId id, double value) {
    const Node *node = graph_node(graph, id);
    return node->op == OP_CONST && node->dims == 0 && node->attr.value == value;
}

// The operand beside a number `value`, of a commuting op.
static NodeId beside_number(const Graph *graph, const Node *node, double value) {
    if (is_number(graph, node->operands[1], value)) return node->operands[0];
    if (is_number(graph, node->operands[0], value)) return node->operands[1];
    return NODE_NONE;
}

static NodeId operand_of(const Graph *graph, NodeId node, int i) {
    return graph_node(graph, node)->operands[i];
}

// `candidate` in place of `node`, unless dims would be lost.
static NodeId same_dims(const Graph *graph, const Node *node, NodeId candidate) {
    return graph_node(graph, candidate)->dims == node->dims ? candidate : NODE_NONE;
}

// ---- arithmetic

// x * 1, x / 1 -> x: exact.
static NodeId multiply_by_one(Graph *graph, const Node *node) {
    return beside_number(graph, node, 1);
}

static NodeId divide_by_one(Graph *graph, const Node *node) {
    return is_number(graph, node->operands[1], 1) ? node->operands[0] : NODE_NONE;
}

// x * -1 -> -x: exact, only the sign bit changes.
static NodeId multiply_by_minus_one(Graph *graph, const Node *node) {
    NodeId x = beside_number(graph, node, -1);
    return x == NODE_NONE ? x : build_unary(graph, OP_NEG, x);
}

// x / 2^k -> x * 2^-k: both are the correctly rounded value of one real number, as long as 2^-k is a normal f32.
static NodeId divide_by_power_of_two(Graph *graph, const Node *node) {
    const Node *divisor = graph_node(graph, node->operands[1]);
    if (divisor->op != OP_CONST || divisor->dims != 0) return NODE_NONE;
    int exponent;
    double value = divisor->attr.value;
    if (fabs(frexp(value, &exponent)) != 0.5 || exponent < -124 || exponent > 126) return NODE_NONE;
    NodeId x = node->operands[0];
    return build_binary(graph, OP_MUL, x, build_const(graph, node->dtype, 1 / value));
}

// x + 0 -> x: exact but for the sign of a zero.
static NodeId add_zero(Graph *graph, const Node *node) {
    return beside_number(graph, node, 0);
}

// x - 0 -> x: exact.
static NodeId subtract_zero(Graph *graph, const Node *node) {
    return is_number(graph, node->operands[1], 0) ? node->operands[0] : NODE_NONE;
}

// 0 - x -> -x: exact but for the sign of a zero.
static NodeId subtract_from_zero(Graph *graph, const Node *node) {
    return is_number(graph, node->operands[0], 0) ? build_unary(graph, OP_NEG, node->operands[1]) : NODE_NONE;
}

// x + -y -> x - y: IEEE 754 defines the difference so.
static NodeId add_negated(Graph *graph, const Node *node) {
    for (int i = 0; i < 2; i++)
        if (is_op(graph, node->operands[i], OP_NEG))
            return build_binary(graph, OP_SUB, node->operands[1 - i], operand_of(graph, node->operands[i], 0));
    return NODE_NONE;
}

// x - -y -> x + y: as above.
static NodeId subtract_negated(Graph *graph, const Node *node) {
    if (!is_op(graph, node->operands[1], OP_NEG)) return NODE_NONE;
    return build_binary(graph, OP_ADD, node->operands[0], operand_of(graph, node->operands[1], 0));
}

// -(-x) -> x: exact.
static NodeId negate_twice(Graph *graph, const Node *node) {
    return is_op(graph, node->operands[0], OP_NEG) ? operand_of(graph, node->operands[0], 0) : NODE_NONE;
}

// -(x - y) -> y - x: rounding is symmetric about zero, so exact but for the sign of a zero.
static NodeId negate_difference(Graph *graph, const Node *node) {
    NodeId difference = node->operands[0];
    if (!is_op(graph, difference, OP_SUB)) return NODE_NONE;
    return build_binary(graph, OP_SUB, operand_of(graph, difference, 1), operand_of(graph, difference, 0));
}

// |-x|, ||x|| -> |x|: exact.
static NodeId absolute_of_sign(Graph *graph, const Node *node) {
    NodeId x = node->operands[0];
    if (is_op(graph, x, OP_ABS)) return x;
    return is_op(graph, x, OP_NEG) ? build_unary(graph, OP_ABS, operand_of(graph, x, 0)) : NODE_NONE;
}

// max(x, x), min(x, x), x and x, x or x -> x: exact.
static NodeId same_operands(Graph *graph, const Node *node) {
    (void)graph;
    return node->operands[0] == node->operands[1] ? node->operands[0] : NODE_NONE;
}

// ---- truth

static NodeId and_true(Graph *graph, const Node *node) {
    return beside_number(graph, node, 1);
}
static NodeId or_false(Graph *graph, const Node *node) {
    return beside_number(graph, node, 0);
}

static NodeId not_twice(Graph *graph, const Node *node) {
    return is_op(graph, node->operands[0], OP_NOT) ? operand_of(graph, node->operands[0], 0) : NODE_NONE;
}

// where(c, a, a) -> a
static NodeId where_equal_arms(Graph *graph, const Node *node) {
    return node->operands[1] == node->operands[2] ? same_dims(graph, node, node->operands[1]) : NODE_NONE;
}

// where(true, a, b) -> a; where(false, a, b) -> b
static NodeId where_known(Graph *graph, const Node *node) {
    if (is_number(graph, node->operands[0], 1)) return same_dims(graph, node, node->operands[1]);
    if (is_number(graph, node->operands[0], 0)) return same_dims(graph, node, node->operands[2]);
    return NODE_NONE;
}

// where(not c, a, b) -> where(c, b, a)
static NodeId where_not(Graph *graph, const Node *node) {
    if (!is_op(graph, node->operands[0], OP_NOT)) return NODE_NONE;
    int yes = PLANTED(where_not_keeps_arms) ? 1 : 2;
    return build_where(graph, operand_of(graph, node->operands[0], 0), node->operands[yes], node->operands[3 - yes]);
}

// where(c, where(c, a, b), d) -> where(c, a, d); where(c, a, where(c, b, d)) -> where(c, a, d)
static NodeId where_of_where(Graph *graph, const Node *node) {
    NodeId condition = node->operands[0], arms[2] = {node->operands[1], node->operands[2]};
    DimSet dims = graph_node(graph, condition)->dims;
    for (int i = 0; i < 2; i++) {
        if (is_op(graph, arms[i], OP_WHERE) && operand_of(graph, arms[i], 0) == condition)
            arms[i] = operand_of(graph, arms[i], 1 + i);
        dims |= graph_node(graph, arms[i])->dims;
    }
    bool unchanged = arms[0] == node->operands[1] && arms[1] == node->operands[2];
    return unchanged || dims != node->dims ? NODE_NONE : build_where(graph, condition, arms[0], arms[1]);
}

// ---- moves: the same numbers, so nothing rounds

// stack(x[Z=0], x[Z=1], ...) over all of Z, in order -> x, under the name of the new dim
static NodeId stack_of_selects(Graph *graph, const Node *node) {
    const Node *first = graph_node(graph, node->operands[0]);
    if (first->op != OP_SELECT || graph_extent(graph, first->attr.from) != node->operand_count) return NODE_NONE;
    NodeId whole = first->operands[0];
    DimId from = first->attr.from;
    for (uint32_t i = 0; i < node->operand_count; i++) {
        const Node *entry = graph_node(graph, node->operands[i]);
        if (entry->op != OP_SELECT || entry->operands[0] != whole || entry->attr.from != from) return NODE_NONE;
        if (entry->attr.integer != (int32_t)i) return NODE_NONE;
    }
    return rewrite_rename(graph, whole, from, node->attr.to);
}

// stack(a, b, ...)[Z=i] -> entry i
static NodeId select_of_stack(Graph *graph, const Node *node) {
    const Node *stack = graph_node(graph, node->operands[0]);
    if (stack->op != OP_STACK || stack->attr.to != node->attr.from) return NODE_NONE;
    int32_t entry = node->attr.integer;
    if (PLANTED(select_of_stack_off_by_one) && entry > 0) entry--;
    return same_dims(graph, node, stack->operands[entry]);
}

// x[E=F] (renamed, shortened or padded), then entry i of F -> entry i of E, where x has one
static NodeId select_of_move(Graph *graph, const Node *node) {
    const Node below = *graph_node(graph, node->operands[0]);
    if (below.op != OP_RENAME && below.op != OP_PREFIX && below.op != OP_PAD) return NODE_NONE;
    if (below.attr.to != node->attr.from) return NODE_NONE;
    if (node->attr.integer >= graph_extent(graph, below.attr.from)) return NODE_NONE;
    return build_select(graph, below.operands[0], below.attr.from, node->attr.integer);
}

// x[a=b][b=c] -> x[a=c], and x where c is a
static NodeId rename_twice(Graph *graph, const Node *node) {
    const Node *below = graph_node(graph, node->operands[0]);
    if (below->op != OP_RENAME || below->attr.to != node->attr.from) return NODE_NONE;
    return rewrite_rename(graph, node->operands[0], node->attr.from, node->attr.to);
}

// The first extent(to) entries of x along `from`, zeros after its last: whichever move that is.
static NodeId resize(Graph *graph, NodeId x, DimId from, DimId to) {
    int64_t have = graph_extent(graph, from), want = graph_extent(graph, to);
    if (want < have) return build_prefix(graph, x, from, to);
    return want > have ? build_pad(graph, x, from, to) : rewrite_rename(graph, x, from, to);
}

// Prefix of pad, of prefix, and pad of pad -> one move or none. Pad of prefix stays: it clears entries.
static NodeId resize_twice(Graph *graph, const Node *node) {
    const Node below = *graph_node(graph, node->operands[0]);
    if (below.op != OP_PAD && !(below.op == OP_PREFIX && node->op == OP_PREFIX)) return NODE_NONE;
    if (below.attr.to != node->attr.from) return NODE_NONE;
    return resize(graph, below.operands[0], below.attr.from, node->attr.to);
}

// split(merge(x)) into the same dims -> x
static NodeId split_of_merge(Graph *graph, const Node *node) {
    const Node *merge = graph_node(graph, node->operands[0]);
    bool inverse = merge->op == OP_MERGE && merge->attr.to == node->attr.from && merge->attr.from == node->attr.to &&
                   merge->attr.inner == node->attr.inner;
    return inverse ? merge->operands[0] : NODE_NONE;
}

// merge(split(x)) of the same dims -> x, under the name of the new dim
static NodeId merge_of_split(Graph *graph, const Node *node) {
    const Node *split = graph_node(graph, node->operands[0]);
    bool inverse = split->op == OP_SPLIT && split->attr.to == node->attr.from && split->attr.inner == node->attr.inner;
    return inverse ? rewrite_rename(graph, split->operands[0], split->attr.from, node->attr.to) : NODE_NONE;
}

// x at E = index of T -> the first extent(T) entries of x, with E called T
static NodeId gather_by_index(Graph *graph, const Node *node) {
    const Node index = *graph_node(graph, node->operands[1]);
    NodeId x = node->operands[0];
    if (index.op != OP_INDEX) return NODE_NONE;
    DimId from = node->attr.from, to = index.attr.to;
    if (dim_in(graph_node(graph, x)->dims & ~dim_bit(from), to)) return NODE_NONE;  // a diagonal
    if (graph_extent(graph, to) > graph_extent(graph, from)) return NODE_NONE;
    return from == to ? x : resize(graph, x, from, to);
}

// clang-format off
static const struct {
    Op op;
    NodeId (*apply)(Graph *graph, const Node *node);
} identities[] = {
    {OP_ADD, add_zero},           {OP_ADD, add_negated},
    {OP_SUB, subtract_zero},      {OP_SUB, subtract_from_zero},     {OP_SUB, subtract_negated},
    {OP_MUL, multiply_by_one},    {OP_MUL, multiply_by_minus_one},
    {OP_DIV, divide_by_one},      {OP_DIV, divide_by_power_of_two},
    {OP_NEG, negate_twice},       {OP_NEG, negate_difference},
    {OP_ABS, absolute_of_sign},
    {OP_MAXIMUM, same_operands},  {OP_MINIMUM, same_operands},
    {OP_AND, same_operands},      {OP_AND, and_true},
    {OP_OR, same_operands},       {OP_OR, or_false},
    {OP_NOT, not_twice},
    {OP_WHERE, where_equal_arms}, {OP_WHERE, where_known},          {OP_WHERE, where_not},
    {OP_WHERE, where_of_where},
    {OP_STACK, stack_of_selects}, {OP_SELECT, select_of_stack},     {OP_SELECT, select_of_move},
    {OP_RENAME, rename_twice},    {OP_PREFIX, resize_twice},        {OP_PAD, resize_twice},
    {OP_SPLIT, split_of_merge},   {OP_MERGE, merge_of_split},
    {OP_GATHER, gather_by_index},
};
// clang-format on

static NodeId simplify_node(Rewrite *rewrite, NodeId id) {
    Graph *graph = rewrite->graph;
    const Node node = *graph_node(graph, id);  // a copy: building moves the array
    for (size_t i = 0; i < sizeof identities / sizeof identities[0]; i++) {
        if (identities[i].op != node.op) continue;
        NodeId result = identities[i].apply(graph, &node);
        if (result != NODE_NONE) return result;
    }
    return NODE_NONE;
}

Graph *pass_simplify(const Graph *graph, PassContext *context) {
    return rewrite_graph(graph, context->arena, simplify_node, NULL);
}
