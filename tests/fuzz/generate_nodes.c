// Single nodes of every kind, made of whatever the pool holds (see generate.h). Operands are kept inside the domain of
// their function: logarithms and roots of what is positive, exponentials of what is bounded.
#include "tests/fuzz/maker.h"

static NodeId pick(Maker *maker) {
    uint32_t recent = maker->pool_count > 6 && chance(maker, 2) ? 6 : maker->pool_count;
    return maker->pool[maker->pool_count - 1 - below(maker, recent)];
}

static DimId pick_dim(Maker *maker, DimSet set) {
    DimId found = DIM_NONE;
    uint32_t seen = 0;
    for (DimId dim = 0; dim < MAX_DIMS; dim++)
        if (dim_in(set, dim) && chance(maker, ++seen)) found = dim;
    return found;
}

static bool is_small(const Maker *maker, DimSet dims) {
    return dim_count(dims) <= 5 && graph_elements(maker->graph, dims) <= 20000;
}

static NodeId one_operand(Maker *maker, NodeId a) {
    NodeId one = number(maker, 1);
    NodeId bounded = unary(maker, OP_TANH, a), positive = binary(maker, OP_ADD, binary(maker, OP_MUL, a, a), one);
    switch (below(maker, 12)) {
    case 0: return unary(maker, OP_NEG, a);
    case 1: return unary(maker, OP_EXP, bounded);
    case 2: return unary(maker, OP_LOG, positive);
    case 3: return unary(maker, OP_SQRT, positive);
    case 4: return unary(maker, OP_RSQRT, positive);
    case 5: return bounded;
    case 6: return unary(maker, OP_ERF, a);
    case 7: return unary(maker, OP_SIN, a);
    case 8: return unary(maker, OP_COS, a);
    case 9: return unary(maker, OP_ABS, a);
    case 10: return build_stop_gradient(maker->graph, a);
    default: return make_activation(maker, a);
    }
}

static NodeId any_mask(Maker *maker, DimSet dims) {
    Graph *graph = maker->graph;
    DimId dim = pick_dim(maker, dims);
    if (dim == DIM_NONE) return build_const(graph, DTYPE_BOOL, 1);
    NodeId i = build_index(graph, dim);
    NodeId edge = build_const(graph, DTYPE_I32, (double)below(maker, (uint32_t)extent(maker, dim) + 1));
    NodeId token = binary(maker, OP_LT, maker->tokens, build_const(graph, DTYPE_I32, 2));
    NodeId low = binary(maker, OP_LT, i, edge);
    switch (below(maker, 5)) {
    case 0: return low;
    case 1: return unary(maker, OP_NOT, low);
    case 2: return binary(maker, OP_OR, token, low);
    case 3: return binary(maker, OP_AND, binary(maker, OP_LE, edge, i), unary(maker, OP_NOT, token));
    default: return binary(maker, OP_EQ, i, edge);
    }
}

static NodeId two_operands(Maker *maker, NodeId a, NodeId b) {
    if (!is_small(maker, dims_of(maker, a) | dims_of(maker, b) | dim_bit(maker->B) | dim_bit(maker->T)))
        return NODE_NONE;
    NodeId positive = binary(maker, OP_ADD, unary(maker, OP_ABS, b), number(maker, 0.5));
    switch (below(maker, 8)) {
    case 0: return binary(maker, OP_ADD, a, b);
    case 1: return binary(maker, OP_SUB, a, b);
    case 2: return binary(maker, OP_MUL, a, unary(maker, OP_TANH, b));
    case 3: return binary(maker, OP_DIV, a, positive);
    case 4: return binary(maker, OP_MAXIMUM, a, b);
    case 5: return binary(maker, OP_MINIMUM, a, b);
    case 6: return binary(maker, OP_MUL, a, unary(maker, OP_TO_FLOAT, any_mask(maker, dims_of(maker, b))));
    default: return build_where(maker->graph, any_mask(maker, dims_of(maker, a) | dims_of(maker, b)), a, b);
    }
}

static NodeId sum_of(Maker *maker, NodeId a, NodeId b) {
    static const Op reductions[] = {OP_SUM, OP_MAX, OP_LSE};
    bool both = chance(maker, 2);
    DimSet over = 0, some = both ? dims_of(maker, a) & dims_of(maker, b) : dims_of(maker, a);
    for (DimId dim = 0; dim < MAX_DIMS; dim++)
        if (dim_in(some, dim) && chance(maker, 2)) over |= dim_bit(dim);
    if (!over) return NODE_NONE;
    double shrink = 1 / (double)graph_elements(maker->graph, over);
    if (!both) {
        Op op = reductions[below(maker, 3)];
        NodeId y = build_reduce(maker->graph, op, a, over);
        return op == OP_SUM ? scaled(maker, y, shrink) : y;
    }
    if (!is_small(maker, dims_of(maker, a) | dims_of(maker, b))) return NODE_NONE;
    return scaled(maker, build_contract(maker->graph, a, b, over), shrink);
}

// Each move followed by nothing: its result joins the pool, so that others move it again, or back.
static NodeId moved(Maker *maker, NodeId a, NodeId b) {
    Graph *graph = maker->graph;
    DimId dim = pick_dim(maker, dims_of(maker, a)),
          other = pick_dim(maker, dims_of(maker, a) & ~(dim == DIM_NONE ? 0 : dim_bit(dim)));
    if (dim == DIM_NONE || graph_dims(graph) > 40) return NODE_NONE;
    int64_t length = extent(maker, dim);
    switch (below(maker, 7)) {
    case 0: return build_rename(graph, a, dim, new_dim(maker, "N", length));
    case 1:
        return length > 1 ? build_prefix(graph, a, dim, new_dim(maker, "N", 1 + below(maker, (uint32_t)length - 1)))
                          : NODE_NONE;
    case 2: return build_pad(graph, a, dim, new_dim(maker, "N", length + 1 + below(maker, 3)));
    case 3: return build_select(graph, a, dim, (int32_t)below(maker, (uint32_t)length));
    case 4: {
        NodeId entries[3] = {a, chance(maker, 4) ? a : b, a};
        DimSet dims = dims_of(maker, a) | dims_of(maker, b);
        if (!is_small(maker, dims) || dim_count(dims) > 4) return NODE_NONE;
        int count = 1 + (int)below(maker, 3);
        DimId entry = new_dim(maker, "N", count);
        NodeId stack = build_stack(graph, entries, count, entry);
        return chance(maker, 2) ? build_select(graph, stack, entry, (int32_t)below(maker, (uint32_t)count)) : stack;
    }
    case 5: {
        int64_t inner = length % 3 == 0 ? 3 : length % 2 == 0 ? 2 : 1;
        return build_split(graph, a, dim, new_dim(maker, "N", length / inner), new_dim(maker, "M", inner));
    }
    default:
        if (other == DIM_NONE) return NODE_NONE;
        return build_merge(graph, a, dim, other, new_dim(maker, "N", length * extent(maker, other)));
    }
}

static NodeId indexed(Maker *maker, NodeId a) {
    Graph *graph = maker->graph;
    DimId V = maker->V;
    if (dim_in(dims_of(maker, a), V)) {
        DimSet dims = dims_of(maker, a) | dim_bit(maker->B) | dim_bit(maker->T);
        return is_small(maker, dims) ? build_gather(graph, a, maker->tokens, V) : NODE_NONE;
    }
    if (!dim_in(dims_of(maker, a), maker->T)) return NODE_NONE;
    DimList result = {1, {V}};
    for (DimId dim = 0; dim < MAX_DIMS; dim++)
        if (dim_in(dims_of(maker, a), dim) && result.rank < 4 && chance(maker, 2)) result.dims[result.rank++] = dim;
    double shrink = 1 / (double)graph_elements(graph, dims_of(maker, a) & ~dim_list_set(&result));
    NodeId y = scaled(maker, build_scatter(graph, a, maker->tokens, V, result), shrink);
    // Onto what is there already: a weight, or what a pointwise function or another scatter makes.
    if (chance(maker, 2)) return y;
    NodeId base = chance(maker, 2) ? weight(maker, result, 0.3) : unary(maker, OP_TANH, y);
    return build_scatter_onto(graph, scaled(maker, a, shrink), maker->tokens, base, V);
}

void make_node(Maker *maker) {
    NodeId a = pick(maker), b = pick(maker), node;
    uint32_t kind = below(maker, 12);
    if (kind < 3)
        node = one_operand(maker, a);
    else if (kind < 6)
        node = two_operands(maker, a, b);
    else if (kind < 8)
        node = sum_of(maker, a, b);
    else if (kind < 11)
        node = moved(maker, a, b);
    else
        node = indexed(maker, a);
    if (node != NODE_NONE) offer(maker, node);
}
