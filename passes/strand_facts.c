// What strands and chains ask of single steps: along which dims one can be cut, and what it sums over.
#include "passes/access.h"
#include "passes/strands.h"
#include "passes/sums_apart.h"

static bool has_scatter(const Step *step) {
    for (NodeId id = 0; id < graph_nodes(step->region); id++)
        if (op_scatters(graph_node(step->region, id)->op)) return true;
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

// Dims along which every output of a step can be cut: rows and batch dims, not lanes, panels or what is summed over. A
// sweep has blocks of its own.
static void find_cuttable(const Plan *plan, const Step *step, StepFacts *facts) {
    facts->rows = INT64_MAX;
    bool has_loops = step->engine == ENGINE_TILES && step->form != FORM_SWEEP;
    if (!has_loops || has_scatter(step) || facts->writes_state) return;
    DimSet dims = ~step->inner;
    for (uint32_t k = 0; k < step->output_count; k++) {
        const Value *value = &plan->values[step->outputs[k]];
        dims &= dim_list_set(&value->order) & ~divided_dims(value);
    }
    facts->cuttable = dims;
    facts->summed = plain_sum(plan, step);
    if (step->form != FORM_PRODUCT) return;
    const DimList *order = &plan->values[step->outputs[0]].order;
    Contraction contraction = contraction_of(step->region, find_contract(step->region), *order);
    DimSet lanes = dim_list_set(&contraction.lanes);
    facts->cuttable = dims & ~lanes;
    facts->product_rows = contraction.rows;
    facts->rows = graph_elements(plan->dims, dim_list_set(order) & ~lanes);
}

StepFacts strand_step_facts(const Plan *plan, const Step *step, Arena *scratch) {
    StepFacts facts = {.writes_state = writes_state(plan, step),
                       .behind = ARENA_ARRAY(scratch, bool, step->operand_count),
                       .own = access_own(step->region, step->operand_count, scratch),
                       .own_summed = access_own_or_summed(step->region, step->operand_count, scratch)};
    find_cuttable(plan, step, &facts);
    facts.apart = sums_apart_over(plan, step, scratch, facts.behind);
    return facts;
}

void strands_find_users(Strands *strands) {
    strands->nest = plan_nest(strands->plan, strands->scratch);
    strands->writer = plan_writers(strands->plan, strands->scratch);
    strands->last_reader = plan_last_readers(strands->plan, strands->scratch);
}

Strands strands_create(Plan *plan, PassContext *context, Arena *scratch) {
    Strands strands = {.plan = plan, .context = context, .scratch = scratch};
    strands.facts = ARENA_ARRAY(scratch, StepFacts, plan->step_count + 1);
    for (uint32_t s = 0; s < plan->step_count; s++)
        strands.facts[s] = strand_step_facts(plan, &plan->steps[s], scratch);
    strands_find_users(&strands);
    return strands;
}
