// An expression -> its Value: literals, names, indexing, conditionals; builtins and calls have files of their own.
//
//     k[T=S]      the dim T of k is called S              t[Z=0]     entry 0 along Z
//     wte[V=tok]  the entries that tok names along V      x if c else y   one of them, chosen while compiling
#include "frontend/lower.h"

// Functions that each call another twice, or layers in layers, grow without end; a model takes thousands of steps.
enum { MAX_STEPS = 2 * 1000 * 1000, MAX_EVALUATION_DEPTH = 1000 };

// ---- names
static Value lower_name(Lower *lower, const Expr *expr) {
    const Frame *frame = lower->frame;
    for (size_t i = frame->locals.count; i-- > 0;) {
        if (text_equal(frame->locals.items[i].name, expr->text)) return frame->locals.items[i].value;
    }
    DimId dim;
    if (lower_find_dim(lower, expr->text, &dim)) {
        if (lower->extents) return value_number((double)graph_extent(lower->graph, dim), true);
        return value_tensor(build_index(lower->graph, dim));
    }
    Name name = {expr->text, expr->place};
    if (!frame->function) {
        const Entry *entry = lower_find(lower, expr->text);
        if (entry) return entry->value;
    }
    Value value;
    bool sees_config = !frame->function || !frame->function->prelude;
    if (sees_config && lower_config(lower, expr->text, &value)) return value;
    return lower_unknown_name(lower, &name);
}

// ---- conditions
bool lower_condition(Lower *lower, const Expr *expr, bool *truth) {
    Value value = lower_expression(lower, expr);
    *truth = value.kind == VALUE_BOOL && value.number != 0;
    if (value.kind == VALUE_BOOL) return true;
    if (value.kind == VALUE_ERROR) return false;
    lower_error(lower, expr->place, "'if' needs a bool that is known while compiling, found %s",
                value_describe(lower, value));
    if (value.kind == VALUE_TENSOR)
        lower_note(lower, expr->place, "to choose element by element write where(condition, yes, no)");
    return false;
}

// ---- x[d = e]
static Value index_select(Lower *lower, Value base, DimId dim, Value at, const Expr *expr) {
    int64_t extent = graph_extent(lower->graph, dim);
    if (!at.integral || at.number < 0 || at.number >= (double)extent)
        return lower_error(lower, expr->place, "%s has the entries 0..%lld, found %s",
                           graph_dim_name(lower->graph, dim), (long long)extent - 1, value_describe(lower, at));
    return lower_build(lower, expr->place, OP_SELECT, &base.node, 1,
                       (Attr){.from = dim, .integer = (int32_t)at.number});
}

static Value index_rename(Lower *lower, Value base, DimId from, DimId to, const Expr *expr) {
    if (from == to) return base;
    const char *old = graph_dim_name(lower->graph, from), *new = graph_dim_name(lower->graph, to);
    long long old_extent = graph_extent(lower->graph, from), new_extent = graph_extent(lower->graph, to);
    if (dim_in(value_dims(lower, base), to))
        return lower_error(lower, expr->place, "%s has dimension %s already", value_describe(lower, base), new);
    if (new_extent > old_extent)
        return lower_error(lower, expr->place,
                           "%s=%lld cannot be called %s=%lld: a renamed dimension keeps its extent or becomes shorter",
                           old, old_extent, new, new_extent);
    Op op = new_extent == old_extent ? OP_RENAME : OP_PREFIX;
    return lower_build(lower, expr->place, op, &base.node, 1, (Attr){.from = from, .to = to});
}

static Value index_gather(Lower *lower, Value base, DimId dim, Value at, const Expr *expr) {
    const char *name = graph_dim_name(lower->graph, dim);
    if (graph_node(lower->graph, at.node)->dtype != DTYPE_I32)
        return lower_error(lower, expr->place, "an index must be i32, found %s", value_describe(lower, at));
    if (dim_in(value_dims(lower, at), dim)) {
        lower_error(lower, expr->place, "the index of %s has dimension %s itself: %s", name, name,
                    value_describe(lower, at));
        lower_note(lower, expr->place, "rename first, then gather: with dim S=T, x[T=S][S = ...]");
        return (Value){.kind = VALUE_ERROR};
    }
    return lower_build(lower, expr->place, OP_GATHER, (NodeId[]){base.node, at.node}, 2, (Attr){.from = dim});
}

static Value index_one(Lower *lower, Value base, const Name *name, const Expr *at_expr) {
    DimId dim, to;
    if (!lower_dim(lower, name, &dim)) return (Value){.kind = VALUE_ERROR};
    if (!dim_in(value_dims(lower, base), dim))
        return lower_error(lower, name->place, "%s has no dimension %s", value_describe(lower, base),
                           graph_dim_name(lower->graph, dim));
    if (at_expr->kind == EXPR_NAME && !at_expr->grouped && lower_find_dim(lower, at_expr->text, &to))
        return index_rename(lower, base, dim, to, at_expr);
    Value at = lower_expression(lower, at_expr);
    switch (at.kind) {
    case VALUE_ERROR: return at;
    case VALUE_NUMBER: return index_select(lower, base, dim, at, at_expr);
    case VALUE_TENSOR: return index_gather(lower, base, dim, at, at_expr);
    case VALUE_ABSENT:
    case VALUE_BOOL:
    case VALUE_STRING: break;
    }
    return lower_error(lower, at_expr->place, "an index is a number, a dimension or an i32 value, found %s",
                       value_describe(lower, at));
}

Value lower_index(Lower *lower, const Expr *expr) {
    Value base = lower_expression(lower, expr->operands.items[0]);
    if (base.kind == VALUE_ABSENT || base.kind == VALUE_ERROR) return base;
    if (base.kind != VALUE_TENSOR)
        return lower_error(lower, expr->place, "only a value with dimensions can be indexed, found %s",
                           value_describe(lower, base));
    for (size_t i = 0; i < expr->dims.count && base.kind == VALUE_TENSOR; i++)
        base = index_one(lower, base, &expr->dims.items[i], expr->operands.items[1 + i]);
    return base;
}

// ---- all kinds
static Value lower_builtin(Lower *lower, const Expr *expr) {
    switch (builtin_table[expr->builtin].class_) {
    case BUILTIN_CLASS_ARITHMETIC:
    case BUILTIN_CLASS_REAL:
    case BUILTIN_CLASS_COMPARE:
    case BUILTIN_CLASS_LOGIC: return lower_pointwise(lower, expr);
    case BUILTIN_CLASS_REDUCE: return lower_reduce(lower, expr);
    case BUILTIN_CLASS_FORM: return lower_builtin_form(lower, expr);
    }
    BUG("builtin %d has no class", (int)expr->builtin);
}

static Value lower_any(Lower *lower, const Expr *expr) {
    switch (expr->kind) {
    case EXPR_NUMBER: return value_number(expr->number, expr->integral);
    case EXPR_BOOL: return value_bool(expr->number != 0);
    case EXPR_STRING: return (Value){.kind = VALUE_STRING, .string = expr->text};
    case EXPR_NAME: return lower_name(lower, expr);
    case EXPR_BUILTIN: return lower_builtin(lower, expr);
    case EXPR_CALL: return lower_call(lower, expr);
    case EXPR_INDEX: return lower_index(lower, expr);
    case EXPR_CONDITIONAL: {
        bool truth;
        if (!lower_condition(lower, expr->operands.items[1], &truth)) return (Value){.kind = VALUE_ERROR};
        return lower_expression(lower, expr->operands.items[truth ? 0 : 2]);
    }
    }
    BUG("expression of kind %d", (int)expr->kind);
}

Value lower_expression(Lower *lower, const Expr *expr) {
    if (lower->steps++ > MAX_STEPS)
        return lower_error(lower, expr->place, "the model is too large: over %d expressions", MAX_STEPS);
    if (lower->depth > MAX_EVALUATION_DEPTH)
        return lower_error(lower, expr->place, "functions call each other too deeply");
    lower->depth++;
    Value value = lower_any(lower, expr);
    lower->depth--;
    return value;
}
