// Panels: the layout in which a tiled product reads its lanes operand.
//
//     w[C,F] in panels of 32 lanes   @ (F/32, C, F%32)
//
// As many lanes side by side as the register tile has, for every summed index, so that the innermost loop reads memory
// in order.
#ifndef SINTER_PASSES_PANELS_H
#define SINTER_PASSES_PANELS_H

#include "ir/plan.h"

// The contraction of a product; BUG in a step of another form.
Contraction product_contraction(const Plan *plan, const Step *step);
// By tiles, and its register tile is chosen.
bool is_tiled_product(const Step *step);
// The number of the operand that a contraction's operand is a view of.
uint32_t operand_below(const Graph *region, NodeId view);

// (batch dims, lanes/tile, summed, lanes%tile)
Layout panel_layout(const Graph *dims, const Contraction *contraction, int64_t tile_lanes);
// The dims that a layout divides: the lanes of its panels.
DimSet layout_divided(const Layout *layout);

#endif
