// Machine code of printed kernels: compiled by NVRTC, or taken from the cache.
#ifndef SINTER_CODEGEN_CUDA_CUBINS_H
#define SINTER_CODEGEN_CUDA_CUBINS_H

#include "base/cache.h"
#include "codegen/cuda/cuda_program.h"
#include "codegen/cuda/nvrtc.h"

// What the cache holds of a unit, in `arena`: all that nvrtc_compile gives but the PTX. `cache` may be NULL. The key is
// the text, the options, the architecture and NVRTC's version.
bool cubin_recall(const Nvrtc *nvrtc, Cache *cache, Arena *arena, const CudaSource *source, CudaObject *object);
void cubin_remember(const Nvrtc *nvrtc, Cache *cache, const CudaSource *source, const CudaObject *object);

typedef struct {
    double seconds;
    uint32_t units, recalled;    // translation units; those that came from the cache
    const CudaObject *objects;   // by unit, for whoever wants registers and spills
} CubinReport;

// All kernels of the code, some to a unit, and the service kernels; units that the cache lacks are compiled on as many
// threads as there are processors. False with diagnostics in NVRTC's words.
bool cubins_make(const Nvrtc *nvrtc, Cache *cache, Arena *arena, const CudaCode *code, const char *architecture,
                 CudaImages *images, CubinReport *report, Diags *diags);

#endif
