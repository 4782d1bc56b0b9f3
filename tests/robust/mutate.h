// Makes an input wrong, in ways that inputs are wrong: bytes lost, doubled, changed; numbers at the edges of their
// types; words of the language in other places; lines moved; parts of two inputs joined; brackets without end.
//
//     n_embd = 768   ->   n_embd = 9223372036854775808
//
// In: sound inputs and words, and a seed. Out: bytes, the same for the same seed.
#ifndef SINTER_TESTS_ROBUST_MUTATE_H
#define SINTER_TESTS_ROBUST_MUTATE_H

#include <stddef.h>
#include <stdint.h>

#include "base/memory.h"

typedef struct {
    char *bytes; // [length], and a NUL behind them
    size_t length;
} Bytes;

typedef struct {
    const Bytes *samples;
    size_t sample_count;
    const char *const *words; // NULL-terminated
} Source;

uint64_t chance_next(uint64_t *state);
uint64_t chance_below(uint64_t *state, uint64_t bound);

// One to four mutations of one of the samples.
Bytes mutated(Arena *arena, const Source *source, uint64_t *state);
Bytes bytes_copy(Arena *arena, const char *bytes, size_t length);

#endif
