// write_states: the next value of a state is written by the step that makes it, not copied there behind it.
//
// requires  layouts, cuts, strands, chains, rounds
// ensures   what a map or a tiled product makes, it alone, and only a copy into a state reads is written into the
//           state, when no other step reads that state, and this one reads each element before it writes it: the copy
//           is gone, and so is the memory of what it copied
// does nothing for what a strand or rounds write, for sums that are walked in blocks, at other levels than all, and for
//           GPUs, whose copies run beside other work
// ledger    per copy of what such a step makes: left out, or the first condition that failed
//
//     step 7 product      in %x, %dy, %state  out %sum
//     step 9 map "copy"   in %sum             out %next     ->   step 7 product  in %x, %dy, %state  out %next
//
// draw_boxes lets maps do so from the beginning. A product is one only when it is known what tiles it is made of, and
// what adds up a strand's gradients is a map of its own only since there is the strand.
#include "passes/access.h"
#include "passes/pass_functions.h"
#include "passes/remove_values.h"
#include "passes/write_over.h"

typedef struct {
    Plan *plan;
    const uint32_t *writer;   // by value
    Arena *scratch;
} Writing;

// Whether all that a step does is to write its operand into a state.
static bool is_copy_into_state(const Plan *plan, const Step *step) {
    if (step->form != FORM_MAP || step->operand_count != 1 || step->output_count != 1) return false;
    const Node *node = graph_node(step->region, graph_output_at(step->region, 0)->node);
    const Value *next = &plan->values[step->outputs[0]], *value = &plan->values[step->operands[0]];
    return node->op == OP_OPERAND && next->next_of != VALUE_NONE && value->kind == VALUE_TEMPORARY;
}

static uint32_t count_readers(const Plan *plan, ValueId value) {
    uint32_t readers = 0;
    for (uint32_t s = 0; s < plan->step_count; s++) readers += step_reads(&plan->steps[s], value);
    return readers;
}

static bool makes_nothing_else(const Step *step) {
    return step->form != FORM_ROW && step->output_count == 1 && step->engine == ENGINE_TILES;
}

// Whether it writes each element of the state after it has read it, or reads nothing of it.
static bool reads_first(const Writing *writing, const Step *step, ValueId state) {
    const DimSet *own = access_own(step->region, step->operand_count, writing->scratch);
    for (uint32_t k = 0; k < step->operand_count; k++)
        if (step->operands[k] == state &&
            !step_may_write_over(writing->plan, step, 0, k, (OperandAccess){own[k], 0}, writing->scratch))
            return false;
    return true;
}

static const char *refusal(const Writing *writing, const Step *copy, uint32_t writer) {
    const Plan *plan = writing->plan;
    ValueId id = copy->operands[0], state = plan->values[copy->outputs[0]].next_of;
    const Value *value = &plan->values[id], *next = &plan->values[copy->outputs[0]];
    const Step *step = &plan->steps[writer];
    if (plan_in_strand(plan, writer) || step->cut.groups || step->cut.rounds) return "it is made piece by piece";
    bool is_alike = value->dtype == next->dtype && value->parts <= 1 && value->rounds <= 1 &&
                    dim_list_equal(&value->order, &next->order) && layout_equal(&value->layout, &next->layout);
    if (!is_alike) return "it lies otherwise in memory";
    if (count_readers(plan, id) > 1) return "others read it";
    bool is_read = count_readers(plan, state) > (step_reads(step, state) ? 1 : 0);
    if (is_read) return "others read the state as it was";
    if (!reads_first(writing, step, state)) return "it is not read element by element";
    return NULL;
}

static bool is_left_out(const Writing *writing, PassContext *context, const Step *copy) {
    uint32_t writer = writing->writer[copy->operands[0]];
    if (writer == STEP_NONE || !makes_nothing_else(&writing->plan->steps[writer])) return false;
    const Value *next = &writing->plan->values[copy->outputs[0]];
    double bytes = (double)layout_elements(&next->layout) * (double)dtype_bytes(next->dtype);
    Decision decision = {.pass = "write_states",
                         .what = "next value written where it is made",
                         .place = copy->place,
                         .reason = refusal(writing, copy, writer),
                         .bytes_saved = 2 * bytes};
    bool can = decision.made = !decision.reason;
    if (can) decision.reason = "nobody else reads the state";
    choices_decide(context->choices, can, &decision);
    ledger_add(context->ledger, decision);
    return decision.made;
}

// ---- the door

bool pass_write_states(Plan *plan, PassContext *context) {
    if (context->fuse != FUSE_ALL || target_is_gpu(context->target)) return true;
    Arena *scratch = arena_create();
    Writing writing = {plan, plan_writers(plan, scratch), scratch};
    ValueId *now = ARENA_ARRAY(scratch, ValueId, plan->value_count);
    bool *gone = ARENA_ARRAY(scratch, bool, plan->step_count);
    for (ValueId id = 0; id < plan->value_count; id++) now[id] = id;
    for (uint32_t s = 0; s < plan->step_count; s++) {
        const Step *step = &plan->steps[s];
        gone[s] = is_copy_into_state(plan, step) && is_left_out(&writing, context, step);
        if (gone[s]) now[step->operands[0]] = step->outputs[0];
    }
    uint32_t count = 0;
    for (uint32_t s = 0; s < plan->step_count; s++)
        if (!gone[s]) plan->steps[count++] = plan->steps[s];
    bool is_changed = count < plan->step_count;
    plan->step_count = count;
    if (is_changed) remove_values(plan, now);
    arena_free(scratch);
    return true;
}
