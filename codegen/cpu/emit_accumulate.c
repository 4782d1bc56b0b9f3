// Accumulators: zero, accumulate, multiply-accumulate, and the fixed tree that ends a reduction.
//
// In: accumulator parts and operand parts. Out: new accumulator parts; they are SSA values, so a register tile of 13 x
// 32 stays in 26 vector registers from its zero to its epilogue.
//
//     lanes accumulator    part v of an operand of any width folds in: acc = acc + x[0..15], acc + x[16..31], ...
//     row_reduce           lane i with i+8, then i+4, i+2, i+1: the same tree at any vector width
#include "codegen/cpu/emit.h"

void emit_zero(Emitter *emitter, uint32_t number) {
    const TileOp *op = emit_op_at(emitter, number);
    Cell *cell = &emitter->cells[number];
    LLVMTypeRef type = cpu_type(emitter->module, op->dtype);
    if (cell->shape & SHAPE_LANES) type = cpu_vector(type);
    LLVMValueRef start = cpu_constant(type, op->number);
    for (int i = 0; i < cell->rows * cell->vectors; i++)
        cell->parts[i] = start;
}

// Lanes that the mask leaves out keep what they had.
static void set_accumulator(Emitter *emitter, TileValue accumulator, int row, int vector, LLVMValueRef old,
                            LLVMValueRef value) {
    LLVMValueRef mask = emit_shape(emitter, accumulator) & SHAPE_LANES ? emit_mask(emitter, vector) : NULL;
    if (mask) value = LLVMBuildSelect(emitter->module->builder, mask, value, old, "");
    emit_set_part(emitter, accumulator, row, vector, value);
}

void emit_accumulate(Emitter *emitter, uint32_t number, int row, int vector) {
    const TileOp *op = emit_op_at(emitter, number);
    TileValue accumulator = op->operands[0];
    bool wide = emit_shape(emitter, accumulator) & SHAPE_LANES;
    // A chain of one number takes no lanes; a chain per row or lane takes a broadcast operand in each.
    CHECK(wide || !(emit_shape(emitter, op->operands[1]) & SHAPE_LANES));
    LLVMValueRef old = emit_part(emitter, accumulator, row, vector, wide);
    LLVMValueRef value = emit_part(emitter, op->operands[1], row, vector, wide);
    set_accumulator(emitter, accumulator, row, vector, old, emit_combine(emitter->module, op->function, old, value));
}

void emit_multiply_accumulate(Emitter *emitter, uint32_t number, int row, int vector) {
    const TileOp *op = emit_op_at(emitter, number);
    TileValue accumulator = op->operands[0];
    bool wide = emit_shape(emitter, accumulator) & SHAPE_LANES;
    LLVMValueRef old = emit_part(emitter, accumulator, row, vector, wide);
    LLVMValueRef a = emit_part(emitter, op->operands[1], row, vector, wide);
    LLVMValueRef b = emit_part(emitter, op->operands[2], row, vector, wide);
    LLVMValueRef sum = cpu_fma(emitter->module, a, b, old);
    // In a register tile lanes never meet, so those that the mask leaves out may hold anything.
    bool folds = emitter->cells[accumulator].vectors != emitter->vectors;
    if (folds)
        set_accumulator(emitter, accumulator, row, vector, old, sum);
    else
        emit_set_part(emitter, accumulator, row, vector, sum);
}

// ---- the tree

static LLVMValueRef lane_range(CpuModule *module, LLVMValueRef vector, int first, int count) {
    LLVMValueRef lanes[TILE_LANES];
    for (int i = 0; i < count; i++)
        lanes[i] = cpu_integer(module->i32, first + i);
    LLVMValueRef mask = LLVMConstVector(lanes, (unsigned)count);
    return LLVMBuildShuffleVector(module->builder, vector, LLVMGetPoison(LLVMTypeOf(vector)), mask, "");
}

static LLVMValueRef reduce_lanes(CpuModule *module, int function, LLVMValueRef vector) {
    for (int half = TILE_LANES / 2; half >= 1; half /= 2)
        vector =
            emit_combine(module, function, lane_range(module, vector, 0, half), lane_range(module, vector, half, half));
    return LLVMBuildExtractElement(module->builder, vector, cpu_integer(module->i32, 0), "");
}

static LLVMValueRef reduce_rows(Emitter *emitter, int function, TileValue accumulator, int vector, bool wide) {
    LLVMValueRef rows[TILE_LANES];
    CHECK(emitter->cells[accumulator].rows == TILE_LANES);
    for (int i = 0; i < TILE_LANES; i++)
        rows[i] = emit_part(emitter, accumulator, i, vector, wide);
    for (int half = TILE_LANES / 2; half >= 1; half /= 2)
        for (int i = 0; i < half; i++)
            rows[i] = emit_combine(emitter->module, function, rows[i], rows[i + half]);
    return rows[0];
}

void emit_row_reduce(Emitter *emitter, uint32_t number) {
    const TileOp *op = emit_op_at(emitter, number);
    TileValue accumulator = op->operands[0];
    Cell *cell = &emitter->cells[number], *from = &emitter->cells[accumulator];
    if (emit_op_at(emitter, accumulator)->step != 0) {
        for (int v = 0; v < cell->vectors; v++)
            cell->parts[v] = reduce_rows(emitter, op->function, accumulator, v, cell->shape & SHAPE_LANES);
        return;
    }
    CHECK((from->shape & SHAPE_LANES) && from->vectors == 1);
    for (int r = 0; r < cell->rows; r++)
        cell->parts[r] = reduce_lanes(emitter->module, op->function, from->parts[from->rows > 1 ? r : 0]);
}
