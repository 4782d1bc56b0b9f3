// What making a step again costs and saves, at the epoch in which most bytes are held.
//
// A value lies idle there when it is written before and read behind, but not in that epoch. Its bytes are saved when
// the step that writes it is made again for the later readers. What that step reads has to be there, then:
//
//     a leaf, or a value alive until then        nothing more to do
//     a value that is made again already         made before its own time, if need be
//     any other                                  made again as well, or held until then: whichever leaves more bytes
//                                                saved per flop
//
// Traffic counts as the flops that the machine could do in its time, so that steps which only move numbers have a
// price.
#include "passes/again.h"

// ---- measuring a trial

static void find_late_reads(Trial *trial) {
    Plan *plan = &trial->plan;
    trial->reads = ARENA_ARRAY(trial->arena, LateReads, plan->value_count);
    for (ValueId id = 0; id < plan->value_count; id++)
        trial->reads[id] = (LateReads){.before = STEP_NONE, .epoch = STEP_NONE};
    for (uint32_t s = plan->step_count; s-- > 0;)
        for (uint32_t k = 0; k < plan->steps[s].operand_count; k++) {
            LateReads *reads = &trial->reads[plan->steps[s].operands[k]];
            if (reads->last < trial->epoch[s]) reads->last = trial->epoch[s];
            if (trial->epoch[s] > trial->peak) {
                reads->before = trial->origin[s];
                reads->epoch = trial->epoch[s];
                continue;
            }
            reads->at_peak |= trial->epoch[s] == trial->peak;
            reads->by_copy |= trial->is_copy[s];
        }
}

// Whether a value is counted: results stay to the end, whatever is made again.
static bool is_activation(const Value *value) { return value->space == SPACE_ARENA && value->kind != VALUE_OUTPUT; }

// The first epoch of those that hold most.
static void find_peak(Trial *trial) {
    uint32_t epochs = trial->epoch[trial->plan.step_count] + 1;
    size_t *born = ARENA_ARRAY(trial->arena, size_t, epochs), *gone = ARENA_ARRAY(trial->arena, size_t, epochs);
    size_t held = 0;
    for (ValueId id = 0; id < trial->plan.value_count; id++) {
        if (!is_activation(&trial->plan.values[id]) || trial->plan.values[id].is_over) continue;
        born[trial->lives[id].first] += trial->lives[id].bytes;
        gone[trial->lives[id].last] += trial->lives[id].bytes;
    }
    trial->held = 0;
    for (uint32_t epoch = 0; epoch < epochs; epoch++) {
        held += born[epoch];
        if (held > trial->held) trial->held = held, trial->peak = epoch;
        held -= gone[epoch];
    }
}

bool again_measure(const Remaking *remaking, Trial *trial) {
    *trial = (Trial){.arena = arena_create()};
    trial->plan = again_plan(remaking, trial->arena, trial);
    edges_fill(&trial->plan);
    if (!memory_prepare(&trial->plan, remaking->context)) return false;
    trial->epoch = plan_epochs(&trial->plan, trial->arena);
    trial->lives = memory_lives(&trial->plan);
    find_peak(trial);
    find_late_reads(trial);
    return true;
}

// ---- one step and what it needs

typedef struct {
    const Remaking *remaking;
    const Trial *now;
    Remake *remake;
    uint32_t before, epoch;    // when it is made again
    bool *in, *cannot;         // by step
} Weighing;

double again_work(const Remaking *remaking, uint32_t step) {
    const Target *target = remaking->context->target;
    const Step *of = &remaking->plan->steps[step];
    return of->flops + of->bytes * (target->peak_flops / target->bandwidth);
}

static bool is_alive_at_peak(const Trial *now, ValueId id) {
    return is_activation(&now->plan.values[id]) && now->lives[id].first <= now->peak &&
           now->reads[id].last >= now->peak;
}

static bool is_idle(const Trial *now, ValueId id) {
    const LateReads *reads = &now->reads[id];
    return is_alive_at_peak(now, id) && now->lives[id].first < now->peak && reads->last > now->peak &&
           !reads->at_peak && !reads->by_copy;
}

static double idle_bytes(const Trial *now, const Step *step) {
    double bytes = 0;
    for (uint32_t k = 0; k < step->output_count; k++)
        if (is_idle(now, step->outputs[k])) bytes += (double)now->plan.values[step->outputs[k]].bytes;
    return bytes;
}

static const char *value_name(const Plan *plan, ValueId id) {
    return plan->values[id].name ? plan->values[id].name : "a value without a name";
}

// Why a step can never be made again; NULL: it can.
static const char *obstacle(const Remaking *remaking, uint32_t s, Arena *arena) {
    const Plan *plan = remaking->plan;
    if (remaking->again[s].made) return "it is made again already";
    if (remaking->in_strand[s]) return "a strand or chain makes it with others, piece by piece";
    for (uint32_t k = 0; k < plan->steps[s].output_count; k++)
        if (plan->values[plan->steps[s].outputs[k]].kind != VALUE_TEMPORARY)
            return arena_format(arena, "its step also makes %s, a result", value_name(plan, plan->steps[s].outputs[k]));
    return NULL;
}

static bool refuse(Weighing *weighing, const char *reason) {
    weighing->remake->reason = reason;
    return false;
}

static bool add_step(Weighing *weighing, uint32_t s);

static bool is_there(const Weighing *weighing, ValueId id, uint32_t writer) {
    if (weighing->remaking->again[writer].made || weighing->in[writer]) return true;
    return weighing->now->plan.values[id].kind == VALUE_OUTPUT || weighing->now->reads[id].last >= weighing->epoch;
}

static void roll_back(Weighing *weighing, uint32_t count, double saved, double work) {
    Remake *remake = weighing->remake;
    while (remake->count > count) weighing->in[remake->members[--remake->count]] = false;
    remake->saved = saved;
    remake->work = work;
}

// A value that is no longer there: its step as well, or its bytes.
static bool add_value(Weighing *weighing, ValueId id, uint32_t writer) {
    Remake *remake = weighing->remake;
    uint32_t count = remake->count;
    double saved = remake->saved, work = remake->work;
    double bytes = is_alive_at_peak(weighing->now, id) ? 0 : (double)weighing->now->plan.values[id].bytes;
    bool can = !weighing->cannot[writer] && add_step(weighing, writer);
    weighing->cannot[writer] = !can;
    if (can && (saved - bytes) * remake->work <= remake->saved * work) return true;
    roll_back(weighing, count, saved - bytes, work);
    if (remake->saved > 0) return true;
    return refuse(weighing, arena_format(weighing->now->arena, "to make it, %s would have to be kept",
                                         value_name(weighing->remaking->plan, id)));
}

static bool add_operand(Weighing *weighing, ValueId id) {
    const Remaking *remaking = weighing->remaking;
    const Value *value = &remaking->plan->values[id];
    uint32_t writer = remaking->writer[id], overwriter = remaking->overwriter[id];
    if (overwriter != STEP_NONE && overwriter < weighing->before)
        return refuse(weighing, arena_format(weighing->now->arena, "to make it, the old %s is needed",
                                             value_name(remaking->plan, id)));
    if (writer == STEP_NONE) return true;
    if (value->space == SPACE_SCRATCH)
        return refuse(weighing,
                      arena_format(weighing->now->arena, "to make it, %s is needed, which lives in a strand only",
                                   value_name(remaking->plan, id)));
    return is_there(weighing, id, writer) || add_value(weighing, id, writer);
}

static bool add_step(Weighing *weighing, uint32_t s) {
    const Remaking *remaking = weighing->remaking;
    Remake *remake = weighing->remake;
    const Step *step = &remaking->plan->steps[s];
    const char *wrong = obstacle(remaking, s, weighing->now->arena);
    if (wrong) return refuse(weighing, wrong);
    uint32_t count = remake->count;
    double saved = remake->saved, work = remake->work;
    weighing->in[s] = true;
    remake->saved += idle_bytes(weighing->now, step);
    remake->work += again_work(remaking, s);
    for (uint32_t k = 0; k < step->operand_count; k++) {
        if (add_operand(weighing, step->operands[k])) continue;
        roll_back(weighing, count, saved, work);
        weighing->in[s] = false;
        return false;
    }
    remake->members[remake->count++] = s;
    return true;
}

// The first reader behind the peak of anything that the step makes.
static LateReads late_reads(const Remaking *remaking, const Trial *now, uint32_t s) {
    const Step *step = &remaking->plan->steps[s];
    LateReads first = {.before = STEP_NONE, .epoch = STEP_NONE};
    for (uint32_t k = 0; k < step->output_count; k++) {
        const LateReads *reads = &now->reads[step->outputs[k]];
        if (reads->before < first.before) first = *reads;
    }
    return first;
}

bool again_weigh(const Remaking *remaking, const Trial *now, uint32_t step, Remake *remake) {
    const Plan *plan = remaking->plan;
    double idle = idle_bytes(now, &plan->steps[step]);
    if (idle == 0) return false;
    LateReads first = late_reads(remaking, now, step);
    *remake = (Remake){.root = step, .members = ARENA_ARRAY(now->arena, uint32_t, plan->step_count)};
    Weighing weighing = {.remaking = remaking,
                         .now = now,
                         .remake = remake,
                         .before = first.before,
                         .epoch = first.epoch,
                         .in = ARENA_ARRAY(now->arena, bool, plan->step_count),
                         .cannot = ARENA_ARRAY(now->arena, bool, plan->step_count)};
    if (add_step(&weighing, step)) remake->reason = NULL;
    else remake->saved = idle;
    return true;
}

void again_decide(Remaking *remaking, const Trial *now, const Remake *remake) {
    for (uint32_t i = 0; i < remake->count; i++)
        remaking->again[remake->members[i]] = (Again){true, late_reads(remaking, now, remake->members[i]).before};
}
