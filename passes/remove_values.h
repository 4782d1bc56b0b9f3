// Values that a pass leaves out of a plan. Private to passes/.
#ifndef SINTER_PASSES_REMOVE_VALUES_H
#define SINTER_PASSES_REMOVE_VALUES_H

#include "ir/plan.h"

// By value: itself, then it stays; else it is gone, and who named it names that one instead. VALUE_NONE: nobody does.
void remove_values(Plan *plan, const ValueId *instead);

#endif
