// Names that differ only in their layer, as one name: `layer[0].p` ... `layer[3].p` is `layer[0..3].p`, and a stored
// name `h.0.ln_1.bias` ... is `h.{0..3}.ln_1.bias`.
#ifndef SINTER_IR_LAYER_TEXT_H
#define SINTER_IR_LAYER_TEXT_H

#include "base/text.h"

// Ascending, without repetition.
typedef struct {
    unsigned long *layers;
    size_t count, capacity;
} LayerSet;

// The layer of a text: its first `[digits]`, or else its first `.digits.`. False without one.
bool layer_of_text(const char *text, unsigned long *layer);
// Equal but for the layer.
bool layer_text_same(const char *a, const char *b);
void layer_set_add(Arena *arena, LayerSet *set, unsigned long layer);
// `text` with all layers of the set in place of its own.
void layer_text_append(Text *out, const char *text, const LayerSet *set);

#endif
