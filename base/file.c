// Files through the injectable table: see file.h.
#include "base/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

static int table_open(const char *path, int flags, unsigned mode) { return open(path, flags | O_CLOEXEC, mode); }

static int table_size(int file, int64_t *bytes) {
    struct stat status;
    if (fstat(file, &status) != 0) return -1;
    if (!S_ISREG(status.st_mode)) {
        errno = S_ISDIR(status.st_mode) ? EISDIR : ESPIPE;
        return -1;
    }
    *bytes = status.st_size;
    return 0;
}

static int table_list(const char *folder, void (*visit)(void *context, const char *name), void *context) {
    DIR *stream = opendir(folder);
    if (!stream) return -1;
    errno = 0;
    for (struct dirent *entry; (entry = readdir(stream)); errno = 0)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) visit(context, entry->d_name);
    int error = errno;
    closedir(stream);
    errno = error;
    return error ? -1 : 0;
}

static int table_room(const char *path, int64_t *bytes) {
    struct statvfs facts;
    if (statvfs(path, &facts) != 0) return -1;
    *bytes = (int64_t)facts.f_bavail * (int64_t)facts.f_frsize;
    return 0;
}

FileTable file_table = {table_open, read,       pread,  write, fsync,      close,     rename,
                        unlink,     table_size, pwrite, link,  table_list, table_room};

static bool fail(Diags *diags, const char *path, const char *what) {
    return diag_error(diags, (Place){0}, "%s: %s: %s", path, what,
                      errno == ESPIPE ? "not a plain file" : strerror(errno));
}

static bool read_into(int file, const char *path, char *bytes, size_t count, Diags *diags) {
    for (size_t done = 0; done < count;) {
        ssize_t got = file_table.read(file, bytes + done, count - done);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return fail(diags, path, "cannot read");
        if (got == 0) return diag_error(diags, (Place){0}, "%s: became shorter while it was read", path);
        done += (size_t)got;
    }
    return true;
}

static void close_number(void *file) { file_table.close(*(int *)file); }

char *file_read_all(Arena *arena, const char *path, size_t limit, size_t *length, Diags *diags) {
    int file = file_table.open(path, O_RDONLY, 0);
    if (file < 0) {
        fail(diags, path, "cannot open");
        return NULL;
    }
    int64_t bytes = 0;
    char *contents = NULL;
    if (file_table.size(file, &bytes) != 0) {
        fail(diags, path, "cannot read");
    } else if ((uint64_t)bytes > limit) {
        diag_error(diags, (Place){0}, "%s: %lld bytes, more than the limit of %zu", path, (long long)bytes, limit);
    } else {
        MemoryOwned owned;
        memory_own(&owned, close_number, &file);
        contents = arena_alloc(arena, (size_t)bytes + 1);
        memory_disown(&owned);
        if (!read_into(file, path, contents, (size_t)bytes, diags)) contents = NULL;
    }
    file_table.close(file);
    if (contents && length) *length = (size_t)bytes;
    return contents;
}

char *file_read_text(Arena *arena, const char *path, size_t limit, Diags *diags) {
    size_t length;
    char *text = file_read_all(arena, path, limit, &length, diags);
    if (!text || strlen(text) == length) return text;
    diag_error(diags, (Place){0}, "%s: is no text: byte %zu is 0", path, strlen(text));
    return NULL;
}

bool file_read_at(int file, const char *path, void *bytes, size_t count, int64_t offset, Diags *diags) {
    for (size_t done = 0; done < count;) {
        ssize_t got = file_table.pread(file, (char *)bytes + done, count - done, offset + (off_t)done);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return fail(diags, path, "cannot read");
        if (got == 0)
            return diag_error(diags, (Place){0}, "%s: ends at byte %lld, %zu more were expected", path,
                              (long long)offset + (long long)done, count - done);
        done += (size_t)got;
    }
    return true;
}

bool file_write_all(int file, const char *path, const void *bytes, size_t count, Diags *diags) {
    for (size_t done = 0; done < count;) {
        ssize_t put = file_table.write(file, (const char *)bytes + done, count - done);
        if (put < 0 && errno == EINTR) continue;
        if (put == 0) errno = ENOSPC;
        if (put <= 0) return fail(diags, path, "cannot write");
        done += (size_t)put;
    }
    return true;
}

struct FileWriter {
    MemoryOwned owned;
    char *path, *temporary, *directory;
    int file;  // -1: closed
};

static void abandon(void *writer) { file_writer_abandon(writer); }

static char *directory_of(Arena *arena, const char *path) {
    const char *slash = strrchr(path, '/');
    if (!slash) return arena_copy(arena, ".");
    return arena_copy_range(arena, path, slash == path ? 1 : (size_t)(slash - path));
}

FileWriter *file_writer_open(Arena *arena, const char *path, Diags *diags) {
    FileWriter *writer = ARENA_NEW(arena, FileWriter);
    writer->path = arena_copy(arena, path);
    writer->temporary = arena_format(arena, "%s.tmp.%ld", path, (long)getpid());
    writer->directory = directory_of(arena, path);
    // A file of that name is an interrupted process's, and may be a second name of one that is worth keeping: it is not
    // written into.
    file_table.remove(writer->temporary);
    writer->file = file_table.open(writer->temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0644);
    if (writer->file < 0) {
        fail(diags, writer->temporary, "cannot create");
        return NULL;
    }
    memory_own(&writer->owned, abandon, writer);
    return writer;
}

bool file_writer_write(FileWriter *writer, const void *bytes, size_t count, Diags *diags) {
    return file_write_all(writer->file, writer->temporary, bytes, count, diags);
}

bool file_writer_patch(FileWriter *writer, const void *bytes, size_t count, int64_t offset, Diags *diags) {
    for (size_t done = 0; done < count;) {
        ssize_t put = file_table.pwrite(writer->file, (const char *)bytes + done, count - done, offset + (off_t)done);
        if (put < 0 && errno == EINTR) continue;
        if (put == 0) errno = ENOSPC;
        if (put <= 0) return fail(diags, writer->temporary, "cannot write");
        done += (size_t)put;
    }
    return true;
}

bool file_sync_folder(const char *folder, Diags *diags) {
    int directory = file_table.open(folder, O_RDONLY | O_DIRECTORY, 0);
    if (directory < 0) return fail(diags, folder, "cannot open");
    bool synced = file_table.sync(directory) == 0 || errno == EINVAL;  // some file systems cannot sync directories
    if (!synced) fail(diags, folder, "cannot sync");
    file_table.close(directory);
    return synced;
}

bool file_writer_commit(FileWriter *writer, Diags *diags) {
    memory_disown(&writer->owned);
    bool synced = file_table.sync(writer->file) == 0;
    if (!synced) fail(diags, writer->temporary, "cannot sync");
    bool closed = file_table.close(writer->file) == 0;
    writer->file = -1;
    if (synced && !closed) fail(diags, writer->temporary, "cannot close");
    if (!synced || !closed) {
        file_table.remove(writer->temporary);
        return false;
    }
    if (file_table.rename(writer->temporary, writer->path) != 0) {
        fail(diags, writer->path, "cannot rename into place");
        file_table.remove(writer->temporary);
        return false;
    }
    return file_sync_folder(writer->directory, diags);
}

void file_writer_abandon(FileWriter *writer) {
    if (writer->file < 0) return;
    memory_disown(&writer->owned);
    file_table.close(writer->file);
    writer->file = -1;
    file_table.remove(writer->temporary);
}

bool file_exists(const char *path) { return access(path, F_OK) == 0; }

bool file_make_directories(const char *path, Diags *diags) {
    char partial[4096];
    size_t length = strlen(path);
    if (length == 0 || length >= sizeof partial)
        return diag_error(diags, (Place){0}, "'%s': not a usable directory name", path);
    for (size_t i = 1; i <= length; i++) {
        if (path[i] != '/' && path[i] != '\0') continue;
        memcpy(partial, path, i);
        partial[i] = '\0';
        if (mkdir(partial, 0777) != 0 && errno != EEXIST) return fail(diags, partial, "cannot create directory");
    }
    struct stat status;
    if (stat(path, &status) != 0) return fail(diags, path, "cannot open directory");
    if (!S_ISDIR(status.st_mode)) return diag_error(diags, (Place){0}, "%s: exists and is not a directory", path);
    return true;
}
