// plan_strands: consecutive steps that a thread runs piece by piece, and the values that then never reach main memory.
//
// requires  cuts
// ensures   a step that belongs to a strand with the one before is `joined`: both have the strand's cut, and whatever one
//           reads of the other it reads at its own pieces. A temporary that only its strand reads, and whose pieces are
//           ranges of its memory, lies in SPACE_SCRATCH. Pieces come from shapes and the Target only.
// does nothing for a step by BLAS, whose pieces are numeric, for one that writes a state, and below level all
//           A step in between that needs nothing of a strand may be moved before it.
// ledger    one decision per strand, and why the step after it is not in it
//
//     step 3 map "pack" cut(B)/4  out %k[B,H,S,D]               step 3 map "pack" cut(B,H)/48          out %k  scratch
//     step 4 product cut(B)/4     in %k        out %s[B,H,T,S]  step 4 product    cut(B,H)/48 joined   out %s  scratch
//     step 5 row cut(B)/4         in %s        out %p[B,H,T,S]  step 5 row        cut(B,H)/48 joined   out %p
//     step 6 product cut(B)/4     in %p, %v    out %y[B,T,H,D]  step 6 product    cut(B,H)/48 joined   out %y
//
// Which steps and which cut: all runs of steps under all cuts that begin some step's memory are weighed by the traffic
// beyond a core's second-level cache that they save (strand_cost.c), and the best set of runs that do not overlap is
// taken (dynamic programming from the last step to the first).
#include <string.h>

#include "passes/access.h"
#include "passes/pass_functions.h"
#include "passes/strands.h"

enum { LONGEST = 64 };                 // bits of Run.before
static const double moved_part = 0.25;  // of the third-level cache

// ---- facts about single steps

static bool has_scatter(const Step *step) {
    for (NodeId id = 0; id < graph_nodes(step->region); id++)
        if (graph_node(step->region, id)->op == OP_SCATTER) return true;
    return false;
}

static NodeId find_contract(const Graph *region) {
    for (NodeId id = 0; id < graph_nodes(region); id++)
        if (graph_node(region, id)->op == OP_CONTRACT) return id;
    BUG("a product without a contraction");
}

// Dims of a value that are divided into panels.
static DimSet divided_dims(const Value *value) {
    DimSet divided = 0;
    for (int i = 0; i < value->layout.count; i++)
        if (value->layout.pieces[i].divisor != 1) divided |= dim_list_set(&value->layout.pieces[i].dims);
    return divided;
}

static bool writes_state(const Plan *plan, const Step *step) {
    for (uint32_t k = 0; k < step->output_count; k++)
        if (plan->values[step->outputs[k]].next_of != VALUE_NONE) return true;
    return false;
}

static bool is_output(const Graph *region, NodeId id) {
    for (uint32_t k = 0; k < graph_outputs(region); k++)
        if (graph_output_at(region, k)->node == id) return true;
    return false;
}

// What a row or product sums over, when its sums are its results; none otherwise. A share of them can be added to what
// is there.
static DimList plain_sum(const Plan *plan, const Step *step) {
    DimList summed = {0};
    const Graph *region = step->region;
    const bool *live = graph_live(region, plan->arena);
    DimSet set = 0;
    uint32_t sums = 0;
    for (NodeId id = 0; id < graph_nodes(region); id++) {
        const Node *node = graph_node(region, id);
        bool reduces = op_class(node->op) == CLASS_REDUCE || node->op == OP_CONTRACT;
        if (!live[id] || !reduces) continue;
        if (!is_output(region, id) || (node->op != OP_SUM && node->op != OP_CONTRACT)) return summed;
        if (sums++ && set != node->attr.set) return summed;
        set = node->attr.set;
    }
    for (uint32_t k = 0; k < step->output_count; k++)
        if (plan->values[step->outputs[k]].kind == VALUE_INPUT || plan->values[step->outputs[k]].dtype != DTYPE_F32)
            return summed;
    if (sums != step->output_count) return summed;
    for (DimId dim = 0; dim < graph_dims(region); dim++)
        if (dim_in(set, dim)) summed.dims[summed.rank++] = dim;
    return summed;
}

// Dims along which every output of a step can be cut: rows and batch dims, not lanes, panels or what is summed over.
static void find_cuttable(Strands *strands, uint32_t s) {
    const Plan *plan = strands->plan;
    const Step *step = &plan->steps[s];
    strands->rows[s] = INT64_MAX;
    if (step->engine != ENGINE_TILES || step->form == FORM_CHAIN || has_scatter(step) || writes_state(plan, step)) return;
    DimSet dims = ~step->inner;
    for (uint32_t k = 0; k < step->output_count; k++) {
        const Value *value = &plan->values[step->outputs[k]];
        dims &= dim_list_set(&value->order) & ~divided_dims(value);
    }
    strands->cuttable[s] = dims;
    strands->summed[s] = plain_sum(plan, step);
    if (step->form != FORM_PRODUCT) return;
    const DimList *order = &plan->values[step->outputs[0]].order;
    Contraction contraction = contraction_of(step->region, find_contract(step->region), *order);
    DimSet lanes = dim_list_set(&contraction.lanes);
    strands->cuttable[s] = dims & ~lanes;
    strands->rows[s] = graph_elements(plan->dims, dim_list_set(order) & ~lanes);
}

static void find_facts(Strands *strands) {
    const Plan *plan = strands->plan;
    for (ValueId id = 0; id < plan->value_count; id++)
        strands->writer[id] = strands->last_reader[id] = NO_STEP;
    for (uint32_t s = 0; s < plan->step_count; s++) {
        const Step *step = &plan->steps[s];
        strands->writes_state[s] = writes_state(plan, &plan->steps[s]);
        find_cuttable(strands, s);
        strands->own[s] = access_own(step->region, step->operand_count, strands->scratch);
        strands->own_summed[s] = access_own_or_summed(step->region, step->operand_count, strands->scratch);
        for (uint32_t k = 0; k < step->operand_count; k++)
            strands->last_reader[step->operands[k]] = s;
        for (uint32_t k = 0; k < step->output_count; k++)
            strands->writer[step->outputs[k]] = s;
    }
}

// ---- cuts to try: every beginning of some output's memory, of whole dims

static void add_candidate(Strands *strands, DimList dims) {
    for (uint32_t i = 0; i < strands->candidate_count; i++)
        if (dim_list_equal(&strands->candidates[i], &dims)) return;
    strands->candidates = arena_grow(strands->scratch, strands->candidates, &strands->candidate_capacity,
                                     strands->candidate_count + 1, sizeof(DimList));
    strands->candidates[strands->candidate_count++] = dims;
}

static void collect_candidates(Strands *strands) {
    const Plan *plan = strands->plan;
    for (uint32_t s = 0; s < plan->step_count; s++) {
        const Layout *layout = &plan->values[plan->steps[s].outputs[0]].layout;
        DimList dims = {0};
        for (int i = 0; i < layout->count; i++) {
            for (int k = 0; k < layout->pieces[i].dims.rank; k++) {
                DimId dim = layout->pieces[i].dims.dims[k];
                if (!dim_in(strands->cuttable[s], dim)) goto next;
                dims.dims[dims.rank++] = dim;
                add_candidate(strands, dims);
            }
        }
    next:;
    }
}

// ---- runs of steps

static const char *dim_names(const Strands *strands, DimSet dims) {
    Text text = text_create(strands->scratch);
    for (DimId dim = 0; dim < graph_dims(strands->plan->dims); dim++)
        if (dim_in(dims, dim))
            text_append(&text, "%s%s", text.length ? "," : "", graph_dim_name(strands->plan->dims, dim));
    return text_string(&text);
}

// The operand of step `s` that is more than its own piece of what the run writes; VALUE_NONE when there is none.
static ValueId read_otherwise(const Strands *strands, const Run *run, uint32_t s, DimSet cut) {
    const Step *step = &strands->plan->steps[s];
    for (uint32_t k = 0; k < step->operand_count; k++)
        if ((cut & ~strands->own[s][k]) && run_has(run, strands->writer[step->operands[k]])) return step->operands[k];
    return VALUE_NONE;
}

static bool can_follow(const Strands *strands, const Run *run, uint32_t s, DimSet cut) {
    return !(cut & ~strands->cuttable[s]) && read_otherwise(strands, run, s, cut) == VALUE_NONE;
}

// A step that could as well run before the strand; adds up what it writes, which then is held a while longer.
static bool can_go_before(const Strands *strands, const Run *run, uint32_t s, double *bytes) {
    const Plan *plan = strands->plan;
    const Step *step = &plan->steps[s];
    if (writes_state(plan, step)) return false;
    for (uint32_t k = 0; k < step->operand_count; k++)
        if (run_has(run, strands->writer[step->operands[k]])) return false;
    for (uint32_t k = 0; k < step->output_count; k++) {
        const Value *value = &plan->values[step->outputs[k]];
        *bytes += (double)layout_elements(&value->layout) * (double)dtype_bytes(value->dtype);
    }
    return true;
}

static void keep_better(Strands *strands, Run *run) {
    Run *best = &strands->best[run->first];
    run->total = run->gain + strands->best[run->end].total;
    if (run->gain > 0 && run->total > best->total) *best = *run;
}

static void try_runs(Strands *strands, uint32_t first, const DimList *dims) {
    const Plan *plan = strands->plan;
    DimSet cut = dim_list_set(dims);
    Run run = {.first = first, .end = first};
    double moved = 0;
    for (uint32_t s = first; s < plan->step_count && s < first + LONGEST; s++) {
        if (!can_follow(strands, &run, s, cut)) {
            if (s == first || !can_go_before(strands, &run, s, &moved)) return;
            run.before |= (uint64_t)1 << (s - first);
            continue;
        }
        run.end = s + 1;
        if (s == first || !strand_weigh(strands, &run, dims)) continue;
        bool holds_little = moved <= moved_part * strands->context->target->l3_bytes || moved <= run.bytes_kept;
        if (holds_little) keep_better(strands, &run);
    }
}

static void choose_runs(Strands *strands) {
    for (uint32_t first = strands->plan->step_count; first-- > 0;) {
        strands->best[first] = (Run){.first = first, .end = first + 1, .total = strands->best[first + 1].total};
        for (uint32_t i = 0; i < strands->candidate_count; i++)
            try_runs(strands, first, &strands->candidates[i]);
    }
}

// ---- made

static const char *why_ended(const Strands *strands, const Run *run) {
    DimSet cut = dim_list_set(&run->cut.dims), fixed = cut & ~strands->cuttable[run->end];
    if (fixed) return arena_format(strands->scratch, "cannot be cut along %s", dim_names(strands, fixed));
    ValueId value = read_otherwise(strands, run, run->end, cut);
    if (value != VALUE_NONE)
        return arena_format(strands->scratch, "reads more than its own piece of what %s writes",
                            strands->plan->steps[strands->writer[value]].label);
    return "saves more traffic elsewhere, or none";
}

static void report(const Strands *strands, const Run *run) {
    const Plan *plan = strands->plan;
    const Step *first = &plan->steps[run->first], *last = &plan->steps[run->end - 1];
    uint32_t count = 0;
    for (uint32_t s = run->first; s < run->end; s++)
        count += run_has(run, s);
    const char *reason =
        arena_format(strands->scratch, "%u steps to %s, %u pieces over %s, %.0f KB scratch", count, last->label,
                     run->cut.pieces, dim_names(strands, dim_list_set(&run->cut.dims)), run->scratch / 1024);
    ledger_add(strands->context->ledger, (Decision){.pass = "plan_strands",
                                                    .what = arena_format(strands->scratch, "strand from %s", first->label),
                                                    .place = first->place,
                                                    .made = true,
                                                    .reason = reason,
                                                    .bytes_saved = run->gain});
    if (run->end == plan->step_count) return;
    const Step *next = &plan->steps[run->end];
    ledger_add(strands->context->ledger, (Decision){.pass = "plan_strands",
                                                    .what = arena_format(strands->scratch, "strand on to %s", next->label),
                                                    .place = next->place,
                                                    .reason = why_ended(strands, run)});
}

static StrandPlace place_of(const Run *run, uint32_t step) {
    return run->where ? (StrandPlace)run->where[step] : run_has(run, step) ? STRAND_IN : STRAND_BEFORE;
}

// Steps that run before the strand first; then its own, then those after it, each in their order.
static void put_in_order(const Strands *strands, const Run *run) {
    Step *steps = &strands->plan->steps[run->first];
    uint32_t count = run->end - run->first, next = 0;
    Step *ordered = ARENA_ARRAY(strands->scratch, Step, count);
    for (int place = STRAND_BEFORE; place <= STRAND_AFTER; place++)
        for (uint32_t i = 0; i < count; i++)
            if ((int)place_of(run, run->first + i) == place) ordered[next++] = steps[i];
    memcpy(steps, ordered, count * sizeof *steps);
}

static void join(Strands *strands, const Run *run) {
    Plan *plan = strands->plan;
    if (run->end == run->first + 1) return;
    report(strands, run);
    bool joined = false;
    for (uint32_t s = run->first; s < run->end; s++) {
        Step *step = &plan->steps[s];
        if (!run_has(run, s)) continue;
        step->cut = run->cut;
        step->joined = joined;
        joined = true;
        for (uint32_t k = 0; k < step->output_count; k++) {
            Value *value = &plan->values[step->outputs[k]];
            bool keeps = strand_keeps(strands, run, step->outputs[k]);
            value->layout = strand_layout(strands, run, step->outputs[k]);
            if (keeps) value->space = SPACE_SCRATCH;
            if (cut_is_summed(plan, step) && run->cut.groups > 1) value->parts = run->cut.groups;
        }
    }
    put_in_order(strands, run);
}

bool pass_plan_strands(Plan *plan, PassContext *context) {
    if (context->fuse != FUSE_ALL) return true;
    Arena *scratch = arena_create();
    Strands strands = {.plan = plan,
                       .context = context,
                       .scratch = scratch,
                       .writer = ARENA_ARRAY(scratch, uint32_t, plan->value_count + 1),
                       .last_reader = ARENA_ARRAY(scratch, uint32_t, plan->value_count + 1),
                       .writes_state = ARENA_ARRAY(scratch, bool, plan->step_count + 1),
                       .cuttable = ARENA_ARRAY(scratch, DimSet, plan->step_count + 1),
                       .rows = ARENA_ARRAY(scratch, int64_t, plan->step_count + 1),
                       .own = ARENA_ARRAY(scratch, DimSet *, plan->step_count + 1),
                       .own_summed = ARENA_ARRAY(scratch, DimSet *, plan->step_count + 1),
                       .summed = ARENA_ARRAY(scratch, DimList, plan->step_count + 1),
                       .best = ARENA_ARRAY(scratch, Run, plan->step_count + 1)};
    find_facts(&strands);
    collect_candidates(&strands);
    Run whole;
    if (strand_whole(&strands, &whole)) {
        join(&strands, &whole);
    } else {
        choose_runs(&strands);
        for (uint32_t s = 0; s < plan->step_count; s = strands.best[s].end)
            join(&strands, &strands.best[s]);
    }
    arena_free(scratch);
    return true;
}
