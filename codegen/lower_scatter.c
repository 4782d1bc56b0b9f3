// Scatter: a base, or zeros, and every source element added where its index says.
//
//     out f32[V,C] = base[V,C] + scatter dx[B,T,C] at V = tok[B,T]
//       ->  the piece's own rows of V: out[v,c] = base[v,c], unless out is written over the base
//           loop B, loop T:  guard v = tok[b,t] in the piece:  lanes C:  out[v,c] += dx[b,t,c]
//
// Bits: an element of the result is the base plus its addends in ascending order of the source dims (by dim id), for
// any number of pieces: each piece looks at all sources and takes those that belong to it. An index outside the dim
// adds nowhere.
#include "base/diag.h"
#include "base/planted.h"
#include "codegen/lower.h"

enum { SCATTER_LANES = 32 };

typedef struct {
    Lowering *lowering;
    const Node *node;
    NodeId base;    // NODE_NONE: zeros
    DimId to;
    DimList result; // of the result, in its order
    DimList source; // dims that are added up, ascending
    DimList lanes;  // the innermost result dim, unless it is `to` or cut; else empty
} Scatter;

static DimList source_dims(const Scatter *scatter) {
    const Graph *region = scatter->lowering->region;
    DimSet all =
        graph_node(region, scatter->node->operands[0])->dims | graph_node(region, scatter->node->operands[1])->dims;
    all &= ~(scatter->node->dims & ~dim_bit(scatter->to));
    DimList dims = {0};
    for (DimId dim = 0; dim < MAX_DIMS; dim++)
        if (dim_in(all, dim)) dims.dims[dims.rank++] = dim;
    return dims;
}

static DimList lanes_dims(const Scatter *scatter) {
    if (scatter->result.rank == 0) return (DimList){0};
    DimId last = scatter->result.dims[scatter->result.rank - 1];
    if (last == scatter->to || dim_in(lower_cut_set(scatter->lowering), last)) return (DimList){0};
    return (DimList){.rank = 1, .dims = {last}};
}

static void open_lanes(const Scatter *scatter) {
    if (scatter->lanes.rank == 0) return;
    int64_t extent = lower_extent(scatter->lowering, scatter->lanes);
    lower_open(scatter->lowering, LOOP_LANES, scatter->lanes, 0, lanes_step(extent, SCATTER_LANES), false);
}

static bool lies_there(const Scatter *scatter) {
    const Lowering *lowering = scatter->lowering;
    const Node *base = scatter->base == NODE_NONE ? NULL : graph_node(lowering->region, scatter->base);
    const Value *output = lower_output(lowering, 0);
    if (!base || base->op != OP_OPERAND) return false;
    ValueId operand = lowering->step->operands[base->attr.integer];
    return (output->is_over && output->over == operand) || (output->in_place && output->next_of == operand);
}

static void emit_base(const Scatter *scatter) {
    Lowering *lowering = scatter->lowering;
    int depth = tile_open_loops(lowering->builder);
    lower_open_cut(lowering);
    DimSet walked = lower_cut_set(lowering) | dim_list_set(&scatter->lanes);
    lower_open_each(lowering, dim_list_without(scatter->result, walked));
    open_lanes(scatter);
    TileValue before = scatter->base == NODE_NONE ? tile_const(lowering->builder, DTYPE_F32, 0)
                                                  : evaluator_value(lowering->evaluator, scatter->base, lowering->env);
    lower_store(lowering, 0, before);
    lower_close(lowering, depth);
}

static void add_element(const Scatter *scatter, const TileIndex *source) {
    Lowering *lowering = scatter->lowering;
    const Value *output = lower_output(lowering, 0);
    TileOp op = {.kind = TILE_SCATTER_ADD,
                 .dtype = DTYPE_F32,
                 .buffer = (int)lowering->step->operand_count,
                 .index = evaluator_address(lowering->evaluator, &output->layout, lowering->env),
                 .operand_count = 1};
    // `to` is a place in the result, and may also be a dim of the source that is added up.
    TileIndex place = lowering->env[scatter->to];
    lowering->env[scatter->to] = *source;
    op.operands[0] = evaluator_value(lowering->evaluator, scatter->node->operands[0], lowering->env);
    lowering->env[scatter->to] = place;
    tile_add(lowering->builder, &op);
}

// Result dims that are uniform here, around the guard: with `to` in a cut of several dims, the flat place is guarded.
static void emit_additions(const Scatter *scatter) {
    Lowering *lowering = scatter->lowering;
    const Cut *cut = &lowering->step->cut;
    DimSet cut_set = lower_cut_set(lowering);
    bool cuts_place = dim_in(cut_set, scatter->to);
    if (!cuts_place) lower_open_cut(lowering);
    // Lanes are inside the guard, and the index must not depend on them.
    bool uniform = !(graph_node(lowering->region, scatter->node->operands[1])->dims & dim_list_set(&scatter->lanes));
    DimSet walked = (cuts_place ? 0 : cut_set) | dim_bit(scatter->to) | (uniform ? dim_list_set(&scatter->lanes) : 0);
    lower_open_each(lowering, dim_list_without(scatter->result, walked));
    lower_open_each(lowering, scatter->source);
    TileIndex source = lowering->env[scatter->to];
    TileValue index = evaluator_value(lowering->evaluator, scatter->node->operands[1], lowering->env);
    const char *name = graph_dim_name(lowering->plan->dims, scatter->to);
    bool alone = cuts_place && cut->dims.rank == 1;
    int64_t extent = graph_extent(lowering->plan->dims, scatter->to);
    uint32_t pieces = alone && !PLANTED(scatter_by_every_piece) ? cut->pieces : 0;
    lowering->env[scatter->to] =
        tile_index_of(tile_guard(lowering->builder, name, extent, pieces, index));
    if (cuts_place && !alone) {
        TileIndex flat = tile_index(0);
        for (int i = 0; i < cut->dims.rank; i++)
            flat = tile_index_sum(lowering->env[cut->dims.dims[i]], flat,
                                  graph_extent(lowering->plan->dims, cut->dims.dims[i]));
        tile_guard(lowering->builder, name, cut->total, cut->pieces, tile_index_value(lowering->builder, flat));
    }
    if (uniform) open_lanes(scatter);
    add_element(scatter, &source);
    lower_close(lowering, 0);
}

void lower_scatter(Lowering *lowering) {
    Scattering scattering = scattering_of(lowering->region);
    Scatter scatter = {
        .lowering = lowering, .node = graph_node(lowering->region, scattering.scatter), .base = scattering.base};
    scatter.to = scatter.node->attr.to;
    scatter.result = lower_output(lowering, 0)->order;
    scatter.source = source_dims(&scatter);
    scatter.lanes = lanes_dims(&scatter);
    lowering->revisits = true;
    if (PLANTED(scatter_base_forgotten)) scatter.base = NODE_NONE;
    if (!lies_there(&scatter)) emit_base(&scatter);
    emit_additions(&scatter);
}
