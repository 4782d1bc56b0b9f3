// Whether what a step writes is out of all caches before somebody reads it. Then there is no use in fetching the lines
// that are written over, nor in driving others out of the caches for them.
//
//     step 40 product  out grad.w 9 MB       far: 500 MB pass by before step 900, the first to read it
//     step 41 row      out %7                near: step 42 reads it
//
// In: a plan and its Target. Bytes that steps move between are the model's (Step.bytes), and at most all memory of the
// plan.
#include "codegen/lower.h"

// Between so many times the last-level cache and its size some lines are still there.
static const double far_part = 2;

static double all_memory(const Lowering *lowering) {
    const Plan *plan = lowering->plan;
    return (double)plan->arena_bytes + (double)plan->state_bytes +
           (double)plan->scratch_bytes * lowering->target->cores;
}

// Bytes of steps from `first` up to the first reader of the value; all of them when nobody reads it.
static double bytes_until_read(const Plan *plan, uint32_t first, ValueId value) {
    double bytes = 0;
    for (uint32_t s = first; s < plan->step_count && !step_reads(&plan->steps[s], value); s++)
        bytes += plan->steps[s].bytes;
    return bytes;
}

bool lower_is_far(const Lowering *lowering, uint32_t output) {
    const Plan *plan = lowering->plan;
    const Value *value = lower_output(lowering, output);
    double most = far_part * lowering->target->l3_bytes;
    bool is_update = value->next_of != VALUE_NONE;
    if (all_memory(lowering) <= most || value->is_over || value->rounds || value->space == SPACE_SCRATCH) return false;
    if (is_update && step_reads(lowering->step, value->next_of)) return false;
    if (cut_is_summed(plan, lowering->step) || cut_sums_rounds(plan, lowering->step)) return false;
    uint32_t next = (uint32_t)(lowering->step - plan->steps) + 1;
    double bytes = bytes_until_read(plan, next, lowering->step->outputs[output]);
    if (is_update) bytes += bytes_until_read(plan, 0, value->next_of);
    return bytes > most;
}
