// Which steps round what they read, and which could not round what they write: see choose_precision.c.
#ifndef SINTER_PASSES_ROUNDING_H
#define SINTER_PASSES_ROUNDING_H

#include "ir/plan.h"

// Whether the step only multiplies by its operand k, and rounds it to 16 bits.
bool step_rounds(const Plan *plan, const Step *step, uint32_t k);
// Whether it adds to its result in memory, which would be rounded again and again.
bool step_sums_in_memory(const Step *writer);

#endif
