// choose_tensor: which products of a GPU go to its tensor cores, and in what blocks.
//
// requires  layouts, register tiles, bands, cuts
// ensures   a product that is faster so has a TensorTile; its register tile stays, for backends without tensor cores
// does nothing on a processor, and unless the operands of products may be rounded (PassContext.tensor)
//           a long sum into few blocks is cut in groups, each with a part of the result of its own (Value.parts), which
//           readers add up in order
// ledger    per product: made, with both times, or the first condition that failed; a choice of the block
//
//     %2 = contract f32[B,T,F] %0 %1 over(C)    768 x 512, sum of 128     tensor tf32 64 by 64 stages 4
//     %5 = contract f32[C,F] %3 %4 over(B,T)    128 x 512, sum of 768     cut(B)/4 groups 4    and its value: parts 4
//
// The cost of a candidate: blocks are dealt out to multiprocessors in rounds; a round takes as long as the tensor cores
// need for the products of its blocks, or shared memory for handing out operands to warps, or the caches for handing
// them to multiprocessors; filling the ring at first and writing the result at last are not hidden. Blocks are larger
// than what they hold of the output where extents do not divide: these products count, too.
#include <math.h>

#include "passes/panels.h"
#include "passes/pass_functions.h"
#include "passes/tensor_cost.h"

// Bytes of the sum that are one stage of a row or a lane.
enum { STAGE_BYTES = 128, LEAST_STAGES = 2, MOST_STAGES = 4, LEAST_SUM = 8 };
// How often a step with reductions reads its operands.
enum { ROW_READS = 3 };
static const double shared_bandwidth = 190e9;  // of a multiprocessor: 128 bytes a clock
static const double cache_speed = 2.5;         // of the cache of all, in terms of memory's
static const double fill_seconds = 1.0e-6;     // the first operands' way from memory, whoever waits for them
static const double stage_seconds = 0.15e-6;   // a stage of a block that is alone on its multiprocessor
static const double row_seconds = 1.5e-9;      // a row of a register tile, of a worker that is alone
static const double tensor_speed = 0.7, vector_speed = 0.4;   // parts of the peaks that good kernels reach

static const struct {
    uint32_t rows, lanes, warps_rows, warps_lanes;
} blocks[] = {
    {32, 32, 2, 2}, {32, 64, 2, 2}, {64, 32, 2, 2}, {64, 64, 2, 2}, {128, 64, 2, 2}, {64, 128, 2, 2}, {128, 128, 2, 4},
};
enum { BLOCKS = sizeof blocks / sizeof *blocks };

typedef struct {
    double batch, rows, lanes, summed;
    double element_bytes;
    double tensor_flops, speed;   // the peak, and the part of it that good kernels reach
    const Target *target;
    const Band *band;
    int64_t band_lanes;     // extent of the lanes that a band divides; 0: it divides none
    SumParts parts;
} Shape;

// ---- costs

// Of a multiprocessor: its registers hold those of one block of 8 warps, of three of 4.
static double blocks_at_once(int block) {
    return blocks[block].warps_rows * blocks[block].warps_lanes > 4 ? 1 : 3;
}

static double shared_of(int block, uint32_t stages) {
    return (double)(blocks[block].rows + blocks[block].lanes) * STAGE_BYTES * stages;
}

static uint32_t stages_of(const Shape *shape, int block, uint32_t parts) {
    uint32_t stages = MOST_STAGES;
    double steps = ceil(shape->summed / parts * shape->element_bytes / STAGE_BYTES);
    double room = shape->target->l1_bytes / blocks_at_once(block);
    while (stages > LEAST_STAGES && (shared_of(block, stages) > room || stages > steps)) stages--;
    return stages;
}

static double tensor_seconds(const Shape *shape, int block, uint32_t parts) {
    const Target *target = shape->target;
    double rows = blocks[block].rows, lanes = blocks[block].lanes;
    double warps = blocks[block].warps_rows * blocks[block].warps_lanes;
    double count = shape->batch * ceil(shape->rows / rows) * ceil(shape->lanes / lanes) * parts;
    double depth = STAGE_BYTES / shape->element_bytes, summed = ceil(shape->summed / parts / depth) * depth;
    double multiply = 2 * rows * lanes * summed / (shape->speed * shape->tensor_flops / target->cores);
    double operands = rows / blocks[block].warps_rows + lanes / blocks[block].warps_lanes;
    double hand_out = warps * operands * summed * shape->element_bytes / shared_bandwidth;
    double round = multiply > hand_out ? multiply : hand_out;
    double traffic = count * (rows + lanes) * summed * shape->element_bytes / (cache_speed * target->bandwidth);
    double output = count * rows * lanes * sizeof(float) / target->bandwidth;
    double busy = ceil(count / target->cores) * round, resident = blocks_at_once(block) * target->cores;
    double alone = ceil(count / resident) * summed / depth * stage_seconds;
    if (alone > busy) busy = alone;
    double again = (parts - 1) * shape->parts.readers * shape->batch * shape->rows * shape->lanes * sizeof(float);
    return fill_seconds + (busy > traffic ? busy : traffic) + output + again / target->bandwidth;
}

// One worker of 16 threads for each register tile, a multiply-add of all its elements a summed index.
static double vector_seconds(const Shape *shape, const Step *step) {
    const Target *target = shape->target;
    double tiles = shape->batch * ceil(shape->rows / step->tile_rows) * ceil(shape->lanes / step->tile_lanes);
    double flops = 2 * tiles * step->tile_rows * step->tile_lanes * shape->summed;
    double rows = shape->rows < step->tile_rows ? shape->rows : step->tile_rows;
    double chain = shape->summed * rows * row_seconds;
    double busy = flops / (vector_speed * target->peak_flops);
    return fill_seconds + (busy > chain ? busy : chain) +
           shape->batch * shape->rows * shape->lanes * sizeof(float) / target->bandwidth;
}

static bool block_fits(const Shape *shape, int block) {
    if (shape->band_lanes && shape->band_lanes % blocks[block].lanes != 0) return false;
    return shared_of(block, LEAST_STAGES) <= shape->target->l1_bytes;
}

// ---- conditions

static const char *band_refusal(const Step *step, const Contraction *contraction, Shape *shape, const Plan *plan) {
    if (!step->band.is_set) return NULL;
    DimSet band = dim_bit(step->band.row) | dim_bit(step->band.column);
    bool of_rows = dim_list_set(&contraction->rows) & band, of_lanes = dim_list_set(&contraction->lanes) & band;
    bool of_sum = dim_list_set(&contraction->summed) & band;
    if (!of_rows || of_lanes == of_sum) return "its band is not along rows";
    if (of_lanes && contraction->lanes.rank == 1)
        shape->band_lanes = graph_extent(plan->dims, contraction->lanes.dims[0]);
    return of_sum && contraction->summed.rank > 1 ? "it sums over more than its band" : NULL;
}

static const char *refusal(const Plan *plan, const Step *step, const Contraction *contraction, Shape *shape) {
    if (step->engine != ENGINE_TILES) return "it goes to a library";
    if (step->cut.pieces > 1) return "it is cut in pieces";
    if (shape->summed < LEAST_SUM) return arena_format(plan->arena, "a sum of %.0f is too short", shape->summed);
    if (shape->tensor_flops == 0)
        return arena_format(plan->arena, "the tensor cores of %s are not known", shape->target->gpu);
    for (uint32_t k = 0; k < step->operand_count; k++) {
        const Value *value = &plan->values[step->operands[k]];
        uint32_t rows = operand_below(step->region, contraction->rows_operand);
        uint32_t lanes = operand_below(step->region, contraction->lanes_operand);
        if ((k == rows || k == lanes) && value->parts > 1) return "an operand is a sum of parts";
        if ((k == rows || k == lanes) && value->dtype != DTYPE_F32) return "an operand is not f32";
    }
    return band_refusal(step, contraction, shape, plan);
}

// ---- the door

static double extent_of(const Plan *plan, DimList dims) {
    return (double)graph_elements(plan->dims, dim_list_set(&dims));
}

// ---- parts of a sum

static bool adds_up_parts(const Step *step) {
    return step->form != FORM_PRODUCT && scattering_of(step->region).scatter == NODE_NONE;
}

// Into how many parts the outermost summed dim can be cut: when nothing is computed of the sum before it is stored, and
// all who read it can add up.
SumParts tensor_sum_parts(const Plan *plan, const Step *step, const Contraction *contraction) {
    ValueId id = step->outputs[0];
    const Value *value = &plan->values[id];
    bool is_plain = step->output_count == 1 && graph_output_at(step->region, 0)->node == contraction->node;
    SumParts whole = {.divisible = 1}, parts = {0};
    if (!is_plain || step->band.is_set || contraction->summed.rank == 0) return whole;
    if (value->next_of != VALUE_NONE || value->is_over || value->dtype != DTYPE_F32) return whole;
    for (uint32_t s = 0; s < plan->step_count; s++)
        for (uint32_t k = 0; k < plan->steps[s].operand_count; k++) {
            if (plan->steps[s].operands[k] != id) continue;
            if (!adds_up_parts(&plan->steps[s])) return whole;
            parts.readers += plan->steps[s].form == FORM_ROW ? ROW_READS : 1;
        }
    parts.divisible = graph_extent(plan->dims, contraction->summed.dims[0]);
    return parts;
}

void tensor_cut_sum(Plan *plan, Step *step, const Contraction *contraction, uint32_t parts) {
    Value *value = &plan->values[step->outputs[0]];
    if (parts == 1) {
        if (value->parts > 1) step->cut = (Cut){.total = 1, .pieces = 1};
        value->parts = 0;
        return;
    }
    DimList outermost = {.rank = 1, .dims = {contraction->summed.dims[0]}};
    int64_t total = graph_extent(plan->dims, outermost.dims[0]);
    step->cut = (Cut){.dims = outermost, .total = total, .pieces = parts, .groups = parts};
    value->parts = parts;
}

// ---- the shape

static Shape shape_of(const Plan *plan, const Contraction *contraction, const Target *target, TensorKind kind) {
    return (Shape){.batch = extent_of(plan, contraction->batch),
                   .rows = extent_of(plan, contraction->rows),
                   .lanes = extent_of(plan, contraction->lanes),
                   .summed = extent_of(plan, contraction->summed),
                   .element_bytes = sizeof(float),
                   .tensor_flops = target_tensor_flops(target, kind == TENSOR_TF32),
                   .speed = tensor_speed,
                   .target = target};
}

double tensor_step_seconds(const Plan *plan, const Step *step, const Target *target, double element_bytes,
                           double speed) {
    Contraction contraction = product_contraction(plan, step);
    Shape shape = shape_of(plan, &contraction, target, step->tensor.kind);
    uint32_t parts = plan->values[step->outputs[0]].parts;
    shape.element_bytes = element_bytes;
    shape.speed = speed;
    shape.parts = tensor_sum_parts(plan, step, &contraction);
    int block = 0;
    while (blocks[block].rows != step->tensor.rows || blocks[block].lanes != step->tensor.lanes)
        if (++block == BLOCKS) return INFINITY;
    return tensor_seconds(&shape, block, parts > 1 ? parts : 1);
}

// ---- the choice

typedef struct {
    TensorTile tile;
    uint32_t parts;
    double seconds;
} Way;

// Whether it is the block that a choice asks for.
static bool is_asked(const Shape *shape, const Choice *asked, int block, uint32_t parts) {
    if (!asked) return true;
    uint32_t stages = asked->stages ? asked->stages : LEAST_STAGES;
    bool is_ring = stages >= LEAST_STAGES && stages <= MOST_STAGES;
    return blocks[block].rows == asked->rows && blocks[block].lanes == asked->lanes && is_ring &&
           shared_of(block, stages) <= shape->target->l1_bytes && (!asked->pieces || asked->pieces == parts);
}

// The fastest one, of those that are asked for; false when no block fits.
static bool fastest_way(const Shape *shape, TensorKind kind, const Choice *asked, Way *way) {
    way->seconds = INFINITY;
    for (int b = 0; b < BLOCKS; b++) {
        if (!block_fits(shape, b)) continue;
        for (uint32_t parts = 1; parts <= MOST_PARTS && parts <= shape->parts.divisible; parts++) {
            if (parts > 1 && (shape->parts.divisible % parts != 0 || shape->summed / parts < LEAST_PART)) continue;
            double seconds = tensor_seconds(shape, b, parts);
            if (seconds >= way->seconds || !is_asked(shape, asked, b, parts)) continue;
            TensorTile tile = {kind, blocks[b].rows, blocks[b].lanes, stages_of(shape, b, parts), false};
            if (asked && asked->stages) tile.stages = asked->stages;
            *way = (Way){tile, parts, seconds};
        }
    }
    return way->seconds < INFINITY;
}

static const char *times_of(PassContext *context, const Way *way, double vector) {
    const TensorTile *tile = &way->tile;
    const char *parts = way->parts > 1 ? arena_format(context->arena, ", %u parts", way->parts) : "";
    return arena_format(context->arena, "blocks of %u by %u, %u stages%s: %.3g us, %.3g us without", tile->rows,
                        tile->lanes, tile->stages, parts, 1e6 * way->seconds, 1e6 * vector);
}

static void choose(Plan *plan, Step *step, PassContext *context) {
    Contraction contraction = product_contraction(plan, step);
    Shape shape = shape_of(plan, &contraction, context->target, context->tensor);
    Decision decision = {.pass = "choose_tensor", .what = "product by tensor cores", .place = step->place};
    decision.reason = refusal(plan, step, &contraction, &shape);
    Way way = {.parts = 1};
    double vector = vector_seconds(&shape, step);
    bool is_possible = !decision.reason;
    shape.parts = tensor_sum_parts(plan, step, &contraction);
    Choice *asked = choices_of_step(context->choices, CHOICE_BLOCK, step);
    if (is_possible && !fastest_way(&shape, context->tensor, asked, &way)) {
        decision.reason =
            arena_format(context->arena, "no %sblock fits its sum, its band and %.0f bytes of shared memory",
                         asked ? "such " : "", shape.target->l1_bytes);
        is_possible = false;
    }
    if (is_possible) {
        decision.made = way.seconds < vector;
        decision.reason = times_of(context, &way, vector);
    }
    choices_decide(context->choices, is_possible, &decision);
    if (asked) {
        decision.made = is_possible;
        decision.reason = is_possible ? choice_follow(context->choices, asked)
                                      : choice_obstruct(context->choices, asked, decision.reason);
    }
    if (decision.made) {
        step->tensor = way.tile;
        tensor_cut_sum(plan, step, &contraction, way.parts);
    }
    ledger_add(context->ledger, decision);
}

bool pass_choose_tensor(Plan *plan, PassContext *context) {
    if (!target_is_gpu(context->target) || context->tensor == TENSOR_NONE) return true;
    for (uint32_t s = 0; s < plan->step_count; s++)
        if (plan->steps[s].form == FORM_PRODUCT) choose(plan, &plan->steps[s], context);
    return true;
}
