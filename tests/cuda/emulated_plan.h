// A plan that no CPU backend takes, run by the emulation of the CUDA one and held against the float64 reference.
//
//     EmulatedPlan *run = emulated_plan_create(arena, plan);
//     emulated_plan_fill(run, fill, context);      numbers for inputs and states, and what the reference makes of them
//     why = emulated_plan_compile(run, &target, NULL, NULL);
//     wrong = emulated_plan_run(run, seed);        all launches, in the order of the table
//     Distance far = emulated_plan_distance(run, value);
#ifndef TESTS_CUDA_EMULATED_PLAN_H
#define TESTS_CUDA_EMULATED_PLAN_H

#include "tests/cuda/emulated_code.h"

typedef struct {
    Arena *arena;
    const Plan *plan;
    CudaCode *code;
    EmulatedCode *emulated;
    char *memory[MEMORY_COUNT];
    double **given, **expected;   // by value, in its order
    bool rounds;                  // tensor cores round their factors
} EmulatedPlan;

// Launches changed before they are compiled: merged, or made phases of one kernel.
typedef void (*LaunchChange)(CudaCode *code, const Target *target);

EmulatedPlan *emulated_plan_create(Arena *arena, const Plan *plan);
void emulated_plan_free(EmulatedPlan *run);
// NULL, or why nothing can be emulated here; BUG for a plan that the CUDA backend does not take.
const char *emulated_plan_compile(EmulatedPlan *run, const Target *target, LaunchChange change, SourceEdit edit);

// The number of an input's or a state's element, which counts in the value's order. Copies of params have theirs.
typedef double (*LeafFill)(void *context, const Value *value, int64_t element);
void emulated_plan_fill(EmulatedPlan *run, LeafFill fill, void *context);

// NULL, or what went wrong. Inputs and states are as they were filled in; all else is NaNs first.
const char *emulated_plan_run(EmulatedPlan *run, uint64_t seed);

// How far a value in memory is off, at which element of its order, and the largest one expected. What is not a number,
// or not the infinity that it should be, is infinitely far off.
typedef struct {
    double worst, largest;
    int64_t element;
} Distance;
Distance emulated_plan_distance(const EmulatedPlan *run, ValueId id);

#endif
