// A contraction as products of matrices that lie in memory by strides: what libraries of linear algebra compute.
//
//     y[B,T,F] = sum(C) x[B,T,C] * w[C,F]        rows (B,T) merge: one product of B*T x C by C x F
//     s[B,H,T,S] = sum(D) q[B,T,H,D] k[B,S,H,D]  one of T x D by D x S, H times side by side, B times one after another
//
// Dims of one kind that lie inside one another in every matrix merge into one axis. The innermost rows, the innermost
// lanes and the summed axis are the matrices'; the longest of the rest is the batch, and loops run over what is left.
#ifndef SINTER_IR_STRIDED_H
#define SINTER_IR_STRIDED_H

#include "ir/epilogue.h"

// The last two are of an epilogue; where it has none they lie as the result does.
enum { STRIDED_ROWS, STRIDED_LANES, STRIDED_RESULT, STRIDED_ADDED, STRIDED_BIAS, STRIDED_MATRICES };

typedef struct {
    int64_t extent;
    int64_t stride[STRIDED_MATRICES];   // elements; 0 where the matrix lacks the axis
} StridedAxis;

typedef struct {
    View rows_view, lanes_view;         // the step's operands, and where in them the matrices begin
    StridedAxis rows, lanes, summed, batch;   // an axis that is not there has extent 1 and strides 0
    StridedAxis loops[4 * MAX_RANK];    // outermost first
    int loop_count;
    int64_t calls;                      // product of the loops' extents
    bool has_added, has_bias, is_gelu;  // the epilogue
    View added_view, bias_view;
} StridedProduct;

// NULL, or the first condition that failed: an epilogue, an operand or a result that does not lie by strides, summed
// dims that are several strides (looped over they would be several sums), a matrix of whose two strides none is 1.
const char *strided_product(const Plan *plan, const Step *step, StridedProduct *product);
// The same, with an epilogue that libraries have: what is added lies as the result does, a bias along its lines.
const char *strided_product_with_epilogue(const Plan *plan, const Step *step, StridedProduct *product);
// Whether the result's lanes lie side by side, line after line; else its rows do.
bool strided_by_rows(const StridedProduct *product);
// Dims in the order in which they lie in a matrix, outermost first.
DimList strided_order(DimList dims, const int64_t *stride);

#endif
