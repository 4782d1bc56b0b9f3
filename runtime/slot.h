// Slots: between stored order (row-major over extents, as files show it) and the layout in memory.
//
//     stored W[4,6], pieces (F/4, C, F%4):  stored (c,f) -> memory ((f/4)*4 + c)*4 + f%4; columns 6,7 are padding
//
// f32 and i32 slots can be packed and unpacked; those of 16 bits are packed only, out of f32. Padding is written as
// zeros. A tensor in parts is unpacked as their sum.
#ifndef SINTER_RUNTIME_SLOT_H
#define SINTER_RUNTIME_SLOT_H

#include "base/memory.h"
#include "runtime/program.h"

static inline bool slot_is_half(const ProgramSlot *slot) {
    return slot->element == ELEMENT_BF16 || slot->element == ELEMENT_F16;
}
int64_t slot_elements(const ProgramSlot *slot);                              // without padding
int64_t slot_offset(const ProgramSlot *slot, const int64_t *index);          // element offset in memory of index[rank]
// `scratch` holds offset tables; the caller resets it.
void slot_pack(const ProgramSlot *slot, const void *stored, void *memory, Arena *scratch);
void slot_unpack(const ProgramSlot *slot, const void *memory, void *stored, Arena *scratch);

// Parts of it, by several threads at a time or without a place for all stored elements. `stored` is element number
// `first` in stored order. Padding is left as it is.
typedef struct SlotMap SlotMap;
const SlotMap *slot_map(const ProgramSlot *slot, Arena *arena);   // the slot must live as long
void slot_pack_part(const SlotMap *map, const void *stored, int64_t first, int64_t count, void *memory);
void slot_unpack_part(const SlotMap *map, const void *memory, int64_t first, int64_t count, void *stored);

#endif
