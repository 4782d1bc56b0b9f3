// NVRTC, NVIDIA's run-time compiler, opened at run time: CUDA source in; cubin, PTX and what ptxas says of them out.
//
//     extern "C" __global__ void scale(...) {...}   --nvrtc_compile "sm_90a"-->   cubin [3800 bytes]
//                                                                                 scale: 12 registers, no spills
// Nothing links with it. Sources need no headers of the toolkit; nothing but NVRTC itself has to be installed.
#ifndef SINTER_CODEGEN_CUDA_NVRTC_H
#define SINTER_CODEGEN_CUDA_NVRTC_H

#include "base/diag.h"

typedef struct Nvrtc Nvrtc;

// NULL when it is not there or too old: `*why` is one clause for a message ("libnvrtc.so.13 was not found").
// Looks where the loader does, then in $CUDA_HOME, $CUDA_PATH and /usr/local/cuda. It stays open until the process
// ends.
const Nvrtc *nvrtc_open(Arena *arena, const char **why);
const char *nvrtc_version(const Nvrtc *nvrtc);  // "13.0"
const char *nvrtc_path(const Nvrtc *nvrtc);
// Whether it compiles for "sm_90", "sm_90a", "compute_90a" ...: by the number alone.
bool nvrtc_knows(const Nvrtc *nvrtc, const char *architecture);

typedef struct {
    const char *name;          // as shown in messages: "step.cu"
    const char *text;
    const char *architecture;  // "sm_90a": cubin and PTX; "compute_90a": PTX alone
    const char *const *options;  // beside nvrtc_options(); NULL-terminated, or NULL
} CudaSource;

// One kernel, as ptxas counts it, with the device functions that it calls.
typedef struct {
    const char *name;
    int registers, barriers;
    size_t stack_bytes, spill_store_bytes, spill_load_bytes, shared_bytes;  // shared: static only
} CudaUsage;

typedef struct {
    const void *cubin;  // NULL for compute_*
    size_t cubin_bytes;
    const char *ptx;
    const char *log;    // NVRTC's and ptxas' words, whole
    const CudaUsage *kernels;
    uint32_t kernel_count;
    const char *const *advisories;  // lines of ptxas that begin with a number, as (C7510)
    uint32_t advisory_count;
} CudaObject;

// False with diagnostics in NVRTC's words, at the lines of the source. Everything in `arena`.
bool nvrtc_compile(const Nvrtc *nvrtc, Arena *arena, const CudaSource *source, CudaObject *object, Diags *diags);

// Options that every compilation has, NULL-terminated: part of the key of whatever is remembered.
const char *const *nvrtc_options(void);

// ---- nvrtc_log.c: reading the log
void nvrtc_read_usage(Arena *arena, CudaObject *object);  // fills kernels and advisories from object->log
void nvrtc_report(const CudaSource *source, const char *log, const char *result, Diags *diags);

#endif
