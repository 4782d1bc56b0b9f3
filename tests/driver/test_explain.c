// The page of `sinter explain`: the text for a tiny model at level op, and what holds of every page.
//
// The golden text is of level op and of the default Target, so that only a change of meaning changes it. BLESS=1 in the
// environment writes it.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "tests/driver/explained.h"

static Explained explain(Arena *arena, const char *model, FuseLevel level) {
    return explained_tiny(arena, model, spec_embedded(model), level);
}

static void a_tiny_model(void **state) {
    (void)state;
    Arena *arena = arena_create();
    Explained shown = explain(arena, "gpt2", FUSE_OP);
    Text text = text_create(arena);
    explain_print(&shown, NULL, &text);
    assert_golden("explain_op.txt", text_string(&text), arena);
    arena_free(arena);
}

static void every_line_fits(void **state) {
    (void)state;
    const char *const models[] = {"gpt2", "llama"};
    for (int m = 0; m < 2; m++) {
        for (int level = FUSE_NONE; level <= FUSE_ALL; level++) {
            Arena *arena = arena_create();
            Explained shown = explain(arena, models[m], (FuseLevel)level), op = explain(arena, models[m], FUSE_OP);
            Text text = text_create(arena);
            explain_print(&shown, &op, &text);
            for (const char *line = text_string(&text); *line; line += strcspn(line, "\n"), line += *line == '\n') {
                size_t length = strcspn(line, "\n");
                if (length > 100) fail_msg("%zu columns: %.*s", length, (int)length, line);
            }
            arena_free(arena);
        }
    }
}

// A decision names its place and its reason, and refusals name what failed.
static void every_decision_has_a_reason(void **state) {
    (void)state;
    const char *const models[] = {"gpt2", "llama"};
    for (int m = 0; m < 2; m++) {
        for (int level = FUSE_NONE; level <= FUSE_ALL; level++) {
            Arena *arena = arena_create();
            Explained shown = explain(arena, models[m], (FuseLevel)level);
            size_t refused = 0;
            for (size_t i = 0; i < ledger_count(shown.ledger); i++) {
                const Decision *decision = ledger_at(shown.ledger, i);
                if (!*decision->what || !*decision->reason)
                    fail_msg("%s: '%s' has no reason", decision->pass, decision->what);
                refused += !decision->made;
            }
            assert_true(ledger_count(shown.ledger) > 0);
            if (level != FUSE_NONE) assert_true(refused > 0);
            arena_free(arena);
        }
    }
}

// Three equal layers are three times the same boxes.
static void layers_share_their_boxes(void **state) {
    (void)state;
    Arena *arena = arena_create();
    Explained shown = explain(arena, "gpt2", FUSE_OP);
    size_t distinct = explain_distinct(shown.plan, arena);
    assert_true(distinct > 20);
    assert_true(distinct < shown.plan->step_count / 2);
    assert_true(explain_kept_bytes(shown.plan, arena) > 0);
    assert_true(explain_kept_bytes(shown.plan, arena) < 2 * (double)shown.plan->arena_bytes);
    arena_free(arena);
}

static void text_is_cut_to_its_columns(void **state) {
    (void)state;
    Arena *arena = arena_create();
    assert_string_equal(explain_fit(arena, "short", 5), "short");
    assert_string_equal(explain_fit(arena, "grad.layer[0].weight", 9), "grad~ight");
    assert_string_equal(explain_quantity(arena, 0), "0");
    assert_string_equal(explain_quantity(arena, 999.4), "999");
    assert_string_equal(explain_quantity(arena, 999.6), "1.00k");
    assert_string_equal(explain_quantity(arena, 12345), "12.3k");
    assert_string_equal(explain_quantity(arena, 786432), "786k");
    Text text = text_create(arena);
    explain_wrapped(&text, 2, "to a, to b", ", ");
    explain_wrapped(&text, 90, "eight888 and more", " ");
    char expected[400];
    snprintf(expected, sizeof expected, "  to a, to b\n%90seight888\n%90sand more\n", "", "");
    assert_string_equal(text_string(&text), expected);
    arena_free(arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_tiny_model),
        cmocka_unit_test(every_line_fits),
        cmocka_unit_test(every_decision_has_a_reason),
        cmocka_unit_test(layers_share_their_boxes),
        cmocka_unit_test(text_is_cut_to_its_columns),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
