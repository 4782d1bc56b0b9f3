// From Graph to Plan on a small GPT-2: values, memory and the boxes that are expected, at every level of fusion.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "passes/passes.h"
#include "tests/boxes/transformer.h"
#include "tests/passes/same_values.h"

#define GRAPH_PASSES "differentiate,optimizer,simplify,constants,renames,row_dot"
#define PLAIN_PASSES "simplify,constants,renames,row_dot"
#define PLAN_PASSES "draw_boxes,choose_engines,choose_layouts,pack_operands,cut_pieces,plan_edges,plan_memory"

static const TransformerSize tiny = {.layers = 2, .batch = 2, .time = 4, .heads = 2, .width = 4, .vocabulary = 7};
// Large enough that steps are cut and threads wait for each other.
static const TransformerSize small = {.layers = 2, .batch = 12, .time = 64, .heads = 4, .width = 32, .vocabulary = 65};

typedef struct {
    Arena *arena;
    Target target;
    StateTable states;
    PassContext context;
    Graph *graph;      // what the plan was drawn from
    Plan *plan;
} Compiled;

// Every pass verifies its result. The state table is shared when `states` is given.
static Compiled *compile(const TransformerSize *size, FuseLevel fuse, ProgramKind program, StateTable *states) {
    Arena *arena = arena_create();
    Compiled *compiled = ARENA_NEW(arena, Compiled);
    compiled->arena = arena;
    compiled->target = target_default();
    compiled->states = (StateTable){.arena = arena};
    compiled->context = (PassContext){
        .arena = arena,
        .diags = diags_create(arena),
        .ledger = ledger_create(arena),
        .target = &compiled->target,
        .fuse = fuse,
        .states = states ? states : &compiled->states,
        .program = program,
        .optimizer =
            {.beta1 = 0.9, .beta2 = 0.95, .epsilon = 1e-8, .weight_decay = 0.1, .grad_clip = 1, .accumulation = 2},
    };
    const char *passes = program == PROGRAM_PLAIN ? PLAIN_PASSES : GRAPH_PASSES;
    compiled->graph = transformer_graph(arena, size);
    assert_true(passes_run(&compiled->graph, &compiled->plan, passes, &compiled->context, NULL));
    Graph *graph = compiled->graph;
    assert_true(passes_run(&graph, &compiled->plan, PLAN_PASSES, &compiled->context, NULL));
    return compiled;
}

static void release(Compiled *compiled) { arena_free(compiled->arena); }

// ---- memory, by playing the steps: every 64 bytes remember who wrote them last

typedef struct {
    ValueId *owner[3];   // by space
} Shadow;

static void own(const Shadow *shadow, const Plan *plan, ValueId id) {
    const Value *value = &plan->values[id];
    for (size_t i = 0; i < value->bytes / 64; i++) shadow->owner[value->space][value->offset / 64 + i] = id;
}

static void check_owned(const Shadow *shadow, const Plan *plan, ValueId id) {
    const Value *value = &plan->values[id];
    for (size_t i = 0; i < value->bytes / 64; i++)
        assert_int_equal(shadow->owner[value->space][value->offset / 64 + i], id);
}

static void check_memory(const Compiled *compiled) {
    const Plan *plan = compiled->plan;
    Shadow shadow;
    shadow.owner[SPACE_STATE] = ARENA_ARRAY(compiled->arena, ValueId, plan->state_bytes / 64);
    shadow.owner[SPACE_ARENA] = ARENA_ARRAY(compiled->arena, ValueId, plan->arena_bytes / 64);
    shadow.owner[SPACE_SCRATCH] = ARENA_ARRAY(compiled->arena, ValueId, plan->scratch_bytes / 64 + 1);
    for (ValueId id = 0; id < plan->value_count; id++)
        if (plan->values[id].kind == VALUE_INPUT || plan->values[id].kind == VALUE_STATE) own(&shadow, plan, id);
    for (uint32_t s = 0; s < plan->step_count; s++) {
        const Step *step = &plan->steps[s];
        for (uint32_t k = 0; k < step->operand_count; k++) check_owned(&shadow, plan, step->operands[k]);
        for (uint32_t k = 0; k < step->output_count; k++) own(&shadow, plan, step->outputs[k]);
    }
    for (ValueId id = 0; id < plan->value_count; id++)
        if (plan->values[id].kind == VALUE_OUTPUT) check_owned(&shadow, plan, id);
}

// ---- counting

static uint32_t count_label(const Plan *plan, const char *label) {
    uint32_t count = 0;
    for (uint32_t s = 0; s < plan->step_count; s++) count += strcmp(plan->steps[s].label, label) == 0;
    return count;
}

static uint32_t count_form(const Plan *plan, Form form) {
    uint32_t count = 0;
    for (uint32_t s = 0; s < plan->step_count; s++) count += plan->steps[s].form == form;
    return count;
}

static uint32_t count_engine(const Plan *plan, Engine engine) {
    uint32_t count = 0;
    for (uint32_t s = 0; s < plan->step_count; s++)
        count += plan->steps[s].form == FORM_PRODUCT && plan->steps[s].engine == engine;
    return count;
}

static double total_bytes(const Plan *plan) {
    double bytes = 0;
    for (uint32_t s = 0; s < plan->step_count; s++) bytes += plan->steps[s].bytes;
    return bytes;
}

static uint32_t count_computing(const Compiled *compiled) {
    const bool *live = graph_live(compiled->graph, compiled->arena);
    uint32_t count = 0;
    for (NodeId id = 0; id < graph_nodes(compiled->graph); id++)
        count += live[id] && op_class(graph_node(compiled->graph, id)->op) != CLASS_SOURCE;
    return count;
}

// ---- tests

static void check_level(FuseLevel fuse, ProgramKind program, bool dropout) {
    TransformerSize size = tiny;
    size.dropout = dropout;
    Compiled *compiled = compile(&size, fuse, program, NULL);
    const char *wrong = same_values_plan(compiled->graph, compiled->plan, compiled->arena);
    if (wrong) fail_msg("level %s: %s", fuse_name(fuse), wrong);
    check_memory(compiled);
    release(compiled);
}

static void test_plans_compute_what_the_graph_says(void **state) {
    (void)state;
    for (int fuse = FUSE_NONE; fuse <= FUSE_ALL; fuse++)
        for (int program = PROGRAM_PLAIN; program <= PROGRAM_STEP; program++)
            for (int dropout = 0; dropout <= 1; dropout++) check_level((FuseLevel)fuse, (ProgramKind)program, dropout);
}

static void test_memory_of_cut_plans(void **state) {
    (void)state;
    for (int fuse = FUSE_NONE; fuse <= FUSE_ALL; fuse++) {
        Compiled *compiled = compile(&small, (FuseLevel)fuse, PROGRAM_STEP, NULL);
        check_memory(compiled);
        uint32_t waits = 0;
        for (uint32_t s = 0; s < compiled->plan->step_count; s++) waits += compiled->plan->steps[s].wait;
        assert_in_range(waits, 10, compiled->plan->step_count / 2);
        release(compiled);
    }
}

static void test_none_is_a_kernel_per_primitive(void **state) {
    (void)state;
    Compiled *compiled = compile(&tiny, FUSE_NONE, PROGRAM_STEP, NULL);
    uint32_t others = count_label(compiled->plan, "pack") + count_label(compiled->plan, "copy");
    assert_int_equal(compiled->plan->step_count - others, count_computing(compiled));
    assert_in_range(count_label(compiled->plan, "pack"), 1, count_form(compiled->plan, FORM_PRODUCT));
    release(compiled);
}

static void test_op_is_a_kernel_per_operator(void **state) {
    (void)state;
    Compiled *compiled = compile(&tiny, FUSE_OP, PROGRAM_STEP, NULL);
    const Plan *plan = compiled->plan;
    uint32_t layers = (uint32_t)tiny.layers, norms = 2 * layers + 1, products = 6 * layers + 1, params = 6 * layers + 3;
    assert_int_equal(count_label(plan, "layernorm"), norms);
    assert_int_equal(count_label(plan, "layernorm backward"), 2 * norms);   // of x along rows, of the gain down columns
    assert_int_equal(count_label(plan, "softmax"), layers);
    assert_int_equal(count_label(plan, "softmax backward"), layers);
    assert_int_equal(count_label(plan, "gelu"), layers);
    assert_int_equal(count_label(plan, "gelu backward"), layers);
    assert_int_equal(count_label(plan, "cross_entropy"), 1);
    assert_int_equal(count_label(plan, "cross_entropy backward"), 1);
    assert_int_equal(count_label(plan, "adamw"), params);
    assert_int_equal(count_label(plan, "product"), 3 * products);
    assert_int_equal(count_engine(plan, ENGINE_BLAS), 3 * products);
    assert_int_equal(count_label(plan, "pack"), 0);
    release(compiled);
}

static void test_all_moves_less_than_op(void **state) {
    (void)state;
    Compiled *op = compile(&small, FUSE_OP, PROGRAM_STEP, NULL), *all = compile(&small, FUSE_ALL, PROGRAM_STEP, NULL);
    uint32_t op_steps = op->plan->step_count, all_steps = all->plan->step_count - count_label(all->plan, "pack");
    assert_true(all_steps < op_steps);
    double packs = 0;
    for (uint32_t s = 0; s < all->plan->step_count; s++)
        if (strcmp(all->plan->steps[s].label, "pack") == 0) packs += all->plan->steps[s].bytes;
    assert_true(total_bytes(all->plan) - packs < 0.9 * total_bytes(op->plan));
    release(op);
    release(all);
}

static void test_memory_is_reused(void **state) {
    (void)state;
    Compiled *compiled = compile(&small, FUSE_OP, PROGRAM_STEP, NULL);
    size_t all = 0;
    for (ValueId id = 0; id < compiled->plan->value_count; id++)
        if (compiled->plan->values[id].space == SPACE_ARENA) all += compiled->plan->values[id].bytes;
    assert_true(compiled->plan->arena_bytes < all * 6 / 10);
    release(compiled);
}

static const Value *find_state(const Plan *plan, const char *name) {
    for (ValueId id = 0; id < plan->value_count; id++)
        if (plan->values[id].kind == VALUE_STATE && strcmp(plan->values[id].name, name) == 0) return &plan->values[id];
    return NULL;
}

static void test_programs_share_states(void **state) {
    (void)state;
    Arena *arena = arena_create();
    StateTable states = {.arena = arena};
    Compiled *step = compile(&tiny, FUSE_OP, PROGRAM_STEP, &states);
    size_t bytes = states.bytes;
    Compiled *micro = compile(&tiny, FUSE_NONE, PROGRAM_MICRO, &states);
    Compiled *eval = compile(&tiny, FUSE_ALL, PROGRAM_PLAIN, &states);
    assert_int_equal(states.bytes, bytes);   // nothing that the step program has not
    const char *const names[] = {"wte", "h.1.mlp.c_fc", "ln_f"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        assert_int_equal(find_state(step->plan, names[i])->offset, find_state(eval->plan, names[i])->offset);
        assert_int_equal(find_state(step->plan, names[i])->offset, find_state(micro->plan, names[i])->offset);
    }
    assert_null(find_state(eval->plan, "adam.m.wte"));
    release(step);
    release(micro);
    release(eval);
    arena_free(arena);
}

static void test_pieces_follow_the_target_alone(void **state) {
    (void)state;
    Compiled *compiled = compile(&small, FUSE_OP, PROGRAM_STEP, NULL);
    for (uint32_t s = 0; s < compiled->plan->step_count; s++) {
        const Cut *cut = &compiled->plan->steps[s].cut;
        assert_in_range(cut->pieces, 1, 16);   // two cores: 4 to 8, or every one of up to 16 rows
        assert_true(cut->pieces <= cut->total);
    }
    release(compiled);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plans_compute_what_the_graph_says),
        cmocka_unit_test(test_memory_of_cut_plans),
        cmocka_unit_test(test_none_is_a_kernel_per_primitive),
        cmocka_unit_test(test_op_is_a_kernel_per_operator),
        cmocka_unit_test(test_all_moves_less_than_op),
        cmocka_unit_test(test_memory_is_reused),
        cmocka_unit_test(test_programs_share_states),
        cmocka_unit_test(test_pieces_follow_the_target_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
