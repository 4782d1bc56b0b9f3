// The ledger's lines, and Target as text.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "ir/ledger.h"
#include "ir/target.h"

static Decision decision(const char *pass, const char *what, const char *place, bool made, const char *reason,
                         double bytes_saved, double flops_saved) {
    return (Decision){.pass = pass,
                      .what = what,
                      .place = place,
                      .made = made,
                      .reason = reason,
                      .bytes_saved = bytes_saved,
                      .flops_saved = flops_saved};
}

static void layers_are_one_line(void **state) {
    (void)state;
    Arena *arena = arena_create();
    Ledger *ledger = ledger_create(arena);
    char place[32];
    for (int layer = 11; layer >= 0; layer--) {
        snprintf(place, sizeof place, "layer[%d].p", layer);
        ledger_add(ledger, decision("boxes", "box softmax", place, true, "rows fit the cache", 4096, 0));
        if (layer != 4 && layer > 1) continue;
        ledger_add(ledger, decision("boxes", "box gelu", place, false, "two readers", 0, 0));
    }
    ledger_add(ledger, decision("boxes", "box softmax", "p", true, "rows fit the cache", 4096, 0));
    ledger_add(ledger, decision("boxes", "box softmax", "layer[3].p", true, "rows fit the cache", 1, 0));
    ledger_add(ledger, decision("memory", "", "", true, NULL, 0, 0));
    Text text = text_create(arena);
    ledger_print(ledger, &text);
    assert_string_equal(text_string(&text),
                        "made     boxes: box softmax at layer[0..11].p: rows fit the cache; "
                        "saves 4.1e+03 bytes, 0 flops each\n"
                        "refused  boxes: box gelu at layer[0..1,4].p: two readers\n"
                        "made     boxes: box softmax at p: rows fit the cache; saves 4.1e+03 bytes, 0 flops\n"
                        "made     boxes: box softmax at layer[3].p: rows fit the cache; saves 1 bytes, 0 flops\n"
                        "made     memory: \n");
    arena_free(arena);
}

// A layer in the reason goes with the layer of the place.
static void reasons_follow_the_layer(void **state) {
    (void)state;
    Arena *arena = arena_create();
    Ledger *ledger = ledger_create(arena);
    ledger_add(ledger, decision("boxes", "box norm", "layer[0].a", false, "layer[0].x is read twice", 0, 0));
    ledger_add(ledger, decision("boxes", "box norm", "layer[1].a", false, "layer[1].x is read twice", 0, 0));
    ledger_add(ledger, decision("boxes", "box norm", "layer[2].a", false, "layer[2].y is read twice", 0, 0));
    Text text = text_create(arena);
    ledger_print(ledger, &text);
    assert_string_equal(text_string(&text), "refused  boxes: box norm at layer[0..1].a: layer[0..1].x is read twice\n"
                                            "refused  boxes: box norm at layer[2].a: layer[2].y is read twice\n");
    arena_free(arena);
}

// Stored names carry their layer between points; what is numbered at the end of a name is no layer.
static void stored_names_have_layers(void **state) {
    (void)state;
    Arena *arena = arena_create();
    Ledger *ledger = ledger_create(arena);
    ledger_add(ledger, decision("boxes", "box sum", "grad.h.1.c_fc.bias", false, "two readers", 0, 0));
    ledger_add(ledger, decision("boxes", "box sum", "grad.h.0.c_fc.bias", false, "two readers", 0, 0));
    ledger_add(ledger, decision("boxes", "box sum", "h.7.c_fc.bias", false, "two readers", 0, 0));
    ledger_add(ledger, decision("boxes", "box sum", "x.1", false, "two readers", 0, 0));
    ledger_add(ledger, decision("boxes", "box sum", "x.2", false, "two readers", 0, 0));
    ledger_add(ledger, decision("boxes", "box sum", "layer[2].x.1", false, "two readers", 0, 0));
    Text text = text_create(arena);
    ledger_print(ledger, &text);
    assert_string_equal(text_string(&text), "refused  boxes: box sum at grad.h.{0..1}.c_fc.bias: two readers\n"
                                            "refused  boxes: box sum at h.7.c_fc.bias: two readers\n"
                                            "refused  boxes: box sum at x.1: two readers\n"
                                            "refused  boxes: box sum at x.2: two readers\n"
                                            "refused  boxes: box sum at layer[2].x.1: two readers\n");
    arena_free(arena);
}

static void decisions_are_copied(void **state) {
    (void)state;
    Arena *arena = arena_create();
    Ledger *ledger = ledger_create(arena);
    char reason[] = "first";
    ledger_add(ledger, decision("pass", "what", "place", true, reason, 1, 2));
    reason[0] = 'x';
    assert_int_equal(ledger_count(ledger), 1);
    assert_string_equal(ledger_at(ledger, 0)->reason, "first");
    assert_true(ledger_at(ledger, 0)->flops_saved == 2);
    arena_free(arena);
}

static const char *target_text(Arena *arena, const Target *target) {
    Text text = text_create(arena);
    target_print(target, &text);
    return text_string(&text);
}

static void targets_print_and_parse(void **state) {
    (void)state;
    Arena *arena = arena_create();
    Target target = target_default(), read;
    strcpy(target.cpu, "znver4");
    target.vector_bytes = 64;
    target.peak_flops = 1.0 / 3.0;
    const char *text = target_text(arena, &target);
    assert_non_null(strstr(text, "triple host\ncpu znver4\ngpu none\ncores 2\n"));
    assert_true(target_parse("t", text, &read, diags_create(arena)));
    assert_string_equal(target_text(arena, &read), text);
    assert_true(read.peak_flops == target.peak_flops && read.triple[0] == 0);
    arena_free(arena);
}

static void gpus_are_known_by_name(void **state) {
    (void)state;
    Arena *arena = arena_create();
    Target target = target_default(), read;
    assert_false(target_is_gpu(&target));
    assert_false(target_of_gpu("sm_1", &target));
    assert_true(target_of_gpu("sm_90a", &target));
    const char *text = target_text(arena, &target);
    assert_non_null(strstr(text, "gpu sm_90a\ncores 132\n"));
    assert_true(target_parse("t", text, &read, diags_create(arena)));
    assert_string_equal(target_text(arena, &read), text);
    assert_true(target_is_gpu(&read));
    arena_free(arena);
}

static void targets_are_read_loosely(void **state) {
    (void)state;
    Arena *arena = arena_create();
    Target target = target_default(), read;
    const char *text = arena_format(arena, "# machine\n\n  \r\n%s", target_text(arena, &target));
    assert_true(target_parse("t", text, &read, diags_create(arena)));
    arena_free(arena);
}

static void wrong_targets_are_refused(void **state) {
    (void)state;
    static const struct {
        const char *line, *message;
    } wrong[] = {
        {"cache 3\n", "t:1:1: error: a target has no field 'cache'"},
        {"cores 0\n", "t:1:7: error: '0' is no value of cores"},
        {"cores two\n", "'two' is no value of cores"},
        {"cores 2 3\n", "t:1:9: error: '3' after the value of cores"},
        {"cores\n", "cores has no value"},
        {"cores 2\ncores 2\n", "t:2:1: error: cores twice"},
        {"vector_bytes 24\n", "'24' is no value of vector_bytes"},
        {"l1_bytes -1\n", "'-1' is no value of l1_bytes"},
        {"bandwidth nan\n", "'nan' is no value of bandwidth"},
        {"cpu aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\n", "is no value of cpu"},
        {"", "the target lacks cores"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        Arena *arena = arena_create();
        Diags *diags = diags_create(arena);
        Target target = {.cores = 77};
        assert_false(target_parse("t", wrong[i].line, &target, diags));
        assert_int_equal(target.cores, 77);  // untouched
        Text text = text_create(arena);
        diags_render(diags, &text);
        if (!strstr(text_string(&text), wrong[i].message)) fail_msg("%s:\n%s", wrong[i].message, text_string(&text));
        arena_free(arena);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(layers_are_one_line),     cmocka_unit_test(reasons_follow_the_layer),
        cmocka_unit_test(stored_names_have_layers), cmocka_unit_test(decisions_are_copied),
        cmocka_unit_test(targets_print_and_parse),
        cmocka_unit_test(gpus_are_known_by_name),
        cmocka_unit_test(targets_are_read_loosely), cmocka_unit_test(wrong_targets_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
