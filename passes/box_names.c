// A name for every value, so that ledger and choices can speak of it.
//
//     %5 = div ..  name="layer[0].s"                 layer[0].s
//     %6 = where .. %5 ..                            layer[0].s~1     the first unnamed value that is nearest to it
//     %7 = contract ..        %8 = add %7 ..  name="layer[0].x"       layer[0].x~1
//
// Values that the spec named, and outputs, keep their names. Any other is called after the nearest of these, along
// users or operands (users where both are as near), and numbered in the order of the graph. So equal layers have equal
// names.
#include "passes/boxes.h"

// The nearest named node in one direction.
typedef struct {
    NodeId node;          // NODE_NONE: there is none
    uint32_t distance;
} Nearest;

static bool is_taken(const Drawing *drawing, NodeId before, const char *name) {
    for (NodeId id = 0; id < before; id++)
        if (drawing->names[id] && text_equal(drawing->names[id], name)) return true;
    return false;
}

static void take_given_names(Drawing *drawing) {
    for (NodeId id = 0; id < graph_nodes(drawing->graph); id++) {
        const char *name = graph_node_name(drawing->graph, id);
        if (drawing->live[id] && name && !is_taken(drawing, id, name)) drawing->names[id] = name;
    }
    for (uint32_t i = 0; i < drawing->output_count; i++) {
        NodeId node = drawing->outputs[i].node;
        if (!drawing->names[node] && !is_taken(drawing, graph_nodes(drawing->graph), drawing->outputs[i].name))
            drawing->names[node] = drawing->outputs[i].name;
    }
    for (NodeId id = 0; id < graph_nodes(drawing->graph); id++) {
        if (!drawing->live[id] || drawing->names[id] || !node_is_leaf(drawing->graph, id)) continue;
        const char *name = graph_leaf_at(drawing->graph, graph_node(drawing->graph, id)->attr.leaf)->name;
        if (!is_taken(drawing, graph_nodes(drawing->graph), name)) drawing->names[id] = name;
    }
}

static bool counts(const Drawing *drawing, NodeId id) {
    return drawing->live[id] && op_class(graph_node(drawing->graph, id)->op) != CLASS_SOURCE;
}

static void come_nearer(Nearest *nearest, const Nearest *next) {
    if (next->node == NODE_NONE || (nearest->node != NODE_NONE && nearest->distance <= next->distance + 1)) return;
    *nearest = (Nearest){next->node, next->distance + 1};
}

static Nearest start(const Drawing *drawing, NodeId id) {
    return (Nearest){counts(drawing, id) && drawing->names[id] ? id : NODE_NONE, 0};
}

static Nearest *find_below(const Drawing *drawing) {
    Nearest *below = ARENA_ARRAY(drawing->scratch, Nearest, graph_nodes(drawing->graph));
    for (NodeId id = 0; id < graph_nodes(drawing->graph); id++) {
        const Node *node = graph_node(drawing->graph, id);
        below[id] = start(drawing, id);
        for (uint32_t k = 0; k < node->operand_count; k++) come_nearer(&below[id], &below[node->operands[k]]);
    }
    return below;
}

static Nearest *find_above(const Drawing *drawing) {
    Nearest *above = ARENA_ARRAY(drawing->scratch, Nearest, graph_nodes(drawing->graph));
    for (NodeId id = graph_nodes(drawing->graph); id-- > 0;) {
        above[id] = start(drawing, id);
        for (uint32_t i = 0; i < drawing->user_count[id]; i++) come_nearer(&above[id], &above[drawing->users[id][i]]);
    }
    return above;
}

void drawing_name_values(Drawing *drawing) {
    uint32_t nodes = graph_nodes(drawing->graph);
    Arena *arena = drawing->context->arena;
    drawing->names = ARENA_ARRAY(drawing->scratch, const char *, nodes);
    take_given_names(drawing);
    const Nearest *below = find_below(drawing), *above = find_above(drawing);
    uint32_t *numbers = ARENA_ARRAY(drawing->scratch, uint32_t, nodes);
    const char **given = ARENA_ARRAY(drawing->scratch, const char *, nodes);
    for (NodeId id = 0; id < nodes; id++) given[id] = drawing->names[id];
    for (NodeId id = 0; id < nodes; id++) {
        if (given[id]) continue;
        const Nearest *near = above[id].node != NODE_NONE ? &above[id] : &below[id];
        if (below[id].node != NODE_NONE && below[id].distance < near->distance) near = &below[id];
        bool has_base = counts(drawing, id) && near->node != NODE_NONE;
        drawing->names[id] = has_base ? arena_format(arena, "%s~%u", given[near->node], ++numbers[near->node])
                                      : arena_format(arena, "%%%u", id);
    }
}
