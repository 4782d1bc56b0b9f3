// The cost model of a step: flops of its region, bytes of its operands and outputs.
#ifndef SINTER_PASSES_STEP_COST_H
#define SINTER_PASSES_STEP_COST_H

#include "ir/plan.h"

// Fills step->flops and step->bytes. A multiply-add is 2 flops, every pointwise primitive and every element of a
// reduction 1; moves and gathers none. A gather's table counts by what is read of it.
void step_cost(const Plan *plan, Step *step);

#endif
