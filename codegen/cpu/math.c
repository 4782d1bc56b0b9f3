// Vector functions of mathematics: one internal LLVM function each, <16 x float> to <16 x float>.
//
// In: a call of a function on a scalar or on 16 lanes. Out: a call of the one 16-lane function of this module, made at
// its first use. Scalars are spread and one lane taken back, so bodies, tails and scalars have equal bits.
//
//     %y = call <16 x float> @sinter.exp(<16 x float> %x)      ; inlined before anything else happens
//
// Methods: argument reduction in the manner of Cody and Waite ("Software Manual for the Elementary Functions", 1980),
// then polynomials, one FMA per coefficient. The coefficients were computed for these files: least squares on Chebyshev
// nodes in 40-digit arithmetic, rounded to f32 one after the other, the rest solved again after each.
// tests/cpu/test_math.c holds each function to its bound over all of f32.
#include "codegen/cpu/module.h"

LLVMValueRef math_polynomial(CpuModule *module, LLVMValueRef x, const float *coefficients, int count) {
    LLVMTypeRef type = LLVMTypeOf(x);
    LLVMValueRef sum = cpu_constant(type, coefficients[count - 1]);
    for (int i = count - 2; i >= 0; i--)
        sum = cpu_fma(module, sum, x, cpu_constant(type, coefficients[i]));
    return sum;
}

typedef struct {
    const char *name;
    LLVMValueRef (*build)(CpuModule *module, LLVMValueRef x);
    bool is_inlined; // sine and cosine are long and rare
} Builder;

static const Builder builders[MATH_COUNT] = {
    [MATH_EXP] = {"sinter.exp", math_exp, true},    [MATH_LOG] = {"sinter.log", math_log, true},
    [MATH_TANH] = {"sinter.tanh", math_tanh, true}, [MATH_ERF] = {"sinter.erf", math_erf, true},
    [MATH_SIN] = {"sinter.sin", math_sin, false},   [MATH_COS] = {"sinter.cos", math_cos, false},
};

static LLVMTypeRef function_type(CpuModule *module) {
    LLVMTypeRef type = cpu_vector(module->f32);
    return LLVMFunctionType(type, &type, 1, false);
}

static LLVMValueRef find_function(CpuModule *module, MathFunction number) {
    if (module->math[number]) return module->math[number];
    LLVMBasicBlockRef caller = LLVMGetInsertBlock(module->builder);
    const Builder *builder = &builders[number];
    LLVMValueRef function = cpu_function(module, builder->name, function_type(module), false);
    cpu_attribute(module, function, LLVMAttributeFunctionIndex, builder->is_inlined ? "alwaysinline" : "noinline", 0);
    // No side effects: equal calls are one call, and calls of what a loop does not change leave the loop.
    cpu_attribute(module, function, LLVMAttributeFunctionIndex, "memory", 0);
    cpu_attribute(module, function, LLVMAttributeFunctionIndex, "willreturn", 0);
    LLVMBuildRet(module->builder, builder->build(module, LLVMGetParam(function, 0)));
    module->math[number] = function;
    LLVMPositionBuilderAtEnd(module->builder, caller);
    return function;
}

LLVMValueRef math_call(CpuModule *module, MathFunction number, LLVMValueRef x) {
    bool wide = LLVMGetTypeKind(LLVMTypeOf(x)) == LLVMVectorTypeKind;
    LLVMValueRef function = find_function(module, number), argument = wide ? x : cpu_splat(module, x);
    LLVMValueRef y = LLVMBuildCall2(module->builder, function_type(module), function, &argument, 1, "");
    return wide ? y : LLVMBuildExtractElement(module->builder, y, cpu_integer(module->i32, 0), "");
}
