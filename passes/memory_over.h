// Private to plan_memory: values that are written over what their step reads for the last time.
#ifndef SINTER_PASSES_MEMORY_OVER_H
#define SINTER_PASSES_MEMORY_OVER_H

#include "ir/plan.h"
#include "ir/target.h"

// Sets `is_over` and `over` of values. Needs sizes, edges and waits.
void memory_find_overs(Plan *plan, const Target *target);

#endif
