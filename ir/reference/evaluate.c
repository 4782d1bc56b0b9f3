// The reference evaluator: one dense double array per live node, filled in topological order.
//
//     graph + bound sources -> values of all live nodes
#include <string.h>

#include "ir/reference/ops.h"
#include "ir/reference/reference.h"

struct Reference {
    Arena *arena;
    const Graph *graph;
    const bool *live;
    bool *bound;     // by node id; for sources that take a value
    double **values; // by node id; NULL for dead nodes
};

static void (*const functions[OP_COUNT])(const Work *work) = {
#define OP(ENUM, name, class_, operands, meaning) [OP_##ENUM] = reference_##name,
#include "ir/ops.def"
#undef OP
};

Reference *reference_create(const Graph *graph) {
    Arena *arena = arena_create();
    Reference *reference = ARENA_NEW(arena, Reference);
    uint32_t nodes = graph_nodes(graph);
    *reference = (Reference){.arena = arena, .graph = graph, .live = graph_live(graph, arena)};
    reference->bound = ARENA_ARRAY(arena, bool, nodes);
    reference->values = ARENA_ARRAY(arena, double *, nodes);
    for (NodeId id = 0; id < nodes; id++) {
        if (!reference->live[id]) continue;
        size_t elements = (size_t)graph_elements(graph, graph_node(graph, id)->dims);
        reference->values[id] = ARENA_ARRAY(arena, double, elements);
    }
    return reference;
}

void reference_free(Reference *reference) {
    if (reference) arena_free(reference->arena);
}

static void bind_node(Reference *reference, NodeId id, const double *values) {
    size_t elements = (size_t)graph_elements(reference->graph, graph_node(reference->graph, id)->dims);
    memcpy(reference->values[id], values, elements * sizeof(double));
    reference->bound[id] = true;
}

bool reference_bind(Reference *reference, const char *leaf, const double *values) {
    NodeId id = graph_find_leaf_node(reference->graph, leaf);
    if (id == NODE_NONE || !reference->live[id]) return false;
    bind_node(reference, id, values);
    return true;
}

bool reference_bind_operand(Reference *reference, int number, const double *values) {
    for (NodeId id = 0; id < graph_nodes(reference->graph); id++) {
        const Node *node = graph_node(reference->graph, id);
        if (!reference->live[id] || node->op != OP_OPERAND || node->attr.integer != number) continue;
        bind_node(reference, id, values);
        return true;
    }
    return false;
}

// The name of a source without a value; NULL when the node has one or needs none.
static const char *missing_source(const Reference *reference, NodeId id) {
    const Node *node = graph_node(reference->graph, id);
    if (reference->bound[id]) return NULL;
    if (node->op == OP_OPERAND) return arena_format(reference->arena, "operand %d", node->attr.integer);
    bool leaf = node->op == OP_INPUT || node->op == OP_PARAM || node->op == OP_STATE;
    return leaf ? graph_leaf_at(reference->graph, node->attr.leaf)->name : NULL;
}

bool reference_run(Reference *reference, const char **unbound) {
    uint32_t nodes = graph_nodes(reference->graph);
    for (NodeId id = 0; id < nodes; id++) {
        const char *missing = reference->live[id] ? missing_source(reference, id) : NULL;
        if (!missing) continue;
        if (unbound) *unbound = missing;
        return false;
    }
    for (NodeId id = 0; id < nodes; id++) {
        if (!reference->live[id]) continue;
        const Node *node = graph_node(reference->graph, id);
        functions[node->op](&(Work){.graph = reference->graph,
                                    .node = node,
                                    .values = reference->values,
                                    .result = reference->values[id],
                                    .count = graph_elements(reference->graph, node->dims)});
    }
    return true;
}

const double *reference_value(const Reference *reference, NodeId node) {
    CHECK(node < graph_nodes(reference->graph) && reference->values[node]);
    return reference->values[node];
}

void reference_reorder(const Graph *graph, const double *values, DimList from, DimList to, double *result) {
    CHECK(dim_list_set(&from) == dim_list_set(&to));
    Strides source = strides_dense(graph, from), target = strides_dense(graph, to);
    WalkOrder order = {0};
    walk_order_add(&order, &to, ~(DimSet)0);
    for (Walk walk = walk_start(graph, &order, (const Strides *[]){&target, &source}, 2); walk.more; walk_next(&walk)) {
        for (int64_t i = 0; i < walk.length; i++) {
            result[walk.offset[0] + i * walk.step[0]] = values[walk.offset[1] + i * walk.step[1]];
        }
    }
}
