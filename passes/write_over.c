// In: a step, one of its outputs and one of its operands. Out: whether the two may be one memory (see write_over.h).
#include "passes/write_over.h"

#include "ir/strided.h"
#include "passes/access.h"

// A longer sum is walked in blocks, and what the blocks so far have left would lie where the epilogue reads.
enum { LONGEST_SUM = 256 };

static int64_t longest_sum(const Graph *region, const Plan *plan) {
    int64_t longest = 0;
    for (NodeId id = 0; id < graph_nodes(region); id++) {
        const Node *node = graph_node(region, id);
        int64_t sum = node->op == OP_CONTRACT ? graph_elements(plan->dims, node->attr.set) : 0;
        if (longest < sum) longest = sum;
    }
    return longest;
}

// By node: over how many sweeps of the row it is known. A reduction takes one sweep more than what it reduces, lse two
// (codegen/lower_row.c).
static int *sweeps_of(const Graph *region, const bool *live, Arena *scratch) {
    int *sweeps = ARENA_ARRAY(scratch, int, graph_nodes(region));
    for (NodeId id = 0; id < graph_nodes(region); id++) {
        const Node *node = graph_node(region, id);
        for (uint32_t i = 0; i < node->operand_count; i++)
            if (sweeps[node->operands[i]] > sweeps[id]) sweeps[id] = sweeps[node->operands[i]];
        if (live[id] && op_class(node->op) == CLASS_REDUCE) sweeps[id] += node->op == OP_LSE ? 2 : 1;
    }
    return sweeps;
}

// No sweep comes behind the one that writes the output: whatever is reduced is known by then, or reads each element in
// the same sweep, before it is written. Other outputs are results of reductions.
static bool is_last_sweep(const Step *step, uint32_t output, Arena *scratch) {
    const Graph *region = step->region;
    const bool *live = graph_live(region, scratch);
    const int *sweeps = sweeps_of(region, live, scratch);
    for (uint32_t k = 0; k < step->output_count; k++)
        if (k != output && (graph_node(region, graph_output_at(region, k)->node)->dims & step->inner)) return false;
    int writes = sweeps[graph_output_at(region, output)->node];
    for (NodeId id = 0; id < graph_nodes(region); id++)
        if (live[id] && op_class(graph_node(region, id)->op) == CLASS_REDUCE && sweeps[id] - 1 > writes) return false;
    return true;
}

// Whether another output reads the operand itself, not only sums of it: that may come after this one is written.
static bool is_read_for_others(const Step *step, uint32_t output, uint32_t k, Arena *scratch) {
    const Graph *region = step->region;
    bool *read = ARENA_ARRAY(scratch, bool, graph_nodes(region));
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

static bool is_alike(const StridedAxis *axis) {
    return axis->extent == 1 || axis->stride[STRIDED_ADDED] == axis->stride[STRIDED_RESULT];
}

// Whether operand k is what a library adds to its product, lies as the result does, and is nothing else: then both may
// be one matrix.
static bool is_added(const Plan *plan, const Step *step, uint32_t k) {
    StridedProduct product;
    if (strided_product_with_epilogue(plan, step, &product) || !product.has_added) return false;
    bool alike = is_alike(&product.rows) && is_alike(&product.lanes) && is_alike(&product.batch);
    for (int i = 0; i < product.loop_count; i++) alike &= is_alike(&product.loops[i]);
    bool is_other = product.rows_view.operand == k || product.lanes_view.operand == k ||
                    (product.has_bias && product.bias_view.operand == k);
    return alike && !is_other && product.added_view.operand == k && product.added_view.offset == 0;
}

bool step_may_write_over(const Plan *plan, const Step *step, uint32_t output, uint32_t k, OperandAccess access,
                         Arena *scratch) {
    DimSet dims = dim_list_set(&plan->values[step->operands[k]].order);
    bool is_own = !(dims & ~access.own), is_own_summed = !(dims & ~access.own_summed);
    if (step->form == FORM_SWEEP) return false;   // other blocks read it, too
    if (step->engine != ENGINE_TILES) return is_added(plan, step, k);
    if (cut_sums_rounds(plan, step)) return false;
    Scattering scattering = scattering_of(step->region);
    if (scattering.scatter != NODE_NONE) return is_operand(step->region, scattering.base, k) && is_own;
    if (step->form == FORM_ROW)
        return is_own_summed && is_last_sweep(step, output, scratch) && !is_read_for_others(step, output, k, scratch);
    if (step->output_count != 1) return false;
    if (step->form == FORM_PRODUCT && longest_sum(step->region, plan) > LONGEST_SUM) return false;
    return is_own;
}
