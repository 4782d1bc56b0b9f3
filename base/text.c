// Growable text and name distances: see text.h.
#include "base/text.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

Text text_create(Arena *arena) { return (Text){.arena = arena}; }

static void text_reserve(Text *text, size_t more) {
    text->data = arena_grow(text->arena, text->data, &text->capacity, text->length + more + 1, 1);
}

void text_append_bytes(Text *text, const char *bytes, size_t length) {
    text_reserve(text, length);
    memcpy(text->data + text->length, bytes, length);
    text->length += length;
    text->data[text->length] = '\0';
}

void text_append_list(Text *text, const char *format, va_list arguments) {
    va_list again;
    va_copy(again, arguments);
    int length = vsnprintf(NULL, 0, format, arguments);
    text_reserve(text, (size_t)length);
    vsnprintf(text->data + text->length, (size_t)length + 1, format, again);
    va_end(again);
    text->length += (size_t)length;
}

void text_append(Text *text, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    text_append_list(text, format, arguments);
    va_end(arguments);
}

const char *text_string(const Text *text) { return text->data ? text->data : ""; }

void text_append_double(Text *text, double value) {
    if (isnan(value)) {
        text_append(text, "nan");
        return;
    }
    if (isinf(value)) {
        text_append(text, value < 0 ? "-inf" : "inf");
        return;
    }
    char digits[40];
    if (fabs(value) < 1e15 && value == floor(value) && value != 0) {  // not 1e+01
        text_append(text, "%.0f", value);
        return;
    }
    for (int precision = 1; precision <= 17; precision++) {
        snprintf(digits, sizeof digits, "%.*g", precision, value);
        if (strtod(digits, NULL) == value) break;
    }
    text_append(text, "%s", digits);
}

bool text_equal(const char *a, const char *b) { return strcmp(a, b) == 0; }

unsigned text_distance(const char *a, const char *b, unsigned limit) {
    enum { LONGEST = 64 };
    size_t rows = strlen(a), columns = strlen(b);
    if (rows > LONGEST || columns > LONGEST) return limit + 1;
    unsigned previous[LONGEST + 1], current[LONGEST + 1];
    for (size_t j = 0; j <= columns; j++) previous[j] = (unsigned)j;
    for (size_t i = 1; i <= rows; i++) {
        current[0] = (unsigned)i;
        for (size_t j = 1; j <= columns; j++) {
            unsigned best = previous[j - 1] + (a[i - 1] != b[j - 1]);
            if (previous[j] + 1 < best) best = previous[j] + 1;
            if (current[j - 1] + 1 < best) best = current[j - 1] + 1;
            current[j] = best;
        }
        memcpy(previous, current, sizeof previous);
    }
    return previous[columns] > limit ? limit + 1 : previous[columns];
}

const char *text_nearest(const char *name, const char *const *names, size_t count) {
    unsigned limit = (unsigned)strlen(name) / 3, best = limit + 1;
    if (limit == 0) best = 2;  // short names: one slip of the finger
    const char *nearest = NULL;
    for (size_t i = 0; i < count; i++) {
        unsigned distance = text_distance(name, names[i], best);
        if (distance < best) {
            best = distance;
            nearest = names[i];
        }
    }
    return nearest;
}
