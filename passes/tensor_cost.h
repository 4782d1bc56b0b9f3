// What a product in tensor cores takes, for the passes that choose how.
#ifndef SINTER_PASSES_TENSOR_COST_H
#define SINTER_PASSES_TENSOR_COST_H

#include "passes/passes.h"

// Parts that the sum of a product can be cut in.
typedef struct {
    int64_t divisible;      // extent of the outermost summed dim; 1: it cannot be cut
    double readers;         // of the result: each reads all parts
} SumParts;
enum { MOST_PARTS = 8, LEAST_PART = 128 };   // parts; summed indices of each

SumParts tensor_sum_parts(const Plan *plan, const Step *step, const Contraction *contraction);
// Cuts it, or joins it again: 1 part.
void tensor_cut_sum(Plan *plan, Step *step, const Contraction *contraction, uint32_t parts);
// Seconds of the step's own blocks of mma.sync, factors of so many bytes, at a part of the peak.
double tensor_step_seconds(const Plan *plan, const Step *step, const Target *target, double element_bytes,
                           double speed);

#endif
