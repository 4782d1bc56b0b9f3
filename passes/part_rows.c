// part_rows: a line between the rows of a product's result, where they would meet in a cache.
//
// requires  layouts, panels, strands, chains, rounds
// ensures   a temporary that a tiled product writes and other steps only read has a line of 64 bytes between its rows,
//           when these are a multiple of a cache way long
// does nothing for what lies in scratch memory or is written in rounds or by a strand, for what a step reads that may
//           write alike (it could write over it), at other levels than all, and for GPUs
// ledger    per product's result whose rows would meet: a line between them, or the first condition that failed
//
//     value %4 temporary f32[B,T,F=1024] @ (B, T, F)    ->   @ (B, T, F%1040)
//
// Rows that lie a multiple of a way apart begin in one set of the first-level cache, which has no room for all rows of
// a register tile: a product that goes along them finds nothing of what it has just read, and one that stores a tile
// drives out what it has just stored.
#include "passes/panels.h"
#include "passes/pass_functions.h"

// A cache that is looked up while the address is translated has ways of a page at most.
enum { PAGE_BYTES = 4096, LEAST_WAYS = 8, LINE_FLOATS = 16 };

static int64_t way_bytes(const Target *target) {
    int64_t way = PAGE_BYTES;
    while (way > 1 && (double)(way * LEAST_WAYS) > target->l1_bytes) way /= 2;
    return way;
}

static bool rows_meet(const Plan *plan, const Value *value, const Target *target) {
    if (value->kind != VALUE_TEMPORARY || value->dtype != DTYPE_F32 || value->order.rank < 2) return false;
    if (value->space == SPACE_SCRATCH || value->parts > 1 || !layout_is_plain(plan->dims, &value->layout)) return false;
    return value->layout.pieces[value->layout.count - 1].extent * (int64_t)sizeof(float) % way_bytes(target) == 0;
}

static bool is_of_strand(const Plan *plan, uint32_t s) {
    return plan->steps[s].joined || (s + 1 < plan->step_count && plan->steps[s + 1].joined);
}

static bool reads(const Step *step, ValueId value) {
    for (uint32_t k = 0; k < step->operand_count; k++)
        if (step->operands[k] == value) return true;
    return false;
}

static bool writes_alike(const Plan *plan, const Step *step, const Value *value) {
    for (uint32_t k = 0; k < step->output_count; k++)
        if (layout_equal(&plan->values[step->outputs[k]].layout, &value->layout)) return true;
    return false;
}

static const char *refusal(const Plan *plan, ValueId id, uint32_t writer) {
    const Value *value = &plan->values[id];
    if (is_of_strand(plan, writer)) return "a strand writes it";
    if (value->rounds) return "it is written in rounds";
    for (uint32_t s = 0; s < plan->step_count; s++) {
        const Step *step = &plan->steps[s];
        if (!reads(step, id) || is_tiled_product(step)) continue;
        if (step->form == FORM_PRODUCT || writes_alike(plan, step, value))
            return arena_format(plan->arena, "%s at %s reads it", step->label, step->place);
    }
    return NULL;
}

static void part(Plan *plan, PassContext *context, ValueId id, uint32_t writer) {
    Value *value = &plan->values[id];
    LayoutPiece *last = &value->layout.pieces[value->layout.count - 1];
    Decision decision = {.pass = "part_rows",
                         .what = "a line between rows",
                         .place = value->name ? value->name : plan->steps[writer].place,
                         .reason = refusal(plan, id, writer)};
    decision.made = !decision.reason;
    if (decision.made)
        decision.reason = arena_format(plan->arena, "rows of %lld bytes would meet in one set of a cache",
                                       (long long)(last->extent * (int64_t)sizeof(float)));
    choices_decide(context->choices, decision.made, &decision);
    if (decision.made) last->extent += LINE_FLOATS;
    ledger_add(context->ledger, decision);
}

bool pass_part_rows(Plan *plan, PassContext *context) {
    if (context->fuse != FUSE_ALL || target_is_gpu(context->target)) return true;
    const uint32_t *writers = plan_writers(plan, plan->arena);
    for (ValueId id = 0; id < plan->value_count; id++) {
        uint32_t writer = rows_meet(plan, &plan->values[id], context->target) ? writers[id] : STEP_NONE;
        if (writer != STEP_NONE && is_tiled_product(&plan->steps[writer])) part(plan, context, id, writer);
    }
    return true;
}
