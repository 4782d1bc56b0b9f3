// Boxes while they are drawn: what the files of draw_boxes share. Private to passes/box_*.c and passes/draw_boxes.c.
//
// A node is *stored* when its value crosses box edges. Each stored node that is no leaf is a *member* of exactly one
// box: the box computes it. The box's *cone* is everything its members need, down to stored nodes of other boxes (the
// box's operands); a node that is not stored lies inside every box whose cone meets it.
//
//     %3 = contract ..            stored: box 0 {%3}
//     %4 = lse f32[B] %3          stored: box 1 {%4, %6}, inside %4 %5 %6, operands %3
//     %5 = sub f32[B,S] %3 %4     not stored
//     %6 = exp f32[B,S] %5        stored (an output): box 1
#ifndef SINTER_PASSES_BOXES_H
#define SINTER_PASSES_BOXES_H

#include "passes/access.h"
#include "passes/passes.h"

typedef uint32_t BoxId;
#define BOX_NONE UINT32_MAX

typedef struct {
    NodeId *nodes;        // ascending
    uint32_t count;
} NodeList;

typedef struct {
    BoxId *boxes;
    uint32_t count;
} BoxList;

typedef struct {
    NodeList members, inside, operands;
    Form form;
    DimSet rows, inner;   // ROW: R and X
    GroupId group;        // the first operator among the members; 0: none
    bool absorbed;        // its members moved to another box,
    BoxId absorber;       // this one
    uint32_t changed;     // drawing->merges when it became what it is
    uint32_t asked;       // the same when it was last asked about all boxes before it; 0: never
} Box;

// An output of the graph, and how it gets its value.
typedef struct {
    const char *name;
    NodeId node;
    bool is_next;         // it is the next value of the state `leaf`
    LeafId leaf;
    bool direct;          // its box writes it; else a copy does
} DrawnOutput;

// For near misses: the condition of box_form.c that failed last, and one that is not asked.
typedef struct {
    int failed, waived;   // source lines; 0: none
} Waiver;

typedef struct {
    const Graph *graph;
    PassContext *context;
    Arena *scratch;
    bool *live;           // by node
    bool *stored;         // by node
    bool *fixed;          // by node: depends on constants and indices only
    GroupId *group;       // by node: the operator it counts to
    BoxId *box_of;        // by node: of stored nodes that are no leaves
    Box *boxes;
    uint32_t box_count;
    uint32_t merges;      // made so far, and 1
    BoxList *readers;     // by node: the boxes that were made reading it (box_neighbours.c)
    BoxList near;         // room for all boxes
    uint32_t *met;        // by box: number of the walk over boxes that met it last
    uint32_t walks;       // so far
    DrawnOutput *outputs;
    uint32_t output_count;
    BoxId *sequence;      // boxes in the order of steps
    uint32_t sequence_count;
    NodeId **users;       // by node: live users
    uint32_t *user_count;
    const char **names;   // by node: box_names.c
    Choice **wishes;      // by node: a `keep` or `redo` of it; NULL when there is none
    bool *apart;          // by node: a choice forbids the box of its operator
    DimSet *moved;        // by node: of the cone collected last (see cone_collect)
    DimSet *reduced;
    bool *marked;         // by node; all false between calls
    NodeId *pending;      // room for all nodes
    NodeList inside, operands;
    Waiver *waiver;
} Drawing;

// ---- box_cone.c
bool list_has(NodeList list, NodeId node);
NodeList list_union(Arena *arena, NodeList a, NodeList b);
bool node_is_leaf(const Graph *graph, NodeId node);   // input, param, state
// The cone of `members`. Until the next call drawing->moved and ->reduced hold, for the nodes inside and the operands,
// which of their dims are not read at the index of the box's outputs.
typedef struct {
    NodeList inside, operands;
} Cone;
Cone cone_collect(Drawing *drawing, NodeList members);
// Whether the cone collected last reads `node` only at the index of the box's outputs.
bool cone_aligned(const Drawing *drawing, NodeId node);

// ---- box_names.c: fills in `names`
void drawing_name_values(Drawing *drawing);

// ---- box_values.c: decides which nodes are stored
void drawing_choose_values(Drawing *drawing);
// Storage order of a stored node: the stored order of the leaf that it is or becomes, else the node's own.
DimList drawing_value_order(const Drawing *drawing, NodeId node);

// ---- box_keep.c: at level all, what is stored of contraction results
void drawing_keep_functions(Drawing *drawing);

// ---- box_form.c: NULL when `members` make one legal box of `box->form`, else the first failed condition
const char *box_shape(Drawing *drawing, Box *box);
// The same for the box whose cone was collected last.
const char *box_form(Drawing *drawing, Box *box);

// ---- box_neighbours.c: once there are boxes
void drawing_find_readers(Drawing *drawing);
BoxId box_home(const Drawing *drawing, BoxId box);   // the box that its members are in now
// The boxes before `box` of which one reads the other, that read an operand as large as what it walks, or (level op)
// that are of its operator; the nearest first. Until the next call.
BoxList box_neighbours(Drawing *drawing, BoxId box);
uint32_t box_count_readers(Drawing *drawing, NodeId node);
bool box_meet(Drawing *drawing, BoxId box);          // false when this walk (drawing->walks) met it before

// ---- box_merge.c: one box per stored node, then boxes of one operator or space merged
void drawing_make_boxes(Drawing *drawing);
void drawing_merge_boxes(Drawing *drawing);
// The box of both, or why there is none.
const char *box_try_merge(Drawing *drawing, BoxId a, BoxId b, Box *merged);
void box_absorb(Drawing *drawing, BoxId into, BoxId from, const Box *merged);
bool box_is_candidate(const Drawing *drawing, BoxId a, BoxId b);   // whether it makes sense to ask
DimSet box_span(const Drawing *drawing, const Box *box);           // what it walks: of a row box R and X
const char *merge_name(const Drawing *drawing, const Box *x, const Box *y);   // "merge product with softmax"
const char *group_label(const Graph *graph, GroupId group);   // "layernorm backward"
const char *box_label(const Drawing *drawing, const Box *box);
const char *box_place(const Drawing *drawing, const Box *box);

// ---- box_fuse.c: merges that choices ask for. last: what cannot be is an obstacle to its choice
void drawing_fuse_by_choice(Drawing *drawing, bool last);

// ---- box_order.c: the order of steps; decides which next values of states are written by their box
void drawing_order_boxes(Drawing *drawing);

// ---- box_plan.c: the plan of ordered boxes
Plan *drawing_plan(Drawing *drawing);

#endif
