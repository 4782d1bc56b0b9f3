// A product in blocks for warpgroups of sm_90a -> the text of its kernel.
//
//     one thread, the producer                            each other warpgroup: 64 rows
//       for (each tile of the block) {                      for (each tile of the block) {
//           for (each stage of its sum) {                       for (each stage of its sum) {
//               wait until it is empty;                             wait until it is full;
//               expect its bytes;                                   begin to multiply it, 16 summed indices at a time;
//               begin to copy boxes of both factors;                wait for the stage before: it is empty
//           }                                                   }
//       }                                                       wait for the last one: it is empty; store the tile
//                                                           }
//
// A block stays on its multiprocessor and takes every so-manieth tile, so that stages of the next tile come while one
// is stored. A stage of the ring (its `slot`) has two barriers: `full`, which the bytes of its boxes end, and `empty`,
// at which each warp that multiplies it arrives once; their parity is that of the `round` through the ring, which goes
// on from tile to tile. What a tile lacks of rows, lanes or summed indices comes as zeros. The producer's registers go
// to the others.
//
// In turns, each of two warpgroups takes every other tile of the block. Stages come tile by tile, so one multiplies
// what has come while the other stores: that hides an epilogue as long as a tile's products. Which one's turn it is two
// more barriers say (`turns`): parities tell but two successive rounds of a stage apart, so nobody may wait for a later
// one.
#include <string.h>

#include "base/diag.h"
#include "codegen/cuda/print_tensor.h"

// Registers of a multiprocessor; of the producer's threads; what registers are given in.
enum { ALL_REGISTERS = 65536, PRODUCER_REGISTERS = 24, REGISTER_UNIT = 8, MOST_REGISTERS = 240 };
// Rows of tiles that are taken one after the other before the next lanes are.
enum { RASTER_ROWS = 16 };

// ---- which tile a block has

static int64_t raster_rows(const Printer *printer) {
    return tensor_rounds(printer_op(printer, printer->rows_loop));
}

static int64_t raster_lanes(const Printer *printer) {
    uint32_t i = printer->rows_loop;
    while (printer_op(printer, i)->kind != TILE_LOOP || printer_op(printer, i)->loop != LOOP_LANES)
        i++;
    return tensor_rounds(printer_op(printer, i));
}

static void print_raster_rows(Printer *printer, uint32_t loop) {
    int64_t rows = raster_rows(printer), lanes = raster_lanes(printer), group = RASTER_ROWS * lanes;
    const char *base = loop_base(printer, loop);
    print_line(printer, "const int tile = work %% %lld;", (long long)(rows * lanes));
    if (rows <= RASTER_ROWS || lanes == 1) {
        print_line(printer, "const int tile_lanes = tile / %lld, %s = %u * (tile %% %lld);", (long long)rows, base,
                   printer->tensor->tile.rows, (long long)rows);
        return;
    }
    const char *high = arena_format(printer->arena, "%d", RASTER_ROWS);
    if (rows % RASTER_ROWS)
        high = arena_format(printer->arena, "int_minimum(%d, %lld - tile / %lld * %d)", RASTER_ROWS, (long long)rows,
                            (long long)group, RASTER_ROWS);
    print_line(printer, "const int tile_group = %s, tile_lanes = tile %% %lld / tile_group;", high, (long long)group);
    print_line(printer, "const int %s = %u * (tile / %lld * %d + tile %% %lld %% tile_group);", base,
               printer->tensor->tile.rows, (long long)group, RASTER_ROWS, (long long)group);
}

bool print_raster(Printer *printer, uint32_t loop) {
    LoopKind kind = printer_op(printer, loop)->loop;
    if (!printer->tensor->tile.wgmma || (kind != LOOP_ROWS && kind != LOOP_LANES)) return false;
    if (kind == LOOP_ROWS) {
        printer->rows_loop = loop;
        print_raster_rows(printer, loop);
    } else {
        print_line(printer, "const int %s = %u * tile_lanes;", loop_base(printer, loop), printer->tensor->tile.lanes);
    }
    return true;
}

// ---- the ring

typedef struct {
    TileValue loops[MAX_RANK]; // the sum's, outermost first
    int loop_count;
    uint32_t multiply;
    BoxPanel panels[2];
    int stage_bytes;
} Boxes;

static Boxes boxes_of(Printer *printer, uint32_t sum) {
    Boxes boxes = {0};
    for (uint32_t i = sum; i < printer->ends[sum]; i++) {
        const TileOp *op = printer_op(printer, i);
        if (op->kind == TILE_MULTIPLY_ACCUMULATE) boxes.multiply = i;
        if (op->kind != TILE_LOOP) continue;
        CHECK(boxes.loop_count < MAX_RANK && op->loop == LOOP_PLAIN && !op->bounded);
        boxes.loops[boxes.loop_count++] = i;
    }
    box_panels(printer->program, boxes.panels);
    boxes.stage_bytes = boxes.panels[0].bytes + boxes.panels[1].bytes;
    return boxes;
}

static int64_t depth_rounds(const Printer *printer, const Boxes *boxes) {
    const TileOp *loop = printer_op(printer, boxes->loops[boxes->loop_count - 1]);
    return (loop->extent + printer->tensor->depth - 1) / printer->tensor->depth;
}

static void print_ring_head(Printer *printer, const Boxes *boxes) {
    const TensorTile *tile = &printer->tensor->tile;
    int64_t steps = depth_rounds(printer, boxes);
    for (int i = 0; i + 1 < boxes->loop_count; i++)
        steps *= printer_op(printer, boxes->loops[i])->extent;
    print_line(printer, "const int steps = %lld;", (long long)steps);
    print_line(printer, "unsigned long long *const full = (unsigned long long *)(ring + %d), *const empty = full + %u;",
               (int)tile->stages * boxes->stage_bytes, tile->stages);
    if (tile->in_turns) print_line(printer, "unsigned long long *const turns = empty + %u;", tile->stages);
    print_line(printer, "if (threadIdx.x == 0) {");
    print_line(printer, "for (int i = 0; i < %u; i++) {", tile->stages);
    print_line(printer, "barrier_begin(full + i, 1);");
    print_line(printer, "barrier_begin(empty + i, %d);", printer->tensor->warps_rows);
    print_line(printer, "}");
    if (tile->in_turns) print_line(printer, "for (int i = 0; i < 2; i++) barrier_begin(turns + i, 4);");
    print_line(printer, "barriers_publish();");
    print_line(printer, "}");
    print_line(printer, "block_barrier();");
}

// Where stage `step` is along the sum.
static void print_where(Printer *printer, const Boxes *boxes) {
    int64_t rounds = depth_rounds(printer, boxes), inner = rounds;
    for (int i = boxes->loop_count - 1; i-- > 0;) {
        int64_t extent = printer_op(printer, boxes->loops[i])->extent;
        const char *wrap = i ? arena_format(printer->arena, " %% %lld", (long long)extent) : "";
        print_line(printer, "const int %s = step / %lld%s;", loop_base(printer, boxes->loops[i]), (long long)inner,
                   wrap);
        inner *= extent;
    }
    const char *round =
        boxes->loop_count > 1 ? arena_format(printer->arena, "(step %% %lld)", (long long)rounds) : "step";
    print_line(printer, "const int %s = %d * %s;", loop_base(printer, boxes->loops[boxes->loop_count - 1]),
               printer->tensor->depth, round);
}

static const char *coordinates_text(const Printer *printer, const BoxPanel *panel, int box) {
    Text text = text_create(printer->arena);
    for (uint32_t i = 0; i < panel->map.rank; i++)
        text_append(&text, ", %s", loop_base(printer, panel->loops[i]));
    if (box == 0) return text_string(&text);
    const char *first = loop_base(printer, panel->loops[0]);
    return arena_format(printer->arena, ", %s + %d%s", first, 64 * box, text_string(&text) + 2 + strlen(first));
}

static void print_boxes(Printer *printer, const BoxPanel *panel, int number, int offset) {
    for (int box = 0; box < panel->boxes; box++)
        print_line(printer, "copy_box_%u(stage + %d, &m%d, full + slot%s);", panel->map.rank,
                   offset + box * panel->bytes / panel->boxes, number, coordinates_text(printer, panel, box));
}

// What the block's threads begin with, less what the producer's keep, for all others. 0: there are enough for all.
static int consumer_registers(const Tensor *tensor) {
    int each = ALL_REGISTERS / (tensor->resident * tensor->threads) / REGISTER_UNIT * REGISTER_UNIT;
    int consumers = tensor->threads - 128, rest = each * tensor->threads - 128 * PRODUCER_REGISTERS;
    return each >= MOST_REGISTERS ? 0 : rest / consumers / REGISTER_UNIT * REGISTER_UNIT;
}

// Every so-manieth tile. `at`: stages of the ring that came before it.
static void open_consumed_tiles(Printer *printer) {
    long long tiles = (long long)tensor_blocks(printer->program);
    if (!printer->tensor->tile.in_turns) {
        print_line(printer, "for (int work = block, at = 0; work < %lld; work += blocks, at += steps) {", tiles);
    } else {
        print_line(printer, "const int own = WARPGROUP - 1;");
        print_line(printer, "int work = block + blocks * own, at = steps * own, turn = 1 - own;");
        print_line(printer, "for (; work < %lld; work += 2 * blocks, at += 2 * steps, turn ^= 1) {", tiles);
    }
    uint32_t stages = printer->tensor->tile.stages;
    print_line(printer, "int slot = at %% %u, round = at / %u %% 2, before = 0;", stages, stages);
}

static void print_next_slot(Printer *printer) {
    print_line(printer, "if (++slot == %u) slot = 0, round ^= 1;", printer->tensor->tile.stages);
}

static void print_producer(Printer *printer, const Boxes *boxes) {
    print_line(printer, "if (WARPGROUP == 0) {");
    if (consumer_registers(printer->tensor) > 0) print_line(printer, "registers_decrease(%d);", PRODUCER_REGISTERS);
    print_line(printer, "if (threadIdx.x != 0) return;");
    print_line(printer, "map_prefetch(&m0);");
    print_line(printer, "map_prefetch(&m1);");
    print_line(printer, "int slot = 0, round = 0;");
    print_line(printer, "for (int work = block; work < %lld; work += blocks) {",
               (long long)tensor_blocks(printer->program));
    print_tiles(printer);
    print_line(printer, "ROLLED");
    print_line(printer, "for (int step = 0; step < steps; step++) {");
    print_line(printer, "unsigned char *const stage = ring + slot * %d;", boxes->stage_bytes);
    print_where(printer, boxes);
    print_line(printer, "barrier_wait(empty + slot, 1 - round);");
    print_line(printer, "barrier_expect(full + slot, %d);", boxes->stage_bytes);
    print_boxes(printer, &boxes->panels[0], 0, 0);
    print_boxes(printer, &boxes->panels[1], 1, boxes->panels[0].bytes);
    print_next_slot(printer);
    print_line(printer, "}");
    print_line(printer, "}");
    print_line(printer, "return;");
    print_line(printer, "}");
}

static const char *matrix_text(const Printer *printer, const BoxPanel *panel, const char *name) {
    if (!panel->by_depth) return arena_format(printer->arena, "matrix_by_rows(%s, part)", name);
    return arena_format(printer->arena, "matrix_by_depth(%s, part, %d)", name, panel->bytes / panel->boxes);
}

enum { GROUP_BYTES = 64 * TENSOR_LINE };   // of 64 rows, side by side or one beneath the other

static void print_multiplication(Printer *printer, const Boxes *boxes, TileValue sums) {
    const Tensor *tensor = printer->tensor;
    const char *own = tensor->tile.in_turns
                          ? ""
                          : arena_format(printer->arena, " + %d * (WARPGROUP - 1)", GROUP_BYTES * tensor->row_tiles);
    print_line(printer, "const unsigned char *const rows_panel = ring + slot * %d%s;", boxes->stage_bytes, own);
    print_line(printer, "const unsigned char *const lanes_panel = ring + slot * %d + %d;", boxes->stage_bytes,
               boxes->panels[0].bytes);
    print_line(printer, "barrier_wait(full + slot, round);");
    print_line(printer, "products_begin();");
    print_line(printer, "UNROLL");
    print_line(printer, "for (int part = 0; part < %d; part++) {", tensor->depth / tensor->together);
    const char *lanes = matrix_text(printer, &boxes->panels[1], "lanes_panel");
    for (int i = 0; i < tensor->row_tiles; i++) {
        const char *rows = i ? arena_format(printer->arena, "rows_panel + %d", i * GROUP_BYTES) : "rows_panel";
        const char *into = i ? arena_format(printer->arena, "(v%u + %d)", sums, 2 * i)
                             : arena_format(printer->arena, "v%u", sums);
        print_line(printer, "multiply_64_by_%u(%s, %s, %s, %d, %d);", tensor->tile.lanes, into,
                   matrix_text(printer, &boxes->panels[0], rows), lanes, boxes->panels[0].by_depth,
                   boxes->panels[1].by_depth);
    }
    print_line(printer, "}");
    print_line(printer, "products_end();");
}

// All stages of a tile; the last one is released before the tile is stored.
static void print_sums(Printer *printer, const Boxes *boxes) {
    TileValue sums = printer_op(printer, boxes->multiply)->operands[0];
    bool in_turns = printer->tensor->tile.in_turns;
    if (in_turns) print_line(printer, "barrier_wait(turns + own, turn);");
    print_line(printer, "ROLLED");
    print_line(printer, "for (int step = 0; step < steps; step++) {");
    print_multiplication(printer, boxes, sums);
    print_line(printer, "products_wait(1);");
    print_line(printer, "if (step > 0 && WARP_LANE == 0) barrier_arrive(empty + before);");
    print_line(printer, "before = slot;");
    print_next_slot(printer);
    print_line(printer, "}");
    if (in_turns) print_line(printer, "if (WARP_LANE == 0) barrier_arrive(turns + 1 - own);");
    print_line(printer, "products_wait(0);");
    print_line(printer, "if (WARP_LANE == 0) barrier_arrive(empty + before);");
    print_line(printer, "UNROLL");
    print_line(printer, "for (int r = 0; r < %d; r += 2) {", printer->rows);
    print_line(printer, "UNROLL");
    print_line(printer, "for (int v = 0; v < %d; v++) products_keep(v%u[r][v], v%u[r + 1][v]);", printer->vectors, sums,
               sums);
    print_line(printer, "}");
    print_exchange(printer, sums);
}

static void print_consumers(Printer *printer, const Boxes *boxes, uint32_t sum) {
    int registers = consumer_registers(printer->tensor);
    if (registers > 0) print_line(printer, "registers_increase(%d);", registers);
    const char *group = printer->tensor->tile.in_turns
                            ? ""
                            : arena_format(printer->arena, "%d * (WARPGROUP - 1) + ", 64 * printer->tensor->row_tiles);
    print_line(printer, "const int own_row = %s16 * (WARP %% 4) + WARP_LANE / 4, own_lane = FIRST_LANE;", group);
    open_consumed_tiles(printer);
    uint32_t loop = print_tiles(printer);
    print_between_tiles(printer);
    print_range(printer, loop + 1, sum);
    print_sums(printer, boxes);
    print_range(printer, printer->ends[sum] + 1, printer->ends[loop]);
    print_line(printer, "}");
    printer->rows = printer->vectors = 1;
}

// ---- the kernel

void print_warpgroup(Printer *printer) {
    uint32_t sum = sum_loop(printer->program);
    Boxes boxes = boxes_of(printer, sum);
    print_line(printer, "unsigned char *const ring = shared_boxes;");
    print_ring_head(printer, &boxes);
    print_producer(printer, &boxes);
    print_consumers(printer, &boxes, sum);
}
