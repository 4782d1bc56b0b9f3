// choose_precision: what is stored as the products that read it round it anyway.
//
// requires  tensor tiles
// ensures   a temporary that nobody reads but products in tensor cores, which only multiply by it and round to bf16, is
//           stored in bf16; who writes it rounds it. Everything else stays f32, unless a choice says bf16
// does nothing on a processor, and unless products round to bf16
// ledger    per value that such a product multiplies by: made, with the bytes that its writer and readers save, or the
//           first condition that failed
//
//     value %2 temporary f32[B,T,C]  (layernorm)     read by two products, tensor bf16     bf16[B,T,C]
//     value %7 temporary f32[B,T,C]  (residual)      read by layernorm, too                f32[B,T,C]
#include "passes/panels.h"
#include "passes/pass_functions.h"
#include "passes/step_cost.h"

typedef struct {
    Plan *plan;
    PassContext *context;
    uint32_t *writers;   // by value
} Storing;

// ---- conditions

// Whether the step needs operand k for nothing but its product.
static bool only_multiplies(const Plan *plan, const Step *step, uint32_t k) {
    const Graph *region = step->region;
    Contraction contraction = product_contraction(plan, step);
    bool *needed = ARENA_ARRAY(plan->arena, bool, graph_nodes(region));
    for (uint32_t i = 0; i < graph_outputs(region); i++) needed[graph_output_at(region, i)->node] = true;
    for (NodeId id = graph_nodes(region); id-- > 0;) {
        const Node *node = graph_node(region, id);
        if (!needed[id] || id == contraction.node) continue;
        if (node->op == OP_OPERAND && node->attr.integer == (int64_t)k) return false;
        for (uint32_t i = 0; i < node->operand_count; i++) needed[node->operands[i]] = true;
    }
    return true;
}

static bool rounds_to_bf16(const Plan *plan, const Step *step, uint32_t k) {
    return step->form == FORM_PRODUCT && step->tensor.kind == TENSOR_BF16 && only_multiplies(plan, step, k);
}

typedef struct {
    uint32_t count, rounding;   // how many read it, and how many of these round it
    const Step *other;          // the first one that reads it in f32; NULL: nobody does
} Readers;

static Readers readers_of(const Plan *plan, ValueId id) {
    Readers readers = {0};
    for (uint32_t s = 0; s < plan->step_count; s++)
        for (uint32_t k = 0; k < plan->steps[s].operand_count; k++) {
            if (plan->steps[s].operands[k] != id) continue;
            readers.count++;
            if (rounds_to_bf16(plan, &plan->steps[s], k))
                readers.rounding++;
            else if (!readers.other)
                readers.other = &plan->steps[s];
        }
    return readers;
}

// A sum that is made in memory would be rounded again and again.
static bool is_summed_in_memory(const Step *writer) {
    if (scattering_of(writer->region).scatter != NODE_NONE) return true;
    return writer->form == FORM_PRODUCT && writer->tensor.kind == TENSOR_NONE;
}

static const char *refusal(const Storing *storing, ValueId id) {
    Arena *arena = storing->plan->arena;
    const Value *value = &storing->plan->values[id];
    if (!target_is_gpu(storing->context->target) || storing->context->tensor != TENSOR_BF16)
        return "products round to bf16 on GPUs only, with dtype = bfloat16";
    if (value->dtype != DTYPE_F32) return arena_format(arena, "it holds %s", dtype_name(value->dtype));
    if (value->kind != VALUE_TEMPORARY || storing->writers[id] == STEP_NONE) return "it outlives the step";
    if (value->parts > 1) return "it is a sum of parts";
    if (value->is_over) return "it is written over another value";
    if (is_summed_in_memory(&storing->plan->steps[storing->writers[id]])) return "it is summed up in memory";
    return NULL;
}

// What speaks against it, but a choice may overrule: a step that would now read what is rounded.
static const char *objection(const Storing *storing, const Readers *readers) {
    const Step *other = readers->other;
    return other ? arena_format(storing->plan->arena, "%s at %s reads it in f32", other->label, other->place) : NULL;
}

// ---- the choice

static const char *place_of(const Storing *storing, ValueId id) {
    const Value *value = &storing->plan->values[id];
    if (value->name || storing->writers[id] == STEP_NONE) return value->name ? value->name : "";
    return storing->plan->steps[storing->writers[id]].place;
}

static void store_in_bf16(const Storing *storing, ValueId id) {
    Plan *plan = storing->plan;
    plan->values[id].dtype = DTYPE_BF16;
    step_cost(plan, &plan->steps[storing->writers[id]]);
    for (uint32_t s = 0; s < plan->step_count; s++)
        for (uint32_t k = 0; k < plan->steps[s].operand_count; k++)
            if (plan->steps[s].operands[k] == id) step_cost(plan, &plan->steps[s]);
}

static void choose(const Storing *storing, ValueId id) {
    const Plan *plan = storing->plan;
    Choices *choices = storing->context->choices;
    Readers readers = readers_of(plan, id);
    Decision decision = {.pass = "choose_precision", .what = "store in bf16", .place = place_of(storing, id)};
    if (readers.rounding == 0 && !choices_ask_for(choices, decision.place, DTYPE_BF16)) return;
    decision.reason = refusal(storing, id);
    bool is_possible = !decision.reason;
    if (is_possible) decision.reason = objection(storing, &readers);
    decision.made = !decision.reason;
    if (decision.made)
        decision.reason = readers.rounding == 1 ? "one product reads it, and rounds it"
                                                : arena_format(plan->arena, "%u products read it, and round it",
                                                               readers.rounding);
    choices_decide(choices, is_possible, &decision);
    choices_decide_precision(choices, is_possible, DTYPE_BF16, &decision);
    if (decision.made) {
        double narrower = (double)(dtype_bytes(DTYPE_F32) - dtype_bytes(DTYPE_BF16));
        decision.bytes_saved = (1.0 + readers.count) * narrower * (double)layout_elements(&plan->values[id].layout);
        store_in_bf16(storing, id);
    }
    ledger_add(storing->context->ledger, decision);
}

bool pass_choose_precision(Plan *plan, PassContext *context) {
    Storing storing = {plan, context, plan_writers(plan, plan->arena)};
    for (ValueId id = 0; id < plan->value_count; id++) choose(&storing, id);
    return true;
}
