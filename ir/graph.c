// Storage of a Graph: strings, dims, leaves, groups, outputs and the side notes of nodes, and how they are read.
// Nodes enter through ir/build.c (their rules) and ir/intern.c (equal nodes are one).
#include "ir/graph.h"

#include <ctype.h>
#include <string.h>

#include "base/hash.h"
#include "base/size.h"
#include "ir/graph_storage.h"

// ---- making

Graph *graph_create(Arena *arena, const char *name) {
    Graph *graph = ARENA_NEW(arena, Graph);
    graph->arena = arena;
    graph->name = graph_string(graph, name);
    return graph;
}

Arena *graph_arena(const Graph *graph) {
    return graph->arena;
}

// Where `text` is, or the free place where it belongs.
static size_t string_place(const char **strings, size_t capacity, const char *text, unsigned long long hash) {
    size_t i = hash & (capacity - 1);
    while (strings[i] && strcmp(strings[i], text) != 0) i = (i + 1) & (capacity - 1);
    return i;
}

static void strings_grow(Graph *graph) {
    size_t capacity = graph->string_capacity ? graph->string_capacity * 2 : 16;
    const char **strings = ARENA_ARRAY(graph->arena, const char *, capacity);
    for (size_t i = 0; i < graph->string_capacity; i++) {
        const char *text = graph->strings[i];
        if (text) strings[string_place(strings, capacity, text, hash_text(text))] = text;
    }
    graph->strings = strings;
    graph->string_capacity = capacity;
}

// Its own before the other graph's: a text that both came to know later stays what it was here.
static const char *string_find(const Graph *graph, const char *text, unsigned long long hash) {
    for (; graph; graph = graph->like) {
        if (graph->string_capacity == 0) continue;
        const char *found = graph->strings[string_place(graph->strings, graph->string_capacity, text, hash)];
        if (found) return found;
    }
    return NULL;
}

const char *graph_string(Graph *graph, const char *text) {
    unsigned long long hash = hash_text(text);
    const char *found = string_find(graph, text, hash);
    if (found) return found;
    if (graph->string_count * 2 >= graph->string_capacity) strings_grow(graph);
    graph->string_count++;
    return graph->strings[string_place(graph->strings, graph->string_capacity, text, hash)] =
               arena_copy(graph->arena, text);
}

Graph *graph_create_like(Arena *arena, const Graph *from) {
    Graph *graph = ARENA_NEW(arena, Graph);
    *graph = (Graph){.arena = arena,
                     .name = from->name,
                     .like = from,
                     .dim_count = from->dim_count,
                     .leaves = from->leaves,
                     .leaf_count = from->leaf_count,
                     .leaf_capacity = from->leaf_count,
                     .groups = from->groups,
                     .group_count = from->group_count,
                     .group_capacity = from->group_count};
    memcpy(graph->dims, from->dims, from->dim_count * sizeof(Dim));
    return graph;
}

// ---- dims

bool graph_find_dim(const Graph *graph, const char *name, DimId *dim) {
    for (uint32_t i = 0; i < graph->dim_count; i++) {
        if (strcmp(graph->dims[i].name, name) == 0) {
            *dim = (DimId)i;
            return true;
        }
    }
    return false;
}

// Dims stand bare in texts.
static bool is_identifier(const char *name) {
    if (!isalpha((unsigned char)name[0]) && name[0] != '_') return false;
    for (const char *c = name; *c; c++) {
        if (!isalnum((unsigned char)*c) && *c != '_') return false;
    }
    return true;
}

DimId graph_dim(Graph *graph, const char *name, int64_t extent) {
    DimId dim;
    if (graph_find_dim(graph, name, &dim)) {
        if (graph->dims[dim].extent != extent) {
            BUG("dim %s has extent %lld, not %lld", name, (long long)graph->dims[dim].extent, (long long)extent);
        }
        return dim;
    }
    if (!is_identifier(name)) BUG("'%s' is no name of a dim", name);
    if (extent < 1 || extent > MAX_EXTENT) BUG("dim %s has extent %lld", name, (long long)extent);
    if (graph->dim_count == MAX_DIMS) BUG("dim %s would be one more than %d", name, MAX_DIMS);
    graph->dims[graph->dim_count] = (Dim){graph_string(graph, name), extent};
    return (DimId)graph->dim_count++;
}

DimId graph_dim_fresh(Graph *graph, const char *stem, int64_t extent) {
    if (graph->dim_count == MAX_DIMS) return DIM_NONE;
    const char *name = stem;
    DimId taken;
    for (int i = 1; graph_find_dim(graph, name, &taken); i++) name = arena_format(graph->arena, "%s%d", stem, i);
    return graph_dim(graph, name, extent);
}

uint32_t graph_dims(const Graph *graph) {
    return graph->dim_count;
}

const char *graph_dim_name(const Graph *graph, DimId dim) {
    CHECK(dim < graph->dim_count);
    return graph->dims[dim].name;
}

int64_t graph_extent(const Graph *graph, DimId dim) {
    CHECK(dim < graph->dim_count);
    return graph->dims[dim].extent;
}

int64_t graph_elements(const Graph *graph, DimSet dims) {
    size_t elements = 1;
    for (DimId dim = 0; dim < graph->dim_count; dim++) {
        if (!dim_in(dims, dim)) continue;
        if (!size_multiply(elements, (size_t)graph->dims[dim].extent, &elements) || elements > INT64_MAX) {
            BUG("a tensor of more than 2^63 elements");
        }
    }
    return (int64_t)elements;
}

// ---- leaves

static void leaf_check(const Graph *graph, const Leaf *leaf) {
    bool sound = leaf->stored.rank <= MAX_RANK && leaf->stored_rank <= leaf->stored.rank;
    for (int i = 0; sound && i < leaf->stored.rank; i++) sound = leaf->stored.dims[i] < graph->dim_count;
    for (int i = 0, end = 0; sound && i < leaf->stored_rank; i++) {
        sound = leaf->group_end[i] > end;
        end = leaf->group_end[i];
    }
    if (sound && leaf->stored_rank) sound = leaf->group_end[leaf->stored_rank - 1] == leaf->stored.rank;
    if (!sound || dim_count(dim_list_set(&leaf->stored)) != leaf->stored.rank) {
        BUG("leaf \"%s\" has stored axes that do not partition its dims", leaf->name);
    }
}

bool leaf_equal(const Leaf *a, const Leaf *b) {
    return dim_list_equal(&a->stored, &b->stored) && a->stored_rank == b->stored_rank &&
           memcmp(a->group_end, b->group_end, a->stored_rank) == 0 && a->token_bytes == b->token_bytes &&
           a->init == b->init && a->init_value == b->init_value;
}

LeafId graph_leaf(Graph *graph, const Leaf *leaf) {
    Leaf copy = *leaf;
    copy.name = graph_string(graph, leaf->name);
    copy.spec_name = leaf->spec_name ? graph_string(graph, leaf->spec_name) : NULL;
    if (copy.stored_rank == 0) {
        copy.stored_rank = copy.stored.rank;
        for (int i = 0; i < copy.stored.rank; i++) copy.group_end[i] = (uint8_t)(i + 1);
    }
    leaf_check(graph, &copy);
    for (size_t i = 0; i < graph->leaf_count; i++) {
        if (graph->leaves[i].name != copy.name) continue;
        if (!leaf_equal(&graph->leaves[i], &copy)) BUG("leaf \"%s\" is declared in two ways", copy.name);
        return (LeafId)i;
    }
    graph->leaves = arena_grow(graph->arena, graph->leaves, &graph->leaf_capacity, graph->leaf_count + 1, sizeof(Leaf));
    graph->leaves[graph->leaf_count] = copy;
    return (LeafId)graph->leaf_count++;
}

NodeId graph_leaf_node(const Graph *graph, LeafId leaf) {
    return leaf < graph->leaf_node_capacity ? graph->leaf_nodes[leaf] : NODE_NONE;
}

void graph_bind_leaf(Graph *graph, LeafId leaf, NodeId node) {
    size_t before = graph->leaf_node_capacity;
    graph->leaf_nodes = arena_grow(graph->arena, graph->leaf_nodes, &graph->leaf_node_capacity, (size_t)leaf + 1,
                                   sizeof(NodeId));
    for (size_t i = before; i < graph->leaf_node_capacity; i++) graph->leaf_nodes[i] = NODE_NONE;
    graph->leaf_nodes[leaf] = node;
}

uint32_t graph_leaves(const Graph *graph) {
    return (uint32_t)graph->leaf_count;
}

const Leaf *graph_leaf_at(const Graph *graph, LeafId leaf) {
    CHECK(leaf < graph->leaf_count);
    return &graph->leaves[leaf];
}

NodeId graph_find_leaf_node(const Graph *graph, const char *name) {
    for (size_t i = 0; i < graph->leaf_count; i++) {
        if (strcmp(graph->leaves[i].name, name) == 0) return graph_leaf_node(graph, (LeafId)i);
    }
    return NODE_NONE;
}

// ---- groups

GroupId graph_group(Graph *graph, const char *label, const char *place, GroupId forward) {
    CHECK(forward <= graph->group_count);
    graph->groups = arena_grow(graph->arena, graph->groups, &graph->group_capacity, graph->group_count + 1,
                               sizeof(Group));
    graph->groups[graph->group_count] = (Group){graph_string(graph, label), graph_string(graph, place), forward};
    return (GroupId)++graph->group_count;
}

GroupId graph_set_group(Graph *graph, GroupId group) {
    CHECK(group <= graph->group_count);
    GroupId former = graph->current_group;
    graph->current_group = group;
    return former;
}

uint32_t graph_groups(const Graph *graph) {
    return (uint32_t)graph->group_count;
}

const Group *graph_group_at(const Graph *graph, GroupId group) {
    CHECK(group >= 1 && group <= graph->group_count);
    return &graph->groups[group - 1];
}

// ---- outputs

void graph_output(Graph *graph, const char *name, NodeId node) {
    CHECK(node < graph->node_count);
    const char *interned = graph_string(graph, name);
    for (size_t i = 0; i < graph->output_count; i++) {
        if (graph->outputs[i].name == interned) {
            graph->outputs[i].node = node;
            return;
        }
    }
    graph->outputs = arena_grow(graph->arena, graph->outputs, &graph->output_capacity, graph->output_count + 1,
                                sizeof(Output));
    graph->outputs[graph->output_count++] = (Output){interned, node};
}

uint32_t graph_outputs(const Graph *graph) {
    return (uint32_t)graph->output_count;
}

const Output *graph_output_at(const Graph *graph, uint32_t i) {
    CHECK(i < graph->output_count);
    return &graph->outputs[i];
}

NodeId graph_find_output(const Graph *graph, const char *name) {
    for (size_t i = 0; i < graph->output_count; i++) {
        if (strcmp(graph->outputs[i].name, name) == 0) return graph->outputs[i].node;
    }
    return NODE_NONE;
}

// ---- nodes and their side notes

NodeSlot *graph_slot(const Graph *graph, NodeId node) {
    CHECK(node < graph->node_count);
    return &graph->chunks[node / NODES_PER_CHUNK][node % NODES_PER_CHUNK];
}

const char *graph_name(const Graph *graph) {
    return graph->name;
}

uint32_t graph_nodes(const Graph *graph) {
    return graph->node_count;
}

const Node *graph_node(const Graph *graph, NodeId node) {
    return &graph_slot(graph, node)->node;
}

void graph_set_order(Graph *graph, NodeId id, DimList order) {
    Node *node = &graph_slot(graph, id)->node;
    if (order.rank != node->order.rank || dim_list_set(&order) != node->dims) {
        BUG("order of %%%u is not a permutation of its dims", id);
    }
    // A table's values are stored in the node's order, so they move with it.
    if (node->attr.table) node->attr.table = table_reorder(graph, graph->arena, node->attr.table, node->order, order);
    node->order = order;
}

void graph_set_name(Graph *graph, NodeId node, const char *name) {
    NodeSlot *slot = graph_slot(graph, node);
    if (!slot->name) slot->name = graph_string(graph, name);
}

const char *graph_node_name(const Graph *graph, NodeId node) {
    return graph_slot(graph, node)->name;
}

GroupId graph_node_group(const Graph *graph, NodeId node) {
    return graph_slot(graph, node)->group;
}

bool *graph_live(const Graph *graph, Arena *arena) {
    bool *live = ARENA_ARRAY(arena, bool, graph->node_count);
    for (size_t i = 0; i < graph->output_count; i++) live[graph->outputs[i].node] = true;
    for (NodeId id = graph->node_count; id-- > 0;) {
        if (!live[id]) continue;
        const Node *node = graph_node(graph, id);
        for (uint32_t i = 0; i < node->operand_count; i++) live[node->operands[i]] = true;
    }
    return live;
}
