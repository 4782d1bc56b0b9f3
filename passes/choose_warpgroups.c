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
    Plan *plan;
    Step *step;
    Contraction contraction;
    TensorShape shape;
    double flops;         // of a multiprocessor's tensor cores
    const Choice *asked;  // the block; NULL: any
} Product;

// ---- costs

static bool has_room(const TensorShape *shape, int block, uint32_t stages) {
    double bytes = (double)(blocks[block].rows + blocks[block].lanes) * STAGE_BYTES;
    return stages * bytes <= shape->target->l1_bytes - BARRIER_ROOM;
}

static uint32_t stages_of(const TensorShape *shape, int block, double steps) {
    uint32_t stages = MOST_STAGES;
    while (stages > LEAST_STAGES && (!has_room(shape, block, stages) || stages > steps)) stages--;
    return stages;
}

// Each warpgroup's product of 64 rows reads its own rows and all lanes from shared memory.
static double block_seconds(const Product *product, int block, double summed) {
    double rows = blocks[block].rows, lanes = blocks[block].lanes;
    double multiply = 2 * rows * lanes * summed / (wgmma_speed * product->flops);
    double hand_out = rows / 64 * (64 + lanes) * summed * ELEMENT_BYTES / shared_bandwidth;
    return multiply > hand_out ? multiply : hand_out;
}

static double seconds_of(const Product *product, int block, uint32_t parts) {
    const TensorShape *shape = &product->shape;
    const Target *target = shape->target;
    double rows = blocks[block].rows, lanes = blocks[block].lanes;
    double count = shape->batch * ceil(shape->rows / rows) * ceil(shape->lanes / lanes) * parts;
    double summed = ceil(shape->summed / parts / STAGE_DEPTH) * STAGE_DEPTH;
    double rounds = ceil(count / target->cores), busy = rounds * block_seconds(product, block, summed);
    double traffic = count * (rows + lanes) * summed * ELEMENT_BYTES / (cache_speed * target->bandwidth);
    double output = rounds * rows * lanes * shape->result_bytes / (target->bandwidth / target->cores);
    double again = (parts - 1) * shape->parts.readers * shape->batch * shape->rows * shape->lanes * sizeof(float);
    double wait = first_seconds + (rounds - 1) * next_seconds;
    return wait + (busy > traffic ? busy : traffic) + output + again / target->bandwidth;
}

// ---- ways

// Whether boxes can be copied of the factors when the sum is in so many parts. The step is left as it was.
static const char *refusal(const Product *product, uint32_t parts) {
    Step *step = product->step;
    Value *value = &product->plan->values[step->outputs[0]];
    Cut cut = step->cut;
    uint32_t before = value->parts;
    tensor_cut_sum(product->plan, step, &product->contraction, parts);
    const char *reason = step_box_refusal(product->plan, step);
    step->cut = cut;
    value->parts = before;
    return reason;
}

static bool is_asked(const Product *product, int block, uint32_t parts) {
    const Choice *asked = product->asked;
    if (!asked) return true;
    uint32_t stages = asked->stages ? asked->stages : LEAST_STAGES;
    return blocks[block].rows == asked->rows && blocks[block].lanes == asked->lanes && stages >= LEAST_STAGES &&
           stages <= MOST_STAGES && has_room(&product->shape, block, stages) &&
           (!asked->pieces || asked->pieces == parts);
}

static bool way_of(void *context, int block, uint32_t parts, TensorWay *way) {
    const Product *product = context;
    if (!is_asked(product, block, parts) || (parts > 1 && refusal(product, parts))) return false;
    uint32_t stages = stages_of(&product->shape, block, ceil(product->shape.summed / parts / STAGE_DEPTH));
    if (product->asked && product->asked->stages) stages = product->asked->stages;
    way->tile = (TensorTile){TENSOR_BF16, blocks[block].rows, blocks[block].lanes, stages, true};
    way->seconds = seconds_of(product, block, parts);
    return true;
}

// ---- the choice

// Why it cannot be, or NULL and the way.
static const char *find_way(Product *product, TensorWay *way) {
    const char *reason = refusal(product, 1);
    if (reason) return reason;
    bool found = tensor_fastest_way(&product->shape, BLOCKS, way_of, product, way);
    return found ? NULL : "no such block fits its sum and shared memory";
}

static void choose(Plan *plan, Step *step, PassContext *context) {
    const Target *target = context->target;
    Choice *asked = choices_of_step(context->choices, CHOICE_BLOCK, step);
    Product product = {.plan = plan,
                       .step = step,
                       .contraction = product_contraction(plan, step),
                       .shape = tensor_shape(plan, step, target),
                       .flops = target_tensor_flops(target, false) / target->cores,
                       .asked = asked};
    bool is_of_others = asked && !asked->wgmma;
    Decision decision = {.pass = "choose_warpgroups", .what = "product by warpgroups", .place = step->place};
    TensorWay way;
    decision.reason = is_of_others ? "a choice says in what blocks" : find_way(&product, &way);
    bool is_possible = !decision.reason;
    if (is_possible) {
        double mma = tensor_step_seconds(plan, step, target, mma_speed);
        decision.made = way.seconds < mma;
        decision.reason = tensor_way_text(context->arena, &way, mma, "by mma.sync");
    }
    tensor_decide(context, is_possible, is_of_others ? NULL : asked, &decision);
    if (decision.made) tensor_take_way(plan, step, &product.contraction, &way);
    ledger_add(context->ledger, decision);
}

const char *warpgroups_refusal(Arena *arena, const Target *target, TensorKind kind) {
    if (!target_has_wgmma(target)) return arena_format(arena, "%s has no warpgroups that multiply", target->gpu);
    return kind == TENSOR_BF16 ? NULL : arena_format(arena, "warpgroups multiply bf16, not %s", tensor_name(kind));
}

bool pass_choose_warpgroups(Plan *plan, PassContext *context) {
    for (uint32_t s = 0; s < plan->step_count; s++) {
        Step *step = &plan->steps[s];
        bool is_tensor = step->tensor.kind != TENSOR_NONE && step->engine == ENGINE_TILES;
        if (is_tensor && !warpgroups_refusal(context->arena, context->target, step->tensor.kind))
            choose(plan, step, context);
    }
    return true;
}
