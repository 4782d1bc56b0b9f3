// What all forms share: loops over named dims, the piece a thread works on, stores of outputs.
//
// One loop can walk several dims: over (B,T) with B = i / |T|, T = i % |T|. Addresses in which both halves meet again
// come out as plain multiples of i (tile_index_recombine), so walking adjacent dims as one costs nothing.
#include "base/diag.h"
#include "base/planted.h"
#include "codegen/lower.h"

DimList dim_list_slice(DimList dims, int from, int to) {
    DimList slice = {0};
    for (int i = from; i < to; i++)
        slice.dims[slice.rank++] = dims.dims[i];
    return slice;
}

uint32_t lanes_step(int64_t extent, uint32_t largest) {
    int64_t rounded = (extent + TILE_LANES - 1) / TILE_LANES * TILE_LANES;
    return rounded < (int64_t)largest ? (uint32_t)rounded : largest;
}

int64_t lower_extent(const Lowering *lowering, DimList dims) {
    int64_t extent = 1;
    for (int i = 0; i < dims.rank; i++)
        extent *= graph_extent(lowering->plan->dims, dims.dims[i]);
    return extent;
}

const Value *lower_output(const Lowering *lowering, uint32_t output) {
    return &lowering->plan->values[lowering->step->outputs[output]];
}

NodeId lower_output_node(const Lowering *lowering, uint32_t output) {
    return graph_output_at(lowering->region, output)->node;
}

DimSet lower_cut_set(const Lowering *lowering) {
    const Step *step = lowering->step;
    return step->cut.pieces > 1 && !cut_is_summed(lowering->plan, step) ? dim_list_set(&step->cut.dims) : 0;
}

// ---- loops

void lower_place(Lowering *lowering, DimList dims, TileIndex flat) {
    for (int i = dims.rank - 1; i > 0; i--) {
        int64_t extent = graph_extent(lowering->plan->dims, dims.dims[i]);
        lowering->env[dims.dims[i]] = tile_index_remainder(lowering->builder, flat, extent);
        flat = tile_index_divide(lowering->builder, flat, extent);
    }
    if (dims.rank) lowering->env[dims.dims[0]] = flat;
}

const char *lower_loop_name(const Lowering *lowering, DimList dims) {
    Text text = text_create(lowering->arena);
    for (int i = 0; i < dims.rank; i++)
        text_append(&text, "%s", graph_dim_name(lowering->plan->dims, dims.dims[i]));
    return dims.rank ? text_string(&text) : "one";
}

void lower_open(Lowering *lowering, LoopKind kind, DimList dims, uint32_t pieces, uint32_t step, bool split_evenly) {
    int64_t extent = lower_extent(lowering, dims);
    TileIndex flat = tile_index(0);
    if (kind != LOOP_PLAIN || extent > 1)
        flat = tile_index_of(
            tile_loop(lowering->builder, kind, lower_loop_name(lowering, dims), extent, pieces, step, split_evenly));
    lower_place(lowering, dims, flat);
}

bool lower_in_band(const Lowering *lowering, DimId dim) {
    const Band *band = &lowering->step->band;
    return band->is_set && (dim == band->row || dim == band->column);
}

TileValue lower_band_loop(Lowering *lowering, LoopKind kind, DimId dim, TileIndex start, int64_t extent,
                          uint32_t step) {
    const Band *band = &lowering->step->band;
    bool along_column = dim == band->column;
    TileIndex other = tile_index_sum(lowering->env[along_column ? band->row : band->column], start, -1);
    int64_t low = along_column ? band->low : -band->high, high = along_column ? band->high : -band->low;
    const char *name = graph_dim_name(lowering->plan->dims, dim);
    TileValue loop = tile_bounded_loop(lowering->builder, kind, name, extent, step, other, low, high);
    lowering->env[dim] = tile_index_plus(start, loop, 1);
    return loop;
}

void lower_open_each(Lowering *lowering, DimList dims) {
    for (int i = 0; i < dims.rank; i++)
        lower_open(lowering, LOOP_PLAIN, dim_list_slice(dims, i, i + 1), 0, 0, false);
}

void lower_open_cut(Lowering *lowering) {
    const Cut *cut = &lowering->step->cut;
    if (lower_cut_set(lowering)) lower_open(lowering, LOOP_PIECE, cut->dims, cut->pieces, 0, false);
}

void lower_close(Lowering *lowering, int depth) {
    while (tile_open_loops(lowering->builder) > depth)
        tile_end(lowering->builder);
}

TileIndex lower_output_address(Lowering *lowering, uint32_t output) {
    const Value *value = lower_output(lowering, output);
    TileIndex address = evaluator_address(lowering->evaluator, &value->layout, lowering->env);
    if (value->parts <= 1 || PLANTED(groups_share_a_part)) return address;
    return tile_index_sum(address, lowering->part, layout_elements(&value->layout));
}

void lower_store(Lowering *lowering, uint32_t output, TileValue value) {
    int buffer = (int)(lowering->step->operand_count + output);
    tile_store(lowering->builder, buffer, lower_output_address(lowering, output), value);
}

TileValue lower_stored(Lowering *lowering, uint32_t output) {
    int buffer = (int)(lowering->step->operand_count + output);
    return tile_load(lowering->builder, buffer, lower_output(lowering, output)->dtype,
                     lower_output_address(lowering, output));
}

// ---- summed cuts

// A piece that is not the first one of its sum goes on.
static void set_continues(Lowering *lowering, TileIndex piece, int64_t in_sum) {
    TileBuilder *builder = lowering->builder;
    TileValue number = tile_index_value(builder, tile_index_remainder(builder, piece, in_sum));
    TileValue operands[] = {tile_const(builder, DTYPE_I32, 0), number};
    lowering->continues = tile_map(builder, OP_LT, DTYPE_BOOL, operands, 2);
}

bool lower_open_range(Lowering *lowering, CutRanges *ranges) {
    const Cut *cut = &lowering->step->cut;
    TileBuilder *builder = lowering->builder;
    if (cut->pieces < 2 || !cut_in_ranges(lowering->plan->dims, cut, ranges)) return false;
    TileIndex piece = tile_index_of(tile_loop(builder, LOOP_PIECE, "piece", cut->pieces, cut->pieces, 0, false));
    DimList before = dim_list_slice(cut->dims, 0, cut->dims.rank - 1);
    lower_place(lowering, before, tile_index_divide(builder, piece, ranges->pieces));
    lowering->share = tile_index_sum(tile_index(0), tile_index_remainder(builder, piece, ranges->pieces), ranges->rows);
    int kept = cut_kept(lowering->plan, lowering->step);
    int64_t in_sum = cut->pieces / lower_extent(lowering, dim_list_slice(cut->dims, 0, kept));
    if (kept < cut->dims.rank && in_sum > 1 && !PLANTED(chain_sum_begins_anew)) set_continues(lowering, piece, in_sum);
    return true;
}

void lower_open_summed_cut(Lowering *lowering) {
    const Cut *cut = &lowering->step->cut;
    TileBuilder *builder = lowering->builder;
    TileIndex piece =
        tile_index_of(tile_loop(builder, LOOP_PIECE, "piece", cut->pieces, cut->pieces, 0, false));
    int64_t in_group = cut->pieces / cut->groups, share = cut->total / cut->pieces;
    lowering->share = tile_index_sum(tile_index(0), piece, share);
    lowering->part = tile_index_divide(builder, piece, in_group);
    if (in_group > 1) set_continues(lowering, piece, in_group);
}

void lower_open_summed(Lowering *lowering, DimList summed) {
    const Cut *cut = &lowering->step->cut;
    int from = 0;
    if (cut_is_summed(lowering->plan, lowering->step)) {
        int64_t share = cut->total / cut->pieces;
        TileIndex flat = lowering->share;
        if (share > 1) {
            TileValue own =
                tile_loop(lowering->builder, LOOP_PLAIN, lower_loop_name(lowering, cut->dims), share, 0, 0, false);
            flat = tile_index_plus(flat, own, 1);
        }
        lower_place(lowering, cut->dims, flat);
        from = cut->dims.rank;
    }
    for (int to; from < summed.rank; from = to) {
        for (to = from + 1; to < summed.rank; to++)
            if (!lower_merges(lowering, summed.dims[to - 1], summed.dims[to])) break;
        DimId dim = summed.dims[from];
        if (to == from + 1 && lower_in_band(lowering, dim))
            lower_band_loop(lowering, LOOP_PLAIN, dim, tile_index(0), graph_extent(lowering->plan->dims, dim), 0);
        else
            lower_open(lowering, LOOP_PLAIN, dim_list_slice(summed, from, to), 0, 0, false);
    }
}

TileValue lower_before(Lowering *lowering, uint32_t output) {
    if (lowering->continues == TILE_NONE) return TILE_NONE;
    TileValue zero = tile_const(lowering->builder, lower_output(lowering, output)->dtype, 0);
    TileValue operands[] = {lowering->continues, lower_stored(lowering, output), zero};
    return tile_map(lowering->builder, OP_WHERE, lower_output(lowering, output)->dtype, operands, 3);
}

// ---- which dims can be walked as one

static int find_dim(const DimList *dims, DimId dim) {
    for (int i = 0; i < dims->rank; i++)
        if (dims->dims[i] == dim) return i;
    return -1;
}

static bool is_plain_piece(const LayoutPiece *piece, DimId dim) {
    return piece->dims.rank == 1 && piece->dims.dims[0] == dim && piece->divisor == 1;
}

// `inner` follows `outer` directly wherever the layout mentions one of them.
static bool layout_merges(const Layout *layout, DimId outer, DimId inner) {
    for (int i = 0; i < layout->count; i++) {
        const LayoutPiece *piece = &layout->pieces[i];
        int at_outer = find_dim(&piece->dims, outer), at_inner = find_dim(&piece->dims, inner);
        if (at_outer < 0 && at_inner < 0) continue;
        if (at_outer >= 0 && at_inner == at_outer + 1) continue;
        bool plain_pair =
            is_plain_piece(piece, outer) && i + 1 < layout->count && is_plain_piece(&layout->pieces[i + 1], inner);
        if (!plain_pair) return false;
        i++;
    }
    return true;
}

static bool names_dim(const Node *node, DimId dim) {
    bool uses = op_class(node->op) == CLASS_MOVE || op_class(node->op) == CLASS_INDEXED || node->op == OP_INDEX;
    return uses && (node->attr.from == dim || node->attr.to == dim || node->attr.inner == dim);
}

// The order in which random numbers and tables count their elements.
static bool source_merges(const Node *node, DimId outer, DimId inner) {
    if (node->op == OP_RANDOM) {
        DimSet between = node->dims & (dim_bit(inner) - 1) & ~(dim_bit(outer) * 2 - 1);
        return outer < inner && between == 0;
    }
    if (node->op == OP_CONST && node->attr.table)
        return find_dim(&node->order, inner) == find_dim(&node->order, outer) + 1;
    return true;
}

bool lower_merges(const Lowering *lowering, DimId outer, DimId inner) {
    if (lower_in_band(lowering, outer) || lower_in_band(lowering, inner)) return false;
    DimSet both = dim_bit(outer) | dim_bit(inner);
    for (NodeId id = 0; id < graph_nodes(lowering->region); id++) {
        const Node *node = graph_node(lowering->region, id);
        if (!lowering->live[id] || lower_is_folded(lowering, id)) continue;
        if (names_dim(node, outer) || names_dim(node, inner)) return false;
        if (!(node->dims & both)) continue;
        // A scalar or a bias that has none of them is the same everywhere; one of them alone would need a division.
        if ((node->dims & both) != both || !source_merges(node, outer, inner)) return false;
        if (node->op != OP_OPERAND) continue;
        const Value *value = &lowering->plan->values[lowering->step->operands[node->attr.integer]];
        if (!layout_merges(&value->layout, outer, inner)) return false;
    }
    for (uint32_t i = 0; i < lowering->step->output_count; i++)
        if (!lower_is_folded(lowering, lower_output_node(lowering, i)) &&
            !layout_merges(&lower_output(lowering, i)->layout, outer, inner))
            return false;
    return true;
}

int lower_merged_suffix(const Lowering *lowering, DimList dims) {
    int count = dims.rank ? 1 : 0;
    for (; count < dims.rank; count++) {
        int at = dims.rank - count - 1;
        if (lower_extent(lowering, dim_list_slice(dims, at, dims.rank)) > INT32_MAX) break; // loop indices are i32
        if (!lower_merges(lowering, dims.dims[at], dims.dims[at + 1])) break;
    }
    return count;
}
