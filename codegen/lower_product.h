// A product on its way to a tile program: what lower_product.c, lower_rows.c, lower_rounds.c and lower_sums.c share.
// Private to them.
#ifndef SINTER_CODEGEN_LOWER_PRODUCT_H
#define SINTER_CODEGEN_LOWER_PRODUCT_H

#include "codegen/lower.h"

typedef struct {
    Lowering *lowering;
    Contraction contraction;
    DimList rows;        // flat rows loop; empty: one row
    uint32_t row_pieces; // > 0: the rows loop walks the piece's own range, of one of two lengths
    TileIndex first_row; // else: where the rows loop begins, and how many it walks
    int64_t row_count;
    TileIndex end_row;   // of an uneven piece, which has row_count rows or one more; no terms: it is even
    TileValue row;       // the open rows loop
    DimList lanes;       // flat lanes
    int64_t tile_lanes;
    uint32_t tile_rows;
    int64_t block;             // summed indices a block; 0: all at once
    bool streams;              // panels come from beyond a core's cache
    bool ranged;               // the cut is in ranges of so many indices of its last dim,
    bool sums_range;           // which is summed over; else it is the rows dim
    int64_t range;
    DimId along;
    int64_t round;             // > 0: the piece is of one round of many, which sums so many indices, from `share` on
    TileIndex part;            // the piece's number in its round
    TileValue ends_sum;        // whether its round is the last
    int *chains;               // by output: local buffer of a folded sum's chains, 16 for each row; 0: no such sum
} Product;

// ---- lower_product.c
int64_t product_summed_at_once(const Product *product);    // summed indices of all blocks of a piece
void product_emit_blocks(Product *product);                // row_count rows from first_row on

// ---- lower_rows.c
bool rows_open_uneven(Product *product, const Cut *cut);   // false: its pieces are no blocks
int64_t rows_that_fit(const Product *product);             // and stay in a core's cache from panel to panel
int64_t rows_in_block(const Product *product);             // equal blocks of so many; 0: no need, or there are none
void rows_emit(Product *product);                          // row_count rows from first_row on, by blocks

// ---- lower_rounds.c
int64_t rounds_length(const Lowering *lowering);           // summed indices of a round; 0: it is no sum over rounds
bool rounds_open(Product *product);                        // false: it is no sum over rounds
TileValue rounds_result(const Product *product, TileValue value, TileValue tile);
void rounds_emit(const Product *product);

// ---- lower_sums.c
int64_t sums_lanes(const Lowering *lowering);              // of one sum; 0: there is none
void sums_begin(Product *product);                         // when its rows are known, before any loop over lanes
void sums_empty(const Product *product);                   // before the first panel of each sum
void sums_take(const Product *product, TileValue lane);    // a finished tile, inside its loops
void sums_end(const Product *product, TileIndex start);    // behind the last panel: stores sums of lanes from `start`

#endif
