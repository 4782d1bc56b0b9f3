// Plans of the embedded models at chosen sizes, for a GPU.
#ifndef TESTS_CUDA_MODEL_PLANS_H
#define TESTS_CUDA_MODEL_PLANS_H

#include "driver/compile.h"

enum { MOST_SIZES = 16 };
typedef struct {
    const char *model;
    FuseLevel level;
    ModelProgram program;
    const char *sizes[MOST_SIZES][2]; // keys and their values, up to a NULL
} ModelCase;

// BUG where the model does not compile. `vocabulary` may be NULL.
Plan *model_plan(Arena *arena, const ModelCase *which, const Target *target, int64_t *vocabulary);
// The same with choices, as far as they meet anything; NULL: none.
Plan *model_plan_chosen(Arena *arena, const ModelCase *which, const char *choices, const Target *target,
                        int64_t *vocabulary);

#endif
