// Form product for a GPU's tensor cores: blocks of the output, each by one block of threads.
//
//     out f32[B,T,F] = sum(C) x[B,T,C] * w[C,F]      tensor tf32 128 by 64
//       ->  rows BT 768 step 128
//             lanes F 512 step 64
//               tile = 0
//               loop C:  tile += x[rows] * w[lanes]    by the backend: 128 bytes of C at a time, through shared memory
//               store epilogue(tile)
//
// A sum that is cut in groups is a block of threads for each group, which stores its part. A step of a chain has tiles
// of its piece's rows, or adds its piece's share of the sum to what the pieces before left.
//
// The loops are those of a register tile, only larger; what tensor cores need beside them the program's `tensor` says.
// All loops down to the tile are independent of each other. Inside of it, the innermost loop is the one whose rounds
// are taken many at a time: the longest, or the one with a band.
#include "base/diag.h"
#include "codegen/lower.h"

static NodeId contract_of(const Lowering *lowering) {
    for (NodeId id = 0; id < graph_nodes(lowering->region); id++)
        if (lowering->live[id] && graph_node(lowering->region, id)->op == OP_CONTRACT) return id;
    BUG("product box %s has no contraction", lowering->step->label);
}

// ---- loops down to the tile

static DimList rows_beside_band(Lowering *lowering, DimList rows) {
    DimSet band = 0;
    for (int i = 0; i < rows.rank; i++)
        if (lower_in_band(lowering, rows.dims[i])) band |= dim_bit(rows.dims[i]);
    if (band == 0) return rows;
    lower_open_each(lowering, dim_list_without(rows, band));
    return dim_list_without(rows, dim_list_set(&rows) & ~band);
}

static void open_lanes(Lowering *lowering, DimList lanes, uint32_t step) {
    int64_t extent = lower_extent(lowering, lanes);
    if (lanes.rank == 1 && lower_in_band(lowering, lanes.dims[0]) && extent % step == 0)
        lower_band_loop(lowering, LOOP_LANES, lanes.dims[0], tile_index(0), extent, step);
    else
        lower_open(lowering, LOOP_LANES, lanes, 0, step, false);
}

static DimId along_of(const Lowering *lowering) {
    const DimList *cut = &lowering->step->cut.dims;
    return cut->dims[cut->rank - 1];
}

// The rows of a piece that is a range of them.
static void open_range_of_rows(Lowering *lowering, const CutRanges *ranges) {
    DimId along = along_of(lowering);
    const char *name = graph_dim_name(lowering->plan->dims, along);
    TileValue row =
        tile_loop(lowering->builder, LOOP_ROWS, name, ranges->rows, 0, lowering->step->tensor.rows, false);
    lowering->env[along] = tile_index_plus(lowering->share, row, 1);
}

static void open_rows(Lowering *lowering, DimList rows) {
    rows = rows_beside_band(lowering, rows);
    lower_open(lowering, LOOP_ROWS, rows, 0, lowering->step->tensor.rows, false);
}

// `ranges`: of a chain's cut, rows 0 where there is none.
static void open_tile(Lowering *lowering, const Contraction *contraction, CutRanges *ranges) {
    bool is_summed = cut_is_summed(lowering->plan, lowering->step);
    DimSet cut = 0;
    if (lower_open_range(lowering, ranges)) cut = dim_list_set(&lowering->step->cut.dims);
    else *ranges = (CutRanges){0};
    if (is_summed && !ranges->rows) lower_open_summed_cut(lowering);
    lower_open_each(lowering, dim_list_without(contraction->batch, cut));
    int merged = lower_merged_suffix(lowering, contraction->lanes), rank = contraction->lanes.rank;
    lower_open_each(lowering, dim_list_slice(contraction->lanes, 0, rank - merged));
    if (ranges->rows && !is_summed) open_range_of_rows(lowering, ranges);
    else open_rows(lowering, dim_list_without(contraction->rows, cut));
    open_lanes(lowering, dim_list_slice(contraction->lanes, rank - merged, rank), lowering->step->tensor.lanes);
}

// ---- the sum

// Where the merged dims that begin at `from` end.
static int merged_end(const Lowering *lowering, DimList summed, int from) {
    int to = from + 1;
    while (to < summed.rank && lower_merges(lowering, summed.dims[to - 1], summed.dims[to])) to++;
    return to;
}

// All of the merged dims, or the part of them that the outermost one's share is.
static void open_group(Lowering *lowering, DimList group) {
    const Cut *cut = &lowering->step->cut;
    if (!cut_is_summed(lowering->plan, lowering->step) || group.dims[0] != cut->dims.dims[0]) {
        lower_open(lowering, LOOP_PLAIN, group, 0, 0, false);
        return;
    }
    int64_t inner = lower_extent(lowering, group) / cut->total, extent = inner * (cut->total / cut->pieces);
    TileIndex flat = tile_index_sum(tile_index(0), lowering->share, inner);
    if (extent > 1) {
        TileValue own = tile_loop(lowering->builder, LOOP_PLAIN, lower_loop_name(lowering, group), extent, 0, 0, false);
        flat = tile_index_plus(flat, own, 1);
    }
    lower_place(lowering, group, flat);
}

static void open_sum(Lowering *lowering, DimList summed) {
    DimList longest = {0};
    for (int from = 0, to; from < summed.rank; from = to) {
        to = merged_end(lowering, summed, from);
        DimList group = dim_list_slice(summed, from, to);
        bool is_band = group.rank == 1 && lower_in_band(lowering, group.dims[0]);
        if (longest.rank == 0 || is_band || lower_extent(lowering, group) > lower_extent(lowering, longest))
            longest = group;
    }
    for (int from = 0, to; from < summed.rank; from = to) {
        to = merged_end(lowering, summed, from);
        if (summed.dims[from] != longest.dims[0]) open_group(lowering, dim_list_slice(summed, from, to));
    }
    if (longest.rank == 1 && lower_in_band(lowering, longest.dims[0]))
        lower_band_loop(lowering, LOOP_PLAIN, longest.dims[0], tile_index(0), lower_extent(lowering, longest), 0);
    else if (longest.rank)
        open_group(lowering, longest);
}

// A piece's range of the sum, which goes on with what the ranges before it left; the other dims are placed.
static void open_range_of_sum(Lowering *lowering, const CutRanges *ranges) {
    DimId along = along_of(lowering);
    if (lower_in_band(lowering, along)) {
        lower_band_loop(lowering, LOOP_PLAIN, along, lowering->share, ranges->rows, 0);
        return;
    }
    const char *name = graph_dim_name(lowering->plan->dims, along);
    TileValue k = tile_loop(lowering->builder, LOOP_PLAIN, name, ranges->rows, 0, 0, false);
    lowering->env[along] = tile_index_plus(lowering->share, k, 1);
}

static void multiply(Lowering *lowering, const Contraction *contraction, const CutRanges *ranges) {
    TileValue tile = tile_zero(lowering->builder, SHAPE_ROWS | SHAPE_LANES, 0, 0);
    bool sums_range = ranges->rows && cut_is_summed(lowering->plan, lowering->step);
    TileValue before = sums_range ? lower_before(lowering, 0) : TILE_NONE;
    if (before != TILE_NONE) tile_accumulate(lowering->builder, OP_SUM, tile, before);
    int depth = tile_open_loops(lowering->builder);
    if (sums_range) open_range_of_sum(lowering, ranges);
    else open_sum(lowering, contraction->summed);
    TileValue a = evaluator_value(lowering->evaluator, contraction->rows_operand, lowering->env);
    TileValue b = evaluator_value(lowering->evaluator, contraction->lanes_operand, lowering->env);
    TileOp step = {.kind = TILE_MULTIPLY_ACCUMULATE, .dtype = DTYPE_F32, .operands = {tile, a, b}, .operand_count = 3};
    tile_add(lowering->builder, &step);
    lower_close(lowering, depth);
    evaluator_define(lowering->evaluator, contraction->node, lowering->env, tile);
}

void lower_tensor(Lowering *lowering) {
    Contraction contraction = contraction_of(lowering->region, contract_of(lowering), lower_output(lowering, 0)->order);
    CutRanges ranges;
    open_tile(lowering, &contraction, &ranges);
    multiply(lowering, &contraction, &ranges);
    uint32_t count = lowering->step->output_count;
    TileValue *values = ARENA_ARRAY(lowering->arena, TileValue, count);
    for (uint32_t i = 0; i < count; i++)
        values[i] = evaluator_value(lowering->evaluator, lower_output_node(lowering, i), lowering->env);
    for (uint32_t i = 0; i < count; i++) lower_store(lowering, i, values[i]);
    lower_close(lowering, 0);
}
