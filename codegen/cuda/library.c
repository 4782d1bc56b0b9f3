// A step that a library computes -> its product, as the library sees it: see CudaProduct in runtime/cuda/launch.h.
//
//     y[B,T,F] = sum(C) x[B,T,C] w[C,F]    ->    F x (B*T) = (w: F x C, leading F) * (x: C x (B*T), leading C)
//
// Libraries store matrices column by column. Where a result's lanes lie side by side, so do the columns of its
// transpose: that is what is computed, from the factors the other way round. A bias over the result's lanes is the
// library's, one number for each of its rows.
#include "codegen/cuda/library.h"
#include "ir/strided.h"

static ElementKind element_of(const Value *value) {
    CHECK(value->dtype == DTYPE_F32 || value->dtype == DTYPE_BF16);
    return value->dtype == DTYPE_F32 ? ELEMENT_F32 : ELEMENT_BF16;
}

static bool is_dense(const StridedAxis *axis, int matrix) {
    return axis->extent == 1 || axis->stride[matrix] == 1;
}

// From one line of `inner` indices to the next of `outer` ones. A matrix of one line has no such stride, but libraries
// want one as long as the line.
static int64_t leading_of(const StridedAxis *inner, const StridedAxis *outer, int matrix) {
    int64_t leading = outer->extent == 1 ? inner->extent : outer->stride[matrix];
    CHECK(is_dense(inner, matrix) && leading >= inner->extent);
    return leading;
}

// The matrix of `down` by `across`, stored column by column, or turned.
static CudaMatrix matrix_of(const StridedProduct *product, int matrix, const StridedAxis *down,
                            const StridedAxis *across) {
    bool by_columns = is_dense(down, matrix) && (across->extent == 1 || across->stride[matrix] >= down->extent);
    return (CudaMatrix){.is_turned = !by_columns,
                        .leading = by_columns ? leading_of(down, across, matrix) : leading_of(across, down, matrix),
                        .batch_stride = product->batch.stride[matrix]};
}

// Where each call's matrices begin, elements behind those of the first one.
static const CudaCall *calls_of(Arena *arena, const StridedProduct *product, const int order[3]) {
    CudaCall *calls = ARENA_ARRAY(arena, CudaCall, (size_t)product->calls);
    for (int64_t call = 0; call < product->calls; call++) {
        int64_t rest = call;
        for (int i = product->loop_count; i-- > 0; rest /= product->loops[i].extent) {
            int64_t index = rest % product->loops[i].extent;
            calls[call].first += index * product->loops[i].stride[order[0]];
            calls[call].second += index * product->loops[i].stride[order[1]];
            calls[call].result += index * product->loops[i].stride[order[2]];
            calls[call].added += index * product->loops[i].stride[STRIDED_ADDED];
        }
    }
    return calls;
}

static CudaRounding rounding_of(TensorKind kind) {
    switch (kind) {
    case TENSOR_TF32: return CUDA_ROUND_TF32;
    case TENSOR_BF16: return CUDA_ROUND_BF16;
    default: return CUDA_ROUND_NOT;
    }
}

static void place(CudaMatrix *matrix, const Plan *plan, const Step *step, const View *view) {
    matrix->buffer = view->operand;
    matrix->offset = view->offset;
    matrix->element = element_of(&plan->values[step->operands[view->operand]]);
}

static void place_epilogue(CudaProduct *product, const Plan *plan, const Step *step, const StridedProduct *found) {
    product->has_added = found->has_added;
    product->has_bias = found->has_bias;
    product->is_gelu = found->is_gelu;
    if (found->has_added) place(&product->added, plan, step, &found->added_view);
    if (found->has_bias) place(&product->bias, plan, step, &found->bias_view);
}

const CudaProduct *cuda_product_of(Arena *arena, const Plan *plan, const Step *step) {
    StridedProduct found;
    const char *refusal = strided_product_with_epilogue(plan, step, &found);
    if (refusal) BUG("a library's product at %s: %s", step->place, refusal);
    bool by_rows = strided_by_rows(&found);
    const StridedAxis *down = by_rows ? &found.lanes : &found.rows, *across = by_rows ? &found.rows : &found.lanes;
    int first = by_rows ? STRIDED_LANES : STRIDED_ROWS, second = by_rows ? STRIDED_ROWS : STRIDED_LANES;
    CudaProduct *product = ARENA_NEW(arena, CudaProduct);
    *product = (CudaProduct){.rows = down->extent,
                             .columns = across->extent,
                             .summed = found.summed.extent,
                             .batch = found.batch.extent,
                             .first = matrix_of(&found, first, down, &found.summed),
                             .second = matrix_of(&found, second, &found.summed, across),
                             .result = matrix_of(&found, STRIDED_RESULT, down, across),
                             .added = matrix_of(&found, STRIDED_ADDED, down, across),
                             .calls = calls_of(arena, &found, (int[]){first, second, STRIDED_RESULT}),
                             .call_count = (uint32_t)found.calls,
                             .rounding = rounding_of(step->tensor.kind)};
    CHECK(!product->result.is_turned && !product->added.is_turned);
    place_epilogue(product, plan, step, &found);
    place(&product->first, plan, step, by_rows ? &found.lanes_view : &found.rows_view);
    place(&product->second, plan, step, by_rows ? &found.rows_view : &found.lanes_view);
    product->result.buffer = step->operand_count;
    product->result.element = element_of(&plan->values[step->outputs[0]]);
    return product;
}
