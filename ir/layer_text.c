// Texts that differ only in their layer: see layer_text.h.
#include "ir/layer_text.h"

#include <stdlib.h>
#include <string.h>

#include "base/diag.h"

// Where the layer of a text stands. Without one, length is 0 and at is the end of the text.
typedef struct {
    size_t at, length;  // of the digits
    bool in_brackets;
} LayerSpan;

// The first run of digits between `open` and `close`.
static bool span_find(const char *text, char open, char close, LayerSpan *span) {
    for (const char *at = strchr(text, open); at; at = strchr(at + 1, open)) {
        size_t digits = strspn(at + 1, "0123456789");
        if (digits == 0 || digits > 9 || at[1 + digits] != close) continue;
        *span = (LayerSpan){(size_t)(at + 1 - text), digits, open == '['};
        return true;
    }
    return false;
}

static LayerSpan layer_span(const char *text) {
    LayerSpan span;
    if (span_find(text, '[', ']', &span) || span_find(text, '.', '.', &span)) return span;
    return (LayerSpan){strlen(text), 0, false};
}

bool layer_of_text(const char *text, unsigned long *layer) {
    LayerSpan span = layer_span(text);
    if (span.length) *layer = strtoul(text + span.at, NULL, 10);
    return span.length > 0;
}

bool layer_text_same(const char *a, const char *b) {
    LayerSpan x = layer_span(a), y = layer_span(b);
    return x.at == y.at && (x.length > 0) == (y.length > 0) && memcmp(a, b, x.at) == 0 &&
           strcmp(a + x.at + x.length, b + y.at + y.length) == 0;
}

void layer_set_add(Arena *arena, LayerSet *set, unsigned long layer) {
    size_t at = set->count;
    while (at > 0 && set->layers[at - 1] > layer) at--;
    if (at > 0 && set->layers[at - 1] == layer) return;
    set->layers = arena_grow(arena, set->layers, &set->capacity, set->count + 1, sizeof *set->layers);
    memmove(set->layers + at + 1, set->layers + at, (set->count - at) * sizeof *set->layers);
    set->layers[at] = layer;
    set->count++;
}

// 0,1,2,5 as "0..2,5".
static void append_layers(Text *out, const LayerSet *set) {
    for (size_t i = 0; i < set->count;) {
        size_t end = i + 1;
        while (end < set->count && set->layers[end] == set->layers[end - 1] + 1) end++;
        text_append(out, "%s%lu", i ? "," : "", set->layers[i]);
        if (end - i > 1) text_append(out, "..%lu", set->layers[end - 1]);
        i = end;
    }
}

void layer_text_append(Text *out, const char *text, const LayerSet *set) {
    LayerSpan span = layer_span(text);
    bool braces = span.length && !span.in_brackets && set->count > 1;
    text_append_bytes(out, text, span.at);
    if (span.length) {
        CHECK(set->count > 0);
        text_append(out, braces ? "{" : "");
        append_layers(out, set);
        text_append(out, braces ? "}" : "");
    }
    text_append(out, "%s", text + span.at + span.length);
}
