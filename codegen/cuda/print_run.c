// Straight-line runs, part by part: what is uniform, what goes with the vectors, and for each row what goes with it
// and, for each vector, what goes with both. The nests are unrolled by whoever compiles the text, so that parts are
// registers (print_parts.c: or rolled).
//
//     %8 = load x[T.2]  rows              float v9[2];
//     %9 = load w[lane] lanes       ->    for (v < 2) { v9[v] = w[..]; }
//     accumulate %4 %8 %9                 for (r < 8) { const float v8 = x[..];
//                                             for (v < 2) { v4[r][v] = fmaf(v8, v9[v], v4[r][v]); } }
#include "base/diag.h"
#include "codegen/cuda/print_tensor.h"

// ---- where a run ends

// Operations before which the worker's threads have to wait for each other.
static bool writes_over(const Printer *printer, const TileOp *op) {
    return (op->kind == TILE_STORE || op->kind == TILE_SCATTER_ADD) && printer->spread->over[op->buffer];
}

static bool reads_again(const Printer *printer, const TileOp *op) {
    return (op->kind == TILE_LOAD || op->kind == TILE_SCATTER_ADD) && printer->spread->again[op->buffer];
}

// Whether `op` cannot go with an operation before it in the run: part-by-part order would be seen.
static bool meets(const Printer *printer, const TileOp *before, const TileOp *op) {
    if (tile_share_accumulator(before, op)) return true;
    return writes_over(printer, before) != writes_over(printer, op) &&
           (op->kind != TILE_CONST && before->kind != TILE_CONST);
}

// What is loaded in one part and what is stored in another may be the same memory, for all that compilers know: a load
// behind a store would wait for what was stored, part by part. So a run has loads of its parts, or stores.
static bool is_load(const TileOp *op) { return op->kind == TILE_LOAD; }
static bool is_store(const TileOp *op) { return op->kind == TILE_STORE || op->kind == TILE_SCATTER_ADD; }

static bool goes_by_parts(const Printer *printer, uint32_t number) {
    uint8_t shape = printer->shapes[number];
    return ((shape & SHAPE_ROWS) && printer->rows > 1) || ((shape & SHAPE_LANES) && printer->vectors > 1);
}

static bool has_other_kind(const Printer *printer, uint32_t begin, uint32_t number) {
    const TileOp *op = printer_op(printer, number);
    if (!goes_by_parts(printer, number) || !(is_load(op) || is_store(op))) return false;
    for (uint32_t i = begin; i < number; i++) {
        const TileOp *earlier = printer_op(printer, i);
        bool is_other = is_load(op) ? is_store(earlier) : is_load(earlier);
        if (is_other && goes_by_parts(printer, i)) return true;
    }
    return false;
}

uint32_t run_end(const Printer *printer, uint32_t begin, uint32_t limit) {
    uint32_t end = begin;
    for (; end < limit; end++) {
        const TileOp *op = printer_op(printer, end);
        if (op->kind == TILE_LOOP || has_other_kind(printer, begin, end)) return end;
        if (op->kind == TILE_ROW_REDUCE) return end > begin ? end : end + 1;
        for (uint32_t earlier = begin; earlier < end; earlier++)
            if (meets(printer, printer_op(printer, earlier), op)) return end;
    }
    return end;
}

// ---- values and where they are declared

static bool index_uses(const TileIndex *index, TileValue value) {
    for (int i = 0; i < index->count; i++)
        if (index->terms[i].value == value) return true;
    return false;
}

static bool is_value(const TileOp *op) {
    return op->kind == TILE_INDEX || op->kind == TILE_LOAD || op->kind == TILE_TABLE || op->kind == TILE_MAP ||
           op->kind == TILE_RANDOM;
}

// Whether somebody in another part of the run, or behind it, uses the value: one of the vectors is used in those of all
// rows, one of the rows only inside its row.
static bool is_used_elsewhere(const Printer *printer, TileValue value, uint32_t end) {
    uint8_t shape = printer->shapes[value];
    if (shape == SHAPE_UNIFORM) return false;
    for (uint32_t i = value + 1; i < printer->program->op_count; i++) {
        const TileOp *op = printer_op(printer, i);
        if (!tile_uses(op, value) && !index_uses(&op->index, value)) continue;
        if (i >= end || (shape == SHAPE_LANES && (printer->shapes[i] & SHAPE_ROWS))) return true;
    }
    return false;
}

static void set_cell(Printer *printer, uint32_t number) {
    const TileOp *op = printer_op(printer, number);
    Cell *cell = &printer->cells[number];
    uint8_t shape = printer->shapes[number];
    // Accumulators of 16 rows or of 16 lanes have that size wherever they stand.
    bool column = op->kind == TILE_ZERO && op->step != 0, narrow = op->kind == TILE_ZERO && op->shape == SHAPE_LANES;
    cell->rows = !(shape & SHAPE_ROWS) ? 1 : column ? (int)op->step : printer->rows;
    cell->vectors = (shape & SHAPE_LANES) && !narrow ? printer->vectors : 1;
}

static const char *extents_text(const Printer *printer, const Cell *cell) {
    Text text = text_create(printer->arena);
    if (cell->rows > 1) text_append(&text, "[%d]", cell->rows);
    if (cell->vectors > 1) text_append(&text, "[%d]", cell->vectors);
    return text_string(&text);
}

// ---- nests over parts

static int open_parts(Printer *printer, const char *name, int count, bool rolled) {
    if (count == 1) return 0;
    print_line(printer, rolled ? "ROLLED" : "UNROLL");
    print_line(printer, "for (int %s = 0; %s < %d; %s++) {", name, name, count, name);
    if (*name == 'r') printer->in_row_nest = true;
    return 1;
}

static int open_unrolled(Printer *printer, const char *name, int count) {
    return open_parts(printer, name, count, false);
}

static bool uses_element(const Printer *printer, uint32_t begin, uint32_t end, uint8_t mask, uint8_t shape,
                         TileValue loop) {
    for (uint32_t i = begin; i < end; i++) {
        const TileOp *op = printer_op(printer, i);
        if ((printer->shapes[i] & mask) == shape && (tile_uses(op, loop) || index_uses(&op->index, loop))) return true;
    }
    return false;
}

// Which rows and lanes of the tile the r-th and v-th registers of a thread are: a worker's are side by side.
static int open_row_nest(Printer *printer, uint32_t begin, uint32_t end) {
    const char *own_row = !printer->tensor ? "r" : printer->tensor->tile.wgmma ? "GROUP_ROW(r)" : "OWN_ROW(r)";
    int open = open_parts(printer, "r", printer->rows, printer->rolled_rows);
    bool is_used = has_fours(printer, begin, end) ||
                   uses_element(printer, begin, end, SHAPE_ROWS, SHAPE_ROWS, printer->rows_loop);
    if (open && is_used)
        print_line(printer, "const int %s = %s + %s;", loop_element(printer, printer->rows_loop),
                   loop_base(printer, printer->rows_loop), own_row);
    if (!printer->row_count) return open;
    print_line(printer, "if (%s < %s) {", own_row, printer->row_count);
    return open + 1;
}

static int open_vector_nest(Printer *printer, uint32_t begin, uint32_t end, uint8_t shape) {
    const Tensor *tensor = printer->tensor;
    const char *own_lane = !tensor ? "16 * v + lane" : tensor->registers ? "PAIR_LANE(v)" : "OWN_LANE(v)";
    int open = open_parts(printer, "v", printer->vectors, printer->rolled_vectors);
    bool is_used =
        printer->lane_limit || uses_element(printer, begin, end, SHAPE_ROWS | SHAPE_LANES, shape, printer->lanes_loop);
    if (open && is_used)
        print_line(printer, "const int %s = %s + %s;", loop_element(printer, printer->lanes_loop),
                   loop_base(printer, printer->lanes_loop), own_lane);
    if (!printer->lane_limit) return open;
    print_line(printer, "if (%s < %s) {", loop_element(printer, printer->lanes_loop), printer->lane_limit);
    return open + 1;
}

static void close_nests(Printer *printer, int count) {
    while (count-- > 0) print_line(printer, "}");
}

// The nest itself is the outermost of the open ones.
static void close_rolled(Printer *printer, uint32_t begin, uint32_t end, uint8_t shape, int count) {
    close_nests(printer, count - 1);
    print_rotations(printer, begin, end, shape);
    close_nests(printer, 1);
}

static void close_row_nests(Printer *printer, int count) {
    close_nests(printer, count);
    printer->in_row_nest = false;
}

static bool has_shape(const Printer *printer, uint32_t begin, uint32_t end, uint8_t mask, uint8_t shape) {
    for (uint32_t i = begin; i < end; i++) {
        const TileOp *op = printer_op(printer, i);
        bool printed = is_value(op) || tile_accumulates(op) || op->kind == TILE_STORE || op->kind == TILE_SCATTER_ADD;
        if (printed && (printer->shapes[i] & mask) == shape) return true;
    }
    return false;
}

static void print_shape(Printer *printer, uint32_t begin, uint32_t end, uint8_t shape) {
    for (uint32_t i = begin; i < end; i++)
        if (printer->shapes[i] == shape && printer_op(printer, i)->kind != TILE_ZERO) print_op(printer, i);
}

static void print_vectors(Printer *printer, uint32_t begin, uint32_t end, uint8_t shape) {
    printer->rolled_vectors = rolls_vectors(printer, begin, end, shape);
    if (shape == (SHAPE_ROWS | SHAPE_LANES) && has_fours(printer, begin, end)) {
        open_fours(printer, begin, end);
        print_shape(printer, begin, end, shape);
        close_fours(printer, begin, end);
        return;
    }
    int open = open_vector_nest(printer, begin, end, shape);
    print_shape(printer, begin, end, shape);
    if (printer->rolled_vectors) close_rolled(printer, begin, end, shape, open);
    else close_nests(printer, open);
    printer->rolled_vectors = false;
}

static void print_rows(Printer *printer, uint32_t begin, uint32_t end) {
    const uint8_t both = SHAPE_ROWS | SHAPE_LANES;
    if (!has_shape(printer, begin, end, SHAPE_ROWS, SHAPE_ROWS)) return;
    printer->rolled_rows = rolls_rows(printer, begin, end);
    int rows = open_row_nest(printer, begin, end);
    print_shape(printer, begin, end, SHAPE_ROWS);
    if (has_shape(printer, begin, end, both, both)) print_vectors(printer, begin, end, both);
    if (printer->rolled_rows) close_rolled(printer, begin, end, SHAPE_ROWS, rows);
    else close_nests(printer, rows);
    printer->in_row_nest = printer->rolled_rows = false;
}

// ---- whole accumulators

static void print_zero(Printer *printer, uint32_t number) {
    const TileOp *op = printer_op(printer, number);
    const Cell *cell = &printer->cells[number];
    const char *start = float_text(printer->arena, op->number);
    if (cell->rows * cell->vectors == 1) {
        print_line(printer, "float v%u = %s;", number, start);
        return;
    }
    print_line(printer, "float v%u%s;", number, extents_text(printer, cell));
    int open = open_unrolled(printer, "r", cell->rows) + open_unrolled(printer, "v", cell->vectors);
    print_line(printer, "%s = %s;", value_text(printer, number), start);
    close_row_nests(printer, open);
}

static const char *combine(const Printer *printer, int function, const char *a, const char *b) {
    if (function == OP_MAX) return arena_format(printer->arena, "float_maximum(%s, %s)", a, b);
    return arena_format(printer->arena, "%s + %s", a, b);
}

// 16 rows of an accumulator, by the same tree as 16 lanes.
static void reduce_rows(Printer *printer, uint32_t number) {
    const TileOp *op = printer_op(printer, number);
    TileValue accumulator = op->operands[0];
    const char *vector = printer->cells[accumulator].vectors > 1 ? "[v]" : "";
    const char *low = arena_format(printer->arena, "v%u[r]%s", accumulator, vector);
    int open = open_unrolled(printer, "v", printer->cells[accumulator].vectors);
    for (int half = TILE_LANES / 2; half > 0; half /= 2) {
        const char *high = arena_format(printer->arena, "v%u[r + %d]%s", accumulator, half, vector);
        print_line(printer, "UNROLL");
        print_line(printer, "for (int r = 0; r < %d; r++) %s = %s;", half, low,
                   combine(printer, op->function, low, high));
    }
    print_line(printer, "%s = v%u[0]%s;", value_text(printer, number), accumulator, vector);
    close_nests(printer, open);
}

static void print_reduction(Printer *printer, uint32_t number) {
    const TileOp *op = printer_op(printer, number);
    TileValue accumulator = op->operands[0];
    Cell *cell = &printer->cells[number];
    const Cell *from = &printer->cells[accumulator];
    bool down_rows = printer_op(printer, accumulator)->step != 0;
    cell->rows = down_rows ? 1 : from->rows;
    cell->vectors = down_rows ? from->vectors : 1;
    cell->stored = true;
    print_line(printer, "float v%u%s;", number, extents_text(printer, cell));
    if (down_rows) {
        reduce_rows(printer, number);
        return;
    }
    int open = open_unrolled(printer, "r", cell->rows);
    print_line(printer, "%s = %s(%s);", value_text(printer, number),
               op->function == OP_MAX ? "reduce_max" : "reduce_sum", value_text(printer, accumulator));
    close_row_nests(printer, open);
}

// ---- the run

// What other threads read before is read, and what they wrote is written.
static bool needs_barrier(const Printer *printer, uint32_t begin, uint32_t end) {
    for (uint32_t i = begin; i < end; i++) {
        const TileOp *op = printer_op(printer, i);
        if (writes_over(printer, op) || reads_again(printer, op)) return true;
    }
    return false;
}

static bool is_used_behind(const Printer *printer, TileValue value, uint32_t behind) {
    for (uint32_t i = behind + 1; i < printer->program->op_count; i++)
        if (tile_uses(printer_op(printer, i), value)) return true;
    return false;
}

static bool is_taken(const Printer *printer, TileValue sums) {
    for (uint32_t i = sums + 1; i < printer->program->op_count; i++)
        if (printer->cells[i].is_over && printer->cells[i].over == sums) return true;
    return false;
}

// A tile of tensor cores fills registers: what is kept of all its rolled parts lies where its sums did, if it is the
// last to need them.
static void find_registers(const Printer *printer, TileValue value) {
    const uint8_t both = SHAPE_ROWS | SHAPE_LANES;
    Cell *cell = &printer->cells[value];
    bool is_whole = printer->shapes[value] == both && printer_op(printer, value)->dtype == DTYPE_F32;
    if (!printer->tensor || !cell->stored || !is_whole) return;
    for (TileValue sums = 0; sums < value && !cell->is_over; sums++) {
        bool is_tile = printer_op(printer, sums)->kind == TILE_ZERO && printer->shapes[sums] == both;
        cell->is_over = is_tile && !is_used_behind(printer, sums, value) && !is_taken(printer, sums);
        cell->over = sums;
    }
}

static void declare(Printer *printer, uint32_t begin, uint32_t end) {
    bool is_long = rows_are_long(printer, begin, end);
    for (uint32_t i = begin; i < end; i++) {
        const TileOp *op = printer_op(printer, i);
        set_cell(printer, i);
        if (op->kind == TILE_ZERO) {
            printer->cells[i].stored = true;
            print_zero(printer, i);
        } else if (is_value(op)) {
            printer->cells[i].stored = is_used_elsewhere(printer, i, end);
            if (is_long) find_registers(printer, i);
            if (printer->cells[i].stored && !printer->cells[i].is_over)
                print_line(printer, "%s v%u%s;", dtype_text(op->dtype), i, extents_text(printer, &printer->cells[i]));
        }
    }
}

void print_run(Printer *printer, uint32_t begin, uint32_t end) {
    if (printer_op(printer, begin)->kind == TILE_ROW_REDUCE) {
        print_reduction(printer, begin);
        return;
    }
    bool barrier = needs_barrier(printer, begin, end);
    if (barrier) print_line(printer, "worker_barrier();");
    declare(printer, begin, end);
    print_shape(printer, begin, end, SHAPE_UNIFORM);
    if (has_shape(printer, begin, end, SHAPE_ROWS | SHAPE_LANES, SHAPE_LANES))
        print_vectors(printer, begin, end, SHAPE_LANES);
    print_rows(printer, begin, end);
}
