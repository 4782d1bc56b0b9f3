// Products of tensor cores, as the passes that choose how see them: see tensor_cost.h.
//
//     g[C,F] = sum(B,T) x dy     ->    rows C, lanes F, summed B*T; parts: up to B, if all who read g can add up
#include "passes/tensor_cost.h"

#include <math.h>

#include "passes/panels.h"

// Of a sum: parts at most, and summed indices of each at least.
enum { MOST_PARTS = 8, LEAST_PART = 128 };
// How often a step with reductions reads its operands.
enum { ROW_READS = 3 };

// ---- the shape

static double extent_of(const Plan *plan, DimList dims) {
    return (double)graph_elements(plan->dims, dim_list_set(&dims));
}

static double bytes_of(const Plan *plan, ValueId id) {
    return (double)dtype_bytes(plan->values[id].dtype);
}

static bool adds_up_parts(const Step *step) {
    return step->form != FORM_PRODUCT && scattering_of(step->region).scatter == NODE_NONE;
}

// Into how many parts the outermost summed dim can be cut: when nothing is computed of the sum before it is stored, and
// all who read it can add up.
static SumParts sum_parts(const Plan *plan, const Step *step, const Contraction *contraction) {
    ValueId id = step->outputs[0];
    const Value *value = &plan->values[id];
    bool is_plain = step->output_count == 1 && graph_output_at(step->region, 0)->node == contraction->node;
    SumParts whole = {.divisible = 1}, parts = {0};
    if (!is_plain || step->band.is_set || contraction->summed.rank == 0) return whole;
    if (value->next_of != VALUE_NONE || value->is_over || value->dtype != DTYPE_F32) return whole;
    for (uint32_t s = 0; s < plan->step_count; s++)
        for (uint32_t k = 0; k < plan->steps[s].operand_count; k++) {
            if (plan->steps[s].operands[k] != id) continue;
            if (!adds_up_parts(&plan->steps[s])) return whole;
            parts.readers += plan->steps[s].form == FORM_ROW ? ROW_READS : 1;
        }
    parts.divisible = graph_extent(plan->dims, contraction->summed.dims[0]);
    return parts;
}

TensorShape tensor_shape(const Plan *plan, const Step *step, const Target *target) {
    Contraction contraction = product_contraction(plan, step);
    uint32_t rows = operand_below(step->region, contraction.rows_operand);
    uint32_t lanes = operand_below(step->region, contraction.lanes_operand);
    return (TensorShape){.batch = extent_of(plan, contraction.batch),
                         .rows = extent_of(plan, contraction.rows),
                         .lanes = extent_of(plan, contraction.lanes),
                         .summed = extent_of(plan, contraction.summed),
                         .rows_bytes = bytes_of(plan, step->operands[rows]),
                         .lanes_bytes = bytes_of(plan, step->operands[lanes]),
                         .result_bytes = bytes_of(plan, step->outputs[0]),
                         .target = target,
                         .parts = sum_parts(plan, step, &contraction)};
}

// ---- ways

bool tensor_fastest_way(const TensorShape *shape, int blocks, TensorWayOf *way_of, void *context, TensorWay *best) {
    *best = (TensorWay){.parts = 1, .seconds = INFINITY};
    for (uint32_t parts = 1; parts <= MOST_PARTS && parts <= shape->parts.divisible; parts++) {
        if (parts > 1 && (shape->parts.divisible % parts != 0 || shape->summed / parts < LEAST_PART)) continue;
        for (int block = 0; block < blocks; block++) {
            TensorWay way = {.parts = parts};
            if (way_of(context, block, parts, &way) && way.seconds < best->seconds) *best = way;
        }
    }
    return best->seconds < INFINITY;
}

const char *tensor_way_text(Arena *arena, const TensorWay *way, double other, const char *otherwise) {
    const char *parts = way->parts > 1 ? arena_format(arena, ", %u parts", way->parts) : "";
    const char *turns = way->tile.in_turns ? " in turns" : "";
    return arena_format(arena, "blocks of %u by %u%s, %u stages%s: %.3g us, %.3g us %s", way->tile.rows,
                        way->tile.lanes, turns, way->tile.stages, parts, 1e6 * way->seconds, 1e6 * other, otherwise);
}

// ---- what is made of them

void tensor_decide(PassContext *context, bool is_possible, Choice *block, Decision *decision) {
    choices_decide(context->choices, is_possible, decision);
    if (!block) return;
    decision->made = is_possible;
    decision->reason = is_possible ? choice_follow(context->choices, block)
                                   : choice_obstruct(context->choices, block, decision->reason);
}

void tensor_cut_sum(Plan *plan, Step *step, const Contraction *contraction, uint32_t parts) {
    Value *value = &plan->values[step->outputs[0]];
    if (parts == 1) {
        if (value->parts > 1) step->cut = (Cut){.total = 1, .pieces = 1};
        value->parts = 0;
        return;
    }
    DimList outermost = {.rank = 1, .dims = {contraction->summed.dims[0]}};
    int64_t total = graph_extent(plan->dims, outermost.dims[0]);
    step->cut = (Cut){.dims = outermost, .total = total, .pieces = parts, .groups = parts};
    value->parts = parts;
}

void tensor_take_way(Plan *plan, Step *step, const Contraction *contraction, const TensorWay *way) {
    step->tensor = way->tile;
    tensor_cut_sum(plan, step, contraction, way->parts);
}
