// Remembering what tuning found: one small text file for each model, shape, machine and mode.
//
//     # sinter tune 1 0123456789abcdef
//     # tuned: 9.8 ms against 10.3 ms of the model's own choice (-4.9 %, interval -5.2 .. -4.1 %), with the same bits
//     # searched, in seconds: 30
//     strand 24 groups 2 in step
//     # end fedcba9876543210
//
// The name is the hash of what the best choices depend on; the end is the hash of everything before it. The folder is
// only for its owner. What is damaged, or not ours, is not taken: the caller says so and tunes again.
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cache.h"
#include "base/file.h"
#include "driver/tune/tune.h"

enum { LARGEST_FILE = 4 << 20 };

static unsigned long long hash_of(const char *text) {
    return hash_text(text);
}

const char *tune_folder(Arena *arena) {
    const char *home = cache_home(arena);
    return home ? arena_format(arena, "%s/tune", home) : NULL;
}

const char *tune_path(Arena *arena, const char *folder, const char *key) {
    return arena_format(arena, "%s/%016llx.choices", folder, hash_of(key));
}

static const char *first_line(Arena *arena, const char *key) {
    return arena_format(arena, "# sinter tune 1 %016llx\n", hash_of(key));
}

static const char *folder_of(Arena *arena, const char *path) {
    const char *end = strrchr(path, '/');
    return arena_copy_range(arena, path, (size_t)(end - path));
}

// ---- reading

static const char *file_refusal(Arena *arena, const char *path, const struct stat *facts) {
    if (!S_ISREG(facts->st_mode)) return arena_format(arena, "%s is no plain file", path);
    if (facts->st_uid != geteuid()) return arena_format(arena, "%s belongs to somebody else", path);
    return NULL;
}

// Whether the text is whole: begins as this key's does, and ends with the hash of the rest.
static bool is_whole(Arena *arena, const char *text, const char *key) {
    const char *first = first_line(arena, key), *end = NULL;
    if (strncmp(text, first, strlen(first)) != 0) return false;
    for (const char *at = strstr(text, "\n# end "); at; at = strstr(at + 1, "\n# end "))
        end = at + 1;
    if (!end) return false;
    unsigned long long hash = hash_bytes(text, (size_t)(end - text));
    return text_equal(end, arena_format(arena, "# end %016llx\n", hash));
}

const char *tune_load(Arena *arena, const char *path, const char *key, const char **note) {
    struct stat facts;
    size_t length;
    *note = NULL;
    if (lstat(path, &facts) != 0) return NULL;
    *note = cache_folder_refusal(arena, folder_of(arena, path));
    if (!*note) *note = file_refusal(arena, path, &facts);
    if (*note) return NULL;
    const char *text = file_read_all(arena, path, LARGEST_FILE, &length, diags_create(arena));
    if (text && strlen(text) == length && is_whole(arena, text, key)) return text;
    *note = arena_format(arena, "%s is damaged, or of another version", path);
    return NULL;
}

// ---- writing

static bool write_file(Arena *arena, const char *path, const Text *text, Diags *complaints) {
    FileWriter *writer = file_writer_open(arena, path, complaints);
    if (!writer) return false;
    bool done = file_writer_write(writer, text_string(text), text->length, complaints) &&
                file_writer_commit(writer, complaints);
    if (!done) file_writer_abandon(writer);
    return done;
}

const char *tune_save(Arena *arena, const char *path, const char *key, const char *choices) {
    const char *refusal = cache_make_folder(arena, folder_of(arena, path));
    if (refusal) return refusal;
    Text text = text_create(arena);
    text_append(&text, "%s", first_line(arena, key));
    text_append_bytes(&text, choices, strlen(choices));
    if (text.data[text.length - 1] != '\n') text_append(&text, "\n");
    text_append(&text, "# end %016llx\n", hash_bytes(text.data, text.length));
    Diags *complaints = diags_create(arena);
    if (write_file(arena, path, &text, complaints)) return NULL;
    return arena_format(arena, "%s cannot be written: %s", path, strerror(errno));
}
