// Hashes: see hash.h.
#include "base/hash.h"

#include <string.h>

#ifndef XXH_INLINE_ALL
#define XXH_INLINE_ALL // the state's layout is private to each version of the library
#endif
#include <xxhash.h>

#include "base/memory.h"

unsigned long long hash_bytes(const void *bytes, size_t count) { return XXH3_64bits(bytes, count); }

unsigned long long hash_text(const char *text) { return hash_bytes(text, strlen(text)); }

WideHash hash_wide(const void *bytes, size_t count) {
    XXH128_hash_t wide = XXH3_128bits(bytes, count);
    return (WideHash){{wide.low64, wide.high64}};
}

struct Hash {
    XXH3_state_t state; // aligned to 64, as memory_allocate is
};

Hash *hash_create(void) {
    Hash *hash = memory_allocate(sizeof *hash);
    hash_reset(hash);
    return hash;
}

void hash_free(Hash *hash) {
    memory_release(hash);
}

void hash_reset(Hash *hash) {
    XXH3_64bits_reset(&hash->state);
}

void hash_add(Hash *hash, const void *bytes, size_t count) {
    XXH3_64bits_update(&hash->state, bytes, count);
}

uint64_t hash_value(const Hash *hash) {
    return XXH3_64bits_digest(&hash->state);
}
