// Who writes each value of a plan, and who reads it last. See plan.h.
//
//     step 0  in %0      out %1         writers       %0 none   %1 0   %2 1   %3 2
//     step 1  in %1      out %2         last readers  %0 0      %1 2   %2 2   %3 none
//     step 2  in %1, %2  out %3
#include "ir/plan.h"

bool step_reads(const Step *step, ValueId value) {
    for (uint32_t k = 0; k < step->operand_count; k++)
        if (step->operands[k] == value) return true;
    return false;
}

static uint32_t *none_yet(const Plan *plan, Arena *arena) {
    uint32_t *step_of = ARENA_ARRAY(arena, uint32_t, plan->value_count + 1);
    for (ValueId id = 0; id < plan->value_count; id++) step_of[id] = STEP_NONE;
    return step_of;
}

uint32_t *plan_writers(const Plan *plan, Arena *arena) {
    uint32_t *writers = none_yet(plan, arena);
    for (uint32_t s = 0; s < plan->step_count; s++)
        for (uint32_t k = 0; k < plan->steps[s].output_count; k++) writers[plan->steps[s].outputs[k]] = s;
    return writers;
}

uint32_t *plan_last_readers(const Plan *plan, Arena *arena) {
    uint32_t *readers = none_yet(plan, arena);
    for (uint32_t s = 0; s < plan->step_count; s++)
        for (uint32_t k = 0; k < plan->steps[s].operand_count; k++) readers[plan->steps[s].operands[k]] = s;
    return readers;
}
