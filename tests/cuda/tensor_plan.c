// Plans for tensor cores (see tensor_plan.h).
#include "tests/cuda/tensor_plan.h"

Plan *tensor_plan(Arena *arena, Graph *graph, TensorKind kind, FuseLevel level, const Target *target, Diags *diags) {
    StateTable *states = ARENA_NEW(arena, StateTable);
    states->arena = arena;
    Choices *choices = choices_create(arena);
    CHECK(choices_add(choices, "choices", "make product by tensor cores\nmake product by warpgroups\n", diags));
    choices_be_lenient(choices);
    choices_begin(choices, "step");
    PassContext context = {.arena = arena,
                           .diags = diags,
                           .ledger = ledger_create(arena),
                           .target = target,
                           .fuse = level,
                           .states = states,
                           .program = PROGRAM_PLAIN,
                           .choices = choices,
                           .tensor = kind};
    Plan *plan = NULL;
    return passes_run(&graph, &plan, NULL, &context, NULL) ? plan : NULL;
}

Plan *tensor_plan_of_text(Arena *arena, const char *name, const char *text, TensorKind kind, const Target *target,
                          Diags *diags) {
    Graph *graph = graph_parse(arena, name, text, diags);
    return graph ? tensor_plan(arena, graph, kind, FUSE_ALL, target, diags) : NULL;
}

uint32_t tensor_steps(const Plan *plan) {
    uint32_t count = 0;
    for (uint32_t s = 0; s < plan->step_count; s++) count += plan->steps[s].tensor.kind != TENSOR_NONE;
    return count;
}

uint32_t values_in_parts(const Plan *plan) {
    uint32_t count = 0;
    for (ValueId id = 0; id < plan->value_count; id++) count += plan->values[id].parts > 1;
    return count;
}
