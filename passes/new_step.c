// One more step: see new_step.h.
#include "passes/new_step.h"

Step new_step(Plan *plan, const char *label, const char *place, ValueId operand, ValueId result) {
    Step step = {.label = label,
                 .place = place,
                 .form = FORM_MAP,
                 .region = graph_create_like(plan->arena, plan->dims),
                 .operand_count = 1,
                 .output_count = 1,
                 .operands = ARENA_NEW(plan->arena, ValueId),
                 .outputs = ARENA_NEW(plan->arena, ValueId),
                 .edges = ARENA_NEW(plan->arena, EdgeKind)};
    step.operands[0] = operand;
    step.outputs[0] = result;
    return step;
}
