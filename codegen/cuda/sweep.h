// Inside codegen/cuda: a sweep as a kernel (print_sweep.c).
#ifndef SINTER_CODEGEN_CUDA_SWEEP_H
#define SINTER_CODEGEN_CUDA_SWEEP_H

#include "codegen/cuda/print_tensor.h"

// How a block does it.
typedef struct {
    int row_tiles;               // of a warp: so many times 16 rows
    int threads, resident;       // resident: blocks that find registers on a multiprocessor at once
    bool rows_stay;              // rows of the inner products' factors are read from shared memory for each tile
    int rows_bytes, stage_bytes; // of these rows, and of a stage of the ring
    int ring;                    // where it begins
    size_t shared_bytes;
    int64_t blocks;
} SweepShape;

SweepShape sweep_shape(const SweepProgram *sweep);
const CudaText *print_sweep(Arena *arena, const SweepProgram *sweep, const bool *aliased, const char *symbol);
// Of all that the text depends on.
const char *sweep_symbol(Arena *arena, const SweepProgram *sweep, const bool *aliased);

#endif
