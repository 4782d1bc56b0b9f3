// Boxes of one operator (level op) or of one space (level all) become one box with several outputs.
//
//     box 0 {%2 = sum ..}  box 1 {%4 = sum ..}  box 2 {%7 = mul ..}   group layernorm   ->   box 0 {%2, %4, %7}
//
// Two boxes merge when the result has a form (box_form.c) and is convex: no path leaves it and comes back. What was
// made and what was refused, with the first condition that failed, goes to the ledger.
#include "base/planted.h"
#include "passes/boxes.h"

// ---- one box per stored node

void drawing_make_boxes(Drawing *drawing) {
    uint32_t nodes = graph_nodes(drawing->graph);
    drawing->boxes = ARENA_ARRAY(drawing->scratch, Box, nodes);
    for (NodeId id = 0; id < nodes; id++) {
        drawing->box_of[id] = BOX_NONE;
        if (!drawing->stored[id] || node_is_leaf(drawing->graph, id)) continue;
        NodeId *member = ARENA_NEW(drawing->scratch, NodeId);
        *member = id;
        Box *box = &drawing->boxes[drawing->box_count];
        *box = (Box){.members = {.nodes = member, .count = 1}};
        const char *refusal = box_shape(drawing, box);
        if (refusal) BUG("%%%u (%s) makes no box: %s", id, op_name(graph_node(drawing->graph, id)->op), refusal);
        drawing->box_of[id] = drawing->box_count++;
    }
}

// ---- convexity

static NodeId last_member(const Box *box) { return box->members.nodes[box->members.count - 1]; }

// Whether `box` depends on `target`. `visited` is by box. Node ids are no short cut: a path leads through whole
// boxes, and one box may hold early and late nodes.
static bool depends_on(const Drawing *drawing, BoxId box, BoxId target, bool *visited) {
    if (box == target) return true;
    if (visited[box]) return false;
    visited[box] = true;
    NodeList operands = drawing->boxes[box].operands;
    for (uint32_t i = 0; i < operands.count; i++) {
        BoxId producer = drawing->box_of[operands.nodes[i]];
        if (producer != BOX_NONE && depends_on(drawing, producer, target, visited)) return true;
    }
    return false;
}

// Whether a path leads from `from` through a third box to `to`.
static bool path_between(const Drawing *drawing, BoxId from, BoxId to) {
    bool *visited = ARENA_ARRAY(drawing->scratch, bool, drawing->box_count);
    visited[to] = true;
    NodeList operands = drawing->boxes[to].operands;
    for (uint32_t i = 0; i < operands.count; i++) {
        BoxId producer = drawing->box_of[operands.nodes[i]];
        if (producer == BOX_NONE || producer == from) continue;
        if (depends_on(drawing, producer, from, visited)) return true;
    }
    return false;
}

// ---- merging two

static const char *try_merge(Drawing *drawing, BoxId a, BoxId b, Box *merged) {
    const Box *x = &drawing->boxes[a], *y = &drawing->boxes[b];
    *merged = (Box){.members = list_union(drawing->scratch, x->members, y->members)};
    const char *refusal = box_shape(drawing, merged);
    if (refusal) return refusal;
    if (!PLANTED(box_not_convex) && (path_between(drawing, a, b) || path_between(drawing, b, a)))
        return "not convex: a path leaves the box and returns";
    return NULL;
}

static void absorb(Drawing *drawing, BoxId into, BoxId from, const Box *merged) {
    for (uint32_t i = 0; i < merged->members.count; i++) drawing->box_of[merged->members.nodes[i]] = into;
    drawing->boxes[into] = *merged;
    drawing->boxes[from].absorbed = true;
}

static void note_refusal(const Drawing *drawing, BoxId a, BoxId b, const char *reason) {
    const Box *x = &drawing->boxes[a], *y = &drawing->boxes[b];
    Arena *arena = drawing->context->arena;
    ledger_add(drawing->context->ledger,
               (Decision){.pass = "draw_boxes",
                          .what = arena_format(arena, "merge %s with %s", box_label(drawing, x), box_label(drawing, y)),
                          .place = box_place(drawing, y),
                          .reason = reason});
}

// ---- candidates

// The first operator among the members; 0 when none belongs to one.
static GroupId box_group(const Drawing *drawing, const Box *box) {
    GroupId group = 0;
    for (uint32_t i = 0; i < box->members.count && group == 0; i++)
        group = drawing->group[box->members.nodes[i]];
    return group;
}

static bool reads_from(const Drawing *drawing, const Box *reader, BoxId box) {
    for (uint32_t i = 0; i < reader->operands.count; i++)
        if (drawing->box_of[reader->operands.nodes[i]] == box) return true;
    return false;
}

static DimSet box_dims(const Drawing *drawing, const Box *box) {
    return graph_node(drawing->graph, last_member(box))->dims;
}

// An operand as large as the results of both.
static bool share_operand(const Drawing *drawing, const Box *a, const Box *b) {
    DimSet dims = box_dims(drawing, a);
    if (box_dims(drawing, b) != dims) return false;
    for (uint32_t i = 0; i < a->operands.count; i++) {
        NodeId operand = a->operands.nodes[i];
        if (graph_node(drawing->graph, operand)->dims == dims && list_has(b->operands, operand)) return true;
    }
    return false;
}

static bool holds_scatter(const Drawing *drawing, const Box *box) {
    return graph_node(drawing->graph, last_member(box))->op == OP_SCATTER;
}

// Whether it makes sense to ask. Asked and refused is a line of the ledger; never asked is none.
static bool is_candidate(const Drawing *drawing, BoxId a, BoxId b) {
    const Box *x = &drawing->boxes[a], *y = &drawing->boxes[b];
    if (drawing->context->fuse == FUSE_OP)
        return box_group(drawing, x) != 0 && box_group(drawing, x) == box_group(drawing, y);
    if (x->form == FORM_PRODUCT && y->form == FORM_PRODUCT) return false;
    if (holds_scatter(drawing, x) || holds_scatter(drawing, y)) return false;
    if (x->form == FORM_PRODUCT) return reads_from(drawing, y, a);
    if (y->form == FORM_PRODUCT) return reads_from(drawing, x, b);
    return reads_from(drawing, y, a) || reads_from(drawing, x, b) || share_operand(drawing, x, y);
}

// One round over all pairs, the later box with the nearest earlier one first. True when something merged.
static bool merge_round(Drawing *drawing, bool note) {
    bool changed = false;
    for (BoxId b = 0; b < drawing->box_count; b++) {
        for (BoxId a = b; a-- > 0 && !drawing->boxes[b].absorbed;) {
            if (drawing->boxes[a].absorbed || !is_candidate(drawing, a, b)) continue;
            Box merged;
            const char *refusal = try_merge(drawing, a, b, &merged);
            if (refusal && note) note_refusal(drawing, a, b, refusal);
            if (refusal || note) continue;
            absorb(drawing, a, b, &merged);
            changed = true;
        }
    }
    return changed;
}

void drawing_merge_boxes(Drawing *drawing) {
    if (drawing->context->fuse == FUSE_NONE) return;
    while (merge_round(drawing, false)) {
    }
    merge_round(drawing, true);
}

// ---- names for reports

// The operator whose kernel the box is; 0 for a product and for a lone primitive.
static GroupId box_operator(const Drawing *drawing, const Box *box) {
    if (box->form == FORM_PRODUCT || drawing->context->fuse == FUSE_NONE) return 0;
    return box_group(drawing, box);
}

const char *box_label(const Drawing *drawing, const Box *box) {
    GroupId id = box_operator(drawing, box);
    if (id == 0 && box->form == FORM_PRODUCT) return "product";
    if (id == 0) return op_name(graph_node(drawing->graph, last_member(box))->op);
    const Group *group = graph_group_at(drawing->graph, id);
    if (group->forward && text_equal(group->label, graph_group_at(drawing->graph, group->forward)->label))
        return arena_format(drawing->context->arena, "%s backward", group->label);
    return group->label;
}

const char *box_place(const Drawing *drawing, const Box *box) {
    GroupId group = box_operator(drawing, box);
    if (group && graph_group_at(drawing->graph, group)->place[0]) return graph_group_at(drawing->graph, group)->place;
    for (uint32_t i = box->members.count; i-- > 0;) {
        const char *name = graph_node_name(drawing->graph, box->members.nodes[i]);
        if (name) return name;
    }
    for (uint32_t i = 0; i < drawing->output_count; i++)
        if (list_has(box->members, drawing->outputs[i].node)) return drawing->outputs[i].name;
    group = box_group(drawing, box);
    if (group) return graph_group_at(drawing->graph, group)->place;
    return arena_format(drawing->context->arena, "%%%u", last_member(box));
}
