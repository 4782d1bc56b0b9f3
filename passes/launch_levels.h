// Private to plan_memory: on a GPU, which launches have to follow each other, and what memory must not add to that.
//
// A launch waits for those that it needs something of, and no order holds the others. Values that share memory make
// more of them wait: who writes one, for who reads the other. A launch's level is one more than the highest of those
// it needs, so a wait for a lower level costs nothing, and one for the same or a higher one makes the step longer.
#ifndef SINTER_PASSES_LAUNCH_LEVELS_H
#define SINTER_PASSES_LAUNCH_LEVELS_H

#include "ir/plan.h"
#include "ir/target.h"

// By step, as values and states alone have it; those of a chain have one. NULL for a processor, where steps keep their
// order.
uint32_t *launch_levels(const Plan *plan, const Target *target, Arena *arena);

// Whether a launch more in a row costs more than memory of its own for so many bytes.
bool level_is_dear(const Target *target, size_t bytes);

#endif
