// Cuts, edges and memory: what may run at the same time is independent, and nothing is written over what is still read.
//
// In: a plan, from draw_boxes to plan_memory. What a later pass fills in is checked once it is there: edges when one is
// not `none`, offsets when the arena has a size.
//
// Between two waits threads run freely, so all steps of such an epoch may be going on at the same time. A value is
// therefore alive from the epoch of its writer to the epoch of its last reader, both included.
#include "ir/plan_checks.h"

// True once plan_edges has run.
static bool has_edges(const Plan *plan) {
    for (uint32_t s = 0; s < plan->step_count; s++)
        for (uint32_t k = 0; k < plan->steps[s].operand_count; k++)
            if (plan->steps[s].edges[k] != EDGE_NONE) return true;
    return false;
}

// Before plan_edges has run nothing is said of waits, and steps run one after the other.
static uint32_t *find_epochs(const Plan *plan, Arena *arena) {
    uint32_t *epochs = plan_epochs(plan, arena);
    if (has_edges(plan)) return epochs;
    for (uint32_t s = 0; s <= plan->step_count; s++) epochs[s] = s;
    return epochs;
}

// ---- cuts and edges

// What is summed over at one place of the dims before stays within one group, whose thread adds it up in order.
static const char *check_ranges(const Plan *plan, const Cut *cut, int kept) {
    CutRanges ranges;
    if (cut->groups == 0 || cut->dims.rank < 2) return NULL;
    if (!cut_in_ranges(plan->dims, cut, &ranges))
        return "has a cut with groups whose pieces are no equal ranges of the last dim";
    if (kept == cut->dims.rank) return NULL;
    DimList first = cut->dims;
    first.rank = (uint8_t)kept;
    int64_t sums = graph_elements(plan->dims, dim_list_set(&first));
    return kept == 0 || sums % cut->groups == 0 ? NULL : "has groups that share a sum";
}

static const char *check_cut(const Plan *plan, const Step *step) {
    const Cut *cut = &step->cut;
    if (cut->pieces == 0) return NULL;  // not cut yet
    DimSet dims = dim_list_set(&cut->dims);
    int kept = cut_kept(plan, step);
    bool is_summed = kept < cut->dims.rank;
    if (!is_summed && (dims & step->inner)) return "is cut along an inner dim";
    if (cut->groups && cut->pieces % cut->groups != 0) return "has groups of different numbers of pieces";
    for (uint32_t k = 0; k < step->output_count && cut->pieces > 1; k++) {
        const Value *value = &plan->values[step->outputs[k]];
        DimList first = cut->dims;
        first.rank = (uint8_t)kept;
        if ((dims & dim_list_set(&value->order)) != dim_list_set(&first))
            return "is cut along dims that one of its outputs lacks";
        uint32_t parts = is_summed && kept == 0 && cut->groups > 1 ? cut->groups : 0;
        if (value->parts != parts) return "has an output in other parts than its cut has groups";
    }
    if (cut->total != graph_elements(plan->dims, dims)) return "has a cut whose total is not the product of its dims";
    const char *wrong = check_ranges(plan, cut, kept);
    if (wrong) return wrong;
    return cut->pieces > cut->total ? "has more pieces than rows" : NULL;
}

// Edges inside a strand are `same`, since it has one cut and no wait.
static const char *check_joined(const Plan *plan, uint32_t s, const StepNest *nest) {
    const Step *step = &plan->steps[s];
    if (step->chained && !step->joined) return "is chained to a step of another strand";
    if (!step->joined) return NULL;
    if (s == 0) return "is joined to nothing";
    if (step->wait) return "waits inside a strand";
    const Cut *strand = &plan->steps[nest[s].strand].cut;
    bool is_fine = cut_refines(&step->cut, strand);
    if (!is_fine && !cut_equal(&step->cut, strand)) return "is joined to a step that is cut otherwise";
    if (!step->chained) return NULL;
    if (!is_fine) return "is chained, and cut no finer than its strand";
    return cut_equal(&step->cut, &plan->steps[s - 1].cut) ? NULL : "is chained to a step that is cut otherwise";
}

static NodeId find_contract(const Graph *region) {
    for (NodeId id = 0; id < graph_nodes(region); id++)
        if (graph_node(region, id)->op == OP_CONTRACT) return id;
    return NODE_NONE;
}

// A product that goes on, round after round, with the one sum that it makes.
static const char *check_sum_of_rounds(const Plan *plan, const Step *step) {
    const Value *output = &plan->values[step->outputs[0]];
    NodeId contract = find_contract(step->region);
    if (contract == NODE_NONE || step->output_count != 1 || output->dtype != DTYPE_F32 || step->engine != ENGINE_TILES)
        return "sums over rounds and is no product of tiles with one result";
    Contraction contraction = contraction_of(step->region, contract, output->order);
    bool fits = dim_list_equal(&contraction.summed, &step->cut.over) &&
                dim_list_equal(&contraction.rows, &step->cut.dims) && contraction.batch.rank == 0;
    return fits ? NULL : "sums over other dims than its rounds, or is cut along other dims than its rows";
}

static const char *check_rounds(const Plan *plan, uint32_t s) {
    const Step *step = &plan->steps[s];
    const Cut *cut = &step->cut, *before = s ? &plan->steps[s - 1].cut : NULL;
    if (cut->rounds == 0) return NULL;
    if (cut->groups || step->joined) return "has rounds and is of a strand";
    bool goes_on = before && before->rounds;
    if (goes_on && (before->rounds != cut->rounds || !dim_list_equal(&before->over, &cut->over)))
        return "has other rounds than the step before";
    int64_t rows = graph_elements(plan->dims, dim_list_set(&cut->over));
    if (rows % cut->rounds != 0) return "has rounds of different numbers of rows";
    if (cut_sums_rounds(plan, step)) return check_sum_of_rounds(plan, step);
    bool fits = dim_list_equal(&cut->dims, &cut->over) && cut->pieces % cut->rounds == 0;
    return fits ? NULL : "has rounds that are not whole pieces of its rows";
}

// What a round reads of the steps that it runs with is of that round: its own pieces, or the rows that it sums over.
static const char *check_read_in_rounds(const Plan *plan, uint32_t s, uint32_t k, uint32_t writer) {
    const Step *step = &plan->steps[s];
    if (step->cut.rounds == 0 || plan_rounds_end(plan, writer) <= s) return NULL;
    if (cut_sums_rounds(plan, &plan->steps[writer])) return "reads a sum before its last round:";
    return cut_sums_rounds(plan, step) || step->edges[k] == EDGE_SAME ? NULL : "reads other rounds than its own:";
}

static const char *check_edge(const Plan *plan, uint32_t s, uint32_t k, uint32_t writer, const uint32_t *epochs,
                              const StepNest *nest) {
    const Step *step = &plan->steps[s];
    if (writer == STEP_NONE) return step->edges[k] == EDGE_NONE ? NULL : "has an edge to a value that no step writes";
    if (step->edges[k] == EDGE_NONE) return "has no edge to the step that writes";
    const char *wrong = check_read_in_rounds(plan, s, k, writer);
    if (wrong) return wrong;
    if (epochs[s] > epochs[writer]) return NULL;
    if (step->edges[k] == EDGE_ALL) return "needs all pieces of an operand without a wait after its writer:";
    const Cut *cut = plan_shared_cut(plan, nest, writer, s);
    if (!cut) return "needs piece for piece a step that is cut otherwise:";
    bool is_sum = cut->pieces > 1 && (dim_list_set(&cut->dims) & ~dim_list_set(&plan->values[step->operands[k]].order));
    return is_sum ? "needs piece for piece a sum over the pieces:" : NULL;
}

const char *plan_check_edges(const Plan *plan, Arena *arena) {
    uint32_t *writers = plan_writers(plan, arena), *epochs = find_epochs(plan, arena);
    const StepNest *nest = plan_nest(plan, arena);
    bool planned = has_edges(plan);
    for (uint32_t s = 0; s < plan->step_count; s++) {
        const Step *step = &plan->steps[s];
        const char *wrong = check_cut(plan, step);
        if (!wrong) wrong = check_joined(plan, s, nest);
        if (!wrong) wrong = check_rounds(plan, s);
        if (wrong) return arena_format(arena, "step %u (%s) %s", s, step->label, wrong);
        for (uint32_t k = 0; planned && k < step->operand_count; k++) {
            wrong = check_edge(plan, s, k, writers[step->operands[k]], epochs, nest);
            if (wrong)
                return arena_format(arena, "step %u (%s) %s value %%%u", s, step->label, wrong, step->operands[k]);
        }
    }
    return NULL;
}

// ---- memory

typedef struct {
    uint32_t first, last;  // epochs; steps in scratch memory, of which each thread has its own
} Life;

// When step s touches a value: its epoch, or in scratch memory the step. What lies there for a whole piece of the
// strand is touched by any step of a chain while the chain goes on.
static Life time_of(const Plan *plan, ValueId id, uint32_t s, uint32_t epoch, const Cut *window, const StepNest *nest) {
    if (plan->values[id].space != SPACE_SCRATCH) return (Life){epoch, epoch};
    if (cut_equal(window, &plan->steps[s].cut)) return (Life){s, s};
    return (Life){nest[s].chain, plan_chain_end(plan, nest[s].chain) - 1};
}

static void extend_life(Life *life, uint32_t first, uint32_t last) {
    if (life->first > first) life->first = first;
    if (life->last < last) life->last = last;
}

// Rounds come back to their first step: what they touch is alive as long as they run.
static void extend_over_rounds(const Plan *plan, const uint32_t *epochs, Life *lives) {
    for (uint32_t s = 0, end; s < plan->step_count; s = end) {
        end = plan_rounds_end(plan, s);
        for (uint32_t r = s; r < end && plan->steps[s].cut.rounds; r++) {
            const Step *step = &plan->steps[r];
            for (uint32_t k = 0; k < step->operand_count; k++)
                extend_life(&lives[step->operands[k]], epochs[r], epochs[end - 1]);
            for (uint32_t k = 0; k < step->output_count; k++)
                extend_life(&lives[step->outputs[k]], epochs[s], epochs[end - 1]);
        }
    }
}

static Life *find_lives(const Plan *plan, Arena *arena) {
    uint32_t *writers = plan_writers(plan, arena), *epochs = find_epochs(plan, arena);
    const StepNest *nest = plan_nest(plan, arena);
    const Cut **windows = plan_windows(plan, nest, arena);
    Life *lives = ARENA_ARRAY(arena, Life, plan->value_count);
    for (ValueId id = 0; id < plan->value_count; id++) {
        const Value *value = &plan->values[id];
        if (writers[id] != STEP_NONE)
            lives[id] = time_of(plan, id, writers[id], epochs[writers[id]], windows[id], nest);
        if (value->kind == VALUE_OUTPUT) lives[id].last = epochs[plan->step_count];
    }
    for (uint32_t s = 0; s < plan->step_count; s++)
        for (uint32_t k = 0; k < plan->steps[s].operand_count; k++) {
            ValueId id = plan->steps[s].operands[k];
            uint32_t last = time_of(plan, id, s, epochs[s], windows[id], nest).last;
            if (lives[id].last < last) lives[id].last = last;
        }
    extend_over_rounds(plan, epochs, lives);
    return lives;
}

static bool bytes_overlap(const Value *a, const Value *b) {
    return a->space == b->space && a->offset < b->offset + b->bytes && b->offset < a->offset + a->bytes;
}

// The first of the values that are written one over the other.
static ValueId lowest(const Plan *plan, ValueId id) {
    while (plan->values[id].is_over) id = plan->values[id].over;
    return id;
}

// Every pair in one space: states are alive always, arena values in their lives. What is written in place shares memory
// with its state, or over an operand with that, and was checked before.
static const char *check_overlaps(const Plan *plan, const Life *lives, Arena *arena) {
    for (ValueId a = 0; a < plan->value_count; a++) {
        const Value *x = &plan->values[a];
        if (x->in_place) continue;
        for (ValueId b = a + 1; b < plan->value_count; b++) {
            const Value *y = &plan->values[b];
            if (y->in_place || !bytes_overlap(x, y) || lowest(plan, a) == lowest(plan, b)) continue;
            bool apart = lives[a].last < lives[b].first || lives[b].last < lives[a].first;
            if (x->space == SPACE_STATE || !apart)
                return arena_format(arena, "values %%%u and %%%u are alive at the same time in the same memory", a, b);
        }
    }
    return NULL;
}

static const char *check_place(const Plan *plan, const Value *value) {
    if (value->in_place) {
        const Value *state = &plan->values[value->next_of];
        bool same = value->space == state->space && value->offset == state->offset && value->bytes == state->bytes;
        return same ? NULL : "is written in place of a state at another place";
    }
    size_t arena = plan->arena_bytes > plan->workspace_bytes ? plan->arena_bytes - plan->workspace_bytes : 0;
    size_t limits[] = {
        [SPACE_STATE] = plan->state_bytes, [SPACE_ARENA] = arena, [SPACE_SCRATCH] = plan->scratch_bytes};
    size_t limit = limits[value->space];
    if (value->bytes == 0) return "has no bytes";
    if (value->offset % 64 != 0) return "is not aligned to 64 bytes";
    return value->offset > limit || value->bytes > limit - value->offset ? "lies outside of its space" : NULL;
}

// ---- scratch memory

// Every step that writes or reads the value is of one strand, and the strand's pieces are ranges of its memory.
static const char *check_scratch(const Plan *plan, ValueId id, uint32_t writer, const Cut *cut, Arena *arena) {
    const Value *value = &plan->values[id];
    uint32_t end = plan_strand_end(plan, writer);
    if (value->kind != VALUE_TEMPORARY)
        return arena_format(arena, "value %%%u is no temporary and lies in scratch", id);
    if (!cut_leads_layout(plan->dims, cut, &value->layout, value->dtype))
        return arena_format(arena, "value %%%u lies in scratch, and the pieces of step %u are no ranges of it", id,
                            writer);
    int64_t whole = layout_elements(&value->layout) * (int64_t)dtype_bytes(value->dtype);
    if (value->bytes && value->bytes != (size_t)whole / cut->pieces)
        return arena_format(arena, "value %%%u lies in scratch with other bytes than one piece has", id);
    for (uint32_t s = end; s < plan->step_count; s++)
        if (step_reads(&plan->steps[s], id))
            return arena_format(arena, "value %%%u lies in scratch and is read outside of its strand by step %u", id,
                                s);
    return NULL;
}

// One round of it lies in memory: the steps that touch it run round by round together.
static const char *check_value_of_rounds(const Plan *plan, ValueId id, uint32_t writer, Arena *arena) {
    const Value *value = &plan->values[id];
    const Step *step = &plan->steps[writer];
    uint32_t end = plan_rounds_end(plan, writer);
    bool fits = value->kind == VALUE_TEMPORARY && value->space == SPACE_ARENA && step->cut.rounds == value->rounds &&
                !cut_sums_rounds(plan, step) && cut_rounds_lead(plan->dims, &step->cut, &value->layout);
    if (!fits)
        return arena_format(arena, "value %%%u has rounds, and those of step %u are no ranges of it", id, writer);
    if (value->bytes && value->bytes != (value_round_bytes(value) + 63) / 64 * 64)
        return arena_format(arena, "value %%%u has other bytes than one of its rounds", id);
    for (uint32_t s = end; s < plan->step_count; s++)
        if (step_reads(&plan->steps[s], id))
            return arena_format(arena, "value %%%u has rounds and is read behind them by step %u", id, s);
    return NULL;
}

// ---- states written in place

// True when the writing step reads the state only at the index that it writes: by pointwise ops, in a map or in the
// epilogue of a product that writes nothing else, or before rows are scattered onto it.
static bool reads_own_index(const Step *step, ValueId state) {
    const Graph *region = step->region;
    for (NodeId id = 0; id < graph_nodes(region); id++) {
        const Node *node = graph_node(region, id);
        bool other_index = op_class(node->op) != CLASS_POINTWISE && node->op != OP_STOP_GRADIENT;
        for (uint32_t i = 0; i < node->operand_count; i++) {
            const Node *operand = graph_node(region, node->operands[i]);
            bool is_state = operand->op == OP_OPERAND && step->operands[operand->attr.integer] == state;
            bool is_base = node->op == OP_SCATTER_ONTO && i == 2;
            if (is_state && other_index && !is_base) return false;
        }
    }
    bool is_epilogue = step->form == FORM_PRODUCT && step->output_count == 1;
    return step->form == FORM_MAP || is_epilogue || scattering_of(region).base != NODE_NONE;
}

static const char *check_in_place(const Plan *plan, ValueId id, uint32_t writer, const uint32_t *epochs, Arena *arena) {
    ValueId state = plan->values[id].next_of;
    for (uint32_t s = 0; s < plan->step_count; s++) {
        const Step *step = &plan->steps[s];
        if (!step_reads(step, state)) continue;
        if (s == writer ? !reads_own_index(step, state) : epochs[s] >= epochs[writer])
            return arena_format(arena, "value %%%u is written over its state while step %u (%s) reads the old one", id,
                                s, step->label);
    }
    return NULL;
}

// ---- values written over an operand

static const char *check_over(const Plan *plan, ValueId id, const uint32_t *writers, Arena *arena) {
    const Value *value = &plan->values[id];
    if (value->over >= plan->value_count) return arena_format(arena, "value %%%u is written over no value", id);
    const Value *operand = &plan->values[value->over];
    bool is_kept = value->kind == VALUE_OUTPUT && value->next_of == VALUE_NONE;
    bool alike = (value->kind == VALUE_TEMPORARY || is_kept) && operand->kind == VALUE_TEMPORARY &&
                 value->space == operand->space && value->rounds == operand->rounds && value->bytes == operand->bytes &&
                 value->offset == operand->offset && layout_equal(&value->layout, &operand->layout);
    if (!alike) return arena_format(arena, "value %%%u is written over %%%u, which is not like it", id, value->over);
    if (!step_reads(&plan->steps[writers[id]], value->over))
        return arena_format(arena, "value %%%u is written over %%%u, which its step does not read", id, value->over);
    for (uint32_t s = writers[id] + 1; s < plan->step_count; s++)
        if (step_reads(&plan->steps[s], value->over))
            return arena_format(arena, "value %%%u is written over %%%u, which step %u reads later", id, value->over,
                                s);
    return NULL;
}

const char *plan_check_memory(const Plan *plan, Arena *arena) {
    uint32_t *writers = plan_writers(plan, arena), *epochs = find_epochs(plan, arena);
    const Cut **windows = plan_windows(plan, plan_nest(plan, arena), arena);
    const char *wrong = NULL;
    for (ValueId id = 0; id < plan->value_count && !wrong; id++)
        if (plan->values[id].in_place) wrong = check_in_place(plan, id, writers[id], epochs, arena);
    for (ValueId id = 0; id < plan->value_count && !wrong; id++)
        if (plan->values[id].space == SPACE_SCRATCH) wrong = check_scratch(plan, id, writers[id], windows[id], arena);
    for (ValueId id = 0; id < plan->value_count && !wrong; id++)
        if (plan->values[id].rounds) wrong = check_value_of_rounds(plan, id, writers[id], arena);
    for (ValueId id = 0; id < plan->value_count && !wrong; id++)
        if (plan->values[id].is_over) wrong = check_over(plan, id, writers, arena);
    if (wrong || plan->arena_bytes == 0) return wrong;
    for (ValueId id = 0; id < plan->value_count; id++) {
        wrong = check_place(plan, &plan->values[id]);
        if (wrong) return arena_format(arena, "value %%%u %s", id, wrong);
    }
    return check_overlaps(plan, find_lives(plan, arena), arena);
}
