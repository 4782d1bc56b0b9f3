// The verifier on strands with chains inside: the expected plan of tests/passes/plan_chains/inside_a_strand.ir with one
// thing changed, for each rule.
#include "tests/plan/edited_plan.h"

static int setup(void **state) {
    (void)state;
    return edited_setup("plan_chains/inside_a_strand.ir");
}

static void sound_text_goes_both_ways(void **state) {
    (void)state;
    Plan *plan = sound_plan();
    assert_int_equal(plan_chain_end(plan, 4), 8);
    const StepNest *nest = plan_nest(plan, arena);
    assert_int_equal(nest[7].chain, 4);
    assert_int_equal(nest[8].chain, 8);
    assert_int_equal(nest[15].strand, 0);
    assert_int_equal(plan_shared_cut(plan, nest, 4, 5)->pieces, 32);
    assert_int_equal(plan_shared_cut(plan, nest, 3, 4)->pieces, 4);
    assert_int_equal(plan_shared_cut(plan, nest, 7, 13)->pieces, 4);
    const Cut **windows = plan_windows(plan, nest, arena);
    assert_int_equal(windows[8]->pieces, 32);    // read inside of its chain only
    assert_int_equal(windows[10]->pieces, 4);    // and by others, too
    assert_int_equal(windows[12]->pieces, 4);    // a sum over the ranges
    assert_null(windows[17]);
}

static void chains_are_cut_alike(void **state) {
    (void)state;
    expect(edited(sound, "step 5 ", " joined chained", " chained"),
           "step 5 (exp) is chained to a step of another strand");
    expect(edited(sound, "step 1 ", " joined tile", " joined chained tile"),
           "step 1 (product) is chained, and cut no finer than its strand");
    expect(edited(sound, "step 5 ", "(B,H,T)/32", "(B,H,T)/64"),
           "step 5 (exp) is chained to a step that is cut otherwise");
    expect(edited(sound, "step 4 ", "groups 2", "groups 4"),
           "step 4 (product) is joined to a step that is cut otherwise");
    expect(edited(sound, "step 4 ", "(B,H,T)/32", "(H,T)/32"),
           "step 4 (product) is joined to a step that is cut otherwise");
    expect(edited(sound, "step 0 ", "cut(B)/4 groups 2", "cut(B,T)/8 groups 2"),
           "is joined to a step that is cut otherwise");
}

// A sum over the pieces of a strand is whole behind the strand only.
static void sums_are_not_read_before_they_are_whole(void **state) {
    (void)state;
    static const char text[] = "plan \"sum\"\n"
                               "dim B=4 C=16\n"
                               "value %0 input f32[B,C] @ (B, C) \"x\" stored(B,C)\n"
                               "value %1 temporary f32[C] @ (C)\n"
                               "value %2 output f32[B,C] @ (B, C) name \"y\"\n"
                               "step 0 row \"sum\" at \"s\" tiles inner(B) cut(B)/2 groups 1\n"
                               "  in %0 none\n"
                               "  out %1\n"
                               "  region {\n"
                               "    %0 = operand f32[B,C] 0\n"
                               "    %1 = sum f32[C] %0 over(B)\n"
                               "    output \"s\" %1\n"
                               "  }\n"
                               "step 1 map \"add\" at \"y\" tiles cut(B)/2 groups 1 wait\n"
                               "  in %0 none, %1 all\n"
                               "  out %2\n"
                               "  region {\n"
                               "    %0 = operand f32[B,C] 0\n"
                               "    %1 = operand f32[C] 1\n"
                               "    %2 = add f32[B,C] %0 %1\n"
                               "    output \"y\" %2\n"
                               "  }\n";
    if (complaint(text)) fail_msg("%s", complaint(text));
    expect(edited(text, "step 1 ", "wait\n  in %0 none, %1 all", "joined\n  in %0 none, %1 same"),
           "step 1 (add) needs piece for piece a sum over the pieces: value %1");
}

static void memory_lasts_through_all_ranges(void **state) {
    (void)state;
    // %21 is read by step 13 last, %16 written by step 15: but step 13 comes again for the next range.
    expect(edited(sound, "value %16", "scratch+12288", "scratch+16384"),
           "values %16 and %21 are alive at the same time in the same memory");
    expect(edited(sound, "value %22", "bytes 4096", "bytes 8192"),
           "lies in scratch with other bytes than one piece has");
    expect(edited(sound, "value %9 ", "bytes 4096", "bytes 512"),
           "lies in scratch with other bytes than one piece has");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(sound_text_goes_both_ways, setup, edited_teardown),
        cmocka_unit_test_setup_teardown(chains_are_cut_alike, setup, edited_teardown),
        cmocka_unit_test_setup_teardown(sums_are_not_read_before_they_are_whole, setup, edited_teardown),
        cmocka_unit_test_setup_teardown(memory_lasts_through_all_ranges, setup, edited_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
