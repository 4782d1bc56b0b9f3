// Moves, gather and scatter: the same numbers under other indices. Each is a copy between two streams whose strides say
// where a step along a dim leads; a move only changes which stride belongs to which dim.
#include <math.h>
#include <string.h>

#include "ir/reference/ops.h"

static void clear(const Work *work) {
    memset(work->result, 0, (size_t)work->count * sizeof(double));
}

// result[.. + start_to] = values[.. + start_from] over all indices of `dims` that are in `only`.
static void copy(const Work *work, const DimList *dims, DimSet only, const Strides *to, int64_t start_to,
                 const double *values, const Strides *from) {
    WalkOrder order = {0};
    walk_order_add(&order, dims, only);
    for (Walk walk = walk_start(work->graph, &order, (const Strides *[]){to, from}, 2); walk.more; walk_next(&walk)) {
        double *result = work->result + start_to + walk.offset[0];
        const double *value = values + walk.offset[1];
        for (int64_t i = 0; i < walk.length; i++)
            result[i * walk.step[0]] = value[i * walk.step[1]];
    }
}

// Every element of the result is read from the operand.
static void pull(const Work *work, const double *values, const Strides *from) {
    Strides to = strides_dense(work->graph, work->node->order);
    copy(work, &work->node->order, ~(DimSet)0, &to, 0, values, from);
}

// Every element of the operand is written to the result.
static void push(const Work *work, const Strides *to) {
    Strides from = work_strides(work, 0);
    copy(work, &work_node(work, 0)->order, ~(DimSet)0, to, 0, work_values(work, 0), &from);
}

void reference_rename(const Work *work) {
    Strides from = work_strides(work, 0);
    from.of[work->node->attr.to] = from.of[work->node->attr.from];
    pull(work, work_values(work, 0), &from);
}

// As rename: the walk only goes as far as the shorter dim.
void reference_prefix(const Work *work) {
    reference_rename(work);
}

void reference_pad(const Work *work) {
    Strides to = strides_dense(work->graph, work->node->order);
    to.of[work->node->attr.from] = to.of[work->node->attr.to];
    clear(work);
    push(work, &to);
}

void reference_select(const Work *work) {
    Strides from = work_strides(work, 0);
    pull(work, work_values(work, 0) + work->node->attr.integer * from.of[work->node->attr.from], &from);
}

void reference_stack(const Work *work) {
    Strides to = strides_dense(work->graph, work->node->order);
    DimId dim = work->node->attr.to;
    for (int i = 0; i < (int)work->node->operand_count; i++) {
        Strides from = work_strides(work, i);
        copy(work, &work->node->order, ~dim_bit(dim), &to, i * to.of[dim], work_values(work, i), &from);
    }
}

void reference_split(const Work *work) {
    const Attr *attr = &work->node->attr;
    Strides from = work_strides(work, 0);
    int64_t step = from.of[attr->from];
    from.of[attr->inner] = step;
    from.of[attr->to] = step * graph_extent(work->graph, attr->inner);
    pull(work, work_values(work, 0), &from);
}

void reference_merge(const Work *work) {
    const Attr *attr = &work->node->attr;
    Strides to = strides_dense(work->graph, work->node->order);
    int64_t step = to.of[attr->to];
    to.of[attr->inner] = step;
    to.of[attr->from] = step * graph_extent(work->graph, attr->inner);
    push(work, &to);
}

void reference_stop_gradient(const Work *work) {
    Strides from = work_strides(work, 0);
    pull(work, work_values(work, 0), &from);
}

// An index outside the dim reads as NaN: a wrong token shows, and nothing outside the array is touched.
void reference_gather(const Work *work) {
    DimId dim = work->node->attr.from;
    int64_t extent = graph_extent(work->graph, dim);
    Strides result = strides_dense(work->graph, work->node->order);
    Strides a = work_strides(work, 0), b = work_strides(work, 1);
    int64_t step = a.of[dim];
    WalkOrder order = {0};
    walk_order_add(&order, &work->node->order, ~(DimSet)0);
    for (Walk walk = walk_start(work->graph, &order, (const Strides *[]){&result, &a, &b}, 3); walk.more;
         walk_next(&walk)) {
        for (int64_t i = 0; i < walk.length; i++) {
            double entry = work_values(work, 1)[walk.offset[2] + i * walk.step[2]];
            const double *from = work_values(work, 0) + walk.offset[1] + i * walk.step[1];
            work->result[walk.offset[0] + i * walk.step[0]] =
                entry >= 0 && entry < (double)extent ? from[(int64_t)entry * step] : NAN;
        }
    }
}

// An index outside the dim adds nowhere.
static void add_scattered(const Work *work) {
    DimId dim = work->node->attr.to;
    int64_t extent = graph_extent(work->graph, dim);
    Strides result = strides_dense(work->graph, work->node->order);
    Strides a = work_strides(work, 0), b = work_strides(work, 1);
    int64_t step = result.of[dim];
    WalkOrder order = {0};
    walk_order_add(&order, &work->node->order, ~dim_bit(dim));
    walk_order_add(&order, &work_node(work, 1)->order, ~(DimSet)0);
    walk_order_add(&order, &work_node(work, 0)->order, ~(DimSet)0);
    for (Walk walk = walk_start(work->graph, &order, (const Strides *[]){&result, &a, &b}, 3); walk.more;
         walk_next(&walk)) {
        for (int64_t i = 0; i < walk.length; i++) {
            double entry = work_values(work, 1)[walk.offset[2] + i * walk.step[2]];
            double *to = work->result + walk.offset[0] + i * walk.step[0];
            if (entry >= 0 && entry < (double)extent) {
                to[(int64_t)entry * step] += work_values(work, 0)[walk.offset[1] + i * walk.step[1]];
            }
        }
    }
}

void reference_scatter(const Work *work) {
    clear(work);
    add_scattered(work);
}

void reference_scatter_onto(const Work *work) {
    Strides result = strides_dense(work->graph, work->node->order), base = work_strides(work, 2);
    copy(work, &work->node->order, ~(DimSet)0, &result, 0, work_values(work, 2), &base);
    add_scattered(work);
}
