// Graph text to Graph: the inverse of ir/print.c. Any text in; a graph out, or one diagnostic with its place.
//
// Numbers of nodes (%3) ascend from line to line but need not be dense, so texts can be cut; equal lines become
// one node.
#include <string.h>

#include "ir/graph_storage.h"
#include "ir/text_format.h"

// ---- dims and leaves

bool dim_parse(Tokens *tokens, const Graph *graph, DimId *dim) {
    Place place = tokens->token.place;
    const char *name;
    if (!token_expect_name(tokens, "a dim", &name)) return false;
    if (graph_find_dim(graph, name, dim)) return true;
    return token_fail(tokens, place, "unknown dim '%s'", name);
}

static bool dim_append(Tokens *tokens, const Graph *graph, DimList *dims) {
    Place place = tokens->token.place;
    DimId dim;
    if (!dim_parse(tokens, graph, &dim)) return false;
    if (dim_in(dim_list_set(dims), dim)) return token_fail(tokens, place, "dim %s twice", graph_dim_name(graph, dim));
    if (dims->rank == MAX_RANK) return token_fail(tokens, place, "more than %d dims", MAX_RANK);
    dims->dims[dims->rank++] = dim;
    return true;
}

bool dims_parse(Tokens *tokens, const Graph *graph, char close, DimList *dims) {
    *dims = (DimList){0};
    if (token_is_symbol(tokens, close)) return true;
    do {
        if (!dim_append(tokens, graph, dims)) return false;
    } while (token_take_symbol(tokens, ','));
    return !tokens->failed;
}

// `(C,(Z,H,D))`
static bool stored_parse(Tokens *tokens, const Graph *graph, Leaf *leaf) {
    if (!token_expect_symbol(tokens, '(')) return false;
    if (token_take_symbol(tokens, ')')) return !tokens->failed;
    do {
        bool grouped = token_take_symbol(tokens, '(');
        do {
            if (!dim_append(tokens, graph, &leaf->stored)) return false;
        } while (grouped && token_take_symbol(tokens, ','));
        if (grouped && !token_expect_symbol(tokens, ')')) return false;
        leaf->group_end[leaf->stored_rank++] = leaf->stored.rank;
    } while (token_take_symbol(tokens, ','));
    return token_expect_symbol(tokens, ')');
}

static bool init_parse(Tokens *tokens, Leaf *leaf) {
    if (!token_expect_word(tokens, "init")) return false;
    if (token_take_word(tokens, "normal")) {
        leaf->init = INIT_NORMAL;
    } else if (token_take_word(tokens, "constant")) {
        leaf->init = INIT_CONSTANT;
    } else {
        return token_unexpected(tokens, "'normal' or 'constant'");
    }
    return token_expect_symbol(tokens, '(') && token_expect_number(tokens, &leaf->init_value) &&
           token_expect_symbol(tokens, ')');
}

bool leaf_parse(Tokens *tokens, Graph *graph, bool is_input, LeafId *id) {
    Leaf leaf = {.init = INIT_CONSTANT};
    Place place = tokens->token.place;
    if (!token_expect_string(tokens, "the name of a leaf in quotes", &leaf.name) ||
        !token_expect_word(tokens, "stored") || !stored_parse(tokens, graph, &leaf)) {
        return false;
    }
    if (!is_input) {
        if (!init_parse(tokens, &leaf)) return false;
    } else if (token_take_word(tokens, "u16")) {
        leaf.token_bytes = 2;
    } else if (token_take_word(tokens, "u32")) {
        leaf.token_bytes = 4;
    }
    for (LeafId i = 0; i < graph_leaves(graph); i++) {
        const Leaf *older = graph_leaf_at(graph, i);
        if (strcmp(older->name, leaf.name) == 0 && !leaf_equal(older, &leaf)) {
            return token_fail(tokens, place, "leaf \"%s\" is declared in two ways", leaf.name);
        }
    }
    *id = graph_leaf(graph, &leaf);
    return !tokens->failed;
}

// ---- attributes, one function per op

typedef struct {
    Tokens *tokens;
    Graph *graph;
    Op op;
    DimList dims;  // of the line's type
    Attr attr;
} Line;

static bool parse_leaf(Line *line) {
    return leaf_parse(line->tokens, line->graph, line->op == OP_INPUT, &line->attr.leaf);
}

static bool parse_over(Line *line) {
    DimList dims;
    if (!token_expect_word(line->tokens, "over") || !token_expect_symbol(line->tokens, '(') ||
        !dims_parse(line->tokens, line->graph, ')', &dims)) {
        return false;
    }
    line->attr.set = dim_list_set(&dims);
    return token_expect_symbol(line->tokens, ')');
}

static bool parse_word_dim(Line *line, const char *word, DimId *dim) {
    return token_expect_word(line->tokens, word) && dim_parse(line->tokens, line->graph, dim);
}

static bool parse_from_to(Line *line) {
    return parse_word_dim(line, "from", &line->attr.from) && parse_word_dim(line, "to", &line->attr.to);
}

static bool parse_table(Line *line) {
    Tokens *tokens = line->tokens;
    Place place = tokens->token.place;
    double *values = NULL;
    size_t count = 0, capacity = 0;
    if (!token_expect_symbol(tokens, '{')) return false;
    while (!token_is_symbol(tokens, '}')) {
        values = arena_grow(tokens->arena, values, &capacity, count + 1, sizeof(double));
        if (!token_expect_number(tokens, &values[count])) return false;
        count++;
    }
    // In floating point, so that no product of extents overflows; below 2^53 it is exact.
    double wanted = 1;
    for (int i = 0; i < line->dims.rank; i++) wanted *= (double)graph_extent(line->graph, line->dims.dims[i]);
    if ((double)count != wanted) {
        return token_fail(tokens, place, "%zu values for a table of %.0f", count, wanted);
    }
    line->attr.table = values;
    return token_expect_symbol(tokens, '}');
}

static bool parse_nothing(Line *line) {
    return !line->tokens->failed;
}

#define PARSES_AS(name, same)                                                                                          \
    static bool parse_##name(Line *line) {                                                                             \
        return parse_##same(line);                                                                                     \
    }

PARSES_AS(input, leaf)
PARSES_AS(param, leaf)
PARSES_AS(state, leaf)

static bool parse_operand(Line *line) {
    int64_t number;
    if (!token_expect_integer(line->tokens, "the operand's number", 0, INT32_MAX, &number)) return false;
    line->attr.integer = (int32_t)number;
    return true;
}

static bool parse_const(Line *line) {
    return line->dims.rank ? parse_table(line) : token_expect_number(line->tokens, &line->attr.value);
}

static bool parse_index(Line *line) {
    if (line->dims.rank != 1) {
        return token_fail(line->tokens, line->tokens->token.place, "index has one dim, not %d", line->dims.rank);
    }
    line->attr.to = line->dims.dims[0];
    return true;
}

static bool parse_random(Line *line) {
    return token_expect_string(line->tokens, "the site in quotes", &line->attr.site);
}

PARSES_AS(add, nothing)
PARSES_AS(sub, nothing)
PARSES_AS(mul, nothing)
PARSES_AS(div, nothing)
PARSES_AS(neg, nothing)
PARSES_AS(exp, nothing)
PARSES_AS(log, nothing)
PARSES_AS(sqrt, nothing)
PARSES_AS(rsqrt, nothing)
PARSES_AS(tanh, nothing)
PARSES_AS(erf, nothing)
PARSES_AS(sin, nothing)
PARSES_AS(cos, nothing)
PARSES_AS(abs, nothing)
PARSES_AS(maximum, nothing)
PARSES_AS(minimum, nothing)
PARSES_AS(lt, nothing)
PARSES_AS(le, nothing)
PARSES_AS(eq, nothing)
PARSES_AS(and, nothing)
PARSES_AS(or, nothing)
PARSES_AS(not, nothing)
PARSES_AS(where, nothing)
PARSES_AS(to_float, nothing)

PARSES_AS(sum, over)
PARSES_AS(max, over)
PARSES_AS(lse, over)
PARSES_AS(contract, over)

PARSES_AS(rename, from_to)
PARSES_AS(prefix, from_to)
PARSES_AS(pad, from_to)

static bool parse_select(Line *line) {
    int64_t entry;
    if (!parse_word_dim(line, "from", &line->attr.from) || !token_expect_word(line->tokens, "at") ||
        !token_expect_integer(line->tokens, "the entry", 0, INT32_MAX, &entry)) {
        return false;
    }
    line->attr.integer = (int32_t)entry;
    return true;
}

static bool parse_stack(Line *line) {
    return parse_word_dim(line, "to", &line->attr.to);
}

static bool parse_split(Line *line) {
    return parse_from_to(line) && parse_word_dim(line, "inner", &line->attr.inner);
}

static bool parse_merge(Line *line) {
    return parse_word_dim(line, "from", &line->attr.from) && parse_word_dim(line, "inner", &line->attr.inner) &&
           parse_word_dim(line, "to", &line->attr.to);
}

static bool parse_gather(Line *line) {
    return parse_word_dim(line, "from", &line->attr.from);
}

static bool parse_scatter(Line *line) {
    line->attr.set = dim_list_set(&line->dims);
    return parse_word_dim(line, "to", &line->attr.to);
}

PARSES_AS(scatter_onto, scatter)
PARSES_AS(stop_gradient, nothing)

static bool (*const parse_attributes[OP_COUNT])(Line *) = {
#define OP(ENUM, name, class_, operands, meaning) [OP_##ENUM] = parse_##name,
#include "ir/ops.def"
#undef OP
};

// ---- lines

// Nodes by the number they have in the text, ascending.
typedef struct {
    uint32_t number;
    NodeId node;
} Numbered;

typedef struct {
    Tokens *tokens;
    Graph *graph;
    Numbered *nodes;
    size_t count, capacity;
} Body;

static bool number_parse(Tokens *tokens, uint32_t *number) {
    int64_t value;
    if (!token_expect_symbol(tokens, '%') ||
        !token_expect_integer(tokens, "the node's number", 0, UINT32_MAX - 1, &value)) {
        return false;
    }
    *number = (uint32_t)value;
    return true;
}

static bool reference_parse(Body *body, NodeId *node) {
    Place place = body->tokens->token.place;
    uint32_t number;
    if (!number_parse(body->tokens, &number)) return false;
    size_t low = 0, high = body->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (body->nodes[middle].number == number) {
            *node = body->nodes[middle].node;
            return true;
        }
        if (body->nodes[middle].number < number) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return token_fail(body->tokens, place, "%%%u is not defined above", number);
}

static bool type_parse(Tokens *tokens, const Graph *graph, DType *dtype, DimList *dims) {
    Place place = tokens->token.place;
    const char *name;
    if (!token_expect_name(tokens, "a type", &name)) return false;
    if (!dtype_from_name(name, dtype)) return token_fail(tokens, place, "unknown type '%s'", name);
    return token_expect_symbol(tokens, '[') && dims_parse(tokens, graph, ']', dims) && token_expect_symbol(tokens, ']');
}

typedef struct {
    const char *name;
    GroupId group;
} Notes;

// `; name="x" group=1`
static bool notes_parse(Tokens *tokens, const Graph *graph, Notes *notes) {
    *notes = (Notes){0};
    if (!token_take_symbol(tokens, ';')) return !tokens->failed;
    if (token_take_word(tokens, "name")) {
        if (!token_expect_symbol(tokens, '=') || !token_expect_string(tokens, "a name in quotes", &notes->name)) {
            return false;
        }
    }
    if (token_take_word(tokens, "group")) {
        int64_t group;
        if (!token_expect_symbol(tokens, '=') ||
            !token_expect_integer(tokens, "the group", 1, graph_groups(graph), &group)) {
            return false;
        }
        notes->group = (GroupId)group;
    }
    if (!notes->name && !notes->group) return token_unexpected(tokens, "'name' or 'group'");
    return !tokens->failed;
}

static bool op_parse(Tokens *tokens, Op *op) {
    Place place = tokens->token.place;
    const char *name;
    if (!token_expect_name(tokens, "an op", &name)) return false;
    if (op_from_name(name, op)) return true;
    const char *names[OP_COUNT];
    for (int i = 0; i < OP_COUNT; i++) names[i] = op_name((Op)i);
    const char *nearest = text_nearest(name, names, OP_COUNT);
    if (nearest) return token_fail(tokens, place, "unknown op '%s'; did you mean '%s'?", name, nearest);
    return token_fail(tokens, place, "unknown op '%s'", name);
}

// A leaf that is a source in one way cannot be one in another.
static bool leaf_is_free(const Graph *graph, const Line *line, DType dtype) {
    if (line->op != OP_INPUT && line->op != OP_PARAM && line->op != OP_STATE) return true;
    NodeId bound = graph_find_leaf_node(graph, graph_leaf_at(graph, line->attr.leaf)->name);
    if (bound == NODE_NONE) return true;
    const Node *node = graph_node(graph, bound);
    return node->op == line->op && node->dtype == dtype;
}

static bool node_number_parse(Body *body, uint32_t *number) {
    Place place = body->tokens->token.place;
    if (!number_parse(body->tokens, number)) return false;
    if (body->count && body->nodes[body->count - 1].number >= *number) {
        return token_fail(body->tokens, place, "%%%u after %%%u: numbers of nodes ascend", *number,
                          body->nodes[body->count - 1].number);
    }
    return true;
}

static bool node_parse(Body *body) {
    Tokens *tokens = body->tokens;
    Line line = {.tokens = tokens, .graph = body->graph};
    uint32_t number;
    if (!node_number_parse(body, &number) || !token_expect_symbol(tokens, '=')) return false;
    Place place = tokens->token.place;
    DType dtype;
    if (!op_parse(tokens, &line.op) || !type_parse(tokens, body->graph, &dtype, &line.dims)) return false;

    NodeId *operands = NULL;
    size_t count = 0, capacity = 0;
    while (token_is_symbol(tokens, '%') && !tokens->token.first_on_line) {
        operands = arena_grow(tokens->arena, operands, &capacity, count + 1, sizeof(NodeId));
        if (!reference_parse(body, &operands[count++])) return false;
    }
    Notes notes;
    if (!parse_attributes[line.op](&line) || !notes_parse(tokens, body->graph, &notes)) return false;
    if (!leaf_is_free(body->graph, &line, dtype)) {
        return token_fail(tokens, place, "leaf \"%s\" is bound to another source above",
                          graph_leaf_at(body->graph, line.attr.leaf)->name);
    }

    GroupId former = graph_set_group(body->graph, notes.group);
    const char *error = NULL;
    NodeId node = build_node(body->graph, line.op, dtype, &line.dims, operands, (uint32_t)count, &line.attr, &error);
    graph_set_group(body->graph, former);
    if (node == NODE_NONE) return token_fail(tokens, place, "%s", error);
    if (notes.name) graph_set_name(body->graph, node, notes.name);
    body->nodes = arena_grow(tokens->arena, body->nodes, &body->capacity, body->count + 1, sizeof(Numbered));
    body->nodes[body->count++] = (Numbered){number, node};
    return true;
}

static bool output_parse(Body *body) {
    Place place = body->tokens->token.place;
    const char *name;
    NodeId node;
    if (!token_expect_string(body->tokens, "the output's name in quotes", &name) || !reference_parse(body, &node)) {
        return false;
    }
    if (graph_find_output(body->graph, name) != NODE_NONE) {
        return token_fail(body->tokens, place, "output \"%s\" twice", name);
    }
    graph_output(body->graph, name, node);
    return true;
}

bool graph_parse_body(Tokens *tokens, Graph *graph) {
    Body body = {.tokens = tokens, .graph = graph};
    while (tokens->token.kind != TOKEN_END && !token_is_symbol(tokens, '}')) {
        if (token_is_symbol(tokens, '%')) {
            if (!node_parse(&body)) return false;
        } else if (token_take_word(tokens, "output")) {
            if (!output_parse(&body)) return false;
        } else {
            return token_unexpected(tokens, "a node (%N = ...) or an output");
        }
    }
    return !tokens->failed;
}

// ---- declarations

static bool dim_line_parse(Tokens *tokens, Graph *graph) {
    do {
        Place place = tokens->token.place;
        const char *name;
        int64_t extent;
        DimId known;
        if (!token_expect_name(tokens, "a dim", &name) || !token_expect_symbol(tokens, '=') ||
            !token_expect_integer(tokens, "the extent", 1, INT32_MAX, &extent)) {
            return false;
        }
        if (graph_find_dim(graph, name, &known)) return token_fail(tokens, place, "dim %s twice", name);
        if (graph_dims(graph) == MAX_DIMS) return token_fail(tokens, place, "more than %d dims", MAX_DIMS);
        graph_dim(graph, name, extent);
    } while (tokens->token.kind == TOKEN_NAME && !tokens->token.first_on_line);
    return !tokens->failed;
}

static bool group_line_parse(Tokens *tokens, Graph *graph) {
    uint32_t next = graph_groups(graph) + 1;
    Place place = tokens->token.place;
    int64_t number, forward = 0;
    const char *label, *where;
    if (!token_expect_integer(tokens, "the group's number", 1, UINT32_MAX, &number)) return false;
    if (number != next) {
        return token_fail(tokens, place, "group %lld comes where group %u should", (long long)number, next);
    }
    if (!token_expect_string(tokens, "a label in quotes", &label) || !token_expect_word(tokens, "at") ||
        !token_expect_string(tokens, "a place in quotes", &where)) {
        return false;
    }
    if (token_take_word(tokens, "backward")) {
        if (!token_expect_word(tokens, "of") ||
            !token_expect_integer(tokens, "the forward group", 1, graph_groups(graph), &forward)) {
            return false;
        }
    }
    graph_group(graph, label, where, (GroupId)forward);
    return !tokens->failed;
}

bool graph_parse_declarations(Tokens *tokens, Graph *graph) {
    for (;;) {
        if (token_take_word(tokens, "dim")) {
            if (!dim_line_parse(tokens, graph)) return false;
        } else if (token_take_word(tokens, "group")) {
            if (!group_line_parse(tokens, graph)) return false;
        } else {
            return !tokens->failed;
        }
    }
}

Graph *graph_parse(Arena *arena, const char *file, const char *source, Diags *diags) {
    Tokens tokens;
    tokens_start(&tokens, arena, file, source, diags);
    const char *name;
    if (!token_expect_word(&tokens, "graph") || !token_expect_string(&tokens, "the graph's name in quotes", &name)) {
        return NULL;
    }
    Graph *graph = graph_create(arena, name);
    if (!graph_parse_declarations(&tokens, graph) || !graph_parse_body(&tokens, graph)) return NULL;
    if (tokens.token.kind != TOKEN_END) {
        token_unexpected(&tokens, "the end of the graph");
        return NULL;
    }
    // What no single line can break: outputs against states, operands against each other.
    const char *broken = graph_verify(graph, arena);
    if (broken) {
        token_fail(&tokens, tokens.token.place, "%s", broken);
        return NULL;
    }
    return graph;
}
