// Random graphs: each is planned for a GPU, at a level that its seed says, and run step by step by the CPU backend and
// by the emulation of the CUDA one: the same bits. (That plans for a GPU mean what their graph means, tests/fuzz sees.)
// Every third seed has all products that can go there in tensor cores; at level all the others have caches too small
// for anything, and all chains that can be.
//
// The gate runs the first 200; SINTER_FUZZ_GRAPHS=2000 more.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/slot.h"
#include "tests/cuda/side_by_side.h"
#include "tests/cuda/tensor_plan.h"
#include "tests/fuzz/hunt.h"
#include "tests/fuzz/values.h"
#include "tests/skipped.h"

enum { GRAPHS = 200, WITH_TENSOR_CORES = 10, WITH_CHAINS = 100 };   // run; planned only, to see what they have

static bool uses_tensor_cores(uint64_t seed) { return seed % 3 == 1; }

static Plan *plan_of(Arena *arena, const Graph *graph, uint64_t seed, const Target *target, Diags *diags) {
    Graph *copy = (Graph *)(uintptr_t)graph; // passes_run only reads it
    static const TensorKind kinds[] = {TENSOR_TF32, TENSOR_BF16, TENSOR_F16};
    TensorKind kind = kinds[seed / 9 % 3];
    if (uses_tensor_cores(seed)) return tensor_plan(arena, copy, kind, (FuseLevel)(seed / 3 % 3), target, diags);
    StateTable *states = ARENA_NEW(arena, StateTable);
    states->arena = arena;
    Choices *choices = choices_create(arena);
    CHECK(choices_add(choices, "choices", "make plan_chains\n", diags));
    choices_be_lenient(choices);
    choices_begin(choices, "step");
    PassContext context = {.arena = arena,
                           .diags = diags,
                           .ledger = ledger_create(arena),
                           .target = target,
                           .fuse = (FuseLevel)(seed % 3),
                           .states = states,
                           .choices = choices,
                           .program = PROGRAM_PLAIN};
    Plan *plan = NULL;
    return passes_run(&copy, &plan, NULL, &context, NULL) ? plan : NULL;
}

// The leaves' values, as plans store them; a kept copy of a param holds the param's.
static void fill(const SideBySide *side, const Graph *graph, uint64_t seed) {
    for (uint32_t i = 0; i < side->program->slot_count; i++) {
        const ProgramSlot *slot = &side->program->slots[i];
        if (slot->kind == SLOT_OUTPUT) continue;
        NodeId leaf = graph_find_leaf_node(graph, slot->copy_of ? slot->copy_of : slot->name);
        const double *values = leaf_values(side->arena, graph, leaf, seed);
        int64_t count = slot_elements(slot);
        uint32_t *words = ARENA_ARRAY(side->arena, uint32_t, (size_t)count);
        for (int64_t k = 0; k < count; k++) {
            float real = (float)values[k];
            int32_t whole = slot->element == ELEMENT_I32 ? (int32_t)values[k] : 0;
            memcpy(&words[k], slot->element == ELEMENT_I32 ? (void *)&whole : (void *)&real, sizeof words[k]);
        }
        slot_pack(slot, words, side_data(side, slot), side->arena);
    }
}

static Verdict net_emulated(Arena *arena, const Graph *graph, uint64_t seed) {
    static const char *const architectures[] = {"sm_80", "sm_90a", "sm_120"};
    Diags *diags = diags_create(arena);
    Target target;
    CHECK(target_of_gpu(architectures[seed / 3 % 3], &target));
    if (!uses_tensor_cores(seed)) target.l3_bytes = 1;
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

static const Hunt hunt = {.net = net_emulated, .graphs = GRAPHS, .largest = 33, .extends = true};

static void emulated_as_compiled(void **state) {
    (void)state;
    const char *why = emulation_missing();
    if (why) SKIP_TEST(why);
    hunt_run(&hunt);
}

// Among the graphs of the gate some have products, and those are in tensor cores.
static void some_have_tensor_cores(void **state) {
    (void)state;
    uint32_t products = 0;
    for (uint64_t seed = 1; seed <= WITH_TENSOR_CORES; seed++) {
        if (!uses_tensor_cores(seed)) continue;
        Arena *arena = arena_create();
        Target target;
        assert_true(target_of_gpu("sm_90a", &target));
        const Graph *graph = hunt_graph(arena, &hunt, seed);
        const Plan *plan = plan_of(arena, graph, seed, &target, diags_create(arena));
        if (plan) products += tensor_steps(plan);
        arena_free(arena);
    }
    print_message("    %u products in tensor cores\n", products);
    assert_true(products > 0);
}

// Among more graphs, which are planned only, some have chains.
static void some_have_chains(void **state) {
    (void)state;
    uint32_t chained = 0, graphs = 0;
    for (uint64_t seed = 2; seed <= WITH_CHAINS; seed += 3) {
        Arena *arena = arena_create();
        Target target;
        assert_true(target_of_gpu("sm_90a", &target));
        target.l3_bytes = 1;
        const Plan *plan = plan_of(arena, hunt_graph(arena, &hunt, seed), seed, &target, diags_create(arena));
        uint32_t steps = 0;
        for (uint32_t s = 0; plan && s < plan->step_count; s++) steps += plan_in_strand(plan, s);
        chained += steps;
        graphs += steps > 0;
        if (steps && getenv("SINTER_FUZZ_SAY")) print_message("    seed %llu\n", (unsigned long long)seed);
        arena_free(arena);
    }
    print_message("    %u chained steps in %u graphs\n", chained, graphs);
    assert_true(chained > 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(emulated_as_compiled),
        cmocka_unit_test(some_have_tensor_cores),
        cmocka_unit_test(some_have_chains),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
