// Form product: one contraction as register tiles, with what follows it.
//
//     out f32[B,T,F] = sum(C) x[B,T,C] * w[C,F]      w @ (F/32, C, F%32)
//       ->  loop panel F/32                    a panel of w stays in cache while all rows pass by
//             rows BT step 8 evenly            remainders split evenly
//               lanes F 32 step 32
//                 tile = 0
//                 loop C:  tile += x[rows] * w[lanes]
//                 store epilogue(tile)
//
// Bits: every element is one chain of fused multiply-adds in ascending order of the summed dims (by dim id), whatever
// the tiles are. Rows are walked as one flat dim; lanes and summed dims are where memory allows it.
#include "base/diag.h"
#include "codegen/lower.h"

enum { DEFAULT_ROWS = 8, DEFAULT_LANES = 32 };

typedef struct {
    Lowering *lowering;
    Contraction contraction;
    DimList rows;        // flat rows loop; empty: one row
    uint32_t row_pieces; // > 0: the rows loop walks the piece's own range
    DimList lanes;       // flat lanes
    int64_t tile_lanes;
    uint32_t tile_rows;
} Product;

static NodeId find_contract(const Lowering *lowering) {
    for (NodeId id = 0; id < graph_nodes(lowering->region); id++)
        if (lowering->live[id] && graph_node(lowering->region, id)->op == OP_CONTRACT) return id;
    BUG("product box %s has no contraction", lowering->step->label);
}

// ---- the tile

// Summed dims from the outermost; runs of dims that merge are one loop.
static void open_summed(const Product *product) {
    DimList summed = product->contraction.summed;
    for (int from = 0, to; from < summed.rank; from = to) {
        for (to = from + 1; to < summed.rank; to++)
            if (!lower_merges(product->lowering, summed.dims[to - 1], summed.dims[to])) break;
        lower_open(product->lowering, LOOP_PLAIN, dim_list_slice(summed, from, to), 0, 0, false);
    }
}

static void multiply_tile(const Product *product) {
    Lowering *lowering = product->lowering;
    const Contraction *contraction = &product->contraction;
    TileValue tile = tile_zero(lowering->builder, SHAPE_ROWS | SHAPE_LANES, 0, 0);
    int depth = tile_open_loops(lowering->builder);
    open_summed(product);
    TileValue a = evaluator_value(lowering->evaluator, contraction->rows_operand, lowering->env);
    TileValue b = evaluator_value(lowering->evaluator, contraction->lanes_operand, lowering->env);
    TileOp multiply = {
        .kind = TILE_MULTIPLY_ACCUMULATE, .dtype = DTYPE_F32, .operands = {tile, a, b}, .operand_count = 3};
    tile_add(lowering->builder, &multiply);
    lower_close(lowering, depth);
    evaluator_define(lowering->evaluator, contraction->node, lowering->env, tile);
}

static void store_outputs(const Product *product) {
    Lowering *lowering = product->lowering;
    uint32_t count = lowering->step->output_count;
    TileValue *values = ARENA_ARRAY(lowering->arena, TileValue, count);
    for (uint32_t i = 0; i < count; i++)
        values[i] = evaluator_value(lowering->evaluator, lower_output_node(lowering, i), lowering->env);
    for (uint32_t i = 0; i < count; i++)
        lower_store(lowering, i, values[i]);
}

// All rows of the piece against `width` lanes from `start`.
static void emit_panel(const Product *product, TileIndex start, int64_t width) {
    Lowering *lowering = product->lowering;
    int depth = tile_open_loops(lowering->builder);
    lower_open(lowering, LOOP_ROWS, product->rows, product->row_pieces, product->tile_rows, true);
    const char *name = product->lanes.rank == 1 ? graph_dim_name(lowering->plan->dims, product->lanes.dims[0]) : "lane";
    TileValue lane = tile_loop(lowering->builder, LOOP_LANES, name, width, 0,
                               lanes_step(width, (uint32_t)product->tile_lanes), false);
    lower_place(lowering, product->lanes, tile_index_plus(start, lane, 1));
    multiply_tile(product);
    store_outputs(product);
    lower_close(lowering, depth);
}

static void emit_panels(const Product *product) {
    Lowering *lowering = product->lowering;
    int64_t total = lower_extent(lowering, product->lanes), width = product->tile_lanes;
    int64_t full = total / width, tail = total % width;
    if (full == 1) emit_panel(product, tile_index(0), width);
    if (full > 1) {
        int depth = tile_open_loops(lowering->builder);
        TileValue panel = tile_loop(lowering->builder, LOOP_PLAIN, "panel", full, 0, 0, false);
        emit_panel(product, tile_index_plus(tile_index(0), panel, width), width);
        lower_close(lowering, depth);
    }
    if (tail) emit_panel(product, tile_index(full * width), tail);
}

// ---- the loops around it

// Whether the cut dims are the first rows dims: then each piece has whole rows, and tiles span them.
static bool cut_leads_rows(const Product *product, const Cut *cut) {
    if (cut->dims.rank == 0 || cut->dims.rank > product->contraction.rows.rank) return false;
    for (int i = 0; i < cut->dims.rank; i++)
        if (cut->dims.dims[i] != product->contraction.rows.dims[i]) return false;
    return true;
}

static void open_outer(Product *product) {
    Lowering *lowering = product->lowering;
    const Contraction *contraction = &product->contraction;
    const Cut *cut = &lowering->step->cut;
    DimSet cut_set = lower_cut_set(lowering);
    product->rows = contraction->rows;
    if (cut_set && cut_leads_rows(product, cut) && cut->dims.rank == contraction->rows.rank) {
        product->row_pieces = cut->pieces;
        cut_set = 0;
    } else {
        lower_open_cut(lowering);
        product->rows = dim_list_without(contraction->rows, cut_set);
    }
    lower_open_each(lowering, dim_list_without(contraction->batch, cut_set));
    DimList lanes = dim_list_without(contraction->lanes, cut_set);
    int merged = lower_merged_suffix(lowering, lanes);
    lower_open_each(lowering, dim_list_slice(lanes, 0, lanes.rank - merged));
    product->lanes = dim_list_slice(lanes, lanes.rank - merged, lanes.rank);
}

void lower_product(Lowering *lowering) {
    Product product = {.lowering = lowering,
                       .tile_rows = lowering->step->tile_rows ? lowering->step->tile_rows : DEFAULT_ROWS,
                       .tile_lanes = lowering->step->tile_lanes ? lowering->step->tile_lanes : DEFAULT_LANES};
    product.contraction = contraction_of(lowering->region, find_contract(lowering), lower_output(lowering, 0)->order);
    open_outer(&product);
    emit_panels(&product);
    lower_close(lowering, 0);
}
