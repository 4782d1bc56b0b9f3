// Tensor maps of the emulation (see emulated_map.h), by the driver's list of what its arguments must be.
#include "tests/cuda/emulated_map.h"

#include <stdbool.h>
#include <stddef.h>

enum { MOST_BOX = 256, STRIDE_UNIT = 16, MAP_UNIT = 64 };

// By number of the driver's types; 0: one that nobody uses here.
static int element_bytes(int type) {
    static const int bytes[] = {[0] = 1, [1] = 2, [2] = 4, [6] = 2, [7] = 4, [9] = 2, [11] = 4};
    return type >= 0 && type < (int)(sizeof bytes / sizeof *bytes) ? bytes[type] : 0;
}

static bool box_is_sound(const uint32_t *box, const uint32_t *element_strides, uint32_t rank, int element, int span) {
    for (uint32_t i = 0; i < rank; i++)
        if (box[i] == 0 || box[i] > MOST_BOX || element_strides[i] != 1) return false;
    uint64_t line = (uint64_t)box[0] * (uint64_t)element;
    return line % STRIDE_UNIT == 0 && (span == 0 || line <= (uint64_t)span);
}

int emulated_map_encode(TensorMap *map, int type, uint32_t rank, void *address, const uint64_t *extents,
                        const uint64_t *strides, const uint32_t *box, const uint32_t *element_strides, int interleave,
                        int swizzle, int promotion, int fill) {
    static const int spans[] = {0, 32, 64, 128};
    int element = element_bytes(type);
    if ((uintptr_t)map % MAP_UNIT != 0 || (uintptr_t)address % STRIDE_UNIT != 0 || element == 0) return 1;
    if (rank < 2 || rank > EMULATED_MAP_RANK || interleave != 0 || fill != 0) return 1;
    if (swizzle < 0 || swizzle > 3 || promotion < 0 || promotion > 3) return 1;
    if (!box_is_sound(box, element_strides, rank, element, spans[swizzle])) return 1;
    *map = (TensorMap){.mark = EMULATED_MAP, .rank = (int)rank, .element = element, .span = spans[swizzle]};
    map->address = (uintptr_t)address;
    for (uint32_t i = 0; i < rank; i++) {
        if (extents[i] == 0 || extents[i] > (uint64_t)UINT32_MAX + 1) return 1;
        if (i > 0 && (strides[i - 1] % STRIDE_UNIT != 0 || strides[i - 1] >= (uint64_t)1 << 40)) return 1;
        map->extents[i] = extents[i] > UINT32_MAX ? UINT32_MAX : (uint32_t)extents[i];
        map->strides[i] = i > 0 ? strides[i - 1] : (uint64_t)element;
        map->box[i] = box[i];
    }
    return 0;
}
