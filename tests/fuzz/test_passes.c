// Random graphs through random sequences of passes: after each one the float64 reference gives the same outputs.
//
// A sequence is any order of the rewrites, with repetitions, and differentiate and optimizer somewhere among them where
// the graph trains; a third of the graphs is drawn into a plan at the end. SINTER_FUZZ_GRAPHS and SINTER_FUZZ_SEED
// change how many and from where; the gate's number is the default.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "passes/passes.h"
#include "tests/fuzz/generate.h"
#include "tests/fuzz/values.h"
#include "tests/passes/same_values.h"

enum { GRAPHS = 20000, LONGEST = 6 };

typedef struct {
    Arena *arena;
    uint64_t seed, state;
    PassContext context;
    Target target;
    StateTable states;
    Graph *graph;
    Reference *reference;
    Text done;              // names of the passes so far
} Trial;

static uint32_t below(Trial *trial, uint32_t bound) {   // splitmix64, as in generate.c
    uint64_t z = (trial->state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return (uint32_t)((z ^ (z >> 31)) >> 33) % bound;
}

static void fail_trial(Trial *trial, const char *wrong) {
    Text text = text_create(trial->arena);
    graph_print(trial->graph, &text);
    puts(text_string(&text));   // the graph before the last pass; cmocka would cut it off
    fail_msg("seed %llu after passes %s: %s", (unsigned long long)trial->seed, text_string(&trial->done), wrong);
}

static bool has_gradients(const Graph *graph) {
    for (uint32_t i = 0; i < graph_outputs(graph); i++)
        if (!strncmp(graph_output_at(graph, i)->name, "grad.", 5)) return true;
    return false;
}

static bool is_legal(const Trial *trial, const Pass *pass) {
    if (pass->kind == PASS_REWRITE) return true;
    if (pass->kind != PASS_EXTEND || graph_find_output(trial->graph, "loss") == NODE_NONE) return false;
    if (text_equal(pass->name, "differentiate")) return !has_gradients(trial->graph);
    return has_gradients(trial->graph) && graph_find_output(trial->graph, "grad_norm") == NODE_NONE;
}

static void run_graph_pass(Trial *trial, const Pass *pass) {
    text_append(&trial->done, "%s%s", trial->done.length ? "," : "", pass->name);
    Graph *after = trial->graph;
    Plan *plan = NULL;
    if (!passes_run(&after, &plan, pass->name, &trial->context, NULL)) fail_trial(trial, "the pass refused");
    Reference *reference = reference_of(after, trial->seed);
    const char *wrong = same_outputs(trial->arena, trial->graph, trial->reference, after, reference);
    if (wrong) fail_trial(trial, wrong);
    reference_free(trial->reference);
    trial->reference = reference;
    trial->graph = after;
}

static void draw(Trial *trial) {
    Graph *graph = trial->graph;
    Plan *plan = NULL;
    trial->context.fuse = (FuseLevel)below(trial, 3);
    text_append(&trial->done, " then drawn at level %s", fuse_name(trial->context.fuse));
    const char *names = "draw_boxes,choose_layouts,choose_engines,pack_operands,cut_pieces,plan_edges,plan_memory";
    if (!passes_run(&graph, &plan, names, &trial->context, NULL)) fail_trial(trial, "the plan was refused");
    const char *wrong = same_values_plan(trial->graph, plan, trial->arena);
    if (wrong) fail_trial(trial, wrong);
}

static void run_trial(uint64_t seed, Mix *mix) {
    Arena *arena = arena_create();
    Trial trial = {.arena = arena, .seed = seed, .state = ~seed, .target = target_default(), .done = text_create(arena)};
    trial.states = (StateTable){.arena = arena};
    trial.context = (PassContext){.arena = arena,
                                  .diags = diags_create(arena),
                                  .ledger = ledger_create(arena),
                                  .target = &trial.target,
                                  .states = &trial.states,
                                  .program = PROGRAM_STEP,
                                  .optimizer = {.beta1 = 0.9, .beta2 = 0.95, .epsilon = 1e-8, .weight_decay = 0.1,
                                                .grad_clip = 1, .accumulation = 1}};
    trial.graph = generate_graph(arena, seed, (GenerateSize){.largest = 5, .trains = below(&trial, 2)});
    mix_add(mix, trial.graph);
    trial.reference = reference_of(trial.graph, seed);
    for (uint32_t length = 1 + below(&trial, LONGEST); length > 0; length--) {
        const Pass *pass = &pass_list[below(&trial, (uint32_t)pass_count)];
        while (!is_legal(&trial, pass)) pass = &pass_list[below(&trial, (uint32_t)pass_count)];
        run_graph_pass(&trial, pass);
    }
    if (below(&trial, 3) == 0) draw(&trial);
    reference_free(trial.reference);
    arena_free(arena);
}

static uint64_t setting(const char *name, uint64_t otherwise) {
    const char *text = getenv(name);
    return text ? strtoull(text, NULL, 10) : otherwise;
}

static void test_pass_by_pass(void **state) {
    (void)state;
    uint64_t first = setting("SINTER_FUZZ_SEED", 1), graphs = setting("SINTER_FUZZ_GRAPHS", GRAPHS);
    Mix mix = {0};
    double start = clock_seconds();
    for (uint64_t seed = first; seed < first + graphs; seed++) run_trial(seed, &mix);
    mix_print(&mix);
    printf("%.1f s\n", clock_seconds() - start);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_pass_by_pass)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
