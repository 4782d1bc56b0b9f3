// The Program for a CUDA device: source text by distinct kernel, and launches in order. All data: no driver, no compiler.
//
//     kernel 3  row_softmax_edfaa24155db9ddb   "KERNEL(row_softmax_edfaa..., 128)(const float *b0, float *b1) { ... }"
//     launch 17 kernel 3  384 blocks of 128 threads  b0 = arena + 4096, b1 = arena + 12288  after 15
//
// codegen_cuda makes it from plans; whoever has a device compiles the kernels, keeps the two blocks of memory and launches.
// The same text, compiled by a C compiler against tests/cuda/emulation.h, runs on a CPU.
#ifndef SINTER_CODEGEN_CUDA_CUDA_PROGRAM_H
#define SINTER_CODEGEN_CUDA_CUDA_PROGRAM_H

#include "base/diag.h"
#include "base/text.h"
#include "ir/plan.h"
#include "ir/target.h"
#include "runtime/program.h"

// What a kernel may touch of a buffer, and how. Buffers of one launch can overlap where one of them is written in place.
typedef struct {
    size_t bytes;
    bool read, written;           // read: what was there before the launch
} CudaBuffer;

typedef struct {
    const char *name;             // of the extern "C" __global__ function: a C identifier, the same name only for the same text
    const char *source;           // the function's text (and its tables'); stands behind CudaCode.common
    uint32_t buffer_count;        // its parameters: that many pointers, nothing else
    const CudaBuffer *buffers;
    uint32_t threads;             // of a block; the text has it as __launch_bounds__
    size_t shared_bytes;          // dynamic shared memory of a block; above 48 KB it must be asked for by an attribute
} CudaKernel;

typedef struct {
    uint32_t kernel;              // in CudaCode.kernels
    uint32_t blocks;              // of kernel.threads threads; one-dimensional
    const ProgramBuffer *buffers; // parameter i is (char *)base of memory + offset; MEMORY_STATE or MEMORY_ARENA
    // Launches of this program, all before this one, that must have finished, after those these wait for in turn. Launches
    // in the order of the table on one stream are right too.
    const uint32_t *after;
    uint32_t after_count;
    uint32_t id;                  // the Plan's step number
    const char *label;
    double flops, bytes;          // model, whole step
} CudaLaunch;

typedef struct {
    const char *name;             // "step", "micro", "eval", "logits"
    const CudaLaunch *launches;
    uint32_t launch_count;
    const ProgramSlot *slots;     // inputs (in the arena, written before a run), states, outputs (in the arena)
    uint32_t slot_count;
    size_t state_bytes, arena_bytes;   // the programs share one block of states and one arena, each as large as the largest;
                                       // both begin at a multiple of 256 bytes and are zeros at first
} CudaProgram;

typedef struct {
    Arena *arena;                 // owns everything here
    const char *common;           // types and functions of all kernels, needs no header
    const CudaKernel *kernels;
    uint32_t kernel_count;
    const CudaProgram *programs;  // in the order of the plans
    int program_count;
} CudaCode;

typedef struct {
    double lower_seconds, print_seconds;
    uint32_t kernels, distinct_kernels;  // launches; kernels after sharing equal ones
    Text *tiles;                         // when not NULL: the tile programs of the distinct kernels
} CudaReport;

// Prints the kernels of `count` plans (step, eval, logits of one model). Plans must be made for a Target whose device is a
// GPU: own tiles only, no scratch memory; false with a diagnostic otherwise. `report` may be NULL. Freed by cuda_code_free.
CudaCode *codegen_cuda(const Plan *const *plans, const char *const *names, int count, const Target *target,
                       CudaReport *report, Diags *diags);
void cuda_code_free(CudaCode *code);

// One translation unit: the common part, then kernels first .. first+count-1.
void cuda_source(const CudaCode *code, uint32_t first, uint32_t count, Text *out);

// What every compiler of these texts must be told beside --gpu-architecture: bits depend on it (no contraction of a
// product and a sum, IEEE division and roots, subnormals kept). Ends with NULL.
extern const char *const cuda_compile_options[];

#endif
