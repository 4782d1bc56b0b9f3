// A param's update, and copies of the param in panels along its other dims, in one walk: what a copy is made of is
// still in the first-level cache.
//
//     w @ (C/32, V, C%32), copy @ (V/32, C, V%32)      ->   panel C/32, block V/32:
//                                                             V 32, lanes C 32:   store w, m, v
//                                                             rows C 32 step 16, lanes V 32:   store copy = load w
//
// The load's rows lie side by side: the backend turns them around in registers. A copy is read again next step, so its
// stores pass the caches by (lower_far.c). Padding is zero as it was, since states are updated in place.
#include "base/diag.h"
#include "codegen/lower.h"

enum { LANES_AT_ONCE = 32 };

typedef struct {
    Lowering *lowering;
    const uint32_t *outputs;   // of one layout
    uint32_t output_count;
    DimList across, down;      // along the lanes of its panels; along their rows
    int64_t width, block;      // lanes of its panels; of the copies' panels, which are rows of these
} Update;

uint32_t lower_first_output_of(const Lowering *lowering, uint32_t output) {
    uint32_t first = 0;
    while (lower_output_node(lowering, first) != lower_output_node(lowering, output)) first++;
    return first;
}

bool lower_is_turned_copy(const Lowering *lowering, uint32_t output) {
    uint32_t first = lower_first_output_of(lowering, output);
    return first != output &&
           !layout_equal(&lower_output(lowering, first)->layout, &lower_output(lowering, output)->layout);
}

static TileIndex open_lanes(const char *name, const Update *update, int64_t extent) {
    uint32_t step = lanes_step(extent, LANES_AT_ONCE);
    return tile_index_of(tile_loop(update->lowering->builder, LOOP_LANES, name, extent, 0, step, false));
}

static void emit_update(const Update *update, TileIndex panel, TileIndex first, int64_t rows) {
    Lowering *lowering = update->lowering;
    int depth = tile_open_loops(lowering->builder);
    TileValue *values = ARENA_ARRAY(lowering->arena, TileValue, update->output_count);
    TileValue row = tile_loop(lowering->builder, LOOP_PLAIN, "row", rows, 0, 0, false);
    lower_place(lowering, update->down, tile_index_plus(first, row, 1));
    lower_place(lowering, update->across, tile_index_sum(open_lanes("lane", update, update->width), panel, 1));
    for (uint32_t i = 0; i < update->output_count; i++) {
        NodeId node = lower_output_node(lowering, update->outputs[i]);
        values[i] = evaluator_value(lowering->evaluator, node, lowering->env);
    }
    for (uint32_t i = 0; i < update->output_count; i++) lower_store(lowering, update->outputs[i], values[i]);
    lower_close(lowering, depth);
}

static void emit_copy(const Update *update, uint32_t copy, TileIndex panel, TileIndex first, int64_t rows) {
    Lowering *lowering = update->lowering;
    int depth = tile_open_loops(lowering->builder);
    TileValue lane = tile_loop(lowering->builder, LOOP_ROWS, "lane", update->width, 0, TILE_LANES, false);
    lower_place(lowering, update->across, tile_index_plus(panel, lane, 1));
    lower_place(lowering, update->down, tile_index_sum(open_lanes("row", update, rows), first, 1));
    lower_store(lowering, copy, lower_stored(lowering, lower_first_output_of(lowering, copy)));
    lower_close(lowering, depth);
}

static void emit_block(const Update *update, TileIndex panel, TileIndex first, int64_t rows) {
    const Lowering *lowering = update->lowering;
    emit_update(update, panel, first, rows);
    for (uint32_t k = 0; k < lowering->step->output_count; k++)
        if (lower_is_turned_copy(lowering, k)) emit_copy(update, k, panel, first, rows);
}

static void emit_panel(const Update *update, TileIndex panel) {
    TileBuilder *builder = update->lowering->builder;
    int64_t rows = lower_extent(update->lowering, update->down), blocks = rows / update->block;
    if (blocks > 0) {
        int depth = tile_open_loops(builder);
        TileValue block = tile_loop(builder, LOOP_PLAIN, "block", blocks, 0, 0, false);
        emit_block(update, panel, tile_index_plus(tile_index(0), block, update->block), update->block);
        lower_close(update->lowering, depth);
    }
    if (rows % update->block) emit_block(update, panel, tile_index(blocks * update->block), rows % update->block);
}

void lower_update_with_copies(Lowering *lowering, const uint32_t *outputs, uint32_t output_count, uint32_t copy) {
    const LayoutPiece *pieces = lower_output(lowering, outputs[0])->layout.pieces;
    Update update = {.lowering = lowering,
                     .outputs = outputs,
                     .output_count = output_count,
                     .across = pieces[0].dims,
                     .down = pieces[1].dims,
                     .width = pieces[0].divisor,
                     .block = lower_output(lowering, copy)->layout.pieces[0].divisor};
    const Cut *cut = &lowering->step->cut;
    bool is_cut = lower_cut_set(lowering) != 0;
    CHECK(pieces[2].extent == update.width && lower_extent(lowering, update.across) % update.width == 0);
    CHECK(!is_cut || dim_list_equal(&cut->dims, &update.across));
    TileValue panel = tile_loop(lowering->builder, is_cut ? LOOP_PIECE : LOOP_PLAIN, "panel", pieces[0].extent,
                                is_cut ? cut->pieces : 0, 0, false);
    emit_panel(&update, tile_index_plus(tile_index(0), panel, update.width));
    lower_close(lowering, 0);
}
