// What the command line knows of GPUs. Without SINTER_CUDA every function says that this build has none.
#ifndef SINTER_DRIVER_GPU_H
#define SINTER_DRIVER_GPU_H

#include "base/diag.h"
#include "base/text.h"
#include "codegen/codegen.h"
#include "runtime/session.h"

// The GPU that models are trained on: the first one of this machine, its driver and NVRTC.
typedef struct Gpu Gpu;
// NULL when there is none that a model can be compiled for and run on: `*why` is one clause.
const Gpu *gpu_open(Arena *arena, const char **why);
const char *gpu_name(const Gpu *gpu);
// "driver 13.0, nvrtc 13.0, cublaslt 13.1.0": on what the speed of a program depends beside the GPU.
const char *gpu_libraries(const Gpu *gpu, Arena *arena);
// One clause, or NULL: cuBLASLt is there, and the Target says so.
const char *gpu_why_no_library(const Gpu *gpu);
// What passes and codegen are told of it: the datasheet of its architecture, with what the driver says.
Target gpu_target(const Gpu *gpu);
// Datasheet peak of products, flop/s: on tensor cores of one kind, or, with TENSOR_NONE, of f32, the denominator of
// mfu. 0: no datasheet is known.
double gpu_peak(const Gpu *gpu, TensorKind kind);
// The same, or else that of its architecture.
double gpu_roof(const Gpu *gpu, TensorKind kind);

// The compiled programs of one model on it.
typedef struct GpuModel GpuModel;
typedef struct {
    double compile_seconds;          // in NVRTC and the cache
    uint32_t units, recalled;        // translation units; those that came from the cache
} GpuReport;
typedef struct {
    bool begins_early;   // kernels may begin while those they wait for end, where the device and its driver can do that
    bool merges;         // small launches that do not wait for each other are one
} GpuLaunching;
// As codegen_cpu. Programs have slots and steps (labels, flops, bytes; one for each launch) as others do; what runs
// them is gpu_session. NULL with diagnostics. Freed with gpu_model_free, programs included.
GpuModel *gpu_compile(const Gpu *gpu, const Plan *const *plans, const char *const *names, int count,
                      const Target *target, GpuLaunching launching, CodegenReport *report, Program **programs,
                      Diags *diags);
void gpu_model_free(GpuModel *model);   // NULL is allowed
GpuReport gpu_model_report(const GpuModel *model);
// Bytes of the GPU's memory that a session takes; false when they overflow.
bool gpu_bytes(const GpuModel *model, size_t *bytes);
// Bytes of it that are free, and that it has. False after a diagnostic.
bool gpu_memory(const Gpu *gpu, size_t *free_bytes, size_t *all_bytes, Diags *diags);
bool gpu_begins_early(const GpuModel *model);
// Runs that one launch may hold: as many as take some 2 ms by the model of time that gpu_model.c has.
enum { GPU_MOST_RUNS_PER_LAUNCH = 8 };
int gpu_runs_per_launch(const GpuModel *model);
RuntimeStatus gpu_session(const GpuModel *model, int runs_per_launch, ThreadPool *threads, Session **session,
                          Diags *diags);

// For `sinter info`: the GPUs, what their datasheets promise, the libraries found, and a line for each one missing.
void gpu_describe(Arena *arena, Text *out, Diags *diags);

typedef enum { GPU_SOURCE, GPU_PTX, GPU_SASS } GpuText;
// For `sinter lower --emit=cuda|ptx|sass`: the distinct kernels of a plan. An exit code, after a diagnostic when it is
// not 0.
int gpu_emit(Arena *arena, const Plan *plan, const char *name, const Target *target, GpuText what, Text *out,
             Diags *diags);

#endif
