// plan_chains: products on both sides of a value that is too large for the caches, a few of its rows at a time.
//
// requires  cuts, strands
// ensures   the steps that write and read such a value follow each other and are `joined`, cut along all of its dims
//           but the innermost, in ranges of the last of these. What only they read lies in SPACE_SCRATCH. What the
//           backward part reads again is made anew there when that is cheap: the steps that made it are in the plan a
//           second time.
// does nothing below level all, and where it does not pay
// ledger    the chain, or what speaks against it
//
//     step 0 product cut(B,H)/4   out %s[B,H,T,S]      step 0 product cut(B,H,T)/192 groups 12          out %s  scratch
//     step 1 row     cut(B,H)/4   out %p[B,H,T,S]      step 1 row     cut(B,H,T)/192 groups 12 joined   out %p  scratch
//     step 2 product cut(B,T)/4   out %y[B,T,H,D]      step 2 product cut(B,H,T)/192 groups 12 joined   out %y
//     ...                                              ...
//     step 7 product cut(B,S)/4   in %p  out %v[B,S]   step 7 product cut(B,H,T)/192 groups 12          out %s' scratch
//                                                      step 8 row     ...                      joined   out %p' scratch
//                                                      step 9 product ...                      joined   in %p' out %v
//
// Steps of a strand can be a chain inside of it, when one piece of the strand has more of such a value than a core's
// cache holds: then they stay in the strand, are cut finer than that, and `chained` one to the other.
//
//     step 4 product cut(B)/4 groups 2 joined   out %s    step 4 product cut(B,H,T)/256 groups 2 joined         out %s
//     step 5 row     cut(B)/4 groups 2 joined   out %p    step 5 row     cut(B,H,T)/256 groups 2 joined chained out %p
//
// A step that sums over the last of the cut's dims (the gradient of keys over queries) is in a chain too: each piece
// adds its share. Nothing is looked for by name: attention is what a large value between two products is.
//
// Method: blocks of queries with scores made again in the backward part, as Dao et al., "FlashAttention" (NeurIPS
// 2022); here every row is whole (a piece has all keys of its queries), so softmax needs no rescaling.
#include <string.h>

#include "passes/chains.h"
#include "passes/pass_functions.h"

// ---- which values and steps

// A value of one chain: all of its dims but the innermost are cut. Beside a strand it is large when all caches are too
// small for it, inside of one when a core's is for one piece; on a GPU when the cache of all is for two.
static bool is_large(const Strands *strands, ValueId id) {
    const Plan *plan = strands->plan;
    const Value *value = &plan->values[id];
    if (value->kind != VALUE_TEMPORARY || value->order.rank < 3 || !layout_is_plain(plan->dims, &value->layout))
        return false;
    const Target *target = strands->context->target;
    uint32_t strand = strand_of(strands, strands->writer[id]);
    if (target_is_gpu(target)) return 2 * chain_value_bytes(plan, id) > target->l3_bytes;   // one is read, one written
    if (strand == STEP_NONE) return chain_value_bytes(plan, id) > target->l2_bytes * target->cores;
    return chain_value_bytes(plan, id) / plan->steps[strand].cut.pieces > target->l2_bytes;
}

static DimList all_but_innermost(DimList order) {
    order.rank--;
    return order;
}

static bool is_large_of(const Strands *strands, const Chain *chain, ValueId id) {
    if (!is_large(strands, id)) return false;
    DimList dims = all_but_innermost(strands->plan->values[id].order);
    return dim_list_equal(&dims, &chain->dims);
}

static bool sums_over(const Chain *chain, const DimList *summed, int kept) {
    DimSet rest = 0;
    for (int i = kept; i < chain->dims.rank; i++) rest |= dim_bit(chain->dims.dims[i]);
    return kept > 0 && dim_list_set(summed) == rest;
}

// All of the cut's dims are rows of the step, or the first ones are and it sums over the others, and nothing else.
static bool can_be_cut(const Strands *strands, const Chain *chain, uint32_t s) {
    const Step *step = &strands->plan->steps[s];
    const StepFacts *facts = &strands->facts[s];
    DimSet before = dim_list_set(&chain->dims) & ~dim_bit(chain->along);
    int kept = 0;
    while (kept < chain->dims.rank && dim_in(facts->cuttable, chain->dims.dims[kept])) kept++;
    if (step->form != FORM_PRODUCT) return kept == chain->dims.rank;
    if (kept < chain->dims.rank) return sums_over(chain, &facts->summed, kept);
    return (dim_list_set(&facts->product_rows) & ~before) == dim_bit(chain->along);
}

static bool sums(const Strands *strands, const Chain *chain, uint32_t s) {
    return strand_shares(strands, s, dim_list_set(&chain->dims));
}

// Whether step s can go on with the chain: it reads a large value of it, and of all its values its own rows only.
static bool can_join(const Strands *strands, const Chain *chain, uint32_t s) {
    const Step *step = &strands->plan->steps[s];
    DimSet cut = dim_list_set(&chain->dims);
    bool reads_large = false;
    for (uint32_t k = 0; k < step->operand_count; k++) {
        uint32_t writer = strands->writer[step->operands[k]];
        if (writer == STEP_NONE) continue;
        if (chain->depends[writer]) return false;
        if (!chain->in[writer]) continue;
        if (sums(strands, chain, writer) || (cut & ~strand_own(strands, s, k, cut))) return false;
        reads_large |= is_large_of(strands, chain, step->operands[k]);
    }
    return reads_large && strand_of(strands, s) == chain->strand && can_be_cut(strands, chain, s);
}

static bool depends_on(const Strands *strands, const Chain *chain, const Step *step) {
    for (uint32_t k = 0; k < step->operand_count; k++) {
        uint32_t writer = strands->writer[step->operands[k]];
        if (writer != STEP_NONE && (chain->in[writer] || chain->depends[writer])) return true;
    }
    return false;
}

// Step s writes over a state that steps of the chain, or behind it, still read.
static bool overwrites_what_is_read(const Strands *strands, const Chain *chain, uint32_t s) {
    const Plan *plan = strands->plan;
    for (uint32_t k = 0; k < plan->steps[s].output_count; k++) {
        ValueId state = plan->values[plan->steps[s].outputs[k]].next_of;
        for (uint32_t r = chain->first; r < s && state != VALUE_NONE; r++)
            if ((chain->in[r] || chain->depends[r]) && step_reads(&plan->steps[r], state)) return true;
    }
    return false;
}

// Inside of a strand: behind its first step, which has the strand's cut, and cut along the strand's dims first.
static bool can_begin(const Strands *strands, const Chain *chain) {
    if (!can_be_cut(strands, chain, chain->first)) return false;
    if (chain->strand == STEP_NONE) return true;
    DimList outer = chain->dims;
    const DimList *cut = &strands->plan->steps[chain->strand].cut.dims;
    if (chain->strand == chain->first || cut->rank >= outer.rank) return false;
    outer.rank = cut->rank;
    return dim_list_equal(&outer, cut);
}

// From the step that writes `value` on; false when it is no chain: fewer than two products, or steps of a strand
// between.
static bool find_chain(const Strands *strands, ValueId value, Chain *chain) {
    const Plan *plan = strands->plan;
    uint32_t first = strands->writer[value], products = 0;
    *chain = (Chain){.dims = all_but_innermost(plan->values[value].order), .first = first, .last = first};
    chain->along = chain->dims.dims[chain->dims.rank - 1];
    chain->strand = strand_of(strands, first);
    chain->in = ARENA_ARRAY(strands->scratch, bool, plan->step_count);
    chain->depends = ARENA_ARRAY(strands->scratch, bool, plan->step_count);
    if (!can_begin(strands, chain)) return false;
    uint32_t end = chain->strand == STEP_NONE ? plan->step_count : plan_strand_end(plan, chain->strand);
    for (uint32_t s = first; s < end; s++) {
        chain->in[s] = s == first || can_join(strands, chain, s);
        if (chain->in[s]) chain->last = s;
        bool is_behind = depends_on(strands, chain, &plan->steps[s]) || overwrites_what_is_read(strands, chain, s);
        chain->depends[s] = !chain->in[s] && is_behind;
        products += chain->in[s] && plan->steps[s].form == FORM_PRODUCT;
    }
    for (uint32_t s = first; s <= chain->last; s++)
        if (strand_of(strands, s) != chain->strand) return false;
    return products >= 2;
}

// ---- what is read later

// The steps of the chain that make `value`.
static void mark_makers(const Strands *strands, const Chain *chain, ValueId value, bool *again) {
    uint32_t writer = strands->writer[value];
    if (writer == STEP_NONE || !chain->in[writer] || again[writer]) return;
    again[writer] = true;
    for (uint32_t k = 0; k < strands->plan->steps[writer].operand_count; k++)
        mark_makers(strands, chain, strands->plan->steps[writer].operands[k], again);
}

// Whether a step that would be made again before step `at` reads a state that is written over by then.
static bool reads_what_is_gone(const Plan *plan, const Chain *chain, uint32_t at) {
    for (uint32_t s = chain->first; s < at; s++)
        for (uint32_t k = 0; k < plan->steps[s].output_count; k++) {
            ValueId state = plan->values[plan->steps[s].outputs[k]].next_of;
            for (uint32_t m = chain->first; m <= chain->last && state != VALUE_NONE; m++)
                if (chain->again[m] && step_reads(&plan->steps[m], state)) return true;
        }
    return false;
}

// Large values of the chain that others read; the first of these readers, STEP_NONE without any, or when they cannot be
// made again: one of them is outside of the strand that the chain is inside of, or an operand is gone.
static uint32_t find_later(const Strands *strands, Chain *chain) {
    const Plan *plan = strands->plan;
    uint32_t reader = STEP_NONE;
    chain->again = ARENA_ARRAY(strands->scratch, bool, plan->step_count);
    for (uint32_t s = chain->first; s < plan->step_count; s++)
        for (uint32_t k = 0; k < plan->steps[s].operand_count && !chain->in[s]; k++) {
            ValueId id = plan->steps[s].operands[k];
            uint32_t writer = strands->writer[id];
            bool of_chain = writer != STEP_NONE && chain->in[writer];
            if (!of_chain || !is_large_of(strands, chain, id) || strands->facts[writer].is_again) continue;
            chain->kept_bytes += chain->again[writer] ? 0 : chain_value_bytes(plan, id);
            mark_makers(strands, chain, id, chain->again);
            if (reader == STEP_NONE) reader = s;
            if (strand_of(strands, s) != chain->strand) return STEP_NONE;
        }
    for (uint32_t s = chain->first; s <= chain->last; s++)
        if (chain->again[s]) chain->again_flops += plan->steps[s].flops;
    return reader != STEP_NONE && reads_what_is_gone(plan, chain, reader) ? STEP_NONE : reader;
}

static ValueId copy_value(Plan *plan, ValueId id) {
    plan->values[plan->value_count] = plan->values[id];
    return plan->value_count++;
}

static ValueId *new_values(const Strands *strands) {
    Plan *plan = strands->plan;
    ValueId *now = ARENA_ARRAY(strands->scratch, ValueId, plan->value_count);
    for (ValueId id = 0; id < plan->value_count; id++) now[id] = id;
    return now;
}

static void rename_operands(const Plan *plan, Step *step, const ValueId *now) {
    ValueId *operands = ARENA_ARRAY(plan->arena, ValueId, step->operand_count);
    for (uint32_t k = 0; k < step->operand_count; k++) operands[k] = now[step->operands[k]];
    step->operands = operands;
}

static Step copy_step(Plan *plan, const Step *step, ValueId *now) {
    Step copy = *step;
    rename_operands(plan, &copy, now);
    copy.outputs = ARENA_ARRAY(plan->arena, ValueId, step->output_count);
    copy.edges = ARENA_ARRAY(plan->arena, EdgeKind, step->operand_count);
    for (uint32_t k = 0; k < step->output_count; k++)
        copy.outputs[k] = now[step->outputs[k]] = copy_value(plan, step->outputs[k]);
    return copy;
}

// Puts the makers of what is read later into the plan a second time, before its first reader `at`.
static void make_again(Strands *strands, const Chain *chain, uint32_t at) {
    Plan *plan = strands->plan;
    uint32_t count = 0, outputs = 0;
    for (uint32_t s = chain->first; s <= chain->last; s++)
        if (chain->again[s]) count++, outputs += plan->steps[s].output_count;
    ValueId *now = new_values(strands);
    Value *values = ARENA_ARRAY(plan->arena, Value, plan->value_count + outputs);
    memcpy(values, plan->values, plan->value_count * sizeof *values);
    plan->values = values;
    Step *steps = ARENA_ARRAY(plan->arena, Step, plan->step_count + count);
    StepFacts *facts = ARENA_ARRAY(strands->scratch, StepFacts, plan->step_count + count + 1);
    uint32_t next = 0;
    for (uint32_t s = 0; s < plan->step_count; s++) {
        for (uint32_t m = chain->first; s == at && m <= chain->last; m++) {
            if (!chain->again[m]) continue;
            facts[next] = strands->facts[m];
            facts[next].is_again = true;
            steps[next++] = copy_step(plan, &plan->steps[m], now);
        }
        facts[next] = strands->facts[s];
        steps[next] = plan->steps[s];
        if (s >= at) rename_operands(plan, &steps[next], now);
        next++;
    }
    plan->steps = steps;
    plan->step_count = next;
    strands->facts = facts;
}

// ---- made

static int order_of(const Chain *chain, uint32_t s) {
    return chain->in[s] ? 1 : chain->depends[s] ? 2 : 0;
}

// What the chain does not depend on before it, what depends on it behind it.
static void put_in_order(Strands *strands, Chain *chain) {
    Plan *plan = strands->plan;
    uint32_t count = chain->last - chain->first + 1, next = 0;
    Step *steps = ARENA_ARRAY(strands->scratch, Step, count);
    StepFacts *facts = ARENA_ARRAY(strands->scratch, StepFacts, count);
    for (int place = 0; place <= 2; place++)
        for (uint32_t s = chain->first; s <= chain->last; s++) {
            if (order_of(chain, s) != place) continue;
            facts[next] = strands->facts[s];
            steps[next++] = plan->steps[s];
        }
    memcpy(&plan->steps[chain->first], steps, count * sizeof *steps);
    memcpy(&strands->facts[chain->first], facts, count * sizeof *facts);
    bool *in = ARENA_ARRAY(strands->scratch, bool, plan->step_count);
    uint32_t first = chain->first, steps_in = 0;
    for (uint32_t s = chain->first; s <= chain->last; s++) {
        first += order_of(chain, s) == 0;
        steps_in += chain->in[s];
    }
    for (uint32_t s = first; s < first + steps_in; s++) in[s] = true;
    chain->in = in;
    chain->first = first;
    chain->last = first + steps_in - 1;
}

static bool is_read_outside(const Plan *plan, const Chain *chain, ValueId id) {
    for (uint32_t s = chain->last + 1; s < plan->step_count; s++)
        if (step_reads(&plan->steps[s], id)) return true;
    return false;
}

static void join(const Strands *strands, const Chain *chain) {
    Plan *plan = strands->plan;
    bool is_nested = chain->strand != STEP_NONE;
    for (uint32_t s = chain->first; s <= chain->last; s++) {
        Step *step = &plan->steps[s];
        if (target_is_gpu(strands->context->target)) chain_join_gpu(strands, chain, s);
        step->cut = chain->cut;
        step->joined = s > chain->first || is_nested;
        step->chained = s > chain->first && is_nested;
        for (uint32_t k = 0; k < step->output_count; k++) {
            Value *value = &plan->values[step->outputs[k]];
            bool leads = cut_leads_layout(plan->dims, &chain->cut, &value->layout, value->dtype);
            bool is_inside = value->kind == VALUE_TEMPORARY && !is_read_outside(plan, chain, step->outputs[k]);
            if (leads && is_inside) value->space = SPACE_SCRATCH;
        }
    }
}

static const char *name_of(const Plan *plan, ValueId id) {
    return plan->values[id].name ? plan->values[id].name : "";
}

// The name of a large value of the chain.
static const char *place_of(const Strands *strands, const Chain *chain) {
    const Plan *plan = strands->plan;
    for (uint32_t s = chain->first; s <= chain->last; s++)
        for (uint32_t k = 0; chain->in[s] && k < plan->steps[s].output_count; k++)
            if (is_large_of(strands, chain, plan->steps[s].outputs[k]) && *name_of(plan, plan->steps[s].outputs[k]))
                return name_of(plan, plan->steps[s].outputs[k]);
    return plan->steps[chain->first].place;
}

// Whether it is made: as the cost model has it, or as a choice says.
static bool report(const Strands *strands, const Chain *chain, const char *what, bool pays, const char *reason,
                   double bytes, double flops) {
    Decision decision = {
        .pass = "plan_chains", .what = what, .place = place_of(strands, chain), .made = pays, .reason = reason};
    choices_decide(strands->context->choices, chain->cut.pieces > 0, &decision);
    decision.bytes_saved = decision.made ? bytes : 0;
    decision.flops_saved = decision.made ? flops : 0;
    ledger_add(strands->context->ledger, decision);
    return decision.made;
}

static void make_chain(Strands *strands, Chain *chain) {
    bool on_gpu = target_is_gpu(strands->context->target);
    const char *reason = on_gpu ? chain_weigh_gpu(strands, chain) : chain_weigh(strands, chain);
    chain->pays = report(strands, chain, "chain", chain->pays, reason, chain->moved_bytes, 0);
    if (!chain->pays) return;
    put_in_order(strands, chain);
    strands_find_users(strands);
    chain->reader = find_later(strands, chain);
    if (chain->reader != STEP_NONE) {
        bool pays =
            on_gpu ? chain_weigh_again_gpu(strands, chain, &reason) : chain_weigh_again(strands, chain, &reason);
        pays = report(strands, chain, "make again", pays, reason, chain->kept_bytes, -chain->again_flops);
        if (pays) make_again(strands, chain, chain->reader);
    }
    join(strands, chain);
    strands_find_users(strands);
}

bool pass_plan_chains(Plan *plan, PassContext *context) {
    if (context->fuse != FUSE_ALL) return true;
    Arena *scratch = arena_create();
    Strands strands = strands_create(plan, context, scratch);
    for (uint32_t s = 0; s < plan->step_count; s++) {
        Chain chain;
        ValueId value = plan->steps[s].outputs[0];
        if (!is_large(&strands, value) || !find_chain(&strands, value, &chain)) continue;
        make_chain(&strands, &chain);
        if (chain.pays) s = chain.last;
    }
    arena_free(scratch);
    return true;
}
