// tanh and erf on 16 lanes: odd, and 1 far out. Errors within 4 ulp; see tests/cpu/test_math.c.
//
// Near 0 an odd polynomial keeps relative accuracy; further out both are 1 minus something small, built from exp:
//
//     tanh(x) = 1 - 2 / (exp(2x) + 1)        erf(x) = 1 - exp(q(x)),  q ~ log(erfc(x))
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
    // |x| < 1: x + x p(x^2);  1 <= |x| < 4: 1 - exp(q(|x|));  beyond: 1, which erf rounds to from 3.92 on.
    static const float p[] = {0.128379166f,  -0.376126289f,    0.112836182f,   -0.0268551242f,
                              0.0051907259f, -0.000803065428f, 7.91990169e-05f};
    static const float q[] = {0.00030321299f,  -1.13016665f,    -0.631937206f,    -0.109978057f,  0.0263645574f,
                              -0.00474014599f, 0.000592748809f, -4.55876288e-05f, 1.61388289e-06f};
    LLVMBuilderRef builder = module->builder;
    LLVMTypeRef floats = LLVMTypeOf(x);
    LLVMValueRef size = cpu_unary(module, "llvm.fabs", x), one = cpu_constant(floats, 1);

    LLVMValueRef near = cpu_fma(module, math_polynomial(module, LLVMBuildFMul(builder, x, x, ""), p, 7), size, size);
    LLVMValueRef complement = math_call(module, MATH_EXP, math_polynomial(module, size, q, 9));
    LLVMValueRef far = LLVMBuildFSub(builder, one, complement, "");
    // Above 4 the polynomial turns away, and NaN is not below anything but must stay.
    LLVMValueRef is_far = LLVMBuildFCmp(builder, LLVMRealOGE, size, cpu_constant(floats, 4), "");
    far = LLVMBuildSelect(builder, is_far, one, far, "");
    return with_sign_of(module, LLVMBuildSelect(builder, is_below(module, size, 1), near, far, ""), x);
}
