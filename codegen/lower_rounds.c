// A product whose sum is over rows that come round by round (Cut.rounds): each round goes on where the one before
// stopped.
//
//     out %dw[V,C] = sum(B,T) %dz[B,T,V] * %h[B,T,C]     cut(V)/2 rounds 4 over(B,T)
//       ->  piece 0..8: round = piece / 2, part = piece % 2
//             rows of the part, blocks, panels, lanes:
//               tile = round > 0 ? what lies in %dw : 0
//               loop k BT/4:  tile += %dz[round*BT/4 + k, rows] * %h[round*BT/4 + k, lanes]
//               store round == 3 ? epilogue(tile) : tile
//
// A chain of multiply-adds does not change by a stop in memory, so the bits are those of one sum.
#include "base/planted.h"
#include "codegen/lower_product.h"

int64_t rounds_length(const Lowering *lowering) {
    const Cut *cut = &lowering->step->cut;
    return cut_sums_rounds(lowering->plan, lowering->step) ? lower_extent(lowering, cut->over) / cut->rounds : 0;
}

bool rounds_open(Product *product) {
    Lowering *lowering = product->lowering;
    TileBuilder *builder = lowering->builder;
    const Cut *cut = &lowering->step->cut;
    if (product->round == 0) return false;
    uint32_t pieces = cut->pieces * cut->rounds;
    TileIndex piece = tile_index_of(tile_loop(builder, LOOP_PIECE, "piece", pieces, pieces, 0, false));
    TileIndex round = tile_index_divide(builder, piece, cut->pieces);
    product->part = tile_index_remainder(builder, piece, cut->pieces);
    lowering->share = tile_index_sum(tile_index(0), round, product->round);
    TileValue number = tile_index_value(builder, round);
    TileValue first[] = {tile_const(builder, DTYPE_I32, 0), number};
    TileValue last[] = {tile_const(builder, DTYPE_I32, cut->rounds - 1), number};
    if (!PLANTED(round_begins_anew)) lowering->continues = tile_map(builder, OP_LT, DTYPE_BOOL, first, 2);
    product->ends_sum = tile_map(builder, OP_EQ, DTYPE_BOOL, last, 2);
    product->row_count = lower_extent(lowering, product->rows) / cut->pieces;
    product->first_row = tile_index_sum(tile_index(0), product->part, product->row_count);
    return true;
}

// What follows the sum does so in the last round.
TileValue rounds_result(const Product *product, TileValue value, TileValue tile) {
    if (value == tile) return value;
    TileValue operands[] = {product->ends_sum, value, tile};
    return tile_map(product->lowering->builder, OP_WHERE, DTYPE_F32, operands, 3);
}

static void emit_range(const Product *product, int64_t start, int64_t count) {
    Product range = *product;
    if (count == 0) return;
    int depth = tile_open_loops(product->lowering->builder);
    range.first_row.constant += start;
    range.row_count = count;
    rows_emit(&range);
    lower_close(product->lowering, depth);
}

// Rows that are left when the others are equal blocks.
static int64_t rows_left(const Product *product) {
    int64_t rows = product->row_count, most = rows_that_fit(product);
    if (rows <= most || rows_in_block(product)) return 0;
    return rows % ((rows + most - 1) / most);
}

// The last piece of each round has the rows that make no equal pieces.
void rounds_emit(const Product *product) {
    Lowering *lowering = product->lowering;
    int64_t pieces = lowering->step->cut.pieces, rows = product->row_count, left = rows_left(product);
    emit_range(product, 0, rows - left);
    emit_range(product, rows - left, left);
    int64_t more = lower_extent(lowering, product->rows) % pieces;
    if (more == 0) return;
    int depth = tile_open_loops(lowering->builder);
    TileIndex part = tile_index_sum(tile_index(1 - pieces), product->part, 1);
    tile_guard(lowering->builder, "part", 1, 0, tile_index_value(lowering->builder, part));
    emit_range(product, rows, more);
    lower_close(lowering, depth);
}
