// What reports ask of a plan: to which part of the training step a step belongs, what values are called. See explain.h.
//
//     step 0 layernorm, step 1 product, ..., step 13 cross_entropy        forward: the loss depends on them
//     step 14 layernorm backward, ...                                     backward: a gradient depends on them
//     step 47 square_norm, step 48 adamw                                  optimizer: nothing of both does
#include <string.h>

#include "driver/explain/explain.h"

// Marks the steps on which a marked step depends.
static void mark_needed(const Plan *plan, const uint32_t *writer, bool *marked) {
    for (uint32_t i = plan->step_count; i-- > 0;) {
        const Step *step = &plan->steps[i];
        for (uint32_t k = 0; marked[i] && k < step->operand_count; k++)
            if (writer[step->operands[k]] != STEP_NONE) marked[writer[step->operands[k]]] = true;
    }
}

// "grad.NAME" of a leaf; gradients of values inside have the names of those values and come before them.
static bool is_param_gradient(const Plan *plan, const char *name) {
    if (strncmp(name, "grad.", 5) != 0) return false;
    NodeId source = graph_find_leaf_node(plan->dims, name + 5);
    return source != NODE_NONE && graph_node(plan->dims, source)->op == OP_PARAM;
}

StepPart *explain_parts(const Plan *plan, Arena *arena) {
    const uint32_t *writer = plan_writers(plan, arena);
    bool *forward = ARENA_ARRAY(arena, bool, plan->step_count), *backward = ARENA_ARRAY(arena, bool, plan->step_count);
    bool has_loss = false;
    for (ValueId v = 0; v < plan->value_count; v++) {
        const char *name = plan->values[v].name;
        if (!name || writer[v] == STEP_NONE) continue;
        if (is_param_gradient(plan, name)) backward[writer[v]] = true;
        if (!text_equal(name, "loss")) continue;
        has_loss = forward[writer[v]] = true;
    }
    mark_needed(plan, writer, forward);
    mark_needed(plan, writer, backward);
    StepPart *parts = ARENA_ARRAY(arena, StepPart, plan->step_count);
    for (uint32_t i = 0; i < plan->step_count; i++)
        parts[i] = forward[i] || !has_loss ? PART_FORWARD : backward[i] ? PART_BACKWARD : PART_OPTIMIZER;
    return parts;
}

bool explain_computes(const Node *node) {
    OpClass class = op_class(node->op);
    return class == CLASS_POINTWISE || class == CLASS_REDUCE || class == CLASS_CONTRACT;
}

const char *explain_type(const Graph *graph, DType dtype, const DimList *order, Arena *arena) {
    Text text = text_create(arena);
    text_append(&text, "%s[", dtype_name(dtype));
    for (int i = 0; i < order->rank; i++)
        text_append(&text, "%s%s", i ? "," : "", graph_dim_name(graph, order->dims[i]));
    text_append(&text, "]");
    return text_string(&text);
}

const char *explain_value(const Plan *plan, ValueId value, const Step *writer, Arena *arena) {
    if (plan->values[value].name) return plan->values[value].name;
    const char *place = explain_place(plan, writer->place, arena);
    return arena_format(arena, "%s %s%s", writer->label, place == writer->place ? "of " : "", place);
}
