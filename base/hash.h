// Content hashes of what comes in parts: XXH3, 64 bits (text_hash, for what is there as a whole, gives the same).
#ifndef SINTER_BASE_HASH_H
#define SINTER_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

typedef struct Hash Hash;

Hash *hash_create(void);
void hash_free(Hash *hash);  // NULL is allowed
void hash_reset(Hash *hash);
void hash_add(Hash *hash, const void *bytes, size_t count);
uint64_t hash_value(const Hash *hash);  // of everything since hash_create or hash_reset

#endif
