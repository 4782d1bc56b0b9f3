// One tile program -> the text of one kernel.
//
//     kernel map_sub_33b7 (f32 b0[98304], f32 b1[768], out f32 b2[98304])
//     loop T.1 768                          KERNEL(map_sub_33b7, 128)(const float *RESTRICT b0, ...) {
//       %2 = load f32 b1[T.1]         ->        const int lane = LANE, ..
//       lanes C.3 128 step 16                   const int works = 6144;
//         ...                                   for (int work = WORKER; work < works; work += WORKERS) {
//                                                   const int T_1 = work / 8; ...
#include <stdarg.h>
#include <string.h>

#include "base/diag.h"
#include "base/hash.h"
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

bool print_tables(Printer *printer) {
    bool any = false;
    for (uint32_t i = 0; i < printer->program->op_count; i++) {
        const TileOp *op = printer_op(printer, i);
        if (op->kind != TILE_TABLE) continue;
        any = true;
        text_append(printer->out, "CONSTANT %s %s_table%u[%lld] = {", memory_text(op->dtype), printer->symbol, i,
                    (long long)op->table_count);
        for (int64_t k = 0; k < op->table_count; k++)
            text_append(printer->out, "%s%s", k == 0 ? "" : k % 16 == 0 ? ",\n    " : ", ",
                        element_text(printer, op->dtype, op->table[k]));
        text_append(printer->out, "};\n");
    }
    return any;
}

// ---- the function

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

// Each piece by as many workers as its nests have rounds.
static void print_shared_pieces(Printer *printer) {
    long long all = (long long)printer->spread->units, each = all / printer->spread->pieces;
    print_line(printer, "for (int share = WORKER; share < %lld; share += WORKERS) {", all);
    print_line(printer, "const int piece = share / %lld;", each);
    printer->worker = arena_format(printer->arena, "share %% %lld", each);
    printer->workers = arena_format(printer->arena, "%lld", each);
    print_nests(printer, 0, printer->program->op_count);
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
    case SPREAD_SHARED: print_shared_pieces(printer); return;
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

static const CudaParameter *parameters_of(Arena *arena, const TileProgram *program, const bool *aliased) {
    CudaParameter *parameters = ARENA_ARRAY(arena, CudaParameter, program->buffer_count + 1);
    for (uint32_t i = 0; i < program->buffer_count; i++)
        parameters[i] = (CudaParameter){program->buffers[i].dtype, program->buffers[i].written, !aliased[i]};
    return parameters;
}

// Whether the one nest of loops that is dealt out has nothing of how far its outermost loop goes but the number of
// rounds: then kernels for different sizes are alike.
static bool goes_on_alike(const Printer *printer) {
    uint32_t loop = TILE_NONE;
    if (printer->spread->kind != SPREAD_LOOPS) return false;
    for (uint32_t i = 0; i < printer->program->op_count; i++) {
        if (printer_op(printer, i)->kind != TILE_LOOP) continue;
        if (loop != TILE_NONE) return false;
        loop = i;
        i = printer->ends[i];
    }
    if (loop == TILE_NONE) return false;
    const TileOp *op = printer_op(printer, loop);
    bool is_even = op->loop == LOOP_PLAIN || (op->loop != LOOP_PIECE && op->extent % op->step == 0);
    return is_even && op->pieces <= 1 && nest_paths(printer, loop) == 1;
}

// Once more, without the names of dims, for whoever looks for kernels that are alike.
static const char *likeness_of(Arena *arena, Printer printer, const CudaParameter *parameters) {
    Text text = text_create(printer.arena);
    for (uint32_t i = 0; i < printer.program->buffer_count; i++)
        text_append(&text, "%s\n", parameter_text(printer.arena, &parameters[i], true));
    printer.out = &text;
    printer.is_nameless = true;
    printer.cells = ARENA_ARRAY(printer.arena, Cell, printer.program->op_count + 1);
    print_body(&printer);
    WideHash hash = hash_wide(text.data, text.length);
    return arena_format(arena, "%016llx%016llx", hash.words[0], hash.words[1]);
}

const CudaText *print_kernel(Arena *arena, const TileProgram *program, const bool *aliased, const char *symbol,
                             const Spread *spread) {
    Text tables = text_create(arena), body = text_create(arena);
    Arena *scratch = arena_create();
    CudaText *text = ARENA_NEW(arena, CudaText);
    *text = (CudaText){.letter = "b", .parameters = parameters_of(arena, program, aliased)};
    Printer printer = printer_of(scratch, &tables, program, symbol, spread);
    Tensor tensor;
    if (spread->kind == SPREAD_TENSOR) {
        tensor = tensor_of(program);
        printer.tensor = &tensor;
        text->resident = (uint32_t)tensor.resident;
        text->shared = program->tensor.wgmma ? SHARED_BOXES : SHARED_BYTES;
        text->asks_blocks = program->tensor.wgmma;
    } else {
        text->asks_lane = text->asks_blocks = true;
    }
    text->has_tables = print_tables(&printer);
    printer.out = &body;
    printer.depth = 1;
    printer.asks_works = goes_on_alike(&printer);
    if (printer.asks_works) text->likeness = likeness_of(arena, printer, text->parameters);
    print_body(&printer);
    if (printer.asks_works) text->works = printer.works;
    text->before = text_string(&tables);
    text->body = text_string(&body);
    arena_free(scratch);
    return text;
}
