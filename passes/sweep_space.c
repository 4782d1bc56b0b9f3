// A space: values of the same dims, a matrix for each place of all but the last two, and the steps around them.
//
// In: a step that writes one. Out: all values of these dims that steps hand on to each other from there, and the steps.
//
//     step 2 product   out %s[B,H,T,S]                writes alone: made where it is read
//     step 3 row       in %s  out %p[B,H,T,S]         has the lse
//     step 4 product   in %p  out %y[B,T,H,D]         consumer: sums over S
//     step 7 product   in %p  out %dv[B,S,H,D]        consumer: sums over T
//     step 9 product   in %p  out %ds[B,H,T,S]        another layer's values of these dims are not connected
#include "passes/panels.h"
#include "passes/sweeps.h"

static bool reads_space(const Sweeps *sweeps, const TileSpace *space, uint32_t s) {
    const Step *step = &sweeps->plan->steps[s];
    for (uint32_t k = 0; k < step->operand_count; k++)
        if (space->has_value[step->operands[k]]) return true;
    return false;
}

static uint32_t count_written(const Sweeps *sweeps, const TileSpace *space, uint32_t s) {
    const Step *step = &sweeps->plan->steps[s];
    uint32_t count = 0;
    for (uint32_t k = 0; k < step->output_count; k++) count += space->has_value[step->outputs[k]];
    return count;
}

static bool add_values(const Sweeps *sweeps, TileSpace *space, const ValueId *ids, uint32_t count) {
    bool is_more = false;
    for (uint32_t k = 0; k < count; k++) {
        if (dim_list_set(&sweeps->plan->values[ids[k]].order) != space->dims || space->has_value[ids[k]]) continue;
        space->has_value[ids[k]] = is_more = true;
    }
    return is_more;
}

static void collect(const Sweeps *sweeps, TileSpace *space) {
    const Plan *plan = sweeps->plan;
    for (bool is_more = true; is_more;) {
        is_more = false;
        for (uint32_t s = 0; s < plan->step_count; s++) {
            const Step *step = &plan->steps[s];
            space->has_step[s] = reads_space(sweeps, space, s) || count_written(sweeps, space, s);
            if (!space->has_step[s]) continue;
            is_more |= add_values(sweeps, space, step->operands, step->operand_count);
            is_more |= add_values(sweeps, space, step->outputs, step->output_count);
        }
    }
}

// ---- what it must be

static const char *value_refusal(const Value *value) {
    if (value->kind != VALUE_TEMPORARY) return value->leaf ? "is given" : "is a result";
    if (value->parts > 1) return "is a sum of parts";
    return NULL;
}

static const char *check_values(const Sweeps *sweeps, const TileSpace *space) {
    for (ValueId id = 0; id < sweeps->plan->value_count; id++) {
        const Value *value = &sweeps->plan->values[id];
        const char *wrong = space->has_value[id] ? value_refusal(value) : NULL;
        if (wrong) return arena_format(sweeps->scratch, "%s %s", value->name ? value->name : "one value", wrong);
    }
    return NULL;
}

// The one lse of a tile; any other reduction would need all of a row, or a column, before the next step.
static const char *find_lse(const Sweeps *sweeps, TileSpace *space, uint32_t s) {
    const Graph *region = sweeps->plan->steps[s].region;
    const bool *live = graph_live(region, sweeps->scratch);
    for (NodeId id = 0; id < graph_nodes(region); id++) {
        const Node *node = graph_node(region, id);
        if (!live[id] || op_class(node->op) != CLASS_REDUCE) continue;
        if (graph_node(region, node->operands[0])->dims != space->dims) continue;
        if (node->op != OP_LSE || dim_count(node->attr.set) != 1)
            return arena_format(sweeps->scratch, "%s holds a %s of a tile", sweep_step_name(sweeps, s),
                                op_name(node->op));
        if (space->lse_step != STEP_NONE)
            return arena_format(sweeps->scratch, "%s has an lse beside that of %s", sweep_step_name(sweeps, s),
                                sweep_step_name(sweeps, space->lse_step));
        space->lse_step = s;
        space->lse = id;
    }
    return NULL;
}

// Whether it is a product over one of the two dims.
static bool is_outer(const Plan *plan, const TileSpace *space, const Step *step) {
    if (step->form != FORM_PRODUCT) return false;
    Contraction contraction = product_contraction(plan, step);
    DimSet summed = dim_list_set(&contraction.summed);
    return !(summed & ~space->dims) && dim_in(summed, space->rows) != dim_in(summed, space->columns);
}

static const char *consumer_refusal(const Sweeps *sweeps, const TileSpace *space, uint32_t s) {
    const Plan *plan = sweeps->plan;
    const Step *step = &plan->steps[s];
    const char *name = sweep_step_name(sweeps, s);
    if (!is_outer(plan, space, step))
        return arena_format(sweeps->scratch, "%s reads a tile and is no product over %s or %s", name,
                            graph_dim_name(plan->dims, space->rows), graph_dim_name(plan->dims, space->columns));
    for (uint32_t k = 0; k < step->output_count; k++)
        if (plan->values[step->outputs[k]].next_of != VALUE_NONE)
            return arena_format(sweeps->scratch, "%s writes a state", name);
    return NULL;
}

// A row that writes a tile may write its lse, too, and nothing else.
static const char *row_refusal(const Sweeps *sweeps, TileSpace *space, uint32_t s) {
    const Step *step = &sweeps->plan->steps[s];
    for (uint32_t k = 0; k < step->output_count; k++) {
        if (space->has_value[step->outputs[k]]) continue;
        const Value *value = &sweeps->plan->values[step->outputs[k]];
        bool is_lse = s == space->lse_step && graph_output_at(step->region, k)->node == space->lse;
        bool is_plain = value->dtype == DTYPE_F32 && value->next_of == VALUE_NONE && value->parts <= 1;
        if (!is_lse || !is_plain || space->lse_value != VALUE_NONE)
            return arena_format(sweeps->scratch, "%s writes a tile and something else", sweep_step_name(sweeps, s));
        space->lse_value = step->outputs[k];
    }
    return NULL;
}

static const char *find_consumers(const Sweeps *sweeps, TileSpace *space) {
    for (uint32_t s = 0; s < sweeps->plan->step_count; s++) {
        if (!space->has_step[s]) continue;
        bool writes_tiles = count_written(sweeps, space, s) > 0;
        const char *wrong = writes_tiles ? row_refusal(sweeps, space, s) : consumer_refusal(sweeps, space, s);
        if (wrong) return wrong;
        if (!writes_tiles) space->consumers[space->consumer_count++] = s;
    }
    return NULL;
}

// ---- names

static const char *name_written(const Sweeps *sweeps, const TileSpace *space, uint32_t s) {
    const Step *step = &sweeps->plan->steps[s];
    for (uint32_t k = 0; k < step->output_count; k++) {
        const char *name = sweeps->plan->values[step->outputs[k]].name;
        if (space->has_value[step->outputs[k]] && name) return name;
    }
    return NULL;
}

// Those of a row, when there is one.
static void find_names(const Sweeps *sweeps, TileSpace *space, uint32_t first) {
    const Plan *plan = sweeps->plan;
    const char *name = NULL;
    space->label = "product";
    for (uint32_t s = plan->step_count; s-- > 0;) {
        if (!space->has_step[s]) continue;
        const char *written = name_written(sweeps, space, s);
        if (written && plan->steps[s].form != FORM_ROW) name = written;
    }
    for (uint32_t s = plan->step_count; s-- > 0;) {
        if (!space->has_step[s] || plan->steps[s].form != FORM_ROW) continue;
        const char *written = name_written(sweeps, space, s);
        if (written) name = written;
        space->label = plan->steps[s].label;
    }
    space->place = name ? name : plan->steps[first].place;
}

// ---- the door

// A matrix for each place, with rows of one factor, columns of the other, and no less of both than is summed over.
static bool begins(const Sweeps *sweeps, const Step *step, TileSpace *space) {
    const Graph *dims = sweeps->plan->dims;
    const DimList *order = &sweeps->plan->values[step->outputs[0]].order;
    if (step->form != FORM_PRODUCT || order->rank < 3) return false;
    Contraction contraction = product_contraction(sweeps->plan, step);
    space->dims = dim_list_set(order);
    space->rows = order->dims[order->rank - 2];
    space->columns = order->dims[order->rank - 1];
    DimSet sides = dim_bit(space->rows) | dim_bit(space->columns);
    int64_t summed = graph_elements(dims, dim_list_set(&contraction.summed));
    return contraction.batch.rank > 0 && !(dim_list_set(&contraction.batch) & sides) &&
           summed <= graph_extent(dims, space->rows) && summed <= graph_extent(dims, space->columns);
}

static bool is_multiplied(const Sweeps *sweeps, const TileSpace *space) {
    for (uint32_t s = 0; s < sweeps->plan->step_count; s++)
        if (space->has_step[s] && !count_written(sweeps, space, s) &&
            is_outer(sweeps->plan, space, &sweeps->plan->steps[s]))
            return true;
    return false;
}

bool sweep_find_space(const Sweeps *sweeps, uint32_t first, TileSpace *space) {
    const Plan *plan = sweeps->plan;
    *space = (TileSpace){.lse_step = STEP_NONE, .lse = NODE_NONE, .lse_value = VALUE_NONE};
    if (!begins(sweeps, &plan->steps[first], space)) return false;
    space->has_value = ARENA_ARRAY(sweeps->scratch, bool, plan->value_count);
    space->has_step = ARENA_ARRAY(sweeps->scratch, bool, plan->step_count);
    space->consumers = ARENA_ARRAY(sweeps->scratch, uint32_t, plan->step_count);
    add_values(sweeps, space, plan->steps[first].outputs, plan->steps[first].output_count);
    collect(sweeps, space);
    if (!is_multiplied(sweeps, space)) return false;
    find_names(sweeps, space, first);
    space->refusal = check_values(sweeps, space);
    for (uint32_t s = 0; s < plan->step_count && !space->refusal; s++)
        if (space->has_step[s]) space->refusal = find_lse(sweeps, space, s);
    if (!space->refusal) space->refusal = find_consumers(sweeps, space);
    return true;
}
