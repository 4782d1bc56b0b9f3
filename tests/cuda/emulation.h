// CUDA for a C compiler: stands before generated kernels when they are compiled for the emulation.
//
//     cc -include emulation.h -shared kernels.c        the very text that a GPU gets
//
// A CUDA thread is a fiber; whoever runs the fibers (emulator.c) keeps `emulated` up to date. Where threads meet is
// told apart by the line of the text (EMULATED_SITES, behind the functions that all kernels share): a compiler may make
// several calls of one.
#ifndef TESTS_CUDA_EMULATION_H
#define TESTS_CUDA_EMULATION_H

#include <math.h>
#include <stdbool.h>

#include "../../base/half.h"
#include "emulation_warpgroup.h"

typedef struct {
    unsigned x, y, z;
} Emulated3;

// What a thread brings to ldmatrix and to mma.sync.
typedef struct {
    unsigned *to;
    const void *line;
    bool turned;
} EmulatedMatrices;
// Factors are bits of f32. A register has one, or, of those of 16 bits, two: as they are rounded, or, in tensor cores
// that do not round, as they were.
typedef struct {
    float *low, *high;
    const unsigned *a, *b;
    int in_register;
} EmulatedProduct;

typedef struct {
    Emulated3 thread, block, block_extent, grid_extent; // of the fiber that runs
    int site;                                           // where it is about to meet others
    unsigned char *shared;                              // the block's shared memory
    bool exact;                                         // factors are not rounded, products are fused multiply-adds
    void (*load_matrices)(EmulatedMatrices *matrices);
    void (*multiply)(EmulatedProduct *product);
    void (*copy)(void *to, const void *from, int bytes, int whole);
    void (*copies_end)(void);
    void (*copies_wait)(int count);
    float (*shuffle_xor)(unsigned mask, float value, int distance, int width);
    void (*warp_barrier)(unsigned mask);
    void (*meet_block)(unsigned threads);               // the first so many of them; 0: all
    EmulatedWarpgroup warpgroup;
    void (*await_earlier)(void);
    unsigned (*count_arrival)(unsigned *count, unsigned add);                // at a barrier of the grid
    void (*await_flip)(const unsigned *count, unsigned before);
    void *(*aligned)(const void *place, int bytes); // the place, which must be at a multiple of so many bytes
} Emulated;

#ifdef EMULATED_KERNELS
#define EMULATED
Emulated emulated;

#define KERNEL(name, threads) void name
#define TENSOR_KERNEL(name, threads, blocks) void name
#define INLINE static inline __attribute__((always_inline))
#define FUNCTION static __attribute__((noinline))
#define TABLE static const
#define CONSTANT static const
#define UNROLL
#define UNROLL_16
#define ROLLED
// What others write while a kernel is there is no constant. NEVER_AWAIT: a slip, for tests.
#if defined(BEGINS_EARLY) && !defined(NEVER_AWAIT)
#define await_earlier() emulated.await_earlier()
#else
#define await_earlier()
#endif
#ifdef BEGINS_EARLY
#define RESTRICT
#else
#define RESTRICT restrict
#endif

#define threadIdx emulated.thread
#define blockIdx emulated.block
#define blockDim emulated.block_extent
#define gridDim emulated.grid_extent
#define __shfl_xor_sync(mask, value, distance, width) emulated.shuffle_xor(mask, value, distance, width)
#define __syncwarp(mask) emulated.warp_barrier(mask)

#define EMULATED_AT(call) (emulated.site = __LINE__, call)

#define SHARED_MEMORY unsigned char *const shared_memory = emulated.shared
#define copy_16(to, from, bytes) emulated.copy(to, from, bytes, 16)
#define copy_4(to, from, bytes) emulated.copy(to, from, bytes, 4)
#define copies_end() emulated.copies_end()
#define copies_wait(count) emulated.copies_wait(count)
#define WHOLE_BLOCK() emulated.meet_block(0)
#define PART_OF_BLOCK(threads) emulated.meet_block(threads)
// NO_GRID_BARRIER: a slip, for tests.
#ifdef NO_GRID_BARRIER
#define count_arrival(count, add) 0u
#define await_flip(count, before) (void)(before)
#else
#define count_arrival(count, add) emulated.count_arrival(count, add)
#define await_flip(count, before) emulated.await_flip(count, before)
#endif

static inline __attribute__((always_inline)) void load_matrices(unsigned *to, const void *line) {
    EmulatedMatrices matrices = {to, line, false};
    emulated.load_matrices(&matrices);
}

static inline __attribute__((always_inline)) void load_matrices_turned(unsigned *to, const void *line) {
    EmulatedMatrices matrices = {to, line, true};
    emulated.load_matrices(&matrices);
}

static inline __attribute__((always_inline)) void multiply_tf32(float *low, float *high, const unsigned *a,
                                                                const unsigned *b) {
    EmulatedProduct product = {low, high, a, b, 1};
    emulated.multiply(&product);
}

typedef struct {
    unsigned first, second;
} Halves;
typedef struct {
    float x, y;
} float2;

static inline float fast_exp2(float x) { return exp2f(x); }

static inline Halves halves_kept(Halves both, bool first, bool second) {
    return (Halves){first ? both.first : 0, second ? both.second : 0};
}

#define f16_of(value) f16_from_float(value)
#define float_of_f16(half) float_from_f16(half)

#define pair_bf16(first, second) ((unsigned)bf16_of(first) | (unsigned)bf16_of(second) << 16)
#define pair_f16(first, second) ((unsigned)f16_of(first) | (unsigned)f16_of(second) << 16)
#define read_16(words, from) __builtin_memcpy(words, emulated.aligned(from, 16), 16)
#define read_8(words, from) __builtin_memcpy(words, emulated.aligned(from, 8), 8)
#define write_16(to, words) __builtin_memcpy(emulated.aligned(to, 16), words, 16)
#define write_8(to, words) __builtin_memcpy(emulated.aligned(to, 8), words, 8)

static inline __attribute__((always_inline)) void multiply_bf16(float *low, float *high, const Halves *a,
                                                                const Halves *b) {
    EmulatedProduct product = {low, high, &a->first, &b->first, 2};
    emulated.multiply(&product);
}

static inline __attribute__((always_inline)) void multiply_f16(float *low, float *high, const Halves *a,
                                                               const Halves *b) {
    EmulatedProduct product = {low, high, &a->first, &b->first, 2};
    emulated.multiply(&product);
}

// To the nearest of 10 bits, ties away from zero; infinite and not a number stay so.
static inline unsigned round_tf32(unsigned bits) {
    if (emulated.exact || (bits & 0x7f800000u) == 0x7f800000u) return bits;
    return (bits + 0x1000u) & ~0x1fffu;
}

INLINE float __int_as_float(int bits) {
    union {
        int bits;
        float value;
    } both = {bits};
    return both.value;
}

INLINE int __float_as_int(float value) {
    union {
        float value;
        int bits;
    } both = {value};
    return both.bits;
}

// To the nearest of 7 bits, ties to even; infinite and not a number stay so.
static inline unsigned bits_bf16(float value) {
    unsigned bits = (unsigned)__float_as_int(value);
    if (emulated.exact || (bits & 0x7f800000u) == 0x7f800000u) return bits;
    return (bits + 0x7fffu + (bits >> 16 & 1)) & ~0xffffu;
}
static inline Halves halves_bf16(unsigned word) { return (Halves){word << 16, word & 0xffff0000u}; }
static inline Halves round_bf16(float first, float second) { return (Halves){bits_bf16(first), bits_bf16(second)}; }

static inline unsigned bits_f16(float value) {
    return half_bits_of(emulated.exact ? value : float_from_f16(f16_from_float(value)));
}
static inline Halves halves_f16(unsigned word) {
    return (Halves){half_bits_of(float_from_f16((uint16_t)word)), half_bits_of(float_from_f16((uint16_t)(word >> 16)))};
}
static inline Halves round_f16(float first, float second) { return (Halves){bits_f16(first), bits_f16(second)}; }
#else
// Stands between the common part and the kernels.
#define EMULATED_SITES                                                                                                 \
    "#define worker_barrier() EMULATED_AT(worker_barrier())\n"                                                         \
    "#define reduce_sum(value) EMULATED_AT(reduce_sum(value))\n"                                                       \
    "#define reduce_max(value) EMULATED_AT(reduce_max(value))\n"                                                       \
    "#define grid_barrier(count) EMULATED_AT(grid_barrier(count))\n"                                                   \
    "#undef WHOLE_BLOCK\n"                                                                                             \
    "#undef PART_OF_BLOCK\n"                                                                                           \
    "#define WHOLE_BLOCK() EMULATED_AT(emulated.meet_block(0))\n"                                                      \
    "#define PART_OF_BLOCK(threads) EMULATED_AT(emulated.meet_block(threads))\n"                                       \
    "#define rows_by_rows_tf32(a, panel, row, part) EMULATED_AT(rows_by_rows_tf32(a, panel, row, part))\n"             \
    "#define lanes_by_rows_tf32(b, panel, row, part) EMULATED_AT(lanes_by_rows_tf32(b, panel, row, part))\n"           \
    "#define rows_by_rows_bf16(to, panel, pitch, row, part) "                                                          \
    "EMULATED_AT(rows_by_rows_bf16(to, panel, pitch, row, part))\n"                                                    \
    "#define lanes_by_rows_bf16(to, panel, pitch, row, part) "                                                         \
    "EMULATED_AT(lanes_by_rows_bf16(to, panel, pitch, row, part))\n"                                                   \
    "#define rows_by_depth_bf16(to, panel, pitch, row, part) "                                                         \
    "EMULATED_AT(rows_by_depth_bf16(to, panel, pitch, row, part))\n"                                                   \
    "#define lanes_by_depth_bf16(to, panel, pitch, row, part) "                                                        \
    "EMULATED_AT(lanes_by_depth_bf16(to, panel, pitch, row, part))\n"                                                  \
    "#define rows_by_rows_f16(to, panel, pitch, row, part) "                                                           \
    "EMULATED_AT(rows_by_rows_f16(to, panel, pitch, row, part))\n"                                                     \
    "#define lanes_by_rows_f16(to, panel, pitch, row, part) "                                                          \
    "EMULATED_AT(lanes_by_rows_f16(to, panel, pitch, row, part))\n"                                                    \
    "#define rows_by_depth_f16(to, panel, pitch, row, part) "                                                          \
    "EMULATED_AT(rows_by_depth_f16(to, panel, pitch, row, part))\n"                                                    \
    "#define lanes_by_depth_f16(to, panel, pitch, row, part) "                                                         \
    "EMULATED_AT(lanes_by_depth_f16(to, panel, pitch, row, part))\n"                                                   \
    "#define exchange_four(sums) EMULATED_AT(exchange_four(sums))\n"                                                   \
    "#define multiply_tf32(low, high, a, b) EMULATED_AT(multiply_tf32(low, high, a, b))\n"                             \
    "#define multiply_bf16(low, high, a, b) EMULATED_AT(multiply_bf16(low, high, a, b))\n"                             \
    "#define multiply_f16(low, high, a, b) EMULATED_AT(multiply_f16(low, high, a, b))\n"
#endif

#endif
