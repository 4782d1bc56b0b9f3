// A product in blocks for tensor cores -> the text of its kernel.
//
//     rows BT 768 step 128                      const int BT_0 = 128 * (block / 8);    one block, one tile
//       lanes F 512 step 64                     const int F_1 = 64 * (block % 8);
//         %2 = zero rows*lanes           ->     float v2[8][8];          a thread's part of its warp's part of the tile
//         loop C 128                            for (int ahead = 0; ...) {     a ring of stages
//           %4 = load b1[..] %5 = load b0[..]       wait for the stage, all threads; begin to copy a later one;
//           multiply_accumulate %2 %4 %5            multiply the stage that has come
//         end                                   }
//         store b2[..] %2                       for (r < 8) for (v < 8) b2[..] = v2[r][v];
//
// Stage number `ahead` is copied into the ring where the stage multiplied last lay: all threads are behind that when
// the barrier has let them go. So there is one barrier a stage. Multiplied is the one that lies behind it in the ring,
// the oldest. What a tile lacks of rows, lanes or summed indices is zero in
// shared memory, and not stored.
#include "base/diag.h"
#include "codegen/cuda/print_tensor.h"

const TileOp *tensor_factor(const TileProgram *program, int k) {
    uint32_t multiply = 0;
    while (program->ops[multiply].kind != TILE_MULTIPLY_ACCUMULATE) multiply++;
    const TileOp *load = &program->ops[program->ops[multiply].operands[k]];
    if (load->kind != TILE_LOAD) BUG("a factor of %s is not stored", program->name);
    return load;
}

static int factor_bytes(const TileProgram *program, int k) {
    return (int)dtype_bytes(program->buffers[tensor_factor(program, k)->buffer].dtype);
}

uint32_t sum_loop(const TileProgram *program) {
    uint32_t i = 0;
    while (program->ops[i].kind != TILE_ZERO) i++;
    while (program->ops[i].kind != TILE_LOOP) i++;
    return i;
}

// One warpgroup that copies, and one for each 64 rows; two for 256 rows, and two that take turns.
static Tensor tensor_of_warpgroups(const TensorTile *tile) {
    int warpgroups = tile->in_turns || tile->rows > 64 ? 2 : 1;
    return (Tensor){.tile = *tile,
                    .warps_rows = tile->in_turns ? 4 : 4 * warpgroups,
                    .warps_lanes = 1,
                    .threads = 128 * (1 + warpgroups),
                    .resident = 1,
                    .row_tiles = (int)tile->rows / (tile->in_turns ? 64 : 64 * warpgroups),
                    .lane_tiles = (int)tile->lanes / 8,
                    .depth = TENSOR_LINE / 2,
                    .together = 16,
                    .number = "work",
                    .leave = "continue"};
}

Tensor tensor_of(const TileProgram *program) {
    const TensorTile *tile = &program->tensor;
    if (tile->wgmma) return tensor_of_warpgroups(tile);
    bool is_large = tile->rows >= 128 && tile->lanes >= 128, is_tf32 = tile->kind == TENSOR_TF32;
    bool is_narrow = factor_bytes(program, 1) == 2 && factor_bytes(program, 2) == 2;
    CHECK(tile->kind != TENSOR_NONE);
    Tensor tensor = {.tile = *tile, .warps_rows = 2, .warps_lanes = is_large ? 4 : 2};
    tensor.threads = 32 * tensor.warps_rows * tensor.warps_lanes;
    tensor.resident = is_large ? 1 : 3;
    tensor.row_tiles = (int)tile->rows / tensor.warps_rows / 16;
    tensor.lane_tiles = (int)tile->lanes / tensor.warps_lanes / 8;
    tensor.depth = TENSOR_LINE / (is_narrow ? 2 : 4);
    tensor.together = is_tf32 ? 8 : 16;
    tensor.word = is_tf32 ? "unsigned" : "Halves";
    tensor.number = "block";
    tensor.at = "ahead";
    tensor.leave = "return";
    CHECK(tensor.row_tiles > 0 && tensor.lane_tiles > 0 && tensor.lane_tiles % 2 == 0);
    return tensor;
}

size_t tensor_shared_bytes(const TileProgram *program) {
    const TensorTile *tile = &program->tensor;
    if (tile->wgmma) return (size_t)(tile->rows + tile->lanes) * TENSOR_LINE * tile->stages + BARRIER_ROOM;
    int rows = factor_bytes(program, 1) * (int)tile->rows, lanes = factor_bytes(program, 2) * (int)tile->lanes;
    return (size_t)(rows + lanes) * (size_t)tensor_of(program).depth * tile->stages;
}

// ---- loops down to the tile

// The loop inside of `loop` on the way to the tile; TILE_NONE: it is the innermost one.
static uint32_t next_inside(const Printer *printer, uint32_t loop) {
    for (uint32_t i = loop + 1; i < printer->ends[loop]; i++) {
        if (printer_op(printer, i)->kind == TILE_ZERO) return TILE_NONE;
        if (printer_op(printer, i)->kind == TILE_LOOP) return i;
    }
    BUG("kernel %s has no tile", printer->symbol);
}

static uint32_t outermost(const Printer *printer) {
    uint32_t loop = 0;
    while (printer_op(printer, loop)->kind != TILE_LOOP) loop++;
    return loop;
}

int64_t tensor_rounds(const TileOp *loop) {
    bool is_tile = loop->loop == LOOP_ROWS || loop->loop == LOOP_LANES;
    return is_tile ? (loop->extent + loop->step - 1) / loop->step : loop->extent;
}

int64_t tensor_blocks(const TileProgram *program) {
    int64_t blocks = 1;
    for (uint32_t i = 0; program->ops[i].kind != TILE_ZERO; i++)
        if (program->ops[i].kind == TILE_LOOP && !(program->is_chained && loop_is_piece(&program->ops[i])))
            blocks *= tensor_rounds(&program->ops[i]);
    return blocks;
}

static void print_row_count(Printer *printer) {
    uint32_t loop = printer->rows_loop;
    const TileOp *op = printer_op(printer, loop);
    if (printer->row_count)
        print_line(printer, "const int rows_%u = int_minimum(%u, %lld - %s);", loop, op->step, (long long)op->extent,
                   loop_base(printer, loop));
}

static void open_tile_rows(Printer *printer, uint32_t loop) {
    const TileOp *op = printer_op(printer, loop);
    printer->rows_loop = loop;
    printer->rows = 2 * printer->tensor->row_tiles;
    if (op->extent % op->step != 0) printer->row_count = arena_format(printer->arena, "rows_%u", loop);
    if (!printer->tensor->tile.wgmma) print_row_count(printer);
}

// A tile that lies outside of the band has nothing to do.
static void leave_outside(Printer *printer, uint32_t loop) {
    const TileOp *op = printer_op(printer, loop);
    const char *base = loop_base(printer, loop);
    TileIndex bound = op->index;
    if (op->low > -BAND_OPEN) {
        bound.constant = op->index.constant + op->low;
        print_line(printer, "if (%s + %u <= %s) %s;", base, op->step, index_text(printer, &bound, INDEX_FIRST_ROW),
                   printer->tensor->leave);
    }
    if (op->high < BAND_OPEN) {
        bound.constant = op->index.constant + op->high;
        print_line(printer, "if (%s > %s) %s;", base, index_text(printer, &bound, INDEX_LAST_ROW),
                   printer->tensor->leave);
    }
}

static void open_tile_lanes(Printer *printer, uint32_t loop) {
    const TileOp *op = printer_op(printer, loop);
    printer->lanes_loop = loop;
    printer->vectors = 2 * printer->tensor->lane_tiles;
    if (op->extent % op->step) printer->lane_limit = arena_format(printer->arena, "%lld", (long long)op->extent);
    if (op->bounded) leave_outside(printer, loop);
}

static void print_base(Printer *printer, uint32_t loop, int64_t inner, bool is_outermost) {
    const TileOp *op = printer_op(printer, loop);
    if (print_raster(printer, loop)) return;
    int64_t blocks = tensor_rounds(op), tile = op->loop == LOOP_ROWS || op->loop == LOOP_LANES ? op->step : 1;
    Text text = text_create(printer->arena);
    text_append(&text, "%s", printer->tensor->number);
    if (inner > 1) text_append(&text, " / %lld", (long long)inner);
    if (!is_outermost) text_append(&text, " %% %lld", (long long)blocks);
    if (blocks == 1)
        print_line(printer, "const int %s = 0;", loop_base(printer, loop));
    else if (tile == 1)
        print_line(printer, "const int %s = %s;", loop_base(printer, loop), text_string(&text));
    else
        print_line(printer, "const int %s = %lld * (%s);", loop_base(printer, loop), (long long)tile,
                   text_string(&text));
}

uint32_t print_tiles_from(Printer *printer, uint32_t first) {
    int64_t inner = tensor_blocks(printer->program);
    uint32_t loop = first;
    bool is_split = printer->tensor->tile.wgmma;
    if (inner > INT32_MAX) BUG("kernel %s has %lld blocks", printer->symbol, (long long)inner);
    for (;;) {
        const TileOp *op = printer_op(printer, loop);
        inner /= tensor_rounds(op);
        print_base(printer, loop, inner, loop == first);
        if (op->loop == LOOP_ROWS) open_tile_rows(printer, loop);
        if (op->loop == LOOP_LANES) open_tile_lanes(printer, loop);
        uint32_t next = next_inside(printer, loop);
        if (next == TILE_NONE) return loop;
        if (!is_split) print_range(printer, loop + 1, next);
        loop = next;
    }
}

uint32_t print_tiles(Printer *printer) {
    uint32_t first = outermost(printer);
    if (!printer->tensor->tile.wgmma) print_range(printer, 0, first);
    return print_tiles_from(printer, first);
}

void print_between_tiles(Printer *printer) {
    uint32_t loop = outermost(printer);
    print_row_count(printer);
    print_range(printer, 0, loop);
    for (uint32_t next; (next = next_inside(printer, loop)) != TILE_NONE; loop = next)
        print_range(printer, loop + 1, next);
}

// ---- the ring

// What multiplies one stage: so many summed indices at a time as one product of fragments takes.
static void print_fragments(Printer *printer, const Panel *panel, const char *name, const char *first, int tiles) {
    const char *place = panel->by_depth ? "by_depth" : "by_rows", *side = panel->is_rows ? "rows" : "lanes";
    const char *pitch =
        panel->by_depth || panel->element == 2 ? arena_format(printer->arena, "%d, ", panel->pitch) : "";
    TensorKind kind = printer->tensor->tile.kind;
    bool is_rounded = panel->element == 4 && kind != TENSOR_TF32;
    print_line(printer, "UNROLL");
    print_line(printer, "for (int i = 0; i < %d; i++)", tiles);
    print_line(printer, "    %s_%s_%s%s(%s[i], %s_panel, %s%s + 16 * i, part);", side, place, is_rounded ? "f32_" : "",
               tensor_name(kind), name, side, pitch, first);
}

// Whether all of a stage at once would not find registers: rows that are read by depth are halves of many words.
static bool is_scarce(const Printer *printer, const Summing *summing) {
    const Tensor *tensor = printer->tensor;
    bool is_large = tensor->resident > 1 && tensor->row_tiles * tensor->lane_tiles >= 16;
    return is_large && summing->panels[0].by_depth && summing->panels[0].element == 4 && tensor->together == 16;
}

// Where the panels are of the stage that is multiplied: in the ring, but for rows that lie in shared memory.
static void print_panels(Printer *printer, const Summing *summing) {
    const char *stage = arena_format(printer->arena, "ring + (ahead + 1) %% %u * %d", printer->tensor->tile.stages,
                                     summing->stage_bytes);
    if (summing->panels[0].is_placed) {
        print_placed(printer, summing);
        print_line(printer, "const unsigned char *lanes_panel = %s;", stage);
        return;
    }
    print_line(printer, "const unsigned char *rows_panel = %s;", stage);
    print_line(printer, "const unsigned char *lanes_panel = rows_panel + %d;", summing->panels[0].bytes);
}

void print_stage_products(Printer *printer, const Summing *summing) {
    const Tensor *tensor = printer->tensor;
    const TileOp *multiply = printer_op(printer, summing->multiply);
    int rows = (int)tensor->tile.rows / tensor->warps_rows, lanes = (int)tensor->tile.lanes / tensor->warps_lanes;
    const char *own_rows = arena_format(printer->arena, "%d * (WARP / %d)", rows, tensor->warps_lanes);
    print_panels(printer, summing);
    print_line(printer, is_scarce(printer, summing) ? "ROLLED" : "UNROLL");
    print_line(printer, "for (int part = 0; part < %d; part++) {", tensor->depth / tensor->together);
    print_line(printer, "%s a[%d][4], b[%d][4];", tensor->word, tensor->row_tiles, tensor->lane_tiles / 2);
    if (summing->panels[0].is_placed) print_placed_fragments(printer, summing, own_rows);
    else print_fragments(printer, &summing->panels[0], "a", own_rows, tensor->row_tiles);
    print_fragments(printer, &summing->panels[1], "b",
                    arena_format(printer->arena, "%d * (WARP %% %d)", lanes, tensor->warps_lanes),
                    tensor->lane_tiles / 2);
    print_line(printer, "UNROLL");
    print_line(printer, "for (int i = 0; i < %d; i++) {", tensor->row_tiles);
    print_line(printer, "UNROLL");
    print_line(printer, "for (int j = 0; j < %d; j++)", tensor->lane_tiles);
    TileValue tile = multiply->operands[0];
    print_line(printer, "    multiply_%s(&v%u[2 * i][2 * j], &v%u[2 * i + 1][2 * j], a[i], b[j / 2] + 2 * (j %% 2));",
               tensor_name(tensor->tile.kind), tile, tile);
    print_line(printer, "}");
    print_line(printer, "}");
}

static void print_ring(Printer *printer, const Summing *summing) {
    uint32_t stages = printer->tensor->tile.stages;
    print_line(printer, "for (int ahead = 0; ahead < steps + %u; ahead++) {", stages - 1);
    print_line(printer, "if (ahead >= %u) {", stages - 1);
    print_line(printer, "copies_wait(%u);", stages - 2);
    print_line(printer, "block_barrier();");
    print_line(printer, "}");
    print_line(printer, "if (ahead < steps) {");
    print_stage(printer, summing);
    print_line(printer, "}");
    print_line(printer, "copies_end();");
    print_line(printer, "if (ahead < %u) continue;", stages - 1);
    print_stage_products(printer, summing);
    print_line(printer, "}");
}

void print_exchange(Printer *printer, TileValue sums) {
    print_line(printer, "UNROLL");
    print_line(printer, "for (int r = 0; r < %d; r++) {", printer->rows);
    print_line(printer, "UNROLL");
    print_line(printer, "for (int four = 0; four < %d; four += 4) exchange_four(v%u[r] + four);", printer->vectors,
               sums);
    print_line(printer, "}");
}

// ---- the kernel

void print_own_part(Printer *printer) {
    const Tensor *tensor = printer->tensor;
    int rows = (int)tensor->tile.rows / tensor->warps_rows, lanes = (int)tensor->tile.lanes / tensor->warps_lanes;
    bool has_idle = 32 * tensor->warps_rows * tensor->warps_lanes < tensor->threads;
    const char *wrap = has_idle ? arena_format(printer->arena, " %% %d", tensor->warps_rows) : "";
    print_line(
        printer,
        "const int own_row = %d * (WARP / %d%s) + WARP_LANE / 4, own_lane = %d * (WARP %% %d) + FIRST_LANE;",
        rows, tensor->warps_lanes, wrap, lanes, tensor->warps_lanes);
}

void print_tensor(Printer *printer) {
    if (printer->tensor->tile.wgmma) {
        print_warpgroup(printer);
        return;
    }
    print_line(printer, "unsigned char *const ring = shared_memory;");
    print_own_part(printer);
    uint32_t loop = print_tiles(printer);
    uint32_t sum = sum_loop(printer->program);
    print_range(printer, loop + 1, sum);
    Summing summing = summing_of(printer, sum);
    print_steps(printer, &summing);
    print_ring(printer, &summing);
    print_exchange(printer, printer_op(printer, summing.multiply)->operands[0]);
    print_range(printer, printer->ends[sum] + 1, printer->ends[loop]);
    printer->rows = printer->vectors = 1;
    printer->rows_loop = printer->lanes_loop = TILE_NONE;
    printer->row_count = printer->lane_limit = NULL;
}
