// The plan with some of its steps in it a second time.
//
//     step 0  out %1            step 0  out %1
//     step 1  in %1  out %2     step 1  in %1  out %2
//     ...                       ...
//     step 8  in %1             step 0' out %1'            again[0] = {made, from 8}
//     step 9  in %1             step 8  in %1'
//                               step 9  in %1'
//
// A step is made again right before the strand of its first late reader. What it reads and is made again, too, is made
// there before it; what is not, it reads as the first making did. All threads wait before and behind it, so that what
// was read before does not lie beside what it makes. Nothing else of a step changes: the same region, cut and engine,
// hence the same bits.
#include <string.h>

#include "passes/again.h"

typedef struct {
    const Remaking *remaking;
    Plan plan;
    Trial *trial;
    uint32_t before;      // the step of the original that comes next
    bool follows_copy;    // the step emitted last was made again
    bool *is_made;        // by step of the original
    ValueId *now;         // by value of the original: its second making
} Builder;

static ValueId *operands_of(const Builder *builder, const Step *step, bool is_copy, uint32_t at) {
    ValueId *operands = ARENA_ARRAY(builder->plan.arena, ValueId, step->operand_count);
    for (uint32_t k = 0; k < step->operand_count; k++) {
        ValueId id = step->operands[k];
        uint32_t writer = builder->remaking->writer[id];
        const Again *again = writer == STEP_NONE ? NULL : &builder->remaking->again[writer];
        bool is_late = again && again->made && (is_copy || at >= again->from);
        operands[k] = is_late ? builder->now[id] : id;
    }
    return operands;
}

static void emit(Builder *builder, Step step, bool is_copy) {
    Plan *plan = &builder->plan;
    step.edges = ARENA_ARRAY(plan->arena, EdgeKind, step.operand_count);
    step.wait = is_copy || builder->follows_copy;
    builder->follows_copy = is_copy;
    if (builder->trial) {
        builder->trial->origin[plan->step_count] = builder->before;
        builder->trial->is_copy[plan->step_count] = is_copy;
    }
    plan->steps[plan->step_count++] = step;
}

static void make(Builder *builder, uint32_t s);

static void make_operands(Builder *builder, const Step *step, bool is_copy, uint32_t at) {
    for (uint32_t k = 0; k < step->operand_count; k++) {
        uint32_t writer = builder->remaking->writer[step->operands[k]];
        if (writer == STEP_NONE || !builder->remaking->again[writer].made) continue;
        if (is_copy || at >= builder->remaking->again[writer].from) make(builder, writer);
    }
}

static void make(Builder *builder, uint32_t s) {
    Plan *plan = &builder->plan;
    const Step *step = &builder->remaking->plan->steps[s];
    if (builder->is_made[s]) return;
    builder->is_made[s] = true;
    make_operands(builder, step, true, s);
    Step copy = *step;
    copy.operands = operands_of(builder, step, true, s);
    copy.outputs = ARENA_ARRAY(plan->arena, ValueId, step->output_count);
    for (uint32_t k = 0; k < step->output_count; k++) {
        plan->values[plan->value_count] = plan->values[step->outputs[k]];
        copy.outputs[k] = builder->now[step->outputs[k]] = plan->value_count++;
    }
    emit(builder, copy, true);
}

static Builder start(const Remaking *remaking, Arena *arena, Trial *trial) {
    const Plan *plan = remaking->plan;
    Builder builder = {.remaking = remaking, .plan = *plan, .trial = trial};
    uint32_t steps = plan->step_count, values = plan->value_count;
    for (uint32_t s = 0; s < plan->step_count; s++)
        if (remaking->again[s].made) steps++, values += plan->steps[s].output_count;
    builder.plan.arena = arena;
    builder.plan.step_count = 0;
    builder.plan.steps = ARENA_ARRAY(arena, Step, steps);
    builder.plan.values = ARENA_ARRAY(arena, Value, values);
    memcpy(builder.plan.values, plan->values, plan->value_count * sizeof(Value));
    builder.is_made = ARENA_ARRAY(arena, bool, plan->step_count);
    builder.now = ARENA_ARRAY(arena, ValueId, plan->value_count);
    if (!trial) return builder;
    trial->origin = ARENA_ARRAY(arena, uint32_t, steps);
    trial->is_copy = ARENA_ARRAY(arena, bool, steps);
    return builder;
}

Plan again_plan(const Remaking *remaking, Arena *arena, Trial *trial) {
    const Plan *plan = remaking->plan;
    Builder builder = start(remaking, arena, trial);
    for (uint32_t first = 0, end; first < plan->step_count; first = end) {
        end = plan->steps[first].cut.rounds ? plan_rounds_end(plan, first) : plan_strand_end(plan, first);
        builder.before = first;
        for (uint32_t s = first; s < end; s++) make_operands(&builder, &plan->steps[s], false, s);
        for (uint32_t s = first; s < end; s++) {
            Step step = plan->steps[s];
            step.operands = operands_of(&builder, &step, false, s);
            builder.before = s;
            emit(&builder, step, false);
        }
    }
    return builder.plan;
}
