// A plan of a graph for a GPU's tensor cores: every product that can go there does, whatever it costs.
#ifndef TESTS_CUDA_TENSOR_PLAN_H
#define TESTS_CUDA_TENSOR_PLAN_H

#include "passes/passes.h"

// NULL with diagnostics where the graph cannot be planned.
Plan *tensor_plan(Arena *arena, Graph *graph, TensorKind kind, FuseLevel level, const Target *target, Diags *diags);
Plan *tensor_plan_of_text(Arena *arena, const char *name, const char *text, TensorKind kind, const Target *target,
                          Diags *diags);
uint32_t tensor_steps(const Plan *plan);
uint32_t values_in_parts(const Plan *plan);

#endif
