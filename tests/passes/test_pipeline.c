// The pass runner: selection, turns, refusals, and what an observer is told.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "passes/passes.h"

static Arena *arena;
static PassContext context;
static Target target;

static int setup(void **state) {
    (void)state;
    arena = arena_create();
    target = target_default();
    StateTable *states = ARENA_NEW(arena, StateTable);
    states->arena = arena;
    context = (PassContext){.arena = arena,
                            .diags = diags_create(arena),
                            .ledger = ledger_create(arena),
                            .target = &target,
                            .fuse = FUSE_OP,
                            .states = states};
    return 0;
}

static int teardown(void **state) {
    (void)state;
    arena_free(arena);
    return 0;
}

// y = -(-x) + sqrt(4)
static Graph *small_graph(void) {
    Graph *graph = graph_create(arena, "case");
    DimId b = graph_dim(graph, "B", 4);
    LeafId leaf = graph_leaf(graph, &(Leaf){.name = "x", .stored = {.rank = 1, .dims = {b}}});
    NodeId x = build_input(graph, leaf, DTYPE_F32);
    NodeId twice = build_unary(graph, OP_NEG, build_unary(graph, OP_NEG, x));
    NodeId two = build_unary(graph, OP_SQRT, build_const(graph, DTYPE_F32, 4));
    graph_output(graph, "y", build_binary(graph, OP_ADD, twice, two));
    return graph;
}

static void expect_complaint(const char *fragment) {
    Text text = text_create(arena);
    diags_render(context.diags, &text);
    if (!strstr(text_string(&text), fragment)) fail_msg("'%s' is not in: %s", fragment, text_string(&text));
}

typedef struct {
    Text names;
    bool timed;
} Log;

static void log_pass(void *log_, const Pass *pass, const Graph *graph, const Plan *plan, double seconds) {
    Log *log = log_;
    assert_true(graph || plan);
    log->timed = log->timed || seconds >= 0;
    text_append(&log->names, "%s ", pass->name);
}

static void every_pass_is_found(void **state) {
    (void)state;
    assert_true(pass_count >= 12);
    for (size_t i = 0; i < pass_count; i++) {
        const Pass *pass = &pass_list[i];
        assert_ptr_equal(pass_find(pass->name), pass);
        assert_int_equal(pass->graph != NULL, pass->kind == PASS_REWRITE || pass->kind == PASS_EXTEND);
        assert_int_equal(pass->draw != NULL, pass->kind == PASS_DRAW);
        assert_int_equal(pass->plan != NULL, pass->kind == PASS_PLAN);
        assert_true(strlen(pass->sentence) > 10);
    }
    assert_null(pass_find("simplif"));
}

static void named_passes_run_in_the_given_order(void **state) {
    (void)state;
    Graph *graph = small_graph();
    Plan *plan = NULL;
    Log log = {.names = text_create(arena)};
    PassObserver observer = {.after = log_pass, .context = &log, .verify = true, .limit = -1};
    assert_true(passes_run(&graph, &plan, "constants,simplify", &context, &observer));
    assert_string_equal(text_string(&log.names), "constants simplify ");
    assert_true(log.timed);
    assert_null(plan);
    assert_int_equal(graph_nodes(graph), 3);
}

static void a_limit_stops_rewrites(void **state) {
    (void)state;
    Graph *graph = small_graph(), *first = graph;
    Plan *plan = NULL;
    Log log = {.names = text_create(arena)};
    PassObserver observer = {.after = log_pass, .context = &log, .verify = true, .limit = 1};
    assert_true(passes_run(&graph, &plan, "constants,simplify,renames", &context, &observer));
    assert_string_equal(text_string(&log.names), "constants ");
    observer.limit = 0;
    graph = first;
    assert_true(passes_run(&graph, &plan, "constants,simplify,renames", &context, &observer));
    assert_ptr_equal(graph, first);
}

static void a_plain_program_is_not_extended(void **state) {
    (void)state;
    Graph *graph = small_graph();
    Plan *plan = NULL;
    Log log = {.names = text_create(arena)};
    PassObserver observer = {.after = log_pass, .context = &log, .verify = true, .limit = -1};
    assert_true(passes_run(&graph, &plan, NULL, &context, &observer));
    assert_non_null(plan);
    assert_null(strstr(text_string(&log.names), "differentiate"));
    assert_ptr_equal(strstr(text_string(&log.names), "simplify constants renames row_dot draw_boxes "),
                     text_string(&log.names));
    assert_true(plan->arena_bytes > 0);
}

static void unknown_names_are_refused(void **state) {
    (void)state;
    Graph *graph = small_graph();
    Plan *plan = NULL;
    assert_false(passes_run(&graph, &plan, "simplify,constant", &context, NULL));
    expect_complaint("there is no pass 'constant'");
    expect_complaint("did you mean 'constants'?");
}

static void turns_are_kept(void **state) {
    (void)state;
    Graph *graph = small_graph();
    Plan *plan = NULL;
    assert_false(passes_run(&graph, &plan, "plan_memory", &context, NULL));
    expect_complaint("'plan_memory' works on a plan, and none is drawn yet");
    assert_false(passes_run(&graph, &plan, "draw_boxes,simplify", &context, NULL));
    expect_complaint("'simplify' works on a graph, but the plan is already drawn");
}

static void levels_have_names(void **state) {
    (void)state;
    FuseLevel level;
    for (int i = FUSE_NONE; i <= FUSE_ALL; i++) {
        assert_true(fuse_from_name(fuse_name((FuseLevel)i), &level));
        assert_int_equal(level, i);
    }
    assert_false(fuse_from_name("most", &level));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_pass_is_found, setup, teardown),
        cmocka_unit_test_setup_teardown(named_passes_run_in_the_given_order, setup, teardown),
        cmocka_unit_test_setup_teardown(a_limit_stops_rewrites, setup, teardown),
        cmocka_unit_test_setup_teardown(a_plain_program_is_not_extended, setup, teardown),
        cmocka_unit_test_setup_teardown(unknown_names_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(turns_are_kept, setup, teardown),
        cmocka_unit_test_setup_teardown(levels_have_names, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
