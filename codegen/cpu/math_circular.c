// sin and cos on 16 lanes. Errors within 4 ulp for every finite argument; NaN for infinities.
//
// |x| < 2^30: x = n pi/2 + r, reduced in f64 with pi/2 in two parts (106 bits), which leaves r correct to f32 even next
// to the multiples of pi/2; then a polynomial for sin or cos on |r| <= pi/4, chosen and signed by n mod 4. Larger
// arguments, further apart than a million turns, take the C library's function lane by lane.
#include "base/planted.h"
#include "codegen/cpu/module.h"

enum { WIDEST_EXPONENT = 30 };

typedef struct {
    LLVMValueRef r, quadrant; // <16 x float>, <16 x i32>
} Reduced;

static Reduced reduce(CpuModule *module, LLVMValueRef x) {
    LLVMBuilderRef builder = module->builder;
    LLVMTypeRef doubles = cpu_vector(module->f64), floats = cpu_vector(module->f32), integers = cpu_vector(module->i32);
    LLVMValueRef wide = LLVMBuildFPExt(builder, x, doubles, "");
    LLVMValueRef turns = LLVMBuildFMul(builder, wide, cpu_constant(doubles, 0.63661977236758138), "");
    LLVMValueRef n = cpu_unary(module, "llvm.rint", turns);
    LLVMValueRef r = cpu_fma(module, n, cpu_constant(doubles, -1.5707963267948966), wide);
    r = cpu_fma(module, n, cpu_constant(doubles, -6.123233995736766e-17), r);
    return (Reduced){LLVMBuildFPTrunc(builder, r, floats, ""),
                     LLVMBuildFreeze(builder, LLVMBuildFPToSI(builder, n, integers, ""), "")};
}

static LLVMValueRef sine_polynomial(CpuModule *module, LLVMValueRef r, LLVMValueRef z) {
    static const float p[] = {-0.166666672f, 0.00833339617f, -0.000198608395f, 2.91658807e-06f};
    LLVMValueRef tail = LLVMBuildFMul(module->builder, math_polynomial(module, z, p, 4), z, "");
    return cpu_fma(module, tail, r, r);
}

static LLVMValueRef cosine_polynomial(CpuModule *module, LLVMValueRef z) {
    static const float p[] = {-0.5f, 0.0416666642f, -0.00138882711f, 2.45436258e-05f};
    return cpu_fma(module, math_polynomial(module, z, p, 4), z, cpu_constant(LLVMTypeOf(z), 1));
}

static LLVMValueRef bit_is_set(CpuModule *module, LLVMValueRef number, int bit) {
    LLVMTypeRef type = LLVMTypeOf(number);
    LLVMValueRef masked = LLVMBuildAnd(module->builder, number, cpu_integer(type, bit), "");
    return LLVMBuildICmp(module->builder, LLVMIntNE, masked, cpu_integer(type, 0), "");
}

// sin of x moved by `quarters` quarter turns.
static LLVMValueRef small_circular(CpuModule *module, LLVMValueRef x, int quarters) {
    LLVMBuilderRef builder = module->builder;
    Reduced reduced = reduce(module, x);
    LLVMValueRef n = LLVMBuildAdd(builder, reduced.quadrant, cpu_integer(LLVMTypeOf(reduced.quadrant), quarters), "");
    LLVMValueRef z = LLVMBuildFMul(builder, reduced.r, reduced.r, "");
    LLVMValueRef value = LLVMBuildSelect(builder, bit_is_set(module, n, 1), cosine_polynomial(module, z),
                                         sine_polynomial(module, reduced.r, z), "");
    if (PLANTED(sine_without_sign)) return value;
    return LLVMBuildSelect(builder, bit_is_set(module, n, 2), LLVMBuildFNeg(builder, value, ""), value, "");
}

static LLVMValueRef circular(CpuModule *module, LLVMValueRef x, int quarters, const char *intrinsic) {
    LLVMBuilderRef builder = module->builder;
    LLVMTypeRef floats = LLVMTypeOf(x);
    LLVMValueRef size = cpu_unary(module, "llvm.fabs", x);
    LLVMValueRef limit = cpu_constant(floats, (double)(1 << WIDEST_EXPONENT));
    LLVMValueRef is_large = LLVMBuildFCmp(builder, LLVMRealOGE, size, limit, "");
    LLVMValueRef small =
        small_circular(module, LLVMBuildSelect(builder, is_large, cpu_constant(floats, 0), x, ""), quarters);

    LLVMBasicBlockRef before = LLVMGetInsertBlock(builder);
    LLVMValueRef function = LLVMGetBasicBlockParent(before);
    LLVMBasicBlockRef large_block = LLVMAppendBasicBlockInContext(module->context, function, "large");
    LLVMBasicBlockRef join = LLVMAppendBasicBlockInContext(module->context, function, "join");
    LLVMValueRef any = cpu_unary(module, "llvm.vector.reduce.or", is_large);
    LLVMBuildCondBr(builder, any, large_block, join);

    // Lane by lane the choice is the same whatever the other lanes hold.
    LLVMPositionBuilderAtEnd(builder, large_block);
    LLVMValueRef mixed = LLVMBuildSelect(builder, is_large, cpu_unary(module, intrinsic, x), small, "");
    LLVMBuildBr(builder, join);

    LLVMPositionBuilderAtEnd(builder, join);
    LLVMValueRef value = LLVMBuildPhi(builder, floats, "");
    LLVMAddIncoming(value, (LLVMValueRef[]){small, mixed}, (LLVMBasicBlockRef[]){before, large_block}, 2);
    return value;
}

LLVMValueRef math_sin(CpuModule *module, LLVMValueRef x) {
    // Below 2^-12 the sine rounds to x itself; so -0 keeps its sign.
    LLVMValueRef value = circular(module, x, 0, "llvm.sin"), limit = cpu_constant(LLVMTypeOf(x), 0x1p-12);
    LLVMValueRef size = cpu_unary(module, "llvm.fabs", x);
    LLVMValueRef is_tiny = LLVMBuildFCmp(module->builder, LLVMRealOLT, size, limit, "");
    return LLVMBuildSelect(module->builder, is_tiny, x, value, "");
}

LLVMValueRef math_cos(CpuModule *module, LLVMValueRef x) {
    return circular(module, x, 1, "llvm.cos");
}
