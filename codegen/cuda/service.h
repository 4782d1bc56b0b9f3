// The kernels around a program's launches: see runtime/cuda/launch.h.
#ifndef SINTER_CODEGEN_CUDA_SERVICE_H
#define SINTER_CODEGEN_CUDA_SERVICE_H

// A translation unit of its own, without headers: sinter_take, sinter_give and sinter_nothing.
extern const char cuda_service_source[];

#endif
