// A chain of steps -> the text of its kernel.
//
//     const int piece = blockIdx.x;                      or, where pieces add up:  for (piece = 16 * blockIdx.x; ...) {
//     {                                                     part 0: scores of the piece's rows, into shared memory
//         const float *const b0 = p0, *const b1 = p0;
//         float *const b2 = (float *)(shared_memory + 0);
//         for (int work = BLOCK_WORKER; work < 128; work += 32) { ... }
//     }
//     block_barrier();                                      all of them are there
//     {                                                     part 1: their probabilities
//         ...
//
// Each part is the tile program of its step, its loops dealt out to the block's workers. A barrier stands between two
// parts, and between the last part of a piece and the first one of the next.
#include "base/diag.h"
#include "codegen/cuda/chain.h"

static const char *memory_text(DType dtype) {
    if (dtype == DTYPE_BF16 || dtype == DTYPE_F16) return "unsigned short";
    return dtype == DTYPE_BOOL ? "unsigned char" : dtype_text(dtype);
}

static void print_head(Printer *printer, const ChainKernel *chain) {
    Text parameters = text_create(printer->arena);
    for (uint32_t i = 0; i < chain->parameter_count; i++) {
        const ChainParameter *parameter = &chain->parameters[i];
        text_append(&parameters, "%s%s%s *%sp%u", i ? ", " : "", parameter->written ? "" : "const ",
                    memory_text(parameter->dtype), parameter->aliased ? "" : "RESTRICT ", i);
    }
    print_line(printer, "TENSOR_KERNEL(%s, %u, %u)(%s) {", chain->symbol, chain->threads, chain->resident,
               text_string(&parameters));
    if (chain->shared_bytes) print_line(printer, "SHARED_MEMORY;");
    print_line(printer, "await_earlier();");
    print_line(printer, "const int lane = LANE;");
}

// Returns whether pieces follow each other.
static bool open_pieces(Printer *printer, const ChainKernel *chain) {
    uint32_t each = chain->pieces / chain->blocks;
    if (each == 1) {
        print_line(printer, "const int piece = (int)blockIdx.x;");
        return false;
    }
    print_line(printer, "const int first_piece = %u * (int)blockIdx.x;", each);
    print_line(printer, "for (int piece = first_piece; piece < first_piece + %u; piece++) {", each);
    return true;
}

static void print_buffers(Printer *printer, const ChainPart *part) {
    for (uint32_t b = 0; b < part->program->buffer_count; b++) {
        const TileBuffer *buffer = &part->program->buffers[b];
        const ChainBuffer *place = &part->buffers[b];
        const char *is_const = buffer->written ? "" : "const ", *type = memory_text(buffer->dtype);
        const char *before = !place->piece_elements ? "" : arena_format(printer->arena, " - %lldll * piece",
                                                                        (long long)place->piece_elements);
        if (place->is_shared)
            print_line(printer, "%s%s *const b%u = (%s%s *)(shared_memory + %zu)%s;", is_const, type, b, is_const,
                       type, place->offset, before);
        else
            print_line(printer, "%s%s *const b%u = p%u;", is_const, type, b, place->parameter);
    }
}

static Printer part_printer(const Printer *printer, const ChainPart *part, const char *symbol, uint32_t threads) {
    Arena *arena = printer->arena;
    Printer own = printer_of(arena, printer->out, part->program, symbol, &part->spread);
    own.depth = printer->depth;
    own.worker = "BLOCK_WORKER";
    own.workers = arena_format(arena, "%u", threads / TILE_LANES);
    return own;
}

static const char *part_symbol(const Printer *printer, const ChainKernel *chain, uint32_t number) {
    return arena_format(printer->arena, "%s_%u", chain->symbol, number);
}

static void print_part(Printer *printer, const ChainKernel *chain, uint32_t number) {
    const ChainPart *part = &chain->parts[number];
    print_line(printer, "{");
    print_buffers(printer, part);
    Printer own = part_printer(printer, part, part_symbol(printer, chain, number), chain->threads);
    print_piece(&own);
    print_line(printer, "}");
}

const char *print_chain(Arena *arena, const ChainKernel *chain) {
    Text text = text_create(arena);
    Arena *scratch = arena_create();
    Printer printer = {.arena = scratch, .out = &text, .symbol = chain->symbol};
    for (uint32_t i = 0; i < chain->part_count; i++) {
        Printer own = part_printer(&printer, &chain->parts[i], part_symbol(&printer, chain, i), chain->threads);
        print_tables(&own);
    }
    print_head(&printer, chain);
    bool is_loop = open_pieces(&printer, chain);
    for (uint32_t i = 0; i < chain->part_count; i++) {
        if (i > 0) print_line(&printer, "block_barrier();");
        print_part(&printer, chain, i);
    }
    if (is_loop) {
        print_line(&printer, "block_barrier();");
        print_line(&printer, "}");
    }
    print_line(&printer, "}");
    arena_free(scratch);
    return text_string(&text);
}
