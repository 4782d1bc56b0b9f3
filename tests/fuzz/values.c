// Leaves' values and comparing outputs (see values.h).
#include "tests/fuzz/values.h"

#include <math.h>
#include <string.h>

#include "base/hash.h"

static uint64_t next_bits(uint64_t *state) { // splitmix64 (Steele, Lea, Flood, OOPSLA 2014)
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static bool starts_with(const char *text, const char *start) {
    return strncmp(text, start, strlen(start)) == 0;
}

// What generated graphs index is V. (Not asked from the indexing nodes: a pass may have removed them.)
static int64_t index_bound(const Graph *graph) {
    DimId V;
    return graph_find_dim(graph, "V", &V) ? graph_extent(graph, V) : 4;
}

static double leaf_value(const Leaf *leaf, double unit, double other) {
    if (text_equal(leaf->name, "learning_rate")) return 1e-3;
    if (starts_with(leaf->name, "adam.v.")) return 1e-3 * (0.5 + unit);           // second moments are positive
    double normal = sqrt(-2 * log1p(-unit)) * cos(2 * 3.141592653589793 * other); // Box and Muller, 1958
    if (starts_with(leaf->name, "adam.m.") || starts_with(leaf->name, "accumulate.")) return 1e-2 * normal;
    if (leaf->init == INIT_CONSTANT) return leaf->init_value + 0.2 * normal;
    return (leaf->init_value > 0 ? leaf->init_value : 1) * normal;
}

double *leaf_values(Arena *arena, const Graph *graph, NodeId id, uint64_t seed) {
    const Node *node = graph_node(graph, id);
    const Leaf *leaf = graph_leaf_at(graph, node->attr.leaf);
    int64_t count = graph_elements(graph, node->dims), bound = index_bound(graph);
    double *values = ARENA_ARRAY(arena, double, (size_t)count);
    uint64_t state = hash_text(leaf->name) + seed * 0x9e3779b97f4a7c15u;
    for (int64_t i = 0; i < count; i++) {
        double unit = (double)(next_bits(&state) >> 11) * 0x1p-53, other = (double)(next_bits(&state) >> 11) * 0x1p-53;
        values[i] = dtype_is_float(node->dtype) ? (float)leaf_value(leaf, unit, other)
                                                : floor(unit * (double)(node->dtype == DTYPE_BOOL ? 2 : bound));
    }
    return values;
}

double *direction_values(Arena *arena, const Graph *graph, NodeId leaf, uint64_t seed) {
    return leaf_values(arena, graph, leaf, ~seed);
}

static double *moved_values(Arena *arena, const Graph *graph, NodeId leaf, uint64_t seed, double step) {
    double *values = leaf_values(arena, graph, leaf, seed);
    if (step == 0 || graph_node(graph, leaf)->op != OP_PARAM) return values;
    const double *direction = direction_values(arena, graph, leaf, seed);
    for (int64_t i = 0; i < graph_elements(graph, graph_node(graph, leaf)->dims); i++)
        values[i] += step * direction[i];
    return values;
}

Reference *reference_of(const Graph *graph, uint64_t seed) {
    return reference_moved(graph, seed, 0);
}

Reference *reference_moved(const Graph *graph, uint64_t seed, double step) {
    Arena *arena = arena_create();
    Reference *reference = reference_create(graph);
    for (NodeId id = 0; id < graph_nodes(graph); id++) {
        const Node *node = graph_node(graph, id);
        if (!op_is_leaf(node->op)) continue;
        const Leaf *leaf = graph_leaf_at(graph, node->attr.leaf);
        double *ordered = ARENA_ARRAY(arena, double, (size_t)graph_elements(graph, node->dims));
        reference_reorder(graph, moved_values(arena, graph, id, seed, step), leaf->stored, node->order, ordered);
        reference_bind(reference, leaf->name, ordered);
    }
    const char *unbound = NULL;
    if (!reference_run(reference, &unbound)) BUG("leaf %s has no value", unbound);
    arena_free(arena);
    return reference;
}

static const char *same_output(Arena *arena, const char *name, const Graph *before, const Node *x, const double *a,
                               const Node *y, const double *b) {
    if (x->dims != y->dims) return arena_format(arena, "output %s has other dims", name);
    int64_t count = graph_elements(before, x->dims);
    double *ordered = ARENA_ARRAY(arena, double, (size_t)count), scale = 0;
    reference_reorder(before, b, y->order, x->order, ordered);
    for (int64_t i = 0; i < count; i++)
        if (isfinite(a[i])) scale = fmax(scale, fabs(a[i]));
    for (int64_t i = 0; i < count; i++) {
        bool near = fabs(a[i] - ordered[i]) <= 1e-12 * scale + 1e-14; // 1e-14: what would be 0 without rounding
        bool same = a[i] == ordered[i] || near || (isnan(a[i]) && isnan(ordered[i]));
        if (!same)
            return arena_format(arena, "output %s, element %lld: %.17g before, %.17g after", name, (long long)i, a[i],
                                ordered[i]);
    }
    return NULL;
}

const char *same_outputs(Arena *arena, const Graph *before, const Reference *a, const Graph *after,
                         const Reference *b) {
    for (uint32_t i = 0; i < graph_outputs(before); i++) {
        const Output *output = graph_output_at(before, i);
        NodeId other = graph_find_output(after, output->name);
        if (other == NODE_NONE) return arena_format(arena, "output %s is gone", output->name);
        const char *wrong =
            same_output(arena, output->name, before, graph_node(before, output->node), reference_value(a, output->node),
                        graph_node(after, other), reference_value(b, other));
        if (wrong) return wrong;
    }
    return NULL;
}
