// Tensor maps of the emulation: what cuTensorMapEncodeTiled makes of its arguments, and what it refuses.
#ifndef TESTS_CUDA_EMULATED_MAP_H
#define TESTS_CUDA_EMULATED_MAP_H

#include <stdint.h>

#include "tests/cuda/emulation.h"

// 0, or 1 (CUDA_ERROR_INVALID_VALUE) where a driver would refuse. Arguments are the driver's.
int emulated_map_encode(TensorMap *map, int type, uint32_t rank, void *address, const uint64_t *extents,
                        const uint64_t *strides, const uint32_t *box, const uint32_t *element_strides, int interleave,
                        int swizzle, int promotion, int fill);

#endif
