// Patterns of names.  In: a pattern and a name. Out: whether they meet.
//
//     *            any text
//     [0..3,5]     a layer of the set, in brackets      layer[2].p
//     {0..3,5}     a layer of the set                   h.2.ln_1.weight
//     "words"      all of what was decided, with its quote in front
//     name         also name#2, name#3 ...: all steps of one place; name#1 is the first alone
#include <stdlib.h>
#include <string.h>

#include "passes/choices_private.h"

// Whether `number` is in a set such as `0..2,5` that ends at `end`; false for what is no set.
static bool set_has(const char *set, const char *end, unsigned long number) {
    bool found = false;
    while (set < end) {
        char *next;
        unsigned long first = strtoul(set, &next, 10), last = first;
        if (next == set) return false;
        if (strncmp(next, "..", 2) == 0) {
            set = next + 2;
            last = strtoul(set, &next, 10);
            if (next == set) return false;
        }
        found |= first <= number && number <= last;
        if (next < end && *next != ',') return false;
        set = next + (next < end);
    }
    return found;
}

// Digits of `name` that are in the set at `*pattern`, up to `close`; both move on. False when they are not.
static bool match_set(const char **pattern, const char **name, char close) {
    const char *end = strchr(*pattern, close);
    size_t digits = strspn(*name, "0123456789");
    if (!end || digits == 0 || digits > 9 || !set_has(*pattern, end, strtoul(*name, NULL, 10))) return false;
    *pattern = end + 1;
    *name += digits;
    return true;
}

static bool match(const char *pattern, const char *name) {
    for (; *pattern; pattern++, name++) {
        if (*pattern == '*') {
            for (;; name++) {
                if (match(pattern + 1, name)) return true;
                if (!*name) return false;
            }
        }
        if (*pattern == '{') {
            const char *inner = pattern + 1, *at = name;
            if (match_set(&inner, &at, '}')) return match(inner, at);
        }
        if (*pattern == '[' && *name == '[') {
            const char *inner = pattern + 1, *at = name + 1;
            if (match_set(&inner, &at, ']')) return *at == ']' && match(inner, at + 1);
        }
        if (*pattern != *name) return false;
    }
    return *name == '\0' || *name == '#';
}

// The first step of a place has no number of its own.
static bool match_first(const char *pattern, const char *name, Arena *arena) {
    size_t length = strlen(pattern);
    if (length < 2 || !text_equal(pattern + length - 2, "#1") || strchr(name, '#')) return false;
    return match(arena_copy_range(arena, pattern, length - 2), name);
}

bool choice_meets_place(const Choice *choice, const char *place, Arena *arena) {
    return !choice->place || match(choice->place, place) || match_first(choice->place, place, arena);
}

bool choice_matches(const char *pattern, const char *name) {
    return match(pattern, name);
}

// One of the words between blanks.
static bool word_in(const char *word, const char *text, Arena *arena) {
    while (*text) {
        size_t length = strcspn(text, " ");
        if (length && match(word, arena_copy_range(arena, text, length))) return true;
        text += length + strspn(text + length, " ");
    }
    return false;
}

bool choice_meets(const Choice *choice, const char *pass, const char *what, const char *place, Arena *arena) {
    if (!choice_meets_place(choice, place, arena)) return false;
    for (int i = 0; i < choice->word_count; i++) {
        const char *word = choice->words[i];
        if (*word == '"') {
            if (!match(word + 1, what)) return false;
            continue;
        }
        if (!match(word, pass) && !word_in(word, what, arena) && (choice->place || !match(word, place))) return false;
    }
    return true;
}
