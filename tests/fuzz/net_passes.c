// Random sequences of passes (see net.h).
//
// A sequence is any order of the rewrites, with repetitions, and differentiate and optimizer somewhere among them where
// the graph trains; a third of the graphs is drawn into a plan at the end.
#include <string.h>

#include "passes/passes.h"
#include "tests/boxes/same_piece.h"
#include "tests/fuzz/budgeted.h"
#include "tests/fuzz/net.h"
#include "tests/fuzz/values.h"
#include "tests/passes/same_values.h"

enum { LONGEST = 6 };

typedef struct {
    Arena *arena;
    uint64_t seed, state;
    PassContext context;
    Target target;
    StateTable states;
    Graph *graph;
    Reference *reference;
    Text done; // names of the passes so far
    Verdict verdict;
} Trial;

static uint32_t below(Trial *trial, uint32_t bound) { // splitmix64, as in generate.c
    uint64_t z = (trial->state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return (uint32_t)((z ^ (z >> 31)) >> 33) % bound;
}

static bool report(Trial *trial, VerdictKind kind, const char *wrong) {
    const char *message = arena_format(trial->arena, "after passes %s: %s", text_string(&trial->done), wrong);
    trial->verdict = (Verdict){kind, message};
    return false;
}

static bool has_output(const Graph *graph, const char *prefix) {
    for (uint32_t i = 0; i < graph_outputs(graph); i++)
        if (!strncmp(graph_output_at(graph, i)->name, prefix, strlen(prefix))) return true;
    return false;
}

static bool is_legal(const Trial *trial, const Pass *pass) {
    if (pass->kind == PASS_REWRITE) return true;
    if (pass->kind != PASS_EXTEND || graph_find_output(trial->graph, "loss") == NODE_NONE) return false;
    bool is_optimized = has_output(trial->graph, "grad_norm") || has_output(trial->graph, "accumulate.");
    if (is_optimized) return false;
    return has_output(trial->graph, "grad.") == text_equal(pass->name, "optimizer");
}

static bool run_graph_pass(Trial *trial, const Pass *pass) {
    text_append(&trial->done, "%s%s", trial->done.length ? "," : "", pass->name);
    Graph *after = trial->graph;
    Plan *plan = NULL;
    if (!passes_run(&after, &plan, pass->name, &trial->context, NULL))
        return report(trial, VERDICT_REFUSED, "the pass refused");
    Reference *reference = reference_of(after, trial->seed);
    const char *wrong = same_outputs(trial->arena, trial->graph, trial->reference, after, reference);
    reference_free(trial->reference);
    trial->reference = reference;
    trial->graph = after;
    return wrong ? report(trial, VERDICT_WRONG, wrong) : true;
}

static const char *plan_passes(Arena *arena) {
    Text names = text_create(arena);
    for (size_t i = 0; i < pass_count; i++)
        if (pass_list[i].kind == PASS_DRAW || pass_list[i].kind == PASS_PLAN)
            text_append(&names, "%s%s", names.length ? "," : "", pass_list[i].name);
    return text_string(&names);
}

static void draw(Trial *trial) {
    Graph *graph = trial->graph;
    Plan *plan = NULL;
    trial->context.fuse = (FuseLevel)below(trial, 3);
    if (below(trial, 2)) trial->target.peak_flops = 0; // small steps are cut too
    // Caches so small that small graphs have strands.
    if (below(trial, 2)) trial->target.l1_bytes = 1024, trial->target.l2_bytes = 4096, trial->target.l3_bytes = 16384;
    text_append(&trial->done, " then drawn at level %s", fuse_name(trial->context.fuse));
    const char *names = plan_passes(trial->arena);
    bool is_budgeted = below(trial, 3) == 0;
    if (is_budgeted) text_append(&trial->done, " with a budget");
    if (is_budgeted ? !passes_run_budgeted(graph, &plan, names, &trial->context, below(trial, 100))
                    : !passes_run(&graph, &plan, names, &trial->context, NULL)) {
        report(trial, VERDICT_REFUSED, "the plan was refused");
        return;
    }
    const char *wrong = same_values_plan(trial->graph, plan, trial->arena);
    if (!wrong) wrong = same_piece_check(plan, trial->arena);
    if (wrong) report(trial, VERDICT_WRONG, wrong);
}

Verdict net_passes(Arena *arena, const Graph *graph, uint64_t seed) {
    Trial trial = {
        .arena = arena, .seed = seed, .state = ~seed, .target = target_default(), .done = text_create(arena)};
    trial.states = (StateTable){.arena = arena};
    trial.context = (PassContext){
        .arena = arena,
        .diags = diags_create(arena),
        .ledger = ledger_create(arena),
        .target = &trial.target,
        .states = &trial.states,
        .program = PROGRAM_STEP,
        .optimizer = {
            .beta1 = 0.9, .beta2 = 0.95, .epsilon = 1e-8, .weight_decay = 0.1, .grad_clip = 1, .accumulation = 1}};
    trial.graph = (Graph *)(uintptr_t)graph; // passes_run only reads it
    trial.reference = reference_of(graph, seed);
    bool fine = true;
    for (uint32_t length = 1 + below(&trial, LONGEST); length > 0 && fine; length--) {
        const Pass *pass = &pass_list[below(&trial, (uint32_t)pass_count)];
        while (!is_legal(&trial, pass))
            pass = &pass_list[below(&trial, (uint32_t)pass_count)];
        fine = run_graph_pass(&trial, pass);
    }
    if (fine && below(&trial, 3) == 0) draw(&trial);
    reference_free(trial.reference);
    return trial.verdict;
}
