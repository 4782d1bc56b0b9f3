// Runs a kernel as a GPU might: every thread of a block is a fiber, which of those that can go on goes on is drawn, and
// so is the order of blocks; of a cooperative launch the threads of all blocks are there at once.
//
//     const char *wrong = emulate(arena, &(EmulatedLaunch){.entry = ..., .blocks = 96, .threads = 128, .seed = 7});
//
// What a GPU would not tell is told: threads that wait for others at different places, or for ones that have ended; a
// shuffle whose partners are elsewhere; an access outside of mapped memory.
#ifndef TESTS_CUDA_EMULATOR_H
#define TESTS_CUDA_EMULATOR_H

#include <stdint.h>

#include "base/memory.h"
#include "tests/cuda/emulation.h"

enum { EMULATED_BLOCKS = 8, EMULATED_FIBERS = 2048 };

typedef struct {
    Emulated *emulated;             // of the kernels
    void (*entry)(void **buffers);
    void **buffers;
    uint32_t blocks, threads;
    size_t shared_bytes;
    bool is_cooperative;            // all blocks are there at once: no more than EMULATED_BLOCKS
    bool exact;                     // tensor cores that do not round factors
    void (*await_earlier)(void);    // does what the launch waits for, which may be other launches; NULL: it is done
    uint64_t seed;
    // Where a buffer's byte would lie on a device, modulo 256: its copy here may begin anywhere.
    uintptr_t (*place)(void *context, const void *byte);
    void *context;
} EmulatedLaunch;

// NULL when all threads have ended, else what went wrong.
const char *emulate(Arena *arena, const EmulatedLaunch *launch);

#endif
