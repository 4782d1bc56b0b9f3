// draw_boxes: Graph -> Plan. Which primitives are computed together, and what is stored between.
//
// requires  a graph; names and groups of its nodes are used when there
// ensures   a plan whose steps compute every output: regions, operands, outputs, forms, order of steps; a next value
//           of a state is written after every reader of the state. Layouts, engines, pieces, edges and offsets are left
//           to the plan passes.
// ledger    one decision per box made, and per merge asked for and refused
//
//     %2 = sum f32[B] %x over C       group layernorm               level op:
//     %3 = sub f32[B,C] %x %2         group layernorm      ->       step row "layernorm" in %x out %3
//     output "y" %3
//
// Boxes are found by dims and side notes, not by templates:  names of all values, for ledger and choices (box_names.c),
// values (box_values.c, box_keep.c), one box per stored node, merging (box_merge.c, box_neighbours.c, box_form.c),
// order (box_order.c), plan (box_plan.c).
#include "passes/boxes.h"
#include "passes/pass_functions.h"
#include "passes/rewrite.h"

static const char *node_place(const Graph *graph, NodeId id) {
    const char *name = graph_node_name(graph, id);
    return name ? name : "";
}

// What no box needs to know: stop_gradient computes nothing, and a scatter that adds nothing up (its result has all
// dims of its operands) is `where(index == b, a, 0)`. They go first, so that equal boxes are equal nodes.
static NodeId plain_node(Rewrite *rewrite, NodeId id) {
    Graph *graph = rewrite->graph;
    const Node *node = graph_node(graph, id);
    if (node->op == OP_STOP_GRADIENT) return node->operands[0];
    if (!op_scatters(node->op) || access_reduced(graph, id, 0) || access_reduced(graph, id, 1)) return NODE_NONE;
    // One kernel, as a scatter is.
    if (!graph_node_group(graph, id)) graph_set_group(graph, graph_group(graph, "scatter", node_place(graph, id), 0));
    NodeId here = build_binary(graph, OP_EQ, build_index(graph, node->attr.to), node->operands[1]);
    NodeId placed = build_where(graph, here, node->operands[0], build_const(graph, node->dtype, 0));
    return node->op == OP_SCATTER ? placed : build_binary(graph, OP_ADD, node->operands[2], placed);
}

static void collect_outputs(Drawing *drawing) {
    const Graph *graph = drawing->graph;
    drawing->output_count = graph_outputs(graph);
    drawing->outputs = ARENA_ARRAY(drawing->scratch, DrawnOutput, drawing->output_count);
    for (uint32_t i = 0; i < drawing->output_count; i++) {
        const Output *output = graph_output_at(graph, i);
        DrawnOutput *drawn = &drawing->outputs[i];
        *drawn = (DrawnOutput){.name = output->name, .node = output->node};
        for (LeafId leaf = 0; leaf < graph_leaves(graph); leaf++) {
            if (!text_equal(graph_leaf_at(graph, leaf)->name, output->name)) continue;
            NodeId source = graph_find_leaf_node(graph, output->name);
            drawn->is_next = source == NODE_NONE || graph_node(graph, source)->op != OP_INPUT;
            drawn->leaf = leaf;
        }
    }
}

static void add_user(Drawing *drawing, NodeId node, NodeId user) {
    for (uint32_t i = 0; i < drawing->user_count[node]; i++)
        if (drawing->users[node][i] == user) return;
    drawing->users[node][drawing->user_count[node]++] = user;
}

// Live users of every node.
static void collect_users(Drawing *drawing) {
    const Graph *graph = drawing->graph;
    uint32_t nodes = graph_nodes(graph);
    uint32_t *reads = ARENA_ARRAY(drawing->scratch, uint32_t, nodes);
    for (int fill = 0; fill <= 1; fill++) {
        for (NodeId id = 0; id < nodes; id++) {
            const Node *node = graph_node(graph, id);
            if (!drawing->live[id]) continue;
            for (uint32_t k = 0; k < node->operand_count; k++) {
                if (fill)
                    add_user(drawing, node->operands[k], id);
                else
                    reads[node->operands[k]]++;
            }
        }
        for (NodeId id = 0; id < nodes && !fill; id++)
            drawing->users[id] = ARENA_ARRAY(drawing->scratch, NodeId, reads[id]);
    }
}

static Drawing *drawing_create(const Graph *graph, PassContext *context, Arena *scratch) {
    uint32_t nodes = graph_nodes(graph);
    Drawing *drawing = ARENA_NEW(scratch, Drawing);
    *drawing = (Drawing){.graph = graph,
                         .context = context,
                         .scratch = scratch,
                         .live = graph_live(graph, scratch),
                         .stored = ARENA_ARRAY(scratch, bool, nodes),
                         .fixed = ARENA_ARRAY(scratch, bool, nodes),
                         .group = ARENA_ARRAY(scratch, GroupId, nodes),
                         .box_of = ARENA_ARRAY(scratch, BoxId, nodes),
                         .users = ARENA_ARRAY(scratch, NodeId *, nodes),
                         .user_count = ARENA_ARRAY(scratch, uint32_t, nodes),
                         .moved = ARENA_ARRAY(scratch, DimSet, nodes),
                         .reduced = ARENA_ARRAY(scratch, DimSet, nodes),
                         .wishes = ARENA_ARRAY(scratch, Choice *, nodes),
                         .apart = ARENA_ARRAY(scratch, bool, nodes),
                         .marked = ARENA_ARRAY(scratch, bool, nodes),
                         .pending = ARENA_ARRAY(scratch, NodeId, nodes),
                         .inside = {.nodes = ARENA_ARRAY(scratch, NodeId, nodes)},
                         .operands = {.nodes = ARENA_ARRAY(scratch, NodeId, nodes)},
                         .waiver = ARENA_NEW(scratch, Waiver)};
    collect_outputs(drawing);
    collect_users(drawing);
    drawing_name_values(drawing);
    return drawing;
}

Plan *pass_draw_boxes(const Graph *graph, PassContext *context) {
    Arena *scratch = arena_create();
    const Graph *plain = rewrite_graph(graph, context->arena, plain_node, NULL);
    Drawing *drawing = drawing_create(plain, context, scratch);
    drawing_choose_values(drawing);
    drawing_make_boxes(drawing);
    drawing_merge_boxes(drawing);
    drawing_order_boxes(drawing);
    Plan *plan = drawing_plan(drawing);
    arena_free(scratch);
    return plan;
}
