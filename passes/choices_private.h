// What the files of choices share. Private to passes/choices*.c.
#ifndef SINTER_PASSES_CHOICES_PRIVATE_H
#define SINTER_PASSES_CHOICES_PRIVATE_H

#include "passes/choices.h"

struct Choices {
    Arena *arena;
    Choice *lines;
    size_t count, capacity;
    bool is_lenient;
    const char *program;              // being compiled
    const char **programs;            // compiled since choices_reset
    size_t program_count, program_capacity;
    const char **seen;                // words and places of what passes asked about, for "did you mean"
    size_t seen_count, seen_capacity;
};

const char *choice_verb_name(ChoiceVerb verb);
bool choice_meets_place(const Choice *choice, const char *place, Arena *arena);
// Every word of a `forbid` or `make`, and its place.
bool choice_meets(const Choice *choice, const char *pass, const char *what, const char *place, Arena *arena);

extern const char *const choice_programs[];   // NULL at the end

#endif
