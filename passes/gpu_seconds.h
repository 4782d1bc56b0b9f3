// What steps take on a GPU, before it is known how: what plan_chains and plan_sweeps weigh their ways against.
#ifndef SINTER_PASSES_GPU_SECONDS_H
#define SINTER_PASSES_GPU_SECONDS_H

#include "ir/plan.h"
#include "ir/target.h"

static const double memory_speed = 0.9;       // what a copy reaches of the datasheet's rate
static const double cache_speed = 1.5;        // of the cache of all, in terms of memory's
static const double tensor_speed = 0.5, vector_speed = 0.4;   // parts of the peaks that kernels reach
static const double sweep_speed = 0.35;       // of the tensor cores': shared memory gives each warp its fragments
static const double kernel_seconds = 2e-6;    // from one kernel to the next

// Of a step by itself, but for its traffic: parts of the peaks that kernels reach.
double gpu_step_seconds(const Step *step, const Target *target);
// What so many bytes of temporaries are worth: their share of a part of the time of all products.
double gpu_memory_seconds(const Plan *plan, const Target *target, double bytes);
double gpu_value_bytes(const Plan *plan, ValueId id);   // all of it, band or not

#endif
