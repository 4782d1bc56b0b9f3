// Generated kernels, compiled by a C compiler and run by the emulator.
//
//     EmulatedCode *code = emulated_code_create(arena, cuda_code, NULL, &why)         compiles all kernels at once
//     wrong = emulated_launch(code, arena, &program->launches[7], state, arena_memory, seed)
//
// Each launch sees its buffers alone: each is copied, exactly as long as it is, to the very end (or, drawn, to the very
// beginning) of pages between pages that nobody may touch, and what the kernel may write is copied back. What it does
// not read it finds full of NaNs.
#ifndef TESTS_CUDA_EMULATED_CODE_H
#define TESTS_CUDA_EMULATED_CODE_H

#include "codegen/cuda/cuda_program.h"

typedef struct EmulatedCode EmulatedCode;

// Edits the text before it is compiled: how a test plants a slip of the printer. NULL: none.
typedef const char *(*SourceEdit)(Arena *arena, const char *source);

// Why nothing can be emulated here; NULL: it can.
const char *emulation_missing(void);
// NULL with a reason when there is no compiler. BUG when it complains.
EmulatedCode *emulated_code_create(Arena *arena, const CudaCode *code, SourceEdit edit, const char **why);
void emulated_code_free(EmulatedCode *code);
// NULL, or what went wrong. Tensor cores do not round their factors, so that bits are those of a chain of fused
// multiply-adds, unless `rounds`.
typedef struct {
    char *state, *memory;
    bool rounds;
    uint64_t seed;
} EmulatedRun;
const char *emulated_launch(const EmulatedCode *code, Arena *arena, const CudaLaunch *launch, const EmulatedRun *how);

#endif
