// The cost model of strands: what a run of steps under one cut saves in traffic beyond a core's second-level cache.
//
// In: a run of steps that can be cut alike. Out: into how many pieces, what memory a piece needs, and bytes:
//
//     saved   what one step hands to the next, once per write (when it stays in scratch) and per read, unless a core's
//             share of it stays in the cache anyway
//     paid    what every piece reads anew (weights, or a head's keys for a part of its queries), beyond what the steps read
//             anew when each is cut by itself
//
// Numbers of bytes only order the choices; they are no times.
#include "passes/strands.h"

// What a piece holds may fill half of the second-level cache; the rest is for what it reads.
static const double cache_part = 0.5;
// What stays in the cache anyway still costs a little less when it is smaller.
static const double near_part = 0.05;
// What a core's share of the third-level cache holds is saved in main memory, not in traffic beyond the second level.
static const double shared_cache_part = 0.5;
enum { LEAST_ROWS = 16 };

double value_total_bytes(const Value *value) {
    return (double)layout_elements(&value->layout) * (double)dtype_bytes(value->dtype);
}

bool strand_keeps(const Strands *strands, const Run *run, ValueId id) {
    const Value *value = &strands->plan->values[id];
    uint32_t last = strands->last_reader[id];
    if (value->kind != VALUE_TEMPORARY || last == NO_STEP || last >= run->end) return false;
    if (run->where && run->leaves[id]) return false;
    Layout layout = strand_layout(strands, run, id);
    return cut_leads_layout(strands->plan->dims, &run->cut, &layout, value->dtype);
}

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

Layout strand_layout(const Strands *strands, const Run *run, ValueId id) {
    const Value *value = &strands->plan->values[id];
    bool lacks = dim_list_set(&run->cut.dims) & ~dim_list_set(&value->order);
    if (!run->where || run->leaves[id] || run->cut.dims.rank != 1 || lacks || value->kind != VALUE_TEMPORARY ||
        cut_leads_layout(strands->plan->dims, &run->cut, &value->layout, value->dtype))
        return value->layout;
    return with_dim_in_front(strands->plan->dims, run->cut.dims.dims[0], &value->layout);
}

// ---- memory of one piece

static bool reads_before(const Step *step, uint32_t k) {
    for (uint32_t i = 0; i < k; i++)
        if (step->operands[i] == step->operands[k]) return true;
    return false;
}

// The last step of the run that reads a value; NO_STEP when none does.
static uint32_t last_inner_reader(const Strands *strands, const Run *run, ValueId id) {
    for (uint32_t s = run->end; s-- > run->first;) {
        const Step *step = &strands->plan->steps[s];
        for (uint32_t k = 0; k < step->operand_count && run_has(run, s); k++)
            if (step->operands[k] == id) return s;
    }
    return NO_STEP;
}

// Bytes of all pieces together of what the run writes and reads again, where they are most.
double strand_held(const Strands *strands, const Run *run, bool scratch_only) {
    const Plan *plan = strands->plan;
    double alive = 0, most = 0;
    for (uint32_t s = run->first; s < run->end; s++) {
        const Step *step = &plan->steps[s];
        if (!run_has(run, s)) continue;
        for (uint32_t k = 0; k < step->output_count; k++) {
            ValueId id = step->outputs[k];
            bool counts = scratch_only ? strand_keeps(strands, run, id) : last_inner_reader(strands, run, id) != NO_STEP;
            if (counts) alive += value_total_bytes(&plan->values[id]);
        }
        if (most < alive) most = alive;
        for (uint32_t k = 0; k < step->operand_count; k++) {
            ValueId id = step->operands[k];
            if (!run_has(run, strands->writer[id]) || reads_before(step, k)) continue;
            if (scratch_only && !strand_keeps(strands, run, id)) continue;
            if (last_inner_reader(strands, run, id) == s) alive -= value_total_bytes(&plan->values[id]);
        }
    }
    return most;
}

// ---- pieces

// Bytes of an operand that all pieces together read, each its own part of the dims that the cut and the operand share.
static double bytes_read(const Plan *plan, const Value *value, DimSet own, const Cut *cut) {
    double parts = 1;
    for (int i = 0; i < cut->dims.rank; i++)
        if (dim_in(own, cut->dims.dims[i])) parts *= (double)graph_extent(plan->dims, cut->dims.dims[i]);
    if (parts > cut->pieces) parts = cut->pieces;
    return value_total_bytes(value) / parts * cut->pieces;
}

static uint32_t most_pieces(const Strands *strands, const Run *run) {
    uint32_t most = 1;
    for (uint32_t s = run->first; s < run->end; s++)
        if (run_has(run, s) && strands->plan->steps[s].cut.pieces > most) most = strands->plan->steps[s].cut.pieces;
    return most;
}

// The smallest number of rows of register tiles that the run's products have in all; INT64_MAX without products.
static int64_t fewest_rows(const Strands *strands, const Run *run) {
    int64_t fewest = INT64_MAX;
    for (uint32_t s = run->first; s < run->end; s++)
        if (run_has(run, s) && strands->rows[s] < fewest) fewest = strands->rows[s];
    return fewest;
}

// Bytes of other steps' results, states and inputs that one piece reads.
static double read_by_piece(const Strands *strands, const Run *run) {
    double bytes = 0;
    for (uint32_t s = run->first; s < run->end; s++) {
        const Step *step = &strands->plan->steps[s];
        for (uint32_t k = 0; k < step->operand_count && run_has(run, s); k++) {
            const Value *value = &strands->plan->values[step->operands[k]];
            if (!run_has(run, strands->writer[step->operands[k]]))
                bytes += bytes_read(strands->plan, value, strand_own(strands, s, k, dim_list_set(&run->cut.dims)), &run->cut) / run->cut.pieces;
        }
    }
    return bytes;
}

// A divisor of the rows, no fewer than the steps have by themselves, and none that leaves a product less than a few
// rows. The fewest pieces with which the cache holds what a piece reads and writes, else `room` what it holds itself;
// the most there are when none fits.
static bool choose_pieces(const Strands *strands, Run *run, double room) {
    const Target *target = strands->context->target;
    int64_t least = most_pieces(strands, run), total = run->cut.total, most = fewest_rows(strands, run) / LEAST_ROWS;
    double held = strand_held(strands, run, false);
    uint32_t all_fits = 0, held_fits = 0, last = 0;
    if (most < least) most = least;
    for (int64_t pieces = least; pieces <= total && pieces <= most && pieces <= UINT32_MAX && !all_fits; pieces++) {
        bool is_even = pieces % target->cores == 0 || pieces >= 4 * target->cores || pieces == total;
        if (total % pieces != 0 || !is_even) continue;
        last = run->cut.pieces = (uint32_t)pieces;
        if (held / (double)pieces > room) continue;
        if (!held_fits) held_fits = last;
        if (held / (double)pieces + read_by_piece(strands, run) <= target->l2_bytes) all_fits = last;
    }
    if (!last) return false;
    run->cut.pieces = all_fits ? all_fits : held_fits ? held_fits : last;
    run->held = held / run->cut.pieces;
    run->scratch = strand_held(strands, run, true) / run->cut.pieces;
    return true;
}

// ---- traffic

static double part_beyond_cache(const Strands *strands, double bytes) {
    const Target *target = strands->context->target;
    return bytes / target->cores > cache_part * target->l2_bytes ? 1 : near_part;
}

static double traffic_saved(const Strands *strands, const Run *run) {
    const Plan *plan = strands->plan;
    double saved = 0;
    for (uint32_t s = run->first; s < run->end; s++) {
        const Step *step = &plan->steps[s];
        if (!run_has(run, s)) continue;
        for (uint32_t k = 0; k < step->output_count; k++) {
            double bytes = value_total_bytes(&plan->values[step->outputs[k]]);
            if (strand_keeps(strands, run, step->outputs[k])) saved += bytes * part_beyond_cache(strands, bytes);
        }
        for (uint32_t k = 0; k < step->operand_count; k++) {
            double bytes = value_total_bytes(&plan->values[step->operands[k]]);
            if (run_has(run, strands->writer[step->operands[k]])) saved += bytes * part_beyond_cache(strands, bytes);
        }
    }
    return saved;
}

// What is read anew by each piece stays in the cache between pieces while all of it and what a piece holds fit.
static double traffic_paid(const Strands *strands, const Run *run) {
    const Plan *plan = strands->plan;
    double paid = 0;
    for (uint32_t s = run->first; s < run->end; s++) {
        const Step *step = &plan->steps[s];
        for (uint32_t k = 0; k < step->operand_count && run_has(run, s); k++) {
            const Value *value = &plan->values[step->operands[k]];
            if (run_has(run, strands->writer[step->operands[k]])) continue;
            double more = bytes_read(plan, value, strand_own(strands, s, k, dim_list_set(&run->cut.dims)), &run->cut) -
                          bytes_read(plan, value, strand_own(strands, s, k, dim_list_set(&run->cut.dims)), &step->cut);
            if (more > 0) paid += more;
        }
    }
    return run->held + read_by_piece(strands, run) <= strands->context->target->l2_bytes ? 0 : paid;
}

static double bytes_kept(const Strands *strands, const Run *run) {
    double bytes = 0;
    for (uint32_t s = run->first; s < run->end; s++)
        for (uint32_t k = 0; k < strands->plan->steps[s].output_count && run_has(run, s); k++) {
            ValueId id = strands->plan->steps[s].outputs[k];
            if (strand_keeps(strands, run, id)) bytes += value_total_bytes(&strands->plan->values[id]);
        }
    return bytes;
}

bool strand_weigh(const Strands *strands, Run *run, const DimList *dims) {
    const Target *target = strands->context->target;
    double room = cache_part * target->l2_bytes;
    run->cut = (Cut){.dims = *dims, .total = graph_elements(strands->plan->dims, dim_list_set(dims)), .pieces = 1};
    if (!choose_pieces(strands, run, room)) return false;
    if (run->held > room && run->held > cache_part * target->l3_bytes / target->cores) return false;
    double saved = traffic_saved(strands, run) * (run->held > room ? shared_cache_part : 1);
    run->gain = saved - traffic_paid(strands, run);
    run->bytes_kept = bytes_kept(strands, run);
    return true;
}
