// What a region scatters onto.
//
// In: a region. Out: its scatter, and the base to which the scattered rows are added.
//
//     %3 = scatter f32[V,C] %1 %0 to V              scatter %3, onto zeros
//     %3 = scatter_onto f32[V,C] %1 %0 %2 to V      scatter %3, base %2
#include "ir/plan.h"

Scattering scattering_of(const Graph *region) {
    for (uint32_t k = 0; k < graph_outputs(region); k++) {
        NodeId id = graph_output_at(region, k)->node;
        const Node *node = graph_node(region, id);
        if (op_scatters(node->op)) return (Scattering){id, node->op == OP_SCATTER_ONTO ? node->operands[2] : NODE_NONE};
    }
    return (Scattering){NODE_NONE, NODE_NONE};
}
