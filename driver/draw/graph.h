// A plan as a graph to be drawn. Private to driver/draw_*.c.
//
// fold.c makes nodes and edges of steps and values, layout.c gives them places, svg.c and dot.c
// write.
#ifndef SINTER_DRIVER_DRAW_GRAPH_H
#define SINTER_DRIVER_DRAW_GRAPH_H

#include "driver/explain/explain.h"
#include "ir/layer_text.h"

#define DRAWN_NONE UINT32_MAX

typedef struct {
    const char *title, *place; // "product Wfc + gelu", "layer[0..3].u"
    const char *figures;       // "426M flops, 15.2M bytes"
    Form form;
    Engine engine;
    StepPart part;
    uint32_t first_step; // nodes are in ascending order of it
    size_t count;        // steps that it stands for
    uint32_t strand;     // DRAWN_NONE: none
    bool in_layer;
    double x, y, width, height; // layout.c; x and y are the left upper corner
} DrawnNode;

typedef struct {
    uint32_t from, to;      // nodes
    const char *key, *name; // of the value: in one layer, "layer[0].p", and in all of them, "layer[0..3].p"
    LayerSet layers;
    double bytes; // of all layers together
    Space space;
    bool packed; // copied into panels on its way
    bool again;  // to a node that comes earlier: the next layer's
} DrawnEdge;

typedef struct {
    const char *label; // "strand of 12 pieces over B", "4 strands of .."
    size_t count;
} DrawnStrand;

typedef struct {
    Arena *arena;
    DrawnNode *nodes;
    DrawnEdge *edges;
    DrawnStrand *strands;
    uint32_t node_count, edge_count, strand_count;
} Drawn;

Drawn draw_fold(const Plan *plan, Arena *arena);

// ---- layout.c

// A way through the rows of a column: from a node, between the nodes of the rows below, to another node.
typedef struct {
    uint32_t edge;
    double *x, *y;
    size_t count;
} DrawnPath;

typedef struct {
    DrawnPath *paths; // of edges between nodes of one part that are not `again`
    size_t path_count;
    double left[3], right[3]; // of each part's column
    double width, height;
} DrawnLayout;

enum { DRAWN_WIDTH = 196, DRAWN_HEIGHT = 62, DRAWN_TOP = 130 };
DrawnLayout draw_layout(Drawn *drawn);
// Whether two edges are of the same value.
bool draw_same_value(const DrawnEdge *a, const DrawnEdge *b);

#endif
