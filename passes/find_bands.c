// find_bands: work that a mask of indices makes vanish is left out, by whole tiles.
//
// requires  layouts, register tiles
// ensures   a step has a band when tiles of it that lie outside can be skipped: results that nobody needs, zeros in
//           sums, -inf among exponentials. A temporary has a band when every step that reads it reads inside only.
// does nothing below level all, for masks that depend on values, and where an extent is not a multiple of 32
// ledger    per step with a band: the part of its elements that lies inside
//
//     %10 = where(S <= T, %5, -inf)      product  out %s  band(T, S) to 49          none above the diagonal is made
//     %7 = lse(S) ...                    row      out %p  band(T, S) to 15          nor are exponentials of -inf
//     %2 = contract %p %v over(S)        product          band(T, S) to 0           nor sums of zeros
//
// Method: for each comparison of two indices in the plan, `outside` is where it fails (or, for the other side of it,
// holds). What each node is there is found forward through the regions: a constant (0, -inf, true, false), or anything.
// Which values nobody needs there is the greatest fixpoint of: all readers leave that part out. A sum can leave out
// zeros, an exponential sum or largest element -inf; bits do not change: x + 0 is x, and a chain of multiply-adds whose
// factor is 0 stays what it is (for factors that are numbers: inf and nan in what a mask hides are not seen, as in the
// meaning of the mask).
//
// Tiles straddle the band, so a value is needed a little beyond it: as far as a tile of its reader reaches. That is
// what its band is widened by (`slack`).
#include <math.h>

#include "passes/panels.h"
#include "passes/pass_functions.h"
#include "passes/step_cost.h"

enum { LANES = 32, MOST_TILE_ROWS = 16 };
// How far beyond its own band a step reads, for each of its elements: rows are swept four at once and in vectors of 32;
// sums of products by tiles of rows.
enum { ROW_SLACK = 3 + LANES - 1, SUM_SLACK = MOST_TILE_ROWS - 1 };

// Outside of a half plane: column - row > edge (above), or column - row < edge (below).
typedef struct {
    DimId row, column;
    int64_t edge;
    bool above;
} Half;

// What a value is outside: `number`, or anything.
typedef struct {
    bool known;
    double number;
} Outside;

typedef enum { LIMIT_NONE, LIMIT_ROW, LIMIT_SUM, LIMIT_TILES } Limit;

typedef struct {
    Plan *plan;
    PassContext *context;
    Arena *scratch;
    Half half;
    Outside *values;     // by value
    bool *skipped;       // by value: nobody needs it outside
    Limit *limits;       // by step
    int64_t *beyond;     // by value: how far outside it is needed
    const char **forbidden;   // by step: the choice against a band; NULL: none
} Bands;

static DimSet half_dims(const Half *half) { return dim_bit(half->row) | dim_bit(half->column); }

// ---- comparisons of indices:  a - b = column - row + offset

typedef struct {
    bool is_affine;
    int sign[MAX_DIMS];
    int64_t offset;
} Affine;

static Affine affine_of(const Graph *region, NodeId id) {
    const Node *node = graph_node(region, id);
    Affine result = {.is_affine = true};
    if (node->op == OP_INDEX) {
        result.sign[node->attr.to] = 1;
        return result;
    }
    if (node->op == OP_CONST && !node->attr.table && node->dtype == DTYPE_I32) {
        result.offset = (int64_t)node->attr.value;
        return result;
    }
    if (node->op != OP_ADD && node->op != OP_SUB) return (Affine){0};
    Affine a = affine_of(region, node->operands[0]), b = affine_of(region, node->operands[1]);
    int sign = node->op == OP_ADD ? 1 : -1;
    if (!a.is_affine || !b.is_affine) return (Affine){0};
    for (int dim = 0; dim < MAX_DIMS; dim++) a.sign[dim] += sign * b.sign[dim];
    a.offset += sign * b.offset;
    return a;
}

// A comparison as  first - second <= limit;  false when it is none of two dims' indices.
static bool compared(const Graph *region, const Node *node, DimId *first, DimId *second, int64_t *limit) {
    if (node->op != OP_LE && node->op != OP_LT) return false;
    if (graph_node(region, node->operands[0])->dtype != DTYPE_I32) return false;
    Affine a = affine_of(region, node->operands[0]), b = affine_of(region, node->operands[1]);
    if (!a.is_affine || !b.is_affine) return false;
    int plus = 0, minus = 0;
    for (DimId dim = 0; dim < graph_dims(region); dim++) {
        int sign = a.sign[dim] - b.sign[dim];
        if (sign == 1) *first = dim, plus++;
        if (sign == -1) *second = dim, minus++;
        if (sign > 1 || sign < -1) return false;
    }
    *limit = b.offset - a.offset - (node->op == OP_LT);
    return plus == 1 && minus == 1;
}

// first - second <= limit outside of the half plane: always, never, or now and then.
static Outside comparison_outside(const Half *half, DimId first, DimId second, int64_t limit) {
    bool same = first == half->column && second == half->row, turned = first == half->row && second == half->column;
    if (!same && !turned) return (Outside){0};
    // Outside above: column - row >= edge + 1. Below: column - row <= edge - 1.
    if (half->above) {
        if (same && half->edge + 1 > limit) return (Outside){true, 0};
        if (turned && -(half->edge + 1) <= limit) return (Outside){true, 1};
    } else {
        if (same && half->edge - 1 <= limit) return (Outside){true, 1};
        if (turned && -(half->edge - 1) > limit) return (Outside){true, 0};
    }
    return (Outside){0};
}

// ---- what nodes are outside

static Outside constant(double number) { return (Outside){true, number}; }

static bool is_known(Outside value, double number) { return value.known && value.number == number; }

// inf - inf and 0 * inf do not come from masks: what one side hides counts as a number.
static Outside pointwise_outside(const Node *node, const Outside *a) {
    bool all = a[0].known && (node->operand_count < 2 || a[1].known);
    switch (node->op) {
    case OP_WHERE:
        if (a[0].known) return a[0].number != 0 ? a[1] : a[2];
        return a[1].known && is_known(a[2], a[1].number) ? a[1] : (Outside){0};
    case OP_AND: return is_known(a[0], 0) || is_known(a[1], 0) ? constant(0) : all ? constant(1) : (Outside){0};
    case OP_OR: return is_known(a[0], 1) || is_known(a[1], 1) ? constant(1) : all ? constant(0) : (Outside){0};
    case OP_NOT: return all ? constant(!a[0].number) : (Outside){0};
    case OP_MUL:
        if (is_known(a[0], 0) || is_known(a[1], 0)) return constant(0);
        return all ? constant(a[0].number * a[1].number) : (Outside){0};
    case OP_DIV: return is_known(a[0], 0) ? constant(0) : all ? constant(a[0].number / a[1].number) : (Outside){0};
    case OP_ADD:
        if (is_known(a[0], -INFINITY) || is_known(a[1], -INFINITY)) return constant(-INFINITY);
        return all ? constant(a[0].number + a[1].number) : (Outside){0};
    case OP_SUB:
        if (is_known(a[0], -INFINITY)) return constant(-INFINITY);
        return all ? constant(a[0].number - a[1].number) : (Outside){0};
    case OP_EXP: return is_known(a[0], -INFINITY) ? constant(0) : (Outside){0};
    case OP_NEG: return all ? constant(-a[0].number) : (Outside){0};
    default: return (Outside){0};
    }
}

static Outside node_outside(const Bands *bands, const Step *step, NodeId id, const Outside *nodes) {
    const Graph *region = step->region;
    const Node *node = graph_node(region, id);
    DimId first, second;
    int64_t limit;
    if (node->op == OP_OPERAND) return bands->values[step->operands[node->attr.integer]];
    if (node->op == OP_CONST) return node->attr.table ? (Outside){0} : constant(node->attr.value);
    if (node->op == OP_STOP_GRADIENT) return nodes[node->operands[0]];
    if (compared(region, node, &first, &second, &limit)) return comparison_outside(&bands->half, first, second, limit);
    if (op_class(node->op) != CLASS_POINTWISE) return (Outside){0};
    Outside operands[3] = {0};
    for (uint32_t k = 0; k < node->operand_count; k++) operands[k] = nodes[node->operands[k]];
    return pointwise_outside(node, operands);
}

static const Outside *region_outside(const Bands *bands, const Step *step) {
    Outside *nodes = ARENA_ARRAY(bands->scratch, Outside, graph_nodes(step->region));
    for (NodeId id = 0; id < graph_nodes(step->region); id++) nodes[id] = node_outside(bands, step, id, nodes);
    return nodes;
}

static void find_values(Bands *bands) {
    const Plan *plan = bands->plan;
    for (ValueId id = 0; id < plan->value_count; id++) bands->values[id] = (Outside){0};
    for (uint32_t s = 0; s < plan->step_count; s++) {
        const Step *step = &plan->steps[s];
        const Outside *nodes = region_outside(bands, step);
        for (uint32_t k = 0; k < step->output_count; k++) {
            bool has_both = !(half_dims(&bands->half) & ~dim_list_set(&plan->values[step->outputs[k]].order));
            if (has_both) bands->values[step->outputs[k]] = nodes[graph_output_at(step->region, k)->node];
        }
    }
}

// ---- which steps can leave the outside out

static bool has_both_dims(const Bands *bands, ValueId id) {
    return !(half_dims(&bands->half) & ~dim_list_set(&bands->plan->values[id].order));
}

static bool outputs_are_skipped(const Bands *bands, const Step *step) {
    for (uint32_t k = 0; k < step->output_count; k++)
        if (has_both_dims(bands, step->outputs[k]) && !bands->skipped[step->outputs[k]]) return false;
    return true;
}

static bool lies_innermost(const Plan *plan, const Step *step, DimId dim) {
    for (uint32_t k = 0; k < step->operand_count + step->output_count; k++) {
        const Value *value =
            &plan->values[k < step->operand_count ? step->operands[k] : step->outputs[k - step->operand_count]];
        if (!dim_in(dim_list_set(&value->order), dim)) continue;
        const LayoutPiece *last = &value->layout.pieces[value->layout.count - 1];
        if (last->divisor != 1 || last->dims.dims[last->dims.rank - 1] != dim) return false;
    }
    return true;
}

static bool limits_row(const Bands *bands, const Step *step) {
    const Half *half = &bands->half;
    const Graph *region = step->region;
    if (step->inner != dim_bit(half->column) || !lies_innermost(bands->plan, step, half->column)) return false;
    if (!outputs_are_skipped(bands, step)) return false;
    const bool *live = graph_live(region, bands->scratch);
    const Outside *nodes = region_outside(bands, step);
    bool reads = false;
    for (NodeId id = 0; id < graph_nodes(region); id++) {
        const Node *node = graph_node(region, id);
        if (!live[id] || op_class(node->op) != CLASS_REDUCE) continue;
        reads = true;
        double neutral = node->op == OP_SUM ? 0 : -INFINITY;
        if (!is_known(nodes[node->operands[0]], neutral) || !dim_in(node->dims, half->row)) return false;
    }
    return reads;
}

static Limit limit_of_product(const Bands *bands, const Step *step) {
    const Half *half = &bands->half;
    if (!is_tiled_product(step) || step->tile_rows > MOST_TILE_ROWS) return LIMIT_NONE;
    Contraction contraction = product_contraction(bands->plan, step);
    DimSet rows = dim_list_set(&contraction.rows), summed = dim_list_set(&contraction.summed);
    bool row_sums = dim_in(rows, half->row) && dim_in(summed, half->column);
    bool column_sums = dim_in(rows, half->column) && dim_in(summed, half->row);
    if (row_sums || column_sums) {
        const Outside *nodes = region_outside(bands, step);
        return is_known(nodes[contraction.rows_operand], 0) ? LIMIT_SUM : LIMIT_NONE;
    }
    bool by_lanes = contraction.lanes.rank == 1 && contraction.lanes.dims[0] == half->column && dim_in(rows, half->row);
    return by_lanes && outputs_are_skipped(bands, step) ? LIMIT_TILES : LIMIT_NONE;
}

static const char *band_name(const Bands *bands, const Step *step) {
    return arena_format(bands->scratch, "band of %s", step->label);
}

// A step without a band needs all of what it reads.
static bool is_forbidden(const Bands *bands, const Step *step) {
    Choices *choices = bands->context->choices;
    if (choices_count(choices) == 0) return false;
    return choices_forbid(choices, "find_bands", band_name(bands, step), step->place,
                          &bands->forbidden[step - bands->plan->steps]);
}

static Limit limit_of_step(const Bands *bands, const Step *step) {
    Limit limit = LIMIT_NONE;
    if (step->form == FORM_ROW && limits_row(bands, step)) limit = LIMIT_ROW;
    if (step->form == FORM_PRODUCT) limit = limit_of_product(bands, step);
    return limit != LIMIT_NONE && is_forbidden(bands, step) ? LIMIT_NONE : limit;
}

// Starts from "nobody needs anything outside" and takes back what a reader needs, until nothing changes.
static void find_skipped(Bands *bands) {
    const Plan *plan = bands->plan;
    for (ValueId id = 0; id < plan->value_count; id++)
        bands->skipped[id] = plan->values[id].kind == VALUE_TEMPORARY && has_both_dims(bands, id);
    for (bool changed = true; changed;) {
        changed = false;
        for (uint32_t s = plan->step_count; s-- > 0;) {
            const Step *step = &plan->steps[s];
            bands->limits[s] = limit_of_step(bands, step);
            for (uint32_t k = 0; k < step->operand_count && bands->limits[s] == LIMIT_NONE; k++) {
                changed |= bands->skipped[step->operands[k]];
                bands->skipped[step->operands[k]] = false;
            }
        }
    }
}

// ---- how far

static int64_t further(int64_t a, int64_t b) { return a > b ? a : b; }

// A step covers what is needed of its results; sums of products only the band itself.
static int64_t covered(const Bands *bands, const Step *step, Limit limit) {
    int64_t cover = 0;
    for (uint32_t k = 0; k < step->output_count && limit != LIMIT_SUM; k++)
        if (bands->skipped[step->outputs[k]]) cover = further(cover, bands->beyond[step->outputs[k]]);
    return cover;
}

static void widen(Band *band, const Half *half, int64_t by) {
    if (!band->is_set) *band = (Band){true, half->row, half->column, -BAND_OPEN, BAND_OPEN};
    if (half->above)
        band->high = half->edge + by;
    else
        band->low = half->edge - by;
}

static bool fits(const Band *band, const Half *half) {
    return !band->is_set || (band->row == half->row && band->column == half->column &&
                             (half->above ? band->high == BAND_OPEN : band->low == -BAND_OPEN));
}

// Readers come after writers: from the last step to the first, what is needed of a step's results is known before it.
static void set_bands(Bands *bands) {
    Plan *plan = bands->plan;
    for (uint32_t s = plan->step_count; s-- > 0;) {
        Step *step = &plan->steps[s];
        Limit limit = bands->limits[s];
        if (limit == LIMIT_NONE) continue;
        int64_t cover = covered(bands, step, limit);
        int64_t slack = limit == LIMIT_ROW ? ROW_SLACK : limit == LIMIT_SUM ? SUM_SLACK : 0;
        for (uint32_t k = 0; k < step->operand_count; k++)
            bands->beyond[step->operands[k]] = further(bands->beyond[step->operands[k]], cover + slack);
        widen(&step->band, &bands->half, cover);
        for (uint32_t k = 0; k < step->output_count; k++)
            if (bands->skipped[step->outputs[k]] && limit != LIMIT_SUM)
                widen(&plan->values[step->outputs[k]].band, &bands->half, cover);
    }
}

static bool all_fit(const Bands *bands) {
    for (uint32_t s = 0; s < bands->plan->step_count; s++)
        if (bands->limits[s] != LIMIT_NONE && !fits(&bands->plan->steps[s].band, &bands->half)) return false;
    return true;
}

static void find_half(Bands *bands, Half half) {
    const Graph *dims = bands->plan->dims;
    if (graph_extent(dims, half.row) % LANES != 0 || graph_extent(dims, half.column) % LANES != 0) return;
    bands->half = half;
    for (ValueId id = 0; id < bands->plan->value_count; id++) bands->beyond[id] = 0;
    find_values(bands);
    find_skipped(bands);
    if (all_fit(bands)) set_bands(bands);
}

// ---- the door

// Flops of what lies inside, and the ledger.
static void account(Bands *bands, Step *step) {
    const Graph *dims = bands->plan->dims;
    const Band *band = &step->band;
    double part = step_band_part(bands->plan, step), saved = step->flops * (1 - part);
    step->flops -= saved;
    const char *reason = arena_format(bands->scratch, "%.0f %% of %s by %s lie in the band", 100 * part,
                                      graph_dim_name(dims, band->row), graph_dim_name(dims, band->column));
    ledger_add(bands->context->ledger, (Decision){.pass = "find_bands",
                                                  .what = band_name(bands, step),
                                                  .place = step->place,
                                                  .made = true,
                                                  .reason = reason,
                                                  .flops_saved = saved});
}

static void note_forbidden(const Bands *bands, uint32_t s) {
    const Step *step = &bands->plan->steps[s];
    ledger_add(bands->context->ledger, (Decision){.pass = "find_bands",
                                                  .what = band_name(bands, step),
                                                  .place = step->place,
                                                  .reason = bands->forbidden[s]});
}

static bool half_equal(const Half *a, const Half *b) {
    return a->row == b->row && a->column == b->column && a->edge == b->edge && a->above == b->above;
}

// Both readings of a comparison  first - second <= limit:  it may be the rows' dim that comes first.
enum { MOST_HALVES = 16 };
static void collect_halves(const Plan *plan, Half *halves, int *count) {
    for (uint32_t s = 0; s < plan->step_count; s++)
        for (NodeId id = 0; id < graph_nodes(plan->steps[s].region); id++) {
            DimId first, second;
            int64_t limit;
            if (!compared(plan->steps[s].region, graph_node(plan->steps[s].region, id), &first, &second, &limit))
                continue;
            const Half both[] = {{second, first, limit, true}, {first, second, -limit, false}};
            for (int i = 0; i < 2; i++) {
                int at = 0;
                while (at < *count && !half_equal(&halves[at], &both[i])) at++;
                if (at == *count && *count < MOST_HALVES) halves[(*count)++] = both[i];
            }
        }
}

bool pass_find_bands(Plan *plan, PassContext *context) {
    if (context->fuse != FUSE_ALL) return true;
    Half halves[MOST_HALVES];
    int count = 0;
    collect_halves(plan, halves, &count);
    Arena *scratch = arena_create();
    Bands bands = {.plan = plan,
                   .context = context,
                   .scratch = scratch,
                   .values = ARENA_ARRAY(scratch, Outside, plan->value_count + 1),
                   .skipped = ARENA_ARRAY(scratch, bool, plan->value_count + 1),
                   .limits = ARENA_ARRAY(scratch, Limit, plan->step_count + 1),
                   .beyond = ARENA_ARRAY(scratch, int64_t, plan->value_count + 1),
                   .forbidden = ARENA_ARRAY(scratch, const char *, plan->step_count + 1)};
    for (int i = 0; i < count; i++) find_half(&bands, halves[i]);
    for (uint32_t s = 0; s < plan->step_count; s++) {
        if (plan->steps[s].band.is_set) account(&bands, &plan->steps[s]);
        if (bands.forbidden[s]) note_forbidden(&bands, s);
    }
    arena_free(scratch);
    return true;
}
