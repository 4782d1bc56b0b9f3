// The GPUs of this machine, as the driver describes them, with their datasheets' peaks.
#ifndef SINTER_RUNTIME_CUDA_DEVICE_H
#define SINTER_RUNTIME_CUDA_DEVICE_H

#include "runtime/cuda/driver.h"

// Dense rates without sparsity, multiply and add counted as two; 0: no datasheet is known for this name.
typedef struct {
    double f32, tf32, bf16;  // flop/s; fp16 has the rate of bf16
    double bandwidth;        // byte/s
} CudaPeaks;

typedef struct {
    int ordinal;
    CudaDeviceNumber number;
    char name[96];
    int major, minor;              // compute capability
    int multiprocessors;
    size_t memory_bytes, l2_bytes;
    size_t shared_bytes;           // the most that a block may have
    CudaPeaks peaks;
    char architecture[16];         // that kernels are compiled for: "sm_90a"
} CudaDevice;

// All of them, in `arena`; 0 with a diagnostic when one cannot be asked.
int cuda_devices(Arena *arena, const CudaDriver *driver, CudaDevice **devices, Diags *diags);
CudaPeaks cuda_peaks(const char *name);
// NULL: kernels may begin while those they wait for end (programmatic dependent launch); else what is missing, one
// clause.
const char *cuda_why_no_early_begin(const CudaDriver *driver, const CudaDevice *device);
// What NVRTC is told for a compute capability: instructions that only one generation has (wgmma) need its own target.
void cuda_architecture(int major, int minor, char architecture[16]);

#endif
