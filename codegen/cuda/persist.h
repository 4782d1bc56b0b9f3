// Many launches as one kernel: see persist.c.
#ifndef SINTER_CODEGEN_CUDA_PERSIST_H
#define SINTER_CODEGEN_CUDA_PERSIST_H

#include "codegen/cuda/cuda_program.h"

// Of each program that asks for it (CudaProgram.is_persistent) the launches become one cooperative kernel, or several
// where others that cannot be part of it stand between. Bits stay. Its barrier's count lies behind all arenas.
void cuda_persist(CudaCode *code, const Target *target);

#endif
