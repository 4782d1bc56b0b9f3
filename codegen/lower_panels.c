// Writes values whose layout divides dims: panels, padding included. Values of equal layout are written together.
//
//     w[C,F] @ (F/32, C, F%32), F=100      ->   loop F 3                     full panels
//                                                 loop C, lanes 32:  store w[c, 32*f + lane]
//                                               loop C, lanes 4:     store w[c, 96 + lane]      what is left
//                                               loop C, lanes 28:    store 0                    padding
//
// Loops follow memory order. A source that lies along a dim walked just outside of the lanes (a transposed one) is read
// in tiles of 16 rows by 16 lanes, which the backend turns around in registers. When the divided dims are cut, whole
// panels are dealt out to pieces, the last one with the padding.
#include "base/diag.h"
#include "base/planted.h"
#include "codegen/lower.h"

enum { PANEL_LANES = 32 };

typedef enum { PART_FULL, PART_TAIL, PART_PADDING } Part;

// A divided list of dims: two pieces, flat/width and flat%width.
typedef struct {
    Lowering *lowering;
    const uint32_t *outputs; // all of this layout
    uint32_t output_count;
    const Layout *layout;
    int high, low;        // the two pieces; -1 when no piece divides, or the cut has its dims
    int cut;              // the piece whose dims begin with those that are cut; -1: the cut is walked outside of all
    int64_t total, width; // of flat, of the low piece
    DimId along;          // the dim outside of the lanes that neighbours of the source lie along; DIM_NONE: not one
    Part part;
    TileIndex panel; // where the loop over high pieces stands
} Panels;

static DimSet piece_set(const Panels *panels, int piece) {
    return dim_list_set(&panels->layout->pieces[piece].dims);
}

static void find_divided(Panels *panels) {
    panels->high = panels->low = -1;
    for (int i = 0; i < panels->layout->count; i++)
        if (panels->layout->pieces[i].divisor != 1) {
            if (panels->high >= 0) BUG("a layout divides two lists of dims");
            panels->high = i;
        }
    if (panels->high < 0) BUG("a layout that is not plain divides nothing");
    const LayoutPiece *high = &panels->layout->pieces[panels->high];
    for (int i = 0; i < panels->layout->count; i++)
        if (i != panels->high && dim_list_equal(&panels->layout->pieces[i].dims, &high->dims)) panels->low = i;
    if (panels->low < panels->high || panels->layout->pieces[panels->low].extent != high->divisor)
        BUG("a layout divides dims by another number than it keeps");
    panels->width = high->divisor;
    panels->total = lower_extent(panels->lowering, high->dims);
}

// The last lane of a source that lies in other panels, when it is one of `dims`.
static DimId panels_dim(const Lowering *lowering, NodeId node, DimList dims) {
    const Node *source = graph_node(lowering->region, node);
    if (source->op != OP_OPERAND) return DIM_NONE;
    const Layout *layout = &lowering->plan->values[lowering->step->operands[source->attr.integer]].layout;
    DimList lanes = layout->pieces[layout->count - 1].dims;
    DimId last = lanes.dims[lanes.rank - 1];
    return dim_in(dim_list_set(&dims), last) ? last : DIM_NONE;
}

// The dim along which neighbours in memory of the source lie, when it is one that is walked just outside of the lanes.
static DimId transposed_dim(const Panels *panels) {
    const Lowering *lowering = panels->lowering;
    int last = panels->layout->count - 1;
    if (panels->low != last || last == 0 || last - 1 == panels->high) return DIM_NONE;
    const Layout **layouts = ARENA_ARRAY(lowering->arena, const Layout *, lowering->step->operand_count);
    for (uint32_t k = 0; k < lowering->step->operand_count; k++)
        layouts[k] = &lowering->plan->values[lowering->step->operands[k]].layout;
    if (panels->output_count > 1) return DIM_NONE;
    NodeId node = lower_output_node(lowering, panels->outputs[0]);
    // A node that only orders dims anew is a copy.
    while (graph_node(lowering->region, node)->op == OP_STOP_GRADIENT)
        node = graph_node(lowering->region, node)->operands[0];
    View view;
    DimList dims = panels->layout->pieces[last - 1].dims;
    if (!view_of(lowering->region, node, layouts, &view)) return panels_dim(lowering, node, dims);
    for (int i = dims.rank - 1; i >= 0; i--)
        if (view.stride[dims.dims[i]] == 1 && lower_extent(lowering, dim_list_slice(dims, i, i + 1)) > 1)
            return dims.dims[i];
    return DIM_NONE;
}

static void place_flat(const Panels *panels, TileIndex lane) {
    TileIndex flat = tile_index_sum(lane, panels->panel, panels->width - PLANTED(panel_of_the_neighbour));
    lower_place(panels->lowering, panels->layout->pieces[panels->high].dims, flat);
}

// All are computed before any is stored, since an output may lie over an operand.
static void store_element(const Panels *panels) {
    Lowering *lowering = panels->lowering;
    TileValue *values = ARENA_ARRAY(lowering->arena, TileValue, panels->output_count);
    for (uint32_t i = 0; i < panels->output_count; i++) {
        uint32_t output = panels->outputs[i];
        values[i] = panels->part == PART_PADDING
                        ? tile_const(lowering->builder, lower_output(lowering, output)->dtype, 0)
                        : evaluator_value(lowering->evaluator, lower_output_node(lowering, output), lowering->env);
    }
    for (uint32_t i = 0; i < panels->output_count; i++)
        lower_store(lowering, panels->outputs[i], values[i]);
}

static void open_high(Panels *panels) {
    int64_t full = panels->total / panels->width;
    if (panels->part != PART_FULL)
        panels->panel = tile_index(full);
    else if (full == 1)
        panels->panel = tile_index(0);
    else
        panels->panel = tile_index_of(tile_loop(panels->lowering->builder, LOOP_PLAIN, "panel", full, 0, 0, false));
}

static TileIndex open_low(const Panels *panels, bool innermost) {
    int64_t tail = panels->total % panels->width;
    int64_t start = panels->part == PART_PADDING ? tail : 0;
    int64_t extent = panels->part == PART_FULL   ? panels->width
                     : panels->part == PART_TAIL ? tail
                                                 : panels->width - tail;
    uint32_t step = innermost ? lanes_step(extent, PANEL_LANES) : 0;
    TileValue lane =
        tile_loop(panels->lowering->builder, innermost ? LOOP_LANES : LOOP_PLAIN, "lane", extent, 0, step, false);
    return tile_index_plus(tile_index(start), lane, 1);
}

// True when nothing of the piece is left to walk: neighbours of the source lie along the last dim that is cut, and 16
// of them are read at a time.
static bool open_cut(const Panels *panels) {
    Lowering *lowering = panels->lowering;
    const Cut *cut = &lowering->step->cut;
    bool is_whole = dim_list_set(&cut->dims) == piece_set(panels, panels->cut);
    if (panels->cut != panels->low - 1 || !is_whole || panels->along != cut->dims.dims[cut->dims.rank - 1]) {
        lower_open_cut(lowering);
        return is_whole;
    }
    lower_open(lowering, LOOP_ROWS, cut->dims, cut->pieces, TILE_LANES, false);
    return true;
}

static void open_piece(Panels *panels, int piece, DimSet done) {
    Lowering *lowering = panels->lowering;
    bool innermost = piece == panels->layout->count - 1;
    if (piece == panels->high) {
        open_high(panels);
    } else if (piece == panels->low) {
        place_flat(panels, open_low(panels, innermost));
    } else {
        DimList dims = dim_list_without(panels->layout->pieces[piece].dims, done);
        if (piece == panels->cut && open_cut(panels)) return;
        if (dims.rank == 0) return;
        if (panels->along != DIM_NONE && piece == panels->low - 1 && dim_in(dim_list_set(&dims), panels->along)) {
            lower_open_each(lowering, dim_list_without(dims, dim_bit(panels->along)));
            lower_open(lowering, LOOP_ROWS, (DimList){.rank = 1, .dims = {panels->along}}, 0, TILE_LANES, false);
            return;
        }
        uint32_t step = innermost ? lanes_step(lower_extent(lowering, dims), PANEL_LANES) : 0;
        lower_open(lowering, innermost ? LOOP_LANES : LOOP_PLAIN, dims, 0, step, false);
    }
}

static void emit_part(Panels *panels, Part part) {
    Lowering *lowering = panels->lowering;
    DimSet done = lower_cut_set(lowering);
    int depth = tile_open_loops(lowering->builder);
    panels->part = part;
    if (panels->cut < 0) lower_open_cut(lowering);
    for (int i = 0; i < panels->layout->count; i++)
        open_piece(panels, i, done);
    store_element(panels);
    lower_close(lowering, depth);
}

// Opens a scope that only the last piece enters.
static void open_last_piece(const Panels *panels) {
    TileBuilder *builder = panels->lowering->builder;
    uint32_t pieces = panels->lowering->step->cut.pieces;
    tile_guard(builder, "last", pieces, pieces, tile_const(builder, DTYPE_I32, pieces - 1));
}

// Whole panels can be dealt out when the cut is exactly the divided dims and no operand has to be read by the very
// piece that wrote those rows.
static bool can_deal_panels(const Panels *panels) {
    const Step *step = panels->lowering->step;
    if (panels->high != 0 || !dim_list_equal(&step->cut.dims, &panels->layout->pieces[0].dims)) return false;
    if (panels->total % (panels->width * step->cut.pieces) == 0) return true;
    for (uint32_t k = 0; k < step->operand_count; k++)
        if (step->edges[k] == EDGE_SAME) return false;
    return true;
}

static void deal_panels(Panels *panels) {
    Lowering *lowering = panels->lowering;
    int64_t full = panels->total / panels->width;
    panels->part = PART_FULL;
    if (full > 0) {
        TileValue panel = tile_loop(lowering->builder, LOOP_PIECE, "panel", full, lowering->step->cut.pieces, 0, false);
        panels->panel = tile_index_of(panel);
        for (int i = 1; i < panels->layout->count; i++)
            open_piece(panels, i, 0);
        store_element(panels);
        lower_close(lowering, 0);
    }
    for (Part part = PART_TAIL; part <= PART_PADDING && panels->total % panels->width; part++) {
        panels->part = part;
        open_last_piece(panels);
        for (int i = 0; i < panels->layout->count; i++)
            open_piece(panels, i, 0);
        store_element(panels);
        lower_close(lowering, 0);
    }
}

// Each piece walks its own part of divided dims, element by element.
static void deal_rows(Panels *panels) {
    Lowering *lowering = panels->lowering;
    DimSet cut = lower_cut_set(lowering), divided = piece_set(panels, panels->high);
    panels->part = PART_FULL;
    lower_open_cut(lowering);
    lower_open_each(lowering, dim_list_without(panels->layout->pieces[panels->high].dims, cut));
    for (int i = 0; i < panels->layout->count; i++)
        lower_open_each(lowering, dim_list_without(panels->layout->pieces[i].dims, cut | divided));
    store_element(panels);
    lower_close(lowering, 0);
    if (panels->total % panels->width == 0) return;
    panels->part = PART_PADDING;
    open_last_piece(panels);
    for (int i = 0; i < panels->layout->count; i++)
        open_piece(panels, i, 0);
    store_element(panels);
    lower_close(lowering, 0);
}

static int find_cut(const Panels *panels) {
    const DimList *cut = &panels->lowering->step->cut.dims;
    for (int i = 0; i < panels->layout->count && lower_cut_set(panels->lowering); i++) {
        DimList dims = panels->layout->pieces[i].dims;
        if (dims.rank < cut->rank) continue;
        DimList first = dim_list_slice(dims, 0, cut->rank);
        if (dim_list_equal(&first, cut) || dim_list_set(&dims) == dim_list_set(cut)) return i;
    }
    return -1;
}

void lower_panels(Lowering *lowering, const uint32_t *outputs, uint32_t output_count) {
    Panels panels = {.lowering = lowering,
                     .outputs = outputs,
                     .output_count = output_count,
                     .layout = &lower_output(lowering, outputs[0])->layout};
    find_divided(&panels);
    panels.along = transposed_dim(&panels);
    panels.cut = -1;
    if (lower_cut_set(lowering) & piece_set(&panels, panels.high)) {
        if (can_deal_panels(&panels))
            deal_panels(&panels);
        else
            deal_rows(&panels);
        return;
    }
    panels.cut = find_cut(&panels);
    if (panels.total / panels.width) emit_part(&panels, PART_FULL);
    if (panels.total % panels.width == 0) return;
    emit_part(&panels, PART_TAIL);
    emit_part(&panels, PART_PADDING);
}
