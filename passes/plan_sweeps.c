// plan_sweeps: products on both sides of large values that are never stored, tile after tile in tensor cores.
//
// requires  layouts, what is stored in 16 bits, tensor cores for products; context->tensor bf16 or f16
// ensures   where the steps that write and read values of some dims are products that make them, pointwise work, one
//           softmax's lse, and products that sum them up over one of the last two dims, each of the latter is a sweep
//           (ir/sweep.c) that makes the tiles it reads from what is small. The values are gone, and so are the steps
//           that wrote them
// does nothing for processors, for products in f32 or tf32, at other levels than all, and where it does not pay
// ledger    per such values: the sweeps, with their times, or the first condition that failed
//
//     step 2 product  in %t       out %s[B,H,T,S]          step 2 sweep inner(S)  in %t            out %y, %lse[B,H,T]
//     step 3 row      in %s       out %p[B,H,T,S]
//     step 4 product  in %t, %p   out %y[B,T,H,D]
//     ...                                             ->   ...
//     step 7 product  in %p, %g   out %dv[B,S,H,D]
//     step 8 row      in %y, %g   out %d[B,H,T]            step 3 row             in %y, %g        out %d[B,H,T]
//     step 9 product  in %p, %t.. out %ds[B,H,T,S]         step 4 sweep inner(S)  in %t, %lse, ..  out %dq
//     step 10 product in %ds, %t  out %dq[B,T,H,D]         step 5 sweep inner(T)  in %t, %lse, ..  out %dv, %dk
//     step 11 product in %ds, %t  out %dk[B,S,H,D]
//
// Consumers that sweep over the same dim are one when nobody between them needs the earlier one's results. Nothing is
// looked for by name: attention is what products around a matrix for each head are. All that reads and writes such
// values is swept, or nothing: what one step needs whole must be stored anyway.
//
// Method: tiles that are made again in the backward part from the softmax's lse, as Dao, "FlashAttention-2" (2023);
// the lse of the tiles so far by Milakov and Gimelshein, "Online normalizer calculation for softmax" (2018).
#include "passes/pass_functions.h"
#include "passes/remove_values.h"
#include "passes/sweeps.h"

// ---- which consumers are one

static bool writes(const Step *step, ValueId id) {
    for (uint32_t k = 0; k < step->output_count; k++)
        if (step->outputs[k] == id) return true;
    return false;
}

// Whether a step between, or the later one itself, needs what the product would then write later.
static bool must_stay_before(const Sweeps *sweeps, uint32_t product, uint32_t later) {
    const Plan *plan = sweeps->plan;
    const Step *step = &plan->steps[product];
    for (uint32_t s = product + 1; s <= later; s++)
        for (uint32_t k = 0; k < plan->steps[s].operand_count; k++)
            if (writes(step, plan->steps[s].operands[k])) return true;
    return false;
}

// A state that a sweep reads is as it was when its reader stood earlier in the plan.
static bool reads_what_is_gone(const Sweeps *sweeps, const TileSpace *space, const Step *step, uint32_t at) {
    const Plan *plan = sweeps->plan;
    uint32_t first = 0;
    while (!space->has_step[first]) first++;
    for (uint32_t s = first; s < at; s++)
        for (uint32_t k = 0; k < plan->steps[s].output_count; k++) {
            ValueId state = plan->values[plan->steps[s].outputs[k]].next_of;
            if (state != VALUE_NONE && step_reads(step, state)) return true;
        }
    return false;
}

static uint32_t last_product(const Sweep *sweep) { return sweep->products[sweep->count - 1]; }

static const char *refusal_of(const Sweeps *sweeps, const TileSpace *space, const Sweep *sweep) {
    Sweeping found;
    const char *name = sweep_step_name(sweeps, last_product(sweep));
    const char *wrong = sweep_of(&sweep->step, sweeps->scratch, &found);
    if (wrong) return arena_format(sweeps->scratch, "%s %s", name, wrong);
    wrong = step_sweep_refusal(sweeps->plan, &sweep->step);
    if (!wrong && reads_what_is_gone(sweeps, space, &sweep->step, last_product(sweep)))
        wrong = "it reads a state that is written over by then";
    return wrong ? arena_format(sweeps->scratch, "%s: %s", name, wrong) : NULL;
}

static bool bands_are_equal(const Step *a, const Step *b) {
    if (!a->band.is_set || !b->band.is_set) return a->band.is_set == b->band.is_set;
    return a->band.row == b->band.row && a->band.column == b->band.column && a->band.low == b->band.low &&
           a->band.high == b->band.high;
}

// The sweep with one more product; false when it must stay by itself. One that computes the lse others read is behind
// none of them.
static bool join(const Sweeps *sweeps, const TileSpace *space, Sweep *sweep, const Sweep *more) {
    bool computes_lse = sweep->lse != NODE_NONE, is_only = space->sweep_count == 1;
    if (sweep->count == SWEEP_MOST || sweep->swept != more->swept || (computes_lse && !is_only)) return false;
    const Step *steps = sweeps->plan->steps;
    if (!bands_are_equal(&steps[sweep->products[0]], &steps[more->products[0]])) return false;
    for (uint32_t i = 0; i < sweep->count; i++)
        if (must_stay_before(sweeps, sweep->products[i], more->products[0])) return false;
    uint32_t products[SWEEP_MOST], count = 0;
    for (; count < sweep->count; count++) products[count] = sweep->products[count];
    products[count++] = more->products[0];
    Sweep both = sweep_build(sweeps, space, products, count, computes_lse);
    if (refusal_of(sweeps, space, &both)) return false;
    *sweep = both;
    return true;
}

// ---- the sweeps of a space

static ValueId add_lse(Sweeps *sweeps, const TileSpace *space) {
    Plan *plan = sweeps->plan;
    const Step *row = &plan->steps[space->lse_step];
    DimList order = graph_node(row->region, space->lse)->order;
    return plan_add_value(plan, &sweeps->capacity,
                          (Value){.kind = VALUE_TEMPORARY,
                                  .name = arena_format(plan->arena, "%s.lse", space->place),
                                  .dtype = DTYPE_F32,
                                  .order = order,
                                  .layout = layout_plain(plan->dims, order),
                                  .next_of = VALUE_NONE,
                                  .space = SPACE_ARENA});
}

static void find_sweeps(const Sweeps *sweeps, TileSpace *space) {
    bool is_computed = false;
    space->sweeps = ARENA_ARRAY(sweeps->scratch, Sweep, space->consumer_count);
    for (uint32_t i = 0; i < space->consumer_count && !space->refusal; i++) {
        Sweep sweep = sweep_build(sweeps, space, &space->consumers[i], 1, !is_computed);
        is_computed |= sweep.meets_lse;
        space->refusal = refusal_of(sweeps, space, &sweep);
        bool is_joined = false;
        for (uint32_t j = 0; j < space->sweep_count && !space->refusal && !is_joined; j++)
            is_joined = join(sweeps, space, &space->sweeps[j], &sweep);
        if (!is_joined) space->sweeps[space->sweep_count++] = sweep;
    }
}

// What a row wrote beside its tiles must be there as early for others.
static const char *lse_refusal(const Sweeps *sweeps, const TileSpace *space) {
    const Sweep *sweep = NULL;
    for (uint32_t i = 0; i < space->sweep_count; i++)
        if (space->sweeps[i].lse != NODE_NONE) sweep = &space->sweeps[i];
    if (!sweep) return "nothing that would be swept needs the lse";
    for (uint32_t s = space->lse_step; s < last_product(sweep); s++)
        if (!space->has_step[s] && step_reads(&sweeps->plan->steps[s], space->lse_value))
            return arena_format(sweeps->scratch, "%s needs the lse first", sweep_step_name(sweeps, s));
    return NULL;
}

// `is_new`: nobody but sweeps reads it.
static void hand_lse(const Sweeps *sweeps, TileSpace *space, bool is_new) {
    space->hands_lse = !is_new;
    for (uint32_t i = 0; i < space->sweep_count; i++)
        space->hands_lse |= space->sweeps[i].meets_lse && space->sweeps[i].lse == NODE_NONE;
    space->refusal = space->hands_lse ? lse_refusal(sweeps, space) : NULL;
    for (uint32_t i = 0; i < space->sweep_count && space->hands_lse; i++)
        if (space->sweeps[i].lse != NODE_NONE) sweep_hand_lse(sweeps, space, &space->sweeps[i]);
}

// ---- the plan with them

static void remove_space(const Sweeps *sweeps, const TileSpace *space) {
    Plan *plan = sweeps->plan;
    ValueId *instead = ARENA_ARRAY(sweeps->scratch, ValueId, plan->value_count);
    for (ValueId id = 0; id < plan->value_count; id++) {
        bool is_gone = id == space->lse_value ? !space->hands_lse : space->has_value[id];
        instead[id] = is_gone ? VALUE_NONE : id;
    }
    remove_values(plan, instead);
}

static void make(const Sweeps *sweeps, const TileSpace *space, bool *is_seen) {
    Plan *plan = sweeps->plan;
    uint32_t count = 0;
    for (uint32_t s = 0; s < plan->step_count; s++) {
        bool is_kept = !space->has_step[s];
        for (uint32_t i = 0; i < space->sweep_count; i++) {
            if (last_product(&space->sweeps[i]) != s) continue;
            plan->steps[s] = space->sweeps[i].step;
            is_kept = true;
        }
        if (!is_kept) continue;
        is_seen[count] = is_seen[s];
        plan->steps[count++] = plan->steps[s];
    }
    plan->step_count = count;
    for (uint32_t i = 0; i < space->sweep_count; i++)
        for (uint32_t k = 0; k < space->sweeps[i].step.output_count; k++)
            plan->values[space->sweeps[i].step.outputs[k]].parts = 0;
    remove_space(sweeps, space);
}

// ---- the door

static bool is_made(const Sweeps *sweeps, TileSpace *space) {
    bool is_possible = !space->refusal;
    if (is_possible) sweep_weigh(sweeps, space);
    Decision decision = {.pass = "plan_sweeps",
                         .what = "sweep",
                         .place = space->place,
                         .made = space->pays,
                         .reason = is_possible ? space->weighed : space->refusal};
    choices_decide(sweeps->context->choices, is_possible, &decision);
    decision.bytes_saved = decision.made ? space->bytes_saved : 0;
    decision.flops_saved = decision.made ? space->flops_saved : 0;
    ledger_add(sweeps->context->ledger, decision);
    return decision.made;
}

// Whether step s begins a space that is swept now: then all behind it have other numbers. `is_seen`: by step.
static bool try_space(Sweeps *sweeps, uint32_t s, bool *is_seen) {
    Plan *plan = sweeps->plan;
    TileSpace space;
    is_seen[s] = true;
    if (!sweep_find_space(sweeps, s, &space)) return false;
    for (uint32_t other = 0; other < plan->step_count; other++) is_seen[other] |= space.has_step[other];
    uint32_t values = plan->value_count;
    bool has_lse = !space.refusal && space.lse_step != STEP_NONE, is_new = space.lse_value == VALUE_NONE;
    if (has_lse && is_new) space.lse_value = add_lse(sweeps, &space);
    if (!space.refusal) find_sweeps(sweeps, &space);
    if (!space.refusal && has_lse) hand_lse(sweeps, &space, is_new);
    bool made = is_made(sweeps, &space);
    if (made) make(sweeps, &space, is_seen);
    else plan->value_count = values;
    return made;
}

bool pass_plan_sweeps(Plan *plan, PassContext *context) {
    bool is_narrow = context->tensor == TENSOR_BF16 || context->tensor == TENSOR_F16;
    if (context->fuse != FUSE_ALL || !target_is_gpu(context->target) || !is_narrow) return true;
    Arena *scratch = arena_create();
    Sweeps sweeps = {.plan = plan, .context = context, .scratch = scratch, .capacity = plan->value_count};
    sweeps.writer = plan_writers(plan, scratch);
    bool *is_seen = ARENA_ARRAY(scratch, bool, plan->step_count);
    for (uint32_t s = 0; s < plan->step_count;) {
        bool made = !is_seen[s] && try_space(&sweeps, s, is_seen);
        if (made) sweeps.writer = plan_writers(plan, scratch);
        s = made ? 0 : s + 1;
    }
    arena_free(scratch);
    return true;
}
