// Plans of the texts of sweep_text.h, with edges and memory, and numbers for their inputs.
#ifndef TESTS_CUDA_SWEEP_PLAN_H
#define TESTS_CUDA_SWEEP_PLAN_H

#include "tests/cuda/emulated_plan.h"
#include "tests/cuda/sweep_text.h"

// BUG where the text has no plan.
Plan *sweep_plan(Arena *arena, const SweepCase *how, const Target *target);

// What 16 bits hold exactly, so that the reference, which knows no storage, sees what kernels see. LeafFill; `context`
// is a uint64_t that it is drawn from.
double sweep_fill(void *seed, const Value *value, int64_t element);

// NULL, or which of the outputs is further off than what the case's sweeps may round. The worst is kept in *worst, as a
// part of what is allowed, unless NULL.
const char *sweep_wrong(const EmulatedPlan *run, const SweepCase *how, double *worst);

#endif
