// Loops: rounds that are dealt out to workers, tiles, and masks where a tile is not full.
//
//     rows 64 step 13 evenly   ->   for (int T_2 = 0; T_2 < 64; T_2 += 13) {     tiles of 13 rows in registers;
//                                       const int rows_2 = int_minimum(13, 64 - T_2);      the last has 12
//     lanes 65 step 32         ->   for (int s_3 = 0; s_3 < 65; s_3 += 32) {     ... if (s_3i < 65) ...
//
// Every body is printed once, for the largest tile: what a smaller one lacks is masked. Bits do not depend on how rows
// and lanes are grouped.
#include "base/diag.h"
#include "codegen/cuda/cuda.h"

// ---- tiles

static void open_rows(Printer *printer, uint32_t loop, const char *end) {
    const TileOp *op = printer_op(printer, loop);
    int64_t tile = loop_tile(op);
    printer->rows_loop = loop;
    printer->rows = (int)tile;
    bool uneven = op->pieces > 1 ? op->extent % (tile * op->pieces) != 0 : op->extent % tile != 0;
    if (!uneven) return;
    printer->row_count = arena_format(printer->arena, "rows_%u", loop);
    print_line(printer, "const int rows_%u = int_minimum(%lld, %s - %s);", loop, (long long)tile, end,
               loop_base(printer, loop));
}

static void open_lanes(Printer *printer, uint32_t loop, const char *end) {
    const TileOp *op = printer_op(printer, loop);
    printer->lanes_loop = loop;
    printer->vectors = (int)op->step / TILE_LANES;
    bool uneven = op->pieces > 1 ? op->extent % ((int64_t)op->step * op->pieces) != 0 : op->extent % op->step != 0;
    if (uneven) printer->lane_limit = arena_copy(printer->arena, end);
    if (printer->vectors == 1)
        print_line(printer, "const int %s = %s + lane;", loop_element(printer, loop), loop_base(printer, loop));
}

static void open_tile(Printer *printer, uint32_t loop, const char *end) {
    if (printer_op(printer, loop)->loop == LOOP_ROWS) open_rows(printer, loop, end);
    if (printer_op(printer, loop)->loop == LOOP_LANES) open_lanes(printer, loop, end);
}

static void close_tile(Printer *printer, uint32_t loop) {
    if (loop == printer->rows_loop) {
        printer->rows_loop = TILE_NONE;
        printer->rows = 1;
        printer->row_count = NULL;
    }
    if (loop == printer->lanes_loop) {
        printer->lanes_loop = TILE_NONE;
        printer->vectors = 1;
        printer->lane_limit = NULL;
    }
}

// ---- loops of one worker

static const char *number_text(const Printer *printer, int64_t number) {
    return arena_format(printer->arena, "%lld", (long long)number);
}

static void open_rounds(Printer *printer, uint32_t loop, const char *begin, const char *end) {
    const char *name = loop_base(printer, loop);
    const TileOp *op = printer_op(printer, loop);
    long long tile = loop_tile(op);
    int rows = op->loop == LOOP_ROWS ? (int)tile : printer->rows;
    int vectors = op->loop == LOOP_LANES ? (int)op->step / TILE_LANES : printer->vectors;
    // Left alone, compilers take for registers and for their own time too many rounds at once.
    if (!rounds_go_together(printer->program, printer->shapes, loop + 1, printer->ends[loop], rows, vectors))
        print_line(printer, "ROLLED");
    print_line(printer, "for (int %s = %s; %s < %s; %s += %lld) {", name, begin, name, end, name, tile);
    open_tile(printer, loop, end);
}

// Where the piece's part of a loop begins, and the next one's.
static const char *piece_begin(const Printer *printer, const TileOp *op, const char *piece) {
    if (op->extent % op->pieces == 0) {
        int64_t length = op->extent / op->pieces;
        return length == 1 ? piece : arena_format(printer->arena, "%lld * %s", (long long)length, piece);
    }
    return arena_format(printer->arena, "(int)(%lldll * %s / %u)", (long long)op->extent, piece, op->pieces);
}

static void open_for(Printer *printer, uint32_t loop) {
    const TileOp *op = printer_op(printer, loop);
    const char *begin = "0", *end = number_text(printer, op->extent);
    if (op->pieces > 1) {
        begin = piece_begin(printer, op, "piece");
        end = arena_format(printer->arena, "end_%u", loop);
        print_line(printer, "const int %s = %s;", end, piece_begin(printer, op, "(piece + 1)"));
    }
    open_rounds(printer, loop, begin, end);
}

// From the bounds, rounded outwards to whole steps, to where they meet the extent.
static void open_bounded(Printer *printer, uint32_t loop) {
    const TileOp *op = printer_op(printer, loop);
    Arena *arena = printer->arena;
    const char *begin = "0", *end = number_text(printer, op->extent);
    long long step = op->loop == LOOP_LANES ? (long long)op->step : 1;
    if (op->low > -BAND_OPEN) {
        TileIndex first = op->index;
        first.constant += op->low;
        begin = arena_format(arena, "int_maximum(0, %s)", index_text(printer, &first, INDEX_FIRST_ROW));
        if (step > 1) begin = arena_format(arena, "%s / %lld * %lld", begin, step, step);
    }
    if (op->high < BAND_OPEN) {
        TileIndex after = op->index;
        after.constant += op->high + 1;
        const char *last = index_text(printer, &after, INDEX_LAST_ROW);
        print_line(printer, "const int end_%u = int_minimum(%s, %s);", loop, end, last);
        end = arena_format(arena, "end_%u", loop);
    }
    open_rounds(printer, loop, begin, end);
}

static void open_guard(Printer *printer, uint32_t loop) {
    const TileOp *op = printer_op(printer, loop);
    const char *name = loop_base(printer, loop), *begin = "0", *end = number_text(printer, op->extent);
    if (op->pieces > 1) {
        begin = piece_begin(printer, op, "piece");
        end = piece_begin(printer, op, "(piece + 1)");
    }
    const char *value = value_text(printer, op->operands[0]);
    print_line(printer, "if (%s >= %s && %s < %s) {", value, begin, value, end);
    print_line(printer, "const int %s = %s;", name, value);
}

static void print_loop(Printer *printer, uint32_t loop) {
    const TileOp *op = printer_op(printer, loop);
    if (op->bounded)
        open_bounded(printer, loop);
    else if (op->loop == LOOP_GUARD)
        open_guard(printer, loop);
    else
        open_for(printer, loop);
    print_range(printer, loop + 1, printer->ends[loop]);
    close_tile(printer, loop);
    print_line(printer, "}");
}

void print_range(Printer *printer, uint32_t begin, uint32_t end) {
    while (begin < end) {
        if (printer_op(printer, begin)->kind == TILE_LOOP) {
            print_loop(printer, begin);
            begin = printer->ends[begin] + 1;
            continue;
        }
        uint32_t stop = run_end(printer, begin, end);
        print_run(printer, begin, stop);
        begin = stop;
    }
}

// ---- rounds that are dealt out

// The loop's first index in the worker's round, of which there are `inner` for each of its own; `outermost`: no other
// loop takes what is left of the number.
static void open_dealt(Printer *printer, uint32_t loop, int64_t inner, bool outermost) {
    const TileOp *op = printer_op(printer, loop);
    int64_t rounds = loop_rounds(op), tile = loop_tile(op);
    Text text = text_create(printer->arena);
    text_append(&text, "work");
    if (inner > 1) text_append(&text, " / %lld", (long long)inner);
    if (!outermost) text_append(&text, " %% %lld", (long long)rounds);
    const char *base = rounds == 1 ? "0" : text_string(&text);
    bool is_alone = inner == 1 && outermost;
    if (tile > 1 && rounds > 1)
        base = arena_format(printer->arena, is_alone ? "%lld * %s" : "%lld * (%s)", (long long)tile, base);
    if (op->loop == LOOP_PIECE) base = arena_format(printer->arena, "%lld * piece + %s", (long long)rounds, base);
    print_line(printer, "const int %s = %s;", loop_base(printer, loop), base);
    open_tile(printer, loop, number_text(printer, op->extent));
}

// Where a GPU has workers for all rounds, no worker has a second one, whose loads might be under way with those of the
// first (program.c: some 60 thousand, with four waves).
enum { DEEPEST = 32, MANY_WORKERS = 1 << 16 };

// Dealt loops on the way to what a worker does in a round, the outermost first.
typedef struct {
    uint32_t loops[DEEPEST];
    int count;
} Path;

// What stands before the path's next loop; other loops there have paths of their own.
static void print_between(Printer *printer, uint32_t begin, uint32_t end) {
    for (uint32_t i = begin; i < end; i++) {
        if (printer_op(printer, i)->kind != TILE_LOOP) continue;
        print_range(printer, begin, i);
        begin = (i = printer->ends[i]) + 1;
    }
    print_range(printer, begin, end);
}

static void print_path(Printer *printer, const Path *path) {
    int64_t total = 1;
    for (int k = 0; k < path->count; k++) total *= loop_rounds(printer_op(printer, path->loops[k]));
    if (total > INT32_MAX / 2) BUG("kernel %s has %lld rounds", printer->symbol, (long long)total);
    printer->works = (uint32_t)total;
    if (total <= MANY_WORKERS) print_line(printer, "ROLLED");
    print_line(printer, "for (int work = %s; work < %s; work += %s) {", printer->worker,
               printer->asks_works ? "works" : number_text(printer, total), printer->workers);
    int64_t inner = total;
    for (int k = 0; k < path->count; k++) {
        uint32_t at = path->loops[k];
        inner /= loop_rounds(printer_op(printer, at));
        open_dealt(printer, at, inner, k == 0);
        if (k + 1 < path->count) print_between(printer, at + 1, path->loops[k + 1]);
        else print_range(printer, at + 1, printer->ends[at]);
    }
    for (int k = 0; k < path->count; k++) close_tile(printer, path->loops[k]);
    print_line(printer, "}");
}

uint32_t nest_paths(const Printer *printer, uint32_t loop) {
    uint32_t paths = 0;
    for (uint32_t i = loop + 1; i < printer->ends[loop]; i++) {
        if (printer_op(printer, i)->kind != TILE_LOOP) continue;
        if (printer->spread->dealt[i]) paths += nest_paths(printer, i);
        i = printer->ends[i];
    }
    return paths ? paths : 1;
}

static void print_paths(Printer *printer, Path *path, uint32_t loop) {
    CHECK(path->count < DEEPEST);
    path->loops[path->count++] = loop;
    bool is_last = true;
    for (uint32_t i = loop + 1; i < printer->ends[loop]; i++) {
        if (printer_op(printer, i)->kind != TILE_LOOP) continue;
        if (printer->spread->dealt[i]) {
            is_last = false;
            print_paths(printer, path, i);
        }
        i = printer->ends[i];
    }
    if (is_last) print_path(printer, path);
    path->count--;
}

void print_nest(Printer *printer, uint32_t loop) { print_paths(printer, &(Path){0}, loop); }
