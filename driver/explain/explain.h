// The plan of a step and the decisions behind it, as a page for people. Every line fits 100 columns.
//
//     row     layernorm               layer[0..3].a            4     789k    469k  B/4
//     refused
//       merge softmax with softmax backward: not convex: a path leaves the box and returns
//         layer[0..3].p
#ifndef SINTER_DRIVER_EXPLAIN_H
#define SINTER_DRIVER_EXPLAIN_H

#include "base/diag.h"
#include "ir/ledger.h"
#include "ir/plan.h"
#include "passes/passes.h"

// A graph pass and the graph that it left, and all of them of one compilation.
typedef struct {
    const char *pass, *sentence;   // "constants", what the pass does
    const Graph *graph;
} Stage;
typedef struct {
    Arena *arena;
    Stage *stages;
    size_t count, capacity;
} Stages;
// Called behind each pass, as a PassObserver's `after` with Stages for its context.
void stages_add(void *context, const Pass *pass, const Graph *graph, const Plan *plan, double seconds);

typedef struct {
    const char *level;   // "all"
    const Plan *plan;
    const Ledger *ledger;
    const Stage *stages; // in the order of the pipeline; for explain_why
    size_t stage_count;
} Explained;

// All of it; `beside` gives a second column of totals, NULL: none.
void explain_print(const Explained *shown, const Explained *beside, Text *out);

// why.c: the stories of all values that `place` names: what a value is, which box computes it, where it lies,
// who reads it, which candidates held it and what became of them. A place is a name as the spec's author writes it, a
// name in files, or "grad." and one of these; `[*]` and `[0..3]` stand for layers. Equal stories of several layers are
// told once.
// False with a diagnostic, which has the nearest name, when nothing is called so.
bool explain_why(const Explained *shown, const char *place, Text *out, Diags *diags);
// All names that it answers for, without patterns.
const char *const *explain_names(const Explained *shown, Arena *arena, size_t *count);

// ---- its parts

// boxes.c: steps in the order of the data; those that differ only in the layer are one line.
void explain_boxes(const Plan *plan, Text *out);
// Steps of different structure: shapes, operations, layouts and cuts, but for names.
size_t explain_distinct(const Plan *plan, Arena *arena);
// A place of a report: `%12`, a node without a name, is `to layer[0].s`, the next named value that it flows into.
const char *explain_place(const Plan *plan, const char *place, Arena *arena);

// decisions.c: what was made and what was refused. One reason, and all places that have it.
void explain_decisions(const Explained *shown, Text *out);

// memory.c: what the forward part leaves for the backward part, and what that part computes again.
void explain_memory(const Plan *plan, Text *out);
double explain_kept_bytes(const Plan *plan, Arena *arena);

// ---- steps.c: what reports ask of a plan

typedef enum { PART_FORWARD, PART_BACKWARD, PART_OPTIMIZER } StepPart;

// By step. Forward is what the loss depends on, backward what the gradients of params depend on besides, optimizer the
// rest. A program without a loss is forward.
StepPart *explain_parts(const Plan *plan, Arena *arena);
// Whether it is arithmetic: not a source, and not only another way of reading its operand.
bool explain_computes(const Node *node);
// "f32[B,T,C]".
const char *explain_type(const Graph *graph, DType dtype, const DimList *order, Arena *arena);
// A value's name; one without is called after the box that writes it: "layernorm of layer[0].a".
const char *explain_value(const Plan *plan, ValueId value, const Step *writer, Arena *arena);

// ---- names.c: names of values in a graph

// Whether `name` is meant by `pattern`, which may have `[*]`, `[2..5]`, and `{*}`, `{2..5}` for numbers between dots.
bool explain_matches(const char *pattern, const char *name);

// ---- explain.c, for the parts

// Three digits and a unit of 1000: "3.17M".
const char *explain_quantity(Arena *arena, double value);
// `text` in at most `width` columns; a longer one loses its middle: "grad.h.{0..3}~weight".
const char *explain_fit(Arena *arena, const char *text, size_t width);
// `text` in lines of at most 100 columns, each behind `indent` spaces, broken behind `separator` (it ends in a space).
void explain_wrapped(Text *out, int indent, const char *text, const char *separator);

#endif
