// Inside codegen/cpu: building LLVM modules. Included by the files that speak LLVM, and by nothing else.
#ifndef SINTER_CODEGEN_CPU_MODULE_H
#define SINTER_CODEGEN_CPU_MODULE_H

#include <llvm-c/Core.h>

#include "base/cache.h"
#include "codegen/cpu/cpu.h"

// ---- one LLVM module under construction: types, and functions that kernels share (module.c)
typedef enum { MATH_EXP, MATH_LOG, MATH_TANH, MATH_ERF, MATH_SIN, MATH_COS, MATH_COUNT } MathFunction;

typedef struct {
    LLVMContextRef context;
    LLVMModuleRef module;
    LLVMBuilderRef builder;
    LLVMTypeRef i1, i8, i32, i64, f32, f64, pointer;
    const char *cpu, *features; // target attributes of every function
    int vector_bits;
    bool has_scale; // the instruction a * 2^floor(b) on 16 lanes
    LLVMValueRef math[MATH_COUNT];
} CpuModule;

// `builder` of the module is free to use; the caller disposes of builder, module and context.
void cpu_module_init(CpuModule *module, LLVMContextRef context, const char *name, const char *cpu, const char *features,
                     int vector_bytes);
// An internal or exported function with the attributes every function here has; the builder stands in its entry block.
LLVMValueRef cpu_function(CpuModule *module, const char *name, LLVMTypeRef type, bool exported);
void cpu_attribute(const CpuModule *module, LLVMValueRef function, unsigned index, const char *name, uint64_t value);
LLVMTypeRef cpu_type(const CpuModule *module, DType dtype);        // in registers: bool is i1
LLVMTypeRef cpu_memory_type(const CpuModule *module, DType dtype); // in memory: bool is i8
LLVMTypeRef cpu_vector(LLVMTypeRef element);                       // <16 x element>
LLVMValueRef cpu_splat(CpuModule *module, LLVMValueRef scalar);
LLVMValueRef cpu_constant(LLVMTypeRef type, double number); // of a scalar or vector type
LLVMValueRef cpu_integer(LLVMTypeRef type, int64_t number); // of a scalar or vector type
LLVMValueRef cpu_lane_numbers(LLVMTypeRef element);         // <0, 1, .. 15>
// Call of an LLVM intrinsic whose overloads are `types`.
LLVMValueRef cpu_intrinsic(CpuModule *module, const char *name, LLVMTypeRef *types, int type_count,
                           LLVMValueRef *arguments, int count);
LLVMValueRef cpu_fma(CpuModule *module, LLVMValueRef a, LLVMValueRef b, LLVMValueRef c);
LLVMValueRef cpu_unary(CpuModule *module, const char *intrinsic, LLVMValueRef a);

// ---- math*.c: builds the body of one function; the builder stands in the entry block and `x` is <16 x float>.
LLVMValueRef math_exp(CpuModule *module, LLVMValueRef x);
LLVMValueRef math_log(CpuModule *module, LLVMValueRef x);
LLVMValueRef math_tanh(CpuModule *module, LLVMValueRef x);
LLVMValueRef math_erf(CpuModule *module, LLVMValueRef x);
LLVMValueRef math_sin(CpuModule *module, LLVMValueRef x);
LLVMValueRef math_cos(CpuModule *module, LLVMValueRef x);
// c[0] + c[1] x + ... by Horner's rule, one FMA per coefficient.
LLVMValueRef math_polynomial(CpuModule *module, LLVMValueRef x, const float *coefficients, int count);
// Calls the function on a scalar or on 16 lanes: both go through the same 16-lane code.
LLVMValueRef math_call(CpuModule *module, MathFunction function, LLVMValueRef x);

// ---- remember.c: object files kept between runs
// Of the kernels' symbols and all else that their code depends on; `processor`: what it is compiled for and how. False
// when this build cannot be told from others: then nothing may be kept.
bool cpu_objects_key(const CpuKernel *kernels, uint32_t count, const char *processor, WideHash *key);
// How many were found, at most `most`; 0 for none. They are the caller's to dispose of.
uint32_t cpu_objects_recall(Cache *cache, WideHash key, LLVMMemoryBufferRef *objects, uint32_t most);
void cpu_objects_remember(Cache *cache, WideHash key, const LLVMMemoryBufferRef *objects, uint32_t number);

// ---- emit.c
void emit_kernel(CpuModule *module, Arena *arena, const CpuKernel *kernel);

#endif
