// The smallest budget is what the refusal of one byte says; that it is one is part of what is tested.
#include "tests/fuzz/budgeted.h"

static bool run(const Graph *graph, Plan **plan, const char *names, PassContext *context) {
    Graph *now = (Graph *)(uintptr_t)graph; // passes_run only reads it
    StateTable states = {.arena = context->arena};
    StateTable *table = context->states;
    context->states = &states;
    *plan = NULL;
    bool done = passes_run(&now, plan, names, context, NULL);
    context->states = table;
    return done;
}

bool passes_run_budgeted(const Graph *graph, Plan **plan, const char *names, PassContext *context, uint32_t percent) {
    context->activation_budget = 1;
    if (run(graph, plan, names, context)) return true;
    if (!context->least_budget) return false;
    context->activation_budget = context->least_budget + context->least_budget * percent / 100;
    return run(graph, plan, names, context);
}
