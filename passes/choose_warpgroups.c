// choose_warpgroups: which products of tensor cores go to warpgroups (wgmma), which boxes bring their factors (TMA).
//
// requires  tensor tiles, what is stored in bf16
// ensures   such a product has a tile for wgmma, if it is faster so: 64 rows for each warpgroup that multiplies, stages
//           as many as find shared memory. Both factors are bf16 in memory, and tensors whose boxes can be copied; the
//           others keep to mma.sync
//           its sum is cut in other groups, if that is better for the other blocks
// does nothing but on sm_90a
// ledger    per product in tensor cores: made, with both times, or the first condition that failed
//
//     step 7 product ...  tensor bf16 128 by 128 stages 2      tensor bf16 128 by 256 stages 4 wgmma
//
// The cost of a candidate: a multiprocessor has one block at a time. A block waits for its first boxes, multiplies as
// fast as tensor cores or shared memory let it, and stores its part of the result, which nothing hides.
#include <math.h>

#include "passes/panels.h"
#include "passes/pass_functions.h"
#include "passes/tensor_cost.h"

enum { STAGE_BYTES = 128, STAGE_DEPTH = 64, ELEMENT_BYTES = 2, LEAST_STAGES = 2, MOST_STAGES = 6, BARRIER_ROOM = 1024 };
static const double shared_bandwidth = 220e9;                      // of a multiprocessor: 128 bytes a clock
static const double cache_speed = 2.5;                             // of the cache of all, in terms of memory's
static const double first_seconds = 1.0e-6, next_seconds = 0.7e-6; // until a block's first boxes have come
static const double wgmma_speed = 0.8, mma_speed = 0.6;            // parts of the peak that good kernels reach

static const struct {
    uint32_t rows, lanes;
} blocks[] = {{64, 64}, {64, 128}, {64, 256}, {128, 64}, {128, 128}, {128, 192}, {128, 256}};
enum { BLOCKS = sizeof blocks / sizeof *blocks };

typedef struct {
    double batch, rows, lanes, summed;
    double flops; // of a multiprocessor's tensor cores
    const Target *target;
    SumParts parts;
} Shape;

typedef struct {
    TensorTile tile;
    uint32_t parts;
    double seconds;
} Way;

// ---- costs

static uint32_t stages_of(const Shape *shape, int block, double steps) {
    double bytes = (double)(blocks[block].rows + blocks[block].lanes) * STAGE_BYTES;
    uint32_t stages = MOST_STAGES;
    double room = shape->target->l1_bytes - BARRIER_ROOM;
    while (stages > LEAST_STAGES && (stages * bytes > room || stages > steps))
        stages--;
    return stages;
}

// Each warpgroup's product of 64 rows reads its own rows and all lanes from shared memory.
static double block_seconds(const Shape *shape, int block, double summed) {
    double rows = blocks[block].rows, lanes = blocks[block].lanes;
    double multiply = 2 * rows * lanes * summed / (wgmma_speed * shape->flops);
    double hand_out = rows / 64 * (64 + lanes) * summed * ELEMENT_BYTES / shared_bandwidth;
    return multiply > hand_out ? multiply : hand_out;
}

static Way way_of(const Shape *shape, int block, uint32_t parts) {
    const Target *target = shape->target;
    double rows = blocks[block].rows, lanes = blocks[block].lanes;
    double count = shape->batch * ceil(shape->rows / rows) * ceil(shape->lanes / lanes) * parts;
    double steps = ceil(shape->summed / parts / STAGE_DEPTH), summed = steps * STAGE_DEPTH;
    double rounds = ceil(count / target->cores), busy = rounds * block_seconds(shape, block, summed);
    double traffic = count * (rows + lanes) * summed * ELEMENT_BYTES / (cache_speed * target->bandwidth);
    double output = rounds * rows * lanes * sizeof(float) / (target->bandwidth / target->cores);
    double again = (parts - 1) * shape->parts.readers * shape->batch * shape->rows * shape->lanes * sizeof(float);
    double wait = first_seconds + (rounds - 1) * next_seconds;
    uint32_t stages = stages_of(shape, block, steps);
    Way way = {.parts = parts};
    way.seconds = wait + (busy > traffic ? busy : traffic) + output + again / target->bandwidth;
    way.tile = (TensorTile){TENSOR_BF16, blocks[block].rows, blocks[block].lanes, stages, true};
    return way;
}

// ---- the choice

// Whether boxes can be copied of the factors when the sum is in so many parts. The step is left as it was.
static const char *refusal(Plan *plan, Step *step, const Contraction *contraction, uint32_t parts) {
    Cut cut = step->cut;
    Value *value = &plan->values[step->outputs[0]];
    uint32_t before = value->parts;
    tensor_cut_sum(plan, step, contraction, parts);
    const char *reason = step_box_refusal(plan, step);
    step->cut = cut;
    value->parts = before;
    return reason;
}

static Way fastest_way(Plan *plan, Step *step, const Contraction *contraction, const Shape *shape) {
    Way best = {.seconds = INFINITY};
    for (uint32_t parts = 1; parts <= MOST_PARTS && parts <= shape->parts.divisible; parts++) {
        if (parts > 1 && (shape->parts.divisible % parts != 0 || shape->summed / parts < LEAST_PART)) continue;
        if (parts > 1 && refusal(plan, step, contraction, parts)) continue;
        for (int b = 0; b < BLOCKS; b++) {
            Way way = way_of(shape, b, parts);
            if (way.seconds < best.seconds) best = way;
        }
    }
    return best;
}

static double extent_of(const Plan *plan, DimList dims) {
    return (double)graph_elements(plan->dims, dim_list_set(&dims));
}

static const char *times_of(PassContext *context, const Way *way, double mma) {
    const TensorTile *tile = &way->tile;
    const char *parts = way->parts > 1 ? arena_format(context->arena, ", %u parts", way->parts) : "";
    return arena_format(context->arena, "blocks of %u by %u, %u stages%s: %.3g us, %.3g us by mma.sync", tile->rows,
                        tile->lanes, tile->stages, parts, 1e6 * way->seconds, 1e6 * mma);
}

static void choose(Plan *plan, Step *step, PassContext *context) {
    Contraction contraction = product_contraction(plan, step);
    const Target *target = context->target;
    Shape shape = {.batch = extent_of(plan, contraction.batch),
                   .rows = extent_of(plan, contraction.rows),
                   .lanes = extent_of(plan, contraction.lanes),
                   .summed = extent_of(plan, contraction.summed),
                   .flops = target_tensor_flops(target, false) / target->cores,
                   .target = target,
                   .parts = tensor_sum_parts(plan, step, &contraction)};
    Decision decision = {.pass = "choose_warpgroups", .what = "product by warpgroups", .place = step->place};
    decision.reason = refusal(plan, step, &contraction, 1);
    if (!decision.reason && choices_of_step(context->choices, CHOICE_BLOCK, step))
        decision.reason = "a choice says in what blocks";
    bool is_possible = !decision.reason;
    Way way = {.seconds = INFINITY};
    if (is_possible) {
        double mma = tensor_step_seconds(plan, step, target, ELEMENT_BYTES, mma_speed);
        way = fastest_way(plan, step, &contraction, &shape);
        decision.made = way.seconds < mma;
        decision.reason = times_of(context, &way, mma);
    }
    choices_decide(context->choices, is_possible, &decision);
    if (decision.made) {
        step->tensor = way.tile;
        tensor_cut_sum(plan, step, &contraction, way.parts);
    }
    ledger_add(context->ledger, decision);
}

bool pass_choose_warpgroups(Plan *plan, PassContext *context) {
    if (!target_has_wgmma(context->target)) return true;
    for (uint32_t s = 0; s < plan->step_count; s++) {
        Step *step = &plan->steps[s];
        if (step->tensor.kind == TENSOR_BF16 && step->engine == ENGINE_TILES) choose(plan, step, context);
    }
    return true;
}
