// constants: computes what depends on constants only, and makes tables of costly functions of indices.
//
// Requires: nothing. Ensures: no scalar that depends on constants and indices only is left to compute, nor exp, log,
// sqrt, rsqrt, tanh, erf, sin, cos or a reduction of such values, up to 2^22 elements. Does nothing for cheap
// arithmetic on indices: a mask S <= T costs less to compute than to read.
//
//     %1 = mul f32[T,D] %position %frequency            %1 = const f32[T,D] table ...
//     %2 = cos f32[T,D] %1                        ->    %2 = mul f32[B,T,D] %q %1
//     %3 = mul f32[B,T,D] %q %2
//
// Values are those of the float64 reference, so they round once where the graph would have rounded at every step. An
// i32 value that leaves 32 bits, and all that depends on it, is left to the program.
#include "base/planted.h"
#include "ir/reference/reference.h"
#include "passes/pass_functions.h"
#include "passes/rewrite.h"

#define ELEMENT_LIMIT ((int64_t)1 << 22)

typedef struct {
    bool known;   // depends on constants and indices only, through values of at most ELEMENT_LIMIT elements
    bool table;   // known, and holds the work of a costly function in no more elements than that function had
    bool needed;  // a scalar, or a table whose user is not itself a table: becomes a constant
    bool unfit;   // holds an i32 beyond 32 bits, or what a gather found outside of its dim
} Fact;

typedef struct {
    Fact *facts;           // by node of the input graph
    NodeId *copies;        // by node of the input graph: its node in `known`
    Reference *reference;  // of the known part of the graph, evaluated
} Constants;

static bool is_costly(Op op) {
    switch (op) {
    case OP_EXP:
    case OP_LOG:
    case OP_SQRT:
    case OP_RSQRT:
    case OP_TANH:
    case OP_ERF:
    case OP_SIN:
    case OP_COS: return true;
    default: return op_class(op) == CLASS_REDUCE;
    }
}

static bool is_known(const Graph *graph, const Node *node, const Fact *facts) {
    if (node->op == OP_CONST || node->op == OP_INDEX) return true;
    if (op_class(node->op) == CLASS_SOURCE || node->op == OP_CONTRACT) return false;
    for (uint32_t i = 0; i < node->operand_count; i++)
        if (!facts[node->operands[i]].known) return false;
    return graph_elements(graph, node->dims) <= ELEMENT_LIMIT;
}

// A costly function, or what follows one without growing: broadcasting a table wider is left to its user.
static bool is_table(const Graph *graph, const Node *node, const Fact *facts) {
    if (node->dtype != DTYPE_F32 || node->dims == 0) return false;
    if (is_costly(node->op)) return true;
    for (uint32_t i = 0; i < node->operand_count; i++) {
        if (!facts[node->operands[i]].table) continue;
        DimSet dims = graph_node(graph, node->operands[i])->dims;
        if (graph_elements(graph, node->dims) <= graph_elements(graph, dims)) return true;
    }
    return false;
}

static bool is_scalar(const Node *node, const Fact *fact) {
    return fact->known && node->dims == 0 && node->op != OP_CONST;
}

static bool need_table(Fact *fact) {
    fact->needed |= fact->table;
    return fact->needed;
}

// Fills in everything but `unfit`, which it takes into account. Returns whether any node is needed.
static bool find_facts(const Graph *graph, const bool *live, Fact *facts) {
    bool any = false;
    for (NodeId id = 0; id < graph_nodes(graph); id++) {
        if (!live[id]) continue;
        const Node *node = graph_node(graph, id);
        Fact *fact = &facts[id];
        fact->known = !fact->unfit && is_known(graph, node, facts);
        fact->table = fact->known && is_table(graph, node, facts);
        fact->needed = is_scalar(node, fact);
        any |= fact->needed;
        if (fact->table || fact->needed) continue;
        for (uint32_t i = 0; i < node->operand_count; i++)
            any |= need_table(&facts[node->operands[i]]);
    }
    for (uint32_t i = 0; i < graph_outputs(graph); i++)
        any |= need_table(&facts[graph_output_at(graph, i)->node]);
    return any;
}

// The known part of the graph by itself, with the needed nodes as outputs.
static Graph *known_part(const Graph *graph, const bool *live, Constants *constants, Arena *arena) {
    Graph *part = graph_create_like(arena, graph);
    for (NodeId id = 0; id < graph_nodes(graph); id++) {
        if (!live[id] || !constants->facts[id].known) continue;
        constants->copies[id] = build_copy_mapped(part, graph, id, constants->copies);
        if (constants->facts[id].needed) graph_output(part, arena_format(arena, "%u", id), constants->copies[id]);
    }
    return part;
}

static bool fits(DType dtype, double value) {
    if (dtype == DTYPE_BOOL) return value == 0 || value == 1;
    return dtype != DTYPE_I32 || (value >= INT32_MIN && value <= INT32_MAX);
}

static void find_unfit(const Graph *graph, const Graph *part, Constants *constants, Arena *arena) {
    bool *evaluated = graph_live(part, arena);
    for (NodeId id = 0; id < graph_nodes(graph); id++) {
        const Node *node = graph_node(graph, id);
        Fact *fact = &constants->facts[id];
        if (!fact->known || !evaluated[constants->copies[id]]) continue;
        const double *values = reference_value(constants->reference, constants->copies[id]);
        for (int64_t i = 0, count = graph_elements(graph, node->dims); i < count && !fact->unfit; i++)
            fact->unfit = !fits(node->dtype, values[i]);
    }
}

static NodeId replace_needed(Rewrite *rewrite, NodeId id) {
    const Constants *constants = rewrite->context;
    const Node *node = graph_node(rewrite->graph, id);
    if (node->op == OP_CONST || !constants->facts[rewrite->source].needed) return NODE_NONE;
    const double *values = reference_value(constants->reference, constants->copies[rewrite->source]);
    if (node->dims == 0 || PLANTED(table_taken_for_number)) return build_const(rewrite->graph, node->dtype, values[0]);
    return build_table(rewrite->graph, node->dtype, node->order, values);
}

Graph *pass_constants(const Graph *graph, PassContext *context) {
    Arena *arena = context->arena;
    Constants constants = {.facts = ARENA_ARRAY(arena, Fact, graph_nodes(graph)),
                           .copies = ARENA_ARRAY(arena, NodeId, graph_nodes(graph))};
    bool *live = graph_live(graph, arena);
    if (!find_facts(graph, live, constants.facts)) return (Graph *)graph;

    Graph *part = known_part(graph, live, &constants, arena);
    constants.reference = reference_create(part);
    if (!reference_run(constants.reference, NULL)) BUG("constants depend on a leaf");
    find_unfit(graph, part, &constants, arena);
    find_facts(graph, live, constants.facts);
    Graph *result = rewrite_graph(graph, arena, replace_needed, &constants);
    reference_free(constants.reference);
    return result;
}
