// Copying a graph to append to it, sums of contributions, and broadcasting to given dims (see extend.h).
#include "passes/extend.h"

static bool *marked_live(const Graph *graph, Arena *arena, bool (*keep)(const char *output)) {
    bool *live = ARENA_ARRAY(arena, bool, graph_nodes(graph));
    for (uint32_t i = 0; i < graph_outputs(graph); i++) {
        const Output *output = graph_output_at(graph, i);
        if (!keep || keep(output->name)) live[output->node] = true;
    }
    for (NodeId id = graph_nodes(graph); id-- > 0;) {
        const Node *node = graph_node(graph, id);
        for (uint32_t i = 0; live[id] && i < node->operand_count; i++)
            live[node->operands[i]] = true;
    }
    return live;
}

Graph *extend_copy(const Graph *from, Arena *arena, bool (*keep)(const char *output)) {
    Graph *to = graph_create_like(arena, from);
    bool *live = marked_live(from, arena, keep);
    NodeId *map = ARENA_ARRAY(arena, NodeId, graph_nodes(from));
    for (NodeId id = 0; id < graph_nodes(from); id++)
        if (live[id]) map[id] = build_copy_mapped(to, from, id, map);
    for (uint32_t i = 0; i < graph_outputs(from); i++) {
        const Output *output = graph_output_at(from, i);
        if (live[output->node] && (!keep || keep(output->name))) graph_output(to, output->name, map[output->node]);
    }
    return to;
}

// The scatter stays last, so that what else there is can be there long before it:
//
//     (scatter a onto base) + b    ->    scatter a onto base + b
NodeId extend_sum(Graph *graph, NodeId a, NodeId b) {
    NodeId scatter = op_scatters(graph_node(graph, b)->op) ? b : a, rest = scatter == b ? a : b;
    const Node node = *graph_node(graph, scatter);
    if (!op_scatters(node.op) || node.dims != graph_node(graph, rest)->dims) return build_binary(graph, OP_ADD, a, b);
    NodeId base = node.op == OP_SCATTER ? rest : extend_sum(graph, node.operands[2], rest);
    GroupId former = graph_set_group(graph, graph_node_group(graph, scatter));
    NodeId sum = build_scatter_onto(graph, node.operands[0], node.operands[1], base, node.attr.to);
    graph_set_group(graph, former);
    return sum;
}

// There is no broadcast primitive, since every pointwise op broadcasts. `like < like` holds nowhere, not even for NaN,
// so `like` lends its dims and none of its values (0 * like would let a NaN or an infinity through).
NodeId extend_broadcast(Graph *graph, NodeId value, NodeId like) {
    if (graph_node(graph, value)->dims == graph_node(graph, like)->dims) return value;
    return build_where(graph, build_binary(graph, OP_LT, like, like), like, value);
}
