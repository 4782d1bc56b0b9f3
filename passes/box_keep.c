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
// the pre-activation: no more bytes, and nothing is computed twice. Choices: `keep` of z, or `redo` of a function, and
// z is stored; `redo` of z, and its functions are, however many.
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

// What others read of the functions.
typedef struct {
    NodeId last;
    uint32_t count, more;     // more: that are not stored anyway
    Choice *wish;             // the first one against storing them
} Frontier;

static Frontier find_frontier(const Kept *kept) {
    const Drawing *drawing = kept->drawing;
    Frontier frontier = {.last = kept->z};
    for (NodeId id = kept->z + 1; id < graph_nodes(drawing->graph); id++) {
        if (!kept->is_function[id] || !has_other_readers(kept, id)) continue;
        frontier.count++;
        frontier.more += !drawing->stored[id];
        frontier.last = id;
        Choice *wish = drawing->wishes[id];
        if (!frontier.wish && wish && wish->verb == CHOICE_REDO) frontier.wish = wish;
    }
    return frontier;
}

// Whether the frontier is stored instead of z; to the ledger.
static bool choose(Drawing *drawing, NodeId z, const Frontier *frontier) {
    PassContext *context = drawing->context;
    Choices *choices = context->choices;
    Decision decision = {.pass = "draw_boxes",
                         .what = "keep what is made of a product's result",
                         .place = drawing->names[frontier->last],
                         .made = frontier->more == 1};
    Choice *choice = choices_about(choices, decision.pass, decision.what, decision.place);
    if (drawing->wishes[z]) choice = drawing->wishes[z];
    if (frontier->wish) choice = frontier->wish;
    decision.reason = arena_format(context->arena, "%u function%s of it instead, computed in its epilogue",
                                   frontier->count, frontier->count == 1 ? "" : "s");
    if (frontier->more == 0) decision.reason = "they are stored anyway";
    if (frontier->more > 1)
        decision.reason = arena_format(context->arena, "%u of its %u functions would be stored besides", frontier->more,
                                       frontier->count);
    if (choice) {
        bool of_z = choice == drawing->wishes[z];
        decision.made = choice->verb == (of_z ? CHOICE_REDO : CHOICE_MAKE);
        if (of_z) drawing->wishes[z] = NULL;
        decision.reason = choice_follow(choices, choice);
    }
    if (choice || frontier->more > 0) ledger_add(context->ledger, decision);
    return decision.made;
}

static void keep_functions(Drawing *drawing, NodeId z) {
    const Graph *graph = drawing->graph;
    Kept kept = {.drawing = drawing, .z = z, .is_function = ARENA_ARRAY(drawing->scratch, bool, graph_nodes(graph))};
    for (NodeId id = z + 1; id < graph_nodes(graph); id++)
        if (drawing->live[id]) kept.is_function[id] = is_function(&kept, id);
    if (has_other_readers(&kept, z) || is_output(drawing, z)) return;
    Frontier frontier = find_frontier(&kept);
    if (frontier.count == 0 || !choose(drawing, z, &frontier)) return;
    for (NodeId id = z + 1; id < graph_nodes(graph); id++)
        if (kept.is_function[id] && has_other_readers(&kept, id)) drawing->stored[id] = true;
}

void drawing_keep_functions(Drawing *drawing) {
    for (NodeId id = 0; id < graph_nodes(drawing->graph); id++)
        if (drawing->live[id] && graph_node(drawing->graph, id)->op == OP_CONTRACT) keep_functions(drawing, id);
}
