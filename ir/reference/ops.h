// One function per row of ir/ops.def: the meaning of that op on dense double arrays.
#ifndef SINTER_IR_REFERENCE_OPS_H
#define SINTER_IR_REFERENCE_OPS_H

#include "ir/graph.h"
#include "ir/reference/walk.h"

// What a node is evaluated from. Bound sources are already in place when their function is called.
typedef struct {
    const Graph *graph;
    const Node *node;
    double *const *values; // by node id, each in the order of its node
    double *result;        // values[id of node]
    int64_t count;         // elements of the result
} Work;

static inline const Node *work_node(const Work *work, int operand) {
    return graph_node(work->graph, work->node->operands[operand]);
}
static inline const double *work_values(const Work *work, int operand) {
    return work->values[work->node->operands[operand]];
}
static inline Strides work_strides(const Work *work, int operand) {
    return strides_dense(work->graph, work_node(work, operand)->order);
}

#define OP(ENUM, name, class_, operands, meaning) void reference_##name(const Work *work);
#include "ir/ops.def"
#undef OP

#endif
