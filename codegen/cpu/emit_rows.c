// Long epilogues as a loop over the rows of a tile.
//
// In: a straight-line run inside a rows loop, whose code would be repeated for each of, say, 13 rows, and is long: an
// exp, an erf, a dropout. Out: its part for one row, in a loop over the rows:
//
//     acc[13][2] -> stack            ; register tiles cannot be indexed by a variable
//     for r in 0 .. 12: for each vector: all operations of row r, accumulators read from the stack
//
// The same operations happen in the same order, so bits do not change; the code is a thirteenth as long, and so are
// LLVM's time and the instructions that the processor has to fetch.
#include "codegen/cpu/emit.h"

enum { LONG_RUN = 512 }; // vector instructions, by the estimate below

// ---- whether

static int weight_of_map(int function) {
    switch (function) {
    case OP_EXP: return 20;
    case OP_LOG: return 30;
    case OP_TANH: return 35;
    case OP_ERF: return 45;
    case OP_MAXIMUM:
    case OP_MINIMUM: return 3;
    default: return 1; // a call, in the case of sin and cos
    }
}

static bool is_pure(TileKind kind) {
    return kind == TILE_CONST || kind == TILE_INDEX || kind == TILE_LOAD || kind == TILE_TABLE || kind == TILE_MAP ||
           kind == TILE_RANDOM;
}

static bool index_uses(const TileIndex *index, TileValue value) {
    for (int i = 0; i < index->count; i++)
        if (index->terms[i].value == value) return true;
    return false;
}

static bool is_used_after(const Emitter *emitter, TileValue value, uint32_t end) {
    for (uint32_t i = end; i < emitter->program->op_count; i++) {
        const TileOp *op = emit_op_at(emitter, i);
        if (index_uses(&op->index, value)) return true;
        for (int k = 0; k < op->operand_count; k++)
            if (op->operands[k] == value) return true;
    }
    return false;
}

bool emit_is_long(const Emitter *emitter, uint32_t begin, uint32_t end) {
    if (!emitter->in_rows || emitter->rows == 1) return false;
    int64_t weight = 0;
    for (uint32_t i = begin; i < end; i++) {
        const TileOp *op = emit_op_at(emitter, i);
        if (!is_pure(op->kind) && op->kind != TILE_STORE) return false;
        if (!(emit_shape(emitter, i) & SHAPE_ROWS)) continue;
        weight += op->kind == TILE_MAP ? weight_of_map(op->function) : op->kind == TILE_RANDOM ? 80 : 1;
    }
    if (weight * emitter->rows * emitter->vectors < LONG_RUN) return false;
    for (uint32_t i = begin; i < end; i++)
        if (is_pure(emit_op_at(emitter, i)->kind) && is_used_after(emitter, i, end)) return false;
    return true;
}

// ---- values of rows from outside the run

typedef struct {
    TileValue value;
    Cell kept;
    LLVMValueRef stack; // [rows * vectors] parts; NULL for an index, which is computed again
} Outside;

typedef struct {
    Outside *items;
    uint32_t count;
    uint32_t begin; // of the run
} OutsideList;

static void note_value(Emitter *emitter, OutsideList *list, TileValue value);

static void note_index(Emitter *emitter, OutsideList *list, const TileIndex *index) {
    for (int i = 0; i < index->count; i++)
        note_value(emitter, list, index->terms[i].value);
}

// Adds what a value needs before the value itself.
static void note_value(Emitter *emitter, OutsideList *list, TileValue value) {
    const TileOp *op = emit_op_at(emitter, value);
    if (value >= list->begin || op->kind == TILE_LOOP || op->kind == TILE_CONST) return;
    if (!(emit_shape(emitter, value) & SHAPE_ROWS)) return;
    for (uint32_t i = 0; i < list->count; i++)
        if (list->items[i].value == value) return;
    if (op->kind == TILE_INDEX) note_index(emitter, list, &op->index);
    list->items[list->count++] = (Outside){.value = value, .kept = emitter->cells[value]};
}

static OutsideList find_outside(Emitter *emitter, uint32_t begin, uint32_t end) {
    OutsideList list = {.items = ARENA_ARRAY(emitter->arena, Outside, begin + 1), .begin = begin};
    for (uint32_t i = begin; i < end; i++) {
        const TileOp *op = emit_op_at(emitter, i);
        note_index(emitter, &list, &op->index);
        for (int k = 0; k < op->operand_count; k++)
            note_value(emitter, &list, op->operands[k]);
    }
    return list;
}

static LLVMValueRef stack_array(Emitter *emitter, LLVMTypeRef type, int count) {
    LLVMBuilderRef builder = emitter->module->builder;
    LLVMBasicBlockRef here = LLVMGetInsertBlock(builder), entry = LLVMGetEntryBasicBlock(emitter->function);
    LLVMValueRef first = LLVMGetFirstInstruction(entry);
    if (first)
        LLVMPositionBuilderBefore(builder, first);
    else
        LLVMPositionBuilderAtEnd(builder, entry);
    LLVMValueRef stack = LLVMBuildAlloca(builder, LLVMArrayType2(type, (uint64_t)count), "");
    LLVMPositionBuilderAtEnd(builder, here);
    return stack;
}

static LLVMValueRef stack_slot(Emitter *emitter, const Outside *outside, LLVMTypeRef type, LLVMValueRef position) {
    return LLVMBuildGEP2(emitter->module->builder, type, outside->stack, &position, 1, "");
}

static void store_outside(Emitter *emitter, OutsideList *list) {
    for (uint32_t i = 0; i < list->count; i++) {
        Outside *outside = &list->items[i];
        if (emit_op_at(emitter, outside->value)->kind == TILE_INDEX) continue;
        int count = outside->kept.rows * outside->kept.vectors;
        LLVMTypeRef type = LLVMTypeOf(outside->kept.parts[0]);
        outside->stack = stack_array(emitter, type, count);
        for (int k = 0; k < count; k++)
            LLVMBuildStore(emitter->module->builder, outside->kept.parts[k],
                           stack_slot(emitter, outside, type, cpu_integer(emitter->module->i64, k)));
    }
}

// Inside the loop a value of many rows is a value of one, the loop's.
static void load_outside(Emitter *emitter, OutsideList *list, LLVMValueRef row) {
    CpuModule *module = emitter->module;
    for (uint32_t i = 0; i < list->count; i++) {
        Outside *outside = &list->items[i];
        Cell *cell = &emitter->cells[outside->value];
        cell->rows = 1;
        if (!outside->stack) {
            cell->address = emit_address(emitter, &emit_op_at(emitter, outside->value)->index);
            continue;
        }
        LLVMTypeRef type = LLVMTypeOf(outside->kept.parts[0]);
        cell->parts = ARENA_ARRAY(emitter->arena, LLVMValueRef, (size_t)cell->vectors);
        LLVMValueRef first = LLVMBuildMul(module->builder, row, cpu_integer(module->i64, cell->vectors), "");
        for (int v = 0; v < cell->vectors; v++) {
            LLVMValueRef position = LLVMBuildAdd(module->builder, first, cpu_integer(module->i64, v), "");
            cell->parts[v] = LLVMBuildLoad2(module->builder, type, stack_slot(emitter, outside, type, position), "");
        }
    }
}

// ---- the loop

void emit_long_run(Emitter *emitter, uint32_t begin, uint32_t end) {
    CpuModule *module = emitter->module;
    LLVMBuilderRef builder = module->builder;
    emit_parts(emitter, begin, end, PARTS_WITHOUT_ROWS);
    OutsideList list = find_outside(emitter, begin, end);
    store_outside(emitter, &list);

    LLVMBasicBlockRef before = LLVMGetInsertBlock(builder);
    LLVMBasicBlockRef body = LLVMAppendBasicBlockInContext(module->context, emitter->function, "row");
    LLVMBuildBr(builder, body);
    LLVMPositionBuilderAtEnd(builder, body);
    LLVMValueRef row = LLVMBuildPhi(builder, module->i64, ""), zero = cpu_integer(module->i64, 0);
    LLVMAddIncoming(row, &zero, &before, 1);

    int rows = emitter->rows;
    Cell *loop = &emitter->cells[emitter->rows_loop];
    LLVMValueRef base = loop->base;
    loop->base = LLVMBuildAdd(builder, base, row, "");
    emitter->rows = 1;
    load_outside(emitter, &list, row);
    emit_parts(emitter, begin, end, PARTS_WITH_ROWS);
    for (uint32_t i = 0; i < list.count; i++)
        emitter->cells[list.items[i].value] = list.items[i].kept;
    emitter->rows = rows;
    loop->base = base;

    LLVMBasicBlockRef latch = LLVMGetInsertBlock(builder);
    LLVMBasicBlockRef after = LLVMAppendBasicBlockInContext(module->context, emitter->function, "after");
    LLVMValueRef next = LLVMBuildAdd(builder, row, cpu_integer(module->i64, 1), "");
    LLVMAddIncoming(row, &next, &latch, 1);
    LLVMBuildCondBr(builder, LLVMBuildICmp(builder, LLVMIntNE, next, cpu_integer(module->i64, rows), ""), body, after);
    LLVMPositionBuilderAtEnd(builder, after);
}
