// Where a node reads its operands (see access.h).
#include "passes/access.h"

bool op_is_view(Op op) {
    return op == OP_RENAME || op == OP_PREFIX || op == OP_SELECT || op == OP_SPLIT || op == OP_MERGE;
}

DimSet access_moved(const Graph *graph, NodeId id, uint32_t k, DimSet moved) {
    const Node *node = graph_node(graph, id);
    const Node *operand = graph_node(graph, node->operands[k]);
    switch (node->op) {
    case OP_RENAME:
    case OP_PREFIX:
    case OP_PAD:
    case OP_SELECT:
    case OP_SPLIT: moved |= dim_bit(node->attr.from); break;
    case OP_MERGE: moved |= dim_bit(node->attr.from) | dim_bit(node->attr.inner); break;
    case OP_GATHER:
        if (k == 0) moved |= dim_bit(node->attr.from);
        break;
    default: break;
    }
    return moved & operand->dims;
}

DimSet access_reduced(const Graph *graph, NodeId id, uint32_t k) {
    const Node *node = graph_node(graph, id);
    DimSet dims = graph_node(graph, node->operands[k])->dims;
    OpClass class = op_class(node->op);
    if (class == CLASS_REDUCE || class == CLASS_CONTRACT) return node->attr.set & dims;
    if (node->op == OP_SCATTER) return dims & ~node->dims;
    return 0;
}

NodeId node_in_order(Graph *region, NodeId id, DimList order) {
    const Node *node = graph_node(region, id);
    if (dim_list_equal(&node->order, &order)) return id;
    if (node->op == OP_OPERAND) id = build_stop_gradient(region, id);
    graph_set_order(region, id, order);
    return id;
}
