// sum, mean, max, lse over named dims, of the product that follows.
//
//     sum(D) q * k[T=S] / sqrt(size(D))   ->   contract(q, k') over D, then divided: factors without D stand outside
//     mean(C) d * d                       ->   sum over C of mul(d, d), times 1/size(C)
//
// A sum of two factors that each keep a dim of their own is one contraction; that is how products of matrices are
// written.
#include "frontend/lower.h"

typedef struct {
    const Expr *expr;
    Value value;
    bool divides;
} Factor;

static bool is_product(const Expr *expr) {
    return expr->kind == EXPR_BUILTIN && (expr->builtin == BUILTIN_MUL || expr->builtin == BUILTIN_DIV);
}

// The factors of a * b / c as written; parentheses keep a factor whole. NULL after an error.
static Factor *factors_read(Lower *lower, const Expr *expr, size_t *count) {
    // The product leans to the left: ((a * b) / c), so the factors are met from the last to the first.
    *count = 1;
    for (const Expr *at = expr; is_product(at) && (at == expr || !at->grouped); at = at->operands.items[0])
        ++*count;
    Factor *factors = ARENA_ARRAY(lower->arena, Factor, *count);
    for (size_t i = *count; i-- > 1; expr = expr->operands.items[0])
        factors[i] = (Factor){.expr = expr->operands.items[1], .divides = expr->builtin == BUILTIN_DIV};
    factors[0] = (Factor){.expr = expr};
    bool sound = true;
    for (size_t i = 0; i < *count; i++) {
        factors[i].value = lower_expression(lower, factors[i].expr);
        sound = sound && factors[i].value.kind != VALUE_ERROR;
    }
    return sound ? factors : NULL;
}

static bool is_one(Value value) {
    return value.kind == VALUE_NUMBER && value.number == 1;
}

// The 1 of `1 / x` needs no product.
static Value multiply(Lower *lower, Value a, Value b, const Expr *expr) {
    if (is_one(a)) return b;
    return is_one(b) ? a : pointwise(lower, BUILTIN_MUL, a, b, expr);
}

static Value contract(Lower *lower, Value a, Value b, DimSet over, const Expr *expr) {
    NodeId x = value_float(lower, a, expr->place), y = value_float(lower, b, expr->place);
    if (x == NODE_NONE || y == NODE_NONE) return (Value){.kind = VALUE_ERROR};
    DimSet left = graph_node(lower->graph, x)->dims, right = graph_node(lower->graph, y)->dims;
    // Without a dim of their own on both sides the product itself is built, and then summed.
    bool product = !(left & ~right) || !(right & ~left) || over & ~(left & right);
    if (!lower_dims_fit(lower, product ? left | right : (left | right) & ~over, expr->place))
        return (Value){.kind = VALUE_ERROR};
    return value_tensor(build_contract(lower->graph, x, y, over));
}

static Value reduce(Lower *lower, Op op, Value a, DimSet over, const Expr *expr) {
    NodeId node = value_float(lower, a, expr->place);
    return node == NODE_NONE ? (Value){.kind = VALUE_ERROR}
                             : lower_build(lower, expr->place, op, &node, 1, (Attr){.set = over});
}

static bool dims_read(Lower *lower, const Expr *expr, DimSet *over) {
    *over = 0;
    for (size_t i = 0; i < expr->dims.count; i++) {
        const Name *name = &expr->dims.items[i];
        DimId dim;
        if (!lower_dim(lower, name, &dim)) return false;
        if (dim_in(*over, dim)) return lower_fail(lower, name->place, "dimension %s is named twice", name->text);
        *over |= dim_bit(dim);
    }
    return true;
}

// All dims of `over` must occur below.
static bool dims_occur(Lower *lower, const Expr *expr, DimSet over, DimSet found) {
    for (size_t i = 0; i < expr->dims.count; i++) {
        const Name *name = &expr->dims.items[i];
        DimId dim = 0;
        if (!lower_find_dim(lower, name->text, &dim) || !dim_in(over & ~found, dim)) continue;
        const char *dim_name = graph_dim_name(lower->graph, dim);
        return lower_fail(lower, name->place, "'%s' over %s, but what follows has no dimension %s; it has: %s",
                          builtin_table[expr->builtin].spelling, dim_name, dim_name, dims_describe(lower, found));
    }
    return true;
}

// Sum of the product of `factors`: those with a summed dim inside, the others applied to the result. Inside, the last
// factor and the product of those before it are contracted; a divisor divides what stands before it.
static Value sum_product(Lower *lower, const Expr *expr, const Factor *factors, size_t count, DimSet over) {
    Value product = value_number(1, true), last = value_number(1, true);
    for (size_t i = 0; i < count; i++) {
        const Factor *factor = &factors[i];
        if (!(value_dims(lower, factor->value) & over)) continue;
        if (last.kind == VALUE_TENSOR) product = multiply(lower, product, last, factor->expr);
        last = factor->value;
        if (!factor->divides) continue;
        last = pointwise(lower, BUILTIN_DIV, product, last, factor->expr);
        product = value_number(1, true);
    }
    if (product.kind == VALUE_ERROR || last.kind == VALUE_ERROR) return (Value){.kind = VALUE_ERROR};
    bool single = product.kind == VALUE_NUMBER;
    Value result = single ? reduce(lower, OP_SUM, last, over, expr) : contract(lower, product, last, over, expr);
    for (size_t i = 0; i < count; i++) {
        const Factor *factor = &factors[i];
        if (value_dims(lower, factor->value) & over) continue;
        result = factor->divides ? pointwise(lower, BUILTIN_DIV, result, factor->value, factor->expr)
                                 : multiply(lower, result, factor->value, factor->expr);
    }
    return result;
}

static Value lower_sum(Lower *lower, const Expr *expr, DimSet over) {
    size_t count;
    const Factor *factors = factors_read(lower, expr->operands.items[0], &count);
    if (!factors) return (Value){.kind = VALUE_ERROR};
    DimSet found = 0;
    for (size_t i = 0; i < count; i++) {
        if (factors[i].value.kind == VALUE_ABSENT && !factors[i].divides) return factors[i].value;
        found |= value_dims(lower, factors[i].value);
    }
    if (!dims_occur(lower, expr, over, found)) return (Value){.kind = VALUE_ERROR};
    Value result = sum_product(lower, expr, factors, count, over);
    if (expr->builtin != BUILTIN_MEAN) return result;
    return pointwise(lower, BUILTIN_MUL, result, value_number(1 / dims_elements(lower, over), false), expr);
}

Value lower_reduce(Lower *lower, const Expr *expr) {
    DimSet over;
    if (!dims_read(lower, expr, &over)) return (Value){.kind = VALUE_ERROR};
    if (expr->builtin == BUILTIN_SUM || expr->builtin == BUILTIN_MEAN) return lower_sum(lower, expr, over);
    Value operand = lower_expression(lower, expr->operands.items[0]);
    if (operand.kind == VALUE_ERROR || !dims_occur(lower, expr, over, value_dims(lower, operand)))
        return (Value){.kind = VALUE_ERROR};
    return reduce(lower, builtin_table[expr->builtin].op, operand, over, expr);
}
