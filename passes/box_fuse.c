// Merges that choices ask for:  fuse PLACE [with PLACE].
//
//     fuse layer[*].u with layer[*].m      in every layer the box of u and the box of m become one
//     fuse layer[*].u                      the box of u and any other that it reads from or that reads from it
//
// A value that is not stored lies inside every box that reads it: it is fused with such a box already.
#include "ir/layer_text.h"
#include "passes/boxes.h"

typedef struct {
    Drawing *drawing;
    Choice *choice;
    bool last;
} Fusing;

static bool is_inside(const Drawing *drawing, NodeId node, BoxId box) {
    return list_has(drawing->boxes[box].inside, node);
}

static void follow(const Fusing *fusing, BoxId box) {
    PassContext *context = fusing->drawing->context;
    const char *reason = choice_follow(context->choices, fusing->choice);
    if (!fusing->last) return;
    const Box *made = &fusing->drawing->boxes[box];
    const char *label = box_label(fusing->drawing, made);
    ledger_add(context->ledger, (Decision){.pass = "draw_boxes",
                                           .what = arena_format(context->arena, "fuse %s", label),
                                           .place = box_place(fusing->drawing, made),
                                           .made = true,
                                           .reason = reason});
}

static void refuse(const Fusing *fusing, NodeId a, const char *obstacle) {
    Drawing *drawing = fusing->drawing;
    PassContext *context = drawing->context;
    const char *reason = choice_obstruct(context->choices, fusing->choice, obstacle);
    const char *with = fusing->choice->with;
    ledger_add(context->ledger, (Decision){.pass = "draw_boxes",
                                           .what = with ? arena_format(context->arena, "fuse with %s", with) : "fuse",
                                           .place = drawing->names[a],
                                           .reason = reason});
}

// NULL when the two are one box now, or the first failed condition.
static const char *fuse_boxes(Drawing *drawing, BoxId a, BoxId b) {
    Box merged;
    if (a == b) return NULL;
    if (a > b) {
        BoxId other = a;
        a = b;
        b = other;
    }
    const char *refusal = box_try_merge(drawing, a, b, &merged);
    if (!refusal) box_absorb(drawing, a, b, &merged);
    return refusal;
}

static void fuse_pair(const Fusing *fusing, NodeId a, NodeId b) {
    Drawing *drawing = fusing->drawing;
    BoxId x = drawing->box_of[a], y = drawing->box_of[b];
    const char *unstored = drawing->names[x == BOX_NONE ? a : b];
    const char *refusal = arena_format(drawing->scratch, "%s is not stored, and the other does not read it", unstored);
    if (x == BOX_NONE && y != BOX_NONE && is_inside(drawing, a, y)) refusal = NULL;
    if (y == BOX_NONE && x != BOX_NONE && is_inside(drawing, b, x)) refusal = NULL;
    if (x != BOX_NONE && y != BOX_NONE) refusal = fuse_boxes(drawing, x, y);
    if (!refusal)
        follow(fusing, x != BOX_NONE ? drawing->box_of[a] : y);
    else if (fusing->last)
        refuse(fusing, a, refusal);
}

// With any neighbour.
static void fuse_alone(const Fusing *fusing, NodeId a) {
    Drawing *drawing = fusing->drawing;
    BoxId box = drawing->box_of[a];
    if (box == BOX_NONE) {
        if (fusing->last) refuse(fusing, a, "it is not stored: every box that reads it computes it");
        return;
    }
    const char *refusal = "no box reads from it, and it reads from none";
    for (BoxId other = 0; other < drawing->box_count && drawing->boxes[box].members.count == 1; other++) {
        BoxId first = box < other ? box : other, second = box < other ? other : box;
        if (other == box || drawing->boxes[other].absorbed || !box_is_candidate(drawing, first, second)) continue;
        refusal = fuse_boxes(drawing, first, second);
        box = drawing->box_of[a];
    }
    if (drawing->boxes[box].members.count > 1)
        follow(fusing, box);
    else if (fusing->last)
        refuse(fusing, a, refusal);
}

// Equal layers, where both have one.
static bool same_layer(const char *a, const char *b) {
    unsigned long x, y;
    return !layer_of_text(a, &x) || !layer_of_text(b, &y) || x == y;
}

static void fuse_value(const Fusing *fusing, NodeId a) {
    const Drawing *drawing = fusing->drawing;
    if (!fusing->choice->with) {
        fuse_alone(fusing, a);
        return;
    }
    for (NodeId b = 0; b < graph_nodes(drawing->graph); b++) {
        bool meets = b != a && drawing->live[b] && choice_matches(fusing->choice->with, drawing->names[b]);
        if (!meets || !same_layer(drawing->names[a], drawing->names[b])) continue;
        fusing->choice->met++;
        fuse_pair(fusing, a, b);
    }
}

void drawing_fuse_by_choice(Drawing *drawing, bool last) {
    Choices *choices = drawing->context->choices;
    for (Choice *choice = choices_next(choices, CHOICE_FUSE, NULL); choice;
         choice = choices_next(choices, CHOICE_FUSE, choice)) {
        Fusing fusing = {drawing, choice, last};
        for (NodeId id = 0; id < graph_nodes(drawing->graph); id++) {
            bool computed = drawing->live[id] && !node_is_leaf(drawing->graph, id);
            if (!computed || !choice_matches(choice->place, drawing->names[id])) continue;
            choice->met += !choice->with;
            fuse_value(&fusing, id);
        }
    }
}
