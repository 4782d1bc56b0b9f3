// Text: a growable output buffer in an arena. Everything Sinter prints is built here first; only driver/ prints.
#ifndef SINTER_BASE_TEXT_H
#define SINTER_BASE_TEXT_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/memory.h"

typedef struct {
    Arena *arena;
    char *data;  // always NUL-terminated once anything was appended
    size_t length, capacity;
} Text;

Text text_create(Arena *arena);
void text_append(Text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));
void text_append_list(Text *text, const char *format, va_list arguments);
void text_append_bytes(Text *text, const char *bytes, size_t length);
const char *text_string(const Text *text);  // "" when empty
// Shortest decimal that reads back as exactly this double; "inf", "-inf", "nan" as such.
void text_append_double(Text *text, double value);

bool text_equal(const char *a, const char *b);
// Levenshtein distance, for "did you mean"; gives up above `limit` and returns limit + 1.
unsigned text_distance(const char *a, const char *b, unsigned limit);
// The nearest of `count` names within a third of its length, or NULL.
const char *text_nearest(const char *name, const char *const *names, size_t count);

#endif
