// Interning: equal nodes are one node.
//
//     %4 = add f32[B] %2 %3        asked for again, or as add %3 %2: still %4
//
// Equality is over op, dtype, set of dims, operands and attributes. Order, name and group are the first writer's notes.
#include <math.h>
#include <string.h>

#include "base/hash.h"
#include "ir/graph_storage.h"

Attr attr_normal(Op op, const Attr *attr) {
    Attr normal = {.from = DIM_NONE, .to = DIM_NONE, .inner = DIM_NONE};
    switch (op) {
    case OP_INPUT:
    case OP_PARAM:
    case OP_STATE: normal.leaf = attr->leaf; break;
    case OP_OPERAND: normal.integer = attr->integer; break;
    case OP_CONST:
        normal.table = attr->table;
        if (!attr->table) normal.value = attr->value;
        break;
    case OP_RANDOM: normal.site = attr->site; break;
    case OP_SUM:
    case OP_MAX:
    case OP_LSE:
    case OP_CONTRACT: normal.set = attr->set; break;
    case OP_INDEX:
    case OP_STACK: normal.to = attr->to; break;
    case OP_RENAME:
    case OP_PREFIX:
    case OP_PAD: normal.from = attr->from, normal.to = attr->to; break;
    case OP_SELECT: normal.from = attr->from, normal.integer = attr->integer; break;
    case OP_SPLIT:
    case OP_MERGE: normal.from = attr->from, normal.to = attr->to, normal.inner = attr->inner; break;
    case OP_GATHER: normal.from = attr->from; break;
    case OP_SCATTER:
    case OP_SCATTER_ONTO: normal.to = attr->to, normal.set = attr->set; break;
    default: break;  // the rest have no attributes
    }
    return normal;
}

double value_normal(DType dtype, double value) {
    if (isnan(value)) return (double)NAN;
    return dtype_is_float(dtype) ? value : value + 0.0;
}

double *table_reorder(const Graph *graph, Arena *arena, const double *values, DimList from, DimList to) {
    int64_t count = graph_elements(graph, dim_list_set(&from));
    double *result = ARENA_ARRAY(arena, double, (size_t)count);
    int64_t stride[MAX_DIMS] = {0}, index[MAX_RANK] = {0}, step = 1;
    for (int i = from.rank; i-- > 0;) {
        stride[from.dims[i]] = step;
        step *= graph_extent(graph, from.dims[i]);
    }
    for (int64_t at = 0, source = 0; at < count; at++) {
        result[at] = values[source];
        // Count up the index in `to`, last dim fastest, and let the source follow.
        for (int i = to.rank; i-- > 0;) {
            DimId dim = to.dims[i];
            source += stride[dim];
            if (++index[i] < graph_extent(graph, dim)) break;
            source -= stride[dim] * index[i];
            index[i] = 0;
        }
    }
    return result;
}

static DimList ascending(DimSet dims) {
    DimList list = {0};
    for (DimId dim = 0; dim < MAX_DIMS; dim++) {
        if (dim_in(dims, dim)) list.dims[list.rank++] = dim;
    }
    return list;
}

static unsigned long long node_hash(const Graph *graph, const Node *node) {
    const Attr *attr = &node->attr;
    // Only members of eight bytes: no padding, which would be hashed too.
    struct {
        uint64_t op, dtype, dims, from, to, inner, integer, set, leaf, site, operands, table;
        double value;
    } key = {.op = node->op, .dtype = node->dtype, .dims = node->dims, .from = attr->from, .to = attr->to,
             .inner = attr->inner, .integer = (uint64_t)attr->integer, .set = attr->set, .leaf = attr->leaf,
             .site = (uintptr_t)attr->site,
             .operands = hash_bytes(node->operands, node->operand_count * sizeof(NodeId)),
             .value = attr->value};
    if (attr->table) {
        // In ascending dims, so that two storage orders of one table meet.
        const double *values = table_reorder(graph, graph->arena, attr->table, node->order, ascending(node->dims));
        key.table = hash_bytes(values, (size_t)graph_elements(graph, node->dims) * sizeof(double));
    }
    return hash_bytes(&key, sizeof key);
}

static bool table_equal(const Graph *graph, const Node *a, const Node *b) {
    if (!a->attr.table || !b->attr.table) return a->attr.table == b->attr.table;
    const double *values = a->attr.table;
    if (!dim_list_equal(&a->order, &b->order)) {
        values = table_reorder(graph, graph->arena, values, a->order, b->order);
    }
    return memcmp(values, b->attr.table, (size_t)graph_elements(graph, a->dims) * sizeof(double)) == 0;
}

static bool node_equal(const Graph *graph, const Node *a, const Node *b) {
    const Attr *x = &a->attr, *y = &b->attr;
    if (a->op != b->op || a->dtype != b->dtype || a->dims != b->dims) return false;
    if (a->operand_count != b->operand_count) return false;
    for (uint32_t i = 0; i < a->operand_count; i++) {
        if (a->operands[i] != b->operands[i]) return false;
    }
    // Values by their bits: 0 and -0 differ, NaN equals itself.
    return x->from == y->from && x->to == y->to && x->inner == y->inner && x->integer == y->integer &&
           x->set == y->set && x->leaf == y->leaf && x->site == y->site &&
           memcmp(&x->value, &y->value, sizeof x->value) == 0 && table_equal(graph, a, b);
}

static void interned_insert(Graph *graph, unsigned long long hash, NodeId node) {
    size_t i = hash & (graph->interned_capacity - 1);
    while (graph->interned[i] != NODE_NONE) i = (i + 1) & (graph->interned_capacity - 1);
    graph->interned[i] = node;
}

static void interned_grow(Graph *graph) {
    graph->interned_capacity = graph->interned_capacity ? graph->interned_capacity * 2 : 32;
    graph->interned = ARENA_ARRAY(graph->arena, NodeId, graph->interned_capacity);
    memset(graph->interned, 0xff, graph->interned_capacity * sizeof(NodeId));  // NODE_NONE everywhere
    for (NodeId id = 0; id < graph->node_count; id++) interned_insert(graph, graph_slot(graph, id)->hash, id);
}

static NodeId node_append(Graph *graph, const Node *node, unsigned long long hash) {
    if (graph->node_count == NODE_NONE) BUG("a graph of 2^32 nodes");
    if (graph->node_count == graph->chunk_count * NODES_PER_CHUNK) {
        graph->chunks = arena_grow(graph->arena, graph->chunks, &graph->chunk_capacity, graph->chunk_count + 1,
                                   sizeof(NodeSlot *));
        graph->chunks[graph->chunk_count++] = ARENA_ARRAY(graph->arena, NodeSlot, NODES_PER_CHUNK);
    }
    NodeId id = graph->node_count++;
    NodeSlot *slot = graph_slot(graph, id);
    *slot = (NodeSlot){*node, NULL, graph->current_group, hash};

    NodeId *operands = ARENA_ARRAY(graph->arena, NodeId, node->operand_count);
    for (uint32_t i = 0; i < node->operand_count; i++) operands[i] = node->operands[i];
    slot->node.operands = operands;
    if (node->attr.table) {
        slot->node.attr.table = table_reorder(graph, graph->arena, node->attr.table, node->order, node->order);
    }
    bool is_leaf = node->op == OP_INPUT || node->op == OP_PARAM || node->op == OP_STATE;
    if (is_leaf && graph_leaf_node(graph, node->attr.leaf) == NODE_NONE) graph_bind_leaf(graph, node->attr.leaf, id);
    return id;
}

NodeId graph_intern(Graph *graph, const Node *node) {
    if ((size_t)graph->node_count * 2 >= graph->interned_capacity) interned_grow(graph);
    unsigned long long hash = node_hash(graph, node);
    size_t mask = graph->interned_capacity - 1;
    for (size_t i = hash & mask; graph->interned[i] != NODE_NONE; i = (i + 1) & mask) {
        const NodeSlot *slot = graph_slot(graph, graph->interned[i]);
        if (slot->hash == hash && node_equal(graph, node, &slot->node)) return graph->interned[i];
    }
    NodeId id = node_append(graph, node, hash);
    interned_insert(graph, hash, id);
    return id;
}
