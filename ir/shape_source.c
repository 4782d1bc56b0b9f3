// Rules of sources: leaves, operands of a box, numbers, indices, random numbers.
#include <math.h>

#include "ir/shape_rules.h"

static bool order_given(Shape *shape) {
    if (!shape->order) return shape_broken(shape, " needs its dims");
    shape->result = *shape->order;
    return true;
}

static bool type_given(Shape *shape) {
    if (shape->dtype == DTYPE_F32 || shape->dtype == DTYPE_I32 || shape->dtype == DTYPE_BOOL) {
        shape->result_dtype = shape->dtype;
        return true;
    }
    if (shape->dtype == DTYPE_COUNT) return shape_broken(shape, " needs its type");
    return shape_broken(shape, " is %s: a node is f32, i32 or bool, shorter floats are for storage",
                        dtype_name(shape->dtype));
}

static bool leaf_rule(Shape *shape) {
    if (shape->attr.leaf >= graph_leaves(shape->graph)) return shape_broken(shape, " has no leaf");
    const Leaf *leaf = graph_leaf_at(shape->graph, shape->attr.leaf);
    if (shape->op != OP_INPUT && shape->dtype == DTYPE_COUNT) shape->dtype = DTYPE_F32;
    if (!type_given(shape)) return false;
    if (shape->op == OP_PARAM && shape->dtype != DTYPE_F32) {
        return shape_broken(shape, " \"%s\" is %s, not f32", leaf->name, dtype_name(shape->dtype));
    }
    if (shape->op != OP_INPUT && shape->dtype == DTYPE_BOOL) {
        return shape_broken(shape, " \"%s\" is bool, not f32 or i32", leaf->name);
    }
    if (leaf->token_bytes && (shape->op != OP_INPUT || shape->dtype != DTYPE_I32)) {
        return shape_broken(shape, " \"%s\" holds tokens, which are i32 inputs", leaf->name);
    }
    return shape_give(shape, shape->dtype, leaf->stored);
}

static bool value_fits(DType dtype, double value) {
    switch (dtype) {
    case DTYPE_I32: return value >= INT32_MIN && value <= INT32_MAX && value == floor(value);
    case DTYPE_BOOL: return value == 0 || value == 1;
    default: return true;
    }
}

static bool const_rule(Shape *shape) {
    if (!type_given(shape)) return false;
    const double *values = shape->attr.table ? shape->attr.table : &shape->attr.value;
    int64_t count = 1;
    if (shape->attr.table) {
        if (!order_given(shape)) return false;
        count = graph_elements(shape->graph, dim_list_set(&shape->result));
    } else if (shape->order && shape->order->rank) {
        return shape_broken(shape, " over %s needs a table", shape_list_text(shape, shape->order));
    }
    for (int64_t i = 0; i < count; i++) {
        if (!value_fits(shape->dtype, values[i]))
            return shape_broken(shape, ": %g is not %s", values[i], dtype_name(shape->dtype));
    }
    return true;
}

static bool random_rule(Shape *shape) {
    static const char *const words[] = {"seed", "step", "micro-batch"};
    for (uint32_t i = 0; i < 3; i++) {
        if (!shape_operand_is(shape, i, DTYPE_I32)) return false;
        if (shape_operand(shape, i)->dims) {
            return shape_broken(shape, ": the %s is %s, not a scalar", words[i], shape_operand_text(shape, i));
        }
    }
    if (!shape->attr.site) return shape_broken(shape, " needs a site");
    if (!order_given(shape)) return false;
    if (graph_elements(shape->graph, dim_list_set(&shape->result)) > (int64_t)1 << 32) {
        return shape_broken(shape, " over %s has more than 2^32 elements", shape_list_text(shape, &shape->result));
    }
    shape->result_dtype = DTYPE_F32;
    return true;
}

bool source_rule(Shape *shape) {
    switch (shape->op) {
    case OP_OPERAND:
        if (shape->attr.integer < 0) return shape_broken(shape, " has the number %d", shape->attr.integer);
        return type_given(shape) && order_given(shape);
    case OP_CONST: return const_rule(shape);
    case OP_INDEX:
        if (!shape_dim_known(shape, shape->attr.to, "of")) return false;
        return shape_give(shape, DTYPE_I32, (DimList){1, {shape->attr.to}});
    case OP_RANDOM: return random_rule(shape);
    default: return leaf_rule(shape);
    }
}
