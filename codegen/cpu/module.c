// One LLVM module under construction: its types, constants and the shapes of instructions that every emitter needs.
//
// In: an LLVM context and the processor. Out: a module whose functions all carry the same attributes:
//
//     define internal <16 x float> @sinter.exp(<16 x float> %0) #0
//     attributes #0 = { nounwind "target-cpu"="znver5" "prefer-vector-width"="512" "min-legal-vector-width"="512" }
//
// No instruction ever gets a fast-math flag, and multiply-adds are contracted only where llvm.fma says so: bits belong
// to the primitive.
#include <stdio.h>
#include <string.h>

#include "codegen/cpu/module.h"

void cpu_module_init(CpuModule *module, LLVMContextRef context, const char *name, const char *cpu, const char *features,
                     int vector_bytes) {
    *module = (CpuModule){
        .context = context,
        .module = LLVMModuleCreateWithNameInContext(name, context),
        .builder = LLVMCreateBuilderInContext(context),
        .i1 = LLVMInt1TypeInContext(context),
        .i8 = LLVMInt8TypeInContext(context),
        .i32 = LLVMInt32TypeInContext(context),
        .i64 = LLVMInt64TypeInContext(context),
        .f32 = LLVMFloatTypeInContext(context),
        .f64 = LLVMDoubleTypeInContext(context),
        .pointer = LLVMPointerTypeInContext(context, 0),
        .cpu = cpu,
        .features = features,
        .vector_bits = vector_bytes * 8,
        .has_scale = vector_bytes * 8 == 512 && strstr(features, "+avx512f"),
    };
}

void cpu_attribute(const CpuModule *module, LLVMValueRef function, unsigned index, const char *name, uint64_t value) {
    unsigned kind = LLVMGetEnumAttributeKindForName(name, strlen(name));
    CHECK(kind != 0);
    LLVMAddAttributeAtIndex(function, index, LLVMCreateEnumAttribute(module->context, kind, value));
}

static void string_attribute(const CpuModule *module, LLVMValueRef function, const char *name, const char *value) {
    LLVMAttributeRef attribute =
        LLVMCreateStringAttribute(module->context, name, (unsigned)strlen(name), value, (unsigned)strlen(value));
    LLVMAddAttributeAtIndex(function, LLVMAttributeFunctionIndex, attribute);
}

LLVMValueRef cpu_function(CpuModule *module, const char *name, LLVMTypeRef type, bool exported) {
    LLVMValueRef function = LLVMAddFunction(module->module, name, type);
    LLVMSetLinkage(function, exported ? LLVMExternalLinkage : LLVMInternalLinkage);
    cpu_attribute(module, function, LLVMAttributeFunctionIndex, "nounwind", 0);
    string_attribute(module, function, "target-cpu", module->cpu);
    if (module->features[0]) string_attribute(module, function, "target-features", module->features);
    char bits[16];
    snprintf(bits, sizeof(bits), "%d", module->vector_bits);
    string_attribute(module, function, "prefer-vector-width", bits);
    // Without this LLVM splits 64-byte vectors on processors that it believes to slow down under them.
    if (module->vector_bits == 512) string_attribute(module, function, "min-legal-vector-width", bits);
    LLVMPositionBuilderAtEnd(module->builder, LLVMAppendBasicBlockInContext(module->context, function, "entry"));
    return function;
}

LLVMTypeRef cpu_type(const CpuModule *module, DType dtype) {
    switch (dtype) {
    case DTYPE_F32: return module->f32;
    case DTYPE_I32: return module->i32;
    case DTYPE_BOOL: return module->i1;
    default: BUG("no CPU kernel computes in %s", dtype_name(dtype));
    }
}

LLVMTypeRef cpu_memory_type(const CpuModule *module, DType dtype) {
    return dtype == DTYPE_BOOL ? module->i8 : cpu_type(module, dtype);
}

LLVMTypeRef cpu_vector(LLVMTypeRef element) {
    return LLVMVectorType(element, TILE_LANES);
}

static bool is_vector(LLVMTypeRef type) {
    return LLVMGetTypeKind(type) == LLVMVectorTypeKind;
}

static LLVMValueRef constant_splat(LLVMTypeRef type, LLVMValueRef scalar) {
    LLVMValueRef lanes[TILE_LANES];
    unsigned count = LLVMGetVectorSize(type);
    CHECK(count <= TILE_LANES);
    for (unsigned i = 0; i < count; i++)
        lanes[i] = scalar;
    return LLVMConstVector(lanes, count);
}

LLVMValueRef cpu_splat(CpuModule *module, LLVMValueRef scalar) {
    LLVMTypeRef type = cpu_vector(LLVMTypeOf(scalar));
    if (LLVMIsConstant(scalar)) return constant_splat(type, scalar);
    LLVMValueRef poison = LLVMGetPoison(type);
    LLVMValueRef one = LLVMBuildInsertElement(module->builder, poison, scalar, cpu_integer(module->i32, 0), "");
    LLVMValueRef zeros = LLVMConstNull(cpu_vector(module->i32));
    return LLVMBuildShuffleVector(module->builder, one, poison, zeros, "");
}

LLVMValueRef cpu_integer(LLVMTypeRef type, int64_t number) {
    if (is_vector(type)) return constant_splat(type, cpu_integer(LLVMGetElementType(type), number));
    return LLVMConstInt(type, (unsigned long long)number, true);
}

LLVMValueRef cpu_constant(LLVMTypeRef type, double number) {
    if (is_vector(type)) return constant_splat(type, cpu_constant(LLVMGetElementType(type), number));
    if (LLVMGetTypeKind(type) == LLVMIntegerTypeKind) return cpu_integer(type, (int64_t)number);
    // f32 constants are rounded here, once, as C does; LLVMConstReal would do the same.
    return LLVMConstReal(type, LLVMGetTypeKind(type) == LLVMFloatTypeKind ? (double)(float)number : number);
}

LLVMValueRef cpu_lane_numbers(LLVMTypeRef element) {
    LLVMValueRef lanes[TILE_LANES];
    for (int i = 0; i < TILE_LANES; i++)
        lanes[i] = cpu_integer(element, i);
    return LLVMConstVector(lanes, TILE_LANES);
}

LLVMValueRef cpu_intrinsic(CpuModule *module, const char *name, LLVMTypeRef *types, int type_count,
                           LLVMValueRef *arguments, int count) {
    unsigned id = LLVMLookupIntrinsicID(name, strlen(name));
    if (id == 0) BUG("LLVM has no intrinsic %s", name);
    LLVMValueRef function = LLVMGetIntrinsicDeclaration(module->module, id, types, (size_t)type_count);
    LLVMTypeRef type = LLVMIntrinsicGetType(module->context, id, types, (size_t)type_count);
    return LLVMBuildCall2(module->builder, type, function, arguments, (unsigned)count, "");
}

LLVMValueRef cpu_fma(CpuModule *module, LLVMValueRef a, LLVMValueRef b, LLVMValueRef c) {
    LLVMTypeRef type = LLVMTypeOf(c);
    return cpu_intrinsic(module, "llvm.fma", &type, 1, (LLVMValueRef[]){a, b, c}, 3);
}

LLVMValueRef cpu_unary(CpuModule *module, const char *intrinsic, LLVMValueRef a) {
    LLVMTypeRef type = LLVMTypeOf(a);
    return cpu_intrinsic(module, intrinsic, &type, 1, &a, 1);
}
