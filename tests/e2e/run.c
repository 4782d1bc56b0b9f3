// See run.h. A program of tests has one folder, SINTER is the path of the program.
#include "tests/e2e/run.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "base/diag.h"
#include "base/file.h"
#include "base/text.h"

char run_folder[] = "/tmp/sinter-e2e-XXXXXX";

static int exit_code(int status) { return WIFEXITED(status) ? WEXITSTATUS(status) : -1; }

int run_setup(void **state) {
    (void)state;
    return mkdtemp(run_folder) && setenv("SINTER", SINTER, 1) == 0 ? 0 : -1;
}

int run_teardown(void **state) {
    (void)state;
    return run_shell("rm -rf %s", run_folder);
}

static int run_list(const char *before, const char *format, va_list arguments, const char *behind) {
    Arena *arena = arena_create();
    Text command = text_create(arena);
    text_append(&command, "cd %s && %s", run_folder, before);
    text_append_list(&command, format, arguments);
    text_append(&command, "%s", behind);
    int status = system(text_string(&command));
    arena_free(arena);
    return exit_code(status);
}

int run_sinter(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    int code = run_list("timeout 300 $SINTER ", format, arguments, " >log 2>&1");
    va_end(arguments);
    return code;
}

int run_shell(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    int code = run_list("{ ", format, arguments, "\n}");
    va_end(arguments);
    return code;
}

void run_show_log(void) {
    if (run_shell("tail -n 20 log") != 0) puts("no log");
}

void expect_log(int status, int code, const char *fragment, const char *what) {
    Arena *arena = arena_create();
    const char *log = read_file(arena, "log");
    if (status != code || !strstr(log, fragment))
        fail_msg("sinter %s: exit %d (expected %d), '%s' expected in:\n%.3000s", what, status, code, fragment, log);
    arena_free(arena);
}

void expect(int code, const char *fragment, const char *arguments) {
    expect_log(run_sinter("%s", arguments), code, fragment, arguments);
}

// ---- files

static const char *path_of(Arena *arena, const char *name) {
    return *name == '/' ? name : arena_format(arena, "%s/%s", run_folder, name);
}

char *read_file(Arena *arena, const char *name) {
    char *text = file_read_all(arena, path_of(arena, name), 100 << 20, NULL, diags_create(arena));
    if (!text) fail_msg("%s cannot be read", name);
    return text;
}

void write_bytes(const char *name, const void *bytes, size_t count) {
    Arena *arena = arena_create();
    FILE *file = fopen(path_of(arena, name), "wb");
    if (!file) fail_msg("%s cannot be written", name);
    assert_int_equal(fwrite(bytes, 1, count, file), count);
    assert_int_equal(fclose(file), 0);
    arena_free(arena);
}

void write_text(const char *name, const char *text) { write_bytes(name, text, strlen(text)); }

void write_tokens(const char *name, int count) {
    Arena *arena = arena_create();
    uint16_t *tokens = ARENA_ARRAY(arena, uint16_t, (size_t)count);
    for (int i = 0; i < count; i++) tokens[i] = (uint16_t)((i * i + i / 7) % 5);
    write_bytes(name, tokens, (size_t)count * sizeof *tokens);
    arena_free(arena);
}
