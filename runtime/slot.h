// Slots: between stored order (row-major over extents, as files show it) and the layout in memory.
//
//     stored W[4,6], pieces (F/4, C, F%4):  stored (c,f) -> memory ((f/4)*4 + c)*4 + f%4; columns 6,7 are padding
//
// Only f32 and i32 slots can be packed; padding is written as zeros. A tensor in parts is unpacked as their sum.
#ifndef SINTER_RUNTIME_SLOT_H
#define SINTER_RUNTIME_SLOT_H

#include "base/memory.h"
#include "runtime/program.h"

int64_t slot_elements(const ProgramSlot *slot);                              // without padding
int64_t slot_offset(const ProgramSlot *slot, const int64_t *index);          // element offset in memory of index[rank]
// `scratch` holds offset tables; the caller resets it.
void slot_pack(const ProgramSlot *slot, const void *stored, void *memory, Arena *scratch);
void slot_unpack(const ProgramSlot *slot, const void *memory, void *stored, Arena *scratch);

#endif
