// plan_memory: where every value lies. One block of states shared by all programs of a model, scratch memory of each
// thread for what plan_strands put there, one arena for the rest.
//
// requires  strands, edges and waits
// ensures   offsets and bytes of all values, exact sizes of arena, states and scratch; no two values that may be alive
//           at the same time share a byte. A diagnostic when the sizes overflow.
//
// Between two waits threads run freely, so the time of a value is counted in epochs, the stretches between waits: it
// lives from the epoch of its writer to the epoch of its last reader, both included. Inputs and outputs live to the
// end, inputs from the start. In scratch memory, where each thread is alone, time is counted in steps; a chain inside
// of a strand goes through its steps once for each range, so what it reads or writes of the strand's lives through all
// of them. At level all a value is written over an operand that its step is the last to read, where that can be
// (memory_over.c).
//
//     epoch 0: %1 -> %2     epoch 1: %2 -> %3     epoch 2: %3 -> %4        %1 and %3 share memory, %2 and %4 too
//
// On a GPU launches keep to no order but who needs what of whom. There two values share memory only where that makes
// nobody wait for longer, unless both are so large that a launch is cheaper than memory for them (launch_levels.h).
//
// The arena of a GPU ends with what a library's products work in, as much as the Target says, when there is one.
//
// Largest values are placed first, each at the lowest offset where it fits (greedy by size: Pisarchyk and Lee,
// "Efficient memory management for deep neural net inference", 2020).
#include <stdlib.h>

#include "base/planted.h"
#include "base/size.h"
#include "passes/launch_levels.h"
#include "passes/memory_over.h"
#include "passes/pass_functions.h"
#include "passes/plan_measure.h"

enum { ALIGNMENT = 64, WORKSPACE_ALIGNMENT = 256 };

// ---- sizes

static bool value_bytes(const Value *value, size_t *bytes) {
    size_t count = dtype_bytes(value->dtype);
    if (value->parts > 1 && !size_multiply(count, value->parts, &count)) return false;
    for (int i = 0; i < value->layout.count; i++)
        if (!size_multiply(count, (size_t)value->layout.pieces[i].extent, &count)) return false;
    return size_align_up(count, ALIGNMENT, bytes);
}

static size_t bytes_of_round(const Value *value) {
    return (value_round_bytes(value) + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

static void choose_space(Value *value) {
    if (value->space == SPACE_SCRATCH) return;
    bool is_state = value->kind == VALUE_STATE || value->next_of != VALUE_NONE;
    value->space = is_state ? SPACE_STATE : SPACE_ARENA;
}

static bool fill_bytes(Plan *plan, PassContext *context) {
    for (ValueId id = 0; id < plan->value_count; id++) {
        Value *value = &plan->values[id];
        choose_space(value);
        if (!value_bytes(value, &value->bytes))
            return diag_error(context->diags, (Place){0}, "the size of '%s' does not fit in %zu bits",
                              value->name ? value->name : "a temporary value", 8 * sizeof(size_t));
    }
    const Cut **windows = plan_windows(plan, plan_nest(plan, plan->arena), plan->arena);
    for (ValueId id = 0; id < plan->value_count; id++)
        if (windows[id]) plan->values[id].bytes /= windows[id]->pieces;
    for (ValueId id = 0; id < plan->value_count; id++)
        if (plan->values[id].rounds) plan->values[id].bytes = bytes_of_round(&plan->values[id]);
    return true;
}

bool memory_prepare(Plan *plan, PassContext *context) {
    if (!fill_bytes(plan, context)) return false;
    if (context->fuse == FUSE_ALL) memory_find_overs(plan, context->target);
    return true;
}

static bool too_much(PassContext *context, const char *what) {
    return diag_error(context->diags, (Place){0}, "the sizes of all %s do not fit in %zu bits", what,
                      8 * sizeof(size_t));
}

// ---- states: the same place in every program

static StateTable *state_table(Plan *plan, PassContext *context) {
    if (context->states) return context->states;
    StateTable *table = ARENA_NEW(plan->arena, StateTable);
    table->arena = plan->arena;
    return table;
}

static bool place_state(StateTable *table, Value *value) {
    for (size_t i = 0; i < table->count; i++) {
        const StatePlace *place = &table->places[i];
        if (!text_equal(place->name, value->name)) continue;
        if (place->bytes != value->bytes)
            BUG("state '%s' has %zu bytes here and %zu in another program", value->name, value->bytes, place->bytes);
        value->offset = place->offset;
        return true;
    }
    value->offset = table->bytes;
    table->places = arena_grow(table->arena, table->places, &table->capacity, table->count + 1, sizeof(StatePlace));
    table->places[table->count++] = (StatePlace){arena_copy(table->arena, value->name), value->offset, value->bytes};
    return size_add(table->bytes, value->bytes, &table->bytes);
}

static bool place_states(Plan *plan, PassContext *context) {
    StateTable *table = state_table(plan, context);
    for (ValueId id = 0; id < plan->value_count; id++)
        if (plan->values[id].kind == VALUE_STATE && !place_state(table, &plan->values[id]))
            return too_much(context, "states");
    for (ValueId id = 0; id < plan->value_count; id++) {
        Value *value = &plan->values[id];
        if (value->next_of == VALUE_NONE) continue;
        value->offset = plan->values[value->next_of].offset;
        value->in_place = true;
    }
    plan->state_bytes = table->bytes;
    return true;
}

// ---- arena and scratch

static void extend(MemoryBlock *block, uint32_t epoch) {
    if (block->last < epoch) block->last = epoch;
}

// Values by window (plan_windows), steps by nest.
typedef struct {
    const Plan *plan;
    const StepNest *nest;
    const Cut **windows;
} Clock;

static bool is_of_strand(const Clock *clock, ValueId id, uint32_t s) {
    return !cut_equal(clock->windows[id], &clock->plan->steps[s].cut) && !PLANTED(life_of_one_range);
}

static uint32_t first_time(const Clock *clock, ValueId id, uint32_t epoch, uint32_t s) {
    if (!clock->windows[id]) return epoch;
    return is_of_strand(clock, id, s) ? clock->nest[s].chain : s;
}

static uint32_t last_time(const Clock *clock, ValueId id, uint32_t epoch, uint32_t s) {
    if (!clock->windows[id]) return epoch;
    return is_of_strand(clock, id, s) ? plan_chain_end(clock->plan, clock->nest[s].chain) - 1 : s;
}

// Rounds come back to their first step: what they touch lives as long as they run.
static void extend_over_rounds(const Plan *plan, uint32_t first, uint32_t end, const uint32_t *epochs,
                               MemoryBlock *blocks) {
    for (uint32_t s = first; s < end; s++) {
        const Step *step = &plan->steps[s];
        for (uint32_t k = 0; k < step->operand_count; k++) extend(&blocks[step->operands[k]], epochs[end - 1]);
        for (uint32_t k = 0; k < step->output_count; k++) {
            MemoryBlock *block = &blocks[step->outputs[k]];
            if (block->first > epochs[first]) block->first = epochs[first];
            extend(block, epochs[end - 1]);
        }
    }
}

static void extend_over_all_rounds(const Plan *plan, const uint32_t *epochs, MemoryBlock *blocks) {
    for (uint32_t s = 0, end; s < plan->step_count; s = end) {
        end = plan_rounds_end(plan, s);
        if (plan->steps[s].cut.rounds && !PLANTED(rounds_forgotten)) extend_over_rounds(plan, s, end, epochs, blocks);
    }
}

// One block per value, by value id. States have blocks too; they are not placed.
MemoryBlock *memory_lives(const Plan *plan) {
    MemoryBlock *blocks = ARENA_ARRAY(plan->arena, MemoryBlock, plan->value_count);
    for (ValueId id = 0; id < plan->value_count; id++)
        blocks[id] = (MemoryBlock){.value = id, .bytes = plan->values[id].bytes};
    const StepNest *nest = plan_nest(plan, plan->arena);
    Clock clock = {plan, nest, plan_windows(plan, nest, plan->arena)};
    const uint32_t *epochs = plan_epochs(plan, plan->arena);
    for (uint32_t s = 0; s < plan->step_count; s++) {
        const Step *step = &plan->steps[s];
        uint32_t end = epochs[s] - (epochs[s] > 0 && PLANTED(life_ends_too_early));
        for (uint32_t k = 0; k < step->operand_count; k++)
            extend(&blocks[step->operands[k]], last_time(&clock, step->operands[k], end, s));
        for (uint32_t k = 0; k < step->output_count; k++) {
            MemoryBlock *block = &blocks[step->outputs[k]];
            block->first = first_time(&clock, block->value, epochs[s], s);
            extend(block, last_time(&clock, block->value, epochs[s], s));
        }
    }
    for (ValueId id = 0; id < plan->value_count; id++)
        if (plan->values[id].kind == VALUE_INPUT || plan->values[id].kind == VALUE_OUTPUT)
            extend(&blocks[id], epochs[plan->step_count]);
    extend_over_all_rounds(plan, epochs, blocks);
    // An operand comes into being before what is written over it.
    for (uint32_t s = plan->step_count; s-- > 0;)
        for (uint32_t k = 0; k < plan->steps[s].output_count; k++) {
            const Value *value = &plan->values[plan->steps[s].outputs[k]];
            if (value->is_over) extend(&blocks[value->over], blocks[plan->steps[s].outputs[k]].last);
        }
    return blocks;
}

// From the level of who writes a value to that of its last reader. Inputs are there before all, results stay.
static void fill_levels(const Plan *plan, const Target *target, MemoryBlock *blocks) {
    const uint32_t *level = launch_levels(plan, target, plan->arena);
    if (!level) return;
    for (uint32_t s = 0; s < plan->step_count; s++) {
        const Step *step = &plan->steps[s];
        for (uint32_t k = 0; k < step->output_count; k++)
            blocks[step->outputs[k]].first_level = blocks[step->outputs[k]].last_level = level[s];
        for (uint32_t k = 0; k < step->operand_count; k++)
            if (blocks[step->operands[k]].last_level < level[s]) blocks[step->operands[k]].last_level = level[s];
    }
    for (uint32_t s = plan->step_count; s-- > 0;)
        for (uint32_t k = 0; k < plan->steps[s].output_count; k++) {
            const Value *value = &plan->values[plan->steps[s].outputs[k]];
            uint32_t last = blocks[plan->steps[s].outputs[k]].last_level;
            if (value->is_over && blocks[value->over].last_level < last) blocks[value->over].last_level = last;
        }
}

// Whether the two cannot share memory: both are there at a time, or, between a GPU's launches, who writes the later one
// would wait for who reads the earlier one, which is of no lower level.
static bool meet(const Target *gpu, const MemoryBlock *a, const MemoryBlock *b) {
    if (a->last >= b->first && b->last >= a->first) return true;
    if (!gpu) return false;
    const MemoryBlock *earlier = a->last < b->first ? a : b, *later = earlier == a ? b : a;
    return earlier->last_level >= later->first_level &&
           level_is_dear(gpu, earlier->bytes < later->bytes ? earlier->bytes : later->bytes);
}

static int compare_blocks(const void *left, const void *right) {
    const MemoryBlock *a = left, *b = right;
    if (a->bytes != b->bytes) return a->bytes > b->bytes ? -1 : 1;
    return a->value < b->value ? -1 : a->value > b->value;
}

// The lowest offset where `block` lies on none of the placed blocks (sorted by offset) that it meets.
static bool find_offset(const Target *gpu, const MemoryBlock *block, const MemoryBlock *placed, size_t count,
                        size_t *offset) {
    *offset = 0;
    for (size_t i = 0; i < count; i++) {
        const MemoryBlock *other = &placed[i];
        size_t end;
        if (!meet(gpu, block, other)) continue;
        if (!size_add(*offset, block->bytes, &end)) return false;
        if (other->offset >= end) break;
        size_t other_end = other->offset + other->bytes;
        if (*offset < other_end) *offset = other_end;
    }
    return true;
}

static void insert_block(MemoryBlock *placed, size_t count, MemoryBlock block) {
    size_t at = count;
    for (; at > 0 && placed[at - 1].offset > block.offset; at--) placed[at] = placed[at - 1];
    placed[at] = block;
}

// Places the values of one space; `bytes` becomes its size.
static bool place_space(Plan *plan, PassContext *context, Space space, const MemoryBlock *blocks, size_t *bytes) {
    MemoryBlock *placed = ARENA_ARRAY(plan->arena, MemoryBlock, plan->value_count);
    const Target *gpu = space == SPACE_ARENA && target_is_gpu(context->target) ? context->target : NULL;
    size_t count = 0;
    *bytes = 0;
    for (uint32_t i = 0; i < plan->value_count; i++) {
        MemoryBlock block = blocks[i];
        Value *value = &plan->values[block.value];
        if (value->space != space || value->is_over) continue;
        size_t end;
        if (!find_offset(gpu, &block, placed, count, &block.offset) || !size_add(block.offset, block.bytes, &end))
            return too_much(context, "temporary values");
        insert_block(placed, count++, block);
        value->offset = block.offset;
        if (*bytes < end) *bytes = end;
    }
    return true;
}

// Behind all values: what a GPU's library works in, one product after the other.
static bool place_workspace(Plan *plan, PassContext *context) {
    bool is_used = false;
    for (uint32_t s = 0; s < plan->step_count; s++) is_used |= plan->steps[s].engine == ENGINE_BLAS;
    plan->workspace_bytes = 0;
    if (!is_used || !target_is_gpu(context->target)) return true;
    plan->workspace_bytes = (size_t)context->target->library_bytes / WORKSPACE_ALIGNMENT * WORKSPACE_ALIGNMENT;
    return (size_align_up(plan->arena_bytes, WORKSPACE_ALIGNMENT, &plan->arena_bytes) &&
            size_add(plan->arena_bytes, plan->workspace_bytes, &plan->arena_bytes)) ||
           too_much(context, "temporary values");
}

bool memory_place(Plan *plan, PassContext *context) {
    MemoryBlock *blocks = memory_lives(plan);
    fill_levels(plan, context->target, blocks);
    qsort(blocks, plan->value_count, sizeof(MemoryBlock), compare_blocks);
    if (!place_space(plan, context, SPACE_ARENA, blocks, &plan->arena_bytes) ||
        !place_space(plan, context, SPACE_SCRATCH, blocks, &plan->scratch_bytes) || !place_workspace(plan, context))
        return false;
    for (uint32_t s = 0; s < plan->step_count; s++)
        for (uint32_t k = 0; k < plan->steps[s].output_count; k++) {
            Value *value = &plan->values[plan->steps[s].outputs[k]];
            if (value->is_over) value->offset = plan->values[value->over].offset;
        }
    return true;
}

bool pass_plan_memory(Plan *plan, PassContext *context) {
    return memory_prepare(plan, context) && place_states(plan, context) && memory_place(plan, context);
}
