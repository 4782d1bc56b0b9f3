// Strands of a plan and chains inside of them: where they end, what their cuts mean, and whether one piece of a value
// can lie alone in a thread's scratch memory.
#include "ir/plan.h"

uint32_t plan_strand_end(const Plan *plan, uint32_t first) {
    uint32_t end = first + 1;
    while (end < plan->step_count && plan->steps[end].joined) end++;
    return end;
}

bool plan_in_strand(const Plan *plan, uint32_t step) {
    return plan->steps[step].joined || plan_strand_end(plan, step) > step + 1;
}

uint32_t plan_chain_end(const Plan *plan, uint32_t first) {
    uint32_t end = first + 1;
    while (end < plan->step_count && plan->steps[end].chained) end++;
    return end;
}

StepNest *plan_nest(const Plan *plan, Arena *arena) {
    StepNest *nest = ARENA_ARRAY(arena, StepNest, plan->step_count + 1);
    for (uint32_t s = 0; s < plan->step_count; s++) {
        bool follows = s > 0 && plan->steps[s].joined;
        nest[s].strand = follows ? nest[s - 1].strand : s;
        nest[s].chain = follows && plan->steps[s].chained ? nest[s - 1].chain : s;
    }
    return nest;
}

uint32_t plan_rounds_end(const Plan *plan, uint32_t first) {
    uint32_t end = first + 1;
    if (plan->steps[first].cut.rounds == 0) return end;
    while (end < plan->step_count && plan->steps[end].cut.rounds) end++;
    return end;
}

bool cut_sums_rounds(const Plan *plan, const Step *step) {
    DimSet rows = dim_list_set(&step->cut.over);
    return step->cut.rounds > 0 && !(rows & dim_list_set(&plan->values[step->outputs[0]].order));
}

bool cut_equal(const Cut *a, const Cut *b) {
    return a->pieces == b->pieces && a->groups == b->groups && a->total == b->total &&
           dim_list_equal(&a->dims, &b->dims) && a->rounds == b->rounds && dim_list_equal(&a->over, &b->over);
}

bool cut_refines(const Cut *fine, const Cut *coarse) {
    if (fine->groups != coarse->groups || fine->dims.rank <= coarse->dims.rank || coarse->pieces == 0) return false;
    for (int i = 0; i < coarse->dims.rank; i++)
        if (fine->dims.dims[i] != coarse->dims.dims[i]) return false;
    return fine->pieces % coarse->pieces == 0 && coarse->total % coarse->pieces == 0 && fine->total % fine->pieces == 0;
}

const Cut *plan_shared_cut(const Plan *plan, const StepNest *nest, uint32_t from, uint32_t to) {
    if (nest[from].chain == nest[to].chain) return &plan->steps[to].cut;
    const Cut *a = &plan->steps[nest[from].strand].cut, *b = &plan->steps[nest[to].strand].cut;
    return cut_equal(a, b) ? a : NULL;
}

const Cut **plan_windows(const Plan *plan, const StepNest *nest, Arena *arena) {
    const Cut **windows = ARENA_ARRAY(arena, const Cut *, plan->value_count + 1);
    const uint32_t *writers = plan_writers(plan, arena);
    for (uint32_t s = 0; s < plan->step_count; s++)
        for (uint32_t k = 0; k < plan->steps[s].output_count; k++) {
            ValueId id = plan->steps[s].outputs[k];
            const Value *value = &plan->values[id];
            const Cut *cut = &plan->steps[s].cut;
            if (value->space != SPACE_SCRATCH) continue;
            bool ranges = cut_leads_layout(plan->dims, cut, &value->layout, value->dtype);
            windows[id] = ranges ? cut : &plan->steps[nest[s].strand].cut;
        }
    for (uint32_t s = 0; s < plan->step_count; s++)
        for (uint32_t k = 0; k < plan->steps[s].operand_count; k++) {
            ValueId id = plan->steps[s].operands[k];
            bool outside = windows[id] && nest[writers[id]].chain != nest[s].chain;
            if (outside) windows[id] = &plan->steps[nest[writers[id]].strand].cut;
        }
    return windows;
}

int cut_kept(const Plan *plan, const Step *step) {
    const Cut *cut = &step->cut;
    if (cut->groups == 0 || cut->pieces < 2) return cut->dims.rank;
    DimSet order = dim_list_set(&plan->values[step->outputs[0]].order);
    int kept = 0;
    while (kept < cut->dims.rank && dim_in(order, cut->dims.dims[kept])) kept++;
    return kept;
}

bool cut_is_summed(const Plan *plan, const Step *step) {
    return cut_kept(plan, step) < step->cut.dims.rank;
}

bool cut_in_ranges(const Graph *dims, const Cut *cut, CutRanges *ranges) {
    if (cut->groups == 0 || cut->dims.rank < 2 || cut->total % cut->pieces != 0) return false;
    int64_t extent = graph_extent(dims, cut->dims.dims[cut->dims.rank - 1]);
    *ranges = (CutRanges){.rows = cut->total / cut->pieces};
    if (extent % ranges->rows != 0) return false;
    ranges->pieces = extent / ranges->rows;
    return true;
}

// The cut's dims, in their order, are the outermost dims of memory.
static bool dims_lead(const Graph *dims, const DimList *cut, const Layout *layout) {
    int done = 0;
    for (int i = 0; i < layout->count && done < cut->rank; i++) {
        const LayoutPiece *piece = &layout->pieces[i];
        bool is_whole = piece->divisor == 1 && piece->extent == graph_elements(dims, dim_list_set(&piece->dims));
        if (!is_whole) return false;
        for (int k = 0; k < piece->dims.rank && done < cut->rank; k++)
            if (piece->dims.dims[k] != cut->dims[done++]) return false;
    }
    return done == cut->rank;
}

bool cut_rounds_lead(const Graph *dims, const Cut *cut, const Layout *layout) {
    return cut->rounds && cut->total % cut->rounds == 0 && dims_lead(dims, &cut->dims, layout);
}

size_t value_round_bytes(const Value *value) {
    return (size_t)layout_elements(&value->layout) * dtype_bytes(value->dtype) / value->rounds;
}

bool cut_leads_layout(const Graph *dims, const Cut *cut, const Layout *layout, DType dtype) {
    if (cut->pieces == 0 || cut->total % cut->pieces != 0 || !dims_lead(dims, &cut->dims, layout)) return false;
    int64_t bytes = layout_elements(layout) * (int64_t)dtype_bytes(dtype);
    return bytes % (64 * (int64_t)cut->pieces) == 0;
}
