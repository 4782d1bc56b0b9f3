// Whether a step may write a result over one of its operands. Private to passes/.
//
//     step 6 row      in %s   out %p                    each row of %s is read before the same row of %p is written
//     step 8 product  in %x, %dy, %state   out %new     each element of %state before the same one of %new
#ifndef SINTER_PASSES_WRITE_OVER_H
#define SINTER_PASSES_WRITE_OVER_H

#include "ir/plan.h"

// Dims of the operand that the step reads at its own index (access_own), and those or summed over there.
typedef struct {
    DimSet own, own_summed;
} OperandAccess;

// True when the step writes each element of the output after all that it reads of operand k for it, and for no other.
bool step_may_write_over(const Plan *plan, const Step *step, uint32_t output, uint32_t k, OperandAccess access,
                         Arena *scratch);

#endif
