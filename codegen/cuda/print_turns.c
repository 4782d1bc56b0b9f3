// A chain's product in tensor cores -> the text of its part: a block of threads takes the tiles of its piece in turn.
//
//     for (int block = 0; block < 8; block++) {                     the tile at hand
//         const int S_11 = 128 * block;   float v12[2][8];
//         for (int step = fill; step < steps; step++, ahead++) {    its stages; at first the ring is filled
//             if (step >= 0) { copies_wait(1); block_barrier(); }
//             for (; coming < 8; coming++, next = 0) {              what comes meanwhile: stage `next` of `coming`
//                 const int S_11 = 128 * coming;
//                 if (next == 1) continue;
//                 ...   next++;   break;
//             }
//             copies_end();
//             if (step < 0) continue;
//             multiply
//         }
//         fill = 0;
//         store
//     }
//
// So the ring is as full between two tiles as it is inside of one, and tiles that lie outside of a band are not copied.
// Blocks of warps that find no part of a small tile copy, and rest.
#include "base/diag.h"
#include "codegen/cuda/print_tensor.h"

// ---- who does what

static uint32_t loop_of_kind(const TileProgram *program, LoopKind kind) {
    for (uint32_t i = 0; program->ops[i].kind != TILE_ZERO; i++)
        if (program->ops[i].kind == TILE_LOOP && program->ops[i].loop == kind) return i;
    BUG("a product of a chain has no %s", kind == LOOP_ROWS ? "rows" : "lanes");
}

// The sum and its panels, outside of any text.
static Summing summing_alone(Arena *arena, const TileProgram *program, const Spread *spread, const Tensor *tensor) {
    Text nowhere = text_create(arena);
    Printer printer = printer_of(arena, &nowhere, program, program->name, spread);
    printer.tensor = tensor;
    printer.rows_loop = loop_of_kind(program, LOOP_ROWS);
    printer.lanes_loop = loop_of_kind(program, LOOP_LANES);
    return summing_of(&printer, sum_loop(program));
}

// A stage has 128 bytes of the wider factor that is copied, or half of that where the sum is no longer.
static int depth_of(const TileProgram *program, const Summing *summing) {
    int rows = summing->panels[0].is_placed ? 0 : summing->panels[0].element, lanes = summing->panels[1].element;
    int depth = TENSOR_LINE / (rows > lanes ? rows : lanes);
    const TileOp *loop = &program->ops[summing->loops[summing->loop_count - 1]];
    return depth == 64 && loop->extent <= 32 ? 32 : depth;
}

Tensor tensor_in_chain(Arena *arena, const TileProgram *program, const Spread *spread, const bool *is_shared,
                       int warps) {
    const TensorTile *tile = &program->tensor;
    bool is_tf32 = tile->kind == TENSOR_TF32;
    Tensor tensor = {.tile = *tile,
                     .warps_rows = tile->rows >= 32 ? 2 : 1,
                     .threads = 32 * warps,
                     .resident = 1,
                     .depth = TENSOR_LINE / 4,
                     .together = is_tf32 ? 8 : 16,
                     .word = is_tf32 ? "unsigned" : "Halves",
                     .number = "block",
                     .at = "step",
                     .leave = "continue",
                     .is_shared = is_shared};
    tensor.warps_lanes = warps / tensor.warps_rows;
    while ((int)tile->lanes / tensor.warps_lanes < 16) tensor.warps_lanes /= 2;
    tensor.row_tiles = (int)tile->rows / tensor.warps_rows / 16;
    tensor.lane_tiles = (int)tile->lanes / tensor.warps_lanes / 8;
    CHECK(tensor.row_tiles > 0 && tensor.lane_tiles > 0 && tensor.lane_tiles % 2 == 0);
    Summing summing = summing_alone(arena, program, spread, &tensor);
    tensor.depth = depth_of(program, &summing);
    bool *is_copied = ARENA_ARRAY(arena, bool, program->buffer_count + 1);
    for (int p = 0; p < 2; p++)
        if (!summing.panels[p].is_placed) is_copied[program->ops[summing.panels[p].load].buffer] = true;
    tensor.is_copied = is_copied;
    return tensor;
}

int tensor_stage_bytes(Arena *arena, const TileProgram *program, const Spread *spread, const Tensor *tensor) {
    return summing_alone(arena, program, spread, tensor).stage_bytes;
}

// ---- the text

// Stage `next` of tile `coming`, when there is one left.
static void print_coming(const Printer *printer, uint32_t first, int64_t tiles) {
    Printer copier = *printer;
    Tensor tensor = *printer->tensor;
    size_t count = printer->program->op_count + 1;
    tensor.number = "coming";
    tensor.at = "next";
    copier.tensor = &tensor;
    copier.cells = ARENA_ARRAY(printer->arena, Cell, count);
    for (size_t i = 0; i < count; i++) copier.cells[i] = printer->cells[i];
    print_line(&copier, "for (; coming < %lld; coming++, next = 0) {", (long long)tiles);
    print_tiles_from(&copier, first);
    Summing summing = summing_of(&copier, sum_loop(printer->program));
    print_steps(&copier, &summing);
    print_line(&copier, "if (next == steps) continue;");
    print_stage(&copier, &summing);
    print_line(&copier, "next++;");
    print_line(&copier, "break;");
    print_line(&copier, "}");
}

static bool has_idle_warps(const Tensor *tensor) {
    return 32 * tensor->warps_rows * tensor->warps_lanes < tensor->threads;
}

static void open_busy_warps(Printer *printer) {
    const Tensor *tensor = printer->tensor;
    if (has_idle_warps(tensor)) print_line(printer, "if (WARP < %d) {", tensor->warps_rows * tensor->warps_lanes);
}

static void close_busy_warps(Printer *printer) {
    if (has_idle_warps(printer->tensor)) print_line(printer, "}");
}

// Whether the sum begins with what ranges before left.
static bool goes_on(const Printer *printer, uint32_t loop, uint32_t sum) {
    for (uint32_t i = loop + 1; i < sum; i++)
        if (printer_op(printer, i)->kind == TILE_ACCUMULATE) return true;
    return false;
}

static void print_tile(Printer *printer, uint32_t first, int64_t tiles) {
    int ahead = (int)printer->tensor->tile.stages - 1;
    const Printer before = *printer;
    uint32_t loop = print_tiles_from(printer, first), sum = sum_loop(printer->program);
    print_range(printer, loop + 1, sum);
    Summing summing = summing_of(printer, sum);
    TileValue sums = printer_op(printer, summing.multiply)->operands[0];
    if (goes_on(printer, loop, sum)) print_exchange(printer, sums);   // back: what others left lies as it is stored
    print_steps(printer, &summing);
    print_line(printer, "for (int step = fill; step < steps; step++, ahead++) {");
    print_line(printer, "if (step >= 0) {");
    print_line(printer, "copies_wait(%d);", ahead - 1);
    print_line(printer, "block_barrier();");
    print_line(printer, "}");
    Printer copier = before;
    copier.depth = printer->depth;
    print_coming(&copier, first, tiles);
    print_line(printer, "copies_end();");
    print_line(printer, "if (step < 0) continue;");
    open_busy_warps(printer);
    print_stage_products(printer, &summing);
    close_busy_warps(printer);
    print_line(printer, "}");
    print_line(printer, "fill = 0;");
    open_busy_warps(printer);
    print_exchange(printer, sums);
    print_range(printer, printer->ends[sum] + 1, printer->ends[loop]);
    close_busy_warps(printer);
    printer->rows = printer->vectors = 1;
    printer->rows_loop = printer->lanes_loop = TILE_NONE;
    printer->row_count = printer->lane_limit = NULL;
}

// The ring, the piece, and what stands before the loops down to the tile. Returns the first one of these.
static uint32_t print_beginning(Printer *printer, size_t ring) {
    uint32_t piece = 0, first;
    while (printer_op(printer, piece)->kind != TILE_LOOP) piece++;
    CHECK(loop_is_piece(printer_op(printer, piece)));
    for (first = piece + 1; printer_op(printer, first)->kind != TILE_LOOP;) first++;
    print_line(printer, "unsigned char *const ring = shared_memory + %zu;", ring);
    print_own_part(printer);
    print_range(printer, 0, piece);
    print_line(printer, "const int %s = piece;", loop_base(printer, piece));
    print_range(printer, piece + 1, first);
    return first;
}

void print_first_stages(Printer *printer, size_t ring) {
    uint32_t first = print_beginning(printer, ring);
    print_line(printer, "for (; ahead < %u; ahead++) {", printer->tensor->tile.stages - 1);
    print_coming(printer, first, tensor_blocks(printer->program));
    print_line(printer, "copies_end();");
    print_line(printer, "}");
}

void print_turns(Printer *printer, size_t ring, bool is_filled) {
    uint32_t first = print_beginning(printer, ring);
    int64_t tiles = tensor_blocks(printer->program);
    if (!is_filled) print_line(printer, "int coming = 0, next = 0, ahead = 0;");
    print_line(printer, "int fill = %d;", is_filled ? 0 : 1 - (int)printer->tensor->tile.stages);
    print_line(printer, "for (int block = 0; block < %lld; block++) {", (long long)tiles);
    print_tile(printer, first, tiles);
    print_line(printer, "}");
}
