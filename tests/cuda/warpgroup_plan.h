// Plans of small graphs whose products all go by wgmma, in one tile.
#ifndef TESTS_CUDA_WARPGROUP_PLAN_H
#define TESTS_CUDA_WARPGROUP_PLAN_H

#include "ir/plan.h"

extern const char warpgroup_four_ways[], warpgroup_batches[]; // texts of graphs

Plan *warpgroup_plan(Arena *arena, const char *text, TensorTile tile);
// The same where boxes of some factors cannot be copied: how many products keep to mma.sync.
Plan *warpgroup_plan_of_some(Arena *arena, const char *text, TensorTile tile, uint32_t *refused);

#endif
