// A strand from the first step that a few sequences can take alone to the last: forward, loss and backward.
//
// In: a cut plan. Out: a run over the whole plan, each step before it, in it or after it:
//
//     before   what needs nothing of the strand and cannot be cut along its dims: copies of weights
//     in       what is cut along its dims, and reads of the others only its own pieces; and sums over its dims, such as
//              gradients of weights, to which each piece adds its share (Cut.groups)
//     after    the rest: what needs all pieces, such as the sum of the gradients of a table, or writes a state, as the
//              optimizer does
//
// Whether it pays is a matter of time for traffic beyond a core's second-level cache, for each number of pieces P:
//
//     step by step      all activations of the batch pass by once for each write and read, from where all of them fit
//     piece by piece    the activations of one piece do, and once a piece everything that the steps read of others
//                       (weights) and add to (their gradients); each group's part of a sum is written and read once more
//
// Method: depth-first execution of a batch's parts, as in micro-batching, but inside one step; the accumulators of the
// gradients are few (Target.cores) and are added in a fixed order, so results do not depend on the number of threads.
#include <math.h>

#include "passes/pass_functions.h"
#include "passes/strands.h"

// The third-level cache is about this much faster than memory.
static const double l3_speed = 4;
// Of the third-level cache, what can be used before its lines are driven out.
static const double l3_part = 0.75;
enum { LEAST_ROWS = 16, LEAST_STEPS = 4 };

// ---- which steps

// The first dims of the sum, and not all of them: the last one runs inside of a step's kernel.
static bool can_be_shared(const Strands *strands, uint32_t s, const DimList *cut) {
    const DimList *summed = &strands->summed[s];
    if (cut->rank >= summed->rank) return false;
    for (int i = 0; i < cut->rank; i++)
        if (summed->dims[i] != cut->dims[i]) return false;
    return true;
}

static bool can_be_cut(const Strands *strands, uint32_t s, const DimList *cut) {
    return !(dim_list_set(cut) & ~strands->cuttable[s]) || can_be_shared(strands, s, cut);
}

static StrandPlace place_of_step(const Strands *strands, const uint8_t *where, uint32_t s, const DimList *cut) {
    const Step *step = &strands->plan->steps[s];
    DimSet dims = dim_list_set(cut);
    bool can = can_be_cut(strands, s, cut), needs = false;
    for (uint32_t k = 0; k < step->operand_count; k++) {
        uint32_t writer = strands->writer[step->operands[k]];
        if (writer == NO_STEP || where[writer] == STRAND_BEFORE) continue;
        needs = true;
        if (where[writer] == STRAND_AFTER || (dims & ~strand_own(strands, s, k, dims))) can = false;
    }
    return can ? STRAND_IN : needs || strands->writes_state[s] ? STRAND_AFTER : STRAND_BEFORE;
}

static bool find_run(const Strands *strands, const DimList *cut, Run *run) {
    const Plan *plan = strands->plan;
    uint8_t *where = ARENA_ARRAY(strands->scratch, uint8_t, plan->step_count);
    uint32_t count = 0;
    for (uint32_t s = 0; s < plan->step_count; s++) {
        where[s] = (uint8_t)place_of_step(strands, where, s, cut);
        count += where[s] == STRAND_IN;
    }
    *run = (Run){.end = plan->step_count, .where = where};
    run->cut = (Cut){.dims = *cut, .total = graph_elements(plan->dims, dim_list_set(cut)), .pieces = 1, .groups = 1};
    bool *leaves = ARENA_ARRAY(strands->scratch, bool, plan->value_count + 1);
    for (uint32_t s = 0; s < plan->step_count; s++)
        for (uint32_t k = 0; k < plan->steps[s].operand_count; k++)
            if (where[s] != STRAND_IN) leaves[plan->steps[s].operands[k]] = true;
    run->leaves = leaves;
    return count >= LEAST_STEPS;
}

// ---- what passes by

typedef struct {
    double moved;            // bytes that steps of the strand write and read of each other
    double held;             // of these, where they are most
    double others, others_once;   // bytes that pieces read of other steps and states: all pieces together, and once
    double sums;             // bytes of the sums over the cut's dims
} Traffic;

static bool is_shared(const Strands *strands, const Run *run, uint32_t s) {
    return (dim_list_set(&run->cut.dims) & ~strands->cuttable[s]) != 0;
}

// One part for each piece of what has the cut's dims; the whole again for each piece of the rest.
static double times_read(const Strands *strands, const Run *run, uint32_t s, uint32_t k) {
    DimSet cut = dim_list_set(&run->cut.dims);
    return cut & ~strand_own(strands, s, k, cut) ? run->cut.pieces : 1;
}

static Traffic traffic_of(const Strands *strands, const Run *run) {
    const Plan *plan = strands->plan;
    Traffic traffic = {.held = strand_held(strands, run, false)};
    for (uint32_t s = 0; s < plan->step_count; s++) {
        const Step *step = &plan->steps[s];
        if (!run_has(run, s)) continue;
        for (uint32_t k = 0; k < step->output_count; k++) {
            double bytes = value_total_bytes(&plan->values[step->outputs[k]]);
            *(is_shared(strands, run, s) ? &traffic.sums : &traffic.moved) += bytes;
        }
        for (uint32_t k = 0; k < step->operand_count; k++) {
            double bytes = value_total_bytes(&plan->values[step->operands[k]]);
            if (run_has(run, strands->writer[step->operands[k]])) {
                traffic.moved += bytes;
                continue;
            }
            traffic.others_once += bytes;
            traffic.others += bytes * times_read(strands, run, s, k);
        }
    }
    return traffic;
}

// Time of `bytes` that come again and again from a set of `size` bytes.
static double seconds_of(const Target *target, double bytes, double size) {
    if (size <= target->l2_bytes * target->cores / 2) return 0;
    double hits = size > 0 ? fmin(1, l3_part * target->l3_bytes / size) : 1;
    return bytes / target->bandwidth * (hits / l3_speed + 1 - hits);
}

static double seconds_by_step(const Strands *strands, const Traffic *traffic) {
    double size = traffic->held + traffic->others_once + traffic->sums;
    return seconds_of(strands->context->target, traffic->moved + traffic->others_once + traffic->sums, size);
}

static double seconds_by_piece(const Strands *strands, const Run *run, const Traffic *traffic) {
    const Target *target = strands->context->target;
    double alive = traffic->held / run->cut.pieces * target->cores, groups = run->cut.groups;
    double size = alive + traffic->others_once + traffic->sums * groups;
    double moved = seconds_of(target, traffic->moved, alive <= target->l2_bytes * target->cores / 2 ? alive : size);
    double added = traffic->sums * (2 * run->cut.pieces + 2 * (groups - 1));
    return moved + seconds_of(target, traffic->others + added, size);
}

// ---- pieces

static int64_t fewest_rows(const Strands *strands, const Run *run) {
    int64_t fewest = INT64_MAX;
    for (uint32_t s = 0; s < strands->plan->step_count; s++)
        if (run_has(run, s) && !is_shared(strands, run, s) && strands->rows[s] < fewest) fewest = strands->rows[s];
    return fewest;
}

// As many groups as there are cores, so that each has a part of the sums of its own; fewer when they do not come out even.
static uint32_t groups_of(const Target *target, int64_t pieces) {
    int64_t groups = target->cores < pieces ? target->cores : pieces;
    while (pieces % groups != 0) groups--;
    return (uint32_t)groups;
}

static double choose_pieces(const Strands *strands, Run *run) {
    int64_t total = run->cut.total, most = fewest_rows(strands, run) / LEAST_ROWS;
    double best = INFINITY;
    Cut chosen = run->cut;
    for (int64_t pieces = 2; pieces <= total && pieces <= most && pieces <= UINT32_MAX; pieces++) {
        if (total % pieces != 0 || pieces % strands->context->target->cores != 0) continue;
        run->cut.pieces = (uint32_t)pieces;
        run->cut.groups = groups_of(strands->context->target, pieces);
        Traffic traffic = traffic_of(strands, run);
        double seconds = seconds_by_piece(strands, run, &traffic);
        if (seconds >= best) continue;
        best = seconds;
        chosen = run->cut;
    }
    run->cut = chosen;
    return best;
}

// ---- the door

static double flops_of(const Strands *strands, const Run *run) {
    double flops = 0;
    for (uint32_t s = 0; s < strands->plan->step_count; s++)
        if (run_has(run, s)) flops += strands->plan->steps[s].flops;
    return flops;
}

static void refuse(const Strands *strands, const Run *run, double by_step, double by_piece) {
    const char *reason = arena_format(strands->scratch, "%.3g ms for traffic step by step, %.3g ms in %u pieces",
                                      1e3 * by_step, 1e3 * by_piece, run->cut.pieces);
    ledger_add(strands->context->ledger,
               (Decision){.pass = "plan_strands", .what = "strand of the whole step", .place = "", .reason = reason});
}

bool strand_whole(Strands *strands, Run *run) {
    double most = 0;
    for (uint32_t i = 0; i < strands->candidate_count; i++) {
        Run one;
        if (!find_run(strands, &strands->candidates[i], &one)) continue;
        double flops = flops_of(strands, &one);
        if (flops <= most) continue;
        most = flops;
        *run = one;
    }
    if (most == 0) return false;
    double by_piece = choose_pieces(strands, run);
    if (by_piece == INFINITY) return false;
    Traffic traffic = traffic_of(strands, run);
    double by_step = seconds_by_step(strands, &traffic);
    if (by_piece >= by_step) {
        refuse(strands, run, by_step, by_piece);
        return false;
    }
    run->held = traffic.held / run->cut.pieces;
    run->scratch = strand_held(strands, run, true) / run->cut.pieces;
    run->gain = (by_step - by_piece) * strands->context->target->bandwidth;
    return true;
}
