// plan_again: steps made a second time for later readers, until activations fit in their budget.
//
// requires  cuts, strands, chains; context->activation_budget, else nothing is done
// ensures   activations take at most so many bytes at one time: what lives in the arena by the rule of plan_memory, but
//           not results (gradients, which stay to the end whatever is done), and scratch memory. For that, steps that a
//           later reader needs are in the plan a second time, right before it. A diagnostic, with the smallest budget
//           that can be met, when that is not enough
// ledger    each value that is made again, with bytes and flops; what could be no more, and why; the sum
//
//     step 0 product in %x     out %u         step 0  product in %x  out %u        %u is not there
//     step 1 map     in %u     out %g         step 1  map     in %u  out %g        between step 1
//     ...                                     ...                                  and step 0'
//     step 8 map     in %u %d  out %e         step 0' product in %x  out %u'
//                                             step 8  map     in %u' %d  out %e
//
// The same region, cut and engine give the same bits, so a budget changes no result.
//
// Method: greedy rematerialisation. Of all that lies idle where most is held, the step is chosen that saves most bytes
// for the flops of making it again, along with what it needs (Kumar et al., "Efficient rematerialization for deep
// networks", NeurIPS 2019, choose from such lists; the trade is that of Chen et al., "Training deep nets with sublinear
// memory cost", 2016). After each choice the plan is made anew and measured by the rules of plan_edges and plan_memory.
// Nothing depends on the budget but when to stop: a smaller one goes on where a larger one ended.
#include <string.h>

#include "passes/again.h"
#include "passes/pass_functions.h"

typedef struct {
    Remaking remaking;
    Trial now;
    size_t scratch_bytes;     // of all threads; strands stay as they are, and so do these
    bool *refused;            // by step: it was tried, and does not lower what is held
    uint32_t steps;           // made again
    double flops;             // of these
} Search;

typedef struct {
    size_t activations, arena;
} Measure;

// ---- measures

static size_t activations_now(const Search *search) { return search->now.held + search->scratch_bytes; }

// Also the arena, exactly as plan_memory will place the values.
static bool measure(Search *search, Measure *measure) {
    if (!memory_place(&search->now.plan, search->remaking.context)) return false;
    search->scratch_bytes = search->now.plan.scratch_bytes * (size_t)search->remaking.context->target->cores;
    *measure = (Measure){activations_now(search), search->now.plan.arena_bytes};
    return true;
}

static Search search_create(const Plan *plan, PassContext *context, Arena *scratch) {
    Search search = {.remaking = {.plan = plan, .context = context, .scratch = scratch}};
    Remaking *remaking = &search.remaking;
    remaking->writer = plan_writers(plan, scratch);
    remaking->overwriter = ARENA_ARRAY(scratch, uint32_t, plan->value_count);
    remaking->in_strand = ARENA_ARRAY(scratch, bool, plan->step_count + 1);
    remaking->again = ARENA_ARRAY(scratch, Again, plan->step_count);
    search.refused = ARENA_ARRAY(scratch, bool, plan->step_count);
    for (ValueId id = 0; id < plan->value_count; id++) remaking->overwriter[id] = STEP_NONE;
    for (uint32_t s = 0; s < plan->step_count; s++) {
        const Step *step = &plan->steps[s];
        remaking->in_strand[s] = plan_strand_end(plan, s) > s + 1 || step->joined || step->cut.rounds > 0;
        for (uint32_t k = 0; k < step->output_count; k++) {
            ValueId state = plan->values[step->outputs[k]].next_of;
            if (state != VALUE_NONE) remaking->overwriter[state] = s;
        }
    }
    return search;
}

// ---- the ledger

static const char *place_of(const Plan *plan, uint32_t s) {
    const Step *step = &plan->steps[s];
    for (uint32_t k = 0; k < step->output_count; k++)
        if (plan->values[step->outputs[k]].name) return plan->values[step->outputs[k]].name;
    return step->place;
}

static void report(const Search *search, uint32_t s, const char *reason, bool made, double bytes, double flops) {
    ledger_add(search->remaking.context->ledger, (Decision){.pass = "plan_again",
                                                            .what = "make again",
                                                            .place = place_of(search->remaking.plan, s),
                                                            .made = made,
                                                            .reason = reason,
                                                            .bytes_saved = bytes,
                                                            .flops_saved = -flops});
}

// The step that touches most where most is held.
static const char *peak_name(const Search *search) {
    const Plan *plan = &search->now.plan;
    const Step *largest = NULL;
    for (uint32_t s = 0; s < plan->step_count; s++)
        if (search->now.epoch[s] == search->now.peak && (!largest || plan->steps[s].bytes > largest->bytes))
            largest = &plan->steps[s];
    return arena_format(search->now.arena, "%s at %s", largest->label, largest->place);
}

// Bytes are those of the whole choice, flops those of each step.
static void report_made(Search *search, const Remake *remake) {
    const Plan *plan = search->remaking.plan;
    const char *peak = peak_name(search);
    for (uint32_t i = 0; i < remake->count; i++) {
        uint32_t s = remake->members[i];
        bool is_root = s == remake->root;
        const char *reason = arena_format(search->now.arena, "%s is made again from it", place_of(plan, remake->root));
        if (is_root)
            reason = arena_format(search->now.arena, "idle where most is held, at %s; %.3g bytes for a flop", peak,
                                  remake->saved / remake->work);
        report(search, s, reason, true, is_root ? remake->saved : 0, plan->steps[s].flops);
        search->flops += plan->steps[s].flops;
        search->steps++;
    }
}

// What lies idle still, when all is done.
static void report_refused(const Search *search) {
    for (uint32_t s = 0; s < search->remaking.plan->step_count; s++) {
        Remake remake;
        if (!again_weigh(&search->remaking, &search->now, s, &remake)) continue;
        const char *reason = remake.reason       ? remake.reason
                             : search->refused[s] ? "more would be held elsewhere"
                                                  : "the budget is met without it";
        report(search, s, reason, false, remake.saved, search->remaking.plan->steps[s].flops);
    }
}

static double all_flops(const Plan *plan) {
    double flops = 0;
    for (uint32_t s = 0; s < plan->step_count; s++) flops += plan->steps[s].flops;
    return flops;
}

static void report_sum(const Search *search, Measure before, Measure after) {
    double flops = all_flops(search->remaking.plan);
    const char *reason =
        arena_format(search->now.arena,
                     "%.1f MB of activations at most, %.1f MB allowed, %.1f MB without it; arena %.1f MB instead of "
                     "%.1f MB; %u steps made again, %.1f %% more flops",
                     1e-6 * (double)after.activations, 1e-6 * (double)search->remaking.context->activation_budget,
                     1e-6 * (double)before.activations, 1e-6 * (double)after.arena, 1e-6 * (double)before.arena,
                     search->steps, flops > 0 ? 100 * search->flops / flops : 0);
    ledger_add(search->remaking.context->ledger,
               (Decision){.pass = "plan_again",
                          .what = "activation budget",
                          .place = "",
                          .made = true,
                          .reason = reason,
                          .bytes_saved = (double)(before.activations - after.activations),
                          .flops_saved = -search->flops});
}

// ---- the search

// The step that saves most for its work, the first of equal ones. False when there is none.
static bool choose(const Search *search, Remake *best) {
    bool any = false;
    for (uint32_t s = 0; s < search->remaking.plan->step_count; s++) {
        Remake remake;
        if (search->refused[s] || !again_weigh(&search->remaking, &search->now, s, &remake) || remake.reason) continue;
        if (any && remake.saved * best->work <= best->saved * remake.work) continue;
        *best = remake;
        any = true;
    }
    return any;
}

typedef enum { SEARCH_MOVED, SEARCH_DONE, SEARCH_FAILED } SearchState;

// Takes the best choice that does not make more be held than now.
static SearchState improve(Search *search) {
    Remaking *remaking = &search->remaking;
    Again *again = ARENA_ARRAY(remaking->scratch, Again, remaking->plan->step_count);
    memcpy(again, remaking->again, remaking->plan->step_count * sizeof *again);
    for (Remake best; choose(search, &best);) {
        again_decide(remaking, &search->now, &best);
        Trial next;
        if (!again_measure(remaking, &next)) {
            arena_free(next.arena);
            return SEARCH_FAILED;
        }
        if (next.held <= search->now.held) {
            report_made(search, &best);
            arena_free(search->now.arena);
            search->now = next;
            return SEARCH_MOVED;
        }
        arena_free(next.arena);
        search->refused[best.root] = true;
        memcpy(remaking->again, again, remaking->plan->step_count * sizeof *again);
    }
    return SEARCH_DONE;
}

static bool refuse(const Search *search) {
    PassContext *context = search->remaking.context;
    context->least_budget = activations_now(search);
    return diag_error(context->diags, (Place){0},
                      "activation_budget of %.1f MB: with %u steps made again, activations still take %.1f MB; "
                      "allow %zu bytes, or lower batch_size or block_size",
                      1e-6 * (double)context->activation_budget, search->steps, 1e-6 * (double)context->least_budget,
                      context->least_budget);
}

static bool run(Search *search, Plan *plan) {
    Measure before, after;
    if (!again_measure(&search->remaking, &search->now) || !measure(search, &before)) return false;
    while (activations_now(search) > search->remaking.context->activation_budget) {
        SearchState state = improve(search);
        if (state == SEARCH_FAILED) return false;
        if (state == SEARCH_DONE) return refuse(search);
    }
    if (!measure(search, &after)) return false;
    report_refused(search);
    report_sum(search, before, after);
    if (search->steps) *plan = again_plan(&search->remaking, plan->arena, NULL);
    return true;
}

bool pass_plan_again(Plan *plan, PassContext *context) {
    if (!context->activation_budget) return true;
    Arena *scratch = arena_create();
    Search search = search_create(plan, context, scratch);
    bool done = run(&search, plan);
    arena_free(search.now.arena);
    arena_free(scratch);
    return done;
}
