// The region of a sweep: that of the products it takes the place of, with what they read of the space made inside.
//
// In: consumers of a space. Out: one step. What a consumer reads of the space is replaced by what its writer computes,
// down to operands that are not of the space; equal nodes are one, so what two consumers need is made once.
//
//     step 3 row      in %s        out %p      %2 = exp(%0 - %1)       step 5 sweep inner(S)   in %t, %v  out %y
//     step 4 product  in %t        out %s      %1 = contract q k   ->    contract q k, lse, sub, exp, contract v
//     step 5 product  in %p, %v    out %y      %2 = contract p v
//
// The first consumer that needs the lse computes it tile after tile, the others read it.
#include <string.h>

#include "passes/access.h"
#include "passes/panels.h"
#include "passes/step_cost.h"
#include "passes/step_place.h"
#include "passes/sweeps.h"

typedef struct {
    const Sweeps *sweeps;
    const TileSpace *space;
    Sweep *sweep;
    uint32_t room;          // for operands
    bool computes_lse;
    NodeId **map;           // by step, then by node of its region; NODE_NONE: not yet
} Building;

const char *sweep_step_name(const Sweeps *sweeps, uint32_t s) {
    const Step *step = &sweeps->plan->steps[s];
    return arena_format(sweeps->scratch, "%s at %s", step->label, step->place);
}

// ---- nodes

static uint32_t operand_number(Building *building, ValueId id) {
    Step *step = &building->sweep->step;
    for (uint32_t k = 0; k < step->operand_count; k++)
        if (step->operands[k] == id) return k;
    CHECK(step->operand_count < building->room);
    step->operands[step->operand_count] = id;
    return step->operand_count++;
}

static NodeId build_read(Building *building, ValueId id, DType dtype) {
    const Value *value = &building->sweeps->plan->values[id];
    return build_operand(building->sweep->step.region, (int)operand_number(building, id), dtype, value->order);
}

static NodeId build_from(Building *building, uint32_t s, NodeId id);

static NodeId build_written(Building *building, ValueId id) {
    uint32_t s = building->sweeps->writer[id];
    const Step *step = &building->sweeps->plan->steps[s];
    for (uint32_t k = 0; k < step->output_count; k++)
        if (step->outputs[k] == id) return build_from(building, s, graph_output_at(step->region, k)->node);
    BUG("value %u is not among its writer's", id);
}

static NodeId build_new(Building *building, uint32_t s, NodeId id) {
    const TileSpace *space = building->space;
    const Step *from = &building->sweeps->plan->steps[s];
    const Node *node = graph_node(from->region, id);
    bool is_lse = s == space->lse_step && id == space->lse;
    building->sweep->meets_lse |= is_lse;
    if (is_lse && !building->computes_lse) return build_read(building, space->lse_value, node->dtype);
    if (node->op == OP_OPERAND) {
        ValueId value = from->operands[node->attr.integer];
        if (value == space->lse_value) return build_from(building, space->lse_step, space->lse);
        return space->has_value[value] ? build_written(building, value) : build_read(building, value, node->dtype);
    }
    for (uint32_t k = 0; k < node->operand_count; k++) build_from(building, s, node->operands[k]);
    NodeId built = build_copy_mapped(building->sweep->step.region, from->region, id, building->map[s]);
    if (is_lse) building->sweep->lse = built;
    return built;
}

static NodeId build_from(Building *building, uint32_t s, NodeId id) {
    NodeId *built = &building->map[s][id];
    if (*built == NODE_NONE) *built = build_new(building, s, id);
    return *built;
}

static NodeId **empty_maps(const Sweeps *sweeps, const TileSpace *space) {
    const Plan *plan = sweeps->plan;
    NodeId **map = ARENA_ARRAY(sweeps->scratch, NodeId *, plan->step_count);
    for (uint32_t s = 0; s < plan->step_count; s++) {
        if (!space->has_step[s]) continue;
        uint32_t nodes = graph_nodes(plan->steps[s].region);
        map[s] = ARENA_ARRAY(sweeps->scratch, NodeId, nodes);
        for (NodeId id = 0; id < nodes; id++) map[s][id] = NODE_NONE;
    }
    return map;
}

// ---- the step

// Names of outputs without a name are their numbers, which others may have, too.
static void add_output(const Sweeps *sweeps, Step *step, const char *name, ValueId id, NodeId node) {
    const Plan *plan = sweeps->plan;
    bool is_taken = name[0] == '%' || graph_find_output(step->region, name) != NODE_NONE;
    if (is_taken) name = arena_format(plan->arena, "%%%u", step->output_count);
    graph_output(step->region, name, node_in_order(step->region, node, plan->values[id].order));
    step->outputs[step->output_count++] = id;
}

static void add_product(Building *building, uint32_t s) {
    const Step *from = &building->sweeps->plan->steps[s];
    for (uint32_t k = 0; k < from->output_count; k++) {
        const Output *output = graph_output_at(from->region, k);
        NodeId node = build_from(building, s, output->node);
        add_output(building->sweeps, &building->sweep->step, output->name, from->outputs[k], node);
    }
}

enum { ROWS = 128, LANES = 64, STAGES = 2, FACTOR_BYTES = 2, WIDEST = 96 };

// Of the blocks' rows, a multiple of which there must be.
static TensorTile tile_of(const Sweeps *sweeps, const TileSpace *space, DimSet swept) {
    DimId rows = dim_first(swept) == space->rows ? space->columns : space->rows;
    uint32_t multiple = graph_extent(sweeps->plan->dims, rows) % ROWS == 0 ? ROWS : ROWS / 2;
    return (TensorTile){.kind = sweeps->context->tensor, .rows = multiple, .lanes = LANES, .stages = STAGES};
}

// Rows of the inner products' factors, and a ring of what all products read along the swept dim, at most.
static double shared_bytes(const Plan *plan, const Step *step, const Sweeping *sweeping) {
    double rows = 0, columns = 0;
    for (int k = 0; k < sweeping->inner_count; k++) {
        rows += (double)graph_extent(plan->dims, sweeping->inner_summed[k]);
        columns += (double)graph_extent(plan->dims, sweeping->inner_summed[k]);
    }
    for (int k = 0; k < sweeping->outer_count; k++) {
        bool is_there = false;
        for (int i = 0; i < sweeping->inner_count; i++)
            is_there |= sweeping->inner_lanes[i] == sweeping->outer_lanes[k];
        columns += is_there ? 0 : (double)graph_extent(plan->dims, sweeping->lanes[k]);
    }
    return FACTOR_BYTES * (rows * step->tensor.rows + columns * step->tensor.lanes * step->tensor.stages);
}

// Two wide outer products leave registers for half as many columns; where shared memory is small, fewer rows.
static void fit_tile(const Sweeps *sweeps, Step *step) {
    Sweeping sweeping;
    double room = sweeps->context->target->l1_bytes;
    if (sweep_of(step, sweeps->scratch, &sweeping)) return;
    for (int k = 0; k < sweeping.outer_count; k++)
        if (sweeping.outer_count > 1 && graph_extent(sweeps->plan->dims, sweeping.lanes[k]) > WIDEST)
            step->tensor.lanes = LANES / 2;
    if (shared_bytes(sweeps->plan, step, &sweeping) > room) step->tensor.rows = ROWS / 2;
    if (shared_bytes(sweeps->plan, step, &sweeping) > room) step->tensor.lanes = LANES / 2;
}

static DimSet swept_by(const Plan *plan, const TileSpace *space, const Step *step) {
    Contraction contraction = product_contraction(plan, step);
    return dim_list_set(&contraction.summed) & (dim_bit(space->rows) | dim_bit(space->columns));
}

// It takes the place of the last product.
static const char *place_of(const Sweeps *sweeps, const TileSpace *space, const Step *last) {
    const Plan *plan = sweeps->plan;
    if (text_equal(space->label, last->label)) return last->place;
    return step_place(plan->arena, plan->steps, plan->step_count, space->label, last->place);
}

static Step begin_step(const Sweeps *sweeps, const TileSpace *space, const Step *last, uint32_t operands,
                       uint32_t outputs) {
    Plan *plan = sweeps->plan;
    bool is_whole = last->cut.pieces == 1 && last->cut.groups == 0;
    return (Step){.label = space->label,
                  .place = place_of(sweeps, space, last),
                  .form = FORM_SWEEP,
                  .region = graph_create_like(plan->arena, plan->dims),
                  .operands = ARENA_ARRAY(plan->arena, ValueId, operands),
                  .outputs = ARENA_ARRAY(plan->arena, ValueId, outputs),
                  .inner = swept_by(plan, space, last),
                  .band = last->band,
                  .cut = is_whole ? last->cut : (Cut){.total = 1, .pieces = 1},
                  .tensor = tile_of(sweeps, space, swept_by(plan, space, last))};
}

// What lies outside of the products' band, the same for all, is left out of their sums; of the lse only where its row
// left something out, too.
static void set_band(const Sweeps *sweeps, const TileSpace *space, Sweep *sweep) {
    Step *step = &sweep->step;
    if (sweep->lse == NODE_NONE || !step->band.is_set) return;
    const Band *row = &sweeps->plan->steps[space->lse_step].band;
    if (!row->is_set || row->row != step->band.row || row->column != step->band.column) step->band = (Band){0};
}

Sweep sweep_build(const Sweeps *sweeps, const TileSpace *space, const uint32_t *products, uint32_t count,
                  bool computes_lse) {
    Plan *plan = sweeps->plan;
    uint32_t operands = 1, outputs = 1;   // the lse
    for (uint32_t s = 0; s < plan->step_count; s++)
        if (space->has_step[s]) operands += plan->steps[s].operand_count;
    for (uint32_t i = 0; i < count; i++) outputs += plan->steps[products[i]].output_count;
    const Step *last = &plan->steps[products[count - 1]];
    Sweep sweep = {.count = count, .swept = swept_by(plan, space, last), .lse = NODE_NONE};
    memcpy(sweep.products, products, count * sizeof *products);
    sweep.step = begin_step(sweeps, space, last, operands, outputs);
    Building building = {.sweeps = sweeps,
                         .space = space,
                         .sweep = &sweep,
                         .room = operands,
                         .computes_lse = computes_lse,
                         .map = empty_maps(sweeps, space)};
    for (uint32_t i = 0; i < count; i++) add_product(&building, products[i]);
    sweep.step.edges = ARENA_ARRAY(plan->arena, EdgeKind, sweep.step.operand_count);
    set_band(sweeps, space, &sweep);
    fit_tile(sweeps, &sweep.step);
    step_cost(plan, &sweep.step);
    sweep.step.flops *= step_band_part(plan, &sweep.step);
    return sweep;
}

void sweep_hand_lse(const Sweeps *sweeps, const TileSpace *space, Sweep *sweep) {
    const char *name = sweeps->plan->values[space->lse_value].name;
    double flops = sweep->step.flops;
    add_output(sweeps, &sweep->step, name ? name : "%", space->lse_value, sweep->lse);
    step_cost(sweeps->plan, &sweep->step);
    sweep->step.flops = flops;
}
