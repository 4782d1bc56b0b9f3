// The decisions of the ledger: see explain.h. One reason, with all places that have it, is one paragraph.
//
//     refused draw_boxes: merge product with softmax at layer[0].p: a contraction and a reduction
//     refused draw_boxes: merge product with softmax at layer[1].p: a contraction and a reduction    ->
//
//     refused
//       merge product with softmax: a contraction and a reduction
//         layer[0..1].p
//
// Near misses, where all conditions but one hold, come before the other refusals; both begin with what would save most.
#include <stdlib.h>
#include <string.h>

#include "driver/explain/explain.h"
#include "ir/layer_text.h"

typedef struct {
    const char *text;
    LayerSet layers;
} PlaceLine;

typedef struct {
    const Decision *first;
    LayerSet layers;
    PlaceLine *places;
    size_t place_count, place_capacity, count;
    double bytes_saved, flops_saved;
} Paragraph;

static bool paragraph_takes(const Paragraph *paragraph, const Decision *decision) {
    const Decision *first = paragraph->first;
    return first->made == decision->made && text_equal(first->pass, decision->pass) &&
           layer_text_same(first->what, decision->what) && layer_text_same(first->reason, decision->reason);
}

static void add_layer_of(Arena *arena, LayerSet *set, const char *text) {
    unsigned long layer;
    if (layer_of_text(text, &layer)) layer_set_add(arena, set, layer);
}

static void add_place(Paragraph *paragraph, const char *place, Arena *arena) {
    size_t at = 0;
    while (at < paragraph->place_count && !layer_text_same(paragraph->places[at].text, place))
        at++;
    if (at == paragraph->place_count) {
        paragraph->places =
            arena_grow(arena, paragraph->places, &paragraph->place_capacity, at + 1, sizeof *paragraph->places);
        paragraph->places[paragraph->place_count++] = (PlaceLine){.text = place};
    }
    add_layer_of(arena, &paragraph->places[at].layers, place);
}

// Boxes are lines of the table already: those that save nothing say nothing more. What a level excludes as such (op:
// boxes of different operators) goes without saying here; explain_why says it.
static bool is_shown(const Decision *decision) {
    if (!decision->made) return strncmp(decision->reason, "level ", 6) != 0;
    return strncmp(decision->what, "box ", 4) != 0 || decision->bytes_saved != 0 || decision->flops_saved != 0;
}

static size_t collect(const Explained *shown, bool made, bool near, Paragraph *paragraphs, Arena *arena) {
    size_t count = 0;
    for (size_t i = 0; i < ledger_count(shown->ledger); i++) {
        const Decision *decision = ledger_at(shown->ledger, i);
        if (decision->made != made || decision->near != near || !is_shown(decision)) continue;
        size_t at = 0;
        while (at < count && !paragraph_takes(&paragraphs[at], decision))
            at++;
        if (at == count) paragraphs[count++] = (Paragraph){.first = decision};
        Paragraph *paragraph = &paragraphs[at];
        paragraph->count++;
        paragraph->bytes_saved += decision->bytes_saved;
        paragraph->flops_saved += decision->flops_saved;
        add_layer_of(arena, &paragraph->layers, decision->what);
        add_layer_of(arena, &paragraph->layers, decision->reason);
        if (*decision->place) add_place(paragraph, explain_place(shown->plan, decision->place, arena), arena);
    }
    return count;
}

static void paragraph_print(const Paragraph *paragraph, Text *out) {
    Text line = text_create(out->arena), places = text_create(out->arena);
    layer_text_append(&line, paragraph->first->what, &paragraph->layers);
    text_append(&line, ": ");
    layer_text_append(&line, paragraph->first->reason, &paragraph->layers);
    const char *saves = paragraph->first->made ? "saves" : "would save";
    if (paragraph->bytes_saved != 0)
        text_append(&line, "; %s %s bytes", saves, explain_quantity(out->arena, paragraph->bytes_saved));
    if (paragraph->flops_saved != 0)
        text_append(&line, "; %s %s flops", saves, explain_quantity(out->arena, paragraph->flops_saved));
    if (paragraph->count > 1) text_append(&line, " (%zu times)", paragraph->count);
    explain_wrapped(out, 2, text_string(&line), " ");
    for (size_t i = 0; i < paragraph->place_count; i++) {
        text_append(&places, i ? ", " : "");
        layer_text_append(&places, paragraph->places[i].text, &paragraph->places[i].layers);
    }
    if (paragraph->place_count) explain_wrapped(out, 4, text_string(&places), ", ");
}

// By bytes, most first; the order of the ledger where equal.
static int paragraph_compare(const void *a, const void *b) {
    const Paragraph *x = a, *y = b;
    if (x->bytes_saved != y->bytes_saved) return x->bytes_saved < y->bytes_saved ? 1 : -1;
    return x->first < y->first ? -1 : x->first > y->first;
}

static void print_decisions(const Explained *shown, const char *title, bool made, bool near, Text *out) {
    Paragraph *paragraphs = ARENA_ARRAY(out->arena, Paragraph, ledger_count(shown->ledger));
    size_t count = collect(shown, made, near, paragraphs, out->arena);
    if (!made) qsort(paragraphs, count, sizeof *paragraphs, paragraph_compare);
    text_append(out, "%s\n", title);
    if (count == 0) text_append(out, "  nothing\n");
    for (size_t i = 0; i < count; i++)
        paragraph_print(&paragraphs[i], out);
    text_append(out, "\n");
}

void explain_decisions(const Explained *shown, Text *out) {
    print_decisions(shown, "made", true, false, out);
    print_decisions(shown, "near misses: all conditions but one hold", false, true, out);
    print_decisions(shown, "refused", false, false, out);
}
