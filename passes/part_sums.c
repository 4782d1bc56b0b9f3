// part_sums: long sums on a GPU, in parts that run side by side.
//
// requires  layouts
// ensures   a row step that sums many rows to few numbers, as the gradients of gains and biases, is cut along what it
//           sums over, and each piece has a part of the result; a step behind it adds the parts up in their order
// does nothing on a processor, for products (choose_tensor), and for what is written over another value
// ledger    per such step: how many parts, with both times, or the first condition that failed
//
//     step 42 row "layernorm backward" cut()/1 out %g[C]      step 42 row .. cut(B,T)/64 groups 64   out %9[C] parts 64
//                                                             step 43 map "add up"   in %9   out %g[C]
//
// A worker has 16 of the result's numbers and adds up row by row: 768 columns are 48 workers, of which a GPU has room
// for thousands, and 32768 rows take them milliseconds. Rates are of no measurement; the same for every GPU, so that
// sums have the same parts, and bits, on each. Readers could add up parts themselves, but the global norm reads all
// gradients, and would be a text of ten thousand loads.
#include <math.h>
#include <string.h>

#include "ir/row_column.h"
#include "passes/new_step.h"
#include "passes/pass_functions.h"
#include "passes/step_cost.h"
#include "passes/step_place.h"
#include "passes/strands.h"

static const double round_seconds = 1e-6;    // until what a worker asks for at once has come
static const double add_up_seconds = 3e-6, part_seconds = 50e-9;   // of the step behind it, of each part
enum { LANES = 16, ALONG_AT_ONCE = 32, LEAST_SUMMED = 32, MOST_PARTS = 64, WORKERS_AT_ONCE = 16384 };

typedef struct {
    const Plan *plan;
    const Step *step;
    DimList summed;           // outermost first
    double workers, at_once;  // without parts; what each sums of at once
} Sum;

static double extent_of(const Plan *plan, DimSet dims) { return (double)graph_elements(plan->dims, dims); }

static const char *refusal(const Sum *sum) {
    if (sum->step->band.is_set) return "a band leaves out some of it";
    for (uint32_t k = 0; k < sum->step->output_count; k++) {
        const Value *value = &sum->plan->values[sum->step->outputs[k]];
        if (value->next_of != VALUE_NONE || value->is_over) return "a sum of its is stored over another value";
    }
    return NULL;
}

// Where numbers of the result run in lanes, a worker has 16 of them and takes 16 rows at once; else it has one, and
// goes along what is summed (codegen/lower_row.c).
static void find_workers(Sum *sum) {
    double results = extent_of(sum->plan, dim_list_set(&sum->plan->values[sum->step->outputs[0]].order));
    bool by_columns = row_column(sum->plan, sum->step) != DIM_NONE;
    sum->workers = by_columns ? ceil(results / LANES) : results;
    sum->at_once = by_columns ? LANES : ALONG_AT_ONCE;
}

static double seconds_of(const Sum *sum, double parts) {
    double each = extent_of(sum->plan, dim_list_set(&sum->summed)) / parts;
    double rounds = ceil(sum->workers * parts / WORKERS_AT_ONCE) * ceil(each / sum->at_once);
    return rounds * round_seconds + (parts > 1 ? add_up_seconds + parts * part_seconds : 0);
}

// The cut into so many parts along the outermost dims of the sum: whole ones, and equal ranges of the last.
static bool cut_of(const Sum *sum, uint32_t parts, Cut *cut) {
    int64_t before = 1, total = 1;
    *cut = (Cut){.pieces = parts, .groups = parts};
    for (int i = 0; i < sum->summed.rank && total < parts; i++) {
        before = total;
        total *= graph_extent(sum->plan->dims, sum->summed.dims[i]);
        cut->dims.dims[cut->dims.rank++] = sum->summed.dims[i];
    }
    cut->total = total;
    return parts % before == 0 && total % parts == 0 && parts > before;
}

static uint32_t fastest_parts(const Sum *sum, double *seconds) {
    double all = extent_of(sum->plan, dim_list_set(&sum->summed));
    uint32_t best = 1;
    *seconds = seconds_of(sum, 1);
    for (uint32_t parts = 2; parts <= MOST_PARTS && all / parts >= LEAST_SUMMED; parts++) {
        Cut cut;
        if (!cut_of(sum, parts, &cut) || seconds_of(sum, parts) >= *seconds) continue;
        best = parts;
        *seconds = seconds_of(sum, parts);
    }
    return best;
}

// The parts of each result; 1: it stays whole.
static uint32_t choose(const Sum *sum, PassContext *context) {
    Arena *arena = sum->plan->arena;
    Decision decision = {.pass = "part_sums", .what = "sum in parts", .place = sum->step->place};
    double seconds = 0, whole = seconds_of(sum, 1);
    uint32_t parts = 1;
    decision.reason = refusal(sum);
    if (!decision.reason) {
        parts = fastest_parts(sum, &seconds);
        decision.made = parts > 1;
        const char *times = arena_format(arena, "%u parts: %.3g us, %.3g us whole", parts, 1e6 * seconds, 1e6 * whole);
        const char *no_faster = arena_format(arena, "%.3g us whole, parts are no faster", 1e6 * whole);
        decision.reason = decision.made ? times : no_faster;
    }
    choices_decide(context->choices, parts > 1, &decision);
    ledger_add(context->ledger, decision);
    return decision.made ? parts : 1;
}

// ---- what is made of it

static Step *insert_step(Plan *plan, uint32_t at) {
    Step *steps = ARENA_ARRAY(plan->arena, Step, plan->step_count + 1);
    memcpy(steps, plan->steps, at * sizeof *steps);
    memcpy(steps + at + 1, plan->steps + at, (plan->step_count - at) * sizeof *steps);
    plan->steps = steps;
    plan->step_count++;
    return &steps[at];
}

// Step s writes parts of its result k; the new step `at` adds them up.
static void add_up(Plan *plan, size_t *capacity, uint32_t s, uint32_t k, uint32_t parts, uint32_t at) {
    ValueId whole = plan->steps[s].outputs[k];
    Value value = plan->values[whole];
    const char *name = value.kind == VALUE_OUTPUT ? value.name : "%0";
    value.kind = VALUE_TEMPORARY;
    value.name = NULL;
    value.parts = parts;
    ValueId in_parts = plan->steps[s].outputs[k] = plan_add_value(plan, capacity, value);
    const char *place = step_place(plan->arena, plan->steps, plan->step_count, "add up", plan->steps[s].place);
    Step step = new_step(plan, "add up", place, in_parts, whole);
    graph_output(step.region, name, build_operand(step.region, 0, value.dtype, value.order));
    step_cost(plan, &step);
    *insert_step(plan, at) = step;
}

// ---- the pass

bool pass_part_sums(Plan *plan, PassContext *context) {
    if (!target_is_gpu(context->target)) return true;
    Arena *scratch = arena_create();
    size_t capacity = plan->value_count;
    for (uint32_t s = 0; s < plan->step_count; s++) {
        Step *step = &plan->steps[s];
        if (step->form != FORM_ROW) continue;
        DimList summed = strand_step_facts(plan, step, scratch).summed;
        if (summed.rank == 0) continue;
        Sum sum = {.plan = plan, .step = step, .summed = summed};
        find_workers(&sum);
        uint32_t parts = choose(&sum, context), results = step->output_count;
        if (parts == 1) continue;
        cut_of(&sum, parts, &step->cut);
        for (uint32_t k = 0; k < results; k++) add_up(plan, &capacity, s, k, parts, s + 1 + k);
        s += results;
    }
    arena_free(scratch);
    return true;
}
