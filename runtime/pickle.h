// nanoGPT's meta.pkl: a pickle of {'vocab_size': int, 'stoi': {str: int}, 'itos': {int: str}}.
//
// A strict reader of the few opcodes that Python writes for that (protocols 2 to 5): no imports, no calls, no objects.
// Anything else is refused by its opcode and offset.
#ifndef SINTER_RUNTIME_PICKLE_H
#define SINTER_RUNTIME_PICKLE_H

#include "runtime/status.h"
#include "runtime/vocabulary.h"

RuntimeStatus pickle_read_meta(Arena *arena, const char *path, const unsigned char *bytes, size_t length,
                               Vocabulary **vocabulary, int64_t *vocab_size, Diags *diags);

#endif
