// Text to choices.  In: a text of one choice a line. Out: the list, longer by its choices.
//
//     chunk pack at layer[*].y 4 in step      ->   CHUNK label "pack" place "layer[*].y" pieces 4 program "step"
//     forbid merge product with add           ->   FORBID words "merge" "product" "with" "add"
//
// A `#` begins a comment at the beginning of a line and behind a blank. Words in quotes are one token.
#include <stdlib.h>
#include <string.h>

#include "passes/choices_private.h"

enum { MOST_TOKENS = 32, MOST_ERRORS = 20 };

static const struct {
    const char *name, *usage;
} verbs[CHOICE_VERBS] = {
#define CHOICE_VERB(ENUM, name_, usage_) {#name_, usage_},
#include "passes/choices.def"
#undef CHOICE_VERB
};

const char *const choice_programs[] = {"step", "micro", "eval", "logits", NULL};

const char *choice_verb_name(ChoiceVerb verb) {
    return verbs[verb].name;
}

// One line, cut at blanks.
typedef struct {
    Choices *choices;
    Diags *diags;
    Place at;                            // of the line's first token
    const char *tokens[MOST_TOKENS];
    uint32_t columns[MOST_TOKENS];
    int count, next;
    const char *start, *end;             // of the text, without comment
    const char *program;                 // of the section
} Line;

static Place place_of(const Line *line, int token) {
    Place at = line->at;
    at.column = line->columns[token < line->count ? token : line->count - 1];
    return at;
}

static bool is_space(char c) {
    return c == ' ' || c == '\t' || c == '\r';
}

// Reads up to the end of the line; false after a diagnostic.
static bool split_line(Line *line, const char *text) {
    const char *start = text;
    line->start = line->end = text + strspn(text, " \t\r");
    line->count = line->next = 0;
    while (*text && *text != '\n') {
        if (is_space(*text)) {
            text++;
            continue;
        }
        if (*text == '#') return true;
        bool is_quoted = *text == '"';
        size_t length = is_quoted ? 1 + strcspn(text + 1, "\"\n") : strcspn(text, " \t\r\n");
        line->columns[line->count] = (uint32_t)(text - start) + 1;
        line->tokens[line->count++] = arena_copy_range(line->choices->arena, text, length);
        text += length + (is_quoted && text[length] == '"');
        line->end = text;
        if (line->count == MOST_TOKENS) {
            line->at.column = 1;
            return diag_error(line->diags, line->at, "more than %d words in one choice", MOST_TOKENS - 1);
        }
    }
    return true;
}

static const char *peek(const Line *line, int ahead) {
    return line->next + ahead < line->count ? line->tokens[line->next + ahead] : NULL;
}

static bool usage_error(const Line *line, const Choice *choice, const char *wanted) {
    const char *found = peek(line, 0);
    diag_error(line->diags, place_of(line, line->next), "expected %s, found %s", wanted,
               found ? arena_format(line->choices->arena, "'%s'", found) : "the end of the line");
    diag_note(line->diags, (Place){0}, "%s %s", verbs[choice->verb].name, verbs[choice->verb].usage);
    return false;
}

static bool parse_verb(Line *line, Choice *choice) {
    const char *names[CHOICE_VERBS];
    const char *word = line->tokens[line->next];
    for (int verb = 0; verb < CHOICE_VERBS; verb++) {
        names[verb] = verbs[verb].name;
        if (!text_equal(names[verb], word)) continue;
        choice->verb = (ChoiceVerb)verb;
        line->next++;
        return true;
    }
    Text known = text_create(line->choices->arena);
    for (int verb = 0; verb < CHOICE_VERBS; verb++) text_append(&known, "%s%s", verb ? ", " : "", names[verb]);
    const char *nearest = text_nearest(word, names, CHOICE_VERBS);
    diag_error(line->diags, place_of(line, line->next), "there is no choice '%s'", word);
    if (nearest)
        diag_note(line->diags, (Place){0}, "did you mean '%s'?", nearest);
    else
        diag_note(line->diags, (Place){0}, "choices are: %s", text_string(&known));
    return false;
}

static const char *find_program(const char *name) {
    for (int i = 0; choice_programs[i]; i++)
        if (text_equal(choice_programs[i], name)) return choice_programs[i];
    return NULL;
}

static bool no_program(const Line *line, int token) {
    return diag_error(line->diags, place_of(line, token), "there is no program '%s': step, micro, eval or logits",
                      line->tokens[token]);
}

// `in step`, on a line of its own.
static bool begin_section(Line *line) {
    line->program = find_program(line->tokens[1]);
    return line->program || no_program(line, 1);
}

// `in step` at the end. `param in panels` is no program, but words.
static bool take_program(Line *line, Choice *choice) {
    if (line->count - line->next < 2 || !text_equal(line->tokens[line->count - 2], "in")) return true;
    const char *name = line->tokens[line->count - 1];
    if (find_program(name)) {
        choice->program = find_program(name);
        line->count -= 2;
        return true;
    }
    return choice->verb == CHOICE_FORBID || choice->verb == CHOICE_MAKE || no_program(line, line->count - 1);
}

static bool parse_words(Line *line, Choice *choice) {
    while (peek(line, 0) && !text_equal(peek(line, 0), "at")) {
        if (choice->word_count == CHOICE_WORDS)
            return diag_error(line->diags, place_of(line, line->next), "more than %d words", CHOICE_WORDS);
        choice->words[choice->word_count++] = line->tokens[line->next++];
    }
    if (choice->word_count == 0) return usage_error(line, choice, "words of a decision");
    if (!peek(line, 0)) return true;
    line->next++;
    if (!peek(line, 0)) return usage_error(line, choice, "a place");
    choice->place = line->tokens[line->next++];
    return true;
}

// `layernorm backward at layer[*].m`, or the place alone.
static bool parse_place(Line *line, Choice *choice) {
    int at = line->next;
    while (at < line->count && !text_equal(line->tokens[at], "at")) at++;
    if (at < line->count) {
        Text label = text_create(line->choices->arena);
        for (; line->next < at; line->next++)
            text_append(&label, "%s%s", label.length ? " " : "", line->tokens[line->next]);
        choice->label = text_string(&label);
        line->next++;
    }
    if (!peek(line, 0)) return usage_error(line, choice, "a place");
    choice->place = line->tokens[line->next++];
    return true;
}

// A number from 1; 0 for anything else.
static uint32_t parse_number(const char *text, const char **end) {
    char *stop = (char *)text;
    unsigned long number = text && *text >= '0' && *text <= '9' ? strtoul(text, &stop, 10) : 0;
    if (end) *end = stop;
    return (!end && text && *stop) || number > 1u << 20 ? 0 : (uint32_t)number;
}

static bool parse_tile(Line *line, Choice *choice) {
    const char *text = peek(line, 0), *cross = text;
    choice->rows = parse_number(text, &cross);
    choice->lanes = cross && *cross == 'x' ? parse_number(cross + 1, NULL) : 0;
    if (!choice->rows || !choice->lanes) return usage_error(line, choice, "ROWSxLANES, such as 13x32");
    line->next++;
    return true;
}

// `WORD NUMBER`, if it is there.
static bool parse_count(Line *line, const Choice *choice, const char *word, uint32_t *count) {
    if (!peek(line, 0) || !text_equal(peek(line, 0), word)) return true;
    *count = parse_number(peek(line, 1), NULL);
    line->next++;
    if (*count == 0) return usage_error(line, choice, "a number");
    line->next++;
    return true;
}

static bool parse_block(Line *line, Choice *choice) {
    if (!parse_tile(line, choice) || !parse_count(line, choice, "stages", &choice->stages) ||
        !parse_count(line, choice, "parts", &choice->pieces))
        return false;
    choice->wgmma = peek(line, 0) && text_equal(peek(line, 0), "wgmma");
    line->next += choice->wgmma;
    choice->in_turns = choice->wgmma && peek(line, 0) && text_equal(peek(line, 0), "turns");
    line->next += choice->in_turns;
    return true;
}

static bool parse_pieces(Line *line, Choice *choice) {
    choice->pieces = parse_number(peek(line, 0), NULL);
    if (choice->pieces == 0) return usage_error(line, choice, "a number of pieces");
    line->next++;
    return true;
}

static bool parse_chunk(Line *line, Choice *choice) {
    if (!parse_pieces(line, choice)) return false;
    if (!peek(line, 0)) return true;
    if (!text_equal(peek(line, 0), "over") || !peek(line, 1)) return usage_error(line, choice, "'over DIM,DIM'");
    choice->over = peek(line, 1);
    line->next += 2;
    return true;
}

static bool parse_strand(Line *line, Choice *choice) {
    if (peek(line, 0) && text_equal(peek(line, 0), "off")) {
        choice->verb = CHOICE_FORBID;
        choice->words[choice->word_count++] = "\"strand";
        line->next++;
        return true;
    }
    if (!parse_pieces(line, choice)) return false;
    if (!peek(line, 0)) return true;
    choice->groups = parse_number(peek(line, 1), NULL);
    if (!text_equal(peek(line, 0), "groups") || !choice->groups) return usage_error(line, choice, "'groups GROUPS'");
    line->next += 2;
    return true;
}

static bool parse_engine(Line *line, Choice *choice) {
    const char *name = peek(line, 0);
    bool is_known = name && (text_equal(name, "tiles") || text_equal(name, "openblas") || text_equal(name, "cublaslt"));
    if (!is_known) return usage_error(line, choice, "'tiles', 'openblas' or 'cublaslt'");
    choice->engine = name;
    line->next++;
    choice->is_plain = peek(line, 0) && text_equal(peek(line, 0), "plain");
    line->next += choice->is_plain;
    return true;
}

static bool parse_precision(Line *line, Choice *choice) {
    const char *name = peek(line, 0);
    if (!name) return usage_error(line, choice, "a type");
    if (!dtype_from_name(name, &choice->precision) ||
        (choice->precision != DTYPE_F32 && choice->precision != DTYPE_BF16 && choice->precision != DTYPE_F16))
        return diag_error(line->diags, place_of(line, line->next), "'%s': values are stored in f32, bf16 or f16", name);
    line->next++;
    return true;
}

static bool parse_with(Line *line, Choice *choice) {
    if (!peek(line, 0)) return true;
    if (!text_equal(peek(line, 0), "with") || !peek(line, 1)) return usage_error(line, choice, "'with PLACE'");
    choice->with = peek(line, 1);
    line->next += 2;
    return true;
}

static bool parse_rest(Line *line, Choice *choice) {
    switch (choice->verb) {
    case CHOICE_FORBID:
    case CHOICE_MAKE: return parse_words(line, choice);
    case CHOICE_KEEP:
    case CHOICE_REDO: return parse_place(line, choice);
    case CHOICE_FUSE: return parse_place(line, choice) && parse_with(line, choice);
    case CHOICE_TILE: return parse_place(line, choice) && parse_tile(line, choice);
    case CHOICE_BLOCK: return parse_place(line, choice) && parse_block(line, choice);
    case CHOICE_CHUNK: return parse_place(line, choice) && parse_chunk(line, choice);
    case CHOICE_STRAND: return parse_strand(line, choice);
    case CHOICE_ENGINE: return parse_place(line, choice) && parse_engine(line, choice);
    case CHOICE_PRECISION: return parse_place(line, choice) && parse_precision(line, choice);
    case CHOICE_VERBS: break;
    }
    BUG("verb %d", (int)choice->verb);
}

static bool parse_line(Line *line) {
    Choices *choices = line->choices;
    if (line->count == 2 && text_equal(line->tokens[0], "in")) return begin_section(line);
    Choice choice = {.program = line->program,
                     .section = line->program,
                     .text = arena_copy_range(choices->arena, line->start, (size_t)(line->end - line->start)),
                     .at = place_of(line, 0)};
    if (!parse_verb(line, &choice) || !take_program(line, &choice) || !parse_rest(line, &choice)) return false;
    if (peek(line, 0)) return usage_error(line, &choice, "the end of the line");
    choices->lines = arena_grow(choices->arena, choices->lines, &choices->capacity, choices->count + 1, sizeof(Choice));
    choices->lines[choices->count++] = choice;
    return true;
}

bool choices_add(Choices *choices, const char *file, const char *source, Diags *diags) {
    Line line = {.choices = choices, .diags = diags, .at = {.file = file, .source = source}};
    int wrong = 0;
    for (const char *text = source; *text && wrong < MOST_ERRORS; text += *text == '\n') {
        line.at.line++;
        if (!split_line(&line, text) || (line.count > 0 && !parse_line(&line))) wrong++;
        text += strcspn(text, "\n");
    }
    return wrong == 0;
}
