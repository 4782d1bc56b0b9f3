// pack_operands: a tiled product reads its lanes operand in panels, copied there by a step before it.
//
// requires  engines and register tiles
// ensures   the lanes operand of every tiled product is a box operand with panel layout: as many lanes side by side
//           as the register tile has, for every summed index, so that the innermost loop reads memory in order. At
//           level all the panels of a param are a copy that is kept between runs, and made anew behind its update
// does nothing on a GPU, and for a product that reads panels already, or whose lanes operand is as good where it lies:
//           lanes side by side, and one panel of it in the first-level cache; equal panels of one value are copied once
// ledger    per product: panels or in place, and why; per copy of a param
//
//     step product  in %x[B,T,C], %w[C,F]        ->   step map "pack"  in %w          out %p[F,C] @ (F/32, C, F%32)
//                                                     step product     in %x[B,T,C], %p
//
//     step product  in %dy[B,T,F], %w[C,F]       ->   step product     in %dy[B,T,F], %k[C,F] @ (C/32, F, C%32)
//     step map "adamw"  .. out %next_w                 step map "adamw"  .. out %next_w, %next_k
//
// A copy is an output of the step that updates the param where that walks whole panels of both, and else of a step
// behind it.
#include "passes/access.h"
#include "passes/panels.h"
#include "passes/pass_functions.h"
#include "passes/state_layouts.h"
#include "passes/new_step.h"
#include "passes/step_cost.h"
#include "passes/step_place.h"

typedef struct {
    ValueId source, packed;
    View view;
    Layout layout;
} Pack;

typedef struct {
    ValueId next, copy;
} Behind;

typedef struct {
    Plan *plan;
    PassContext *context;
    Step *steps;              // the new list
    uint32_t step_count;
    size_t step_capacity, value_capacity, pack_capacity, behind_capacity;
    Pack *packs;
    uint32_t pack_count;
    Behind *behind;           // copies that come behind the step at hand
    uint32_t behind_count;
} Packing;

static void add_step(Packing *packing, const Step *step) {
    packing->steps = arena_grow(packing->plan->arena, packing->steps, &packing->step_capacity, packing->step_count + 1,
                                sizeof(Step));
    packing->steps[packing->step_count++] = *step;
}

static ValueId add_value(Packing *packing, Value value) {
    return plan_add_value(packing->plan, &packing->value_capacity, value);
}

// ---- panels

static DimList panel_order(const Contraction *contraction) {
    return dim_list_union(dim_list_union(contraction->batch, contraction->lanes), contraction->summed);
}

static bool view_equal(const View *a, const View *b) {
    if (a->offset != b->offset) return false;
    for (int dim = 0; dim < MAX_DIMS; dim++)
        if (a->stride[dim] != b->stride[dim]) return false;
    return true;
}

// A value is written once, so panels of it stay what they are until their memory ends.
static ValueId find_pack(const Packing *packing, const Pack *wanted) {
    for (uint32_t i = 0; i < packing->pack_count; i++) {
        const Pack *pack = &packing->packs[i];
        if (pack->source == wanted->source && view_equal(&pack->view, &wanted->view) &&
            layout_equal(&pack->layout, &wanted->layout))
            return pack->packed;
    }
    return VALUE_NONE;
}

static NodeId copy_views(Graph *to, const Graph *from, NodeId id) {
    const Node *node = graph_node(from, id);
    if (node->op == OP_OPERAND) return build_operand(to, 0, node->dtype, node->order);
    CHECK(op_is_view(node->op));
    NodeId below = copy_views(to, from, node->operands[0]);
    return build_copy(to, from, id, &below);
}

// A step that writes `result` from what `view` of `region` sees of `source`.
static void add_copy_step(Packing *packing, const char *place, ValueId source, const Graph *region, NodeId view,
                          ValueId result) {
    Plan *plan = packing->plan;
    const char *at = step_place(plan->arena, packing->steps, packing->step_count, "pack", place);
    Step step = new_step(plan, "pack", at, source, result);
    step.cut = (Cut){.total = 1, .pieces = 1};
    NodeId copy = copy_views(step.region, region, view);
    graph_output(step.region, "%0", node_in_order(step.region, copy, plan->values[result].order));
    step_cost(plan, &step);
    add_step(packing, &step);
}

static ValueId add_pack_step(Packing *packing, const Step *product, const Pack *pack, NodeId lanes_operand,
                             DimList order) {
    Plan *plan = packing->plan;
    ValueId packed = add_value(packing, (Value){.kind = VALUE_TEMPORARY,
                                                .dtype = plan->values[pack->source].dtype,
                                                .order = order,
                                                .layout = pack->layout,
                                                .space = SPACE_ARENA,
                                                .next_of = VALUE_NONE});
    add_copy_step(packing, product->place, pack->source, product->region, lanes_operand, packed);
    return packed;
}

// ---- copies of params: kept between runs, and made anew where the param is updated

static ValueId find_copy(const Plan *plan, ValueId param, const Layout *layout) {
    for (ValueId id = 0; id < plan->value_count; id++) {
        const Value *value = &plan->values[id];
        if (value->is_copy && text_equal(value->leaf->name, plan->values[param].name) &&
            layout_equal(&value->layout, layout))
            return id;
    }
    return VALUE_NONE;
}

static ValueId add_copy(Packing *packing, ValueId param, const Layout *layout) {
    Plan *plan = packing->plan;
    const Value *value = &plan->values[param];
    StateTable *table = packing->context->states;
    const char *name = copy_name(plan->arena, plan->dims, value->name, DTYPE_F32, layout);
    if (table && table->updates && !state_layout_find(table, name)) return VALUE_NONE;
    ValueId copy = add_value(packing, (Value){.kind = VALUE_STATE,
                                              .name = name,
                                              .dtype = value->dtype,
                                              .order = value->order,
                                              .layout = *layout,
                                              .leaf = value->leaf,
                                              .is_copy = true,
                                              .next_of = VALUE_NONE});
    state_layout_note(table, plan, &plan->values[copy]);
    return copy;
}

// The copy that a product reads instead of the param; VALUE_NONE when it has to pack.
static ValueId copy_of(Packing *packing, const Step *product, const Contraction *contraction, const Pack *pack) {
    const Plan *plan = packing->plan;
    bool is_direct = graph_node(product->region, contraction->lanes_operand)->op == OP_OPERAND;
    if (packing->context->fuse != FUSE_ALL || !is_direct || !plan->values[pack->source].is_param) return VALUE_NONE;
    ValueId copy = find_copy(plan, pack->source, &pack->layout);
    if (copy != VALUE_NONE) return copy;
    Decision decision = {.pass = "pack_operands", .what = "keep copy of a param", .place = product->place};
    decision.made = !choices_forbid(packing->context->choices, decision.pass, decision.what, decision.place,
                                    &decision.reason);
    if (decision.made) copy = add_copy(packing, pack->source, &pack->layout);
    if (decision.made && copy == VALUE_NONE) return copy;   // the program that updates the param does not keep it
    if (decision.made) decision.reason = arena_format(plan->arena, "panels of %u lanes", product->tile_lanes);
    ledger_add(packing->context->ledger, decision);
    return copy;
}

static ValueId find_next(const Plan *plan, const char *param) {
    for (ValueId id = 0; id < plan->value_count; id++) {
        const Value *value = &plan->values[id];
        if (value->kind != VALUE_OUTPUT || value->next_of == VALUE_NONE) continue;
        if (plan->values[value->next_of].is_param && text_equal(plan->values[value->next_of].name, param)) return id;
    }
    return VALUE_NONE;
}

// Copies that programs before this one read must be made anew here too, where this one updates their params.
static void add_copies_of_others(Packing *packing) {
    const StateTable *table = packing->context->states;
    for (size_t i = 0; table && i < table->layout_count; i++) {
        const StateLayout *state = &table->layouts[i];
        bool is_panels = state->copy_of && state->dtype == DTYPE_F32;
        ValueId next = is_panels ? find_next(packing->plan, state->copy_of) : VALUE_NONE;
        if (next == VALUE_NONE) continue;
        ValueId param = packing->plan->values[next].next_of;
        Layout layout = state_layout_in(state, packing->plan->dims);
        if (find_copy(packing->plan, param, &layout) == VALUE_NONE) add_copy(packing, param, &layout);
    }
}

static ValueId add_next(Packing *packing, ValueId copy) {
    const Value *state = &packing->plan->values[copy];
    return add_value(packing, (Value){.kind = VALUE_OUTPUT,
                                      .name = state->name,
                                      .dtype = state->dtype,
                                      .order = state->order,
                                      .layout = state->layout,
                                      .next_of = copy,
                                      .in_place = true});
}

static bool is_panels(const Layout *layout, DimList across, DimList down) {
    const LayoutPiece *pieces = layout->pieces;
    return layout->count == 3 && pieces[0].divisor > 1 && dim_list_equal(&pieces[0].dims, &across) &&
           pieces[1].divisor == 1 && dim_list_equal(&pieces[1].dims, &down) &&
           dim_list_equal(&pieces[2].dims, &across);
}

// NULL when the step that writes `next` can write the copy, too: both in panels, each along the other's rows.
static const char *apart_reason(const Packing *packing, const Step *writer, ValueId next, ValueId copy) {
    const Plan *plan = packing->plan;
    const Layout *own = &plan->values[next].layout, *other = &plan->values[copy].layout;
    if (own->count != 3 || other->count != 3) return "the param is not in panels";
    DimList across = own->pieces[0].dims, down = own->pieces[1].dims;
    bool turned = is_panels(own, across, down) && is_panels(other, down, across) &&
                  dim_list_equal(&plan->values[next].order, &plan->values[copy].order);
    if (writer->form != FORM_MAP || !plan->values[next].in_place || !turned)
        return "it is no pass over panels in place";
    bool is_full = graph_elements(plan->dims, dim_list_set(&across)) % own->pieces[0].divisor == 0;
    return is_full ? NULL : "the last panel is not full";
}

static void add_output(Packing *packing, Step *writer, uint32_t k, ValueId copy) {
    Plan *plan = packing->plan;
    ValueId *outputs = ARENA_ARRAY(plan->arena, ValueId, writer->output_count + 1);
    for (uint32_t i = 0; i < writer->output_count; i++) outputs[i] = writer->outputs[i];
    graph_output(writer->region, plan->values[copy].name, graph_output_at(writer->region, k)->node);
    outputs[writer->output_count++] = add_next(packing, copy);
    writer->outputs = outputs;
    step_cost(plan, writer);
}

static void add_step_behind(Packing *packing, const Step *writer, ValueId next, ValueId copy) {
    Graph *whole = graph_create_like(packing->plan->arena, packing->plan->dims);
    const Value *param = &packing->plan->values[next];
    NodeId view = build_operand(whole, 0, param->dtype, param->order);
    add_copy_step(packing, writer->place, next, whole, view, add_next(packing, copy));
}

static void add_behind(Packing *packing, ValueId next, ValueId copy) {
    packing->behind = arena_grow(packing->plan->arena, packing->behind, &packing->behind_capacity,
                                 packing->behind_count + 1, sizeof(Behind));
    packing->behind[packing->behind_count++] = (Behind){next, copy};
}

// Whether the update writes the copy; to the ledger.
static bool writes_copy(const Packing *packing, const Step *writer, ValueId next, ValueId copy) {
    Decision decision = {.pass = "pack_operands", .what = "copy in the update", .place = writer->place};
    decision.reason = apart_reason(packing, writer, next, copy);
    bool can = decision.made = !decision.reason;
    if (can) decision.reason = "panels of both, block by block";
    choices_decide(packing->context->choices, can, &decision);
    decision.bytes_saved = (double)layout_elements(&packing->plan->values[next].layout) * sizeof(float);
    ledger_add(packing->context->ledger, decision);
    return decision.made;
}

// The step, with copies of what params it updates: outputs of its own, or made by steps behind it.
static void add_with_copies(Packing *packing, Step *step) {
    Plan *plan = packing->plan;
    uint32_t outputs = step->output_count, values = plan->value_count;
    packing->behind_count = 0;
    for (uint32_t k = 0; k < outputs; k++) {
        ValueId next = step->outputs[k], state = plan->values[next].next_of;
        if (state == VALUE_NONE || !plan->values[state].is_param) continue;
        if (packing->context->states) packing->context->states->updates = true;
        for (ValueId id = 0; id < values; id++) {
            const Value *copy = &plan->values[id];
            if (!copy->is_copy || !text_equal(copy->leaf->name, plan->values[state].name)) continue;
            if (writes_copy(packing, step, next, id))
                add_output(packing, step, k, id);
            else
                add_behind(packing, next, id);
        }
    }
    add_step(packing, step);
    for (uint32_t i = 0; i < packing->behind_count; i++)
        add_step_behind(packing, step, packing->behind[i].next, packing->behind[i].copy);
}

// ---- what a product reads

// What is packed, and how it is seen there. Something in other panels is known by its layout alone when it is an
// operand as it is; through views of it, it is not known again.
static bool find_source(const Plan *plan, const Step *step, NodeId lanes_operand, Pack *pack) {
    const Layout **layouts = ARENA_ARRAY(plan->arena, const Layout *, step->operand_count);
    for (uint32_t k = 0; k < step->operand_count; k++) layouts[k] = &plan->values[step->operands[k]].layout;
    bool is_strided = view_of(step->region, lanes_operand, layouts, &pack->view);
    if (!is_strided) pack->view = (View){.operand = operand_below(step->region, lanes_operand)};
    pack->source = step->operands[pack->view.operand];
    return is_strided || graph_node(step->region, lanes_operand)->op == OP_OPERAND;
}

static ValueId pack_of(Packing *packing, const Step *step, const Contraction *contraction) {
    Plan *plan = packing->plan;
    Pack pack = {.layout = panel_layout(plan->dims, contraction, step->tile_lanes)};
    bool known = find_source(plan, step, contraction->lanes_operand, &pack);
    pack.packed = known ? find_pack(packing, &pack) : VALUE_NONE;
    if (pack.packed == VALUE_NONE) pack.packed = copy_of(packing, step, contraction, &pack);
    if (pack.packed != VALUE_NONE) return pack.packed;
    pack.packed = add_pack_step(packing, step, &pack, contraction->lanes_operand, panel_order(contraction));
    if (!known) return pack.packed;
    packing->packs =
        arena_grow(plan->arena, packing->packs, &packing->pack_capacity, packing->pack_count + 1, sizeof(Pack));
    packing->packs[packing->pack_count++] = pack;
    return pack.packed;
}

// ---- the product, reading the panels

// Nodes that are still needed when the contraction no longer reads its lanes operand.
static bool *mark_needed(const Step *step, const Contraction *contraction, Arena *arena) {
    const Graph *region = step->region;
    bool *needed = ARENA_ARRAY(arena, bool, graph_nodes(region));
    for (uint32_t k = 0; k < graph_outputs(region); k++) needed[graph_output_at(region, k)->node] = true;
    for (NodeId id = graph_nodes(region); id-- > 0;) {
        const Node *node = graph_node(region, id);
        for (uint32_t k = 0; k < node->operand_count && needed[id]; k++)
            if (id != contraction->node || node->operands[k] != contraction->lanes_operand)
                needed[node->operands[k]] = true;
    }
    return needed;
}

static NodeId copy_node(const Plan *plan, Step *step, const Step *old, NodeId id, const NodeId *map, NodeId panels,
                        const Contraction *contraction) {
    const Node *node = graph_node(old->region, id);
    if (node->op == OP_OPERAND) {
        step->operands[step->operand_count] = old->operands[node->attr.integer];
        return build_operand(step->region, (int)step->operand_count++, node->dtype, node->order);
    }
    NodeId *operands = ARENA_ARRAY(plan->arena, NodeId, node->operand_count);
    for (uint32_t k = 0; k < node->operand_count; k++) {
        bool is_packed = id == contraction->node && node->operands[k] == contraction->lanes_operand;
        operands[k] = is_packed ? panels : map[node->operands[k]];
    }
    return build_copy(step->region, old->region, id, operands);
}

// The panels become operand 0, the others follow.
static void read_panels(Packing *packing, Step *step, const Contraction *contraction, ValueId packed) {
    Plan *plan = packing->plan;
    const Step old = *step;
    const bool *needed = mark_needed(&old, contraction, plan->arena);
    NodeId *map = ARENA_ARRAY(plan->arena, NodeId, graph_nodes(old.region));
    step->region = graph_create_like(plan->arena, plan->dims);
    step->operands = ARENA_ARRAY(plan->arena, ValueId, old.operand_count + 1);
    step->edges = ARENA_ARRAY(plan->arena, EdgeKind, old.operand_count + 1);
    step->operands[0] = packed;
    step->operand_count = 1;
    NodeId panels = build_operand(step->region, 0, plan->values[packed].dtype, plan->values[packed].order);
    for (NodeId id = 0; id < graph_nodes(old.region); id++)
        if (needed[id]) map[id] = copy_node(plan, step, &old, id, map, panels, contraction);
    for (uint32_t k = 0; k < graph_outputs(old.region); k++) {
        const Output *output = graph_output_at(old.region, k);
        graph_output(step->region, output->name, map[output->node]);
    }
    step_cost(plan, step);
}

// ---- operands that are as good where they lie

// Stride of a list of dims walked as one; 0 when they do not merge.
static int64_t merged_stride(const Graph *dims, DimList list, const View *view) {
    for (int i = list.rank - 1; i > 0; i--)
        if (view->stride[list.dims[i - 1]] != view->stride[list.dims[i]] * graph_extent(dims, list.dims[i])) return 0;
    return list.rank ? view->stride[list.dims[list.rank - 1]] : 0;
}

static int64_t greatest_common_divisor(int64_t a, int64_t b) {
    while (b) {
        int64_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

// How many cache lines of rows `stride` bytes apart fit in the first-level cache at once. Its sets are one page's worth
// of lines; rows that are whole lines apart meet only some of them.
static double lines_that_fit(const Target *target, int64_t stride, int64_t lines_per_row) {
    enum { SETS = PAGE_BYTES / LINE_BYTES };
    int64_t sets = SETS;
    if (stride % LINE_BYTES == 0) {
        sets = SETS / greatest_common_divisor(stride / LINE_BYTES, SETS) * lines_per_row;
        if (sets > SETS) sets = SETS;
    }
    return (double)sets * target->l1_bytes / PAGE_BYTES;
}

// Whether one panel can be read in place by all row tiles out of the first-level cache, a quarter of it left free.
// `can`: whether it can be read in place at all, at whatever speed.
static bool is_good_in_place(const Packing *packing, const Step *step, const Contraction *contraction, bool *can,
                             const char **reason) {
    const Plan *plan = packing->plan;
    const Layout **layouts = ARENA_ARRAY(plan->arena, const Layout *, step->operand_count);
    for (uint32_t k = 0; k < step->operand_count; k++) layouts[k] = &plan->values[step->operands[k]].layout;
    View view;
    *can = false;
    *reason = "it does not lie in memory by strides";
    if (!view_of(step->region, contraction->lanes_operand, layouts, &view)) return false;
    int64_t bytes = (int64_t)sizeof(float), summed = graph_elements(plan->dims, dim_list_set(&contraction->summed));
    int64_t lines_per_row = (step->tile_lanes * bytes + LINE_BYTES - 1) / LINE_BYTES;
    int64_t stride = merged_stride(plan->dims, contraction->summed, &view) * bytes;
    *reason = "its lanes do not lie side by side";
    if (merged_stride(plan->dims, contraction->lanes, &view) != 1 || stride <= 0) return false;
    *can = true;
    double lines = (double)(summed * lines_per_row);
    double fit = lines_that_fit(packing->context->target, stride, lines_per_row);
    bool is_good = lines <= 0.75 * fit;
    *reason = arena_format(plan->arena, is_good ? "%.0f cache lines of it are read in place, %.0f fit"
                                                : "%.0f cache lines of it would be read in place, %.0f fit",
                           lines, fit);
    return is_good;
}

// Whether the product's lanes operand is to be read in panels; to the ledger.
static bool wants_panels(const Packing *packing, const Step *step, const Contraction *contraction) {
    Choices *choices = packing->context->choices;
    Decision decision = {.pass = "pack_operands", .what = "pack lanes operand", .place = step->place};
    bool can_stay;
    decision.made = !is_good_in_place(packing, step, contraction, &can_stay, &decision.reason);
    if (!can_stay) decision.what = "must pack lanes operand";
    Choice *choice = choices_about(choices, decision.pass, decision.what, decision.place);
    if (choice && choice->verb == CHOICE_FORBID && !can_stay) {
        decision.reason = choice_obstruct(choices, choice, decision.reason);
    } else if (choice) {
        decision.made = choice->verb == CHOICE_MAKE;
        decision.reason = choice_follow(choices, choice);
    }
    int64_t elements =
        graph_elements(packing->plan->dims, graph_node(step->region, contraction->lanes_operand)->dims);
    if (!decision.made) decision.bytes_saved = 2.0 * (double)elements * (double)sizeof(float);
    ledger_add(packing->context->ledger, decision);
    return decision.made;
}

static bool reads_panels(const Plan *plan, const Step *step, const Contraction *contraction) {
    const Node *operand = graph_node(step->region, contraction->lanes_operand);
    if (operand->op != OP_OPERAND) return false;
    Layout panels = panel_layout(plan->dims, contraction, step->tile_lanes);
    return layout_equal(&plan->values[step->operands[operand->attr.integer]].layout, &panels);
}

static void pack_product(Packing *packing, Step *step) {
    Contraction contraction = product_contraction(packing->plan, step);
    if (reads_panels(packing->plan, step, &contraction) || !wants_panels(packing, step, &contraction)) return;
    ValueId packed = pack_of(packing, step, &contraction);
    read_panels(packing, step, &contraction, packed);
}

bool pass_pack_operands(Plan *plan, PassContext *context) {
    if (target_is_gpu(context->target)) return true;
    Packing packing = {.plan = plan, .context = context, .value_capacity = plan->value_count};
    add_copies_of_others(&packing);
    for (uint32_t s = 0; s < plan->step_count; s++) {
        Step step = plan->steps[s];
        if (is_tiled_product(&step)) pack_product(&packing, &step);
        add_with_copies(&packing, &step);
    }
    plan->steps = packing.steps;
    plan->step_count = packing.step_count;
    return true;
}
