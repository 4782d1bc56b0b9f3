// One plan, run step by step by the CPU backend and by the emulation of the CUDA one: after each step every output has
// the same bits. What the plan stores in bf16 the CPU has in f32, rounded when the step that writes it is done.
//
//     SideBySide *side = side_create(arena, plan, &target, NULL, &why);
//     ... write inputs and states into side_data(side, slot) ...
//     const char *wrong = side_run(side, seed);      // NULL, or the step, the value and the element
#ifndef TESTS_CUDA_SIDE_BY_SIDE_H
#define TESTS_CUDA_SIDE_BY_SIDE_H

#include "codegen/codegen.h"
#include "tests/cuda/emulated_code.h"

typedef struct {
    Arena *arena;
    const Plan *plan, *wide;       // the GPU's; the same with everything in f32
    Program *program;              // on the CPU, of the wide one
    CudaCode *code;
    EmulatedCode *emulated;
    char *cpu[MEMORY_COUNT], *gpu[MEMORY_COUNT];
    bool has_run;
    bool rounds;                   // tensor cores round their factors: their steps agree within that, and both sides go
                                   // on with what they made
    uint32_t tensor_steps, chained_steps;   // that have run
} SideBySide;

// NULL with a reason when there is no compiler; BUG for a plan that the CUDA backend does not take.
SideBySide *side_create(Arena *arena, const Plan *plan, const Target *target, SourceEdit edit, const char **why);
// The same of launches that are not those of the plan's steps any more; behind the plan's arena are zeros.
typedef void (*CodeChange)(CudaCode *code, const Target *target);
SideBySide *side_create_changed(Arena *arena, const Plan *plan, const Target *target, CodeChange change,
                                SourceEdit edit, const char **why);
void side_free(SideBySide *side);
// Memory of a slot, on the CPU's side: what is written there before a run the other side gets too; states before the
// first.
void *side_data(const SideBySide *side, const ProgramSlot *slot);
const char *side_run(SideBySide *side, uint64_t seed);
// All steps on the CPU, all launches in an order that the caller says; then outputs and states.
const char *side_run_in_order(SideBySide *side, const uint32_t *order, uint64_t seed);
// Random but sensible: weights as initialised, moments small, tokens below `vocabulary`, seed 1337 and the like.
void side_fill(const SideBySide *side, uint64_t seed, int run, int64_t vocabulary);

#endif
