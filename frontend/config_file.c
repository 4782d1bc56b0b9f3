// Config files: .cfg and nanoGPT's .py files, as long as they are only blank lines, # comments and `key = literal`
// lines (a docstring at the top is skipped too).
//
//     batch_size = 12 # keep it small    ->   assign batch_size, "12"
//     import time                        ->   error: only `key = literal` lines are understood
#include "frontend/config.h"

#include <string.h>

enum { MAX_ERRORS = 20 };

// One line of the file, without its comment and the blanks around.
typedef struct {
    const char *file, *source;
    const char *at; // the next line
    uint32_t line;
    bool begun; // past the place of a docstring
    // of the line just read
    const char *text;
    Place place;
} Lines;

typedef struct {
    const char *key, *literal;
    Place key_place, literal_place;
} Assignment;

static bool is_blank(char c) {
    return c == ' ' || c == '\t' || c == '\r';
}

static Place place_at(const Lines *lines, const char *line, const char *at) {
    return (Place){lines->file, lines->source, lines->line, (uint32_t)(at - line) + 1};
}

// The end of what counts on a line: before a # that stands outside quotes.
static const char *line_end(const char *line, const char *end) {
    char quote = '\0';
    for (const char *c = line; c < end; c++) {
        if (quote)
            quote = *c == quote ? '\0' : quote;
        else if (*c == '\'' || *c == '"')
            quote = *c;
        else if (*c == '#')
            return c;
    }
    return end;
}

// `text` begins a docstring: moves behind it. False when it is not closed.
static bool skip_docstring(Lines *lines, const char *text) {
    const char mark[] = {*text, *text, *text, '\0'};
    const char *close = strstr(text + 3, mark);
    if (!close) return false;
    // The line that begins it is counted; the others are those that end before the closing mark, and its own.
    for (const char *c = text; c < close; c++)
        lines->line += *c == '\n';
    lines->at = close + 3 + strcspn(close + 3, "\n");
    if (*lines->at) lines->at++;
    return true;
}

// The next line that is not blank; false at the end of the file.
static bool lines_next(Arena *arena, Lines *lines) {
    while (*lines->at) {
        const char *line = lines->at, *end = line + strcspn(line, "\n");
        lines->at = *end ? end + 1 : end;
        lines->line++;
        end = line_end(line, end);
        while (line < end && is_blank(*line))
            line++;
        while (end > line && is_blank(end[-1]))
            end--;
        if (line == end) continue;
        const char *start = end;
        while (start > lines->source && start[-1] != '\n')
            start--;
        lines->place = place_at(lines, start, line);
        lines->text = arena_copy_range(arena, line, (size_t)(end - line));
        bool docstring = !lines->begun && (strncmp(line, "\"\"\"", 3) == 0 || strncmp(line, "'''", 3) == 0);
        lines->begun = true;
        if (docstring && skip_docstring(lines, line)) continue;
        return true;
    }
    return false;
}

static bool is_name(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

// `key = literal`; false when the line is anything else.
static bool assignment_read(Arena *arena, const Lines *lines, Assignment *assignment) {
    const char *text = lines->text;
    size_t key = 0;
    while (is_name(text[key]))
        key++;
    const char *at = text + key;
    while (is_blank(*at))
        at++;
    if (key == 0 || (*text >= '0' && *text <= '9') || *at != '=' || at[1] == '=') return false;
    at++;
    while (is_blank(*at))
        at++;
    if (!*at) return false;
    *assignment = (Assignment){arena_copy_range(arena, text, key), arena_copy(arena, at), lines->place, lines->place};
    assignment->literal_place.column += (uint32_t)(at - text);
    return true;
}

static bool not_understood(const Lines *lines, Diags *diags) {
    return diag_error(diags, lines->place,
                      "a config file has only comments, blank lines and lines such as 'key = literal'");
}

// Bare words are strings here, as on the command line; an expression of Python is not.
static bool is_expression(const Config *config, const Assignment *assignment) {
    const ConfigKey *key = config_find(config, assignment->key);
    const char *literal = assignment->literal;
    bool string = key && key->value.type == CONFIG_STRING && *literal != '\'' && *literal != '"';
    return string && strpbrk(literal, " \t()[]{},+*") != NULL;
}

static bool line_assign(Arena *arena, Config *config, const Lines *lines, Diags *diags) {
    Assignment assignment;
    if (!assignment_read(arena, lines, &assignment)) return not_understood(lines, diags);
    if (is_expression(config, &assignment))
        return diag_error(diags, assignment.literal_place, "expected a literal, found the expression '%s'",
                          assignment.literal);
    bool known = config_find(config, assignment.key) != NULL;
    return config_assign(config, assignment.key, assignment.literal,
                         known ? assignment.literal_place : assignment.key_place, diags);
}

bool config_read(Config *config, const char *file, const char *source, Text *echo, Diags *diags) {
    Arena *arena = config_arena(config);
    if (echo) text_append(echo, "%s\n", source);
    Lines lines = {.file = file, .source = source, .at = source};
    size_t before = diags_errors(diags);
    for (size_t wrong = 0; wrong < MAX_ERRORS && lines_next(arena, &lines);)
        wrong += !line_assign(arena, config, &lines, diags);
    return diags_errors(diags) == before;
}

const char *config_peek(Arena *arena, const char *source, const char *key) {
    Lines lines = {.source = source, .at = source};
    const char *found = NULL;
    while (lines_next(arena, &lines)) {
        Assignment assignment;
        if (!assignment_read(arena, &lines, &assignment) || !text_equal(assignment.key, key)) continue;
        const char *plain = config_unquote(arena, assignment.literal);
        found = plain ? plain : assignment.literal;
    }
    return found;
}
