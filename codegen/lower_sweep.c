// Form sweep: the program of a tile, and of each outer product's results (SweepProgram in tile.h).
//
//     y f32[B,T,D] = sum(S) exp(s - lse(S) s) * v,  s = sum(D) q * k * 0.125
//       ->  loop B  rows T 1024 step 128  lanes S 1024 step 64
//             %4 = zero                           s, multiplied by the backend
//             %6 = %4 * 0.125
//             store limit %6;  %8 = load limit;  %10 = exp(%6 - %8);  store sum %10;  store factor0 %10
//           loop B  rows T 1024 step 128  lanes D 64 step 64
//             %4 = zero                           y
//             store b3[..] %4
//
// Factors are said by where they lie: a backend copies them as they are.
#include "base/diag.h"
#include "codegen/lower.h"

static DimList one(DimId dim) {
    return (DimList){.rank = 1, .dims = {dim}};
}

static NodeId output_node(const Step *step, uint32_t k) {
    return graph_output_at(step->region, k)->node;
}

// ---- factors

static View view_of_factor(const Lowering *lowering, NodeId node) {
    const Step *step = lowering->step;
    const Layout **layouts = ARENA_ARRAY(lowering->arena, const Layout *, step->operand_count);
    View view;
    for (uint32_t k = 0; k < step->operand_count; k++)
        layouts[k] = &lowering->plan->values[step->operands[k]].layout;
    if (!view_of(step->region, node, layouts, &view)) BUG("a factor of a sweep that is no view");
    return view;
}

// `along`: rows, or the swept dim.
static SweepPanel panel_of(const Lowering *lowering, const Sweeping *sweeping, NodeId node, DimId along,
                           DimId contiguous) {
    View view = view_of_factor(lowering, node);
    SweepPanel panel = {.buffer = (int)view.operand,
                        .offset = view.offset,
                        .pitch = view.stride[along],
                        .width = (int)graph_extent(lowering->plan->dims, contiguous)};
    for (int i = 0; i < sweeping->places.rank; i++)
        panel.places[i] = view.stride[sweeping->places.dims[i]];
    for (int i = 0; i < sweeping->shared.rank; i++) panel.shared[i] = view.stride[sweeping->shared.dims[i]];
    return panel;
}

// A factor of several products is copied once.
static int column_panel(const Lowering *lowering, SweepProgram *sweep, NodeId *nodes, NodeId node, DimId contiguous) {
    for (int i = 0; i < sweep->column_count; i++)
        if (nodes[i] == node) return i;
    nodes[sweep->column_count] = node;
    sweep->columns[sweep->column_count] = panel_of(lowering, &sweep->sweeping, node, sweep->sweeping.swept, contiguous);
    return sweep->column_count++;
}

static void find_panels(const Lowering *lowering, SweepProgram *sweep) {
    const Sweeping *sweeping = &sweep->sweeping;
    NodeId nodes[SWEEP_PANELS];
    for (int k = 0; k < sweeping->inner_count; k++) {
        DimId summed = sweeping->inner_summed[k];
        sweep->rows[k] = panel_of(lowering, sweeping, sweeping->inner_rows[k], sweeping->rows, summed);
        sweep->inner_columns[k] = column_panel(lowering, sweep, nodes, sweeping->inner_lanes[k], summed);
    }
    for (int k = 0; k < sweeping->outer_count; k++)
        sweep->outer_columns[k] = column_panel(lowering, sweep, nodes, sweeping->outer_lanes[k], sweeping->lanes[k]);
}

// ---- the tile

static void open_rows(Lowering *lowering, const Sweeping *sweeping) {
    lower_open_each(lowering, sweeping->places);
    lower_open(lowering, LOOP_ROWS, one(sweeping->rows), 0, lowering->step->tensor.rows, false);
}

// What is loaded of a local buffer, and stored there, is one number a row, or one an element.
static TileIndex local_index(const Lowering *lowering, const Sweeping *sweeping) {
    int64_t columns = graph_extent(lowering->plan->dims, sweeping->swept);
    return tile_index_sum(lowering->env[sweeping->swept], lowering->env[sweeping->rows], columns);
}

static int local_buffer(Lowering *lowering, const Sweeping *sweeping) {
    const Graph *dims = lowering->plan->dims;
    return tile_local(lowering->builder, graph_extent(dims, sweeping->rows) * graph_extent(dims, sweeping->swept));
}

static void define_inner(Lowering *lowering, const Sweeping *sweeping) {
    for (int k = 0; k < sweeping->inner_count; k++) {
        TileValue product = tile_zero(lowering->builder, SHAPE_ROWS | SHAPE_LANES, 0, 0);
        evaluator_define(lowering->evaluator, sweeping->inner[k], lowering->env, product);
    }
}

static void define_lse(Lowering *lowering, SweepProgram *sweep) {
    const Sweeping *sweeping = &sweep->sweeping;
    NodeId of = graph_node(lowering->region, sweeping->lse)->operands[0];
    TileValue scores = evaluator_value(lowering->evaluator, of, lowering->env);
    sweep->limit = local_buffer(lowering, sweeping);
    sweep->sum = local_buffer(lowering, sweeping);
    tile_store(lowering->builder, sweep->limit, local_index(lowering, sweeping), scores);
    TileValue limit = tile_load(lowering->builder, sweep->limit, DTYPE_F32, lowering->env[sweeping->rows]);
    evaluator_define(lowering->evaluator, sweeping->lse, lowering->env, limit);
}

static void store_factors(Lowering *lowering, SweepProgram *sweep) {
    const Sweeping *sweeping = &sweep->sweeping;
    TileValue factors[SWEEP_MOST], exponential = TILE_NONE;
    if (sweeping->lse != NODE_NONE)
        exponential = evaluator_value(lowering->evaluator, sweeping->exponential, lowering->env);
    for (int k = 0; k < sweeping->outer_count; k++)
        factors[k] = evaluator_value(lowering->evaluator, sweeping->outer_tile[k], lowering->env);
    TileIndex index = local_index(lowering, sweeping);
    if (exponential != TILE_NONE) tile_store(lowering->builder, sweep->sum, index, exponential);
    for (int k = 0; k < sweeping->outer_count; k++) {
        sweep->factors[k] = local_buffer(lowering, sweeping);
        tile_store(lowering->builder, sweep->factors[k], index, factors[k]);
    }
}

// Elements from one index of the dim to the next.
static int64_t stride_of(const Layout *layout, DimId dim) {
    int64_t stride = 1;
    for (int i = layout->count - 1; i >= 0; i--) {
        const LayoutPiece *piece = &layout->pieces[i];
        if (piece->dims.rank != 1 || piece->divisor != 1) BUG("the lse of a sweep lies in panels");
        if (piece->dims.dims[0] == dim) return stride;
        stride *= piece->extent;
    }
    return 0;
}

static void find_lse_output(const Lowering *lowering, SweepProgram *sweep) {
    const Step *step = lowering->step;
    const Sweeping *sweeping = &sweep->sweeping;
    for (uint32_t k = 0; k < step->output_count; k++) {
        if (output_node(step, k) != sweeping->lse) continue;
        const Layout *layout = &lower_output(lowering, k)->layout;
        sweep->lse = (SweepPanel){
            .buffer = (int)(step->operand_count + k), .pitch = stride_of(layout, sweeping->rows), .width = 1};
        for (int i = 0; i < sweeping->places.rank; i++)
            sweep->lse.places[i] = stride_of(layout, sweeping->places.dims[i]);
    }
}

static void lower_tile(SweepProgram *sweep, Lowering *lowering) {
    const Sweeping *sweeping = &sweep->sweeping;
    open_rows(lowering, sweeping);
    find_panels(lowering, sweep);
    lower_open_each(lowering, sweeping->shared);
    lower_open(lowering, LOOP_LANES, one(sweeping->swept), 0, sweep->tensor.lanes, false);
    define_inner(lowering, sweeping);
    if (sweeping->lse != NODE_NONE) {
        define_lse(lowering, sweep);
        find_lse_output(lowering, sweep);
    }
    store_factors(lowering, sweep);
    lower_close(lowering, 0);
    sweep->tile = lowering_end(lowering, sweep->tensor);
}

// ---- what becomes of the sums

static bool is_made_of(const Graph *region, NodeId id, NodeId of) {
    const Node *node = graph_node(region, id);
    if (id == of) return true;
    for (uint32_t k = 0; k < node->operand_count; k++)
        if (node->operands[k] >= of && is_made_of(region, node->operands[k], of)) return true;
    return false;
}

static void lower_end(SweepProgram *sweep, Lowering *lowering, int outer) {
    const Sweeping *sweeping = &sweep->sweeping;
    const Step *step = lowering->step;
    DimId lanes = sweeping->lanes[outer];
    open_rows(lowering, sweeping);
    uint32_t extent = (uint32_t)graph_extent(lowering->plan->dims, lanes);
    lower_open(lowering, LOOP_LANES, one(lanes), 0, extent, false);
    TileValue sums = tile_zero(lowering->builder, SHAPE_ROWS | SHAPE_LANES, 0, 0);
    evaluator_define(lowering->evaluator, sweeping->outer[outer], lowering->env, sums);
    for (uint32_t k = 0; k < step->output_count; k++) {
        if (!is_made_of(lowering->region, output_node(step, k), sweeping->outer[outer])) continue;
        lower_store(lowering, k, evaluator_value(lowering->evaluator, output_node(step, k), lowering->env));
    }
    lower_close(lowering, 0);
    TensorTile tensor = sweep->tensor;
    tensor.lanes = extent;
    sweep->ends[outer] = lowering_end(lowering, tensor);
}

SweepProgram *tile_lower_sweep(Arena *arena, const Plan *plan, const Step *step, const Target *target) {
    SweepProgram *sweep = ARENA_NEW(arena, SweepProgram);
    *sweep = (SweepProgram){
        .dims = plan->dims, .tensor = step->tensor, .band = step->band, .limit = -1, .sum = -1, .lse = {.buffer = -1}};
    const char *wrong = sweep_of(step, arena, &sweep->sweeping);
    if (wrong) BUG("a sweep that %s", wrong);
    lower_tile(sweep, lowering_begin(arena, plan, step, target));
    for (int k = 0; k < sweep->sweeping.outer_count; k++)
        lower_end(sweep, lowering_begin(arena, plan, step, target), k);
    return sweep;
}
