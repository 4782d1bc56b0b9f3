// Recognizing an epilogue that libraries have: see epilogue.h.
//
// In: a product's region. Out: what is added to its sum, and whether a gelu follows:
//
//     %4 = add %1 %3 (bias)   %6 = add %2 %4 (residual)   output %6     ->   two addends
//     %4 = add %1 %3          ... %17 = mul .. (of %4)    output %17    ->   one addend, gelu
//
// A gelu can be written in many ways. What is computed of one number by analytic functions is compared with
// 0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))) where it could differ: between -8 and 8. The form with erf is as far
// from that as 4e-4.
#include "ir/epilogue.h"

#include <math.h>

static const double gelu_range = 8, gelu_step = 0.125, gelu_tolerance = 1e-6;

static double gelu_tanh(double x) {
    return 0.5 * x * (1 + tanh(0.7978845608028654 * (x + 0.044715 * x * x * x)));
}

// ---- a function of one number

typedef struct {
    const Graph *region;
    NodeId variable;
    double *values;   // by node; of those that depend on nothing else
    bool *known;
} Function;

static bool compute(const Node *node, const double *values, double *value) {
    double a = node->operand_count > 0 ? values[node->operands[0]] : 0;
    double b = node->operand_count > 1 ? values[node->operands[1]] : 0;
    switch (node->op) {
    case OP_CONST: *value = node->attr.value; return node->dims == 0;
    case OP_ADD: *value = a + b; return true;
    case OP_SUB: *value = a - b; return true;
    case OP_MUL: *value = a * b; return true;
    case OP_DIV: *value = a / b; return true;
    case OP_NEG: *value = -a; return true;
    case OP_EXP: *value = exp(a); return true;
    case OP_TANH: *value = tanh(a); return true;
    default: return false;
    }
}

// The node's value at x; false when it depends on something else.
static bool value_at(const Function *function, NodeId result, double x, double *value) {
    for (NodeId id = 0; id <= result; id++) {
        const Node *node = graph_node(function->region, id);
        bool is_known = true;
        for (uint32_t i = 0; i < node->operand_count; i++) is_known &= function->known[node->operands[i]];
        function->values[id] = x;
        function->known[id] = id == function->variable || (is_known && compute(node, function->values,
                                                                               &function->values[id]));
    }
    *value = function->values[result];
    return function->known[result];
}

static bool is_gelu(const Plan *plan, const Graph *region, NodeId variable, NodeId result) {
    uint32_t count = graph_nodes(region);
    Function function = {region, variable, ARENA_ARRAY(plan->arena, double, count),
                         ARENA_ARRAY(plan->arena, bool, count)};
    for (double x = -gelu_range; x <= gelu_range; x += gelu_step) {
        double value;
        if (!value_at(&function, result, x, &value)) return false;
        if (!(fabs(value - gelu_tanh(x)) <= gelu_tolerance)) return false;
    }
    return true;
}

// ---- addends

// Whether the node adds what lies in memory to `sum`.
static bool adds(const Graph *region, const Node *node, NodeId sum, const Layout *const *layouts, View *view) {
    if (node->op != OP_ADD || (node->operands[0] != sum && node->operands[1] != sum)) return false;
    NodeId other = node->operands[node->operands[0] == sum];
    bool is_alike = other != sum && node->dims == graph_node(region, sum)->dims;
    return is_alike && view_of(region, other, layouts, view);
}

const char *epilogue_of(const Plan *plan, const Step *step, NodeId sum, const Layout *const *layouts,
                        Epilogue *epilogue) {
    const Graph *region = step->region;
    *epilogue = (Epilogue){0};
    if (step->output_count != 1) return "it makes several results";
    NodeId result = graph_output_at(region, 0)->node, last = sum;
    for (NodeId id = sum + 1; id < graph_nodes(region) && last != result; id++) {
        View view;
        if (!adds(region, graph_node(region, id), last, layouts, &view)) continue;
        if (epilogue->addend_count == MOST_ADDENDS) return "it adds more than a matrix and a bias";
        epilogue->addends[epilogue->addend_count++] = view;
        last = id;
    }
    if (last == result) return NULL;
    epilogue->is_gelu = is_gelu(plan, region, last, result);
    return epilogue->is_gelu ? NULL : "its epilogue is none of the library's: a sum, a bias, gelu in its tanh form";
}
