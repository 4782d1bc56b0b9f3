// Whether both factors of a product can be copied in boxes (TMA): tensors of at most five dims, one of them side by
// side in memory, all others at multiples of 16 bytes.
//
//     x bf16[B,T,C] * w bf16[C,F]            lines of C, lines of F
//     x bf16[B,T,5] * ...                    refused: rows are 10 bytes apart
//
// The rows of a product are walked as one loop, so they must lie one inside the other. What is side by side is either
// rows (lanes) or summed indices; these then are one loop, too.
#include "ir/plan.h"

enum { MOST_BOX_DIMS = 5, BOX_BYTES = 16 };

typedef struct {
    const Plan *plan;
    const Step *step;
    Contraction contraction;
} Product;

static int64_t extent_of(const Product *product, DimId dim) {
    return graph_extent(product->plan->dims, dim);
}

// The dims longer than 1.
static DimList long_dims(const Product *product, DimList dims) {
    DimList longer = {0};
    for (int i = 0; i < dims.rank; i++)
        if (extent_of(product, dims.dims[i]) > 1) longer.dims[longer.rank++] = dims.dims[i];
    return longer;
}

static bool merges(const Product *product, DimList dims, const View *view) {
    for (int i = 0; i + 1 < dims.rank; i++)
        if (view->stride[dims.dims[i]] != view->stride[dims.dims[i + 1]] * extent_of(product, dims.dims[i + 1]))
            return false;
    return true;
}

// `own`: rows or lanes, in the factor's own loop.
static const char *view_refusal(const Product *product, const View *view, DimList own, DimList summed, size_t element) {
    int64_t unit = BOX_BYTES / (int64_t)element;
    DimId side_by_side = MAX_DIMS;
    int dims = cut_is_summed(product->plan, product->step);
    if (view->offset % unit != 0) return "begins elsewhere than at a multiple of 16 bytes";
    for (DimId dim = 0; dim < graph_dims(product->plan->dims); dim++) {
        if (view->stride[dim] == 0 || extent_of(product, dim) == 1) continue;
        dims++;
        if (view->stride[dim] == 1 && side_by_side == MAX_DIMS)
            side_by_side = dim;
        else if (view->stride[dim] % unit != 0)
            return "is not at multiples of 16 bytes";
    }
    const Cut *cut = &product->step->cut;
    if (cut_is_summed(product->plan, product->step) &&
        view->stride[cut->dims.dims[0]] * (cut->total / cut->pieces) % unit != 0)
        return "has parts that do not begin at multiples of 16 bytes";
    if (dims > MOST_BOX_DIMS) return "has more than five dims";
    if (side_by_side == own.dims[own.rank - 1]) return NULL;
    if (side_by_side != summed.dims[summed.rank - 1] || !merges(product, summed, view))
        return "has neither rows nor summed indices side by side";
    return NULL;
}

static const char *factor_refusal(const Product *product, NodeId node, bool is_rows) {
    const Plan *plan = product->plan;
    const Step *step = product->step;
    const Layout *layouts[MAX_RANK * 8];
    View view;
    if (step->operand_count > sizeof layouts / sizeof *layouts) return "is one of too many operands";
    for (uint32_t k = 0; k < step->operand_count; k++)
        layouts[k] = &plan->values[step->operands[k]].layout;
    if (!view_of(step->region, node, layouts, &view)) return "is no view of a plain layout";
    const Value *value = &plan->values[step->operands[view.operand]];
    if (value->dtype != DTYPE_BF16) return "is not bf16 in memory";
    if (value->parts > 1) return "is a sum of parts";
    const Contraction *contraction = &product->contraction;
    DimList own = long_dims(product, is_rows ? contraction->rows : contraction->lanes);
    DimList summed = long_dims(product, contraction->summed);
    if (own.rank == 0 || summed.rank == 0) return "has a single row, lane or summed index";
    if (is_rows && !merges(product, own, &view)) return "has rows that do not lie one inside the other";
    return view_refusal(product, &view, own, summed, dtype_bytes(value->dtype));
}

static NodeId find_contract(const Step *step) {
    for (NodeId id = 0; id < graph_nodes(step->region); id++)
        if (graph_node(step->region, id)->op == OP_CONTRACT) return id;
    return NODE_NONE;
}

const char *step_box_refusal(const Plan *plan, const Step *step) {
    NodeId contract = find_contract(step);
    if (step->form != FORM_PRODUCT || contract == NODE_NONE) return "it is no product";
    if (step->band.is_set) return "it has a band";
    const DimList order = plan->values[step->outputs[0]].order;
    Product product = {plan, step, contraction_of(step->region, contract, order)};
    const char *rows = factor_refusal(&product, product.contraction.rows_operand, true);
    if (rows) return arena_format(plan->arena, "the rows' factor %s", rows);
    const char *lanes = factor_refusal(&product, product.contraction.lanes_operand, false);
    return lanes ? arena_format(plan->arena, "the lanes' factor %s", lanes) : NULL;
}
