// One tile program -> one LLVM function.
//
// In: a tile program, and which of its buffers may overlap. Out, in the module: an inner function with one pointer per
// buffer, noalias where that holds, and a thin wrapper of type KernelFunction:
//
//     define internal void @row_softmax.body(ptr noalias %0, ptr noalias %1, i64 %2)
//     define void @row_softmax(ptr %0, i64 %1, ptr %2)        ; loads the pointers, calls the body
//
// Straight-line runs of operations between loops are printed part by part (for each row, for each vector: all ops), so
// that few vectors are live at once. There are no stack slots: accumulators are SSA values, carried by phis.
#include <string.h>

#include "base/planted.h"
#include "codegen/cpu/emit.h"
#include "codegen/lower.h"

// ---- shapes and parts

uint8_t emit_shape(const Emitter *emitter, TileValue value) {
    return emitter->cells[value].shape;
}

static LLVMValueRef *part_slot(Emitter *emitter, TileValue value, int row, int vector) {
    Cell *cell = &emitter->cells[value];
    // A value of one row or one vector is the same for all: a rows part, or an accumulator of 16 lanes that wider
    // operands fold into.
    int r = cell->rows > 1 ? row : 0, v = cell->vectors > 1 ? vector : 0;
    CHECK(r < cell->rows && v < cell->vectors);
    return &cell->parts[r * cell->vectors + v];
}

void emit_set_part(Emitter *emitter, TileValue value, int row, int vector, LLVMValueRef part) {
    *part_slot(emitter, value, row, vector) = part;
}

LLVMValueRef emit_part(Emitter *emitter, TileValue value, int row, int vector, bool wide) {
    const TileOp *op = emit_op_at(emitter, value);
    CpuModule *module = emitter->module;
    if (op->kind == TILE_CONST) {
        LLVMTypeRef type = cpu_type(module, op->dtype);
        return cpu_constant(wide ? cpu_vector(type) : type, op->number);
    }
    if (op->kind == TILE_LOOP) {
        TileIndex index = {.count = 1, .terms = {{value, 1}}};
        return emit_index_value(emitter, emit_address(emitter, &index), row, vector, wide, module->i32);
    }
    if (op->kind == TILE_INDEX)
        return emit_index_value(emitter, emitter->cells[value].address, row, vector, wide, module->i32);
    LLVMValueRef part = *part_slot(emitter, value, row, vector);
    CHECK(part != NULL);
    return wide && !(emit_shape(emitter, value) & SHAPE_LANES) ? cpu_splat(module, part) : part;
}

LLVMValueRef emit_mask(Emitter *emitter, int vector) {
    if (!emitter->in_lanes || vector != emitter->vectors - 1 || emitter->tail == TILE_LANES) return NULL;
    LLVMValueRef lanes[TILE_LANES];
    for (int i = 0; i < TILE_LANES; i++)
        lanes[i] = cpu_integer(emitter->module->i1, i < emitter->tail + PLANTED(mask_off_by_one));
    return LLVMConstVector(lanes, TILE_LANES);
}

// ---- runs of straight-line operations

// A run ends where part-by-part order would be seen: at a loop, at a reduction, and between an operation that changes
// an accumulator and another that uses it.
static uint32_t run_end(const Emitter *emitter, uint32_t begin, uint32_t limit) {
    uint32_t end = begin;
    for (; end < limit; end++) {
        const TileOp *op = emit_op_at(emitter, end);
        if (op->kind == TILE_LOOP) return end;
        if (op->kind == TILE_ROW_REDUCE) return end > begin ? end : end + 1;
        for (uint32_t earlier = begin; earlier < end; earlier++)
            if (tile_share_accumulator(emit_op_at(emitter, earlier), op)) return end;
    }
    return end;
}

static void begin_cell(Emitter *emitter, uint32_t number) {
    const TileOp *op = emit_op_at(emitter, number);
    Cell *cell = &emitter->cells[number];
    // Accumulators of 16 rows or of 16 lanes have that size wherever they stand.
    bool column = op->kind == TILE_ZERO && op->step != 0;
    bool narrow = op->kind == TILE_ZERO && op->shape == SHAPE_LANES;
    cell->rows = !(cell->shape & SHAPE_ROWS) ? 1 : column ? (int)op->step : emitter->rows;
    cell->vectors = (cell->shape & SHAPE_LANES) && !narrow ? emitter->vectors : 1;
    cell->parts = ARENA_ARRAY(emitter->arena, LLVMValueRef, (size_t)cell->rows * (size_t)cell->vectors);
    switch (op->kind) {
    case TILE_INDEX:
    case TILE_LOAD:
    case TILE_TABLE:
    case TILE_STORE:
    case TILE_RANDOM:
    case TILE_PREFETCH:
    case TILE_SCATTER_ADD: cell->address = emit_address(emitter, &op->index); break;
    default: break;
    }
    cell->pointer = cell->key[0] = NULL;
    cell->turned = false;
}

static void emit_one(Emitter *emitter, uint32_t number, int row, int vector) {
    switch (emit_op_at(emitter, number)->kind) {
    case TILE_CONST:
    case TILE_INDEX: break; // built where they are used
    case TILE_LOAD: emit_load(emitter, number, row, vector); break;
    case TILE_TABLE: emit_table(emitter, number, row, vector); break;
    case TILE_STORE: emit_store(emitter, number, row, vector); break;
    case TILE_MAP: emit_map(emitter, number, row, vector); break;
    case TILE_ZERO: emit_zero(emitter, number); break;
    case TILE_ACCUMULATE: emit_accumulate(emitter, number, row, vector); break;
    case TILE_MULTIPLY_ACCUMULATE: emit_multiply_accumulate(emitter, number, row, vector); break;
    case TILE_ROW_REDUCE: emit_row_reduce(emitter, number); break;
    case TILE_RANDOM: emit_random(emitter, number, row, vector); break;
    case TILE_SCATTER_ADD: emit_scatter_add(emitter, number, row, vector); break;
    case TILE_PREFETCH: emit_prefetch(emitter, number, row, vector); break;
    case TILE_LOOP:
    case TILE_END: BUG("a loop inside a straight-line run");
    }
}

// Operations that build all their parts at once are done at the first part.
static bool is_whole(const TileOp *op) {
    return op->kind == TILE_ZERO || op->kind == TILE_ROW_REDUCE;
}

static bool takes_part(uint8_t shape, PartFilter filter) {
    return filter == PARTS_ALL || (filter == PARTS_WITH_ROWS) == ((shape & SHAPE_ROWS) != 0);
}

void emit_parts(Emitter *emitter, uint32_t begin, uint32_t end, PartFilter filter) {
    for (int row = 0; row < emitter->rows; row++)
        for (int vector = 0; vector < emitter->vectors; vector++)
            for (uint32_t number = begin; number < end; number++) {
                const TileOp *op = emit_op_at(emitter, number);
                if (!takes_part(emit_shape(emitter, number), filter)) continue;
                if (row == 0 && vector == 0) begin_cell(emitter, number);
                uint8_t shape = is_whole(op) ? SHAPE_UNIFORM : emit_shape(emitter, number);
                if (op->first_row) shape &= ~SHAPE_ROWS;
                if ((row > 0 && !(shape & SHAPE_ROWS)) || (vector > 0 && !(shape & SHAPE_LANES))) continue;
                emit_one(emitter, number, row, vector);
            }
}

void emit_range(Emitter *emitter, uint32_t begin, uint32_t end) {
    while (begin < end) {
        if (emit_op_at(emitter, begin)->kind == TILE_LOOP) {
            emit_loop(emitter, begin);
            begin = emitter->ends[begin] + 1;
            continue;
        }
        uint32_t stop = run_end(emitter, begin, end);
        if (emit_is_long(emitter, begin, stop))
            emit_long_run(emitter, begin, stop);
        else
            emit_parts(emitter, begin, stop, PARTS_ALL);
        begin = stop;
    }
}

// ---- the function

static LLVMTypeRef body_type(CpuModule *module, Arena *arena, uint32_t buffers) {
    LLVMTypeRef *parameters = ARENA_ARRAY(arena, LLVMTypeRef, buffers + 1);
    for (uint32_t i = 0; i < buffers; i++)
        parameters[i] = module->pointer;
    parameters[buffers] = module->i64;
    return LLVMFunctionType(LLVMVoidTypeInContext(module->context), parameters, buffers + 1, false);
}

// Local buffers are on the stack, from a line's begin.
static LLVMValueRef emit_local(CpuModule *module, const TileBuffer *buffer) {
    LLVMTypeRef type = LLVMArrayType2(cpu_memory_type(module, buffer->dtype), (uint64_t)buffer->elements);
    LLVMValueRef stack = LLVMBuildAlloca(module->builder, type, "");
    LLVMSetAlignment(stack, 64);
    return stack;
}

static LLVMValueRef emit_body(CpuModule *module, Arena *arena, const CpuKernel *kernel, LLVMTypeRef type) {
    const TileProgram *program = kernel->program;
    Emitter emitter = {
        .module = module, .arena = arena, .program = program, .rows = 1, .vectors = 1, .tail = TILE_LANES};
    emitter.function = cpu_function(module, arena_format(arena, "%s.body", kernel->symbol), type, false);
    uint32_t given = tile_given(program);
    emitter.piece = LLVMGetParam(emitter.function, given);
    emitter.buffers = ARENA_ARRAY(arena, LLVMValueRef, program->buffer_count + 1);
    for (uint32_t i = given; i < program->buffer_count; i++)
        emitter.buffers[i] = emit_local(module, &program->buffers[i]);
    for (uint32_t i = 0; i < given; i++) {
        emitter.buffers[i] = LLVMGetParam(emitter.function, i);
        if (!kernel->aliased[i]) cpu_attribute(module, emitter.function, i + 1, "noalias", 0);
    }
    emitter.cells = ARENA_ARRAY(arena, Cell, program->op_count + 1);
    const uint8_t *shapes = tile_shapes(program, arena);
    for (uint32_t i = 0; i < program->op_count; i++)
        emitter.cells[i].shape = shapes[i];
    emitter.ends = tile_ends(program, arena);
    emit_range(&emitter, 0, program->op_count);
    bool far = false;
    for (uint32_t i = 0; i < program->buffer_count; i++) far |= program->buffers[i].far;
    if (far) LLVMBuildFence(module->builder, LLVMAtomicOrderingSequentiallyConsistent, false, "");
    LLVMBuildRetVoid(module->builder);
    return emitter.function;
}

void emit_kernel(CpuModule *module, Arena *arena, const CpuKernel *kernel) {
    LLVMBuilderRef builder = module->builder;
    uint32_t count = tile_given(kernel->program);
    LLVMTypeRef type = body_type(module, arena, count);
    LLVMValueRef body = emit_body(module, arena, kernel, type);

    LLVMTypeRef parameters[] = {module->pointer, module->i64, module->pointer};
    LLVMTypeRef wrapper_type = LLVMFunctionType(LLVMVoidTypeInContext(module->context), parameters, 3, false);
    LLVMValueRef wrapper = cpu_function(module, kernel->symbol, wrapper_type, true);
    LLVMValueRef *arguments = ARENA_ARRAY(arena, LLVMValueRef, count + 1);
    for (uint32_t i = 0; i < count; i++) {
        LLVMValueRef number = cpu_integer(module->i64, i);
        LLVMValueRef slot = LLVMBuildGEP2(builder, module->pointer, LLVMGetParam(wrapper, 0), &number, 1, "");
        arguments[i] = LLVMBuildLoad2(builder, module->pointer, slot, "");
    }
    arguments[count] = LLVMGetParam(wrapper, 1);
    LLVMBuildCall2(builder, type, body, arguments, count + 1, "");
    LLVMBuildRetVoid(builder);
}
