// Which values are written over an operand of their step: scores become probabilities in the same memory.
//
// In: a plan with cuts, edges, waits and sizes. Out: `over` of the values for which all of this holds:
//
//     the operand is a temporary, and both are of one size, type and layout, in the same kind of memory
//     the step reads the operand at the index that it writes, or sums it up along its rows before it writes them, or
//     scatters rows onto it
//     nobody reads the operand later, and who read it before is done: behind a wait, or the same piece of the same
//     thread
//
//     step 5 product  out %s[B,H,T,S]            scratch+0
//     step 6 row      in %s same  out %p         scratch+0      over %s
#include "passes/memory_over.h"

#include "base/planted.h"
#include "passes/access.h"

// A longer sum may lie in the output's memory block by block before it meets the other operands.
enum { LONGEST_SUM = 256 };

typedef struct {
    Plan *plan;
    Arena *scratch;
    const StepNest *nest;             // by step
    const uint32_t *epoch;            // by step
    const uint32_t *writer, *last_reader;   // by value
    DimSet **own, **own_summed;       // by step and operand
} Overs;

static bool covers(const Overs *overs, DimSet own, ValueId value) {
    return !(dim_list_set(&overs->plan->values[value].order) & ~own);
}

static int64_t longest_sum(const Graph *region, const Plan *plan) {
    int64_t longest = 0;
    for (NodeId id = 0; id < graph_nodes(region); id++) {
        const Node *node = graph_node(region, id);
        int64_t sum = node->op == OP_CONTRACT ? graph_elements(plan->dims, node->attr.set) : 0;
        if (longest < sum) longest = sum;
    }
    return longest;
}

// All reductions of the row are what its elements are made of: no sweep comes behind the one that writes them. Other
// outputs are results of reductions.
static bool is_last_sweep(const Overs *overs, const Step *step, uint32_t output) {
    const Graph *region = step->region;
    bool *live = graph_live(region, overs->scratch), *below = ARENA_ARRAY(overs->scratch, bool, graph_nodes(region));
    for (uint32_t k = 0; k < step->output_count; k++)
        if (k != output && (graph_node(region, graph_output_at(region, k)->node)->dims & step->inner)) return false;
    below[graph_output_at(region, output)->node] = true;
    for (NodeId id = graph_nodes(region); id-- > 0;) {
        const Node *node = graph_node(region, id);
        for (uint32_t i = 0; below[id] && i < node->operand_count; i++) below[node->operands[i]] = true;
        if (live[id] && !below[id] && op_class(node->op) == CLASS_REDUCE) return false;
    }
    return true;
}

// Whether another output reads the operand itself, not only sums of it: that may come after this one is written.
static bool is_read_for_others(const Overs *overs, const Step *step, uint32_t output, uint32_t k) {
    const Graph *region = step->region;
    bool *read = ARENA_ARRAY(overs->plan->arena, bool, graph_nodes(region));
    for (uint32_t other = 0; other < step->output_count; other++)
        if (other != output) read[graph_output_at(region, other)->node] = true;
    for (NodeId id = graph_nodes(region); id-- > 0;) {
        const Node *node = graph_node(region, id);
        if (!read[id] || op_class(node->op) == CLASS_REDUCE) continue;
        if (node->op == OP_OPERAND && node->attr.integer == (int32_t)k) return true;
        for (uint32_t i = 0; i < node->operand_count; i++) read[node->operands[i]] = true;
    }
    return false;
}

static bool is_operand(const Graph *region, NodeId base, uint32_t k) {
    return base != NODE_NONE && graph_node(region, base)->op == OP_OPERAND &&
           graph_node(region, base)->attr.integer == (int32_t)k;
}

// Whether step s writes each element of an output after all that is read of the operand for it, and for no other.
static bool reads_before_it_writes(const Overs *overs, uint32_t s, uint32_t output, uint32_t k) {
    const Step *step = &overs->plan->steps[s];
    if (step->engine != ENGINE_TILES || cut_sums_rounds(overs->plan, step)) return false;
    Scattering scattering = scattering_of(step->region);
    if (scattering.scatter != NODE_NONE)
        return is_operand(step->region, scattering.base, k) && covers(overs, overs->own[s][k], step->operands[k]);
    if (step->form == FORM_ROW)
        return covers(overs, overs->own_summed[s][k], step->operands[k]) && is_last_sweep(overs, step, output) &&
               !is_read_for_others(overs, step, output, k);
    if (step->output_count != 1) return false;
    if (step->form == FORM_PRODUCT && longest_sum(step->region, overs->plan) > LONGEST_SUM) return false;
    return covers(overs, overs->own[s][k], step->operands[k]);
}

static bool fits(const Value *output, const Value *operand) {
    bool is_kept = output->kind == VALUE_OUTPUT && output->next_of == VALUE_NONE;
    return (output->kind == VALUE_TEMPORARY || is_kept) && operand->kind == VALUE_TEMPORARY &&
           output->space == operand->space &&
           output->rounds == operand->rounds && output->dtype == operand->dtype && output->bytes == operand->bytes &&
           output->parts <= 1 && operand->parts <= 1 &&
           dim_list_set(&output->order) == dim_list_set(&operand->order) &&
           layout_equal(&output->layout, &operand->layout);
}

// Whether what step r does with its piece of the value is done before step s begins with that piece.
static bool is_done(const Overs *overs, uint32_t r, DimSet own, uint32_t s) {
    if (overs->epoch[r] < overs->epoch[s]) return true;
    const Cut *cut = plan_shared_cut(overs->plan, overs->nest, r, s);
    return cut && !(dim_list_set(&cut->dims) & ~own);
}

static bool all_are_done(const Overs *overs, uint32_t s, uint32_t k) {
    ValueId value = overs->plan->steps[s].operands[k];
    uint32_t writer = overs->writer[value];
    if (!is_done(overs, writer, overs->own_summed[s][k], s)) return false;
    for (uint32_t r = writer + 1; r < s; r++)
        for (uint32_t i = 0; i < overs->plan->steps[r].operand_count; i++)
            if (overs->plan->steps[r].operands[i] == value && !is_done(overs, r, overs->own_summed[r][i], s))
                return false;
    return true;
}

static ValueId find_over(const Overs *overs, uint32_t s, uint32_t output) {
    const Plan *plan = overs->plan;
    const Step *step = &plan->steps[s];
    for (uint32_t k = 0; k < step->operand_count; k++) {
        ValueId value = step->operands[k];
        bool is_last = overs->last_reader[value] == s || PLANTED(over_what_is_read_later);
        if (!is_last || !fits(&plan->values[step->outputs[output]], &plan->values[value])) continue;
        if (reads_before_it_writes(overs, s, output, k) && all_are_done(overs, s, k)) return value;
    }
    return VALUE_NONE;
}

static void find_facts(Overs *overs) {
    const Plan *plan = overs->plan;
    for (uint32_t s = 0; s < plan->step_count; s++) {
        const Step *step = &plan->steps[s];
        overs->own[s] = access_own(step->region, step->operand_count, overs->scratch);
        overs->own_summed[s] = access_own_or_summed(step->region, step->operand_count, overs->scratch);
    }
}

void memory_find_overs(Plan *plan) {
    Arena *scratch = arena_create();
    Overs overs = {.plan = plan,
                   .scratch = scratch,
                   .nest = plan_nest(plan, scratch),
                   .epoch = plan_epochs(plan, scratch),
                   .writer = plan_writers(plan, scratch),
                   .last_reader = plan_last_readers(plan, scratch),
                   .own = ARENA_ARRAY(scratch, DimSet *, plan->step_count + 1),
                   .own_summed = ARENA_ARRAY(scratch, DimSet *, plan->step_count + 1)};
    find_facts(&overs);
    for (uint32_t s = 0; s < plan->step_count; s++)
        for (uint32_t k = 0; k < plan->steps[s].output_count; k++) {
            Value *output = &plan->values[plan->steps[s].outputs[k]];
            output->over = find_over(&overs, s, k);
            output->is_over = output->over != VALUE_NONE;
        }
    arena_free(scratch);
}
