// The cost model of sweeps: whether making tiles again, where they are used, pays.
//
// In: a space and the sweeps that would take the place of its steps. Out: times:
//
//     step by step    each step as its tensor cores or vectors compute it, or its traffic, whichever takes longer; a
//                     kernel each. Tiles are written to memory and read from there, or from the cache of all, where two
//                     of them fit
//     in sweeps       products at what shared memory lets mma.sync reach, and instructions for each element of a tile
//                     in the same warps: the longer of both, and a part of the shorter, which they do not hide behind
//                     each other. A kernel each, of blocks that are dealt out to the multiprocessors in rounds
//
// A sweep makes what it needs of the tiles anew, so more is computed, and nothing of a tile passes through memory.
#include <math.h>

#include "passes/gpu_seconds.h"
#include "passes/step_cost.h"
#include "passes/sweeps.h"

static const double issue_speed = 0.65;   // of the peak, in instructions: what warps issue that wait for each other
// Of an element of a tile: its share of products, fragments and copies, and for each pointwise node beside that. (What
// NVRTC makes of GPT-2's sweeps has 20 for y, 24 for the gradient of queries, 31 for those of keys and values.)
static const double tile_instructions = 12, node_instructions = 2;
static const double unhidden = 0.3;    // of the shorter one of products and vectors

// ---- step by step

// The step with its cost: of the space what lies in the band, of others what is read of them.
static Step step_alone(const Sweeps *sweeps, const TileSpace *space, uint32_t s) {
    const Plan *plan = sweeps->plan;
    Step step = plan->steps[s];
    step_cost(plan, &step);
    step.flops *= step_band_part(plan, &step);
    for (uint32_t k = 0; k < step.operand_count + step.output_count; k++) {
        ValueId id = k < step.operand_count ? step.operands[k] : step.outputs[k - step.operand_count];
        if (space->has_value[id] && plan->values[id].band.is_set) step.bytes -= gpu_value_bytes(plan, id) / 2;
    }
    return step;
}

static double space_bytes(const Sweeps *sweeps, const TileSpace *space) {
    double bytes = 0;
    for (ValueId id = 0; id < sweeps->plan->value_count; id++)
        if (id != space->lse_value && space->has_value[id]) bytes += gpu_value_bytes(sweeps->plan, id);
    return bytes;
}

static double seconds_alone(const Sweeps *sweeps, const TileSpace *space) {
    const Target *target = sweeps->context->target;
    bool is_near = 2 * space_bytes(sweeps, space) <= target->l3_bytes;
    double speed = (is_near ? cache_speed : memory_speed) * target->bandwidth, seconds = 0;
    for (uint32_t s = 0; s < sweeps->plan->step_count; s++) {
        if (!space->has_step[s]) continue;
        Step step = step_alone(sweeps, space, s);
        seconds += kernel_seconds + fmax(gpu_step_seconds(&step, target), step.bytes / speed);
    }
    return seconds;
}

// ---- in sweeps

// Instructions for each element of a tile: of nodes that have both of its sides.
static double instructions_of(const TileSpace *space, const Step *step, Arena *scratch) {
    const bool *live = graph_live(step->region, scratch);
    DimSet sides = dim_bit(space->rows) | dim_bit(space->columns);
    double count = tile_instructions;
    for (NodeId id = 0; id < graph_nodes(step->region); id++) {
        const Node *node = graph_node(step->region, id);
        if (live[id] && op_class(node->op) == CLASS_POINTWISE && !(sides & ~node->dims)) count += node_instructions;
    }
    return count;
}

// More than 1 where the last round leaves multiprocessors idle.
static double idle_factor(const Sweeps *sweeps, const TileSpace *space, const Step *step) {
    double rows = (double)graph_elements(sweeps->plan->dims, space->dims & ~step->inner);
    double blocks = rows / step->tensor.rows, cores = sweeps->context->target->cores;
    return ceil(blocks / cores) * cores / blocks;
}

static double product_flops(const Step *step, Arena *scratch) {
    const bool *live = graph_live(step->region, scratch);
    double flops = 0;
    for (NodeId id = 0; id < graph_nodes(step->region); id++) {
        const Node *node = graph_node(step->region, id);
        if (!live[id] || node->op != OP_CONTRACT) continue;
        flops += 2.0 * (double)graph_elements(step->region, node->dims | node->attr.set);
    }
    return flops;
}

static double sweep_seconds(const Sweeps *sweeps, const TileSpace *space, const Step *step) {
    const Target *target = sweeps->context->target;
    double part = step_band_part(sweeps->plan, step);
    double elements = part * (double)graph_elements(sweeps->plan->dims, space->dims);
    double products = part * product_flops(step, sweeps->scratch) / (sweep_speed * target_tensor_flops(target, false));
    double instructions = elements * instructions_of(space, step, sweeps->scratch);
    double vectors = instructions / (issue_speed * target->peak_flops / 2);
    double compute = fmax(products, vectors) + unhidden * fmin(products, vectors);
    double traffic = step->bytes / (memory_speed * target->bandwidth);
    return kernel_seconds + fmax(idle_factor(sweeps, space, step) * compute, traffic);
}

// ---- the door

void sweep_weigh(const Sweeps *sweeps, TileSpace *space) {
    const Plan *plan = sweeps->plan;
    double alone = seconds_alone(sweeps, space), seconds = 0, bytes = space_bytes(sweeps, space);
    double worth = gpu_memory_seconds(plan, sweeps->context->target, bytes);
    for (uint32_t s = 0; s < plan->step_count; s++) {
        if (!space->has_step[s]) continue;
        Step step = step_alone(sweeps, space, s);
        space->bytes_saved += step.bytes;
        space->flops_saved += step.flops;
    }
    for (uint32_t i = 0; i < space->sweep_count; i++) {
        const Step *step = &space->sweeps[i].step;
        seconds += sweep_seconds(sweeps, space, step);
        space->bytes_saved -= step->bytes;
        space->flops_saved -= step->flops;
    }
    space->pays = seconds - alone < worth;
    space->weighed = arena_format(
        sweeps->scratch, "%u sweeps: %.3g ms, %.3g step by step; %.3g ms for %.3g MB of memory", space->sweep_count,
        1e3 * seconds, 1e3 * alone, 1e3 * worth, 1e-6 * bytes);
}
