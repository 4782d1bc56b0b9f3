// What plan_edges and plan_memory find out, for a pass that has to know before their turn. Private to passes/.
#ifndef SINTER_PASSES_PLAN_MEASURE_H
#define SINTER_PASSES_PLAN_MEASURE_H

#include "passes/passes.h"

typedef struct {
    ValueId value;
    size_t bytes, offset;
    uint32_t first, last;    // epochs, or steps in scratch memory; of all that is written over the value, too
    uint32_t first_level, last_level;   // on a GPU (launch_levels.h)
} MemoryBlock;

// plan_edges.c: fills in every edge and wait.
void edges_fill(Plan *plan);
// plan_memory.c: space and bytes of every value, and what it is written over. Needs edges and waits. False after a
// diagnostic: the sizes overflow.
bool memory_prepare(Plan *plan, PassContext *context);
// plan_memory.c: by value, how long it lives; states too, which are not placed.
MemoryBlock *memory_lives(const Plan *plan);
// plan_memory.c: offsets of what lies in the arena and in scratch memory, and the exact sizes of both.
bool memory_place(Plan *plan, PassContext *context);

#endif
