// The plan of ordered boxes: values, steps, and a region for each step.
//
// In: boxes in order. Out: leaves as values, then one step per box, with the copies that outputs need around them:
//
//     copies of leaves            output "w_before" %w      first: they read states before anything overwrites them
//     the boxes
//     copies of results           a second output of one node, or a next value that its box may not write in place
//     copies into states          last
#include "passes/boxes.h"
#include "passes/step_cost.h"
#include "passes/step_place.h"

typedef struct {
    Drawing *drawing;
    Plan *plan;
    size_t value_capacity, step_capacity;
    ValueId *value_of;     // by node
    ValueId *leaf_value;   // by leaf
} Drafting;

// ---- values

static ValueId add_value(Drafting *drafting, Value value) {
    value.layout = layout_plain(drafting->plan->dims, value.order);
    value.space = value.kind == VALUE_STATE || value.in_place ? SPACE_STATE : SPACE_ARENA;
    return plan_add_value(drafting->plan, &drafting->value_capacity, value);
}

static ValueId add_leaf(Drafting *drafting, LeafId leaf_id, Op op, DType dtype, DimList order) {
    const Leaf *leaf = graph_leaf_at(drafting->drawing->graph, leaf_id);
    ValueId *value = &drafting->leaf_value[leaf_id];
    if (*value == VALUE_NONE)
        *value = add_value(drafting, (Value){.kind = op == OP_INPUT ? VALUE_INPUT : VALUE_STATE,
                                             .name = leaf->name,
                                             .dtype = dtype,
                                             .order = order,
                                             .leaf = leaf,
                                             .is_param = op == OP_PARAM,
                                             .next_of = VALUE_NONE});
    return *value;
}

static void add_leaves(Drafting *drafting) {
    const Drawing *drawing = drafting->drawing;
    for (NodeId id = 0; id < graph_nodes(drawing->graph); id++) {
        const Node *node = graph_node(drawing->graph, id);
        if (!drawing->live[id] || !node_is_leaf(drawing->graph, id)) continue;
        drafting->value_of[id] =
            add_leaf(drafting, node->attr.leaf, node->op, node->dtype, drawing_value_order(drawing, id));
    }
    // A state may be written without being read.
    for (uint32_t i = 0; i < drawing->output_count; i++) {
        const DrawnOutput *output = &drawing->outputs[i];
        if (!output->is_next) continue;
        const Leaf *leaf = graph_leaf_at(drawing->graph, output->leaf);
        NodeId node = graph_find_leaf_node(drawing->graph, leaf->name);
        Op op = node == NODE_NONE ? OP_STATE : graph_node(drawing->graph, node)->op;
        add_leaf(drafting, output->leaf, op, graph_node(drawing->graph, output->node)->dtype, leaf->stored);
    }
}

static Value output_value(const Drafting *drafting, const DrawnOutput *output) {
    return (Value){.kind = VALUE_OUTPUT,
                   .name = output->name,
                   .dtype = graph_node(drafting->drawing->graph, output->node)->dtype,
                   .order = drawing_value_order(drafting->drawing, output->node),
                   .next_of = output->is_next ? drafting->leaf_value[output->leaf] : VALUE_NONE,
                   .in_place = output->is_next};
}

static Value node_value(const Drafting *drafting, NodeId node) {
    const Drawing *drawing = drafting->drawing;
    for (uint32_t i = 0; i < drawing->output_count; i++)
        if (drawing->outputs[i].direct && drawing->outputs[i].node == node)
            return output_value(drafting, &drawing->outputs[i]);
    return (Value){.kind = VALUE_TEMPORARY,
                   .name = graph_node_name(drawing->graph, node),
                   .dtype = graph_node(drawing->graph, node)->dtype,
                   .order = drawing_value_order(drawing, node),
                   .next_of = VALUE_NONE};
}

// ---- steps

static Step *add_step(Drafting *drafting, const char *label, const char *place, Form form, uint32_t operands,
                      uint32_t outputs) {
    Plan *plan = drafting->plan;
    place = step_place(plan->arena, plan->steps, plan->step_count, label, place);
    plan->steps = arena_grow(plan->arena, plan->steps, &drafting->step_capacity, plan->step_count + 1, sizeof(Step));
    Step *step = &plan->steps[plan->step_count++];
    *step = (Step){.label = label,
                   .place = place,
                   .form = form,
                   .region = graph_create_like(plan->arena, drafting->drawing->graph),
                   .operand_count = operands,
                   .output_count = outputs,
                   .operands = ARENA_ARRAY(plan->arena, ValueId, operands),
                   .outputs = ARENA_ARRAY(plan->arena, ValueId, outputs),
                   .edges = ARENA_ARRAY(plan->arena, EdgeKind, operands),
                   .cut = {.total = 1, .pieces = 1}};
    return step;
}

static NodeId region_operand(const Drafting *drafting, Step *step, uint32_t k, ValueId id) {
    const Value *value = &drafting->plan->values[id];
    step->operands[k] = id;
    return build_operand(step->region, (int)k, value->dtype, value->order);
}

// Region outputs are named after their values, or by number where that name is missing or taken.
static void region_output(const Drafting *drafting, Step *step, uint32_t k, ValueId id, NodeId node) {
    const Value *value = &drafting->plan->values[id];
    const char *name = value->name;
    if (!name || graph_find_output(step->region, name) != NODE_NONE)
        name = arena_format(drafting->plan->arena, "%%%u", k);
    step->outputs[k] = id;
    graph_output(step->region, name, node_in_order(step->region, node, value->order));
}

static void copy_inside(const Drafting *drafting, const Box *box, Graph *region, NodeId *map) {
    const Graph *graph = drafting->drawing->graph;
    for (uint32_t i = 0; i < box->inside.count; i++) {
        NodeId id = box->inside.nodes[i];
        map[id] = build_copy_mapped(region, graph, id, map);
    }
}

static NodeList box_results(const Drafting *drafting, const Box *box, const bool *is_read) {
    NodeList results = {.nodes = ARENA_ARRAY(drafting->drawing->scratch, NodeId, box->members.count)};
    for (uint32_t i = 0; i < box->members.count; i++)
        if (is_read[box->members.nodes[i]]) results.nodes[results.count++] = box->members.nodes[i];
    return results;
}

static void note_box(const Drafting *drafting, const Box *box, const Step *step) {
    const Drawing *drawing = drafting->drawing;
    Arena *arena = drafting->plan->arena;
    double saved = 0;   // what stays inside is neither written nor read
    for (uint32_t i = 0; i < box->inside.count; i++) {
        const Node *node = graph_node(drawing->graph, box->inside.nodes[i]);
        bool counts = op_class(node->op) == CLASS_POINTWISE || op_class(node->op) == CLASS_REDUCE;
        if (!counts || drafting->value_of[box->inside.nodes[i]] != VALUE_NONE) continue;
        saved += 2.0 * (double)graph_elements(drawing->graph, node->dims) * (double)dtype_bytes(node->dtype);
    }
    ledger_add(drawing->context->ledger,
               (Decision){.pass = "draw_boxes",
                          .what = arena_format(arena, "box %s %s", form_name(step->form), step->label),
                          .place = step->place,
                          .made = true,
                          .reason = arena_format(arena, "%u primitives, %u operands, %u results", box->inside.count,
                                                 step->operand_count, step->output_count),
                          .bytes_saved = saved,
                          .nodes = box->inside.nodes,
                          .node_count = box->inside.count});
}

static void add_box(Drafting *drafting, const Box *box, const bool *is_read, NodeId *map) {
    const Drawing *drawing = drafting->drawing;
    NodeList results = box_results(drafting, box, is_read);
    Step *step = add_step(drafting, box_label(drawing, box), box_place(drawing, box), box->form, box->operands.count,
                          results.count);
    step->inner = box->inner;
    for (uint32_t k = 0; k < box->operands.count; k++) {
        NodeId operand = box->operands.nodes[k];
        map[operand] = region_operand(drafting, step, k, drafting->value_of[operand]);
    }
    copy_inside(drafting, box, step->region, map);
    for (uint32_t k = 0; k < results.count; k++) {
        NodeId node = results.nodes[k];
        drafting->value_of[node] = add_value(drafting, node_value(drafting, node));
        region_output(drafting, step, k, drafting->value_of[node], map[node]);
    }
    step_cost(drafting->plan, step);
    note_box(drafting, box, step);
}

static ValueId add_copy(Drafting *drafting, ValueId from, Value to, const char *place) {
    Step *step = add_step(drafting, "copy", place, FORM_MAP, 1, 1);
    NodeId node = region_operand(drafting, step, 0, from);
    ValueId id = add_value(drafting, to);
    region_output(drafting, step, 0, id, node);
    step_cost(drafting->plan, step);
    return id;
}

// ---- outputs that no box writes

// A state that becomes another state: read before the boxes, written after them.
static void copy_leaves(Drafting *drafting, ValueId *sources) {
    const Drawing *drawing = drafting->drawing;
    for (uint32_t i = 0; i < drawing->output_count; i++) {
        const DrawnOutput *output = &drawing->outputs[i];
        if (output->direct || !node_is_leaf(drawing->graph, output->node)) continue;
        ValueId leaf = drafting->value_of[output->node];
        Value value = output_value(drafting, output);
        sources[i] = leaf;
        if (value.next_of == leaf) continue;
        bool is_next = output->is_next;
        if (is_next)
            value = (Value){.kind = VALUE_TEMPORARY, .dtype = value.dtype, .order = value.order, .next_of = VALUE_NONE};
        ValueId copy = add_copy(drafting, leaf, value, output->name);
        sources[i] = is_next ? copy : VALUE_NONE;
    }
}

static void copy_results(Drafting *drafting, const ValueId *sources) {
    const Drawing *drawing = drafting->drawing;
    for (int into_states = 0; into_states <= 1; into_states++) {
        for (uint32_t i = 0; i < drawing->output_count; i++) {
            const DrawnOutput *output = &drawing->outputs[i];
            if (output->direct || output->is_next != (bool)into_states) continue;
            ValueId source = sources[i];
            if (!node_is_leaf(drawing->graph, output->node)) source = drafting->value_of[output->node];
            if (source != VALUE_NONE) add_copy(drafting, source, output_value(drafting, output), output->name);
        }
    }
}

static bool *find_read(const Drawing *drawing) {
    bool *is_read = ARENA_ARRAY(drawing->scratch, bool, graph_nodes(drawing->graph));
    for (uint32_t i = 0; i < drawing->output_count; i++) is_read[drawing->outputs[i].node] = true;
    for (uint32_t s = 0; s < drawing->sequence_count; s++) {
        NodeList operands = drawing->boxes[drawing->sequence[s]].operands;
        for (uint32_t k = 0; k < operands.count; k++) is_read[operands.nodes[k]] = true;
    }
    return is_read;
}

static void fill_none(ValueId *values, uint32_t count) {
    for (uint32_t i = 0; i < count; i++) values[i] = VALUE_NONE;
}

Plan *drawing_plan(Drawing *drawing) {
    const Graph *graph = drawing->graph;
    Plan *plan = ARENA_NEW(drawing->context->arena, Plan);
    *plan = (Plan){.arena = drawing->context->arena, .dims = graph};
    Drafting drafting = {.drawing = drawing,
                         .plan = plan,
                         .value_of = ARENA_ARRAY(plan->arena, ValueId, graph_nodes(graph)),
                         .leaf_value = ARENA_ARRAY(drawing->scratch, ValueId, graph_leaves(graph))};
    fill_none(drafting.value_of, graph_nodes(graph));
    fill_none(drafting.leaf_value, graph_leaves(graph));
    add_leaves(&drafting);

    ValueId *sources = ARENA_ARRAY(drawing->scratch, ValueId, drawing->output_count);
    fill_none(sources, drawing->output_count);
    copy_leaves(&drafting, sources);
    bool *is_read = find_read(drawing);
    NodeId *map = ARENA_ARRAY(drawing->scratch, NodeId, graph_nodes(graph));
    for (uint32_t s = 0; s < drawing->sequence_count; s++)
        add_box(&drafting, &drawing->boxes[drawing->sequence[s]], is_read, map);
    copy_results(&drafting, sources);
    plan->value_of = drafting.value_of;
    return plan;
}
