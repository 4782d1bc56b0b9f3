// From steps to nodes of a picture: see graph.h.
//
//     step 3 softmax layer[0].p, step 13 softmax layer[1].p ..      one node softmax layer[0..3].p, count 4
//     step 2 pack, step 3 reads it                                  an edge that is `packed`
//     square_norm, adamw of every param                             one node each
//
// Steps of several layers are one node when they have the same label and place but for the layer, and are the same one
// of those that one layer has. (A first layer that does a little more, as to embed, is still the same node.)
#include <stdlib.h>
#include <string.h>

#include "driver/draw/graph.h"

enum { TITLE_COLUMNS = 24, PLACE_COLUMNS = 26, COUNT_COLUMNS = 4 };

typedef struct {
    const char *label, *place;
    uint32_t ordinal; // the how-manieth of this label and place
    LayerSet layers;
    double flops, bytes;
} Key;

typedef struct {
    const Plan *plan;
    Drawn *drawn;
    Arena *arena;
    const uint32_t *writer;
    const StepPart *parts;
    uint32_t *node_of;   // by step; DRAWN_NONE: a pack
    const char **places; // by step, as they are shown
    Key *keys;           // by node
    size_t edge_capacity;
} Folding;

// ---- titles

static bool has_word(const char *const *words, size_t count, const char *word) {
    for (size_t i = 0; i < count; i++)
        if (text_equal(words[i], word)) return true;
    return false;
}

// Words of a title in their order; of an operator and its derivative, `X` and `X'`, the one that this part is about.
static const char *join_words(const char *const *words, size_t count, StepPart part, size_t room, Arena *arena) {
    Text title = text_create(arena);
    for (size_t i = 0; i < count; i++) {
        size_t length = strlen(words[i]);
        bool is_derivative = words[i][length - 1] == '\'', is_other = false;
        for (size_t k = 0; k < count; k++) {
            const char *longer = is_derivative ? words[i] : words[k], *plain = is_derivative ? words[k] : words[i];
            size_t stem = strlen(plain);
            bool is_pair = strlen(longer) == stem + 1 && strncmp(longer, plain, stem) == 0 && longer[stem] == '\'';
            is_other = is_other || (is_pair && is_derivative == (part == PART_FORWARD));
        }
        if (is_other) continue;
        if (title.length && title.length + 3 + length > room) {
            text_append(&title, title.length + 3 <= room ? " .." : "");
            break;
        }
        text_append(&title, "%s%s", title.length ? " + " : "", words[i]);
    }
    return text_string(&title);
}

// What a node of a region adds to the title: its operator, with ' where it is of the operator's derivative, or its op.
// Masks, constants and ways of reading add nothing.
static const char *word_of(const Graph *region, NodeId id, Arena *arena) {
    const Node *node = graph_node(region, id);
    OpClass class = op_class(node->op);
    if (class == CLASS_CONTRACT || node->dtype != DTYPE_F32 || node->op == OP_TO_FLOAT) return NULL;
    if (class != CLASS_POINTWISE && class != CLASS_REDUCE && class != CLASS_INDEXED && node->op != OP_STACK)
        return NULL;
    GroupId group = graph_node_group(region, id);
    if (!group) return op_name(node->op);
    const Group *of = graph_group_at(region, group);
    return of->forward ? arena_format(arena, "%s'", of->label) : of->label;
}

// "layer[0].Wfc" as "Wfc": of the param that a product reads.
static const char *param_of(const Plan *plan, const Step *step) {
    for (uint32_t k = 0; k < step->operand_count; k++) {
        const Value *value = &plan->values[step->operands[k]];
        if (!value->leaf || !(value->is_param || value->is_copy)) continue;
        const char *name = value->leaf->spec_name ? value->leaf->spec_name : value->leaf->name,
                   *dot = strrchr(name, '.');
        return dot && value->leaf->spec_name ? dot + 1 : name;
    }
    return NULL;
}

static const char *title_of(const Folding *folding, const Step *step) {
    StepPart part = folding->parts[step - folding->plan->steps];
    if (part == PART_OPTIMIZER) return step->label;
    const char **words = ARENA_ARRAY(folding->arena, const char *, (size_t)graph_nodes(step->region) + 1);
    size_t count = 0;
    const char *param = step->form == FORM_PRODUCT ? param_of(folding->plan, step) : NULL;
    if (step->form == FORM_PRODUCT)
        words[count++] = param ? arena_format(folding->arena, "product %s", param) : "product";
    for (NodeId id = 0; id < graph_nodes(step->region); id++) {
        const char *word = word_of(step->region, id, folding->arena);
        if (word && !has_word(words, count, word)) words[count++] = word;
    }
    return count ? join_words(words, count, part, TITLE_COLUMNS, folding->arena) : step->label;
}

// ---- places

// "grad.h.0.mlp.c_fc.weight" as "grad.layer[0].Wfc".
static const char *spec_place(const Graph *graph, const char *place, Arena *arena) {
    const char *prefix = strncmp(place, "to ", 3) == 0 ? "to " : "", *rest = place + strlen(prefix);
    const char *grad = strncmp(rest, "grad.", 5) == 0 ? "grad." : "", *name = rest + strlen(grad);
    for (LeafId leaf = 0; leaf < graph_leaves(graph); leaf++) {
        const Leaf *at = graph_leaf_at(graph, leaf);
        if (at->spec_name && text_equal(at->name, name))
            return arena_format(arena, "%s%s%s", prefix, grad, at->spec_name);
    }
    return place;
}

static const char *layered_text(const char *text, const LayerSet *layers, Arena *arena) {
    Text out = text_create(arena);
    layer_text_append(&out, text, layers);
    return text_string(&out);
}

// ---- nodes

// A copy into panels, or a reordered one, on the way to one reader.
static bool is_pack(const Step *step) {
    return text_equal(step->label, "pack") && step->operand_count == 1 && step->output_count == 1;
}

// Of the optimizer's steps only the label counts: there is one of each for every param.
static bool key_takes(const Folding *folding, uint32_t node, const Step *step, StepPart part, const char *place,
                      uint32_t ordinal) {
    const DrawnNode *drawn = &folding->drawn->nodes[node];
    const Key *key = &folding->keys[node];
    if (drawn->part != part || !text_equal(key->label, step->label)) return false;
    if (part == PART_OPTIMIZER) return true;
    return drawn->form == step->form && drawn->engine == step->engine && key->ordinal == ordinal &&
           layer_text_same(key->place, place);
}

static uint32_t ordinal_of(const Folding *folding, uint32_t at) {
    const Step *steps = folding->plan->steps;
    uint32_t ordinal = 0;
    for (uint32_t i = 0; i < at; i++)
        ordinal += text_equal(steps[i].label, steps[at].label) && text_equal(folding->places[i], folding->places[at]);
    return ordinal;
}

static void fold_step(Folding *folding, uint32_t at) {
    const Step *step = &folding->plan->steps[at];
    Drawn *drawn = folding->drawn;
    StepPart part = folding->parts[at];
    folding->node_of[at] = DRAWN_NONE;
    if (is_pack(step)) return;
    const char *place = folding->places[at];
    uint32_t ordinal = ordinal_of(folding, at), node = 0;
    while (node < drawn->node_count && !key_takes(folding, node, step, part, place, ordinal))
        node++;
    if (node == drawn->node_count) {
        folding->keys[node] = (Key){.label = step->label, .place = place, .ordinal = ordinal};
        drawn->nodes[drawn->node_count++] = (DrawnNode){.title = title_of(folding, step),
                                                        .form = step->form,
                                                        .engine = step->engine,
                                                        .part = part,
                                                        .first_step = at,
                                                        .strand = DRAWN_NONE};
    }
    Key *key = &folding->keys[node];
    unsigned long layer;
    folding->node_of[at] = node;
    // The second one speaks for all: a first layer may do more.
    if (++drawn->nodes[node].count == 2) drawn->nodes[node].title = title_of(folding, step);
    key->flops += step->flops;
    key->bytes += step->bytes;
    if (!layer_of_text(place, &layer)) return;
    layer_set_add(folding->arena, &key->layers, layer);
    drawn->nodes[node].in_layer = true;
}

static void finish_node(const Folding *folding, uint32_t at) {
    DrawnNode *node = &folding->drawn->nodes[at];
    const Key *key = &folding->keys[at];
    Arena *arena = folding->arena;
    const char *place = node->part == PART_OPTIMIZER
                            ? arena_format(arena, "%zu step%s", node->count, node->count == 1 ? "" : "s")
                            : layered_text(key->place, &key->layers, arena);
    node->title = explain_fit(arena, node->title, TITLE_COLUMNS);
    node->place = explain_fit(arena, place, node->count > 1 ? PLACE_COLUMNS - COUNT_COLUMNS : PLACE_COLUMNS);
    node->figures = arena_format(arena, "%s flops, %s bytes", explain_quantity(arena, key->flops),
                                 explain_quantity(arena, key->bytes));
}

// ---- edges

static void add_edge(Folding *folding, DrawnEdge edge) {
    Drawn *drawn = folding->drawn;
    unsigned long layer;
    for (uint32_t i = 0; i < drawn->edge_count; i++) {
        DrawnEdge *other = &drawn->edges[i];
        if (other->from != edge.from || other->to != edge.to || !layer_text_same(other->key, edge.key)) continue;
        if (layer_of_text(edge.key, &layer)) layer_set_add(folding->arena, &other->layers, layer);
        other->bytes += edge.bytes;
        other->packed = other->packed || edge.packed;
        return;
    }
    drawn->edges =
        arena_grow(folding->arena, drawn->edges, &folding->edge_capacity, drawn->edge_count + 1, sizeof(DrawnEdge));
    if (layer_of_text(edge.key, &layer)) layer_set_add(folding->arena, &edge.layers, layer);
    drawn->edges[drawn->edge_count++] = edge;
}

// Gradients on their way to the optimizer are one edge for each node that writes some.
static void fold_edges(Folding *folding, uint32_t at) {
    const Plan *plan = folding->plan;
    const Step *step = &plan->steps[at];
    for (uint32_t k = 0; k < step->operand_count && folding->node_of[at] != DRAWN_NONE; k++) {
        ValueId value = step->operands[k];
        bool packed = false;
        while (folding->writer[value] != STEP_NONE && folding->node_of[folding->writer[value]] == DRAWN_NONE) {
            value = plan->steps[folding->writer[value]].operands[0];
            packed = true;
        }
        uint32_t by = folding->writer[value];
        if (by == STEP_NONE) continue;
        uint32_t from = folding->node_of[by], to = folding->node_of[at];
        const Value *read = &plan->values[value];
        double bytes =
            (double)graph_elements(plan->dims, dim_list_set(&read->order)) * (double)dtype_bytes(read->dtype);
        const char *key =
            spec_place(plan->dims, explain_value(plan, value, &plan->steps[by], folding->arena), folding->arena);
        if (from != to)
            add_edge(folding, (DrawnEdge){.from = from,
                                          .to = to,
                                          .key = key,
                                          .bytes = bytes,
                                          .space = read->space,
                                          .packed = packed,
                                          .again = from > to});
    }
}

// ---- strands

static uint32_t chains_of(const Plan *plan, uint32_t first, uint32_t end) {
    uint32_t count = 0;
    for (uint32_t s = first; s < end; s = plan_chain_end(plan, s)) count += plan_chain_end(plan, s) > s + 1;
    return count;
}

static const char *strand_text(const Folding *folding, uint32_t first, uint32_t end) {
    const Cut *cut = &folding->plan->steps[first].cut;
    Text text = text_create(folding->arena);
    text_append(&text, "of %u pieces over ", cut->pieces);
    for (int i = 0; i < cut->dims.rank; i++)
        text_append(&text, "%s%s", i ? "," : "", graph_dim_name(folding->plan->dims, cut->dims.dims[i]));
    uint32_t chains = chains_of(folding->plan, first, end);
    if (chains) text_append(&text, ", %u chain%s inside", chains, chains == 1 ? "" : "s");
    return text_string(&text);
}

// Strands of equal layers have equal nodes: one strand.
static void fold_strands(Folding *folding) {
    const Plan *plan = folding->plan;
    Drawn *drawn = folding->drawn;
    drawn->strands = ARENA_ARRAY(folding->arena, DrawnStrand, plan->step_count + 1);
    uint32_t next = 0;
    for (uint32_t first = 0; first < plan->step_count; first = next) {
        next = plan_strand_end(plan, first);
        uint32_t strand = DRAWN_NONE;
        if (next - first < 2) continue;
        for (uint32_t i = first; i < next && strand == DRAWN_NONE; i++)
            if (folding->node_of[i] != DRAWN_NONE) strand = drawn->nodes[folding->node_of[i]].strand;
        if (strand == DRAWN_NONE) {
            strand = drawn->strand_count++;
            drawn->strands[strand].label = strand_text(folding, first, next);
        }
        drawn->strands[strand].count++;
        for (uint32_t i = first; i < next; i++)
            if (folding->node_of[i] != DRAWN_NONE) drawn->nodes[folding->node_of[i]].strand = strand;
    }
    for (uint32_t s = 0; s < drawn->strand_count; s++) {
        DrawnStrand *strand = &drawn->strands[s];
        strand->label = strand->count == 1
                            ? arena_format(folding->arena, "strand %s", strand->label)
                            : arena_format(folding->arena, "%zu strands %s", strand->count, strand->label);
    }
}

Drawn draw_fold(const Plan *plan, Arena *arena) {
    Drawn drawn = {.arena = arena, .nodes = ARENA_ARRAY(arena, DrawnNode, plan->step_count)};
    Folding folding = {.plan = plan,
                       .drawn = &drawn,
                       .arena = arena,
                       .writer = plan_writers(plan, arena),
                       .parts = explain_parts(plan, arena),
                       .node_of = ARENA_ARRAY(arena, uint32_t, plan->step_count),
                       .places = ARENA_ARRAY(arena, const char *, plan->step_count),
                       .keys = ARENA_ARRAY(arena, Key, plan->step_count)};
    for (uint32_t i = 0; i < plan->step_count; i++)
        folding.places[i] = spec_place(plan->dims, explain_place(plan, plan->steps[i].place, arena), arena);
    for (uint32_t i = 0; i < plan->step_count; i++)
        fold_step(&folding, i);
    for (uint32_t i = 0; i < plan->step_count; i++)
        fold_edges(&folding, i);
    for (uint32_t n = 0; n < drawn.node_count; n++)
        finish_node(&folding, n);
    for (uint32_t e = 0; e < drawn.edge_count; e++)
        drawn.edges[e].name = layered_text(drawn.edges[e].key, &drawn.edges[e].layers, arena);
    fold_strands(&folding);
    return drawn;
}
