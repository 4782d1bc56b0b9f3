// One operation as one line of text, in the scope of its part: inside the loops over rows `r` and vectors `v` that its
// shape has.
//
//     %10 = load f32 b1[128*%7 + C.9]     ->   const float v10 = b1[128*v7 + C_9i];
//     %11 = where f32 %8 %10 %2           ->   const float v11 = v8 ? v10 : NOT_A_NUMBER;
//
// Every pointwise operation rounds once: compilers are told not to contract a product and a sum.
#include <math.h>

#include "base/diag.h"
#include "codegen/cuda/print_tensor.h"

const char *dtype_text(DType dtype) {
    switch (dtype) {
    case DTYPE_F32: return "float";
    case DTYPE_I32: return "int";
    case DTYPE_BOOL: return "bool";
    default: BUG("no kernel text for values of type %s", dtype_name(dtype));
    }
}

// ---- values

// Nine digits say exactly which f32 is meant.
const char *float_text(Arena *arena, double number) {
    float value = (float)number;
    if (isnan(value)) return "NOT_A_NUMBER";
    if (isinf(value)) return value > 0 ? "INFINITE" : "-INFINITE";
    Text text = text_create(arena);
    text_append(&text, "%.9g", (double)value);
    bool whole = true;
    for (const char *c = text_string(&text); *c; c++)
        if (*c == '.' || *c == 'e') whole = false;
    text_append(&text, whole ? ".0f" : "f");
    return text_string(&text);
}

static const char *constant_text(const Printer *printer, const TileOp *op) {
    if (op->dtype == DTYPE_F32) return float_text(printer->arena, op->number);
    if (op->dtype == DTYPE_BOOL) return op->number != 0 ? "true" : "false";
    // The least i32 is no literal of C.
    if ((int32_t)op->number == INT32_MIN) return "(-2147483647 - 1)";
    return arena_format(printer->arena, "%d", (int)(int32_t)op->number);
}

const char *value_text(const Printer *printer, TileValue value) {
    const TileOp *op = printer_op(printer, value);
    if (op->kind == TILE_CONST) return constant_text(printer, op);
    if (op->kind == TILE_LOOP) return loop_element(printer, value);
    const Cell *cell = &printer->cells[value];
    bool by_rows = cell->stored && cell->rows > 1, by_vectors = cell->stored && cell->vectors > 1;
    bool is_at_row = printer->in_row_nest && !printer->rolled_rows;
    TileValue number = cell->is_over ? cell->over : value;
    return arena_format(printer->arena, "v%u%s%s", number, !by_rows ? "" : is_at_row ? "[r]" : "[0]",
                        !by_vectors ? "" : printer->rolled_vectors ? "[0]" : "[v]");
}

// ---- pointwise functions

static const char *float_format(int function) {
    switch (function) {
    case OP_ADD: return "%s + %s";
    case OP_SUB: return "%s - %s";
    case OP_MUL: return "%s * %s";
    case OP_DIV: return "%s / %s";
    case OP_NEG: return "-(%s)";
    case OP_SQRT: return "sqrtf(%s)";
    case OP_RSQRT: return "float_rsqrt(%s)";
    case OP_ABS: return "fabsf(%s)";
    case OP_EXP: return "float_exp(%s)";
    case OP_LOG: return "float_log(%s)";
    case OP_TANH: return "float_tanh(%s)";
    case OP_ERF: return "float_erf(%s)";
    case OP_SIN: return "float_sin(%s)";
    case OP_COS: return "float_cos(%s)";
    case OP_MAXIMUM: return "float_maximum(%s, %s)";
    case OP_MINIMUM: return "float_minimum(%s, %s)";
    default: return NULL;
    }
}

static const char *integer_format(int function) {
    switch (function) {
    case OP_ADD: return "int_add(%s, %s)";
    case OP_SUB: return "int_subtract(%s, %s)";
    case OP_MUL: return "int_multiply(%s, %s)";
    case OP_NEG: return "int_subtract(0, %s)";
    case OP_ABS: return "int_absolute(%s)";
    case TILE_DIVIDE: return "(int)((unsigned)%s / %su)"; // dividends are >= 0, divisors constant and > 0
    case TILE_REMAINDER: return "(int)((unsigned)%s %% %su)";
    case OP_MINIMUM:
    case TILE_MINIMUM_INTEGER: return "int_minimum(%s, %s)";
    case OP_MAXIMUM:
    case TILE_MAXIMUM_INTEGER: return "int_maximum(%s, %s)";
    default: return NULL;
    }
}

static const char *any_format(int function, DType dtype) {
    switch (function) {
    case OP_WHERE: return "%s ? %s : %s";
    case OP_LT: return "%s < %s";
    case OP_LE: return "%s <= %s";
    case OP_EQ: return "%s == %s";
    case OP_AND: return "%s && %s";
    case OP_OR: return "%s || %s";
    case OP_NOT: return "!(%s)";
    case OP_TO_FLOAT: return "(float)(%s)";
    case OP_STOP_GRADIENT: return "%s";
    default: return dtype == DTYPE_F32 ? float_format(function) : integer_format(function);
    }
}

static const char *fill(const Printer *printer, const char *format, const char *const *operands) {
    Text text = text_create(printer->arena);
    for (const char *c = format; *c; c++) {
        if (c[0] == '%' && c[1] == 's') {
            text_append(&text, "%s", *operands++);
            c++;
        } else {
            if (c[0] == '%' && c[1] == '%') c++;
            text_append_bytes(&text, c, 1);
        }
    }
    return text_string(&text);
}

// Of a difference in one instruction more than the function takes.
static const char *fast_exp_text(const Printer *printer, const TileOp *of, const TileOp *op) {
    bool is_difference = of->kind == TILE_MAP && of->function == OP_SUB;
    if (!is_difference) return arena_format(printer->arena, "fast_exp(%s)", value_text(printer, op->operands[0]));
    return arena_format(printer->arena, "fast_exp_of(%s, %s)", value_text(printer, of->operands[0]),
                        value_text(printer, of->operands[1]));
}

static const char *map_text(const Printer *printer, const TileOp *op) {
    const char *operands[4];
    bool is_rounded = printer->tensor && printer->tensor->registers;
    if (is_rounded && op->function == OP_EXP) return fast_exp_text(printer, printer_op(printer, op->operands[0]), op);
    for (int i = 0; i < op->operand_count; i++) operands[i] = value_text(printer, op->operands[i]);
    DType dtype = printer_op(printer, op->operands[0])->dtype;
    const char *format = any_format(op->function, dtype);
    if (!format) BUG("no %s kernel text for function %d", dtype_name(dtype), op->function);
    return fill(printer, format, operands);
}

// ---- what defines a value

static const char *table_text(const Printer *printer, uint32_t number) {
    const TileOp *op = printer_op(printer, number);
    const char *element = arena_format(printer->arena, "%s_table%u[%s]", printer->symbol, number,
                                       address_text(printer, &op->index));
    return op->dtype == DTYPE_BOOL ? arena_format(printer->arena, "%s != 0", element) : element;
}

static const RegisterText *registers_of(const Printer *printer, const TileOp *op) {
    bool is_local = printer->program->buffers[op->buffer].local && printer->tensor;
    return is_local ? &printer->tensor->registers[op->buffer] : NULL;
}

static const char *load_text(const Printer *printer, const TileOp *op) {
    const RegisterText *registers = registers_of(printer, op);
    if (registers) return registers->load;
    const char *element = arena_format(printer->arena, "b%d[%s]", op->buffer, address_text(printer, &op->index));
    DType dtype = printer->program->buffers[op->buffer].dtype;
    if (dtype == DTYPE_BF16 || dtype == DTYPE_F16)
        return arena_format(printer->arena, "float_of_%s(%s)", dtype_name(dtype), element);
    return op->dtype == DTYPE_BOOL ? arena_format(printer->arena, "%s != 0", element) : element;
}

static const char *random_text(const Printer *printer, const TileOp *op) {
    return arena_format(printer->arena, "random_at(random_key(%s, %uu, %s, %s), %s)",
                        value_text(printer, op->operands[0]), op->site, value_text(printer, op->operands[1]),
                        value_text(printer, op->operands[2]), index_text(printer, &op->index, INDEX_UNSIGNED));
}

static const char *definition_text(const Printer *printer, uint32_t number) {
    const TileOp *op = printer_op(printer, number);
    switch (op->kind) {
    case TILE_INDEX: return index_text(printer, &op->index, INDEX_SIGNED);
    case TILE_LOAD:
        if (printer->in_fours && goes_by_fours(printer, number)) return arena_format(printer->arena, "f%u[e]", number);
        return load_text(printer, op);
    case TILE_TABLE: return table_text(printer, number);
    case TILE_MAP: return map_text(printer, op);
    case TILE_RANDOM: return random_text(printer, op);
    default: return NULL;
    }
}

// ---- what changes memory

static uint8_t address_shape(const Printer *printer, const TileOp *op) {
    uint8_t shape = SHAPE_UNIFORM;
    for (int i = 0; i < op->index.count; i++) shape |= printer->shapes[op->index.terms[i].value];
    return shape;
}

// Lanes have an element each when a lanes loop moves the address and nothing that is computed does.
static bool lanes_are_apart(const Printer *printer, const TileOp *op) {
    bool apart = false;
    for (int i = 0; i < op->index.count; i++) {
        TileValue value = op->index.terms[i].value;
        if (!(printer->shapes[value] & SHAPE_LANES)) continue;
        if (printer_op(printer, value)->kind != TILE_LOOP) return false;
        apart = true;
    }
    return apart;
}

// What all threads of a worker hold alike the first one writes.
static void print_write(Printer *printer, uint32_t number) {
    const TileOp *op = printer_op(printer, number);
    bool wide = printer->shapes[number] & SHAPE_LANES, adds = op->kind == TILE_SCATTER_ADD;
    const RegisterText *registers = registers_of(printer, op);
    if (registers) {
        const char *stored = value_text(printer, op->operands[0]);
        print_line(printer, "%s", fill(printer, registers->store, &stored));
        return;
    }
    if (wide && !(address_shape(printer, op) & SHAPE_LANES)) BUG("lanes of %s meet in one element", printer->symbol);
    // A loop of one round, whose other rows or lanes are masked, may be in no address.
    uint8_t alone = !printer->tensor ? 0
                                     : (printer_op(printer, printer->rows_loop)->extent == 1 ? SHAPE_ROWS : 0) |
                                           (printer_op(printer, printer->lanes_loop)->extent == 1 ? SHAPE_LANES : 0);
    if (printer->tensor && (address_shape(printer, op) | alone) != (SHAPE_ROWS | SHAPE_LANES))
        BUG("threads of %s meet in one element", printer->symbol);
    if (wide && adds && !lanes_are_apart(printer, op)) BUG("lanes of %s add in no order", printer->symbol);
    const char *value = value_text(printer, op->operands[0]);
    if (printer->in_fours && goes_by_fours(printer, number)) {
        print_line(printer, "f%u[e] = %s;", number, value);
        return;
    }
    DType dtype = printer->program->buffers[op->buffer].dtype;
    if (dtype == DTYPE_BF16 || dtype == DTYPE_F16) {
        if (adds) BUG("%s adds in %s", printer->symbol, dtype_name(dtype));
        value = arena_format(printer->arena, "%s_of(%s)", dtype_name(dtype), value);
    }
    if (dtype == DTYPE_I32 && adds) {
        const char *element = arena_format(printer->arena, "b%d[%s]", op->buffer, address_text(printer, &op->index));
        print_line(printer, "%s%s = int_add(%s, %s);", wide ? "" : "if (lane == 0) ", element, element, value);
        return;
    }
    print_line(printer, "%sb%d[%s] %s %s;", wide ? "" : "if (lane == 0) ", op->buffer,
               address_text(printer, &op->index), adds ? "+=" : "=", value);
}

static void print_accumulation(Printer *printer, const TileOp *op) {
    const char *accumulator = value_text(printer, op->operands[0]), *value = value_text(printer, op->operands[1]);
    if (op->kind == TILE_MULTIPLY_ACCUMULATE)
        print_line(printer, "%s = fmaf(%s, %s, %s);", accumulator, value, value_text(printer, op->operands[2]),
                   accumulator);
    else if (op->function == OP_MAX)
        print_line(printer, "%s = float_maximum(%s, %s);", accumulator, accumulator, value);
    else
        print_line(printer, "%s = %s + %s;", accumulator, accumulator, value);
}

void print_op(Printer *printer, uint32_t number) {
    const TileOp *op = printer_op(printer, number);
    switch (op->kind) {
    case TILE_STORE:
    case TILE_SCATTER_ADD: print_write(printer, number); return;
    case TILE_ACCUMULATE:
    case TILE_MULTIPLY_ACCUMULATE: print_accumulation(printer, op); return;
    case TILE_CONST:
    case TILE_PREFETCH: return; // constants are said where they are used; who hides latency here is other threads
    default: break;
    }
    const char *definition = definition_text(printer, number);
    if (!definition) BUG("operation %d is no part of a run", op->kind);
    if (printer->cells[number].stored)
        print_line(printer, "%s = %s;", value_text(printer, number), definition);
    else
        print_line(printer, "const %s v%u = %s;", dtype_text(op->dtype), number, definition);
}
