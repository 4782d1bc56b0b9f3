// Rounding analysis (see rounding.h). The sums, moves and gathers of bounds are the reference's own functions on other
// numbers; only pointwise derivatives are spelled out here.
#include "tests/fuzz/rounding.h"

#include <math.h>
#include <string.h>

#include "ir/reference/ops.h"
#include "tests/fuzz/values.h"

static const double eps = 0x1p-24;     // f32, rounded to nearest
static const double function_ulps = 4; // exp, log, tanh, erf ... of generated code

static void (*const functions[OP_COUNT])(const Work *work) = {
#define OP(ENUM, name, class_, operands, meaning) [OP_##ENUM] = reference_##name,
#include "ir/ops.def"
#undef OP
};

// Numbers of one node while it is worked on.
typedef struct {
    Rounding *rounding;
    const Node *node;
    NodeId id;
    int64_t count;
} Spot;

static int64_t elements(const Rounding *rounding, NodeId id) {
    return graph_elements(rounding->graph, graph_node(rounding->graph, id)->dims);
}

static void apply(const Spot *spot, Op op, double *const *values, double *result) {
    Node node = *spot->node;
    node.op = op;
    functions[op](&(Work){
        .graph = spot->rounding->graph, .node = &node, .values = values, .result = result, .count = spot->count});
}

// The node's function of other numbers at its operands.
static double *applied(const Spot *spot, double *const *values) {
    double *result = ARENA_ARRAY(spot->rounding->arena, double, (size_t)spot->count);
    apply(spot, spot->node->op, values, result);
    return result;
}

static double *magnitude(const Rounding *rounding, NodeId id) {
    int64_t count = elements(rounding, id);
    double *result = ARENA_ARRAY(rounding->arena, double, (size_t)count);
    for (int64_t i = 0; i < count; i++)
        result[i] = isfinite(rounding->truth[id][i]) ? fabs(rounding->truth[id][i]) : 0;
    return result;
}

// An operand as the result sees it: one number for every element of the result.
static double *spread(const Spot *spot, int operand, double *const *values) {
    const Graph *graph = spot->rounding->graph;
    double *result = ARENA_ARRAY(spot->rounding->arena, double, (size_t)spot->count);
    NodeId from = spot->node->operands[operand];
    Strides to = strides_dense(graph, spot->node->order), source = strides_dense(graph, graph_node(graph, from)->order);
    WalkOrder order = {0};
    walk_order_add(&order, &spot->node->order, ~(DimSet)0);
    for (Walk walk = walk_start(graph, &order, (const Strides *[]){&to, &source}, 2); walk.more; walk_next(&walk))
        for (int64_t i = 0; i < walk.length; i++)
            result[walk.offset[0] + i * walk.step[0]] = values[from][walk.offset[1] + i * walk.step[1]];
    return result;
}

// ---- pointwise: bound of f(a, b) = |df/da| bound of a + |df/db| bound of b + own rounding

static double pointwise_bound(Op op, double a, double b, double y, double da, double db) {
    double function = function_ulps * eps * fabs(y);
    switch (op) {
    case OP_ADD:
    case OP_SUB: return da + db + eps * fabs(y);
    case OP_MUL: return fabs(b) * da + fabs(a) * db + eps * fabs(y);
    case OP_DIV: return (da + fabs(y) * db) / fabs(b) + eps * fabs(y);
    case OP_EXP: return y * da + function;
    case OP_LOG: return da / fabs(a) + function;
    case OP_SQRT: return y > 0 ? da / (2 * y) + eps * y : sqrt(da);
    case OP_RSQRT: return da * y / (2 * fabs(a)) + function;
    case OP_TANH: return (1 - y * y) * da + function;
    case OP_ERF: return 1.1283791670955126 * exp(-a * a) * da + function;
    case OP_SIN: return fabs(cos(a)) * da + function_ulps * eps;
    case OP_COS: return fabs(sin(a)) * da + function_ulps * eps;
    case OP_MAXIMUM:
    case OP_MINIMUM: return fmax(da, db);
    default: return da; // neg, abs, to_float
    }
}

static bool holds(Op op, double a, double b) {
    return op == OP_LT ? a < b : op == OP_LE ? a <= b : a == b;
}

// Unclear: the rounded numbers compare otherwise, or might.
static bool is_doubtful(Op op, double a, double b, double naive_a, double naive_b, double known) {
    return holds(op, a, b) != holds(op, naive_a, naive_b) || (a != b && fabs(a - b) <= 8 * known);
}

static void compare(const Spot *spot) {
    Rounding *rounding = spot->rounding;
    double *a = spread(spot, 0, rounding->truth), *b = spread(spot, 1, rounding->truth);
    double *x = spread(spot, 0, rounding->naive), *y = spread(spot, 1, rounding->naive);
    double *da = spread(spot, 0, rounding->bound), *db = spread(spot, 1, rounding->bound);
    for (int64_t i = 0; i < spot->count; i++)
        rounding->doubtful |= is_doubtful(spot->node->op, a[i], b[i], x[i], y[i], da[i] + db[i]);
}

static void pointwise(const Spot *spot, double *bound) {
    Rounding *rounding = spot->rounding;
    const double *truth = rounding->truth[spot->id];
    uint32_t last = spot->node->operand_count - 1;
    double *a = spread(spot, 0, rounding->truth), *da = spread(spot, 0, rounding->bound);
    double *b = spread(spot, (int)last, rounding->truth), *db = spread(spot, (int)last, rounding->bound);
    for (int64_t i = 0; i < spot->count; i++)
        bound[i] =
            isfinite(truth[i]) ? pointwise_bound(spot->node->op, a[i], b[i], truth[i], da[i], last ? db[i] : 0) : 0;
}

// where: the same choice among bounds; the condition is as sure as doubtful says.
static void chosen(const Spot *spot, double *bound) {
    double *condition = spread(spot, 0, spot->rounding->truth);
    double *yes = spread(spot, 1, spot->rounding->bound), *no = spread(spot, 2, spot->rounding->bound);
    for (int64_t i = 0; i < spot->count; i++)
        bound[i] = condition[i] != 0 ? yes[i] : no[i];
}

// ---- the others

static void add_scaled(double *to, const double *from, double factor, int64_t count) {
    for (int64_t i = 0; i < count; i++)
        to[i] += factor * from[i];
}

static double *sum_of(const Rounding *rounding, NodeId id, const double *size) {
    int64_t count = elements(rounding, id);
    double *sum = ARENA_ARRAY(rounding->arena, double, (size_t)count);
    for (int64_t i = 0; i < count; i++)
        sum[i] = size[i] + rounding->bound[id][i];
    return sum;
}

// Roundings of n additions in a row are as good as random: they add up to some sqrt(n) eps of the absolute sum (Higham
// and Mary, "A new approach to probabilistic rounding error analysis", 2019).
static double roundings_of_sum(const Spot *spot) {
    const Graph *graph = spot->rounding->graph;
    DimSet over = spot->node->attr.set;
    if (op_scatters(spot->node->op)) over = graph_node(graph, spot->node->operands[0])->dims;
    return 2 + 0.5 * sqrt((double)graph_elements(graph, over));
}

// Sums: bounds add up, and the additions round.
static void summed(const Spot *spot, double *bound) {
    Rounding *rounding = spot->rounding;
    double **values = ARENA_ARRAY(rounding->arena, double *, graph_nodes(rounding->graph));
    NodeId a = spot->node->operands[0], b = spot->node->operand_count > 1 ? spot->node->operands[1] : a;
    bool product = spot->node->op == OP_CONTRACT;
    double *of_a = magnitude(rounding, a), *of_b = product ? magnitude(rounding, b) : rounding->truth[b];
    values[b] = of_b;
    values[a] = of_a;
    NodeId base = spot->node->op == OP_SCATTER_ONTO ? spot->node->operands[2] : NODE_NONE;
    if (base != NODE_NONE) values[base] = magnitude(rounding, base);
    add_scaled(bound, applied(spot, values), roundings_of_sum(spot) * eps, spot->count);
    if (!product) {
        values[a] = rounding->bound[a];
        if (base != NODE_NONE) values[base] = rounding->bound[base];
        add_scaled(bound, applied(spot, values), 1, spot->count);
        return;
    }
    // (a + da)(b + db) - ab by polarisation, so that an operand used twice needs no rule of its own
    double *plain = applied(spot, values);
    values[a] = sum_of(rounding, a, of_a);
    values[b] = a == b ? values[a] : sum_of(rounding, b, of_b);
    double *more = applied(spot, values);
    for (int64_t i = 0; i < spot->count; i++)
        bound[i] += more[i] - plain[i];
}

static void log_sum_exp(const Spot *spot, double *bound) {
    Rounding *rounding = spot->rounding;
    apply(spot, OP_MAX, rounding->bound, bound);
    for (int64_t i = 0; i < spot->count; i++) {
        double y = rounding->truth[spot->id][i];
        bound[i] = isfinite(y) ? bound[i] + 2 * function_ulps * eps * (1 + fabs(y)) : 0;
    }
}

// Moves and gathers take bounds along with the numbers; an index is not a number.
static void moved(const Spot *spot, double *bound) {
    Rounding *rounding = spot->rounding;
    double **values = ARENA_ARRAY(rounding->arena, double *, graph_nodes(rounding->graph));
    for (uint32_t i = 0; i < spot->node->operand_count; i++) {
        NodeId operand = spot->node->operands[i];
        bool whole = graph_node(rounding->graph, operand)->dtype != DTYPE_F32;
        values[operand] = whole ? rounding->truth[operand] : rounding->bound[operand];
    }
    apply(spot, spot->node->op, values, bound);
}

static void bound_node(const Spot *spot, double *bound) {
    Rounding *rounding = spot->rounding;
    const Node *node = spot->node;
    if (node->dtype != DTYPE_F32) {
        if ((node->op == OP_LT || node->op == OP_LE || node->op == OP_EQ) &&
            graph_node(rounding->graph, node->operands[0])->dtype == DTYPE_F32)
            compare(spot);
        return;
    }
    switch (op_class(node->op)) {
    case CLASS_SOURCE:
        for (int64_t i = 0; i < spot->count; i++) {
            double gap = fabs(rounding->naive[spot->id][i] - rounding->truth[spot->id][i]);
            bound[i] = isfinite(gap) ? gap : 0; // infinities are exact
        }
        return;
    case CLASS_POINTWISE:
        if (node->op == OP_WHERE)
            chosen(spot, bound);
        else
            pointwise(spot, bound);
        return;
    case CLASS_REDUCE:
        if (node->op == OP_SUM)
            summed(spot, bound);
        else if (node->op == OP_MAX)
            apply(spot, OP_MAX, rounding->bound, bound);
        else
            log_sum_exp(spot, bound);
        return;
    case CLASS_CONTRACT: summed(spot, bound); return;
    default: break;
    }
    if (op_scatters(node->op))
        summed(spot, bound);
    else
        moved(spot, bound);
}

// Whole numbers and truth values are exact: nothing of them rounds.
static void round_values(const Node *node, double *values, int64_t count) {
    if (node->dtype != DTYPE_F32) return;
    for (int64_t i = 0; i < count; i++)
        values[i] = (float)values[i];
}

Rounding rounding_of(Arena *arena, const Graph *graph, uint64_t seed) {
    uint32_t nodes = graph_nodes(graph);
    Rounding rounding = {.arena = arena, .graph = graph};
    rounding.truth = ARENA_ARRAY(arena, double *, nodes);
    rounding.naive = ARENA_ARRAY(arena, double *, nodes);
    rounding.bound = ARENA_ARRAY(arena, double *, nodes);
    const bool *live = graph_live(graph, arena);
    Reference *reference = reference_of(graph, seed);
    for (NodeId id = 0; id < nodes; id++) {
        if (!live[id]) continue;
        Spot spot = {&rounding, graph_node(graph, id), id, elements(&rounding, id)};
        size_t bytes = (size_t)spot.count * sizeof(double);
        rounding.truth[id] = ARENA_ARRAY(arena, double, (size_t)spot.count);
        memcpy(rounding.truth[id], reference_value(reference, id), bytes);
        rounding.naive[id] = ARENA_ARRAY(arena, double, (size_t)spot.count);
        if (op_is_leaf(spot.node->op)) memcpy(rounding.naive[id], rounding.truth[id], bytes);
        apply(&spot, spot.node->op, rounding.naive, rounding.naive[id]);
        round_values(spot.node, rounding.naive[id], spot.count);
        rounding.bound[id] = ARENA_ARRAY(arena, double, (size_t)spot.count);
        bound_node(&spot, rounding.bound[id]);
    }
    reference_free(reference);
    return rounding;
}

double rounding_naive_error(const Rounding *rounding, NodeId node) {
    double worst = 0;
    for (int64_t i = 0; i < elements(rounding, node); i++) {
        double gap = fabs(rounding->naive[node][i] - rounding->truth[node][i]);
        if (gap > worst && isfinite(gap)) worst = gap;
    }
    return worst;
}
