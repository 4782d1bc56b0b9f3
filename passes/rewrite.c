// Rebuilding a graph node by node (see rewrite.h).
#include "passes/rewrite.h"

NodeId rewrite_node(Rewrite *rewrite, NodeId node) {
    for (;;) {
        NodeId next = rewrite->rule(rewrite, node);
        if (next == NODE_NONE || next == node) return node;
        rewrite->changed = true;
        node = next;
    }
}

NodeId rewrite_rename(Graph *graph, NodeId node, DimId from, DimId to) {
    const Node *below = graph_node(graph, node);
    if (below->op == OP_RENAME && below->attr.to == from)
        return build_rename(graph, below->operands[0], below->attr.from, to);
    return build_rename(graph, node, from, to);
}

// A replacement stands for the node it replaces: a new one takes its storage order, an unnamed one its name.
static NodeId rewrite_copied(Rewrite *rewrite, const Graph *from, NodeId copied) {
    uint32_t before = graph_nodes(rewrite->graph);
    NodeId result = rewrite_node(rewrite, copied);
    if (result == copied) return result;
    const Node *source = graph_node(from, rewrite->source), *node = graph_node(rewrite->graph, result);
    CHECK(source->dims == node->dims && source->dtype == node->dtype);
    if (op_class(node->op) == CLASS_SOURCE) return result;
    if (result >= before) graph_set_order(rewrite->graph, result, source->order);
    const char *name = graph_node_name(from, rewrite->source);
    if (name) graph_set_name(rewrite->graph, result, name);
    return result;
}

// The graph with every live node copied, and rewritten when `rewrite` is given.
static Graph *rebuild(const Graph *graph, Arena *arena, Rewrite *rewrite) {
    Graph *to = graph_create_like(arena, graph);
    if (rewrite) rewrite->graph = to;
    bool *live = graph_live(graph, arena);
    NodeId *map = ARENA_ARRAY(arena, NodeId, graph_nodes(graph));
    for (NodeId id = 0; id < graph_nodes(graph); id++) {
        if (!live[id]) continue;
        graph_set_group(to, graph_node_group(graph, id));
        map[id] = build_copy_mapped(to, graph, id, map);
        if (!rewrite) continue;
        rewrite->source = id;
        map[id] = rewrite_copied(rewrite, graph, map[id]);
    }
    graph_set_group(to, 0);
    for (uint32_t i = 0; i < graph_outputs(graph); i++) {
        const Output *output = graph_output_at(graph, i);
        graph_output(to, output->name, map[output->node]);
    }
    return to;
}

Graph *rewrite_graph(const Graph *graph, Arena *arena, RewriteRule rule, void *context) {
    Rewrite rewrite = {.rule = rule, .context = context};
    Graph *rewritten = rebuild(graph, arena, &rewrite);
    if (!rewrite.changed) return (Graph *)graph;
    return rebuild(rewritten, arena, NULL);  // without the nodes that were replaced
}
