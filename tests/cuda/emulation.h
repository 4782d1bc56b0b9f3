// CUDA for a C compiler: stands before generated kernels when they are compiled for the emulation.
//
//     cc -include emulation.h -shared kernels.c        the very text that a GPU gets
//
// A CUDA thread is a fiber; whoever runs the fibers (emulator.c) keeps `emulated` up to date. Where threads meet is told
// apart by the line of the text (EMULATED_SITES, behind the functions that all kernels share): a compiler may make several
// calls of one.
#ifndef TESTS_CUDA_EMULATION_H
#define TESTS_CUDA_EMULATION_H

#include <math.h>
#include <stdbool.h>

typedef struct {
    unsigned x, y, z;
} Emulated3;

typedef struct {
    Emulated3 thread, block, block_extent, grid_extent; // of the fiber that runs
    int site;                                           // where it is about to meet others
    float (*shuffle_xor)(unsigned mask, float value, int distance, int width);
    void (*warp_barrier)(unsigned mask);
    void (*block_barrier)(void);
} Emulated;

#ifdef EMULATED_KERNELS
#define EMULATED
Emulated emulated;

#define KERNEL(name, threads) void name
#define INLINE static inline __attribute__((always_inline))
#define CONSTANT static const
#define UNROLL
#define ROLLED
#define RESTRICT restrict

#define threadIdx emulated.thread
#define blockIdx emulated.block
#define blockDim emulated.block_extent
#define gridDim emulated.grid_extent
#define __shfl_xor_sync(mask, value, distance, width) emulated.shuffle_xor(mask, value, distance, width)
#define __syncwarp(mask) emulated.warp_barrier(mask)
#define __syncthreads() emulated.block_barrier()

#define EMULATED_AT(call) (emulated.site = __LINE__, call)

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
#else
// Stands between the common part and the kernels.
#define EMULATED_SITES                                                                                                 \
    "#define worker_barrier() EMULATED_AT(worker_barrier())\n"                                                         \
    "#define reduce_sum(value) EMULATED_AT(reduce_sum(value))\n"                                                       \
    "#define reduce_max(value) EMULATED_AT(reduce_max(value))\n"
#endif

#endif
