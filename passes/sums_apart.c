// In: a row or product whose outputs are pointwise functions of its sums, of numbers and of states: what micro-batches
// have accumulated so far, plus this one's gradient. Out: two steps of the same meaning and bits (see sums_apart.h).
//
//     %3 = contract f32[C,F] %0 %1 over(B,T)    a sum             step 7
//     %4 = add f32[C,F] %2 %3                   the rest          step 8: %2 a state
//     output "accumulate.w" %4
#include "passes/sums_apart.h"

#include "passes/step_cost.h"
#include "passes/step_place.h"

typedef struct {
    const Plan *plan;
    const Step *step;
    const Graph *region;
    bool *above;   // by node: a sum depends on it
    bool *sum;     // it is one of the sums
    bool *rest;    // an output depends on it other than through a sum
    DimSet over;   // what the sums run over
} Parts;

// ---- what is what

static bool reduces(const Node *node) { return op_class(node->op) == CLASS_REDUCE || node->op == OP_CONTRACT; }

// False when some reduction is no sum, runs over other dims, or is made of another one.
static bool find_sums(Parts *parts) {
    for (NodeId id = graph_nodes(parts->region); id-- > 0;) {
        const Node *node = graph_node(parts->region, id);
        bool above = parts->above[id];
        if (reduces(node) && (parts->rest[id] || above)) {
            if (above || (node->op != OP_SUM && node->op != OP_CONTRACT)) return false;
            if (parts->over && parts->over != node->attr.set) return false;
            parts->over = node->attr.set;
            parts->sum[id] = true;
            parts->rest[id] = false;
        }
        for (uint32_t i = 0; i < node->operand_count; i++) {
            if (parts->sum[id] || above) parts->above[node->operands[i]] = true;
            if (parts->rest[id]) parts->rest[node->operands[i]] = true;
        }
    }
    return parts->over != 0;
}

static const Value *value_of(const Parts *parts, const Node *operand) {
    return &parts->plan->values[parts->step->operands[operand->attr.integer]];
}

// Pointwise, of nothing that is summed over, and of a state.
static bool rest_is_plain(const Parts *parts) {
    bool of_state = false;
    for (NodeId id = 0; id < graph_nodes(parts->region); id++) {
        const Node *node = graph_node(parts->region, id);
        if (!parts->rest[id]) continue;
        bool is_plain = node->op == OP_OPERAND || node->op == OP_CONST || op_class(node->op) == CLASS_POINTWISE;
        if (!is_plain || (node->dims & parts->over)) return false;
        if (node->op != OP_OPERAND) continue;
        const Value *value = value_of(parts, node);
        of_state |= value->kind == VALUE_STATE && !value->is_param && !value->is_copy;
    }
    return of_state;
}

// The first output of a sum's dims: stored like that, the sum comes in the same tiles.
static const Value *output_like(const Parts *parts, const Node *sum) {
    for (uint32_t k = 0; k < parts->step->output_count; k++) {
        const Value *output = &parts->plan->values[parts->step->outputs[k]];
        if (dim_list_set(&output->order) == sum->dims) return output;
    }
    return NULL;
}

static bool sums_have_outputs(const Parts *parts) {
    for (NodeId id = 0; id < graph_nodes(parts->region); id++)
        if (parts->sum[id] && !output_like(parts, graph_node(parts->region, id))) return false;
    return true;
}

static bool find_parts(Parts *parts, const Plan *plan, const Step *step, Arena *arena) {
    uint32_t nodes = graph_nodes(step->region);
    *parts = (Parts){.plan = plan, .step = step, .region = step->region};
    if (step->form == FORM_MAP || step->form == FORM_SWEEP || step->engine != ENGINE_TILES) return false;
    parts->above = ARENA_ARRAY(arena, bool, nodes);
    parts->sum = ARENA_ARRAY(arena, bool, nodes);
    parts->rest = ARENA_ARRAY(arena, bool, nodes);
    for (uint32_t k = 0; k < step->output_count; k++) {
        NodeId id = graph_output_at(step->region, k)->node;
        if (reduces(graph_node(step->region, id))) return false;
        parts->rest[id] = true;
    }
    return find_sums(parts) && rest_is_plain(parts) && sums_have_outputs(parts);
}

DimList sums_apart_over(const Plan *plan, const Step *step, Arena *scratch, bool *behind) {
    DimList summed = {0};
    Parts parts;
    if (!find_parts(&parts, plan, step, scratch)) return summed;
    for (DimId dim = 0; dim < graph_dims(step->region); dim++)
        if (dim_in(parts.over, dim)) summed.dims[summed.rank++] = dim;
    for (NodeId id = 0; id < graph_nodes(step->region); id++) {
        const Node *node = graph_node(step->region, id);
        if (node->op == OP_OPERAND) behind[node->attr.integer] = !parts.above[id];
    }
    return summed;
}

// ---- two steps

typedef struct {
    Plan *plan;
    const Parts *parts;
    Step step;
    NodeId *map;   // by node of the region that is taken apart
} Half;

static Half begin_half(Plan *plan, const Parts *parts, uint32_t outputs) {
    uint32_t nodes = graph_nodes(parts->region);
    Half half = {.plan = plan, .parts = parts, .step = *parts->step, .map = ARENA_ARRAY(plan->arena, NodeId, nodes)};
    half.step.region = graph_create_like(plan->arena, plan->dims);
    half.step.operands = ARENA_ARRAY(plan->arena, ValueId, nodes);
    half.step.edges = ARENA_ARRAY(plan->arena, EdgeKind, nodes);
    half.step.outputs = ARENA_ARRAY(plan->arena, ValueId, outputs);
    half.step.operand_count = half.step.output_count = 0;
    for (NodeId id = 0; id < nodes; id++) half.map[id] = NODE_NONE;
    return half;
}

static NodeId add_operand(Half *half, ValueId id) {
    const Value *value = &half->plan->values[id];
    half->step.operands[half->step.operand_count] = id;
    return build_operand(half->step.region, (int32_t)half->step.operand_count++, value->dtype, value->order);
}

// Copies the nodes of `which`, but for those that are operands already.
static void copy_nodes(Half *half, const bool *which) {
    const Graph *region = half->parts->region;
    for (NodeId id = 0; id < graph_nodes(region); id++) {
        const Node *node = graph_node(region, id);
        if (!which[id] || half->map[id] != NODE_NONE) continue;
        half->map[id] = node->op == OP_OPERAND ? add_operand(half, half->parts->step->operands[node->attr.integer])
                                               : build_copy_mapped(half->step.region, region, id, half->map);
    }
}

static void add_output(Half *half, const char *name, NodeId node, ValueId id) {
    graph_output(half->step.region, name, node);
    half->step.outputs[half->step.output_count++] = id;
}

static ValueId add_sum_value(Plan *plan, const Parts *parts, const Node *sum, size_t *capacity) {
    const Value *like = output_like(parts, sum);
    Value value = {.kind = VALUE_TEMPORARY,
                   .dtype = DTYPE_F32,
                   .order = like->order,
                   .layout = like->layout,
                   .next_of = VALUE_NONE,
                   .space = SPACE_ARENA};
    return plan_add_value(plan, capacity, value);
}

// Called after the operator whose result it is.
static void name_rest(const Plan *plan, Step *rest) {
    GroupId group = graph_node_group(rest->region, graph_output_at(rest->region, 0)->node);
    rest->label = group ? graph_group_at(rest->region, group)->label : form_name(FORM_MAP);
    if (group) rest->place = graph_group_at(rest->region, group)->place;
    rest->place = step_place(plan->arena, plan->steps, plan->step_count, rest->label, rest->place);
}

Step sums_take_apart(Plan *plan, Step *step, size_t *capacity) {
    const Step whole = *step;
    Parts parts;
    if (!find_parts(&parts, plan, &whole, plan->arena)) BUG("step %s cannot be taken apart", step->label);
    uint32_t nodes = graph_nodes(whole.region);
    Half sums = begin_half(plan, &parts, nodes), rest = begin_half(plan, &parts, whole.output_count);
    bool *computed = ARENA_ARRAY(plan->arena, bool, nodes);
    for (NodeId id = 0; id < nodes; id++) computed[id] = parts.above[id] || parts.sum[id];
    copy_nodes(&sums, computed);
    for (NodeId id = 0; id < nodes; id++) {
        if (!parts.sum[id]) continue;
        ValueId value = add_sum_value(plan, &parts, graph_node(whole.region, id), capacity);
        graph_set_order(sums.step.region, sums.map[id], plan->values[value].order);
        add_output(&sums, arena_format(plan->arena, "%%%u", sums.step.output_count), sums.map[id], value);
        rest.map[id] = add_operand(&rest, value);
    }
    copy_nodes(&rest, parts.rest);
    for (uint32_t k = 0; k < whole.output_count; k++) {
        const Output *output = graph_output_at(whole.region, k);
        add_output(&rest, output->name, rest.map[output->node], whole.outputs[k]);
    }
    rest.step.form = FORM_MAP;
    rest.step.inner = 0;
    rest.step.tile_rows = rest.step.tile_lanes = 0;
    rest.step.band = (Band){0};
    name_rest(plan, &rest.step);
    step_cost(plan, &sums.step);
    step_cost(plan, &rest.step);
    *step = sums.step;
    return rest.step;
}
