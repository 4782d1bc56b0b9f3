// What each form of box promises to codegen, checked on the region.
//
// In: a step. Out: NULL, or the promise that its region breaks.
//
//     map      no reduction, contraction or scatter
//     row      reductions over subsets of `inner`, or a scatter that sums over these and is the only result; no
//              contraction
//     product  one contraction of operands seen through views; only pointwise ops from it to every output, and sums of
//              these along the last of its lanes, all of one length
//     sweep    contractions of contractions over its one inner dim, as sweep_of (sweep.c) sees them; on a GPU's tensor
//              cores
#include "ir/plan_checks.h"

// What a node is to its form.
typedef struct {
    const Graph *region;
    const bool *live;
    bool *below_move;     // reached from the outputs through a move or a gather: its dims are other indices
    bool *after_contract;  // depends on the contraction
    NodeId contract;
    DimList order;         // of the contraction's result
    DimSet folded;         // dims of the epilogue's sums
    Arena *arena;
} Region;

// The dims that a node sums over.
static DimSet summed_dims(const Graph *region, const Node *node) {
    if (op_class(node->op) == CLASS_REDUCE || node->op == OP_CONTRACT) return node->attr.set;
    if (!op_scatters(node->op)) return 0;
    DimSet given = graph_node(region, node->operands[0])->dims | graph_node(region, node->operands[1])->dims;
    return given & ~node->dims;
}

static bool sums(const Node *node) {
    return op_class(node->op) == CLASS_REDUCE || node->op == OP_CONTRACT || op_scatters(node->op);
}

static void mark_below_moves(Region *r) {
    for (NodeId id = graph_nodes(r->region); id-- > 0;) {
        const Node *node = graph_node(r->region, id);
        if (!r->live[id]) continue;
        bool shifts = r->below_move[id] || op_class(node->op) == CLASS_MOVE || op_class(node->op) == CLASS_INDEXED;
        for (uint32_t i = 0; i < node->operand_count; i++)
            r->below_move[node->operands[i]] |= shifts;
    }
}

static DimSet output_dims(const Graph *region) {
    DimSet dims = 0;
    for (uint32_t i = 0; i < graph_outputs(region); i++)
        dims |= graph_node(region, graph_output_at(region, i)->node)->dims;
    return dims;
}

static const char *check_sums(const Region *r, DimSet inner) {
    for (NodeId id = 0; id < graph_nodes(r->region); id++) {
        const Node *node = graph_node(r->region, id);
        if (!r->live[id] || !sums(node)) continue;
        if (node->op == OP_CONTRACT) return "holds a contraction";
        if (summed_dims(r->region, node) & ~inner)
            return arena_format(r->arena, "sums (%s) over other dims than its inner ones", op_name(node->op));
        if (!inner) return arena_format(r->arena, "holds a %s but has no inner dims", op_name(node->op));
    }
    return NULL;
}

static const char *check_scatter(const Region *r) {
    for (NodeId id = 0; id < graph_nodes(r->region); id++) {
        if (!r->live[id] || !op_scatters(graph_node(r->region, id)->op)) continue;
        if (graph_outputs(r->region) != 1 || scattering_of(r->region).scatter != id)
            return "holds a scatter that is not its only result";
    }
    return NULL;
}

// Map and row: one loop nest over the outputs' dims and `inner`.
static const char *check_loops(Region *r, DimSet inner) {
    const char *wrong = check_sums(r, inner);
    if (!wrong) wrong = check_scatter(r);
    if (wrong) return wrong;
    DimSet loops = output_dims(r->region) | inner;
    mark_below_moves(r);
    for (NodeId id = 0; id < graph_nodes(r->region); id++) {
        const Node *node = graph_node(r->region, id);
        if (r->live[id] && !r->below_move[id] && (node->dims & ~loops))
            return arena_format(r->arena, "has dims in its %s that are in no output and not inner", op_name(node->op));
    }
    return NULL;
}

static const char *find_contract(Region *r) {
    r->contract = NODE_NONE;
    for (NodeId id = 0; id < graph_nodes(r->region); id++) {
        const Node *node = graph_node(r->region, id);
        if (!r->live[id] || !sums(node) || (node->op == OP_SUM && r->contract != NODE_NONE)) continue;
        if (node->op != OP_CONTRACT || r->contract != NODE_NONE)
            return arena_format(r->arena, "holds a %s beside its contraction", op_name(node->op));
        r->contract = id;
    }
    return r->contract == NODE_NONE ? "holds no contraction" : NULL;
}

static bool is_output(const Graph *region, NodeId id) {
    for (uint32_t i = 0; i < graph_outputs(region); i++)
        if (graph_output_at(region, i)->node == id) return true;
    return false;
}

// A sum of the epilogue: along the last lanes, and a result that nothing else is made of.
static bool is_folded(Region *r, NodeId id) {
    const Node *node = graph_node(r->region, id);
    DimSet left = node->attr.set;
    if (node->op != OP_SUM || !is_output(r->region, id)) return false;
    DimSet dims = graph_node(r->region, r->contract)->dims;
    if (graph_node(r->region, node->operands[0])->dims != dims || dim_list_set(&r->order) != dims) return false;
    if (r->folded && r->folded != left) return false;
    r->folded = left;
    Contraction contraction = contraction_of(r->region, r->contract, r->order);
    for (int i = contraction.lanes.rank; i-- > 0 && left; left &= ~dim_bit(contraction.lanes.dims[i]))
        if (!dim_in(left, contraction.lanes.dims[i])) return false;
    return left == 0;
}

static const char *check_epilogue(Region *r) {
    r->after_contract[r->contract] = true;
    for (NodeId id = r->contract + 1; id < graph_nodes(r->region); id++) {
        const Node *node = graph_node(r->region, id);
        if (!r->live[id]) continue;
        for (uint32_t i = 0; i < node->operand_count; i++)
            r->after_contract[id] |= r->after_contract[node->operands[i]];
        for (uint32_t i = 0; i < node->operand_count; i++)
            if (graph_node(r->region, node->operands[i])->op == OP_SUM) return "makes something of a sum";
        if (node->op == OP_SUM && r->after_contract[id] && is_folded(r, id)) continue;
        if (r->after_contract[id] && op_class(node->op) != CLASS_POINTWISE && node->op != OP_STOP_GRADIENT)
            return arena_format(r->arena, "has a %s after its contraction", op_name(node->op));
    }
    DimSet dims = graph_node(r->region, r->contract)->dims;
    for (uint32_t i = 0; i < graph_outputs(r->region); i++) {
        NodeId id = graph_output_at(r->region, i)->node;
        if (!r->after_contract[id]) return "has an output that does not depend on its contraction";
        if (i > 0 && graph_node(r->region, id)->op == OP_SUM) continue;
        if (graph_node(r->region, id)->dims != dims) return "has an output of other dims than its contraction";
    }
    return NULL;
}

static const char *check_product(Region *r) {
    const char *wrong = find_contract(r);
    if (wrong) return wrong;
    const Node *contract = graph_node(r->region, r->contract);
    if (!node_is_view(r->region, contract->operands[0]) || !node_is_view(r->region, contract->operands[1]))
        return "contracts something that is no view of an operand";
    return check_epilogue(r);
}

static bool is_block_extent(uint32_t extent) {
    return extent == 32 || extent == 64 || extent == 128 || extent == 256;
}

// One warpgroup has 64 rows and lanes in whole lines of 128 bytes, or 128 rows and 128 lanes.
static const char *check_wgmma(const Plan *plan, const Step *step) {
    const TensorTile *tensor = &step->tensor;
    if (tensor->kind != TENSOR_BF16) return "takes wgmma for what is not bf16";
    bool is_row_count = tensor->rows == 64 || tensor->rows == 128 || (tensor->rows == 256 && !tensor->in_turns);
    if (!is_row_count || tensor->lanes % 64 || tensor->lanes == 0 || tensor->lanes > 256)
        return "has blocks for wgmma of other than 64, 128 or 256 rows and 64, 128, 192 or 256 lanes";
    bool is_tall = tensor->rows == 256 || (tensor->rows == 128 && tensor->in_turns);
    if (is_tall && tensor->lanes != 128) return "has 128 rows for a warpgroup and other than 128 lanes";
    if (tensor->stages < 2 || tensor->stages > 8) return "has a ring of less than 2 or more than 8 stages";
    return step_box_refusal(plan, step);
}

static const char *check_tensor(const Step *step) {
    const TensorTile *tensor = &step->tensor;
    bool is_of_warpgroups = tensor->wgmma || tensor->in_turns;
    if (tensor->kind == TENSOR_NONE) return is_of_warpgroups ? "takes wgmma and no tensor cores" : NULL;
    if (step->form == FORM_SWEEP) return NULL;
    if (step->form != FORM_PRODUCT) return "takes tensor cores and is no product";
    if (step->engine != ENGINE_TILES)
        return tensor->rows || tensor->lanes || tensor->stages || tensor->wgmma ? "is a library's and has blocks"
                                                                                : NULL;
    if (tensor->wgmma) return NULL;
    if (tensor->in_turns) return "takes turns without wgmma";
    bool is_low = tensor->rows == 16 && step->cut.groups > 0;   // a chain's: pieces of few rows
    if (!(is_low || is_block_extent(tensor->rows)) || !is_block_extent(tensor->lanes))
        return "has blocks of other extents than 32, 64, 128 and 256";
    return tensor->stages < 2 || tensor->stages > 8 ? "has a ring of less than 2 or more than 8 stages" : NULL;
}

static const char *check_sweep(const Plan *plan, const Step *step, Arena *arena) {
    const TensorTile *tensor = &step->tensor;
    Sweeping sweep;
    if (step->engine != ENGINE_TILES || (tensor->kind != TENSOR_BF16 && tensor->kind != TENSOR_F16) || tensor->wgmma)
        return "sweeps without tensor cores that take 16 bits";
    if ((tensor->rows != 64 && tensor->rows != 128) || (tensor->lanes != 32 && tensor->lanes != 64))
        return "sweeps in other blocks than of 64 or 128 rows and 32 or 64 columns";
    if (tensor->stages < 2 || tensor->stages > 4) return "has a ring of less than 2 or more than 4 stages";
    if (step->cut.pieces > 1 || step->cut.groups) return "is a sweep, and cut";
    const char *wrong = sweep_of(step, arena, &sweep);
    return wrong ? wrong : step_sweep_refusal(plan, step);
}

const char *plan_check_form(const Plan *plan, uint32_t s, Arena *arena) {
    const Step *step = &plan->steps[s];
    uint32_t nodes = graph_nodes(step->region);
    Region region = {.region = step->region,
                     .live = graph_live(step->region, arena),
                     .below_move = ARENA_ARRAY(arena, bool, nodes),
                     .after_contract = ARENA_ARRAY(arena, bool, nodes),
                     .order = plan->values[step->outputs[0]].order,
                     .arena = arena};
    if (step->inner && step->form != FORM_ROW && step->form != FORM_SWEEP)
        return "has inner dims and is neither a row nor a sweep";
    const char *wrong = check_tensor(step);
    if (wrong) return wrong;
    switch (step->form) {
    case FORM_MAP: return check_loops(&region, 0);
    case FORM_ROW: return step->inner ? check_loops(&region, step->inner) : "is a row without inner dims";
    case FORM_PRODUCT:
        wrong = check_product(&region);
        return !wrong && step->tensor.wgmma ? check_wgmma(plan, step) : wrong;
    case FORM_SWEEP: return check_sweep(plan, step, arena);
    }
    return "has no form";
}
