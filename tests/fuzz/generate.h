// Random graphs, valid by construction, skewed to what the compiler is for: chains of contraction, pointwise or row
// work, contraction. Attention with masks, windows, grouped queries, caps; feed-forwards with random bodies and gates;
// loss heads; and between them single nodes of every kind, near misses of the patterns, odd extents and extent 1.
//
//     Graph *graph = generate_graph(arena, seed, (GenerateSize){.largest = 9, .trains = true});
//
// In: a seed. Out: a graph that verifies; with `trains` it has params and an output `loss` without dims.
#ifndef SINTER_TESTS_FUZZ_GENERATE_H
#define SINTER_TESTS_FUZZ_GENERATE_H

#include "ir/graph.h"

typedef struct {
    int64_t largest;   // no extent is drawn greater than this (products of extents are, where dims merge)
    int64_t batch;     // extent of B; 0: a few
    int64_t time;      // extent of T; 0: drawn
    bool trains;       // params and a loss; otherwise every leaf is an input or a state
} GenerateSize;

Graph *generate_graph(Arena *arena, uint64_t seed, GenerateSize size);

// What was generated.
typedef struct {
    uint32_t graphs, with_chain, with_extent_one, nodes;
    uint32_t with_op[OP_COUNT];
} Mix;

// A chain: a contraction that reads another one through pointwise nodes, reductions and moves, at least one of which is
// not a move.
bool graph_has_chain(const Graph *graph, Arena *arena);
void mix_add(Mix *mix, const Graph *graph);
void mix_print(const Mix *mix);

#endif
