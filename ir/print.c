// A Graph as text; docs/ir.md has the grammar, ir/parse.c reads it back.
//
//     graph "tiny"
//     dim B=12 T=64 V=65 C=128
//     group 1 "embed" at "x"
//     %0 = input i32[B,T] "tok" stored(B,T) u16
//     %1 = param f32[V,C] "wte.weight" stored(V,C) init normal(0.02)
//     %2 = gather f32[B,T,C] %1 %0 from V ; name="x" group=1
//     output "x" %2
#include <ctype.h>
#include <string.h>

#include "ir/text_format.h"

enum { DIMS_PER_LINE = 12, VALUES_PER_LINE = 12 };

void text_append_quoted(Text *out, const char *text) {
    text_append(out, "\"");
    for (const char *c = text; *c; c++) {
        if (*c == '"' || *c == '\\') {
            text_append(out, "\\%c", *c);
        } else if (*c == '\n' || *c == '\t') {
            text_append(out, *c == '\n' ? "\\n" : "\\t");
        } else if (iscntrl((unsigned char)*c)) {
            text_append(out, "\\x%02x", (unsigned char)*c);
        } else {
            text_append(out, "%c", *c);
        }
    }
    text_append(out, "\"");
}

void dims_print(const Graph *graph, const DimList *dims, Text *out) {
    for (int i = 0; i < dims->rank; i++) text_append(out, "%s%s", i ? "," : "", graph_dim_name(graph, dims->dims[i]));
}

// Sets have no order of their own: ascending ids.
static void set_print(const Graph *graph, DimSet set, Text *out) {
    const char *separator = "";
    for (DimId dim = 0; dim < graph_dims(graph); dim++) {
        if (!dim_in(set, dim)) continue;
        text_append(out, "%s%s", separator, graph_dim_name(graph, dim));
        separator = ",";
    }
}

void leaf_print(const Graph *graph, const Leaf *leaf, bool is_input, Text *out) {
    text_append_quoted(out, leaf->name);
    text_append(out, " stored(");
    for (int axis = 0, start = 0; axis < leaf->stored_rank; axis++) {
        DimList group = {0};
        for (int i = start; i < leaf->group_end[axis]; i++) group.dims[group.rank++] = leaf->stored.dims[i];
        text_append(out, "%s%s", axis ? "," : "", group.rank > 1 ? "(" : "");
        dims_print(graph, &group, out);
        if (group.rank > 1) text_append(out, ")");
        start = leaf->group_end[axis];
    }
    text_append(out, ")");
    if (is_input) {
        if (leaf->token_bytes) text_append(out, " u%d", leaf->token_bytes * 8);
        return;
    }
    text_append(out, " init %s(", leaf->init == INIT_NORMAL ? "normal" : "constant");
    text_append_double(out, leaf->init_value);
    text_append(out, ")");
}

// ---- attributes, one function per op; each starts with a blank where it prints anything

typedef struct {
    const Graph *graph;
    Text *out;
    int indent;
} Printer;

static const char *dim_name(const Printer *printer, DimId dim) {
    return graph_dim_name(printer->graph, dim);
}

static void print_leaf(const Printer *printer, const Node *node) {
    text_append(printer->out, " ");
    leaf_print(printer->graph, graph_leaf_at(printer->graph, node->attr.leaf), node->op == OP_INPUT, printer->out);
}

static void print_over(const Printer *printer, const Node *node) {
    text_append(printer->out, " over(");
    set_print(printer->graph, node->attr.set, printer->out);
    text_append(printer->out, ")");
}

static void print_from_to(const Printer *printer, const Node *node) {
    text_append(printer->out, " from %s to %s", dim_name(printer, node->attr.from), dim_name(printer, node->attr.to));
}

static void print_table(const Printer *printer, const Node *node) {
    int64_t count = graph_elements(printer->graph, node->dims);
    text_append(printer->out, " {");
    for (int64_t i = 0; i < count; i++) {
        if (i && i % VALUES_PER_LINE == 0) text_append(printer->out, "\n%*s   ", printer->indent, "");
        text_append(printer->out, " ");
        text_append_double(printer->out, node->attr.table[i]);
    }
    text_append(printer->out, " }");
}

static void print_nothing(const Printer *printer, const Node *node) {
    (void)printer;
    (void)node;
}

// `print_NAME` prints as another function does.
#define PRINTS_AS(name, same)                                                                                          \
    static void print_##name(const Printer *printer, const Node *node) {                                               \
        print_##same(printer, node);                                                                                   \
    }

PRINTS_AS(input, leaf)
PRINTS_AS(param, leaf)
PRINTS_AS(state, leaf)

static void print_operand(const Printer *printer, const Node *node) {
    text_append(printer->out, " %d", node->attr.integer);
}

static void print_const(const Printer *printer, const Node *node) {
    if (node->attr.table) {
        print_table(printer, node);
        return;
    }
    text_append(printer->out, " ");
    text_append_double(printer->out, node->attr.value);
}

PRINTS_AS(index, nothing)  // its one dim says all

static void print_random(const Printer *printer, const Node *node) {
    text_append(printer->out, " ");
    text_append_quoted(printer->out, node->attr.site);
}

PRINTS_AS(add, nothing)
PRINTS_AS(sub, nothing)
PRINTS_AS(mul, nothing)
PRINTS_AS(div, nothing)
PRINTS_AS(neg, nothing)
PRINTS_AS(exp, nothing)
PRINTS_AS(log, nothing)
PRINTS_AS(sqrt, nothing)
PRINTS_AS(rsqrt, nothing)
PRINTS_AS(tanh, nothing)
PRINTS_AS(erf, nothing)
PRINTS_AS(sin, nothing)
PRINTS_AS(cos, nothing)
PRINTS_AS(abs, nothing)
PRINTS_AS(maximum, nothing)
PRINTS_AS(minimum, nothing)
PRINTS_AS(lt, nothing)
PRINTS_AS(le, nothing)
PRINTS_AS(eq, nothing)
PRINTS_AS(and, nothing)
PRINTS_AS(or, nothing)
PRINTS_AS(not, nothing)
PRINTS_AS(where, nothing)
PRINTS_AS(to_float, nothing)

PRINTS_AS(sum, over)
PRINTS_AS(max, over)
PRINTS_AS(lse, over)
PRINTS_AS(contract, over)

PRINTS_AS(rename, from_to)
PRINTS_AS(prefix, from_to)
PRINTS_AS(pad, from_to)

static void print_select(const Printer *printer, const Node *node) {
    text_append(printer->out, " from %s at %d", dim_name(printer, node->attr.from), node->attr.integer);
}

static void print_stack(const Printer *printer, const Node *node) {
    text_append(printer->out, " to %s", dim_name(printer, node->attr.to));
}

static void print_split(const Printer *printer, const Node *node) {
    print_from_to(printer, node);
    text_append(printer->out, " inner %s", dim_name(printer, node->attr.inner));
}

static void print_merge(const Printer *printer, const Node *node) {
    text_append(printer->out, " from %s inner %s to %s", dim_name(printer, node->attr.from),
                dim_name(printer, node->attr.inner), dim_name(printer, node->attr.to));
}

static void print_gather(const Printer *printer, const Node *node) {
    text_append(printer->out, " from %s", dim_name(printer, node->attr.from));
}

PRINTS_AS(scatter, stack)  // the result's dims stand in its type
PRINTS_AS(scatter_onto, stack)
PRINTS_AS(stop_gradient, nothing)

static void (*const print_attributes[OP_COUNT])(const Printer *, const Node *) = {
#define OP(ENUM, name, class_, operands, meaning) [OP_##ENUM] = print_##name,
#include "ir/ops.def"
#undef OP
};

// ---- lines

static void print_notes(const Printer *printer, NodeId id) {
    const char *name = graph_node_name(printer->graph, id);
    GroupId group = graph_node_group(printer->graph, id);
    if (!name && !group) return;
    text_append(printer->out, " ;");
    if (name) {
        text_append(printer->out, " name=");
        text_append_quoted(printer->out, name);
    }
    if (group) text_append(printer->out, " group=%u", group);
}

static void print_node(const Printer *printer, NodeId id, const uint32_t *number) {
    const Node *node = graph_node(printer->graph, id);
    text_append(printer->out, "%*s%%%u = %s %s[", printer->indent, "", number[id], op_name(node->op),
                dtype_name(node->dtype));
    dims_print(printer->graph, &node->order, printer->out);
    text_append(printer->out, "]");
    for (uint32_t i = 0; i < node->operand_count; i++) text_append(printer->out, " %%%u", number[node->operands[i]]);
    print_attributes[node->op](printer, node);
    print_notes(printer, id);
    text_append(printer->out, "\n");
}

void graph_print_body(const Graph *graph, Text *out, int indent) {
    Printer printer = {graph, out, indent};
    bool *live = graph_live(graph, out->arena);
    uint32_t *number = ARENA_ARRAY(out->arena, uint32_t, graph_nodes(graph));
    uint32_t next = 0;
    for (NodeId id = 0; id < graph_nodes(graph); id++) {
        if (!live[id]) continue;
        number[id] = next++;
        print_node(&printer, id, number);
    }
    for (uint32_t i = 0; i < graph_outputs(graph); i++) {
        const Output *output = graph_output_at(graph, i);
        text_append(out, "%*soutput ", indent, "");
        text_append_quoted(out, output->name);
        text_append(out, " %%%u\n", number[output->node]);
    }
}

void graph_print_declarations(const Graph *graph, Text *out) {
    uint32_t count = graph_dims(graph);
    for (DimId dim = 0; dim < count; dim++) {
        text_append(out, "%s %s=%lld", dim % DIMS_PER_LINE ? "" : "dim", graph_dim_name(graph, dim),
                    (long long)graph_extent(graph, dim));
        if (dim + 1u == count || (dim + 1) % DIMS_PER_LINE == 0) text_append(out, "\n");
    }
    for (GroupId id = 1; id <= graph_groups(graph); id++) {
        const Group *group = graph_group_at(graph, id);
        text_append(out, "group %u ", id);
        text_append_quoted(out, group->label);
        text_append(out, " at ");
        text_append_quoted(out, group->place);
        if (group->forward) text_append(out, " backward of %u", group->forward);
        text_append(out, "\n");
    }
}

void graph_print(const Graph *graph, Text *out) {
    text_append(out, "graph ");
    text_append_quoted(out, graph_name(graph));
    text_append(out, "\n");
    graph_print_declarations(graph, out);
    graph_print_body(graph, out, 0);
}
