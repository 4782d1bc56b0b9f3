// choose_layouts: memory order of every value.
//
// requires  a drawn plan; engines and register tiles
// ensures   every value lies densely in its order, outermost dim first, but for states in panels and what goes with
//           them; a next value lies like its state; a state lies alike in all programs of a model
// does nothing where a layout is already so
// ledger    per param that tiled products read: stored in panels, or the first condition that failed
//
// At level all, but on a GPU, a param lies as a tiled product reads it, so that no step has to copy it there:
//
//     value %1 param f32[C,F] @ (C, F) "w"              ->   @ (F/32, C, F%32)
//     value %5 output f32[C,F] @ (C, F) "grad.w"        ->   @ (F/32, C, F%32)       written by its product in panels
//     value %7 state f32[C,F] @ (C, F) "adam.m.w"       ->   @ (F/32, C, F%32)       so that the update is pointwise
//
// The panels are those whose lanes are the last dims that files store: along them the product that makes the gradient
// has its own lanes. Panels along other dims (those of the backward product) are copies of it (pack_operands).
//
// Steps that compute element by element hand the layout on: from the param to its gradient, its moments and its
// accumulated gradient. Nothing depends on that but speed: any step reads and writes any layout.
#include "base/diag.h"
#include "passes/access.h"
#include "passes/panels.h"
#include "passes/pass_functions.h"
#include "passes/state_layouts.h"

// ---- the same layout in every program

static void take_decided(Plan *plan, const StateTable *table) {
    for (ValueId id = 0; id < plan->value_count; id++) {
        Value *value = &plan->values[id];
        if (value->kind != VALUE_STATE || value->is_copy) continue;
        const StateLayout *state = state_layout_find(table, value->name);
        if (state) value->layout = state_layout_in(state, plan->dims);
    }
}

static void note_decided(const Plan *plan, StateTable *table) {
    for (ValueId id = 0; id < plan->value_count; id++) {
        const Value *value = &plan->values[id];
        if (value->kind == VALUE_STATE && !value->is_copy) state_layout_note(table, plan, value);
    }
}

// ---- how steps read a value

static bool reads_value(const Step *step, NodeId node, ValueId value) {
    return step->operands[operand_below(step->region, node)] == value;
}

static bool contracts(const Plan *plan, const Step *step, ValueId value) {
    if (step->form != FORM_PRODUCT || !step_reads(step, value)) return false;
    Contraction contraction = product_contraction(plan, step);
    return reads_value(step, contraction.rows_operand, value) || reads_value(step, contraction.lanes_operand, value);
}

// NULL when every step but products reads the value at its own index of `lanes`, so that vectors run along them.
static const char *reader_refusal(const Plan *plan, ValueId value, DimSet lanes) {
    for (uint32_t s = 0; s < plan->step_count; s++) {
        const Step *step = &plan->steps[s];
        const DimSet *own = NULL;
        for (uint32_t k = 0; k < step->operand_count; k++) {
            if (step->operands[k] != value || contracts(plan, step, value)) continue;
            if (!own) own = access_own_or_summed(step->region, step->operand_count, plan->arena);
            if (lanes & ~own[k])
                return arena_format(plan->arena, "%s at %s reads it along other dims", step->label, step->place);
        }
    }
    return NULL;
}

// ---- params in panels

typedef struct {
    Layout layout;
    DimSet lanes;
    const char *refusal;   // of the last product looked at
    bool found, read;      // panels were found; a tiled product reads the param
} PanelChoice;

static bool is_order(DimList order, DimList first, DimList last) {
    if (order.rank != first.rank + last.rank) return false;
    for (int i = 0; i < order.rank; i++)
        if (order.dims[i] != (i < first.rank ? first.dims[i] : last.dims[i - first.rank])) return false;
    return true;
}

// False when the product reads the param in a way that excludes panels.
static bool look_at_product(const Plan *plan, const Step *step, ValueId param, PanelChoice *choice) {
    Contraction contraction = product_contraction(plan, step);
    choice->read = true;
    if (reads_value(step, contraction.rows_operand, param)) {
        choice->refusal = "a product reads it along its rows";
        return false;
    }
    if (graph_node(step->region, contraction.lanes_operand)->op != OP_OPERAND) {
        choice->refusal = "a product reads a part of it";
        return false;
    }
    int64_t lanes = graph_elements(plan->dims, dim_list_set(&contraction.lanes));
    if (choice->found) return true;
    if (contraction.batch.rank || !is_order(plan->values[param].order, contraction.summed, contraction.lanes)) {
        choice->refusal = "no product has the last stored dims as its lanes";
        return true;
    }
    if (lanes <= step->tile_lanes) {
        choice->refusal = arena_format(plan->arena, "%lld lanes are one panel", (long long)lanes);
        return true;
    }
    choice->layout = panel_layout(plan->dims, &contraction, step->tile_lanes);
    choice->lanes = dim_list_set(&contraction.lanes);
    choice->found = true;
    return true;
}

static PanelChoice choose_panels(const Plan *plan, ValueId param) {
    PanelChoice choice = {0};
    for (uint32_t s = 0; s < plan->step_count; s++) {
        const Step *step = &plan->steps[s];
        if (!contracts(plan, step, param)) continue;
        if (!is_tiled_product(step)) return (PanelChoice){.read = true, .refusal = "a product by openblas reads it"};
        if (look_at_product(plan, step, param, &choice)) continue;
        choice.found = false;
        return choice;
    }
    if (choice.found) choice.refusal = reader_refusal(plan, param, choice.lanes);
    if (choice.refusal) choice.found = false;
    return choice;
}

static void place_param(Plan *plan, PassContext *context, ValueId param) {
    Value *value = &plan->values[param];
    PanelChoice choice = choose_panels(plan, param);
    if (!choice.read) return;
    Decision decision = {.pass = "choose_layouts",
                         .what = "param in panels",
                         .place = value->name,
                         .made = choice.found,
                         .reason = choice.refusal};
    if (choice.found) {
        const LayoutPiece *lanes = &choice.layout.pieces[choice.layout.count - 1];
        decision.reason =
            arena_format(plan->arena, "panels of %lld lanes, as a product reads them", (long long)lanes->extent);
    }
    choices_decide(context->choices, choice.found, &decision);
    if (decision.made) value->layout = choice.layout;
    double bytes = (double)graph_elements(plan->dims, dim_list_set(&value->order)) * (double)dtype_bytes(value->dtype);
    decision.bytes_saved = 2 * bytes;
    ledger_add(context->ledger, decision);
}

// ---- what goes with them

static bool is_pointwise(const Step *step) {
    if (step->form != FORM_MAP) return false;
    for (NodeId id = 0; id < graph_nodes(step->region); id++) {
        OpClass class = op_class(graph_node(step->region, id)->op);
        if (class == CLASS_MOVE || class == CLASS_INDEXED) return false;
    }
    return true;
}

// It adds rows to a base that lies like the sum.
static bool scatters_rows(const Step *step, const Layout *layout) {
    Scattering scattering = scattering_of(step->region);
    return scattering.base != NODE_NONE &&
           !dim_in(layout_divided(layout), graph_node(step->region, scattering.scatter)->attr.to);
}

// Whether the step can hand `layout` on: it computes element by element, or has the panels' lanes as its own.
static bool hands_on(const Plan *plan, const Step *step, const Layout *layout) {
    if (is_pointwise(step) || scatters_rows(step, layout)) return true;
    if (!is_tiled_product(step)) return false;
    Contraction contraction = product_contraction(plan, step);
    const LayoutPiece *last = &layout->pieces[layout->count - 1];
    return dim_list_equal(&contraction.lanes, &last->dims) && last->extent == step->tile_lanes;
}

static bool is_contracted(const Plan *plan, ValueId value) {
    for (uint32_t s = 0; s < plan->step_count; s++)
        if (contracts(plan, &plan->steps[s], value)) return true;
    return false;
}

// `writer`: the step that writes the value.
static bool can_join(const Plan *plan, ValueId id, uint32_t writer, const Layout *layout) {
    const Value *value = &plan->values[id];
    DimSet lanes = layout_divided(layout);
    if (value->kind == VALUE_INPUT || value->dtype != DTYPE_F32 || layout_divided(&value->layout)) return false;
    if (is_contracted(plan, id) || reader_refusal(plan, id, lanes)) return false;
    return value->kind == VALUE_STATE || value->next_of != VALUE_NONE || hands_on(plan, &plan->steps[writer], layout);
}

static ValueId value_at(const Step *step, uint32_t i) {
    return i < step->operand_count ? step->operands[i] : step->outputs[i - step->operand_count];
}

// A next value and its state lie alike.
static void give_layout(Plan *plan, ValueId id, const Layout *layout) {
    ValueId state = plan->values[id].next_of == VALUE_NONE ? id : plan->values[id].next_of;
    for (ValueId other = 0; other < plan->value_count; other++)
        if (other == state || (plan->values[other].next_of == state && plan->values[other].kind == VALUE_OUTPUT))
            plan->values[other].layout = *layout;
}

static bool spread_in_step(Plan *plan, const uint32_t *writers, const Step *step) {
    uint32_t count = step->operand_count + step->output_count, from = 0;
    while (from < count && !layout_divided(&plan->values[value_at(step, from)].layout)) from++;
    if (from == count) return false;
    const Value *given = &plan->values[value_at(step, from)];
    if (!hands_on(plan, step, &given->layout)) return false;
    bool changed = false;
    for (uint32_t i = 0; i < count; i++) {
        ValueId id = value_at(step, i);
        if (dim_list_set(&plan->values[id].order) != dim_list_set(&given->order)) continue;
        if (!can_join(plan, id, writers[id], &given->layout)) continue;
        give_layout(plan, id, &given->layout);
        changed = true;
    }
    return changed;
}

static void spread(Plan *plan) {
    const uint32_t *writers = plan_writers(plan, plan->arena);
    for (bool changed = true; changed;) {
        changed = false;
        for (uint32_t s = 0; s < plan->step_count; s++) changed |= spread_in_step(plan, writers, &plan->steps[s]);
    }
}

// ---- the door

static void lay_plainly(Plan *plan) {
    for (ValueId id = 0; id < plan->value_count; id++) {
        Value *value = &plan->values[id];
        const Value *model = value->next_of == VALUE_NONE ? value : &plan->values[value->next_of];
        if (!model->is_copy) value->layout = layout_plain(plan->dims, model->order);
    }
}

static void choose_states(Plan *plan, PassContext *context) {
    for (ValueId id = 0; id < plan->value_count; id++) {
        const Value *value = &plan->values[id];
        if (value->is_param && value->dtype == DTYPE_F32 && !state_layout_find(context->states, value->name))
            place_param(plan, context, id);
    }
}

bool pass_choose_layouts(Plan *plan, PassContext *context) {
    bool in_panels = context->fuse == FUSE_ALL && !target_is_gpu(context->target);
    lay_plainly(plan);
    if (in_panels) choose_states(plan, context);
    take_decided(plan, context->states);
    for (ValueId id = 0; id < plan->value_count; id++)
        if (plan->values[id].kind == VALUE_STATE) give_layout(plan, id, &plan->values[id].layout);
    if (in_panels) spread(plan);
    note_decided(plan, context->states);
    return true;
}
