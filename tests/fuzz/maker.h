// Inside of the generator: what its files share.
#ifndef SINTER_TESTS_FUZZ_MAKER_H
#define SINTER_TESTS_FUZZ_MAKER_H

#include "tests/fuzz/generate.h"

enum { POOL = 64 };

typedef struct {
    Graph *graph;
    uint64_t state;
    GenerateSize size;
    DimId B, T, C, V;              // batch, time, channels, vocabulary
    NodeId tokens, seed, step, micro;
    NodeId pool[POOL];             // f32 nodes that single nodes are made of
    uint32_t pool_count;
    NodeId losses[16];             // scalars
    uint32_t loss_count, leaf_count, site_count, group_count, output_count;
} Maker;

// ---- chance
uint32_t below(Maker *maker, uint32_t bound);
static inline bool chance(Maker *maker, uint32_t one_in) { return below(maker, one_in) == 0; }
int64_t draw_extent(Maker *maker, int64_t largest);

// ---- small steps; `op` names are the graph's
NodeId number(Maker *maker, double value);
NodeId unary(Maker *maker, Op op, NodeId a);
NodeId binary(Maker *maker, Op op, NodeId a, NodeId b);
NodeId scaled(Maker *maker, NodeId a, double factor);
DimSet dims_of(const Maker *maker, NodeId node);
int64_t extent(const Maker *maker, DimId dim);
// A new dim of that extent, named after the stem.
DimId new_dim(Maker *maker, const char *stem, int64_t wanted);
// A param (an input where nothing trains) of standard deviation `deviation`, or around 1 where it is negative.
NodeId weight(Maker *maker, DimList order, double deviation);
// sum over `from` of x * W[from, to...], plus a bias by chance.
NodeId linear(Maker *maker, NodeId x, DimId from, DimList to);
NodeId dropout(Maker *maker, NodeId x);
NodeId mean(Maker *maker, NodeId x, DimSet over);
// Nodes from here to group_end are one operator, as a spec's function call.
void group_begin(Maker *maker, const char *label);
void group_end(Maker *maker);
// Something that single nodes, outputs and losses may use.
void offer(Maker *maker, NodeId node);
void add_loss(Maker *maker, NodeId scalar);

// ---- parts of a model: x[B,T,C] in, x[B,T,C] out
NodeId make_norm(Maker *maker, NodeId x, DimId over);
NodeId make_attention(Maker *maker, NodeId x);
NodeId make_feed_forward(Maker *maker, NodeId x);
NodeId make_activation(Maker *maker, NodeId x);
void make_head(Maker *maker, NodeId x);
// One node of any kind from the pool; adds it to the pool.
void make_node(Maker *maker);

#endif
