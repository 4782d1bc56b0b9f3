// Derivatives of sources, reductions, contraction, moves, gather and scatter. In the comments y is the node, g its
// adjoint.
//
// A move is linear, so its derivative is its transpose. Where g lacks the dim that moves, it is constant along it, and
// every part of it is g itself; only where new entries must be zero does g need the dim.
#include "base/planted.h"
#include "passes/derive.h"
#include "passes/extend.h"

static bool gradient_has(const Derive *at, DimId dim) {
    return dim_in(dims_of(at, at->gradient), dim);
}

// The adjoint with all dims of y.
static NodeId whole_gradient(const Derive *at) {
    return extend_broadcast(at->graph, at->gradient, at->y);
}

// ---- reductions and contraction

void derive_sum(const Derive *at) {
    adjoint_add(at, 0, at->gradient, 0);
}

// An equal share of g to every element that is as large as the largest.
void derive_max(const Derive *at) {
    Graph *graph = at->graph;
    NodeId largest = build_binary(graph, OP_EQ, operand_of(at, 0), at->y);
    NodeId ties = build_reduce(graph, OP_SUM, build_unary(graph, OP_TO_FLOAT, largest), at->node->attr.set);
    NodeId share = build_binary(graph, OP_DIV, at->gradient, ties);
    adjoint_add(at, 0, build_where(graph, largest, share, build_const(graph, DTYPE_F32, 0.0)), 0);
}

// g * exp(x - y): softmax written as exp(x - lse(x)) is this very node. An empty row has y = +inf, hence 0.
void derive_lse(const Derive *at) {
    Graph *graph = at->graph;
    NodeId softmax = build_unary(graph, OP_EXP, build_binary(graph, OP_SUB, operand_of(at, 0), at->y));
    NodeId term = PLANTED(lse_gradient_unscaled) ? softmax : build_binary(graph, OP_MUL, at->gradient, softmax);
    adjoint_add(at, 0, term, 0);
}

// Each operand: g contracted with the other one, over the dims that it lacks.
void derive_contract(const Derive *at) {
    for (int k = 0; k < 2; k++) {
        if (!operand_wanted(at, k)) continue;
        DimSet missing = at->node->dims & ~dims_of(at, operand_of(at, k));
        NodeId other = operand_of(at, PLANTED(contract_gradient_of_itself) ? k : 1 - k);
        adjoint_add(at, k, adjoint_sum_product(at->graph, at->gradient, other, missing), 0);
    }
}

// ---- moves

void derive_rename(const Derive *at) {
    const Attr *attr = &at->node->attr;
    bool moves = gradient_has(at, attr->to);
    adjoint_add(at, 0, moves ? build_rename(at->graph, at->gradient, attr->to, attr->from) : at->gradient, 0);
}

void derive_prefix(const Derive *at) {
    const Attr *attr = &at->node->attr;
    NodeId gradient = gradient_has(at, attr->to) ? at->gradient : whole_gradient(at);
    adjoint_add(at, 0, build_pad(at->graph, gradient, attr->to, attr->from), 0);
}

void derive_pad(const Derive *at) {
    const Attr *attr = &at->node->attr;
    bool moves = gradient_has(at, attr->to);
    adjoint_add(at, 0, moves ? build_prefix(at->graph, at->gradient, attr->to, attr->from) : at->gradient, 0);
}

void derive_select(const Derive *at) {
    adjoint_select(at);
}

void derive_stack(const Derive *at) {
    DimId to = at->node->attr.to;
    for (int k = 0; k < (int)at->node->operand_count; k++) {
        if (!operand_wanted(at, k)) continue;
        NodeId entry = gradient_has(at, to) ? build_select(at->graph, at->gradient, to, k) : at->gradient;
        adjoint_add(at, k, entry, at->node->dims & ~dim_bit(to));
    }
}

void derive_split(const Derive *at) {
    const Attr *attr = &at->node->attr;
    NodeId gradient = at->gradient;
    bool outer = gradient_has(at, attr->to), inner = gradient_has(at, attr->inner);
    if (outer != inner) gradient = whole_gradient(at);
    if (outer || inner) gradient = build_merge(at->graph, gradient, attr->to, attr->inner, attr->from);
    adjoint_add(at, 0, gradient, 0);
}

void derive_merge(const Derive *at) {
    const Attr *attr = &at->node->attr;
    NodeId gradient = at->gradient;
    if (gradient_has(at, attr->to)) gradient = build_split(at->graph, gradient, attr->to, attr->from, attr->inner);
    adjoint_add(at, 0, gradient, 0);
}

// ---- indexed

void derive_gather(const Derive *at) {
    NodeId a = operand_of(at, 0), index = operand_of(at, 1);
    DimList result = graph_node(at->graph, a)->order;
    adjoint_add(at, 0, build_scatter(at->graph, whole_gradient(at), index, at->node->attr.from, result), 0);
}

// Each element of a went to one place and takes the adjoint from there. Dims of a that were summed broadcast.
void derive_scatter(const Derive *at) {
    DimId to = at->node->attr.to;
    NodeId index = operand_of(at, 1);
    DimSet space = (at->node->dims & ~dim_bit(to)) | dims_of(at, index);
    adjoint_add(at, 0, build_gather(at->graph, whole_gradient(at), index, to), space);
}

void derive_scatter_onto(const Derive *at) {
    derive_scatter(at);
    adjoint_add(at, 2, at->gradient, at->node->dims);
}

// ---- where gradients end

#define NO_GRADIENT(name)                                                                                              \
    void derive_##name(const Derive *at) {                                                                             \
        (void)at;                                                                                                      \
    }
NO_GRADIENT(input)
NO_GRADIENT(param)
NO_GRADIENT(state)
NO_GRADIENT(operand)
NO_GRADIENT(const)
NO_GRADIENT(index)
NO_GRADIENT(random)
NO_GRADIENT(stop_gradient)
