// What explain_why knows of a plan while it tells of values. Private to driver/explain/why.c, story.c and
// formula.c.
#ifndef SINTER_DRIVER_STORY_H
#define SINTER_DRIVER_STORY_H

#include "driver/explain/explain.h"

typedef struct {
    const uint32_t *nodes; // descending
    uint32_t count;
} Held;

typedef struct {
    const Explained *shown;
    const Plan *plan;
    const Graph *graph; // the plan is drawn from it
    Arena *arena;
    const uint32_t *writer; // by value: its step
    const StepPart *parts;  // by step
    const NodeId *node_of;  // by value: the node that it, or what it was copied from, holds; NODE_NONE: none
    const Held *held;       // by step: the nodes that it computes, results included
} Telling;

// A fact of a story. Figures that differ from layer to layer, such as the number of a step, stand between FIGURE_BEGIN
// and FIGURE_END: stories that differ in nothing else are equal.
#define FIGURE_BEGIN "\x01"
#define FIGURE_END "\x02"
#define FIGURE(format) FIGURE_BEGIN format FIGURE_END
typedef struct {
    const char *title; // "read by"; NULL: as the one before
    const char *text;
} Fact;

typedef struct {
    const char *name;
    Fact *facts;
    size_t count, capacity;
} Story;

// story.c: the story of a node of the drawn graph that is called `name`.
Story story_of_node(const Telling *telling, NodeId node, const char *name);
// And of one that passes have done away with before boxes were drawn.
Story story_of_lost_node(const Telling *telling, const char *name);

// formula.c: "add(layer[0].x, contract(layer[0].u, h.0.mlp.c_proj.weight) over {F})".
const char *formula_text(const Graph *graph, NodeId node, Arena *arena);
// What the spec or a file calls a node, or NULL.
const char *formula_name(const Graph *graph, NodeId node);
// Flops of the node alone; as in the cost model of passes/step_cost.h.
double formula_flops(const Graph *graph, NodeId node);

#endif
