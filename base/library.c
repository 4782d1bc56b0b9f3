// Libraries opened at run time: see library.h.
#include "base/library.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/text.h"

static void *table_open(const char *path) { return dlopen(path, RTLD_NOW | RTLD_LOCAL); }
static void *table_symbol(void *library, const char *name) { return dlsym(library, name); }
static const char *table_error(void) { return dlerror(); }
static bool table_exists(const char *path) { return access(path, F_OK) == 0; }

LibraryTable library_table = {table_open, table_symbol, table_error, table_exists};

static bool try_open(Arena *arena, const char *path, Library *library, const char **why) {
    void *handle = library_table.open(path);
    if (!handle) {
        *why = arena_copy(arena, library_table.error());
        return false;
    }
    *library = (Library){handle, path};
    return true;
}

bool library_open(Arena *arena, const char *const *names, const char *const *folders, Library *library,
                  const char **why) {
    // A file that is there and cannot be opened explains more than a missing one.
    const char *words = NULL, *broken = NULL;
    for (int n = 0; names[n]; n++) {
        if (try_open(arena, names[n], library, &words)) return true;
    }
    for (int f = 0; folders && folders[f]; f++) {
        for (int n = 0; names[n]; n++) {
            const char *path = arena_format(arena, "%s/%s", folders[f], names[n]);
            if (!library_table.exists(path)) continue;
            if (try_open(arena, path, library, &words)) return true;
            if (!broken) broken = words;
        }
    }
    *why = broken ? broken : arena_format(arena, "%s was not found", names[0]);
    return false;
}

bool library_symbols(Arena *arena, const Library *library, const LibrarySymbol *symbols, size_t count,
                     const char **why) {
    for (size_t i = 0; i < count; i++) {
        *symbols[i].function = library_table.symbol(library->handle, symbols[i].name);
        if (*symbols[i].function || symbols[i].is_optional) continue;
        *why = arena_format(arena, "%s is too old: it has no %s", library->path, symbols[i].name);
        return false;
    }
    return true;
}

const char *const *library_cuda_folders(Arena *arena) {
    const char *roots[] = {getenv("CUDA_HOME"), getenv("CUDA_PATH"), "/usr/local/cuda"};
    enum { ROOTS = sizeof roots / sizeof *roots };
    const char **folders = ARENA_ARRAY(arena, const char *, 2 * ROOTS + 1);
    int count = 0;
    for (int i = 0; i < ROOTS; i++) {
        if (!roots[i] || !*roots[i]) continue;
        folders[count++] = arena_format(arena, "%s/lib64", roots[i]);
        folders[count++] = arena_format(arena, "%s/lib", roots[i]);
    }
    return folders;
}
