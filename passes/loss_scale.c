// The states of a scaled loss, and what a step makes of them: see loss_scale.h.
//
//     overflow = not finite and sound_but_norm and 1 < scale
//     scale'   = where(finite, where(due, 2 scale, scale), where(overflow, max(scale / 2, 1), scale))
//     good'    = where(finite, where(due, 0, good + 1), where(overflow, 0, good))       due = interval <= good + 1
//     skipped' = where(overflow, skipped + 1, skipped)
#include "passes/loss_scale.h"

#include <math.h>

#include "base/planted.h"

static const double growth = 2.0, backoff = 0.5, least_scale = 1.0;

static NodeId scalar_state(Graph *graph, const char *name, double first) {
    return build_state(graph, graph_leaf(graph, &(Leaf){.name = name, .init = INIT_CONSTANT, .init_value = first}));
}

static NodeId number(Graph *graph, double value) {
    return build_const(graph, DTYPE_F32, value);
}

NodeId loss_scale(Graph *graph, const OptimizerSettings *settings) {
    return settings->init_scale > 0 ? scalar_state(graph, "scaler.scale", settings->init_scale) : NODE_NONE;
}

NodeId loss_scale_skipped(Graph *graph) {
    return scalar_state(graph, "scaler.skipped_steps", 0);
}

// A scale that would be infinite when doubled stays.
static NodeId grown_scale(Graph *graph, NodeId scale) {
    NodeId larger = build_binary(graph, OP_MUL, scale, number(graph, growth));
    return build_where(graph, build_binary(graph, OP_LT, larger, number(graph, INFINITY)), larger, scale);
}

static NodeId reduced_scale(Graph *graph, NodeId scale) {
    NodeId smaller = build_binary(graph, OP_MUL, scale, number(graph, PLANTED(scale_never_reduced) ? 1.0 : backoff));
    return build_binary(graph, OP_MAXIMUM, smaller, number(graph, least_scale));
}

void loss_scale_update(Graph *graph, const OptimizerSettings *settings, NodeId finite, NodeId sound_but_norm) {
    NodeId scale = loss_scale(graph, settings), good = scalar_state(graph, "scaler.good_steps", 0);
    NodeId skipped = loss_scale_skipped(graph), one = number(graph, 1.0), zero = number(graph, 0.0);
    NodeId counted = build_binary(graph, OP_ADD, good, one);
    NodeId is_due = build_binary(graph, OP_LE, number(graph, (double)settings->growth_interval), counted);
    NodeId is_large = build_binary(graph, OP_LT, number(graph, least_scale), scale);
    NodeId is_wrong = build_binary(graph, OP_AND, build_unary(graph, OP_NOT, finite), sound_but_norm);
    NodeId overflow = build_binary(graph, OP_AND, is_wrong, is_large);
    NodeId kept_scale = build_where(graph, is_due, grown_scale(graph, scale), scale);
    NodeId other_scale = build_where(graph, overflow, reduced_scale(graph, scale), scale);
    NodeId kept_good = build_where(graph, is_due, zero, counted), other_good = build_where(graph, overflow, zero, good);
    NodeId more_skipped = build_binary(graph, OP_ADD, skipped, one);
    graph_output(graph, "loss_scale", scale);
    graph_output(graph, "scaler.scale", build_where(graph, finite, kept_scale, other_scale));
    graph_output(graph, "scaler.good_steps", build_where(graph, finite, kept_good, other_good));
    graph_output(graph, "scaler.skipped_steps", build_where(graph, overflow, more_skipped, skipped));
}
