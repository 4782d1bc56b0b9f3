// Adding up adjoints (see derive.h): sums over dims that broadcast, the sum of several users, and the selects of one
// tensor, whose adjoints together are one stack:
//
//     %q = select %t from Z at 0               adjoint of %t = stack(adjoint %q, adjoint %k, adjoint %v) to Z
//     %k = select %t from Z at 1
//     %v = select %t from Z at 2
#include "base/planted.h"
#include "passes/derive.h"
#include "passes/extend.h"

GroupId derivation_group(Derivation *derivation, NodeId node) {
    GroupId forward = graph_node_group(derivation->graph, node);
    if (forward == 0) return 0;
    GroupId *backward = &derivation->backward[forward];
    if (*backward == 0) {
        const Group *group = graph_group_at(derivation->graph, forward);
        *backward = graph_group(derivation->graph, group->label, group->place, forward);
    }
    return *backward;
}

// Along a dim that the value lacks, a sum is a product with the extent.
static NodeId times_extents(Graph *graph, NodeId value, DimSet dims) {
    if (!dims || PLANTED(broadcast_not_counted)) return value;
    return build_binary(graph, OP_MUL, value, build_const(graph, DTYPE_F32, (double)graph_elements(graph, dims)));
}

NodeId adjoint_sum(Graph *graph, NodeId a, DimSet over) {
    DimSet present = over & graph_node(graph, a)->dims;
    NodeId sum = present ? build_reduce(graph, OP_SUM, a, present) : a;
    return times_extents(graph, sum, over & ~present);
}

NodeId adjoint_sum_product(Graph *graph, NodeId a, NodeId b, DimSet over) {
    DimSet present = over & (graph_node(graph, a)->dims | graph_node(graph, b)->dims);
    NodeId sum = present ? build_contract(graph, a, b, present) : build_binary(graph, OP_MUL, a, b);
    return times_extents(graph, sum, over & ~present);
}

// A node just built for the adjoint of x is stored as x is.
static void order_as(Derivation *derivation, NodeId node, uint32_t before, NodeId x) {
    Graph *graph = derivation->graph;
    const Node *primal = graph_node(graph, x);
    if (node >= before && graph_node(graph, node)->dims == primal->dims) graph_set_order(graph, node, primal->order);
}

// The sum over users belongs to the operator that made x, not to any one of its users.
static void accumulate(Derivation *derivation, NodeId x, NodeId term) {
    NodeId *adjoint = &derivation->adjoint[x];
    if (*adjoint == NODE_NONE || PLANTED(gradient_overwritten)) {
        *adjoint = term;
        return;
    }
    uint32_t before = graph_nodes(derivation->graph);
    GroupId group = derivation->composite ? derivation->composite : derivation_group(derivation, x);
    GroupId former = graph_set_group(derivation->graph, group);
    *adjoint = extend_sum(derivation->graph, *adjoint, term);
    graph_set_group(derivation->graph, former);
    order_as(derivation, *adjoint, before, x);
}

void adjoint_add_to(Derivation *derivation, NodeId x, NodeId term, uint32_t before) {
    order_as(derivation, term, before, x);
    accumulate(derivation, x, term);
}

void adjoint_add(const Derive *at, int k, NodeId term, DimSet space) {
    if (!operand_wanted(at, k)) return;
    NodeId x = operand_of(at, k), sum = adjoint_sum(at->graph, term, space & ~dims_of(at, x));
    adjoint_add_to(at->derivation, x, sum, at->before);
}

// ---- selects

static Selected *selected_along(Derivation *derivation, NodeId x, DimId dim) {
    for (Selected *s = derivation->selected[x]; s; s = s->next) {
        if (s->dim == dim) return s;
    }
    Selected *selected = ARENA_NEW(derivation->arena, Selected);
    int64_t extent = graph_extent(derivation->graph, dim);
    *selected = (Selected){.dim = dim, .extent = extent, .next = derivation->selected[x]};
    selected->entries = ARENA_ARRAY(derivation->arena, NodeId, (size_t)extent);
    for (int64_t i = 0; i < extent; i++)
        selected->entries[i] = NODE_NONE;
    return derivation->selected[x] = selected;
}

// Equal selects are one node, so each entry comes at most once.
void adjoint_select(const Derive *at) {
    if (!operand_wanted(at, 0)) return;
    Selected *selected = selected_along(at->derivation, operand_of(at, 0), at->node->attr.from);
    selected->entries[at->node->attr.integer] = at->gradient;
    selected->count++;
}

static NodeId stacked(Graph *graph, Arena *arena, const Selected *selected, NodeId zero) {
    NodeId *entries = ARENA_ARRAY(arena, NodeId, (size_t)selected->extent);
    for (int64_t i = 0; i < selected->extent; i++) {
        entries[i] = selected->entries[i] == NODE_NONE ? zero : selected->entries[i];
    }
    return build_stack(graph, entries, (int)selected->extent, selected->dim);
}

// Few entries of a long dim: each is put in its place by comparing the index, so the graph does not grow with the dim.
static NodeId placed(Graph *graph, const Selected *selected, NodeId zero) {
    NodeId result = zero, index = build_index(graph, selected->dim);
    for (int64_t i = 0; i < selected->extent; i++) {
        if (selected->entries[i] == NODE_NONE) continue;
        NodeId here = build_binary(graph, OP_EQ, index, build_const(graph, DTYPE_I32, (double)i));
        result = build_where(graph, here, selected->entries[i], result);
    }
    return result;
}

void adjoint_add_selected(Derivation *derivation, NodeId x) {
    Graph *graph = derivation->graph;
    for (const Selected *s = derivation->selected[x]; s; s = s->next) {
        uint32_t before = graph_nodes(graph);
        GroupId former = graph_set_group(graph, derivation_group(derivation, x));
        NodeId zero = build_const(graph, DTYPE_F32, 0.0);
        bool dense = s->count * 4 >= s->extent;
        NodeId term = dense ? stacked(graph, derivation->arena, s, zero) : placed(graph, s, zero);
        graph_set_group(graph, former);
        order_as(derivation, term, before, x);
        accumulate(derivation, x, term);
    }
}
