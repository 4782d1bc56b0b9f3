// part_rows: room between the rows of what products write and read, so that rows lie well in the caches.
//
// requires  layouts, panels, strands, chains, rounds
// ensures   a temporary that a tiled product writes and other steps only read has a line of 64 bytes between its rows,
//           when these are a multiple of a cache way long; one that a tiled product or a row step writes has rows that
//           begin with a line, when these are longer than a way
// does nothing for what lies in scratch memory or is written in rounds or by a strand, for what a step reads that could
//           write alike over it but would not have that room, at other levels than all, and for GPUs
// ledger    per value whose rows would lie badly: room between rows, or the first condition that failed
//
//     value %4 temporary f32[B,T,F=1024] @ (B, T, F)    ->   @ (B, T, F%1040)
//     value %9 temporary f32[B,T,V=1025] @ (B, T, V)    ->   @ (B, T, V%1040)
//
// Rows that lie a multiple of a way apart begin in one set of the first-level cache, which has no room for all rows of
// a register tile: a product that goes along them finds nothing of what it has just read, and one that stores a tile
// drives out what it has just stored. Rows that begin anywhere in a line make every vector of them two lines.
#include "passes/panels.h"
#include "passes/pass_functions.h"

enum { LEAST_WAYS = 8, LINE_FLOATS = LINE_BYTES / sizeof(float) };

static int64_t way_bytes(const Target *target) {
    int64_t way = PAGE_BYTES;
    while (way > 1 && (double)(way * LEAST_WAYS) > target->l1_bytes) way /= 2;
    return way;
}

static bool is_in_rows(const Plan *plan, const Value *value) {
    return value->kind == VALUE_TEMPORARY && value->dtype == DTYPE_F32 && value->order.rank >= 2 &&
           value->space != SPACE_SCRATCH && value->parts <= 1 && layout_is_plain(plan->dims, &value->layout);
}

static int64_t row_floats(const Value *value) { return value->layout.pieces[value->layout.count - 1].extent; }

static bool rows_meet(const Value *value, const Target *target) {
    return row_floats(value) * (int64_t)sizeof(float) % way_bytes(target) == 0;
}

static bool rows_begin_anywhere(const Value *value, const Target *target) {
    return row_floats(value) % LINE_FLOATS != 0 && row_floats(value) * (int64_t)sizeof(float) > way_bytes(target);
}

static bool writes_alike(const Plan *plan, const Step *step, const Value *value) {
    for (uint32_t k = 0; k < step->output_count; k++)
        if (layout_equal(&plan->values[step->outputs[k]].layout, &value->layout)) return true;
    return false;
}

// `meet`: else they begin anywhere, and row steps, whose results have the same rows, make room, too.
static const char *refusal(const Plan *plan, ValueId id, uint32_t writer, bool meet) {
    const Value *value = &plan->values[id];
    if (plan_in_strand(plan, writer)) return "a strand writes it";
    if (value->rounds) return "it is written in rounds";
    for (uint32_t s = 0; s < plan->step_count; s++) {
        const Step *step = &plan->steps[s];
        if (!step_reads(step, id) || is_tiled_product(step)) continue;
        bool makes_room = step->form == FORM_ROW && !meet;
        if (step->form == FORM_PRODUCT || (!makes_room && writes_alike(plan, step, value)))
            return arena_format(plan->arena, "%s at %s reads it", step->label, step->place);
    }
    return NULL;
}

static void part(Plan *plan, PassContext *context, ValueId id, uint32_t writer, bool meet) {
    Value *value = &plan->values[id];
    int64_t floats = row_floats(value), lines = floats / LINE_FLOATS + 1;
    Decision decision = {.pass = "part_rows",
                         .what = "room between rows",
                         .place = value->name ? value->name : plan->steps[writer].place,
                         .reason = refusal(plan, id, writer, meet)};
    decision.made = !decision.reason;
    if (decision.made)
        decision.reason =
            arena_format(plan->arena, "rows of %lld bytes would %s", (long long)(floats * (int64_t)sizeof(float)),
                         meet ? "meet in one set of a cache" : "begin anywhere in a line");
    choices_decide(context->choices, decision.made, &decision);
    if (decision.made) value->layout.pieces[value->layout.count - 1].extent = lines * LINE_FLOATS;
    ledger_add(context->ledger, decision);
}

// A scatter goes to rows one by one.
static bool is_plain_row_step(const Step *step) {
    return step->form == FORM_ROW && scattering_of(step->region).scatter == NODE_NONE;
}

bool pass_part_rows(Plan *plan, PassContext *context) {
    if (context->fuse != FUSE_ALL || target_is_gpu(context->target)) return true;
    const uint32_t *writers = plan_writers(plan, plan->arena);
    for (ValueId id = 0; id < plan->value_count; id++) {
        const Value *value = &plan->values[id];
        if (!is_in_rows(plan, value) || writers[id] == STEP_NONE) continue;
        const Step *writer = &plan->steps[writers[id]];
        bool is_product = is_tiled_product(writer);
        if (is_product && rows_meet(value, context->target))
            part(plan, context, id, writers[id], true);
        else if ((is_product || is_plain_row_step(writer)) && rows_begin_anywhere(value, context->target))
            part(plan, context, id, writers[id], false);
    }
    return true;
}
