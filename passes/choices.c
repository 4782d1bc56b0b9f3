// Choices during a compile.  In: what passes ask about. Out: the choice that meets it; at the end, complaints.
#include "passes/choices_private.h"

#include <string.h>

Choices *choices_create(Arena *arena) {
    Choices *choices = ARENA_NEW(arena, Choices);
    choices->arena = arena;
    return choices;
}

size_t choices_count(const Choices *choices) {
    return choices ? choices->count : 0;
}

const Choice *choices_at(const Choices *choices, size_t i) {
    CHECK(i < choices->count);
    return &choices->lines[i];
}

// ---- one compile

void choices_begin(Choices *choices, const char *program) {
    if (!choices) return;
    choices->program = program;
    choices->programs = arena_grow(choices->arena, choices->programs, &choices->program_capacity,
                                   choices->program_count + 1, sizeof(char *));
    choices->programs[choices->program_count++] = program;
}

void choices_reset(Choices *choices) {
    if (!choices) return;
    choices->program = NULL;
    choices->program_count = choices->seen_count = 0;
    for (size_t i = 0; i < choices->count; i++) {
        choices->lines[i].met = choices->lines[i].followed = 0;
        choices->lines[i].obstacle = NULL;
    }
}

// ---- what passes ask

static bool is_of_program(const Choices *choices, const Choice *choice) {
    return !choice->program || !choices->program || text_equal(choice->program, choices->program);
}

static void see(Choices *choices, const char *text) {
    choices->seen = arena_grow(choices->arena, choices->seen, &choices->seen_capacity, choices->seen_count + 1,
                               sizeof(char *));
    choices->seen[choices->seen_count++] = arena_copy(choices->arena, text);
}

static void see_words(Choices *choices, const char *text) {
    while (*text) {
        size_t length = strcspn(text, " ");
        if (length > 0) see(choices, arena_copy_range(choices->arena, text, length));
        text += length + strspn(text + length, " ");
    }
}

static bool is_about_decisions(const Choice *choice) {
    return choice->verb == CHOICE_FORBID || choice->verb == CHOICE_MAKE;
}

Choice *choices_about(Choices *choices, const char *pass, const char *what, const char *place) {
    Choice *found = NULL;
    if (!choices || choices->count == 0) return NULL;
    for (size_t i = 0; i < choices->count; i++) {
        Choice *choice = &choices->lines[i];
        if (!is_about_decisions(choice) || !is_of_program(choices, choice)) continue;
        if (!choice_meets(choice, pass, what, place, choices->arena)) continue;
        choice->met++;
        found = choice;
    }
    if (!found || choices->seen_count == 0) {
        see(choices, pass);
        see(choices, what);
        see_words(choices, what);
        see(choices, place);
    }
    return found;
}

bool choices_forbid(Choices *choices, const char *pass, const char *what, const char *place, const char **reason) {
    Choice *choice = choices_about(choices, pass, what, place);
    if (!choice) return false;
    const char *words = choice_follow(choices, choice);
    if (choice->verb != CHOICE_FORBID) return false;
    if (reason) *reason = words;
    return true;
}

void choices_decide(Choices *choices, bool is_possible, Decision *decision) {
    Choice *choice = choices_about(choices, decision->pass, decision->what, decision->place);
    if (!choice) return;
    bool wanted = choice->verb == CHOICE_MAKE;
    decision->made = wanted && is_possible;
    decision->reason = wanted && !is_possible ? choice_obstruct(choices, choice, decision->reason)
                                              : choice_follow(choices, choice);
}

Choice *choices_of_value(Choices *choices, const char *place) {
    Choice *found = NULL;
    if (!choices || choices->count == 0) return NULL;
    see(choices, place);
    for (size_t i = 0; i < choices->count; i++) {
        Choice *choice = &choices->lines[i];
        if (choice->verb != CHOICE_KEEP && choice->verb != CHOICE_REDO) continue;
        if (!is_of_program(choices, choice) || !choice_matches(choice->place, place)) continue;
        choice->met++;
        found = choice;
    }
    return found;
}

Choice *choices_of_step(Choices *choices, ChoiceVerb verb, const Step *step) {
    Choice *found = NULL;
    if (!choices || choices->count == 0) return NULL;
    see(choices, step->place);
    for (size_t i = 0; i < choices->count; i++) {
        Choice *choice = &choices->lines[i];
        if (choice->verb != verb || !is_of_program(choices, choice)) continue;
        if (!choice_meets_place(choice, step->place, choices->arena)) continue;
        if (choice->label && !choice_matches(choice->label, step->label)) continue;
        choice->met++;
        found = choice;
    }
    return found;
}

Choice *choices_of_strand(Choices *choices) {
    Choice *found = choices_about(choices, "plan_strands", "strand", "");
    for (size_t i = 0; i < choices_count(choices); i++) {
        Choice *choice = &choices->lines[i];
        if (choice->verb != CHOICE_STRAND || !is_of_program(choices, choice)) continue;
        choice->met++;
        if (!found || found < choice) found = choice;
    }
    return found;
}

Choice *choices_next(Choices *choices, ChoiceVerb verb, const Choice *before) {
    for (size_t i = before ? (size_t)(before - choices->lines) + 1 : 0; i < choices_count(choices); i++)
        if (choices->lines[i].verb == verb && is_of_program(choices, &choices->lines[i])) return &choices->lines[i];
    return NULL;
}

void choices_precision(Choices *choices, const char *place, DType dtype) {
    Choice *choice = NULL;
    while ((choice = choices_next(choices, CHOICE_PRECISION, choice))) {
        if (choice->precision != DTYPE_F32 || !choice_matches(choice->place, place)) continue;
        choice->met++;
        if (dtype == DTYPE_F32)
            choice_follow(choices, choice);
        else
            choice_obstruct(choices, choice, arena_format(choices->arena, "'%s' holds %s", place, dtype_name(dtype)));
    }
}

static Choice *last_precision(Choices *choices, const char *place) {
    Choice *choice = NULL, *found = NULL;
    while ((choice = choices_next(choices, CHOICE_PRECISION, choice)))
        if (choice_matches(choice->place, place)) found = choice;
    return found;
}

bool choices_ask_for(Choices *choices, const char *place, DType dtype) {
    const Choice *choice = last_precision(choices, place);
    return choice && choice->precision == dtype;
}

void choices_decide_precision(Choices *choices, bool is_possible, DType dtype, Decision *decision) {
    Choice *choice = last_precision(choices, decision->place), *line = NULL;
    if (!choice) return;
    while ((line = choices_next(choices, CHOICE_PRECISION, line)))
        if (line->precision != DTYPE_F32 && choice_matches(line->place, decision->place)) line->met++;
    bool wanted = choice->precision == dtype;
    decision->made = wanted && is_possible;
    decision->reason = wanted && !is_possible ? choice_obstruct(choices, choice, decision->reason)
                                              : choice_follow(choices, choice);
}

// Why an engine that is asked for cannot be; NULL: it can.
static const char *engine_obstacle(const Choices *choices, const Choice *choice, const char *library,
                                   const char *refusal) {
    bool is_other = choice->engine && !text_equal(choice->engine, library) && !text_equal(choice->engine, "tiles");
    return is_other ? arena_format(choices->arena, "the library of this device is %s", library) : refusal;
}

bool choices_decide_engine(Choices *choices, const Step *step, const char *library, const char *refusal, bool is_wanted,
                           Decision *decision) {
    Choice *choice = choices_of_step(choices, CHOICE_ENGINE, step);
    if (!choice && is_wanted) choice = choices_about(choices, decision->pass, decision->what, decision->place);
    if (!choice) return false;
    bool asked = choice->engine ? !text_equal(choice->engine, "tiles") : choice->verb == CHOICE_MAKE;
    const char *obstacle = asked ? engine_obstacle(choices, choice, library, refusal) : NULL;
    decision->made = asked && !obstacle;
    decision->reason = obstacle ? choice_obstruct(choices, choice, obstacle) : choice_follow(choices, choice);
    return true;
}

static const char *by_choice(const Choices *choices, const Choice *choice) {
    return arena_format(choices->arena, "by choice %s:%u", choice->at.file, choice->at.line);
}

const char *choice_follow(Choices *choices, Choice *choice) {
    choice->followed++;
    return by_choice(choices, choice);
}

const char *choice_obstruct(Choices *choices, Choice *choice, const char *reason) {
    if (!choice->obstacle) choice->obstacle = arena_copy(choices->arena, reason);
    return arena_format(choices->arena, "%s, but %s", by_choice(choices, choice), reason);
}

const char *choice_strand(Choices *choices, Choice *choice, bool is_possible, bool *made) {
    if (!choice) return NULL;
    *made = is_possible && choice->verb != CHOICE_FORBID;
    if (is_possible || choice->verb == CHOICE_FORBID) return choice_follow(choices, choice);
    return choice_obstruct(choices, choice, "no dim can be cut so from the first product to the last");
}

// ---- the end

// Whether a line that matched nothing should have: its program was compiled, or the step, which has all there is.
static bool was_due(const Choices *choices, const Choice *choice) {
    const char *program = choice->program ? choice->program : "step";
    for (size_t i = 0; i < choices->program_count; i++)
        if (text_equal(choices->programs[i], program)) return true;
    return false;
}

static bool has_seen(const Choices *choices, const char *pattern) {
    for (size_t i = 0; i < choices->seen_count; i++)
        if (choice_matches(pattern, choices->seen[i])) return true;
    return false;
}

// The pattern that meets no word and no place; NULL when each one meets something, but no decision meets all.
static const char *unknown_pattern(const Choices *choices, const Choice *choice) {
    for (int i = 0; i < choice->word_count; i++) {
        const char *word = choice->words[i] + (choice->words[i][0] == '"');
        if (!has_seen(choices, word)) return word;
    }
    if (choice->place && !has_seen(choices, choice->place)) return choice->place;
    return choice->with && !has_seen(choices, choice->with) ? choice->with : NULL;
}

// The first name that a pattern with layers might mean.
static const char *without_pattern(const Choices *choices, const char *pattern) {
    char *name = arena_copy(choices->arena, pattern), *open = strpbrk(name, "[{");
    char *close = open ? strpbrk(open, "]}") : NULL;
    if (!close) return name;
    bool in_brackets = *open == '[';
    *open = '\0';
    return arena_format(choices->arena, in_brackets ? "%s[0]%s" : "%s0%s", name, close + 1);
}

static void explain_nothing(Choices *choices, const Choice *choice, Diags *diags) {
    const char *pattern = unknown_pattern(choices, choice);
    if (!pattern) {
        diag_note(diags, (Place){0}, "its names exist, but no such decision is taken there");
        return;
    }
    const char *nearest = text_nearest(without_pattern(choices, pattern), choices->seen, choices->seen_count);
    if (nearest && *nearest)
        diag_note(diags, (Place){0}, "there is no '%s' here; did you mean '%s'?", pattern, nearest);
    else
        diag_note(diags, (Place){0}, "there is no '%s' here", pattern);
}

static void complain(const Choices *choices, const Choice *choice, const char *what, const char *why, Diags *diags) {
    if (choices->is_lenient)
        diag_warning(diags, choice->at, "'%s' %s%s", choice->text, what, why);
    else
        diag_error(diags, choice->at, "'%s' %s%s", choice->text, what, why);
}

void choices_be_lenient(Choices *choices) {
    if (choices) choices->is_lenient = true;
}

bool choices_finish(Choices *choices, Diags *diags) {
    bool sound = true;
    for (size_t i = 0; i < choices_count(choices); i++) {
        const Choice *choice = &choices->lines[i];
        if (choice->met == 0 && was_due(choices, choice)) {
            complain(choices, choice, "matches nothing in this model", "", diags);
            explain_nothing(choices, choice, diags);
            sound = false;
        } else if (choice->obstacle && choice->followed == 0) {
            complain(choices, choice, "cannot be followed: ", choice->obstacle, diags);
            sound = false;
        }
    }
    return sound || (choices && choices->is_lenient);
}
