// The picture as a directed graph for Graphviz: see draw.h.
#include "driver/draw/draw.h"
#include "driver/draw/graph.h"

static const char *const part_names[] = {
    [PART_FORWARD] = "forward", [PART_BACKWARD] = "backward", [PART_OPTIMIZER] = "optimizer"};

static const char *colour_of(const DrawnNode *node) {
    if (node->engine == ENGINE_BLAS) return "#f3e3b3";
    switch (node->form) {
    case FORM_ROW: return "#cfe3f3";
    case FORM_PRODUCT:
    case FORM_SWEEP: return "#f8d9c4";
    default: return "#c9ecdf";
    }
}

static void append_quoted(Text *out, const char *text) {
    for (; *text; text++) {
        if (*text == '"' || *text == '\\') text_append(out, "\\");
        text_append(out, "%c", *text == '\n' ? ' ' : *text);
    }
}

static void append_node(const Drawn *drawn, uint32_t at, Text *out) {
    const DrawnNode *node = &drawn->nodes[at];
    text_append(out, "      n%u [fillcolor=\"%s\", label=\"", at, colour_of(node));
    append_quoted(out, node->title);
    if (node->count > 1) text_append(out, "  x %zu", node->count);
    text_append(out, "\\n");
    append_quoted(out, node->place);
    text_append(out, "\\n");
    append_quoted(out, node->figures);
    text_append(out, "\"];\n");
}

// A cluster for each strand inside of the part's, and what is in none beside them.
static void append_part(const Drawn *drawn, StepPart part, Text *out) {
    text_append(out, "  subgraph cluster_%s {\n    label=\"%s\"; style=rounded; color=\"#b0b8c0\";\n", part_names[part],
                part_names[part]);
    for (uint32_t strand = 0; strand <= drawn->strand_count; strand++) {
        bool is_none = strand == drawn->strand_count, is_open = false;
        for (uint32_t n = 0; n < drawn->node_count; n++) {
            const DrawnNode *node = &drawn->nodes[n];
            if (node->part != part || node->strand != (is_none ? DRAWN_NONE : strand)) continue;
            if (!is_none && !is_open) {
                text_append(out, "    subgraph cluster_%s_strand%u {\n      label=\"", part_names[part], strand);
                append_quoted(out, drawn->strands[strand].label);
                text_append(out, "\"; style=\"rounded,dashed\"; color=\"#7a4fbf\";\n");
                is_open = true;
            }
            append_node(drawn, n, out);
        }
        if (is_open) text_append(out, "    }\n");
    }
    text_append(out, "  }\n");
}

static void append_edge(const Drawn *drawn, const DrawnEdge *edge, Text *out) {
    bool is_kept = drawn->nodes[edge->from].part == PART_FORWARD && drawn->nodes[edge->to].part != PART_FORWARD;
    text_append(out, "  n%u -> n%u [label=\"%s%s\", tooltip=\"", edge->from, edge->to,
                explain_quantity(out->arena, edge->bytes), edge->packed ? " packed" : "");
    append_quoted(out, edge->name);
    text_append(out, "\", color=\"%s\", style=%s%s];\n", edge->space == SPACE_SCRATCH ? "#009e73" : "#d55e00",
                is_kept ? "dashed" : "solid", edge->again || is_kept ? ", constraint=false" : "");
}

void draw_dot(const Plan *plan, const char *title, Text *out) {
    Drawn drawn = draw_fold(plan, out->arena);
    text_append(out, "digraph step {\n  label=\"");
    append_quoted(out, title);
    text_append(out, "\"; labelloc=t; rankdir=TB; fontname=\"Helvetica\";\n"
                     "  node [shape=box, style=\"rounded,filled\", fontname=\"Helvetica\", fontsize=11];\n"
                     "  edge [fontname=\"Helvetica\", fontsize=9];\n");
    for (int part = PART_FORWARD; part <= PART_OPTIMIZER; part++)
        append_part(&drawn, (StepPart)part, out);
    for (uint32_t e = 0; e < drawn.edge_count; e++)
        append_edge(&drawn, &drawn.edges[e], out);
    text_append(out, "}\n");
}
