// Builtins with a rule of their own: where, stop_gradient, random, stack, split, merge, size, config.
#include "frontend/lower.h"

#include <math.h>

static const Expr *operand(const Expr *expr, size_t i) {
    return expr->operands.items[i];
}

static bool is_bool_tensor(const Lower *lower, Value value) {
    return value.kind == VALUE_TENSOR && graph_node(lower->graph, value.node)->dtype == DTYPE_BOOL;
}

// ---- values that must have one type
static bool is_integer_tensor(const Lower *lower, Value value) {
    return value.kind == VALUE_TENSOR && graph_node(lower->graph, value.node)->dtype == DTYPE_I32;
}

// i32 when one is i32 and the others can be, else f32. False after an error.
static bool values_unify(Lower *lower, const Expr *expr, size_t first, const Value *values, size_t count,
                         NodeId *nodes) {
    bool integers = false, possible = true;
    for (size_t i = 0; i < count; i++) {
        integers = integers || is_integer_tensor(lower, values[i]);
        bool fits = values[i].kind == VALUE_NUMBER && values[i].integral && fabs(values[i].number) <= INT32_MAX;
        possible = possible && (is_integer_tensor(lower, values[i]) || fits);
    }
    for (size_t i = 0; i < count; i++) {
        if (!integers || !possible)
            nodes[i] = value_float(lower, values[i], operand(expr, first + i)->place);
        else
            nodes[i] = values[i].kind == VALUE_TENSOR ? values[i].node
                                                      : build_const(lower->graph, DTYPE_I32, values[i].number);
        if (nodes[i] == NODE_NONE) return false;
    }
    return true;
}

// where(condition, yes, no)
static Value lower_where(Lower *lower, const Expr *expr) {
    Value v[3];
    for (size_t i = 0; i < 3; i++)
        v[i] = lower_expression(lower, operand(expr, i));
    if (v[0].kind == VALUE_ERROR || v[1].kind == VALUE_ERROR || v[2].kind == VALUE_ERROR)
        return (Value){.kind = VALUE_ERROR};
    if (v[0].kind == VALUE_BOOL) return v[0].number != 0 ? v[1] : v[2];
    if (!is_bool_tensor(lower, v[0]))
        return lower_error(lower, operand(expr, 0)->place, "the first operand of 'where' is a condition, found %s",
                           value_describe(lower, v[0]));
    NodeId nodes[3] = {v[0].node};
    if (!values_unify(lower, expr, 1, v + 1, 2, nodes + 1)) return (Value){.kind = VALUE_ERROR};
    return lower_build(lower, expr->place, OP_WHERE, nodes, 3, (Attr){0});
}

static Value lower_stop_gradient(Lower *lower, const Expr *expr) {
    Value value = lower_expression(lower, operand(expr, 0));
    if (value.kind != VALUE_TENSOR) return value;
    return lower_build(lower, expr->place, OP_STOP_GRADIENT, &value.node, 1, (Attr){0});
}

// random(x): numbers in [0,1), one for each element of x, others at every place, step and micro-batch
static Value lower_random(Lower *lower, const Expr *expr) {
    Value like = lower_expression(lower, operand(expr, 0));
    if (like.kind == VALUE_ERROR) return like;
    DimList order = like.kind == VALUE_TENSOR ? graph_node(lower->graph, like.node)->order : (DimList){0};
    const Frame *frame = lower->frame;
    while (frame->caller)
        frame = frame->caller;
    const char *site = arena_format(lower->arena, "%s.random", frame->report);
    if (lower->randoms > 0) site = arena_format(lower->arena, "%s.%u", site, lower->randoms);
    lower->randoms++;
    if (graph_elements(lower->graph, dim_list_set(&order)) > (int64_t)1 << 32)
        return lower_error(lower, expr->place, "random numbers for more than 2^32 elements: %s",
                           value_describe(lower, like));
    NodeId seed = lower_scalar_input(lower, "seed"), step = lower_scalar_input(lower, "step"),
           micro = lower_scalar_input(lower, "micro");
    return value_tensor(build_random(lower->graph, seed, step, micro, graph_string(lower->graph, site), order));
}

// ---- moves
static bool dims_read(Lower *lower, const Expr *expr, DimId *dims) {
    for (size_t i = 0; i < expr->dims.count; i++) {
        if (!lower_dim(lower, &expr->dims.items[i], &dims[i])) return false;
    }
    return true;
}

// stack(R)(a, b): entry 0 along R is a, entry 1 is b
static Value lower_stack(Lower *lower, const Expr *expr) {
    DimId to;
    size_t count = expr->operands.count;
    if (!dims_read(lower, expr, &to)) return (Value){.kind = VALUE_ERROR};
    if (graph_extent(lower->graph, to) != (int64_t)count)
        return lower_error(lower, expr->place, "%s has %lld entries, but %zu values are stacked",
                           graph_dim_name(lower->graph, to), (long long)graph_extent(lower->graph, to), count);
    Value *values = ARENA_ARRAY(lower->arena, Value, count);
    NodeId *nodes = ARENA_ARRAY(lower->arena, NodeId, count);
    for (size_t i = 0; i < count; i++) {
        values[i] = lower_expression(lower, operand(expr, i));
        if (values[i].kind == VALUE_ERROR) return values[i];
        if (dim_in(value_dims(lower, values[i]), to))
            return lower_error(lower, operand(expr, i)->place, "%s has dimension %s already",
                               value_describe(lower, values[i]), graph_dim_name(lower->graph, to));
    }
    if (!values_unify(lower, expr, 0, values, count, nodes)) return (Value){.kind = VALUE_ERROR};
    return lower_build(lower, expr->place, OP_STACK, nodes, (uint32_t)count, (Attr){.to = to});
}

// Extents of the two parts multiply to that of the whole.
static bool parts_fit(Lower *lower, const Expr *expr, const DimId *dims, DimId whole, DimId outer, DimId inner) {
    long long all = graph_extent(lower->graph, whole), a = graph_extent(lower->graph, outer),
              b = graph_extent(lower->graph, inner);
    if (outer == inner)
        return lower_fail(lower, expr->place, "%s stands for both parts", graph_dim_name(lower->graph, dims[1]));
    if (a * b == all) return true;
    return lower_fail(lower, expr->place, "%s=%lld is not %s=%lld times %s=%lld", graph_dim_name(lower->graph, whole),
                      all, graph_dim_name(lower->graph, outer), a, graph_dim_name(lower->graph, inner), b);
}

static bool dims_present(Lower *lower, const Expr *expr, Value value, const DimId *dims, bool present, size_t first,
                         size_t end) {
    for (size_t i = first; i < end; i++) {
        if (dim_in(value_dims(lower, value), dims[i]) == present) continue;
        return lower_fail(lower, expr->dims.items[i].place,
                          present ? "%s has no dimension %s" : "%s has dimension %s already",
                          value_describe(lower, value), graph_dim_name(lower->graph, dims[i]));
    }
    return true;
}

// split(D, R, E) x: D becomes R (outer) and E.   merge(R, E, D) x: R (outer) and E become D.
static Value lower_regroup(Lower *lower, const Expr *expr) {
    bool splits = expr->builtin == BUILTIN_SPLIT;
    Value value = lower_expression(lower, operand(expr, 0));
    if (value.kind == VALUE_ABSENT || value.kind == VALUE_ERROR) return value;
    DimId dims[3];
    if (!dims_read(lower, expr, dims)) return (Value){.kind = VALUE_ERROR};
    size_t old = splits ? 1 : 2; // dims that x must have; the others it must lack
    if (!dims_present(lower, expr, value, dims, true, 0, old) || !dims_present(lower, expr, value, dims, false, old, 3))
        return (Value){.kind = VALUE_ERROR};
    DimId whole = dims[splits ? 0 : 2], outer = dims[splits ? 1 : 0], inner = dims[splits ? 2 : 1];
    if (!parts_fit(lower, expr, dims, whole, outer, inner)) return (Value){.kind = VALUE_ERROR};
    Attr attr = splits ? (Attr){.from = whole, .to = outer, .inner = inner}
                       : (Attr){.from = outer, .inner = inner, .to = whole};
    return lower_build(lower, expr->place, splits ? OP_SPLIT : OP_MERGE, &value.node, 1, attr);
}

// ---- what is known while compiling
static Value lower_size(Lower *lower, const Expr *expr) {
    DimId dim;
    if (!dims_read(lower, expr, &dim)) return (Value){.kind = VALUE_ERROR};
    return value_number((double)graph_extent(lower->graph, dim), true);
}

// config(name, otherwise): the config value that the model declares under this name, else `otherwise`
static Value lower_config_form(Lower *lower, const Expr *expr) {
    const char *name = expr->dims.items[0].text;
    Value value;
    for (size_t i = 0; i < lower->spec->configs.count; i++) {
        if (text_equal(lower->spec->configs.items[i].name.text, name) && lower_config(lower, name, &value))
            return value;
    }
    return lower_expression(lower, operand(expr, 0));
}

Value lower_builtin_form(Lower *lower, const Expr *expr) {
    switch (expr->builtin) {
    case BUILTIN_WHERE: return lower_where(lower, expr);
    case BUILTIN_STOP_GRADIENT: return lower_stop_gradient(lower, expr);
    case BUILTIN_RANDOM: return lower_random(lower, expr);
    case BUILTIN_STACK: return lower_stack(lower, expr);
    case BUILTIN_SPLIT:
    case BUILTIN_MERGE: return lower_regroup(lower, expr);
    case BUILTIN_SIZE: return lower_size(lower, expr);
    case BUILTIN_CONFIG: return lower_config_form(lower, expr);
    default: BUG("'%s' is no form", builtin_table[expr->builtin].spelling);
    }
}
