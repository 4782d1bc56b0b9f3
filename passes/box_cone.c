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

static void list_reverse(NodeList *list) {
    for (uint32_t i = 0, j = list->count; i + 1 < j; i++) {
        NodeId node = list->nodes[--j];
        list->nodes[j] = list->nodes[i];
        list->nodes[i] = node;
    }
}

static void append(NodeList *list, size_t *capacity, Arena *arena, NodeId node) {
    list->nodes = arena_grow(arena, list->nodes, capacity, list->count + 1, sizeof(NodeId));
    list->nodes[list->count++] = node;
}

// Meets `node`, whose dims `moved` and `reduced` are not read in place.
static void mark(Drawing *drawing, NodeId node, DimSet moved, DimSet reduced, uint32_t *pending) {
    if (!drawing->marked[node]) {
        drawing->marked[node] = true;
        drawing->moved[node] = drawing->reduced[node] = 0;
        (*pending)++;
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

Cone cone_collect(Drawing *drawing, NodeList members) {
    Cone cone = {0};
    size_t inside_capacity = 0, operand_capacity = 0;
    uint32_t pending = 0, member = members.count;
    for (uint32_t i = 0; i < members.count; i++) mark(drawing, members.nodes[i], 0, 0, &pending);
    // Users before operands: a node is complete when it is met.
    for (NodeId id = members.nodes[members.count - 1]; pending > 0; id--) {
        if (!drawing->marked[id]) continue;
        drawing->marked[id] = false;
        pending--;
        while (member > 0 && members.nodes[member - 1] > id) member--;
        bool is_member = member > 0 && members.nodes[member - 1] == id;
        if (drawing->stored[id] && !is_member) {
            append(&cone.operands, &operand_capacity, drawing->scratch, id);
        } else {
            append(&cone.inside, &inside_capacity, drawing->scratch, id);
            mark_operands(drawing, id, &pending);
        }
    }
    list_reverse(&cone.inside);
    list_reverse(&cone.operands);
    return cone;
}

bool cone_aligned(const Drawing *drawing, NodeId node) {
    return drawing->moved[node] == 0 && drawing->reduced[node] == 0;
}
