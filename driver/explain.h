// The plan of a step and the decisions behind it, as a page for people. Every line fits 100 columns.
//
//     row     layernorm               layer[0..3].a            4     789k    469k  B/4
//     refused
//       merge softmax with softmax backward: not convex: a path leaves the box and returns
//         layer[0..3].p
#ifndef SINTER_DRIVER_EXPLAIN_H
#define SINTER_DRIVER_EXPLAIN_H

#include "ir/ledger.h"
#include "ir/plan.h"

typedef struct {
    const char *level;   // "all"
    const Plan *plan;
    const Ledger *ledger;
} Explained;

// All of it; `beside` gives a second column of totals, NULL: none.
void explain_print(const Explained *shown, const Explained *beside, Text *out);

// ---- its parts

// explain_boxes.c: steps in the order of the data; those that differ only in the layer are one line.
void explain_boxes(const Plan *plan, Text *out);
// Steps of different structure: shapes, operations, layouts and cuts, but for names.
size_t explain_distinct(const Plan *plan, Arena *arena);
// A place of a report: `%12`, a node without a name, is `to layer[0].s`, the next named value that it flows into.
const char *explain_place(const Plan *plan, const char *place, Arena *arena);

// explain_decisions.c: what was made and what was refused. One reason, and all places that have it.
void explain_decisions(const Explained *shown, Text *out);

// explain_memory.c: what the forward part leaves for the backward part, and what that part computes again.
void explain_memory(const Plan *plan, Text *out);
double explain_kept_bytes(const Plan *plan, Arena *arena);

// ---- explain.c, for the parts

// Three digits and a unit of 1000: "3.17M".
const char *explain_quantity(Arena *arena, double value);
// `text` in at most `width` columns; a longer one loses its middle: "grad.h.{0..3}~weight".
const char *explain_fit(Arena *arena, const char *text, size_t width);
// `text` in lines of at most 100 columns, each behind `indent` spaces, broken behind `separator` (it ends in a space).
void explain_wrapped(Text *out, int indent, const char *text, const char *separator);

#endif
