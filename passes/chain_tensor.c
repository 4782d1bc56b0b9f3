// The cost model of a chain whose products are on tensor cores: tiles, their ring, and the time of all pieces.
//
// A multiprocessor does four things at once, each at its own rate, and a piece takes as long as what takes longest:
//
//     tensor cores     the products; what lies outside of a band is left out, in whole tiles
//     shared memory    128 bytes a clock: fragments, one for each warp that has its rows or its lanes; stages of the
//                      ring on their way in; what a step of rows reads several times; what steps hand on
//     vectors          steps of rows, whose functions are polynomials, and epilogues
//     waiting          for the first stages of each product, at each barrier, and while a phase uses one of the three
//
// Blocks beside each other on a multiprocessor hide each other's waiting and nothing else.
#include <math.h>

#include "passes/chains.h"
#include "passes/panels.h"
#include "passes/plan_measure.h"

static const double tensor_speed = 0.5, vector_speed = 0.4;   // parts of the peaks that kernels reach
static const double alone_speed = 0.6;        // of the rates that one block reaches by itself
static const double part_seconds = 1e-6;      // of a product of a piece: its first operands' way, and the barrier
static const double barrier_seconds = 0.2e-6; // of a step of rows, whose operands are there
static const double stage_seconds = 0.1e-6;   // the barrier of a stage, and where its copies go
static const double function_flops = 20;      // of an exponential and the like, on one element
enum { WARPS = 8, STAGE_BYTES = 128, TIMES_READ = 3, BANK_FLOPS = 2 };
enum { LOWEST = 16, HIGHEST = 64, NARROW = 64, LEAST_ROOM = 32 };

bool chain_has_tensor(const Strands *strands, const Chain *chain) {
    for (uint32_t s = chain->first; s <= chain->last; s++)
        if (chain->in[s] && strands->plan->steps[s].tensor.kind != TENSOR_NONE) return true;
    return false;
}

// ---- tiles

static double extent_of(const Plan *plan, DimList dims) {
    return (double)graph_elements(plan->dims, dim_list_set(&dims));
}

ChainPart chain_part(const Strands *strands, const Chain *chain, const Step *step) {
    const Plan *plan = strands->plan;
    Contraction contraction = product_contraction(plan, step);
    DimSet cut = dim_list_set(&chain->dims), along = dim_bit(chain->along);
    double range = (double)chain->cut.total / chain->cut.pieces;
    ChainPart part = {extent_of(plan, dim_list_without(contraction.rows, cut)),
                      extent_of(plan, dim_list_without(contraction.lanes, cut)),
                      extent_of(plan, dim_list_without(contraction.summed, cut))};
    if (dim_list_set(&contraction.rows) & along) part.rows *= range;
    if (dim_list_set(&contraction.summed) & along) part.summed *= range;
    return part;
}

// As high as the piece has rows.
TensorTile chain_tile(const Chain *chain, const ChainPart *part, TensorKind kind) {
    uint32_t rows = LOWEST, lanes = NARROW;
    while (rows < HIGHEST && 2 * rows <= part->rows) rows *= 2;
    while (lanes < chain->most_lanes && 2 * lanes <= part->lanes) lanes *= 2;
    return (TensorTile){kind, rows, lanes, chain->stages, false, false};
}

// At most: a factor that lies in shared memory is not copied.
double chain_ring_bytes(const Strands *strands, const Chain *chain) {
    double most = 0;
    for (uint32_t s = chain->first; s <= chain->last; s++) {
        const Step *step = &strands->plan->steps[s];
        if (!chain->in[s] || step->tensor.kind == TENSOR_NONE) continue;
        ChainPart part = chain_part(strands, chain, step);
        TensorTile tile = chain_tile(chain, &part, step->tensor.kind);
        most = fmax(most, (fmax(tile.rows, LEAST_ROOM) + tile.lanes) * STAGE_BYTES * tile.stages);
    }
    return most;
}

// ---- what a step of a piece takes, in seconds of a multiprocessor

typedef struct {
    double tensor, shared, vector, waits;
} Work;

static double within(const Step *step) { return step->band.is_set ? 0.5 : 1; }

static double shared_seconds(const Target *target, double bytes) {
    return bytes * BANK_FLOPS * target->cores / target->peak_flops;
}

static bool is_function(Op op) {
    bool is_exponential = op == OP_EXP || op == OP_LSE || op == OP_TANH || op == OP_ERF;
    return is_exponential || op == OP_LOG || op == OP_SIN || op == OP_COS;
}

static double vector_flops(const Strands *strands, const Step *step) {
    const Plan *plan = strands->plan;
    double flops = step->form == FORM_PRODUCT ? 0 : step->flops;
    for (NodeId id = 0; id < graph_nodes(step->region); id++) {
        const Node *node = graph_node(step->region, id);
        if (!is_function(node->op)) continue;
        DimSet dims = node->op == OP_LSE ? graph_node(step->region, node->operands[0])->dims : node->dims;
        flops += function_flops * (double)graph_elements(plan->dims, dims) * within(step);
    }
    return flops;
}

// Bytes of a piece of the step's large operands, or results, that lie in shared memory.
static double handed_bytes(const Strands *strands, const Chain *chain, const ValueId *ids, uint32_t count) {
    double bytes = 0;
    for (uint32_t k = 0; k < count; k++)
        if (chain_value_is_shared(strands, chain, ids[k]))
            bytes += chain_value_bytes(strands->plan, ids[k]) / chain->cut.pieces;
    return bytes;
}

static double widest(const Strands *strands, const Chain *chain, const Step *step, bool is_shared) {
    double bytes = 2;
    for (uint32_t k = 0; k < step->operand_count; k++) {
        const Value *value = &strands->plan->values[step->operands[k]];
        bool counts = chain_value_is_shared(strands, chain, step->operands[k]) == is_shared && value->order.rank > 2;
        if (counts) bytes = fmax(bytes, (double)dtype_bytes(value->dtype));
    }
    return bytes;
}

static void add_product(const Strands *strands, const Chain *chain, const Step *step, Work *work) {
    const Target *target = strands->context->target;
    ChainPart part = chain_part(strands, chain, step);
    TensorTile tile = chain_tile(chain, &part, step->tensor.kind);
    double flops = tensor_speed * target_tensor_flops(target, step->tensor.kind == TENSOR_TF32) / target->cores;
    double high = tile.rows > LOWEST ? 2 : 1, wide = fmin(WARPS / high, tile.lanes / 16.0);
    double tiles = ceil(part.rows / tile.rows) * ceil(part.lanes / tile.lanes) * within(step);
    double held = widest(strands, chain, step, true), copied = widest(strands, chain, step, false);
    double rows = tile.rows * held, lanes = tile.lanes * copied, depth = STAGE_BYTES / copied;
    work->tensor = 2 * tiles * tile.rows * tile.lanes * part.summed / flops;
    double results = handed_bytes(strands, chain, step->outputs, step->output_count);
    work->shared = shared_seconds(target, tiles * part.summed * (wide * rows + high * lanes + lanes) + 2 * results);
    work->waits = part_seconds + tiles * ceil(part.summed / depth) * stage_seconds;
}

static Work work_of(const Strands *strands, const Chain *chain, const Step *step) {
    const Target *target = strands->context->target;
    double vectors = vector_speed * target->peak_flops / target->cores;
    Work work = {.vector = vector_flops(strands, step) / chain->cut.pieces / vectors, .waits = barrier_seconds};
    if (step->tensor.kind != TENSOR_NONE) {
        add_product(strands, chain, step, &work);
        return work;
    }
    double read = handed_bytes(strands, chain, step->operands, step->operand_count);
    double written = handed_bytes(strands, chain, step->outputs, step->output_count);
    work.shared = shared_seconds(target, TIMES_READ * read + written);
    if (step->form == FORM_PRODUCT) work.vector += step->flops / chain->cut.pieces / vectors;
    return work;
}

// ---- the time

double chain_tensor_seconds(const Strands *strands, const Chain *chain, double resident) {
    double tensor = 0, shared = 0, vector = 0, in_turn = 0;
    bool is_behind_rows = false;
    for (uint32_t s = chain->first; s <= chain->last; s++) {
        if (!chain->in[s]) continue;
        bool is_product = strands->plan->steps[s].tensor.kind != TENSOR_NONE;
        Work work = work_of(strands, chain, &strands->plan->steps[s]);
        // The ring of a product behind a step of rows is filled meanwhile.
        if (is_product && is_behind_rows) work.waits -= part_seconds - barrier_seconds;
        is_behind_rows = !is_product;
        tensor += work.tensor;
        shared += work.shared;
        vector += work.vector;
        in_turn += fmax(work.tensor, fmax(work.shared, work.vector)) / alone_speed + work.waits;
    }
    double piece = fmax(fmax(tensor, shared), fmax(vector, in_turn / resident));
    return piece * chain->cut.pieces / strands->context->target->cores;
}
