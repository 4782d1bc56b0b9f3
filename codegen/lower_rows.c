// Rows of a product in blocks, so that what a panel reads of them is still in a core's cache when the next one comes.
//
//     1500 rows, 512 fit          3 blocks of 500
//     a piece of 5 rows or of 6   blocks of 2 as far as they go, and a last one that ends with the piece and fits both:
//       and 2 fit                 rows 0 1, 2 3, and 3 4 or 4 5
//
// In the shorter one of two pieces the last block computes a row once more, to the same bits; so nothing may lie where
// it is written that the product adds to.
#include "base/planted.h"
#include "codegen/lower_product.h"

int64_t rows_that_fit(const Product *product) {
    const Lowering *lowering = product->lowering;
    int64_t summed = product_summed_at_once(product);
    if (product->sums_range) summed = product->range;
    else if (cut_is_summed(lowering->plan, lowering->step)) summed /= lowering->step->cut.pieces;
    if (product->block) summed = product->block;
    return (int64_t)(0.5 * lowering->target->l2_bytes) / (summed * (int64_t)sizeof(float));
}

static bool is_one_panel(const Product *product) {
    return lower_extent(product->lowering, product->contraction.lanes) <= product->tile_lanes;
}

int64_t rows_in_block(const Product *product) {
    int64_t most = rows_that_fit(product), rows = product->row_count;
    if (product->row_pieces || is_one_panel(product) || rows <= most) return 0;
    for (int64_t block = most; block >= most / 4 && block > (int64_t)product->tile_rows; block--)
        if (rows % block == 0) return block;
    return 0;
}

// ---- pieces of two lengths

static bool writes_over(const Lowering *lowering) {
    for (uint32_t i = 0; i < lowering->step->output_count; i++)
        if (lower_output(lowering, i)->is_over || lower_output(lowering, i)->next_of != VALUE_NONE) return true;
    return false;
}

bool rows_open_uneven(Product *product, const Cut *cut) {
    const Lowering *lowering = product->lowering;
    int64_t least = cut->total / cut->pieces, most = rows_that_fit(product);
    if (least <= most || most < (int64_t)product->tile_rows) return false;
    if (is_one_panel(product) || writes_over(lowering)) return false;
    if (cut->total > INT32_MAX / cut->pieces) return false;   // its number times all rows is an i32 value
    TileBuilder *builder = lowering->builder;
    TileValue piece = tile_loop(builder, LOOP_PIECE, "piece", cut->pieces, cut->pieces, 0, false);
    TileIndex begin = tile_index_plus(tile_index(0), piece, cut->total), end = begin;
    end.constant += cut->total;
    product->row_count = least;
    product->first_row = tile_index_divide(builder, begin, cut->pieces);
    product->end_row = tile_index_divide(builder, end, cut->pieces);
    return true;
}

static void emit_uneven(const Product *product) {
    Product blocks = *product, last = *product;
    int64_t most = rows_that_fit(product), whole = (product->row_count - 1) / most;   // blocks but the last one
    int depth = tile_open_loops(product->lowering->builder);
    blocks.row_count = product->row_count / (whole + 1);
    TileValue number = tile_loop(product->lowering->builder, LOOP_PLAIN, "rows", whole, 0, 0, false);
    blocks.first_row = tile_index_plus(product->first_row, number, blocks.row_count);
    sums_begin(&blocks);
    product_emit_blocks(&blocks);
    lower_close(product->lowering, depth);
    if (PLANTED(last_rows_left_out)) return;
    last.row_count = product->row_count + 1 - whole * blocks.row_count;
    last.first_row = product->end_row;
    last.first_row.constant -= last.row_count;
    sums_begin(&last);
    product_emit_blocks(&last);
    lower_close(product->lowering, depth);
}

// ---- the door

void rows_emit(Product *product) {
    if (product->end_row.count > 0) {
        emit_uneven(product);
        return;
    }
    int64_t block = rows_in_block(product);
    if (block > 0) {
        int64_t count = product->row_count / block;
        TileValue number = tile_loop(product->lowering->builder, LOOP_PLAIN, "rows", count, 0, 0, false);
        product->first_row = tile_index_plus(product->first_row, number, block);
        product->row_count = block;
    }
    sums_begin(product);
    product_emit_blocks(product);
}
