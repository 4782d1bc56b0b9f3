#include "runtime/tensor_hashes.h"

#include <stdio.h>
#include <string.h>

enum { DIGITS = 16 };

static size_t string_length(size_t count) {
    return (1 + count) * (DIGITS + 1) - 1;
}

const char *hashes_blank(Arena *arena, size_t count) {
    char *text = arena_alloc(arena, string_length(count) + 1);
    return memset(text, '0', string_length(count));
}

const char *hashes_print(Arena *arena, const uint64_t *hashes, size_t count) {
    char *text = arena_alloc(arena, string_length(count) + 2);
    for (size_t i = 0; i <= count; i++)
        snprintf(text + i * (DIGITS + 1), DIGITS + 2, "%016llx ", (unsigned long long)hashes[i]);
    text[string_length(count)] = '\0';
    return text;
}

// The key with its quotes and colon: inside of another string the quotes would be escaped.
bool hashes_find(const char *header, size_t length, size_t count, size_t *at) {
    static const char key[] = "\"" TENSOR_HASHES "\":\"";
    const char *found = memmem(header, length, key, sizeof key - 1);
    if (!found) return false;
    *at = (size_t)(found - header) + sizeof key - 1;
    return length - *at > string_length(count) && header[*at + string_length(count)] == '"';
}

static bool parse_one(const char *digits, uint64_t *hash) {
    *hash = 0;
    for (int i = 0; i < DIGITS; i++) {
        const char *known = "0123456789abcdef", *digit = digits[i] ? strchr(known, digits[i]) : NULL;
        if (!digit) return false;
        *hash = *hash << 4 | (uint64_t)(digit - known);
    }
    return true;
}

bool hashes_parse(const char *text, uint64_t *hashes, size_t count) {
    if (strlen(text) != string_length(count)) return false;
    for (size_t i = 0; i <= count; i++) {
        const char *one = text + i * (DIGITS + 1);
        if (!parse_one(one, &hashes[i]) || one[DIGITS] != (i < count ? ' ' : '\0')) return false;
    }
    return true;
}
