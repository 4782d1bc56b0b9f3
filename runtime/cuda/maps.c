// Tensor maps of a launch: what a kernel's boxes are boxes of, in the driver's own form.
#include "runtime/cuda/session_parts.h"

// From cuda.h.
enum { TYPE_BF16 = 9, INTERLEAVE_NONE = 0, SWIZZLE_128 = 3, PROMOTION_256 = 3, FILL_ZERO = 0 };

CudaResult cuda_map_encode(const CudaDriver *driver, const CudaMap *map, CudaAddress buffer, void *result) {
    static const uint32_t ones[CUDA_MAP_RANK] = {1, 1, 1, 1, 1};
    void *address = (void *)(uintptr_t)(buffer + map->offset);
    return driver->map_encode(result, TYPE_BF16, map->rank, address, map->extents, map->strides + 1, map->box, ones,
                              INTERLEAVE_NONE, SWIZZLE_128, PROMOTION_256, FILL_ZERO);
}
