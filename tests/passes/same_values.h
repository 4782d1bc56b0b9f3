// Whether two graphs, a graph and a plan, or two plans give the same numbers: by the float64 reference, on made-up
// leaves.
#ifndef SINTER_TESTS_PASSES_SAME_VALUES_H
#define SINTER_TESTS_PASSES_SAME_VALUES_H

#include "ir/plan.h"

// Every output of `before` must be an output of the second with the same values, within 1e-12 of the tensor's largest,
// or 1e-14. NULL when so, else a sentence. A leaf gets the same values in both, by its name.
const char *same_values_graphs(const Graph *before, const Graph *after, Arena *arena);
const char *same_values_plan(const Graph *before, const Plan *after, Arena *arena);
const char *same_values_plans(const Plan *before, const Plan *after, Arena *arena);

#endif
