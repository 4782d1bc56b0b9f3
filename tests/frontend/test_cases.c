// Golden graphs: tests/frontend/cases/NAME.spec must lower to NAME.graph, which must be sound and read back the same.
// Comment lines `# use: loss|eval|logits` and `# keys: a=1 b=2` in a spec say how. With UPDATE_CASES set the graphs are
// written anew, to be read before they are committed.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/file.h"
#include "tests/frontend/keys.h"

static const char *const cases[] = {
    "absent", "functions", "gates", "layers", "moves", "sliding_alibi", "softcap_qknorm_sigmoid", "sums", "types"};

// What follows `mark` on its line; "" when there is none.
static const char *comment(Arena *arena, const char *source, const char *mark) {
    const char *found = strstr(source, mark);
    if (!found) return "";
    found += strlen(mark);
    return arena_copy_range(arena, found, strcspn(found, "\n"));
}

static SpecUse use_of(const char *word) {
    if (text_equal(word, "eval")) return SPEC_EVAL;
    return text_equal(word, "logits") ? SPEC_LOGITS : SPEC_LOSS;
}

static Graph *case_lower(Arena *arena, const char *name, const char *source, Diags *diags) {
    Spec *spec = spec_parse(arena, name, source, diags);
    if (!spec) return NULL;
    Config *config = keys_create(arena);
    if (!spec_declare(spec, config, diags)) return NULL;
    keys_assign(arena, config, comment(arena, source, "# keys: "), diags);
    return spec_lower(arena, spec, config, use_of(comment(arena, source, "# use: ")), diags);
}

static void update(const char *path, const char *text) {
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    assert_int_equal(fclose(file), 0);
}

static void test_case(void **state) {
    const char *name = *state;
    Arena *arena = arena_create();
    Diags *diags = diags_create(arena);
    const char *spec_path = arena_format(arena, SOURCE_DIR "/tests/frontend/cases/%s.spec", name);
    const char *graph_path = arena_format(arena, SOURCE_DIR "/tests/frontend/cases/%s.graph", name);
    const char *source = file_read_all(arena, spec_path, 1 << 20, NULL, diags);
    Graph *graph = source ? case_lower(arena, name, source, diags) : NULL;
    Text complaints = text_create(arena), text = text_create(arena), again = text_create(arena);
    diags_render(diags, &complaints);
    assert_string_equal(text_string(&complaints), "");
    assert_non_null(graph);
    assert_null(graph_verify(graph, arena));
    graph_print(graph, &text);
    if (getenv("UPDATE_CASES")) update(graph_path, text_string(&text));
    const char *expected = file_read_all(arena, graph_path, 1 << 20, NULL, diags);
    assert_non_null(expected);
    assert_string_equal(text_string(&text), expected);
    Graph *parsed = graph_parse(arena, graph_path, expected, diags);
    assert_non_null(parsed);
    graph_print(parsed, &again);
    assert_string_equal(text_string(&again), expected);
    arena_free(arena);
}

// The complete models of docs/spec.md are models.
static void test_document(void **state) {
    (void)state;
    Arena *arena = arena_create();
    Diags *diags = diags_create(arena);
    const char *at = file_read_all(arena, SOURCE_DIR "/docs/spec.md", 1 << 20, NULL, diags);
    assert_non_null(at);
    static const char mark[] = "```spec\n";
    int found = 0;
    for (; (at = strstr(at, mark)) != NULL; found++) {
        at += sizeof mark - 1;
        const char *end = strstr(at, "```");
        assert_non_null(end);
        Graph *graph = case_lower(arena, "spec.md", arena_copy_range(arena, at, (size_t)(end - at)), diags);
        Text complaints = text_create(arena);
        diags_render(diags, &complaints);
        assert_string_equal(text_string(&complaints), "");
        assert_non_null(graph);
        assert_null(graph_verify(graph, arena));
        at = end + 3;
    }
    assert_int_equal(found, 3);
    arena_free(arena);
}

int main(void) {
    enum { COUNT = sizeof cases / sizeof *cases };
    struct CMUnitTest tests[COUNT + 1];
    for (size_t i = 0; i < COUNT; i++)
        tests[i] =
            (struct CMUnitTest){.name = cases[i], .test_func = test_case, .initial_state = (void *)(uintptr_t)cases[i]};
    tests[COUNT] = (struct CMUnitTest)cmocka_unit_test(test_document);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
