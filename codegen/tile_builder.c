// Builds tile programs op by op: equal pure ops are one, each as far outside as its operands allow, unused ones vanish.
//
//     loop r 8                          %1 = const 2
//       lanes s 64                      loop r 8
//         %3 = load b0[r]                 %3 = load b0[r]
//         %4 = const 2            ->      %5 = mul %3 %1
//         %5 = mul %3 %4                  lanes s 64
//         store b1[64*r + s] %5             store b1[64*r + s] %5
//
// Scopes are the bodies of loops. Each keeps the list of what stands in it; a loop enters the list around it when it
// ends, so that what moves out of it comes before it. Loads may move because every one is in bounds for every index,
// and because a buffer that is written is not loaded from, or only in place (codegen/tile.h). tile_finish writes the
// lists out as one sequence with new numbers.
#include <string.h>

#include "base/diag.h"
#include "codegen/lower.h"

enum { BUCKETS = 1024, MAX_LOOPS = 64 };

typedef struct {
    uint32_t first, last; // ops in the body, linked by Note.after
} Body;

typedef struct {
    uint32_t scope; // the loop in whose body the op stands; TILE_NONE at the top; a loop stands in itself
    int depth;      // how many loops are around it; of a loop: itself included
    bool open;      // of a loop: not ended yet
    Body body;      // of a loop
    uint32_t after; // next op of the same body
    uint32_t older; // older op in the same bucket
} Note;

struct TileBuilder {
    Arena *arena;
    const char *name;
    TileOp *ops;
    TileRange *ranges;
    Note *notes;
    size_t count, op_capacity, range_capacity, note_capacity;
    TileBuffer *buffers;
    size_t buffer_count, buffer_capacity;
    uint32_t buckets[BUCKETS];
    TileValue loops[MAX_LOOPS];
    int depth;
    Body top;
};

TileBuilder *tile_builder(Arena *arena, const char *name) {
    TileBuilder *builder = ARENA_NEW(arena, TileBuilder);
    builder->arena = arena;
    builder->name = name;
    memset(builder->buckets, 0xff, sizeof builder->buckets);
    builder->top = (Body){TILE_NONE, TILE_NONE};
    return builder;
}

Arena *tile_builder_arena(const TileBuilder *builder) {
    return builder->arena;
}
const TileOp *tile_op(const TileBuilder *builder, TileValue value) {
    return &builder->ops[value];
}
uint8_t tile_shape(const TileBuilder *builder, TileValue value) {
    return builder->ops[value].shape;
}
int tile_open_loops(const TileBuilder *builder) {
    return builder->depth;
}

bool tile_visible(const TileBuilder *builder, TileValue value) {
    uint32_t scope = builder->notes[value].scope;
    return scope == TILE_NONE || builder->notes[scope].open;
}

TileRange tile_range(const TileBuilder *builder, const TileIndex *index) {
    return tile_index_range(index, builder->ranges);
}

int tile_buffer(TileBuilder *builder, DType dtype, int64_t elements, bool written) {
    builder->buffers = arena_grow(builder->arena, builder->buffers, &builder->buffer_capacity,
                                  builder->buffer_count + 1, sizeof *builder->buffers);
    builder->buffers[builder->buffer_count] = (TileBuffer){.dtype = dtype, .elements = elements, .written = written};
    return (int)builder->buffer_count++;
}

int tile_local(TileBuilder *builder, int64_t elements) {
    int buffer = tile_buffer(builder, DTYPE_F32, elements, true);
    builder->buffers[buffer].local = true;
    return buffer;
}

uint32_t tile_given(const TileProgram *program) {
    uint32_t count = program->buffer_count;
    while (count > 0 && program->buffers[count - 1].local) count--;
    return count;
}

// ---- value numbering

static bool is_numbered(const TileBuilder *builder, const TileOp *op) {
    switch (op->kind) {
    case TILE_CONST:
    case TILE_INDEX:
    case TILE_TABLE:
    case TILE_RANDOM: return true;
    case TILE_LOAD: return !builder->buffers[op->buffer].written;
    case TILE_MAP: // of an accumulator: what it reads changes
        for (int i = 0; i < op->operand_count; i++)
            if (builder->ops[op->operands[i]].kind == TILE_ZERO) return false;
        return true;
    default: return false;
    }
}

static uint64_t mix(uint64_t hash, uint64_t word) {
    return (hash ^ word) * UINT64_C(0x9E3779B97F4A7C15) ^ hash >> 29;
}

static uint32_t op_bucket(const TileOp *op) {
    uint64_t number;
    memcpy(&number, &op->number, sizeof number);
    uint64_t hash = mix(mix(op->kind, op->dtype), (uint64_t)op->function);
    hash = mix(mix(mix(hash, number), (uint64_t)op->buffer), (uint64_t)(uintptr_t)op->table);
    hash = mix(mix(hash, op->site), (uint64_t)op->index.constant);
    for (int i = 0; i < op->operand_count; i++)
        hash = mix(hash, op->operands[i]);
    for (int i = 0; i < op->index.count; i++)
        hash = mix(mix(hash, op->index.terms[i].value), (uint64_t)op->index.terms[i].coefficient);
    return (uint32_t)(hash >> 40) % BUCKETS;
}

static bool ops_equal(const TileOp *a, const TileOp *b) {
    // Numbers by their bits: 0 and -0 differ.
    return a->kind == b->kind && a->dtype == b->dtype && a->function == b->function && a->buffer == b->buffer &&
           a->table == b->table && a->site == b->site && a->operand_count == b->operand_count &&
           memcmp(&a->number, &b->number, sizeof a->number) == 0 &&
           memcmp(a->operands, b->operands, sizeof(TileValue) * (size_t)a->operand_count) == 0 &&
           tile_index_equal(&a->index, &b->index);
}

static TileValue find_equal(const TileBuilder *builder, const TileOp *op, uint32_t bucket) {
    for (uint32_t i = builder->buckets[bucket]; i != TILE_NONE; i = builder->notes[i].older)
        if (tile_visible(builder, i) && ops_equal(&builder->ops[i], op)) return i;
    return TILE_NONE;
}

// ---- adding

static uint8_t index_shape(const TileBuilder *builder, const TileIndex *index) {
    uint8_t shape = 0;
    for (int i = 0; i < index->count; i++)
        shape |= builder->ops[index->terms[i].value].shape;
    return shape;
}

static uint8_t derive_shape(const TileBuilder *builder, const TileOp *op) {
    uint8_t shape = index_shape(builder, &op->index);
    if (op->kind == TILE_ZERO) return op->shape;
    if (op->kind == TILE_LOOP) return op->loop == LOOP_ROWS ? SHAPE_ROWS : op->loop == LOOP_LANES ? SHAPE_LANES : 0;
    if (op->kind == TILE_ROW_REDUCE) {
        const TileOp *accumulator = &builder->ops[op->operands[0]];
        return accumulator->shape & (uint8_t)~(accumulator->step ? SHAPE_ROWS : SHAPE_LANES);
    }
    for (int i = 0; i < op->operand_count; i++)
        shape |= builder->ops[op->operands[i]].shape;
    return shape;
}

// How many of the open loops a pure op has to stay in: those of what it uses.
static int needed_depth(const TileBuilder *builder, const TileOp *op) {
    int depth = 0;
    for (int i = 0; i < op->operand_count; i++)
        if (builder->notes[op->operands[i]].depth > depth) depth = builder->notes[op->operands[i]].depth;
    for (int i = 0; i < op->index.count; i++)
        if (builder->notes[op->index.terms[i].value].depth > depth)
            depth = builder->notes[op->index.terms[i].value].depth;
    return depth;
}

static void append_to_body(TileBuilder *builder, int depth, TileValue value) {
    Body *body = depth ? &builder->notes[builder->loops[depth - 1]].body : &builder->top;
    if (body->last == TILE_NONE)
        body->first = value;
    else
        builder->notes[body->last].after = value;
    body->last = value;
}

// A new op inside the first `depth` open loops. A loop enters the list only when it ends.
static TileValue append(TileBuilder *builder, const TileOp *op, int depth) {
    size_t needed = builder->count + 1;
    builder->ops = arena_grow(builder->arena, builder->ops, &builder->op_capacity, needed, sizeof *builder->ops);
    builder->ranges = arena_grow(builder->arena, builder->ranges, &builder->range_capacity, needed, sizeof(TileRange));
    builder->notes = arena_grow(builder->arena, builder->notes, &builder->note_capacity, needed, sizeof(Note));
    TileValue value = (TileValue)builder->count++;
    builder->ops[value] = *op;
    builder->ops[value].shape = derive_shape(builder, op);
    builder->ranges[value] = tile_op_range(op, builder->ranges);
    builder->notes[value] = (Note){.scope = depth ? builder->loops[depth - 1] : TILE_NONE,
                                   .depth = depth,
                                   .body = {TILE_NONE, TILE_NONE},
                                   .after = TILE_NONE,
                                   .older = TILE_NONE};
    if (op->kind != TILE_LOOP) append_to_body(builder, depth, value);
    return value;
}

static bool defines_value(TileKind kind) {
    return kind != TILE_STORE && kind != TILE_SCATTER_ADD && kind != TILE_PREFETCH && kind != TILE_END &&
           kind != TILE_ACCUMULATE && kind != TILE_MULTIPLY_ACCUMULATE;
}

static void open_scope(TileBuilder *builder, TileValue loop) {
    if (builder->depth == MAX_LOOPS) BUG("more than %d nested loops", MAX_LOOPS);
    builder->loops[builder->depth++] = loop;
    builder->notes[loop].scope = loop;
    builder->notes[loop].depth = builder->depth;
    builder->notes[loop].open = true;
}

TileValue tile_add(TileBuilder *builder, const TileOp *op) {
    for (int i = 0; i < op->operand_count; i++)
        if (!tile_visible(builder, op->operands[i])) BUG("tile op uses %%%u outside its loop", op->operands[i]);
    if (is_numbered(builder, op)) {
        uint32_t bucket = op_bucket(op);
        TileValue value = find_equal(builder, op, bucket);
        if (value != TILE_NONE) return value;
        value = append(builder, op, needed_depth(builder, op));
        builder->notes[value].older = builder->buckets[bucket];
        builder->buckets[bucket] = value;
        return value;
    }
    TileValue value = append(builder, op, builder->depth);
    if (op->kind == TILE_LOOP) open_scope(builder, value);
    return defines_value(op->kind) ? value : TILE_NONE;
}

TileValue tile_loop(TileBuilder *builder, LoopKind kind, const char *name, int64_t extent, uint32_t pieces,
                    uint32_t step, bool split_evenly) {
    TileOp op = {.kind = TILE_LOOP,
                 .dtype = DTYPE_I32,
                 .loop = kind,
                 .extent = extent,
                 .pieces = pieces,
                 .step = step,
                 .split_evenly = split_evenly,
                 .name = name};
    return tile_add(builder, &op);
}

TileValue tile_bounded_loop(TileBuilder *builder, LoopKind kind, const char *name, int64_t extent, uint32_t step,
                            TileIndex index, int64_t low, int64_t high) {
    TileOp op = {.kind = TILE_LOOP,
                 .dtype = DTYPE_I32,
                 .loop = kind,
                 .extent = extent,
                 .step = step,
                 .name = name,
                 .bounded = true,
                 .index = tile_index_recombine(builder, index),
                 .low = low,
                 .high = high};
    return tile_add(builder, &op);
}

TileValue tile_guard(TileBuilder *builder, const char *name, int64_t extent, uint32_t pieces, TileValue value) {
    TileOp op = {.kind = TILE_LOOP,
                 .dtype = DTYPE_I32,
                 .loop = LOOP_GUARD,
                 .extent = extent,
                 .pieces = pieces,
                 .name = name,
                 .operands = {value},
                 .operand_count = 1};
    return tile_add(builder, &op);
}

void tile_end(TileBuilder *builder) {
    if (builder->depth == 0) BUG("tile_end without an open loop");
    TileValue loop = builder->loops[--builder->depth];
    builder->notes[loop].open = false;
    append_to_body(builder, builder->depth, loop);
}

TileValue tile_const(TileBuilder *builder, DType dtype, double number) {
    TileOp op = {.kind = TILE_CONST, .dtype = dtype, .number = number};
    return tile_add(builder, &op);
}

TileValue tile_map(TileBuilder *builder, int function, DType dtype, const TileValue *operands, int count) {
    TileOp op = {.kind = TILE_MAP, .dtype = dtype, .function = function, .operand_count = count};
    memcpy(op.operands, operands, sizeof *operands * (size_t)count);
    return tile_add(builder, &op);
}

TileValue tile_load(TileBuilder *builder, int buffer, DType dtype, TileIndex index) {
    TileOp op = {.kind = TILE_LOAD, .dtype = dtype, .buffer = buffer, .index = tile_index_recombine(builder, index)};
    return tile_add(builder, &op);
}

void tile_prefetch(TileBuilder *builder, int buffer, TileIndex index, bool first_row) {
    TileOp op = {.kind = TILE_PREFETCH,
                 .dtype = DTYPE_F32,
                 .buffer = buffer,
                 .first_row = first_row,
                 .index = tile_index_recombine(builder, index)};
    tile_add(builder, &op);
}

static void add_write(TileBuilder *builder, TileKind kind, int buffer, TileIndex index, TileValue value) {
    TileOp op = {.kind = kind,
                 .dtype = builder->ops[value].dtype,
                 .buffer = buffer,
                 .operands = {value},
                 .operand_count = 1,
                 .index = tile_index_recombine(builder, index)};
    tile_add(builder, &op);
}

void tile_store(TileBuilder *builder, int buffer, TileIndex index, TileValue value) {
    add_write(builder, TILE_STORE, buffer, index, value);
}

void tile_scatter_add(TileBuilder *builder, int buffer, TileIndex index, TileValue value) {
    add_write(builder, TILE_SCATTER_ADD, buffer, index, value);
}

TileValue tile_zero(TileBuilder *builder, uint8_t shape, uint32_t step, double number) {
    TileOp op = {.kind = TILE_ZERO, .dtype = DTYPE_F32, .shape = shape, .step = step, .number = number};
    return tile_add(builder, &op);
}

void tile_accumulate(TileBuilder *builder, Op op, TileValue accumulator, TileValue value) {
    TileOp tile = {.kind = TILE_ACCUMULATE,
                   .dtype = DTYPE_F32,
                   .function = op,
                   .operands = {accumulator, value},
                   .operand_count = 2};
    tile_add(builder, &tile);
}

TileValue tile_row_reduce(TileBuilder *builder, Op op, TileValue accumulator) {
    TileOp tile = {
        .kind = TILE_ROW_REDUCE, .dtype = DTYPE_F32, .function = op, .operands = {accumulator}, .operand_count = 1};
    return tile_add(builder, &tile);
}

// ---- writing the program out

typedef struct {
    const TileBuilder *builder;
    const bool *needed;
    TileOp *ops;
    uint32_t count;
    TileValue *renamed; // by value of the builder
} Writer;

static bool has_effect(TileKind kind) {
    return kind == TILE_LOOP || !defines_value(kind);
}

// Operands are older than their users, so one walk from the end sees all users first.
static const bool *find_needed(const TileBuilder *builder) {
    bool *needed = ARENA_ARRAY(builder->arena, bool, builder->count);
    for (size_t i = builder->count; i-- > 0;) {
        const TileOp *op = &builder->ops[i];
        if (has_effect(op->kind)) needed[i] = true;
        if (!needed[i]) continue;
        for (int k = 0; k < op->operand_count; k++)
            needed[op->operands[k]] = true;
        for (int k = 0; k < op->index.count; k++)
            needed[op->index.terms[k].value] = true;
    }
    return needed;
}

static void write_op(Writer *writer, TileValue value) {
    TileOp op = writer->builder->ops[value];
    for (int k = 0; k < op.operand_count; k++)
        op.operands[k] = writer->renamed[op.operands[k]];
    TileIndex index = tile_index(op.index.constant);
    for (int k = 0; k < op.index.count; k++)
        index = tile_index_plus(index, writer->renamed[op.index.terms[k].value], op.index.terms[k].coefficient);
    op.index = index;
    writer->renamed[value] = writer->count;
    writer->ops[writer->count++] = op;
}

static void write_body(Writer *writer, Body body) {
    for (TileValue value = body.first; value != TILE_NONE; value = writer->builder->notes[value].after) {
        if (!writer->needed[value]) continue;
        write_op(writer, value);
        if (writer->builder->ops[value].kind != TILE_LOOP) continue;
        write_body(writer, writer->builder->notes[value].body);
        writer->ops[writer->count++] = (TileOp){.kind = TILE_END};
    }
}

TileProgram *tile_finish(TileBuilder *builder) {
    if (builder->depth) BUG("tile program %s ends inside a loop", builder->name);
    Writer writer = {.builder = builder, .needed = find_needed(builder)};
    writer.ops = ARENA_ARRAY(builder->arena, TileOp, 2 * builder->count + 1);
    writer.renamed = ARENA_ARRAY(builder->arena, TileValue, builder->count);
    write_body(&writer, builder->top);
    TileProgram *program = ARENA_NEW(builder->arena, TileProgram);
    program->name = builder->name;
    program->buffers = builder->buffers;
    program->buffer_count = (uint32_t)builder->buffer_count;
    program->ops = writer.ops;
    program->op_count = writer.count;
    return program;
}
