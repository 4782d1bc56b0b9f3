// base/: sizes, arenas, guards, text, diagnostics and atomic files, with failing calls injected.
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/diag.h"
#include "base/file.h"
#include "base/memory.h"
#include "base/size.h"
#include "base/text.h"

static void sizes_overflow_is_refused(void **state) {
    (void)state;
    size_t result = 7;
    assert_false(size_add(SIZE_MAX, 1, &result));
    assert_false(size_multiply(SIZE_MAX / 2, 3, &result));
    assert_false(size_align_up(SIZE_MAX - 3, 64, &result));
    assert_int_equal(result, 7);
    assert_true(size_align_up(65, 64, &result));
    assert_int_equal(result, 128);
    assert_true(size_align_up(SIZE_MAX - 63, 64, &result));
}

static void arena_memory_is_zeroed_aligned_and_counted(void **state) {
    (void)state;
    Arena *arena = arena_create();
    for (size_t bytes = 1; bytes < 100000; bytes = bytes * 3 + 1) {
        unsigned char *memory = arena_alloc(arena, bytes);
        assert_int_equal((uintptr_t)memory % 16, 0);
        for (size_t i = 0; i < bytes; i++) assert_int_equal(memory[i], 0);
        memset(memory, 0xff, bytes);
    }
    arena_reset(arena);
    assert_int_equal(arena_bytes(arena), 0);
    assert_int_equal(*(unsigned char *)arena_alloc(arena, 64), 0);
    arena_free(arena);
}

static int allocations_left;
static void *limited_allocate(void *context, size_t bytes, size_t alignment) {
    (void)context;
    return allocations_left-- > 0 ? aligned_alloc(alignment, (bytes + alignment - 1) / alignment * alignment) : NULL;
}
static void limited_release(void *context, void *memory) {
    (void)context;
    free(memory);
}

static void exhausted_memory_reaches_the_guard(void **state) {
    (void)state;
    AllocTable saved = alloc_table;
    alloc_table = (AllocTable){limited_allocate, limited_release, NULL, 0};
    allocations_left = 3;
    Arena *volatile arena = arena_create();
    MemoryGuard guard;
    memory_guard_push(&guard);
    volatile int caught = 0;
    if (setjmp(guard.jump) == 0) {
        for (;;) arena_alloc(arena, 1 << 20);
    } else {
        caught = 1;
    }
    assert_int_equal(caught, 1);
    assert_true(guard.wanted >= 1 << 20);
    arena_free(arena);
    alloc_table = saved;
}

static void doubles_print_shortest_and_exact(void **state) {
    (void)state;
    Arena *arena = arena_create();
    const double values[] = {0.1, 1.0 / 3, 1e300, 5e-324, -0.0, 16777217, 0.02};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        Text text = text_create(arena);
        text_append_double(&text, values[i]);
        double read = strtod(text_string(&text), NULL);
        assert_memory_equal(&read, &values[i], sizeof read);
    }
    Text text = text_create(arena);
    text_append_double(&text, 0.02);
    text_append_double(&text, -INFINITY);
    assert_string_equal(text_string(&text), "0.02-inf");
    arena_free(arena);
}

static void nearest_name(void **state) {
    (void)state;
    const char *names[] = {"batch_size", "block_size", "n_layer"};
    assert_string_equal(text_nearest("bach_size", names, 3), "batch_size");
    assert_null(text_nearest("wandb_project", names, 3));
}

static void diagnostics_show_line_and_caret(void **state) {
    (void)state;
    Arena *arena = arena_create();
    Diags *diags = diags_create(arena);
    assert_false(diag_error(diags, (Place){"m.spec", "one\n\ttwo three\n", 2, 6}, "unknown '%s'", "three"));
    diag_note(diags, (Place){0}, "known: two");
    Text text = text_create(arena);
    diags_render(diags, &text);
    assert_string_equal(text_string(&text),
                        "m.spec:2:6: error: unknown 'three'\n    \ttwo three\n    \t    ^\n    note: known: two\n");
    assert_int_equal(diags_errors(diags), 1);
    arena_free(arena);
}

// ---- files

static char directory[] = "/tmp/sinter-base-XXXXXX";
static int make_directory(void **state) {
    (void)state;
    return mkdtemp(directory) ? 0 : -1;
}

static ssize_t (*real_write)(int, const void *, size_t);
static int (*real_sync)(int), (*real_rename)(const char *, const char *);
static ssize_t dribble(int file, const void *bytes, size_t count) {
    return real_write(file, bytes, count > 3 ? 3 : count);
}
static ssize_t full_disk(int file, const void *bytes, size_t count) {
    (void)file, (void)bytes, (void)count;
    errno = ENOSPC;
    return -1;
}
static int broken_sync(int file) {
    (void)file;
    errno = EIO;
    return -1;
}
static int broken_rename(const char *from, const char *to) {
    (void)from, (void)to;
    errno = EACCES;
    return -1;
}

static bool save(Arena *arena, const char *path, const char *text, Diags *diags) {
    FileWriter *writer = file_writer_open(arena, path, diags);
    if (!writer) return false;
    if (!file_writer_write(writer, text, strlen(text), diags)) {
        file_writer_abandon(writer);
        return false;
    }
    return file_writer_commit(writer, diags);
}

static void files_appear_whole_or_not_at_all(void **state) {
    (void)state;
    Arena *arena = arena_create();
    Diags *diags = diags_create(arena);
    const char *path = arena_format(arena, "%s/file", directory);
    const char *left_over = arena_format(arena, "%s.tmp.%ld", path, (long)getpid());
    FileTable saved = file_table;
    real_write = saved.write, real_sync = saved.sync, real_rename = saved.rename;

    file_table.write = dribble;  // short writes are completed
    assert_true(save(arena, path, "the old state", diags));
    file_table.write = full_disk;
    assert_false(save(arena, path, "new", diags));
    file_table.write = saved.write;
    file_table.sync = broken_sync;
    assert_false(save(arena, path, "new", diags));
    file_table.sync = saved.sync;
    file_table.rename = broken_rename;
    assert_false(save(arena, path, "new", diags));
    file_table = saved;

    assert_string_equal(file_read_all(arena, path, 100, NULL, diags), "the old state");
    assert_false(file_exists(left_over));
    assert_int_equal(diags_errors(diags), 3);
    assert_null(file_read_all(arena, path, 4, NULL, diags));
    assert_null(file_read_all(arena, directory, 4, NULL, diags));
    assert_null(file_read_all(arena, "/nonexistent/file", 4, NULL, diags));
    assert_int_equal(diags_errors(diags), 6);
    unlink(path);
    arena_free(arena);
}

static void directories_are_made_with_their_parents(void **state) {
    (void)state;
    Arena *arena = arena_create();
    Diags *diags = diags_create(arena);
    const char *deep = arena_format(arena, "%s/a/b", directory);
    assert_true(file_make_directories(deep, diags));
    assert_true(file_make_directories(deep, diags));
    assert_false(file_make_directories("", diags));
    rmdir(deep);
    rmdir(arena_format(arena, "%s/a", directory));
    rmdir(directory);
    arena_free(arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sizes_overflow_is_refused),
        cmocka_unit_test(arena_memory_is_zeroed_aligned_and_counted),
        cmocka_unit_test(exhausted_memory_reaches_the_guard),
        cmocka_unit_test(doubles_print_shortest_and_exact),
        cmocka_unit_test(nearest_name),
        cmocka_unit_test(diagnostics_show_line_and_caret),
        cmocka_unit_test(files_appear_whole_or_not_at_all),
        cmocka_unit_test(directories_are_made_with_their_parents),
    };
    return cmocka_run_group_tests(tests, make_directory, NULL);
}
