// Composite functions of one tensor: y = f(x) through several pointwise nodes in which x occurs more than once.
//
// The plain chain rule multiplies the adjoint into every branch; here f'(x) is derived first, by the same rules with an
// adjoint of 1, and multiplied once:
//
//     y = x * sigmoid(x)      adjoint of x += g * sigmoid(x) + (g * x) * sigmoid'(x)      plain
//                             adjoint of x += g * (sigmoid(x) + x * sigmoid'(x))          composite
//
// f'(x) then is a value of its own, without g: it can be computed where x is, and kept instead of x.
#include "passes/derive.h"

enum { LONGEST_SPAN = 96 };  // how many ids below y are searched

// The nodes y, y-1, ... as far as they belong to f; the rest of the span is outside.
typedef struct {
    NodeId y, x;
    uint32_t steps;
    bool inside[LONGEST_SPAN];
} Composite;

static bool is_inside(const Composite *composite, NodeId id) {
    return id <= composite->y && composite->y - id < LONGEST_SPAN && composite->inside[composite->y - id];
}

static bool users_are_inside(const Derivation *derivation, const Composite *composite, NodeId id) {
    for (uint32_t i = 0; i < derivation->user_count[id]; i++)
        if (!is_inside(composite, derivation->users[id][i])) return false;
    return true;
}

// Whether all that the node reads besides x is small: another tensor of this size would make f' a function of both. And
// what is small has no gradient: x + bias is what f is a function of, not a step of f.
static bool reads_nothing_else(const Derivation *derivation, const Node *node) {
    for (uint32_t k = 0; k < node->operand_count; k++) {
        const Node *operand = graph_node(derivation->graph, node->operands[k]);
        bool has_its_dims = operand->dims == node->dims;
        if (derivation->wanted[node->operands[k]]) {
            if (!has_its_dims) return false;
        } else if (dtype_is_float(operand->dtype) && has_its_dims && operand->dims) {
            return false;
        }
    }
    return true;
}

// Whether the node is a step of f, and not its variable.
static bool is_step(const Derivation *derivation, const Composite *composite, NodeId id) {
    const Node *node = graph_node(derivation->graph, id), *y = graph_node(derivation->graph, composite->y);
    return op_class(node->op) == CLASS_POINTWISE && node->dims == y->dims && composite->y - id < LONGEST_SPAN &&
           users_are_inside(derivation, composite, id) && reads_nothing_else(derivation, node);
}

// Walks down from y. Users come after operands, so a node is judged when all its users have been.
static bool find_steps(const Derivation *derivation, Composite *composite) {
    bool met[LONGEST_SPAN] = {true};
    composite->x = NODE_NONE;
    for (uint32_t below = 0; below < LONGEST_SPAN && below <= composite->y; below++) {
        NodeId id = composite->y - below;
        if (!met[below]) continue;
        if (below > 0 && !is_step(derivation, composite, id)) {
            if (composite->x != NODE_NONE) return false;  // a second variable
            composite->x = id;
            continue;
        }
        composite->inside[below] = true;
        composite->steps++;
        const Node *node = graph_node(derivation->graph, id);
        for (uint32_t k = 0; k < node->operand_count; k++) {
            NodeId operand = node->operands[k];
            if (!derivation->wanted[operand]) continue;
            if (composite->y - operand >= LONGEST_SPAN) return false;
            met[composite->y - operand] = true;
        }
    }
    return composite->x != NODE_NONE;
}

// Whether y is such a function: its variable has y's dims and is read by more than one step.
static bool find_composite(const Derivation *derivation, NodeId y, Composite *composite) {
    const Graph *graph = derivation->graph;
    const Node *node = graph_node(graph, y);
    if (op_class(node->op) != CLASS_POINTWISE || !reads_nothing_else(derivation, node)) return false;
    *composite = (Composite){.y = y};
    if (!find_steps(derivation, composite)) return false;
    if (graph_node(graph, composite->x)->dims != node->dims) return false;
    uint32_t readers = 0;
    for (uint32_t i = 0; i < derivation->user_count[composite->x]; i++)
        readers += is_inside(composite, derivation->users[composite->x][i]);
    return composite->steps > 1 && readers > 1;
}

bool derive_composite(Derivation *derivation, NodeId y) {
    Composite composite;
    if (!find_composite(derivation, y, &composite)) return false;
    Graph *graph = derivation->graph;
    NodeId gradient = derivation->adjoint[y], *outer = derivation->adjoint;
    uint32_t before = graph_nodes(graph);
    derivation->adjoint = ARENA_ARRAY(derivation->arena, NodeId, derivation->forward);
    for (NodeId id = 0; id < derivation->forward; id++) derivation->adjoint[id] = NODE_NONE;
    derivation->adjoint[y] = build_const(graph, DTYPE_F32, 1.0);
    derivation->composite = derivation_group(derivation, y);
    for (NodeId id = y; id > composite.x; id--)
        if (is_inside(&composite, id)) derive_primitive(derivation, id);
    NodeId factor = derivation->adjoint[composite.x];
    derivation->adjoint = outer;
    derivation->composite = 0;
    adjoint_add_to(derivation, composite.x, build_binary(graph, OP_MUL, gradient, factor), before);
    return true;
}
