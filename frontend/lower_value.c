// Values in words, errors with the way to them, and conversions between values and nodes.
#include "frontend/lower.h"

#include <math.h>

// ---- errors
// The place to show for a mistake: inside the prelude, the call in the model that led there.
static Place place_shown(const Lower *lower, Place place, const Frame **inside) {
    *inside = NULL;
    for (const Frame *frame = lower->frame; frame && frame->function; frame = frame->caller) {
        if (!frame->function->prelude) continue;
        *inside = frame;
        place = frame->call->place;
    }
    return place;
}

Place lower_spot(const Lower *lower, Place place) {
    const Frame *inside;
    return place_shown(lower, place, &inside);
}

bool lower_first_at(Lower *lower, Place place) {
    for (size_t i = 0; i < lower->reported.count; i++) {
        const Place *other = &lower->reported.items[i];
        if (other->source == place.source && other->line == place.line && other->column == place.column) return false;
    }
    *LIST_ADD(lower->arena, &lower->reported) = place;
    return true;
}

Value lower_error(Lower *lower, Place place, const char *format, ...) {
    const Frame *inside;
    Place shown = place_shown(lower, place, &inside);
    lower->repeated = !lower_first_at(lower, shown);
    if (lower->repeated) return (Value){.kind = VALUE_ERROR};
    Text text = text_create(lower->arena);
    if (inside) text_append(&text, "in '%s': ", inside->function->name.text);
    va_list arguments;
    va_start(arguments, format);
    text_append_list(&text, format, arguments);
    va_end(arguments);
    diag_error(lower->diags, shown, "%s", text_string(&text));
    if (inside) diag_note(lower->diags, place, "here");
    const Frame *frame = inside ? inside->caller : lower->frame;
    for (; frame && frame->function; frame = frame->caller)
        diag_note(lower->diags, frame->call->place, "in '%s', called from here", frame->function->name.text);
    return (Value){.kind = VALUE_ERROR};
}

void lower_note(Lower *lower, Place place, const char *format, ...) {
    if (lower->repeated) return;
    Text text = text_create(lower->arena);
    va_list arguments;
    va_start(arguments, format);
    text_append_list(&text, format, arguments);
    va_end(arguments);
    diag_note(lower->diags, place, "%s", text_string(&text));
}

// ---- values
Value value_number(double number, bool integral) {
    return (Value){.kind = VALUE_NUMBER, .number = number, .integral = integral};
}
Value value_bool(bool truth) {
    return (Value){.kind = VALUE_BOOL, .number = truth};
}
Value value_tensor(NodeId node) {
    return (Value){.kind = VALUE_TENSOR, .node = node};
}

DimSet value_dims(const Lower *lower, Value value) {
    return value.kind == VALUE_TENSOR ? graph_node(lower->graph, value.node)->dims : 0;
}

static void append_list(const Lower *lower, Text *text, const DimList *list) {
    for (int i = 0; i < list->rank; i++)
        text_append(text, "%s%s", i ? "," : "", graph_dim_name(lower->graph, list->dims[i]));
}

const char *value_describe(Lower *lower, Value value) {
    Text text = text_create(lower->arena);
    switch (value.kind) {
    case VALUE_ERROR: return "an error";
    case VALUE_ABSENT: return "a parameter that is switched off";
    case VALUE_BOOL: return value.number != 0 ? "true" : "false";
    case VALUE_STRING: return arena_format(lower->arena, "the string \"%s\"", value.string);
    case VALUE_NUMBER:
        text_append(&text, "the number ");
        text_append_double(&text, value.number);
        return text_string(&text);
    case VALUE_TENSOR: break;
    }
    const Node *node = graph_node(lower->graph, value.node);
    text_append(&text, "%s[", dtype_name(node->dtype));
    append_list(lower, &text, &node->order);
    text_append(&text, "]");
    return text_string(&text);
}

const char *dims_describe(Lower *lower, DimSet dims) {
    if (!dims) return "none";
    Text text = text_create(lower->arena);
    for (DimId dim = 0; dim < graph_dims(lower->graph); dim++) {
        if (dim_in(dims, dim)) text_append(&text, "%s%s", text.length ? ", " : "", graph_dim_name(lower->graph, dim));
    }
    return text_string(&text);
}

// ---- nodes
// As a double: the product may exceed every integer.
double dims_elements(const Lower *lower, DimSet dims) {
    double elements = 1;
    for (DimId dim = 0; dim < graph_dims(lower->graph); dim++)
        elements *= dim_in(dims, dim) ? (double)graph_extent(lower->graph, dim) : 1;
    return elements;
}

bool lower_dims_fit(Lower *lower, DimSet dims, Place place) {
    if (dim_count(dims) > MAX_RANK)
        return lower_fail(lower, place, "a value would have %d dimensions (%s); at most %d are possible",
                          dim_count(dims), dims_describe(lower, dims), MAX_RANK);
    double elements = dims_elements(lower, dims);
    return elements <= 0x1p58 ||
           lower_fail(lower, place, "a value over %s would have %g elements", dims_describe(lower, dims), elements);
}

NodeId value_float(Lower *lower, Value value, Place place) {
    switch (value.kind) {
    case VALUE_ERROR: return NODE_NONE;
    case VALUE_ABSENT: return build_const(lower->graph, DTYPE_F32, 0);
    case VALUE_NUMBER: return build_const(lower->graph, DTYPE_F32, value.number);
    case VALUE_TENSOR: {
        DType dtype = graph_node(lower->graph, value.node)->dtype;
        if (dtype == DTYPE_F32) return value.node;
        if (dtype == DTYPE_I32) return build_unary(lower->graph, OP_TO_FLOAT, value.node);
        break;
    }
    case VALUE_BOOL:
    case VALUE_STRING: break;
    }
    lower_error(lower, place, "expected a number, found %s", value_describe(lower, value));
    return NODE_NONE;
}

Value lower_build(Lower *lower, Place place, Op op, const NodeId *operands, uint32_t count, Attr attr) {
    const char *error = NULL;
    NodeId node = build_node(lower->graph, op, DTYPE_COUNT, NULL, operands, count, &attr, &error);
    return node == NODE_NONE ? lower_error(lower, place, "%s", error) : value_tensor(node);
}
