// The cone of a box: from its members down to what other boxes store.
//
//     members {%6}:  %6 = exp %5;  %5 = sub %3 %4;  %3, %4 stored   ->   inside %5 %6, operands %3 %4
#include "passes/boxes.h"

bool node_is_leaf(const Graph *graph, NodeId node) {
    Op op = graph_node(graph, node)->op;
    return op == OP_INPUT || op == OP_PARAM || op == OP_STATE;
}

bool list_has(NodeList list, NodeId node) {
    for (uint32_t i = 0; i < list.count; i++)
        if (list.nodes[i] == node) return true;
    return false;
}

NodeList list_union(Arena *arena, NodeList a, NodeList b) {
    NodeList list = {.nodes = ARENA_ARRAY(arena, NodeId, a.count + b.count)};
    uint32_t i = 0, j = 0;
    while (i < a.count || j < b.count) {
        bool take_a = j == b.count || (i < a.count && a.nodes[i] <= b.nodes[j]);
        NodeId node = take_a ? a.nodes[i++] : b.nodes[j++];
        if (list.count == 0 || list.nodes[list.count - 1] != node) list.nodes[list.count++] = node;
    }
    return list;
}

// ---- pending nodes: a heap, the largest first, so that a cone costs what is in it and not what lies between

static void pending_add(NodeId *heap, uint32_t *count, NodeId node) {
    uint32_t at = (*count)++;
    for (; at > 0 && heap[(at - 1) / 2] < node; at = (at - 1) / 2) heap[at] = heap[(at - 1) / 2];
    heap[at] = node;
}

static NodeId pending_take(NodeId *heap, uint32_t *count) {
    NodeId largest = heap[0], last = heap[--*count];
    uint32_t at = 0;
    for (uint32_t child = 1; child < *count; child = 2 * at + 1) {
        if (child + 1 < *count && heap[child + 1] > heap[child]) child++;
        if (heap[child] <= last) break;
        heap[at] = heap[child];
        at = child;
    }
    heap[at] = last;
    return largest;
}

// Meets `node`, whose dims `moved` and `reduced` are not read in place.
static void mark(Drawing *drawing, NodeId node, DimSet moved, DimSet reduced, uint32_t *pending) {
    if (!drawing->marked[node]) {
        drawing->marked[node] = true;
        drawing->moved[node] = drawing->reduced[node] = 0;
        pending_add(drawing->pending, pending, node);
    }
    drawing->moved[node] |= moved;
    drawing->reduced[node] |= reduced;
}

static void mark_operands(Drawing *drawing, NodeId id, uint32_t *pending) {
    const Node *node = graph_node(drawing->graph, id);
    for (uint32_t k = 0; k < node->operand_count; k++) {
        NodeId operand = node->operands[k];
        DimSet dims = graph_node(drawing->graph, operand)->dims;
        DimSet reduced = (drawing->reduced[id] & dims) | access_reduced(drawing->graph, id, k);
        mark(drawing, operand, access_moved(drawing->graph, id, k, drawing->moved[id]), reduced, pending);
    }
}

// `list` was filled from its end.
static NodeList list_reversed(Arena *arena, NodeList list) {
    NodeList copy = {.nodes = ARENA_ARRAY(arena, NodeId, list.count), .count = list.count};
    for (uint32_t i = 0; i < list.count; i++) copy.nodes[i] = list.nodes[list.count - 1 - i];
    return copy;
}

Cone cone_collect(Drawing *drawing, NodeList members) {
    NodeList *inside = &drawing->inside, *operands = &drawing->operands;
    uint32_t pending = 0, member = members.count;
    inside->count = operands->count = 0;
    for (uint32_t i = 0; i < members.count; i++) mark(drawing, members.nodes[i], 0, 0, &pending);
    // Users before operands: a node is complete when it is met.
    while (pending > 0) {
        NodeId id = pending_take(drawing->pending, &pending);
        drawing->marked[id] = false;
        while (member > 0 && members.nodes[member - 1] > id) member--;
        bool is_member = member > 0 && members.nodes[member - 1] == id;
        if (drawing->stored[id] && !is_member) {
            operands->nodes[operands->count++] = id;
        } else {
            inside->nodes[inside->count++] = id;
            mark_operands(drawing, id, &pending);
        }
    }
    return (Cone){list_reversed(drawing->scratch, *inside), list_reversed(drawing->scratch, *operands)};
}

bool cone_aligned(const Drawing *drawing, NodeId node) {
    return drawing->moved[node] == 0 && drawing->reduced[node] == 0;
}
