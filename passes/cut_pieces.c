// cut_pieces: into how many parts each step's rows are cut.
//
// requires  layouts and engines
// ensures   every step has a cut along leading dims of its first output's memory; pieces come from shapes and
//           Target.cores only, never from a thread count, so that results do not depend on threads
//
//     out f32[B=12,T,C], 2 cores   ->   cut(B)/4        12 = 4 * 3: also what a step over [B] or [B,H,T] gets
//     out f32[B=1,T=64,C]          ->   cut(B,T)/4
//     a scalar                     ->   cut()/1
//
// Which dims may be cut:  map: all;  row: the rows, of a scatter too;  product: batch dims and rows, since lanes
// share a vector;  a value in panels: its batch dims, or else its lanes, into no more pieces than there are panels.
#include "passes/pass_functions.h"

// Steps of less than this on one core are not worth cutting; in terms of the Target, since a barrier costs about as
// much.
static const double least_seconds = 2e-6;
// Vector code with functions in it reaches about this part of the multiply-add peak.
static const double pointwise_speed = 0.125;

static bool is_tiny(const Step *step, const Target *target) {
    if (target->peak_flops <= 0 || target->bandwidth <= 0 || target->cores <= 0) return false;
    double core_flops = target->peak_flops / target->cores, core_bytes = target->bandwidth / target->cores;
    if (step->form != FORM_PRODUCT) core_flops *= pointwise_speed;
    return step->flops / core_flops < least_seconds && step->bytes / core_bytes < least_seconds;
}

// ---- which dims

static NodeId find_contract(const Graph *region) {
    for (NodeId id = 0; id < graph_nodes(region); id++)
        if (graph_node(region, id)->op == OP_CONTRACT) return id;
    BUG("a product without a contraction");
}

static DimSet allowed_dims(const Plan *plan, const Step *step) {
    const Value *output = &plan->values[step->outputs[0]];
    DimSet dims = dim_list_set(&output->order);
    if (step->form == FORM_ROW) return dims & ~step->inner;
    if (step->form != FORM_PRODUCT) return dims;
    Contraction contraction = contraction_of(step->region, find_contract(step->region), output->order);
    return dims & ~dim_list_set(&contraction.lanes);
}

// What a cut can be made of: leading pieces of the first output's layout, whole dims or panels.
typedef struct {
    DimList dims;
    int64_t rows;
} Unit;

static int cut_units(const Plan *plan, const Step *step, Unit *units) {
    const Layout *layout = &plan->values[step->outputs[0]].layout;
    DimSet allowed = allowed_dims(plan, step);
    int count = 0;
    for (int i = 0; i < layout->count; i++) {
        const LayoutPiece *piece = &layout->pieces[i];
        bool is_panels = piece->divisor != 1;
        if ((dim_list_set(&piece->dims) & ~allowed) || (is_panels && count > 0)) break;
        units[count++] = (Unit){piece->dims, piece->extent};
        if (is_panels) break;
    }
    return count;
}

// ---- how many pieces

// A number of pieces for `rows`: a divisor in [least, 2*least], else every row while that is not too many, else uneven.
static int64_t choose_pieces(int64_t rows, int64_t least) {
    int64_t most = 2 * least;
    if (rows <= least) return rows;
    for (int64_t pieces = least; pieces <= most; pieces++)
        if (rows % pieces == 0) return pieces;
    return rows <= 2 * most ? rows : most;
}

static Cut choose_cut(const Plan *plan, const Step *step, const Target *target) {
    Cut cut = {.total = 1, .pieces = 1};
    if (is_tiny(step, target)) return cut;
    int64_t least = target->cores > 2 ? 2 * (int64_t)target->cores : 4, rows = 1;
    Unit units[MAX_RANK + 2];
    int count = cut_units(plan, step, units);
    for (int i = 0; i < count && rows < least; i++) {
        cut.dims = dim_list_union(cut.dims, units[i].dims);
        rows *= units[i].rows;
    }
    int64_t pieces = choose_pieces(rows, least);
    if (pieces == 1) return (Cut){.total = 1, .pieces = 1};
    cut.pieces = (uint32_t)pieces;
    cut.total = graph_elements(plan->dims, dim_list_set(&cut.dims));
    return cut;
}

bool pass_cut_pieces(Plan *plan, PassContext *context) {
    for (uint32_t s = 0; s < plan->step_count; s++)
        plan->steps[s].cut = choose_cut(plan, &plan->steps[s], context->target);
    return true;
}
