// fold_sums: a sum over the lanes of what a tiled product writes is made in the product's epilogue.
//
// requires  layouts, panels, cuts, strands, chains
// ensures   a row step that does nothing but sum what one tiled product writes, along the last of the product's
//           lanes, is part of that product: its tiles are summed before they leave the registers, by the same chains
//           and the same tree, so bits do not change. What was summed is not read again
// does nothing for a product of a strand or one whose pieces add up (what it writes is not the whole value yet), for
//           what a scatter or anything else but a product writes, at other levels than all, and for GPUs, whose tiles
//           are not made one after the other
// ledger    per sum of what a product writes: in its epilogue, or the first condition that failed
//
//     step product            in %x[B,C], %dy[B,F]   out %grad[C,F]        ->   step product  out %grad[C,F], %s[C]
//     step row "square_norm"  in %grad               out %s[C]
//
// A sum's 16 chains go through all panels of its lanes, so they are kept for every row of a piece, and have to fit in
// a part of a core's cache.
#include "passes/access.h"
#include "passes/panels.h"
#include "passes/pass_functions.h"
#include "passes/step_cost.h"

enum { CHAINS = 16 };   // of a sum, by its definition
// Of a core's second-level cache: beside them there are a block of rows, a panel and the next one.
static const double chains_part = 0.125;
static const double most_chains = 1 << 20;   // they are on a thread's stack

typedef struct {
    Plan *plan;
    PassContext *context;
    const uint32_t *writer;   // by value
} Folding;

// ---- the sum

// The sum that is all a row step makes, of pointwise functions of its one operand; NODE_NONE: it makes something else.
static NodeId plain_sum(const Step *step) {
    if (step->form != FORM_ROW || step->operand_count != 1 || step->output_count != 1) return NODE_NONE;
    NodeId sum = graph_output_at(step->region, 0)->node;
    if (graph_node(step->region, sum)->op != OP_SUM) return NODE_NONE;
    for (NodeId id = 0; id < graph_nodes(step->region); id++) {
        const Node *node = graph_node(step->region, id);
        bool is_plain = node->op == OP_OPERAND || node->op == OP_CONST || op_class(node->op) == CLASS_POINTWISE;
        if (id != sum && !is_plain) return NODE_NONE;
    }
    return sum;
}

// ---- whether

static const char *dims_text(const Plan *plan, DimSet set) {
    Text text = text_create(plan->arena);
    for (DimId dim = 0; dim < graph_dims(plan->dims); dim++)
        if (dim_in(set, dim)) text_append(&text, "%s%s", text.length ? "," : "", graph_dim_name(plan->dims, dim));
    return text_string(&text);
}

// Whether `set` is the last dims of the list.
static bool ends_with(const DimList *list, DimSet set) {
    for (int i = list->rank; i-- > 0 && set; set &= ~dim_bit(list->dims[i]))
        if (!dim_in(set, list->dims[i])) return false;
    return set == 0;
}

// Panels of the lanes, or the lanes one after the other.
static bool ends_in_lanes(const Layout *layout, const DimList *lanes) {
    if (dim_list_equal(&layout->pieces[layout->count - 1].dims, lanes)) return true;
    if (layout->count < lanes->rank) return false;
    for (int i = 0; i < lanes->rank; i++) {
        const LayoutPiece *piece = &layout->pieces[layout->count - lanes->rank + i];
        if (piece->divisor != 1) return false;
        if (piece->dims.rank != 1 || piece->dims.dims[0] != lanes->dims[i]) return false;
    }
    return true;
}

// Whether the lanes are walked as one: whatever the product reads or writes has none of them, or ends in them.
static bool lanes_are_one(const Plan *plan, const Step *step, const Contraction *contraction) {
    DimSet lanes = dim_list_set(&contraction->lanes);
    if (contraction->lanes.rank == 1) return true;
    for (uint32_t k = 0; k < step->output_count; k++) {
        const Value *value = &plan->values[step->outputs[k]];
        if (value->order.rank == contraction->rows.rank + contraction->lanes.rank &&
            !ends_in_lanes(&value->layout, &contraction->lanes))
            return false;
    }
    for (NodeId id = 0; id < graph_nodes(step->region); id++) {
        const Node *node = graph_node(step->region, id);
        if (op_is_view(node->op)) return false;
        if (node->op != OP_OPERAND || !(node->dims & lanes)) continue;
        if (!ends_in_lanes(&plan->values[step->operands[node->attr.integer]].layout, &contraction->lanes)) return false;
    }
    return true;
}

static const char *chains_refusal(const Folding *folding, int64_t rows, double most) {
    double chains = (double)rows * CHAINS * sizeof(float);
    if (chains <= most) return NULL;
    return arena_format(folding->plan->arena, "chains of %lld rows are %.0f bytes, and there is room for %.0f",
                        (long long)rows, chains, most);
}

static const char *cut_refusal(const Folding *folding, const Step *product, const Contraction *contraction) {
    const Cut *cut = &product->cut;
    int64_t rows = graph_elements(folding->plan->dims, dim_list_set(&contraction->rows));
    for (int i = 0; i < cut->dims.rank && cut->pieces > 1; i++)
        if (i >= contraction->rows.rank || contraction->rows.dims[i] != cut->dims.dims[i])
            return "its pieces are not of the product's rows";
    if (cut->total % cut->pieces != 0)
        return arena_format(folding->plan->arena, "%lld rows make no %u equal pieces", (long long)cut->total,
                            cut->pieces);
    return chains_refusal(folding, rows / cut->pieces, most_chains);
}

// A product makes sums of one length only.
static bool has_other_sum(const Step *product, DimSet summed) {
    for (NodeId id = 0; id < graph_nodes(product->region); id++) {
        const Node *node = graph_node(product->region, id);
        if (node->op == OP_SUM && node->attr.set != summed) return true;
    }
    return false;
}

static const char *fold_refusal(const Folding *folding, uint32_t s, uint32_t p, NodeId sum) {
    const Plan *plan = folding->plan;
    const Step *product = &plan->steps[p], *step = &plan->steps[s];
    const Value *value = &plan->values[step->operands[0]];
    Contraction contraction = product_contraction(plan, product);
    DimSet summed = graph_node(step->region, sum)->attr.set;
    int64_t run = graph_elements(plan->dims, summed);
    int64_t lanes = graph_elements(plan->dims, dim_list_set(&contraction.lanes));
    if (plan_in_strand(plan, p) || plan_in_strand(plan, s)) return "it is in a strand";
    if (product->cut.groups || value->parts > 1 || cut_sums_rounds(plan, product))
        return "pieces of the product add to what others left";
    if (value->dtype != DTYPE_F32) return arena_format(plan->arena, "the product writes %s", dtype_name(value->dtype));
    if (contraction.batch.rank || product->band.is_set) return "the product is of several matrices, or of a band";
    if (!ends_with(&contraction.lanes, summed))
        return arena_format(plan->arena, "{%s} are not the last lanes of the product", dims_text(plan, summed));
    if (run != lanes && run % product->tile_lanes != 0)
        return arena_format(plan->arena, "%lld lanes of a sum are no whole panels of %u", (long long)run,
                            product->tile_lanes);
    if (!lanes_are_one(plan, product, &contraction)) return "the lanes do not lie side by side everywhere";
    if (has_other_sum(product, summed)) return "the product makes sums over other dims";
    return cut_refusal(folding, product, &contraction);
}

static const char *cost_refusal(const Folding *folding, const Step *product) {
    Contraction contraction = product_contraction(folding->plan, product);
    int64_t rows = graph_elements(folding->plan->dims, dim_list_set(&contraction.rows)) / product->cut.pieces;
    return chains_refusal(folding, rows, chains_part * folding->context->target->l2_bytes);
}

static bool is_folded(const Folding *folding, uint32_t s, uint32_t p, NodeId sum) {
    const Plan *plan = folding->plan;
    const Step *step = &plan->steps[s];
    const Value *value = &plan->values[step->operands[0]];
    Decision decision = {.pass = "fold_sums",
                         .what = "sum in a product's epilogue",
                         .place = step->place,
                         .reason = fold_refusal(folding, s, p, sum)};
    bool is_possible = !decision.reason;
    if (is_possible) decision.reason = cost_refusal(folding, &plan->steps[p]);
    decision.made = !decision.reason;
    if (decision.made) decision.reason = "of its tiles, by the same chains";
    choices_decide(folding->context->choices, is_possible, &decision);
    decision.bytes_saved = (double)graph_elements(plan->dims, dim_list_set(&value->order)) * sizeof(float);
    ledger_add(folding->context->ledger, decision);
    return decision.made;
}

// ---- the product with the sum

static NodeId find_result(const Step *step, ValueId value) {
    for (uint32_t k = 0; k < step->output_count; k++)
        if (step->outputs[k] == value) return graph_output_at(step->region, k)->node;
    BUG("%s does not write %%%u", step->label, value);
}

// Copies all of `from` into the region; its operands become `operand` where that is given.
static NodeId *copy_region(Plan *plan, Graph *region, const Graph *from, NodeId operand) {
    NodeId *map = ARENA_ARRAY(plan->arena, NodeId, graph_nodes(from));
    for (NodeId id = 0; id < graph_nodes(from); id++) {
        bool is_given = graph_node(from, id)->op == OP_OPERAND && operand != NODE_NONE;
        map[id] = is_given ? operand : build_copy_mapped(region, from, id, map);
    }
    return map;
}

static void add_output(Plan *plan, Step *step, ValueId value, NodeId node) {
    const char *name = plan->values[value].name;
    if (!name || graph_find_output(step->region, name) != NODE_NONE)
        name = arena_format(plan->arena, "%%%u", step->output_count);
    graph_output(step->region, name, node);
    step->outputs[step->output_count++] = value;
}

static void fold(Plan *plan, Step *product, const Step *step, NodeId sum) {
    const Step old = *product;
    product->region = graph_create_like(plan->arena, plan->dims);
    product->outputs = ARENA_ARRAY(plan->arena, ValueId, old.output_count + 1);
    product->output_count = 0;
    NodeId *map = copy_region(plan, product->region, old.region, NODE_NONE);
    for (uint32_t k = 0; k < old.output_count; k++)
        add_output(plan, product, old.outputs[k], map[graph_output_at(old.region, k)->node]);
    NodeId result = map[find_result(&old, step->operands[0])];
    map = copy_region(plan, product->region, step->region, result);
    add_output(plan, product, step->outputs[0], map[sum]);
    step_cost(plan, product);
}

// ---- the door

bool pass_fold_sums(Plan *plan, PassContext *context) {
    if (context->fuse != FUSE_ALL || target_is_gpu(context->target)) return true;
    Folding folding = {.plan = plan, .context = context, .writer = plan_writers(plan, plan->arena)};
    bool *gone = ARENA_ARRAY(plan->arena, bool, plan->step_count);
    for (uint32_t s = 0; s < plan->step_count; s++) {
        NodeId sum = plain_sum(&plan->steps[s]);
        uint32_t p = sum == NODE_NONE ? STEP_NONE : folding.writer[plan->steps[s].operands[0]];
        if (p == STEP_NONE || !is_tiled_product(&plan->steps[p])) continue;
        gone[s] = is_folded(&folding, s, p, sum);
        if (gone[s]) fold(plan, &plan->steps[p], &plan->steps[s], sum);
    }
    uint32_t count = 0;
    for (uint32_t s = 0; s < plan->step_count; s++)
        if (!gone[s]) plan->steps[count++] = plan->steps[s];
    plan->step_count = count;
    return true;
}
