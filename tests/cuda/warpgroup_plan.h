// Plans of small graphs whose products all go by wgmma, in one tile.
#ifndef TESTS_CUDA_WARPGROUP_PLAN_H
#define TESTS_CUDA_WARPGROUP_PLAN_H

#include "ir/plan.h"

extern const char warpgroup_four_ways[], warpgroup_batches[]; // texts of graphs

Plan *warpgroup_plan(Arena *arena, const char *text, TensorTile tile);

#endif
