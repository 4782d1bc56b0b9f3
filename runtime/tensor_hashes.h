// The hashes of a safetensors file, as one string of its metadata, so that any reader of the format still reads it:
//
//     "sinter.hashes": "HEADER TENSOR TENSOR ..."     XXH3, 64 bits, 16 hex digits each; tensors in order of their data
//
// HEADER is the hash of the whole header with every character of this string a '0'. The string's length follows from
// the number of tensors, so it can be written last, over zeros.
#ifndef SINTER_RUNTIME_TENSOR_HASHES_H
#define SINTER_RUNTIME_TENSOR_HASHES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/memory.h"

#define TENSOR_HASHES "sinter.hashes"

// The string for `count` tensors: zeros; and with hashes[1 + count], the header's first.
const char *hashes_blank(Arena *arena, size_t count);
const char *hashes_print(Arena *arena, const uint64_t *hashes, size_t count);
// Where the string begins in the text of a header; false when it is not there in full length.
bool hashes_find(const char *header, size_t length, size_t count, size_t *at);
// hashes[1 + count] from the string; false unless it is exactly as hashes_print writes it.
bool hashes_parse(const char *text, uint64_t *hashes, size_t count);

#endif
