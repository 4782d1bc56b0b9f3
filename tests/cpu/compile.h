// For the tests of codegen/cpu: compiles one tile program, runs it, and short names for building tile operations.
#ifndef TESTS_CPU_COMPILE_H
#define TESTS_CPU_COMPILE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/diag.h"
#include "codegen/cpu/cpu.h"

typedef struct {
    CpuCode *code;
    KernelFunction run;
} Compiled;

static inline Compiled compile_for(Arena *arena, const TileProgram *program, int vector_bytes, const bool *aliased) {
    const char *unsound = tile_verify(program, arena);
    if (unsound) fail_msg("tile program %s: %s", program->name, unsound);
    Diags *diags = diags_create(arena);
    bool *none = ARENA_ARRAY(arena, bool, program->buffer_count + 1);
    CpuKernel kernel = {.program = program, .aliased = aliased ? aliased : none, .symbol = program->name};
    Target target = target_default();
    target.vector_bytes = vector_bytes;
    CodegenReport report = {0};
    Compiled result = {.code = cpu_code_create(&kernel, 1, &target, &report, diags)};
    if (!result.code) {
        Text text = text_create(arena);
        diags_render(diags, &text);
        fail_msg("%s", text_string(&text));
    }
    result.run = kernel.function;
    return result;
}

static inline Compiled compile(Arena *arena, const TileProgram *program) {
    return compile_for(arena, program, 64, NULL);
}

// constant + a * x + b * y; a value TILE_NONE is left out.
static inline TileIndex at(int64_t constant, TileValue x, int64_t a, TileValue y, int64_t b) {
    TileIndex index = tile_index(constant);
    if (x != TILE_NONE) index = tile_index_plus(index, x, a);
    if (y != TILE_NONE) index = tile_index_plus(index, y, b);
    return index;
}

static inline TileValue lanes(TileBuilder *builder, int64_t extent, uint32_t step) {
    return tile_loop(builder, LOOP_LANES, "lanes", extent, 0, step, false);
}

static inline TileValue rows(TileBuilder *builder, int64_t extent, uint32_t step) {
    return tile_loop(builder, LOOP_ROWS, "rows", extent, 0, step, true);
}

static inline TileValue zero(TileBuilder *builder, uint8_t shape, uint32_t step, double number) {
    return tile_add(builder,
                    &(TileOp){.kind = TILE_ZERO, .dtype = DTYPE_F32, .shape = shape, .step = step, .number = number});
}

static inline void accumulate(TileBuilder *builder, int function, TileValue accumulator, TileValue value) {
    tile_add(builder, &(TileOp){.kind = TILE_ACCUMULATE,
                                .dtype = DTYPE_F32,
                                .function = function,
                                .operands = {accumulator, value},
                                .operand_count = 2});
}

static inline TileValue row_reduce(TileBuilder *builder, int function, uint8_t shape, TileValue accumulator) {
    return tile_add(builder, &(TileOp){.kind = TILE_ROW_REDUCE,
                                       .dtype = DTYPE_F32,
                                       .shape = shape,
                                       .function = function,
                                       .operands = {accumulator},
                                       .operand_count = 1});
}

// Arrays with a red zone: reads of `count` floats, and a check that nothing after them was written.
enum { RED_ZONE = 64 };
static inline float *floats(size_t count) {
    float *array = memory_allocate((count + RED_ZONE) * sizeof(float));
    for (size_t i = 0; i < count; i++)
        array[i] = (float)((int)((i * 7919 + 13) % 1009) - 504) / 256.0f;
    for (size_t i = 0; i < RED_ZONE; i++)
        array[count + i] = -777.0f;
    return array;
}

static inline void release(float *array, size_t count) {
    for (size_t i = 0; i < RED_ZONE; i++)
        if (array[count + i] != -777.0f) fail_msg("written behind the end, at %zu + %zu", count, i);
    memory_release(array);
}

static inline uint32_t bits_of(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof(bits));
    return bits;
}

static inline void assert_same_bits(float a, float b, size_t i) {
    if (bits_of(a) != bits_of(b)) fail_msg("element %zu: %a is not %a", i, (double)a, (double)b);
}

#endif
