// A node as a formula of named values: see story.h.
//
//     %5 = contract f32[B,T,C] %3 %4 over(F)     %3 "layer[0].u", %4 param
//     %6 = add f32[B,T,C] %2 %5                  %2 "layer[0].x"
//     add(layer[0].x, contract(layer[0].u, h.0.mlp.c_proj.weight) over {F})
#include "driver/explain/story.h"

enum { DEEPEST = 3 };

const char *formula_name(const Graph *graph, NodeId node) {
    const Node *at = graph_node(graph, node);
    if (at->op == OP_PARAM || at->op == OP_INPUT || at->op == OP_STATE)
        return graph_leaf_at(graph, at->attr.leaf)->name;
    return graph_node_name(graph, node);
}

static void append_node(Text *text, const Graph *graph, NodeId node, int depth);

static void append_operand(Text *text, const Graph *graph, NodeId node, int depth) {
    const char *name = formula_name(graph, node);
    if (name)
        text_append(text, "%s", name);
    else
        append_node(text, graph, node, depth);
}

// " over {S}", " from Z at 0", " to S".
static void append_attributes(Text *text, const Graph *graph, const Node *node) {
    const Attr *attr = &node->attr;
    OpClass class = op_class(node->op);
    if (class == CLASS_REDUCE || class == CLASS_CONTRACT) {
        text_append(text, " over {");
        const char *comma = "";
        for (DimId dim = 0; dim < graph_dims(graph); dim++) {
            if (!dim_in(attr->set, dim)) continue;
            text_append(text, "%s%s", comma, graph_dim_name(graph, dim));
            comma = ",";
        }
        text_append(text, "}");
    }
    if (class != CLASS_MOVE && class != CLASS_INDEXED) return;
    if (attr->from != DIM_NONE) text_append(text, " from %s", graph_dim_name(graph, attr->from));
    if (node->op == OP_SELECT) text_append(text, " at %d", attr->integer);
    if (attr->to != DIM_NONE) text_append(text, " to %s", graph_dim_name(graph, attr->to));
}

static void append_constant(Text *text, const Graph *graph, const Node *node) {
    if (node->op == OP_INDEX)
        text_append(text, "index of %s", graph_dim_name(graph, node->attr.to));
    else if (node->attr.table)
        text_append(text, "table");
    else
        text_append(text, "%.6g", node->attr.value);
}

static void append_node(Text *text, const Graph *graph, NodeId id, int depth) {
    const Node *node = graph_node(graph, id);
    if (node->op == OP_CONST || node->op == OP_INDEX) {
        append_constant(text, graph, node);
        return;
    }
    text_append(text, "%s(", op_name(node->op));
    for (uint32_t k = 0; k < node->operand_count; k++) {
        text_append(text, k ? ", " : "");
        if (depth == DEEPEST && !formula_name(graph, node->operands[k]) &&
            op_operands(graph_node(graph, node->operands[k])->op))
            text_append(text, "..");
        else
            append_operand(text, graph, node->operands[k], depth + 1);
    }
    text_append(text, ")");
    append_attributes(text, graph, node);
}

const char *formula_text(const Graph *graph, NodeId node, Arena *arena) {
    Text text = text_create(arena);
    append_node(&text, graph, node, 1);
    return text_string(&text);
}

double formula_flops(const Graph *graph, NodeId id) {
    const Node *node = graph_node(graph, id);
    double elements = (double)graph_elements(graph, node->dims);
    switch (op_class(node->op)) {
    case CLASS_POINTWISE: return elements;
    case CLASS_REDUCE: return (double)graph_elements(graph, graph_node(graph, node->operands[0])->dims);
    case CLASS_CONTRACT: return 2 * elements * (double)graph_elements(graph, node->attr.set);
    default: return 0;
    }
}
