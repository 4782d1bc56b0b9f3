// Random graphs: each is planned for a GPU, at a level that its seed says, and run step by step by the CPU backend and
// by the emulation of the CUDA one: the same bits. (That plans for a GPU mean what their graph means, tests/fuzz sees.)
//
// The gate runs the first ones; SINTER_FUZZ_GRAPHS=200 many.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <string.h>

#include "passes/passes.h"
#include "tests/cuda/side_by_side.h"
#include "tests/fuzz/hunt.h"
#include "tests/fuzz/values.h"

enum { GATE = 10 };

static Plan *plan_of(Arena *arena, const Graph *graph, uint64_t seed, const Target *target, Diags *diags) {
    StateTable *states = ARENA_NEW(arena, StateTable);
    states->arena = arena;
    PassContext context = {.arena = arena,
                           .diags = diags,
                           .ledger = ledger_create(arena),
                           .target = target,
                           .fuse = (FuseLevel)(seed % 3),
                           .states = states,
                           .program = PROGRAM_PLAIN};
    Graph *copy = (Graph *)(uintptr_t)graph; // passes_run only reads it
    Plan *plan = NULL;
    return passes_run(&copy, &plan, NULL, &context, NULL) ? plan : NULL;
}

// The leaves' values, in stored order; plans for a GPU store them so.
static void fill(const SideBySide *side, const Graph *graph, uint64_t seed) {
    for (uint32_t i = 0; i < side->program->slot_count; i++) {
        const ProgramSlot *slot = &side->program->slots[i];
        if (slot->kind == SLOT_OUTPUT) continue;
        CHECK(slot->is_plain && !slot->copy_of);
        const double *values = leaf_values(side->arena, graph, graph_find_leaf_node(graph, slot->name), seed);
        int64_t count = 1;
        for (int d = 0; d < slot->rank; d++) count *= slot->extents[d];
        char *memory = side_data(side, slot);
        for (int64_t k = 0; k < count; k++) {
            float real = (float)values[k];
            int32_t whole = slot->element == ELEMENT_I32 ? (int32_t)values[k] : 0;
            memcpy(memory + 4 * k, slot->element == ELEMENT_I32 ? (void *)&whole : (void *)&real, 4);
        }
    }
}

static Verdict net_emulated(Arena *arena, const Graph *graph, uint64_t seed) {
    static const char *const architectures[] = {"sm_80", "sm_90a", "sm_120"};
    Diags *diags = diags_create(arena);
    Target target;
    CHECK(target_of_gpu(architectures[seed / 3 % 3], &target));
    const Plan *plan = plan_of(arena, graph, seed, &target, diags);
    if (!plan) {
        Text text = text_create(arena);
        diags_render(diags, &text);
        return (Verdict){VERDICT_REFUSED, text_string(&text)};
    }
    const char *why, *wrong;
    SideBySide *side = side_create(arena, plan, &target, NULL, &why);
    if (!side) return (Verdict){VERDICT_UNSURE, why};
    fill(side, graph, seed);
    wrong = side_run(side, seed);
    side_free(side);
    return verdict_wrong(wrong);
}

static void emulated_as_compiled(void **state) {
    (void)state;
    hunt_run(&(Hunt){.net = net_emulated, .graphs = GATE, .largest = 33, .extends = true});
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(emulated_as_compiled)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
