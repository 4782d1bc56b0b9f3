// Pointwise functions of one part: every pointwise Op on f32, i32 and bool, and the integer functions of addresses.
//
// In: operand parts. Out: one rounding per Op (RSQRT has two: 1 / sqrt(x), each rounded).
//
// Not-a-number: comparisons with it are false; MAXIMUM and MINIMUM with it are it, whichever operand it is, so that a
// diverged value never hides. Of two zeros of different sign they return the second operand.
#include "codegen/cpu/emit.h"

static bool is_float(LLVMValueRef value) {
    LLVMTypeRef type = LLVMTypeOf(value);
    if (LLVMGetTypeKind(type) == LLVMVectorTypeKind) type = LLVMGetElementType(type);
    return LLVMGetTypeKind(type) == LLVMFloatTypeKind;
}

static LLVMTypeRef same_shape(LLVMValueRef like, LLVMTypeRef element) {
    bool wide = LLVMGetTypeKind(LLVMTypeOf(like)) == LLVMVectorTypeKind;
    return wide ? LLVMVectorType(element, LLVMGetVectorSize(LLVMTypeOf(like))) : element;
}

// `a` when it compares so to `b`, else `b`: what a max or min instruction does; then a NaN in `a` is put back.
static LLVMValueRef select_extreme(CpuModule *module, LLVMRealPredicate real, LLVMIntPredicate integer, LLVMValueRef a,
                                   LLVMValueRef b) {
    LLVMBuilderRef builder = module->builder;
    if (!is_float(a)) return LLVMBuildSelect(builder, LLVMBuildICmp(builder, integer, a, b, ""), a, b, "");
    LLVMValueRef extreme = LLVMBuildSelect(builder, LLVMBuildFCmp(builder, real, a, b, ""), a, b, "");
    return LLVMBuildSelect(builder, LLVMBuildFCmp(builder, LLVMRealUNO, a, a, ""), a, extreme, "");
}

LLVMValueRef emit_maximum(CpuModule *module, LLVMValueRef a, LLVMValueRef b) {
    return select_extreme(module, LLVMRealOGT, LLVMIntSGT, a, b);
}

LLVMValueRef emit_combine(CpuModule *module, int function, LLVMValueRef a, LLVMValueRef b) {
    if (function == OP_MAX) return emit_maximum(module, a, b);
    CHECK(function == OP_SUM);
    return is_float(a) ? LLVMBuildFAdd(module->builder, a, b, "") : LLVMBuildAdd(module->builder, a, b, "");
}

static LLVMValueRef reciprocal_root(CpuModule *module, LLVMValueRef a) {
    LLVMValueRef root = cpu_unary(module, "llvm.sqrt", a);
    return LLVMBuildFDiv(module->builder, cpu_constant(LLVMTypeOf(a), 1), root, "");
}

static LLVMValueRef absolute_integer(CpuModule *module, LLVMValueRef a) {
    LLVMTypeRef type = LLVMTypeOf(a);
    return cpu_intrinsic(module, "llvm.abs", &type, 1, (LLVMValueRef[]){a, cpu_integer(module->i1, 0)}, 2);
}

static LLVMValueRef to_float(CpuModule *module, LLVMValueRef a, bool is_bool) {
    LLVMTypeRef type = same_shape(a, module->f32);
    return is_bool ? LLVMBuildUIToFP(module->builder, a, type, "") : LLVMBuildSIToFP(module->builder, a, type, "");
}

static LLVMValueRef compare(CpuModule *module, LLVMRealPredicate real, LLVMIntPredicate integer, LLVMValueRef a,
                            LLVMValueRef b) {
    if (is_float(a)) return LLVMBuildFCmp(module->builder, real, a, b, "");
    return LLVMBuildICmp(module->builder, integer, a, b, "");
}

static LLVMValueRef map_float(CpuModule *module, int function, LLVMValueRef a, LLVMValueRef b) {
    LLVMBuilderRef builder = module->builder;
    switch (function) {
    case OP_ADD: return LLVMBuildFAdd(builder, a, b, "");
    case OP_SUB: return LLVMBuildFSub(builder, a, b, "");
    case OP_MUL: return LLVMBuildFMul(builder, a, b, "");
    case OP_DIV: return LLVMBuildFDiv(builder, a, b, "");
    case OP_NEG: return LLVMBuildFNeg(builder, a, "");
    case OP_SQRT: return cpu_unary(module, "llvm.sqrt", a);
    case OP_RSQRT: return reciprocal_root(module, a);
    case OP_ABS: return cpu_unary(module, "llvm.fabs", a);
    case OP_EXP: return math_call(module, MATH_EXP, a);
    case OP_LOG: return math_call(module, MATH_LOG, a);
    case OP_TANH: return math_call(module, MATH_TANH, a);
    case OP_ERF: return math_call(module, MATH_ERF, a);
    case OP_SIN: return math_call(module, MATH_SIN, a);
    case OP_COS: return math_call(module, MATH_COS, a);
    default: BUG("no f32 kernel for function %d", function);
    }
}

static LLVMValueRef map_integer(CpuModule *module, int function, LLVMValueRef a, LLVMValueRef b) {
    LLVMBuilderRef builder = module->builder;
    switch (function) {
    case OP_ADD: return LLVMBuildAdd(builder, a, b, "");
    case OP_SUB: return LLVMBuildSub(builder, a, b, "");
    case OP_MUL: return LLVMBuildMul(builder, a, b, "");
    case OP_NEG: return LLVMBuildNeg(builder, a, "");
    case OP_ABS: return absolute_integer(module, a);
    case TILE_DIVIDE: return LLVMBuildUDiv(builder, a, b, ""); // dividends are >= 0, divisors constant and > 0
    case TILE_REMAINDER: return LLVMBuildURem(builder, a, b, "");
    case TILE_MINIMUM_INTEGER: return select_extreme(module, LLVMRealOLT, LLVMIntSLT, a, b);
    case TILE_MAXIMUM_INTEGER: return emit_maximum(module, a, b);
    default: BUG("no i32 kernel for function %d", function);
    }
}

static LLVMValueRef map_value(CpuModule *module, int function, DType dtype, const LLVMValueRef *operands) {
    LLVMBuilderRef builder = module->builder;
    LLVMValueRef a = operands[0], b = operands[1];
    switch (function) {
    case OP_WHERE: return LLVMBuildSelect(builder, a, b, operands[2], "");
    case OP_LT: return compare(module, LLVMRealOLT, dtype == DTYPE_BOOL ? LLVMIntULT : LLVMIntSLT, a, b);
    case OP_LE: return compare(module, LLVMRealOLE, dtype == DTYPE_BOOL ? LLVMIntULE : LLVMIntSLE, a, b);
    case OP_EQ: return compare(module, LLVMRealOEQ, LLVMIntEQ, a, b);
    case OP_AND: return LLVMBuildAnd(builder, a, b, "");
    case OP_OR: return LLVMBuildOr(builder, a, b, "");
    case OP_NOT: return LLVMBuildNot(builder, a, "");
    case OP_TO_FLOAT: return dtype == DTYPE_F32 ? a : to_float(module, a, dtype == DTYPE_BOOL);
    case OP_STOP_GRADIENT: return a;
    case OP_MAXIMUM: return emit_maximum(module, a, b);
    case OP_MINIMUM: return select_extreme(module, LLVMRealOLT, LLVMIntSLT, a, b);
    default: return dtype == DTYPE_F32 ? map_float(module, function, a, b) : map_integer(module, function, a, b);
    }
}

void emit_map(Emitter *emitter, uint32_t number, int row, int vector) {
    const TileOp *op = emit_op_at(emitter, number);
    bool wide = emit_shape(emitter, number) & SHAPE_LANES;
    LLVMValueRef operands[4] = {0};
    for (int i = 0; i < op->operand_count; i++)
        operands[i] = emit_part(emitter, op->operands[i], row, vector, wide);
    DType dtype = emit_op_at(emitter, op->operands[0])->dtype;
    emit_set_part(emitter, number, row, vector, map_value(emitter->module, op->function, dtype, operands));
}
