#include "runtime/checkpoints.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "runtime/weights.h"

#define NEWEST "ckpt.safetensors"
#define BEST "ckpt-best.safetensors"

// In the order in which files of one save are preferred.
typedef enum { ROLE_NEWEST, ROLE_BEFORE, ROLE_BEST } Role;

typedef struct {
    Role role;
    const char *path;
    int64_t save, iteration;   // 0 when it is damaged
    const char *damage;        // what is wrong with it; NULL: nothing as far as one knows
} Entry;

struct Checkpoints {
    Arena *arena;
    const char *folder;
    Entry *entries;
    size_t count, capacity;
    const char **leftovers;
    size_t leftover_count, leftover_capacity;
    int64_t last_save;
};

static const char *path_of(const Checkpoints *checkpoints, const char *name) {
    return arena_format(checkpoints->arena, "%s/%s", checkpoints->folder, name);
}

// ---- what is there

// "PREFIXdigitsSUFFIX", with at least one digit.
static bool is_numbered(const char *name, const char *prefix, const char *suffix) {
    size_t length = strlen(prefix);
    if (strncmp(name, prefix, length) != 0) return false;
    size_t digits = strspn(name + length, "0123456789");
    return digits > 0 && strcmp(name + length + digits, suffix) == 0;
}

static bool is_leftover(const char *name) {
    const char *ending = NULL;
    for (const char *at = name; (at = strstr(at, ".tmp.")); at++)
        ending = at;
    bool is_ours = strncmp(name, "ckpt", 4) == 0 || strncmp(name, "metrics.jsonl", 13) == 0;
    return is_ours && ending && is_numbered(ending, ".tmp.", "");
}

static void add_entry(Checkpoints *checkpoints, Role role, const char *name) {
    checkpoints->entries = arena_grow(checkpoints->arena, checkpoints->entries, &checkpoints->capacity,
                                      checkpoints->count + 1, sizeof(Entry));
    checkpoints->entries[checkpoints->count++] = (Entry){.role = role, .path = path_of(checkpoints, name)};
}

static void visit(void *context, const char *name) {
    Checkpoints *checkpoints = context;
    if (strcmp(name, NEWEST) == 0) add_entry(checkpoints, ROLE_NEWEST, name);
    if (strcmp(name, BEST) == 0) add_entry(checkpoints, ROLE_BEST, name);
    if (is_numbered(name, "ckpt-", ".safetensors")) add_entry(checkpoints, ROLE_BEFORE, name);
    if (!is_leftover(name)) return;
    checkpoints->leftovers =
        arena_grow(checkpoints->arena, checkpoints->leftovers, &checkpoints->leftover_capacity,
                   checkpoints->leftover_count + 1, sizeof *checkpoints->leftovers);
    checkpoints->leftovers[checkpoints->leftover_count++] = path_of(checkpoints, name);
}

// The first complaint, without "error: PATH: ".
static const char *complaint(Arena *arena, const Diags *diags, const char *path) {
    Text text = text_create(arena);
    diags_render(diags, &text);
    const char *said = text_string(&text), *start = strstr(said, path);
    if (start && strncmp(start + strlen(path), ": ", 2) == 0) said = start + strlen(path) + 2;
    return arena_copy_range(arena, said, strcspn(said, "\n"));
}

static bool read_number(const TensorFile *file, const char *key, int64_t *number) {
    const char *text = tensor_file_metadata(file, key);
    char *end;
    if (!text || !isdigit((unsigned char)*text)) return false;
    errno = 0;
    *number = strtoll(text, &end, 10);
    return errno == 0 && *end == '\0';
}

// Opens a checkpoint, everything but its tensors read and compared; NULL with a reason.
static TensorFile *open_entry(Arena *arena, Entry *entry) {
    Diags *diags = diags_create(arena);
    TensorFile *file = NULL;
    if (tensor_file_open(arena, entry->path, &file, diags) != RUNTIME_OK) {
        entry->damage = complaint(arena, diags, entry->path);
        return NULL;
    }
    if (!tensor_file_has_hashes(file))
        entry->damage = "has no hashes: not written by sinter train";
    else if (!read_number(file, "sinter.save", &entry->save) || !read_number(file, "iter", &entry->iteration))
        entry->damage = "says neither its iteration nor its number: not written by sinter train";
    if (!entry->damage) return file;
    tensor_file_close(file);
    return NULL;
}

// The newest first; damaged ones, whose number is not known, before all.
static int compare_entries(const void *left, const void *right) {
    const Entry *a = left, *b = right;
    if (!a->damage != !b->damage) return a->damage ? -1 : 1;
    if (a->save != b->save) return a->save > b->save ? -1 : 1;
    return a->role != b->role ? (int)a->role - (int)b->role : strcmp(a->path, b->path);
}

static void sort_entries(Checkpoints *checkpoints) {
    if (checkpoints->count > 1)
        qsort(checkpoints->entries, checkpoints->count, sizeof *checkpoints->entries, compare_entries);
}

RuntimeStatus checkpoints_open(const char *folder, Checkpoints **result, Diags *diags) {
    Arena *arena = arena_create();
    Checkpoints *checkpoints = ARENA_NEW(arena, Checkpoints);
    checkpoints->arena = arena;
    checkpoints->folder = arena_copy(arena, folder);
    if (file_table.list(folder, visit, checkpoints) != 0 && errno != ENOENT) {
        diag_error(diags, (Place){0}, "%s: cannot list: %s", folder, strerror(errno));
        arena_free(arena);
        return RUNTIME_IO;
    }
    for (size_t i = 0; i < checkpoints->count; i++) {
        Entry *entry = &checkpoints->entries[i];
        tensor_file_close(open_entry(arena, entry));
        if (entry->save > checkpoints->last_save) checkpoints->last_save = entry->save;
    }
    sort_entries(checkpoints);
    *result = checkpoints;
    return RUNTIME_OK;
}

void checkpoints_free(Checkpoints *checkpoints) {
    if (checkpoints) arena_free(checkpoints->arena);
}

size_t checkpoints_count(const Checkpoints *checkpoints) {
    return checkpoints->count;
}

const char *checkpoints_newest(const Checkpoints *checkpoints) {
    return path_of(checkpoints, NEWEST);
}

static Entry *find_role(Checkpoints *checkpoints, Role role) {
    for (size_t i = 0; i < checkpoints->count; i++)
        if (checkpoints->entries[i].role == role) return &checkpoints->entries[i];
    return NULL;
}

static void forget(Checkpoints *checkpoints, Entry *entry) {
    size_t after = checkpoints->count - (size_t)(entry - checkpoints->entries) - 1;
    memmove(entry, entry + 1, after * sizeof *entry);
    checkpoints->count--;
}

// A save that was interrupted after the newest got its numbered name leaves it with two.
static int remove_second_names(Checkpoints *checkpoints) {
    const Entry *newest = find_role(checkpoints, ROLE_NEWEST);
    int removed = 0;
    if (!newest || newest->damage) return 0;
    int64_t save = newest->save;
    for (size_t i = checkpoints->count; i-- > 0;) {
        Entry *entry = &checkpoints->entries[i];
        if (entry->role != ROLE_BEFORE || entry->damage || entry->save != save) continue;
        if (file_table.remove(entry->path) == 0) removed++;
        forget(checkpoints, entry);
    }
    return removed;
}

int checkpoints_clean(Checkpoints *checkpoints) {
    int removed = remove_second_names(checkpoints);
    for (size_t i = 0; i < checkpoints->leftover_count; i++)
        if (file_table.remove(checkpoints->leftovers[i]) == 0) removed++;
    checkpoints->leftover_count = 0;
    return removed;
}

// ---- going on

RuntimeStatus checkpoints_choose(Checkpoints *checkpoints, Arena *arena, TensorFile **result, Text *skipped,
                                 Diags *diags) {
    for (size_t i = 0; i < checkpoints->count; i++) {
        Entry *entry = &checkpoints->entries[i];
        TensorFile *file = entry->damage ? NULL : open_entry(arena, entry);
        Diags *troubles = diags_create(arena);
        if (file && tensor_file_verify(file, troubles) == RUNTIME_OK) {
            *result = file;
            return RUNTIME_OK;
        }
        if (file) entry->damage = complaint(checkpoints->arena, troubles, entry->path);
        tensor_file_close(file);
        text_append(skipped, "%s: %s\n", entry->path, entry->damage);
    }
    diag_error(diags, (Place){0}, "%s: no checkpoint to go on from%s", checkpoints->folder,
               checkpoints->count ? " is whole" : "");
    return RUNTIME_BAD_FILE;
}

// ---- saving

static bool fail(Diags *diags, const char *path, const char *what) {
    return diag_error(diags, (Place){0}, "%s: %s: %s", path, what, strerror(errno));
}

// File systems without second names say so in many ways.
static bool is_link_refused(int error) {
    return error == EPERM || error == EOPNOTSUPP || error == ENOSYS || error == EMLINK || error == EINVAL;
}

// NAMING_REFUSED: this file system has no second names.
typedef enum { NAMED, NAMING_REFUSED, NAMING_FAILED } Naming;

// A second name for a file, in place of whatever had that name.
static Naming give_name(const Checkpoints *checkpoints, const char *path, const char *name, Diags *diags) {
    const char *beside = arena_format(checkpoints->arena, "%s.tmp.%ld", name, (long)getpid());
    file_table.remove(beside);
    if (file_table.link(path, beside) != 0) {
        if (is_link_refused(errno)) return NAMING_REFUSED;
        fail(diags, name, "cannot link");
        return NAMING_FAILED;
    }
    bool renamed = file_table.rename(beside, name) == 0;
    if (!renamed) fail(diags, name, "cannot rename into place");
    file_table.remove(beside); // still there when the rename failed, or when both were the same file already
    return renamed ? NAMED : NAMING_FAILED;
}

// The newest gets its numbered name, unless it is damaged. False with a diagnostic: nothing has changed.
static bool keep_newest(Checkpoints *checkpoints, int keep_last, Diags *diags) {
    Entry *newest = find_role(checkpoints, ROLE_NEWEST);
    if (!newest || newest->damage || keep_last == 1 || !file_exists(newest->path)) return true;
    const char *name = path_of(
        checkpoints, arena_format(checkpoints->arena, "ckpt-%lld.safetensors", (long long)newest->iteration));
    Naming naming = give_name(checkpoints, newest->path, name, diags);
    if (naming == NAMING_FAILED) return false;
    if (naming == NAMING_REFUSED && file_table.rename(newest->path, name) != 0)
        return fail(diags, name, "cannot rename into place");
    for (size_t i = checkpoints->count; i-- > 0;)
        if (checkpoints->entries[i].role == ROLE_BEFORE && text_equal(checkpoints->entries[i].path, name))
            forget(checkpoints, &checkpoints->entries[i]);
    newest = find_role(checkpoints, ROLE_NEWEST);
    newest->role = ROLE_BEFORE;
    newest->path = name;
    return true;
}

static RuntimeStatus write_one(Checkpoints *checkpoints, const CheckpointContents *contents, const char *path,
                               Diags *diags) {
    enum { OWN = 2 };
    Arena *arena = arena_create();
    TensorMetadata *metadata = ARENA_ARRAY(arena, TensorMetadata, contents->metadata_count + OWN);
    metadata[0] = (TensorMetadata){"iter", arena_format(arena, "%lld", (long long)contents->iteration)};
    metadata[1] = (TensorMetadata){"sinter.save", arena_format(arena, "%lld", (long long)checkpoints->last_save)};
    for (size_t i = 0; i < contents->metadata_count; i++)
        metadata[OWN + i] = contents->metadata[i];
    RuntimeStatus status = weights_save(contents->session, contents->program, path, metadata,
                                        contents->metadata_count + OWN, diags);
    arena_free(arena);
    return status;
}

static RuntimeStatus name_best(Checkpoints *checkpoints, const CheckpointContents *contents, Diags *diags) {
    const char *best = path_of(checkpoints, BEST);
    Naming naming = give_name(checkpoints, checkpoints_newest(checkpoints), best, diags);
    if (naming == NAMING_FAILED) return RUNTIME_IO;
    if (naming == NAMING_REFUSED) return write_one(checkpoints, contents, best, diags);
    return file_sync_folder(checkpoints->folder, diags) ? RUNTIME_OK : RUNTIME_IO;
}

// Entries are sorted, the newest first. What is damaged may be somebody else's, and is left.
static void remove_old(Checkpoints *checkpoints, int keep_last, Diags *diags) {
    const Entry *newest = find_role(checkpoints, ROLE_NEWEST);
    int kept = newest && !newest->damage;
    for (size_t i = 0; i < checkpoints->count; i++) {
        Entry *entry = &checkpoints->entries[i];
        if (entry->role != ROLE_BEFORE || entry->damage || kept++ < keep_last) continue;
        if (file_table.remove(entry->path) != 0 && errno != ENOENT)
            diag_warning(diags, (Place){0}, "%s: cannot remove: %s", entry->path, strerror(errno));
        forget(checkpoints, entry);
        i--;
    }
}

RuntimeStatus checkpoints_save(Checkpoints *checkpoints, const CheckpointContents *contents, Diags *diags) {
    CHECK(contents->keep_last >= 1);
    remove_old(checkpoints, contents->keep_last, diags); // of a process that did not come to do it
    if (!keep_newest(checkpoints, contents->keep_last, diags)) return RUNTIME_IO;
    checkpoints->last_save++;
    RuntimeStatus status = write_one(checkpoints, contents, checkpoints_newest(checkpoints), diags);
    if (status != RUNTIME_OK) return status;
    Entry *former = find_role(checkpoints, ROLE_NEWEST); // a damaged one, or one that was not to be kept
    if (former) forget(checkpoints, former);
    add_entry(checkpoints, ROLE_NEWEST, NEWEST);
    Entry *newest = &checkpoints->entries[checkpoints->count - 1];
    newest->save = checkpoints->last_save;
    newest->iteration = contents->iteration;
    if (contents->is_best) status = name_best(checkpoints, contents, diags);
    sort_entries(checkpoints);
    remove_old(checkpoints, contents->keep_last, diags);
    return status;
}
