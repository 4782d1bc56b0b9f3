// What is kept of a contraction's result (level all): the result itself, or what its readers make of it.
//
//     %3 = contract ..            read by %4 only                 stored: %3              ->  %5
//     %4 = div %3 c               read by %5 only
//     %5 = where mask %4 -inf     read by lse, exp (a row box)
//
// The functions of a contraction result z are the pointwise nodes over its dims that need nothing large but z. Its
// frontier are those that others read. When z itself is not in the frontier and storing it takes at most one value more
// than is stored anyway, the frontier is stored: the functions are computed once, in the contraction's epilogue, and z
// never lies in memory. So scores are kept masked, and of a gelu both the value and the derivative are kept instead of
// the pre-activation: no more bytes, and nothing is computed twice.
#include "passes/boxes.h"

typedef struct {
    Drawing *drawing;
    NodeId z;
    bool *is_function;   // by node
} Kept;

// A small operand that is there before the contraction: constants, index masks, and leaves over fewer dims.
static bool is_at_hand(const Kept *kept, NodeId id) {
    const Graph *graph = kept->drawing->graph;
    if (kept->drawing->fixed[id]) return true;
    while (op_is_view(graph_node(graph, id)->op)) id = graph_node(graph, id)->operands[0];
    const Node *node = graph_node(graph, id);
    return node_is_leaf(graph, id) && node->dims != graph_node(graph, kept->z)->dims;
}

static bool is_function(const Kept *kept, NodeId id) {
    const Graph *graph = kept->drawing->graph;
    const Node *node = graph_node(graph, id);
    if (op_class(node->op) != CLASS_POINTWISE || node->dims != graph_node(graph, kept->z)->dims) return false;
    bool reads_z = false;
    for (uint32_t k = 0; k < node->operand_count; k++) {
        NodeId operand = node->operands[k];
        if (operand == kept->z || kept->is_function[operand]) {
            reads_z = true;
        } else if (!is_at_hand(kept, operand)) {
            return false;
        }
    }
    return reads_z;
}

static bool has_other_readers(const Kept *kept, NodeId id) {
    for (uint32_t i = 0; i < kept->drawing->user_count[id]; i++)
        if (!kept->is_function[kept->drawing->users[id][i]]) return true;
    return false;
}

static bool is_output(const Drawing *drawing, NodeId id) {
    for (uint32_t i = 0; i < drawing->output_count; i++)
        if (drawing->outputs[i].node == id) return true;
    return false;
}

static void note(const Drawing *drawing, NodeId z, NodeId last, uint32_t count) {
    const char *name = graph_node_name(drawing->graph, last);
    Arena *arena = drawing->context->arena;
    ledger_add(drawing->context->ledger,
               (Decision){.pass = "draw_boxes",
                          .what = "keep what is made of a product's result",
                          .place = name ? name : arena_format(arena, "%%%u", z),
                          .made = true,
                          .reason = arena_format(arena, "%u function%s of it instead, computed in its epilogue", count,
                                                 count == 1 ? "" : "s")});
}

static void keep_functions(Drawing *drawing, NodeId z) {
    const Graph *graph = drawing->graph;
    Kept kept = {.drawing = drawing, .z = z, .is_function = ARENA_ARRAY(drawing->scratch, bool, graph_nodes(graph))};
    for (NodeId id = z + 1; id < graph_nodes(graph); id++)
        if (drawing->live[id]) kept.is_function[id] = is_function(&kept, id);
    if (has_other_readers(&kept, z) || is_output(drawing, z)) return;
    uint32_t count = 0, more = 0;
    NodeId last = z;
    for (NodeId id = z + 1; id < graph_nodes(graph); id++) {
        if (!kept.is_function[id] || !has_other_readers(&kept, id)) continue;
        count++;
        more += !drawing->stored[id];
        last = id;
    }
    if (more == 0 || more > 1) return;
    for (NodeId id = z + 1; id < graph_nodes(graph); id++)
        if (kept.is_function[id] && has_other_readers(&kept, id)) drawing->stored[id] = true;
    note(drawing, z, last, count);
}

void drawing_keep_functions(Drawing *drawing) {
    for (NodeId id = 0; id < graph_nodes(drawing->graph); id++)
        if (drawing->live[id] && graph_node(drawing->graph, id)->op == OP_CONTRACT) keep_functions(drawing, id);
}
