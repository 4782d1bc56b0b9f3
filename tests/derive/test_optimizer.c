// The pass optimizer against AdamW written out in plain C, over several steps of the float64 reference.
//
// The model: loss = sum over [B,C] of (w * x + b - x * x)^2, with w[B,C] of stored rank 2, b[C] and u[B,C] of rank 1
// (grouped dims), u multiplied in once more.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "ir/reference/reference.h"
#include "passes/pass_functions.h"
#include "tests/reference/letters.h"

enum { PARAMS = 3, MOST = 6, STEPS = 4 };
static const char *const names[PARAMS] = {"w", "b", "u"};
static const char *const dims[PARAMS] = {"BC", "C", "BC"};
static const int sizes[PARAMS] = {6, 3, 6};
static const bool decays[PARAMS] = {true, false, false};

typedef struct {
    double value[PARAMS][MOST], m[PARAMS][MOST], v[PARAMS][MOST], accumulated[PARAMS][MOST];
} Model;

typedef struct {
    Arena *arena;
    PassContext context;
    Graph *loss;
} Fixture;

static Fixture fixture;

static void build_loss(Graph *graph) {
    NodeId w = letters_param(graph, "w", "BC"), b = letters_param(graph, "b", "C");
    Leaf grouped = {.name = "u", .stored = letters(graph, "BC"), .stored_rank = 1, .group_end = {2}};
    NodeId u = build_param(graph, graph_leaf(graph, &grouped));
    Leaf data = {.name = "x", .stored = letters(graph, "BC"), .stored_rank = 2, .group_end = {1, 2}};
    NodeId x = build_input(graph, graph_leaf(graph, &data), DTYPE_F32);
    NodeId y = build_binary(graph, OP_ADD, build_binary(graph, OP_MUL, build_binary(graph, OP_MUL, w, u), x), b);
    NodeId error = build_binary(graph, OP_SUB, y, build_binary(graph, OP_MUL, x, x));
    NodeId square = build_binary(graph, OP_MUL, error, error);
    graph_output(graph, "loss", build_reduce(graph, OP_SUM, square, graph_node(graph, square)->dims));
}

static int setup(void **state) {
    (void)state;
    fixture.arena = arena_create();
    OptimizerSettings settings = {
        .beta1 = 0.9, .beta2 = 0.95, .epsilon = 1e-8, .weight_decay = 0.1, .grad_clip = 1.0, .accumulation = 1};
    fixture.context = (PassContext){
        .arena = fixture.arena, .diags = diags_create(fixture.arena), .optimizer = settings, .program = PROGRAM_STEP};
    fixture.loss = letters_graph(fixture.arena);
    build_loss(fixture.loss);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    arena_free(fixture.arena);
    return 0;
}

static Graph *compile(ProgramKind program) {
    fixture.context.program = program;
    Graph *graph = pass_optimizer(pass_differentiate(fixture.loss, &fixture.context), &fixture.context);
    assert_non_null(graph);
    assert_null(graph_verify(graph, fixture.arena));
    return graph;
}

static void start(Model *model) {
    *model = (Model){0};
    for (int p = 0; p < PARAMS; p++) {
        for (int i = 0; i < sizes[p]; i++)
            model->value[p][i] = sin(1.0 + 3.0 * p + 1.7 * i);
    }
}

static double data_at(int batch, int i) {
    return cos(0.3 + 5.0 * batch + 1.1 * i);
}

static double learning_rate(int step) {
    return 0.01 / (1 + step);
}

// ---- the oracle

static void add_gradients(const Model *model, int batch, double gradient[PARAMS][MOST], double factor) {
    for (int i = 0; i < 6; i++) {
        double x = data_at(batch, i), w = model->value[0][i], b = model->value[1][i % 3], u = model->value[2][i];
        double slope = 2.0 * (w * u * x + b - x * x) * factor;
        gradient[0][i] += slope * u * x;
        gradient[1][i % 3] += slope;
        gradient[2][i] += slope * w * x;
    }
}

static double norm_of(double gradient[PARAMS][MOST]) {
    double sum = 0.0;
    for (int p = 0; p < PARAMS; p++) {
        for (int i = 0; i < sizes[p]; i++)
            sum += gradient[p][i] * gradient[p][i];
    }
    return sqrt(sum);
}

static void update(Model *model, double gradient[PARAMS][MOST], int step, const OptimizerSettings *settings) {
    double rate = learning_rate(step), clip = 1.0;
    if (settings->grad_clip > 0.0) clip = fmin(1.0, settings->grad_clip / (norm_of(gradient) + 1e-6));
    for (int p = 0; p < PARAMS; p++) {
        for (int i = 0; i < sizes[p]; i++) {
            double g = gradient[p][i] * clip, *m = &model->m[p][i], *v = &model->v[p][i], *w = &model->value[p][i];
            *m = settings->beta1 * *m + (1.0 - settings->beta1) * g;
            *v = settings->beta2 * *v + (1.0 - settings->beta2) * g * g;
            double m_hat = *m / (1.0 - pow(settings->beta1, step + 1)),
                   v_hat = *v / (1.0 - pow(settings->beta2, step + 1));
            double decay = decays[p] ? rate * settings->weight_decay * *w : 0.0;
            *w -= decay + rate * m_hat / (sqrt(v_hat) + settings->epsilon);
        }
    }
}

// ---- the graph

static void bind_all(Reference *reference, Model *model, int batch, int step) {
    double x[6], rate = learning_rate(step), number = step;
    for (int i = 0; i < 6; i++)
        x[i] = data_at(batch, i);
    assert_true(reference_bind(reference, "x", x));
    reference_bind(reference, "learning_rate", &rate);
    reference_bind(reference, "step", &number);
    for (int p = 0; p < PARAMS; p++) {
        assert_true(reference_bind(reference, names[p], model->value[p]));
        reference_bind(reference, arena_format(fixture.arena, "adam.m.%s", names[p]), model->m[p]);
        reference_bind(reference, arena_format(fixture.arena, "adam.v.%s", names[p]), model->v[p]);
        reference_bind(reference, arena_format(fixture.arena, "accumulate.%s", names[p]), model->accumulated[p]);
    }
}

static void take(const Graph *graph, Reference *reference, const char *prefix, int p, double *values) {
    NodeId node = graph_find_output(graph, arena_format(fixture.arena, "%s%s", prefix, names[p]));
    if (node == NODE_NONE) return;
    DimList order = letters(graph, dims[p]);
    reference_reorder(graph, reference_value(reference, node), graph_node(graph, node)->order, order, values);
}

static void run(const Graph *graph, Model *model, int batch, int step, double *norm) {
    Reference *reference = reference_create(graph);
    bind_all(reference, model, batch, step);
    assert_true(reference_run(reference, NULL));
    for (int p = 0; p < PARAMS; p++) {
        take(graph, reference, "", p, model->value[p]);
        take(graph, reference, "adam.m.", p, model->m[p]);
        take(graph, reference, "adam.v.", p, model->v[p]);
        take(graph, reference, "accumulate.", p, model->accumulated[p]);
    }
    if (norm) *norm = reference_value(reference, graph_find_output(graph, "grad_norm"))[0];
    reference_free(reference);
}

static void check_equal(double got, double wanted) {
    if (fabs(got - wanted) > 1e-12) fail_msg("%.17g, not %.17g", got, wanted);
}

static void check_model(const Model *got, const Model *wanted) {
    for (int p = 0; p < PARAMS; p++) {
        for (int i = 0; i < sizes[p]; i++) {
            check_equal(got->value[p][i], wanted->value[p][i]);
            check_equal(got->m[p][i], wanted->m[p][i]);
            check_equal(got->v[p][i], wanted->v[p][i]);
            check_equal(got->accumulated[p][i], 0.0);
        }
    }
}

static void check_training(void) {
    const OptimizerSettings *settings = &fixture.context.optimizer;
    int batches = settings->accumulation;
    Graph *step = compile(PROGRAM_STEP), *micro = batches > 1 ? compile(PROGRAM_MICRO) : NULL;
    Model model, wanted;
    start(&model);
    start(&wanted);
    for (int s = 0; s < STEPS; s++) {
        double gradient[PARAMS][MOST] = {{0}}, norm;
        for (int k = 0; k < batches; k++) {
            int batch = s * batches + k;
            add_gradients(&wanted, batch, gradient, 1.0 / batches);
            bool last = k == batches - 1;
            run(last ? step : micro, &model, batch, s, last ? &norm : NULL);
        }
        check_equal(norm, norm_of(gradient));
        update(&wanted, gradient, s, settings);
        check_model(&model, &wanted);
    }
}

// One value of the model infinite or NaN: loss and gradients are not finite, and the step leaves everything as it was.
static void not_finite_is_no_update(void **state) {
    (void)state;
    Graph *step = compile(PROGRAM_STEP);
    static const double values[] = {INFINITY, NAN};
    for (int i = 0; i < 2; i++) {
        Model model, before;
        start(&model);
        run(step, &model, 0, 0, NULL);
        model.value[1][1] = values[i];
        before = model;
        double norm;
        run(step, &model, 1, 1, &norm);
        assert_false(isfinite(norm));
        assert_memory_equal(&model, &before, sizeof model);
    }
}

static void clipped(void **state) {
    (void)state;
    check_training();
}

static void not_clipped(void **state) {
    (void)state;
    fixture.context.optimizer.grad_clip = 0.0;
    check_training();
    fixture.context.optimizer.grad_clip = 1e6;
    check_training();
}

static void without_decay(void **state) {
    (void)state;
    fixture.context.optimizer.weight_decay = 0.0;
    fixture.context.optimizer.beta1 = 0.0;
    check_training();
}

static void accumulated(void **state) {
    (void)state;
    fixture.context.optimizer.accumulation = 3;
    check_training();
}

static void check_outputs(const Graph *graph, const char *const *wanted, uint32_t count) {
    assert_int_equal(graph_outputs(graph), count);
    for (uint32_t i = 0; i < count; i++)
        assert_string_equal(graph_output_at(graph, i)->name, wanted[i]);
}

static void outputs(void **state) {
    (void)state;
    Graph *graph = compile(PROGRAM_STEP);
    static const char *const step[] = {"loss",     "grad.w",   "grad.b",   "grad.u",  "grad_norm",
                                       "w",        "adam.m.w", "adam.v.w", "b",       "adam.m.b",
                                       "adam.v.b", "u",        "adam.m.u", "adam.v.u"};
    check_outputs(graph, step, 14);
    const Leaf *leaf = graph_leaf_at(graph, graph_node(graph, graph_find_leaf_node(graph, "adam.v.u"))->attr.leaf);
    assert_int_equal(leaf->stored_rank, 1);
    assert_int_equal(leaf->group_end[0], 2);
    assert_true(leaf->init == INIT_CONSTANT && leaf->init_value == 0.0);
    fixture.context.optimizer.accumulation = 2;
    static const char *const micro[] = {"loss", "accumulate.w", "accumulate.b", "accumulate.u"};
    Graph *accumulating = compile(PROGRAM_MICRO);
    check_outputs(accumulating, micro, 4);
    assert_int_equal(graph_find_leaf_node(accumulating, "learning_rate"), NODE_NONE);
}

static void groups(void **state) {
    (void)state;
    Graph *graph = compile(PROGRAM_STEP);
    const Group *adamw = graph_group_at(graph, graph_node_group(graph, graph_find_output(graph, "b")));
    assert_string_equal(adamw->label, "adamw");
    assert_string_equal(adamw->place, "b");
    const Group *schedule = graph_group_at(graph, graph_node_group(graph, graph_find_output(graph, "grad_norm")));
    assert_string_equal(schedule->label, "schedule");
}

static void refuse(const Graph *graph, const char *reason) {
    assert_null(pass_optimizer(graph, &fixture.context));
    Text text = text_create(fixture.arena);
    diags_render(fixture.context.diags, &text);
    assert_non_null(strstr(text_string(&text), reason));
}

static void refusals(void **state) {
    (void)state;
    refuse(fixture.loss, "no gradients");
    refuse(compile(PROGRAM_STEP), "already (output 'grad_norm')");
    fixture.context.optimizer.accumulation = 2;
    refuse(compile(PROGRAM_MICRO), "already (output 'accumulate.w')");
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    static const struct CMUnitTest tests[] = {
        TEST(clipped), TEST(not_clipped), TEST(not_finite_is_no_update), TEST(without_decay), TEST(accumulated),
        TEST(outputs), TEST(groups),      TEST(refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
