// part_sums: long sums on a GPU, in parts that run side by side.
//
// requires  layouts
// ensures   a row step that sums many rows to few numbers, as the gradients of gains and biases, is cut along what it
//           sums over, and each piece has a part of the result; who reads it adds up the parts in their order
// does nothing on a processor, for products (choose_tensor), and for what products or scatters read, or is a number that
//           the runtime reads, as the loss
// ledger    per such step: how many parts, with both times, or the first condition that failed
//
//     step 42 row "layernorm backward" cut()/1   out %g[C]
//     step 42 row "layernorm backward" cut(B,T)/128 groups 128   out %g[C] parts 128
//
// A worker has 16 of the result's numbers and adds up row by row: 768 columns are 48 workers, of which a GPU has room
// for thousands, and 32768 rows take them milliseconds. Rates are of no measurement; the same for every GPU, so that
// sums have the same parts, and bits, on each.
#include <math.h>

#include "passes/pass_functions.h"
#include "passes/strands.h"

static const double round_seconds = 1e-6;    // until what a worker asks for at once has come
static const double part_seconds = 50e-9;    // of a part, by each of its readers
static const double least_gain = 2e-6;
enum { LANES = 16, ALONG_AT_ONCE = 32, LEAST_SUMMED = 32, MOST_PARTS = 128, WORKERS_AT_ONCE = 16384 };

typedef struct {
    const Plan *plan;
    const Step *step;
    DimList summed;           // outermost first
    double workers, at_once;  // without parts; what each sums of at once
    double readers;           // steps that read the results
} Sum;

static double extent_of(const Plan *plan, DimSet dims) { return (double)graph_elements(plan->dims, dims); }

static bool adds_up_parts(const Step *step) {
    for (NodeId id = 0; id < graph_nodes(step->region); id++)
        if (op_scatters(graph_node(step->region, id)->op)) return false;
    return step->form != FORM_PRODUCT && step->cut.groups == 0;
}

static const char *refusal(Sum *sum) {
    const Plan *plan = sum->plan;
    const Step *step = sum->step;
    if (step->cut.pieces > 1) return "it is cut";
    if (step->band.is_set) return "a band leaves out some of it";
    for (uint32_t k = 0; k < step->output_count; k++) {
        const Value *value = &plan->values[step->outputs[k]];
        if (value->next_of != VALUE_NONE || value->is_over) return "a sum of its is stored over another value";
        if (value->kind == VALUE_OUTPUT && value->order.rank == 0) return "the runtime reads a sum of its as it lies";
        for (uint32_t s = 0; s < plan->step_count; s++) {
            if (!step_reads(&plan->steps[s], step->outputs[k])) continue;
            if (!adds_up_parts(&plan->steps[s])) return "a reader cannot add up parts";
            sum->readers++;
        }
    }
    return NULL;
}

// Where numbers of the result lie side by side in what is summed, a worker has 16 of them and takes 16 rows at once;
// else it has one, and goes along what is summed (codegen/lower_row.c).
static void find_workers(Sum *sum) {
    const Plan *plan = sum->plan;
    double results = extent_of(plan, dim_list_set(&plan->values[sum->step->outputs[0]].order)), most = 0;
    bool by_columns = false;
    for (uint32_t k = 0; k < sum->step->operand_count; k++) {
        const Value *value = &plan->values[sum->step->operands[k]];
        DimSet dims = dim_list_set(&value->order), summed = dim_list_set(&sum->summed);
        if (!(dims & summed) || extent_of(plan, dims) <= most) continue;
        most = extent_of(plan, dims);
        by_columns = !dim_in(summed, value->order.dims[value->order.rank - 1]);
    }
    sum->workers = by_columns ? ceil(results / LANES) : results;
    sum->at_once = by_columns ? LANES : ALONG_AT_ONCE;
}

static double seconds_of(const Sum *sum, double parts) {
    double each = extent_of(sum->plan, dim_list_set(&sum->summed)) / parts;
    double rounds = ceil(sum->workers * parts / WORKERS_AT_ONCE) * ceil(each / sum->at_once);
    return rounds * round_seconds + (parts > 1 ? parts * sum->readers * part_seconds : 0);
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
    return seconds_of(sum, 1) - *seconds < least_gain ? 1 : best;
}

static void choose(Plan *plan, Step *step, PassContext *context, Sum *sum) {
    Decision decision = {.pass = "part_sums", .what = "sum in parts", .place = step->place};
    double seconds = 0, whole = seconds_of(sum, 1);
    uint32_t parts = 1;
    decision.reason = refusal(sum);
    if (!decision.reason) {
        parts = fastest_parts(sum, &seconds);
        decision.made = parts > 1;
        decision.reason = decision.made ? arena_format(plan->arena, "%u parts: %.3g us, %.3g us whole", parts,
                                                       1e6 * seconds, 1e6 * whole)
                                        : arena_format(plan->arena, "%.3g us whole, parts are no faster", 1e6 * whole);
    }
    choices_decide(context->choices, parts > 1, &decision);
    if (decision.made) {
        cut_of(sum, parts, &step->cut);
        for (uint32_t k = 0; k < step->output_count; k++) plan->values[step->outputs[k]].parts = parts;
    }
    ledger_add(context->ledger, decision);
}

bool pass_part_sums(Plan *plan, PassContext *context) {
    if (!target_is_gpu(context->target)) return true;
    Arena *scratch = arena_create();
    for (uint32_t s = 0; s < plan->step_count; s++) {
        Step *step = &plan->steps[s];
        if (step->form != FORM_ROW) continue;
        DimList summed = strand_step_facts(plan, step, scratch).summed;
        if (summed.rank == 0) continue;
        Sum sum = {.plan = plan, .step = step, .summed = summed};
        find_workers(&sum);
        choose(plan, step, context, &sum);
    }
    arena_free(scratch);
    return true;
}
