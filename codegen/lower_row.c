// Form row: a map with reductions over the dims X of each row R.
//
//     m = max(S) x;  e = exp(x - m);  s = sum(S) e;  p = e / s
//       ->  sweep 0 over S: accumulate max x
//           sweep 1 over S: accumulate sum exp(x - m)
//           sweep 2 over S: store exp(x - m) / s
//
// A sweep walks X once; what it needs is computed anew in each sweep, what only depends on the row moves out by itself.
// A reduction is finished when the sweep after its operand's is over; lse takes two sweeps, one for the largest
// element.
//
// Bits: a reduction is 16 chains, chain j taking the elements whose index in the last reduced dim (by dim id), or in a
// piece's range of it, is j modulo 16, in ascending order of the index in X; then the tree of TILE_ROW_REDUCE. Two
// styles give the same bits:
//     rows:     the last reduced dim runs in lanes                  x[B,T,C] summed over C
//               several rows are swept at once, each with its own chains, so that their latencies overlap
//     columns:  a dim of R (row_column) runs in lanes, and the      x[B,T,C] summed over B,T: lanes along C
//               last reduced dim in tiles of 16 rows, each with its own accumulator
#include <math.h>

#include "base/diag.h"
#include "base/planted.h"
#include "codegen/lower.h"
#include "ir/row_column.h"

enum { ROW_LANES = 32, ROWS_AT_ONCE = 4, PANEL_ROWS = 8, SHORT_ROW = 64 };

typedef struct {
    Lowering *lowering;
    DimList outer; // X without its last dim, ascending
    DimId last;    // the last dim of X
    bool columns;
    bool several;  // rows style: a rows loop is open around the sweeps
    int *ready; // by node: the first sweep in which it can be computed
    int sweeps;
    TileValue *accumulator; // by node: of the reduction now being swept, TILE_NONE when it is not
    TileValue *largest;     // by node: of lse, once known
} Row;

static const Node *node_at(const Row *row, NodeId id) {
    return graph_node(row->lowering->region, id);
}
static NodeId node_count(const Row *row) {
    return graph_nodes(row->lowering->region);
}

static bool is_reduction(const Row *row, NodeId id) {
    return row->lowering->live[id] && op_class(node_at(row, id)->op) == CLASS_REDUCE;
}

// ---- sweeps

static void find_sweeps(Row *row) {
    const Lowering *lowering = row->lowering;
    row->ready = ARENA_ARRAY(lowering->arena, int, node_count(row));
    for (NodeId id = 0; id < node_count(row); id++) {
        const Node *node = node_at(row, id);
        for (uint32_t k = 0; k < node->operand_count; k++)
            if (row->ready[node->operands[k]] > row->ready[id]) row->ready[id] = row->ready[node->operands[k]];
        if (!is_reduction(row, id)) continue;
        if (node->attr.set != lowering->step->inner)
            BUG("box %s reduces over a part of its inner dims only", lowering->step->label);
        row->ready[id] += node->op == OP_LSE ? 2 : 1;
        if (row->ready[id] > row->sweeps) row->sweeps = row->ready[id];
    }
}

static bool sweeps_largest(const Row *row, NodeId id, int sweep) {
    return is_reduction(row, id) && node_at(row, id)->op == OP_LSE && row->ready[id] - 2 == sweep;
}

static bool sweeps_result(const Row *row, NodeId id, int sweep) {
    return is_reduction(row, id) && row->ready[id] - 1 == sweep;
}

static bool is_swept_output(const Row *row, uint32_t output) {
    return (node_at(row, lower_output_node(row->lowering, output))->dims & row->lowering->step->inner) != 0;
}

// Outputs over X are stored as soon as they can be.
static bool sweeps_output(const Row *row, uint32_t output, int sweep) {
    return is_swept_output(row, output) && row->ready[lower_output_node(row->lowering, output)] == sweep;
}

static bool has_work(const Row *row, int sweep) {
    for (NodeId id = 0; id < node_count(row); id++)
        if (sweeps_largest(row, id, sweep) || sweeps_result(row, id, sweep)) return true;
    for (uint32_t i = 0; i < row->lowering->step->output_count; i++)
        if (sweeps_output(row, i, sweep)) return true;
    return false;
}

// ---- one sweep

static void open_accumulators(Row *row, int sweep) {
    for (NodeId id = 0; id < node_count(row); id++) {
        bool largest = sweeps_largest(row, id, sweep);
        row->accumulator[id] = TILE_NONE;
        if (!largest && !sweeps_result(row, id, sweep)) continue;
        double start = largest || node_at(row, id)->op == OP_MAX ? -INFINITY : 0;
        if (PLANTED(maximum_starts_from_zero)) start = 0;
        uint8_t shape = row->columns || row->several ? SHAPE_ROWS | SHAPE_LANES : SHAPE_LANES;
        row->accumulator[id] = tile_zero(row->lowering->builder, shape, row->columns ? TILE_LANES : 0, start);
    }
}

// Whether a piece has a range of the last dim, and one place of the others.
static bool cuts_last(const Row *row) {
    const Step *step = row->lowering->step;
    return cut_is_summed(row->lowering->plan, step) && dim_in(dim_list_set(&step->cut.dims), row->last);
}

static void open_last_range(const Row *row) {
    Lowering *lowering = row->lowering;
    const Cut *cut = &lowering->step->cut;
    DimList last = {.rank = 1, .dims = {row->last}};
    int64_t extent = lower_extent(lowering, last), own = cut->total / cut->pieces;
    lower_place(lowering, row->outer, tile_index_divide(lowering->builder, lowering->share, extent));
    TileIndex first = tile_index_remainder(lowering->builder, lowering->share, extent);
    LoopKind kind = row->columns ? LOOP_ROWS : LOOP_LANES;
    uint32_t step = row->columns ? TILE_LANES : lanes_step(own, ROW_LANES);
    TileValue loop = tile_loop(lowering->builder, kind, lower_loop_name(lowering, last), own, 0, step, false);
    lowering->env[row->last] = tile_index_plus(first, loop, 1);
}

static void open_sweep(const Row *row) {
    Lowering *lowering = row->lowering;
    if (cuts_last(row)) {
        open_last_range(row);
        return;
    }
    if (cut_is_summed(lowering->plan, lowering->step))
        lower_open_summed(lowering, row->outer);
    else
        lower_open_each(lowering, row->outer);
    DimList last = {.rank = 1, .dims = {row->last}};
    if (row->columns) {
        lower_open(lowering, LOOP_ROWS, last, 0, TILE_LANES, false);
    } else {
        int64_t extent = graph_extent(lowering->plan->dims, row->last);
        uint32_t step = lanes_step(extent, ROW_LANES);
        if (lower_in_band(lowering, row->last))
            lower_band_loop(lowering, LOOP_LANES, row->last, tile_index(0), extent, step);
        else
            lower_open(lowering, LOOP_LANES, last, 0, step, false);
    }
}

static Op accumulation(const Row *row, NodeId id, int sweep) {
    return node_at(row, id)->op == OP_MAX || sweeps_largest(row, id, sweep) ? OP_MAX : OP_SUM;
}

static void accumulate(const Row *row, NodeId id, int sweep) {
    Lowering *lowering = row->lowering;
    TileBuilder *builder = lowering->builder;
    TileValue value = evaluator_value(lowering->evaluator, node_at(row, id)->operands[0], lowering->env);
    if (node_at(row, id)->op == OP_LSE && !sweeps_largest(row, id, sweep)) {
        TileValue largest = PLANTED(stale_row_maximum) ? tile_const(builder, DTYPE_F32, 0) : row->largest[id];
        value = tile_map(builder, OP_SUB, DTYPE_F32, (TileValue[]){value, largest}, 2);
        value = tile_map(builder, OP_EXP, DTYPE_F32, &value, 1);
    }
    tile_accumulate(builder, accumulation(row, id, sweep), row->accumulator[id], value);
}

static void store_outputs(const Row *row, int sweep) {
    Lowering *lowering = row->lowering;
    uint32_t count = lowering->step->output_count;
    TileValue *values = ARENA_ARRAY(lowering->arena, TileValue, count);
    for (uint32_t i = 0; i < count; i++)
        if (sweeps_output(row, i, sweep))
            values[i] = evaluator_value(lowering->evaluator, lower_output_node(lowering, i), lowering->env);
    for (uint32_t i = 0; i < count; i++)
        if (sweeps_output(row, i, sweep)) lower_store(lowering, i, values[i]);
}

// |m| where the largest element m is infinite (a row of only -inf has lse +inf), else m + log of the sum.
static TileValue finish_lse(TileBuilder *builder, TileValue largest, TileValue sum) {
    TileValue log = tile_map(builder, OP_LOG, DTYPE_F32, &sum, 1);
    TileValue usual = tile_map(builder, OP_ADD, DTYPE_F32, (TileValue[]){largest, log}, 2);
    TileValue size = tile_map(builder, OP_ABS, DTYPE_F32, &largest, 1);
    TileValue infinity = tile_const(builder, DTYPE_F32, INFINITY);
    TileValue infinite = tile_map(builder, OP_EQ, DTYPE_BOOL, (TileValue[]){size, infinity}, 2);
    return tile_map(builder, OP_WHERE, DTYPE_F32, (TileValue[]){infinite, size, usual}, 3);
}

static void finish_reductions(Row *row, int sweep) {
    Lowering *lowering = row->lowering;
    for (NodeId id = 0; id < node_count(row); id++) {
        if (row->accumulator[id] == TILE_NONE) continue;
        TileValue value = tile_row_reduce(lowering->builder, accumulation(row, id, sweep), row->accumulator[id]);
        if (sweeps_largest(row, id, sweep)) {
            row->largest[id] = value;
            continue;
        }
        if (node_at(row, id)->op == OP_LSE) value = finish_lse(lowering->builder, row->largest[id], value);
        evaluator_define(lowering->evaluator, id, lowering->env, value);
    }
}

static void emit_sweep(Row *row, int sweep) {
    if (!has_work(row, sweep)) return;
    open_accumulators(row, sweep);
    int depth = tile_open_loops(row->lowering->builder);
    open_sweep(row);
    for (NodeId id = 0; id < node_count(row); id++)
        if (row->accumulator[id] != TILE_NONE) accumulate(row, id, sweep);
    store_outputs(row, sweep);
    lower_close(row->lowering, depth);
    finish_reductions(row, sweep);
}

static void store_row_outputs(const Row *row) {
    Lowering *lowering = row->lowering;
    for (uint32_t i = 0; i < lowering->step->output_count; i++) {
        if (is_swept_output(row, i)) continue;
        TileValue value = evaluator_value(lowering->evaluator, lower_output_node(lowering, i), lowering->env);
        TileValue before = lower_before(lowering, i);
        if (before != TILE_NONE)
            value = tile_map(lowering->builder, OP_ADD, DTYPE_F32, (TileValue[]){before, value}, 2);
        lower_store(lowering, i, value);
    }
}

// ---- the rows

// Dims of R: those of the outputs in their order, and those of the reductions.
static DimList row_dims(const Row *row) {
    const Lowering *lowering = row->lowering;
    DimList dims = {0};
    for (uint32_t i = 0; i < lowering->step->output_count; i++)
        dims = dim_list_union(dims, dim_list_without(lower_output(lowering, i)->order, lowering->step->inner));
    for (NodeId id = 0; id < node_count(row); id++)
        if (is_reduction(row, id)) dims = dim_list_union(dims, node_at(row, id)->order);
    return dims;
}

// Short rows and exponentials wait for their own results; long cheap rows only wait for memory, and more of them at
// once are more streams than the machine prefetches. A GPU hides what a worker waits for behind other workers, of which
// there are more the fewer rows each has.
static bool waits_for_itself(const Row *row) {
    if (target_is_gpu(row->lowering->target)) return false;
    if (lower_extent(row->lowering, (DimList){.rank = 1, .dims = {row->last}}) <= SHORT_ROW) return true;
    for (NodeId id = 0; id < node_count(row); id++)
        if (is_reduction(row, id) && node_at(row, id)->op == OP_LSE) return true;
    return false;
}

// Dims of R along which the rows of a panel that is swept follow each other in memory; none when nothing lies in
// panels.
static DimList panel_rows(const Row *row, DimSet all) {
    const Lowering *lowering = row->lowering;
    for (uint32_t i = 0; i < lowering->step->operand_count; i++) {
        const Layout *layout = &lowering->plan->values[lowering->step->operands[i]].layout;
        if (layout->count < 3 || layout_is_plain(lowering->plan->dims, layout)) continue;
        const LayoutPiece *rows = &layout->pieces[layout->count - 2], *lanes = &layout->pieces[layout->count - 1];
        bool swept = lanes->dims.rank && lanes->dims.dims[lanes->dims.rank - 1] == row->last;
        if (swept && !(dim_list_set(&rows->dims) & ~all)) return rows->dims;
    }
    return (DimList){0};
}

// Several rows of panels at once, so that what is read of each is longer than a row of it.
static void open_panel_rows(Row *row, DimList rows, DimList rest) {
    Lowering *lowering = row->lowering;
    const Cut *cut = &lowering->step->cut;
    bool cut_rows = lower_cut_set(lowering) && dim_list_equal(&cut->dims, &rows);
    if (!cut_rows) lower_open_cut(lowering);
    lower_open_each(lowering, dim_list_without(rest, dim_list_set(&rows)));
    if (!cut_rows) rows = dim_list_without(rows, lower_cut_set(lowering));
    row->several = true;
    lower_open(lowering, LOOP_ROWS, rows, cut_rows ? cut->pieces : 0, PANEL_ROWS, false);
}

// A loop over what is left of a dim: all of it, or the piece's range.
static void open_dim(Lowering *lowering, LoopKind kind, DimId dim, const CutRanges *ranges, DimId along,
                     uint32_t step) {
    DimList list = {.rank = 1, .dims = {dim}};
    if (dim != along) {
        lower_open(lowering, kind, list, 0, step, false);
        return;
    }
    TileValue loop = tile_loop(lowering->builder, kind, lower_loop_name(lowering, list), ranges->rows, 0, step, false);
    lowering->env[dim] = tile_index_plus(lowering->share, loop, 1);
}

// The rows of a piece that is a range of the cut's last dim.
static bool open_range(Row *row, DimId column) {
    Lowering *lowering = row->lowering;
    const DimList *cut = &lowering->step->cut.dims;
    CutRanges ranges;
    if (!lower_open_range(lowering, &ranges)) return false;
    DimId along = cut->dims[cut->rank - 1], last = column == DIM_NONE ? along : column;
    lower_open_each(lowering, dim_list_without(row_dims(row), dim_list_set(cut) | dim_bit(last)));
    if (last != along) open_dim(lowering, LOOP_PLAIN, along, &ranges, along, 0);
    if (column == DIM_NONE) {
        row->several = ranges.rows > 1 && waits_for_itself(row);
        open_dim(lowering, row->several ? LOOP_ROWS : LOOP_PLAIN, along, &ranges, along,
                 row->several ? ROWS_AT_ONCE : 0);
    } else {
        open_dim(lowering, LOOP_LANES, column, &ranges, along, TILE_LANES);
    }
    return true;
}

static void open_rows(Row *row, DimId column) {
    Lowering *lowering = row->lowering;
    if (cut_is_summed(lowering->plan, lowering->step)) lower_open_summed_cut(lowering);
    else if (open_range(row, column)) return;
    DimSet cut = lower_cut_set(lowering);
    DimList rest = dim_list_without(row_dims(row), cut);
    DimList panels = column == DIM_NONE ? panel_rows(row, cut | dim_list_set(&rest)) : (DimList){0};
    if (panels.rank) {
        open_panel_rows(row, panels, rest);
        return;
    }
    if (column == DIM_NONE) {
        lower_open_cut(lowering);
        if (rest.rank == 0) return;
        DimList last = dim_list_slice(rest, rest.rank - 1, rest.rank);
        lower_open_each(lowering, dim_list_slice(rest, 0, rest.rank - 1));
        row->several = lower_extent(lowering, last) > 1 && waits_for_itself(row);
        lower_open(lowering, row->several ? LOOP_ROWS : LOOP_PLAIN, last, 0, row->several ? ROWS_AT_ONCE : 0, false);
        return;
    }
    const Cut *pieces = &lowering->step->cut;
    if (dim_in(cut, column)) {
        lower_open(lowering, LOOP_LANES, pieces->dims, pieces->pieces, TILE_LANES, false);
        lower_open_each(lowering, rest);
        return;
    }
    lower_open_cut(lowering);
    lower_open_each(lowering, dim_list_without(rest, dim_bit(column)));
    lower_open(lowering, LOOP_LANES, (DimList){.rank = 1, .dims = {column}}, 0, TILE_LANES, false);
}

static void split_inner(Row *row, DimSet inner) {
    if (inner == 0) BUG("row box %s reduces over no dim", row->lowering->step->label);
    row->last = (DimId)(63 - __builtin_clzll(inner));
    for (DimId dim = 0; dim < row->last; dim++)
        if (dim_in(inner, dim)) row->outer.dims[row->outer.rank++] = dim;
}

void lower_row(Lowering *lowering) {
    Row row = {.lowering = lowering};
    split_inner(&row, lowering->step->inner);
    find_sweeps(&row);
    row.accumulator = ARENA_ARRAY(lowering->arena, TileValue, node_count(&row));
    row.largest = ARENA_ARRAY(lowering->arena, TileValue, node_count(&row));
    DimId column = row_column(lowering->plan, lowering->step);
    row.columns = column != DIM_NONE;
    CHECK(!row.columns || !lowering->step->band.is_set);
    open_rows(&row, column);
    for (int sweep = 0; sweep <= row.sweeps; sweep++)
        emit_sweep(&row, sweep);
    store_row_outputs(&row);
    lower_close(lowering, 0);
}
