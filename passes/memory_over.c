// Which values are written over an operand of their step: scores become probabilities in the same memory.
//
// In: a plan with cuts, edges, waits and sizes. Out: `over` of the values for which all of this holds:
//
//     the operand is a temporary, and both are of one size, type and layout, in the same kind of memory
//     the step may write the one over the other (write_over.h): it reads the operand at the index that it writes, or
//     sums it up along its rows before it writes them, or scatters rows onto it
//     nobody reads the operand later, and who read it before is done: behind a wait, or the same piece of the same
//     thread
//     on a GPU, where a launch is dear beside the value: who read it before is of a lower level (launch_levels.h)
//
//     step 5 product  out %s[B,H,T,S]            scratch+0
//     step 6 row      in %s same  out %p         scratch+0      over %s
#include "passes/memory_over.h"

#include "base/planted.h"
#include "passes/access.h"
#include "passes/launch_levels.h"
#include "passes/write_over.h"

typedef struct {
    Plan *plan;
    Arena *scratch;
    const StepNest *nest;             // by step
    const uint32_t *epoch;            // by step
    const uint32_t *level;            // by step, on a GPU
    const Target *target;
    const uint32_t *writer, *last_reader;   // by value
    DimSet **own, **own_summed;       // by step and operand
} Overs;

static bool fits(const Value *output, const Value *operand) {
    bool is_kept = output->kind == VALUE_OUTPUT && output->next_of == VALUE_NONE;
    return (output->kind == VALUE_TEMPORARY || is_kept) && operand->kind == VALUE_TEMPORARY &&
           output->space == operand->space &&
           output->rounds == operand->rounds && output->dtype == operand->dtype && output->bytes == operand->bytes &&
           output->parts <= 1 && operand->parts <= 1 &&
           dim_list_set(&output->order) == dim_list_set(&operand->order) &&
           layout_equal(&output->layout, &operand->layout);
}

// Whether step s would wait for step r for nothing but the value's memory.
static bool adds_a_launch(const Overs *overs, ValueId id, uint32_t r, uint32_t s) {
    const Value *value = &overs->plan->values[id];
    bool is_one_launch = plan_strand_end(overs->plan, r) > s;
    return overs->level && !is_one_launch && overs->level[r] >= overs->level[s] && value->space == SPACE_ARENA &&
           level_is_dear(overs->target, value->bytes);
}

// Whether what step r does with its piece of the value is done before step s begins with that piece.
static bool is_done(const Overs *overs, uint32_t r, DimSet own, uint32_t s) {
    if (overs->epoch[r] < overs->epoch[s]) return true;
    const Cut *cut = plan_shared_cut(overs->plan, overs->nest, r, s);
    return cut && !(dim_list_set(&cut->dims) & ~own);
}

static bool all_are_done(const Overs *overs, uint32_t s, uint32_t k) {
    ValueId value = overs->plan->steps[s].operands[k];
    uint32_t writer = overs->writer[value];
    if (!is_done(overs, writer, overs->own_summed[s][k], s)) return false;
    for (uint32_t r = writer + 1; r < s; r++)
        for (uint32_t i = 0; i < overs->plan->steps[r].operand_count; i++)
            if (overs->plan->steps[r].operands[i] == value &&
                (!is_done(overs, r, overs->own_summed[r][i], s) || adds_a_launch(overs, value, r, s)))
                return false;
    return true;
}

static ValueId find_over(const Overs *overs, uint32_t s, uint32_t output) {
    const Plan *plan = overs->plan;
    const Step *step = &plan->steps[s];
    for (uint32_t k = 0; k < step->operand_count; k++) {
        ValueId value = step->operands[k];
        bool is_last = overs->last_reader[value] == s || PLANTED(over_what_is_read_later);
        if (!is_last || !fits(&plan->values[step->outputs[output]], &plan->values[value])) continue;
        OperandAccess access = {overs->own[s][k], overs->own_summed[s][k]};
        bool may = step_may_write_over(plan, step, output, k, access, overs->scratch);
        if (may && all_are_done(overs, s, k)) return value;
    }
    return VALUE_NONE;
}

static void find_facts(Overs *overs) {
    const Plan *plan = overs->plan;
    for (uint32_t s = 0; s < plan->step_count; s++) {
        const Step *step = &plan->steps[s];
        overs->own[s] = access_own(step->region, step->operand_count, overs->scratch);
        overs->own_summed[s] = access_own_or_summed(step->region, step->operand_count, overs->scratch);
    }
}

void memory_find_overs(Plan *plan, const Target *target) {
    Arena *scratch = arena_create();
    Overs overs = {.plan = plan,
                   .scratch = scratch,
                   .nest = plan_nest(plan, scratch),
                   .epoch = plan_epochs(plan, scratch),
                   .level = launch_levels(plan, target, scratch),
                   .target = target,
                   .writer = plan_writers(plan, scratch),
                   .last_reader = plan_last_readers(plan, scratch),
                   .own = ARENA_ARRAY(scratch, DimSet *, plan->step_count + 1),
                   .own_summed = ARENA_ARRAY(scratch, DimSet *, plan->step_count + 1)};
    find_facts(&overs);
    for (uint32_t s = 0; s < plan->step_count; s++)
        for (uint32_t k = 0; k < plan->steps[s].output_count; k++) {
            Value *output = &plan->values[plan->steps[s].outputs[k]];
            output->over = find_over(&overs, s, k);
            output->is_over = output->over != VALUE_NONE;
        }
    arena_free(scratch);
}
