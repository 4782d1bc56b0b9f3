// The cost model of a strand: into how many pieces, and whether it pays.
//
// In: the steps of a strand and the dims it is cut along. Out: pieces, groups, scratch memory, and two times for
// traffic beyond a core's second-level cache:
//
//     step by step      all activations of the batch pass by once for each write and read, from where all of them fit
//     piece by piece    those of one piece do, from where they fit; and once a piece everything that the steps read of
//                       others (weights) and add to (their gradients); each group's part of a sum is written and read
//                       once
//                       more
#include <math.h>

#include "passes/strands.h"

// The third-level cache is about this much faster than memory.
static const double l3_speed = 4;
// Of the third-level cache, what can be used before its lines are driven out.
static const double l3_part = 0.75;
// What is read in order and asked for ahead (panels of weights, rows of sums) is half hidden behind the arithmetic.
static const double ahead_part = 0.5;
enum { LEAST_ROWS = 16 };   // of a product in one piece

static double value_bytes(const Plan *plan, ValueId id) {
    const Value *value = &plan->values[id];
    return (double)layout_elements(&value->layout) * (double)dtype_bytes(value->dtype);
}

// ---- memory

// Takes `dim` out of the piece that counts it first, and puts it in front.
static Layout with_dim_in_front(const Graph *dims, DimId dim, const Layout *layout) {
    int64_t extent = graph_extent(dims, dim);
    Layout front = {.count = 1, .pieces = {{.dims = {.rank = 1, .dims = {dim}}, .divisor = 1, .extent = extent}}};
    for (int i = 0; i < layout->count; i++) {
        LayoutPiece piece = layout->pieces[i];
        if (piece.dims.rank && piece.dims.dims[0] == dim) {
            if (piece.divisor != 1 || piece.extent != graph_elements(dims, dim_list_set(&piece.dims))) return *layout;
            piece.dims = dim_list_without(piece.dims, dim_bit(dim));
            piece.extent /= extent;
            if (piece.dims.rank == 0) continue;
        }
        if (dim_in(dim_list_set(&piece.dims), dim) || front.count == MAX_RANK + 2) return *layout;
        front.pieces[front.count++] = piece;
    }
    return front;
}

static bool is_private(const Strands *strands, const Strand *strand, ValueId id) {
    const Value *value = &strands->plan->values[id];
    bool has_cut = !(dim_list_set(&strand->cut.dims) & ~dim_list_set(&value->order));
    return value->kind == VALUE_TEMPORARY && has_cut && !strand->leaves[id] && strands->last_reader[id] != STEP_NONE;
}

Layout strand_layout(const Strands *strands, const Strand *strand, ValueId id) {
    const Value *value = &strands->plan->values[id];
    if (!is_private(strands, strand, id) || strand->cut.dims.rank != 1 ||
        cut_leads_layout(strands->plan->dims, &strand->cut, &value->layout, value->dtype))
        return value->layout;
    return with_dim_in_front(strands->plan->dims, strand->cut.dims.dims[0], &value->layout);
}

bool strand_keeps(const Strands *strands, const Strand *strand, ValueId id) {
    Layout layout = strand_layout(strands, strand, id);
    return is_private(strands, strand, id) &&
           cut_leads_layout(strands->plan->dims, &strand->cut, &layout, strands->plan->values[id].dtype);
}

// Bytes of all pieces together of what the strand writes and reads again, where they are most.
static double held_at_once(const Strands *strands, const Strand *strand, bool kept_only) {
    const Plan *plan = strands->plan;
    double *ending = ARENA_ARRAY(strands->scratch, double, plan->step_count + 1), alive = 0, most = 0;
    for (uint32_t s = 0; s < plan->step_count; s++) {
        const Step *step = &plan->steps[s];
        for (uint32_t k = 0; k < step->output_count && strand_has(strand, s); k++) {
            ValueId id = step->outputs[k];
            uint32_t last = strands->last_reader[id];
            bool is_sum = strand_shares(strands, s, dim_list_set(&strand->cut.dims));
            bool counts = kept_only ? strand_keeps(strands, strand, id) : last != STEP_NONE && !is_sum;
            if (!counts) continue;
            alive += value_bytes(plan, id);
            ending[last] += value_bytes(plan, id);
        }
        if (most < alive) most = alive;
        alive -= ending[s];
    }
    return most;
}

// ---- traffic

typedef struct {
    double moved;                 // bytes that steps of the strand write, and read of each other
    double held;                  // of these, where they are most
    double others, others_once;   // bytes that pieces read of other steps and of states: all pieces together, and once
    double sums;                  // bytes of sums over the cut's dims
} Traffic;

static Traffic traffic_of(const Strands *strands, const Strand *strand) {
    const Plan *plan = strands->plan;
    DimSet cut = dim_list_set(&strand->cut.dims);
    Traffic traffic = {.held = held_at_once(strands, strand, false)};
    for (uint32_t s = 0; s < plan->step_count; s++) {
        const Step *step = &plan->steps[s];
        if (!strand_has(strand, s)) continue;
        for (uint32_t k = 0; k < step->output_count; k++)
            *(strand_shares(strands, s, cut) ? &traffic.sums : &traffic.moved) += value_bytes(plan, step->outputs[k]);
        for (uint32_t k = 0; k < step->operand_count; k++) {
            double bytes = value_bytes(plan, step->operands[k]);
            if (strand_has(strand, strands->writer[step->operands[k]])) {
                traffic.moved += bytes;
                continue;
            }
            // One part for each piece of what has the cut's dims; the whole again for each piece of the rest.
            traffic.others_once += bytes;
            bool is_whole = (cut & ~strand_own(strands, s, k, cut)) && !strand_reads_behind(strands, s, k, cut);
            traffic.others += bytes * (is_whole ? strand->cut.pieces : 1);
        }
    }
    return traffic;
}

// Of bytes that come again and again from `size` bytes of all cores together, those that are still in a core's own
// cache.
static double near_part(const Target *target, double size) {
    return size > 0 ? fmin(1, target->l2_bytes * target->cores / size) : 1;
}

// Time of `bytes` from beyond a core's own cache, where `size` bytes come again and again.
static double seconds_of(const Target *target, double bytes, double size) {
    double hits = size > 0 ? fmin(1, l3_part * target->l3_bytes / size) : 1;
    return bytes / target->bandwidth * (hits / l3_speed + 1 - hits);
}

static double seconds_by_step(const Target *target, const Traffic *traffic) {
    double size = traffic->held + traffic->others_once + traffic->sums;
    double moved = traffic->moved * (1 - near_part(target, traffic->held));
    return seconds_of(target, moved + ahead_part * (traffic->others_once + traffic->sums), size);
}

static double seconds_by_piece(const Target *target, const Strand *strand, const Traffic *traffic) {
    double pieces = strand->cut.pieces, groups = strand->cut.groups, alive = traffic->held / pieces * target->cores;
    double size = alive + traffic->others_once + traffic->sums * groups;
    double moved = traffic->moved * (1 - near_part(target, alive));
    double added = traffic->sums * (2 * pieces + 2 * (groups - 1));
    return seconds_of(target, moved + ahead_part * (traffic->others + added), size);
}

// ---- pieces

static int64_t fewest_rows(const Strands *strands, const Strand *strand) {
    int64_t fewest = INT64_MAX;
    for (uint32_t s = 0; s < strands->plan->step_count; s++) {
        bool counts = strand_has(strand, s) && !strand_shares(strands, s, dim_list_set(&strand->cut.dims));
        if (counts && strands->facts[s].rows < fewest) fewest = strands->facts[s].rows;
    }
    return fewest;
}

bool strand_weigh(const Strands *strands, Strand *strand) {
    const Target *target = strands->context->target;
    int64_t total = strand->cut.total, most = fewest_rows(strands, strand) / LEAST_ROWS;
    const Choice *wish = strands->wish;
    int64_t groups = wish && wish->groups ? (int64_t)wish->groups : target->cores;
    Cut chosen = {0};
    strand->seconds_by_piece = INFINITY;
    // As many groups as there are cores, so that each has a part of the sums of its own.
    if (most > total) most = total;
    for (int64_t pieces = groups; pieces <= most && pieces <= UINT32_MAX; pieces += groups) {
        bool is_unwished = wish && wish->pieces && wish->pieces != pieces;
        if (total % pieces != 0 || pieces < 2 || is_unwished) continue;
        strand->cut.pieces = (uint32_t)pieces;
        strand->cut.groups = (uint32_t)groups;
        Traffic traffic = traffic_of(strands, strand);
        double seconds = seconds_by_piece(target, strand, &traffic);
        if (seconds >= strand->seconds_by_piece) continue;
        strand->seconds_by_piece = seconds;
        strand->seconds_by_step = seconds_by_step(target, &traffic);
        chosen = strand->cut;
    }
    if (chosen.pieces == 0) return false;
    strand->cut = chosen;
    strand->scratch = held_at_once(strands, strand, true) / chosen.pieces;
    return true;
}
