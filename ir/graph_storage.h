// How a Graph is stored. Private to ir/.
//
// Nodes live in chunks, so that a `const Node *` stays valid while the graph grows. The side notes (name, group) and
// the hash sit beside the node; what takes part in equality sits inside.
#ifndef SINTER_IR_GRAPH_STORAGE_H
#define SINTER_IR_GRAPH_STORAGE_H

#include "ir/graph.h"

enum { NODES_PER_CHUNK = 8 };  // most graphs are regions of a few nodes
// An index along any dim is an i32; a tensor's size in bytes (f64, padding included) fits a signed 64-bit number.
#define MAX_EXTENT INT32_MAX
#define MAX_ELEMENTS ((int64_t)1 << 58)

typedef struct {
    Node node;
    const char *name;
    GroupId group;
    unsigned long long hash;
} NodeSlot;

typedef struct {
    const char *name;
    int64_t extent;
} Dim;

struct Graph {
    Arena *arena;
    const char *name;
    const Graph *like;  // that it was made like: its strings are this graph's, too; NULL: none

    const char **strings;  // open addressing, capacity a power of two, at most half full
    size_t string_count, string_capacity;

    Dim dims[MAX_DIMS];
    uint32_t dim_count;

    // Leaves and groups are never changed, so a graph made like another begins with that one's arrays, full: its first
    // own leaf moves them to an array of its own.
    Leaf *leaves;
    size_t leaf_count, leaf_capacity;
    NodeId *leaf_nodes;  // by leaf: the source bound to it, or NODE_NONE; as are all leaves past the end
    size_t leaf_node_capacity;

    Group *groups;  // group g is groups[g - 1]
    size_t group_count, group_capacity;
    GroupId current_group;

    NodeSlot **chunks;
    size_t chunk_count, chunk_capacity;
    uint32_t node_count;
    NodeId *interned;  // open addressing like strings
    size_t interned_capacity;

    Output *outputs;
    size_t output_count, output_capacity;
};

NodeSlot *graph_slot(const Graph *graph, NodeId node);

bool leaf_equal(const Leaf *a, const Leaf *b);
NodeId graph_leaf_node(const Graph *graph, LeafId leaf);
void graph_bind_leaf(Graph *graph, LeafId leaf, NodeId node);

// graph_verify without the dims, leaves and groups that `graph` shares with `sound`, which were found sound before.
const char *graph_verify_like(const Graph *graph, const Graph *sound, Arena *arena);
// Only these.
const char *graph_verify_declarations(const Graph *graph, Arena *arena);

// The node equal to `node` in (op, dtype, dims, operands, attributes), or a new one with the current group. `node` must
// obey its rule, its attributes be normal (attr_normal) and the operands of an op that commutes be sorted. Operands and
// table are copied.
NodeId graph_intern(Graph *graph, const Node *node);

// `attr` with only the fields that `op` uses; the others at rest.
Attr attr_normal(Op op, const Attr *attr);

// The one spelling of a value of this type: one NaN, and no negative zero among integers.
double value_normal(DType dtype, double value);

// The values of a table in storage order `from`, in storage order `to` (a permutation of it). In `arena`.
double *table_reorder(const Graph *graph, Arena *arena, const double *values, DimList from, DimList to);

#endif
