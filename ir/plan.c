// The Plan's words, and its meaning: a plan evaluated box after box by the float64 reference.
//
// In: a plan and the values of its leaves. Out: the values of everything that crosses a box edge. Layouts, pieces,
// edges and offsets are about speed and do not enter here.
#include <string.h>

#include "ir/plan.h"
#include "ir/reference/reference.h"

static const char *const form_names[] = {
    [FORM_MAP] = "map", [FORM_ROW] = "row", [FORM_PRODUCT] = "product", [FORM_SWEEP] = "sweep"};
static const char *const engine_names[] = {[ENGINE_TILES] = "tiles", [ENGINE_BLAS] = "blas"};
static const char *const tensor_names[] = {
    [TENSOR_NONE] = "none", [TENSOR_TF32] = "tf32", [TENSOR_BF16] = "bf16", [TENSOR_F16] = "f16"};

const char *form_name(Form form) {
    return form_names[form];
}
const char *engine_name(Engine engine) {
    return engine_names[engine];
}
const char *tensor_name(TensorKind kind) {
    return tensor_names[kind];
}

const char *tensor_words(const TensorTile *tile) {
    return tile->in_turns ? " wgmma turns" : tile->wgmma ? " wgmma" : "";
}

ValueId plan_add_value(Plan *plan, size_t *capacity, Value value) {
    plan->values = arena_grow(plan->arena, plan->values, capacity, plan->value_count + 1, sizeof(Value));
    plan->values[plan->value_count] = value;
    return plan->value_count++;
}

static void bind_operands(const Plan *plan, const Step *step, Arena *arena, Reference *reference, double **results) {
    const Graph *region = step->region;
    for (NodeId id = 0; id < graph_nodes(region); id++) {
        const Node *node = graph_node(region, id);
        if (node->op != OP_OPERAND) continue;
        ValueId value = step->operands[node->attr.integer];
        double *copy = ARENA_ARRAY(arena, double, (size_t)graph_elements(region, node->dims));
        reference_reorder(region, results[value], plan->values[value].order, node->order, copy);
        reference_bind_operand(reference, node->attr.integer, copy);
    }
}

static void run_step(const Plan *plan, const Step *step, Arena *arena, double **results) {
    Reference *reference = reference_create(step->region);
    bind_operands(plan, step, arena, reference, results);
    const char *unbound = NULL;
    if (!reference_run(reference, &unbound))
        BUG("the region of '%s' at '%s' lacks %s", step->label, step->place, unbound);
    for (uint32_t k = 0; k < step->output_count; k++) {
        NodeId node = graph_output_at(step->region, k)->node;
        const Value *value = &plan->values[step->outputs[k]];
        double *copy = ARENA_ARRAY(arena, double, (size_t)graph_elements(plan->dims, dim_list_set(&value->order)));
        reference_reorder(step->region, reference_value(reference, node), graph_node(step->region, node)->order,
                          value->order, copy);
        results[step->outputs[k]] = copy;
    }
    reference_free(reference);
}

bool plan_reference(const Plan *plan, Arena *arena,
                    const double *(*bind)(void *context, const Leaf *leaf, DimList order), void *context,
                    double **value_results) {
    for (ValueId id = 0; id < plan->value_count; id++) {
        const Value *value = &plan->values[id];
        value_results[id] = NULL;
        if (value->kind != VALUE_INPUT && value->kind != VALUE_STATE) continue;
        const double *given = bind(context, value->leaf, value->order);
        if (!given) return false;
        size_t count = (size_t)graph_elements(plan->dims, dim_list_set(&value->order));
        value_results[id] = ARENA_ARRAY(arena, double, count);
        memcpy(value_results[id], given, count * sizeof(double));
    }
    for (uint32_t s = 0; s < plan->step_count; s++)
        run_step(plan, &plan->steps[s], arena, value_results);
    return true;
}
