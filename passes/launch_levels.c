// Levels of a GPU's launches (see launch_levels.h).
//
//     step 0  out %1            level 0
//     step 1  in %1  out %2     level 1
//     step 2  in %1  out %3     level 1       %3 may not lie where %1 was, nor over it: step 2 would wait for step 1
//     step 3  in %3  out %4     level 2       %4 may
#include "passes/launch_levels.h"

// What a launch costs before it does anything (published figures for H100: 2 to 3 us).
static const double launch_seconds = 3e-6;

bool level_is_dear(const Target *target, size_t bytes) {
    return (double)bytes < launch_seconds * target->bandwidth;
}

typedef struct {
    const Plan *plan;
    uint32_t *step;              // by step
    uint32_t *written, *read;    // by value: the first level that finds it written, or read by all so far
} Levels;

static void raise(uint32_t *level, uint32_t least) {
    if (*level < least) *level = least;
}

// A step waits for who wrote its operands, and, where it writes the next value of a state, for who reads this one.
static uint32_t level_of(const Levels *levels, const Step *step) {
    const Plan *plan = levels->plan;
    uint32_t level = 0;
    for (uint32_t k = 0; k < step->operand_count; k++) raise(&level, levels->written[step->operands[k]]);
    for (uint32_t k = 0; k < step->output_count; k++) {
        ValueId state = plan->values[step->outputs[k]].next_of;
        if (state != VALUE_NONE) raise(&level, levels->read[state]);
    }
    return level;
}

static void pass(Levels *levels, uint32_t s, uint32_t level) {
    const Step *step = &levels->plan->steps[s];
    levels->step[s] = level;
    for (uint32_t k = 0; k < step->operand_count; k++) raise(&levels->read[step->operands[k]], level + 1);
    for (uint32_t k = 0; k < step->output_count; k++) raise(&levels->written[step->outputs[k]], level + 1);
}

uint32_t *launch_levels(const Plan *plan, const Target *target, Arena *arena) {
    if (!target_is_gpu(target)) return NULL;
    Levels levels = {plan, ARENA_ARRAY(arena, uint32_t, plan->step_count + 1),
                     ARENA_ARRAY(arena, uint32_t, plan->value_count + 1),
                     ARENA_ARRAY(arena, uint32_t, plan->value_count + 1)};
    for (uint32_t first = 0, end; first < plan->step_count; first = end) {
        uint32_t level = 0;
        end = plan_strand_end(plan, first);
        for (uint32_t s = first; s < end; s++) raise(&level, level_of(&levels, &plan->steps[s]));
        for (uint32_t s = first; s < end; s++) pass(&levels, s, level);
    }
    return levels.step;
}
