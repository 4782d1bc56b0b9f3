// Layouts: in what order the elements of a value lie in memory.
//
// In: the dims of a graph (their extents) and a layout. Out: element counts and element offsets.
//
//     W[C,F] @ (F/32, C, F%32), C=3 F=100:   index C=2 F=70  ->  digits (2, 2, 6)  ->  (2*3 + 2)*32 + 6 = 262
#include "base/size.h"
#include "ir/plan.h"

Layout layout_plain(const Graph *dims, DimList order) {
    Layout layout = {.count = order.rank};
    for (int i = 0; i < order.rank; i++) {
        DimId dim = order.dims[i];
        layout.pieces[i] =
            (LayoutPiece){.dims = {.rank = 1, .dims = {dim}}, .divisor = 1, .extent = graph_extent(dims, dim)};
    }
    return layout;
}

bool layout_is_plain(const Graph *dims, const Layout *layout) {
    DimSet seen = 0;
    for (int i = 0; i < layout->count; i++) {
        const LayoutPiece *piece = &layout->pieces[i];
        if (piece->dims.rank != 1 || piece->divisor != 1) return false;
        DimId dim = piece->dims.dims[0];
        if (piece->extent != graph_extent(dims, dim) || dim_in(seen, dim)) return false;
        seen |= dim_bit(dim);
    }
    return true;
}

int64_t layout_elements(const Layout *layout) {
    size_t elements = 1;
    for (int i = 0; i < layout->count; i++)
        if (!size_multiply(elements, (size_t)layout->pieces[i].extent, &elements) || elements > INT64_MAX)
            BUG("a layout has more elements than fit in 63 bits");
    return (int64_t)elements;
}

bool layout_equal(const Layout *a, const Layout *b) {
    if (a->count != b->count) return false;
    for (int i = 0; i < a->count; i++) {
        const LayoutPiece *x = &a->pieces[i], *y = &b->pieces[i];
        if (x->divisor != y->divisor || x->extent != y->extent || !dim_list_equal(&x->dims, &y->dims)) return false;
    }
    return true;
}

int64_t layout_offset(const Graph *dims, const Layout *layout, const int64_t *index) {
    int64_t offset = 0;
    for (int i = 0; i < layout->count; i++) {
        const LayoutPiece *piece = &layout->pieces[i];
        int64_t flat = 0;
        for (int k = 0; k < piece->dims.rank; k++) {
            DimId dim = piece->dims.dims[k];
            flat = flat * graph_extent(dims, dim) + index[dim];
        }
        offset = offset * piece->extent + flat / piece->divisor % piece->extent;
    }
    return offset;
}
