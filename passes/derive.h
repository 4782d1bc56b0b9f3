// The derivative of each primitive, one function per row of ir/ops.def. Private to passes/differentiate.c.
//
// derive_<op> is given a node y and its adjoint (the gradient of the loss with respect to y) and adds to the adjoints
// of y's operands:
//
//     derive_mul:   y = a * b      adjoint of a += sum of adjoint(y) * b over the dims that a lacks, and likewise b
//
// An adjoint may lack dims of its value: it is then constant along them, as any operand that broadcasts. So the adjoint
// of the operand of a sum is the adjoint of the sum itself, and costs nothing.
#ifndef SINTER_PASSES_DERIVE_H
#define SINTER_PASSES_DERIVE_H

#include "ir/graph.h"

// The adjoints of all selects of one tensor along one dim, until they become one stack.
typedef struct Selected {
    DimId dim;
    int64_t extent, count;
    NodeId *entries; // by entry of the dim; NODE_NONE where nothing was selected
    struct Selected *next;
} Selected;

typedef struct {
    Graph *graph; // forward nodes first, adjoints behind them
    Arena *arena;
    uint32_t forward;    // nodes below this id are forward nodes
    bool *wanted;        // by forward node: depends on a param in a differentiable way
    NodeId *adjoint;     // by forward node; NODE_NONE: none yet
    Selected **selected; // by forward node
    GroupId *backward;   // by forward group: its backward group, 0: none yet
    GroupId composite;   // while a composite function is derived: its backward group; else 0
    NodeId **users;      // by forward node: the forward nodes that read it, once for each operand
    uint32_t *user_count;
} Derivation;

// The derivative of one node at work.
typedef struct {
    Derivation *derivation;
    Graph *graph;
    const Node *node;
    NodeId y, gradient; // the node and its adjoint
    uint32_t before;    // nodes of the graph before the first of this derivative
} Derive;

static inline NodeId operand_of(const Derive *at, int k) {
    return at->node->operands[k];
}
static inline DimSet dims_of(const Derive *at, NodeId node) {
    return graph_node(at->graph, node)->dims;
}
static inline bool operand_wanted(const Derive *at, int k) {
    return at->derivation->wanted[operand_of(at, k)];
}

// The backward group of a forward node's group; made at the first call.
GroupId derivation_group(Derivation *derivation, NodeId node);
// Adds `term`, a value over `space` (constant along the dims of it that it lacks), to the adjoint of operand k: summed
// over the dims of `space` that the operand lacks. Does nothing when the operand needs no gradient.
void adjoint_add(const Derive *at, int k, NodeId term, DimSet space);
// The sum of a over `over`, where a is constant along the dims that it lacks.
NodeId adjoint_sum(Graph *graph, NodeId a, DimSet over);
// The same of a * b; a contraction when it is a matrix product.
NodeId adjoint_sum_product(Graph *graph, NodeId a, NodeId b, DimSet over);
// Adds a finished term, of the dims of x or constant along some, to the adjoint of x; nodes from `before` on are new.
void adjoint_add_to(Derivation *derivation, NodeId x, NodeId term, uint32_t before);
// Takes up the adjoint of a select, and makes the adjoint of a tensor whose users have all been seen.
void adjoint_select(const Derive *at);
void adjoint_add_selected(Derivation *derivation, NodeId node);

// The adjoint of one node goes on to its operands.
void derive_primitive(Derivation *derivation, NodeId node);
// When y is a composite function of one tensor, its whole derivative at once; false: nothing was done.
bool derive_composite(Derivation *derivation, NodeId y);

#define OP(ENUM, name, class_, operands, meaning) void derive_##name(const Derive *at);
#include "ir/ops.def"
#undef OP

#endif
