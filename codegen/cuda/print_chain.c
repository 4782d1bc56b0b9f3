// A chain of steps -> the text of its kernel.
//
//     const int piece = block;                           or, where pieces add up:  for (piece = 16 * block; ...) {
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
#include "codegen/cuda/print_tensor.h"

static const CudaParameter *parameters_of(Arena *arena, const ChainKernel *chain) {
    CudaParameter *parameters = ARENA_ARRAY(arena, CudaParameter, chain->parameter_count + 1);
    for (uint32_t i = 0; i < chain->parameter_count; i++) {
        const ChainParameter *parameter = &chain->parameters[i];
        parameters[i] = (CudaParameter){parameter->dtype, parameter->written, !parameter->aliased};
    }
    return parameters;
}

// Returns whether pieces follow each other.
static bool open_pieces(Printer *printer, const ChainKernel *chain) {
    uint32_t each = chain->pieces / chain->blocks;
    if (each == 1) {
        print_line(printer, "const int piece = block;");
        return false;
    }
    print_line(printer, "const int first_piece = %u * block;", each);
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

static void print_part(Printer *printer, const ChainKernel *chain, uint32_t number, bool is_filled) {
    const ChainPart *part = &chain->parts[number];
    print_line(printer, "{");
    print_buffers(printer, part);
    Printer own = part_printer(printer, part, part_symbol(printer, chain, number), chain->threads);
    own.tensor = part->tensor;
    if (part->tensor) print_turns(&own, chain->ring, is_filled);
    else print_piece(&own);
    print_line(printer, "}");
}

// ---- a ring that is filled while the part before its product is at work

// Behind a part that has no ring itself, and where nothing is copied that the chain has made.
static bool fills_early(const ChainKernel *chain, uint32_t number) {
    if (number == 0 || chain->parts[number - 1].tensor || !chain->parts[number].tensor) return false;
    const ChainPart *part = &chain->parts[number];
    for (uint32_t b = 0; b < part->program->buffer_count; b++) {
        const ChainBuffer *buffer = &part->buffers[b];
        bool is_made = buffer->is_shared || chain->parameters[buffer->parameter].written;
        if (part->tensor->is_copied[b] && is_made) return false;
    }
    return true;
}

static void print_early_stages(Printer *printer, const ChainKernel *chain, uint32_t number) {
    const ChainPart *part = &chain->parts[number];
    print_line(printer, "int coming = 0, next = 0, ahead = 0;");
    print_line(printer, "{");
    print_buffers(printer, part);
    Printer own = part_printer(printer, part, part_symbol(printer, chain, number), chain->threads);
    own.tensor = part->tensor;
    print_first_stages(&own, chain->ring);
    print_line(printer, "}");
}

static void print_parts(Printer *printer, const ChainKernel *chain) {
    for (uint32_t i = 0; i < chain->part_count; i++) {
        bool is_filled = fills_early(chain, i);
        if (i > 0) print_line(printer, "block_barrier();");
        if (i + 1 < chain->part_count && fills_early(chain, i + 1)) {
            print_line(printer, "{");
            print_early_stages(printer, chain, i + 1);
        }
        print_part(printer, chain, i, is_filled);
        if (is_filled) print_line(printer, "}");
    }
}

static const char *tables_of(Printer *printer, const ChainKernel *chain, Arena *arena, bool *any) {
    Text tables = text_create(arena);
    printer->out = &tables;
    for (uint32_t i = 0; i < chain->part_count; i++) {
        Printer own = part_printer(printer, &chain->parts[i], part_symbol(printer, chain, i), chain->threads);
        *any |= print_tables(&own);
    }
    return text_string(&tables);
}

const CudaText *print_chain(Arena *arena, const ChainKernel *chain) {
    Arena *scratch = arena_create();
    Printer printer = {.arena = scratch, .symbol = chain->symbol, .depth = 1};
    CudaText *text = ARENA_NEW(arena, CudaText);
    *text = (CudaText){.letter = "p",
                       .parameters = parameters_of(arena, chain),
                       .resident = chain->resident,
                       .asks_lane = true,
                       .shared = chain->shared_bytes ? SHARED_BYTES : SHARED_NOT};
    text->before = tables_of(&printer, chain, arena, &text->has_tables);
    Text body = text_create(arena);
    printer.out = &body;
    bool is_loop = open_pieces(&printer, chain);
    print_parts(&printer, chain);
    if (is_loop) {
        print_line(&printer, "block_barrier();");
        print_line(&printer, "}");
    }
    text->body = text_string(&body);
    arena_free(scratch);
    return text;
}
