// plan_strands: forward, loss and backward of a few sequences at a time, so that their activations stay in the caches
// and need memory for a few sequences only.
//
// requires  cuts
// ensures   a step that belongs to a strand with the one before is `joined`: both have the strand's cut, and what one
//           reads of the other it reads at its own pieces. Sums over the cut's dims, such as gradients of weights, are
//           in it too: each piece adds its share, each group of pieces to a part of its own. A temporary that only the
//           strand reads, and whose pieces are ranges of its memory, lies in SPACE_SCRATCH. Pieces and groups come from
//           shapes and the Target only.
// does nothing below level all, on a GPU, where no dim can be cut from the first product to the last, and where it does
//           not pay
// ledger    the strand, or the times for traffic that speak against it
//
//     step 3 map "pack" cut(C)/4     in %w            step 0 map "pack"
//     step 4 product cut(B,T)/4      out %u[B,T,F]    step 1 product cut(B)/6 groups 2          out %u  scratch
//     step 5 row cut(B,T)/4          in %u            step 2 row     cut(B)/6 groups 2 joined   in %u
//     step 6 product cut(C)/4        out %g[C,F]      step 3 product cut(B)/6 groups 2 joined   out %g  parts 2
//     step 7 map "adamw" cut(C)/4    in %g            step 4 map "adamw" wait                   in %g
//
// A sum that is added to a state in the same step, as the gradient of a micro-batch is to those before it, is taken
// apart for that (sums_apart.h): the sum is in the strand, what is made of it behind.
//
// Every step of the plan is
//     before   it needs nothing of the strand and cannot be cut along its dims: copies of weights
//     in       it is cut along them and reads of the others its own pieces only, or it is a sum over them
//     after    the rest: it needs all pieces, or writes a state, as the optimizer does
//
// Method: depth-first execution of a batch's parts, as micro-batching does across steps, inside one step. The parts of
// sums are few (Target.cores) and added in a fixed order, so results do not depend on the number of threads.
#include "base/planted.h"
#include "passes/access.h"
#include "passes/cut_pieces.h"
#include "passes/pass_functions.h"
#include "passes/strands.h"
#include "passes/sums_apart.h"

enum { LEAST_STEPS = 4 };

// ---- which steps

// The first dims of the sum, and not all of them: the last one runs inside of a step's kernel.
static bool can_be_shared(const DimList *summed, const DimList *cut) {
    if (cut->rank >= summed->rank) return false;
    for (int i = 0; i < cut->rank; i++)
        if (summed->dims[i] != cut->dims[i]) return false;
    return true;
}

static bool can_be_cut(const Strands *strands, uint32_t s, const DimList *cut) {
    const StepFacts *facts = &strands->facts[s];
    return !(dim_list_set(cut) & ~facts->cuttable) || can_be_shared(&facts->summed, cut) ||
           can_be_shared(&facts->apart, cut);
}

static StrandPlace place_of_step(const Strands *strands, const uint8_t *where, uint32_t s, const DimList *cut) {
    const Step *step = &strands->plan->steps[s];
    DimSet dims = dim_list_set(cut);
    bool can = can_be_cut(strands, s, cut), needs = strands->facts[s].writes_state;
    for (uint32_t k = 0; k < step->operand_count; k++) {
        uint32_t writer = strands->writer[step->operands[k]];
        if (writer == STEP_NONE || where[writer] == STRAND_BEFORE) continue;
        needs = true;
        if (strand_reads_behind(strands, s, k, dims)) continue;
        bool later = where[writer] == STRAND_AFTER && !PLANTED(strand_reads_what_comes_later);
        if (later || (dims & ~strand_own(strands, s, k, dims))) can = false;
    }
    return can ? STRAND_IN : needs ? STRAND_AFTER : STRAND_BEFORE;
}

// Fills in `where` and `leaves`; returns the flops of the strand's steps, 0 for too few of them.
static double find_steps(const Strands *strands, const DimList *cut, Strand *strand) {
    const Plan *plan = strands->plan;
    bool *leaves = ARENA_ARRAY(strands->scratch, bool, plan->value_count + 1);
    uint32_t count = 0;
    double flops = 0;
    *strand = (Strand){.where = ARENA_ARRAY(strands->scratch, uint8_t, plan->step_count), .leaves = leaves};
    strand->cut = (Cut){.dims = *cut, .total = graph_elements(plan->dims, dim_list_set(cut)), .pieces = 1};
    for (uint32_t s = 0; s < plan->step_count; s++) {
        const Step *step = &plan->steps[s];
        strand->where[s] = (uint8_t)place_of_step(strands, strand->where, s, cut);
        for (uint32_t k = 0; k < step->operand_count; k++)
            if (!strand_has(strand, s)) leaves[step->operands[k]] = true;
        if (!strand_has(strand, s)) continue;
        flops += step->flops;
        count++;
    }
    return count < LEAST_STEPS ? 0 : flops;
}

// The outermost dim of a step's memory; DIM_NONE when it cannot be cut.
static DimId outermost_dim(const Strands *strands, uint32_t s) {
    const Layout *layout = &strands->plan->values[strands->plan->steps[s].outputs[0]].layout;
    if (layout->count == 0 || layout->pieces[0].dims.rank == 0) return DIM_NONE;
    DimId dim = layout->pieces[0].dims.dims[0];
    return dim_in(strands->facts[s].cuttable, dim) ? dim : DIM_NONE;
}

// Of all cuts along one dim that is outermost in some step's memory, the one whose strand computes most.
static bool find_strand(const Strands *strands, Strand *best) {
    DimSet tried = 0;
    double most = 0;
    for (uint32_t s = 0; s < strands->plan->step_count; s++) {
        DimId dim = outermost_dim(strands, s);
        if (dim == DIM_NONE || dim_in(tried, dim)) continue;
        tried |= dim_bit(dim);
        Strand strand;
        double flops = find_steps(strands, &(DimList){.rank = 1, .dims = {dim}}, &strand);
        if (flops <= most) continue;
        most = flops;
        *best = strand;
    }
    return most > 0;
}

// ---- made

static void report(const Strands *strands, const Strand *strand, bool made, const char *by_choice) {
    const Plan *plan = strands->plan;
    uint32_t count = 0;
    for (uint32_t s = 0; s < plan->step_count; s++) count += strand_has(strand, s);
    const char *reason = arena_format(
        strands->scratch,
        "%u of %u steps in %u pieces over %s, %u groups, %.0f KB scratch: %.3g ms for traffic, %.3g step by step",
        count, plan->step_count, strand->cut.pieces, graph_dim_name(plan->dims, strand->cut.dims.dims[0]),
        strand->cut.groups, strand->scratch / 1024, 1e3 * strand->seconds_by_piece, 1e3 * strand->seconds_by_step);
    double saved = (strand->seconds_by_step - strand->seconds_by_piece) * strands->context->target->bandwidth;
    ledger_add(strands->context->ledger, (Decision){.pass = "plan_strands",
                                                    .what = "strand",
                                                    .place = "",
                                                    .made = made,
                                                    .reason = by_choice ? by_choice : reason,
                                                    .bytes_saved = made ? saved : 0});
}

// Takes the strand's sums apart from what is made of them; returns the steps that make it, by the step that they come
// from, without a region where there is none.
static Step *take_apart(const Strands *strands, const Strand *strand) {
    Plan *plan = strands->plan;
    DimSet cut = dim_list_set(&strand->cut.dims);
    Step *rests = ARENA_ARRAY(strands->scratch, Step, plan->step_count);
    size_t capacity = plan->value_count;
    for (uint32_t s = 0; s < plan->step_count; s++) {
        if (!strand_has(strand, s) || !strand_takes_apart(strands, s, cut)) continue;
        if (!PLANTED(state_added_by_each_piece)) rests[s] = sums_take_apart(plan, &plan->steps[s], &capacity);
    }
    return rests;
}

// Steps that run before the strand first; then its own, then those after it, each in their order. What is made of a sum
// comes where the sum was.
static void put_in_order(const Strands *strands, const Strand *strand, const Step *rests) {
    Plan *plan = strands->plan;
    Step *ordered = ARENA_ARRAY(plan->arena, Step, 2 * plan->step_count);
    bool *is_new = ARENA_ARRAY(strands->scratch, bool, 2 * plan->step_count);
    uint32_t next = 0;
    for (int place = STRAND_BEFORE; place <= STRAND_AFTER; place++)
        for (uint32_t s = 0; s < plan->step_count; s++) {
            if (strand->where[s] == place) ordered[next++] = plan->steps[s];
            if (place != STRAND_AFTER || !rests[s].region) continue;
            is_new[next] = true;
            ordered[next++] = rests[s];
        }
    plan->steps = ordered;
    plan->step_count = next;
    for (uint32_t s = 0; s < next; s++)
        if (is_new[s]) cut_step(plan, &plan->steps[s], strands->context);
}

static void join(const Strands *strands, const Strand *strand) {
    Plan *plan = strands->plan;
    const Step *rests = take_apart(strands, strand);
    bool joined = false;
    for (uint32_t s = 0; s < plan->step_count; s++) {
        Step *step = &plan->steps[s];
        if (!strand_has(strand, s)) continue;
        step->cut = strand->cut;
        step->joined = joined;
        joined = true;
        for (uint32_t k = 0; k < step->output_count; k++) {
            Value *value = &plan->values[step->outputs[k]];
            bool keeps = strand_keeps(strands, strand, step->outputs[k]);
            value->layout = strand_layout(strands, strand, step->outputs[k]);
            if (keeps) value->space = SPACE_SCRATCH;
            if (cut_is_summed(plan, step) && strand->cut.groups > 1) value->parts = strand->cut.groups;
        }
    }
    put_in_order(strands, strand, rests);
}

bool pass_plan_strands(Plan *plan, PassContext *context) {
    if (context->fuse != FUSE_ALL || target_is_gpu(context->target)) return true;
    Arena *scratch = arena_create();
    Strands strands = strands_create(plan, context, scratch);
    Strand strand;
    strands.wish = choices_of_strand(context->choices);
    bool is_possible = find_strand(&strands, &strand) && strand_weigh(&strands, &strand);
    bool made = is_possible && strand.seconds_by_piece < strand.seconds_by_step;
    const char *by_choice = choice_strand(context->choices, strands.wish, is_possible, &made);
    if (is_possible) report(&strands, &strand, made, by_choice);
    if (made) join(&strands, &strand);
    arena_free(scratch);
    return true;
}
