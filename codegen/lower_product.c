// Form product: one contraction as register tiles, with what follows it.
//
//     out f32[B,T,F] = sum(C) x[B,T,C] * w[C,F]      w @ (F/32, C, F%32)
//       ->  loop panel F/32                    a panel of w stays in cache while all rows pass by
//             rows BT step 8 evenly            remainders split evenly
//               lanes F 32 step 32
//                 tile = 0
//                 loop C:  tile += x[rows] * w[lanes]
//                 store epilogue(tile)
//
// A long sum is walked in blocks, so that the block's rows and a panel's part of it stay in the caches: for each block
// all tiles go on where the block before left them in the output's memory; the last block adds the epilogue. Many rows
// are walked in blocks too, so that what one panel reads of them is still in a core's second-level cache when the next
// one comes.
//
// Bits: every element is one chain of fused multiply-adds in ascending order of the summed dims (by dim id), whatever
// the tiles are. Rows are walked as one flat dim; lanes and summed dims are where memory allows it.
#include "base/diag.h"
#include "base/planted.h"
#include "codegen/lower_product.h"

enum { DEFAULT_ROWS = 8, DEFAULT_LANES = 32 };

// Which part of the sum a walk over all tiles takes.
typedef struct {
    TileIndex start;
    int64_t count;             // 0: all
    bool continues, ends;
} Block;

static NodeId find_contract(const Lowering *lowering) {
    for (NodeId id = 0; id < graph_nodes(lowering->region); id++)
        if (lowering->live[id] && graph_node(lowering->region, id)->op == OP_CONTRACT) return id;
    BUG("product box %s has no contraction", lowering->step->label);
}

int64_t product_summed_at_once(const Product *product) {
    return product->round ? product->round : lower_extent(product->lowering, product->contraction.summed);
}

// ---- the tile

// What the epilogue reads at the tile's own place, a few rows at each of `shares` moments: all at once would be more
// lines on their way than a core keeps track of, and the sum would wait for them.
static void prefetch_epilogue(const Product *product, TileIndex moment, int64_t shares) {
    Lowering *lowering = product->lowering;
    const Contraction *contraction = &product->contraction;
    DimSet tile = dim_list_set(&contraction->rows) | dim_list_set(&contraction->lanes);
    int64_t rows_at_once = (product->tile_rows - 1) / shares + 1;
    for (NodeId id = 0; id < graph_nodes(lowering->region); id++) {
        const Node *node = graph_node(lowering->region, id);
        bool is_factor = id == contraction->rows_operand || id == contraction->lanes_operand;
        if (node->op != OP_OPERAND || node->dims != tile || is_factor || !lowering->live[id]) continue;
        const Value *value = &lowering->plan->values[lowering->step->operands[node->attr.integer]];
        TileIndex address = evaluator_address(lowering->evaluator, &value->layout, lowering->env);
        int64_t stride = 0;
        for (int i = 0; i < address.count; i++)
            if (address.terms[i].value == product->row) stride = address.terms[i].coefficient;
        address = tile_index_sum(address, moment, rows_at_once * stride);
        for (int64_t i = 0; i < rows_at_once; i++, address.constant += stride)
            tile_prefetch(lowering->builder, (int)node->attr.integer, address, true);
    }
}

// The panel after this one, into the cache while this one is at work: each tile of rows asks for its share of the
// lines, as many at a time as it has rows. What the tile's end will read comes meanwhile.
//
//     loop ko K/R               R rows against K summed indices:  row r asks for lines r*K/R + ko
//       prefetch w[next panel, r*K/R + ko]
//       prefetch first row of y[rows + ko, lanes]
//       loop ki R:  tile += x[rows] * w[lanes]
static bool open_prefetching(const Product *product, const Block *block) {
    Lowering *lowering = product->lowering;
    DimList summed = product->contraction.summed;
    int64_t count = block->count ? block->count : product_summed_at_once(product);
    int64_t shares = product->row_pieces ? 0 : count / product->row_count;
    if (!product->streams || product->ranged || shares < 1 || count % product->row_count != 0) return false;
    TileIndex outer = tile_index(0);
    if (shares > 1) outer = tile_index_of(tile_loop(lowering->builder, LOOP_PLAIN, "part", shares, 0, 0, false));
    TileIndex line = tile_index_plus(outer, product->row, shares);
    lower_place(lowering, summed, tile_index_sum(block->start, line, 1));
    const Node *operand = graph_node(lowering->region, product->contraction.lanes_operand);
    const Layout *layout = &lowering->plan->values[lowering->step->operands[operand->attr.integer]].layout;
    TileIndex address = evaluator_address(lowering->evaluator, layout, lowering->env);
    address.constant += lower_extent(lowering, summed) * product->tile_lanes;
    tile_prefetch(lowering->builder, (int)operand->attr.integer, address, false);
    if (block->ends) prefetch_epilogue(product, outer, shares);
    TileValue inner = tile_loop(lowering->builder, LOOP_PLAIN, "k", count / shares, 0, 0, false);
    TileIndex begin = tile_index_sum(block->start, outer, count / shares);
    lower_place(lowering, summed, tile_index_plus(begin, inner, 1));
    return true;
}

// The sum's other dims are placed already.
static void open_range_of_sum(const Product *product, const Block *block) {
    Lowering *lowering = product->lowering;
    if (lower_in_band(lowering, product->along)) {
        lower_band_loop(lowering, LOOP_PLAIN, product->along, block->start, block->count, 0);
        return;
    }
    const char *name = graph_dim_name(lowering->plan->dims, product->along);
    TileValue k = tile_loop(lowering->builder, LOOP_PLAIN, name, block->count, 0, 0, false);
    lowering->env[product->along] = tile_index_plus(block->start, k, 1);
}

static void open_block(const Product *product, const Block *block) {
    if (open_prefetching(product, block)) return;
    if (block->count == 0) {
        lower_open_summed(product->lowering, product->contraction.summed);
        return;
    }
    if (product->sums_range) {
        open_range_of_sum(product, block);
        return;
    }
    TileValue k = tile_loop(product->lowering->builder, LOOP_PLAIN, "k", block->count, 0, 0, false);
    lower_place(product->lowering, product->contraction.summed, tile_index_plus(block->start, k, 1));
}

// The output of the next tile of rows, so that what lies there has come when that tile begins with it.
static void prefetch_next_rows(const Product *product) {
    Lowering *lowering = product->lowering;
    TileIndex address = lower_output_address(lowering, 0);
    for (int i = 0; i < address.count; i++) {
        const TileOp *loop = tile_op(lowering->builder, address.terms[i].value);
        if (loop->kind == TILE_LOOP && loop->loop == LOOP_ROWS)
            address.constant += address.terms[i].coefficient * product->tile_rows;
    }
    tile_prefetch(lowering->builder, (int)lowering->step->operand_count, address, false);
}

// What the blocks or the pieces before have left. A chain from +0 never is -0, so adding it to +0 is exact.
static void take_up(const Product *product, const Block *block, TileValue tile) {
    Lowering *lowering = product->lowering;
    TileValue before = block->continues ? lower_stored(lowering, 0) : lower_before(lowering, 0);
    if (before == TILE_NONE) return;
    tile_accumulate(lowering->builder, OP_SUM, tile, before);
    prefetch_next_rows(product);
}

static TileValue multiply_tile(const Product *product, const Block *block) {
    Lowering *lowering = product->lowering;
    const Contraction *contraction = &product->contraction;
    TileValue tile = tile_zero(lowering->builder, SHAPE_ROWS | SHAPE_LANES, 0, 0);
    if (!PLANTED(sum_not_taken_up)) take_up(product, block, tile);
    int depth = tile_open_loops(lowering->builder);
    open_block(product, block);
    TileValue a = evaluator_value(lowering->evaluator, contraction->rows_operand, lowering->env);
    TileValue b = evaluator_value(lowering->evaluator, contraction->lanes_operand, lowering->env);
    TileOp multiply = {
        .kind = TILE_MULTIPLY_ACCUMULATE, .dtype = DTYPE_F32, .operands = {tile, a, b}, .operand_count = 3};
    tile_add(lowering->builder, &multiply);
    lower_close(lowering, depth);
    evaluator_define(lowering->evaluator, contraction->node, lowering->env, tile);
    return tile;
}

static void store_outputs(const Product *product, TileValue tile) {
    Lowering *lowering = product->lowering;
    uint32_t count = lowering->step->output_count;
    TileValue *values = ARENA_ARRAY(lowering->arena, TileValue, count);
    for (uint32_t i = 0; i < count; i++)
        if (!product->chains[i])
            values[i] = evaluator_value(lowering->evaluator, lower_output_node(lowering, i), lowering->env);
    if (product->round) values[0] = rounds_result(product, values[0], tile);
    for (uint32_t i = 0; i < count; i++)
        if (!product->chains[i]) lower_store(lowering, i, values[i]);
}

static void open_rows(Product *product) {
    Lowering *lowering = product->lowering;
    if (product->row_pieces) {
        lower_open(lowering, LOOP_ROWS, product->rows, product->row_pieces, product->tile_rows, true);
        return;
    }
    const char *name = product->rows.rank ? lower_loop_name(lowering, product->rows) : "one";
    product->row = tile_loop(lowering->builder, LOOP_ROWS, name, product->row_count, 0, product->tile_rows, true);
    lower_place(lowering, product->rows, tile_index_plus(product->first_row, product->row, 1));
}

// All rows at hand against `width` lanes from `start`.
static void emit_panel(Product *product, const Block *block, TileIndex start, int64_t width) {
    Lowering *lowering = product->lowering;
    int depth = tile_open_loops(lowering->builder);
    open_rows(product);
    uint32_t step = lanes_step(width, (uint32_t)product->tile_lanes);
    TileValue lane;
    if (product->lanes.rank == 1 && lower_in_band(lowering, product->lanes.dims[0])) {
        lane = lower_band_loop(lowering, LOOP_LANES, product->lanes.dims[0], start, width, step);
    } else {
        const char *name = product->lanes.rank == 1 ? lower_loop_name(lowering, product->lanes) : "lane";
        lane = tile_loop(lowering->builder, LOOP_LANES, name, width, 0, step, false);
        lower_place(lowering, product->lanes, tile_index_plus(start, lane, 1));
    }
    TileValue tile = multiply_tile(product, block);
    if (block->ends) {
        store_outputs(product, tile);
        sums_take(product, lane);
    } else {
        lower_store(lowering, 0, tile);
    }
    lower_close(lowering, depth);
}

// `lanes` of them, from `start`.
static void emit_panels_from(Product *product, const Block *block, TileIndex start, int64_t lanes) {
    Lowering *lowering = product->lowering;
    int64_t width = product->tile_lanes, full = lanes / width, tail = lanes % width;
    if (full == 1) emit_panel(product, block, start, width);
    if (full > 1) {
        int depth = tile_open_loops(lowering->builder);
        TileValue panel = tile_loop(lowering->builder, LOOP_PLAIN, "panel", full, 0, 0, false);
        emit_panel(product, block, tile_index_plus(start, panel, width), width);
        lower_close(lowering, depth);
    }
    start.constant += full * width;
    if (tail) emit_panel(product, block, start, tail);
}

static void emit_panels(Product *product, const Block *block) {
    Lowering *lowering = product->lowering;
    int64_t total = lower_extent(lowering, product->lanes), run = sums_lanes(lowering);
    if (run == 0 || !block->ends) {
        emit_panels_from(product, block, tile_index(0), total);
        return;
    }
    int depth = tile_open_loops(lowering->builder);
    TileIndex start = tile_index(0);
    if (total > run)
        start = tile_index_plus(start, tile_loop(lowering->builder, LOOP_PLAIN, "run", total / run, 0, 0, false), run);
    sums_empty(product);
    emit_panels_from(product, block, start, run);
    sums_end(product, start);
    lower_close(lowering, depth);
}

// ---- blocks of a long sum

// Summed indices; a shorter sum is one block. Down columns every one is a line of its own.
enum { LONGEST_SUM = 1024, LONGEST_COLUMN = 256 };

static bool reads_down_columns(const Product *product) {
    const Lowering *lowering = product->lowering;
    const Layout **layouts = ARENA_ARRAY(lowering->arena, const Layout *, lowering->step->operand_count);
    for (uint32_t k = 0; k < lowering->step->operand_count; k++)
        layouts[k] = &lowering->plan->values[lowering->step->operands[k]].layout;
    View view;
    DimList summed = product->contraction.summed;
    return view_of(lowering->region, product->contraction.rows_operand, layouts, &view) &&
           view.stride[summed.dims[summed.rank - 1]] != 1;
}

// Three quarters of the first-level cache for a panel's part of a block, when rows are read down their columns: each
// tile then reads all of them; else an eighth of a core's cache, so that a block of rows, a panel and the next one fit.
// As few blocks as that makes, as equal as multiples of 64 are.
static int64_t block_size(const Product *product) {
    const Lowering *lowering = product->lowering;
    DimList summed = product->contraction.summed;
    int64_t total = product_summed_at_once(product);
    if (cut_is_summed(lowering->plan, lowering->step) || target_is_gpu(lowering->target)) return 0;
    bool down_columns = reads_down_columns(product);
    bool is_short = total <= (down_columns ? LONGEST_COLUMN : LONGEST_SUM);
    if (is_short || lower_merged_suffix(lowering, summed) != summed.rank) return 0;
    if (lower_output(lowering, 0)->dtype != DTYPE_F32 || lowering->step->band.is_set) return 0;
    const Value *output = lower_output(lowering, 0);
    bool is_update = output->next_of != VALUE_NONE && step_reads(lowering->step, output->next_of);
    if (output->is_over || is_update) return 0;   // the epilogue reads what lies there
    double room = down_columns ? 0.75 * lowering->target->l1_bytes : lowering->target->l2_bytes / 8;
    int64_t fit = (int64_t)room / (product->tile_lanes * (int64_t)sizeof(float));
    int64_t most = fit / 64 * 64;
    if (most < 64 || most >= total) return 0;
    int64_t blocks = (total - 1) / most + 1;
    return ((total - 1) / blocks / 64 + 1) * 64;
}

void product_emit_blocks(Product *product) {
    TileBuilder *builder = product->lowering->builder;
    int64_t block = product->block, total = product_summed_at_once(product);
    TileIndex begin = product->round ? product->lowering->share : tile_index(0);
    if (product->sums_range) {
        emit_panels(product, &(Block){.start = product->lowering->share, .count = product->range, .ends = true});
        return;
    }
    if (block == 0) {
        emit_panels(product, &(Block){.start = begin, .count = product->round, .ends = true});
        return;
    }
    int64_t before_last = (total - 1) / block;   // whole blocks, the last one left out
    emit_panels(product, &(Block){.start = begin, .count = block});
    if (before_last > 1) {
        int depth = tile_open_loops(builder);
        TileValue middle = tile_loop(builder, LOOP_PLAIN, "block", before_last - 1, 0, 0, false);
        TileIndex start = tile_index_plus(tile_index_sum(begin, tile_index(block), 1), middle, block);
        emit_panels(product, &(Block){.start = start, .count = block, .continues = true});
        lower_close(product->lowering, depth);
    }
    int64_t done = before_last * block;
    TileIndex last = tile_index_sum(begin, tile_index(done), 1);
    emit_panels(product, &(Block){.start = last, .count = total - done, .continues = true, .ends = true});
}

// ---- the loops around it

// Whether the cut dims are the first rows dims: then each piece has whole rows, and tiles span them.
static bool cut_leads_rows(const Product *product, const Cut *cut) {
    if (cut->dims.rank == 0 || cut->dims.rank > product->contraction.rows.rank) return false;
    for (int i = 0; i < cut->dims.rank; i++)
        if (cut->dims.dims[i] != product->contraction.rows.dims[i]) return false;
    return true;
}

// Equal pieces begin at a multiple of their length, so that their loops have one constant count.
static void open_own_rows(Product *product, const Cut *cut) {
    if (cut->total % cut->pieces != 0) {
        if (!rows_open_uneven(product, cut)) product->row_pieces = cut->pieces;
        return;
    }
    TileValue piece = tile_loop(product->lowering->builder, LOOP_PIECE, "piece", cut->pieces, cut->pieces, 0, false);
    product->row_count = cut->total / cut->pieces;
    product->first_row = tile_index_plus(tile_index(0), piece, product->row_count);
}

// Tiles of rows are along the band's dim alone.
static void open_rows_beside_band(Product *product) {
    Lowering *lowering = product->lowering;
    DimSet band = 0;
    for (int i = 0; i < product->rows.rank; i++)
        if (lower_in_band(lowering, product->rows.dims[i])) band |= dim_bit(product->rows.dims[i]);
    if (band == 0) return;
    lower_open_each(lowering, dim_list_without(product->rows, band));
    product->rows = dim_list_without(product->rows, dim_list_set(&product->rows) & ~band);
}

// A piece is a range of rows of one matrix, or of what is summed over.
static bool open_ranged(Product *product) {
    Lowering *lowering = product->lowering;
    const DimList *cut = &lowering->step->cut.dims;
    CutRanges ranges;
    if (!lower_open_range(lowering, &ranges)) return false;
    product->ranged = true;
    product->range = ranges.rows;
    product->along = cut->dims[cut->rank - 1];
    product->rows = dim_list_without(product->contraction.rows, dim_list_set(cut) & ~dim_bit(product->along));
    product->sums_range = cut_is_summed(lowering->plan, lowering->step);
    if (product->sums_range) {
        open_rows_beside_band(product);
        product->row_count = lower_extent(lowering, product->rows);
        return true;
    }
    CHECK(product->rows.rank == 1 && product->rows.dims[0] == product->along);
    product->first_row = lowering->share;
    product->row_count = ranges.rows;
    return true;
}

// One matrix, or a piece's rows of it.
static void open_rows_of_cut(Product *product) {
    Lowering *lowering = product->lowering;
    const Contraction *contraction = &product->contraction;
    const Cut *cut = &lowering->step->cut;
    DimSet cut_set = lower_cut_set(lowering);
    product->rows = contraction->rows;
    product->row_count = lower_extent(lowering, product->rows);
    if (open_ranged(product) || rounds_open(product)) return;
    if (cut_is_summed(lowering->plan, lowering->step)) lower_open_summed_cut(lowering);
    if (cut_set && cut_leads_rows(product, cut) && cut->dims.rank == contraction->rows.rank) {
        open_own_rows(product, cut);
        return;
    }
    lower_open_cut(lowering);
    product->rows = dim_list_without(contraction->rows, cut_set);
    open_rows_beside_band(product);
    product->row_count = lower_extent(lowering, product->rows);
}

static void open_outer(Product *product) {
    Lowering *lowering = product->lowering;
    const Contraction *contraction = &product->contraction;
    product->first_row = tile_index(0);
    open_rows_of_cut(product);
    DimSet cut_set = lower_cut_set(lowering) | (product->ranged ? dim_list_set(&lowering->step->cut.dims) : 0);
    lower_open_each(lowering, dim_list_without(contraction->batch, cut_set));
    DimList lanes = dim_list_without(contraction->lanes, cut_set);
    int merged = lower_merged_suffix(lowering, lanes);
    lower_open_each(lowering, dim_list_slice(lanes, 0, lanes.rank - merged));
    product->lanes = dim_list_slice(lanes, lanes.rank - merged, lanes.rank);
}

// Panels of the lanes operand one behind the other, read whole by every piece, and not there from before.
static bool streams_panels(const Product *product) {
    const Lowering *lowering = product->lowering;
    const Contraction *contraction = &product->contraction;
    const Node *operand = graph_node(lowering->region, contraction->lanes_operand);
    bool is_even = !product->row_pieces && !lowering->step->band.is_set;
    if (operand->op != OP_OPERAND || contraction->batch.rank > 0 || !is_even ||
        lower_merged_suffix(lowering, contraction->summed) != contraction->summed.rank)
        return false;
    int64_t summed = product->block ? product->block : product_summed_at_once(product);
    if ((double)(summed * product->tile_lanes) * sizeof(float) > lowering->target->l2_bytes / 4) return false;
    const Value *value = &lowering->plan->values[lowering->step->operands[operand->attr.integer]];
    if (dim_list_set(&lowering->step->cut.dims) & dim_list_set(&value->order)) return false;
    const LayoutPiece *first = &value->layout.pieces[0];
    return first->divisor == product->tile_lanes && first->extent > 1 &&
           (double)layout_elements(&value->layout) * (double)dtype_bytes(value->dtype) > lowering->target->l1_bytes;
}

// ---- the door

void lower_product(Lowering *lowering) {
    Product product = {.lowering = lowering,
                       .tile_rows = lowering->step->tile_rows ? lowering->step->tile_rows : DEFAULT_ROWS,
                       .tile_lanes = lowering->step->tile_lanes ? lowering->step->tile_lanes : DEFAULT_LANES};
    product.contraction = contraction_of(lowering->region, find_contract(lowering), lower_output(lowering, 0)->order);
    product.round = rounds_length(lowering);
    product.block = block_size(&product);
    open_outer(&product);
    product.streams = streams_panels(&product);
    lowering->revisits = product.block > 0 || product.round > 0;
    if (product.round)
        rounds_emit(&product);
    else
        rows_emit(&product);
    lower_close(lowering, 0);
}
