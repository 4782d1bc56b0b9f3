#include "runtime/input.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/file.h"

static bool is_wrong_path(int error) {
    return error == ENOENT || error == ENOTDIR || error == EACCES || error == EISDIR || error == ELOOP ||
           error == ENAMETOOLONG || error == ESPIPE;
}

static RuntimeStatus fail(const char *path, const char *what, Diags *diags) {
    int error = errno;
    diag_error(diags, (Place){0}, "%s: %s: %s", path, what, error == ESPIPE ? "not a plain file" : strerror(error));
    return is_wrong_path(error) ? RUNTIME_BAD_FILE : RUNTIME_IO;
}

RuntimeStatus input_open(const char *path, int *file, int64_t *bytes, Diags *diags) {
    *file = file_table.open(path, O_RDONLY, 0);
    if (*file < 0) return fail(path, "cannot open", diags);
    if (file_table.size(*file, bytes) == 0) return RUNTIME_OK;
    RuntimeStatus status = fail(path, "cannot read", diags);
    file_table.close(*file);
    *file = -1;
    return status;
}

static void close_number(void *file) {
    file_table.close(*(int *)file);
}

RuntimeStatus input_read_all(Arena *arena, const char *path, size_t limit, char **contents, size_t *length,
                             Diags *diags) {
    int file;
    int64_t bytes;
    RuntimeStatus status = input_open(path, &file, &bytes, diags);
    if (status != RUNTIME_OK) return status;
    if ((uint64_t)bytes > limit) {
        diag_error(diags, (Place){0}, "%s: %lld bytes, more than the limit of %zu", path, (long long)bytes, limit);
        status = RUNTIME_BAD_FILE;
    } else {
        *length = (size_t)bytes;
        MemoryOwned owned;
        memory_own(&owned, close_number, &file);
        *contents = arena_alloc(arena, *length + 1);
        memory_disown(&owned);
        if (!file_read_at(file, path, *contents, *length, 0, diags)) status = RUNTIME_IO;
    }
    file_table.close(file);
    return status;
}
