// Sums over the lanes of what a product writes, in its epilogue (fold_sums).
//
//     out g f32[C,F], s f32[C]       loop panels of one sum:  chains[rows, 16] = 0
//     s = sum(F) g*g            ->     panel F/32, rows C, lanes 32:  .. store g;  chains[row, lane % 16] += g*g
//                                    rows C:  store s = tree(chains[row])
//
// The chains are those of every sum: element i belongs to chain i % 16, in ascending order. So the bits are those of a
// row step that reads g again. They are memory of the kernel's own, since the loop over panels is around that over
// rows.
#include "base/diag.h"
#include "codegen/lower_product.h"

enum { ROWS_AT_ONCE = 8 };

bool lower_is_folded(const Lowering *lowering, NodeId node) {
    return lowering->step->form == FORM_PRODUCT && op_class(graph_node(lowering->region, node)->op) == CLASS_REDUCE;
}

int64_t sums_lanes(const Lowering *lowering) {
    for (uint32_t i = 0; i < lowering->step->output_count; i++) {
        NodeId node = lower_output_node(lowering, i);
        if (!lower_is_folded(lowering, node)) continue;
        return graph_elements(lowering->plan->dims, graph_node(lowering->region, node)->attr.set);
    }
    return 0;
}

void sums_begin(Product *product) {
    Lowering *lowering = product->lowering;
    product->chains = ARENA_ARRAY(lowering->arena, int, lowering->step->output_count);
    for (uint32_t i = 0; i < lowering->step->output_count; i++) {
        if (!lower_is_folded(lowering, lower_output_node(lowering, i))) continue;
        CHECK(product->row_pieces == 0);
        product->chains[i] = tile_local(lowering->builder, product->row_count * TILE_LANES);
    }
}

void sums_empty(const Product *product) {
    TileBuilder *builder = product->lowering->builder;
    for (uint32_t i = 0; i < product->lowering->step->output_count; i++) {
        if (!product->chains[i]) continue;
        TileValue lane = tile_loop(builder, LOOP_LANES, "chain", product->row_count * TILE_LANES, 0, TILE_LANES, false);
        tile_store(builder, product->chains[i], tile_index_of(lane), tile_const(builder, DTYPE_F32, 0));
        tile_end(builder);
    }
}

void sums_take(const Product *product, TileValue lane) {
    Lowering *lowering = product->lowering;
    TileBuilder *builder = lowering->builder;
    for (uint32_t i = 0; i < lowering->step->output_count; i++) {
        if (!product->chains[i]) continue;
        NodeId summed = graph_node(lowering->region, lower_output_node(lowering, i))->operands[0];
        TileValue value = evaluator_value(lowering->evaluator, summed, lowering->env);
        TileIndex place = tile_index_remainder(builder, tile_index_of(lane), TILE_LANES);
        tile_scatter_add(builder, product->chains[i], tile_index_plus(place, product->row, TILE_LANES), value);
    }
}

void sums_end(const Product *product, TileIndex start) {
    Lowering *lowering = product->lowering;
    TileBuilder *builder = lowering->builder;
    for (uint32_t i = 0; i < lowering->step->output_count; i++) {
        if (!product->chains[i]) continue;
        TileValue row = tile_loop(builder, LOOP_ROWS, "sum", product->row_count, 0, ROWS_AT_ONCE, false);
        TileValue sum = tile_zero(builder, SHAPE_ROWS | SHAPE_LANES, 0, 0);
        TileValue lane = tile_loop(builder, LOOP_LANES, "chain", TILE_LANES, 0, TILE_LANES, false);
        TileIndex place = tile_index_plus(tile_index_of(lane), row, TILE_LANES);
        tile_accumulate(builder, OP_SUM, sum, tile_load(builder, product->chains[i], DTYPE_F32, place));
        tile_end(builder);
        TileValue value = tile_row_reduce(builder, OP_SUM, sum);
        lower_place(lowering, product->rows, tile_index_plus(product->first_row, row, 1));
        lower_place(lowering, product->lanes, start);
        lower_store(lowering, i, value);
        tile_end(builder);
    }
}
