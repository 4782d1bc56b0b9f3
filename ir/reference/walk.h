// Nested loops over named dims, for the reference: which element of each value belongs to which indices.
//
// A stream is a value seen through strides: one step per dim, 0 for a dim it lacks (so it broadcasts). walk_start puts
// the dims into one loop nest, drops those of extent 1, and joins neighbours that every stream crosses evenly; what
// is left in the innermost loop is a run that the caller does itself:
//
//     for (Walk walk = walk_start(graph, order, streams, 2); walk.more; walk_next(&walk))
//         for (int64_t i = 0; i < walk.length; i++)
//             y[walk.offset[0] + i * walk.step[0]] = x[walk.offset[1] + i * walk.step[1]];
#ifndef SINTER_IR_REFERENCE_WALK_H
#define SINTER_IR_REFERENCE_WALK_H

#include "ir/graph.h"

// The loops of a contraction or scatter may run over the dims of several values.
enum { WALK_STREAMS = 4, WALK_DIMS = 3 * MAX_RANK };

typedef struct {
    int64_t of[MAX_DIMS]; // elements to go for one step of the dim
} Strides;

// Dense row-major strides of a value stored in `order`.
Strides strides_dense(const Graph *graph, DimList order);

typedef struct {
    uint8_t count;
    DimId dims[WALK_DIMS];
} WalkOrder;

// Adds the dims of `list` that are in `only` and not there yet.
void walk_order_add(WalkOrder *order, const DimList *list, DimSet only);

typedef struct {
    bool more;
    int64_t length;               // of the current run
    int64_t step[WALK_STREAMS];   // of each stream within the run
    int64_t offset[WALK_STREAMS]; // of each stream at the start of the run
    int streams, loops;           // the outer loops, outermost first:
    int64_t extent[WALK_DIMS], index[WALK_DIMS], stride[WALK_STREAMS][WALK_DIMS];
} Walk;

Walk walk_start(const Graph *graph, const WalkOrder *order, const Strides *const *strides, int streams);
void walk_next(Walk *walk);

#endif
