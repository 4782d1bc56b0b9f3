// The parts of plan_verify, each its own idea. Private to ir/plan_*.c. Each returns NULL or a sentence in `arena`.
#ifndef SINTER_IR_PLAN_CHECKS_H
#define SINTER_IR_PLAN_CHECKS_H

#include "ir/plan.h"

// The region of step `s` has the shape that the step's form promises to codegen.
const char *plan_check_form(const Plan *plan, uint32_t s, Arena *arena);
// Cuts and edges: what may run at the same time is independent.
const char *plan_check_edges(const Plan *plan, Arena *arena);
// Offsets: nothing is written over what is still to be read. Also for states written in place.
const char *plan_check_memory(const Plan *plan, Arena *arena);

#endif
