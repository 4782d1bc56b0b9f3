// Where a step is, for reports and choices.
#ifndef SINTER_PASSES_STEP_PLACE_H
#define SINTER_PASSES_STEP_PLACE_H

#include "ir/plan.h"

// Steps of one label at one place are numbered:  layernorm at layer[0].m, layernorm at layer[0].m#2.
const char *step_place(Arena *arena, const Step *steps, uint32_t count, const char *label, const char *place);

#endif
