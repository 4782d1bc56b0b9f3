// What the leaves of a random graph hold, and what its outputs then are.
#ifndef SINTER_TESTS_FUZZ_VALUES_H
#define SINTER_TESTS_FUZZ_VALUES_H

#include "ir/graph.h"
#include "ir/reference/reference.h"

static inline bool op_is_leaf(Op op) { return op == OP_INPUT || op == OP_PARAM || op == OP_STATE; }

// Values of a leaf's node in its stored order: finite, not constant, the same for equal names and seeds, and exact in
// f32. Whole numbers stay below the extent of V, which is what generated graphs index.
double *leaf_values(Arena *arena, const Graph *graph, NodeId leaf, uint64_t seed);
// All leaves bound and evaluated, in float64. To be freed.
Reference *reference_of(const Graph *graph, uint64_t seed);
// The same with every param moved by `step` times its direction, which is drawn like its values.
double *direction_values(Arena *arena, const Graph *graph, NodeId leaf, uint64_t seed);
Reference *reference_moved(const Graph *graph, uint64_t seed, double step);
// Every output of `before` is one of `after` with the same values, within 1e-12 of the tensor's largest, or 1e-14.
// NULL, or what differs.
const char *same_outputs(Arena *arena, const Graph *before, const Reference *a, const Graph *after, const Reference *b);

#endif
