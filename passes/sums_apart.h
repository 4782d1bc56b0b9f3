// A step that adds sums to a state, taken apart: into the sums, of which a strand's pieces can have shares, and what is
// made of them behind the strand. Private to passes/.
//
//     step 7 product  in %x, %dy, %state   out %new          step 7 product  in %x, %dy        out %sum
//                                                            step 8 map      in %sum, %state   out %new
#ifndef SINTER_PASSES_SUMS_APART_H
#define SINTER_PASSES_SUMS_APART_H

#include "ir/plan.h"

// What all sums of the step run over, outermost first; rank 0 when it adds them to no state, or cannot be taken apart.
// `behind`, by operand: only what is made of the sums reads it.
DimList sums_apart_over(const Plan *plan, const Step *step, Arena *scratch, bool *behind);
// Leaves the sums in `step`; returns what is made of them, a map that has no place in the plan's order and no cut yet.
// Values for the sums are added to the plan; `capacity` is how many it has room for.
Step sums_take_apart(Plan *plan, Step *step, size_t *capacity);

#endif
