// choose_tensor: which products of a GPU go to its tensor cores, and in what blocks.
//
// requires  layouts, register tiles, bands, cuts
// ensures   a product that is faster so has a TensorTile; its register tile stays, for backends without tensor cores
// does nothing on a processor, and unless the operands of products may be rounded (PassContext.tensor)
//           a long sum into few blocks is cut in groups, each with a part of the result of its own (Value.parts), which
//           readers add up in order
// ledger    per product: made, with both times, or the first condition that failed; a choice of the block
//
// What factors take depends on how they will be stored, and that on which products go to tensor cores (foresee_narrow).
// So everything is decided twice: as if all that can would go there, and then as found.
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
#include "passes/rounding.h"
#include "passes/tensor_cost.h"

// Bytes of the sum that are one stage of a row or a lane of the wider factor.
enum { STAGE_BYTES = 128, LEAST_STAGES = 2, MOST_STAGES = 4, LEAST_SUM = 8 };
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
    TensorShape shape;
    TensorKind kind;
    double tensor_flops, speed;   // the peak, and the part of it that good kernels reach
    int64_t band_lanes;           // extent of the lanes that a band divides; 0: it divides none
    const Choice *asked;          // the block; NULL: any
} Product;

// ---- costs

// Of a multiprocessor: its registers hold those of one block of 8 warps, of three of 4.
static double blocks_at_once(int block) {
    return blocks[block].warps_rows * blocks[block].warps_lanes > 4 ? 1 : 3;
}

// Summed indices of a stage.
static double depth_of(const TensorShape *shape) {
    return STAGE_BYTES / fmax(shape->rows_bytes, shape->lanes_bytes);
}

// Of a block's factors, by summed index.
static double factor_bytes(const TensorShape *shape, double rows, double lanes) {
    return rows * shape->rows_bytes + lanes * shape->lanes_bytes;
}

static double shared_of(const TensorShape *shape, int block, uint32_t stages) {
    return factor_bytes(shape, blocks[block].rows, blocks[block].lanes) * depth_of(shape) * stages;
}

static uint32_t stages_of(const TensorShape *shape, int block, uint32_t parts) {
    uint32_t stages = MOST_STAGES;
    double steps = ceil(shape->summed / parts / depth_of(shape));
    double room = shape->target->l1_bytes / blocks_at_once(block);
    while (stages > LEAST_STAGES && (shared_of(shape, block, stages) > room || stages > steps)) stages--;
    return stages;
}

static double tensor_seconds(const Product *product, int block, uint32_t parts) {
    const TensorShape *shape = &product->shape;
    const Target *target = shape->target;
    double rows = blocks[block].rows, lanes = blocks[block].lanes;
    double warps_rows = blocks[block].warps_rows, warps_lanes = blocks[block].warps_lanes;
    double count = shape->batch * ceil(shape->rows / rows) * ceil(shape->lanes / lanes) * parts;
    double depth = depth_of(shape), summed = ceil(shape->summed / parts / depth) * depth;
    double multiply = 2 * rows * lanes * summed / (product->speed * product->tensor_flops / target->cores);
    double operands = factor_bytes(shape, rows / warps_rows, lanes / warps_lanes);
    double hand_out = warps_rows * warps_lanes * operands * summed / shared_bandwidth;
    double round = multiply > hand_out ? multiply : hand_out;
    double traffic = count * factor_bytes(shape, rows, lanes) * summed / (cache_speed * target->bandwidth);
    double output = count * rows * lanes * shape->result_bytes / target->bandwidth;
    double busy = ceil(count / target->cores) * round, resident = blocks_at_once(block) * target->cores;
    double alone = ceil(count / resident) * summed / depth * stage_seconds;
    if (alone > busy) busy = alone;
    double again = (parts - 1) * shape->parts.readers * shape->batch * shape->rows * shape->lanes * sizeof(float);
    return fill_seconds + (busy > traffic ? busy : traffic) + output + again / target->bandwidth;
}

// One worker of 16 threads for each register tile, a multiply-add of all its elements a summed index.
static double vector_seconds(const TensorShape *shape, const Step *step) {
    const Target *target = shape->target;
    double tiles = shape->batch * ceil(shape->rows / step->tile_rows) * ceil(shape->lanes / step->tile_lanes);
    double flops = 2 * tiles * step->tile_rows * step->tile_lanes * shape->summed;
    double rows = shape->rows < step->tile_rows ? shape->rows : step->tile_rows;
    double chain = shape->summed * rows * row_seconds;
    double busy = flops / (vector_speed * target->peak_flops);
    return fill_seconds + (busy > chain ? busy : chain) +
           shape->batch * shape->rows * shape->lanes * sizeof(float) / target->bandwidth;
}

// ---- conditions

static const char *band_refusal(const Plan *plan, const Step *step, const Contraction *contraction, Product *product) {
    if (!step->band.is_set) return NULL;
    DimSet band = dim_bit(step->band.row) | dim_bit(step->band.column);
    bool of_rows = dim_list_set(&contraction->rows) & band, of_lanes = dim_list_set(&contraction->lanes) & band;
    bool of_sum = dim_list_set(&contraction->summed) & band;
    if (!of_rows || of_lanes == of_sum) return "its band is not along rows";
    if (of_lanes && contraction->lanes.rank == 1)
        product->band_lanes = graph_extent(plan->dims, contraction->lanes.dims[0]);
    return NULL;
}

static const char *refusal(const Plan *plan, const Step *step, const Contraction *contraction, Product *product) {
    const TensorShape *shape = &product->shape;
    if (step->engine != ENGINE_TILES) return "it goes to a library";
    if (step->cut.pieces > 1) return "it is cut in pieces";
    if (shape->summed < LEAST_SUM) return arena_format(plan->arena, "a sum of %.0f is too short", shape->summed);
    if (product->tensor_flops == 0)
        return arena_format(plan->arena, "the tensor cores of %s are not known", shape->target->gpu);
    for (uint32_t k = 0; k < step->operand_count; k++) {
        const Value *value = &plan->values[step->operands[k]];
        uint32_t rows = operand_below(step->region, contraction->rows_operand);
        uint32_t lanes = operand_below(step->region, contraction->lanes_operand);
        if ((k == rows || k == lanes) && value->parts > 1) return "an operand is a sum of parts";
        if ((k == rows || k == lanes) && value->dtype != DTYPE_F32) return "an operand is not f32";
    }
    return band_refusal(plan, step, contraction, product);
}

// ---- ways

static Product product_of(const Plan *plan, const Step *step, const Target *target, TensorKind kind) {
    return (Product){.shape = tensor_shape(plan, step, target),
                     .kind = kind,
                     .tensor_flops = target_tensor_flops(target, kind == TENSOR_TF32),
                     .speed = tensor_speed};
}

double tensor_step_seconds(const Plan *plan, const Step *step, const Target *target, double speed) {
    Product product = product_of(plan, step, target, step->tensor.kind);
    uint32_t parts = plan->values[step->outputs[0]].parts;
    product.speed = speed;
    int block = 0;
    while (blocks[block].rows != step->tensor.rows || blocks[block].lanes != step->tensor.lanes)
        if (++block == BLOCKS) return INFINITY;
    return tensor_seconds(&product, block, parts > 1 ? parts : 1);
}

static bool block_fits(const Product *product, int block, uint32_t stages) {
    if (product->band_lanes && product->band_lanes % blocks[block].lanes != 0) return false;
    return shared_of(&product->shape, block, stages) <= product->shape.target->l1_bytes;
}

// Whether it is the block that a choice asks for. Where that is one of warpgroups, this is what they are compared with.
static bool is_asked(const Product *product, int block, uint32_t parts) {
    const Choice *asked = product->asked;
    if (!asked) return true;
    if (asked->pieces && asked->pieces != parts) return false;
    if (asked->wgmma) return true;
    uint32_t stages = asked->stages ? asked->stages : LEAST_STAGES;
    return blocks[block].rows == asked->rows && blocks[block].lanes == asked->lanes && stages >= LEAST_STAGES &&
           stages <= MOST_STAGES && block_fits(product, block, stages);
}

static bool way_of(void *context, int block, uint32_t parts, TensorWay *way) {
    const Product *product = context;
    if (!block_fits(product, block, LEAST_STAGES) || !is_asked(product, block, parts)) return false;
    bool has_stages = product->asked && !product->asked->wgmma && product->asked->stages;
    uint32_t stages = has_stages ? product->asked->stages : stages_of(&product->shape, block, parts);
    way->tile = (TensorTile){product->kind, blocks[block].rows, blocks[block].lanes, stages, false, false};
    way->seconds = tensor_seconds(product, block, parts);
    return true;
}

// ---- the choice

typedef struct {
    Plan *plan;
    PassContext *context;
    const bool *narrow;   // by value: it will be stored in 16 bits, or read from a copy that is
    bool is_first;        // of the two times that everything is decided
} Choosing;

// What its values will take.
static void foresee(const Choosing *choosing, const Step *step, TensorShape *shape) {
    Contraction contraction = product_contraction(choosing->plan, step);
    uint32_t rows = operand_below(step->region, contraction.rows_operand);
    uint32_t lanes = operand_below(step->region, contraction.lanes_operand);
    if (choosing->narrow[step->operands[rows]]) shape->rows_bytes = sizeof(uint16_t);
    if (choosing->narrow[step->operands[lanes]]) shape->lanes_bytes = sizeof(uint16_t);
    if (choosing->narrow[step->outputs[0]]) shape->result_bytes = sizeof(uint16_t);
}

static const char *no_way(const Choosing *choosing, const Product *product) {
    return arena_format(choosing->context->arena, "no %sblock fits its sum, its band and %.0f bytes of shared memory",
                        product->asked ? "such " : "", product->shape.target->l1_bytes);
}

// Why it cannot be, or NULL and the way.
static const char *find_way(const Choosing *choosing, const Step *step, const Contraction *contraction,
                            Product *product, TensorWay *way) {
    const PassContext *context = choosing->context;
    const char *reason = refusal(choosing->plan, step, contraction, product);
    if (!reason && product->asked && product->asked->wgmma)
        reason = warpgroups_refusal(context->arena, context->target, context->tensor);
    if (reason) return reason;
    foresee(choosing, step, &product->shape);
    return tensor_fastest_way(&product->shape, BLOCKS, way_of, product, way) ? NULL : no_way(choosing, product);
}

static void choose(const Choosing *choosing, Step *step) {
    Plan *plan = choosing->plan;
    PassContext *context = choosing->context;
    Contraction contraction = product_contraction(plan, step);
    tensor_cut_sum(plan, step, &contraction, 1);
    Product product = product_of(plan, step, context->target, context->tensor);
    Choice *asked = choices_of_step(context->choices, CHOICE_BLOCK, step);
    product.asked = asked;
    Decision decision = {.pass = "choose_tensor", .what = "product by tensor cores", .place = step->place};
    TensorWay way = {.parts = 1};
    decision.reason = find_way(choosing, step, &contraction, &product, &way);
    bool is_possible = !decision.reason, waits = is_possible && asked && asked->wgmma;
    if (is_possible) {
        double vector = vector_seconds(&product.shape, step);
        decision.made = way.seconds < vector;
        decision.reason = tensor_way_text(context->arena, &way, vector, "without");
    }
    tensor_decide(context, is_possible, waits ? NULL : asked, &decision);
    if (waits) {   // whether it can be followed, choose_warpgroups knows
        decision.made = true;
        decision.reason = "a choice asks for warpgroups";
    }
    step->tensor = (TensorTile){0};
    if (decision.made) tensor_take_way(plan, step, &contraction, &way);
    if (!choosing->is_first) ledger_add(context->ledger, decision);
}

static void assume_all(const Choosing *choosing) {
    Plan *plan = choosing->plan;
    for (uint32_t s = 0; s < plan->step_count; s++) {
        Step *step = &plan->steps[s];
        if (step->form != FORM_PRODUCT) continue;
        Contraction contraction = product_contraction(plan, step);
        Product product = product_of(plan, step, choosing->context->target, choosing->context->tensor);
        if (!refusal(plan, step, &contraction, &product)) step->tensor.kind = product.kind;
    }
}

bool pass_choose_tensor(Plan *plan, PassContext *context) {
    if (!target_is_gpu(context->target) || context->tensor == TENSOR_NONE) return true;
    Choosing choosing = {.plan = plan, .context = context};
    assume_all(&choosing);
    for (int time = 0; time < 2; time++) {
        choosing.is_first = time == 0;
        choosing.narrow = foresee_narrow(plan, context);
        for (uint32_t s = 0; s < plan->step_count; s++)
            if (plan->steps[s].form == FORM_PRODUCT) choose(&choosing, &plan->steps[s]);
    }
    return true;
}
