// Patterns of names of values: see explain.h.
//
//     layer[*].p       layer[0].p, layer[1].p ...
//     layer[1..2].p    layer[1].p, layer[2].p
//     h.{*}.ln_1.bias  h.0.ln_1.bias, h.1.ln_1.bias ...
#include <stdlib.h>
#include <string.h>

#include "driver/explain/explain.h"

// A piece of a pattern that stands for numbers, brackets or braces included.
typedef struct {
    size_t length; // of the piece; 0: none begins here
    unsigned long low, high;
} Span;

static Span span_at(const char *pattern) {
    bool brackets = *pattern == '[', braces = *pattern == '{';
    const char *end = brackets ? strchr(pattern, ']') : braces ? strchr(pattern, '}') : NULL;
    if (!end) return (Span){0};
    Span span = {.length = (size_t)(end + 1 - pattern), .high = (unsigned long)-1};
    if (pattern[1] == '*' && pattern + 2 == end) return span;
    char *after;
    span.low = strtoul(pattern + 1, &after, 10);
    if (after == pattern + 1 || strncmp(after, "..", 2) != 0) return (Span){0};
    const char *high = after + 2;
    span.high = strtoul(high, &after, 10);
    return after == end && after > high ? span : (Span){0};
}

bool explain_matches(const char *pattern, const char *name) {
    while (*pattern) {
        Span span = span_at(pattern);
        if (span.length == 0) {
            if (*pattern++ != *name++) return false;
            continue;
        }
        if (*pattern == '[' && *name++ != '[') return false;
        size_t digits = strspn(name, "0123456789");
        if (digits == 0 || digits > 9) return false;
        unsigned long number = strtoul(name, NULL, 10);
        if (number < span.low || number > span.high) return false;
        name += digits;
        if (*pattern == '[' && *name++ != ']') return false;
        pattern += span.length;
    }
    return *name == '\0';
}
