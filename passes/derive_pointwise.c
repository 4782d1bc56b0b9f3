// Derivatives of the pointwise ops. In the comments y is the node, g its adjoint.
#include <math.h>

#include "passes/derive.h"

static NodeId number(const Derive *at, double value) {
    return build_const(at->graph, DTYPE_F32, value);
}

static NodeId multiply(const Derive *at, NodeId a, NodeId b) {
    return build_binary(at->graph, OP_MUL, a, b);
}

// Adds a term over the dims of y.
static void add_to(const Derive *at, int k, NodeId term) {
    adjoint_add(at, k, term, at->node->dims);
}

// Adds g * factor; the product and the sum over dims that the operand lacks may be one matrix product.
static void add_product(const Derive *at, int k, NodeId factor) {
    if (!operand_wanted(at, k)) return;
    DimSet missing = at->node->dims & ~dims_of(at, operand_of(at, k));
    adjoint_add(at, k, adjoint_sum_product(at->graph, at->gradient, factor, missing), 0);
}

void derive_add(const Derive *at) {
    add_to(at, 0, at->gradient);
    add_to(at, 1, at->gradient);
}

// The second operand's part is summed before it is negated, since it is often shorter (x - lse(x), x - mean(x)).
void derive_sub(const Derive *at) {
    add_to(at, 0, at->gradient);
    if (!operand_wanted(at, 1)) return;
    NodeId sum = adjoint_sum(at->graph, at->gradient, at->node->dims & ~dims_of(at, operand_of(at, 1)));
    adjoint_add(at, 1, build_unary(at->graph, OP_NEG, sum), 0);
}

void derive_mul(const Derive *at) {
    add_product(at, 0, operand_of(at, 1));
    add_product(at, 1, operand_of(at, 0));
}

// y = a / b: g / b, and -sum(g * y) / b, summed first, since b is constant along the dims it lacks.
void derive_div(const Derive *at) {
    Graph *graph = at->graph;
    NodeId b = operand_of(at, 1);
    if (operand_wanted(at, 0)) add_to(at, 0, build_binary(graph, OP_DIV, at->gradient, b));
    if (!operand_wanted(at, 1)) return;
    NodeId sum = adjoint_sum_product(graph, at->gradient, at->y, at->node->dims & ~dims_of(at, b));
    adjoint_add(at, 1, build_unary(graph, OP_NEG, build_binary(graph, OP_DIV, sum, b)), 0);
}

void derive_neg(const Derive *at) {
    add_to(at, 0, build_unary(at->graph, OP_NEG, at->gradient));
}

void derive_exp(const Derive *at) {
    add_to(at, 0, multiply(at, at->gradient, at->y));
}

void derive_log(const Derive *at) {
    add_to(at, 0, build_binary(at->graph, OP_DIV, at->gradient, operand_of(at, 0)));
}

// g / (2 y)
void derive_sqrt(const Derive *at) {
    NodeId half = multiply(at, at->gradient, number(at, 0.5));
    add_to(at, 0, build_binary(at->graph, OP_DIV, half, at->y));
}

// -g y^3 / 2
void derive_rsqrt(const Derive *at) {
    NodeId cube = multiply(at, multiply(at, at->y, at->y), at->y);
    add_to(at, 0, multiply(at, at->gradient, multiply(at, cube, number(at, -0.5))));
}

// g (1 - y^2)
void derive_tanh(const Derive *at) {
    NodeId slope = build_binary(at->graph, OP_SUB, number(at, 1.0), multiply(at, at->y, at->y));
    add_to(at, 0, multiply(at, at->gradient, slope));
}

// g 2/sqrt(pi) exp(-x^2)
void derive_erf(const Derive *at) {
    NodeId x = operand_of(at, 0);
    NodeId bell = build_unary(at->graph, OP_EXP, build_unary(at->graph, OP_NEG, multiply(at, x, x)));
    add_to(at, 0, multiply(at, at->gradient, multiply(at, bell, number(at, M_2_SQRTPI))));
}

void derive_sin(const Derive *at) {
    add_to(at, 0, multiply(at, at->gradient, build_unary(at->graph, OP_COS, operand_of(at, 0))));
}

void derive_cos(const Derive *at) {
    NodeId sine = build_unary(at->graph, OP_SIN, operand_of(at, 0));
    add_to(at, 0, build_unary(at->graph, OP_NEG, multiply(at, at->gradient, sine)));
}

// g with the sign of x, and 0 at 0
void derive_abs(const Derive *at) {
    Graph *graph = at->graph;
    NodeId x = operand_of(at, 0), zero = number(at, 0.0);
    NodeId negative =
        build_where(graph, build_binary(graph, OP_LT, x, zero), build_unary(graph, OP_NEG, at->gradient), zero);
    add_to(at, 0, build_where(graph, build_binary(graph, OP_LT, zero, x), at->gradient, negative));
}

// g where operand k is the one chosen, g / 2 where both are.
static void derive_extremum(const Derive *at, int k, NodeId loser, NodeId winner) {
    if (!operand_wanted(at, k)) return;
    Graph *graph = at->graph;
    NodeId half = multiply(at, at->gradient, number(at, 0.5));
    NodeId tie = build_binary(graph, OP_EQ, operand_of(at, 0), operand_of(at, 1));
    NodeId shared = build_where(graph, tie, half, number(at, 0.0));
    add_to(at, k, build_where(graph, build_binary(graph, OP_LT, loser, winner), at->gradient, shared));
}

void derive_maximum(const Derive *at) {
    NodeId a = operand_of(at, 0), b = operand_of(at, 1);
    derive_extremum(at, 0, b, a);
    derive_extremum(at, 1, a, b);
}

void derive_minimum(const Derive *at) {
    NodeId a = operand_of(at, 0), b = operand_of(at, 1);
    derive_extremum(at, 0, a, b);
    derive_extremum(at, 1, b, a);
}

void derive_where(const Derive *at) {
    NodeId condition = operand_of(at, 0), zero = number(at, 0.0);
    if (operand_wanted(at, 1)) add_to(at, 1, build_where(at->graph, condition, at->gradient, zero));
    if (operand_wanted(at, 2)) add_to(at, 2, build_where(at->graph, condition, zero, at->gradient));
}

// Steps and integers have no slope.
#define NO_GRADIENT(name)                                                                                              \
    void derive_##name(const Derive *at) {                                                                             \
        (void)at;                                                                                                      \
    }
NO_GRADIENT(lt)
NO_GRADIENT(le)
NO_GRADIENT(eq)
NO_GRADIENT(and)
NO_GRADIENT(or)
NO_GRADIENT(not )
NO_GRADIENT(to_float)
