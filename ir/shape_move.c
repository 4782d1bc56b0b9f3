// Rules of the ops that only move numbers: moves, gather and scatter.
#include "ir/shape_rules.h"

// ---- moves

static bool resize_rule(Shape *shape) {
    DimId from = shape->attr.from, to = shape->attr.to;
    if (!shape_operand_has(shape, 0, from, "from") || !shape_operand_lacks(shape, 0, to, "to")) return false;
    long long old = graph_extent(shape->graph, from), new = graph_extent(shape->graph, to);
    const char *wanted = NULL;
    if (shape->op == OP_RENAME && new != old) wanted = "the same";
    if (shape->op == OP_PREFIX && new >= old) wanted = "a shorter";
    if (shape->op == OP_PAD && new <= old) wanted = "a longer";
    if (wanted) {
        return shape_broken(shape, " from %s=%lld to %s=%lld: not %s extent", shape_dim_text(shape, from), old,
                            shape_dim_text(shape, to), new, wanted);
    }
    return shape_give(shape, shape_operand(shape, 0)->dtype,
                      dim_list_replace(shape_operand(shape, 0)->order, from, to));
}

static bool select_rule(Shape *shape) {
    DimId from = shape->attr.from;
    if (!shape_operand_has(shape, 0, from, "from")) return false;
    long long extent = graph_extent(shape->graph, from);
    if (shape->attr.integer < 0 || shape->attr.integer >= extent) {
        return shape_broken(shape, " from %s: entry %d is not in 0..%lld", shape_dim_text(shape, from),
                            shape->attr.integer, extent - 1);
    }
    return shape_give(shape, shape_operand(shape, 0)->dtype,
                      dim_list_without(shape_operand(shape, 0)->order, dim_bit(from)));
}

static bool stack_rule(Shape *shape) {
    DimId to = shape->attr.to;
    if (!shape_dim_known(shape, to, "to")) return false;
    long long extent = graph_extent(shape->graph, to);
    if (shape->count != extent) {
        return shape_broken(shape, " to %s=%lld has %u operands", shape_dim_text(shape, to), extent, shape->count);
    }
    for (uint32_t i = 0; i < shape->count; i++) {
        if (!shape_operand_lacks(shape, i, to, "to")) return false;
    }
    if (!shape_operands_agree(shape, 0) || !shape_rank_fits(shape, shape_operands_union(shape) | dim_bit(to)))
        return false;
    shape->result_dtype = shape_operand(shape, 0)->dtype;
    shape->result = (DimList){1, {to}};
    for (uint32_t i = 0; i < shape->count; i++)
        shape->result = dim_list_union(shape->result, shape_operand(shape, i)->order);
    return true;
}

// Split and merge: the extents of one side multiply to that of the other.
static bool regroup_fits(Shape *shape, DimId whole, DimId outer, DimId inner) {
    long long all = graph_extent(shape->graph, whole);
    long long rows = graph_extent(shape->graph, outer), lanes = graph_extent(shape->graph, inner);
    if (outer == inner) return shape_broken(shape, ": outer and inner dim are both %s", shape_dim_text(shape, outer));
    if (rows * lanes == all) return true;
    return shape_broken(shape, ": %s=%lld is not %s=%lld times %s=%lld", shape_dim_text(shape, whole), all,
                        shape_dim_text(shape, outer), rows, shape_dim_text(shape, inner), lanes);
}

static bool split_rule(Shape *shape) {
    DimId from = shape->attr.from, outer = shape->attr.to, inner = shape->attr.inner;
    if (!shape_operand_has(shape, 0, from, "from") || !shape_operand_lacks(shape, 0, outer, "to") ||
        !shape_operand_lacks(shape, 0, inner, "inner") || !regroup_fits(shape, from, outer, inner) ||
        !shape_rank_fits(shape, (shape_operand(shape, 0)->dims & ~dim_bit(from)) | dim_bit(outer) | dim_bit(inner))) {
        return false;
    }
    DimList old = shape_operand(shape, 0)->order, result = {0};
    for (int i = 0; i < old.rank; i++) {
        result.dims[result.rank++] = old.dims[i] == from ? outer : old.dims[i];
        if (old.dims[i] == from) result.dims[result.rank++] = inner;
    }
    return shape_give(shape, shape_operand(shape, 0)->dtype, result);
}

static bool merge_rule(Shape *shape) {
    DimId outer = shape->attr.from, inner = shape->attr.inner, to = shape->attr.to;
    if (!shape_operand_has(shape, 0, outer, "from") || !shape_operand_has(shape, 0, inner, "inner") ||
        !shape_operand_lacks(shape, 0, to, "to") || !regroup_fits(shape, to, outer, inner)) {
        return false;
    }
    DimList result = dim_list_without(shape_operand(shape, 0)->order, dim_bit(inner));
    return shape_give(shape, shape_operand(shape, 0)->dtype, dim_list_replace(result, outer, to));
}

bool move_rule(Shape *shape) {
    switch (shape->op) {
    case OP_SELECT: return select_rule(shape);
    case OP_STACK: return stack_rule(shape);
    case OP_SPLIT: return split_rule(shape);
    case OP_MERGE: return merge_rule(shape);
    default: return resize_rule(shape);
    }
}

// ---- indexed

bool gather_rule(Shape *shape) {
    DimId from = shape->attr.from;
    if (!shape_operand_has(shape, 0, from, "from") || !shape_operand_is(shape, 1, DTYPE_I32) ||
        !shape_operand_lacks(shape, 1, from, "from")) {
        return false;
    }
    const Node *a = shape_operand(shape, 0), *index = shape_operand(shape, 1);
    if (!shape_rank_fits(shape, (a->dims & ~dim_bit(from)) | index->dims)) return false;
    // The index's own dims stand where `from` stood.
    DimList own = dim_list_without(index->order, a->dims), result = {0};
    for (int i = 0; i < a->order.rank; i++) {
        if (a->order.dims[i] != from) {
            result.dims[result.rank++] = a->order.dims[i];
        } else {
            for (int k = 0; k < own.rank; k++) result.dims[result.rank++] = own.dims[k];
        }
    }
    return shape_give(shape, a->dtype, result);
}

bool scatter_rule(Shape *shape) {
    DimId to = shape->attr.to;
    DimSet result = shape->attr.set;
    if (!shape_operand_is(shape, 0, DTYPE_F32) || !shape_operand_is(shape, 1, DTYPE_I32) ||
        !shape_operand_lacks(shape, 0, to, "to") || !shape_operand_lacks(shape, 1, to, "to") ||
        !shape_dims_known(shape, result) || !shape_rank_fits(shape, result)) {
        return false;
    }
    if (!dim_in(result, to))
        return shape_broken(shape, " to %s: the result %s lacks it", shape_dim_text(shape, to),
                            shape_set_text(shape, result));
    const Node *a = shape_operand(shape, 0), *index = shape_operand(shape, 1);
    DimSet missing = result & ~dim_bit(to) & ~(a->dims | index->dims);
    if (missing) {
        return shape_broken(shape, ": no operand has %s of the result %s", shape_set_text(shape, missing),
                            shape_set_text(shape, result));
    }
    if (shape->op == OP_SCATTER_ONTO) {
        if (!shape_operand_is(shape, 2, DTYPE_F32)) return false;
        const Node *base = shape_operand(shape, 2);
        if (base->dims == result) return shape_give(shape, DTYPE_F32, base->order);
        return shape_broken(shape, ": onto %s, and the result has %s", shape_set_text(shape, base->dims),
                            shape_set_text(shape, result));
    }
    DimList order = dim_list_union((DimList){1, {to}}, dim_list_without(a->order, ~result));
    return shape_give(shape, DTYPE_F32, dim_list_union(order, dim_list_without(index->order, ~result)));
}
