// Values left out, and all others by their new numbers (see remove_values.h).
#include "passes/remove_values.h"

static ValueId *renamed(const Plan *plan, const ValueId *ids, uint32_t count, const ValueId *now) {
    ValueId *result = ARENA_ARRAY(plan->arena, ValueId, count + 1);
    for (uint32_t i = 0; i < count; i++) result[i] = ids[i] == VALUE_NONE ? VALUE_NONE : now[ids[i]];
    return result;
}

void remove_values(Plan *plan, const ValueId *instead) {
    ValueId *now = ARENA_ARRAY(plan->arena, ValueId, plan->value_count), count = 0;
    for (ValueId id = 0; id < plan->value_count; id++)
        if (instead[id] == id) now[id] = count++;
    for (ValueId id = 0; id < plan->value_count; id++)
        if (instead[id] != id) now[id] = instead[id] == VALUE_NONE ? VALUE_NONE : now[instead[id]];
    for (ValueId id = 0; id < plan->value_count; id++) {
        Value value = plan->values[id];
        if (value.next_of != VALUE_NONE) value.next_of = now[value.next_of];
        if (value.is_over) value.over = now[value.over];
        if (instead[id] == id) plan->values[now[id]] = value;
    }
    for (uint32_t s = 0; s < plan->step_count; s++) {
        Step *step = &plan->steps[s];
        step->operands = renamed(plan, step->operands, step->operand_count, now);
        step->outputs = renamed(plan, step->outputs, step->output_count, now);
    }
    if (plan->value_of) plan->value_of = renamed(plan, plan->value_of, graph_nodes(plan->dims), now);
    plan->value_count = count;
}
