// Rules of the ops that compute: pointwise, reductions, contraction.
#include "ir/shape_rules.h"

// ---- pointwise

// Which types an op takes, and what it gives.
typedef enum { TYPES_FLOAT, TYPES_NUMBER, TYPES_ORDERED, TYPES_EQUAL, TYPES_BOOL, TYPES_WHERE, TYPES_TO_FLOAT } Types;

static Types pointwise_types(Op op) {
    switch (op) {
    case OP_ADD:
    case OP_SUB:
    case OP_MUL:
    case OP_NEG:
    case OP_ABS:
    case OP_MAXIMUM:
    case OP_MINIMUM: return TYPES_NUMBER;
    case OP_LT:
    case OP_LE: return TYPES_ORDERED;
    case OP_EQ: return TYPES_EQUAL;
    case OP_AND:
    case OP_OR:
    case OP_NOT: return TYPES_BOOL;
    case OP_WHERE: return TYPES_WHERE;
    case OP_TO_FLOAT: return TYPES_TO_FLOAT;
    default: return TYPES_FLOAT;
    }
}

static bool pointwise_type(Shape *shape) {
    Types types = pointwise_types(shape->op);
    if (types == TYPES_WHERE) {
        shape->result_dtype = shape_operand(shape, 1)->dtype;
        return shape_operand_is(shape, 0, DTYPE_BOOL) && shape_operands_agree(shape, 1);
    }
    if (!shape_operands_agree(shape, 0)) return false;
    DType dtype = shape_operand(shape, 0)->dtype;
    bool is_number = dtype == DTYPE_F32 || dtype == DTYPE_I32;
    shape->result_dtype = dtype;
    switch (types) {
    case TYPES_FLOAT: return shape_operand_is(shape, 0, DTYPE_F32);
    case TYPES_BOOL: return shape_operand_is(shape, 0, DTYPE_BOOL);
    case TYPES_NUMBER: return is_number || shape_broken(shape, " takes f32 or i32, not %s", dtype_name(dtype));
    case TYPES_ORDERED:
        shape->result_dtype = DTYPE_BOOL;
        return is_number || shape_broken(shape, " takes f32 or i32, not %s", dtype_name(dtype));
    case TYPES_TO_FLOAT:
        shape->result_dtype = DTYPE_F32;
        return dtype != DTYPE_F32 || shape_broken(shape, " takes i32 or bool, not f32");
    default: shape->result_dtype = DTYPE_BOOL; return true;
    }
}

bool pointwise_rule(Shape *shape) {
    if (!pointwise_type(shape) || !shape_rank_fits(shape, shape_operands_union(shape))) return false;
    uint32_t widest = 0;
    for (uint32_t i = 1; i < shape->count; i++) {
        if (shape_operand(shape, i)->order.rank > shape_operand(shape, widest)->order.rank) widest = i;
    }
    shape->result = shape_operand(shape, widest)->order;
    for (uint32_t i = 0; i < shape->count; i++)
        shape->result = dim_list_union(shape->result, shape_operand(shape, i)->order);
    return true;
}

// ---- reductions and contraction

static bool over_is_present(Shape *shape) {
    DimSet over = shape->attr.set;
    if (!shape_dims_known(shape, over)) return false;
    if (!over) return shape_broken(shape, " over no dim");
    for (uint32_t i = 0; i < shape->count; i++) {
        DimSet missing = over & ~shape_operand(shape, i)->dims;
        if (!missing) continue;
        const char *name = shape_dim_text(shape, (DimId)__builtin_ctzll(missing));
        return shape_broken(shape, " over %s: operand %u %s lacks %s", shape_set_text(shape, over), i + 1,
                            shape_operand_text(shape, i), name);
    }
    return true;
}

bool reduce_rule(Shape *shape) {
    if (!shape_operand_is(shape, 0, DTYPE_F32) || !over_is_present(shape)) return false;
    return shape_give(shape, DTYPE_F32, dim_list_without(shape_operand(shape, 0)->order, shape->attr.set));
}

bool contract_rule(Shape *shape) {
    if (!shape_operand_is(shape, 0, DTYPE_F32) || !shape_operand_is(shape, 1, DTYPE_F32) || !over_is_present(shape))
        return false;
    const Node *a = shape_operand(shape, 0), *b = shape_operand(shape, 1);
    DimSet only_a = a->dims & ~b->dims, only_b = b->dims & ~a->dims;
    if (!only_a || !only_b) {
        return shape_broken(shape, " over %s: %s and %s do not each keep a dim of their own; multiply and sum instead",
                            shape_set_text(shape, shape->attr.set), shape_operand_text(shape, 0),
                            shape_operand_text(shape, 1));
    }
    if (!shape_rank_fits(shape, (a->dims | b->dims) & ~shape->attr.set)) return false;
    DimList batch = dim_list_without(a->order, only_a | shape->attr.set);
    DimList result = dim_list_union(batch, dim_list_without(a->order, shape->attr.set));
    return shape_give(shape, DTYPE_F32, dim_list_union(result, dim_list_without(b->order, shape->attr.set)));
}
