// Hunting: many random graphs through a net. The first one that is caught is reduced, printed and fails the test.
//
//     seed 4711: wrong: level all: output last, element 3: 0.5 instead of 0.25 ...
//     graph "random" ...                                    reduced to 6 ops
//
// SINTER_FUZZ_GRAPHS says how many, SINTER_FUZZ_SEED from where; otherwise the gate's numbers hold.
#ifndef SINTER_TESTS_FUZZ_HUNT_H
#define SINTER_TESTS_FUZZ_HUNT_H

#include "tests/fuzz/generate.h"
#include "tests/fuzz/net.h"

typedef struct {
    Net net;
    uint64_t graphs;        // the gate's number
    int64_t largest;        // extents are drawn up to this; most graphs stay far below
    bool extends;           // the net gets graph_extended
    Net narrower[3];        // nets that the reducer may take instead, where they catch it too; may be NULL
} Hunt;

// The graph of a seed, before it is extended.
Graph *hunt_graph(Arena *arena, const Hunt *hunt, uint64_t seed);
// The net's verdict on the graph of a seed, in a process of its own.
Verdict hunt_verdict(Arena *arena, const Hunt *hunt, uint64_t seed);
void hunt_run(const Hunt *hunt);

#endif
