// Collected diagnostics with carets, and BUG: see diag.h.
#include "base/diag.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    DiagKind kind;
    Place place;
    const char *message;
} Diag;

struct Diags {
    Arena *arena;
    Diag *list;
    size_t count, capacity, errors;
};

Diags *diags_create(Arena *arena) {
    Diags *diags = ARENA_NEW(arena, Diags);
    diags->arena = arena;
    return diags;
}

static void diag_add(Diags *diags, DiagKind kind, Place place, const char *format, va_list arguments) {
    Text message = text_create(diags->arena);
    text_append_list(&message, format, arguments);
    diags->list = arena_grow(diags->arena, diags->list, &diags->capacity, diags->count + 1, sizeof(Diag));
    diags->list[diags->count++] = (Diag){kind, place, text_string(&message)};
    diags->errors += kind == DIAG_ERROR;
}

bool diag_error(Diags *diags, Place place, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    diag_add(diags, DIAG_ERROR, place, format, arguments);
    va_end(arguments);
    return false;
}

void diag_warning(Diags *diags, Place place, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    diag_add(diags, DIAG_WARNING, place, format, arguments);
    va_end(arguments);
}

void diag_note(Diags *diags, Place place, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    diag_add(diags, DIAG_NOTE, place, format, arguments);
    va_end(arguments);
}

size_t diags_errors(const Diags *diags) { return diags->errors; }
size_t diags_count(const Diags *diags) { return diags->count; }

// The source line of `place`, then a caret under its column. Tabs are kept, so the caret stays aligned.
static void render_line(const Place *place, Text *out) {
    const char *line = place->source;
    for (uint32_t n = 1; n < place->line && line; n++) {
        line = strchr(line, '\n');
        if (line) line++;
    }
    if (!line) return;
    size_t length = strcspn(line, "\r\n"), shown = length > 160 ? 160 : length;
    text_append(out, "    %.*s%s\n", (int)shown, line, shown < length ? "..." : "");
    if (place->column == 0 || place->column > shown + 1) return;
    text_append(out, "    ");
    for (uint32_t i = 0; i + 1 < place->column; i++) text_append(out, "%c", line[i] == '\t' ? '\t' : ' ');
    text_append(out, "^\n");
}

void diags_render(const Diags *diags, Text *out) {
    static const char *const kinds[] = {"error", "warning", "note"};
    for (size_t i = 0; i < diags->count; i++) {
        const Diag *diag = &diags->list[i];
        if (diag->kind == DIAG_NOTE) text_append(out, "    ");
        if (diag->place.file) text_append(out, "%s:", diag->place.file);
        if (diag->place.file && diag->place.line) text_append(out, "%u:%u:", diag->place.line, diag->place.column);
        if (diag->place.file) text_append(out, " ");
        text_append(out, "%s: %s\n", kinds[diag->kind], diag->message);
        if (diag->place.source && diag->place.line) render_line(&diag->place, out);
    }
}

static void (*bug_hook)(void *context);
static void *bug_context;

void bug_set_hook(void (*hook)(void *context), void *context) {
    bug_hook = hook;
    bug_context = context;
}

void bug_report(const char *file, int line, const char *format, ...) {
    fprintf(stderr, "sinter: internal error at %s:%d: ", file, line);
    va_list arguments;
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    void (*hook)(void *) = bug_hook;
    bug_hook = NULL;  // a bug inside the hook must not come back here
    if (hook) hook(bug_context);
    abort();
}
