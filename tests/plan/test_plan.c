// Plans as text, their verifier and their meaning.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "ir/plan.h"
#include "tests/plan/plan_text.h"

static Arena *arena;

static int setup(void **state) {
    (void)state;
    arena = arena_create();
    return 0;
}

static int teardown(void **state) {
    (void)state;
    arena_free(arena);
    return 0;
}

// plan_text with the one occurrence of `from` replaced.
static const char *edited(const char *from, const char *to) {
    const char *at = strstr(plan_text, from);
    if (!at) fail_msg("'%s' is not in the text", from);
    return arena_format(arena, "%.*s%s%s", (int)(at - plan_text), plan_text, to, at + strlen(from));
}

static void expect_complaint(const char *text, const char *fragment) {
    Diags *diags = diags_create(arena);
    Plan *plan = plan_parse(arena, "case", text, diags);
    if (plan) fail_msg("accepted, but should say '%s'", fragment);
    Text complaints = text_create(arena);
    diags_render(diags, &complaints);
    if (!strstr(text_string(&complaints), fragment)) fail_msg("'%s' is not in: %s", fragment, text_string(&complaints));
}

static Plan *parse(const char *text) {
    Diags *diags = diags_create(arena);
    Plan *plan = plan_parse(arena, "case", text, diags);
    Text complaints = text_create(arena);
    diags_render(diags, &complaints);
    if (!plan) fail_msg("%s", text_string(&complaints));
    return plan;
}

static void text_goes_both_ways(void **state) {
    (void)state;
    Text out = text_create(arena);
    plan_print(parse(plan_text), &out);
    assert_string_equal(text_string(&out), plan_text);
}

static void parsed_fields(void **state) {
    (void)state;
    Plan *plan = parse(plan_text);
    assert_int_equal(plan->value_count, 6);
    assert_int_equal(plan->step_count, 3);
    assert_int_equal(plan->values[1].layout.count, 3);
    assert_int_equal(plan->values[1].layout.pieces[0].extent, 3);
    assert_true(plan->values[1].is_param);
    assert_string_equal(plan->values[1].leaf->name, "w");
    assert_int_equal(plan->values[5].next_of, 1);
    assert_true(plan->values[5].in_place);
    assert_int_equal(plan->values[0].next_of, VALUE_NONE);
    const Step *product = &plan->steps[1];
    assert_int_equal(product->form, FORM_PRODUCT);
    assert_int_equal(product->cut.total, 4);
    assert_int_equal(product->edges[0], EDGE_SAME);
    assert_int_equal(product->tile_lanes, 16);
    assert_true(plan->steps[2].wait);
    assert_int_equal(plan->arena_bytes, 320);
}

static const double *bind(void *context, const Leaf *leaf, DimList order) {
    (void)context;
    (void)order;
    static const double x[12] = {1, 2, 3, 0, 0, 6, -1, 1, 0, 2, 2, 2},
                        w[15] = {1, 0, 2, 0, 1, 0, 1, 0, 2, 0, 1, 1, 1, 1, 1};
    return text_equal(leaf->name, "x") ? x : w;
}

static const double *bind_nothing(void *context, const Leaf *leaf, DimList order) {
    (void)context;
    (void)leaf;
    (void)order;
    return NULL;
}

static void meaning_is_that_of_the_regions(void **state) {
    (void)state;
    Plan *plan = parse(plan_text);
    double *values[6];
    assert_true(plan_reference(plan, arena, bind, NULL, values));
    // Row 0 of x is 1 2 3, its sum 6, centred -5 -4 -3; w has rows 1 0 2 0 1, 0 1 0 2 0, 1 1 1 1 1.
    const double sums[] = {6, 6, 0, 6}, first[] = {6 * -8, 6 * -7, 6 * -13, 6 * -11, 6 * -8};
    for (int i = 0; i < 4; i++)
        assert_true(values[3][i] == sums[i]);
    for (int i = 0; i < 5; i++)
        assert_true(values[4][i] == first[i]);
    // The next w is w less row 1 of y: centred -6 -6 0, sum 6.
    assert_true(values[5][0] == 1 - 6 * -6 && values[5][1] == 0 - 6 * -6 && values[5][5] == 0 - 6 * -6);
    assert_false(plan_reference(plan, arena, bind_nothing, NULL, values));
}

static void wrong_texts(void **state) {
    (void)state;
    expect_complaint("graph \"x\"\n", "expected 'plan'");
    expect_complaint(edited("value %2 temp", "value %3 temp"), "value %3 comes where 2 should");
    expect_complaint(edited("step 1 product", "step 2 product"), "step 2 comes where 1 should");
    expect_complaint(edited("row \"centre\"", "column \"centre\""), "expected map, row, product or sweep");
    expect_complaint(edited("in %2 same", "in %9 same"), "there is no value %9");
    expect_complaint(edited("f32[B] @", "f33[B] @"), "unknown type 'f33'");
    expect_complaint(edited("F/2, C", "F/0, C"), "divisor");
    expect_complaint(edited("in %0 none", "in %0 some"), "expected none, same or all");
    expect_complaint(edited("output \"y\" %4\n  }", "output \"y\" %4\n"), "expected a node (%N = ...) or an output");
}

static void unsound_values(void **state) {
    (void)state;
    expect_complaint(edited("@ (B) arena+128", "@ (C) arena+128"), "%3 has a layout that is not over its dims");
    expect_complaint(edited("@ ((B,F)) name", "@ (F, B%2) name"), "%4 has a layout with too few elements");
    expect_complaint(edited("arena+128 bytes 64", "arena+128 bytes 65"), "%3 has a wrong number of bytes");
    expect_complaint(edited("f32[C,F] @ (F/2, C, F%2) name \"w\"", "f32[C,F] @ (C, F) name \"w\""),
                     "%5 differs in type");
    expect_complaint(edited("next_of %1", "next_of %2"), "%5 is the next value of something that is no state");
}

static void unsound_wiring(void **state) {
    (void)state;
    expect_complaint(edited("in %0 none\n", "in %2 none\n"), "which no earlier step writes");
    expect_complaint(edited("out %4\n", "out %2\n"), "writes value %2 a second time");
    expect_complaint(edited("out %4\n", "out %1\n"), "writes an input, a state or no value");
    expect_complaint(edited("out %2, %3", "out %2"), "another number of outputs");
    expect_complaint(edited("out %2, %3", "out %3, %2"), "disagrees with value %3");
    expect_complaint(edited("operand f32[B] 2", "operand f32[B] 3"), "has no operand 3");
    expect_complaint(edited("in %1 none, %4 all", "in %1 none, %4 all, %2 all"), "does not use its operand 2");
    expect_complaint(edited("output f32[B,F] @ ((B,F))", "output f32[F,B] @ (F, B)"), "disagrees with value %4");
    expect_complaint(edited("output f32[B,F]", "output i32[B,F]"), "disagrees with value %4");
}

static void unsound_forms(void **state) {
    (void)state;
    expect_complaint(edited("row \"centre\" at \"x\" tiles inner(C)", "map \"centre\" at \"x\" tiles"),
                     "sums (sum) over other dims");
    expect_complaint(edited("tiles inner(C)", "tiles"), "is a row without inner dims");
    expect_complaint(edited("tiles inner(C) cut(B)/2", "tiles inner(F) cut(B)/2"), "sums (sum) over other dims");
    expect_complaint(edited("product \"product\" at \"y\"", "map \"product\" at \"y\""), "holds a contraction");
    expect_complaint(edited("map \"update\"", "product \"update\""), "holds no contraction");
}

static void unsound_products(void **state) {
    (void)state;
    const char *body = "    %2 = contract f32[B,F] %0 %1 over(C)\n    %3 = operand f32[B] 2\n"
                       "    %4 = mul f32[B,F] %2 %3\n    output \"y\" %4\n";
    expect_complaint(edited(body, "    %2 = exp f32[B,C] %0\n    %3 = contract f32[B,F] %2 %1 over(C)\n"
                                  "    %4 = operand f32[B] 2\n    %5 = mul f32[B,F] %3 %4\n    output \"y\" %5\n"),
                     "contracts something that is no view of an operand");
    expect_complaint(edited(body, "    %2 = contract f32[B,F] %0 %1 over(C)\n    %3 = operand f32[B] 2\n"
                                  "    %4 = mul f32[B,F] %2 %3\n    %5 = rename f32[B,G] %4 from F to G\n"
                                  "    %6 = rename f32[B,F] %5 from G to F\n    output \"y\" %6\n"),
                     "has a rename after its contraction");
    expect_complaint(edited(body, "    %2 = contract f32[B,F] %0 %1 over(C)\n    %3 = operand f32[B] 2\n"
                                  "    %4 = max f32[B] %2 over(F)\n    %5 = mul f32[B,F] %2 %3\n"
                                  "    %6 = mul f32[B,F] %4 %5\n    output \"y\" %6\n"),
                     "holds a max beside its contraction");
}

static void unsound_cuts_and_edges(void **state) {
    (void)state;
    expect_complaint(edited("inner(C) cut(B)/2", "inner(C) cut(F)/2"), "cut along dims that one of its outputs lacks");
    expect_complaint(edited("inner(C) cut(B)/2", "inner(C) cut(B)/2 groups 3"), "groups of different numbers");
    expect_complaint(edited("name \"centred\"", "parts 2 name \"centred\""), "in other parts than its cut has groups");
    expect_complaint(edited("name \"centred\"", "name \"centred\" over %0"), "written over %0, which is not like it");
    expect_complaint(edited("name \"centred\"", "name \"centred\" over %99"), "written over no value");
    expect_complaint(edited("inner(C) cut(B)/2", "inner(C) cut(B,C)/2"), "cut along an inner dim");
    expect_complaint(edited("inner(C) cut(B)/2", "inner(C) cut(B)/5"), "more pieces than rows");
    expect_complaint(edited("inner(C) cut(B)/2", "inner(C) cut(B)/4"), "needs piece for piece");
    expect_complaint(edited("in %2 same", "in %2 all"), "without a wait after its writer");
    expect_complaint(edited("in %2 same", "in %2 none"), "has no edge to the step that writes value %2");
    expect_complaint(edited("in %0 none", "in %0 same"), "value that no step writes value %0");
}

static void unsound_memory(void **state) {
    (void)state;
    expect_complaint(edited("arena+64 bytes", "arena+0 bytes"), "%0 and %2 are alive at the same time");
    expect_complaint(edited("arena+192 bytes", "arena+64 bytes"), "%2 and %4 are alive at the same time");
    expect_complaint(edited("arena+64 bytes", "arena+32 bytes"), "%2 is not aligned");
    expect_complaint(edited("memory arena 320", "memory arena 300"), "%4 lies outside of its space");
    expect_complaint(edited("in_place state+0", "in_place state+64"),
                     "%5 is written in place of a state at another place");
}

static void states_in_place(void **state) {
    (void)state;
    // The update reads w at another column than it writes.
    expect_complaint(edited("    %3 = sub f32[C,F] %0 %2\n    output \"w\" %3\n",
                            "    %3 = sub f32[C,F] %0 %2\n    %4 = select f32[C] %0 from F at 0\n"
                            "    %5 = mul f32[C,F] %3 %4\n    output \"w\" %5\n"),
                     "%5 is written over its state while step 2 (update) reads the old one");
    // Without a wait some thread may still be in step 1, which reads w.
    expect_complaint(edited("cut()/1 wait\n  in %1 none, %4 all", "cut(C)/2\n  in %1 none, %4 none"), "has no edge");
}

// Memory may be used again after a wait, not before.
static void memory_is_reused_after_a_wait(void **state) {
    (void)state;
    const char *third = "value %6 temporary f32[C,F] @ (C, F) arena+64 bytes 64\nstep 0 row";
    const char *later = "step 3 map \"copy\" at \"w\" tiles cut()/1 wait\n  in %5 all\n  out %6\n  region {\n"
                        "    %0 = operand f32[C,F] 0\n    %1 = neg f32[C,F] %0\n    output \"z\" %1\n  }\nmemory";
    const char *text = edited("step 0 row", third);
    const char *memory = strstr(text, "memory");
    const char *whole = arena_format(arena, "%.*s%s%s", (int)(memory - text), text, later, memory + strlen("memory"));
    parse(whole);
    char *unsynchronised = arena_copy(arena, whole);
    memcpy(strstr(unsynchronised, "cut()/1 wait\n  in %5 all"), "cut()/1     \n  in %5 all", 24);
    expect_complaint(unsynchronised, "without a wait after its writer");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(text_goes_both_ways, setup, teardown),
        cmocka_unit_test_setup_teardown(parsed_fields, setup, teardown),
        cmocka_unit_test_setup_teardown(meaning_is_that_of_the_regions, setup, teardown),
        cmocka_unit_test_setup_teardown(wrong_texts, setup, teardown),
        cmocka_unit_test_setup_teardown(unsound_values, setup, teardown),
        cmocka_unit_test_setup_teardown(unsound_wiring, setup, teardown),
        cmocka_unit_test_setup_teardown(unsound_forms, setup, teardown),
        cmocka_unit_test_setup_teardown(unsound_products, setup, teardown),
        cmocka_unit_test_setup_teardown(unsound_cuts_and_edges, setup, teardown),
        cmocka_unit_test_setup_teardown(unsound_memory, setup, teardown),
        cmocka_unit_test_setup_teardown(states_in_place, setup, teardown),
        cmocka_unit_test_setup_teardown(memory_is_reused_after_a_wait, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
