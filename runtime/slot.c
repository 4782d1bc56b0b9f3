// Offsets without a division per element: dims that occur in one piece together form a group, pieces of different
// groups add up, so the offset of an element is the sum over groups of one table entry.
//
//     W[C,F] @ (F/4, C, F%4): groups {C}, {F}; table C: c*4; table F: (f/4)*C*4 + f%4
#include "runtime/slot.h"

#include <string.h>

#include "base/diag.h"
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

typedef struct {
    int group_count;
    int group_of[SLOT_MAX_RANK];   // of each dim
    int64_t stride[SLOT_MAX_RANK]; // of each dim in its group's table
    int64_t size[SLOT_MAX_RANK];   // entries of each group's table
    int64_t *table[SLOT_MAX_RANK];
} OffsetTables;

static void find_groups(const ProgramSlot *slot, OffsetTables *tables) {
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
            *group = tables->group_count++;
            tables->size[*group] = 1;
        }
        tables->group_of[d] = *group;
        tables->stride[d] = tables->size[*group];
        tables->size[*group] *= slot->extents[d];
    }
}

// Pieces without dims of the group give digit 0 while all other indices are 0.
static void fill_table(const ProgramSlot *slot, OffsetTables *tables, int group) {
    for (int64_t entry = 0; entry < tables->size[group]; entry++) {
        int64_t index[SLOT_MAX_RANK] = {0};
        for (int d = 0; d < slot->rank; d++)
            if (tables->group_of[d] == group) index[d] = entry / tables->stride[d] % slot->extents[d];
        tables->table[group][entry] = slot_offset(slot, index);
    }
}

static OffsetTables *build_tables(const ProgramSlot *slot, Arena *scratch) {
    OffsetTables *tables = ARENA_NEW(scratch, OffsetTables);
    find_groups(slot, tables);
    for (int g = 0; g < tables->group_count; g++) {
        tables->table[g] = ARENA_ARRAY(scratch, int64_t, (size_t)tables->size[g]);
        fill_table(slot, tables, g);
    }
    return tables;
}

// Where the row of stored elements at `index` (innermost index 0) starts, and the table of its innermost dim from
// there.
static int64_t row_base(const ProgramSlot *slot, const OffsetTables *tables, const int64_t *index, int64_t *inner) {
    int64_t entry[SLOT_MAX_RANK] = {0}, base = 0;
    for (int d = 0; d < slot->rank - 1; d++)
        entry[tables->group_of[d]] += index[d] * tables->stride[d];
    int innermost = tables->group_of[slot->rank - 1];
    for (int g = 0; g < tables->group_count; g++)
        if (g != innermost) base += tables->table[g][entry[g]];
    *inner = entry[innermost];
    return base;
}

static void advance(const ProgramSlot *slot, int64_t *index) {
    for (int d = slot->rank - 2; d >= 0; d--) {
        if (++index[d] < slot->extents[d]) return;
        index[d] = 0;
    }
}

// The innermost dim is numbered first, so its stride in its table is 1.
static void move_elements(const ProgramSlot *slot, uint32_t *stored, uint32_t *memory, bool pack, Arena *scratch) {
    const OffsetTables *tables = build_tables(slot, scratch);
    int64_t row = slot->extents[slot->rank - 1], rows = slot_elements(slot) / row;
    int64_t index[SLOT_MAX_RANK] = {0};
    for (int64_t r = 0; r < rows; r++, stored += row, advance(slot, index)) {
        int64_t first, base = row_base(slot, tables, index, &first);
        const int64_t *offsets = tables->table[tables->group_of[slot->rank - 1]] + first;
        for (int64_t i = 0; i < row; i++) {
            if (pack)
                memory[base + offsets[i]] = stored[i];
            else
                stored[i] = memory[base + offsets[i]];
        }
    }
}

static bool copies_plainly(const ProgramSlot *slot) {
    CHECK(slot->element == ELEMENT_F32 || slot->element == ELEMENT_I32);
    return slot->is_plain || slot->rank == 0;
}

void slot_pack(const ProgramSlot *slot, const void *stored, void *memory, Arena *scratch) {
    size_t bytes = (size_t)slot_elements(slot) * ELEMENT_BYTES;
    CHECK(bytes <= slot->bytes);
    memset(memory, 0, slot->bytes); // padding holds zeros
    if (copies_plainly(slot))
        memcpy(memory, stored, bytes);
    else
        move_elements(slot, (uint32_t *)(uintptr_t)stored, memory, true, scratch);
}

static void unpack_part(const ProgramSlot *slot, const void *memory, void *stored, Arena *scratch) {
    if (copies_plainly(slot))
        memcpy(stored, memory, (size_t)slot_elements(slot) * ELEMENT_BYTES);
    else
        move_elements(slot, stored, (uint32_t *)(uintptr_t)memory, false, scratch);
}

static int64_t part_elements(const ProgramSlot *slot) {
    if (slot->is_plain) return slot_elements(slot);
    int64_t elements = 1;
    for (int p = 0; p < slot->piece_count; p++)
        elements *= slot->pieces[p].radix;
    return elements;
}

// Parts are added in f32 and in ascending order, as kernels that read them do.
void slot_unpack(const ProgramSlot *slot, const void *memory, void *stored, Arena *scratch) {
    unpack_part(slot, memory, stored, scratch);
    if (slot->parts <= 1) return;
    CHECK(slot->element == ELEMENT_F32);
    int64_t count = slot_elements(slot);
    float *sum = stored, *part = ARENA_ARRAY(scratch, float, (size_t)count);
    for (int p = 1; p < slot->parts; p++) {
        unpack_part(slot, (const float *)memory + p * part_elements(slot), part, scratch);
        for (int64_t i = 0; i < count; i++)
            sum[i] += part[i];
    }
}
