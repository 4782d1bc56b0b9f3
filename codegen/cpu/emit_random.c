// Counter-based random numbers: Threefry-2x32 with 20 rounds (Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as
// easy as 1, 2, 3", SC 2011).
//
// In: seed, step, micro (uniform i32), the site's key, an index. Out: f32 in [0, 1) on a grid of 2^-24:
//
//     (a, b) = threefry(key (seed, site), counter (step, micro))       once per loop nest: scalars
//     bits   = first word of threefry(key (a, b), counter (index, 0))  16 lanes at a time
//     value  = (bits >> 8) * 2^-24
#include "codegen/cpu/emit.h"

typedef struct {
    LLVMValueRef x, y;
} Pair;

static LLVMValueRef rotate_left(CpuModule *module, LLVMValueRef value, int distance) {
    LLVMTypeRef type = LLVMTypeOf(value);
    return cpu_intrinsic(module, "llvm.fshl", &type, 1, (LLVMValueRef[]){value, value, cpu_integer(type, distance)}, 3);
}

static Pair threefry(CpuModule *module, Pair key, Pair counter) {
    static const int rotations[8] = {13, 15, 26, 6, 17, 29, 16, 24};
    LLVMBuilderRef builder = module->builder;
    LLVMTypeRef type = LLVMTypeOf(counter.x);
    LLVMValueRef parity = cpu_integer(type, 0x1BD11BDA);
    LLVMValueRef keys[3] = {key.x, key.y, LLVMBuildXor(builder, LLVMBuildXor(builder, key.x, key.y, ""), parity, "")};
    LLVMValueRef x = LLVMBuildAdd(builder, counter.x, keys[0], ""), y = LLVMBuildAdd(builder, counter.y, keys[1], "");
    for (int round = 0; round < 20; round++) {
        x = LLVMBuildAdd(builder, x, y, "");
        y = LLVMBuildXor(builder, rotate_left(module, y, rotations[round % 8]), x, "");
        if (round % 4 != 3) continue;
        int injection = round / 4 + 1;
        x = LLVMBuildAdd(builder, x, keys[injection % 3], "");
        y = LLVMBuildAdd(builder, y, keys[(injection + 1) % 3], "");
        y = LLVMBuildAdd(builder, y, cpu_integer(type, injection), "");
    }
    return (Pair){x, y};
}

// The key of this site at this moment, built at the operation's first part.
static Pair moment_key(Emitter *emitter, uint32_t number, bool wide) {
    CpuModule *module = emitter->module;
    const TileOp *op = emit_op_at(emitter, number);
    Cell *cell = &emitter->cells[number];
    if (!cell->key[0]) {
        Pair site = {emit_part(emitter, op->operands[0], 0, 0, false), cpu_integer(module->i32, op->site)};
        Pair moment = {emit_part(emitter, op->operands[1], 0, 0, false),
                       emit_part(emitter, op->operands[2], 0, 0, false)};
        Pair key = threefry(module, site, moment);
        cell->key[0] = wide ? cpu_splat(module, key.x) : key.x;
        cell->key[1] = wide ? cpu_splat(module, key.y) : key.y;
    }
    return (Pair){cell->key[0], cell->key[1]};
}

void emit_random(Emitter *emitter, uint32_t number, int row, int vector) {
    CpuModule *module = emitter->module;
    LLVMBuilderRef builder = module->builder;
    bool wide = emit_shape(emitter, number) & SHAPE_LANES;
    Pair key = moment_key(emitter, number, wide);

    LLVMTypeRef integers = wide ? cpu_vector(module->i32) : module->i32,
                floats = wide ? cpu_vector(module->f32) : module->f32;
    const Address *address = emitter->cells[number].address;
    Pair counter = {emit_index_value(emitter, address, row, vector, wide, module->i32), cpu_integer(integers, 0)};
    LLVMValueRef bits = LLVMBuildLShr(builder, threefry(module, key, counter).x, cpu_integer(integers, 8), "");
    LLVMValueRef value = LLVMBuildUIToFP(builder, bits, floats, "");
    value = LLVMBuildFMul(builder, value, cpu_constant(floats, 0x1p-24), "");
    emit_set_part(emitter, number, row, vector, value);
}
