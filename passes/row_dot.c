// row_dot: a sum over columns of a matrix times a product becomes a sum over the product's inner dim.
//
// Requires: nothing. Ensures: no sum over X of A * (sum over D of g * v) is left where y = sum over X of A * v exists:
// it is the sum over D of g * y, when that has fewer terms (the rule holds both ways; this decides which). Does nothing
// where A * v is summed nowhere, or over other dims. Ledger: per sum, what it became.
//
//     %3 = contract y[T,D] %A %v over(S)             %3 = contract y[T,D] %A %v over(S)
//     %4 = contract dA[T,S] %g %v over(D)            %4 = contract dA[T,S] %g %v over(D)
//     %5 = mul [T,S] %A %4                     ->    %5 = mul [T,D] %g %3
//     %6 = sum [T] %5 over(S)                        %6 = sum [T] %5 over(D)
//
// It is the delta of attention's backward pass (Dao, "FlashAttention-2", 2023, section 2.3.2), for any A: then
// gradients of scores need no sum over keys, and can be computed where the product is. A is compared as a product of
// factors, up to their order; `where(m, x, 0)` counts as x times m, so dropout between softmax and v is no hindrance.
#include <stdlib.h>
#include <string.h>

#include "passes/pass_functions.h"
#include "passes/rewrite.h"

enum { MOST_FACTORS = 16 };

typedef struct {
    NodeId node;
    bool is_mask;   // a bool: 1 where it holds
} Factor;

typedef struct {
    Factor items[MOST_FACTORS];
    int count;
    bool too_many;
} Factors;

static void add_factor(Factors *factors, NodeId node, bool is_mask) {
    if (factors->count == MOST_FACTORS)
        factors->too_many = true;
    else
        factors->items[factors->count++] = (Factor){node, is_mask};
}

static bool is_zero(const Graph *graph, NodeId id) {
    const Node *node = graph_node(graph, id);
    return node->op == OP_CONST && !node->attr.table && node->attr.value == 0;
}

static void collect_factors(const Graph *graph, NodeId id, Factors *factors) {
    const Node *node = graph_node(graph, id);
    if (node->op == OP_MUL) {
        collect_factors(graph, node->operands[0], factors);
        collect_factors(graph, node->operands[1], factors);
    } else if (node->op == OP_WHERE && is_zero(graph, node->operands[2])) {
        add_factor(factors, node->operands[0], true);
        collect_factors(graph, node->operands[1], factors);
    } else {
        add_factor(factors, id, false);
    }
}

static int compare_factors(const void *left, const void *right) {
    const Factor *a = left, *b = right;
    if (a->node != b->node) return a->node < b->node ? -1 : 1;
    return (int)a->is_mask - (int)b->is_mask;
}

static bool factors_equal(Factors a, Factors b) {
    if (a.count != b.count || a.too_many || b.too_many) return false;
    qsort(a.items, (size_t)a.count, sizeof(Factor), compare_factors);
    qsort(b.items, (size_t)b.count, sizeof(Factor), compare_factors);
    for (int i = 0; i < a.count; i++)
        if (compare_factors(&a.items[i], &b.items[i]) != 0) return false;
    return true;
}

static Factors without(Factors factors, int left_out) {
    factors.items[left_out] = factors.items[--factors.count];
    return factors;
}

// sum over `over` of rest * v, where it exists.
static NodeId find_product(const Graph *graph, const Factors *rest, NodeId v, DimSet over) {
    for (NodeId id = 0; id < graph_nodes(graph); id++) {
        const Node *node = graph_node(graph, id);
        if (node->op != OP_CONTRACT || node->attr.set != over) continue;
        for (int side = 0; side < 2; side++) {
            Factors factors = {0};
            if (node->operands[side] != v) continue;
            collect_factors(graph, node->operands[1 - side], &factors);
            if (factors_equal(factors, *rest)) return id;
        }
    }
    return NODE_NONE;
}

// The factor `at` as sum over D of g * v, with v over the summed columns and g not.
static NodeId dot_of(Rewrite *rewrite, const Node *sum, const Factors *factors, int at) {
    Graph *graph = rewrite->graph;
    const Node product = *graph_node(graph, factors->items[at].node);
    if (product.op != OP_CONTRACT || factors->items[at].is_mask) return NODE_NONE;
    Factors rest = without(*factors, at);
    for (int side = 0; side < 2; side++) {
        NodeId v = product.operands[side], g = product.operands[1 - side];
        if ((sum->attr.set & ~graph_node(graph, v)->dims) || (sum->attr.set & graph_node(graph, g)->dims)) continue;
        NodeId y = find_product(graph, &rest, v, sum->attr.set);
        if (y == NODE_NONE) continue;
        // y has D, and no dim that A * g * v lacks.
        DimSet dims = graph_node(graph, y)->dims | graph_node(graph, g)->dims;
        if ((product.attr.set & ~dims) || (dims & ~product.attr.set) != sum->dims) continue;
        if (graph_elements(graph, dims) >= graph_elements(graph, sum->dims | sum->attr.set)) continue;
        GroupId group = graph_set_group(graph, 0);
        NodeId dot = build_reduce(graph, OP_SUM, build_binary(graph, OP_MUL, g, y), product.attr.set);
        graph_set_group(graph, group);
        graph_set_order(graph, dot, sum->order);
        return dot;
    }
    return NODE_NONE;
}

// The name of the sum, or else the operator that it is part of.
static const char *place_of(const Graph *graph, NodeId id) {
    const char *name = graph_node_name(graph, id);
    GroupId group = graph_node_group(graph, id);
    return name ? name : group ? graph_group_at(graph, group)->place : "";
}

// The dot, or NODE_NONE where a choice forbids it.
static NodeId choose(const Rewrite *rewrite, NodeId id, NodeId dot) {
    const Graph *graph = rewrite->graph;
    PassContext *context = rewrite->context;
    Decision decision = {.pass = "row_dot", .what = "row dot", .place = place_of(graph, id)};
    int64_t terms = graph_elements(graph, graph_node(graph, graph_node(graph, dot)->operands[0])->dims);
    int64_t before = graph_elements(graph, graph_node(graph, graph_node(graph, id)->operands[0])->dims);
    decision.made = !choices_forbid(context->choices, decision.pass, decision.what, decision.place, &decision.reason);
    if (decision.made)
        decision.reason =
            arena_format(context->arena, "%lld terms instead of %lld", (long long)terms, (long long)before);
    ledger_add(context->ledger, decision);
    return decision.made ? dot : NODE_NONE;
}

static NodeId row_dot(Rewrite *rewrite, NodeId id) {
    const Node node = *graph_node(rewrite->graph, id);
    Factors factors = {0};
    if (node.op != OP_SUM) return NODE_NONE;
    collect_factors(rewrite->graph, node.operands[0], &factors);
    if (factors.too_many || factors.count < 2) return NODE_NONE;
    for (int at = 0; at < factors.count; at++) {
        NodeId dot = dot_of(rewrite, &node, &factors, at);
        if (dot != NODE_NONE) return choose(rewrite, id, dot);
    }
    return NODE_NONE;
}

Graph *pass_row_dot(const Graph *graph, PassContext *context) {
    return rewrite_graph(graph, context->arena, row_dot, context);
}
