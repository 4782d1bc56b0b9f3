// The cost model of a chain: how many rows a piece has, whether it pays, and whether what is read later is made again.
//
// In: the steps of a chain. Out: its cut, and times for traffic beyond a core's second-level cache:
//
//     step by step      large values pass by once for each write (twice: lines are fetched first) and each read
//     piece by piece    they stay in the cache; what pieces read of other steps (keys, values, weights) comes once when
//                       what belongs to one place of the cut's other dims fits beside them, else once a piece; so do
//                       sums over the cut's dims, read and written
//
// Inside of a strand pieces are ranges of the strand's, and what the strand holds may lie in the third-level cache.
#include <math.h>

#include "passes/chains.h"

// Of a core's second-level cache, for rows of large values.
static const double rows_part = 0.5;
// The third-level cache is about this much faster than memory.
static const double l3_speed = 4;
// Of it, what can be used before its lines are driven out.
static const double l3_part = 0.75;
// Memory is worth this part of a step's time at the peak; that of a strand, which no batch makes larger, nothing.
static const double memory_part = 1.0 / 50;
enum { LEAST_ROWS = 8 };

double chain_value_bytes(const Plan *plan, ValueId id) {
    const Value *value = &plan->values[id];
    double bytes = (double)layout_elements(&value->layout) * (double)dtype_bytes(value->dtype);
    return value->band.is_set ? bytes / 2 : bytes;
}

static double whole_bytes(const Plan *plan, ValueId id) {
    const Value *value = &plan->values[id];
    return (double)layout_elements(&value->layout) * (double)dtype_bytes(value->dtype);
}

static bool has_cut(const Plan *plan, const Chain *chain, ValueId id) {
    return !(dim_list_set(&chain->dims) & ~dim_list_set(&plan->values[id].order));
}

// ---- rows of a piece

// Bytes of all rows together of what the chain's steps hand on, where they are most.
static double held_at_once(const Strands *strands, const Chain *chain) {
    const Plan *plan = strands->plan;
    double *ending = ARENA_ARRAY(strands->scratch, double, plan->step_count), alive = 0, most = 0;
    for (uint32_t s = chain->first; s <= chain->last; s++) {
        if (!chain->in[s]) continue;
        const Step *step = &plan->steps[s];
        for (uint32_t k = 0; k < step->output_count; k++) {
            uint32_t last = s;
            for (uint32_t r = s + 1; r <= chain->last; r++)
                for (uint32_t o = 0; o < plan->steps[r].operand_count; o++)
                    if (chain->in[r] && plan->steps[r].operands[o] == step->outputs[k]) last = r;
            if (last == s || !has_cut(plan, chain, step->outputs[k])) continue;
            alive += whole_bytes(plan, step->outputs[k]);
            ending[last] += whole_bytes(plan, step->outputs[k]);
        }
        if (most < alive) most = alive;
        alive -= ending[s];
    }
    return most;
}

int64_t chain_places(const Strands *strands, const Chain *chain) {
    int kept = chain->dims.rank - 1;
    for (uint32_t s = chain->first; s <= chain->last; s++)
        while (chain->in[s] && kept > 0 && !dim_in(strands->facts[s].cuttable, chain->dims.dims[kept - 1])) kept--;
    int64_t count = 1;
    for (int i = 0; i < kept; i++) count *= graph_extent(strands->plan->dims, chain->dims.dims[i]);
    return count;
}

// Each piece of a strand belongs to one of its groups, with all ranges of it.
static int64_t groups_of(const Strands *strands, const Chain *chain) {
    return chain->strand == STEP_NONE ? chain_places(strands, chain) : strands->plan->steps[chain->strand].cut.groups;
}

static bool choose_rows(const Strands *strands, Chain *chain) {
    const Graph *dims = strands->plan->dims;
    int64_t extent = graph_extent(dims, chain->along), total = graph_elements(dims, dim_list_set(&chain->dims));
    double room = rows_part * strands->context->target->l2_bytes, row = held_at_once(strands, chain) / (double)total;
    int64_t groups = groups_of(strands, chain);
    if (groups < strands->context->target->cores || groups > UINT32_MAX || total > UINT32_MAX) return false;
    for (int64_t rows = extent; rows >= LEAST_ROWS; rows--) {
        if (extent % rows != 0 || row * (double)rows > room || extent == rows) continue;
        chain->cut =
            (Cut){.dims = chain->dims, .total = total, .pieces = (uint32_t)(total / rows), .groups = (uint32_t)groups};
        return true;
    }
    return false;
}

// ---- traffic

typedef struct {
    double once;      // bytes of others that are read once for each place of the dims before the last
    double again;     // and that every piece reads
    double near;      // of these, what belongs to one place
} Others;

static void count_other(const Strands *strands, const Chain *chain, uint32_t s, uint32_t k, Others *others) {
    const Plan *plan = strands->plan;
    ValueId id = plan->steps[s].operands[k];
    DimSet own = strands->facts[s].own_summed[k];
    double bytes = whole_bytes(plan, id), places = 1;
    if (dim_in(own, chain->along)) {
        others->once += bytes;
        return;
    }
    for (int i = 0; i < chain->dims.rank - 1; i++)
        if (dim_in(own, chain->dims.dims[i])) places *= (double)graph_extent(plan->dims, chain->dims.dims[i]);
    others->near += bytes / places;
    others->again += bytes / places * chain->cut.pieces;
    others->once += bytes;
}

static void count_step(const Strands *strands, const Chain *chain, uint32_t s, Others *others, double *moved) {
    const Plan *plan = strands->plan;
    const Step *step = &plan->steps[s];
    for (uint32_t k = 0; k < step->operand_count; k++) {
        uint32_t writer = strands->writer[step->operands[k]];
        if (writer != STEP_NONE && chain->in[writer]) *moved += chain_value_bytes(plan, step->operands[k]);
        else count_other(strands, chain, s, k, others);
    }
    for (uint32_t k = 0; k < step->output_count; k++) {
        ValueId id = step->outputs[k];
        if (has_cut(plan, chain, id)) {
            *moved += strands->last_reader[id] > s ? 2 * chain_value_bytes(plan, id) : 0;
            continue;
        }
        double place = whole_bytes(plan, id) / (double)chain_places(strands, chain);
        others->near += place;
        others->again += 2 * place * chain->cut.pieces;
        others->once += 2 * whole_bytes(plan, id);
    }
}

// Of the time that bytes need from memory, what they need from where they lie. Beside strands large values are in
// memory; inside of one, with all that it holds until step `last`, they may be in the third-level cache.
static double far_part(const Strands *strands, const Chain *chain, uint32_t last) {
    const Target *target = strands->context->target;
    const Plan *plan = strands->plan;
    if (chain->strand == STEP_NONE) return 1;
    double pieces = (double)plan->steps[chain->strand].cut.pieces / target->cores, held = 0;
    for (ValueId id = 0; id < plan->value_count; id++) {
        uint32_t writer = strands->writer[id], reader = strands->last_reader[id];
        bool is_held =
            plan->values[id].space == SPACE_SCRATCH && writer <= last && reader >= chain->first && reader != STEP_NONE;
        held += is_held ? chain_value_bytes(plan, id) / pieces : 0;
    }
    double hits = held > 0 ? fmin(1, l3_part * target->l3_bytes / held) : 1;
    return hits / l3_speed + 1 - hits;
}

const char *chain_weigh(const Strands *strands, Chain *chain) {
    const Target *target = strands->context->target;
    if (!choose_rows(strands, chain))
        return arena_format(
            strands->scratch,
            "%lld groups for %d cores, %.0f KB a row of all, %.0f KB of cache: no piece of %d rows fits",
            (long long)groups_of(strands, chain), target->cores,
            held_at_once(strands, chain) / (double)graph_elements(strands->plan->dims, dim_list_set(&chain->dims)) /
                1024,
            rows_part * target->l2_bytes / 1024, LEAST_ROWS);
    Others others = {0};
    double moved = 0;
    for (uint32_t s = chain->first; s <= chain->last; s++)
        if (chain->in[s]) count_step(strands, chain, s, &others, &moved);
    bool fits = others.near <= target->l2_bytes * target->cores;
    double far = far_part(strands, chain, chain->last);
    double by_step = far * (moved + others.once) / target->bandwidth;
    double by_piece = (far * others.once + (fits ? 1 / l3_speed : far) * others.again) / target->bandwidth;
    chain->moved_bytes = moved;
    chain->pays = by_piece < by_step;
    const char *inside = "";
    if (chain->strand != STEP_NONE)
        inside = arena_format(strands->scratch, " in %u of the strand", strands->plan->steps[chain->strand].cut.pieces);
    return arena_format(
        strands->scratch,
        "%u pieces of %lld rows%s, %u groups, others %.0f KB a place: %.3g ms for traffic, %.3g step by step",
        chain->cut.pieces, (long long)(chain->cut.total / chain->cut.pieces), inside, chain->cut.groups,
        others.near / 1024, 1e3 * by_piece, 1e3 * by_step);
}

// ---- made again

bool chain_weigh_again(const Strands *strands, const Chain *chain, const char **reason) {
    const Plan *plan = strands->plan;
    const Target *target = strands->context->target;
    double flops = 0;
    for (uint32_t s = 0; s < plan->step_count; s++)
        flops += plan->steps[s].form == FORM_PRODUCT ? plan->steps[s].flops : 0;
    double stored = 3 * far_part(strands, chain, chain->reader) * chain->kept_bytes / target->bandwidth;
    double made = chain->again_flops / target->peak_flops;
    double most = chain->strand == STEP_NONE ? memory_part * flops / target->peak_flops : 0;
    *reason = arena_format(strands->scratch, "%.3g ms to make, %.3g ms to store and read %.3g MB", 1e3 * made,
                           1e3 * stored, 1e-6 * chain->kept_bytes);
    if (most > 0) *reason = arena_format(strands->scratch, "%s; up to %.3g ms for memory", *reason, 1e3 * most);
    return made - stored < most;
}
