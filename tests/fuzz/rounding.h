// How far from the truth a correct f32 program may be, by evaluating the graph itself in f32, and by adding up what
// every rounding may do.
//
//     truth   float64                                           reference_of
//     naive   the same, every primitive rounded to f32          how well the graph can be expected to do
//     bound   eps * (the graph on absolute values), to first order: each primitive's own rounding, and its operands'
//             bounds times its derivative                       how badly it can, by unlucky roundings
//
// A compiled value passes within 3 * (largest naive error of its tensor) + 4 * its bound. Nothing is hand set: a graph
// that amplifies its roundings has large figures.
#ifndef SINTER_TESTS_FUZZ_ROUNDING_H
#define SINTER_TESTS_FUZZ_ROUNDING_H

#include "ir/graph.h"
#include "ir/reference/reference.h"

typedef struct {
    Arena *arena;
    const Graph *graph;
    double **truth, **naive, **bound;   // by node; NULL where dead
    bool doubtful;                      // a comparison of rounded numbers is closer than they are known
} Rounding;

Rounding rounding_of(Arena *arena, const Graph *graph, uint64_t seed);
// Largest of |naive - truth| of a node.
double rounding_naive_error(const Rounding *rounding, NodeId node);

#endif
