// Products by OpenBLAS: one step of a plan as calls of sgemm, single-threaded, on the part of a piece.
//
// In: a step whose region is one contraction of views that lie in memory by strides. Out: a context for blas_product.
// Dims of one class that lie inside one another in every matrix merge into one axis:
//
//     y[B,T,F] = sum(C) x[B,T,C] * w[C,F]      rows B,T merge     one sgemm of B*T x F x C, cut along its rows
//     s[B,H,T,S] = sum(D) q[B,T,H,D] k[B,S,H,D]   rows T, lanes S, batch B, H     B*H calls of T x S x D
//
// The innermost rows axis, the innermost lanes axis and the one summed axis are sgemm's m, n, k; loops run over the
// rest. The result is overwritten (beta 0). Which elements one call computes depends on the plan's pieces only.
#include <cblas.h>
#include <limits.h>
#include <pthread.h>

#include "base/planted.h"
#include "codegen/cpu/cpu.h"
#include "ir/strided.h"

enum { MAX_AXES = 4 * MAX_RANK, ROWS = 0, LANES = 1, RESULT = 2, MATRICES = 3 };
#define NO_CUT (-1)

// Several dims seen as one. With a cut: the outer extent/inner indices are counted by the cut, the inner ones are not.
typedef struct {
    int64_t extent, inner;
    int64_t stride[MATRICES]; // elements
    int cut;                  // place among the cut axes, or NO_CUT
} Axis;

typedef struct {
    Axis axes[MAX_AXES];
    int axis_count;
    int m, n, k; // axes of the products; -1: extent 1
    int cut_axes[MAX_RANK], cut_count;
    uint32_t rows_buffer, lanes_buffer, result_buffer;
    int64_t rows_offset, lanes_offset;
    int64_t total;
    uint32_t pieces;
    CBLAS_TRANSPOSE rows_order, lanes_order;
    int rows_leading, lanes_leading, result_leading;
    bool is_swapped; // the result lies column by column: its transpose is computed
} BlasContext;

// ---- building: axes

typedef struct {
    const Graph *dims;
    const int64_t *stride[MATRICES];
    DimList cut; // the cut's dims that are longer than 1
} Source;

static int cut_position(const Source *source, DimId dim) {
    for (int i = 0; i < source->cut.rank; i++)
        if (source->cut.dims[i] == dim) return i;
    return NO_CUT;
}

// `cut` counts dims here; the axis remembers its last one.
static bool can_merge(const Axis *outer, const Axis *inner) {
    for (int m = 0; m < MATRICES; m++)
        if (outer->stride[m] != inner->stride[m] * inner->extent) return false;
    if (inner->cut == NO_CUT) return true;
    return outer->cut != NO_CUT && outer->inner == 1 && inner->cut == outer->cut + 1;
}

static void merge(Axis *outer, const Axis *inner) {
    for (int m = 0; m < MATRICES; m++)
        outer->stride[m] = inner->stride[m];
    outer->extent *= inner->extent;
    if (inner->cut != NO_CUT)
        outer->cut = inner->cut;
    else if (outer->cut != NO_CUT)
        outer->inner *= inner->extent;
}

// Appends the axes of one class; returns the innermost one, or -1.
static int add_axes(BlasContext *context, const Source *source, DimList dims) {
    int first = context->axis_count;
    for (int i = 0; i < dims.rank; i++) {
        DimId dim = dims.dims[i];
        Axis axis = {.extent = graph_extent(source->dims, dim), .inner = 1, .cut = cut_position(source, dim)};
        if (axis.extent == 1) continue;
        for (int m = 0; m < MATRICES; m++)
            axis.stride[m] = source->stride[m][dim];
        if (context->axis_count > first && can_merge(&context->axes[context->axis_count - 1], &axis)) {
            merge(&context->axes[context->axis_count - 1], &axis);
        } else {
            CHECK(context->axis_count < MAX_AXES);
            context->axes[context->axis_count++] = axis;
        }
    }
    return context->axis_count > first ? context->axis_count - 1 : -1;
}

// The cut axes in the order of the cut: their `cut` becomes their place.
static void order_cut_axes(BlasContext *context) {
    for (int last = 0; last < MAX_RANK; last++)
        for (int i = 0; i < context->axis_count; i++)
            if (context->axes[i].cut == last) context->cut_axes[context->cut_count++] = i;
    for (int i = 0; i < context->cut_count; i++)
        context->axes[context->cut_axes[i]].cut = i;
}

// ---- building: matrices

static int64_t extent_of(const BlasContext *context, int axis) {
    return axis < 0 ? 1 : context->axes[axis].extent;
}

static int64_t stride_of(const BlasContext *context, int axis, int matrix) {
    return axis < 0 ? 1 : context->axes[axis].stride[matrix];
}

// Matrix of `outer` x `inner` stored row by row (no transposition) when the inner axis lies densely, else column by
// column.
static CBLAS_TRANSPOSE matrix_order(const BlasContext *context, int outer, int inner, int matrix, int *leading) {
    int64_t outer_stride = stride_of(context, outer, matrix), inner_stride = stride_of(context, inner, matrix);
    bool by_rows = inner_stride == 1;
    if (!by_rows && outer_stride != 1)
        BUG("a product for BLAS has strides %lld and %lld", (long long)outer_stride, (long long)inner_stride);
    int64_t least = extent_of(context, by_rows ? inner : outer), given = by_rows ? outer_stride : inner_stride;
    // A matrix of one row has no stride between rows, but BLAS wants one at least as long as the row.
    int64_t used = extent_of(context, by_rows ? outer : inner) == 1 && given < least ? least : given;
    CHECK(used >= least && used <= INT_MAX);
    *leading = (int)used;
    bool square = extent_of(context, outer) == extent_of(context, inner);
    return by_rows || (square && PLANTED(blas_transpose_forgotten)) ? CblasNoTrans : CblasTrans;
}

static NodeId contract_of(const Step *step) {
    if (step->output_count != 1) BUG("a product for BLAS has %u outputs", step->output_count);
    NodeId node = graph_output_at(step->region, 0)->node;
    if (graph_node(step->region, node)->op != OP_CONTRACT) BUG("a product for BLAS has an epilogue");
    return node;
}

static View operand_view(const Plan *plan, const Step *step, NodeId node, Arena *arena) {
    const Layout **layouts = ARENA_ARRAY(arena, const Layout *, step->operand_count + 1);
    for (uint32_t i = 0; i < step->operand_count; i++)
        layouts[i] = &plan->values[step->operands[i]].layout;
    View view;
    if (!view_of(step->region, node, layouts, &view)) BUG("an operand of a product for BLAS is not strided");
    CHECK(plan->values[step->operands[view.operand]].dtype == DTYPE_F32);
    return view;
}

static void fill_result_strides(const Plan *plan, const Value *result, int64_t *stride) {
    CHECK(result->dtype == DTYPE_F32 && layout_is_plain(plan->dims, &result->layout));
    int64_t next = 1;
    for (int i = result->layout.count; i-- > 0;) {
        stride[result->layout.pieces[i].dims.dims[0]] = next;
        next *= result->layout.pieces[i].extent;
    }
}

static void fill_axes(BlasContext *context, const Source *source, const Contraction *contraction) {
    add_axes(context, source, contraction->batch);
    context->m = add_axes(context, source, contraction->rows);
    context->n = add_axes(context, source, contraction->lanes);
    int first = context->axis_count;
    context->k = add_axes(context, source, strided_order(contraction->summed, source->stride[ROWS]));
    if (context->axis_count - first > 1) BUG("the summed dims of a product for BLAS are several strides");
    order_cut_axes(context);
}

static void set_single_threaded(void) {
    openblas_set_num_threads(1);
}

const void *blas_context(Arena *arena, const Plan *plan, const Step *step) {
    // The runtime's own threads call BLAS, each on its pieces; threads of the library would fight with them.
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, set_single_threaded);

    BlasContext *context = ARENA_NEW(arena, BlasContext);
    const Value *result = &plan->values[step->outputs[0]];
    Contraction contraction = contraction_of(step->region, contract_of(step), result->order);
    View rows = operand_view(plan, step, contraction.rows_operand, arena);
    View lanes = operand_view(plan, step, contraction.lanes_operand, arena);
    int64_t result_stride[MAX_DIMS] = {0};
    fill_result_strides(plan, result, result_stride);

    Source source = {.dims = plan->dims, .stride = {rows.stride, lanes.stride, result_stride}};
    for (int i = 0; i < step->cut.dims.rank; i++)
        if (graph_extent(plan->dims, step->cut.dims.dims[i]) > 1)
            source.cut.dims[source.cut.rank++] = step->cut.dims.dims[i];
    fill_axes(context, &source, &contraction);

    context->rows_buffer = rows.operand;
    context->lanes_buffer = lanes.operand;
    context->result_buffer = step->operand_count;
    context->rows_offset = rows.offset;
    context->lanes_offset = lanes.offset;
    context->total = step->cut.total;
    context->pieces = step->cut.pieces;
    context->rows_order = matrix_order(context, context->m, context->k, ROWS, &context->rows_leading);
    context->lanes_order = matrix_order(context, context->k, context->n, LANES, &context->lanes_leading);
    context->is_swapped = matrix_order(context, context->m, context->n, RESULT, &context->result_leading) == CblasTrans;
    return context;
}

// ---- running

typedef struct {
    int64_t begin, end;
} Range;

static CBLAS_TRANSPOSE flipped(CBLAS_TRANSPOSE order) {
    return order == CblasNoTrans ? CblasTrans : CblasNoTrans;
}

static void multiply(const BlasContext *c, const float *rows, const float *lanes, float *result, int m, int n, int k) {
    if (c->is_swapped)
        cblas_sgemm(CblasRowMajor, flipped(c->lanes_order), flipped(c->rows_order), n, m, k, 1, lanes, c->lanes_leading,
                    rows, c->rows_leading, 0, result, c->result_leading);
    else
        cblas_sgemm(CblasRowMajor, c->rows_order, c->lanes_order, m, n, k, 1, rows, c->rows_leading, lanes,
                    c->lanes_leading, 0, result, c->result_leading);
}

static int length_of(const Range *ranges, int axis) {
    return axis < 0 ? 1 : (int)(ranges[axis].end - ranges[axis].begin);
}

// Loops over the axes that are not m, n or k, within `ranges`; for those three it moves to the start of the range.
static void run_axes(const BlasContext *c, const Range *ranges, int axis, const float *rows, const float *lanes,
                     float *result) {
    if (axis == c->axis_count) {
        multiply(c, rows, lanes, result, length_of(ranges, c->m), length_of(ranges, c->n), length_of(ranges, c->k));
        return;
    }
    const Axis *a = &c->axes[axis];
    bool whole = axis == c->m || axis == c->n || axis == c->k;
    int64_t end = whole ? ranges[axis].begin + 1 : ranges[axis].end;
    for (int64_t i = ranges[axis].begin; i < end; i++)
        run_axes(c, ranges, axis + 1, rows + i * a->stride[ROWS], lanes + i * a->stride[LANES],
                 result + i * a->stride[RESULT]);
}

// Rows begin .. end-1 of the cut, counted over the axes cut_axes[place ...]; all indices of earlier ones are fixed.
static void run_cut(const BlasContext *c, Range *ranges, int place, int64_t begin, int64_t end, void *const *buffers) {
    if (place == c->cut_count) {
        run_axes(c, ranges, 0, (const float *)buffers[c->rows_buffer] + c->rows_offset,
                 (const float *)buffers[c->lanes_buffer] + c->lanes_offset, buffers[c->result_buffer]);
        return;
    }
    int64_t below = 1; // rows of the cut per index of this axis
    for (int i = place + 1; i < c->cut_count; i++)
        below *= c->axes[c->cut_axes[i]].extent / c->axes[c->cut_axes[i]].inner;
    Range *range = &ranges[c->cut_axes[place]];
    int64_t inner = c->axes[c->cut_axes[place]].inner;
    for (int64_t from = begin; from < end;) {
        // Whole indices go together; a first or last index that is cut inside goes alone.
        int64_t index = from / below, whole = end / below - index, to = end;
        bool is_whole = from % below == 0 && whole > 0;
        if (is_whole)
            to = (index + whole) * below;
        else if ((index + 1) * below < end)
            to = (index + 1) * below;
        *range = (Range){index * inner, (is_whole ? index + whole : index + 1) * inner};
        if (is_whole)
            run_cut(c, ranges, c->cut_count, 0, 0, buffers);
        else
            run_cut(c, ranges, place + 1, from - index * below, to - index * below, buffers);
        for (int i = place + 1; i < c->cut_count; i++)
            ranges[c->cut_axes[i]] = (Range){0, c->axes[c->cut_axes[i]].extent};
        from = to;
    }
}

void blas_product(void *const *buffers, int64_t piece, const void *context) {
    const BlasContext *c = context;
    Range ranges[MAX_AXES];
    for (int i = 0; i < c->axis_count; i++)
        ranges[i] = (Range){0, c->axes[i].extent};
    int64_t begin = c->total * piece / c->pieces, end = c->total * (piece + 1) / c->pieces;
    if (begin < end) run_cut(c, ranges, 0, begin, end, buffers);
}

const char *codegen_blas_version(void) {
    return openblas_get_config();
}
