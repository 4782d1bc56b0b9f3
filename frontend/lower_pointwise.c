// Operators and pointwise functions. Operands known while compiling are folded in double precision; otherwise the types
// are brought together (i32 with f32 gives f32), and the primitive broadcasts by name.
//
//     0.02 / sqrt(2 * n_layer)   ->   the number 0.004082
//     (S <= T), both i32         ->   le bool[S,T]
//     x + bias, bias absent      ->   x
#include "frontend/lower.h"

#include <math.h>

// ---- folding
static bool both_integral(const Value *v, int count) {
    return v[0].integral && (count == 1 || v[1].integral);
}

static Value fold_divide(Lower *lower, const Value *v, const Expr *expr) {
    if (v[1].number == 0) return lower_error(lower, expr->place, "division by zero");
    double quotient = v[0].number / v[1].number;
    if (!both_integral(v, 2)) return value_number(quotient, false);
    bool exact = fmod(v[0].number, v[1].number) == 0;
    if (lower->extents && !exact)
        return lower_error(lower, expr->place, "%.0f is not divisible by %.0f", v[0].number, v[1].number);
    return value_number(quotient, exact);
}

static double fold_number(Builtin builtin, double a, double b) {
    switch (builtin) {
    case BUILTIN_ADD: return a + b;
    case BUILTIN_SUB: return a - b;
    case BUILTIN_MUL: return a * b;
    case BUILTIN_NEG: return -a;
    case BUILTIN_ABS: return fabs(a);
    case BUILTIN_MAXIMUM: return a > b ? a : b;
    case BUILTIN_MINIMUM: return a < b ? a : b;
    case BUILTIN_EXP: return exp(a);
    case BUILTIN_LOG: return log(a);
    case BUILTIN_SQRT: return sqrt(a);
    case BUILTIN_RSQRT: return 1 / sqrt(a);
    case BUILTIN_TANH: return tanh(a);
    case BUILTIN_ERF: return erf(a);
    case BUILTIN_SIN: return sin(a);
    case BUILTIN_COS: return cos(a);
    case BUILTIN_LESS: return a < b;
    case BUILTIN_LESS_EQUAL: return a <= b;
    case BUILTIN_GREATER: return a > b;
    case BUILTIN_GREATER_EQUAL: return a >= b;
    case BUILTIN_EQUAL: return a == b;
    case BUILTIN_NOT_EQUAL: return a != b;
    default: BUG("'%s' does not fold numbers", builtin_table[builtin].spelling);
    }
}

static Value fold_numbers(Lower *lower, Builtin builtin, const Value *v, int count, const Expr *expr) {
    if (builtin == BUILTIN_DIV) return fold_divide(lower, v, expr);
    double result = fold_number(builtin, v[0].number, count == 2 ? v[1].number : 0);
    BuiltinClass class_ = builtin_table[builtin].class_;
    if (class_ == BUILTIN_CLASS_COMPARE) return value_bool(result != 0);
    if (isnan(result))
        return lower_error(lower, expr->place, "the result of '%s' is not a number", builtin_table[builtin].spelling);
    bool integral = class_ == BUILTIN_CLASS_ARITHMETIC && both_integral(v, count);
    // Beyond 2^53 doubles skip integers.
    if (integral && fabs(result) >= 9007199254740992.0)
        return lower_error(lower, expr->place, "integer overflow: the result is %g", result);
    return value_number(result, integral);
}

static bool is_choice(const Value *value, const char *text) {
    if (!value->choices) return true;
    for (const char *const *choice = value->choices; *choice; choice++) {
        if (text_equal(*choice, text)) return true;
    }
    return false;
}

static Value fold_strings(Lower *lower, Builtin builtin, const Value *v, const Expr *expr) {
    for (int i = 0; i < 2; i++) {
        const Value *chosen = &v[i], *other = &v[1 - i];
        if (is_choice(chosen, other->string)) continue;
        Text list = text_create(lower->arena);
        for (const char *const *choice = chosen->choices; *choice; choice++)
            text_append(&list, "%s%s", list.length ? ", " : "", *choice);
        return lower_error(lower, expr->operands.items[1 - i]->place, "\"%s\" is none of the choices: %s",
                           other->string, text_string(&list));
    }
    return value_bool(text_equal(v[0].string, v[1].string) == (builtin == BUILTIN_EQUAL));
}

static Value fold_bools(Builtin builtin, const Value *v) {
    bool a = v[0].number != 0, b = v[1].number != 0;
    if (builtin == BUILTIN_AND) return value_bool(a && b);
    if (builtin == BUILTIN_OR) return value_bool(a || b);
    return value_bool(!a);
}

// ---- types
static Value wrong_operand(Lower *lower, Builtin builtin, Value value, const char *wanted, const Expr *expr, int i) {
    Place place = (size_t)i < expr->operands.count ? expr->operands.items[i]->place : expr->place;
    return lower_error(lower, place, "'%s' takes %s, found %s", builtin_table[builtin].spelling, wanted,
                       value_describe(lower, value));
}

static bool is_tensor_of(const Lower *lower, Value value, DType dtype) {
    return value.kind == VALUE_TENSOR && graph_node(lower->graph, value.node)->dtype == dtype;
}

static bool is_bool(const Lower *lower, Value value) {
    return value.kind == VALUE_BOOL || is_tensor_of(lower, value, DTYPE_BOOL);
}

// May be computed in i32: an i32 value, or an integer that fits.
static bool is_integer(const Lower *lower, Value value) {
    if (value.kind == VALUE_NUMBER) return value.integral && fabs(value.number) <= INT32_MAX;
    return value.kind == VALUE_ABSENT || is_tensor_of(lower, value, DTYPE_I32);
}

static NodeId integer_node(Lower *lower, Value value) {
    return value.kind == VALUE_TENSOR ? value.node : build_const(lower->graph, DTYPE_I32, value.number);
}

// Both as i32 when both can be and the operation keeps integers, else both as f32.
static Value numbers_apply(Lower *lower, Builtin builtin, const Value *v, int count, const Expr *expr) {
    const BuiltinInfo *info = &builtin_table[builtin];
    bool integers = info->class_ != BUILTIN_CLASS_REAL;
    for (int i = 0; i < count; i++) {
        if (v[i].kind == VALUE_STRING || is_bool(lower, v[i])) {
            wrong_operand(lower, builtin, v[i], "numbers", expr, i);
            if (v[i].kind == VALUE_TENSOR)
                lower_note(lower, expr->place,
                           "write where(condition, 1, 0) to count, and/or/not to combine conditions");
            return (Value){.kind = VALUE_ERROR};
        }
        integers = integers && is_integer(lower, v[i]);
    }
    NodeId nodes[2];
    for (int i = 0; i < count; i++)
        nodes[i] = integers ? integer_node(lower, v[i]) : value_float(lower, v[i], expr->place);
    if (builtin == BUILTIN_GREATER || builtin == BUILTIN_GREATER_EQUAL) {
        NodeId first = nodes[0];
        nodes[0] = nodes[1];
        nodes[1] = first;
    }
    Value result = lower_build(lower, expr->place, info->op, nodes, (uint32_t)count, (Attr){0});
    if (builtin == BUILTIN_NOT_EQUAL && result.kind == VALUE_TENSOR)
        result.node = build_unary(lower->graph, OP_NOT, result.node);
    return result;
}

static Value logic_apply(Lower *lower, Builtin builtin, const Value *v, int count, const Expr *expr) {
    NodeId nodes[2];
    for (int i = 0; i < count; i++) {
        if (!is_bool(lower, v[i])) return wrong_operand(lower, builtin, v[i], "conditions", expr, i);
        nodes[i] = v[i].kind == VALUE_TENSOR ? v[i].node : build_const(lower->graph, DTYPE_BOOL, v[i].number);
    }
    return lower_build(lower, expr->place, builtin_table[builtin].op, nodes, (uint32_t)count, (Attr){0});
}

// ---- the door
// What an absent param makes of an operation: it vanishes from sums, takes products with it, else it is 0.
static bool absent_rule(Lower *lower, Builtin builtin, Value *v, int count, const Expr *expr, Value *result) {
    bool first = v[0].kind == VALUE_ABSENT, second = count == 2 && v[1].kind == VALUE_ABSENT;
    if (!first && !second) return false;
    if (builtin == BUILTIN_ADD)
        *result = first ? v[1] : v[0];
    else if (builtin == BUILTIN_SUB && second)
        *result = v[0];
    else if (builtin == BUILTIN_SUB)
        *result = pointwise(lower, BUILTIN_NEG, v[1], (Value){0}, expr);
    else if (builtin == BUILTIN_MUL || builtin == BUILTIN_NEG || (builtin == BUILTIN_DIV && first))
        *result = (Value){.kind = VALUE_ABSENT};
    else {
        for (int i = 0; i < count; i++) {
            if (v[i].kind == VALUE_ABSENT) v[i] = value_number(0, true);
        }
        return false;
    }
    return true;
}

Value pointwise(Lower *lower, Builtin builtin, Value a, Value b, const Expr *expr) {
    const BuiltinInfo *info = &builtin_table[builtin];
    int count = info->operands;
    Value v[2] = {a, b}, result;
    if (a.kind == VALUE_ERROR || (count == 2 && b.kind == VALUE_ERROR)) return (Value){.kind = VALUE_ERROR};
    if (absent_rule(lower, builtin, v, count, expr, &result)) return result;
    ValueKind kind = v[0].kind;
    bool same = count == 1 || v[1].kind == kind;
    if (info->class_ == BUILTIN_CLASS_LOGIC)
        return same && kind == VALUE_BOOL ? fold_bools(builtin, v) : logic_apply(lower, builtin, v, count, expr);
    if (same && kind == VALUE_NUMBER) return fold_numbers(lower, builtin, v, count, expr);
    bool equality = builtin == BUILTIN_EQUAL || builtin == BUILTIN_NOT_EQUAL;
    if (equality && same && kind == VALUE_STRING) return fold_strings(lower, builtin, v, expr);
    if (equality && same && kind == VALUE_BOOL)
        return value_bool((v[0].number == v[1].number) == (builtin == BUILTIN_EQUAL));
    return numbers_apply(lower, builtin, v, count, expr);
}

Value lower_pointwise(Lower *lower, const Expr *expr) {
    Value a = lower_expression(lower, expr->operands.items[0]);
    Value b = expr->operands.count == 2 ? lower_expression(lower, expr->operands.items[1]) : (Value){0};
    return pointwise(lower, expr->builtin, a, b, expr);
}
