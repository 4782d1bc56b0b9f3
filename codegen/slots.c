// Slots: how the runtime finds the inputs, states and outputs of a program, and how files show them.
//
// In: the values of a plan. Out: for each a name, its stored extents, and its memory order as mixed-radix digits:
//
//     value "mlp.c_fc.weight" f32[C,F] @ (F/32, C, F%32), stored (C,F)
//     -> pieces (weights (0,1), divisor 32, radix F/32), (weights (1,0), 1, C), (weights (0,1), 1, 32)
//
// An output has no leaf. One named after a parameter, such as grad.NAME, is stored like the parameter; others are
// stored in the order of their dims.
#include <string.h>

#include "codegen/link.h"

typedef struct {
    DimList dims;
    uint8_t rank; // axes as files show them
    uint8_t group_end[MAX_RANK];
} Stored;

static ElementKind element_of(DType dtype) {
    switch (dtype) {
    case DTYPE_F32: return ELEMENT_F32;
    case DTYPE_I32: return ELEMENT_I32;
    case DTYPE_BF16: return ELEMENT_BF16;
    case DTYPE_F16: return ELEMENT_F16;
    case DTYPE_BOOL: return ELEMENT_BOOL;
    default: BUG("the runtime has no %s elements", dtype_name(dtype));
    }
}

ProgramBuffer buffer_of_value(const Value *value) {
    static const ProgramMemory memories[] = {
        [SPACE_STATE] = MEMORY_STATE, [SPACE_ARENA] = MEMORY_ARENA, [SPACE_SCRATCH] = MEMORY_SCRATCH};
    return (ProgramBuffer){memories[value->space], value->offset};
}

// ---- stored form

static Stored stored_of_leaf(const Leaf *leaf) {
    Stored stored = {.dims = leaf->stored, .rank = leaf->stored_rank};
    memcpy(stored.group_end, leaf->group_end, sizeof(stored.group_end));
    return stored;
}

// The parameter whose name the output's name ends with, after a dot, over the same dims.
static const Leaf *parameter_of_output(const Plan *plan, const Value *output) {
    for (ValueId id = 0; id < plan->value_count; id++) {
        const Value *value = &plan->values[id];
        if (!value->is_param || dim_list_set(&value->leaf->stored) != dim_list_set(&output->order)) continue;
        size_t length = strlen(output->name), ending = strlen(value->leaf->name);
        if (length <= ending || output->name[length - ending - 1] != '.') continue;
        if (text_equal(output->name + length - ending, value->leaf->name)) return value->leaf;
    }
    return NULL;
}

static Stored stored_of_value(const Plan *plan, const Value *value) {
    if (value->leaf) return stored_of_leaf(value->leaf);
    const Leaf *parameter = parameter_of_output(plan, value);
    if (parameter) return stored_of_leaf(parameter);
    Stored stored = {.dims = value->order, .rank = value->order.rank};
    for (uint8_t i = 0; i < stored.rank; i++)
        stored.group_end[i] = i + 1;
    return stored;
}

static void fill_extents(const Graph *dims, const Stored *stored, ProgramSlot *slot) {
    slot->rank = stored->dims.rank;
    for (int i = 0; i < slot->rank; i++)
        slot->extents[i] = graph_extent(dims, stored->dims.dims[i]);
    slot->stored_rank = stored->rank;
    int dim = 0;
    for (int axis = 0; axis < stored->rank; axis++) {
        slot->stored_extents[axis] = 1;
        for (; dim < stored->group_end[axis]; dim++)
            slot->stored_extents[axis] *= slot->extents[dim];
    }
}

// ---- memory order

static int position_of(const DimList *list, DimId dim) {
    for (int i = 0; i < list->rank; i++)
        if (list->dims[i] == dim) return i;
    BUG("a layout names a dim that the stored form lacks");
}

static void fill_pieces(const Graph *dims, const Stored *stored, const Layout *layout, ProgramSlot *slot) {
    CHECK(layout->count <= SLOT_MAX_PIECES);
    slot->piece_count = layout->count;
    for (int p = 0; p < layout->count; p++) {
        const LayoutPiece *piece = &layout->pieces[p];
        int64_t weight = 1;
        for (int i = piece->dims.rank; i-- > 0;) {
            slot->pieces[p].weights[position_of(&stored->dims, piece->dims.dims[i])] = weight;
            weight *= graph_extent(dims, piece->dims.dims[i]);
        }
        slot->pieces[p].divisor = piece->divisor;
        slot->pieces[p].radix = piece->extent;
    }
}

// Memory order is stored order when the pieces are the stored dims, one by one or several as one number, from the
// outside in.
static bool is_stored_order(const Stored *stored, const Layout *layout, const ProgramSlot *slot) {
    int next = 0;
    for (int p = 0; p < layout->count; p++) {
        const LayoutPiece *piece = &layout->pieces[p];
        int64_t extent = 1;
        for (int i = 0; i < piece->dims.rank; i++, next++) {
            if (next >= slot->rank || piece->dims.dims[i] != stored->dims.dims[next]) return false;
            extent *= slot->extents[next];
        }
        if (piece->divisor != 1 || piece->extent != extent) return false;
    }
    return next == slot->rank;
}

// ---- the door

static SlotKind kind_of(const Value *value) {
    if (value->kind == VALUE_INPUT) return SLOT_INPUT;
    return value->kind == VALUE_STATE ? SLOT_STATE : SLOT_OUTPUT;
}

static ProgramSlot slot_of_value(Arena *arena, const Plan *plan, const Value *value) {
    Stored stored = stored_of_value(plan, value);
    ProgramSlot slot = {
        .name = arena_copy(arena, value->name),
        .kind = kind_of(value),
        .element = element_of(value->dtype),
        .is_param = value->is_param,
        .copy_of = value->is_copy ? arena_copy(arena, value->leaf->name) : NULL,
        .buffer = buffer_of_value(value),
        .bytes = value->bytes,
        .parts = (int)value->parts,
    };
    if (value->leaf) {
        slot.token_bytes = value->kind == VALUE_INPUT ? value->leaf->token_bytes : 0;
        slot.init = value->leaf->init == INIT_CONSTANT;
        slot.init_value = value->leaf->init_value;
    }
    fill_extents(plan->dims, &stored, &slot);
    fill_pieces(plan->dims, &stored, &value->layout, &slot);
    slot.is_plain = is_stored_order(&stored, &value->layout, &slot);
    return slot;
}

static bool has_slot(const Value *value) {
    if (value->next_of == VALUE_NONE || value->kind != VALUE_OUTPUT) return value->kind != VALUE_TEMPORARY;
    if (!value->in_place) BUG("the next value of state %s is not written over it", value->name);
    return false;
}

const ProgramSlot *slots_of_plan(Arena *arena, const Plan *plan, uint32_t *count) {
    ProgramSlot *slots = ARENA_ARRAY(arena, ProgramSlot, plan->value_count + 1);
    *count = 0;
    for (ValueId id = 0; id < plan->value_count; id++)
        if (has_slot(&plan->values[id])) slots[(*count)++] = slot_of_value(arena, plan, &plan->values[id]);
    return slots;
}
