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
// On a GPU only scatters are cut, and sums in parts, as they are (part_sums): it deals out the rounds of loops itself.
//
// Which dims may be cut:  map: all;  row: the rows, of a scatter too;  product: batch dims and rows, since lanes
// share a vector;  a value in panels: its batch dims, or else its lanes, into no more pieces than there are panels; a
// param in panels, whose rows come first: its panels, or else its rows.
#include "passes/cut_pieces.h"

#include "passes/panels.h"
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

static DimSet allowed_dims(const Plan *plan, const Step *step) {
    const Value *output = &plan->values[step->outputs[0]];
    DimSet dims = dim_list_set(&output->order);
    if (step->form == FORM_ROW) return dims & ~step->inner;
    if (step->form != FORM_PRODUCT) return dims;
    Contraction contraction = product_contraction(plan, step);
    return dims & ~dim_list_set(&contraction.lanes);
}

// What a cut can be made of: leading dims of the first output's order that no panel divides, or panels.
typedef struct {
    DimList dims;
    int64_t rows;
} Unit;

static bool begins_with(const DimList *order, const DimList *dims) {
    for (int i = 0; i < dims->rank; i++)
        if (i >= order->rank || order->dims[i] != dims->dims[i]) return false;
    return true;
}

// The panels that a value is made of, from the outermost; false when it is not, or they cannot be cut: rows are
// scattered whole.
static bool panel_unit(const Plan *plan, const Step *step, Unit *unit) {
    const Layout *layout = &plan->values[step->outputs[0]].layout;
    const LayoutPiece *first = &layout->pieces[0];
    if (layout->count == 0 || first->divisor == 1 || scattering_of(step->region).scatter != NODE_NONE) return false;
    *unit = (Unit){first->dims, first->extent};
    return !(dim_list_set(&first->dims) & ~allowed_dims(plan, step));
}

// Beside the param itself: then the step walks panels of both, and is cut between the param's.
static bool writes_copy(const Plan *plan, const Step *step) {
    bool found = false;
    for (uint32_t k = 1; k < step->output_count && !found; k++) {
        ValueId state = plan->values[step->outputs[k]].next_of;
        found = state != VALUE_NONE && plan->values[state].is_copy && plan->values[state].dtype == DTYPE_F32;
    }
    return found;
}

static int dim_units(const Plan *plan, const Step *step, Unit *units) {
    const Value *output = &plan->values[step->outputs[0]];
    DimSet allowed = allowed_dims(plan, step) & ~layout_divided(&output->layout);
    int count = 0;
    for (int i = 0; i < output->order.rank && !writes_copy(plan, step); i++) {
        DimId dim = output->order.dims[i];
        if (!dim_in(allowed, dim)) break;
        units[count++] = (Unit){{.rank = 1, .dims = {dim}}, graph_extent(plan->dims, dim)};
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

static Cut cut_of(const Plan *plan, const Unit *units, int count, int64_t least) {
    Cut cut = {.total = 1, .pieces = 1};
    int64_t rows = 1;
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

// Two for each core.
static int64_t least_pieces(const Target *target) {
    return target->cores > 2 ? 2 * (int64_t)target->cores : 4;
}

// Pieces of a scatter each look at all sources, and take their own in order.
static bool adds_in_order(const Step *step) { return scattering_of(step->region).scatter != NODE_NONE; }

// Whole panels when the order of dims begins with what they divide, as that of copies does. Else, as in a param that
// its optimizer step updates, the panels when they come out even, so that a piece is one stretch of memory, or the
// rows.
static Cut choose_cut(const Plan *plan, const Step *step, const Target *target) {
    int64_t least = least_pieces(target);
    Unit panels, dims[MAX_RANK];
    if (target_is_gpu(target) ? !adds_in_order(step) : is_tiny(step, target)) return (Cut){.total = 1, .pieces = 1};
    if (panel_unit(plan, step, &panels)) {
        const Value *output = &plan->values[step->outputs[0]];
        Cut cut = cut_of(plan, &panels, 1, least);
        bool even = cut.pieces >= least && cut.total % (output->layout.pieces[0].divisor * cut.pieces) == 0;
        if (even || begins_with(&output->order, &panels.dims) || writes_copy(plan, step)) return cut;
    }
    return cut_of(plan, dims, dim_units(plan, step, dims), least);
}

// ---- choices

static int64_t rows_of(const Unit *units, int count) {
    int64_t rows = 1;
    for (int i = 0; i < count; i++) rows *= units[i].rows;
    return rows;
}

// The dims that a choice names; false when the cut cannot be made of them.
static bool dims_named(const Plan *plan, const char *names, const Unit *units, int count, DimList *dims) {
    for (int i = 0; i < count; i++) {
        *dims = dim_list_union(*dims, units[i].dims);
        Text text = text_create(plan->arena);
        for (int k = 0; k < dims->rank; k++)
            text_append(&text, "%s%s", k ? "," : "", graph_dim_name(plan->dims, dims->dims[k]));
        if (text_equal(text_string(&text), names)) return true;
    }
    return false;
}

static const char *cut_units(const Plan *plan, const Choice *choice, const Unit *units, int count, Cut *cut) {
    DimList dims = {0};
    int64_t had = 1, rows = rows_of(units, count);
    if (choice->over && !dims_named(plan, choice->over, units, count, &dims))
        return arena_format(plan->arena, "%s are not the outermost dims that it can be cut along", choice->over);
    if (choice->pieces > rows) return arena_format(plan->arena, "it has %lld rows to cut", (long long)rows);
    for (int i = 0; i < count && had < choice->pieces && !choice->over; i++) {
        dims = dim_list_union(dims, units[i].dims);
        had *= units[i].rows;
    }
    *cut = (Cut){.dims = dims, .total = graph_elements(plan->dims, dim_list_set(&dims)), .pieces = choice->pieces};
    return NULL;
}

// NULL, or why it cannot be cut so. Panels are only cut when they are named, or nothing else can be.
static const char *cut_into(const Plan *plan, const Step *step, const Choice *choice, Cut *cut) {
    Unit units[MAX_RANK];
    if (choice->pieces == 1 && !choice->over) {
        *cut = (Cut){.total = 1, .pieces = 1};
        return NULL;
    }
    const char *obstacle = cut_units(plan, choice, units, dim_units(plan, step, units), cut);
    bool by_panels = obstacle && (choice->over || writes_copy(plan, step)) && panel_unit(plan, step, units) &&
                     !cut_units(plan, choice, units, 1, cut);
    return by_panels ? NULL : obstacle;
}

static void cut_by_choice(const Plan *plan, Step *step, PassContext *context) {
    Choice *choice = choices_of_step(context->choices, CHOICE_CHUNK, step);
    if (!choice) return;
    const char *obstacle = cut_into(plan, step, choice, &step->cut);
    ledger_add(context->ledger, (Decision){.pass = "cut_pieces",
                                           .what = arena_format(context->arena, "chunk %u", choice->pieces),
                                           .place = step->place,
                                           .made = obstacle == NULL,
                                           .reason = obstacle ? choice_obstruct(context->choices, choice, obstacle)
                                                              : choice_follow(context->choices, choice)});
}

void cut_step(const Plan *plan, Step *step, PassContext *context) {
    step->cut = choose_cut(plan, step, context->target);
    cut_by_choice(plan, step, context);
}

bool pass_cut_pieces(Plan *plan, PassContext *context) {
    for (uint32_t s = 0; s < plan->step_count; s++)
        if (plan->steps[s].cut.groups == 0) cut_step(plan, &plan->steps[s], context);   // else a sum in parts
    return true;
}
