// The tensor IR: a pure, interned, topologically ordered graph of primitives over named dims.
//
//     graph "embed"
//     dim B=12 T=64 V=65 C=128
//     %0 = input i32[B,T] "tok" stored(B,T) u16
//     %1 = param f32[V,C] "wte.weight" stored(V,C) init normal(0.02)
//     %2 = gather f32[B,T,C] %1 %0 from V ; name="x"
//     output "x" %2
//
// A node is plain data with a 32-bit id; operand id < own id, so walking the ids is walking in topological order.
// Building interns: equal (op, operands, attributes, dtype, set of dims) is the same node, so common subexpressions
// and, because passes rebuild from the outputs, dead code go by construction. Nodes are never changed after building;
// the dim order, the names and the groups are side notes that do not take part in equality (the first writer wins).
#ifndef SINTER_IR_GRAPH_H
#define SINTER_IR_GRAPH_H

#include "base/diag.h"
#include "base/memory.h"
#include "base/text.h"
#include "ir/type.h"

#define VARIADIC (-1)
typedef enum {
#define OP(ENUM, name, class_, operands, meaning) OP_##ENUM,
#include "ir/ops.def"
#undef OP
    OP_COUNT
} Op;

typedef enum {
    CLASS_SOURCE, CLASS_POINTWISE, CLASS_REDUCE, CLASS_CONTRACT, CLASS_MOVE, CLASS_INDEXED, CLASS_OTHER
} OpClass;

const char *op_name(Op op);
bool op_from_name(const char *name, Op *op);
OpClass op_class(Op op);
static inline bool op_scatters(Op op) { return op == OP_SCATTER || op == OP_SCATTER_ONTO; }
int op_operands(Op op);           // VARIADIC for stack
const char *op_meaning(Op op);
// RENAME, PREFIX, SELECT, SPLIT, MERGE: an index computation, no kernel of its own at level op.
bool op_is_view(Op op);
bool op_commutes(Op op);          // add, mul, maximum, minimum, eq, and, or, contract

typedef uint32_t NodeId;
#define NODE_NONE UINT32_MAX

// ---- leaves: what a source node is bound to
typedef enum { INIT_NORMAL, INIT_CONSTANT } InitKind;
typedef struct {
    const char *name;         // interned; unique among the leaves of a graph: "tok", "wte.weight", "adam.m.wte.weight"
    DimList stored;           // order of dims in files
    uint8_t stored_rank;      // how many axes files show: grouped dims are one axis; graph_leaf takes 0 as "no groups"
    uint8_t group_end[MAX_RANK];  // stored axis a ends before stored.dims[group_end[a]]
    uint8_t token_bytes;      // for INPUT: width of a token in files (2 or 4), 0: not tokens
    InitKind init;            // for PARAM and STATE
    double init_value;        // standard deviation, or the constant
    const char *spec_name;    // PARAM: what the spec calls it, "layer[0].Wo"; a note as nodes' names, NULL: unknown
} Leaf;

typedef uint32_t LeafId;
typedef uint32_t GroupId;     // 0: none

// The operator, in the words of the spec, that a node came from: one call of a prelude or user function at one place
// ("layernorm" at "h.0.ln_1"), forward or backward. Level `op` makes one kernel of it; the ledger speaks of it.
typedef struct {
    const char *label;        // "layernorm"
    const char *place;        // "layer[0].a"
    GroupId forward;          // for a backward group: its forward group; else 0
} Group;

typedef struct {
    DimId from, to, inner;    // moves, gather, scatter; INDEX uses `to`; DIM_NONE when unused
    int32_t integer;          // SELECT entry, OPERAND number
    DimSet set;               // REDUCE, CONTRACT: the summed dims; SCATTER, SCATTER_ONTO: the result's dims
    LeafId leaf;              // INPUT, PARAM, STATE
    const char *site;         // RANDOM: interned
    double value;             // CONST without dims
    const double *table;      // CONST with dims: values in the order of node.order; NULL else
} Attr;

typedef struct {
    Op op;
    DType dtype;
    DimSet dims;
    DimList order;            // a permutation of `dims`: preferred storage order
    uint32_t operand_count;
    const NodeId *operands;
    Attr attr;
} Node;

typedef struct {
    const char *name;
    NodeId node;
} Output;

typedef struct Graph Graph;

// ---- making
Graph *graph_create(Arena *arena, const char *name);
Arena *graph_arena(const Graph *graph);
const char *graph_string(Graph *graph, const char *text);   // interned in this graph: equal text, equal pointer
// A new dim, or the existing one of that name when the extent is equal (BUG when it differs). extent >= 1.
DimId graph_dim(Graph *graph, const char *name, int64_t extent);
// A dim with a name not yet taken (`stem`, stem1, stem2 ...); DIM_NONE when all 64 are used.
DimId graph_dim_fresh(Graph *graph, const char *stem, int64_t extent);
// All dims, leaves, groups and the name of `from`, with equal ids, and no nodes: how a pass or a region starts. What
// they have in common is not copied, so `from` must live as long; it may grow.
Graph *graph_create_like(Arena *arena, const Graph *from);

// Leaves: `leaf` is copied, strings interned. Equal names return the same leaf (BUG when they differ otherwise).
LeafId graph_leaf(Graph *graph, const Leaf *leaf);
GroupId graph_group(Graph *graph, const char *label, const char *place, GroupId forward);
// Nodes built from now on, and not equal to an older one, belong to this group (0: none). Returns the former one.
GroupId graph_set_group(Graph *graph, GroupId group);

// ---- builders. All check their rule and BUG on a violation; callers with a user's input ask build_node instead.
NodeId build_input(Graph *graph, LeafId leaf, DType dtype);
NodeId build_param(Graph *graph, LeafId leaf);
NodeId build_state(Graph *graph, LeafId leaf);
NodeId build_operand(Graph *graph, int number, DType dtype, DimList order);
NodeId build_const(Graph *graph, DType dtype, double value);
NodeId build_table(Graph *graph, DType dtype, DimList order, const double *values);  // values are copied
NodeId build_index(Graph *graph, DimId dim);
NodeId build_random(Graph *graph, NodeId seed, NodeId step, NodeId micro, const char *site, DimList order);
NodeId build_pointwise(Graph *graph, Op op, const NodeId *operands, int count);
NodeId build_unary(Graph *graph, Op op, NodeId a);
NodeId build_binary(Graph *graph, Op op, NodeId a, NodeId b);
NodeId build_where(Graph *graph, NodeId condition, NodeId yes, NodeId no);
NodeId build_reduce(Graph *graph, Op op, NodeId a, DimSet over);  // over & dims(a) must not be empty
// sum over `over` of a * b: CONTRACT when each operand keeps a dim the other lacks (and both have all of `over`),
// otherwise multiply and SUM; dims of `over` in only one operand are summed there first.
NodeId build_contract(Graph *graph, NodeId a, NodeId b, DimSet over);
NodeId build_rename(Graph *graph, NodeId a, DimId from, DimId to);   // equal extents; from == to returns a
NodeId build_prefix(Graph *graph, NodeId a, DimId from, DimId to);   // equal extents: a rename; so does build_pad
NodeId build_pad(Graph *graph, NodeId a, DimId from, DimId to);
NodeId build_select(Graph *graph, NodeId a, DimId dim, int32_t entry);
NodeId build_stack(Graph *graph, const NodeId *entries, int count, DimId to);
NodeId build_split(Graph *graph, NodeId a, DimId from, DimId outer, DimId inner);
NodeId build_merge(Graph *graph, NodeId a, DimId outer, DimId inner, DimId to);
NodeId build_gather(Graph *graph, NodeId a, NodeId index, DimId from);
NodeId build_scatter(Graph *graph, NodeId a, NodeId index, DimId to, DimList result);
NodeId build_scatter_onto(Graph *graph, NodeId a, NodeId index, NodeId base, DimId to);
NodeId build_stop_gradient(Graph *graph, NodeId a);
// The general door: any op from its parts; used by the text parser and by rebuilding passes. `order` may be NULL (then
// derived; operand, random and tables need it) and dtype DTYPE_COUNT (then derived; input, operand and const need it).
// On a broken rule returns NODE_NONE with a sentence in *error (in the graph's arena).
NodeId build_node(Graph *graph, Op op, DType dtype, const DimList *order, const NodeId *operands, uint32_t count,
                  const Attr *attr, const char **error);
// `node` of `from` in `to` (a graph made by graph_create_like), with mapped operands and its name, order and group.
NodeId build_copy(Graph *to, const Graph *from, NodeId node, const NodeId *operands);
// The same with map[k] for its operand k: a graph is copied node by node, the map filled with what this returns.
NodeId build_copy_mapped(Graph *to, const Graph *from, NodeId node, const NodeId *map);

void graph_output(Graph *graph, const char *name, NodeId node);  // replaces an output of the same name
void graph_set_order(Graph *graph, NodeId node, DimList order);  // BUG unless a permutation of its dims
void graph_set_name(Graph *graph, NodeId node, const char *name);  // spec name, "layer[0].p"; first writer wins

// ---- reading
const char *graph_name(const Graph *graph);
uint32_t graph_nodes(const Graph *graph);
const Node *graph_node(const Graph *graph, NodeId node);
uint32_t graph_dims(const Graph *graph);
const char *graph_dim_name(const Graph *graph, DimId dim);
int64_t graph_extent(const Graph *graph, DimId dim);
bool graph_find_dim(const Graph *graph, const char *name, DimId *dim);
int64_t graph_elements(const Graph *graph, DimSet dims);   // product of extents; BUG on overflow
uint32_t graph_leaves(const Graph *graph);
const Leaf *graph_leaf_at(const Graph *graph, LeafId leaf);
uint32_t graph_groups(const Graph *graph);                 // ids are 1 .. this
const Group *graph_group_at(const Graph *graph, GroupId group);
uint32_t graph_outputs(const Graph *graph);
const Output *graph_output_at(const Graph *graph, uint32_t i);
NodeId graph_find_output(const Graph *graph, const char *name);  // NODE_NONE when absent
NodeId graph_find_leaf_node(const Graph *graph, const char *name);  // source node of that leaf, or NODE_NONE
const char *graph_node_name(const Graph *graph, NodeId node);    // NULL when unnamed
GroupId graph_node_group(const Graph *graph, NodeId node);
// Bytes one per node, true where an output depends on it. In `arena`.
bool *graph_live(const Graph *graph, Arena *arena);

// ---- text, exact both ways: print(parse(print(g))) == print(g). Only live nodes are printed, renumbered.
void graph_print(const Graph *graph, Text *out);
Graph *graph_parse(Arena *arena, const char *file, const char *source, Diags *diags);  // NULL with diagnostics
// Every invariant of docs/ir.md; the message names node and rule. Returns NULL when the graph is sound.
const char *graph_verify(const Graph *graph, Arena *arena);

#endif
