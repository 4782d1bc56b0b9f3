// Inside codegen/cpu: what its files share. Nothing outside this folder (and its tests) includes it.
//
//     program.c   plans -> Programs           uses kernels.c, blas.c, ../link.c
//     kernels.c   equal tile programs -> one kernel
//     jit.c       kernels -> machine code     uses emit.c, in one LLVM context per thread
//     remember.c  object files of earlier runs
//     emit*.c     one tile program -> one LLVM function
//     math*.c     exp, log, tanh, erf, sin, cos as LLVM functions on 16 lanes
#ifndef SINTER_CODEGEN_CPU_CPU_H
#define SINTER_CODEGEN_CPU_CPU_H

#include "codegen/codegen.h"
#include "codegen/link.h"

// ---- kernels: tile programs made into functions (jit.c)

typedef struct {
    const TileProgram *program;
    const bool *aliased;     // by buffer: may be the memory of another buffer, one of them written
    const char *symbol;      // unique within one compilation
    KernelFunction function; // result
} CpuKernel;

// Loaded machine code; outlives the arena of the compilation.
typedef struct CpuCode CpuCode;

// Compiles all kernels and sets their `function`. NULL with diagnostics in LLVM's words. Adds to the report's seconds
// and texts.
CpuCode *cpu_code_create(CpuKernel *kernels, uint32_t count, const Target *target, CodegenReport *report, Diags *diags);
void cpu_code_free(CpuCode *code);

// ---- sharing (kernels.c): a set of kernels without two equal ones
typedef struct {
    Arena *arena;
    CpuKernel *kernels;
    uint32_t count;
    size_t capacity;
    unsigned long long *hashes; // by kernel: of its symbol
    size_t hash_capacity;
} KernelSet;
// Number of the kernel in the set that is equal to this one, added when new.
uint32_t kernel_set_add(KernelSet *set, const TileProgram *program, const bool *aliased);

// ---- products by OpenBLAS (blas.c)
// Context of `blas_product` for one step with engine blas. BUG when the step is not a lone product of strided views.
const void *blas_context(Arena *arena, const Plan *plan, const Step *step);
void blas_product(void *const *buffers, int64_t piece, const void *context);

#endif
