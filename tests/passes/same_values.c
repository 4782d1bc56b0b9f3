// Comparing values before and after a pass (see same_values.h).
//
// Leaves are made up: floats between -1 and 1, seeded by the leaf's name so that no two are alike; whole numbers below
// the smallest extent that they index anywhere, or below 4 where they index nothing; truth values by coin.
#include "tests/passes/same_values.h"

#include <math.h>
#include <string.h>

#include "base/hash.h"
#include "ir/reference/reference.h"

// ---- leaves

typedef struct {
    const Graph *extents;  // for the dims of leaves
    Arena *arena;
    int64_t (*bound)(const void *of, const char *leaf);
    const void *of;  // a Graph or a Plan
} Maker;

static uint64_t random_next(uint64_t *state) {  // splitmix64 (Steele, Lea, Flood, OOPSLA 2014)
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

// Values of a leaf in storage order `order`: made up in the order of its stored dims, which no pass changes.
static const double *make_values(const Maker *maker, const Leaf *leaf, DType dtype, DimList order) {
    size_t count = (size_t)graph_elements(maker->extents, dim_list_set(&order));
    double *made = ARENA_ARRAY(maker->arena, double, count), *result = ARENA_ARRAY(maker->arena, double, count);
    uint64_t state = hash_text(leaf->name);
    int64_t bound = dtype == DTYPE_BOOL ? 2 : maker->bound(maker->of, leaf->name);
    for (size_t i = 0; i < count; i++) {
        double unit = (double)(random_next(&state) >> 11) * 0x1p-53;
        made[i] = dtype_is_float(dtype) ? 2 * unit - 1 : floor(unit * (double)bound);
    }
    reference_reorder(maker->extents, made, leaf->stored, order, result);
    return result;
}

// The leaf whose values `node` holds, through moves; NULL when it computes something.
static const Leaf *leaf_below(const Graph *graph, NodeId id) {
    const Node *node = graph_node(graph, id);
    while (op_class(node->op) == CLASS_MOVE || node->op == OP_STOP_GRADIENT)
        node = graph_node(graph, node->operands[0]);
    bool is_leaf = node->op == OP_INPUT || node->op == OP_PARAM || node->op == OP_STATE;
    return is_leaf ? graph_leaf_at(graph, node->attr.leaf) : NULL;
}

static int64_t indexed_extent(const Graph *graph, const Node *node) {
    return graph_extent(graph, node->op == OP_GATHER ? node->attr.from : node->attr.to);
}

static int64_t bound_in_graph(const void *of, const char *name) {
    const Graph *graph = of;
    int64_t bound = 0;
    for (NodeId id = 0; id < graph_nodes(graph); id++) {
        const Node *node = graph_node(graph, id);
        if (op_class(node->op) != CLASS_INDEXED) continue;
        const Leaf *leaf = leaf_below(graph, node->operands[1]);
        if (!leaf || !text_equal(leaf->name, name)) continue;
        int64_t extent = indexed_extent(graph, node);
        if (!bound || extent < bound) bound = extent;
    }
    return bound ? bound : 4;
}

// In a plan an index reaches its gather as an operand; an integer input is one when any region gathers by its operand.
static int64_t bound_in_plan(const void *of, const char *name) {
    const Plan *plan = of;
    int64_t bound = 0;
    for (uint32_t s = 0; s < plan->step_count; s++) {
        const Step *step = &plan->steps[s];
        for (NodeId id = 0; id < graph_nodes(step->region); id++) {
            const Node *node = graph_node(step->region, id);
            if (op_class(node->op) != CLASS_INDEXED) continue;
            NodeId index = node->operands[1];
            while (op_class(graph_node(step->region, index)->op) == CLASS_MOVE)
                index = graph_node(step->region, index)->operands[0];
            const Node *source = graph_node(step->region, index);
            if (source->op != OP_OPERAND) continue;
            const Leaf *leaf = plan->values[step->operands[source->attr.integer]].leaf;
            if (!leaf || !text_equal(leaf->name, name)) continue;
            int64_t extent = indexed_extent(step->region, node);
            if (!bound || extent < bound) bound = extent;
        }
    }
    return bound ? bound : 4;
}

// ---- evaluating

static Reference *evaluate(const Graph *graph, const Maker *maker) {
    Reference *reference = reference_create(graph);
    for (NodeId id = 0; id < graph_nodes(graph); id++) {
        const Node *node = graph_node(graph, id);
        if (node->op != OP_INPUT && node->op != OP_PARAM && node->op != OP_STATE) continue;
        const Leaf *leaf = graph_leaf_at(graph, node->attr.leaf);
        reference_bind(reference, leaf->name, make_values(maker, leaf, node->dtype, node->order));
    }
    const char *unbound = NULL;
    if (!reference_run(reference, &unbound)) BUG("leaf %s has no values", unbound);
    return reference;
}

typedef struct {
    const Maker *maker;
    const Plan *plan;
} PlanLeaves;

static const double *bind_leaf(void *context, const Leaf *leaf, DimList order) {
    const PlanLeaves *leaves = context;
    for (ValueId id = 0; id < leaves->plan->value_count; id++) {
        const Value *value = &leaves->plan->values[id];
        if (value->leaf && text_equal(value->leaf->name, leaf->name))
            return make_values(leaves->maker, leaf, value->dtype, order);
    }
    return NULL;
}

static double **evaluate_plan(const Plan *plan, const Maker *maker) {
    double **values = ARENA_ARRAY(maker->arena, double *, plan->value_count);
    if (!plan_reference(plan, maker->arena, bind_leaf, &(PlanLeaves){maker, plan}, values)) BUG("a leaf has no values");
    return values;
}

static ValueId find_output(const Plan *plan, const char *name) {
    for (ValueId id = 0; id < plan->value_count; id++)
        if (plan->values[id].kind == VALUE_OUTPUT && text_equal(plan->values[id].name, name)) return id;
    return VALUE_NONE;
}

// ---- comparing

// A tensor as it is stored.
typedef struct {
    const Graph *extents;
    const double *values;
    DimList order;
} Stored;

// The second limit is for what would be 0 without rounding, in computations with numbers about 1.
static bool near_equal(double a, double b, double scale) {
    if (isnan(a) || isnan(b)) return isnan(a) && isnan(b);
    return a == b || fabs(a - b) <= 1e-12 * scale + 1e-14;
}

static const char *compare(const char *name, Stored before, Stored after, Arena *arena) {
    if (dim_list_set(&before.order) != dim_list_set(&after.order))
        return arena_format(arena, "output \"%s\" has other dims", name);
    size_t count = (size_t)graph_elements(before.extents, dim_list_set(&before.order));
    double *b = ARENA_ARRAY(arena, double, count), scale = 0;
    reference_reorder(before.extents, after.values, after.order, before.order, b);
    for (size_t i = 0; i < count; i++)
        if (isfinite(before.values[i])) scale = fmax(scale, fabs(before.values[i]));
    for (size_t i = 0; i < count; i++)
        if (!near_equal(before.values[i], b[i], scale))
            return arena_format(arena, "output \"%s\", element %zu: %.17g before, %.17g after", name, i,
                                before.values[i], b[i]);
    return NULL;
}

static Stored stored_node(const Graph *graph, const Reference *reference, NodeId id) {
    return (Stored){graph, reference_value(reference, id), graph_node(graph, id)->order};
}

static Stored stored_value(const Plan *plan, double **values, ValueId id) {
    return (Stored){plan->dims, values[id], plan->values[id].order};
}

const char *same_values_graphs(const Graph *before, const Graph *after, Arena *arena) {
    Maker maker = {before, arena, bound_in_graph, before};
    Maker maker_after = {after, arena, bound_in_graph, before};
    Reference *a = evaluate(before, &maker), *b = evaluate(after, &maker_after);
    const char *wrong = NULL;
    for (uint32_t i = 0; i < graph_outputs(before) && !wrong; i++) {
        const Output *output = graph_output_at(before, i);
        NodeId other = graph_find_output(after, output->name);
        wrong = other == NODE_NONE
                    ? arena_format(arena, "output \"%s\" is gone", output->name)
                    : compare(output->name, stored_node(before, a, output->node), stored_node(after, b, other), arena);
    }
    reference_free(a);
    reference_free(b);
    return wrong;
}

const char *same_values_plan(const Graph *before, const Plan *after, Arena *arena) {
    Maker maker = {before, arena, bound_in_graph, before};
    Reference *a = evaluate(before, &maker);
    double **b = evaluate_plan(after, &(Maker){after->dims, arena, bound_in_graph, before});
    const char *wrong = NULL;
    for (uint32_t i = 0; i < graph_outputs(before) && !wrong; i++) {
        const Output *output = graph_output_at(before, i);
        ValueId other = find_output(after, output->name);
        wrong = other == VALUE_NONE
                    ? arena_format(arena, "no value is output \"%s\"", output->name)
                    : compare(output->name, stored_node(before, a, output->node), stored_value(after, b, other), arena);
    }
    reference_free(a);
    return wrong;
}

const char *same_values_plans(const Plan *before, const Plan *after, Arena *arena) {
    double **a = evaluate_plan(before, &(Maker){before->dims, arena, bound_in_plan, before});
    double **b = evaluate_plan(after, &(Maker){after->dims, arena, bound_in_plan, before});
    for (ValueId id = 0; id < before->value_count; id++) {
        const Value *value = &before->values[id];
        if (value->kind != VALUE_OUTPUT) continue;
        ValueId other = find_output(after, value->name);
        if (other == VALUE_NONE) return arena_format(arena, "no value is output \"%s\"", value->name);
        const char *wrong = compare(value->name, stored_value(before, a, id), stored_value(after, b, other), arena);
        if (wrong) return wrong;
    }
    return NULL;
}
