// What the command line knows of GPUs. Without SINTER_CUDA every function says that this build has none.
#ifndef SINTER_DRIVER_GPU_H
#define SINTER_DRIVER_GPU_H

#include "base/diag.h"
#include "base/text.h"
#include "ir/plan.h"
#include "ir/target.h"

// NULL when a model can be compiled for a GPU of this machine and run there; else why not, in one clause.
const char *gpu_refusal(Arena *arena);
// For `sinter info`: the GPUs, what their datasheets promise, the libraries found, and a line for each one missing.
void gpu_describe(Arena *arena, Text *out, Diags *diags);

typedef enum { GPU_SOURCE, GPU_PTX } GpuText;
// For `sinter lower --emit=cuda|ptx`: the distinct kernels of a plan. An exit code, after a diagnostic when it is not
// 0.
int gpu_emit(Arena *arena, const Plan *plan, const char *name, const Target *target, GpuText what, Text *out,
             Diags *diags);

#endif
