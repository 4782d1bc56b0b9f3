// A sweep's region, seen as products of products.
//
// In: a step whose `inner` is one dim. Out: which contractions make tiles and which multiply them on, or the first
// thing that keeps the region from being computed tile by tile.
//
//     %3 = contract f32[B,H,T,S] %q %k over(D)       inner: has the swept dim S
//     %4 = lse f32[B,H,T] %3 over(S)
//     %5 = sub f32[B,H,T,S] %3 %4
//     %6 = exp f32[B,H,T,S] %5                       a multiple of it is what the outer product multiplies
//     %7 = contract f32[B,T,H,D] %6 %v over(S)       outer: sums over S
#include "ir/plan.h"

enum { MULTIPLE = 64, ALIGNED_BYTES = 16, MOST_DEPTH = 128, DEPTH_UNIT = 16 };

typedef struct {
    const Graph *region;
    const bool *live;
    Arena *arena;
    Sweeping *sweep;
    bool *of_tile;     // by node: depends on an inner product
    uint8_t *outers;   // which outer ones it depends on, a bit each
    DimSet shared;     // what these sum over beside the swept dim
} Finding;

static const Node *node_at(const Finding *finding, NodeId id) {
    return graph_node(finding->region, id);
}

// ---- the products

// The longest dim of the tile that the other factor lacks; heads that share keys are another one.
static const char *find_rows(Finding *finding, const Node *tile, const Node *lanes) {
    Sweeping *sweep = finding->sweep;
    DimId rows = DIM_NONE;
    for (int i = 0; i < tile->order.rank; i++) {
        DimId dim = tile->order.dims[i];
        if (dim == sweep->swept || dim_in(lanes->dims, dim)) continue;
        bool is_longer = rows == DIM_NONE || graph_extent(finding->region, dim) >= graph_extent(finding->region, rows);
        if (is_longer) rows = dim;
    }
    if (rows == DIM_NONE) return "multiplies its tiles with what has their rows";
    if (sweep->rows != DIM_NONE && sweep->rows != rows) return "has outer products of other rows";
    sweep->rows = rows;
    return NULL;
}

static const char *add_outer(Finding *finding, NodeId id) {
    Sweeping *sweep = finding->sweep;
    const Node *node = node_at(finding, id);
    int tile = finding->of_tile[node->operands[1]] ? 1 : 0;
    NodeId lanes = node->operands[1 - tile];
    if (sweep->outer_count == SWEEP_MOST) return "has more than two outer products";
    if (!finding->of_tile[node->operands[tile]]) return "sums over the swept dim what is no tile";
    if (!node_is_view(finding->region, lanes)) return "multiplies its tiles with no view of an operand";
    DimSet own = node_at(finding, lanes)->dims & ~node_at(finding, node->operands[tile])->dims;
    int k = sweep->outer_count++;
    sweep->outer[k] = id;
    sweep->outer_tile[k] = node->operands[tile];
    sweep->outer_lanes[k] = lanes;
    if (dim_count(own) != 1) return "has an outer product with more than one dim of lanes";
    sweep->lanes[k] = dim_first(own);
    DimSet shared = node->attr.set & ~dim_bit(sweep->swept);
    if (k > 0 && shared != finding->shared) return "has outer products that sum over different dims";
    finding->shared = shared;
    return find_rows(finding, node_at(finding, node->operands[tile]), node_at(finding, lanes));
}

static const char *add_inner(Finding *finding, NodeId id) {
    Sweeping *sweep = finding->sweep;
    const Node *node = node_at(finding, id);
    int lanes = dim_in(node_at(finding, node->operands[1])->dims, sweep->swept) ? 1 : 0;
    if (sweep->inner_count == SWEEP_MOST) return "has more than two inner products";
    if (!node_is_view(finding->region, node->operands[0]) || !node_is_view(finding->region, node->operands[1]))
        return "makes its tiles of no views of operands";
    if (dim_in(node_at(finding, node->operands[1 - lanes])->dims, sweep->swept))
        return "has an inner product both of whose factors move along the swept dim";
    if (dim_count(node->attr.set) != 1) return "has an inner product over more than one dim";
    int k = sweep->inner_count++;
    sweep->inner[k] = id;
    sweep->inner_rows[k] = node->operands[1 - lanes];
    sweep->inner_lanes[k] = node->operands[lanes];
    sweep->inner_summed[k] = dim_first(node->attr.set);
    finding->of_tile[id] = true;
    return NULL;
}

static const char *add_node(Finding *finding, NodeId id) {
    Sweeping *sweep = finding->sweep;
    const Node *node = node_at(finding, id);
    for (uint32_t k = 0; k < node->operand_count; k++) {
        finding->of_tile[id] |= finding->of_tile[node->operands[k]];
        finding->outers[id] |= finding->outers[node->operands[k]];
    }
    if (node->op == OP_CONTRACT && dim_in(node->attr.set, sweep->swept)) {
        finding->outers[id] = (uint8_t)(1u << sweep->outer_count);
        finding->of_tile[id] = false;
        return add_outer(finding, id);
    }
    if (node->op == OP_CONTRACT) return finding->of_tile[id] ? "multiplies tiles otherwise" : add_inner(finding, id);
    if (node->op == OP_LSE && node->attr.set == dim_bit(sweep->swept) && sweep->lse == NODE_NONE) {
        sweep->lse = id;
        return finding->of_tile[id] ? NULL : "has an lse of what is no tile";
    }
    bool is_plain = op_class(node->op) == CLASS_POINTWISE || op_class(node->op) == CLASS_SOURCE ||
                    op_is_view(node->op) || node->op == OP_STOP_GRADIENT;
    if (!is_plain || (op_class(node->op) == CLASS_MOVE && (finding->of_tile[id] || finding->outers[id])))
        return arena_format(finding->arena, "holds a %s", op_name(node->op));
    return NULL;
}

// ---- dims

static const char *check_dims(const Finding *finding) {
    Sweeping *sweep = finding->sweep;
    if (sweep->inner_count == 0 || sweep->outer_count == 0) return "has no products of products";
    const Node *first = node_at(finding, sweep->inner[0]);
    DimSet tile = first->dims;
    DimSet sides = dim_bit(sweep->rows) | dim_bit(sweep->swept);
    sweep->places = dim_list_without(first->order, sides | finding->shared);
    sweep->shared = dim_list_without(first->order, ~finding->shared);
    if (finding->shared & (sides | ~tile)) return "sums over its rows, or over dims that its tiles lack";
    if (finding->shared && sweep->lse != NODE_NONE) return "sums over more than its lse does";
    if (!dim_in(tile, sweep->rows) || !dim_in(tile, sweep->swept)) return "has tiles without rows";
    for (int k = 0; k < sweep->inner_count; k++) {
        bool has_rows = dim_in(node_at(finding, sweep->inner_rows[k])->dims, sweep->rows);
        if (node_at(finding, sweep->inner[k])->dims != tile) return "has inner products of several shapes";
        if (!has_rows || dim_in(node_at(finding, sweep->inner_lanes[k])->dims, sweep->rows))
            return "has an inner product whose rows and columns are not a factor's each";
        if (node_at(finding, sweep->inner_rows[k])->dims & finding->shared)
            return "has rows that move along what it sums over";
    }
    for (int k = 0; k < sweep->outer_count; k++) {
        DimSet result = (tile & ~node_at(finding, sweep->outer[k])->attr.set) | dim_bit(sweep->lanes[k]);
        if (node_at(finding, sweep->outer[k])->dims != result) return "has results of other dims than its tiles";
    }
    return NULL;
}

static const char *check_outputs(const Finding *finding) {
    const Sweeping *sweep = finding->sweep;
    for (uint32_t i = 0; i < graph_outputs(finding->region); i++) {
        NodeId id = graph_output_at(finding->region, i)->node;
        uint8_t outers = finding->outers[id];
        if (id == sweep->lse) continue;
        if (outers == 0 || (outers & (outers - 1)) || finding->of_tile[id])
            return "has an output that is made of no outer product, or of several";
        int k = outers == 1 ? 0 : 1;
        if (node_at(finding, id)->dims != node_at(finding, sweep->outer[k])->dims)
            return "has an output of other dims than its outer product";
    }
    return NULL;
}

// ---- lse, known when the last tile has passed

static bool is_zero(const Node *node) {
    return node->op == OP_CONST && !node->attr.table && node->attr.value == 0;
}

// Whether a node is `of` times something that does not depend on it. `depends`: by node.
static bool is_multiple(const Finding *finding, NodeId id, NodeId of, const bool *depends) {
    const Node *node = node_at(finding, id);
    if (id == of) return true;
    const NodeId *operands = node->operands;
    switch (node->op) {
    case OP_NEG: return is_multiple(finding, operands[0], of, depends);
    case OP_DIV: return !depends[operands[1]] && is_multiple(finding, operands[0], of, depends);
    case OP_MUL: {
        int own = depends[operands[1]] ? 1 : 0;
        return !depends[operands[1 - own]] && is_multiple(finding, operands[own], of, depends);
    }
    case OP_WHERE:
        if (depends[operands[0]]) return false;
        for (int k = 1; k < 3; k++)
            if (!is_zero(node_at(finding, operands[k])) && !is_multiple(finding, operands[k], of, depends))
                return false;
        return true;
    default: return false;
    }
}

static const char *check_lse(const Finding *finding) {
    Sweeping *sweep = finding->sweep;
    if (sweep->lse == NODE_NONE) return NULL;
    NodeId scores = node_at(finding, sweep->lse)->operands[0], difference = NODE_NONE;
    bool *depends = ARENA_ARRAY(finding->arena, bool, graph_nodes(finding->region));
    depends[sweep->lse] = true;
    for (NodeId id = sweep->lse + 1; id < graph_nodes(finding->region); id++) {
        const Node *node = node_at(finding, id);
        for (uint32_t k = 0; finding->live[id] && k < node->operand_count; k++) {
            depends[id] |= depends[node->operands[k]];
            bool is_sub = node->op == OP_SUB && k == 1 && node->operands[0] == scores;
            if (node->operands[k] == sweep->lse && !is_sub) return "uses lse for more than exp(x - lse)";
            if (node->operands[k] == difference && node->op != OP_EXP) return "uses lse for more than exp(x - lse)";
            if (node->operands[k] == difference) sweep->exponential = id;
            if (node->operands[k] == sweep->lse) difference = id;
        }
    }
    for (int k = 0; k < sweep->outer_count; k++) {
        bool is_linear =
            sweep->exponential != NODE_NONE && is_multiple(finding, sweep->outer_tile[k], sweep->exponential, depends);
        if (!is_linear) return "multiplies on what is no multiple of exp(x - lse)";
    }
    return NULL;
}

const char *sweep_of(const Step *step, Arena *arena, Sweeping *sweep) {
    uint32_t nodes = graph_nodes(step->region);
    *sweep = (Sweeping){.rows = DIM_NONE, .lse = NODE_NONE, .exponential = NODE_NONE};
    if (dim_count(step->inner) != 1) return "sweeps over other than one dim";
    sweep->swept = dim_first(step->inner);
    Finding finding = {.region = step->region,
                       .live = graph_live(step->region, arena),
                       .arena = arena,
                       .sweep = sweep,
                       .of_tile = ARENA_ARRAY(arena, bool, nodes),
                       .outers = ARENA_ARRAY(arena, uint8_t, nodes)};
    for (NodeId id = 0; id < nodes; id++) {
        const char *wrong = finding.live[id] ? add_node(&finding, id) : NULL;
        if (wrong) return wrong;
    }
    const char *wrong = check_dims(&finding);
    if (!wrong) wrong = check_outputs(&finding);
    return wrong ? wrong : check_lse(&finding);
}

// ---- how factors lie

static const char *view_refusal(const Plan *plan, const Step *step, NodeId node, DimId contiguous) {
    const Layout **layouts = ARENA_ARRAY(plan->arena, const Layout *, step->operand_count);
    View view;
    for (uint32_t k = 0; k < step->operand_count; k++)
        layouts[k] = &plan->values[step->operands[k]].layout;
    if (!view_of(step->region, node, layouts, &view)) return "is no view of a plain layout";
    const Value *value = &plan->values[step->operands[view.operand]];
    DType dtype = step->tensor.kind == TENSOR_BF16 ? DTYPE_BF16 : DTYPE_F16;
    int64_t extent = graph_extent(plan->dims, contiguous), unit = ALIGNED_BYTES / (int64_t)dtype_bytes(dtype);
    if (value->dtype != dtype) return "is not in memory in 16 bits";
    if (value->parts > 1) return "is a sum of parts";
    if (view.stride[contiguous] != 1) return "has other elements than its lanes, or summed ones, side by side";
    if (extent % DEPTH_UNIT != 0 || extent > MOST_DEPTH) return "has lines that are no multiple of 16, or over 128";
    for (DimId dim = 0; dim < graph_dims(plan->dims); dim++)
        if (dim != contiguous && view.stride[dim] % unit != 0) return "is not at multiples of 16 bytes";
    return view.offset % unit ? "begins elsewhere than at a multiple of 16 bytes" : NULL;
}

const char *step_sweep_refusal(const Plan *plan, const Step *step) {
    Sweeping sweep;
    const char *wrong = sweep_of(step, plan->arena, &sweep);
    if (wrong) return arena_format(plan->arena, "it %s", wrong);
    int64_t rows = graph_extent(plan->dims, sweep.rows), swept = graph_extent(plan->dims, sweep.swept);
    if (rows % MULTIPLE || swept % MULTIPLE || rows % step->tensor.rows)
        return "it has rows or columns that are no multiple of a tile";
    for (int k = 0; k < sweep.inner_count && !wrong; k++) {
        wrong = view_refusal(plan, step, sweep.inner_rows[k], sweep.inner_summed[k]);
        if (!wrong) wrong = view_refusal(plan, step, sweep.inner_lanes[k], sweep.inner_summed[k]);
    }
    for (int k = 0; k < sweep.outer_count && !wrong; k++)
        wrong = view_refusal(plan, step, sweep.outer_lanes[k], sweep.lanes[k]);
    return wrong ? arena_format(plan->arena, "a factor %s", wrong) : NULL;
}
