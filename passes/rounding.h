// Which steps round what they read, and which could not round what they write: see choose_precision.c.
#ifndef SINTER_PASSES_ROUNDING_H
#define SINTER_PASSES_ROUNDING_H

#include "passes/passes.h"

// Whether the step only multiplies by its operand k, and rounds it to 16 bits.
bool step_rounds(const Plan *plan, const Step *step, uint32_t k);
// Whether it adds to its result in memory, which would be rounded again and again.
bool step_sums_in_memory(const Step *writer);
// By value: whether choose_precision will store it in 16 bits, or have products read a copy that is, as far as it is
// known by now which of them are in tensor cores.
const bool *foresee_narrow(Plan *plan, PassContext *context);

#endif
