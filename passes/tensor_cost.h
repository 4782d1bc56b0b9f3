// A product of tensor cores and the ways to compute it: what choose_tensor (mma.sync) and choose_warpgroups (wgmma)
// share. Each has blocks and a cost model of its own.
#ifndef SINTER_PASSES_TENSOR_COST_H
#define SINTER_PASSES_TENSOR_COST_H

#include "passes/passes.h"

// Parts that the sum of a product can be cut in.
typedef struct {
    int64_t divisible;      // extent of the outermost summed dim; 1: it cannot be cut
    double readers;         // of the result: each reads all parts
} SumParts;

typedef struct {
    double batch, rows, lanes, summed;               // extents
    double rows_bytes, lanes_bytes, result_bytes;    // of an element of each factor, and of the result, in memory
    const Target *target;
    SumParts parts;
} TensorShape;
// As its values are stored by now.
TensorShape tensor_shape(const Plan *plan, const Step *step, const Target *target);

typedef struct {
    TensorTile tile;
    uint32_t parts;
    double seconds;
} TensorWay;
// The way of one block, its sum in so many parts; false: it cannot be, or is not what is asked for.
typedef bool TensorWayOf(void *context, int block, uint32_t parts, TensorWay *way);
// The fastest one of all blocks and numbers of parts; false: there is none.
bool tensor_fastest_way(const TensorShape *shape, int blocks, TensorWayOf *way_of, void *context, TensorWay *best);
// "blocks of 64 by 64, 4 stages, 2 parts: 12 us, 14 us OTHERWISE"
const char *tensor_way_text(Arena *arena, const TensorWay *way, double other, const char *otherwise);
// What choices make of the cost model's word: words about the decision, then a `block`, which may be NULL.
void tensor_decide(PassContext *context, bool is_possible, Choice *block, Decision *decision);
// Writes the way into the plan.
void tensor_take_way(Plan *plan, Step *step, const Contraction *contraction, const TensorWay *way);
// Cuts the sum, or joins it again: 1 part.
void tensor_cut_sum(Plan *plan, Step *step, const Contraction *contraction, uint32_t parts);

// Seconds of the step's own blocks of mma.sync, at a part of the peak (choose_tensor.c).
double tensor_step_seconds(const Plan *plan, const Step *step, const Target *target, double speed);
// Why warpgroups cannot multiply what is rounded so; NULL: they can (choose_warpgroups.c).
const char *warpgroups_refusal(Arena *arena, const Target *target, TensorKind kind);

#endif
