// plan_rounds: what makes and reads a value too large for memory's good, some of its rows at a time, by all threads.
//
// requires  cuts, strands, chains
// ensures   the steps that write and read such a value follow each other and have `rounds` over all of its dims but
//           the innermost. One round of it lies in memory at a time. Products that sum over these rows go on with
//           their sums round after round: their bits are those of one sum. Rounds come from shapes and the Target only
// does nothing below level all, for GPUs, where a step has to see all rows at once, and where it costs too much time
// ledger    the rounds, or what speaks against them
//
//     step 0 product cut(B,T)/4  out %z[B,T,V]        step 0 product cut(B,T)/8 rounds 4  out %z[B,T,V] rounds 4
//     step 1 row     cut(B,T)/4  in %z  out %l[B,T]   step 1 row     cut(B,T)/8 rounds 4  in %z  out %l[B,T]
//     step 2 row     cut(B,T)/4  in %z  out %dz       step 2 row     cut(B,T)/8 rounds 4  in %z  out %dz rounds 4
//     step 3 row     cut()/1     in %l  out "loss"    step 3 product cut(V)/2   rounds 4  in %dz out %dw[V,C]
//     step 4 product cut(V)/8    in %dz out %dw       step 4 product cut(B,T)/8 rounds 4  in %dz out %dh[B,T,C]
//     step 5 product cut(B,T)/4  in %dz out %dh       step 5 row     cut()/1              in %l  out "loss"
//
// A chain takes few rows, so that they stay in a core's cache, and needs what its pieces read of others to be small.
// Here the others are large, weights of a vocabulary: each round reads them once for each piece, so it takes as many
// rows as may be held, and all threads work on it. Nothing is looked for by name: a loss head is what a large value
// between products is.
//
// Method: the loss in chunks of rows with gradients made in the same sweep, as Hsu et al., "Liger Kernel" (2024).

#include <string.h>

#include "passes/panels.h"
#include "passes/pass_functions.h"
#include "passes/strands.h"

// What may be held of a value, in terms of the last-level cache: more of it does not stay there from step to step.
static const double room_part = 4;
// Memory that does not grow with a vocabulary is worth this part of a program's time at the peak: enough for 250,000
// words.
static const double memory_part = 0.06;
// Rows of sums, read and written in order, are half hidden behind the arithmetic.
static const double ahead_part = 0.5;

typedef struct {
    DimList over;              // all dims of the large values but the innermost
    uint32_t first, last;      // steps
    bool *in, *depends;        // by step: has rounds; behind a step that has
    uint32_t rounds, pieces;   // pieces: of one round
    double held, whole;        // bytes of the largest value: of one round, and all of it
} Rounds;

static double value_bytes(const Plan *plan, ValueId id) {
    const Value *value = &plan->values[id];
    return (double)layout_elements(&value->layout) * (double)dtype_bytes(value->dtype);
}

static double room(const Strands *strands) { return room_part * strands->context->target->l3_bytes; }

static bool is_large(const Strands *strands, ValueId id) {
    const Plan *plan = strands->plan;
    const Value *value = &plan->values[id];
    bool is_one_of_many = value->kind == VALUE_TEMPORARY && value->space == SPACE_ARENA && value->parts <= 1;
    return is_one_of_many && value->order.rank >= 2 && layout_is_plain(plan->dims, &value->layout) &&
           value_bytes(plan, id) > room(strands);
}

static bool begins_with(const DimList *order, const DimList *dims) {
    for (int i = 0; i < dims->rank; i++)
        if (i >= order->rank || order->dims[i] != dims->dims[i]) return false;
    return true;
}

static bool is_large_of(const Strands *strands, const Rounds *rounds, ValueId id) {
    const DimList *order = &strands->plan->values[id].order;
    return is_large(strands, id) && order->rank == rounds->over.rank + 1 && begins_with(order, &rounds->over);
}

// ---- which steps

static bool writes_in(const Strands *strands, const Rounds *rounds, ValueId id) {
    uint32_t writer = strands->writer[id];
    return writer != STEP_NONE && rounds->in[writer];
}

static bool reads_large(const Strands *strands, const Rounds *rounds, const Step *step) {
    for (uint32_t k = 0; k < step->operand_count; k++) {
        ValueId id = step->operands[k];
        if (writes_in(strands, rounds, id) && is_large_of(strands, rounds, id)) return true;
    }
    return false;
}

static bool depends_on(const Strands *strands, const Rounds *rounds, const Step *step) {
    for (uint32_t k = 0; k < step->operand_count; k++) {
        uint32_t writer = strands->writer[step->operands[k]];
        if (writer != STEP_NONE && (rounds->in[writer] || rounds->depends[writer])) return true;
    }
    return false;
}

// Whether an earlier one of those that will run later reads a state that this step writes over.
static bool must_follow(const Strands *strands, const Rounds *rounds, uint32_t s) {
    const Plan *plan = strands->plan;
    for (uint32_t k = 0; k < plan->steps[s].output_count; k++) {
        ValueId state = plan->values[plan->steps[s].outputs[k]].next_of;
        for (uint32_t r = rounds->first; r < s && state != VALUE_NONE; r++) {
            const Step *reader = &plan->steps[r];
            for (uint32_t i = 0; i < reader->operand_count && (rounds->in[r] || rounds->depends[r]); i++)
                if (reader->operands[i] == state) return true;
        }
    }
    return false;
}

// What lies on a path from one of them to another is one of them.
static void take_between(const Strands *strands, Rounds *rounds) {
    for (uint32_t s = rounds->last + 1; s-- > rounds->first;) {
        const Step *step = &strands->plan->steps[s];
        for (uint32_t k = 0; rounds->in[s] && k < step->operand_count; k++) {
            uint32_t writer = strands->writer[step->operands[k]];
            if (writer == STEP_NONE || !rounds->depends[writer]) continue;
            rounds->in[writer] = true;
            rounds->depends[writer] = false;
        }
    }
}

static void find_steps(const Strands *strands, ValueId value, Rounds *rounds) {
    const Plan *plan = strands->plan;
    uint32_t first = strands->writer[value];
    *rounds = (Rounds){.over = plan->values[value].order, .first = first, .last = first};
    rounds->over.rank--;
    rounds->in = ARENA_ARRAY(strands->scratch, bool, plan->step_count);
    rounds->depends = ARENA_ARRAY(strands->scratch, bool, plan->step_count);
    for (uint32_t s = first; s < plan->step_count; s++) {
        rounds->in[s] = s == first || reads_large(strands, rounds, &plan->steps[s]);
        if (rounds->in[s]) rounds->last = s;
        bool is_behind = depends_on(strands, rounds, &plan->steps[s]) || must_follow(strands, rounds, s);
        rounds->depends[s] = !rounds->in[s] && is_behind;
    }
    take_between(strands, rounds);
}

// ---- whether they can have rounds

static bool sums_rows(const Strands *strands, const Rounds *rounds, uint32_t s) {
    const Step *step = &strands->plan->steps[s];
    DimSet order = dim_list_set(&strands->plan->values[step->outputs[0]].order);
    return step->form == FORM_PRODUCT && !(order & dim_list_set(&rounds->over));
}

static const char *sum_refusal(const Strands *strands, const Rounds *rounds, uint32_t s) {
    const Plan *plan = strands->plan;
    const Step *step = &plan->steps[s];
    const Value *output = &plan->values[step->outputs[0]];
    Contraction contraction = product_contraction(plan, step);
    if (!dim_list_equal(&contraction.summed, &rounds->over) || contraction.batch.rank) return "sums over other rows";
    if (step->output_count != 1 || output->dtype != DTYPE_F32 || output->next_of != VALUE_NONE || step->band.is_set)
        return "cannot go on with its sum";
    int64_t rows = graph_elements(plan->dims, dim_list_set(&contraction.rows));
    return rows < strands->context->target->cores ? "has too few rows of its own" : NULL;
}

static const char *row_refusal(const Strands *strands, const Rounds *rounds, uint32_t s) {
    const Plan *plan = strands->plan;
    const Step *step = &plan->steps[s];
    DimSet over = dim_list_set(&rounds->over);
    if (over & ~strands->facts[s].cuttable) return "needs all rows at once";
    for (uint32_t k = 0; k < step->output_count; k++) {
        const Value *output = &plan->values[step->outputs[k]];
        if (output->next_of != VALUE_NONE) return "writes over a state";
        if (!begins_with(&output->order, &rounds->over)) return "writes rows in another order";
    }
    if (step->form != FORM_PRODUCT) return NULL;
    Contraction contraction = product_contraction(plan, step);
    bool is_alike = dim_list_equal(&contraction.rows, &rounds->over) && contraction.batch.rank == 0;
    return is_alike ? NULL : "is a product of other rows";
}

static const char *step_refusal(const Strands *strands, const Rounds *rounds, uint32_t s) {
    const Step *step = &strands->plan->steps[s];
    DimSet over = dim_list_set(&rounds->over);
    bool is_of_strand = step->cut.groups || plan_in_strand(strands->plan, s);
    if (is_of_strand || step->engine != ENGINE_TILES) return "is of a strand or another engine";
    bool sums = sums_rows(strands, rounds, s);
    const char *refusal = sums ? sum_refusal(strands, rounds, s) : row_refusal(strands, rounds, s);
    for (uint32_t k = 0; k < step->operand_count && !refusal; k++) {
        if (!writes_in(strands, rounds, step->operands[k])) continue;
        DimSet own = sums ? strands->facts[s].own_summed[k] : strands->facts[s].own[k];
        if (over & ~own) refusal = "reads other rows than its own";
        if (sums_rows(strands, rounds, strands->writer[step->operands[k]])) refusal = "reads a sum over all rows";
    }
    return refusal;
}

static int order_of(const Rounds *rounds, uint32_t s) { return rounds->in[s] ? 1 : rounds->depends[s] ? 2 : 0; }

// NULL, or the first step that speaks against it.
static const char *find_refusal(const Strands *strands, const Rounds *rounds) {
    const Plan *plan = strands->plan;
    uint32_t count = 0;
    for (uint32_t s = rounds->first; s <= rounds->last; s++) {
        const Step *step = &plan->steps[s];
        const char *refusal = rounds->in[s] ? step_refusal(strands, rounds, s) : NULL;
        if (step->joined && s > rounds->first && order_of(rounds, s) != order_of(rounds, s - 1))
            refusal = "is of a strand that would be torn apart";
        if (refusal) return arena_format(plan->arena, "%s at %s %s", step->label, step->place, refusal);
        count += rounds->in[s];
    }
    return count < 2 ? "nothing reads it row by row" : NULL;
}

// ---- how many, and whether it pays

static double row_bytes(const Strands *strands, const Rounds *rounds) {
    double most = 0;
    for (uint32_t s = rounds->first; s <= rounds->last; s++)
        for (uint32_t k = 0; rounds->in[s] && k < strands->plan->steps[s].output_count; k++) {
            ValueId id = strands->plan->steps[s].outputs[k];
            double bytes = value_bytes(strands->plan, id);
            if (is_large_of(strands, rounds, id) && bytes > most) most = bytes;
        }
    return most / (double)graph_elements(strands->plan->dims, dim_list_set(&rounds->over));
}

// A tile of rows for each core.
static int64_t least_rows(const Strands *strands, const Rounds *rounds) {
    uint32_t most = 1;
    for (uint32_t s = rounds->first; s <= rounds->last; s++)
        if (rounds->in[s] && strands->plan->steps[s].tile_rows > most) most = strands->plan->steps[s].tile_rows;
    return (int64_t)most * strands->context->target->cores;
}

// The fewest equal rounds of which one fits, or the most that have enough rows.
static bool choose_rounds(const Strands *strands, Rounds *rounds) {
    int64_t total = graph_elements(strands->plan->dims, dim_list_set(&rounds->over));
    int64_t least = least_rows(strands, rounds);
    double row = row_bytes(strands, rounds);
    rounds->pieces = (uint32_t)strands->context->target->cores;
    for (int64_t count = 2; total / count >= least; count++) {
        if (total % count != 0) continue;
        rounds->rounds = (uint32_t)count;
        rounds->held = row * (double)(total / count);
        if (rounds->held <= room(strands)) break;
    }
    rounds->whole = row * (double)total;
    return rounds->rounds > 0;
}

static double flop_seconds(const Strands *strands, double flops) {
    return flops / strands->context->target->peak_flops;
}

static double traffic_seconds(const Strands *strands, double bytes) {
    return bytes / strands->context->target->bandwidth;
}

// What each piece reads of other steps passes by once for each: in order, so only what is more than the arithmetic on
// it takes time.
static double reading_seconds(const Strands *strands, const Rounds *rounds, uint32_t s, double pieces) {
    const Step *step = &strands->plan->steps[s];
    double bytes = 0;
    for (uint32_t k = 0; k < step->operand_count; k++)
        if (dim_list_set(&rounds->over) & ~strands->facts[s].own[k])
            bytes += pieces * value_bytes(strands->plan, step->operands[k]);
    double over = traffic_seconds(strands, bytes) - flop_seconds(strands, step->flops);
    return over > 0 ? over : 0;
}

// By which rounds take longer: sums are read and written in each, and there are more pieces.
static double more_seconds(const Strands *strands, const Rounds *rounds) {
    const Plan *plan = strands->plan;
    double seconds = 0;
    for (uint32_t s = rounds->first; s <= rounds->last; s++) {
        const Step *step = &plan->steps[s];
        if (!rounds->in[s]) continue;
        if (sums_rows(strands, rounds, s)) {
            double bytes = 2 * (rounds->rounds - 1.0) * value_bytes(plan, step->outputs[0]);
            seconds += ahead_part * traffic_seconds(strands, bytes);
        } else {
            seconds += reading_seconds(strands, rounds, s, (double)rounds->rounds * rounds->pieces) -
                       reading_seconds(strands, rounds, s, step->cut.pieces);
        }
    }
    return seconds;
}

static double product_seconds(const Strands *strands) {
    double flops = 0;
    for (uint32_t s = 0; s < strands->plan->step_count; s++)
        flops += strands->plan->steps[s].form == FORM_PRODUCT ? strands->plan->steps[s].flops : 0;
    return flop_seconds(strands, flops);
}

static const char *place_of(const Strands *strands, const Rounds *rounds) {
    const Plan *plan = strands->plan;
    for (uint32_t s = rounds->first; s <= rounds->last; s++)
        for (uint32_t k = 0; rounds->in[s] && k < plan->steps[s].output_count; k++) {
            const Value *value = &plan->values[plan->steps[s].outputs[k]];
            if (is_large_of(strands, rounds, plan->steps[s].outputs[k]) && value->name) return value->name;
        }
    return plan->steps[rounds->first].place;
}

static bool decide(const Strands *strands, Rounds *rounds) {
    const Target *target = strands->context->target;
    Decision decision = {.pass = "plan_rounds", .what = "rounds", .place = place_of(strands, rounds)};
    decision.reason = find_refusal(strands, rounds);
    bool possible = !decision.reason && choose_rounds(strands, rounds);
    if (possible) {
        double more = more_seconds(strands, rounds);
        double most = memory_part * product_seconds(strands);
        bool is_known = target->bandwidth > 0 && target->peak_flops > 0;
        int64_t rows = graph_elements(strands->plan->dims, dim_list_set(&rounds->over)) / rounds->rounds;
        decision.made = !is_known || more < most;
        decision.reason =
            arena_format(strands->plan->arena,
                         "%u rounds of %lld rows, %.3g MB held of %.3g: "
                         "%.3g ms more for traffic, up to %.3g ms for memory",
                         rounds->rounds, (long long)rows, 1e-6 * rounds->held, 1e-6 * rounds->whole, 1e3 * more,
                         1e3 * most);
    } else if (!decision.reason) {
        decision.reason = arena_format(strands->plan->arena, "%.3g MB: no equal rounds of %lld rows or more",
                                       1e-6 * rounds->whole, (long long)least_rows(strands, rounds));
    }
    choices_decide(strands->context->choices, possible, &decision);
    if (!possible) decision.made = false;
    ledger_add(strands->context->ledger, decision);
    return decision.made;
}

// ---- made

static void put_in_order(Strands *strands, Rounds *rounds) {
    Plan *plan = strands->plan;
    uint32_t count = rounds->last - rounds->first + 1, next = 0, first = rounds->first, steps_in = 0;
    Step *steps = ARENA_ARRAY(strands->scratch, Step, count);
    for (int place = 0; place <= 2; place++)
        for (uint32_t s = rounds->first; s <= rounds->last; s++)
            if (order_of(rounds, s) == place) steps[next++] = plan->steps[s];
    for (uint32_t s = rounds->first; s <= rounds->last; s++) {
        first += order_of(rounds, s) == 0;
        steps_in += rounds->in[s];
    }
    memcpy(&plan->steps[rounds->first], steps, count * sizeof *steps);
    rounds->first = first;
    rounds->last = first + steps_in - 1;
}

static bool is_read_behind(const Plan *plan, const Rounds *rounds, ValueId id) {
    for (uint32_t s = rounds->last + 1; s < plan->step_count; s++)
        for (uint32_t k = 0; k < plan->steps[s].operand_count; k++)
            if (plan->steps[s].operands[k] == id) return true;
    return false;
}

static void cut_steps(const Strands *strands, const Rounds *rounds) {
    Plan *plan = strands->plan;
    for (uint32_t s = rounds->first; s <= rounds->last; s++) {
        Step *step = &plan->steps[s];
        DimSet order = dim_list_set(&plan->values[step->outputs[0]].order);
        bool sums = !(order & dim_list_set(&rounds->over));
        Cut cut = {.dims = rounds->over,
                   .pieces = rounds->rounds * rounds->pieces,
                   .rounds = rounds->rounds,
                   .over = rounds->over};
        if (sums) {
            cut.dims = product_contraction(plan, step).rows;
            cut.pieces = rounds->pieces;
        }
        cut.total = graph_elements(plan->dims, dim_list_set(&cut.dims));
        step->cut = cut;
        for (uint32_t k = 0; k < step->output_count && !sums; k++) {
            Value *value = &plan->values[step->outputs[k]];
            bool leads = cut_rounds_lead(plan->dims, &cut, &value->layout);
            bool is_inside = value->kind == VALUE_TEMPORARY && !is_read_behind(plan, rounds, step->outputs[k]);
            if (leads && is_inside && is_large_of(strands, rounds, step->outputs[k])) value->rounds = rounds->rounds;
        }
    }
}

bool pass_plan_rounds(Plan *plan, PassContext *context) {
    if (context->fuse != FUSE_ALL || target_is_gpu(context->target)) return true;
    Arena *scratch = arena_create();
    Strands strands = strands_create(plan, context, scratch);
    bool made = false;
    for (uint32_t s = 0; s < plan->step_count && !made; s++)
        for (uint32_t k = 0; k < plan->steps[s].output_count && !made; k++) {
            Rounds rounds;
            if (!is_large(&strands, plan->steps[s].outputs[k])) continue;
            find_steps(&strands, plan->steps[s].outputs[k], &rounds);
            made = decide(&strands, &rounds);
            if (made) put_in_order(&strands, &rounds);
            if (made) cut_steps(&strands, &rounds);
        }
    arena_free(scratch);
    return true;
}
