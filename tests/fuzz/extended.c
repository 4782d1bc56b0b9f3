// What a graph becomes before it is compiled (see net.h): gradients and, for one seed of three, the optimizer, half of
// these behind a micro-batch before; for one of twelve, what such a micro-batch leaves.
#include <string.h>

#include "passes/passes.h"
#include "tests/fuzz/net.h"

static bool has_gradients(const Graph *graph) {
    for (uint32_t i = 0; i < graph_outputs(graph); i++)
        if (strncmp(graph_output_at(graph, i)->name, "grad.", 5) == 0) return true;
    return false;
}

Graph *graph_extended(Arena *arena, const Graph *graph, uint64_t seed) {
    Graph *result = (Graph *)(uintptr_t)graph; // passes_run only reads it
    if (graph_find_output(graph, "loss") == NODE_NONE) return result;
    Target target = target_default();
    PassContext context = {.arena = arena,
                           .diags = diags_create(arena),
                           .ledger = ledger_create(arena),
                           .target = &target,
                           .program = seed % 12 == 7 ? PROGRAM_MICRO : PROGRAM_STEP,
                           .optimizer = {.beta1 = 0.9,
                                         .beta2 = 0.95,
                                         .epsilon = 1e-8,
                                         .weight_decay = 0.1,
                                         .grad_clip = 1,
                                         .accumulation = 1 + (int)(seed % 2),
                                         .init_scale = seed % 5 ? 0 : 64,
                                         .growth_interval = 2}};
    Plan *no_plan = NULL;
    if (!passes_run(&result, &no_plan, "differentiate", &context, NULL)) return NULL;
    bool optimizes = seed % 3 == 0 || seed % 12 == 7;
    if (!optimizes || !has_gradients(result)) return result;
    return passes_run(&result, &no_plan, "optimizer", &context, NULL) ? result : NULL;
}
