// tanh and erf on 16 lanes: odd, and 1 far out. Errors within 4 ulp; see tests/cpu/test_math.c.
//
// Near 0 an odd polynomial keeps relative accuracy; further out both are 1 minus something small, built from exp:
//
//     tanh(x) = 1 - 2 / (exp(2x) + 1)        erf(x) = 1 - exp(-x^2) g(x),  g(x) = erfc(x) exp(x^2)
//
// exp(-x^2) is written as erf's derivative writes it, so that where both are wanted it is computed once.
#include "codegen/cpu/module.h"

static LLVMValueRef with_sign_of(CpuModule *module, LLVMValueRef magnitude, LLVMValueRef sign) {
    LLVMTypeRef type = LLVMTypeOf(sign);
    return cpu_intrinsic(module, "llvm.copysign", &type, 1, (LLVMValueRef[]){magnitude, sign}, 2);
}

static LLVMValueRef is_below(CpuModule *module, LLVMValueRef x, double limit) {
    return LLVMBuildFCmp(module->builder, LLVMRealOLT, x, cpu_constant(LLVMTypeOf(x), limit), "");
}

LLVMValueRef math_tanh(CpuModule *module, LLVMValueRef x) {
    static const float p[] = {-0.333333284f, 0.133327574f, -0.0538502075f, 0.0209958367f, -0.00609607762f};
    LLVMBuilderRef builder = module->builder;
    LLVMTypeRef floats = LLVMTypeOf(x);
    LLVMValueRef size = cpu_unary(module, "llvm.fabs", x), one = cpu_constant(floats, 1);

    // |x| < 0.625: x + x z p(z), z = x^2.
    LLVMValueRef z = LLVMBuildFMul(builder, x, x, "");
    LLVMValueRef near = LLVMBuildFMul(builder, math_polynomial(module, z, p, 5), z, "");
    near = cpu_fma(module, near, size, size);

    // exp overflows to +inf far out, and 1 - 2/inf is 1.
    LLVMValueRef grown = math_call(module, MATH_EXP, LLVMBuildFAdd(builder, size, size, ""));
    LLVMValueRef rest = LLVMBuildFDiv(builder, cpu_constant(floats, 2), LLVMBuildFAdd(builder, grown, one, ""), "");
    LLVMValueRef far = LLVMBuildFSub(builder, one, rest, "");
    return with_sign_of(module, LLVMBuildSelect(builder, is_below(module, size, 0.625), near, far, ""), x);
}

LLVMValueRef math_erf(CpuModule *module, LLVMValueRef x) {
    // |x| < 1.125: x + x p(x^2), else 1 - exp(-x^2) g(|x|), which is 1 from 3.92 on.
    static const float p[] = {0.128379166f,   -0.376126021f,    0.112832561f,   -0.0268392228f,
                              0.00516025955f, -0.000776580535f, 7.06354185e-05f};
    static const float g[] = {0.981758595f, -1.02970445f,   0.759567142f,   -0.399509519f,
                              0.14567475f,  -0.0347621143f, 0.00485711312f, -0.000300075801f};
    LLVMBuilderRef builder = module->builder;
    LLVMTypeRef floats = LLVMTypeOf(x);
    LLVMValueRef size = cpu_unary(module, "llvm.fabs", x), one = cpu_constant(floats, 1);
    LLVMValueRef square = LLVMBuildFMul(builder, x, x, "");

    LLVMValueRef near = cpu_fma(module, math_polynomial(module, square, p, 7), size, size);
    // Far out g turns away; it stays at 4, where exp is already too small to matter, and 0 * infinity never happens.
    LLVMValueRef four = cpu_constant(floats, 4);
    LLVMValueRef limited = LLVMBuildSelect(builder, is_below(module, size, 4), size, four, "");
    LLVMValueRef decay = math_call(module, MATH_EXP, LLVMBuildFNeg(builder, square, ""));
    LLVMValueRef complement = LLVMBuildFNeg(builder, math_polynomial(module, limited, g, 8), "");
    LLVMValueRef far = cpu_fma(module, complement, decay, one);
    return with_sign_of(module, LLVMBuildSelect(builder, is_below(module, size, 1.125), near, far, ""), x);
}
