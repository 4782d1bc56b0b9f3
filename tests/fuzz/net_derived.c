// Gradients and updates in float64 (see net.h), against central differences of the loss and AdamW as it is published.
//
//     (loss(p + h u) - loss(p - h u)) / 2h  =  grad . u       for a random direction u of all params together
//
// With two steps h: where they disagree the loss has a kink between, and nothing is said. Every third graph has a
// scaled loss, whose rule (torch.amp.GradScaler's) is computed here once more: for a sound step, and for an overflow.
#include <math.h>
#include <string.h>

#include "passes/passes.h"
#include "tests/fuzz/net.h"
#include "tests/fuzz/values.h"

static const OptimizerSettings settings = {
    .beta1 = 0.9, .beta2 = 0.95, .epsilon = 1e-4, .weight_decay = 0.1, .grad_clip = 0.5};

typedef struct {
    Arena *arena;
    uint64_t seed;
    int accumulation;
    double init_scale; // 0: the loss is not scaled
    int64_t growth_interval;
    Verdict verdict;
} Trial;

static bool has_gradients(const Graph *graph) {
    for (uint32_t i = 0; i < graph_outputs(graph); i++)
        if (strncmp(graph_output_at(graph, i)->name, "grad.", 5) == 0) return true;
    return false;
}

static bool has_op(const Graph *graph, Op op) {
    for (NodeId id = 0; id < graph_nodes(graph); id++)
        if (graph_node(graph, id)->op == op) return true;
    return false;
}

static Graph *after_pass(Trial *trial, const Graph *graph, const char *name) {
    Target target = target_default();
    PassContext context = {.arena = trial->arena,
                           .diags = diags_create(trial->arena),
                           .target = &target,
                           .ledger = ledger_create(trial->arena),
                           .program = PROGRAM_STEP,
                           .optimizer = settings};
    context.optimizer.accumulation = trial->accumulation;
    context.optimizer.init_scale = trial->init_scale;
    context.optimizer.growth_interval = trial->growth_interval;
    Graph *result = (Graph *)(uintptr_t)graph; // passes_run only reads it
    Plan *no_plan = NULL;
    if (passes_run(&result, &no_plan, name, &context, NULL)) return result;
    trial->verdict = (Verdict){VERDICT_REFUSED, arena_format(trial->arena, "%s refused", name)};
    return NULL;
}

// ---- numbers of leaves and outputs, both in stored order of the leaf

static int64_t elements_of(const Graph *graph, const Leaf *leaf) {
    return graph_elements(graph, dim_list_set(&leaf->stored));
}

static const double *state_values(Trial *trial, const Graph *graph, const char *prefix, const Leaf *leaf) {
    NodeId node = graph_find_leaf_node(graph, arena_format(trial->arena, "%s%s", prefix, leaf->name));
    return node == NODE_NONE ? NULL : leaf_values(trial->arena, graph, node, trial->seed);
}

static const double *output_values(Trial *trial, const Graph *graph, const Reference *reference, const char *prefix,
                                   const Leaf *leaf) {
    NodeId node = graph_find_output(graph, arena_format(trial->arena, "%s%s", prefix, leaf->name));
    if (node == NODE_NONE) return NULL;
    double *stored = ARENA_ARRAY(trial->arena, double, (size_t)elements_of(graph, leaf));
    reference_reorder(graph, reference_value(reference, node), graph_node(graph, node)->order, leaf->stored, stored);
    return stored;
}

// ---- gradients

static double loss_along(const Graph *graph, uint64_t seed, double step) {
    Reference *reference = reference_moved(graph, seed, step);
    double loss = *reference_value(reference, graph_find_output(graph, "loss"));
    reference_free(reference);
    return loss;
}

static double input_value(Trial *trial, const Graph *graph, const char *name) {
    NodeId node = graph_find_leaf_node(graph, name);
    return node == NODE_NONE ? 0 : *leaf_values(trial->arena, graph, node, trial->seed);
}

static double scale_of(Trial *trial, const Graph *graph) {
    return trial->init_scale > 0 ? input_value(trial, graph, "scaler.scale") : 1;
}

static void check_gradients(Trial *trial, const Graph *graph, const Reference *reference) {
    double loss = *reference_value(reference, graph_find_output(graph, "loss"));
    double scale = scale_of(trial, graph), slope = 0, size = 0;
    for (LeafId id = 0; id < graph_leaves(graph); id++) {
        const Leaf *leaf = graph_leaf_at(graph, id);
        const double *gradient = output_values(trial, graph, reference, "grad.", leaf);
        if (!gradient) continue;
        const double *u = direction_values(trial->arena, graph, graph_find_leaf_node(graph, leaf->name), trial->seed);
        for (int64_t i = 0; i < elements_of(graph, leaf); i++)
            slope += gradient[i] / scale * u[i], size += fabs(gradient[i] / scale * u[i]);
    }
    const double h = 1e-5;
    // Numbers on the way to the loss are about 1 and round by 1e-16, and a difference divides that by h: 1e-11.
    double noise = 1e-10 * (1 + fabs(loss));
    double coarse = (loss_along(graph, trial->seed, 2 * h) - loss_along(graph, trial->seed, -2 * h)) / (4 * h);
    double fine = (loss_along(graph, trial->seed, h) - loss_along(graph, trial->seed, -h)) / (2 * h);
    if (!isfinite(coarse + fine + slope) || fabs(coarse - fine) > 1e-5 * size) {
        trial->verdict.kind = VERDICT_UNSURE;
    } else if (fabs(fine - slope) > 1e-4 * size + noise) {
        trial->verdict = verdict_wrong(arena_format(
            trial->arena, "the loss changes by %.9g along a direction, the gradients say %.9g", fine, slope));
    }
}

// ---- AdamW (Loshchilov and Hutter, ICLR 2019), clipped by the global norm

typedef struct {
    double t, rate, clip;
} Schedule;

// The gradient that the update takes: the mean over micro-batches, without the scale of the loss.
static const double *taken_gradient(Trial *trial, const Graph *graph, const Graph *step, const Reference *reference,
                                    const Leaf *leaf) {
    const double *gradient = output_values(trial, graph, reference, "grad.", leaf);
    const double *former = state_values(trial, step, "accumulate.", leaf);
    if (!gradient) return NULL;
    double *taken = ARENA_ARRAY(trial->arena, double, (size_t)elements_of(graph, leaf));
    for (int64_t i = 0; i < elements_of(graph, leaf); i++)
        taken[i] = (gradient[i] + (former ? former[i] : 0)) / trial->accumulation / scale_of(trial, step);
    return taken;
}

static bool near_equal(double a, double b) {
    return fabs(a - b) <= 1e-9 * (fabs(a) + fabs(b)) + 1e-12;
}

static void check_update(Trial *trial, const Graph *step, const Reference *reference, const Leaf *leaf,
                         const double *gradient, Schedule schedule) {
    const double *p = state_values(trial, step, "", leaf), *next = output_values(trial, step, reference, "", leaf);
    const double *m = state_values(trial, step, "adam.m.", leaf), *v = state_values(trial, step, "adam.v.", leaf);
    const double *next_m = output_values(trial, step, reference, "adam.m.", leaf);
    const double *next_v = output_values(trial, step, reference, "adam.v.", leaf);
    double decay = leaf->stored_rank >= 2 ? schedule.rate * settings.weight_decay : 0;
    for (int64_t i = 0; i < elements_of(step, leaf); i++) {
        double g = gradient[i] * schedule.clip;
        double first = settings.beta1 * m[i] + (1 - settings.beta1) * g;
        double second = settings.beta2 * v[i] + (1 - settings.beta2) * g * g;
        double first_mean = first / (1 - pow(settings.beta1, schedule.t));
        double second_mean = second / (1 - pow(settings.beta2, schedule.t));
        double wanted = p[i] * (1 - decay) - schedule.rate * first_mean / (sqrt(second_mean) + settings.epsilon);
        if (near_equal(next[i], wanted) && near_equal(next_m[i], first) && near_equal(next_v[i], second)) continue;
        trial->verdict = verdict_wrong(
            arena_format(trial->arena, "param %s becomes %.12g instead of %.12g", leaf->name, next[i], wanted));
        return;
    }
}

// ---- the scale of the loss

static void expect_output(Trial *trial, const Graph *step, const Reference *reference, const char *name,
                          double wanted) {
    NodeId node = graph_find_output(step, name);
    double actual = node == NODE_NONE ? NAN : *reference_value(reference, node);
    if (near_equal(actual, wanted) || trial->verdict.kind) return;
    trial->verdict =
        verdict_wrong(arena_format(trial->arena, "%s becomes %.12g instead of %.12g", name, actual, wanted));
}

static void check_sound_scale(Trial *trial, const Graph *step, const Reference *reference) {
    double scale = scale_of(trial, step), good = input_value(trial, step, "scaler.good_steps");
    bool grows = good + 1 >= (double)trial->growth_interval;
    expect_output(trial, step, reference, "loss_scale", scale);
    expect_output(trial, step, reference, "scaler.scale", grows ? 2 * scale : scale);
    expect_output(trial, step, reference, "scaler.good_steps", grows ? 0 : good + 1);
    expect_output(trial, step, reference, "scaler.skipped_steps", input_value(trial, step, "scaler.skipped_steps"));
}

static void check_unchanged(Trial *trial, const Graph *step, const Reference *reference, const char *prefix,
                            const Leaf *leaf) {
    const double *next = output_values(trial, step, reference, prefix, leaf);
    const double *former = state_values(trial, step, prefix, leaf);
    for (int64_t i = 0; i < elements_of(step, leaf) && !trial->verdict.kind; i++)
        if (next[i] != former[i])
            trial->verdict = verdict_wrong(arena_format(trial->arena, "an overflow changes %s%s", prefix, leaf->name));
}

// Squares of gradients are infinite then, and the loss is what it was.
static void check_overflow(Trial *trial, const Graph *step) {
    const double huge = 1e300;
    Reference *reference = reference_of(step, trial->seed);
    const char *unbound;
    reference_bind(reference, "scaler.scale", &huge);
    CHECK(reference_run(reference, &unbound));
    double norm = *reference_value(reference, graph_find_output(step, "grad_norm"));
    for (LeafId id = 0; id < graph_leaves(step) && !isfinite(norm); id++) {
        const Leaf *leaf = graph_leaf_at(step, id);
        if (graph_find_output(step, arena_format(trial->arena, "grad.%s", leaf->name)) == NODE_NONE) continue;
        check_unchanged(trial, step, reference, "", leaf);
        check_unchanged(trial, step, reference, "adam.m.", leaf);
        check_unchanged(trial, step, reference, "adam.v.", leaf);
    }
    if (!isfinite(norm)) {
        expect_output(trial, step, reference, "scaler.scale", huge / 2);
        expect_output(trial, step, reference, "scaler.good_steps", 0);
        expect_output(trial, step, reference, "scaler.skipped_steps",
                      input_value(trial, step, "scaler.skipped_steps") + 1);
    }
    reference_free(reference);
}

static void check_updates(Trial *trial, const Graph *graph, const Reference *reference, const Graph *step) {
    Reference *updated = reference_of(step, trial->seed);
    double squares = 0;
    for (LeafId id = 0; id < graph_leaves(graph); id++) {
        const Leaf *leaf = graph_leaf_at(graph, id);
        const double *gradient = taken_gradient(trial, graph, step, reference, leaf);
        for (int64_t i = 0; gradient && i < elements_of(graph, leaf); i++)
            squares += gradient[i] * gradient[i];
    }
    Schedule schedule = {.t = input_value(trial, step, "step") + 1 - input_value(trial, step, "scaler.skipped_steps"),
                         .rate = input_value(trial, step, "learning_rate"),
                         .clip = fmin(1, settings.grad_clip / (sqrt(squares) + 1e-6))};
    for (LeafId id = 0; id < graph_leaves(graph) && !trial->verdict.kind; id++) {
        const Leaf *leaf = graph_leaf_at(graph, id);
        const double *gradient = taken_gradient(trial, graph, step, reference, leaf);
        if (gradient) check_update(trial, step, updated, leaf, gradient, schedule);
    }
    if (trial->init_scale > 0 && !trial->verdict.kind) check_sound_scale(trial, step, updated);
    if (trial->init_scale > 0 && !trial->verdict.kind) check_overflow(trial, step);
    reference_free(updated);
}

Verdict net_derived(Arena *arena, const Graph *graph, uint64_t seed) {
    Trial trial = {.arena = arena, .seed = seed, .accumulation = 1 + (int)(seed / 2 % 2)};
    if (seed % 3 == 0) trial.init_scale = 64, trial.growth_interval = 1 + (int64_t)(seed / 3 % 3);
    if (graph_find_output(graph, "loss") == NODE_NONE) return trial.verdict;
    const Graph *derived = after_pass(&trial, graph, "differentiate");
    if (!derived || !has_gradients(derived)) return trial.verdict;
    const Graph *step = after_pass(&trial, derived, "optimizer");
    if (!step) return trial.verdict;
    Reference *reference = reference_of(derived, seed);
    if (!has_op(graph, OP_STOP_GRADIENT)) check_gradients(&trial, derived, reference);
    if (!verdict_is_bad(trial.verdict)) check_updates(&trial, derived, reference, step);
    reference_free(reference);
    return trial.verdict;
}
