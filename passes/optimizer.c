// Pass optimizer (extend): global-norm clipping and AdamW (Loshchilov and Hutter, ICLR 2019) as graph nodes.
//
// Requires: outputs grad.NAME (pass differentiate); no output grad_norm or accumulate.*; program step or micro.
// Ensures (step):  outputs grad_norm (of all gradients together, before clipping) and, for each NAME with a gradient,
//                  the next values NAME, adam.m.NAME and adam.v.NAME. Inputs: learning_rate (f32), step (i32, from 0).
//                  Over n > 1 micro-batches, grad.NAME becomes the mean (accumulate.NAME + gradient) / n, and the next
//                  value of accumulate.NAME is 0. A step whose loss, grad_norm or learning_rate is infinite or NaN
//                  leaves params and moments as they were. With a scaled loss (loss_scale.h) grad.NAME and
//                  accumulate.NAME are scaled, too; grad_norm, and what moments and params take, are not.
// Ensures (micro): the only outputs are loss and accumulate.NAME, the gradients so far.
// Does nothing when: never; without gradients it is an error. A param without a gradient is left alone.
//
//     %0 = param f32[C,F] "w" ..          %0 = param f32[C,F] "w" ..
//     %8 = .. f32[C,F]               ->   %8 = .. f32[C,F]
//     output "loss" %7                    %20 = %8 * clip
//     output "grad.w" %8                  %30 = state f32[C,F] "adam.m.w" ..
//                                         %31 = beta1 * %30 + (1 - beta1) * %20
//                                         %40 = state f32[C,F] "adam.v.w" ..
//                                         %41 = beta2 * %40 + (1 - beta2) * %20 * %20
//                                         %50 = %0 * decay - %31 * rate / (sqrt(%41 * bias) + epsilon)
//                                         output "loss" %7 .. "grad.w" %8 .. "grad_norm" norm
//                                         output "w" where(finite, %50, %0) .. "adam.m.w" where(finite, %31, %30) ..
//
// where t = step + 1, rate = learning_rate / (1 - beta1^t), bias = 1 / (1 - beta2^t), clip = min(1, grad_clip / (norm +
// 1e-6)), finite = grad_norm < inf and |loss| < inf and |learning_rate| < inf, and decay = 1 - learning_rate *
// weight_decay for leaves of stored rank >= 2 (for others there is no decay). With a scaled loss norm and clip are
// multiplied by 1 / scale, and t is less by the steps that the scale's overflows skipped.
#include <math.h>
#include <string.h>

#include "base/planted.h"
#include "passes/extend.h"
#include "passes/loss_scale.h"
#include "passes/pass_functions.h"

// A param and its gradient.
typedef struct {
    const char *name;
    Leaf leaf;
    NodeId param, gradient;
} Trained;

typedef struct {
    Graph *graph;
    Arena *arena;
    const OptimizerSettings *settings;
    Trained *trained;
    size_t count;
    GroupId schedule;
    NodeId clip, rate, bias, decay; // factors without dims; NODE_NONE when not used. clip unscales, too
    NodeId finite;                  // bool: whether to update at all
    NodeId unscale;                 // 1 / scale of the loss; NODE_NONE: it has none
} Optimizer;

static NodeId number(Graph *graph, double value) {
    return build_const(graph, DTYPE_F32, value);
}

static NodeId scale(Graph *graph, NodeId a, double factor) {
    return build_binary(graph, OP_MUL, a, number(graph, factor));
}

static const char *prefixed(Arena *arena, const char *prefix, const char *name) {
    return arena_format(arena, "%s%s", prefix, name);
}

// ---- what there is

static bool requirements_hold(const Graph *graph, Diags *diags) {
    bool gradients = false;
    for (uint32_t i = 0; i < graph_outputs(graph); i++) {
        const char *name = graph_output_at(graph, i)->name;
        gradients = gradients || strncmp(name, "grad.", 5) == 0;
        if (strcmp(name, "grad_norm") == 0 || strncmp(name, "accumulate.", 11) == 0) {
            return diag_error(diags, (Place){0}, "optimizer: the graph has an optimizer already (output '%s')", name);
        }
    }
    return gradients || diag_error(diags, (Place){0},
                                   "nothing to train: the graph has no gradients. No parameter influences the loss, "
                                   "or differentiate did not go first");
}

static void find_trained(Optimizer *optimizer) {
    Graph *graph = optimizer->graph;
    uint32_t leaves = graph_leaves(graph);
    optimizer->trained = ARENA_ARRAY(optimizer->arena, Trained, leaves);
    for (LeafId id = 0; id < leaves; id++) {
        const Leaf *leaf = graph_leaf_at(graph, id);
        NodeId gradient = graph_find_output(graph, prefixed(optimizer->arena, "grad.", leaf->name));
        if (gradient == NODE_NONE) continue;
        optimizer->trained[optimizer->count++] =
            (Trained){.name = leaf->name, .leaf = *leaf, .param = build_param(graph, id), .gradient = gradient};
    }
}

// A state shaped and stored as the param, 0 at first.
static NodeId state_like(Optimizer *optimizer, const Trained *trained, const char *prefix) {
    Leaf leaf = trained->leaf;
    leaf.spec_name = NULL;
    leaf.name = prefixed(optimizer->arena, prefix, trained->name);
    leaf.init = INIT_CONSTANT;
    leaf.init_value = 0.0;
    return build_state(optimizer->graph, graph_leaf(optimizer->graph, &leaf));
}

static void output_state(Optimizer *optimizer, const Trained *trained, const char *prefix, NodeId value) {
    graph_output(optimizer->graph, prefixed(optimizer->arena, prefix, trained->name), value);
}

static void enter_group(Optimizer *optimizer, const char *label, const Trained *trained) {
    graph_set_group(optimizer->graph, graph_group(optimizer->graph, label, trained->name, 0));
}

// ---- accumulation over micro-batches

static void output_accumulated(Optimizer *optimizer, const Trained *trained) {
    enter_group(optimizer, "accumulate", trained);
    NodeId former = state_like(optimizer, trained, "accumulate.");
    output_state(optimizer, trained, "accumulate.", extend_sum(optimizer->graph, former, trained->gradient));
}

static void take_accumulated(Optimizer *optimizer, Trained *trained) {
    Graph *graph = optimizer->graph;
    enter_group(optimizer, "accumulate", trained);
    NodeId former = state_like(optimizer, trained, "accumulate.");
    NodeId total = extend_sum(graph, former, trained->gradient);
    int count = PLANTED(micro_batches_not_averaged) ? 1 : optimizer->settings->accumulation;
    trained->gradient = scale(graph, total, 1.0 / count);
    output_state(optimizer, trained, "grad.", trained->gradient);
    output_state(optimizer, trained, "accumulate.", extend_broadcast(graph, number(graph, 0.0), former));
}

// ---- gradient norm and the factors that all params share

static NodeId reciprocal_scale(Optimizer *optimizer) {
    Graph *graph = optimizer->graph;
    graph_set_group(graph, optimizer->schedule);
    NodeId scale = loss_scale(graph, optimizer->settings);
    return scale == NODE_NONE ? NODE_NONE : build_binary(graph, OP_DIV, number(graph, 1.0), scale);
}

// In two stages, along the last stored dim and then over the rest, so that the first one goes with the gradient's rows.
static NodeId sum_of_squares(Optimizer *optimizer, const Trained *trained) {
    Graph *graph = optimizer->graph;
    enter_group(optimizer, "square_norm", trained);
    NodeId sum = build_binary(graph, OP_MUL, trained->gradient, trained->gradient);
    int rank = trained->leaf.stored.rank;
    if (rank > 0) sum = build_reduce(graph, OP_SUM, sum, dim_bit(trained->leaf.stored.dims[rank - 1]));
    if (rank > 1) sum = build_reduce(graph, OP_SUM, sum, graph_node(graph, sum)->dims);
    return sum;
}

static NodeId gradient_norm(Optimizer *optimizer) {
    Graph *graph = optimizer->graph;
    NodeId total = NODE_NONE;
    for (size_t i = 0; i < optimizer->count; i++) {
        NodeId square = sum_of_squares(optimizer, &optimizer->trained[i]);
        graph_set_group(graph, optimizer->schedule);
        total = i == 0 ? square : build_binary(graph, OP_ADD, total, square);
    }
    NodeId norm = PLANTED(clips_by_the_square) ? total : build_unary(graph, OP_SQRT, total);
    return optimizer->unscale == NODE_NONE ? norm : build_binary(graph, OP_MUL, norm, optimizer->unscale);
}

// 1 - beta^t = 2u / (1 + u) with u = tanh(-t log(beta) / 2): exp would lose half the digits of 1 - 0.999 to
// cancellation.
static NodeId bias_correction(Graph *graph, NodeId t, double beta) {
    NodeId u = build_unary(graph, OP_TANH, scale(graph, t, -0.5 * log(beta)));
    return build_binary(graph, OP_DIV, scale(graph, u, 2.0), build_binary(graph, OP_ADD, u, number(graph, 1.0)));
}

// Whether the step is to count, and what the scale of the loss becomes.
static void judge_step(Optimizer *optimizer, NodeId norm, NodeId learning_rate) {
    Graph *graph = optimizer->graph;
    NodeId infinity = number(graph, INFINITY), loss = graph_find_output(graph, "loss");
    NodeId sound_norm = build_binary(graph, OP_LT, norm, infinity);
    NodeId sound_loss = build_binary(graph, OP_LT, build_unary(graph, OP_ABS, loss), infinity);
    NodeId sound_rate = build_binary(graph, OP_LT, build_unary(graph, OP_ABS, learning_rate), infinity);
    NodeId sound = build_binary(graph, OP_AND, sound_norm, sound_loss);
    optimizer->finite = build_binary(graph, OP_AND, sound, sound_rate);
    if (optimizer->unscale == NODE_NONE) return;
    NodeId sound_but_norm = build_binary(graph, OP_AND, sound_loss, sound_rate);
    loss_scale_update(graph, optimizer->settings, optimizer->finite, sound_but_norm);
    if (PLANTED(skip_forgotten)) optimizer->finite = sound_but_norm;
}

// Steps that were taken, this one counted.
static NodeId steps_taken(Optimizer *optimizer) {
    Graph *graph = optimizer->graph;
    NodeId step = build_input(graph, graph_leaf(graph, &(Leaf){.name = "step"}), DTYPE_I32);
    NodeId before = build_unary(graph, OP_TO_FLOAT, step);
    NodeId t = PLANTED(bias_correction_a_step_off) ? before : build_binary(graph, OP_ADD, before, number(graph, 1.0));
    if (optimizer->unscale == NODE_NONE || PLANTED(skipped_steps_counted)) return t;
    return build_binary(graph, OP_SUB, t, loss_scale_skipped(graph));
}

static void make_factors(Optimizer *optimizer, NodeId norm) {
    Graph *graph = optimizer->graph;
    const OptimizerSettings *settings = optimizer->settings;
    NodeId one = number(graph, 1.0);
    NodeId learning_rate = build_input(graph, graph_leaf(graph, &(Leaf){.name = "learning_rate"}), DTYPE_F32);
    NodeId t = steps_taken(optimizer);
    judge_step(optimizer, norm, learning_rate);
    optimizer->rate = build_binary(graph, OP_DIV, learning_rate, bias_correction(graph, t, settings->beta1));
    optimizer->bias = build_binary(graph, OP_DIV, one, bias_correction(graph, t, settings->beta2));
    optimizer->decay = optimizer->clip = NODE_NONE;
    if (settings->weight_decay != 0.0) {
        optimizer->decay = build_binary(graph, OP_SUB, one, scale(graph, learning_rate, settings->weight_decay));
    }
    if (settings->grad_clip > 0.0) {
        NodeId safe = build_binary(graph, OP_ADD, norm, number(graph, 1e-6));
        NodeId ratio = build_binary(graph, OP_DIV, number(graph, settings->grad_clip), safe);
        optimizer->clip = build_binary(graph, OP_MINIMUM, one, ratio);
    }
    if (optimizer->unscale == NODE_NONE || PLANTED(unscale_forgotten)) return;
    NodeId clip = optimizer->clip, unscale = optimizer->unscale;
    optimizer->clip = clip == NODE_NONE ? unscale : build_binary(graph, OP_MUL, clip, unscale);
}

// ---- AdamW

// beta * former + (1 - beta) * now
static NodeId moving_average(Graph *graph, double beta, NodeId former, NodeId now) {
    return build_binary(graph, OP_ADD, scale(graph, former, beta), scale(graph, now, 1.0 - beta));
}

static void output_next(Optimizer *optimizer, const Trained *trained, const char *prefix, NodeId next, NodeId former) {
    output_state(optimizer, trained, prefix, build_where(optimizer->graph, optimizer->finite, next, former));
}

static void update_param(Optimizer *optimizer, const Trained *trained) {
    Graph *graph = optimizer->graph;
    const OptimizerSettings *settings = optimizer->settings;
    enter_group(optimizer, "adamw", trained);
    NodeId gradient = trained->gradient, param = trained->param;
    if (optimizer->clip != NODE_NONE) gradient = build_binary(graph, OP_MUL, gradient, optimizer->clip);
    NodeId square = build_binary(graph, OP_MUL, gradient, gradient);
    NodeId former_m = state_like(optimizer, trained, "adam.m."), former_v = state_like(optimizer, trained, "adam.v.");
    NodeId m = moving_average(graph, settings->beta1, former_m, gradient);
    NodeId v = moving_average(graph, settings->beta2, former_v, square);
    NodeId root = build_unary(graph, OP_SQRT, build_binary(graph, OP_MUL, v, optimizer->bias));
    NodeId divisor = build_binary(graph, OP_ADD, root, number(graph, settings->epsilon));
    if (PLANTED(epsilon_inside_root)) {
        NodeId mean = build_binary(graph, OP_MUL, v, optimizer->bias);
        divisor = build_unary(graph, OP_SQRT, build_binary(graph, OP_ADD, mean, number(graph, settings->epsilon)));
    }
    NodeId change = build_binary(graph, OP_DIV, build_binary(graph, OP_MUL, m, optimizer->rate), divisor);
    bool decays = optimizer->decay != NODE_NONE && trained->leaf.stored_rank >= (PLANTED(vectors_decay) ? 1 : 2);
    NodeId kept = decays ? build_binary(graph, OP_MUL, param, optimizer->decay) : param;
    output_next(optimizer, trained, "", build_binary(graph, OP_SUB, kept, change), param);
    output_next(optimizer, trained, "adam.m.", m, former_m);
    output_next(optimizer, trained, "adam.v.", v, former_v);
}

static bool is_micro_output(const char *output) {
    return strcmp(output, "loss") == 0 || strncmp(output, "accumulate.", 11) == 0;
}

Graph *pass_optimizer(const Graph *graph, PassContext *context) {
    CHECK(context->program != PROGRAM_PLAIN);
    if (!requirements_hold(graph, context->diags)) return NULL;
    Optimizer optimizer = {
        .graph = extend_copy(graph, context->arena, NULL), .arena = context->arena, .settings = &context->optimizer};
    find_trained(&optimizer);
    if (context->program == PROGRAM_MICRO) {
        for (size_t i = 0; i < optimizer.count; i++)
            output_accumulated(&optimizer, &optimizer.trained[i]);
        return extend_copy(optimizer.graph, context->arena, is_micro_output);
    }
    for (size_t i = 0; i < optimizer.count && context->optimizer.accumulation > 1; i++) {
        take_accumulated(&optimizer, &optimizer.trained[i]);
    }
    optimizer.schedule = graph_group(optimizer.graph, "schedule", "", 0);
    optimizer.unscale = reciprocal_scale(&optimizer);
    NodeId norm = gradient_norm(&optimizer);
    make_factors(&optimizer, norm);
    graph_output(optimizer.graph, "grad_norm", norm);
    for (size_t i = 0; i < optimizer.count; i++)
        update_param(&optimizer, &optimizer.trained[i]);
    graph_set_group(optimizer.graph, 0);
    return optimizer.graph;
}
