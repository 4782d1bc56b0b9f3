// The rules of ops: what they share, and the door. The rules themselves: shape_source.c, shape_math.c, shape_move.c.
//
//     contract over {D}, [B,T,H,D] [B,S,H,D]   ->   [B,H,T,S]: dims in both, then those of the first, of the second
//     contract over {D}, [B,T,H,D] [B,S,H]     ->   "contract over {D}: operand 2 [B,S,H] lacks D"
#include "base/size.h"
#include "ir/graph_storage.h"
#include "ir/shape_rules.h"

// ---- words

const char *dim_list_text(const Graph *graph, Arena *arena, const DimList *list) {
    Text text = text_create(arena);
    text_append(&text, "[");
    for (int i = 0; i < list->rank; i++) {
        text_append(&text, "%s%s", i ? "," : "", graph_dim_name(graph, list->dims[i]));
    }
    text_append(&text, "]");
    return text_string(&text);
}

const char *dim_set_text(const Graph *graph, Arena *arena, DimSet set) {
    Text text = text_create(arena);
    const char *separator = "";
    text_append(&text, "{");
    for (DimId dim = 0; dim < graph_dims(graph); dim++) {
        if (!dim_in(set, dim)) continue;
        text_append(&text, "%s%s", separator, graph_dim_name(graph, dim));
        separator = ",";
    }
    text_append(&text, "}");
    return text_string(&text);
}

// Always false, so that a rule can `return shape_broken(...)`. The sentence starts with the op's name.
bool shape_broken(Shape *shape, const char *format, ...) {
    Text text = text_create(shape->arena);
    text_append(&text, "%s", op_name(shape->op));
    va_list arguments;
    va_start(arguments, format);
    text_append_list(&text, format, arguments);
    va_end(arguments);
    shape->error = text_string(&text);
    return false;
}

const char *shape_list_text(Shape *shape, const DimList *list) {
    return dim_list_text(shape->graph, shape->arena, list);
}

const char *shape_set_text(Shape *shape, DimSet set) {
    return dim_set_text(shape->graph, shape->arena, set);
}

const char *shape_dim_text(Shape *shape, DimId dim) {
    return graph_dim_name(shape->graph, dim);
}

// ---- what rules share

const Node *shape_operand(const Shape *shape, uint32_t i) {
    return graph_node(shape->graph, shape->operands[i]);
}

const char *shape_operand_text(Shape *shape, uint32_t i) {
    return shape_list_text(shape, &shape_operand(shape, i)->order);
}

bool shape_give(Shape *shape, DType dtype, DimList dims) {
    shape->result_dtype = dtype;
    shape->result = dims;
    return true;
}

bool shape_rank_fits(Shape *shape, DimSet set) {
    if (dim_count(set) <= MAX_RANK) return true;
    return shape_broken(shape, " would have %d dims %s; at most %d are possible", dim_count(set),
                        shape_set_text(shape, set), MAX_RANK);
}

bool shape_dim_known(Shape *shape, DimId dim, const char *role) {
    if (dim < graph_dims(shape->graph)) return true;
    return shape_broken(shape, " has no dim `%s`", role);
}

bool shape_dims_known(Shape *shape, DimSet set) {
    uint32_t count = graph_dims(shape->graph);
    if (count == MAX_DIMS || set >> count == 0) return true;
    return shape_broken(shape, " names a dim that the graph does not have");
}

bool shape_operand_has(Shape *shape, uint32_t i, DimId dim, const char *role) {
    if (!shape_dim_known(shape, dim, role)) return false;
    if (dim_in(shape_operand(shape, i)->dims, dim)) return true;
    return shape_broken(shape, " %s %s: operand %u %s lacks %s", role, shape_dim_text(shape, dim), i + 1,
                        shape_operand_text(shape, i), shape_dim_text(shape, dim));
}

bool shape_operand_lacks(Shape *shape, uint32_t i, DimId dim, const char *role) {
    if (!shape_dim_known(shape, dim, role)) return false;
    if (!dim_in(shape_operand(shape, i)->dims, dim)) return true;
    return shape_broken(shape, " %s %s: operand %u %s already has %s", role, shape_dim_text(shape, dim), i + 1,
                        shape_operand_text(shape, i), shape_dim_text(shape, dim));
}

bool shape_operand_is(Shape *shape, uint32_t i, DType dtype) {
    if (shape_operand(shape, i)->dtype == dtype) return true;
    return shape_broken(shape, ": operand %u is %s, not %s", i + 1, dtype_name(shape_operand(shape, i)->dtype),
                        dtype_name(dtype));
}

// Operands first .. count - 1 have one type.
bool shape_operands_agree(Shape *shape, uint32_t first) {
    for (uint32_t i = first + 1; i < shape->count; i++) {
        if (shape_operand(shape, i)->dtype == shape_operand(shape, first)->dtype) continue;
        return shape_broken(shape, ": operand %u is %s, but operand %u is %s", first + 1,
                            dtype_name(shape_operand(shape, first)->dtype), i + 1,
                            dtype_name(shape_operand(shape, i)->dtype));
    }
    return true;
}

DimSet shape_operands_union(const Shape *shape) {
    DimSet set = 0;
    for (uint32_t i = 0; i < shape->count; i++) set |= shape_operand(shape, i)->dims;
    return set;
}

// ---- the door

static bool class_rule(Shape *shape) {
    switch (op_class(shape->op)) {
    case CLASS_SOURCE: return source_rule(shape);
    case CLASS_POINTWISE: return pointwise_rule(shape);
    case CLASS_REDUCE: return reduce_rule(shape);
    case CLASS_CONTRACT: return contract_rule(shape);
    case CLASS_MOVE: return move_rule(shape);
    case CLASS_INDEXED: return shape->op == OP_GATHER ? gather_rule(shape) : scatter_rule(shape);
    case CLASS_OTHER: return shape_give(shape, shape_operand(shape, 0)->dtype, shape_operand(shape, 0)->order);
    }
    BUG("op %d has no class", (int)shape->op);
}

static bool operands_exist(Shape *shape) {
    int wanted = op_operands(shape->op);
    if (wanted == VARIADIC ? shape->count == 0 : shape->count != (uint32_t)wanted) {
        if (wanted == VARIADIC) return shape_broken(shape, " takes at least one operand");
        return shape_broken(shape, " takes %d operand%s, not %u", wanted, wanted == 1 ? "" : "s", shape->count);
    }
    for (uint32_t i = 0; i < shape->count; i++) {
        if (shape->operands[i] >= graph_nodes(shape->graph))
            return shape_broken(shape, ": operand %u does not exist", i + 1);
    }
    return true;
}

static bool elements_fit(Shape *shape, const DimList *list) {
    size_t elements = 1;
    for (int i = 0; i < list->rank; i++) {
        size_t extent = (size_t)graph_extent(shape->graph, list->dims[i]);
        if (!size_multiply(elements, extent, &elements) || elements > MAX_ELEMENTS) {
            return shape_broken(shape, " over %s has more than 2^58 elements", shape_list_text(shape, list));
        }
    }
    return true;
}

static bool order_sound(Shape *shape) {
    const DimList *order = shape->order;
    if (order->rank > MAX_RANK) return shape_broken(shape, " has more than %d dims", MAX_RANK);
    for (int i = 0; i < order->rank; i++) {
        if (order->dims[i] >= graph_dims(shape->graph))
            return shape_broken(shape, " names a dim that the graph does not have");
    }
    if (dim_count(dim_list_set(order)) != order->rank)
        return shape_broken(shape, " %s has a dim twice", shape_list_text(shape, order));
    return elements_fit(shape, order);
}

bool shape_derive(Shape *shape) {
    shape->error = NULL;
    shape->result = (DimList){0};
    if (!operands_exist(shape) || (shape->order && !order_sound(shape)) || !class_rule(shape)) return false;
    if (!elements_fit(shape, &shape->result)) return false;
    if (shape->dtype != DTYPE_COUNT && shape->dtype != shape->result_dtype) {
        return shape_broken(shape, " gives %s here, not %s", dtype_name(shape->result_dtype), dtype_name(shape->dtype));
    }
    if (!shape->order) return true;
    if (dim_list_set(shape->order) != dim_list_set(&shape->result)) {
        return shape_broken(shape, " gives the dims %s here, not %s",
                            shape_set_text(shape, dim_list_set(&shape->result)), shape_list_text(shape, shape->order));
    }
    shape->result = *shape->order;
    return true;
}
