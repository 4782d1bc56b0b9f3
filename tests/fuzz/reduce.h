// Makes a failing graph small: drops outputs, moves them to operands, puts an operand or an input in the place of a
// node, shrinks extents, as long as the graph still fails.
//
//     60 nodes, fails   ->   4 nodes, fails
//
// Greedy, largest cuts first, as in delta debugging (Zeller and Hildebrandt, TSE 2002), on structure instead of text.
#ifndef SINTER_TESTS_FUZZ_REDUCE_H
#define SINTER_TESTS_FUZZ_REDUCE_H

#include "ir/graph.h"

// In `arena`. `fails` holds for `graph` and for the result; it gets sound graphs only. Ends after about `seconds`.
Graph *reduce_graph(Arena *arena, const Graph *graph, bool (*fails)(void *context, const Graph *graph), void *context,
                    double seconds);
// Live nodes that are no sources.
uint32_t graph_ops(const Graph *graph);

#endif
