// The pass runner: the one place that knows the list, selection, verification and timing of passes.
//
// In: a graph (or an already drawn plan), names of passes or NULL for the list of passes.def, and an observer.
// Out: the graph after the last graph pass, and the plan once it is drawn.
//
//     passes_run(&graph, &plan, "simplify,renames", ...)      two passes
//     passes_run(&graph, &plan, NULL, ...)                    the whole list; `plain` programs without `extend` passes
#include <string.h>

#include "base/clock.h"
#include "passes/pass_functions.h"

#define ENTRY_REWRITE(name) .graph = pass_##name
#define ENTRY_EXTEND(name) .graph = pass_##name
#define ENTRY_DRAW(name) .draw = pass_##name
#define ENTRY_PLAN(name) .plan = pass_##name
const Pass pass_list[] = {
#define PASS(name_, kind_, sentence_)                                                                                  \
    {.name = #name_, .kind = PASS_##kind_, .sentence = sentence_, ENTRY_##kind_(name_)},
#include "passes/passes.def"
#undef PASS
};
const size_t pass_count = sizeof pass_list / sizeof pass_list[0];

const Pass *pass_find(const char *name) {
    for (size_t i = 0; i < pass_count; i++)
        if (text_equal(pass_list[i].name, name)) return &pass_list[i];
    return NULL;
}

static const char *const fuse_names[] = {[FUSE_NONE] = "none", [FUSE_OP] = "op", [FUSE_ALL] = "all"};

const char *fuse_name(FuseLevel level) {
    return fuse_names[level];
}

bool fuse_from_name(const char *name, FuseLevel *level) {
    for (size_t i = 0; i < sizeof fuse_names / sizeof fuse_names[0]; i++)
        if (text_equal(fuse_names[i], name)) {
            *level = (FuseLevel)i;
            return true;
        }
    return false;
}

// ---- which passes

typedef struct {
    const Pass **passes;
    size_t count;
} Selection;

static Selection select_all(PassContext *context) {
    Selection selection = {.passes = ARENA_ARRAY(context->arena, const Pass *, pass_count)};
    for (size_t i = 0; i < pass_count; i++)
        if (context->program != PROGRAM_PLAIN || pass_list[i].kind != PASS_EXTEND)
            selection.passes[selection.count++] = &pass_list[i];
    return selection;
}

static bool unknown_pass(const char *name, PassContext *context) {
    const char **known = ARENA_ARRAY(context->arena, const char *, pass_count);
    for (size_t i = 0; i < pass_count; i++)
        known[i] = pass_list[i].name;
    const char *nearest = text_nearest(name, known, pass_count);
    diag_error(context->diags, (Place){0}, "there is no pass '%s'", name);
    if (nearest) diag_note(context->diags, (Place){0}, "did you mean '%s'?", nearest);
    return false;
}

static bool select_named(const char *names, Selection *selection, PassContext *context) {
    selection->passes = ARENA_ARRAY(context->arena, const Pass *, strlen(names) + 1);
    while (*names) {
        size_t length = strcspn(names, ",");
        const char *name = arena_copy_range(context->arena, names, length);
        const Pass *pass = pass_find(name);
        if (!pass) return unknown_pass(name, context);
        selection->passes[selection->count++] = pass;
        names += length + (names[length] == ',');
    }
    return true;
}

// ---- running one

static void verify_result(const Pass *pass, const Graph *graph, const Plan *plan, const PassObserver *observer) {
    double start = clock_seconds();
    Arena *scratch = arena_create();
    const char *wrong = plan ? plan_verify(plan, scratch) : graph_verify(graph, scratch);
    if (wrong) BUG("after pass %s: %s", pass->name, wrong);
    arena_free(scratch);
    if (observer && observer->verify_seconds) *observer->verify_seconds += clock_seconds() - start;
}

// A graph pass after the plan was drawn, or a plan pass before, is the user's order of names.
static bool check_turn(const Pass *pass, const Plan *plan, PassContext *context) {
    if (pass->kind == PASS_PLAN && !plan)
        return diag_error(context->diags, (Place){0}, "pass '%s' works on a plan, and none is drawn yet", pass->name);
    if (pass->kind != PASS_PLAN && plan)
        return diag_error(context->diags, (Place){0}, "pass '%s' works on a graph, but the plan is already drawn",
                          pass->name);
    return true;
}

static bool run_pass(const Pass *pass, Graph **graph, Plan **plan, PassContext *context) {
    if (pass->kind == PASS_PLAN) return pass->plan(*plan, context);
    if (pass->kind == PASS_DRAW) return (*plan = pass->draw(*graph, context)) != NULL;
    Graph *result = pass->graph(*graph, context);
    if (!result) return false;
    *graph = result;
    return true;
}

// A rewrite keeps all values, so it can be left out.
static bool is_forbidden(const Pass *pass, PassContext *context) {
    Decision decision = {.pass = pass->name, .what = "pass", .place = ""};
    if (pass->kind != PASS_REWRITE) return false;
    if (!choices_forbid(context->choices, decision.pass, decision.what, decision.place, &decision.reason)) return false;
    ledger_add(context->ledger, decision);
    return true;
}

bool passes_run(Graph **graph, Plan **plan, const char *names, PassContext *context, const PassObserver *observer) {
    Selection selection = {0};
    if (!names)
        selection = select_all(context);
    else if (!select_named(names, &selection, context))
        return false;
    int rewrites = 0;
    for (size_t i = 0; i < selection.count; i++) {
        const Pass *pass = selection.passes[i];
        if (pass->kind == PASS_REWRITE && observer && observer->limit >= 0 && rewrites++ >= observer->limit) continue;
        if (!check_turn(pass, *plan, context)) return false;
        if (is_forbidden(pass, context)) continue;
        double start = clock_seconds();
        if (!run_pass(pass, graph, plan, context)) return false;
        double seconds = clock_seconds() - start;
        if (!observer || observer->verify) verify_result(pass, *graph, *plan, observer);
        if (observer && observer->after) observer->after(observer->context, pass, *graph, *plan, seconds);
    }
    return true;
}
