// Nests over the parts of a tile: unrolled, so that parts are registers, or, where a part is long, rolled, with the
// parts passed on from register to register.
//
//     8 rows of 8 lanes, erf and exp of each: 5000 instructions, each executed once
//
//     ROLLED                                    UNROLL
//     for (int r = 0; r < 8; r++) {             for (int r = 0; r < 8; r++) {
//         ... v6[0][v] ...              not         ... v6[r][v] ...
//         ROTATE_ROWS(float, v6, 8, 8);         }
//     }
//
// After all rounds everything is back where it was. Compiling takes a quarter of the time and half of the registers;
// and what runs once is fetched from memory as slowly as it is long.
#include "base/diag.h"
#include "codegen/cuda/print_tensor.h"

// Instructions of a nest that unrolling may make; loads of a round from which on other rounds' need not be under way at
// the same time.
enum { LONG_NEST = 1024, MANY_LOADS = 8 };

// ---- how long a part is, in instructions

static int function_cost(int function, DType dtype) {
    bool is_float = dtype == DTYPE_F32;
    switch (function) {
    case OP_SQRT: return 10;
    case OP_DIV: return 12;
    case OP_EXP:
    case OP_RSQRT: return 20;
    case OP_LOG: return 25;
    case OP_TANH:
    case OP_ERF: return 45;
    case OP_SIN:
    case OP_COS: return 60;
    case TILE_DIVIDE:
    case TILE_REMAINDER: return 5;
    case OP_MAXIMUM:
    case OP_MINIMUM: return is_float ? 3 : 1;
    default: return 1;
    }
}

int op_instructions(const TileOp *op) {
    switch (op->kind) {
    case TILE_LOAD:
    case TILE_TABLE:
    case TILE_STORE: return 3;
    case TILE_SCATTER_ADD: return 5;
    case TILE_MAP: return function_cost(op->function, op->dtype);
    case TILE_RANDOM: return 80;
    case TILE_INDEX:
    case TILE_ACCUMULATE:
    case TILE_MULTIPLY_ACCUMULATE: return 1;
    default: return 0;
    }
}

typedef struct {
    int64_t cost, loads;
} Length;

static void add_shape(const Printer *printer, uint32_t begin, uint32_t end, uint8_t shape, int times, Length *length) {
    for (uint32_t i = begin; i < end; i++) {
        if (printer->shapes[i] != shape) continue;
        length->cost += (int64_t)times * op_instructions(printer_op(printer, i));
        if (printer_op(printer, i)->kind == TILE_LOAD) length->loads += times;
    }
}

static bool is_long(const Length *round, int rounds) {
    return rounds > 1 && rounds * round->cost > LONG_NEST && (round->loads == 0 || round->loads >= MANY_LOADS);
}

// The tile of a sweep: what it makes is a factor of the next product, register by register.
static bool in_registers(const Printer *printer) { return printer->tensor && printer->tensor->registers; }

bool rows_are_long(const Printer *printer, uint32_t begin, uint32_t end) {
    Length round = {0};
    if (in_registers(printer)) return false;
    add_shape(printer, begin, end, SHAPE_ROWS, 1, &round);
    add_shape(printer, begin, end, SHAPE_ROWS | SHAPE_LANES, printer->vectors, &round);
    return is_long(&round, printer->rows);
}

// Rotated are the tile's sums and what is made of them: in a tile of tensor cores there are no registers for both.
static bool has_room(const Printer *printer, uint32_t begin, uint32_t end) {
    const uint8_t both = SHAPE_ROWS | SHAPE_LANES;
    for (uint32_t i = begin; i < end && printer->tensor; i++)
        if (printer->cells[i].stored && !printer->cells[i].is_over && printer->shapes[i] == both) return false;
    return true;
}

bool rolls_rows(const Printer *printer, uint32_t begin, uint32_t end) {
    return rows_are_long(printer, begin, end) && has_room(printer, begin, end);
}

bool rolls_vectors(const Printer *printer, uint32_t begin, uint32_t end, uint8_t shape) {
    Length round = {0};
    add_shape(printer, begin, end, shape, 1, &round);
    return printer->rows == 1 && is_long(&round, printer->vectors) && !in_registers(printer);
}

// ---- passing parts on

static bool index_uses(const TileIndex *index, TileValue value) {
    for (int i = 0; i < index->count; i++)
        if (index->terms[i].value == value) return true;
    return false;
}

static bool is_touched(const Printer *printer, uint32_t begin, uint32_t end, uint8_t shape, TileValue value) {
    if (value >= begin && value < end && printer_op(printer, value)->kind != TILE_ZERO) return true;
    for (uint32_t i = begin; i < end; i++) {
        const TileOp *op = printer_op(printer, i);
        if ((printer->shapes[i] & shape) == shape && (tile_uses(op, value) || index_uses(&op->index, value)))
            return true;
    }
    return false;
}

static const char *cell_type(const TileOp *op) {
    return op->kind == TILE_ZERO || op->kind == TILE_ROW_REDUCE ? "float" : dtype_text(op->dtype);
}

static void rotate_rows(Printer *printer, TileValue value) {
    const Cell *cell = &printer->cells[value];
    const char *type = cell_type(printer_op(printer, value));
    CHECK(cell->rows == printer->rows);
    if (cell->vectors == 1)
        print_line(printer, "ROTATE(%s, v%u, %d);", type, value, cell->rows);
    else
        print_line(printer, "ROTATE_ROWS(%s, v%u, %d, %d);", type, value, cell->rows, cell->vectors);
}

static void rotate_vectors(Printer *printer, TileValue value) {
    const Cell *cell = &printer->cells[value];
    CHECK(cell->rows == 1 && cell->vectors == printer->vectors);
    print_line(printer, "ROTATE(%s, v%u, %d);", cell_type(printer_op(printer, value)), value, cell->vectors);
}

void print_rotations(Printer *printer, uint32_t begin, uint32_t end, uint8_t shape) {
    bool by_rows = shape & SHAPE_ROWS;
    for (uint32_t value = 0; value < end; value++) {
        const Cell *cell = &printer->cells[value];
        if (!cell->stored || cell->is_over || (by_rows ? cell->rows : cell->vectors) == 1) continue;
        if (!is_touched(printer, begin, end, shape, value)) continue;
        if (by_rows) rotate_rows(printer, value);
        else rotate_vectors(printer, value);
    }
}

void print_lane_rotations(Printer *printer, uint32_t begin, uint32_t end, int by) {
    for (uint32_t value = 0; value < end; value++) {
        const Cell *cell = &printer->cells[value];
        if (!cell->stored || cell->is_over || cell->vectors == 1) continue;
        if (!is_touched(printer, begin, end, SHAPE_ROWS | SHAPE_LANES, value)) continue;
        CHECK(cell->vectors == printer->vectors);
        print_line(printer, "ROTATE_LANES(%s, v%u%s, %d, %d);", cell_type(printer_op(printer, value)), value,
                   cell->rows > 1 ? "[0]" : "", cell->vectors, by);
    }
}
