// The panel layout of a contraction (see panels.h).
#include "passes/panels.h"

#include "base/diag.h"
#include "passes/access.h"

Contraction product_contraction(const Plan *plan, const Step *step) {
    for (NodeId id = 0; id < graph_nodes(step->region); id++)
        if (graph_node(step->region, id)->op == OP_CONTRACT)
            return contraction_of(step->region, id, plan->values[step->outputs[0]].order);
    BUG("a product without a contraction");
}

bool is_tiled_product(const Step *step) {
    return step->form == FORM_PRODUCT && step->engine == ENGINE_TILES && step->tile_lanes > 0;
}

uint32_t operand_below(const Graph *region, NodeId view) {
    const Node *node = graph_node(region, view);
    while (op_is_view(node->op)) node = graph_node(region, node->operands[0]);
    CHECK(node->op == OP_OPERAND);
    return (uint32_t)node->attr.integer;
}

static void add_piece(Layout *layout, DimList dims, int64_t divisor, int64_t extent) {
    CHECK(layout->count < MAX_RANK + 2);
    layout->pieces[layout->count++] = (LayoutPiece){.dims = dims, .divisor = divisor, .extent = extent};
}

Layout panel_layout(const Graph *dims, const Contraction *contraction, int64_t tile_lanes) {
    Layout layout = layout_plain(dims, contraction->batch);
    int64_t lanes = graph_elements(dims, dim_list_set(&contraction->lanes));
    add_piece(&layout, contraction->lanes, tile_lanes, (lanes - 1) / tile_lanes + 1);
    add_piece(&layout, contraction->summed, 1, graph_elements(dims, dim_list_set(&contraction->summed)));
    add_piece(&layout, contraction->lanes, 1, tile_lanes);
    return layout;
}

DimSet layout_divided(const Layout *layout) {
    DimSet divided = 0;
    for (int i = 0; i < layout->count; i++)
        if (layout->pieces[i].divisor != 1) divided |= dim_list_set(&layout->pieces[i].dims);
    return divided;
}
