// Finding the axes of a product: see strided.h.
#include "ir/strided.h"

typedef struct {
    const Plan *plan;
    Contraction contraction;
    const Layout **layouts;   // by operand
    Epilogue epilogue;
    int64_t stride[STRIDED_MATRICES][MAX_DIMS];
} Source;

typedef struct {
    StridedAxis axes[4 * MAX_RANK];
    int count;
} Axes;

// ---- what lies where

static NodeId find_contract(const Graph *region) {
    for (NodeId id = 0; id < graph_nodes(region); id++)
        if (graph_node(region, id)->op == OP_CONTRACT) return id;
    BUG("a product without a contraction");
}

static void fill_strides(const Plan *plan, const Layout *layout, int64_t *stride) {
    int64_t next = 1;
    for (int i = layout->count - 1; i >= 0; i--) {
        DimId dim = layout->pieces[i].dims.dims[0];
        stride[dim] = next;
        next *= graph_extent(plan->dims, dim);
    }
}

static const char *find_views(Source *source, const Step *step, StridedProduct *product) {
    const Plan *plan = source->plan;
    if (!view_of(step->region, source->contraction.rows_operand, source->layouts, &product->rows_view) ||
        !view_of(step->region, source->contraction.lanes_operand, source->layouts, &product->lanes_view))
        return "an operand does not lie in memory by strides";
    const Layout *result = &plan->values[step->outputs[0]].layout;
    if (!layout_is_plain(plan->dims, result)) return "the result does not lie in memory by strides";
    for (DimId dim = 0; dim < graph_dims(plan->dims); dim++) {
        source->stride[STRIDED_ROWS][dim] = product->rows_view.stride[dim];
        source->stride[STRIDED_LANES][dim] = product->lanes_view.stride[dim];
    }
    fill_strides(plan, result, source->stride[STRIDED_RESULT]);
    fill_strides(plan, result, source->stride[STRIDED_ADDED]);
    fill_strides(plan, result, source->stride[STRIDED_BIAS]);
    return NULL;
}

static const Layout **layouts_of(const Plan *plan, const Step *step) {
    const Layout **layouts = ARENA_ARRAY(plan->arena, const Layout *, step->operand_count + 1);
    for (uint32_t k = 0; k < step->operand_count; k++) layouts[k] = &plan->values[step->operands[k]].layout;
    return layouts;
}

// ---- what is added

static bool has_all_dims(const Plan *plan, const Step *step, const View *view) {
    const DimList *order = &plan->values[step->outputs[0]].order;
    for (int i = 0; i < order->rank; i++)
        if (graph_extent(plan->dims, order->dims[i]) > 1 && view->stride[order->dims[i]] == 0) return false;
    return true;
}

static const char *take_addends(Source *source, const Step *step, StridedProduct *product) {
    const Plan *plan = source->plan;
    product->is_gelu = source->epilogue.is_gelu;
    for (int i = 0; i < source->epilogue.addend_count; i++) {
        const View *view = &source->epilogue.addends[i];
        bool is_matrix = has_all_dims(plan, step, view);
        bool *has = is_matrix ? &product->has_added : &product->has_bias;
        if (*has) return is_matrix ? "it adds two matrices" : "it adds two biases";
        *has = true;
        *(is_matrix ? &product->added_view : &product->bias_view) = *view;
        for (DimId dim = 0; dim < graph_dims(plan->dims); dim++)
            source->stride[is_matrix ? STRIDED_ADDED : STRIDED_BIAS][dim] = view->stride[dim];
    }
    return NULL;
}

bool strided_by_rows(const StridedProduct *product) {
    const StridedAxis *lanes = &product->lanes, *rows = &product->rows;
    bool is_dense = lanes->extent == 1 || lanes->stride[STRIDED_RESULT] == 1;
    return is_dense && (rows->extent == 1 || rows->stride[STRIDED_RESULT] >= lanes->extent);
}

// Line after line, as the result: the same of what is added; of a bias one line for all.
static const char *addend_refusal(const StridedProduct *product) {
    bool by_rows = strided_by_rows(product);
    const StridedAxis *down = by_rows ? &product->lanes : &product->rows;
    const StridedAxis *across = by_rows ? &product->rows : &product->lanes;
    bool is_line = down->extent == 1 || down->stride[STRIDED_ADDED] == 1;
    bool is_apart = across->extent == 1 || across->stride[STRIDED_ADDED] >= down->extent;
    if (product->has_added && !(is_line && is_apart)) return "what is added does not lie as the result does";
    if (!product->has_bias) return NULL;
    bool is_of_all = across->stride[STRIDED_BIAS] == 0 && product->batch.stride[STRIDED_BIAS] == 0;
    for (int i = 0; i < product->loop_count; i++) is_of_all &= product->loops[i].stride[STRIDED_BIAS] == 0;
    is_line = down->extent == 1 || down->stride[STRIDED_BIAS] == 1;
    return is_line && is_of_all ? NULL : "what is added is neither a matrix nor a bias along the result's lines";
}

// ---- axes

static bool merges(const StridedAxis *outer, const StridedAxis *inner) {
    for (int m = 0; m < STRIDED_MATRICES; m++)
        if (outer->stride[m] != inner->stride[m] * inner->extent) return false;
    return true;
}

// Appends those of one kind, outermost first; returns how many.
static int add_axes(const Source *source, DimList dims, Axes *axes) {
    int first = axes->count;
    for (int i = 0; i < dims.rank; i++) {
        StridedAxis axis = {.extent = graph_extent(source->plan->dims, dims.dims[i])};
        if (axis.extent == 1) continue;
        for (int m = 0; m < STRIDED_MATRICES; m++) axis.stride[m] = source->stride[m][dims.dims[i]];
        bool is_more = axes->count > first && merges(&axes->axes[axes->count - 1], &axis);
        if (is_more) axis.extent *= axes->axes[--axes->count].extent;
        axes->axes[axes->count++] = axis;
    }
    return axes->count - first;
}

// The same, but for the innermost one, which is the matrices'.
static StridedAxis add_outer_axes(const Source *source, DimList dims, Axes *axes) {
    return add_axes(source, dims, axes) > 0 ? axes->axes[--axes->count] : (StridedAxis){.extent = 1};
}

DimList strided_order(DimList dims, const int64_t *stride) {
    for (int i = 1; i < dims.rank; i++)
        for (int k = i; k > 0 && stride[dims.dims[k]] > stride[dims.dims[k - 1]]; k--) {
            DimId dim = dims.dims[k];
            dims.dims[k] = dims.dims[k - 1];
            dims.dims[k - 1] = dim;
        }
    return dims;
}

// The longest axis that is left.
static StridedAxis take_batch(Axes *axes) {
    int longest = 0;
    if (axes->count == 0) return (StridedAxis){.extent = 1};
    for (int i = 1; i < axes->count; i++)
        if (axes->axes[i].extent > axes->axes[longest].extent) longest = i;
    StridedAxis batch = axes->axes[longest];
    for (int i = longest; i + 1 < axes->count; i++) axes->axes[i] = axes->axes[i + 1];
    axes->count--;
    return batch;
}

// ---- conditions

static bool has_unit_stride(const StridedAxis *a, const StridedAxis *b, int matrix) {
    return a->extent == 1 || b->extent == 1 || a->stride[matrix] == 1 || b->stride[matrix] == 1;
}

static const char *matrix_refusal(const Plan *plan, const StridedProduct *product) {
    static const char *const names[] = {"the rows operand", "the lanes operand", "the result"};
    const StridedAxis *axes[][2] = {{&product->rows, &product->summed},
                                    {&product->summed, &product->lanes},
                                    {&product->rows, &product->lanes}};
    for (int m = 0; m <= STRIDED_RESULT; m++)
        if (!has_unit_stride(axes[m][0], axes[m][1], m))
            return arena_format(plan->arena, "%s has strides %lld and %lld, none of them 1", names[m],
                                (long long)axes[m][0]->stride[m], (long long)axes[m][1]->stride[m]);
    return NULL;
}

static const char *find_axes(const Source *source, StridedProduct *product) {
    const Contraction *c = &source->contraction;
    Axes axes = {0}, summed = {0};
    product->summed = add_outer_axes(source, strided_order(c->summed, source->stride[STRIDED_ROWS]), &summed);
    if (summed.count > 0) return "the summed dims are several strides in an operand";
    add_axes(source, c->batch, &axes);
    product->rows = add_outer_axes(source, c->rows, &axes);
    product->lanes = add_outer_axes(source, c->lanes, &axes);
    product->batch = take_batch(&axes);
    product->loop_count = axes.count;
    product->calls = 1;
    for (int i = 0; i < axes.count; i++) {
        product->loops[i] = axes.axes[i];
        product->calls *= axes.axes[i].extent;
    }
    return matrix_refusal(source->plan, product);
}

static Source source_of(const Plan *plan, const Step *step) {
    NodeId contract = find_contract(step->region);
    return (Source){.plan = plan,
                    .contraction = contraction_of(step->region, contract, plan->values[step->outputs[0]].order),
                    .layouts = layouts_of(plan, step)};
}

const char *strided_product(const Plan *plan, const Step *step, StridedProduct *product) {
    Source source = source_of(plan, step);
    *product = (StridedProduct){0};
    if (step->output_count != 1 || graph_output_at(step->region, 0)->node != source.contraction.node)
        return "it has an epilogue";
    const char *refusal = find_views(&source, step, product);
    return refusal ? refusal : find_axes(&source, product);
}

const char *strided_product_with_epilogue(const Plan *plan, const Step *step, StridedProduct *product) {
    Source source = source_of(plan, step);
    *product = (StridedProduct){0};
    const char *refusal = epilogue_of(plan, step, source.contraction.node, source.layouts, &source.epilogue);
    if (!refusal) refusal = find_views(&source, step, product);
    if (!refusal) refusal = take_addends(&source, step, product);
    if (!refusal) refusal = find_axes(&source, product);
    return refusal ? refusal : addend_refusal(product);
}
