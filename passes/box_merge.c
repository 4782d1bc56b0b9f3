// Boxes of one operator (level op) or of one space (level all) become one box with several outputs.
//
//     box 0 {%2 = sum ..}  box 1 {%4 = sum ..}  box 2 {%7 = mul ..}   group layernorm   ->   box 0 {%2, %4, %7}
//
// Two boxes merge when the result has a form (box_form.c) and is convex: no path leaves it and comes back. What was
// made and what was refused, with the first condition that failed, goes to the ledger. A refusal is *near* when all
// other conditions hold. Boxes of which one reads the other and that nobody thought of merging are refused there too,
// so that every edge between boxes has a reason.
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
        *box = (Box){.members = {.nodes = member, .count = 1}, .group = drawing->group[id], .changed = 1};
        const char *refusal = box_shape(drawing, box);
        if (refusal) BUG("%%%u (%s) makes no box: %s", id, op_name(graph_node(drawing->graph, id)->op), refusal);
        drawing->box_of[id] = drawing->box_count++;
    }
    drawing->merges = 1;
    drawing_find_readers(drawing);
}

// ---- convexity

static NodeId last_member(const Box *box) { return box->members.nodes[box->members.count - 1]; }

// Whether `box` depends on `target`, through boxes that this walk has not met. Node ids are no short cut: a path leads
// through whole boxes, and one box may hold early and late nodes.
static bool depends_on(Drawing *drawing, BoxId box, BoxId target) {
    if (box == target) return true;
    if (!box_meet(drawing, box)) return false;
    NodeList operands = drawing->boxes[box].operands;
    for (uint32_t i = 0; i < operands.count; i++) {
        BoxId producer = drawing->box_of[operands.nodes[i]];
        if (producer != BOX_NONE && depends_on(drawing, producer, target)) return true;
    }
    return false;
}

// A third box through which a path leads from `from` to `to`, the last one before `to`; BOX_NONE: there is no such
// path.
static BoxId path_between(Drawing *drawing, BoxId from, BoxId to) {
    drawing->walks++;
    box_meet(drawing, to);
    NodeList operands = drawing->boxes[to].operands;
    for (uint32_t i = 0; i < operands.count; i++) {
        BoxId producer = drawing->box_of[operands.nodes[i]];
        if (producer == BOX_NONE || producer == from) continue;
        if (depends_on(drawing, producer, from)) return producer;
    }
    return BOX_NONE;
}

static const char *not_convex(Drawing *drawing, BoxId a, BoxId b) {
    if (PLANTED(box_not_convex)) return NULL;
    BoxId between = path_between(drawing, a, b);
    if (between == BOX_NONE) between = path_between(drawing, b, a);
    if (between == BOX_NONE) return NULL;
    const Box *box = &drawing->boxes[between];
    return arena_format(drawing->context->arena, "not convex: a path leaves the box and returns through %s",
                        box_label(drawing, box));
}

// ---- merging two

const char *merge_name(const Drawing *drawing, const Box *x, const Box *y) {
    return arena_format(drawing->context->arena, "merge %s with %s", box_label(drawing, x), box_label(drawing, y));
}

static bool has_apart(const Drawing *drawing, const Box *box) {
    for (uint32_t i = 0; i < box->members.count; i++)
        if (drawing->apart[box->members.nodes[i]]) return true;
    return false;
}

// The words of a choice against the merge, or against the box that it would make; NULL when there is none.
static const char *forbidding(const Drawing *drawing, const Box *x, const Box *y, const Box *merged) {
    Choices *choices = drawing->context->choices;
    const char *reason = NULL;
    if (choices_count(choices) == 0) return NULL;
    if (has_apart(drawing, x) || has_apart(drawing, y)) return "by choice, its operator is no box";
    const char *what = arena_format(drawing->scratch, "box %s %s", form_name(merged->form), box_label(drawing, merged));
    if (choices_forbid(choices, "draw_boxes", merge_name(drawing, x, y), box_place(drawing, y), &reason)) return reason;
    if (choices_forbid(choices, "draw_boxes", what, box_place(drawing, merged), &reason)) return reason;
    return NULL;
}

const char *box_try_merge(Drawing *drawing, BoxId a, BoxId b, Box *merged) {
    const Box *x = &drawing->boxes[a], *y = &drawing->boxes[b];
    *merged = (Box){.members = list_union(drawing->scratch, x->members, y->members)};
    const char *refusal = box_shape(drawing, merged);
    if (!refusal) refusal = not_convex(drawing, a, b);
    return refusal ? refusal : forbidding(drawing, x, y, merged);
}

// Whether one condition alone refuses the merge of a and b: with it waived they have a form, and they are convex.
// (Where they have a form, convexity is what refused them.) It follows box_try_merge of the two.
static bool is_near(Drawing *drawing, BoxId a, BoxId b, Box *merged) {
    if (!box_form(drawing, merged)) return true;
    drawing->waiver->waived = drawing->waiver->failed;
    bool near = !box_form(drawing, merged) && !not_convex(drawing, a, b);
    drawing->waiver->waived = 0;
    return near;
}

// The first operator among the members; 0 when none belongs to one.
static GroupId members_group(const Drawing *drawing, NodeList members) {
    GroupId group = 0;
    for (uint32_t i = 0; i < members.count && group == 0; i++) group = drawing->group[members.nodes[i]];
    return group;
}

void box_absorb(Drawing *drawing, BoxId into, BoxId from, const Box *merged) {
    for (uint32_t i = 0; i < merged->members.count; i++) drawing->box_of[merged->members.nodes[i]] = into;
    drawing->boxes[into] = *merged;
    drawing->boxes[into].changed = ++drawing->merges;
    drawing->boxes[into].group = members_group(drawing, merged->members);
    drawing->boxes[from].absorbed = true;
    drawing->boxes[from].absorber = into;
}

static double node_bytes(const Drawing *drawing, NodeId id) {
    const Node *node = graph_node(drawing->graph, id);
    return (double)graph_elements(drawing->graph, node->dims) * (double)dtype_bytes(node->dtype);
}

static uint32_t count_readers(Drawing *drawing, NodeId id) {
    uint32_t count = box_count_readers(drawing, id);
    for (uint32_t i = 0; i < drawing->output_count; i++) count += drawing->outputs[i].node == id;
    return count;
}

// What one box for both would not read twice, and what it would not write because nobody else reads it.
static double bytes_between(Drawing *drawing, BoxId a, BoxId b) {
    const Box *x = &drawing->boxes[a], *y = &drawing->boxes[b];
    double bytes = 0;
    for (uint32_t i = 0; i < y->operands.count; i++) {
        NodeId operand = y->operands.nodes[i];
        bool is_made = list_has(x->members, operand);
        if (is_made || list_has(x->operands, operand)) bytes += node_bytes(drawing, operand);
        if (is_made && count_readers(drawing, operand) == 1) bytes += node_bytes(drawing, operand);
    }
    return bytes;
}

// A merge of level op is one operator's, and its box says it all.
static void note_merge(Drawing *drawing, BoxId a, BoxId b, const Box *merged) {
    const Box *x = &drawing->boxes[a], *y = &drawing->boxes[b];
    if (drawing->context->fuse != FUSE_ALL) return;
    ledger_add(drawing->context->ledger,
               (Decision){.pass = "draw_boxes",
                          .what = merge_name(drawing, x, y),
                          .place = box_place(drawing, y),
                          .made = true,
                          .reason = arena_format(drawing->context->arena, "one %s box", form_name(merged->form)),
                          .bytes_saved = bytes_between(drawing, a, b) + bytes_between(drawing, b, a),
                          .nodes = merged->inside.nodes,
                          .node_count = merged->inside.count});
}

static void note_refusal(Drawing *drawing, BoxId a, BoxId b, const char *reason, const Box *merged, bool near) {
    const Box *x = &drawing->boxes[a], *y = &drawing->boxes[b];
    ledger_add(drawing->context->ledger,
               (Decision){.pass = "draw_boxes",
                          .what = merge_name(drawing, x, y),
                          .place = box_place(drawing, y),
                          .reason = reason,
                          .bytes_saved = bytes_between(drawing, a, b) + bytes_between(drawing, b, a),
                          .near = near,
                          .nodes = merged->inside.nodes,
                          .node_count = merged->inside.count});
}

// ---- candidates

static bool reads_from(const Drawing *drawing, const Box *reader, BoxId box) {
    for (uint32_t i = 0; i < reader->operands.count; i++)
        if (drawing->box_of[reader->operands.nodes[i]] == box) return true;
    return false;
}

static DimSet box_dims(const Drawing *drawing, const Box *box) {
    return graph_node(drawing->graph, last_member(box))->dims;
}

DimSet box_span(const Drawing *drawing, const Box *box) {
    return box->form == FORM_ROW ? box->rows | box->inner : box_dims(drawing, box);
}

// An operand as large as the results of both, or as what both sum over. (What a product can compute in its epilogue is
// not for a sum that reads the same.)
static bool share_operand(const Drawing *drawing, const Box *a, const Box *b) {
    bool are_rows = a->form == FORM_ROW && b->form == FORM_ROW;
    DimSet dims = are_rows ? box_span(drawing, a) : box_dims(drawing, a);
    if (dims != (are_rows ? box_span(drawing, b) : box_dims(drawing, b))) return false;
    for (uint32_t i = 0; i < a->operands.count; i++) {
        NodeId operand = a->operands.nodes[i];
        if (graph_node(drawing->graph, operand)->dims == dims && list_has(b->operands, operand)) return true;
    }
    return false;
}

static bool holds_scatter(const Drawing *drawing, const Box *box) {
    return op_scatters(graph_node(drawing->graph, last_member(box))->op);
}

// On a GPU one worker has a row that is the only one, and many have a map of its elements, which then begins behind it.
static bool needs_many(const Drawing *drawing, const Box *row, const Box *map) {
    bool is_only_row = row->form == FORM_ROW && row->rows == 0;
    bool is_map = map->form == FORM_MAP && box_dims(drawing, map) != 0;
    return target_is_gpu(drawing->context->target) && is_only_row && is_map;
}

// Whether it makes sense to ask.
bool box_is_candidate(const Drawing *drawing, BoxId a, BoxId b) {
    const Box *x = &drawing->boxes[a], *y = &drawing->boxes[b];
    if (drawing->context->fuse == FUSE_OP)
        return x->group != 0 && x->group == y->group;
    if (x->form == FORM_PRODUCT && y->form == FORM_PRODUCT) return false;
    if (holds_scatter(drawing, x) || holds_scatter(drawing, y)) return false;
    if (needs_many(drawing, x, y) || needs_many(drawing, y, x)) return false;
    if (x->form == FORM_PRODUCT) return reads_from(drawing, y, a);
    if (y->form == FORM_PRODUCT) return reads_from(drawing, x, b);
    return reads_from(drawing, y, a) || reads_from(drawing, x, b) || share_operand(drawing, x, y);
}

// ---- what is refused at a glance: box_form.c would say why

// Whether a result over other dims than those of `box` is among the members of `other`.
static bool has_other_dims(const Drawing *drawing, const Box *box, const Box *other) {
    DimSet dims = box->form == FORM_ROW ? box->rows : box_dims(drawing, box);
    for (uint32_t i = 0; i < other->members.count; i++) {
        DimSet result = graph_node(drawing->graph, other->members.nodes[i])->dims;
        if (result != dims && (box->form != FORM_ROW || result != (box->rows | box->inner))) return true;
    }
    return false;
}

// What is inside of two boxes is inside of the one made of them, and nothing else. So a contraction or a reduction of
// one decides the form of both.
static bool clash(const Drawing *drawing, const Box *x, const Box *y) {
    if (y->form == FORM_ROW || (y->form == FORM_PRODUCT && x->form == FORM_MAP)) {
        const Box *other = x;
        x = y;
        y = other;
    }
    if (x->form == FORM_PRODUCT && (drawing->context->fuse != FUSE_ALL || y->form != FORM_MAP)) return true;
    if (x->form == FORM_ROW && y->form == FORM_PRODUCT) return true;
    if (x->form == FORM_ROW && y->form == FORM_ROW) return x->rows != y->rows || x->inner != y->inner;
    return has_other_dims(drawing, x, y);
}

// What was refused stays so while neither box changes: a form depends on the two alone, and a path between them goes
// when something on it merges with one of them.
static bool was_refused(const Box *x, const Box *y) {
    return y->asked >= x->changed && y->asked >= y->changed;
}

// One round over all pairs, the later box with the nearest earlier one first. True when something merged.
static bool merge_round(Drawing *drawing) {
    bool changed = false;
    for (BoxId b = 0; b < drawing->box_count; b++) {
        Box *y = &drawing->boxes[b];
        BoxList near = {0};
        if (!y->absorbed) near = box_neighbours(drawing, b);
        for (uint32_t i = 0; i < near.count && !y->absorbed; i++) {
            BoxId a = near.boxes[i];
            Box merged;
            if (was_refused(&drawing->boxes[a], y) || clash(drawing, &drawing->boxes[a], y)) continue;
            if (!box_is_candidate(drawing, a, b)) continue;
            if (box_try_merge(drawing, a, b, &merged)) continue;
            note_merge(drawing, a, b, &merged);
            box_absorb(drawing, a, b, &merged);
            changed = true;
        }
        y->asked = drawing->merges;
    }
    return changed;
}

// Why nobody asked, of two boxes of which one reads the other; they might even have a form.
static const char *never_asked(const Drawing *drawing, const Box *x, const Box *y) {
    if (drawing->context->fuse == FUSE_NONE) return "level none: every primitive is a kernel";
    if (drawing->context->fuse == FUSE_OP) return "level op: not of one operator";
    if (holds_scatter(drawing, x) || holds_scatter(drawing, y)) return "a scatter stands alone";
    if (needs_many(drawing, x, y) || needs_many(drawing, y, x)) return "one worker of the GPU would do it all";
    return "a product reads its operands from memory";
}

// What a choice about a refused merge is told.
static const char *answer_choice(const Drawing *drawing, const Box *x, const Box *y, const char *refusal) {
    Choices *choices = drawing->context->choices;
    if (choices_count(choices) == 0) return refusal;
    Choice *choice = choices_about(choices, "draw_boxes", merge_name(drawing, x, y), box_place(drawing, y));
    if (!choice) return refusal;
    return choice->verb == CHOICE_MAKE ? choice_obstruct(choices, choice, refusal) : choice_follow(choices, choice);
}

// What is left when nothing merges any more.
static void note_refusals(Drawing *drawing) {
    for (BoxId b = 0; b < drawing->box_count; b++) {
        if (drawing->boxes[b].absorbed) continue;
        BoxList near = box_neighbours(drawing, b);
        for (uint32_t i = 0; i < near.count; i++) {
            BoxId a = near.boxes[i];
            const Box *x = &drawing->boxes[a], *y = &drawing->boxes[b];
            bool asked = drawing->context->fuse != FUSE_NONE && box_is_candidate(drawing, a, b);
            if (!(asked || reads_from(drawing, y, a) || reads_from(drawing, x, b))) continue;
            Box merged;
            const char *refusal = box_try_merge(drawing, a, b, &merged);
            if (!asked && (!refusal || drawing->context->fuse != FUSE_ALL)) refusal = never_asked(drawing, x, y);
            refusal = answer_choice(drawing, x, y, refusal);
            note_refusal(drawing, a, b, refusal, &merged, asked && is_near(drawing, a, b, &merged));
        }
    }
}

static void merge_all(Drawing *drawing) {
    while (drawing->context->fuse != FUSE_NONE && merge_round(drawing)) {
    }
}

// What choices ask for comes first; what was not possible yet is asked again when the rest has merged.
void drawing_merge_boxes(Drawing *drawing) {
    drawing_fuse_by_choice(drawing, false);
    merge_all(drawing);
    drawing_fuse_by_choice(drawing, true);
    merge_all(drawing);
    note_refusals(drawing);
}

// ---- names for reports

// The operator whose kernel the box is; 0 for a product and for a lone primitive.
static GroupId box_operator(const Drawing *drawing, const Box *box) {
    if (box->form == FORM_PRODUCT || drawing->context->fuse == FUSE_NONE) return 0;
    return box->group;
}

const char *group_label(const Graph *graph, GroupId id) {
    const Group *group = graph_group_at(graph, id);
    if (group->forward && text_equal(group->label, graph_group_at(graph, group->forward)->label))
        return arena_format(graph_arena(graph), "%s backward", group->label);
    return group->label;
}

const char *box_label(const Drawing *drawing, const Box *box) {
    GroupId id = box_operator(drawing, box);
    if (id == 0 && box->form == FORM_PRODUCT) return "product";
    if (id == 0) return op_name(graph_node(drawing->graph, last_member(box))->op);
    return group_label(drawing->graph, id);
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
    group = box->group;
    if (group && graph_group_at(drawing->graph, group)->place[0]) return graph_group_at(drawing->graph, group)->place;
    return drawing->names[last_member(box)];
}
