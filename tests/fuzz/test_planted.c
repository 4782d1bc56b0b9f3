// The planted bugs of base/planted.def, each switched on in turn: a net must catch it. This test is linked with rooms
// compiled with SINTER_PLANTED; the nets are the same as ever.
//
//     tail_dropped (emit_loops): caught by compiled, graph 3: level none: output loss, element 0: ...
//
// And where the place is a rewrite, taking away rewrites one after the other names it (--pass_limit does the same).
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "base/planted.h"
#include "passes/passes.h"
#include "tests/fuzz/hunt.h"
#include "tests/passes/same_values.h"

Plant planted;

static const struct {
    const char *name, *place, *what;
} plants[PLANT_COUNT] = {
#define PLANT(name, place, what) [PLANT_##name] = {#name, #place, what},
#include "base/planted.def"
#undef PLANT
};

// Cheap nets first. What lies behind the plan only the last one can see.
static const struct {
    const char *name;
    Plant end; // plants before this one
    Hunt hunt;
} nets[] = {
    {"derived", PLANT_box_not_convex, {.net = net_derived, .graphs = 500, .largest = 5}},
    {"passes", PLANT_stale_row_maximum, {.net = net_passes, .graphs = 1500, .largest = 5}},
    {"compiled", PLANT_COUNT, {.net = net_compiled_any, .graphs = 1000, .largest = 97, .extends = true}},
};
enum { NETS = sizeof nets / sizeof *nets };

// The number of the graph that is caught, 0: none. What the net says is printed.
static uint64_t catch_with(const char *name, const Hunt *hunt) {
    uint64_t caught = 0;
    for (uint64_t seed = 1; seed <= hunt->graphs && !caught; seed++) {
        Arena *arena = arena_create();
        Verdict verdict = hunt_verdict(arena, hunt, seed);
        if (verdict_is_bad(verdict)) {
            caught = seed;
            printf("    caught by %s, graph %llu: %.140s\n", name, (unsigned long long)seed, verdict.message);
        }
        arena_free(arena);
    }
    return caught;
}

static void every_plant_is_caught(void **state) {
    (void)state;
    uint32_t missed = 0;
    for (int plant = PLANT_NONE + 1; plant < PLANT_COUNT; plant++) {
        bool caught = false;
        planted = (Plant)plant;
        printf("%s (%s): %s\n", plants[plant].name, plants[plant].place, plants[plant].what);
        for (int i = 0; i < NETS && !caught; i++)
            caught = plant < (int)nets[i].end && catch_with(nets[i].name, &nets[i].hunt) != 0;
        if (!caught) printf("    NOT CAUGHT\n");
        fflush(stdout);
        missed += !caught;
    }
    planted = PLANT_NONE;
    assert_int_equal(missed, 0);
}

static void nothing_is_caught_without_plants(void **state) {
    (void)state;
    for (int i = 0; i < NETS; i++) {
        Hunt hunt = nets[i].hunt;
        hunt.graphs /= 20;
        assert_int_equal(catch_with(nets[i].name, &hunt), 0);
    }
}

// ---- the guilty pass

static int rewrite_limit;

static Verdict net_limited(Arena *arena, const Graph *graph, uint64_t seed) {
    (void)seed;
    Target target = target_default();
    StateTable states = {.arena = arena};
    PassContext context = {.arena = arena,
                           .diags = diags_create(arena),
                           .ledger = ledger_create(arena),
                           .target = &target,
                           .fuse = FUSE_ALL,
                           .states = &states,
                           .program = PROGRAM_PLAIN};
    PassObserver observer = {.verify = true, .limit = rewrite_limit};
    Graph *result = (Graph *)(uintptr_t)graph; // passes_run only reads it
    Plan *plan = NULL;
    if (!passes_run(&result, &plan, NULL, &context, &observer)) return (Verdict){VERDICT_REFUSED, "refused"};
    return verdict_wrong(same_values_plan(graph, plan, arena));
}

// The rewrite with which a graph goes wrong; NULL when it goes wrong with none or never.
static const char *guilty_rewrite(Arena *arena, const Graph *graph) {
    int limit = 0;
    for (size_t i = 0; i < pass_count; i++) {
        rewrite_limit = limit;
        bool wrong = verdict_is_bad(isolated(arena, net_limited, graph, 0));
        if (wrong) return NULL;
        if (pass_list[i].kind != PASS_REWRITE) continue;
        rewrite_limit = ++limit;
        if (verdict_is_bad(isolated(arena, net_limited, graph, 0))) return pass_list[i].name;
    }
    return NULL;
}

static void the_limit_names_the_guilty_pass(void **state) {
    (void)state;
    for (int plant = PLANT_NONE + 1; plant < PLANT_COUNT; plant++) {
        const Pass *pass = pass_find(plants[plant].place);
        if (!pass || pass->kind != PASS_REWRITE) continue;
        planted = (Plant)plant;
        const char *guilty = NULL;
        for (uint64_t seed = 1; seed <= 2000 && !guilty; seed++) {
            Arena *arena = arena_create();
            Graph *graph = graph_extended(arena, hunt_graph(arena, &nets[1].hunt, seed), 1);
            if (graph) guilty = guilty_rewrite(arena, graph);
            arena_free(arena);
        }
        printf("%s: guilty is %s\n", plants[plant].name, guilty ? guilty : "nobody");
        assert_string_equal(guilty ? guilty : "nobody", pass->name);
    }
    planted = PLANT_NONE;
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(nothing_is_caught_without_plants),
                                       cmocka_unit_test(every_plant_is_caught),
                                       cmocka_unit_test(the_limit_names_the_guilty_pass)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
