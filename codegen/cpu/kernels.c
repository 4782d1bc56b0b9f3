// Sharing: equal tile programs become one kernel, for all layers and all programs of a model.
//
// In: tile programs, one after the other. Out: a set of kernels without two equal ones. Lowering names a program after
// its contents, so equal names are equal kernels, unless their buffers overlap in different ways: an update in place
// has its own kernel, with the aliased buffers in its symbol.
//
//     row_softmax_81f3            used by layer 0 .. 3
//     map_adamw_2b77_in_03        buffers 0 and 3 may be the same memory
#include <string.h>

#include "base/hash.h"
#include "codegen/cpu/cpu.h"

uint32_t kernel_set_add(KernelSet *set, const TileProgram *program, const bool *aliased) {
    const char *symbol = kernel_symbol(set->arena, program, aliased);
    unsigned long long hash = hash_text(symbol);
    for (uint32_t i = 0; i < set->count; i++)
        if (set->hashes[i] == hash && text_equal(set->kernels[i].symbol, symbol)) return i;
    set->kernels = arena_grow(set->arena, set->kernels, &set->capacity, set->count + 1, sizeof(*set->kernels));
    set->hashes = arena_grow(set->arena, set->hashes, &set->hash_capacity, set->count + 1, sizeof(*set->hashes));
    bool *flags = ARENA_ARRAY(set->arena, bool, program->buffer_count + 1);
    memcpy(flags, aliased, tile_given(program) * sizeof(bool));
    set->kernels[set->count] = (CpuKernel){.program = program, .aliased = flags, .symbol = symbol};
    set->hashes[set->count] = hash;
    return set->count++;
}
