// The cost model of a chain on a GPU: how many rows a block of threads takes, and whether that pays.
//
// In: the steps of a chain. Out: its cut, and times:
//
//     step by step    each product as its tensor cores or register tiles compute it, or its traffic, whichever takes
//                     longer; large values are written to memory and read from there; a kernel each
//     in a chain      products by register tiles of the block's workers, or by tensor cores (chain_tensor.c); as many
//                     blocks at once as find room on a multiprocessor with what they hold; what they read of other
//                     steps comes from the cache of all, each piece anew
//
// A block holds in shared memory what a piece of its steps hands on, exactly as plan_memory will place it. A step that
// sums over pieces makes one block walk all pieces of a group.
#include <math.h>

#include "passes/chains.h"
#include "passes/gpu_seconds.h"
#include "passes/panels.h"
#include "passes/plan_measure.h"

static const double part_seconds = 1e-6;      // of a step of a piece: its first operands' way, and the barrier
enum { WORKER = 16, LINE = 64, BANKS = 128, APART = 8 };
enum { TENSOR_THREADS = 256, MOST_TENSOR_BLOCKS = 2, RING_LINE = 128 };   // of a chain with products on tensor cores

// ---- shared memory

static bool is_of_chain(const Strands *strands, const Chain *chain, ValueId id) {
    return strands->writer[id] != STEP_NONE && chain->in[strands->writer[id]];
}

static bool touches_map(const Strands *strands, const Chain *chain, ValueId id) {
    const Plan *plan = strands->plan;
    for (uint32_t s = chain->first; s <= chain->last; s++)
        if (chain->in[s] && plan->steps[s].form == FORM_MAP)
            if (strands->writer[id] == s || step_reads(&plan->steps[s], id)) return true;
    return false;
}

// Whether a product that takes its factors as they lie, by tensor maps or in a library, or a sweep reads it.
static bool is_read_as_it_lies(const Strands *strands, const Chain *chain, ValueId id) {
    const Plan *plan = strands->plan;
    for (uint32_t s = 0; s < plan->step_count; s++) {
        const Step *step = &plan->steps[s];
        bool takes = step->tensor.wgmma || step->engine != ENGINE_TILES || step->form == FORM_SWEEP;
        if (takes && !chain->in[s] && step_reads(step, id)) return true;
    }
    return false;
}

// Rows of which each begins `apart` elements behind a multiple of so many bytes.
static Layout padded(const Layout *whole, DType dtype, int64_t bytes, int64_t apart) {
    Layout layout = *whole;
    int64_t multiple = bytes / (int64_t)dtype_bytes(dtype), *last = &layout.pieces[layout.count - 1].extent;
    *last += ((apart - *last) % multiple + multiple) % multiple;
    return layout;
}

// A piece of a value can lie in shared memory when its rows are whole lines. Those of fragments begin eight elements
// behind a multiple of all banks: then rows that are read, or written, at once lie in different ones.
Layout chain_gpu_layout(const Strands *strands, const Chain *chain, ValueId id) {
    const Plan *plan = strands->plan;
    const Value *value = &plan->values[id];
    const Layout *whole = &value->layout;
    if (!is_of_chain(strands, chain, id) || value->kind != VALUE_TEMPORARY || whole->count <= chain->dims.rank ||
        !layout_is_plain(plan->dims, whole) || touches_map(strands, chain, id) ||
        is_read_as_it_lies(strands, chain, id))
        return *whole;
    Layout apart = padded(whole, value->dtype, BANKS, APART), lines = padded(whole, value->dtype, LINE, 0);
    bool is_apart = chain_has_tensor(strands, chain);
    if (is_apart && cut_leads_layout(plan->dims, &chain->cut, &apart, value->dtype)) return apart;
    if (cut_leads_layout(plan->dims, &chain->cut, whole, value->dtype)) return *whole;
    return cut_leads_layout(plan->dims, &chain->cut, &lines, value->dtype) ? lines : *whole;
}

// A plan of the chain's steps alone, joined, with all that can be in shared memory there. `known`: its values, as the
// whole plan numbers them.
typedef struct {
    const Strands *strands;
    const Chain *chain;
    Plan *plan;
    ValueId *known;
} Alone;

// What a step of the chain does not write is an input: nothing is written over it.
static ValueId value_alone(Alone *alone, ValueId id, bool is_written) {
    const Plan *whole = alone->strands->plan;
    Plan *plan = alone->plan;
    for (ValueId found = 0; found < plan->value_count; found++)
        if (alone->known[found] == id) return found;
    alone->known[plan->value_count] = id;
    Value *value = &plan->values[plan->value_count];
    *value = whole->values[id];
    value->next_of = VALUE_NONE;
    value->parts = 0;
    value->layout = chain_gpu_layout(alone->strands, alone->chain, id);
    bool leads = cut_leads_layout(whole->dims, &alone->chain->cut, &value->layout, value->dtype);
    if (is_written && leads && value->kind == VALUE_TEMPORARY) value->space = SPACE_SCRATCH;
    if (!is_written) value->kind = VALUE_INPUT;
    return plan->value_count++;
}

static void add_step_alone(Alone *alone, const Step *step) {
    Arena *arena = alone->strands->scratch;
    Step *copy = &alone->plan->steps[alone->plan->step_count];
    *copy = *step;
    copy->cut = alone->chain->cut;
    copy->joined = alone->plan->step_count++ > 0;
    copy->operands = ARENA_ARRAY(arena, ValueId, step->operand_count + 1);
    copy->outputs = ARENA_ARRAY(arena, ValueId, step->output_count + 1);
    for (uint32_t k = 0; k < step->operand_count; k++) copy->operands[k] = value_alone(alone, step->operands[k], false);
    for (uint32_t k = 0; k < step->output_count; k++) copy->outputs[k] = value_alone(alone, step->outputs[k], true);
}

static Plan *chain_alone(const Strands *strands, const Chain *chain) {
    const Plan *whole = strands->plan;
    Arena *arena = strands->scratch;
    uint32_t buffers = 0;
    for (uint32_t s = chain->first; s <= chain->last; s++)
        buffers += whole->steps[s].operand_count + whole->steps[s].output_count;
    Plan *plan = ARENA_NEW(arena, Plan);
    *plan = (Plan){.arena = arena, .dims = whole->dims};
    plan->steps = ARENA_ARRAY(arena, Step, chain->last - chain->first + 1);
    plan->values = ARENA_ARRAY(arena, Value, buffers + 1);
    Alone alone = {strands, chain, plan, ARENA_ARRAY(arena, ValueId, buffers + 1)};
    for (uint32_t s = chain->first; s <= chain->last; s++)
        if (chain->in[s]) add_step_alone(&alone, &whole->steps[s]);
    return plan;
}

static double shared_bytes(const Strands *strands, const Chain *chain) {
    Plan *alone = chain_alone(strands, chain);
    PassContext context = *strands->context;
    if (!memory_prepare(alone, &context) || !memory_place(alone, &context)) return INFINITY;
    if (alone->scratch_bytes == 0) return 0;
    double ring = chain_ring_bytes(strands, chain), held = (double)alone->scratch_bytes;
    return ring > 0 ? ceil(held / RING_LINE) * RING_LINE + ring : held;
}

// ---- products

typedef struct {
    uint32_t tile_rows;
    double speed;              // part of the peak
} Tiling;

// Of the piece's part of a product: lower tiles when there are fewer than workers, since a worker without one idles;
// but a row of a tile costs a load, whatever lies beside it.
static Tiling tiling_of(const Strands *strands, const Chain *chain, const Step *step, double workers) {
    ChainPart part = chain_part(strands, chain, step);
    double rows = part.rows, lanes = ceil(part.lanes / step->tile_lanes);
    double vectors = step->tile_lanes / (double)WORKER, best = step->tile_rows;
    Tiling tiling = {.tile_rows = 1};
    for (uint32_t tile = step->tile_rows; tile >= 1; tile /= 2) {
        double tiles = ceil(rows / tile) * lanes, busy = tiles / (ceil(tiles / workers) * workers);
        double loads = tile / (tile + vectors) * (best + vectors) / best;
        if (busy * loads <= tiling.speed * 1.0001) continue;
        tiling = (Tiling){tile, busy * loads};
    }
    tiling.speed *= vector_speed;
    return tiling;
}

// The blocks of the chain that are on all multiprocessors at once, and workers of each.
typedef struct {
    double blocks, workers;
} Room;

static Room room_of(const Strands *strands, const Chain *chain) {
    const Target *target = strands->context->target;
    double resident = target_resident_blocks(target, chain->shared_bytes);
    if (chain_has_tensor(strands, chain))
        return (Room){fmin(resident, MOST_TENSOR_BLOCKS) * target->cores, (double)TENSOR_THREADS / WORKER};
    return (Room){resident * target->cores, (double)target_block_threads(target, chain->shared_bytes) / WORKER};
}

static double chained_seconds(const Strands *strands, const Chain *chain, const Step *step, const Room *room) {
    if (step->form != FORM_PRODUCT) return gpu_step_seconds(step, strands->context->target);
    double speed = tiling_of(strands, chain, step, room->workers).speed;
    return step->flops / (speed * strands->context->target->peak_flops);
}

// ---- traffic

// Of an operand that the chain does not make: how often its bytes come from the cache in all pieces together.
static double times_read(const Strands *strands, const Chain *chain, uint32_t s, uint32_t k) {
    const Plan *plan = strands->plan;
    DimSet own = strands->facts[s].own_summed[k];
    double times = chain->cut.pieces;
    if (dim_in(own, chain->along)) return 1;
    for (int i = 0; i < chain->dims.rank - 1; i++)
        if (dim_in(own, chain->dims.dims[i])) times /= (double)graph_extent(plan->dims, chain->dims.dims[i]);
    return times < 1 ? 1 : times;
}

// A product's factor that all pieces read may be a part of the operand: keys, of queries, keys and values.
static double factor_bytes(const Strands *strands, const Chain *chain, uint32_t s, uint32_t k) {
    const Step *step = &strands->plan->steps[s];
    const Value *value = &strands->plan->values[step->operands[k]];
    if (step->form != FORM_PRODUCT) return INFINITY;
    ChainPart part = chain_part(strands, chain, step);
    double each = part.lanes * part.summed * (double)dtype_bytes(value->dtype) * chain->cut.pieces;
    return fmax(each, chain_value_bytes(strands->plan, step->operands[k]));
}

bool chain_value_is_shared(const Strands *strands, const Chain *chain, ValueId id) {
    const Value *value = &strands->plan->values[id];
    Layout layout = chain_gpu_layout(strands, chain, id);
    if (!is_of_chain(strands, chain, id) || value->kind != VALUE_TEMPORARY) return false;
    for (uint32_t s = 0; s < strands->plan->step_count; s++)
        if (!chain->in[s] && step_reads(&strands->plan->steps[s], id)) return false;
    return cut_leads_layout(strands->plan->dims, &chain->cut, &layout, value->dtype);
}

typedef struct {
    double memory, cache;      // bytes
} Traffic;

// Step by step everything passes through memory once.
static double traffic_alone(const Strands *strands, uint32_t s) {
    const Step *step = &strands->plan->steps[s];
    double bytes = 0;
    for (uint32_t k = 0; k < step->operand_count; k++) bytes += chain_value_bytes(strands->plan, step->operands[k]);
    for (uint32_t k = 0; k < step->output_count; k++) bytes += chain_value_bytes(strands->plan, step->outputs[k]);
    return bytes;
}

static void add_traffic(const Strands *strands, Chain *chain, uint32_t s, Traffic *traffic) {
    const Plan *plan = strands->plan;
    const Step *step = &plan->steps[s];
    double within = step->band.is_set ? 0.5 : 1;
    for (uint32_t k = 0; k < step->operand_count; k++) {
        ValueId id = step->operands[k];
        double bytes = chain_value_bytes(plan, id);
        if (chain_value_is_shared(strands, chain, id)) {
            chain->moved_bytes += bytes;
        } else if (is_of_chain(strands, chain, id)) {
            traffic->cache += bytes;
        } else {
            traffic->memory += bytes;
            double read = fmin(bytes * times_read(strands, chain, s, k), factor_bytes(strands, chain, s, k));
            traffic->cache += within * read;
        }
    }
    for (uint32_t k = 0; k < step->output_count; k++) {
        ValueId id = step->outputs[k];
        double bytes = chain_value_bytes(plan, id), places = 1;
        for (int i = 0; i < chain->dims.rank; i++)
            if (dim_in(dim_list_set(&plan->values[id].order), chain->dims.dims[i]))
                places *= (double)graph_extent(plan->dims, chain->dims.dims[i]);
        bool is_sum = places < (double)chain->cut.total;
        if (chain_value_is_shared(strands, chain, id)) chain->moved_bytes += bytes;
        else traffic->memory += bytes;
        if (is_sum) traffic->cache += 2 * within * bytes / places * chain->cut.pieces;
    }
}

// ---- the times

static bool has_sums(const Strands *strands, const Chain *chain) {
    DimSet cut = dim_list_set(&chain->dims);
    for (uint32_t s = chain->first; s <= chain->last; s++)
        if (chain->in[s] && strand_shares(strands, s, cut)) return true;
    return false;
}

static double chain_seconds(const Strands *strands, Chain *chain) {
    const Target *target = strands->context->target;
    Room room = room_of(strands, chain);
    double blocks = has_sums(strands, chain) ? chain->cut.groups : chain->cut.pieces;
    double compute = 0, rounds = ceil(blocks / room.blocks), steps = 0;
    bool on_tensor_cores = chain_has_tensor(strands, chain);
    Traffic traffic = {0};
    chain->moved_bytes = 0;
    for (uint32_t s = chain->first; s <= chain->last; s++) {
        if (!chain->in[s]) continue;
        if (!on_tensor_cores) compute += chained_seconds(strands, chain, &strands->plan->steps[s], &room);
        add_traffic(strands, chain, s, &traffic);
        steps++;
    }
    if (on_tensor_cores) compute = chain_tensor_seconds(strands, chain, room.blocks / target->cores);
    compute *= rounds * room.blocks / blocks;
    double memory = traffic.memory / (memory_speed * target->bandwidth);
    double cache = traffic.cache / (cache_speed * target->bandwidth);
    double wait = rounds * chain->cut.pieces / blocks * steps * part_seconds;
    return kernel_seconds + fmax(compute, fmax(memory, cache)) + (on_tensor_cores ? 0 : wait);
}

static double seconds_alone(const Strands *strands, const Chain *chain) {
    const Target *target = strands->context->target;
    double seconds = 0;
    for (uint32_t s = chain->first; s <= chain->last; s++) {
        if (!chain->in[s]) continue;
        double compute = gpu_step_seconds(&strands->plan->steps[s], target);
        seconds += kernel_seconds + fmax(compute, traffic_alone(strands, s) / (memory_speed * target->bandwidth));
    }
    return seconds;
}

// ---- rows of a piece

// The cut of so many rows, and its shared memory; false when that is too much.
static bool cut_chain(const Strands *strands, Chain *chain, int64_t rows) {
    int64_t total = graph_elements(strands->plan->dims, dim_list_set(&chain->dims));
    chain->cut = (Cut){.dims = chain->dims,
                       .total = total,
                       .pieces = (uint32_t)(total / rows),
                       .groups = (uint32_t)chain_places(strands, chain)};
    chain->shared_bytes = shared_bytes(strands, chain);
    return chain->shared_bytes > 0 && chain->shared_bytes <= strands->context->target->l1_bytes;
}

typedef struct {
    Chain best;
    double seconds, least_bytes;
} Candidates;

static void try_rows(const Strands *strands, Chain chain, int64_t rows, Candidates *candidates) {
    bool fits = cut_chain(strands, &chain, rows);
    if (chain.shared_bytes > 0) candidates->least_bytes = fmin(candidates->least_bytes, chain.shared_bytes);
    if (!fits) return;
    double took = chain_seconds(strands, &chain);
    if (took >= candidates->seconds) return;
    candidates->seconds = took;
    candidates->best = chain;
}

// All numbers of rows; on tensor cores each with wide tiles and narrow ones, and rings of three stages or two: more
// blocks may find room beside each other then.
static bool choose_rows(const Strands *strands, Chain *chain, double *seconds, double *least_bytes) {
    static const struct {
        uint32_t lanes, stages;
    } tiles[] = {{128, 3}, {128, 2}, {64, 3}, {64, 2}};
    const Graph *dims = strands->plan->dims;
    int64_t extent = graph_extent(dims, chain->along), total = graph_elements(dims, dim_list_set(&chain->dims));
    size_t kinds = chain_has_tensor(strands, chain) ? sizeof tiles / sizeof *tiles : 1;
    Candidates candidates = {*chain, INFINITY, INFINITY};
    for (int64_t rows = extent; rows >= 1 && total <= UINT32_MAX; rows--) {
        if (extent % rows != 0 || total / rows < 2) continue;
        for (size_t i = 0; i < kinds; i++) {
            chain->most_lanes = tiles[i].lanes;
            chain->stages = tiles[i].stages;
            try_rows(strands, *chain, rows, &candidates);
        }
    }
    *chain = candidates.best;
    *seconds = candidates.seconds;
    *least_bytes = candidates.least_bytes;
    return *seconds < INFINITY;
}

// ---- the doors

static double shared_values(const Strands *strands, const Chain *chain) {
    double bytes = 0;
    for (uint32_t s = chain->first; s <= chain->last; s++)
        for (uint32_t k = 0; chain->in[s] && k < strands->plan->steps[s].output_count; k++)
            if (chain_value_is_shared(strands, chain, strands->plan->steps[s].outputs[k]))
                bytes += gpu_value_bytes(strands->plan, strands->plan->steps[s].outputs[k]);
    return bytes;
}

const char *chain_weigh_gpu(const Strands *strands, Chain *chain) {
    const Target *target = strands->context->target;
    double seconds, least, alone = seconds_alone(strands, chain);
    if (!choose_rows(strands, chain, &seconds, &least)) {
        chain->cut = (Cut){0};
        if (least == INFINITY) return "no value of it would lie in shared memory";
        return arena_format(strands->scratch,
                            "a piece of one row takes %.0f KB of shared memory, of which there are %.0f", least / 1024,
                            target->l1_bytes / 1024);
    }
    double bytes = shared_values(strands, chain), worth = gpu_memory_seconds(strands->plan, target, bytes);
    chain->pays = bytes > 0 && seconds - alone < worth;
    const char *blocks = has_sums(strands, chain) ? arena_format(strands->scratch, "%u sums", chain->cut.groups)
                                                  : "a block each";
    return arena_format(strands->scratch,
                        "%u pieces of %lld rows, %s, %.0f KB of shared memory: %.3g ms, %.3g step by step; %.3g ms for "
                        "%.3g MB of memory",
                        chain->cut.pieces, (long long)(chain->cut.total / chain->cut.pieces), blocks,
                        chain->shared_bytes / 1024, 1e3 * seconds, 1e3 * alone, 1e3 * worth, 1e-6 * bytes);
}

bool chain_weigh_again_gpu(const Strands *strands, const Chain *chain, const char **reason) {
    const Plan *plan = strands->plan;
    const Target *target = strands->context->target;
    double made = 0, kept = 0;
    for (uint32_t s = chain->first; s <= chain->last; s++) {
        if (!chain->again[s]) continue;
        made += gpu_step_seconds(&plan->steps[s], target);
        for (uint32_t k = 0; k < plan->steps[s].output_count; k++)
            kept += gpu_value_bytes(plan, plan->steps[s].outputs[k]);
    }
    double stored = 3 * chain->kept_bytes / (memory_speed * target->bandwidth);
    double worth = gpu_memory_seconds(plan, target, kept);
    *reason = arena_format(strands->scratch, "%.3g ms to make, %.3g ms to store and read %.3g MB; %.3g ms for memory",
                           1e3 * made, 1e3 * stored, 1e-6 * chain->kept_bytes, 1e3 * worth);
    return made - stored < worth;
}

void chain_join_gpu(const Strands *strands, const Chain *chain, uint32_t s) {
    Plan *plan = strands->plan;
    Step *step = &plan->steps[s];
    for (uint32_t k = 0; k < step->output_count; k++) {
        Value *value = &plan->values[step->outputs[k]];
        value->layout = chain_gpu_layout(strands, chain, step->outputs[k]);
        value->parts = 0;
    }
    if (step->form != FORM_PRODUCT) return;
    Room room = room_of(strands, chain);
    ChainPart part = chain_part(strands, chain, step);
    step->tile_rows = tiling_of(strands, chain, step, room.workers).tile_rows;
    if (step->tensor.kind != TENSOR_NONE) step->tensor = chain_tile(chain, &part, step->tensor.kind);
}
