// The cost model of a step: flops of its region, bytes of its operands and outputs.
#ifndef SINTER_PASSES_STEP_COST_H
#define SINTER_PASSES_STEP_COST_H

#include "ir/plan.h"

// Fills step->flops and step->bytes. A multiply-add is 2 flops, every pointwise primitive and every element of a
// reduction 1; moves and gathers none. A gather's table counts by what is read of it.
void step_cost(const Plan *plan, Step *step);
// Part of all rows by columns that lies inside of its band; 1 without a band.
double step_band_part(const Plan *plan, const Step *step);

#endif
