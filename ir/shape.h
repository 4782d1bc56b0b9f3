// The rule of every op: which operands and attributes it takes, and the dims and type of its result. Private to ir/.
#ifndef SINTER_IR_SHAPE_H
#define SINTER_IR_SHAPE_H

#include "ir/graph.h"

// A request, and its answer.
typedef struct {
    // in
    const Graph *graph;
    Arena *arena;          // for the sentence
    Op op;
    DType dtype;           // DTYPE_COUNT: as the rule gives it
    const DimList *order;  // NULL: as the rule gives it
    const NodeId *operands;
    uint32_t count;
    Attr attr;             // normal (attr_normal)
    // out
    DType result_dtype;
    DimList result;        // dims of the result in preferred order: `order` where given
    const char *error;     // the broken rule as a sentence, or NULL
} Shape;

// False with `error` when the rule of the op is broken. Never reads outside the graph, whatever the request holds.
bool shape_derive(Shape *shape);

// "[B,T,C]" and "{B,T}", for sentences.
const char *dim_list_text(const Graph *graph, Arena *arena, const DimList *list);
const char *dim_set_text(const Graph *graph, Arena *arena, DimSet set);

#endif
