// exp and log on 16 lanes. Errors within 2 ulp; see tests/cpu/test_math.c.
//
//     exp: +inf above 88.7229, gradual underflow to 0 below -87.3366, exp(-inf) = 0, NaN stays NaN
//     log: log(+-0) = -inf, log(x < 0) = NaN, log(+inf) = +inf, subnormal arguments are exact powers away from normal
#include <math.h>

#include "base/planted.h"
#include "codegen/cpu/module.h"

#define LOG2_E 1.44269502f
#define LN2_HIGH 0.693145752f // 15 bits: n * LN2_HIGH is exact for |n| < 512
#define LN2_LOW 1.42860677e-06f

static LLVMValueRef float_of_bits(CpuModule *module, LLVMValueRef bits) {
    return LLVMBuildBitCast(module->builder, bits, cpu_vector(module->f32), "");
}

// 2^n for i32 n in -126 .. 127.
static LLVMValueRef power_of_two(CpuModule *module, LLVMValueRef n) {
    LLVMTypeRef type = LLVMTypeOf(n);
    LLVMValueRef biased = LLVMBuildAdd(module->builder, n, cpu_integer(type, 127), "");
    return float_of_bits(module, LLVMBuildShl(module->builder, biased, cpu_integer(type, 23), ""));
}

// mantissa * 2^n, rounded once, for whole n in -151 .. 129 and a mantissa about 1. AVX-512 has an instruction for it;
// elsewhere 2^n is multiplied in as two factors, so that the last product alone meets overflow and gradual underflow.
static LLVMValueRef scale(CpuModule *module, LLVMValueRef mantissa, LLVMValueRef n) {
    LLVMBuilderRef builder = module->builder;
    if (module->has_scale) {
        enum { CURRENT_ROUNDING = 4 };
        LLVMTypeRef mask = LLVMIntTypeInContext(module->context, TILE_LANES);
        return cpu_intrinsic(module, "llvm.x86.avx512.mask.scalef.ps.512", NULL, 0,
                             (LLVMValueRef[]){mantissa, n, mantissa, LLVMConstAllOnes(mask),
                                              cpu_integer(module->i32, CURRENT_ROUNDING)},
                             5);
    }
    // A NaN has no integer; its n is whatever the conversion gives once frozen, the mantissa stays NaN.
    LLVMTypeRef integers = cpu_vector(module->i32);
    LLVMValueRef whole = LLVMBuildFreeze(builder, LLVMBuildFPToSI(builder, n, integers, ""), "");
    LLVMValueRef half = LLVMBuildAShr(builder, whole, cpu_integer(integers, 1), "");
    LLVMValueRef rest = LLVMBuildSub(builder, whole, half, "");
    LLVMValueRef scaled = LLVMBuildFMul(builder, mantissa, power_of_two(module, half), "");
    return LLVMBuildFMul(builder, scaled, power_of_two(module, rest), "");
}

// x = n ln 2 + r with |r| <= ln2 / 2; exp(x) = 2^n (1 + r + r^2 p(r)).
LLVMValueRef math_exp(CpuModule *module, LLVMValueRef x) {
    static const float p[] = {0.5f, 0.166665733f, 0.041666504f, 0.00836378336f, 0.0013931446f};
    LLVMBuilderRef builder = module->builder;
    LLVMTypeRef floats = LLVMTypeOf(x);

    // Beyond these the result is +inf or 0 anyway; NaN compares false and goes through.
    LLVMValueRef high = cpu_constant(floats, 89), low = cpu_constant(floats, PLANTED(exponential_cut_off) ? -10 : -104);
    LLVMValueRef limited = LLVMBuildSelect(builder, LLVMBuildFCmp(builder, LLVMRealOGT, x, high, ""), high, x, "");
    limited = LLVMBuildSelect(builder, LLVMBuildFCmp(builder, LLVMRealOLT, limited, low, ""), low, limited, "");

    LLVMValueRef n = cpu_unary(module, "llvm.rint", LLVMBuildFMul(builder, limited, cpu_constant(floats, LOG2_E), ""));
    LLVMValueRef r = cpu_fma(module, n, cpu_constant(floats, -LN2_HIGH), limited);
    r = cpu_fma(module, n, cpu_constant(floats, -LN2_LOW), r);
    LLVMValueRef square = LLVMBuildFMul(builder, r, r, "");
    LLVMValueRef tail = cpu_fma(module, square, math_polynomial(module, r, p, 5), r);
    return scale(module, LLVMBuildFAdd(builder, tail, cpu_constant(floats, 1), ""), n);
}

// x = 2^e m with m in [sqrt(1/2), sqrt(2)), f = m - 1; log(x) = e ln 2 + f - f^2/2 + f^3 p(f).
static LLVMValueRef log_normal(CpuModule *module, LLVMValueRef bits, LLVMValueRef extra_exponent) {
    static const float p[] = {0.333333313f,  -0.249999896f, 0.200006947f,  -0.166684434f, 0.142501935f,
                              -0.124118336f, 0.116602592f,  -0.115661427f, 0.0714671686f};
    LLVMBuilderRef builder = module->builder;
    LLVMTypeRef floats = cpu_vector(module->f32), integers = cpu_vector(module->i32);

    // Counting exponents from sqrt(1/2) = 0x3f3504f3 puts m into its interval without a branch.
    LLVMValueRef root = cpu_integer(integers, 0x3f3504f3);
    LLVMValueRef exponent =
        LLVMBuildAShr(builder, LLVMBuildSub(builder, bits, root, ""), cpu_integer(integers, 23), "");
    LLVMValueRef shifted = LLVMBuildShl(builder, exponent, cpu_integer(integers, 23), "");
    LLVMValueRef m = float_of_bits(module, LLVMBuildSub(builder, bits, shifted, ""));
    LLVMValueRef f = LLVMBuildFSub(builder, m, cpu_constant(floats, 1), "");
    LLVMValueRef e = LLVMBuildSIToFP(builder, LLVMBuildAdd(builder, exponent, extra_exponent, ""), floats, "");

    LLVMValueRef square = LLVMBuildFMul(builder, f, f, "");
    LLVMValueRef cube = LLVMBuildFMul(builder, square, f, "");
    LLVMValueRef sum = LLVMBuildFMul(builder, cube, math_polynomial(module, f, p, 9), "");
    sum = cpu_fma(module, e, cpu_constant(floats, LN2_LOW), sum);
    sum = cpu_fma(module, square, cpu_constant(floats, -0.5), sum);
    sum = LLVMBuildFAdd(builder, sum, f, "");
    return cpu_fma(module, e, cpu_constant(floats, LN2_HIGH), sum);
}

LLVMValueRef math_log(CpuModule *module, LLVMValueRef x) {
    LLVMBuilderRef builder = module->builder;
    LLVMTypeRef floats = LLVMTypeOf(x), integers = cpu_vector(module->i32);
    LLVMValueRef is_small = LLVMBuildFCmp(builder, LLVMRealOLT, x, cpu_constant(floats, 0x1p-126), "");
    LLVMValueRef raised = LLVMBuildFMul(builder, x, cpu_constant(floats, 0x1p23), "");
    LLVMValueRef normal = LLVMBuildSelect(builder, is_small, raised, x, "");
    LLVMValueRef extra = LLVMBuildSelect(builder, is_small, cpu_integer(integers, -23), cpu_integer(integers, 0), "");
    LLVMValueRef y = log_normal(module, LLVMBuildBitCast(builder, normal, integers, ""), extra);

    LLVMValueRef infinity = cpu_constant(floats, INFINITY), zero = cpu_constant(floats, 0);
    LLVMValueRef is_finite = LLVMBuildFCmp(builder, LLVMRealOLT, x, infinity, "");
    y = LLVMBuildSelect(builder, is_finite, y, x, ""); // +inf, NaN
    LLVMValueRef is_positive = LLVMBuildFCmp(builder, LLVMRealUGT, x, zero, "");
    LLVMValueRef is_zero = LLVMBuildFCmp(builder, LLVMRealOEQ, x, zero, "");
    LLVMValueRef outside =
        LLVMBuildSelect(builder, is_zero, cpu_constant(floats, -INFINITY), cpu_constant(floats, NAN), "");
    return LLVMBuildSelect(builder, is_positive, y, outside, "");
}
