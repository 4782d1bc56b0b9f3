// Content hashes: XXH3, 64 bits, of what is there as a whole and of what comes in parts; 128 bits of it where two
// contents of one hash must never meet.
#ifndef SINTER_BASE_HASH_H
#define SINTER_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

unsigned long long hash_bytes(const void *bytes, size_t count);
unsigned long long hash_text(const char *text);

typedef struct {
    unsigned long long words[2];
} WideHash;
WideHash hash_wide(const void *bytes, size_t count);

// In parts: the same as hash_bytes of all of them.
typedef struct Hash Hash;
Hash *hash_create(void);
void hash_free(Hash *hash);  // NULL is allowed
void hash_reset(Hash *hash);
void hash_add(Hash *hash, const void *bytes, size_t count);
uint64_t hash_value(const Hash *hash);  // of everything since hash_create or hash_reset

#endif
