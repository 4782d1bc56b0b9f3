// Remembered bytes: see cache.h.
//
// One file for each entry: a header of 64 bytes, then the bytes.
//
//     "sinter cache 1\n\0" | key [16] | number of bytes [8] | hash of the bytes [16] | zeros [8]
#include "base/cache.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"

typedef struct {
    char magic[16];
    WideHash key;
    unsigned long long bytes;
    WideHash hash;
    unsigned long long zeros;
} Header;

static const char magic[16] = "sinter cache 1\n";

struct Cache {
    const char *folder;
    size_t limit;
    Diags *diags;
    bool has_failed;  // to write; said once
};

// ---- the folder

const char *cache_home(Arena *arena) {
    const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    if (cache && *cache == '/') return arena_format(arena, "%s/sinter", cache);  // a relative one is to be ignored
    if (home && *home == '/') return arena_format(arena, "%s/.cache/sinter", home);
    return NULL;
}

const char *cache_folder_refusal(Arena *arena, const char *folder) {
    struct stat facts;
    if (lstat(folder, &facts) != 0) return arena_format(arena, "%s: %s", folder, strerror(errno));
    if (!S_ISDIR(facts.st_mode)) return arena_format(arena, "%s is no folder", folder);
    if (facts.st_uid != geteuid()) return arena_format(arena, "%s belongs to somebody else", folder);
    if (facts.st_mode & 077) return arena_format(arena, "%s is open to others; chmod 700 it", folder);
    return NULL;
}

static const char *folder_above(Arena *arena, const char *folder) {
    const char *end = strrchr(folder, '/');
    return end && end != folder ? arena_copy_range(arena, folder, (size_t)(end - folder)) : "/";
}

static bool make_private(const char *folder) { return mkdir(folder, 0700) == 0 || errno == EEXIST; }

const char *cache_make_folder(Arena *arena, const char *folder) {
    const char *above = folder_above(arena, folder);
    Diags *complaints = diags_create(arena);
    bool is_made =
        file_make_directories(folder_above(arena, above), complaints) && make_private(above) && make_private(folder);
    return is_made ? cache_folder_refusal(arena, folder)
                   : arena_format(arena, "%s cannot be made: %s", folder, strerror(errno));
}

Cache *cache_open(Arena *arena, const char *folder, size_t limit, Diags *diags) {
    const char *refusal = cache_make_folder(arena, folder);
    if (refusal) {
        diag_warning(diags, (Place){0}, "nothing is remembered between runs: %s", refusal);
        return NULL;
    }
    Cache *cache = ARENA_NEW(arena, Cache);
    *cache = (Cache){.folder = arena_copy(arena, folder), .limit = limit, .diags = diags};
    return cache;
}

// ---- entries

static const char *entry_path(const Cache *cache, Arena *arena, WideHash key, const char *kind) {
    return arena_format(arena, "%s/%016llx%016llx.%s", cache->folder, key.words[1], key.words[0], kind);
}

static bool read_bytes(int file, void *bytes, size_t count) {
    for (size_t done = 0; done < count;) {
        ssize_t got = file_table.read(file, (char *)bytes + done, count - done);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) return false;
        done += (size_t)got;
    }
    return true;
}

// Why the open entry is not taken; NULL: its bytes are in *bytes.
static const char *read_entry(const Cache *cache, int file, Arena *arena, WideHash key, void **bytes, size_t *length) {
    struct stat facts;
    Header header;
    if (fstat(file, &facts) != 0 || !S_ISREG(facts.st_mode)) return "is no plain file";
    if (facts.st_uid != geteuid()) return "belongs to somebody else";
    if (facts.st_mode & 077) return "is open to others";
    if (!read_bytes(file, &header, sizeof header) || memcmp(header.magic, magic, sizeof magic) != 0)
        return "is damaged";
    bool fits = memcmp(&header.key, &key, sizeof key) == 0 && header.bytes <= cache->limit &&
                (unsigned long long)facts.st_size == sizeof header + header.bytes;
    if (!fits) return "is damaged";
    *bytes = arena_alloc(arena, header.bytes + 1);
    if (!read_bytes(file, *bytes, header.bytes)) return "is damaged";
    WideHash hash = hash_wide(*bytes, header.bytes);
    *length = header.bytes;
    return memcmp(&hash, &header.hash, sizeof hash) == 0 ? NULL : "is damaged";
}

static void close_number(void *file) { file_table.close(*(int *)file); }

const void *cache_get(Cache *cache, Arena *arena, WideHash key, const char *kind, size_t *length) {
    if (!cache) return NULL;
    const char *path = entry_path(cache, arena, key, kind);
    int file = file_table.open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0);
    if (file < 0 && errno == ENOENT) return NULL;
    void *bytes = NULL;
    const char *refusal = strerror(errno);
    if (file >= 0) {
        MemoryOwned owned;
        memory_own(&owned, close_number, &file);
        refusal = read_entry(cache, file, arena, key, &bytes, length);
        memory_disown(&owned);
        if (!refusal) futimens(file, NULL);  // used now; a failure costs only its place in the order of removal
        file_table.close(file);
    }
    if (!refusal) return bytes;
    bool is_removed = file_table.remove(path) == 0;
    diag_warning(cache->diags, (Place){0}, "%s %s; %s", path, refusal,
                 is_removed ? "removed, and made again" : "not used");
    return NULL;
}

// ---- the limit

typedef struct {
    const char *path;
    time_t used;
    size_t bytes;
} Entry;

static int compare_age(const void *left, const void *right) {
    const Entry *a = left, *b = right;
    return (a->used > b->used) - (a->used < b->used);
}

static void close_folder(void *folder) { closedir(folder); }

// Lists the entries; what broken writes left behind is removed.
static Entry *list_entries(const Cache *cache, DIR *folder, Arena *arena, size_t *count) {
    enum { LEFT_BEHIND_SECONDS = 3600 };
    Entry *entries = NULL;
    size_t capacity = 0;
    for (struct dirent *item; (item = readdir(folder));) {
        struct stat facts;
        if (fstatat(dirfd(folder), item->d_name, &facts, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISREG(facts.st_mode)) continue;
        const char *path = arena_format(arena, "%s/%s", cache->folder, item->d_name);
        if (strstr(item->d_name, ".tmp.") && time(NULL) - facts.st_mtime > LEFT_BEHIND_SECONDS) {
            file_table.remove(path);
            continue;
        }
        entries = arena_grow(arena, entries, &capacity, *count + 1, sizeof *entries);
        entries[(*count)++] = (Entry){path, facts.st_mtime, (size_t)facts.st_size};
    }
    return entries;
}

// Removes the entries that were not used for the longest time until the rest fits.
static void trim(const Cache *cache, Arena *arena) {
    DIR *folder = opendir(cache->folder);
    if (!folder) return;
    size_t count = 0, total = 0;
    MemoryOwned owned;
    memory_own(&owned, close_folder, folder);
    Entry *entries = list_entries(cache, folder, arena, &count);
    memory_disown(&owned);
    closedir(folder);
    for (size_t i = 0; i < count; i++) total += entries[i].bytes;
    if (total <= cache->limit) return;
    qsort(entries, count, sizeof *entries, compare_age);
    for (size_t i = 0; i < count && total > cache->limit; i++) {
        if (file_table.remove(entries[i].path) == 0) total -= entries[i].bytes;
    }
}

// ---- writing

static bool write_bytes(int file, const void *bytes, size_t count) {
    for (size_t done = 0; done < count;) {
        ssize_t put = file_table.write(file, (const char *)bytes + done, count - done);
        if (put < 0 && errno == EINTR) continue;
        if (put < 0) return false;
        done += (size_t)put;
    }
    return true;
}

// No sync: an entry that a crash tears is found out by its hash.
static bool write_entry(const char *path, const char *temporary, const Header *header, const void *bytes) {
    int file = file_table.open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
    if (file < 0) return false;
    bool done = write_bytes(file, header, sizeof *header) && write_bytes(file, bytes, header->bytes);
    done = file_table.close(file) == 0 && done;
    done = done && file_table.rename(temporary, path) == 0;
    int reason = errno;
    if (!done) file_table.remove(temporary);
    errno = reason;
    return done;
}

void cache_put(Cache *cache, WideHash key, const char *kind, const void *bytes, size_t length) {
    if (!cache || cache->has_failed || length > cache->limit) return;
    Arena *arena = arena_create();
    static unsigned number;  // keeps two entries of one process apart, and a file left behind by one of the same id
    Header header = {.key = key, .bytes = length, .hash = hash_wide(bytes, length)};
    memcpy(header.magic, magic, sizeof magic);
    const char *path = entry_path(cache, arena, key, kind);
    const char *temporary =
        arena_format(arena, "%s.tmp.%ld.%lld.%u", path, (long)getpid(), (long long)time(NULL), number++);
    if (!write_entry(path, temporary, &header, bytes)) {
        cache->has_failed = true;
        diag_warning(cache->diags, (Place){0}, "nothing more is remembered: %s cannot be written: %s", path,
                     strerror(errno));
    } else {
        trim(cache, arena);
    }
    arena_free(arena);
}
