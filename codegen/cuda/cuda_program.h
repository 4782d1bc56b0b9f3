// The Program for a CUDA device: source text by distinct kernel, and launches in order. All data: no driver, no
// compiler.
//
//     kernel 3  row_softmax_edfaa24155db9ddb   KERNEL(row_softmax_edfaa..., 128)(const float *b0, float *b1) { ... }
//     launch 17 kernel 3  384 blocks of 128 threads  b0 = arena + 4096, b1 = arena + 12288  after 15
//
// codegen_cuda makes it from plans; whoever has a device compiles the kernels, keeps the two blocks of memory and
// launches. The same text, compiled by a C compiler against tests/cuda/emulation.h, runs on a CPU.
#ifndef SINTER_CODEGEN_CUDA_CUDA_PROGRAM_H
#define SINTER_CODEGEN_CUDA_CUDA_PROGRAM_H

#include "base/diag.h"
#include "base/text.h"
#include "ir/plan.h"
#include "ir/target.h"
#include "runtime/cuda/launch.h"

typedef struct {
    Arena *arena;                 // owns everything here
    const char *common;           // types and functions of all kernels, needs no header
    const CudaKernel *kernels;
    uint32_t kernel_count;
    const CudaProgram *programs;  // in the order of the plans
    int program_count;
    bool begins_early;            // whether kernels are to be compiled for programmatic dependent launch (common.cu);
                                  // false as codegen_cuda gives it: whoever knows the device may set it
} CudaCode;

typedef struct {
    double lower_seconds, print_seconds;
    uint32_t kernels, distinct_kernels;  // launches; kernels after sharing equal ones
    Text *tiles;                         // when not NULL: the tile programs of the distinct kernels
} CudaReport;

// Prints the kernels of `count` plans (step, eval, logits of one model). Plans must be made for a Target whose device
// is a GPU: scratch memory for chains alone, and products of a library with a workspace; false with a diagnostic
// otherwise. `report` may be NULL. Freed by cuda_code_free.
CudaCode *codegen_cuda(const Plan *const *plans, const char *const *names, int count, const Target *target,
                       CudaReport *report, Diags *diags);
void cuda_code_free(CudaCode *code);

// One translation unit: the common part, then kernels first .. first+count-1.
void cuda_source(const CudaCode *code, uint32_t first, uint32_t count, Text *out);
void cuda_kernels_source(const CudaCode *code, uint32_t first, uint32_t count, Text *out);   // without the common part

// What every compiler of these texts must be told beside --gpu-architecture: bits depend on it (no contraction of a
// product and a sum, IEEE division and roots, subnormals kept). Ends with NULL.
extern const char *const cuda_compile_options[];
// The same, and that a launch may begin before those it waits for have ended.
extern const char *const cuda_early_options[];

#endif
