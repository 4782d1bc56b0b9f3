// renames: one canonical place for every rename: as near to its users as it can go.
//
// Requires: nothing. Ensures: a rename is used by a contraction, a reduction, a gather or scatter, a stack, an output,
// or by a pointwise op with another operand over one of its two dims. Does nothing where every rename is already there.
//
//     %1 = rename f32[B,S,C] %0 from T to S         %1 = exp f32[B,T,C] %0
//     %2 = exp f32[B,S,C] %1                   ->   %2 = rename f32[B,S,C] %1 from T to S
//
// So `exp(k[T=S])` and `exp(k)[T=S]` become the same node, and a box sees the chain of pointwise ops unbroken. Renames
// of different dims are sorted by the dim they take away; selects, prefixes, pads, splits and merges come before them.
// A select or prefix is not pulled through a pointwise op: that would compute entries nobody asked for.
//
// It ends: each step moves a rename past a node towards the outputs, sorts two neighbours, or removes one.
#include "base/planted.h"
#include "passes/pass_functions.h"
#include "passes/rewrite.h"

static bool lacks(const Graph *graph, NodeId node, DimId a, DimId b) {
    DimSet dims = graph_node(graph, node)->dims;
    return !dim_in(dims, a) && !dim_in(dims, b);
}

// `node` with other operands, built in the storage order that the rename will turn into node's own.
static NodeId rebuild_below(Rewrite *rewrite, const Node *node, const NodeId *operands, const Attr *rename) {
    Graph *graph = rewrite->graph;
    const char *error = NULL;
    uint32_t before = graph_nodes(graph);
    NodeId below = build_node(graph, node->op, node->dtype, NULL, operands, node->operand_count, &node->attr, &error);
    if (below == NODE_NONE) BUG("a %s without its rename: %s", op_name(node->op), error);
    if (below >= before) graph_set_order(graph, below, dim_list_replace(node->order, rename->to, rename->from));
    return rewrite_node(rewrite, below);
}

// The operands of `node` before `rename`: every operand is renamed so, or has neither of its dims. Else false.
static bool strip_rename(const Graph *graph, const Node *node, const Attr *rename, NodeId *operands) {
    for (uint32_t i = 0; i < node->operand_count; i++) {
        const Node *operand = graph_node(graph, node->operands[i]);
        bool renamed = operand->op == OP_RENAME && operand->attr.from == rename->from && operand->attr.to == rename->to;
        bool captured = !lacks(graph, node->operands[i], rename->from, rename->to) && !PLANTED(rename_captures_dim);
        if (!renamed && captured) return false;
        operands[i] = renamed ? operand->operands[0] : node->operands[i];
    }
    return true;
}

// f(x[a=b], y) -> f(x, y)[a=b]
static NodeId after_pointwise(Rewrite *rewrite, const Node *node) {
    Graph *graph = rewrite->graph;
    NodeId operands[3];
    CHECK(node->operand_count <= 3);
    for (uint32_t i = 0; i < node->operand_count; i++) {
        const Node *operand = graph_node(graph, node->operands[i]);
        const Attr rename = operand->attr;
        if (operand->op != OP_RENAME || !strip_rename(graph, node, &rename, operands)) continue;
        return rewrite_rename(graph, rebuild_below(rewrite, node, operands, &rename), rename.from, rename.to);
    }
    return NODE_NONE;
}

static DimSet dims_named(const Node *move) {
    const DimId dims[] = {move->attr.from, move->attr.to, move->attr.inner};
    DimSet set = 0;
    for (int i = 0; i < 3; i++)
        if (dims[i] != DIM_NONE) set |= dim_bit(dims[i]);
    return set;
}

// move(x[a=b]) -> move(x)[a=b] for a move of other dims
static NodeId after_move(Rewrite *rewrite, const Node *node) {
    const Node *below = graph_node(rewrite->graph, node->operands[0]);
    if (below->op != OP_RENAME || (dims_named(node) & dims_named(below))) return NODE_NONE;
    const Attr rename = below->attr;
    NodeId moved = rebuild_below(rewrite, node, below->operands, &rename);
    return rewrite_rename(rewrite->graph, moved, rename.from, rename.to);
}

// x[c=d][a=b] -> x[a=b][c=d] when a comes before c; x[a=b][b=c] -> x[a=c]; (index of a)[a=b] -> index of b
static NodeId rename_of_rename(Rewrite *rewrite, const Node *node) {
    Graph *graph = rewrite->graph;
    const Node *below = graph_node(graph, node->operands[0]);
    const Attr *upper = &node->attr, *lower = &below->attr;
    if (below->op == OP_INDEX) return build_index(graph, upper->to);
    if (below->op != OP_RENAME) return NODE_NONE;
    if (lower->to == upper->from) return rewrite_rename(graph, node->operands[0], upper->from, upper->to);
    if (upper->from > lower->from || upper->to == lower->from) return NODE_NONE;
    return after_move(rewrite, node);
}

static NodeId pull_rename(Rewrite *rewrite, NodeId id) {
    const Node node = *graph_node(rewrite->graph, id);
    switch (node.op) {
    case OP_RENAME: return rename_of_rename(rewrite, &node);
    case OP_SELECT:
    case OP_PREFIX:
    case OP_PAD:
    case OP_SPLIT:
    case OP_MERGE: return after_move(rewrite, &node);
    case OP_STOP_GRADIENT: return after_pointwise(rewrite, &node);
    default: return op_class(node.op) == CLASS_POINTWISE ? after_pointwise(rewrite, &node) : NODE_NONE;
    }
}

Graph *pass_renames(const Graph *graph, PassContext *context) {
    return rewrite_graph(graph, context->arena, pull_rename, NULL);
}
