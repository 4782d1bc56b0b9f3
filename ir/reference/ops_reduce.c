// Reductions and contraction.
#include <math.h>

#include "ir/reference/ops.h"

static void fill(const Work *work, double value) {
    for (int64_t i = 0; i < work->count; i++)
        work->result[i] = value;
}

// Stream 0 is the result (standing still along the summed dims), stream 1 the operand, walked in its own order.
static Walk walk_operand(const Work *work) {
    WalkOrder order = {0};
    walk_order_add(&order, &work_node(work, 0)->order, ~(DimSet)0);
    Strides result = strides_dense(work->graph, work->node->order), operand = work_strides(work, 0);
    return walk_start(work->graph, &order, (const Strides *[]){&result, &operand}, 2);
}

void reference_sum(const Work *work) {
    fill(work, 0.0);
    for (Walk walk = walk_operand(work); walk.more; walk_next(&walk)) {
        double *result = work->result + walk.offset[0];
        const double *a = work_values(work, 0) + walk.offset[1];
        for (int64_t i = 0; i < walk.length; i++)
            result[i * walk.step[0]] += a[i * walk.step[1]];
    }
}

void reference_max(const Work *work) {
    fill(work, -INFINITY);
    for (Walk walk = walk_operand(work); walk.more; walk_next(&walk)) {
        double *result = work->result + walk.offset[0];
        const double *a = work_values(work, 0) + walk.offset[1];
        for (int64_t i = 0; i < walk.length; i++) {
            double value = a[i * walk.step[1]], *largest = &result[i * walk.step[0]];
            if (value > *largest || isnan(value)) *largest = value;
        }
    }
}

// The largest element is taken out first, so that no exponential overflows. A row without a finite largest element
// has its own rule: -inf is an empty row and gives +inf, +inf and NaN stay what they are.
static double row_lse(const double *row, Walk start) {
    double largest = -INFINITY, sum = 0.0;
    for (Walk walk = start; walk.more; walk_next(&walk)) {
        for (int64_t i = 0; i < walk.length; i++) {
            double value = row[walk.offset[0] + i * walk.step[0]];
            if (value > largest || isnan(value)) largest = value;
        }
    }
    if (!isfinite(largest)) return largest == -INFINITY ? INFINITY : largest;
    for (Walk walk = start; walk.more; walk_next(&walk)) {
        for (int64_t i = 0; i < walk.length; i++)
            sum += exp(row[walk.offset[0] + i * walk.step[0]] - largest);
    }
    return largest + log(sum);
}

void reference_lse(const Work *work) {
    const Node *operand = work_node(work, 0);
    Strides from = work_strides(work, 0), to = strides_dense(work->graph, work->node->order);
    WalkOrder rows = {0}, within = {0};
    walk_order_add(&rows, &work->node->order, ~(DimSet)0);
    walk_order_add(&within, &operand->order, work->node->attr.set);
    Walk row = walk_start(work->graph, &within, (const Strides *[]){&from}, 1);
    for (Walk walk = walk_start(work->graph, &rows, (const Strides *[]){&to, &from}, 2); walk.more; walk_next(&walk)) {
        for (int64_t i = 0; i < walk.length; i++) {
            const double *start = work_values(work, 0) + walk.offset[1] + i * walk.step[1];
            work->result[walk.offset[0] + i * walk.step[0]] = row_lse(start, row);
        }
    }
}

// The usual shapes of the innermost loop get a body of their own, since the reference spends its time here.
static void multiply_add(double *result, const double *a, const double *b, const Walk *walk) {
    int64_t n = walk->length, step = walk->step[0], step_a = walk->step[1], step_b = walk->step[2];
    if (step == 1 && step_a == 0 && step_b == 1) {
        for (int64_t i = 0; i < n; i++)
            result[i] += *a * b[i];
    } else if (step == 1 && step_a == 1 && step_b == 0) {
        for (int64_t i = 0; i < n; i++)
            result[i] += a[i] * *b;
    } else {
        for (int64_t i = 0; i < n; i++)
            result[i * step] += a[i * step_a] * b[i * step_b];
    }
}

// The last dim of the result is the innermost loop, the summed dims are around it: one row of the result stays in
// cache.
void reference_contract(const Work *work) {
    fill(work, 0.0);
    DimList order = work->node->order;
    DimSet last = order.rank > 0 ? dim_bit(order.dims[order.rank - 1]) : 0;
    WalkOrder loops = {0};
    walk_order_add(&loops, &order, ~last);
    walk_order_add(&loops, &work_node(work, 0)->order, work->node->attr.set);
    walk_order_add(&loops, &order, last);
    Strides result = strides_dense(work->graph, order), a = work_strides(work, 0), b = work_strides(work, 1);
    const Strides *streams[] = {&result, &a, &b};
    for (Walk walk = walk_start(work->graph, &loops, streams, 3); walk.more; walk_next(&walk)) {
        multiply_add(work->result + walk.offset[0], work_values(work, 0) + walk.offset[1],
                     work_values(work, 1) + walk.offset[2], &walk);
    }
}
