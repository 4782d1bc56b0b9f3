// Whether what a plan says about edges is true, by the float64 reference.
#ifndef SINTER_TESTS_BOXES_SAME_PIECE_H
#define SINTER_TESTS_BOXES_SAME_PIECE_H

#include "ir/plan.h"

// For every `same` edge: piece k of the step's outputs must not change when the operand changes outside of piece k.
// A step that is summed over its cut has no pieces of its results and is left out.
// NULL when so, else a sentence.
const char *same_piece_check(const Plan *plan, Arena *arena);

#endif
