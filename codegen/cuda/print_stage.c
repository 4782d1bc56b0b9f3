// One stage of a product's ring: what of both operands each thread copies into shared memory.
//
//     %4 = load b1[128*BT.0 + C.3]      C moves by 1: a line of 128 bytes for each row, copied 16 bytes at a time
//       ->  for (i < 4) {
//               const int piece = threadIdx.x + 128 * i, line = piece / 8, along = 4 * (piece % 8);
//               const int BT_0i = BT_0 + line, C_3 = depth + along;
//               const int count = 700 - BT_0i > 0 ? 4 : 0;
//               copy_16(stage + PLACE_BY_ROWS(line, along / 4), count > 0 ? b1 + (128*BT_0i + C_3) : b1, 4 * count);
//           }
//
// Where rows lie side by side in memory a line is a summed index. Where 16 bytes are not side by side, or do not begin
// at a multiple of 16, or a band cuts off their beginning, it is an element at a time.
#include "base/diag.h"
#include "codegen/cuda/print_tensor.h"

// Where each comes from, and those of 16 bits themselves, take registers, which are few.
enum { MOST_SINGLE = 16 };

// ---- how an address moves

// While a loop's index goes over `wide` elements from a multiple of so many: by how much a value moves each time, and
// whether it is such a multiple at first.
typedef struct {
    bool known;
    int64_t step;
    bool multiple;
} Motion;

typedef struct {
    const Printer *printer;
    TileValue loop;
    int wide;
} Mover;

static Motion index_motion(const Mover *mover, const TileIndex *index);

static Motion map_motion(const Mover *mover, const TileOp *op);

// Values that are the same for all lanes of a tile, or for all rows, whatever they are.
static bool stays(const Mover *mover, TileValue value) {
    uint8_t shape = mover->printer->shapes[value];
    if (mover->loop == mover->printer->lanes_loop) return !(shape & SHAPE_LANES);
    return mover->loop == mover->printer->rows_loop && !(shape & SHAPE_ROWS);
}

static Motion value_motion(const Mover *mover, TileValue value) {
    const TileOp *op = printer_op(mover->printer, value);
    if (value == mover->loop) return (Motion){true, 1, true};
    switch (op->kind) {
    case TILE_CONST: return (Motion){true, 0, (int64_t)op->number % mover->wide == 0};
    case TILE_LOOP: return (Motion){true, 0, false};
    case TILE_INDEX: return index_motion(mover, &op->index);
    case TILE_MAP: {
        Motion motion = map_motion(mover, op);
        return motion.known || !stays(mover, value) ? motion : (Motion){true, 0, false};
    }
    default: return stays(mover, value) ? (Motion){true, 0, false} : (Motion){0};
    }
}

// x / d and x % d of an x that moves by 1 from a multiple of WIDE, d another multiple: the former stays.
static Motion map_motion(const Mover *mover, const TileOp *op) {
    if (op->function != TILE_DIVIDE && op->function != TILE_REMAINDER) return (Motion){0};
    Motion motion = value_motion(mover, op->operands[0]);
    bool by_whole = (int64_t)printer_op(mover->printer, op->operands[1])->number % mover->wide == 0;
    if (!motion.known) return motion;
    if (motion.step == 0) return (Motion){true, 0, op->function == TILE_REMAINDER && by_whole && motion.multiple};
    if (motion.step != 1 || !motion.multiple || !by_whole) return (Motion){0};
    return op->function == TILE_DIVIDE ? (Motion){true, 0, false} : motion;
}

static Motion index_motion(const Mover *mover, const TileIndex *index) {
    Motion sum = {true, 0, index->constant % mover->wide == 0};
    for (int i = 0; i < index->count && sum.known; i++) {
        Motion term = value_motion(mover, index->terms[i].value);
        sum.known = term.known;
        sum.step += index->terms[i].coefficient * term.step;
        sum.multiple &= term.multiple || index->terms[i].coefficient % mover->wide == 0;
    }
    return sum;
}

bool moves_by_whole(const Printer *printer, const TileIndex *index, TileValue loop, int wide) {
    Motion motion = index_motion(&(Mover){printer, loop, wide}, index);
    return motion.known && motion.step == 1 && motion.multiple;
}

// ---- what there is to sum

// Which end of a band cuts rows and which summed indices: only what lies behind can be left out of a copy of 16 bytes.
static bool band_cuts_beginnings(const TileOp *loop, bool by_depth) {
    return by_depth ? loop->high < BAND_OPEN : loop->low > -BAND_OPEN;
}

static Panel panel_of(const Printer *printer, const Summing *summing, TileValue load, bool is_rows) {
    const Tensor *tensor = printer->tensor;
    TileValue depth = summing->loops[summing->loop_count - 1];
    Panel panel = {.is_rows = is_rows, .load = load, .loop = is_rows ? printer->rows_loop : printer->lanes_loop};
    const TileOp *op = printer_op(printer, load);
    panel.extent = (int)(is_rows ? tensor->tile.rows : tensor->tile.lanes);
    panel.element = (int)dtype_bytes(printer->program->buffers[op->buffer].dtype);
    panel.wide = 16 / panel.element;
    Motion by_rows = index_motion(&(Mover){printer, depth, panel.wide}, &op->index);
    Motion by_depth = index_motion(&(Mover){printer, panel.loop, panel.wide}, &op->index);
    panel.by_depth = by_depth.known && by_depth.step == 1 && !(by_rows.known && by_rows.step == 1);
    const Motion *motion = panel.by_depth ? &by_depth : &by_rows;
    panel.is_whole = motion->known && motion->step == 1 && motion->multiple;
    if (is_rows && summing->masks_rows && band_cuts_beginnings(printer_op(printer, depth), panel.by_depth))
        panel.is_whole = false;
    panel.lines = panel.by_depth ? tensor->depth : panel.extent;
    panel.across = panel.by_depth ? panel.extent : tensor->depth;
    // Pieces change places within 128 bytes, or 64, of a line: one of few rows has room behind it.
    int least = panel.element == 2 ? 64 : 128;
    panel.pitch = panel.element * panel.across > least ? panel.element * panel.across : least;
    panel.bytes = panel.lines * panel.pitch;
    find_placed(printer, summing, &panel);
    return panel;
}

static bool moves_with_rows(const Printer *printer, const TileOp *loop) {
    for (int i = 0; i < loop->index.count; i++)
        if (printer->shapes[loop->index.terms[i].value] & SHAPE_ROWS) return true;
    return false;
}

Summing summing_of(Printer *printer, uint32_t loop) {
    Summing summing = {0};
    for (uint32_t i = loop; i < printer->ends[loop]; i++) {
        const TileOp *op = printer_op(printer, i);
        if (op->kind == TILE_LOOP) {
            CHECK(summing.loop_count < MAX_RANK && op->loop == LOOP_PLAIN);
            summing.loops[summing.loop_count++] = i;
        }
        if (op->kind == TILE_MULTIPLY_ACCUMULATE) summing.multiply = i;
    }
    const TileOp *multiply = printer_op(printer, summing.multiply);
    const TileOp *depth = printer_op(printer, summing.loops[summing.loop_count - 1]);
    summing.masks_rows = depth->bounded && moves_with_rows(printer, depth);
    summing.panels[0] = panel_of(printer, &summing, multiply->operands[1], true);
    summing.panels[1] = panel_of(printer, &summing, multiply->operands[2], false);
    summing.stage_bytes = summing.panels[0].bytes + summing.panels[1].bytes;
    return summing;
}

// ---- stages

const TileOp *depth_loop(const Printer *printer, const Summing *summing) {
    return printer_op(printer, summing->loops[summing->loop_count - 1]);
}

// Bounds as those of any bounded loop, from a multiple of 8 on.
static void print_bounds(Printer *printer, const TileOp *loop) {
    const char *begin = "0", *end = arena_format(printer->arena, "%lld", (long long)loop->extent);
    TileIndex bound = loop->index;
    if (loop->low > -BAND_OPEN) {
        bound.constant = loop->index.constant + loop->low;
        begin = arena_format(printer->arena, "int_maximum(0, %s) & ~7", index_text(printer, &bound, INDEX_FIRST_ROW));
    }
    if (loop->high < BAND_OPEN) {
        bound.constant = loop->index.constant + loop->high + 1;
        end = arena_format(printer->arena, "int_minimum(%s, %s)", end, index_text(printer, &bound, INDEX_LAST_ROW));
    }
    print_line(printer, "const int begin = %s, end = %s;", begin, end);
}

void print_steps(Printer *printer, const Summing *summing) {
    const TileOp *loop = depth_loop(printer, summing);
    int depth = printer->tensor->depth;
    int64_t outer = 1;
    for (int i = 0; i + 1 < summing->loop_count; i++) outer *= printer_op(printer, summing->loops[i])->extent;
    if (!loop->bounded) {
        print_line(printer, "const int steps = %lld;", (long long)(outer * ((loop->extent + depth - 1) / depth)));
        return;
    }
    print_bounds(printer, loop);
    const char *name = outer == 1 ? "steps" : "each";
    print_line(printer, "const int %s = int_maximum(0, end - begin + %d) / %d;", name, depth - 1, depth);
    if (outer > 1) print_line(printer, "const int steps = %lld * each;", (long long)outer);
}

void print_stage_place(Printer *printer, const Summing *summing) {
    const TileOp *loop = depth_loop(printer, summing);
    int depth = printer->tensor->depth;
    // Stages of the innermost loop: along a band as many as there are at these rows.
    long long stages_of_all = (long long)(loop->extent + depth - 1) / depth;
    const char *each = loop->bounded ? "each" : arena_format(printer->arena, "%lld", stages_of_all);
    int64_t inner = 1;
    const char *at = printer->tensor->at;
    for (int i = summing->loop_count - 1; i-- > 0;) {
        const TileOp *outer = printer_op(printer, summing->loops[i]);
        const char *wrap = i ? arena_format(printer->arena, " %% %lld", (long long)outer->extent) : "";
        const char *stages = inner == 1 ? each : arena_format(printer->arena, "(%lld * %s)", (long long)inner, each);
        print_line(printer, "const int %s = %s / %s%s;", loop_base(printer, summing->loops[i]), at, stages, wrap);
        inner *= outer->extent;
    }
    const char *round = summing->loop_count > 1 ? arena_format(printer->arena, "(%s %% %s)", at, each) : at;
    print_line(printer, "const int depth = %s%d * %s;", loop->bounded ? "begin + " : "", depth, round);
}

// ---- what is masked

// One condition: a number of elements from the first on that are there, or of lines.
static void append_minimum(const Printer *printer, Text *count, const char *limit) {
    if (!limit) return;
    const char *before = arena_copy(printer->arena, text_string(count));
    *count = text_create(printer->arena);
    text_append(count, "int_minimum(%s, %s)", before, limit);
}

static bool depth_is_ragged(const Printer *printer, const Summing *summing) {
    const TileOp *loop = depth_loop(printer, summing);
    return loop->bounded || loop->extent % printer->tensor->depth != 0;
}

// Summed indices from the one at hand to the last one; NULL: all of the stage are there.
static const char *depth_left(const Printer *printer, const Summing *summing) {
    if (!depth_is_ragged(printer, summing)) return NULL;
    const TileOp *loop = depth_loop(printer, summing);
    const char *end = loop->bounded ? "end" : arena_format(printer->arena, "%lld", (long long)loop->extent);
    return arena_format(printer->arena, "%s - %s", end, loop_base(printer, summing->loops[summing->loop_count - 1]));
}

// Rows, or lanes, from the one at hand to the last one.
static const char *rows_left(const Printer *printer, const Panel *panel) {
    const TileOp *loop = printer_op(printer, panel->loop);
    if (loop->extent % loop->step == 0) return NULL;
    return arena_format(printer->arena, "%lld - %s", (long long)loop->extent, loop_element(printer, panel->loop));
}

// From the element at hand to the band's end, along summed indices (is_high) or rows.
static const char *band_left(const Printer *printer, const Summing *summing, const Panel *panel, bool is_high) {
    const TileOp *loop = depth_loop(printer, summing);
    const char *at = loop_base(printer, summing->loops[summing->loop_count - 1]);
    if (!panel->is_rows || !summing->masks_rows || (is_high ? loop->high >= BAND_OPEN : loop->low <= -BAND_OPEN))
        return NULL;
    const char *row = index_text(printer, &loop->index, INDEX_SIGNED);
    if (is_high) return arena_format(printer->arena, "%s + %lld - %s", row, (long long)loop->high + 1, at);
    return arena_format(printer->arena, "%s - (%s) - %lld", at, row, (long long)loop->low - 1);
}

// How many elements of a copy are there: of `most`, along the line's direction. NULL: always all.
static const char *count_text(const Printer *printer, const Summing *summing, const Panel *panel, int most) {
    Text count = text_create(printer->arena);
    text_append(&count, "%d", most);
    const char *depth = depth_left(printer, summing), *rows = rows_left(printer, panel);
    append_minimum(printer, &count, panel->by_depth ? rows : depth);
    bool is_single = most == 1;
    append_minimum(printer, &count, is_single || !panel->by_depth ? band_left(printer, summing, panel, true) : NULL);
    append_minimum(printer, &count, is_single || panel->by_depth ? band_left(printer, summing, panel, false) : NULL);
    const char *across = panel->by_depth ? depth : rows;
    if (!across) return count.length > 2 ? text_string(&count) : NULL;
    return arena_format(printer->arena, "%s > 0 ? %s : 0", across, text_string(&count));
}

// ---- copies

// The operations that an address depends on, anew for the element at hand: `v7` of it hides the one of the tile.
static void print_address_parts(Printer *printer, const TileIndex *index, uint32_t inside, uint8_t anew,
                                bool *printed) {
    for (int i = 0; i < index->count; i++) {
        TileValue value = index->terms[i].value;
        const TileOp *op = printer_op(printer, value);
        bool moves = (printer->shapes[value] & anew) || value > inside;
        if (printed[value] || !moves || op->kind == TILE_LOOP || op->kind == TILE_CONST) continue;
        CHECK(op->kind == TILE_INDEX || op->kind == TILE_MAP);
        printed[value] = true;
        print_address_parts(printer, &op->index, inside, anew, printed);
        for (int k = 0; k < op->operand_count; k++) {
            TileIndex operand = {.count = 1, .terms = {{op->operands[k], 1}}};
            print_address_parts(printer, &operand, inside, anew, printed);
        }
        print_op(printer, value);
    }
}

// Cells of what is said anew are forgotten meanwhile.
const char *print_element(Printer *printer, const TileOp *access, uint32_t inside, uint8_t anew) {
    size_t count = printer->program->op_count;
    Cell *cells = printer->cells;
    printer->cells = ARENA_ARRAY(printer->arena, Cell, count + 1);
    for (size_t i = 0; i < count; i++)
        if (!(printer->shapes[i] & anew)) printer->cells[i] = cells[i];
    print_address_parts(printer, &access->index, inside, anew, ARENA_ARRAY(printer->arena, bool, count + 1));
    const char *text =
        arena_format(printer->arena, "b%d + (%s)", access->buffer, address_text(printer, &access->index));
    printer->cells = cells;
    return text;
}

// Where the element at hand goes: 16 bytes are a piece of its line.
static const char *place_text(const Printer *printer, const Summing *summing, const Panel *panel, int at_once) {
    const char *piece = arena_format(printer->arena, "line, along / %d", panel->wide);
    const char *pitch = arena_format(printer->arena, "%s, %d", piece, panel->pitch);
    const char *pairs = printer->tensor->together == 16 ? "PAIRS" : "PLACE", *place;
    if (panel->element == 2)
        place = arena_format(printer->arena, "PLACE_OF_HALVES(%s)", pitch);
    else if (panel->by_depth)
        place = arena_format(printer->arena, "%s_BY_DEPTH(%s)", pairs, pitch);
    else
        place = arena_format(printer->arena, "%s_BY_ROWS(%s)", pairs, piece);
    if (at_once == 1)
        place = arena_format(printer->arena, "%s + %d * (along %% %d)", place, panel->element, panel->wide);
    int before = panel->is_rows ? 0 : summing->panels[0].bytes;
    return before == 0 ? place : arena_format(printer->arena, "%d + %s", before, place);
}

static void print_panel(Printer *printer, const Summing *summing, const Panel *panel) {
    int at_once = panel->is_whole ? panel->wide : 1, in_line = panel->across / at_once;
    int pieces = panel->lines * in_line, threads = printer->tensor->threads;
    int each = (pieces + threads - 1) / threads, bytes = panel->element * at_once;
    const char *depth = loop_base(printer, summing->loops[summing->loop_count - 1]);
    const char *base = loop_base(printer, panel->loop), *element = loop_element(printer, panel->loop);
    print_line(printer, at_once == 1 && each > MOST_SINGLE ? "UNROLL_16" : "UNROLL");
    print_line(printer, "for (int i = 0; i < %d; i++) {", each);
    print_line(printer, "const int piece = (int)threadIdx.x + %d * i, line = piece / %d, along = %d * (piece %% %d);",
               threads, in_line, at_once, in_line);
    if (pieces % threads) print_line(printer, "if (piece >= %d) break;", pieces);
    print_line(printer, "const int %s = %s + %s, %s = depth + %s;", element, base, panel->by_depth ? "along" : "line",
               depth, panel->by_depth ? "line" : "along");
    const char *place = place_text(printer, summing, panel, at_once);
    const char *address =
        print_element(printer, printer_op(printer, panel->load), summing->loops[0], SHAPE_ROWS | SHAPE_LANES);
    const char *count = count_text(printer, summing, panel, at_once);
    int buffer = printer_op(printer, panel->load)->buffer;
    const char *copy = printer->tensor->is_shared && printer->tensor->is_shared[buffer] ? "move" : "copy";
    if (!count) {
        print_line(printer, "%s_%d(stage + %s, %s, %d);", copy, bytes, place, address, bytes);
    } else {
        print_line(printer, "const int count = %s;", count);
        print_line(printer, "%s_%d(stage + %s, count > 0 ? %s : b%d, %d * int_maximum(count, 0));", copy, bytes, place,
                   address, buffer, panel->element);
    }
    print_line(printer, "}");
}

void print_stage(Printer *printer, const Summing *summing) {
    print_line(printer, "unsigned char *stage = ring + ahead %% %u * %d;", printer->tensor->tile.stages,
               summing->stage_bytes);
    print_stage_place(printer, summing);
    for (int p = 0; p < 2; p++)
        if (!summing->panels[p].is_placed) print_panel(printer, summing, &summing->panels[p]);
}
