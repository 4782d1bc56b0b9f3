// Shared libraries that may be absent, opened at run time through an injectable table.
//
// One binary runs with and without what NVIDIA ships: nothing links with it, a missing library is a sentence.
#ifndef SINTER_BASE_LIBRARY_H
#define SINTER_BASE_LIBRARY_H

#include <stdbool.h>
#include <stddef.h>

#include "base/memory.h"

// The loader's calls. Tests replace the table with libraries of their own making.
typedef struct {
    void *(*open)(const char *path);              // NULL: error() says why
    void *(*symbol)(void *library, const char *name);  // NULL when it has none
    const char *(*error)(void);
    bool (*exists)(const char *path);
} LibraryTable;

extern LibraryTable library_table;

typedef struct {
    void *handle;
    const char *path;  // as it was opened: a bare name when the loader found it by itself
} Library;

// Opens the first of `names` (NULL-terminated, the preferred one first) that the loader finds by itself, then the first
// that lies in one of `folders` (NULL-terminated, may be NULL). Libraries stay open until the process
// ends. False: `*why` is one clause, "libnvrtc.so.13 was not found" or the loader's own words.
bool library_open(Arena *arena, const char *const *names, const char *const *folders, Library *library,
                  const char **why);

// Fills `count` function pointers. False when one that is needed is missing: `*why` names it.
typedef struct {
    const char *name;
    void **function;
    bool is_optional;
} LibrarySymbol;
bool library_symbols(Arena *arena, const Library *library, const LibrarySymbol *symbols, size_t count,
                     const char **why);

// Where CUDA's libraries lie when the loader does not know them: lib64 and lib under $CUDA_HOME, $CUDA_PATH and
// /usr/local/cuda. NULL-terminated.
const char *const *library_cuda_folders(Arena *arena);

#endif
