// The plan's invariants: values, and how steps are wired to them. Forms, edges and memory have files of their own.
//
// In: a plan at any stage after draw_boxes. Out: NULL, or one sentence naming the value or step and the broken rule.
#include "ir/graph_storage.h"
#include "ir/plan_checks.h"

static bool is_given(const Value *value) {
    return value->kind == VALUE_INPUT || value->kind == VALUE_STATE;
}

// ---- values

static const char *check_layout(const Plan *plan, const Value *value) {
    DimSet dims = dim_list_set(&value->order), seen = 0;
    for (int i = 0; i < value->layout.count; i++) {
        const LayoutPiece *piece = &value->layout.pieces[i];
        if (piece->divisor < 1 || piece->extent < 1) return "has an empty layout piece";
        seen |= dim_list_set(&piece->dims);
    }
    if (seen != dims) return "has a layout that is not over its dims";
    int64_t elements = graph_elements(plan->dims, dims);
    if (layout_elements(&value->layout) < elements) return "has a layout with too few elements";
    size_t least = (size_t)layout_elements(&value->layout) * dtype_bytes(value->dtype);
    if (value->space == SPACE_SCRATCH || value->rounds) least = 0;  // one piece or round: plan_check_memory
    if (value->bytes && (value->bytes % 64 != 0 || value->bytes < least)) return "has a wrong number of bytes";
    return NULL;
}

static const char *check_next(const Plan *plan, const Value *value) {
    if (value->kind != VALUE_OUTPUT) return "has a next_of, but is no output";
    if (value->next_of >= plan->value_count || plan->values[value->next_of].kind != VALUE_STATE)
        return "is the next value of something that is no state";
    const Value *state = &plan->values[value->next_of];
    bool same = state->dtype == value->dtype && dim_list_set(&state->order) == dim_list_set(&value->order) &&
                layout_equal(&state->layout, &value->layout);
    return same ? NULL : "differs in type, dims or layout from the state whose next value it is";
}

static const char *check_value(const Plan *plan, const Value *value) {
    if (is_given(value) != (value->leaf != NULL)) return "has a leaf and is no input or state, or the reverse";
    if (value->is_param && value->kind != VALUE_STATE) return "is a param and no state";
    if (value->is_copy && (value->kind != VALUE_STATE || value->is_param)) return "is a copy of a param and no state";
    if (value->kind == VALUE_OUTPUT && !value->name) return "is an output without a name";
    if (value->in_place && value->next_of == VALUE_NONE) return "is written in place of nothing";
    const char *wrong = check_layout(plan, value);
    if (!wrong && value->next_of != VALUE_NONE) wrong = check_next(plan, value);
    return wrong;
}

// ---- wiring

// The value and the region's node are one tensor; a float may be stored narrower than it is computed.
static bool node_fits(const Node *node, const Value *value) {
    bool type = node->dtype == value->dtype || (dtype_is_float(node->dtype) && dtype_is_float(value->dtype));
    return type && dim_list_equal(&node->order, &value->order);
}

static const char *check_sources(const Plan *plan, const Step *step, Arena *arena) {
    const Graph *region = step->region;
    bool *live = graph_live(region, arena), *seen = ARENA_ARRAY(arena, bool, step->operand_count);
    for (NodeId id = 0; id < graph_nodes(region); id++) {
        const Node *node = graph_node(region, id);
        if (!live[id]) continue;
        if (node->op == OP_INPUT || node->op == OP_PARAM || node->op == OP_STATE)
            return arena_format(arena, "reads a leaf (%s) past its operands", op_name(node->op));
        if (node->op != OP_OPERAND) continue;
        uint32_t k = (uint32_t)node->attr.integer;
        if (k >= step->operand_count) return arena_format(arena, "has no operand %u", k);
        if (seen[k]) return arena_format(arena, "has two nodes for operand %u", k);
        seen[k] = true;
        if (!node_fits(node, &plan->values[step->operands[k]]))
            return arena_format(arena, "disagrees with value %%%u on type, dims or order", step->operands[k]);
    }
    for (uint32_t k = 0; k < step->operand_count; k++)
        if (!seen[k]) return arena_format(arena, "does not use its operand %u", k);
    return NULL;
}

static const char *check_operands(const Plan *plan, const Step *step, const bool *written, Arena *arena) {
    for (uint32_t k = 0; k < step->operand_count; k++) {
        if (step->operands[k] >= plan->value_count) return "has an operand that is no value";
        if (!is_given(&plan->values[step->operands[k]]) && !written[step->operands[k]])
            return arena_format(arena, "reads value %%%u, which no earlier step writes", step->operands[k]);
    }
    return check_sources(plan, step, arena);
}

static const char *check_outputs(const Plan *plan, const Step *step, bool *written, Arena *arena) {
    if (step->output_count == 0 || graph_outputs(step->region) != step->output_count)
        return "has another number of outputs than its region";
    for (uint32_t k = 0; k < step->output_count; k++) {
        ValueId id = step->outputs[k];
        if (id >= plan->value_count || is_given(&plan->values[id])) return "writes an input, a state or no value";
        if (written[id]) return arena_format(arena, "writes value %%%u a second time", id);
        written[id] = true;
        if (!node_fits(graph_node(step->region, graph_output_at(step->region, k)->node), &plan->values[id]))
            return arena_format(arena, "disagrees with value %%%u on type, dims or order", id);
    }
    return NULL;
}

static const char *check_step(const Plan *plan, uint32_t s, bool *written, Arena *arena) {
    const Step *step = &plan->steps[s];
    const char *wrong = graph_verify_like(step->region, plan->dims, arena);
    if (!wrong) wrong = check_operands(plan, step, written, arena);
    if (!wrong) wrong = check_outputs(plan, step, written, arena);
    if (!wrong) wrong = plan_check_form(plan, s, arena);
    return wrong;
}

const char *plan_verify(const Plan *plan, Arena *arena) {
    const char *broken = graph_verify_declarations(plan->dims, arena);
    if (broken) return broken;
    for (ValueId id = 0; id < plan->value_count; id++) {
        const char *wrong = check_value(plan, &plan->values[id]);
        if (wrong) return arena_format(arena, "value %%%u %s", id, wrong);
    }
    bool *written = ARENA_ARRAY(arena, bool, plan->value_count);
    for (uint32_t s = 0; s < plan->step_count; s++) {
        const char *wrong = check_step(plan, s, written, arena);
        if (wrong) return arena_format(arena, "step %u (%s): %s", s, plan->steps[s].label, wrong);
    }
    for (ValueId id = 0; id < plan->value_count; id++)
        if (!is_given(&plan->values[id]) && !written[id]) return arena_format(arena, "value %%%u is never written", id);
    const char *wrong = plan_check_edges(plan, arena);
    return wrong ? wrong : plan_check_memory(plan, arena);
}
