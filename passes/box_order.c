// The order of steps, and which boxes write the next value of a state over the state itself.
//
// A box comes after the boxes whose results it reads, and a box that writes a state after every other reader of that
// state; among those that may come next, the one with the smallest last node. Where two boxes would have to wait for
// each other (each writes a state that the other reads), the next value is stored apart and copied at the end.
//
//     product in %x, %w  out %g        reads w: first
//     map     in %w, %g  out %5        output "w": written over w
#include "base/planted.h"
#include "passes/boxes.h"

static NodeId leaf_node(const Drawing *drawing, const DrawnOutput *output) {
    return graph_find_leaf_node(drawing->graph, graph_leaf_at(drawing->graph, output->leaf)->name);
}

// ---- which outputs a box writes itself

static bool is_claimed(const Drawing *drawing, uint32_t before, NodeId node) {
    for (uint32_t i = 0; i < before; i++)
        if (drawing->outputs[i].direct && drawing->outputs[i].node == node) return true;
    return false;
}

static bool is_scattered_onto(const Drawing *drawing, NodeId user, NodeId base) {
    const Node *node = graph_node(drawing->graph, user);
    return node->op == OP_SCATTER_ONTO && node->operands[2] == base && node->operands[0] != base;
}

// Every element of the state must be read before the same element is written: by pointwise nodes of a map, or before
// rows are scattered onto it.
static bool may_overwrite(Drawing *drawing, BoxId id, NodeId state) {
    const Box *box = &drawing->boxes[id];
    bool scatters = false;
    if (!list_has(box->operands, state)) return true;
    for (uint32_t i = 0; i < drawing->user_count[state]; i++) {
        NodeId user = drawing->users[state][i];
        bool is_pointwise = op_class(graph_node(drawing->graph, user)->op) == CLASS_POINTWISE;
        bool is_base = is_scattered_onto(drawing, user, state);
        if (!list_has(box->inside, user)) continue;
        if (!is_pointwise && !is_base) return false;
        scatters |= is_base;
    }
    cone_collect(drawing, box->members);
    return (box->form == FORM_MAP || scatters) && cone_aligned(drawing, state);
}

static void choose_direct(Drawing *drawing) {
    for (uint32_t i = 0; i < drawing->output_count; i++) {
        DrawnOutput *output = &drawing->outputs[i];
        BoxId box = drawing->box_of[output->node];
        output->direct = box != BOX_NONE && !is_claimed(drawing, i, output->node) &&
                         (!output->is_next || may_overwrite(drawing, box, leaf_node(drawing, output)));
    }
}

// ---- order

typedef struct {
    Drawing *drawing;
    bool *placed;     // by box
} Order;

static bool operands_ready(const Order *order, BoxId box) {
    NodeList operands = order->drawing->boxes[box].operands;
    for (uint32_t i = 0; i < operands.count; i++) {
        BoxId producer = order->drawing->box_of[operands.nodes[i]];
        if (producer != BOX_NONE && !order->placed[producer]) return false;
    }
    return true;
}

static bool has_other_reader(const Order *order, BoxId writer, NodeId state) {
    for (BoxId box = 0; box < order->drawing->box_count; box++) {
        if (box == writer || order->placed[box] || order->drawing->boxes[box].absorbed) continue;
        if (list_has(order->drawing->boxes[box].operands, state)) return !PLANTED(state_overwritten_too_early);
    }
    return false;
}

static bool blocked_by_readers(const Order *order, BoxId box, const DrawnOutput *output) {
    if (!output->direct || !output->is_next || order->drawing->box_of[output->node] != box) return false;
    NodeId state = leaf_node(order->drawing, output);
    return state != NODE_NONE && has_other_reader(order, box, state);
}

static bool may_write(const Order *order, BoxId box) {
    for (uint32_t i = 0; i < order->drawing->output_count; i++)
        if (blocked_by_readers(order, box, &order->drawing->outputs[i])) return false;
    return true;
}

static NodeId box_key(const Drawing *drawing, BoxId box) {
    NodeList members = drawing->boxes[box].members;
    return members.nodes[members.count - 1];
}

// The next box in order; with `patient` false also one that still has readers of the states it writes before it.
static BoxId next_box(const Order *order, bool patient) {
    const Drawing *drawing = order->drawing;
    BoxId best = BOX_NONE;
    for (BoxId box = 0; box < drawing->box_count; box++) {
        if (order->placed[box] || drawing->boxes[box].absorbed) continue;
        if (best != BOX_NONE && box_key(drawing, best) < box_key(drawing, box)) continue;
        if (operands_ready(order, box) && (!patient || may_write(order, box))) best = box;
    }
    return best;
}

void drawing_order_boxes(Drawing *drawing) {
    choose_direct(drawing);
    Order order = {.drawing = drawing, .placed = ARENA_ARRAY(drawing->scratch, bool, drawing->box_count)};
    uint32_t count = 0;
    for (BoxId box = 0; box < drawing->box_count; box++) count += !drawing->boxes[box].absorbed;
    drawing->sequence = ARENA_ARRAY(drawing->scratch, BoxId, count);
    while (drawing->sequence_count < count) {
        BoxId box = next_box(&order, true);
        if (box == BOX_NONE) {
            box = next_box(&order, false);
            CHECK(box != BOX_NONE);
            for (uint32_t i = 0; i < drawing->output_count; i++)
                if (blocked_by_readers(&order, box, &drawing->outputs[i])) drawing->outputs[i].direct = false;
        }
        order.placed[box] = true;
        drawing->sequence[drawing->sequence_count++] = box;
    }
}
