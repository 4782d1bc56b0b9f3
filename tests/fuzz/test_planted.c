// The planted bugs of base/planted.def, each switched on in turn: a net must catch it, with a graph that is fine
// without it. This test is linked with rooms compiled with SINTER_PLANTED; the nets are the same as ever.
//
//     tail_dropped (emit_loops): caught by compiled, graph 3: level none: output loss, element 0: ...
//
// And where the place is a rewrite, taking away rewrites one after the other names it (--pass_limit does the same).
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <assert.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "base/planted.h"
#include "passes/passes.h"
#include "tests/fuzz/hunt.h"
#include "tests/passes/same_values.h"

Plant planted;
_Atomic uint64_t *plants_reached;

static const struct {
    const char *name, *place, *what;
} plants[PLANT_COUNT] = {
#define PLANT(name, place, what) [PLANT_##name] = {#name, #place, what},
#include "base/planted.def"
#undef PLANT
};

// Cheap nets first. What lies behind the plan only the last one can see.
enum { MOST_GRAPHS = 1500 };
static const struct {
    const char *name;
    Plant end; // plants before this one
    Hunt hunt;
} nets[] = {
    {"derived", PLANT_box_not_convex, {.net = net_derived, .graphs = 500, .largest = 5}},
    {"passes", PLANT_stale_row_maximum, {.net = net_passes, .graphs = MOST_GRAPHS, .largest = 5}},
    {"compiled", PLANT_COUNT, {.net = net_compiled_any, .graphs = 1000, .largest = 97, .extends = true}},
};
enum { NETS = sizeof nets / sizeof *nets };
static_assert(PLANT_COUNT <= 64, "a bit for each plant");

// By net and graph: the plants that it comes past. Without a plant it must be fine; with one that it does not come past
// it would be so again, and need not be run. 0: not known yet; the bit of PLANT_NONE says that it is.
static uint64_t passed[NETS][MOST_GRAPHS + 1];

static bool comes_past(Plant plant, int net, uint64_t seed) {
    uint64_t *mine = &passed[net][seed];
    if (!*mine) {
        Arena *arena = arena_create();
        planted = PLANT_NONE;
        atomic_store(plants_reached, 1);
        Verdict verdict = hunt_verdict(arena, &nets[net].hunt, seed);
        if (verdict_is_bad(verdict))
            fail_msg("%s, graph %llu, without a plant: %s", nets[net].name, (unsigned long long)seed, verdict.message);
        *mine = atomic_load(plants_reached);
        arena_free(arena);
    }
    return *mine >> plant & 1;
}

// The number of the graph that is caught, 0: none. What the net says is printed.
static uint64_t catch_with(Plant plant, int net) {
    uint64_t caught = 0;
    for (uint64_t seed = 1; seed <= nets[net].hunt.graphs && !caught; seed++) {
        if (!comes_past(plant, net, seed)) continue;
        Arena *arena = arena_create();
        planted = plant;
        Verdict verdict = hunt_verdict(arena, &nets[net].hunt, seed);
        planted = PLANT_NONE;
        if (verdict_is_bad(verdict)) {
            caught = seed;
            printf("    caught by %s, graph %llu: %.140s\n", nets[net].name, (unsigned long long)seed, verdict.message);
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
        printf("%s (%s): %s\n", plants[plant].name, plants[plant].place, plants[plant].what);
        for (int i = 0; i < NETS && !caught; i++)
            caught = plant < (int)nets[i].end && catch_with((Plant)plant, i) != 0;
        if (!caught) printf("    NOT CAUGHT\n");
        fflush(stdout);
        missed += !caught;
    }
    assert_int_equal(missed, 0);
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
    // Nets run in processes of their own.
    plants_reached = mmap(NULL, sizeof *plants_reached, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (plants_reached == MAP_FAILED) return 1;
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_plant_is_caught),
                                       cmocka_unit_test(the_limit_names_the_guilty_pass)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
