// A chain of a plan -> one kernel: a block of threads takes a piece of all steps, one after the other.
//
// In: successive steps of one cut in ranges. Out: their tile programs, in which what lies in scratch memory is as large
// as one piece of it, and where each of their buffers is: a parameter of the kernel, or shared memory.
//
//     step 4 product cut(B,H,T)/384    out %s  scratch+0        part 0: b2 = shared + 0
//     step 5 row     joined   in %s    out %p  scratch+0        part 1: b0 = shared + 0, b1 = shared + 0
//     step 6 product joined   in %p    out %y                   part 2: b0 = shared + 0, b1, b2 = parameters
//
// %s[B,H,T,S] in ranges of 64 of T is a buffer [64][S]: its layout is (T%64, S) here, so addresses have no piece. A
// map, which walks its result's layout, has those of the whole value, and its buffers begin so many pieces before.
//
// Where a step sums over pieces, one block takes all pieces of a group in ascending order; else a block takes one.
#include "codegen/cuda/chain.h"

#include "base/hash.h"
#include "codegen/cuda/print_tensor.h"
#include "codegen/link.h"

enum { LANES = TILE_LANES, LEAST_THREADS = 32, SHARED_ALIGNMENT = 128 };

// ---- windows of what lies in shared memory

// The cut's dims lead the layout: of the last one there is a range, of the others one index.
static Layout window_layout(const Cut *cut, const CutRanges *ranges, const Layout *whole) {
    Layout window = {0};
    int done = 0;
    for (int i = 0; i < whole->count; i++) {
        const LayoutPiece *piece = &whole->pieces[i];
        if (done >= cut->dims.rank) {
            window.pieces[window.count++] = *piece;
            continue;
        }
        done += piece->dims.rank;
        CHECK(done <= cut->dims.rank);
        DimId last = piece->dims.dims[piece->dims.rank - 1];
        if (done == cut->dims.rank)
            window.pieces[window.count++] = (LayoutPiece){{.rank = 1, .dims = {last}}, 1, ranges->rows};
    }
    return window;
}

static const Plan *windowed(Arena *arena, const Plan *plan, uint32_t first, uint32_t end, const CutRanges *ranges) {
    Plan *window = ARENA_NEW(arena, Plan);
    *window = *plan;
    window->values = ARENA_ARRAY(arena, Value, plan->value_count + 1);
    for (ValueId id = 0; id < plan->value_count; id++) window->values[id] = plan->values[id];
    for (uint32_t s = first; s < end; s++)
        for (uint32_t k = 0; k < plan->steps[s].output_count; k++) {
            Value *value = &window->values[plan->steps[s].outputs[k]];
            if (value->space != SPACE_SCRATCH) continue;
            value->layout = window_layout(&plan->steps[s].cut, ranges, &value->layout);
        }
    return window;
}

// ---- parameters

static bool meet(const Value *a, const Value *b) {
    return a->space == b->space && a->offset < b->offset + b->bytes && b->offset < a->offset + a->bytes;
}

// Values that are parameters, in the order in which they are met.
typedef struct {
    const Plan *plan;
    ChainKernel *chain;
    ValueId *values;
} Parameters;

static uint32_t parameter_of(Parameters *parameters, ValueId id) {
    ChainKernel *chain = parameters->chain;
    for (uint32_t i = 0; i < chain->parameter_count; i++)
        if (parameters->values[i] == id) return i;
    const Value *value = &parameters->plan->values[id];
    int64_t elements = layout_elements(&value->layout) * (value->parts > 1 ? value->parts : 1);
    parameters->values[chain->parameter_count] = id;
    chain->parameters[chain->parameter_count] = (ChainParameter){
        .dtype = value->dtype, .elements = elements > 0 ? elements : 1, .place = buffer_of_value(value)};
    return chain->parameter_count++;
}

static bool loads(const TileProgram *program, uint32_t buffer) {
    for (uint32_t i = 0; i < program->op_count; i++) {
        const TileOp *op = &program->ops[i];
        if ((op->kind == TILE_LOAD || op->kind == TILE_SCATTER_ADD) && op->buffer == (int)buffer) return true;
    }
    return false;
}

static bool has_windows(const Step *step) { return step->form != FORM_MAP; }

static void fill_buffers(Arena *arena, Parameters *parameters, const Step *step, ChainPart *part) {
    ChainBuffer *buffers = ARENA_ARRAY(arena, ChainBuffer, part->program->buffer_count + 1);
    for (uint32_t b = 0; b < part->program->buffer_count; b++) {
        ValueId id = step_buffer_value(step, b);
        const Value *value = &parameters->plan->values[id];
        if (value->space == SPACE_SCRATCH) {
            buffers[b] = (ChainBuffer){.is_shared = true, .offset = value->offset};
            if (!has_windows(step)) buffers[b].piece_elements = layout_elements(&value->layout) / step->cut.pieces;
            continue;
        }
        buffers[b].parameter = parameter_of(parameters, id);
        ChainParameter *parameter = &parameters->chain->parameters[buffers[b].parameter];
        double bytes = (double)parameter->elements * (double)dtype_bytes(value->dtype) / (value->band.is_set ? 2 : 1);
        bool is_loaded = loads(part->program, b);
        parameter->loaded |= is_loaded;
        if (!parameter->read && !parameter->written && is_loaded) {
            parameter->read = true;
            parameter->traffic += bytes;
        }
        if (!parameter->written && part->program->buffers[b].written) {
            parameter->written = true;
            parameter->traffic += bytes;
        }
    }
    part->buffers = buffers;
}

static void find_aliased(const Parameters *parameters) {
    ChainKernel *chain = parameters->chain;
    const Value *values = parameters->plan->values;
    for (uint32_t i = 0; i < chain->parameter_count; i++) {
        chain->parameters[i].aliased = chain->parameters[i].written && chain->parameters[i].loaded;
        for (uint32_t k = 0; k < chain->parameter_count; k++) {
            bool writes = chain->parameters[i].written || chain->parameters[k].written;
            if (i != k && writes && meet(&values[parameters->values[i]], &values[parameters->values[k]]))
                chain->parameters[i].aliased = true;
        }
    }
}

// ---- blocks

static bool sums_over_pieces(const Plan *plan, uint32_t first, uint32_t end) {
    for (uint32_t s = first; s < end; s++)
        if (cut_is_summed(plan, &plan->steps[s])) return true;
    return false;
}

enum { TENSOR_WARPS = 8, MOST_TENSOR_BLOCKS = 2 };

static bool has_tensor(const ChainKernel *chain) {
    for (uint32_t i = 0; i < chain->part_count; i++)
        if (chain->parts[i].tensor) return true;
    return false;
}

// As many as the largest step has work for, but no more than the chains that find room beside each other leave for it;
// those of products on tensor cores where there are some.
static void choose_threads(ChainKernel *chain, const Target *target) {
    int64_t units = 1, threads = LEAST_THREADS, most = target_block_threads(target, (double)chain->shared_bytes);
    for (uint32_t i = 0; i < chain->part_count; i++)
        if (chain->parts[i].spread.units > units) units = chain->parts[i].spread.units;
    while (threads < most && threads < units * LANES) threads *= 2;
    int resident = target_resident_blocks(target, (double)chain->shared_bytes);
    chain->threads = has_tensor(chain) ? 32 * TENSOR_WARPS : (uint32_t)threads;
    chain->resident = (uint32_t)(has_tensor(chain) && resident > MOST_TENSOR_BLOCKS ? MOST_TENSOR_BLOCKS : resident);
}

static ChainPart part_of(Arena *arena, const Plan *plan, const Step *step, const Target *target, const bool *aliased) {
    ChainPart part = {.aliased = aliased};
    if (step->tensor.kind == TENSOR_NONE) {
        part.program = tile_lower(arena, plan, step, target);
        part.spread = spread_of_piece(part.program, aliased, arena);
        return part;
    }
    TileProgram *program = tile_lower_tensor(arena, plan, step, target);
    program->is_chained = true;
    part.program = program;
    part.spread = spread_of(program, aliased, arena);
    return part;
}

// How its tiles are shared, which depends on what lies in shared memory. Returns the bytes of its ring.
static size_t find_tensor(Arena *arena, ChainPart *part) {
    if (part->spread.kind != SPREAD_TENSOR) return 0;
    bool *is_shared = ARENA_ARRAY(arena, bool, part->program->buffer_count + 1);
    for (uint32_t b = 0; b < part->program->buffer_count; b++) is_shared[b] = part->buffers[b].is_shared;
    Tensor *tensor = ARENA_NEW(arena, Tensor);
    *tensor = tensor_in_chain(arena, part->program, &part->spread, is_shared, TENSOR_WARPS);
    part->tensor = tensor;
    return (size_t)tensor_stage_bytes(arena, part->program, &part->spread, tensor) * tensor->tile.stages;
}

// What the plan has in scratch memory, and one ring behind it.
static void place_shared(Arena *arena, ChainKernel *chain, const Plan *plan, uint32_t first, uint32_t end) {
    size_t ring = 0;
    for (uint32_t s = first; s < end; s++)
        for (uint32_t k = 0; k < plan->steps[s].output_count; k++) {
            const Value *value = &plan->values[plan->steps[s].outputs[k]];
            if (value->space == SPACE_SCRATCH && value->offset + value->bytes > chain->ring)
                chain->ring = value->offset + value->bytes;
        }
    for (uint32_t i = 0; i < chain->part_count; i++) {
        size_t bytes = find_tensor(arena, &chain->parts[i]);
        if (bytes > ring) ring = bytes;
    }
    chain->ring = (chain->ring + SHARED_ALIGNMENT - 1) / SHARED_ALIGNMENT * SHARED_ALIGNMENT;
    chain->shared_bytes = chain->ring + ring;
}

// ---- the name: of all that the text depends on

static const char *symbol_of(Arena *arena, const ChainKernel *chain, const Step *step) {
    Text text = text_create(arena);
    text_append(&text, "%u pieces %u blocks %zu bytes\n", chain->pieces, chain->blocks, chain->shared_bytes);
    for (uint32_t i = 0; i < chain->parameter_count; i++)
        text_append(&text, "%d %d\n", chain->parameters[i].aliased, chain->parameters[i].written);
    for (uint32_t i = 0; i < chain->part_count; i++) {
        const ChainPart *part = &chain->parts[i];
        text_append(&text, "%s", part->program->name);
        TensorTile tile = part->tensor ? part->tensor->tile : (TensorTile){0};
        text_append(&text, " %u %u %u", tile.rows, tile.lanes, tile.stages);
        for (uint32_t b = 0; b < part->program->buffer_count; b++)
            text_append(&text, " %d %u %zu %lld %d", part->buffers[b].is_shared, part->buffers[b].parameter,
                        part->buffers[b].offset, (long long)part->buffers[b].piece_elements, part->aliased[b]);
        text_append(&text, "\n");
    }
    Text name = text_create(arena);
    text_append(&name, "chain_");
    for (const char *c = step->label; c && *c; c++) {
        bool is_plain = (*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') || (*c >= '0' && *c <= '9');
        text_append(&name, "%c", is_plain ? *c : '_');
    }
    text_append(&name, "_%016llx", (unsigned long long)hash_bytes(text.data, text.length));
    return text_string(&name);
}

// ---- the door

static uint32_t buffers_of_all(const Plan *plan, uint32_t first, uint32_t end) {
    uint32_t count = 0;
    for (uint32_t s = first; s < end; s++) count += plan->steps[s].operand_count + plan->steps[s].output_count;
    return count;
}

ChainKernel *chain_kernel(Arena *arena, const Plan *plan, uint32_t first, uint32_t end, const Target *target) {
    const Cut *cut = &plan->steps[first].cut;
    CutRanges ranges;
    if (!cut_in_ranges(plan->dims, cut, &ranges)) BUG("a chain that is cut in no ranges");
    const Plan *window = windowed(arena, plan, first, end, &ranges);
    uint32_t most = buffers_of_all(plan, first, end);
    ChainKernel *chain = ARENA_NEW(arena, ChainKernel);
    *chain = (ChainKernel){.parts = ARENA_ARRAY(arena, ChainPart, end - first),
                           .part_count = end - first,
                           .parameters = ARENA_ARRAY(arena, ChainParameter, most + 1),
                           .pieces = cut->pieces,
                           .blocks = sums_over_pieces(plan, first, end) ? cut->groups : cut->pieces};
    Parameters parameters = {plan, chain, ARENA_ARRAY(arena, ValueId, most + 1)};
    for (uint32_t s = first; s < end; s++) {
        const Step *step = &plan->steps[s];
        ChainPart *part = &chain->parts[s - first];
        *part = part_of(arena, has_windows(step) ? window : plan, step, target, step_aliased(arena, plan, step));
        fill_buffers(arena, &parameters, step, part);
    }
    place_shared(arena, chain, plan, first, end);
    choose_threads(chain, target);
    find_aliased(&parameters);
    chain->symbol = symbol_of(arena, chain, &plan->steps[first + 1]);
    return chain;
}
