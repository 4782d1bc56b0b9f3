// A small GPT-2 in the tensor IR, as the front end lowers it: groups for operators, names for values, moves where
// indices are written.
#ifndef SINTER_TESTS_BOXES_TRANSFORMER_H
#define SINTER_TESTS_BOXES_TRANSFORMER_H

#include "ir/graph.h"

typedef struct {
    int layers;
    int64_t batch, time, heads, width, vocabulary;   // width: of one head
    bool dropout;
} TransformerSize;

// Output "loss"; leaves tok, target, wte, wpe, h.0.ln_1 ...
Graph *transformer_graph(Arena *arena, const TransformerSize *size);

#endif
