// The verifier on rounds: the expected plan of tests/passes/plan_rounds/loss_head.ir with one thing changed, for each
// rule.
#include "tests/plan/edited_plan.h"

static int setup(void **state) {
    (void)state;
    return edited_setup("plan_rounds/loss_head.ir");
}

static void sound_text_goes_both_ways(void **state) {
    (void)state;
    Plan *plan = sound_plan();
    assert_int_equal(plan_rounds_end(plan, 0), 4);
    assert_int_equal(plan_rounds_end(plan, 4), 5);
    assert_false(cut_sums_rounds(plan, &plan->steps[2]));
    assert_true(cut_sums_rounds(plan, &plan->steps[3]));
    assert_int_equal(value_round_bytes(&plan->values[3]), 512 * 96 * 4);
}

static void words_are_checked(void **state) {
    (void)state;
    expect(edited(sound, "step 0 ", "rounds 2", "rounds 1"), "the rounds");
    expect(edited(sound, "step 0 ", "rounds 2 over(B,T)", "rounds 2"), "expected 'over'");
    expect(edited(sound, "value %3 ", "rounds 2", "rounds 0"), "the rounds");
}

static void steps_have_the_same_rounds(void **state) {
    (void)state;
    expect(edited(sound, "step 1 ", "rounds 2", "rounds 4"), "step 1 (add) has other rounds than the step before");
    expect(edited(sound, "step 1 ", "over(B,T)", "over(B)"), "step 1 (add) has other rounds than the step before");
    expect(edited(sound, "step 0 ", "/4 rounds 2", "/4 groups 2 rounds 2"),
           "step 0 (product) has rounds and is of a strand");
    expect(edited(sound, "step 1 ", "over(B,T)", "over(B,T) joined"), "step 1 (add) has rounds and is of a strand");
}

static void rounds_are_whole_pieces(void **state) {
    (void)state;
    expect(edited(sound, "step 0 ", "cut(B,T)/4", "cut(B,T)/5"),
           "step 0 (product) has rounds that are not whole pieces of its rows");
    expect(edited(sound, "step 0 ", "cut(B,T)/4", "cut(B)/2"),
           "step 0 (product) has rounds that are not whole pieces of its rows");
    const char *text = sound;
    for (int s = 0; s < 4; s++) text = edited(text, arena_format(arena, "step %d ", s), "rounds 2", "rounds 3");
    expect(text, "step 0 (product) has rounds of different numbers of rows");
}

static void sums_go_on_over_their_rows(void **state) {
    (void)state;
    expect(edited(sound, "step 3 ", "cut(V)/2", "cut(C)/2"), "or is cut along other dims than its rows");
    // A row step that sums over the rows has no way to go on.
    const char *text = edited(sound, "step 4 ", "cut()/1", "cut()/1 rounds 2 over(B,T)");
    expect(text, "step 4 (sum) sums over rounds and is no product of tiles with one result");
}

// What is there after the last round only, or of another round, is not read in this one.
static void reads_are_of_the_round(void **state) {
    (void)state;
    expect(edited(sound, "step 1 ", "over(B,T) flops 786432 bytes 798720\n  in %2 none, %3 same",
                  "over(B,T) wait flops 786432 bytes 798720\n  in %2 none, %3 all"),
           "step 1 (add) reads other rounds than its own: value %3");
}

static void one_round_lies_in_memory(void **state) {
    (void)state;
    expect(edited(sound, "value %3 ", "bytes 196608", "bytes 393216"), "has other bytes than one of its rounds");
    expect(edited(sound, "value %3 ", "rounds 2", "rounds 4"),
           "value %3 has rounds, and those of step 0 are no ranges of it");
    expect(edited(sound, "value %3 ", "(B, T, V)", "(V, B, T)"), "has rounds, and those of step 0 are no ranges of it");
    expect(edited(sound, "value %6 ", "rounds 2 name \"grad.logits\" over %3 arena+0 bytes 196608",
                  "name \"grad.logits\" over %3 arena+0 bytes 393216"),
           "value %6 is written over %3, which is not like it");
    // Nobody but the steps of its rounds ever sees it whole.
    const char *text = edited(sound, "value %4 ", "f32[B,T] @ (B, T) arena", "f32[B,T] @ (B, T) rounds 2 arena");
    expect(edited(text, "value %4 ", "bytes 4096", "bytes 2048"),
           "value %4 has rounds and is read behind them by step 4");
}

// The first step comes again, for the next round, behind the last one.
static void memory_lasts_through_all_rounds(void **state) {
    (void)state;
    expect(edited(sound, "value %9 ", "arena+262144", "arena+268288"),
           "values %2 and %9 are alive at the same time in the same memory");
    expect(edited(sound, "value %8 ", "arena+196608", "arena+131072"),
           "values %3 and %8 are alive at the same time in the same memory");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(sound_text_goes_both_ways, setup, edited_teardown),
        cmocka_unit_test_setup_teardown(words_are_checked, setup, edited_teardown),
        cmocka_unit_test_setup_teardown(steps_have_the_same_rounds, setup, edited_teardown),
        cmocka_unit_test_setup_teardown(rounds_are_whole_pieces, setup, edited_teardown),
        cmocka_unit_test_setup_teardown(sums_go_on_over_their_rows, setup, edited_teardown),
        cmocka_unit_test_setup_teardown(reads_are_of_the_round, setup, edited_teardown),
        cmocka_unit_test_setup_teardown(one_round_lies_in_memory, setup, edited_teardown),
        cmocka_unit_test_setup_teardown(memory_lasts_through_all_rounds, setup, edited_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
