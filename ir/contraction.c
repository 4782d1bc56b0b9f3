// A contraction seen as a batched matrix product.
//
// In: a CONTRACT node and the storage order of its result. Out: which operand gives rows and which lanes, and the dims
// of each part.
//
//     %2 = contract f32[B,H,T,S] %q %k over D, order (B,H,T,S), %q has T, %k has S
//     -> rows_operand %q, lanes_operand %k, batch (B,H), rows (T), lanes (S), summed (D)
//
// Lanes are what a vector runs along: they belong to the operand that owns the innermost dim of the result that is not
// shared, so that the result is stored with full vectors.
#include "ir/plan.h"

static DimList dims_of_set(DimSet set) {
    DimList list = {0};
    for (DimId dim = 0; dim < MAX_DIMS; dim++)
        if (dim_in(set, dim)) {
            CHECK(list.rank < MAX_RANK);
            list.dims[list.rank++] = dim;
        }
    return list;
}

static DimList dims_within(DimList order, DimSet set) {
    DimList list = {0};
    for (int i = 0; i < order.rank; i++)
        if (dim_in(set, order.dims[i])) list.dims[list.rank++] = order.dims[i];
    return list;
}

Contraction contraction_of(const Graph *region, NodeId contract, DimList output_order) {
    const Node *node = graph_node(region, contract);
    CHECK(node->op == OP_CONTRACT && dim_list_set(&output_order) == node->dims);
    DimSet a = graph_node(region, node->operands[0])->dims, b = graph_node(region, node->operands[1])->dims;
    DimSet shared = a & b;

    bool b_owns_lanes = true;
    for (int i = output_order.rank - 1; i >= 0; i--)
        if (!dim_in(shared, output_order.dims[i])) {
            b_owns_lanes = dim_in(b, output_order.dims[i]);
            break;
        }
    NodeId rows_operand = node->operands[b_owns_lanes ? 0 : 1], lanes_operand = node->operands[b_owns_lanes ? 1 : 0];
    DimSet row_dims = (b_owns_lanes ? a : b) & ~shared, lane_dims = (b_owns_lanes ? b : a) & ~shared;
    return (Contraction){
        .node = contract,
        .rows_operand = rows_operand,
        .lanes_operand = lanes_operand,
        .batch = dims_within(output_order, shared),
        .rows = dims_within(output_order, row_dims),
        .lanes = dims_within(output_order, lane_dims),
        .summed = dims_of_set(node->attr.set),
    };
}
