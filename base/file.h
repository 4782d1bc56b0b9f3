// Files, through an injectable table of calls, so that tests can fail every one of them.
#ifndef SINTER_BASE_FILE_H
#define SINTER_BASE_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/diag.h"
#include "base/memory.h"

// POSIX calls with POSIX results (-1 and errno). Tests replace the table.
typedef struct {
    int (*open)(const char *path, int flags, unsigned mode);
    ssize_t (*read)(int file, void *bytes, size_t count);
    ssize_t (*pread)(int file, void *bytes, size_t count, off_t offset);
    ssize_t (*write)(int file, const void *bytes, size_t count);
    int (*sync)(int file);
    int (*close)(int file);
    int (*rename)(const char *from, const char *to);
    int (*remove)(const char *path);
    int (*size)(int file, int64_t *bytes);
    ssize_t (*pwrite)(int file, const void *bytes, size_t count, off_t offset);
    int (*link)(const char *from, const char *to);
    // Calls `visit` for every name in the folder but "." and "..".
    int (*list)(const char *folder, void (*visit)(void *context, const char *name), void *context);
    int (*room)(const char *path, int64_t *bytes);  // free for this user in the file system of the path
} FileTable;

extern FileTable file_table;

// Whole file into the arena, NUL-terminated; NULL with a diagnostic naming path and reason (also when it is larger than
// `limit` bytes). `*length` may be NULL.
char *file_read_all(Arena *arena, const char *path, size_t limit, size_t *length, Diags *diags);

// The same for a text: a byte 0 in it, behind which nothing would be read, is refused.
char *file_read_text(Arena *arena, const char *path, size_t limit, Diags *diags);

// Reads exactly `count` bytes at `offset`; retries EINTR and short reads. False with a diagnostic on error or end.
bool file_read_at(int file, const char *path, void *bytes, size_t count, int64_t offset, Diags *diags);
bool file_write_all(int file, const char *path, const void *bytes, size_t count, Diags *diags);

// A file that appears whole or not at all: written beside (PATH.tmp.PID), synced, renamed, directory synced.
// A failed sync is final for that temporary file (it is removed, never synced again).
typedef struct FileWriter FileWriter;
FileWriter *file_writer_open(Arena *arena, const char *path, Diags *diags);
bool file_writer_write(FileWriter *writer, const void *bytes, size_t count, Diags *diags);
// Over bytes that were written already.
bool file_writer_patch(FileWriter *writer, const void *bytes, size_t count, int64_t offset, Diags *diags);
bool file_writer_commit(FileWriter *writer, Diags *diags);
void file_writer_abandon(FileWriter *writer);  // removes the temporary file; a no-op after commit

// What was linked, renamed or removed in the folder is so after a loss of power, too.
bool file_sync_folder(const char *folder, Diags *diags);

bool file_exists(const char *path);
bool file_make_directories(const char *path, Diags *diags);  // mkdir -p

#endif
