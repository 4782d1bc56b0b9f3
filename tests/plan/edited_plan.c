// See edited_plan.h.
#include "tests/plan/edited_plan.h"

#include <string.h>

#include "base/file.h"

Arena *arena;
const char *sound;

int edited_setup(const char *file) {
    arena = arena_create();
    size_t length;
    const char *path = arena_format(arena, SOURCE_DIR "/tests/passes/%s", file);
    const char *text = file_read_all(arena, path, 1 << 20, &length, diags_create(arena));
    const char *line = text ? strstr(text, "\n---\n") : NULL;
    sound = line ? line + 5 : NULL;
    return sound ? 0 : -1;
}

int edited_teardown(void **state) {
    (void)state;
    arena_free(arena);
    return 0;
}

const char *complaint(const char *text) {
    Diags *diags = diags_create(arena);
    if (plan_parse(arena, "case", text, diags)) return NULL;
    Text words = text_create(arena);
    diags_render(diags, &words);
    return text_string(&words);
}

const char *edited(const char *text, const char *mark, const char *from, const char *to) {
    const char *at = strstr(text, mark);
    at = at ? strstr(at, from) : NULL;
    if (!at) fail_msg("'%s' is not behind '%s'", from, mark);
    return arena_format(arena, "%.*s%s%s", (int)(at - text), text, to, at + strlen(from));
}

void expect(const char *text, const char *fragment) {
    const char *words = complaint(text);
    if (!words || !strstr(words, fragment)) fail_msg("'%s' is not in: %s", fragment, words ? words : "(accepted)");
}

Plan *sound_plan(void) {
    Plan *plan = plan_parse(arena, "case", sound, diags_create(arena));
    assert_non_null(plan);
    Text out = text_create(arena);
    plan_print(plan, &out);
    assert_string_equal(text_string(&out), sound);
    return plan;
}
