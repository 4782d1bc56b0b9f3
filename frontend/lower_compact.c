// A graph cut down to what its outputs depend on.
//
//     dims B T V Z, leaves tok target wte, output logits   ->   dims B T V, leaves tok wte, output logits
#include "frontend/lower.h"

typedef struct {
    Arena *arena;
    const Graph *from;
    Graph *to;
    const bool *live;
    DimId dims[MAX_DIMS]; // by old dim
    GroupId *groups;      // by old group
    NodeId *nodes;        // by old node
} Compaction;

static DimSet leaf_dims(const Leaf *leaf) {
    return dim_list_set(&leaf->stored);
}

static bool has_leaf(Op op) {
    return op == OP_INPUT || op == OP_PARAM || op == OP_STATE;
}

static DimSet dims_used(const Compaction *compaction) {
    DimSet used = 0;
    for (NodeId id = 0; id < graph_nodes(compaction->from); id++) {
        if (!compaction->live[id]) continue;
        const Node *node = graph_node(compaction->from, id);
        used |= node->dims | node->attr.set;
        if (has_leaf(node->op)) used |= leaf_dims(graph_leaf_at(compaction->from, node->attr.leaf));
    }
    return used;
}

static void copy_dims(Compaction *compaction) {
    DimSet used = dims_used(compaction);
    for (DimId dim = 0; dim < graph_dims(compaction->from); dim++) {
        compaction->dims[dim] = DIM_NONE;
        if (dim_in(used, dim))
            compaction->dims[dim] =
                graph_dim(compaction->to, graph_dim_name(compaction->from, dim), graph_extent(compaction->from, dim));
    }
}

static DimId map_dim(const Compaction *compaction, DimId dim) {
    return dim < MAX_DIMS ? compaction->dims[dim] : DIM_NONE;
}

static DimList map_list(const Compaction *compaction, DimList list) {
    for (int i = 0; i < list.rank; i++)
        list.dims[i] = compaction->dims[list.dims[i]];
    return list;
}

static DimSet map_set(const Compaction *compaction, DimSet set) {
    DimSet mapped = 0;
    for (DimId dim = 0; dim < graph_dims(compaction->from); dim++) {
        if (dim_in(set, dim)) mapped |= dim_bit(compaction->dims[dim]);
    }
    return mapped;
}

static LeafId copy_leaf(Compaction *compaction, LeafId id) {
    Leaf leaf = *graph_leaf_at(compaction->from, id);
    leaf.stored = map_list(compaction, leaf.stored);
    return graph_leaf(compaction->to, &leaf);
}

static GroupId copy_group(Compaction *compaction, GroupId id) {
    if (id == 0) return 0;
    if (compaction->groups[id] == 0) {
        const Group *group = graph_group_at(compaction->from, id);
        compaction->groups[id] =
            graph_group(compaction->to, group->label, group->place, copy_group(compaction, group->forward));
    }
    return compaction->groups[id];
}

static void copy_node(Compaction *compaction, NodeId id) {
    const Node *node = graph_node(compaction->from, id);
    Attr attr = node->attr;
    attr.from = map_dim(compaction, attr.from);
    attr.to = map_dim(compaction, attr.to);
    attr.inner = map_dim(compaction, attr.inner);
    attr.set = map_set(compaction, attr.set);
    if (has_leaf(node->op)) attr.leaf = copy_leaf(compaction, attr.leaf);
    DimList order = map_list(compaction, node->order);
    NodeId *operands = ARENA_ARRAY(compaction->arena, NodeId, node->operand_count);
    for (uint32_t i = 0; i < node->operand_count; i++)
        operands[i] = compaction->nodes[node->operands[i]];
    graph_set_group(compaction->to, copy_group(compaction, graph_node_group(compaction->from, id)));
    const char *error = NULL;
    NodeId copy =
        build_node(compaction->to, node->op, node->dtype, &order, operands, node->operand_count, &attr, &error);
    if (copy == NODE_NONE) BUG("a sound node does not copy: %s", error);
    const char *name = graph_node_name(compaction->from, id);
    if (name) graph_set_name(compaction->to, copy, name);
    compaction->nodes[id] = copy;
}

Graph *graph_compact(Arena *arena, const Graph *graph) {
    Compaction compaction = {
        .arena = arena, .from = graph, .to = graph_create(arena, graph_name(graph)), .live = graph_live(graph, arena)};
    compaction.groups = ARENA_ARRAY(arena, GroupId, graph_groups(graph) + 1);
    compaction.nodes = ARENA_ARRAY(arena, NodeId, graph_nodes(graph));
    copy_dims(&compaction);
    for (NodeId id = 0; id < graph_nodes(graph); id++) {
        if (compaction.live[id]) copy_node(&compaction, id);
    }
    graph_set_group(compaction.to, 0);
    for (uint32_t i = 0; i < graph_outputs(graph); i++) {
        const Output *output = graph_output_at(graph, i);
        graph_output(compaction.to, output->name, compaction.nodes[output->node]);
    }
    return compaction.to;
}
