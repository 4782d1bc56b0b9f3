// What the tests of this room share: a folder of their own, small files, diagnostics as text.
#ifndef SINTER_TESTS_RUNTIME_SUPPORT_H
#define SINTER_TESTS_RUNTIME_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/diag.h"
#include "base/memory.h"
#include "base/text.h"

typedef struct {
    Arena *arena;
    Diags *diags;
    char folder[64];
} Fixture;

static inline int fixture_setup(void **state) {
    Fixture *fixture = calloc(1, sizeof *fixture);
    fixture->arena = arena_create();
    fixture->diags = diags_create(fixture->arena);
    strcpy(fixture->folder, "/tmp/sinter-test-XXXXXX");
    *state = fixture;
    return mkdtemp(fixture->folder) ? 0 : -1;
}

static inline int fixture_teardown(void **state) {
    Fixture *fixture = *state;
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", fixture->folder);
    int result = system(command);
    arena_free(fixture->arena);
    free(fixture);
    return result;
}

#define FIXTURE_TEST(function) cmocka_unit_test_setup_teardown(function, fixture_setup, fixture_teardown)

static inline const char *fixture_path(Fixture *fixture, const char *name) {
    return arena_format(fixture->arena, "%s/%s", fixture->folder, name);
}

// Writes a file in the fixture's folder and returns its path.
static inline const char *fixture_file(Fixture *fixture, const char *name, const void *bytes, size_t count) {
    const char *path = fixture_path(fixture, name);
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, count, file), count);
    assert_int_equal(fclose(file), 0);
    return path;
}

static inline char *fixture_read(Fixture *fixture, const char *path, size_t *length) {
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    char *bytes = arena_alloc(fixture->arena, 1 << 20);
    *length = fread(bytes, 1, (1 << 20) - 1, file);
    fclose(file);
    return bytes;
}

// The diagnostics so far as text; they are forgotten.
static inline const char *fixture_messages(Fixture *fixture) {
    Text text = text_create(fixture->arena);
    diags_render(fixture->diags, &text);
    fixture->diags = diags_create(fixture->arena);
    return text_string(&text);
}

static inline void assert_says(Fixture *fixture, const char *part) {
    const char *messages = fixture_messages(fixture);
    if (!strstr(messages, part))
        fail_msg("'%s' is not in:\n%s", part, messages);
}

static inline void assert_quiet(Fixture *fixture) {
    const char *messages = fixture_messages(fixture);
    if (*messages)
        fail_msg("unexpected:\n%s", messages);
}

#endif
