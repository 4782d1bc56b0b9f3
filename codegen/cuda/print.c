// One tile program -> the text of one kernel.
//
//     kernel map_sub_33b7 (f32 b0[98304], f32 b1[768], out f32 b2[98304])
//     loop T.1 768                          KERNEL(map_sub_33b7, 128)(const float *RESTRICT b0, ...) {
//       %2 = load f32 b1[T.1]         ->        const int lane = LANE;
//       lanes C.3 128 step 32                   for (int work = WORKER; work < 3072; work += WORKERS) {
//         ...                                       const int T_1 = work / 4; ...
#include <stdarg.h>
#include <string.h>

#include "base/diag.h"
#include "codegen/cuda/print_tensor.h"

void print_line(Printer *printer, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    Text line = text_create(printer->arena);
    text_append_list(&line, format, arguments);
    va_end(arguments);
    if (line.data[0] == '}') printer->depth--;
    text_append(printer->out, "%*s%s\n", 4 * printer->depth, "", text_string(&line));
    if (line.data[line.length - 1] == '{') printer->depth++;
}

// ---- tables

static const char *element_text(const Printer *printer, DType dtype, double number) {
    if (dtype == DTYPE_F32) return float_text(printer->arena, number);
    return arena_format(printer->arena, "%d", (int)number);
}

static const char *memory_text(DType dtype) {
    if (dtype == DTYPE_BF16 || dtype == DTYPE_F16) return "unsigned short";
    return dtype == DTYPE_BOOL ? "unsigned char" : dtype_text(dtype);
}

void print_tables(Printer *printer) {
    for (uint32_t i = 0; i < printer->program->op_count; i++) {
        const TileOp *op = printer_op(printer, i);
        if (op->kind != TILE_TABLE) continue;
        text_append(printer->out, "CONSTANT %s %s_table%u[%lld] = {", memory_text(op->dtype), printer->symbol, i,
                    (long long)op->table_count);
        for (int64_t k = 0; k < op->table_count; k++)
            text_append(printer->out, "%s%s", k == 0 ? "" : k % 16 == 0 ? ",\n    " : ", ",
                        element_text(printer, op->dtype, op->table[k]));
        text_append(printer->out, "};\n");
    }
}

// ---- the function

static void print_head(Printer *printer, const bool *aliased, uint32_t threads) {
    const TileProgram *program = printer->program;
    Text parameters = text_create(printer->arena);
    for (uint32_t i = 0; i < program->buffer_count; i++) {
        const TileBuffer *buffer = &program->buffers[i];
        text_append(&parameters, "%s%s%s *%sb%u", i ? ", " : "", buffer->written ? "" : "const ",
                    memory_text(buffer->dtype), aliased[i] ? "" : "RESTRICT ", i);
    }
    if (program->tensor.wgmma) text_append(&parameters, ", TENSOR_MAP m0, TENSOR_MAP m1");
    if (printer->tensor)
        print_line(printer, "TENSOR_KERNEL(%s, %u, %d)(%s) {", printer->symbol, threads, printer->tensor->resident,
                   text_string(&parameters));
    else
        print_line(printer, "KERNEL(%s, %u)(%s) {", printer->symbol, threads, text_string(&parameters));
    if (printer->tensor) print_line(printer, "const int block = (int)blockIdx.x;");
    else print_line(printer, "const int lane = LANE, block = (int)blockIdx.x, blocks = (int)gridDim.x;");
    print_line(printer, "await_earlier();");
}

static void print_nests(Printer *printer, uint32_t begin, uint32_t end) {
    while (begin < end) {
        const TileOp *op = printer_op(printer, begin);
        if (op->kind != TILE_LOOP) {
            uint32_t stop = run_end(printer, begin, end);
            print_run(printer, begin, stop);
            begin = stop;
            continue;
        }
        if (loop_is_piece(op)) {
            print_line(printer, "const int %s = piece;", loop_base(printer, begin));
            print_nests(printer, begin + 1, printer->ends[begin]);
        } else {
            print_nest(printer, begin);
        }
        begin = printer->ends[begin] + 1;
    }
}

void print_piece(Printer *printer) {
    uint32_t count = printer->program->op_count;
    if (printer->spread->kind == SPREAD_LOOPS) {
        print_nests(printer, 0, count);
        return;
    }
    print_line(printer, "if (%s == 0) {", printer->worker);
    print_range(printer, 0, count);
    print_line(printer, "}");
}

static void print_body(Printer *printer) {
    const Spread *spread = printer->spread;
    switch (spread->kind) {
    case SPREAD_LOOPS: print_nests(printer, 0, printer->program->op_count); return;
    case SPREAD_PIECES:
        print_line(printer, "for (int piece = WORKER; piece < %u; piece += WORKERS) {", spread->pieces);
        print_range(printer, 0, printer->program->op_count);
        print_line(printer, "}");
        return;
    case SPREAD_NOT: print_range(printer, 0, printer->program->op_count); return;
    case SPREAD_TENSOR: print_tensor(printer); return;
    }
}

static TileRange *ranges_of(const TileProgram *program, Arena *arena) {
    TileRange *ranges = ARENA_ARRAY(arena, TileRange, program->op_count + 1);
    for (uint32_t i = 0; i < program->op_count; i++) ranges[i] = tile_op_range(&program->ops[i], ranges);
    return ranges;
}

Printer printer_of(Arena *arena, Text *out, const TileProgram *program, const char *symbol, const Spread *spread) {
    return (Printer){.arena = arena,
                     .out = out,
                     .program = program,
                     .symbol = symbol,
                     .ends = tile_ends(program, arena),
                     .shapes = tile_shapes(program, arena),
                     .ranges = ranges_of(program, arena),
                     .spread = spread,
                     .cells = ARENA_ARRAY(arena, Cell, program->op_count + 1),
                     .rows_loop = TILE_NONE,
                     .lanes_loop = TILE_NONE,
                     .rows = 1,
                     .vectors = 1,
                     .worker = "WORKER",
                     .workers = "WORKERS"};
}

const char *print_kernel(Arena *arena, const TileProgram *program, const bool *aliased, const char *symbol,
                         uint32_t threads, const Spread *spread) {
    Text text = text_create(arena);
    Arena *scratch = arena_create();
    Printer printer = printer_of(scratch, &text, program, symbol, spread);
    Tensor tensor;
    if (spread->kind == SPREAD_TENSOR) {
        tensor = tensor_of(program);
        printer.tensor = &tensor;
    }
    print_tables(&printer);
    print_head(&printer, aliased, threads);
    print_body(&printer);
    print_line(&printer, "}");
    arena_free(scratch);
    return text_string(&text);
}
