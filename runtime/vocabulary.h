// Characters as tokens: the vocabulary of nanoGPT's shakespeare_char.
//
// Text is UTF-8; a token is a code point; ids are ranks of the sorted code points. Kept beside the token files as
// meta.json {"vocab_size": 65, "itos": ["\n", " ", ...]}; nanoGPT's own meta.pkl is read too.
#ifndef SINTER_RUNTIME_VOCABULARY_H
#define SINTER_RUNTIME_VOCABULARY_H

#include "base/diag.h"
#include "base/text.h"
#include "runtime/status.h"
#include "runtime/utf8.h"

typedef struct {
    int32_t size;
    uint32_t *characters;   // [size] code point of each token
    int32_t *sorted;        // [size] tokens by code point, for encoding
} Vocabulary;

// From code points in any order, each at most once; false (no diagnostic) when one appears twice.
bool vocabulary_create(Arena *arena, const uint32_t *characters, int32_t size, Vocabulary **vocabulary);
// All characters of a text. `path` is for messages (invalid UTF-8: with its byte offset).
RuntimeStatus vocabulary_build(Arena *arena, const char *path, const char *text, size_t length, Vocabulary **vocabulary,
                               Diags *diags);
// tokens has room for `length` entries; *count is set. A character outside the vocabulary is RUNTIME_BAD_FILE.
RuntimeStatus vocabulary_encode(const Vocabulary *vocabulary, const char *path, const char *text, size_t length,
                                int32_t *tokens, size_t *count, Diags *diags);
void vocabulary_decode(const Vocabulary *vocabulary, int32_t token, Text *out);  // U+FFFD for a token beyond the end

RuntimeStatus vocabulary_save(Arena *arena, const Vocabulary *vocabulary, const char *path, Diags *diags);
// *.pkl by the strict pickle reader, anything else as JSON. A meta.json without "itos" has only a size: *vocabulary is
// then NULL and *vocab_size set.
RuntimeStatus vocabulary_load(Arena *arena, const char *path, Vocabulary **vocabulary, int64_t *vocab_size,
                              Diags *diags);
// meta.json, else meta.pkl, in the folder of `token_path`. NULL when there is neither.
const char *vocabulary_find(Arena *arena, const char *token_path);

#endif
