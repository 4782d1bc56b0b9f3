// Fewer launches of the same kernels: see merge.c.
#ifndef SINTER_CODEGEN_CUDA_MERGE_H
#define SINTER_CODEGEN_CUDA_MERGE_H

#include "codegen/cuda/cuda_program.h"

// Small launches of one level become one, in each program. A merged launch has the id of its first part's step, the
// flops and bytes of all; kernels that nobody launches any more are gone from the code.
void cuda_merge_launches(CudaCode *code, const Target *target);

// For who has changed launches: kernels that nobody launches any more are gone from the code (launched.c).
void cuda_keep_launched(CudaCode *code);

#endif
