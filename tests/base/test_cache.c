// Bytes remembered on disk: whole or not at all, ours or not at all, within a limit, and never the end of a run.
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cache.h"
#include "base/file.h"

enum { LIMIT = 1 << 20 };

typedef struct {
    Arena *arena;
    Diags *diags;
    char root[64];
    const char *folder;
} Bench;

static int set_up(void **state) {
    Arena *arena = arena_create();
    Bench *bench = ARENA_NEW(arena, Bench);
    bench->arena = arena;
    bench->diags = diags_create(arena);
    strcpy(bench->root, "/tmp/sinter-cache-XXXXXX");
    assert_non_null(mkdtemp(bench->root));
    bench->folder = arena_format(arena, "%s/home/sinter/code", bench->root);
    *state = bench;
    return 0;
}

static int tear_down(void **state) {
    Bench *bench = *state;
    const char *command = arena_format(bench->arena, "rm -rf %s", bench->root);
    int status = system(command);
    arena_free(bench->arena);
    return status;
}

static Cache *open_cache(Bench *bench) { return cache_open(bench->arena, bench->folder, LIMIT, bench->diags); }
static WideHash key_of(const char *text) { return hash_wide(text, strlen(text)); }

static const char *complaints(Bench *bench) {
    Text text = text_create(bench->arena);
    diags_render(bench->diags, &text);
    return text_string(&text);
}

static const char *entry_of(Bench *bench, const char *text, const char *kind) {
    WideHash key = key_of(text);
    return arena_format(bench->arena, "%s/%016llx%016llx.%s", bench->folder, key.words[1], key.words[0], kind);
}

static bool has(Bench *bench, Cache *cache, const char *text, const char *kind, const char *expected) {
    size_t length = 0;
    const char *bytes = cache_get(cache, bench->arena, key_of(text), kind, &length);
    return bytes && length == strlen(expected) && memcmp(bytes, expected, length) == 0;
}

static bool has_none(Bench *bench, Cache *cache, const char *text) {
    size_t length;
    return cache_get(cache, bench->arena, key_of(text), "code", &length) == NULL;
}

static void put(Cache *cache, const char *text, const char *kind, const char *bytes) {
    cache_put(cache, key_of(text), kind, bytes, strlen(bytes));
}

static void bytes_come_back_in_another_run(void **state) {
    Bench *bench = *state;
    Cache *cache = open_cache(bench);
    assert_non_null(cache);
    assert_true(has_none(bench, cache, "a"));
    put(cache, "a", "code", "the bytes of a");
    put(cache, "b", "code", "");
    put(cache, "a", "other", "another kind");
    Cache *later = open_cache(bench);
    assert_true(has(bench, later, "a", "code", "the bytes of a"));
    assert_true(has(bench, later, "b", "code", ""));
    assert_true(has(bench, later, "a", "other", "another kind"));
    put(later, "a", "code", "new bytes");
    assert_true(has(bench, cache, "a", "code", "new bytes"));
    struct stat facts;
    assert_int_equal(stat(bench->folder, &facts), 0);
    assert_int_equal(facts.st_mode & 0777, 0700);
    assert_int_equal(stat(arena_format(bench->arena, "%s/home/sinter", bench->root), &facts), 0);
    assert_int_equal(facts.st_mode & 0777, 0700);
    assert_int_equal(stat(entry_of(bench, "a", "code"), &facts), 0);
    assert_int_equal(facts.st_mode & 0777, 0600);
    assert_int_equal(diags_count(bench->diags), 0);
}

static void without_a_cache_there_is_nothing(void **state) {
    Bench *bench = *state;
    assert_true(has_none(bench, NULL, "a"));
    put(NULL, "a", "code", "bytes");
}

static void flip_byte(const char *path, off_t at) {
    int file = open(path, O_RDWR);
    char byte;
    assert_int_equal(pread(file, &byte, 1, at), 1);
    byte ^= 1;
    assert_int_equal(pwrite(file, &byte, 1, at), 1);
    close(file);
}

// Any byte of an entry, changed: the entry is gone, said, and made again.
static void damaged_entries_are_removed_and_said(void **state) {
    Bench *bench = *state;
    Cache *cache = open_cache(bench);
    static const char text[] = "some machine code";
    const char *path = entry_of(bench, "a", "code");
    enum { HEADER = 64 };
    // the last eight bytes of the header say nothing
    for (off_t at = 0; at < HEADER + (off_t)sizeof text - 1; at++) {
        if (at >= HEADER - 8 && at < HEADER) continue;
        put(cache, "a", "code", text);
        flip_byte(path, at);
        size_t before = diags_count(bench->diags);
        assert_true(has_none(bench, cache, "a"));
        assert_int_equal(diags_count(bench->diags), before + 1);
        assert_false(file_exists(path));
    }
    assert_non_null(strstr(complaints(bench), "is damaged; removed, and made again"));
    assert_int_equal(diags_errors(bench->diags), 0);
}

static void cut_and_lengthened_entries_are_damaged(void **state) {
    Bench *bench = *state;
    Cache *cache = open_cache(bench);
    const char *path = entry_of(bench, "a", "code");
    static const off_t lengths[] = {0, 1, 63, 64, 70, 200};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        put(cache, "a", "code", "twenty bytes of code");
        assert_int_equal(truncate(path, lengths[i]), 0);
        assert_true(has_none(bench, cache, "a"));
    }
    put(cache, "a", "code", "good again");
    assert_true(has(bench, cache, "a", "code", "good again"));
}

static void an_entry_under_another_name_is_not_taken(void **state) {
    Bench *bench = *state;
    Cache *cache = open_cache(bench);
    put(cache, "a", "code", "of a");
    assert_int_equal(rename(entry_of(bench, "a", "code"), entry_of(bench, "b", "code")), 0);
    assert_true(has_none(bench, cache, "b"));
}

static void links_and_open_entries_are_not_taken(void **state) {
    Bench *bench = *state;
    Cache *cache = open_cache(bench);
    const char *path = entry_of(bench, "a", "code"), *aside = arena_format(bench->arena, "%s/aside", bench->root);
    put(cache, "a", "code", "bytes");
    assert_int_equal(rename(path, aside), 0);
    assert_int_equal(symlink(aside, path), 0);
    assert_true(has_none(bench, cache, "a"));
    assert_true(file_exists(aside));
    put(cache, "a", "code", "bytes");
    assert_int_equal(chmod(path, 0644), 0);
    assert_true(has_none(bench, cache, "a"));
    assert_non_null(strstr(complaints(bench), "is open to others"));
    assert_int_equal(mkdir(path, 0700), 0);
    assert_true(has_none(bench, cache, "a"));
}

static void open_or_linked_folders_are_not_used(void **state) {
    Bench *bench = *state;
    assert_non_null(open_cache(bench));
    assert_int_equal(chmod(bench->folder, 0755), 0);
    assert_null(open_cache(bench));
    assert_non_null(strstr(complaints(bench), "nothing is remembered between runs"));
    assert_non_null(strstr(complaints(bench), "chmod 700"));
    const char *aside = arena_format(bench->arena, "%s/aside", bench->root);
    assert_int_equal(chmod(bench->folder, 0700), 0);
    assert_int_equal(rename(bench->folder, aside), 0);
    assert_int_equal(symlink(aside, bench->folder), 0);
    assert_null(open_cache(bench));
    bench->folder = "/dev/null/nowhere/code";
    assert_null(open_cache(bench));
    assert_non_null(strstr(complaints(bench), "cannot be made"));
}

static void the_oldest_go_when_the_folder_is_full(void **state) {
    Bench *bench = *state;
    Cache *cache = cache_open(bench->arena, bench->folder, 4096, bench->diags);
    char large[1200];
    memset(large, 'x', sizeof large);
    const char *names[] = {"a", "b", "c"};
    for (int i = 0; i < 3; i++) {
        cache_put(cache, key_of(names[i]), "code", large, sizeof large);
        struct timespec times[2] = {{.tv_sec = 1000 + i}, {.tv_sec = 1000 + i}};
        assert_int_equal(utimensat(AT_FDCWD, entry_of(bench, names[i], "code"), times, 0), 0);
    }
    size_t length;
    assert_non_null(cache_get(cache, bench->arena, key_of("a"), "code", &length));  // now the one used last
    cache_put(cache, key_of("d"), "code", large, sizeof large);
    assert_true(file_exists(entry_of(bench, "a", "code")));
    assert_false(file_exists(entry_of(bench, "b", "code")));
    assert_true(file_exists(entry_of(bench, "c", "code")));
    assert_true(file_exists(entry_of(bench, "d", "code")));
    char huge[5000] = {0};
    cache_put(cache, key_of("e"), "code", huge, sizeof huge);
    assert_false(file_exists(entry_of(bench, "e", "code")));
}

static ssize_t full_disk(int file, const void *bytes, size_t count) {
    (void)file, (void)bytes, (void)count;
    errno = ENOSPC;
    return -1;
}

static int bad_rename(const char *from, const char *to) {
    (void)from, (void)to;
    errno = EIO;
    return -1;
}

static void a_failed_write_leaves_nothing_and_is_said_once(void **state) {
    Bench *bench = *state;
    FileTable saved = file_table;
    Cache *cache = open_cache(bench);
    file_table.write = full_disk;
    put(cache, "a", "code", "bytes");
    put(cache, "b", "code", "bytes");
    file_table = saved;
    assert_int_equal(diags_count(bench->diags), 1);
    assert_non_null(strstr(complaints(bench), "No space left on device"));
    cache = open_cache(bench);
    file_table.rename = bad_rename;
    put(cache, "a", "code", "bytes");
    file_table = saved;
    assert_true(has_none(bench, cache, "a"));
    assert_int_not_equal(system(arena_format(bench->arena, "ls %s | grep -q .", bench->folder)), 0);
}

static ssize_t bad_read(int file, void *bytes, size_t count) {
    (void)file, (void)bytes, (void)count;
    errno = EIO;
    return -1;
}

static void a_failed_read_is_a_miss(void **state) {
    Bench *bench = *state;
    FileTable saved = file_table;
    Cache *cache = open_cache(bench);
    put(cache, "a", "code", "bytes");
    file_table.read = bad_read;
    bool none = has_none(bench, cache, "a");
    file_table = saved;
    assert_true(none);
    put(cache, "a", "code", "bytes");
    assert_true(has(bench, cache, "a", "code", "bytes"));
}

static void the_environment_names_the_folder(void **state) {
    Bench *bench = *state;
    setenv("XDG_CACHE_HOME", "/some/where", 1);
    setenv("HOME", "/home/me", 1);
    assert_string_equal(cache_home(bench->arena), "/some/where/sinter");
    setenv("XDG_CACHE_HOME", "relative", 1);
    assert_string_equal(cache_home(bench->arena), "/home/me/.cache/sinter");
    unsetenv("XDG_CACHE_HOME");
    setenv("HOME", "", 1);
    assert_null(cache_home(bench->arena));
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(bytes_come_back_in_another_run),
        TEST(without_a_cache_there_is_nothing),
        TEST(damaged_entries_are_removed_and_said),
        TEST(cut_and_lengthened_entries_are_damaged),
        TEST(an_entry_under_another_name_is_not_taken),
        TEST(links_and_open_entries_are_not_taken),
        TEST(open_or_linked_folders_are_not_used),
        TEST(the_oldest_go_when_the_folder_is_full),
        TEST(a_failed_write_leaves_nothing_and_is_said_once),
        TEST(a_failed_read_is_a_miss),
        TEST(the_environment_names_the_folder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
