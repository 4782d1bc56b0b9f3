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
// A long sum whose rows operand is read down its columns (a gradient of weights) is walked in blocks, so that the block's
// rows and a panel's part of it stay in the caches: for each block all tiles go on where the block before left them in
// the output's memory; the last block adds the epilogue.
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
    int64_t block;             // summed indices a block; 0: all at once
} Product;

// Which part of the sum a walk over all tiles takes.
typedef struct {
    TileIndex start;
    int64_t count;             // 0: all
    bool continues, ends;
} Block;

static NodeId find_contract(const Lowering *lowering) {
    for (NodeId id = 0; id < graph_nodes(lowering->region); id++)
        if (lowering->live[id] && graph_node(lowering->region, id)->op == OP_CONTRACT) return id;
    BUG("product box %s has no contraction", lowering->step->label);
}

// ---- the tile

static void open_block(const Product *product, const Block *block) {
    if (block->count == 0) {
        lower_open_summed(product->lowering, product->contraction.summed);
        return;
    }
    TileValue k = tile_loop(product->lowering->builder, LOOP_PLAIN, "k", block->count, 0, 0, false);
    lower_place(product->lowering, product->contraction.summed, tile_index_plus(block->start, k, 1));
}

// What the blocks or the pieces before have left. A chain from +0 never is -0, so adding it to +0 is exact.
static void take_up(const Product *product, const Block *block, TileValue tile) {
    Lowering *lowering = product->lowering;
    TileValue before = block->continues ? lower_stored(lowering, 0) : lower_before(lowering, 0);
    if (before != TILE_NONE) tile_accumulate(lowering->builder, OP_SUM, tile, before);
}

static TileValue multiply_tile(const Product *product, const Block *block) {
    Lowering *lowering = product->lowering;
    const Contraction *contraction = &product->contraction;
    TileValue tile = tile_zero(lowering->builder, SHAPE_ROWS | SHAPE_LANES, 0, 0);
    take_up(product, block, tile);
    int depth = tile_open_loops(lowering->builder);
    open_block(product, block);
    TileValue a = evaluator_value(lowering->evaluator, contraction->rows_operand, lowering->env);
    TileValue b = evaluator_value(lowering->evaluator, contraction->lanes_operand, lowering->env);
    TileOp multiply = {
        .kind = TILE_MULTIPLY_ACCUMULATE, .dtype = DTYPE_F32, .operands = {tile, a, b}, .operand_count = 3};
    tile_add(lowering->builder, &multiply);
    lower_close(lowering, depth);
    evaluator_define(lowering->evaluator, contraction->node, lowering->env, tile);
    return tile;
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
static void emit_panel(const Product *product, const Block *block, TileIndex start, int64_t width) {
    Lowering *lowering = product->lowering;
    int depth = tile_open_loops(lowering->builder);
    lower_open(lowering, LOOP_ROWS, product->rows, product->row_pieces, product->tile_rows, true);
    const char *name = product->lanes.rank == 1 ? graph_dim_name(lowering->plan->dims, product->lanes.dims[0]) : "lane";
    TileValue lane = tile_loop(lowering->builder, LOOP_LANES, name, width, 0,
                               lanes_step(width, (uint32_t)product->tile_lanes), false);
    lower_place(lowering, product->lanes, tile_index_plus(start, lane, 1));
    TileValue tile = multiply_tile(product, block);
    if (block->ends)
        store_outputs(product);
    else
        lower_store(lowering, 0, tile);
    lower_close(lowering, depth);
}

static void emit_panels(const Product *product, const Block *block) {
    Lowering *lowering = product->lowering;
    int64_t total = lower_extent(lowering, product->lanes), width = product->tile_lanes;
    int64_t full = total / width, tail = total % width;
    if (full == 1) emit_panel(product, block, tile_index(0), width);
    if (full > 1) {
        int depth = tile_open_loops(lowering->builder);
        TileValue panel = tile_loop(lowering->builder, LOOP_PLAIN, "panel", full, 0, 0, false);
        emit_panel(product, block, tile_index_plus(tile_index(0), panel, width), width);
        lower_close(lowering, depth);
    }
    if (tail) emit_panel(product, block, tile_index(full * width), tail);
}

// ---- blocks of a long sum

enum { LONGEST_SUM = 1024 };   // summed indices; a shorter sum is one block

// Rows that lie along the sum are read once for each panel, in order: nothing is gained by blocks.
static bool reads_down_columns(const Product *product) {
    const Lowering *lowering = product->lowering;
    const Layout **layouts = ARENA_ARRAY(lowering->arena, const Layout *, lowering->step->operand_count);
    for (uint32_t k = 0; k < lowering->step->operand_count; k++)
        layouts[k] = &lowering->plan->values[lowering->step->operands[k]].layout;
    View view;
    DimList summed = product->contraction.summed;
    return view_of(lowering->region, product->contraction.rows_operand, layouts, &view) &&
           view.stride[summed.dims[summed.rank - 1]] != 1;
}

// Three quarters of the first-level cache for a panel's part of a block.
static int64_t block_size(const Product *product) {
    const Lowering *lowering = product->lowering;
    DimList summed = product->contraction.summed;
    int64_t total = lower_extent(lowering, summed);
    if (cut_is_summed(lowering->plan, lowering->step)) return 0;
    if (total <= LONGEST_SUM || lower_merged_suffix(lowering, summed) != summed.rank) return 0;
    if (lower_output(lowering, 0)->dtype != DTYPE_F32 || !reads_down_columns(product)) return 0;
    int64_t fit = (int64_t)(0.75 * lowering->target->l1_bytes) / (product->tile_lanes * (int64_t)sizeof(float));
    int64_t block = fit / 64 * 64;
    return block >= 64 && block < total ? block : 0;
}

static void emit_blocks(const Product *product) {
    TileBuilder *builder = product->lowering->builder;
    int64_t block = product->block, total = lower_extent(product->lowering, product->contraction.summed);
    if (block == 0) {
        emit_panels(product, &(Block){.ends = true});
        return;
    }
    int64_t before_last = (total - 1) / block;   // whole blocks, the last one left out
    emit_panels(product, &(Block){.start = tile_index(0), .count = block});
    if (before_last > 1) {
        int depth = tile_open_loops(builder);
        TileValue middle = tile_loop(builder, LOOP_PLAIN, "block", before_last - 1, 0, 0, false);
        TileIndex start = tile_index_plus(tile_index(block), middle, block);
        emit_panels(product, &(Block){.start = start, .count = block, .continues = true});
        lower_close(product->lowering, depth);
    }
    int64_t done = before_last * block;
    emit_panels(product, &(Block){.start = tile_index(done), .count = total - done, .continues = true, .ends = true});
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
    if (cut_is_summed(lowering->plan, lowering->step)) lower_open_summed_cut(lowering);
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
    product.block = block_size(&product);
    emit_blocks(&product);
    lower_close(lowering, 0);
}
