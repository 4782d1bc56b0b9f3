// Inside codegen/cuda: a chain of steps as one kernel.
//
//     chain.c         steps of a plan -> their tile programs, what is a parameter and what lies in shared memory
//     print_chain.c   the text
#ifndef SINTER_CODEGEN_CUDA_CHAIN_H
#define SINTER_CODEGEN_CUDA_CHAIN_H

#include "codegen/cuda/cuda.h"

// Where a buffer of one of the steps lies.
typedef struct {
    bool is_shared;
    uint32_t parameter;            // of the kernel
    size_t offset;                 // in shared memory
    int64_t piece_elements;        // of a piece, when the program's addresses are those of the whole value; else 0
} ChainBuffer;

typedef struct {
    const TileProgram *program;
    const bool *aliased;           // by its buffers
    const ChainBuffer *buffers;
    Spread spread;                 // what workers of a block deal out
    const struct Tensor *tensor;   // of a product in tensor cores, else NULL
} ChainPart;

typedef struct {
    DType dtype;
    int64_t elements;
    bool read, written;            // read: what was there before the launch
    bool loaded;                   // by a step, whenever it was written
    bool aliased;                  // others lie in the same memory, or threads hand it on: no pointer of its own
    double traffic;                // model: bytes that pass between it and memory
    ProgramBuffer place;
} ChainParameter;

typedef struct {
    const char *symbol;
    ChainPart *parts;
    uint32_t part_count;
    ChainParameter *parameters;
    uint32_t parameter_count;
    uint32_t blocks, pieces;       // a block takes pieces/blocks successive pieces, in order
    uint32_t threads, resident;    // resident: blocks that find registers on a multiprocessor at once
    size_t shared_bytes, ring;     // ring: where that of products on tensor cores begins
} ChainKernel;

// Steps first .. end-1 of the plan.
ChainKernel *chain_kernel(Arena *arena, const Plan *plan, uint32_t first, uint32_t end, const Target *target);
const CudaText *print_chain(Arena *arena, const ChainKernel *chain);

#endif
