// The text of choices: what is read, what is complained of; patterns; which line wins.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "passes/choices.h"

typedef struct {
    Arena *arena;
    Diags *diags;
    Choices *choices;
    bool sound;
} Read;

static Read read(const char *source) {
    Read result = {.arena = arena_create()};
    result.diags = diags_create(result.arena);
    result.choices = choices_create(result.arena);
    result.sound = choices_add(result.choices, "t", source, result.diags);
    return result;
}

static void what_is_read(void **state) {
    (void)state;
    Read all = read("# nothing\n"
                    "forbid band of softmax at layer[*].p   # why\n"
                    "\tchunk layernorm backward at a 4 over B,T in eval\r\n"
                    "strand 6 groups 2\nstrand off\n"
                    "fuse a with b\n"
                    "in micro\n"
                    "tile a#2 13x32\n"
                    "forbid param in panels\n");
    assert_true(all.sound);
    assert_int_equal(choices_count(all.choices), 7);
    const Choice *forbid = choices_at(all.choices, 0), *chunk = choices_at(all.choices, 1);
    assert_int_equal(forbid->word_count, 3);
    assert_string_equal(forbid->place, "layer[*].p");
    assert_string_equal(forbid->text, "forbid band of softmax at layer[*].p");
    assert_int_equal(forbid->at.line, 2);
    assert_string_equal(chunk->label, "layernorm backward");
    assert_string_equal(chunk->over, "B,T");
    assert_string_equal(chunk->program, "eval");
    assert_int_equal(chunk->pieces, 4);
    assert_int_equal(choices_at(all.choices, 2)->groups, 2);
    assert_int_equal(choices_at(all.choices, 3)->verb, CHOICE_FORBID);
    assert_string_equal(choices_at(all.choices, 4)->with, "b");
    assert_string_equal(choices_at(all.choices, 5)->program, "micro");
    assert_int_equal(choices_at(all.choices, 5)->lanes, 32);
    assert_int_equal(choices_at(all.choices, 6)->word_count, 3);
    arena_free(all.arena);
}

static void what_is_complained_of(void **state) {
    (void)state;
    static const struct {
        const char *source, *complaint;
    } cases[] = {
        {"kep a", "t:1:1: error: there is no choice 'kep'"},
        {"xyzzy a", "choices are: fuse, forbid, make, keep, redo, tile, block, chunk, strand, engine, precision"},
        {"\n  forbid", "t:2:3: error: expected words of a decision, found the end of the line"},
        {"forbid band at", "expected a place, found the end of the line"},
        {"forbid band at a b", "t:1:18: error: expected the end of the line, found 'b'"},
        {"keep", "expected a place"},
        {"keep a b", "expected the end of the line, found 'b'"},
        {"fuse a and b", "expected 'with PLACE', found 'and'"},
        {"tile a 13", "expected ROWSxLANES, such as 13x32, found '13'"},
        {"tile a 0x32", "expected ROWSxLANES"},
        {"tile a 13x32x4", "expected ROWSxLANES"},
        {"chunk a -4", "expected a number of pieces, found '-4'"},
        {"chunk a 99999999999999999999", "expected a number of pieces"},
        {"chunk a 4 over", "expected 'over DIM,DIM'"},
        {"strand on", "expected a number of pieces, found 'on'"},
        {"engine a mkl", "expected 'tiles', 'openblas' or 'cublaslt', found 'mkl'"},
        {"precision a i32", "'i32': values are stored in f32, bf16 or f16"},
        {"keep a in train", "there is no program 'train'"},
        {"in train", "there is no program 'train'"},
        {"forbid a b c d e f g h i j k l m", "more than 12 words"},
        {"keep a a a a a a a a a a a a a a a a a a a a a a a a a a a a a a a a a a a", "more than 31 words"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        Read result = read(cases[i].source);
        Text text = text_create(result.arena);
        diags_render(result.diags, &text);
        assert_false(result.sound);
        if (!strstr(text_string(&text), cases[i].complaint))
            fail_msg("'%s' expected in:\n%s", cases[i].complaint, text_string(&text));
        arena_free(result.arena);
    }
}

static void patterns(void **state) {
    (void)state;
    static const struct {
        const char *pattern, *name;
        bool meets;
    } cases[] = {
        {"layer[*].p", "layer[0].p", true},          {"layer[*].p", "layer[12].p", true},
        {"layer[*].p", "layer[0].pp", false},        {"layer[1..3].p", "layer[2].p", true},
        {"layer[1..3].p", "layer[4].p", false},      {"layer[0,2..3].p", "layer[0].p", true},
        {"layer[0,2..3].p", "layer[1].p", false},    {"h.{0..1}.w", "h.1.w", true},
        {"h.{0..1}.w", "h.2.w", false},              {"h.*.w", "h.7.w", true},
        {"*", "anything", true},                     {"", "", true},
        {"", "a", false},                            {"a", "a#2", true},
        {"a#2", "a#2", true},                        {"a#2", "a", false},
        {"a*c*", "abcd", true},                      {"a*d", "abc", false},
        {"layer[0].s~1", "layer[0].s~12", false},    {"layer[x].p", "layer[0].p", false},
        {"layer[0..].p", "layer[0].p", false},       {"[", "[", true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (choice_matches(cases[i].pattern, cases[i].name) != cases[i].meets)
            fail_msg("'%s' and '%s'", cases[i].pattern, cases[i].name);
}

static void later_lines_win(void **state) {
    (void)state;
    Read all = read("forbid band\nmake band at a\nkeep a\nredo a in eval\nforbid \"band of x\" at b\n");
    assert_true(all.sound);
    choices_begin(all.choices, "step");
    assert_int_equal(choices_about(all.choices, "find_bands", "band of x", "a")->verb, CHOICE_MAKE);
    assert_int_equal(choices_about(all.choices, "find_bands", "band of x", "c")->verb, CHOICE_FORBID);
    assert_int_equal(choices_about(all.choices, "find_bands", "band of x", "b")->at.line, 5);
    assert_int_equal(choices_about(all.choices, "find_bands", "band of x y", "b")->at.line, 1);
    assert_null(choices_about(all.choices, "find_bands", "bandage", "a"));
    assert_int_equal(choices_of_value(all.choices, "a")->verb, CHOICE_KEEP);
    choices_begin(all.choices, "eval");
    assert_int_equal(choices_of_value(all.choices, "a")->verb, CHOICE_REDO);
    assert_null(choices_of_value(all.choices, "b"));
    assert_true(choices_finish(all.choices, all.diags));
    choices_reset(all.choices);
    choices_begin(all.choices, "step");
    assert_false(choices_finish(all.choices, all.diags));   // nothing was asked
    arena_free(all.arena);
}

static void none_at_all(void **state) {
    (void)state;
    assert_int_equal(choices_count(NULL), 0);
    assert_null(choices_about(NULL, "a", "b", "c"));
    assert_null(choices_of_value(NULL, "a"));
    choices_begin(NULL, "step");
    choices_reset(NULL);
    assert_true(choices_finish(NULL, NULL));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_read),    cmocka_unit_test(what_is_complained_of), cmocka_unit_test(patterns),
        cmocka_unit_test(later_lines_win), cmocka_unit_test(none_at_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
