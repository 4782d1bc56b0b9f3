// What the two extending passes (differentiate, optimizer) share: a copy to append to, sums, and a broadcast.
#ifndef SINTER_PASSES_EXTEND_H
#define SINTER_PASSES_EXTEND_H

#include "ir/graph.h"

// A copy of the outputs that `keep` (NULL: all) says yes to, and of what they depend on. Dims, leaves and groups keep
// their ids; nodes are renumbered without gaps, in the same order.
Graph *extend_copy(const Graph *from, Arena *arena, bool (*keep)(const char *output));

// a + b, where a scatter is added onto the rest: a + scatter(b) is scatter_onto(b, a).
NodeId extend_sum(Graph *graph, NodeId a, NodeId b);

// `value`, constant along the dims of `like` that it lacks, with all of them present.
NodeId extend_broadcast(Graph *graph, NodeId value, NodeId like);

#endif
