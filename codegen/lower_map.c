// Form map: every output element is a function of operands at that index.
//
//     out f32[B,T,C] = add x b       ->   piece BT            (the cut dims, one row at a time)
//                                           lanes C step 32
//                                             store add(load x, load b)
//
// Loops follow the memory order of the output, dims that lie together in every value are walked as one, and the
// innermost loop runs in lanes. Outputs of the same dims share their loops; all are computed before any is stored,
// since an output may lie over an operand. A loop over the entries of a stack is unrolled, so that each entry reads
// only its own operand. An output that is the same as another one in another layout is made of that one
// (lower_copies.c).
#include "base/diag.h"
#include "codegen/lower.h"

enum { MAP_LANES = 32, UNROLL_LIMIT = 4 };

typedef struct {
    Lowering *lowering;
    uint32_t outputs[64];
    uint32_t output_count;
    DimList plain, lanes; // loops outside, and the dims of the lanes loop
    bool lanes_are_cut;   // the lanes loop walks the piece's own range
} Nest;

// Two registers' lanes at once wait for their loads together. A GPU has more workers for that.
static uint32_t map_step(const Lowering *lowering, int64_t extent) {
    return lanes_step(extent, target_is_gpu(lowering->target) ? TILE_LANES : MAP_LANES);
}

static void emit_body(const Nest *nest) {
    Lowering *lowering = nest->lowering;
    TileValue values[64];
    for (uint32_t i = 0; i < nest->output_count; i++)
        values[i] = evaluator_value(lowering->evaluator, lower_output_node(lowering, nest->outputs[i]), lowering->env);
    for (uint32_t i = 0; i < nest->output_count; i++)
        lower_store(lowering, nest->outputs[i], values[i]);
}

// ---- the lanes loop

// Inner extent of a merge into `dim`, 0 when there is none: then `dim` is walked in runs of that extent, in which both
// merged dims are affine.
static int64_t merge_run(const Lowering *lowering, DimId dim) {
    for (NodeId id = 0; id < graph_nodes(lowering->region); id++) {
        const Node *node = graph_node(lowering->region, id);
        if (lowering->live[id] && node->op == OP_MERGE && node->attr.to == dim)
            return graph_extent(lowering->region, node->attr.inner);
    }
    return 0;
}

static void emit_run(const Nest *nest, DimId dim, int64_t run, TileIndex start) {
    Lowering *lowering = nest->lowering;
    const char *name = graph_dim_name(lowering->plan->dims, dim);
    int depth = tile_open_loops(lowering->builder);
    TileValue lane = tile_loop(lowering->builder, LOOP_LANES, name, run, 0, map_step(lowering, run), false);
    lowering->env[dim] = tile_index_plus(start, lane, 1);
    emit_body(nest);
    lower_close(lowering, depth);
}

static void emit_runs(const Nest *nest, DimId dim, int64_t run) {
    Lowering *lowering = nest->lowering;
    int64_t runs = graph_extent(lowering->plan->dims, dim) / run;
    if (runs <= UNROLL_LIMIT) {
        for (int64_t i = 0; i < runs; i++)
            emit_run(nest, dim, run, tile_index(i * run));
        return;
    }
    int depth = tile_open_loops(lowering->builder);
    const char *name = graph_dim_name(lowering->plan->dims, dim);
    TileValue outer = tile_loop(lowering->builder, LOOP_PLAIN, name, runs, 0, 0, false);
    emit_run(nest, dim, run, tile_index_plus(tile_index(0), outer, run));
    lower_close(lowering, depth);
}

static void emit_lanes(const Nest *nest) {
    Lowering *lowering = nest->lowering;
    int64_t extent = lower_extent(lowering, nest->lanes);
    int64_t run = nest->lanes.rank == 1 && !nest->lanes_are_cut ? merge_run(lowering, nest->lanes.dims[0]) : 0;
    if (run > 1 && run < extent) {
        emit_runs(nest, nest->lanes.dims[0], run);
        return;
    }
    int depth = tile_open_loops(lowering->builder);
    uint32_t pieces = nest->lanes_are_cut ? lowering->step->cut.pieces : 0;
    LoopKind kind = extent > 1 ? LOOP_LANES : LOOP_PLAIN;
    lower_open(lowering, kind, nest->lanes, pieces, kind == LOOP_LANES ? map_step(lowering, extent) : 0, false);
    emit_body(nest);
    lower_close(lowering, depth);
}

// ---- the loops around it

static bool is_stacked(const Lowering *lowering, DimId dim) {
    if (graph_extent(lowering->plan->dims, dim) > UNROLL_LIMIT) return false;
    for (NodeId id = 0; id < graph_nodes(lowering->region); id++) {
        const Node *node = graph_node(lowering->region, id);
        if (lowering->live[id] && node->op == OP_STACK && node->attr.to == dim) return true;
    }
    return false;
}

static void emit_plain(const Nest *nest, int at) {
    Lowering *lowering = nest->lowering;
    if (at == nest->plain.rank) {
        emit_lanes(nest);
        return;
    }
    DimId dim = nest->plain.dims[at];
    if (is_stacked(lowering, dim)) {
        for (int64_t entry = 0; entry < graph_extent(lowering->plan->dims, dim); entry++) {
            lowering->env[dim] = tile_index(entry);
            emit_plain(nest, at + 1);
        }
        return;
    }
    int depth = tile_open_loops(lowering->builder);
    lower_open(lowering, LOOP_PLAIN, dim_list_slice(nest->plain, at, at + 1), 0, 0, false);
    emit_plain(nest, at + 1);
    lower_close(lowering, depth);
}

static DimList layout_order(const Layout *layout) {
    DimList order = {0};
    for (int i = 0; i < layout->count; i++)
        order.dims[order.rank++] = layout->pieces[i].dims.dims[0];
    return order;
}

static void emit_nest(Nest *nest) {
    Lowering *lowering = nest->lowering;
    DimSet cut = lower_cut_set(lowering);
    DimList rest = dim_list_without(layout_order(&lower_output(lowering, nest->outputs[0])->layout), cut);
    int depth = tile_open_loops(lowering->builder);
    if (cut && lower_extent(lowering, rest) == 1) {
        lower_place(lowering, rest, tile_index(0));
        nest->lanes = lowering->step->cut.dims;
        nest->lanes_are_cut = true;
    } else {
        lower_open_cut(lowering);
        int merged = lower_merged_suffix(lowering, rest);
        nest->plain = dim_list_slice(rest, 0, rest.rank - merged);
        nest->lanes = dim_list_slice(rest, rest.rank - merged, rest.rank);
    }
    emit_plain(nest, 0);
    lower_close(lowering, depth);
}

// Outputs that one nest of loops can write: of the same dims, and plain, or in the same panels.
static bool goes_with(const Lowering *lowering, uint32_t first, uint32_t other) {
    const Graph *dims = lowering->plan->dims;
    const Value *a = lower_output(lowering, first), *b = lower_output(lowering, other);
    if (dim_list_set(&a->order) != dim_list_set(&b->order)) return false;
    return layout_is_plain(dims, &a->layout) ? layout_is_plain(dims, &b->layout) : layout_equal(&a->layout, &b->layout);
}

// A copy, in another layout, of one of the nest's outputs; the number of outputs when there is none.
static uint32_t find_copy(const Nest *nest) {
    const Lowering *lowering = nest->lowering;
    uint32_t copy = 0, count = lowering->step->output_count;
    for (; copy < count; copy++) {
        if (!lower_is_turned_copy(lowering, copy)) continue;
        for (uint32_t i = 0; i < nest->output_count; i++)
            if (nest->outputs[i] == lower_first_output_of(lowering, copy)) return copy;
    }
    return copy;
}

void lower_map(Lowering *lowering) {
    uint32_t count = lowering->step->output_count;
    if (count > 64) BUG("a map box with %u outputs", count);
    uint64_t done = 0;
    for (uint32_t first = 0; first < count; first++) {
        if (done >> first & 1 || lower_is_turned_copy(lowering, first)) continue;
        Nest nest = {.lowering = lowering};
        for (uint32_t i = first; i < count; i++) {
            if (!goes_with(lowering, first, i) || lower_is_turned_copy(lowering, i)) continue;
            nest.outputs[nest.output_count++] = i;
            done |= (uint64_t)1 << i;
        }
        uint32_t copy = find_copy(&nest);
        if (copy < count)
            lower_update_with_copies(lowering, nest.outputs, nest.output_count, copy);
        else if (layout_is_plain(lowering->plan->dims, &lower_output(lowering, first)->layout))
            emit_nest(&nest);
        else
            lower_panels(lowering, nest.outputs, nest.output_count);
    }
}
