// The generator makes what it promises: graphs that verify and read back, mostly with chains, of every op, with extent
// 1 and odd extents, and numbers that are finite and differ.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <math.h>
#include <stdio.h>

#include "passes/passes.h"
#include "tests/fuzz/generate.h"
#include "tests/fuzz/values.h"

enum { GRAPHS = 600 };

static void check_text(Arena *arena, const Graph *graph, uint64_t seed) {
    Text first = text_create(arena), second = text_create(arena);
    graph_print(graph, &first);
    Diags *diags = diags_create(arena);
    Graph *read = graph_parse(arena, "random", text_string(&first), diags);
    if (!read) {
        diags_render(diags, &second);
        fail_msg("seed %llu: %s\n%s", (unsigned long long)seed, text_string(&second), text_string(&first));
    }
    graph_print(read, &second);
    assert_string_equal(text_string(&first), text_string(&second));
}

static void check_numbers(const Graph *graph, uint64_t seed) {
    Reference *reference = reference_of(graph, seed);
    for (uint32_t i = 0; i < graph_outputs(graph); i++) {
        const Output *output = graph_output_at(graph, i);
        const double *values = reference_value(reference, output->node);
        for (int64_t k = 0; k < graph_elements(graph, graph_node(graph, output->node)->dims); k++)
            if (!isfinite(values[k]))
                fail_msg("seed %llu: output %s holds %g", (unsigned long long)seed, output->name, values[k]);
    }
    reference_free(reference);
}

static void test_mix(void **state) {
    (void)state;
    Mix mix = {0}, forward = {0};
    for (uint64_t seed = 1; seed <= GRAPHS; seed++) {
        Arena *arena = arena_create();
        GenerateSize size = {.largest = 9, .trains = seed % 2};
        Graph *graph = generate_graph(arena, seed, size);
        const char *wrong = graph_verify(graph, arena);
        if (wrong) fail_msg("seed %llu: %s", (unsigned long long)seed, wrong);
        check_text(arena, graph, seed);
        check_numbers(graph, seed);
        mix_add(&mix, graph);
        if (!size.trains) mix_add(&forward, graph);
        arena_free(arena);
    }
    mix_print(&mix);
    assert_true(mix.with_chain >= 0.6 * mix.graphs);
    assert_true(mix.with_extent_one >= 0.2 * mix.graphs);
    for (int op = 0; op < OP_COUNT; op++)
        if (op != OP_OPERAND && mix.with_op[op] == 0) fail_msg("no graph has %s", op_name((Op)op));
}

static void test_equal_seeds_are_equal_graphs(void **state) {
    (void)state;
    Arena *arena = arena_create();
    GenerateSize size = {.largest = 17, .trains = true};
    Text texts[3];
    for (int i = 0; i < 3; i++) {
        texts[i] = text_create(arena);
        graph_print(generate_graph(arena, i < 2 ? 77 : 78, size), &texts[i]);
    }
    assert_string_equal(text_string(&texts[0]), text_string(&texts[1]));
    assert_string_not_equal(text_string(&texts[0]), text_string(&texts[2]));
    arena_free(arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_mix), cmocka_unit_test(test_equal_seeds_are_equal_graphs)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
