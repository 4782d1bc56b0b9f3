// choose_warpgroups: which products of tensor cores go to warpgroups (wgmma), which boxes bring their factors (TMA).
//
// requires  tensor tiles, what is stored in bf16
// ensures   such a product has a tile for wgmma, if it is faster so: 64 or 128 rows for each warpgroup that multiplies,
//           or a tile for each of two that take turns; stages as many as find shared memory. Both factors are bf16 in
//           memory, and tensors whose boxes can be copied; the others keep to mma.sync
//           its sum is cut in other groups, if that is better for the other blocks
// does nothing but on sm_90a
// ledger    per product in tensor cores: made, with both times, or the first condition that failed
//
//     step 7 product ...  tensor bf16 128 by 128 stages 2      tensor bf16 128 by 256 stages 4 wgmma
//
// The cost of a candidate: a multiprocessor has one block, which takes tile after tile. A tile's products take what
// tensor cores, shared memory, or the cache of all need, whichever is slowest; then it is stored, which takes what its
// memory or its instructions need. Both follow each other, but that factors of the next tile come meanwhile; in turns,
// one tile's products hide the other's epilogue. The rates below are published ones, of no measurement here: 0.8 of the
// peak is what the best kernels reach on random data; 5120 bytes a clock is the width of the cache of all, which tiles
// of 128 by 128 wait for, and those of 128 by 256 hardly.
#include <math.h>

#include "passes/panels.h"
#include "passes/pass_functions.h"
#include "passes/tensor_cost.h"

enum { STAGE_BYTES = 128, STAGE_DEPTH = 64, ELEMENT_BYTES = 2, LEAST_STAGES = 2, MOST_STAGES = 6, BARRIER_ROOM = 1024 };
static const double shared_bandwidth = 220e9;           // of a multiprocessor: 128 bytes a clock
static const double cache_speed = 2;                    // of the cache of all, in terms of memory's: 5120 bytes a clock
static const double first_seconds = 1.0e-6;             // until a block's first boxes have come
static const double hand_over_seconds = 0.2e-6;         // from the last products of a tile to the first of the next
static const double instruction_rate = 160e9;           // of a multiprocessor's threads: 128 a clock, at 0.7 of that
static const double wgmma_speed = 0.8, mma_speed = 0.6; // parts of the peak that good kernels reach
// Instructions of an epilogue for each element, whatever it computes: sums cleared, exchanged, addressed.
enum { PLAIN_INSTRUCTIONS = 6 };

static const struct {
    uint32_t rows, lanes;
    bool in_turns;
} blocks[] = {
    {64, 64, false},   {64, 128, false},  {64, 256, false},  {128, 64, false}, {128, 128, false},
    {128, 192, false}, {128, 256, false}, {256, 128, false}, {64, 256, true},  {128, 128, true},
};
enum { BLOCKS = sizeof blocks / sizeof *blocks };

typedef struct {
    Plan *plan;
    Step *step;
    Contraction contraction;
    TensorShape shape;
    double flops;         // of a multiprocessor's tensor cores
    double epilogue_bytes, epilogue_instructions; // of an element: all that is read and written besides, and computed
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

// Each product of 64 rows reads its own rows and all lanes from shared memory.
static double products_seconds(const Product *product, int block, double summed) {
    const Target *target = product->shape.target;
    double rows = blocks[block].rows, lanes = blocks[block].lanes;
    double multiply = 2 * rows * lanes * summed / (wgmma_speed * product->flops);
    double hand_out = rows / 64 * (64 + lanes) * summed * ELEMENT_BYTES / shared_bandwidth;
    double cache = (rows + lanes) * summed * ELEMENT_BYTES / (cache_speed * target->bandwidth / target->cores);
    return fmax(multiply, fmax(hand_out, cache));
}

static double epilogue_seconds(const Product *product, int block) {
    const Target *target = product->shape.target;
    double elements = (double)blocks[block].rows * blocks[block].lanes;
    double memory = elements * product->epilogue_bytes / (target->bandwidth / target->cores);
    return fmax(memory, elements * product->epilogue_instructions / instruction_rate);
}

static double seconds_of(const Product *product, int block, uint32_t parts) {
    const TensorShape *shape = &product->shape;
    const Target *target = shape->target;
    double count = shape->batch * ceil(shape->rows / blocks[block].rows) * ceil(shape->lanes / blocks[block].lanes);
    double summed = ceil(shape->summed / parts / STAGE_DEPTH) * STAGE_DEPTH;
    double rounds = ceil(count * parts / target->cores);
    double products = products_seconds(product, block, summed), epilogue = epilogue_seconds(product, block);
    double tiles = rounds * (products + epilogue + hand_over_seconds);
    if (blocks[block].in_turns) tiles = rounds * fmax(products, epilogue) + fmin(products, epilogue);
    double again = (parts - 1) * shape->parts.readers * shape->batch * shape->rows * shape->lanes * sizeof(float);
    return first_seconds + tiles + again / target->bandwidth;
}

// What an operation is in instructions.
static double instructions_of(const Node *node) {
    switch (node->op) {
    case OP_CONST:
    case OP_CONTRACT: return 0;
    case OP_DIV: return 12;
    case OP_EXP:
    case OP_RSQRT: return 20;
    case OP_TANH:
    case OP_ERF: return 45;
    default: return 1;
    }
}

static void find_epilogue(Product *product) {
    const Step *step = product->step;
    const Graph *region = step->region;
    uint32_t rows = operand_below(region, product->contraction.rows_operand);
    uint32_t lanes = operand_below(region, product->contraction.lanes_operand);
    double elements = product->shape.batch * product->shape.rows * product->shape.lanes;
    product->epilogue_instructions = PLAIN_INSTRUCTIONS;
    for (NodeId id = 0; id < graph_nodes(region); id++) {
        const Node *node = graph_node(region, id);
        bool is_of_each = (double)graph_elements(product->plan->dims, node->dims) >= elements;
        if (is_of_each) product->epilogue_instructions += instructions_of(node);
    }
    for (uint32_t k = 0; k < step->output_count; k++)
        product->epilogue_bytes += (double)dtype_bytes(product->plan->values[step->outputs[k]].dtype);
    for (uint32_t k = 0; k < step->operand_count; k++) {
        const Value *value = &product->plan->values[step->operands[k]];
        if (k == rows || k == lanes) continue;
        product->epilogue_bytes +=
            (double)dtype_bytes(value->dtype) * (double)layout_elements(&value->layout) / elements;
    }
}

// Of all elements' epilogues, which no model of mma.sync has.
static double instructions_seconds(const Product *product) {
    const TensorShape *shape = &product->shape;
    double elements = shape->batch * shape->rows * shape->lanes;
    return elements * product->epilogue_instructions / (instruction_rate * shape->target->cores);
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
    return blocks[block].rows == asked->rows && blocks[block].lanes == asked->lanes &&
           blocks[block].in_turns == asked->in_turns && stages >= LEAST_STAGES && stages <= MOST_STAGES &&
           has_room(&product->shape, block, stages) && (!asked->pieces || asked->pieces == parts);
}

// A warpgroup with two products at once: of a sum of one stage ptxas would clear the second sums between the products,
// and say so (C7519).
static bool is_tall(int block) {
    return blocks[block].rows == 256 || (blocks[block].rows == 128 && blocks[block].in_turns);
}

static bool way_of(void *context, int block, uint32_t parts, TensorWay *way) {
    const Product *product = context;
    double steps = ceil(product->shape.summed / parts / STAGE_DEPTH);
    if (!is_asked(product, block, parts) || (parts > 1 && refusal(product, parts))) return false;
    if (steps < 2 && is_tall(block)) return false;
    uint32_t stages = stages_of(&product->shape, block, steps);
    if (product->asked && product->asked->stages) stages = product->asked->stages;
    way->tile = (TensorTile){.kind = TENSOR_BF16,
                             .rows = blocks[block].rows,
                             .lanes = blocks[block].lanes,
                             .stages = stages,
                             .wgmma = true,
                             .in_turns = blocks[block].in_turns};
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
    find_epilogue(&product);
    bool is_of_others = asked && !asked->wgmma;
    Decision decision = {.pass = "choose_warpgroups", .what = "product by warpgroups", .place = step->place};
    TensorWay way;
    decision.reason = is_of_others ? "a choice says in what blocks" : find_way(&product, &way);
    bool is_possible = !decision.reason;
    if (is_possible) {
        double mma = tensor_step_seconds(plan, step, target, mma_speed) + instructions_seconds(&product);
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
