// Target as text, one `name value` per line; blank lines and what follows `#` do not count:
//
//     triple host          # this machine
//     cores 2
//     peak_flops 1.2e+11
//
// Every field is in `fields` once, and a text gives every field once.
#include "ir/target.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

Target target_default(void) {
    return (Target){.cores = 2, .vector_bytes = 32, .vector_registers = 16, .l1_bytes = 32768, .l2_bytes = 524288,
                    .l3_bytes = 8388608, .peak_flops = 1e11, .bandwidth = 1e10, .barrier_seconds = 1e-6};
}

typedef enum { FIELD_TEXT, FIELD_INTEGER, FIELD_NUMBER } FieldKind;

#define FIELD(kind, name) {#name, kind, offsetof(Target, name)}
static const struct {
    const char *name;
    FieldKind kind;
    size_t offset;
} fields[] = {
    FIELD(FIELD_TEXT, triple),
    FIELD(FIELD_TEXT, cpu),
    FIELD(FIELD_TEXT, gpu),
    FIELD(FIELD_INTEGER, cores),
    FIELD(FIELD_INTEGER, vector_bytes),
    FIELD(FIELD_INTEGER, vector_registers),
    FIELD(FIELD_NUMBER, l1_bytes),
    FIELD(FIELD_NUMBER, l2_bytes),
    FIELD(FIELD_NUMBER, l3_bytes),
    FIELD(FIELD_NUMBER, peak_flops),
    FIELD(FIELD_NUMBER, bandwidth),
    FIELD(FIELD_NUMBER, barrier_seconds),
    FIELD(FIELD_NUMBER, library_bytes),
};
#undef FIELD
enum { FIELD_COUNT = sizeof fields / sizeof fields[0], WORD_BYTES = sizeof((Target *)0)->triple };

static bool may_be_zero(int field) {
    return fields[field].offset == offsetof(Target, library_bytes);
}

// What an empty text means.
static const char *empty_word(int field) {
    return fields[field].offset == offsetof(Target, gpu) ? "none" : "host";
}

void target_print(const Target *target, Text *out) {
    for (int i = 0; i < FIELD_COUNT; i++) {
        const char *field = (const char *)target + fields[i].offset;
        text_append(out, "%s ", fields[i].name);
        switch (fields[i].kind) {
        case FIELD_TEXT: text_append(out, "%s", *field ? field : empty_word(i)); break;
        case FIELD_INTEGER: text_append(out, "%d", *(const int *)field); break;
        case FIELD_NUMBER: text_append_double(out, *(const double *)field); break;
        }
        text_append(out, "\n");
    }
}

// Steps over blanks and one word of the line at *at; the word is cut at WORD_BYTES - 1, *column is where it starts.
static bool next_word(const char **at, uint32_t *column, char *word) {
    const char *c = *at;
    while (*c == ' ' || *c == '\t' || *c == '\r') c++;
    *column += (uint32_t)(c - *at);
    size_t length = 0;
    while (c[length] && !isspace((unsigned char)c[length]) && c[length] != '#') length++;
    size_t kept = length < WORD_BYTES ? length : WORD_BYTES - 1;
    memcpy(word, c, kept);
    word[kept] = 0;
    *at = c + length;
    return length > 0;
}

static bool integer_fits(const char *name, long value) {
    if (strcmp(name, "vector_bytes") == 0) return value == 16 || value == 32 || value == 64;
    if (strcmp(name, "vector_registers") == 0) return value == 16 || value == 32;
    return value >= 1 && value <= 65536;
}

static bool field_read(int i, const char *word, Target *target, Place place, Diags *diags) {
    char *field = (char *)target + fields[i].offset;
    char *end;
    errno = 0;
    switch (fields[i].kind) {
    case FIELD_TEXT:
        if (strlen(word) == WORD_BYTES - 1) break;  // perhaps cut
        strcpy(field, strcmp(word, empty_word(i)) == 0 ? "" : word);
        return true;
    case FIELD_INTEGER: {
        long value = strtol(word, &end, 10);
        if (*end || errno || !integer_fits(fields[i].name, value)) break;
        *(int *)field = (int)value;
        return true;
    }
    case FIELD_NUMBER: {
        double value = strtod(word, &end);
        if (*end || !isfinite(value) || value < 0 || (value == 0 && !may_be_zero(i))) break;
        *(double *)field = value;
        return true;
    }
    }
    return diag_error(diags, place, "'%s' is no value of %s", word, fields[i].name);
}

static bool line_read(const char *line, Place place, Target *target, bool *seen, Diags *diags) {
    char word[WORD_BYTES];
    place.column = 1;
    if (!next_word(&line, &place.column, word)) return true;
    int i = 0;
    while (i < FIELD_COUNT && strcmp(fields[i].name, word) != 0) i++;
    if (i == FIELD_COUNT) return diag_error(diags, place, "a target has no field '%s'", word);
    if (seen[i]) return diag_error(diags, place, "%s twice", word);
    seen[i] = true;

    place.column += (uint32_t)strlen(fields[i].name);
    if (!next_word(&line, &place.column, word)) return diag_error(diags, place, "%s has no value", fields[i].name);
    if (!field_read(i, word, target, place, diags)) return false;
    place.column += (uint32_t)strlen(word);
    if (next_word(&line, &place.column, word)) {
        return diag_error(diags, place, "'%s' after the value of %s", word, fields[i].name);
    }
    return true;
}

bool target_parse(const char *file, const char *source, Target *target, Diags *diags) {
    Target result = target_default();
    bool seen[FIELD_COUNT] = {false}, sound = true;
    Place place = {file, source, 1, 1};
    for (const char *line = source; line; place.line++) {
        sound &= line_read(line, place, &result, seen, diags);
        line = strchr(line, '\n');
        if (line) line++;
    }
    for (int i = 0; i < FIELD_COUNT; i++) {
        if (!seen[i]) sound = diag_error(diags, (Place){.file = file}, "the target lacks %s", fields[i].name);
    }
    if (sound) *target = result;
    return sound;
}
