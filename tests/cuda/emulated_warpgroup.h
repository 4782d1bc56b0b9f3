// Barriers in shared memory, boxes of tensors and products of warpgroups on a CPU, for the emulator.
//
// A box comes some time after it was asked for, and until then there are NaNs; its bytes count for its barrier when it
// has come. A product reads its factors, and its sums are there, some time before a wait says so: until then the sums
// are NaNs, and a factor that somebody writes over has changed. A matrix descriptor is decoded field by field.
#ifndef TESTS_CUDA_EMULATED_WARPGROUP_H
#define TESTS_CUDA_EMULATED_WARPGROUP_H

#include "tests/cuda/emulator.h"

enum { WARPGROUP = 128 };

typedef struct {
    unsigned char *shared;
    size_t shared_bytes;
    bool exact;
    uint32_t (*draw)(uint32_t bound);
    void (*wake)(const void *barrier); // a phase of it is over
} WarpgroupBlock;

void warpgroup_begin(const WarpgroupBlock *block);

void barrier_begin(void *barrier, int arrivals);
void barriers_publish(void);
// All threads have met: what was begun is there for all.
void barriers_meet(void);
void barrier_arrive(void *barrier, int bytes);
// Whether the phase of that parity is over.
bool barrier_passes(const void *barrier, int parity);

void box_begin(void *to, const TensorMap *map, void *barrier, int rank, const int *first);
// One of the boxes that are on their way comes; false: there are none.
bool box_comes(void);

// brought: of the 128 threads.
void warpgroup_together(uint32_t warpgroup, EmulatedTogether *const *brought);

// What went wrong, NULL: nothing. `is_over`: all threads of the block have ended.
const char *warpgroup_complaint(bool is_over);

#endif
