// From a place to the stories of the values that it names: see explain.h. story.h tells each one; here they are found,
// equal ones of several layers are put together, and printed.
//
//     layer[0..3].a   4 values, figures of layer[0].a
//       is           mul(..)
//       stored       scratch+1703936, 32768 bytes of each thread: one piece of 12
#include <stdlib.h>
#include <string.h>

#include "driver/explain/story.h"
#include "ir/layer_text.h"

// ---- what the plan holds

static NodeId output_node(const Step *step, uint32_t k) { return graph_output_at(step->region, k)->node; }

// Of a step's outputs that are the same node as value `id`, one whose node is known.
static NodeId twin_node(const Step *step, const NodeId *node_of, ValueId id) {
    NodeId own = NODE_NONE;
    for (uint32_t k = 0; k < step->output_count; k++)
        if (step->outputs[k] == id) own = output_node(step, k);
    for (uint32_t k = 0; k < step->output_count; k++)
        if (step->outputs[k] != id && output_node(step, k) == own) return node_of[step->outputs[k]];
    return NODE_NONE;
}

// What a step that computes nothing makes of value `id`, which has it in parts; or the other way round.
static NodeId passed_on(const Step *step, const NodeId *node_of, ValueId id) {
    bool is_read = step_reads(step, id);
    const Node *node = graph_node(step->region, output_node(step, 0));
    while (op_is_view(node->op) || node->op == OP_STOP_GRADIENT) node = graph_node(step->region, node->operands[0]);
    if (step->operand_count != 1 || node->op != OP_OPERAND) return NODE_NONE;
    return node_of[is_read ? step->outputs[0] : step->operands[0]];
}

// Values that passes behind draw_boxes added: copies of a state, of what their step reads or of what else it writes,
// and parts of what the step behind adds up.
static NodeId copied_node(const Plan *plan, const uint32_t *writer, const NodeId *node_of, ValueId id) {
    const Value *value = &plan->values[id];
    if (value->is_copy) return graph_find_leaf_node(plan->dims, value->leaf->name);
    if (writer[id] == STEP_NONE || value->kind != VALUE_TEMPORARY) return NODE_NONE;
    NodeId node = twin_node(&plan->steps[writer[id]], node_of, id);
    if (node == NODE_NONE) node = passed_on(&plan->steps[writer[id]], node_of, id);
    for (uint32_t s = writer[id] + 1; s < plan->step_count && node == NODE_NONE; s++)
        if (step_reads(&plan->steps[s], id)) node = passed_on(&plan->steps[s], node_of, id);
    return node;
}

static NodeId *collect_nodes(const Plan *plan, const uint32_t *writer, Arena *arena) {
    NodeId *node_of = ARENA_ARRAY(arena, NodeId, plan->value_count);
    for (ValueId v = 0; v < plan->value_count; v++)
        node_of[v] = NODE_NONE;
    for (NodeId id = 0; id < graph_nodes(plan->dims); id++)
        if (plan->value_of[id] != VALUE_NONE) node_of[plan->value_of[id]] = id;
    for (ValueId v = 0; v < plan->value_count; v++)
        if (node_of[v] == NODE_NONE) node_of[v] = copied_node(plan, writer, node_of, v);
    return node_of;
}

// The cone of a step: what lies between its results and its operands. `needed` and `given` are by node, all false
// before and after.
static Held collect_held(const Plan *plan, const NodeId *node_of, const Step *step, bool *needed, bool *given,
                         Arena *arena) {
    const Graph *graph = plan->dims;
    uint32_t pending = 0, count = 0;
    NodeId last = 0;
    for (uint32_t k = 0; k < step->operand_count; k++)
        if (node_of[step->operands[k]] != NODE_NONE) given[node_of[step->operands[k]]] = true;
    for (uint32_t k = 0; k < step->output_count; k++) {
        NodeId node = node_of[step->outputs[k]];
        if (node == NODE_NONE || plan->value_of[node] != step->outputs[k]) continue;
        pending += !needed[node];
        needed[node] = true;
        if (node > last) last = node;
    }
    uint32_t *nodes = ARENA_ARRAY(arena, uint32_t, last + 1);
    for (NodeId id = last; pending > 0; id--) {
        if (!needed[id]) continue;
        needed[id] = false;
        pending--;
        if (given[id]) continue;
        nodes[count++] = id;
        const Node *node = graph_node(graph, id);
        for (uint32_t k = 0; k < node->operand_count; k++) {
            pending += !needed[node->operands[k]];
            needed[node->operands[k]] = true;
        }
    }
    for (uint32_t k = 0; k < step->operand_count; k++)
        if (node_of[step->operands[k]] != NODE_NONE) given[node_of[step->operands[k]]] = false;
    return (Held){.nodes = nodes, .count = count};
}

static Telling telling_of(const Explained *shown, Arena *arena) {
    const Plan *plan = shown->plan;
    CHECK(plan->value_of);
    const uint32_t *writer = plan_writers(plan, arena);
    const NodeId *node_of = collect_nodes(plan, writer, arena);
    Held *held = ARENA_ARRAY(arena, Held, plan->step_count);
    bool *needed = ARENA_ARRAY(arena, bool, graph_nodes(plan->dims)),
         *given = ARENA_ARRAY(arena, bool, graph_nodes(plan->dims));
    for (uint32_t i = 0; i < plan->step_count; i++)
        held[i] = collect_held(plan, node_of, &plan->steps[i], needed, given, arena);
    return (Telling){.shown = shown,
                     .plan = plan,
                     .graph = plan->dims,
                     .arena = arena,
                     .writer = writer,
                     .parts = explain_parts(plan, arena),
                     .node_of = node_of,
                     .held = held};
}

// ---- names

typedef struct {
    const char *name; // what it is asked for by
    NodeId node;      // NODE_NONE: only in graphs before the last pass
} Named;

typedef struct {
    Arena *arena;
    Named *items;
    size_t count, capacity;
} NamedList;

static void add_named(NamedList *list, const char *name, NodeId node) {
    for (size_t i = 0; i < list->count; i++)
        if (text_equal(list->items[i].name, name)) return;
    list->items = arena_grow(list->arena, list->items, &list->capacity, list->count + 1, sizeof(Named));
    list->items[list->count++] = (Named){name, node};
}

static NodeId find_node(const NamedList *list, const char *name) {
    for (size_t i = 0; i < list->count; i++)
        if (text_equal(list->items[i].name, name)) return list->items[i].node;
    return NODE_NONE;
}

static void add_leaves(NamedList *list, const Graph *graph) {
    for (LeafId leaf = 0; leaf < graph_leaves(graph); leaf++) {
        const Leaf *at = graph_leaf_at(graph, leaf);
        NodeId node = graph_find_leaf_node(graph, at->name);
        if (node == NODE_NONE) continue;
        add_named(list, at->name, node);
        if (!at->spec_name) continue;
        add_named(list, at->spec_name, node);
        NodeId gradient = find_node(list, arena_format(list->arena, "grad.%s", at->name));
        if (gradient != NODE_NONE) add_named(list, arena_format(list->arena, "grad.%s", at->spec_name), gradient);
    }
}

// Next values of states are the states' business.
static bool is_next(const Graph *graph, const char *output) {
    for (LeafId leaf = 0; leaf < graph_leaves(graph); leaf++)
        if (text_equal(graph_leaf_at(graph, leaf)->name, output)) return true;
    return false;
}

// Places of boxes, as choices and tables name them: "layer[0].s~2".
static void add_places(NamedList *list, const Plan *plan) {
    for (uint32_t i = 0; i < plan->step_count; i++)
        for (NodeId id = graph_nodes(plan->dims); id-- > 0;)
            if (plan->value_of[id] == plan->steps[i].outputs[0]) add_named(list, plan->steps[i].place, id);
}

static NamedList collect_names(const Explained *shown, Arena *arena) {
    const Graph *graph = shown->plan->dims;
    NamedList list = {.arena = arena};
    for (NodeId id = 0; id < graph_nodes(graph); id++)
        if (graph_node_name(graph, id)) add_named(&list, graph_node_name(graph, id), id);
    for (uint32_t i = 0; i < graph_outputs(graph); i++)
        if (!is_next(graph, graph_output_at(graph, i)->name))
            add_named(&list, graph_output_at(graph, i)->name, graph_output_at(graph, i)->node);
    add_leaves(&list, graph);
    add_places(&list, shown->plan);
    for (size_t s = 0; s < shown->stage_count; s++)
        for (NodeId id = 0; id < graph_nodes(shown->stages[s].graph); id++) {
            const char *name = graph_node_name(shown->stages[s].graph, id);
            if (name) add_named(&list, name, NODE_NONE);
        }
    return list;
}

const char *const *explain_names(const Explained *shown, Arena *arena, size_t *count) {
    NamedList list = collect_names(shown, arena);
    const char **names = ARENA_ARRAY(arena, const char *, list.count);
    for (size_t i = 0; i < list.count; i++)
        names[i] = list.items[i].name;
    *count = list.count;
    return names;
}

static void complain(const NamedList *list, const char *place, Diags *diags) {
    const char **names = ARENA_ARRAY(list->arena, const char *, list->count);
    for (size_t i = 0; i < list->count; i++)
        names[i] = list->items[i].name;
    diag_error(diags, (Place){0}, "nothing in this step is called '%s'", place);
    const char *nearest = text_nearest(place, names, list->count);
    if (nearest) diag_note(diags, (Place){0}, "did you mean '%s'?", nearest);
}

// ---- equal stories

// A fact as it is compared: without its figures, and layers as their distance from the story's own layer:
// "layer[3].x" in a story of layer 2 as "layer[\x03" "1\x03].x".
#define LAYER_MARK '\x03'

// Digits between brackets or dots.
static size_t layer_digits(const char *text) {
    if (*text != '[' && *text != '.') return 0;
    size_t digits = strspn(text + 1, "0123456789");
    return digits < 10 && text[1 + digits] == (*text == '[' ? ']' : '.') ? digits : 0;
}

static const char *relative(Arena *arena, const char *text, const char *story_name) {
    unsigned long own = 0;
    bool has_layer = layer_of_text(story_name, &own);
    Text out = text_create(arena);
    while (*text) {
        size_t digits = has_layer ? layer_digits(text) : 0;
        text_append_bytes(&out, text, 1);
        text++;
        if (digits == 0) continue;
        text_append(&out, "%c%ld%c", LAYER_MARK, strtol(text, NULL, 10) - (long)own, LAYER_MARK);
        text += digits;
    }
    return text_string(&out);
}

static const char *without_figures(Arena *arena, const char *text) {
    char *plain = arena_copy(arena, text), *put = plain;
    for (bool figure = false; *text; text++) {
        if (*text == *FIGURE_BEGIN || *text == *FIGURE_END)
            figure = *text == *FIGURE_BEGIN;
        else if (!figure)
            *put++ = *text;
    }
    *put = '\0';
    return plain;
}

static bool story_same(const Story *a, const Story *b, Arena *arena) {
    if (a->count != b->count || !layer_text_same(a->name, b->name)) return false;
    for (size_t i = 0; i < a->count; i++) {
        const Fact *x = &a->facts[i], *y = &b->facts[i];
        if (!x->title != !y->title || (x->title && !text_equal(x->title, y->title))) return false;
        if (!text_equal(relative(arena, without_figures(arena, x->text), a->name),
                        relative(arena, without_figures(arena, y->text), b->name)))
            return false;
    }
    return true;
}

// ---- printing

// "layer[\x03" "1\x03].x" of layers 0 and 1 as "layer[1..2].x"; figures without their marks.
static const char *layered(Arena *arena, const char *text, const LayerSet *layers) {
    Text out = text_create(arena);
    while (*text) {
        if (*text != LAYER_MARK) {
            if (*text != *FIGURE_BEGIN && *text != *FIGURE_END) text_append_bytes(&out, text, 1);
            text++;
            continue;
        }
        char *end;
        long distance = strtol(text + 1, &end, 10);
        LayerSet shifted = {0};
        for (size_t i = 0; i < layers->count; i++)
            layer_set_add(arena, &shifted, (unsigned long)((long)layers->layers[i] + distance));
        Text number = text_create(arena);
        layer_text_append(&number, "[0]", &shifted);
        bool braces = out.length && out.data[out.length - 1] == '.' && shifted.count > 1;
        text_append(&out, "%s%.*s%s", braces ? "{" : "", (int)number.length - 2, number.data + 1, braces ? "}" : "");
        text = end + 1;
    }
    return text_string(&out);
}

enum { TITLE_COLUMNS = 15 };

static void fact_print(const char *title, const char *text, Text *out) {
    Text body = text_create(out->arena);
    explain_wrapped(&body, TITLE_COLUMNS, text, " ");
    text_append(out, "  %-*s%s", TITLE_COLUMNS - 2, title ? title : "", text_string(&body) + TITLE_COLUMNS);
}

static void stories_print(const Story *const *stories, size_t count, Text *out) {
    Arena *arena = out->arena;
    const char *first = stories[0]->name;
    LayerSet layers = {0};
    unsigned long layer;
    for (size_t i = 0; i < count; i++)
        if (layer_of_text(stories[i]->name, &layer)) layer_set_add(arena, &layers, layer);
    text_append(out, "%s", layered(arena, relative(arena, first, first), &layers));
    if (count > 1) text_append(out, "   %zu values; numbers of steps and offsets are those of %s", count, first);
    text_append(out, "\n");
    for (size_t f = 0; f < stories[0]->count; f++) {
        const Fact *fact = &stories[0]->facts[f];
        fact_print(fact->title, layered(arena, relative(arena, fact->text, first), &layers), out);
    }
}

static void print_groups(const Story *stories, size_t count, Text *out) {
    bool *printed = ARENA_ARRAY(out->arena, bool, count);
    for (size_t i = 0; i < count; i++) {
        if (printed[i]) continue;
        const Story **group = ARENA_ARRAY(out->arena, const Story *, count - i);
        size_t size = 0;
        for (size_t k = i; k < count; k++) {
            if (printed[k] || !story_same(&stories[i], &stories[k], out->arena)) continue;
            printed[k] = true;
            group[size++] = &stories[k];
        }
        text_append(out, i ? "\n" : "");
        stories_print(group, size, out);
    }
}

bool explain_why(const Explained *shown, const char *place, Text *out, Diags *diags) {
    NamedList list = collect_names(shown, out->arena);
    Telling telling = telling_of(shown, out->arena);
    Story *stories = ARENA_ARRAY(out->arena, Story, list.count);
    size_t count = 0;
    for (size_t i = 0; i < list.count; i++) {
        const Named *named = &list.items[i];
        if (!explain_matches(place, named->name)) continue;
        stories[count++] = named->node == NODE_NONE ? story_of_lost_node(&telling, named->name)
                                                    : story_of_node(&telling, named->node, named->name);
    }
    if (count == 0) {
        complain(&list, place, diags);
        return false;
    }
    print_groups(stories, count, out);
    return true;
}
