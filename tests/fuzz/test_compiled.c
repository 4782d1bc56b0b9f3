// Random graphs, compiled at every level for random machines, against the float64 reference (see net.h). The gate runs
// the first ones; SINTER_FUZZ_GRAPHS=2000 the whole.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "tests/fuzz/hunt.h"

// A param whose copy in panels along its other dim is written by its update: panels of it are full, those of the copy
// are not. Random graphs hardly ever have such extents.
static const char copied[] = "graph \"copied\"\n"
                             "dim B=4 C=3 F=81 E=64\n"
                             "%0 = input f32[B,C] \"x\" stored(B,C)\n"
                             "%1 = param f32[C,F] \"w\" stored(C,F) init normal(1)\n"
                             "%2 = param f32[F,E] \"v\" stored(F,E) init normal(1)\n"
                             "%3 = contract f32[B,F] %0 %1 over(C)\n"
                             "%4 = contract f32[B,E] %3 %2 over(F)\n"
                             "%5 = tanh f32[B,E] %4\n"
                             "%6 = sum f32[] %5 over(B,E)\n"
                             "output \"loss\" %6\n";

static void copies_hold_what_their_params_do(void **state) {
    (void)state;
    Arena *arena = arena_create();
    const Graph *graph = graph_parse(arena, "copied", copied, diags_create(arena));
    assert_non_null(graph);
    for (uint64_t seed = 3; seed <= 18; seed += 3) {   // those that get an optimizer
        const Graph *extended = graph_extended(arena, graph, seed);
        assert_non_null(extended);
        Verdict verdict = isolated(arena, net_compiled_all, extended, seed);
        if (verdict_is_bad(verdict)) fail_msg("%s", verdict.message);
    }
    arena_free(arena);
}

static void compiled_as_meant(void **state) {
    (void)state;
    hunt_run(&(Hunt){.net = net_compiled,
                     .graphs = 50,
                     .largest = 97,
                     .extends = true,
                     .narrower = {net_compiled_none, net_compiled_op, net_compiled_all}});
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(copies_hold_what_their_params_do),
                                       cmocka_unit_test(compiled_as_meant)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
