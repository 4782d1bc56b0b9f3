// Plans with sweeps (see sweep_plan.h).
#include "tests/cuda/sweep_plan.h"

#include <string.h>

#include "passes/passes.h"

Plan *sweep_plan(Arena *arena, const SweepCase *how, const Target *target) {
    Diags *diags = diags_create(arena);
    StateTable *states = ARENA_NEW(arena, StateTable);
    states->arena = arena;
    PassContext context = {.arena = arena,
                           .diags = diags,
                           .ledger = ledger_create(arena),
                           .target = target,
                           .fuse = FUSE_ALL,
                           .states = states,
                           .program = PROGRAM_PLAIN};
    Graph *none = NULL;
    Plan *plan = plan_parse(arena, how->name, sweep_text(arena, how), diags);
    if (plan && passes_run(&none, &plan, "plan_edges,plan_memory", &context, NULL)) return plan;
    Text words = text_create(arena);
    diags_render(diags, &words);
    BUG("%s", text_string(&words));
}

// ---- numbers

static uint64_t mixed(uint64_t z) { // splitmix64
    z += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

double sweep_fill(void *seed, const Value *value, int64_t element) {
    const char *name = value->leaf->name;
    if (value->dtype == DTYPE_I32) return strcmp(name, "seed") == 0 ? 1337 : strcmp(name, "step") == 0 ? 3 : 1;
    uint64_t key = *(const uint64_t *)seed * 1000003;
    while (*name) key = key * 131 + (uint64_t)*name++;
    double number = (double)((int)(mixed(mixed(key) + (uint64_t)element) % 257) - 128) / 64;   // -2 to 2
    if (strcmp(value->leaf->name, "lse") == 0) return 5 + number / 2;
    return strcmp(value->leaf->name, "delta") == 0 ? number / 4 : number;
}

// ---- comparing

// Of the largest element. Sums are f32, and so is what is computed of tiles, with a fast exponential; cores that round
// have factors of 16 bits, and so has what is stored in them.
static double tolerance_of(const EmulatedPlan *run, const SweepCase *how, const Value *value) {
    bool is_stored = strcmp(value->name, "y in 16 bits") == 0, is_chained = how->parts == SWEEP_ALL;
    double tolerance = run->rounds ? (how->in_f16 ? 0x1p-10 : 0x1p-7) : is_chained ? 1e-5 : 5e-6;
    return tolerance + (is_stored ? (how->in_f16 ? 0x1p-11 : 0x1p-8) : 0);
}

const char *sweep_wrong(const EmulatedPlan *run, const SweepCase *how, double *worst) {
    for (ValueId id = 0; id < run->plan->value_count; id++) {
        const Value *value = &run->plan->values[id];
        if (value->kind != VALUE_OUTPUT) continue;
        Distance far = emulated_plan_distance(run, id);
        double allowed = tolerance_of(run, how, value) * far.largest;
        if (worst && far.worst / allowed > *worst) *worst = far.worst / allowed;
        if (far.worst > allowed)
            return arena_format(run->arena, "%s, element %lld: off by %.3g, %.3g of the largest (%.3g are allowed)",
                                value->name, (long long)far.element, far.worst, far.worst / far.largest,
                                allowed / far.largest);
    }
    return NULL;
}
