// The ledger: decisions in, one line per distinct decision out. Decisions that differ only in the layer are one line:
//
//     made     draw_boxes: box softmax at layer[0..3].p: rows fit the cache; saves 1.5e+06 bytes, 2e+05 flops each
//     refused  draw_boxes: box softmax at layer[0].q: two readers
#include "ir/ledger.h"

#include <string.h>

#include "base/diag.h"

struct Ledger {
    Arena *arena;
    Decision *decisions;
    size_t count, capacity;
};

Ledger *ledger_create(Arena *arena) {
    Ledger *ledger = ARENA_NEW(arena, Ledger);
    ledger->arena = arena;
    return ledger;
}

static const char *copy(Ledger *ledger, const char *text) {
    return arena_copy(ledger->arena, text ? text : "");
}

void ledger_add(Ledger *ledger, Decision decision) {
    decision.pass = copy(ledger, decision.pass);
    decision.what = copy(ledger, decision.what);
    decision.place = copy(ledger, decision.place);
    decision.reason = copy(ledger, decision.reason);
    ledger->decisions = arena_grow(ledger->arena, ledger->decisions, &ledger->capacity, ledger->count + 1,
                                   sizeof(Decision));
    ledger->decisions[ledger->count++] = decision;
}

size_t ledger_count(const Ledger *ledger) {
    return ledger->count;
}

const Decision *ledger_at(const Ledger *ledger, size_t i) {
    CHECK(i < ledger->count);
    return &ledger->decisions[i];
}

// The first `[digits]` of a text: where its layer stands. Without one, length is 0 and at is the end of the text.
typedef struct {
    size_t at, length;  // of the digits
    unsigned long layer;
} LayerSpan;

static LayerSpan layer_span(const char *text) {
    LayerSpan span = {strlen(text), 0, 0};
    for (const char *open = strchr(text, '['); open; open = strchr(open + 1, '[')) {
        size_t digits = strspn(open + 1, "0123456789");
        if (digits == 0 || digits > 9 || open[1 + digits] != ']') continue;
        span = (LayerSpan){(size_t)(open + 1 - text), digits, 0};
        for (size_t i = 0; i < digits; i++) span.layer = span.layer * 10 + (unsigned long)(open[1 + i] - '0');
        break;
    }
    return span;
}

// Equal but for the layer.
static bool text_same(const char *a, const char *b) {
    LayerSpan x = layer_span(a), y = layer_span(b);
    return x.at == y.at && (x.length > 0) == (y.length > 0) && memcmp(a, b, x.at) == 0 &&
           strcmp(a + x.at + x.length, b + y.at + y.length) == 0;
}

static bool decision_same(const Decision *a, const Decision *b) {
    return a->made == b->made && a->bytes_saved == b->bytes_saved && a->flops_saved == b->flops_saved &&
           strcmp(a->pass, b->pass) == 0 && text_same(a->what, b->what) && text_same(a->place, b->place) &&
           text_same(a->reason, b->reason);
}

// 0,1,2,5 as "0..2,5".
static const char *layers_text(Arena *arena, const unsigned long *layers, size_t count) {
    Text text = text_create(arena);
    for (size_t i = 0; i < count;) {
        size_t end = i + 1;
        while (end < count && layers[end] == layers[end - 1] + 1) end++;
        text_append(&text, "%s%lu", i ? "," : "", layers[i]);
        if (end - i > 1) text_append(&text, "..%lu", layers[end - 1]);
        i = end;
    }
    return text_string(&text);
}

static void append_with_layers(Text *out, const char *text, const char *layers) {
    LayerSpan span = layer_span(text);
    text_append_bytes(out, text, span.at);
    if (span.length) text_append(out, "%s", layers);
    text_append(out, "%s", text + span.at + span.length);
}

static void line_print(const Decision *decision, const char *layers, size_t times, Text *out) {
    text_append(out, "%-8s %s: ", decision->made ? "made" : "refused", decision->pass);
    append_with_layers(out, decision->what, layers);
    if (*decision->place) text_append(out, " at ");
    append_with_layers(out, decision->place, layers);
    if (*decision->reason) text_append(out, ": ");
    append_with_layers(out, decision->reason, layers);
    if (decision->bytes_saved != 0 || decision->flops_saved != 0) {
        text_append(out, "; saves %.3g bytes, %.3g flops%s", decision->bytes_saved, decision->flops_saved,
                    times > 1 ? " each" : "");
    }
    text_append(out, "\n");
}

static unsigned long decision_layer(const Decision *decision) {
    LayerSpan place = layer_span(decision->place);
    return place.length ? place.layer : layer_span(decision->what).layer;
}

// Keeps `layers` ascending and without repetition.
static size_t layers_insert(unsigned long *layers, size_t count, unsigned long layer) {
    size_t at = count;
    while (at > 0 && layers[at - 1] > layer) at--;
    if (at > 0 && layers[at - 1] == layer) return count;
    memmove(layers + at + 1, layers + at, (count - at) * sizeof layers[0]);
    layers[at] = layer;
    return count + 1;
}

void ledger_print(const Ledger *ledger, Text *out) {
    bool *printed = ARENA_ARRAY(out->arena, bool, ledger->count);
    unsigned long *layers = ARENA_ARRAY(out->arena, unsigned long, ledger->count);
    for (size_t i = 0; i < ledger->count; i++) {
        if (printed[i]) continue;
        size_t times = 0, layer_count = 0;
        for (size_t k = i; k < ledger->count; k++) {
            if (printed[k] || !decision_same(&ledger->decisions[i], &ledger->decisions[k])) continue;
            printed[k] = true;
            times++;
            layer_count = layers_insert(layers, layer_count, decision_layer(&ledger->decisions[k]));
        }
        line_print(&ledger->decisions[i], layers_text(out->arena, layers, layer_count), times, out);
    }
}
