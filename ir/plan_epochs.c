// When the steps of a plan run, in epochs: the stretches between two waits. See plan.h.
//
//     step 0            epoch 0
//     step 1            0
//     step 2 wait       1
//     step 3            1
//     (behind the end)  1
#include "ir/plan.h"

uint32_t *plan_epochs(const Plan *plan, Arena *arena) {
    uint32_t *epochs = ARENA_ARRAY(arena, uint32_t, plan->step_count + 1);
    for (uint32_t s = 1; s < plan->step_count; s++) epochs[s] = epochs[s - 1] + plan->steps[s].wait;
    if (plan->step_count) epochs[plan->step_count] = epochs[plan->step_count - 1];
    return epochs;
}
