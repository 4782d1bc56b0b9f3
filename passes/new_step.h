// A step that a pass adds to a plan, where one value is made of another. Private to passes/.
#ifndef SINTER_PASSES_NEW_STEP_H
#define SINTER_PASSES_NEW_STEP_H

#include "ir/plan.h"

// A map with an empty region: whoever adds it says there what is made of the operand, and then the cost.
Step new_step(Plan *plan, const char *label, const char *place, ValueId operand, ValueId result);

#endif
