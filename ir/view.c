// Views: a chain of moves over a stored operand, seen as one affine address.
//
// In: a node of a region and the layouts of the box's operands.
// Out: element address = offset + sum index[d] * stride[d].
//
//     %0 = operand f32[B,T,Z,D] 0      @ (B, T, Z, D)        Z=3 D=32
//     %1 = select f32[B,T,D] %0 ...entry 1 of Z              offset 32, strides B: T*96  T: 96  D: 1
//     %2 = rename f32[B,S,D] %1 ...T becomes S               offset 32, strides B: T*96  S: 96  D: 1
//
// Refused, because the address is not affine: a piece that cuts a dim (F/32 with F%32 elsewhere: a panel), a merge of
// dims that do not lie one inside the other, and every op that computes.
#include <string.h>

#include "base/planted.h"
#include "ir/plan.h"

// Strides of a stored value. Every piece must count its dims whole, row-major, with or without room behind them; each
// dim may lie in one piece only.
static bool view_of_layout(const Graph *region, const Layout *layout, View *view) {
    DimSet seen = 0;
    int64_t stride = 1;
    for (int i = layout->count - 1; i >= 0; i--) {
        const LayoutPiece *piece = &layout->pieces[i];
        int64_t covered = 1;
        for (int k = piece->dims.rank - 1; k >= 0; k--) {
            DimId dim = piece->dims.dims[k];
            if (dim_in(seen, dim)) return false;
            seen |= dim_bit(dim);
            view->stride[dim] = stride * covered;
            covered *= graph_extent(region, dim);
        }
        if (piece->divisor != 1 || piece->extent < covered) return false;
        stride *= piece->extent;
    }
    return true;
}

static int64_t take_stride(View *view, DimId dim) {
    int64_t stride = view->stride[dim];
    view->stride[dim] = 0;
    return stride;
}

static bool view_merge(const Graph *region, const Attr *attr, View *view) {
    int64_t outer_extent = graph_extent(region, attr->from), inner_extent = graph_extent(region, attr->inner);
    int64_t outer = take_stride(view, attr->from), inner = take_stride(view, attr->inner);
    // A dim of extent 1 is always at index 0: its stride says nothing.
    if (inner_extent == 1)
        inner = outer;
    else if (outer_extent != 1 && outer != inner * inner_extent)
        return false;
    view->stride[attr->to] = inner;
    return true;
}

bool node_is_view(const Graph *region, NodeId node) {
    while (op_is_view(graph_node(region, node)->op)) node = graph_node(region, node)->operands[0];
    return graph_node(region, node)->op == OP_OPERAND;
}

bool view_of(const Graph *region, NodeId node, const Layout *const *operand_layouts, View *view) {
    const Node *n = graph_node(region, node);
    const Attr *attr = &n->attr;
    if (n->op == OP_OPERAND) {
        *view = (View){.operand = (uint32_t)attr->integer};
        return view_of_layout(region, operand_layouts[attr->integer], view);
    }
    if (!op_is_view(n->op) || !view_of(region, n->operands[0], operand_layouts, view)) return false;
    if (n->op == OP_MERGE) return view_merge(region, attr, view);
    int64_t stride = take_stride(view, attr->from);
    switch (n->op) {
    case OP_SELECT: view->offset += PLANTED(selected_entry_forgotten) ? 0 : attr->integer * stride; break;
    case OP_SPLIT:
        view->stride[attr->inner] = stride;
        view->stride[attr->to] = stride * graph_extent(region, attr->inner);
        break;
    default: view->stride[attr->to] = stride; break;
    }
    return true;
}
