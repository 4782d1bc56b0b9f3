// Every derivative against central differences of the float64 reference.
//
// A case is an op on params: loss = sum(w * y), where y is the op's result and w a table. w is given every subset of
// the dims of y in turn, so that the adjoint of y lacks the others: constant along them, as below a sum or a mean.
// Results that may be infinite (-inf masks) go through exp first, and lse through exp(x - lse), where the infinities
// cancel.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "ir/reference/reference.h"
#include "passes/pass_functions.h"
#include "tests/derive/cases.h"
#include "tests/reference/letters.h"

typedef struct {
    Op op;
    const Case *cases;
    size_t count;
} Row;

static const Row rows[] = {
#define OP(ENUM, name, class_, operands, meaning) {OP_##ENUM, cases_##name, sizeof cases_##name / sizeof(Case)},
#include "ir/ops.def"
#undef OP
};

static bool is_differentiable(const Row *row) {
    return row->cases[0].operands[0] != NULL;
}

// The graph of one case, and its params with their values.
typedef struct {
    Arena *arena;
    Graph *graph;
    const Case *test;
    Op op;
    NodeId operands[3];
    int count;
    const char *params[3];
    double *values[3];
    int64_t elements[3];
    int param_count;
} Trial;

static uint64_t random_state;

static double uniform(double low, double high) {
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return low + (high - low) * (double)(random_state >> 11) * 0x1p-53;
}

static double fill_value(Fill fill, int64_t i) {
    switch (fill) {
    case POSITIVE: return uniform(0.3, 2.3);
    case TIES: return floor(uniform(-1.0, 2.0));
    case PAIRS: return (double)(i / 2);
    default: return uniform(-1.5, 1.5);
    }
}

static double *new_values(Trial *trial, int64_t count) {
    return ARENA_ARRAY(trial->arena, double, (size_t)count);
}

static int64_t elements_of(const Trial *trial, const char *dims) {
    return graph_elements(trial->graph, letter_set(trial->graph, dims));
}

static NodeId mask(Trial *trial, const char *dims, bool empty) {
    int64_t count = elements_of(trial, dims), row = count;
    if (*dims) row = count / graph_extent(trial->graph, letter(trial->graph, dims[0]));
    double *values = new_values(trial, count);
    for (int64_t i = 0; i < count; i++)
        values[i] = i % 3 != 1 && !(empty && i < row);
    return letters_table(trial->graph, DTYPE_BOOL, dims, values);
}

static NodeId param(Trial *trial, int k) {
    int p = trial->param_count++;
    const char *dims = trial->test->operands[k];
    trial->params[p] = arena_format(trial->arena, "p%d", k);
    trial->elements[p] = elements_of(trial, dims);
    trial->values[p] = new_values(trial, trial->elements[p]);
    for (int64_t i = 0; i < trial->elements[p]; i++)
        trial->values[p][i] = fill_value(trial->test->fill, i);
    NodeId node = letters_param(trial->graph, trial->params[p], dims);
    Fill fill = trial->test->fill;
    if (fill != MASKED && fill != EMPTY) return node;
    return build_where(trial->graph, mask(trial, dims, fill == EMPTY), node,
                       build_const(trial->graph, DTYPE_F32, -INFINITY));
}

static NodeId index_table(Trial *trial, const char *dims, char along) {
    int64_t count = elements_of(trial, dims), extent = graph_extent(trial->graph, letter(trial->graph, along));
    double *values = new_values(trial, count);
    for (int64_t i = 0; i < count; i++)
        values[i] = (double)((i * 5 + 1) % extent);
    return letters_table(trial->graph, DTYPE_I32, dims, values);
}

static void make_operands(Trial *trial) {
    for (int k = 0; k < 3 && trial->test->operands[k]; k++) {
        const char *dims = trial->test->operands[k];
        bool is_index = k == 1 && op_class(trial->op) == CLASS_INDEXED;
        if (trial->op == OP_WHERE && k == 0) {
            trial->operands[k] = mask(trial, dims, false);
        } else if (is_index) {
            trial->operands[k] = index_table(trial, dims, trial->op == OP_GATHER ? trial->test->from : trial->test->to);
        } else {
            trial->operands[k] = param(trial, k);
        }
        trial->count++;
    }
}

static NodeId make_result(Trial *trial) {
    Graph *graph = trial->graph;
    const Case *test = trial->test;
    if (trial->op == OP_STOP_GRADIENT) {
        return build_binary(graph, OP_MUL, build_stop_gradient(graph, trial->operands[0]), trial->operands[1]);
    }
    Attr attr = {.from = test->from ? letter(graph, test->from) : DIM_NONE,
                 .to = test->to ? letter(graph, test->to) : DIM_NONE,
                 .inner = test->inner ? letter(graph, test->inner) : DIM_NONE,
                 .integer = test->integer,
                 .set = test->set ? letter_set(graph, test->set) : 0};
    const char *error = NULL;
    NodeId node =
        build_node(graph, trial->op, DTYPE_COUNT, NULL, trial->operands, (uint32_t)trial->count, &attr, &error);
    if (node == NODE_NONE) fail_msg("%s", error);
    if (test->fill != MASKED && test->fill != EMPTY) return node;
    if (trial->op == OP_LSE) node = build_binary(graph, OP_SUB, trial->operands[0], node);
    return build_unary(graph, OP_EXP, node);
}

static NodeId weights(Trial *trial, DimSet dims) {
    DimList order = {0};
    for (DimId dim = 0; dim < MAX_DIMS; dim++) {
        if (dim_in(dims, dim)) order.dims[order.rank++] = dim;
    }
    int64_t count = graph_elements(trial->graph, dims);
    double *values = new_values(trial, count);
    for (int64_t i = 0; i < count; i++)
        values[i] = uniform(-1.0, 1.0);
    if (order.rank == 0) return build_const(trial->graph, DTYPE_F32, values[0]);
    return build_table(trial->graph, DTYPE_F32, order, values);
}

static double loss_at(Trial *trial, Reference *reference) {
    for (int p = 0; p < trial->param_count; p++)
        reference_bind(reference, trial->params[p], trial->values[p]);
    assert_true(reference_run(reference, NULL));
    return reference_value(reference, graph_find_output(trial->graph, "loss"))[0];
}

static double central_difference(Trial *trial, Reference *reference, double *value) {
    const double step = 1e-5;
    double middle = *value;
    *value = middle + step;
    double above = loss_at(trial, reference);
    *value = middle - step;
    double below = loss_at(trial, reference);
    *value = middle;
    return (above - below) / (2.0 * step);
}

static void check_param(Trial *trial, Reference *plain, int p, const double *gradient) {
    for (int64_t i = 0; i < trial->elements[p]; i++) {
        double wanted = central_difference(trial, plain, &trial->values[p][i]), got = gradient[i];
        if (fabs(got - wanted) <= 1e-7 * fmax(1.0, fabs(wanted))) continue;
        Text text = text_create(trial->arena);
        graph_print(trial->graph, &text);
        fail_msg("%s, gradient of %s, element %lld: %.12g, but central differences give %.12g\n%s", op_name(trial->op),
                 trial->params[p], (long long)i, got, wanted, text_string(&text));
    }
}

static void check_gradients(Trial *trial) {
    Diags *diags = diags_create(trial->arena);
    PassContext context = {.arena = trial->arena, .diags = diags};
    Graph *derived = pass_differentiate(trial->graph, &context);
    assert_non_null(derived);
    const char *broken = graph_verify(derived, trial->arena);
    if (broken) fail_msg("%s", broken);
    Reference *plain = reference_create(trial->graph), *reference = reference_create(derived);
    for (int p = 0; p < trial->param_count; p++)
        reference_bind(reference, trial->params[p], trial->values[p]);
    assert_true(reference_run(reference, NULL));
    for (int p = 0; p < trial->param_count; p++) {
        NodeId gradient = graph_find_output(derived, arena_format(trial->arena, "grad.%s", trial->params[p]));
        bool stopped = trial->op == OP_STOP_GRADIENT && p == 0;
        assert_int_equal(gradient == NODE_NONE, stopped);
        if (stopped) continue;
        const Node *node = graph_node(derived, gradient);
        const Node *primal = graph_node(derived, graph_find_leaf_node(derived, trial->params[p]));
        assert_true(node->dims == primal->dims);
        double *values = new_values(trial, trial->elements[p]);
        reference_reorder(derived, reference_value(reference, gradient), node->order, primal->order, values);
        check_param(trial, plain, p, values);
    }
    reference_free(plain);
    reference_free(reference);
}

static void check_case(Op op, const Case *test, DimSet subset, bool *more) {
    random_state = 1337;
    Arena *arena = arena_create();
    Trial trial = {.arena = arena, .graph = letters_graph(arena), .test = test, .op = op};
    make_operands(&trial);
    NodeId result = make_result(&trial);
    DimSet dims = graph_node(trial.graph, result)->dims, weighted = 0;
    int bit = 0;
    for (DimId dim = 0; dim < MAX_DIMS; dim++) {
        if (dim_in(dims, dim) && (subset >> bit++ & 1)) weighted |= dim_bit(dim);
    }
    *more = subset + 1 < (DimSet)1 << bit;
    NodeId loss = build_binary(trial.graph, OP_MUL, result, weights(&trial, weighted));
    if (dims) loss = build_reduce(trial.graph, OP_SUM, loss, dims);
    graph_output(trial.graph, "loss", loss);
    check_gradients(&trial);
    arena_free(arena);
}

// Every weighting of every case of one op; at least twenty in all.
static void check_op(void **state) {
    const Row *row = *state;
    int checked = 0;
    for (size_t i = 0; i < row->count; i++) {
        bool more = true;
        for (DimSet subset = 0; more; subset++, checked++)
            check_case(row->op, &row->cases[i], subset, &more);
    }
    if (checked < 20) fail_msg("%s has %d cases", op_name(row->op), checked);
}

// Only sources and ops without a slope may say that they are not differentiable.
static void every_op_has_cases(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        Op op = rows[i].op;
        bool stepwise = op_class(op) == CLASS_SOURCE || (op >= OP_LT && op <= OP_NOT) || op == OP_TO_FLOAT;
        assert_int_equal(op, i);
        assert_true(is_differentiable(&rows[i]) != stepwise);
    }
}

int main(void) {
    struct CMUnitTest tests[OP_COUNT + 1] = {cmocka_unit_test(every_op_has_cases)};
    size_t count = 1;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (!is_differentiable(&rows[i])) continue;
        tests[count++] = (struct CMUnitTest){op_name(rows[i].op), check_op, NULL, NULL, (void *)&rows[i]};
    }
    return _cmocka_run_group_tests("derive", tests, count, NULL, NULL);
}
