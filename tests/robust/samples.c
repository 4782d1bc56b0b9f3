#include "tests/robust/samples.h"

#include <dirent.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/file.h"

void samples_add(Samples *samples, const char *bytes, size_t length) {
    samples->list = arena_grow(samples->arena, samples->list, &samples->capacity, samples->count + 1, sizeof(Bytes));
    samples->list[samples->count++] = bytes_copy(samples->arena, bytes, length);
}

static int compare_names(const struct dirent **a, const struct dirent **b) {
    return strcmp((*a)->d_name, (*b)->d_name);
}

static void add_folder(Samples *samples, const char *path, const char *ending, size_t longest, int deeper) {
    struct dirent **entries;
    int count = scandir(path, &entries, NULL, compare_names);
    if (count < 0) fail_msg("%s: %s", path, strerror(errno));
    for (int i = 0; i < count; i++) {
        const char *name = entries[i]->d_name;
        const char *inner = arena_format(samples->arena, "%s/%s", path, name);
        size_t length = strlen(name), tail = strlen(ending);
        if (name[0] != '.' && entries[i]->d_type == DT_DIR && deeper) add_folder(samples, inner, ending, longest, 0);
        if (entries[i]->d_type == DT_REG && length > tail && strcmp(name + length - tail, ending) == 0) {
            char *bytes = file_read_all(samples->arena, inner, 1 << 24, &length, diags_create(samples->arena));
            if (bytes && length <= longest) samples_add(samples, bytes, length);
        }
        free(entries[i]);
    }
    free(entries);
}

void samples_add_file(Samples *samples, const char *file) {
    size_t length;
    const char *path = arena_format(samples->arena, "%s/%s", SOURCE_DIR, file);
    char *bytes = file_read_all(samples->arena, path, 1 << 24, &length, diags_create(samples->arena));
    if (!bytes) fail_msg("%s cannot be read", path);
    samples_add(samples, bytes, length);
}

void samples_add_files(Samples *samples, const char *folder, const char *ending, size_t longest) {
    size_t before = samples->count;
    add_folder(samples, arena_format(samples->arena, "%s/%s", SOURCE_DIR, folder), ending, longest, 1);
    if (samples->count == before) fail_msg("no *%s in %s", ending, folder);
}

Source samples_source(const Samples *samples, const char *const *words) {
    return (Source){samples->list, samples->count, words};
}

// ---- the one file

enum { HANDLE = 1 << 20 };
static Bytes contents;
static size_t position;
static FileTable plain;

static int memory_open(const char *path, int flags, unsigned mode) {
    (void)path, (void)flags, (void)mode;
    position = 0;
    return HANDLE;
}

static ssize_t memory_pread(int file, void *bytes, size_t count, off_t offset) {
    (void)file;
    size_t at = offset < 0 || (size_t)offset > contents.length ? contents.length : (size_t)offset;
    size_t left = contents.length - at, got = count < left ? count : left;
    memcpy(bytes, contents.bytes + at, got);
    return (ssize_t)got;
}

static ssize_t memory_read(int file, void *bytes, size_t count) {
    ssize_t got = memory_pread(file, bytes, count, (off_t)position);
    position += (size_t)got;
    return got;
}

static int memory_close(int file) {
    (void)file;
    return 0;
}

static int memory_size(int file, int64_t *bytes) {
    (void)file;
    *bytes = (int64_t)contents.length;
    return 0;
}

void memory_file_install(Bytes bytes) {
    contents = bytes;
    plain = file_table;
    file_table.open = memory_open;
    file_table.read = memory_read;
    file_table.pread = memory_pread;
    file_table.close = memory_close;
    file_table.size = memory_size;
}

void memory_file_remove(void) {
    file_table = plain;
}
