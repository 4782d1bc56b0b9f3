// What every backend needs to make Programs of Plans, beside code: where values lie, how files show them, which kernels
// are one.
#ifndef SINTER_CODEGEN_LINK_H
#define SINTER_CODEGEN_LINK_H

#include "codegen/tile.h"
#include "ir/plan.h"
#include "runtime/program.h"

// ---- how the runtime sees a stored value (slots.c)
// Slots of all inputs, states and outputs of a plan, in `arena`; an output that is a state's next value has none.
const ProgramSlot *slots_of_plan(Arena *arena, const Plan *plan, uint32_t *count);
ProgramBuffer buffer_of_value(const Value *value);

// ---- the buffers of a step: its operands, then its outputs (link.c)
ValueId step_buffer_value(const Step *step, uint32_t buffer);
const ProgramBuffer *step_buffers(Arena *arena, const Plan *plan, const Step *step, uint32_t *count);
// By buffer: whether it meets an output in memory, as those of an update in place do.
bool *step_aliased(Arena *arena, const Plan *plan, const Step *step);
const char *step_title(Arena *arena, const Step *step);   // "layernorm layer[0].a"

// Lowering names a program after its contents, so equal names are equal kernels, unless their buffers overlap in
// different ways: an update in place has its own kernel, with the aliased buffers in its symbol: map_adamw_2b77_in_0_3.
const char *kernel_symbol(Arena *arena, const TileProgram *program, const bool *aliased);

#endif
