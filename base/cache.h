// Bytes remembered by key between runs, in files of the user's own: machine code that is dear to make again.
//
//     cache_put(cache, key, "cubin", bytes)   ->   ~/.cache/sinter/code/4f0c...e1.cubin
//     cache_get(cache, key, "cubin")          ->   the same bytes, or NULL
//
// What is read may be executed, so nothing is taken that others could have written: the folder is the user's own, open
// to nobody else and no link, and so is each entry. An entry names its key and the hash of its bytes; one that is
// damaged is removed, a warning, and made again. Entries appear whole or not at all; the ones that were not used for
// the longest time go when the folder grows over its limit. Nothing here fails a run: without a cache everything is
// made anew.
#ifndef SINTER_BASE_CACHE_H
#define SINTER_BASE_CACHE_H

#include "base/diag.h"
#include "base/hash.h"

typedef struct Cache Cache;

// $XDG_CACHE_HOME/sinter, or ~/.cache/sinter. NULL: neither variable names a folder.
const char *cache_home(Arena *arena);
// NULL when the folder is there, no link, the caller's own and open to nobody else; else why not.
const char *cache_folder_refusal(Arena *arena, const char *folder);
// Makes the folder and the one above it (0700), and those above that, where they are missing. NULL, or why it cannot be
// used.
const char *cache_make_folder(Arena *arena, const char *folder);

// `limit`: bytes of all entries together. NULL, after a warning, when the folder cannot be used. `diags` gets the
// warnings of later calls too and, like `arena`, must outlive the cache.
Cache *cache_open(Arena *arena, const char *folder, size_t limit, Diags *diags);

// The bytes stored under the key, a hash over everything that they depend on, and the kind (a file name's end), in
// `arena`, aligned to 16. NULL when there are none, also for a NULL cache.
const void *cache_get(Cache *cache, Arena *arena, WideHash key, const char *kind, size_t *bytes);
// Stores them, in place of what was there. A failure is a warning, once.
void cache_put(Cache *cache, WideHash key, const char *kind, const void *bytes, size_t length);

#endif
