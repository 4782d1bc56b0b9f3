// The ledger: decisions in, one line per distinct decision out. Decisions that differ only in the layer are one line:
//
//     made     draw_boxes: box softmax at layer[0..3].p: rows fit the cache; saves 1.5e+06 bytes, 2e+05 flops each
//     refused  draw_boxes: box softmax at layer[0].q: two readers
#include "ir/ledger.h"

#include <string.h>

#include "base/diag.h"
#include "ir/layer_text.h"

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
    uint32_t *nodes = ARENA_ARRAY(ledger->arena, uint32_t, decision.node_count);
    if (decision.node_count) memcpy(nodes, decision.nodes, decision.node_count * sizeof *nodes);
    decision.nodes = nodes;
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

static bool decision_same(const Decision *a, const Decision *b) {
    return a->made == b->made && a->bytes_saved == b->bytes_saved && a->flops_saved == b->flops_saved &&
           strcmp(a->pass, b->pass) == 0 && layer_text_same(a->what, b->what) && layer_text_same(a->place, b->place) &&
           layer_text_same(a->reason, b->reason);
}

static void line_print(const Decision *decision, const LayerSet *layers, size_t times, Text *out) {
    text_append(out, "%-8s %s: ", decision->made ? "made" : "refused", decision->pass);
    layer_text_append(out, decision->what, layers);
    if (*decision->place) text_append(out, " at ");
    layer_text_append(out, decision->place, layers);
    if (*decision->reason) text_append(out, ": ");
    layer_text_append(out, decision->reason, layers);
    if (decision->bytes_saved != 0 || decision->flops_saved != 0) {
        text_append(out, "; %s %.3g bytes, %.3g flops%s", decision->made ? "saves" : "would save",
                    decision->bytes_saved, decision->flops_saved, times > 1 ? " each" : "");
    }
    text_append(out, "\n");
}

static unsigned long decision_layer(const Decision *decision) {
    unsigned long layer = 0;
    if (!layer_of_text(decision->place, &layer) && !layer_of_text(decision->what, &layer))
        layer_of_text(decision->reason, &layer);
    return layer;
}

void ledger_print(const Ledger *ledger, Text *out) {
    bool *printed = ARENA_ARRAY(out->arena, bool, ledger->count);
    for (size_t i = 0; i < ledger->count; i++) {
        if (printed[i]) continue;
        size_t times = 0;
        LayerSet layers = {0};
        for (size_t k = i; k < ledger->count; k++) {
            if (printed[k] || !decision_same(&ledger->decisions[i], &ledger->decisions[k])) continue;
            printed[k] = true;
            times++;
            layer_set_add(out->arena, &layers, decision_layer(&ledger->decisions[k]));
        }
        line_print(&ledger->decisions[i], &layers, times, out);
    }
}
