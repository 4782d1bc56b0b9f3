// The lanes of a row step: see row_column.h. In: regions and layouts of what the step reads.
#include "ir/row_column.h"

static DimId innermost_dim(const Layout *layout) {
    for (int i = layout->count - 1; i >= 0; i--) {
        const LayoutPiece *piece = &layout->pieces[i];
        if (piece->extent > 1) return piece->dims.dims[piece->dims.rank - 1];
    }
    return DIM_NONE;
}

static DimSet dims_of_rows(const Plan *plan, const Step *step) {
    const bool *live = graph_live(step->region, plan->arena);
    DimSet rows = 0;
    for (NodeId id = 0; id < graph_nodes(step->region); id++) {
        const Node *node = graph_node(step->region, id);
        if (live[id] && op_class(node->op) == CLASS_REDUCE) rows |= node->dims;
    }
    return rows;
}

DimId row_column(const Plan *plan, const Step *step) {
    int64_t weight[MAX_DIMS] = {0};
    DimSet rows = dims_of_rows(plan, step);
    DimId last = (DimId)(63 - __builtin_clzll(step->inner)), best = last;
    for (uint32_t i = 0; i < step->operand_count; i++) {
        const Value *value = &plan->values[step->operands[i]];
        DimId dim = innermost_dim(&value->layout);
        bool is_summed = (dim_list_set(&value->order) & step->inner) != 0;
        if (is_summed && dim != DIM_NONE) weight[dim] += layout_elements(&value->layout);
    }
    for (DimId dim = 0; dim < MAX_DIMS; dim++)
        if (dim_in(rows, dim) && weight[dim] > weight[best]) best = dim;
    return best == last ? DIM_NONE : best;
}
