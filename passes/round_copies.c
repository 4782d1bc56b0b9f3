// round_copies: a second copy, rounded, of what products and others read.
//
// requires  what is stored in bf16
// ensures   a temporary that some read in f32, and products in tensor cores multiply by and round to bf16, is stored in
//           both; its writer writes both, and these products read the rounded one
// does nothing but where warpgroups multiply (sm_90a): what is written once more one product saves by reading it, and
//           boxes bring it then
// ledger    per value that such a product reads in f32: made, with the bytes saved, or the first condition that failed
//
//     value %7 temporary f32[B,T,C]  (residual)   read by layernorm and a product    %7 and %31 temporary bf16[B,T,C]
#include <string.h>

#include "passes/pass_functions.h"
#include "passes/rounding.h"
#include "passes/step_cost.h"

typedef struct {
    Plan *plan;
    PassContext *context;
    const uint32_t *writers; // by value
} Copying;

// A library takes its factors as they are.
static bool rounds(const Plan *plan, const Step *step, uint32_t k) {
    return step->engine == ENGINE_TILES && step_rounds(plan, step, k);
}

static uint32_t count_rounding(const Plan *plan, ValueId id) {
    uint32_t count = 0;
    for (uint32_t s = 0; s < plan->step_count; s++)
        for (uint32_t k = 0; k < plan->steps[s].operand_count; k++)
            count += plan->steps[s].operands[k] == id && rounds(plan, &plan->steps[s], k);
    return count;
}

static const char *refusal(const Copying *copying, ValueId id) {
    const Value *value = &copying->plan->values[id];
    if (value->kind != VALUE_TEMPORARY || copying->writers[id] == STEP_NONE) return "it outlives the step";
    if (value->parts > 1) return "it is a sum of parts";
    const Step *writer = &copying->plan->steps[copying->writers[id]];
    if (value->band.is_set) return "it has a band";
    if (writer->engine != ENGINE_TILES) return "a library writes it";
    return step_sums_in_memory(writer) ? "it is summed up in memory" : NULL;
}

static ValueId add_copy(Plan *plan, ValueId id) {
    Value *values = ARENA_ARRAY(plan->arena, Value, plan->value_count + 1);
    memcpy(values, plan->values, plan->value_count * sizeof *values);
    Value *copy = &values[plan->value_count];
    *copy = values[id];
    copy->dtype = DTYPE_BF16;
    copy->is_over = false;
    if (copy->name) copy->name = arena_format(plan->arena, "%s in bf16", copy->name);
    plan->values = values;
    return plan->value_count++;
}

static void write_both(Plan *plan, Step *writer, ValueId id, ValueId copy) {
    ValueId *outputs = ARENA_ARRAY(plan->arena, ValueId, writer->output_count + 1);
    memcpy(outputs, writer->outputs, writer->output_count * sizeof *outputs);
    for (uint32_t k = 0; k < writer->output_count; k++) {
        if (outputs[k] != id) continue;
        const Output *output = graph_output_at(writer->region, k);
        graph_output(writer->region, arena_format(plan->arena, "%s in bf16", output->name), output->node);
    }
    outputs[writer->output_count++] = copy;
    writer->outputs = outputs;
    step_cost(plan, writer);
}

static void read_copy(Plan *plan, ValueId id, ValueId copy) {
    for (uint32_t s = 0; s < plan->step_count; s++) {
        Step *step = &plan->steps[s];
        for (uint32_t k = 0; k < step->operand_count; k++) {
            if (step->operands[k] != id || !rounds(plan, step, k)) continue;
            step->operands[k] = copy;
            step_cost(plan, step);
        }
    }
}

static void choose(const Copying *copying, ValueId id) {
    Plan *plan = copying->plan;
    uint32_t rounding = count_rounding(plan, id);
    if (rounding == 0) return;
    const Value *value = &plan->values[id];
    const char *place = value->name;
    if (!place) place = copying->writers[id] == STEP_NONE ? "" : plan->steps[copying->writers[id]].place;
    Decision decision = {.pass = "round_copies", .what = "copy rounded to bf16", .place = place};
    decision.reason = refusal(copying, id);
    bool is_possible = decision.made = !decision.reason;
    if (is_possible)
        decision.reason = rounding == 1 ? "a product reads it, and rounds it"
                                        : arena_format(plan->arena, "%u products read it, and round it", rounding);
    choices_decide(copying->context->choices, is_possible, &decision);
    if (decision.made) {
        double narrower = (double)(dtype_bytes(DTYPE_F32) - dtype_bytes(DTYPE_BF16));
        decision.bytes_saved = (rounding - 1.0) * narrower * (double)layout_elements(&value->layout);
        ValueId copy = add_copy(plan, id);
        read_copy(plan, id, copy);
        write_both(plan, &plan->steps[copying->writers[id]], id, copy);
    }
    ledger_add(copying->context->ledger, decision);
}

bool pass_round_copies(Plan *plan, PassContext *context) {
    if (!target_has_wgmma(context->target) || context->tensor != TENSOR_BF16) return true;
    Copying copying = {plan, context, plan_writers(plan, plan->arena)};
    uint32_t count = plan->value_count;
    for (ValueId id = 0; id < count; id++)
        if (plan->values[id].dtype == DTYPE_F32 && plan->values[id].kind == VALUE_TEMPORARY) choose(&copying, id);
    return true;
}
