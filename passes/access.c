// Where a node reads its operands (see access.h).
#include "passes/access.h"

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
    if (op_scatters(node->op)) return dims & ~node->dims;
    return 0;
}

// By node of the region: dims that are read elsewhere than at the index of the step's outputs.
static DimSet *find_shifted(const Graph *region, const bool *live, bool with_reduced, Arena *arena) {
    uint32_t nodes = graph_nodes(region);
    DimSet *moved = ARENA_ARRAY(arena, DimSet, nodes), *shifted = ARENA_ARRAY(arena, DimSet, nodes);
    for (NodeId id = nodes; id-- > 0;) {
        const Node *node = graph_node(region, id);
        if (!live[id]) continue;
        for (uint32_t k = 0; k < node->operand_count; k++) {
            NodeId operand = node->operands[k];
            DimSet below = access_moved(region, id, k, moved[id]);
            moved[operand] |= below;
            if (with_reduced) below |= access_reduced(region, id, k);
            shifted[operand] |= below | (shifted[id] & graph_node(region, operand)->dims);
        }
    }
    return shifted;
}

static DimSet *find_own(const Graph *region, uint32_t operand_count, bool with_reduced, Arena *arena) {
    bool *live = graph_live(region, arena);
    const DimSet *shifted = find_shifted(region, live, with_reduced, arena);
    DimSet *own = ARENA_ARRAY(arena, DimSet, operand_count + 1);
    for (NodeId id = 0; id < graph_nodes(region); id++) {
        const Node *node = graph_node(region, id);
        if (live[id] && node->op == OP_OPERAND) own[node->attr.integer] = node->dims & ~shifted[id];
    }
    return own;
}

DimSet *access_own(const Graph *region, uint32_t operand_count, Arena *arena) {
    return find_own(region, operand_count, true, arena);
}

DimSet *access_own_or_summed(const Graph *region, uint32_t operand_count, Arena *arena) {
    return find_own(region, operand_count, false, arena);
}

NodeId node_in_order(Graph *region, NodeId id, DimList order) {
    const Node *node = graph_node(region, id);
    if (dim_list_equal(&node->order, &order)) return id;
    if (node->op == OP_OPERAND) id = build_stop_gradient(region, id);
    graph_set_order(region, id, order);
    return id;
}
