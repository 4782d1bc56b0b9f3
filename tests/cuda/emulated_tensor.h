// What blocks and warps of the emulation have beside registers: shared memory, asynchronous copies, tensor cores.
#ifndef TESTS_CUDA_EMULATED_TENSOR_H
#define TESTS_CUDA_EMULATED_TENSOR_H

#include "tests/cuda/emulator.h"

// Of the `slot`th of the blocks that are there at once: exactly so many bytes of NaNs, at the end (or the beginning) of
// pages between pages that nobody may touch.
unsigned char *shared_memory(uint32_t slot, size_t bytes, bool at_begin);

// ---- asynchronous copies of a thread: they come when it waits for them, and until then there are NaNs
typedef struct {
    void *to;
    const void *from;
    int bytes, whole;
} EmulatedCopy;

// `place`: where `from` lies on a device. `at_once`: this one comes early, as copies may.
void copies_begin(uint32_t thread, const EmulatedCopy *copy, uintptr_t place, bool at_once);
void copies_group(uint32_t thread);
void copies_finish(uint32_t thread, int but_last);
void copies_forget(uint32_t thread);
// A thread reads or writes so many bytes at once; `place`: as the device has it.
void access_begins(uintptr_t place, int bytes);
// What is wrong with the copies and accesses of a block that has ended; NULL: nothing.
const char *copies_complaint(uint32_t threads);

// ---- what the 32 threads of a warp do together: each brings a pointer
void warp_load_matrices(EmulatedMatrices *const *brought);
void warp_multiply(EmulatedProduct *const *brought, bool exact);

#endif
