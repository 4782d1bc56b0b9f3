// Functions are evaluated where they are called. A prelude function called from the model opens a group, so that its
// nodes are known as one operator of the spec:
//
//     p = softmax(S) s   ->   group "softmax" at "layer[0].p":  lse f32[B,H,T],  sub f32[B,H,T,S],  exp f32[B,H,T,S]
#include "frontend/lower.h"

static const Frame *prelude_frame(const Lower *lower) {
    for (const Frame *frame = lower->frame; frame; frame = frame->caller) {
        if (frame->function && frame->function->prelude) return frame;
    }
    return NULL;
}

static const char *outermost_report(const Lower *lower) {
    const Frame *frame = lower->frame;
    while (frame->caller)
        frame = frame->caller;
    return frame->report;
}

// Arguments and dims, evaluated in the caller's frame.
static bool frame_open(Lower *lower, const Expr *call, Frame *frame) {
    const Function *function = call->function;
    *frame = (Frame){.caller = lower->frame, .function = function, .call = call, .report = lower->frame->report};
    for (size_t i = 0; i < function->dims.count; i++) {
        const Name *name = &call->dims.items[i];
        DimId dim;
        if (!lower_dim(lower, name, &dim)) return false;
        *LIST_ADD(lower->arena, &frame->dims) = (NamedDim){function->dims.items[i].text, dim, name->place};
    }
    bool sound = true;
    for (size_t i = 0; i < function->arguments.count; i++) {
        Value value = lower_expression(lower, call->operands.items[i]);
        sound = sound && value.kind != VALUE_ERROR;
        *LIST_ADD(lower->arena, &frame->locals) =
            (Local){function->arguments.items[i].text, call->operands.items[i]->place, value};
    }
    return sound;
}

static bool check_dims(Lower *lower, const Target *target, Value value) {
    DimSet declared = 0;
    for (size_t i = 0; i < target->dims.count; i++) {
        DimId dim;
        if (!lower_dim(lower, &target->dims.items[i], &dim)) return false;
        declared |= dim_bit(dim);
    }
    if (declared == value_dims(lower, value) || value.kind == VALUE_ABSENT) return true;
    return lower_fail(lower, target->name.place, "'%s' is declared with dimensions %s, but its expression has %s",
                      target->name.text, dims_describe(lower, declared),
                      dims_describe(lower, value_dims(lower, value)));
}

static bool local_assign(Lower *lower, const Statement *statement) {
    Frame *frame = lower->frame;
    Value *values = ARENA_ARRAY(lower->arena, Value, statement->values.count);
    for (size_t i = 0; i < statement->values.count; i++) {
        values[i] = lower_expression(lower, statement->values.items[i]);
        if (values[i].kind == VALUE_ERROR) return false;
    }
    for (size_t i = 0; i < statement->targets.count; i++) {
        const Target *target = &statement->targets.items[i];
        DimId dim;
        if (lower_find_dim(lower, target->name.text, &dim))
            return lower_fail(lower, target->name.place, "'%s' is a dimension; choose another name", target->name.text);
        if (target->has_dims && !check_dims(lower, target, values[i])) return false;
        if (values[i].kind == VALUE_TENSOR)
            graph_set_name(lower->graph, values[i].node,
                           arena_format(lower->arena, "%s.%s", outermost_report(lower), target->name.text));
        *LIST_ADD(lower->arena, &frame->locals) = (Local){target->name.text, target->name.place, values[i]};
    }
    return true;
}

static bool local_param(Lower *lower, const Statement *param) {
    Value value = lower_param(lower, param);
    *LIST_ADD(lower->arena, &lower->frame->locals) = (Local){param->name.text, param->name.place, value};
    return value.kind != VALUE_ERROR;
}

static bool local_statement(Lower *lower, const Statement *statement) {
    switch (statement->kind) {
    case STATEMENT_DIM: return lower_local_dim(lower, statement);
    case STATEMENT_PARAM: return local_param(lower, statement);
    case STATEMENT_ASSIGN: return local_assign(lower, statement);
    case STATEMENT_LAYER: break;
    }
    BUG("statement of kind %d in a function", (int)statement->kind);
}

static Value function_body(Lower *lower, const Function *function) {
    for (size_t i = 0; i < function->body.count; i++) {
        if (!local_statement(lower, function->body.items[i])) return (Value){.kind = VALUE_ERROR};
    }
    Value result = lower_expression(lower, function->result);
    DimSet leaked = value_dims(lower, result) & lower->frame->own_dims;
    if (!leaked) return result;
    return lower_error(lower, function->result->place, "the result of '%s' has its local dimension %s",
                       function->name.text, dims_describe(lower, leaked));
}

Value lower_call(Lower *lower, const Expr *expr) {
    Frame frame;
    if (!frame_open(lower, expr, &frame)) return (Value){.kind = VALUE_ERROR};
    const Function *function = expr->function;
    bool opens = function->prelude && !prelude_frame(lower);
    GroupId former = 0;
    if (opens)
        former =
            graph_set_group(lower->graph, graph_group(lower->graph, function->name.text, outermost_report(lower), 0));
    lower->frame = &frame;
    bool extents = lower->extents;
    lower->extents = false;
    Value result = function_body(lower, function);
    lower->extents = extents;
    lower->frame = frame.caller;
    if (opens) graph_set_group(lower->graph, former);
    return result;
}
