// Plans within a budget for activations, for the nets.
#ifndef SINTER_TESTS_FUZZ_BUDGETED_H
#define SINTER_TESTS_FUZZ_BUDGETED_H

#include "passes/passes.h"

// passes_run with the smallest budget that can be met, and `percent` of it more. False when the passes refuse, with it
// or with that one.
bool passes_run_budgeted(const Graph *graph, Plan **plan, const char *names, PassContext *context, uint32_t percent);

#endif
