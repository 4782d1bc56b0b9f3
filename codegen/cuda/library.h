// What a library computes of a plan. Inside codegen/cuda.
#ifndef SINTER_CODEGEN_CUDA_LIBRARY_H
#define SINTER_CODEGEN_CUDA_LIBRARY_H

#include "ir/plan.h"
#include "runtime/cuda/launch.h"

// The product of a step with engine blas, in `arena`.
const CudaProduct *cuda_product_of(Arena *arena, const Plan *plan, const Step *step);

#endif
