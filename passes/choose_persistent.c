// choose_persistent: whether a GPU runs the program as one kernel, whose blocks meet at barriers of the whole grid.
//
// requires  memory, flops and bytes of steps
// ensures   plan->is_persistent when the key `persistent` or a choice asks for it, what is alive of its memory lies in
//           the cache of all, and steps take so little that starting a kernel for each counts
// does nothing on a processor
// ledger    made; or a candidate for tuning, with its figures; or the first condition that failed
//
//     memory arena 5505280 state 18890752          ->   memory arena 5505280 state 18890752 .. persistent
//
// Starting a kernel costs 1 to 3 us; a barrier of the grid about as much, but nothing drains and fills again. What that
// is worth, and what it costs that all bodies share one kernel's registers, has to be measured: it is no default.
#include <math.h>

#include "passes/pass_functions.h"
#include "passes/plan_measure.h"

// From one kernel to the next are 1 to 3 us (published figures of H100); longer steps gain little.
static const double small_seconds = 4e-6;

typedef struct {
    uint32_t launches;
    double seconds;    // of one, on the average, by its roofline
    double megabytes;  // states, and the most of other values that is alive at one time
} Measured;

// The arena may be larger: what is dead in it needs no cache.
static double alive_bytes(const Plan *plan) {
    Arena *scratch = arena_create();
    const MemoryBlock *lives = memory_lives(plan);
    uint32_t epochs = plan_epochs(plan, scratch)[plan->step_count] + 1;
    double *alive = ARENA_ARRAY(scratch, double, epochs), most = 0;
    for (ValueId id = 0; id < plan->value_count; id++) {
        const Value *value = &plan->values[id];
        if (value->space != SPACE_ARENA || value->is_over) continue;
        for (uint32_t epoch = lives[id].first; epoch <= lives[id].last && epoch < epochs; epoch++)
            alive[epoch] += (double)value->bytes;
    }
    for (uint32_t epoch = 0; epoch < epochs; epoch++) most = fmax(most, alive[epoch]);
    arena_free(scratch);
    return most;
}

static Measured measure(const Plan *plan, const Target *target) {
    Measured measured = {.megabytes = 1e-6 * (alive_bytes(plan) + (double)plan->state_bytes)};
    for (uint32_t first = 0, end; first < plan->step_count; first = end, measured.launches++) {
        double flops = 0, bytes = 0;
        end = plan_strand_end(plan, first);
        for (uint32_t s = first; s < end; s++) {
            flops += plan->steps[s].flops;
            bytes += plan->steps[s].bytes;
        }
        measured.seconds += fmax(flops / target->peak_flops, bytes / target->bandwidth);
    }
    if (measured.launches > 0) measured.seconds /= measured.launches;
    return measured;
}

static const char *refusal(const Plan *plan, const Target *target, const Measured *measured) {
    double room = 1e-6 * target->l3_bytes;
    if (measured->launches < 2) return "there are no launches to put together";
    if (measured->megabytes > room)
        return arena_format(plan->arena,
                            "states and what is alive at one time take %.1f MB, the cache of all has %.1f MB",
                            measured->megabytes, room);
    if (measured->seconds > small_seconds)
        return arena_format(plan->arena, "a launch takes %.1f us on the average, and from %.1f us on little is gained",
                            1e6 * measured->seconds, 1e6 * small_seconds);
    return NULL;
}

bool pass_choose_persistent(Plan *plan, PassContext *context) {
    if (!target_is_gpu(context->target)) return true;
    Measured measured = measure(plan, context->target);
    const char *why_not = refusal(plan, context->target, &measured);
    const char *figures = arena_format(plan->arena, "%u launches of %.1f us on the average, memory of %.1f MB",
                                       measured.launches, 1e6 * measured.seconds, measured.megabytes);
    Decision decision = {.pass = "choose_persistent",
                         .what = "persistent kernel",
                         .place = "",
                         .made = context->persistent && !why_not,
                         .reason = why_not            ? why_not
                                   : context->persistent ? figures
                                                      : arena_format(plan->arena, "a candidate: %s", figures)};
    choices_decide(context->choices, !why_not, &decision);
    plan->is_persistent = decision.made;
    ledger_add(context->ledger, decision);
    return true;
}
