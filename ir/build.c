// Builders: op and operands in, node id out. Every node passes its rule (ir/shape.c) and is interned (ir/intern.c).
//
//     build_contract(a[B,T,C], w[C,F], {C})   ->   contract f32[B,T,F] over(C)
//     build_contract(p[B,T], q[B,T], {T})     ->   sum f32[B] (mul f32[B,T]) over(T)
#include <string.h>

#include "ir/graph_storage.h"
#include "ir/shape.h"

// ---- the general door

// Operands of an op that commutes are kept in ascending id, so that both ways of writing it are one node.
static void sort_pair(NodeId *pair) {
    if (pair[0] <= pair[1]) return;
    NodeId first = pair[0];
    pair[0] = pair[1];
    pair[1] = first;
}

static void values_normal(Graph *graph, const Shape *shape, Attr *attr) {
    if (!attr->table) {
        attr->value = value_normal(shape->result_dtype, attr->value);
        return;
    }
    size_t count = (size_t)graph_elements(graph, dim_list_set(&shape->result));
    double *values = ARENA_ARRAY(graph->arena, double, count);
    for (size_t i = 0; i < count; i++) values[i] = value_normal(shape->result_dtype, attr->table[i]);
    if (shape->result.rank) {
        attr->table = values;
    } else {
        attr->table = NULL;
        attr->value = values[0];
    }
}

NodeId build_node(Graph *graph, Op op, DType dtype, const DimList *order, const NodeId *operands, uint32_t count,
                  const Attr *attr, const char **error) {
    CHECK(op < OP_COUNT && dtype <= DTYPE_COUNT);
    Attr none = {0};
    Shape shape = {.graph = graph, .arena = graph->arena, .op = op, .dtype = dtype, .order = order,
                   .operands = operands, .count = count, .attr = attr_normal(op, attr ? attr : &none)};
    if (!shape_derive(&shape)) {
        *error = shape.error;
        return NODE_NONE;
    }
    NodeId pair[2];
    if (op_commutes(op)) {
        memcpy(pair, operands, sizeof pair);
        sort_pair(pair);
        operands = pair;
    }
    if (op == OP_CONST) values_normal(graph, &shape, &shape.attr);
    if (shape.attr.site) shape.attr.site = graph_string(graph, shape.attr.site);
    Node node = {.op = op, .dtype = shape.result_dtype, .dims = dim_list_set(&shape.result), .order = shape.result,
                 .operand_count = count, .operands = operands, .attr = shape.attr};
    return graph_intern(graph, &node);
}

// For builders, whose callers promise the rule.
static NodeId build(Graph *graph, Op op, DType dtype, const DimList *order, const NodeId *operands, uint32_t count,
                    const Attr *attr) {
    const char *error = NULL;
    NodeId node = build_node(graph, op, dtype, order, operands, count, attr, &error);
    if (node == NODE_NONE) BUG("%s", error);
    return node;
}

static NodeId build_one(Graph *graph, Op op, NodeId a, Attr attr) {
    return build(graph, op, DTYPE_COUNT, NULL, &a, 1, &attr);
}

NodeId build_copy(Graph *to, const Graph *from, NodeId id, const NodeId *operands) {
    const NodeSlot *slot = graph_slot(from, id);
    const Node *node = &slot->node;
    GroupId former = graph_set_group(to, slot->group);
    NodeId copy = build(to, node->op, node->dtype, &node->order, operands, node->operand_count, &node->attr);
    graph_set_group(to, former);
    if (slot->name) graph_set_name(to, copy, slot->name);
    return copy;
}

NodeId build_copy_mapped(Graph *to, const Graph *from, NodeId id, const NodeId *map) {
    const Node *node = graph_node(from, id);
    NodeId *operands = ARENA_ARRAY(to->arena, NodeId, node->operand_count);
    for (uint32_t i = 0; i < node->operand_count; i++) operands[i] = map[node->operands[i]];
    return build_copy(to, from, id, operands);
}

// ---- sources

NodeId build_input(Graph *graph, LeafId leaf, DType dtype) {
    return build(graph, OP_INPUT, dtype, NULL, NULL, 0, &(Attr){.leaf = leaf});
}

NodeId build_param(Graph *graph, LeafId leaf) {
    return build(graph, OP_PARAM, DTYPE_F32, NULL, NULL, 0, &(Attr){.leaf = leaf});
}

NodeId build_state(Graph *graph, LeafId leaf) {
    return build(graph, OP_STATE, DTYPE_F32, NULL, NULL, 0, &(Attr){.leaf = leaf});
}

NodeId build_operand(Graph *graph, int number, DType dtype, DimList order) {
    return build(graph, OP_OPERAND, dtype, &order, NULL, 0, &(Attr){.integer = number});
}

NodeId build_const(Graph *graph, DType dtype, double value) {
    return build(graph, OP_CONST, dtype, NULL, NULL, 0, &(Attr){.value = value});
}

NodeId build_table(Graph *graph, DType dtype, DimList order, const double *values) {
    return build(graph, OP_CONST, dtype, &order, NULL, 0, &(Attr){.table = values});
}

NodeId build_index(Graph *graph, DimId dim) {
    return build(graph, OP_INDEX, DTYPE_I32, NULL, NULL, 0, &(Attr){.to = dim});
}

NodeId build_random(Graph *graph, NodeId seed, NodeId step, NodeId micro, const char *site, DimList order) {
    return build(graph, OP_RANDOM, DTYPE_F32, &order, (NodeId[]){seed, step, micro}, 3, &(Attr){.site = site});
}

// ---- pointwise and reductions

NodeId build_pointwise(Graph *graph, Op op, const NodeId *operands, int count) {
    CHECK(op_class(op) == CLASS_POINTWISE);
    return build(graph, op, DTYPE_COUNT, NULL, operands, (uint32_t)count, NULL);
}

NodeId build_unary(Graph *graph, Op op, NodeId a) {
    return build_pointwise(graph, op, &a, 1);
}

NodeId build_binary(Graph *graph, Op op, NodeId a, NodeId b) {
    return build_pointwise(graph, op, (NodeId[]){a, b}, 2);
}

NodeId build_where(Graph *graph, NodeId condition, NodeId yes, NodeId no) {
    return build_pointwise(graph, OP_WHERE, (NodeId[]){condition, yes, no}, 3);
}

NodeId build_reduce(Graph *graph, Op op, NodeId a, DimSet over) {
    CHECK(op_class(op) == CLASS_REDUCE);
    return build_one(graph, op, a, (Attr){.set = over});
}

static NodeId sum_present(Graph *graph, NodeId a, DimSet over) {
    return over ? build_reduce(graph, OP_SUM, a, over) : a;
}

NodeId build_contract(Graph *graph, NodeId a, NodeId b, DimSet over) {
    DimSet in_a = graph_node(graph, a)->dims, in_b = graph_node(graph, b)->dims;
    if (!over || over & ~(in_a | in_b)) {
        BUG("contract over %s: the operands have %s and %s", dim_set_text(graph, graph->arena, over),
            dim_set_text(graph, graph->arena, in_a), dim_set_text(graph, graph->arena, in_b));
    }
    a = sum_present(graph, a, over & in_a & ~in_b);
    b = sum_present(graph, b, over & in_b & ~in_a);
    over &= in_a & in_b;
    in_a = graph_node(graph, a)->dims;
    in_b = graph_node(graph, b)->dims;
    if (over && (in_a & ~in_b) && (in_b & ~in_a)) {
        return build(graph, OP_CONTRACT, DTYPE_F32, NULL, (NodeId[]){a, b}, 2, &(Attr){.set = over});
    }
    return sum_present(graph, build_binary(graph, OP_MUL, a, b), over);
}

// ---- moves

NodeId build_rename(Graph *graph, NodeId a, DimId from, DimId to) {
    if (from == to) return a;
    return build_one(graph, OP_RENAME, a, (Attr){.from = from, .to = to});
}

NodeId build_prefix(Graph *graph, NodeId a, DimId from, DimId to) {
    if (graph_extent(graph, from) == graph_extent(graph, to)) return build_rename(graph, a, from, to);
    return build_one(graph, OP_PREFIX, a, (Attr){.from = from, .to = to});
}

NodeId build_pad(Graph *graph, NodeId a, DimId from, DimId to) {
    if (graph_extent(graph, from) == graph_extent(graph, to)) return build_rename(graph, a, from, to);
    return build_one(graph, OP_PAD, a, (Attr){.from = from, .to = to});
}

NodeId build_select(Graph *graph, NodeId a, DimId dim, int32_t entry) {
    return build_one(graph, OP_SELECT, a, (Attr){.from = dim, .integer = entry});
}

NodeId build_stack(Graph *graph, const NodeId *entries, int count, DimId to) {
    return build(graph, OP_STACK, DTYPE_COUNT, NULL, entries, (uint32_t)count, &(Attr){.to = to});
}

NodeId build_split(Graph *graph, NodeId a, DimId from, DimId outer, DimId inner) {
    return build_one(graph, OP_SPLIT, a, (Attr){.from = from, .to = outer, .inner = inner});
}

NodeId build_merge(Graph *graph, NodeId a, DimId outer, DimId inner, DimId to) {
    return build_one(graph, OP_MERGE, a, (Attr){.from = outer, .to = to, .inner = inner});
}

// ---- the rest

NodeId build_gather(Graph *graph, NodeId a, NodeId index, DimId from) {
    return build(graph, OP_GATHER, DTYPE_COUNT, NULL, (NodeId[]){a, index}, 2, &(Attr){.from = from});
}

NodeId build_scatter(Graph *graph, NodeId a, NodeId index, DimId to, DimList result) {
    return build(graph, OP_SCATTER, DTYPE_F32, &result, (NodeId[]){a, index}, 2,
                 &(Attr){.to = to, .set = dim_list_set(&result)});
}

NodeId build_scatter_onto(Graph *graph, NodeId a, NodeId index, NodeId base, DimId to) {
    return build(graph, OP_SCATTER_ONTO, DTYPE_F32, NULL, (NodeId[]){a, index, base}, 3,
                 &(Attr){.to = to, .set = graph_node(graph, base)->dims});
}

NodeId build_stop_gradient(Graph *graph, NodeId a) {
    return build_one(graph, OP_STOP_GRADIENT, a, (Attr){0});
}
