#include "tests/codegen/interpret_tile.h"

#include <math.h>
#include <string.h>

#include "ir/reference/reference.h"

enum { MAX_ROWS = 64, MAX_WIDTH = 128 };

typedef union {
    float f;
    int32_t i;
    bool b;
} Cell;

typedef struct {
    const TileProgram *program;
    void *const *buffers;
    Cell **cells;   // by op: one per row and lane of its shape
    uint32_t *ends; // by loop: its TILE_END
    uint32_t piece;
    int64_t row_start, lane_start; // index of the first row and lane of the open tile
    int rows, lanes;               // how many are there
    Arena *arena;
    const char *wrong;
} Machine;

static Cell *cell(const Machine *machine, TileValue value, int row, int lane) {
    uint8_t shape = machine->program->ops[value].shape;
    return &machine->cells[value][(shape & SHAPE_ROWS ? row : 0) * MAX_WIDTH + (shape & SHAPE_LANES ? lane : 0)];
}

static int64_t index_at(const Machine *machine, const TileIndex *index, int row, int lane) {
    int64_t at = index->constant;
    for (int i = 0; i < index->count; i++)
        at += index->terms[i].coefficient * cell(machine, index->terms[i].value, row, lane)->i;
    return at;
}

static int64_t checked_index(Machine *machine, const TileOp *op, int64_t count, int row, int lane) {
    int64_t at = index_at(machine, &op->index, row, lane);
    if (at >= 0 && at < count) return at;
    machine->wrong =
        arena_format(machine->arena, "op %ld of %s reaches element %lld of %lld", (long)(op - machine->program->ops),
                     machine->program->name, (long long)at, (long long)count);
    return 0;
}

static Cell read_buffer(const Machine *machine, const TileOp *op, int64_t at) {
    Cell result = {0};
    const void *buffer = machine->buffers[op->buffer];
    switch (machine->program->buffers[op->buffer].dtype) {
    case DTYPE_I32: result.i = ((const int32_t *)buffer)[at]; break;
    case DTYPE_BOOL: result.b = ((const unsigned char *)buffer)[at] != 0; break;
    default: result.f = ((const float *)buffer)[at]; break;
    }
    return result;
}

static void write_buffer(const Machine *machine, const TileOp *op, int64_t at, Cell value) {
    void *buffer = machine->buffers[op->buffer];
    switch (machine->program->buffers[op->buffer].dtype) {
    case DTYPE_I32: ((int32_t *)buffer)[at] = value.i; break;
    case DTYPE_BOOL: ((unsigned char *)buffer)[at] = value.b; break;
    default: ((float *)buffer)[at] = op->kind == TILE_SCATTER_ADD ? ((float *)buffer)[at] + value.f : value.f; break;
    }
}

static Cell of_float(float number) {
    return (Cell){.f = number};
}
static Cell of_integer(int32_t number) {
    return (Cell){.i = number};
}
static Cell of_bool(bool truth) {
    return (Cell){.b = truth};
}

static Cell map_integer(const Machine *machine, const TileOp *op, const Cell *a) {
    int32_t x = a[0].i, y = a[1].i;
    (void)machine;
    switch (op->function) {
    case OP_ADD: return of_integer((int32_t)((uint32_t)x + (uint32_t)y));
    case OP_SUB: return of_integer((int32_t)((uint32_t)x - (uint32_t)y));
    case OP_MUL: return of_integer((int32_t)((uint32_t)x * (uint32_t)y));
    case TILE_DIVIDE: return of_integer(x / y);
    case TILE_REMAINDER: return of_integer(x % y);
    case TILE_MINIMUM_INTEGER: return of_integer(x < y ? x : y);
    case TILE_MAXIMUM_INTEGER: return of_integer(x > y ? x : y);
    case OP_LT: return of_bool(x < y);
    case OP_LE: return of_bool(x <= y);
    case OP_EQ: return of_bool(x == y);
    case OP_TO_FLOAT: return of_float((float)x);
    default: BUG("%d on i32", op->function);
    }
}

static Cell map_bool(const TileOp *op, const Cell *a) {
    switch (op->function) {
    case OP_AND: return of_bool(a[0].b && a[1].b);
    case OP_OR: return of_bool(a[0].b || a[1].b);
    case OP_NOT: return of_bool(!a[0].b);
    case OP_EQ: return of_bool(a[0].b == a[1].b);
    case OP_WHERE: return a[0].b ? a[1] : a[2];
    case OP_TO_FLOAT: return of_float(a[0].b ? 1 : 0);
    default: BUG("%d on bool", op->function);
    }
}

static Cell map_float(const TileOp *op, const Cell *a) {
    float x = a[0].f, y = a[1].f;
    switch (op->function) {
    case OP_ADD: return of_float(x + y);
    case OP_SUB: return of_float(x - y);
    case OP_MUL: return of_float(x * y);
    case OP_DIV: return of_float(x / y);
    case OP_NEG: return of_float(-x);
    case OP_EXP: return of_float(expf(x));
    case OP_LOG: return of_float(logf(x));
    case OP_SQRT: return of_float(sqrtf(x));
    case OP_RSQRT: return of_float((float)(1 / sqrt((double)x)));
    case OP_TANH: return of_float(tanhf(x));
    case OP_ERF: return of_float(erff(x));
    case OP_SIN: return of_float(sinf(x));
    case OP_COS: return of_float(cosf(x));
    case OP_ABS: return of_float(fabsf(x));
    case OP_MAXIMUM: return of_float(x > y || isnan(x) ? x : y);
    case OP_MINIMUM: return of_float(x < y || isnan(x) ? x : y);
    case OP_LT: return of_bool(x < y);
    case OP_LE: return of_bool(x <= y);
    case OP_EQ: return of_bool(x == y);
    default: BUG("%d on f32", op->function);
    }
}

static Cell map_cell(const Machine *machine, const TileOp *op, int row, int lane) {
    Cell a[4] = {{0}};
    for (int i = 0; i < op->operand_count; i++)
        a[i] = *cell(machine, op->operands[i], row, lane);
    DType first = machine->program->ops[op->operands[0]].dtype;
    if (first == DTYPE_BOOL) return map_bool(op, a);
    return first == DTYPE_I32 ? map_integer(machine, op, a) : map_float(op, a);
}

static Cell random_cell(const Machine *machine, const TileOp *op, int row, int lane) {
    uint32_t words[3], stream[2], bits[2];
    for (int i = 0; i < 3; i++)
        words[i] = (uint32_t)cell(machine, op->operands[i], 0, 0)->i;
    reference_threefry((uint32_t[]){words[0], op->site}, (uint32_t[]){words[1], words[2]}, stream);
    uint64_t at = (uint64_t)index_at(machine, &op->index, row, lane);
    reference_threefry(stream, (uint32_t[]){(uint32_t)at, (uint32_t)(at >> 32)}, bits);
    return of_float((float)(bits[0] >> 8) * 0x1p-24f);
}

static Cell number_cell(DType dtype, double number) {
    if (dtype == DTYPE_I32) return of_integer((int32_t)number);
    return dtype == DTYPE_BOOL ? of_bool(number != 0) : of_float((float)number);
}

static float combine(int function, float a, float b) {
    if (function == OP_SUM) return a + b;
    return a > b || isnan(a) ? a : b;
}

// Which element of the accumulator takes row, lane of the tile.
static Cell *chain(const Machine *machine, const TileOp *accumulator, TileValue value, int row, int lane) {
    bool columns = accumulator->shape == (SHAPE_ROWS | SHAPE_LANES) && accumulator->step == TILE_LANES;
    if (columns) return &machine->cells[value][(machine->row_start + row) % TILE_LANES * MAX_WIDTH + lane];
    if (accumulator->shape == SHAPE_LANES) return &machine->cells[value][lane % TILE_LANES];
    return cell(machine, value, row, lane);
}

// Whether the op stands inside a lanes loop: an accumulator that does not has 16 lanes, and wider operands fold into
// it.
static bool stands_in_lanes(const TileProgram *program, TileValue at) {
    int closed = 0;
    for (TileValue i = at; i-- > 0;) {
        if (program->ops[i].kind == TILE_END) closed++;
        if (program->ops[i].kind != TILE_LOOP) continue;
        if (closed == 0 && program->ops[i].loop == LOOP_LANES) return true;
        if (closed > 0) closed--;
    }
    return false;
}

static void accumulate(Machine *machine, const TileOp *op) {
    const TileOp *accumulator = &machine->program->ops[op->operands[0]];
    int rows = accumulator->shape & SHAPE_ROWS ? machine->rows : 1;
    bool folds = accumulator->step == 0 && !stands_in_lanes(machine->program, op->operands[0]);
    for (int row = 0; row < rows; row++)
        for (int lane = 0; lane < machine->lanes; lane++) {
            Cell *to = chain(machine, accumulator, op->operands[0], row, folds ? lane % TILE_LANES : lane);
            if (op->kind == TILE_ACCUMULATE)
                to->f = combine(op->function, to->f, cell(machine, op->operands[1], row, lane)->f);
            else
                to->f = fmaf(cell(machine, op->operands[1], row, lane)->f, cell(machine, op->operands[2], row, lane)->f,
                             to->f);
        }
}

static float reduce_chains(const Machine *machine, const TileOp *op, int row, int lane) {
    const TileOp *accumulator = &machine->program->ops[op->operands[0]];
    const Cell *cells = machine->cells[op->operands[0]];
    bool columns = accumulator->step != 0;
    if (!columns && (accumulator->shape & SHAPE_ROWS)) cells += row * MAX_WIDTH;
    float chains[TILE_LANES];
    for (int i = 0; i < TILE_LANES; i++)
        chains[i] = columns ? cells[i * MAX_WIDTH + lane].f : cells[i].f;
    for (int half = TILE_LANES / 2; half > 0; half /= 2)
        for (int i = 0; i < half; i++)
            chains[i] = combine(op->function, chains[i], chains[i + half]);
    return chains[0];
}

static Cell value_cell(Machine *machine, const TileOp *op, int row, int lane) {
    switch (op->kind) {
    case TILE_CONST: return number_cell(op->dtype, op->number);
    case TILE_INDEX: return of_integer((int32_t)index_at(machine, &op->index, row, lane));
    case TILE_LOAD:
        return read_buffer(machine, op,
                           checked_index(machine, op, machine->program->buffers[op->buffer].elements, row, lane));
    case TILE_TABLE: return number_cell(op->dtype, op->table[checked_index(machine, op, op->table_count, row, lane)]);
    case TILE_MAP: return map_cell(machine, op, row, lane);
    case TILE_RANDOM: return random_cell(machine, op, row, lane);
    case TILE_ROW_REDUCE: return of_float(reduce_chains(machine, op, row, lane));
    default: BUG("tile op %d has no value", op->kind);
    }
}

static Cell *new_cells(Machine *machine, uint32_t at) {
    if (!machine->cells[at]) machine->cells[at] = ARENA_ARRAY(machine->arena, Cell, MAX_ROWS * MAX_WIDTH);
    return machine->cells[at];
}

static void run_op(Machine *machine, uint32_t at) {
    const TileOp *op = &machine->program->ops[at];
    Cell *cells = new_cells(machine, at);
    if (op->kind == TILE_ACCUMULATE || op->kind == TILE_MULTIPLY_ACCUMULATE) {
        accumulate(machine, op);
        return;
    }
    if (op->kind == TILE_PREFETCH) return;
    if (op->kind == TILE_ZERO) {
        for (int i = 0; i < MAX_ROWS * MAX_WIDTH; i++)
            cells[i] = of_float((float)op->number);
        return;
    }
    int rows = op->shape & SHAPE_ROWS ? machine->rows : 1, lanes = op->shape & SHAPE_LANES ? machine->lanes : 1;
    for (int row = 0; row < rows; row++)
        for (int lane = 0; lane < lanes; lane++) {
            if (op->kind != TILE_STORE && op->kind != TILE_SCATTER_ADD) {
                cells[row * MAX_WIDTH + lane] = value_cell(machine, op, row, lane);
                continue;
            }
            int64_t to = checked_index(machine, op, machine->program->buffers[op->buffer].elements, row, lane);
            write_buffer(machine, op, to, *cell(machine, op->operands[0], row, lane));
        }
}

static void run(Machine *machine, uint32_t from, uint32_t to);

static void run_tile(Machine *machine, uint32_t at, int64_t start, int count) {
    const TileOp *op = &machine->program->ops[at];
    Cell *cells = new_cells(machine, at);
    Machine saved = *machine;
    for (int i = 0; i < count; i++)
        cells[op->loop == LOOP_ROWS ? i * MAX_WIDTH : i] = of_integer((int32_t)(start + i));
    if (op->loop == LOOP_ROWS) {
        machine->row_start = start;
        machine->rows = count;
    } else if (op->loop == LOOP_LANES) {
        machine->lane_start = start;
        machine->lanes = count;
    }
    run(machine, at + 1, machine->ends[at]);
    saved.wrong = machine->wrong;
    *machine = saved;
}

static void run_loop(Machine *machine, uint32_t at) {
    const TileOp *op = &machine->program->ops[at];
    int64_t low = 0, high = op->extent;
    if (op->pieces) {
        low = op->extent * machine->piece / op->pieces;
        high = op->extent * (machine->piece + 1) / op->pieces;
    }
    if (op->bounded) {
        int64_t first = index_at(machine, &op->index, 0, 0) + op->low,
                last = index_at(machine, &op->index, machine->rows - 1, 0) + op->high;
        int64_t unit = op->loop == LOOP_LANES ? op->step : 1;
        if (first > low) low = first / unit * unit;
        if (last + 1 < high) high = last < 0 ? 0 : last / unit * unit + unit;
    }
    if (op->loop == LOOP_GUARD) {
        int32_t index = cell(machine, op->operands[0], 0, 0)->i;
        if (index >= low && index < high) run_tile(machine, at, index, 1);
        return;
    }
    bool tiled = op->loop == LOOP_ROWS || op->loop == LOOP_LANES;
    int64_t step = tiled ? op->step : 1, count = high - low;
    if (step > MAX_ROWS) BUG("a step of %lld", (long long)step);
    int64_t tiles = (count + step - 1) / step;
    for (int64_t tile = 0; tile < tiles; tile++) {
        int64_t each = count / tiles, larger = count % tiles;   // larger tiles come first
        int64_t start = low + (op->split_evenly ? each * tile + (tile < larger ? tile : larger) : tile * step);
        int64_t end = op->split_evenly ? start + each + (tile < larger) : start + step < high ? start + step : high;
        run_tile(machine, at, start, (int)(end - start));
    }
}

static void run(Machine *machine, uint32_t from, uint32_t to) {
    for (uint32_t i = from; i < to && !machine->wrong; i++) {
        if (machine->program->ops[i].kind == TILE_LOOP) {
            run_loop(machine, i);
            i = machine->ends[i];
        } else {
            run_op(machine, i);
        }
    }
}

const char *interpret_tile(const TileProgram *program, void *const *buffers, uint32_t piece, Arena *arena) {
    Arena *scratch = arena_create();
    Machine machine = {.program = program, .buffers = buffers, .piece = piece, .rows = 1, .lanes = 1, .arena = scratch};
    machine.cells = ARENA_ARRAY(scratch, Cell *, program->op_count);
    machine.ends = ARENA_ARRAY(scratch, uint32_t, program->op_count);
    uint32_t loops[64];
    int depth = 0;
    for (uint32_t i = 0; i < program->op_count; i++) {
        if (program->ops[i].kind == TILE_LOOP) loops[depth++] = i;
        if (program->ops[i].kind == TILE_END) machine.ends[loops[--depth]] = i;
    }
    run(&machine, 0, program->op_count);
    const char *wrong = machine.wrong ? arena_copy(arena, machine.wrong) : NULL;
    arena_free(scratch);
    return wrong;
}
