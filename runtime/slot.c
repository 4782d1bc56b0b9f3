// Offsets without a division per element: dims that occur in one piece together form a group, pieces of different
// groups add up, so the offset of an element is the sum over groups of one table entry.
//
//     W[C,F] @ (F/4, C, F%4): groups {C}, {F}; table C: c*4; table F: (f/4)*C*4 + f%4
#include "runtime/slot.h"

#include <string.h>

#include "base/diag.h"
#include "base/half.h"
#include "base/size.h"

enum { ELEMENT_BYTES = 4 };

int64_t slot_elements(const ProgramSlot *slot) {
    size_t elements = 1;
    for (int d = 0; d < slot->rank; d++)
        CHECK(size_multiply(elements, (size_t)slot->extents[d], &elements));
    return (int64_t)elements;
}

static int64_t piece_digit(const ProgramSlot *slot, int piece, const int64_t *index) {
    int64_t flat = 0;
    for (int d = 0; d < slot->rank; d++)
        flat += index[d] * slot->pieces[piece].weights[d];
    return flat / slot->pieces[piece].divisor % slot->pieces[piece].radix;
}

int64_t slot_offset(const ProgramSlot *slot, const int64_t *index) {
    int64_t offset = 0;
    if (slot->is_plain) {
        for (int d = 0; d < slot->rank; d++)
            offset = offset * slot->extents[d] + index[d];
        return offset;
    }
    for (int p = 0; p < slot->piece_count; p++)
        offset = offset * slot->pieces[p].radix + piece_digit(slot, p, index);
    return offset;
}

struct SlotMap {
    const ProgramSlot *slot;
    bool is_plain;
    int64_t part_elements; // in memory; a tensor in parts has so many for each
    int group_count;
    int group_of[SLOT_MAX_RANK];   // of each dim
    int64_t stride[SLOT_MAX_RANK]; // of each dim in its group's table
    int64_t size[SLOT_MAX_RANK];   // entries of each group's table
    int64_t *table[SLOT_MAX_RANK];
};

static void find_groups(const ProgramSlot *slot, SlotMap *map) {
    int leader[SLOT_MAX_RANK];
    for (int d = 0; d < slot->rank; d++)
        leader[d] = d;
    for (int p = 0; p < slot->piece_count; p++) {
        int first = -1;
        for (int d = 0; d < slot->rank; d++) {
            if (slot->pieces[p].weights[d] == 0) continue;
            if (first < 0) first = leader[d];
            int old = leader[d];
            for (int e = 0; e < slot->rank; e++)
                if (leader[e] == old) leader[e] = first;
        }
    }
    int number[SLOT_MAX_RANK];
    for (int d = 0; d < slot->rank; d++)
        number[d] = -1;
    for (int d = slot->rank - 1; d >= 0; d--) {
        int *group = &number[leader[d]];
        if (*group < 0) {
            *group = map->group_count++;
            map->size[*group] = 1;
        }
        map->group_of[d] = *group;
        map->stride[d] = map->size[*group];
        map->size[*group] *= slot->extents[d];
    }
}

// Pieces without dims of the group give digit 0 while all other indices are 0.
static void fill_table(const ProgramSlot *slot, SlotMap *map, int group) {
    for (int64_t entry = 0; entry < map->size[group]; entry++) {
        int64_t index[SLOT_MAX_RANK] = {0};
        for (int d = 0; d < slot->rank; d++)
            if (map->group_of[d] == group) index[d] = entry / map->stride[d] % slot->extents[d];
        map->table[group][entry] = slot_offset(slot, index);
    }
}

static int64_t memory_elements(const ProgramSlot *slot) {
    if (slot->is_plain) return slot_elements(slot);
    int64_t elements = 1;
    for (int p = 0; p < slot->piece_count; p++)
        elements *= slot->pieces[p].radix;
    return elements;
}

const SlotMap *slot_map(const ProgramSlot *slot, Arena *arena) {
    CHECK(slot->element == ELEMENT_F32 || slot->element == ELEMENT_I32 || slot_is_half(slot));
    CHECK(slot->parts <= 1 || slot->element == ELEMENT_F32);
    SlotMap *map = ARENA_NEW(arena, SlotMap);
    map->slot = slot;
    map->is_plain = slot->is_plain || slot->rank == 0;
    map->part_elements = memory_elements(slot);
    if (map->is_plain) return map;
    find_groups(slot, map);
    for (int g = 0; g < map->group_count; g++) {
        map->table[g] = ARENA_ARRAY(arena, int64_t, (size_t)map->size[g]);
        fill_table(slot, map, g);
    }
    return map;
}

// Where the row of stored elements at `index` (innermost index 0) starts, and the table of its innermost dim from
// there.
static int64_t row_base(const ProgramSlot *slot, const SlotMap *map, const int64_t *index, int64_t *inner) {
    int64_t entry[SLOT_MAX_RANK] = {0}, base = 0;
    for (int d = 0; d < slot->rank - 1; d++)
        entry[map->group_of[d]] += index[d] * map->stride[d];
    int innermost = map->group_of[slot->rank - 1];
    for (int g = 0; g < map->group_count; g++)
        if (g != innermost) base += map->table[g][entry[g]];
    *inner = entry[innermost];
    return base;
}

static void advance(const ProgramSlot *slot, int64_t *index) {
    for (int d = slot->rank - 2; d >= 0; d--) {
        if (++index[d] < slot->extents[d]) return;
        index[d] = 0;
    }
}

typedef enum { PACK, UNPACK, ADD } Motion;
typedef float AnyFloat __attribute__((may_alias));

static void move_row(Motion motion, uint32_t *stored, uint32_t *memory, const int64_t *offsets, int64_t count) {
    AnyFloat *sums = (AnyFloat *)stored;
    switch (motion) {
    case PACK:
        for (int64_t i = 0; i < count; i++) memory[offsets[i]] = stored[i];
        break;
    case UNPACK:
        for (int64_t i = 0; i < count; i++) stored[i] = memory[offsets[i]];
        break;
    case ADD:
        for (int64_t i = 0; i < count; i++) sums[i] += ((const AnyFloat *)memory)[offsets[i]];
        break;
    }
}

static void move_plain(Motion motion, uint32_t *stored, uint32_t *memory, int64_t count) {
    if (motion == PACK) memcpy(memory, stored, (size_t)count * ELEMENT_BYTES);
    if (motion == UNPACK) memcpy(stored, memory, (size_t)count * ELEMENT_BYTES);
    for (int64_t i = 0; motion == ADD && i < count; i++) ((AnyFloat *)stored)[i] += ((const AnyFloat *)memory)[i];
}

// The innermost dim is numbered first, so its stride in its table is 1.
static void move_elements(Motion motion, const SlotMap *map, uint32_t *stored, uint32_t *memory, int64_t start,
                          int64_t count) {
    const ProgramSlot *slot = map->slot;
    if (map->is_plain) {
        move_plain(motion, stored, memory + start, count);
        return;
    }
    int64_t row = slot->extents[slot->rank - 1], column = start % row, index[SLOT_MAX_RANK] = {0};
    for (int64_t d = slot->rank - 2, rest = start / row; d >= 0; rest /= slot->extents[d], d--)
        index[d] = rest % slot->extents[d];
    for (; count > 0; column = 0, advance(slot, index)) {
        int64_t first, base = row_base(slot, map, index, &first), part = row - column < count ? row - column : count;
        const int64_t *offsets = map->table[map->group_of[slot->rank - 1]] + first + column;
        move_row(motion, stored, memory + base, offsets, part);
        stored += part;
        count -= part;
    }
}

// Copies of params in 16 bits, rounded as kernels round (codegen/cuda/common.cu), lie in the order of files or in
// another one, as their params do.
static void pack_halves(const SlotMap *map, const uint32_t *stored, int64_t start, int64_t count, uint16_t *memory) {
    const ProgramSlot *slot = map->slot;
    const AnyFloat *values = (const AnyFloat *)stored;
    int64_t index[SLOT_MAX_RANK] = {0};
    for (int64_t i = 0; i < count; i++) {
        for (int64_t d = slot->rank - 1, rest = start + i; d >= 0; rest /= slot->extents[d], d--)
            index[d] = rest % slot->extents[d];
        memory[slot_offset(slot, index)] =
            slot->element == ELEMENT_F16 ? f16_from_float(values[i]) : bf16_from_float(values[i]);
    }
}

void slot_pack_part(const SlotMap *map, const void *stored, int64_t first, int64_t count, void *memory) {
    if (slot_is_half(map->slot)) {
        pack_halves(map, stored, first, count, memory);
        return;
    }
    move_elements(PACK, map, (uint32_t *)(uintptr_t)stored, memory, first, count);
}

// Parts are added in f32 and in ascending order, as kernels that read them do.
void slot_unpack_part(const SlotMap *map, const void *memory, int64_t first, int64_t count, void *stored) {
    uint32_t *elements = (uint32_t *)(uintptr_t)memory;
    CHECK(!slot_is_half(map->slot));
    move_elements(UNPACK, map, stored, elements, first, count);
    for (int64_t p = 1; p < map->slot->parts; p++)
        move_elements(ADD, map, stored, elements + p * map->part_elements, first, count);
}

void slot_pack(const ProgramSlot *slot, const void *stored, void *memory, Arena *scratch) {
    int64_t count = slot_elements(slot);
    CHECK((size_t)count * (slot_is_half(slot) ? ELEMENT_BYTES / 2 : ELEMENT_BYTES) <= slot->bytes);
    memset(memory, 0, slot->bytes); // padding holds zeros
    slot_pack_part(slot_map(slot, scratch), stored, 0, count, memory);
}

void slot_unpack(const ProgramSlot *slot, const void *memory, void *stored, Arena *scratch) {
    slot_unpack_part(slot_map(slot, scratch), memory, 0, slot_elements(slot), stored);
}
