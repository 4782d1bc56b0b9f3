// Pass differentiate (extend): reverse-mode derivative of the output `loss` with respect to every param.
//
// Requires: an output `loss`, f32 without dims; no outputs grad.*.
// Ensures:  for each param that loss depends on, in the order of the leaves, an output grad.NAME with the dims of the
//           param, stored as the param is. Existing outputs stay. Adjoint nodes are built in one fixed order, from the
//           last forward node to the first; those of a forward group belong to its backward group. A composite function
//           of one tensor (gelu, silu) is derived as a whole: f'(x), then times the adjoint (derive_composite.c).
//           With a scaled loss (loss_scale.h) they are multiplied by the scale, which stands where the 1 does below.
// Does nothing when: loss depends on no param. A param that loss does not depend on gets no gradient.
//
//     %0 = param f32[C] "w" stored(C) init constant(1)      %0 = param f32[C] "w" stored(C) init constant(1)
//     %1 = mul f32[C] %0 %0                             ->  %1 = mul f32[C] %0 %0
//     %2 = sum f32[] %1 over(C)                             %2 = sum f32[] %1 over(C)
//     output "loss" %2                                      %3 = const f32[] 1
//                                                           %4 = mul f32[C] %0 %3
//                                                           %5 = add f32[C] %4 %4
//                                                           output "loss" %2
//                                                           output "grad.w" %5
#include <string.h>

#include "passes/derive.h"
#include "passes/extend.h"
#include "passes/loss_scale.h"
#include "passes/pass_functions.h"

static void (*const functions[OP_COUNT])(const Derive *at) = {
#define OP(ENUM, name, class_, operands, meaning) [OP_##ENUM] = derive_##name,
#include "ir/ops.def"
#undef OP
};

static bool requirements_hold(const Graph *graph, Diags *diags) {
    NodeId loss = graph_find_output(graph, "loss");
    if (loss == NODE_NONE) return diag_error(diags, (Place){0}, "differentiate: the graph has no output 'loss'");
    const Node *node = graph_node(graph, loss);
    if (node->dtype != DTYPE_F32 || node->dims) {
        return diag_error(diags, (Place){0}, "differentiate: the output 'loss' must be f32 without dimensions");
    }
    for (uint32_t i = 0; i < graph_outputs(graph); i++) {
        const char *name = graph_output_at(graph, i)->name;
        if (strncmp(name, "grad.", 5) != 0) continue;
        return diag_error(diags, (Place){0}, "differentiate: the graph has gradients already (output '%s')", name);
    }
    return true;
}

// Integers and bools carry no gradient, whatever they are computed from.
static bool is_wanted(const Derivation *derivation, const Node *node) {
    if (node->op == OP_PARAM) return true;
    if (node->op == OP_STOP_GRADIENT || !dtype_is_float(node->dtype)) return false;
    bool wanted = false;
    for (uint32_t i = 0; i < node->operand_count; i++)
        wanted = wanted || derivation->wanted[node->operands[i]];
    return wanted;
}

static void collect_users(Derivation *derivation) {
    const Graph *graph = derivation->graph;
    derivation->users = ARENA_ARRAY(derivation->arena, NodeId *, derivation->forward);
    derivation->user_count = ARENA_ARRAY(derivation->arena, uint32_t, derivation->forward);
    size_t *capacity = ARENA_ARRAY(derivation->arena, size_t, derivation->forward);
    for (NodeId id = 0; id < derivation->forward; id++) {
        const Node *node = graph_node(graph, id);
        for (uint32_t k = 0; k < node->operand_count; k++) {
            NodeId operand = node->operands[k];
            uint32_t count = derivation->user_count[operand]++;
            derivation->users[operand] = arena_grow(derivation->arena, derivation->users[operand], &capacity[operand],
                                                    count + 1, sizeof(NodeId));
            derivation->users[operand][count] = id;
        }
    }
}

static Derivation derivation_start(Graph *graph, Arena *arena) {
    uint32_t nodes = graph_nodes(graph);
    Derivation derivation = {.graph = graph, .arena = arena, .forward = nodes};
    derivation.wanted = ARENA_ARRAY(arena, bool, nodes);
    derivation.adjoint = ARENA_ARRAY(arena, NodeId, nodes);
    derivation.selected = ARENA_ARRAY(arena, Selected *, nodes);
    derivation.backward = ARENA_ARRAY(arena, GroupId, graph_groups(graph) + 1);
    collect_users(&derivation);
    for (NodeId id = 0; id < nodes; id++) {
        derivation.wanted[id] = is_wanted(&derivation, graph_node(graph, id));
        derivation.adjoint[id] = NODE_NONE;
    }
    return derivation;
}

// A node made for this adjoint is named after its value; a forward node or a constant is not this value's own.
static void name_gradient(Derivation *derivation, NodeId gradient, NodeId primal) {
    Graph *graph = derivation->graph;
    const char *name = graph_node_name(graph, primal);
    if (!name || gradient < derivation->forward || op_class(graph_node(graph, gradient)->op) == CLASS_SOURCE) return;
    graph_set_name(graph, gradient, arena_format(derivation->arena, "grad.%s", name));
}

void derive_primitive(Derivation *derivation, NodeId id) {
    Graph *graph = derivation->graph;
    NodeId gradient = derivation->adjoint[id];
    if (gradient == NODE_NONE) return;
    const Node *node = graph_node(graph, id);
    functions[node->op](&(Derive){.derivation = derivation,
                                  .graph = graph,
                                  .node = node,
                                  .y = id,
                                  .gradient = gradient,
                                  .before = graph_nodes(graph)});
}

// All users of the node have been seen: its adjoint is complete, and goes on.
static void derive_node(Derivation *derivation, NodeId id) {
    adjoint_add_selected(derivation, id);
    NodeId gradient = derivation->adjoint[id];
    if (gradient == NODE_NONE) return;
    name_gradient(derivation, gradient, id);
    GroupId former = graph_set_group(derivation->graph, derivation_group(derivation, id));
    if (!derive_composite(derivation, id)) derive_primitive(derivation, id);
    graph_set_group(derivation->graph, former);
}

static void output_gradients(Derivation *derivation) {
    Graph *graph = derivation->graph;
    uint32_t leaves = graph_leaves(graph);
    for (LeafId leaf = 0; leaf < leaves; leaf++) {
        const char *name = graph_leaf_at(graph, leaf)->name;
        NodeId param = graph_find_leaf_node(graph, name);
        if (param == NODE_NONE || graph_node(graph, param)->op != OP_PARAM) continue;
        if (derivation->adjoint[param] == NODE_NONE) continue;
        uint32_t before = graph_nodes(graph);
        NodeId gradient = extend_broadcast(graph, derivation->adjoint[param], param);
        if (gradient >= before) graph_set_order(graph, gradient, graph_node(graph, param)->order);
        graph_output(graph, arena_format(derivation->arena, "grad.%s", name), gradient);
    }
}

Graph *pass_differentiate(const Graph *graph, PassContext *context) {
    if (!requirements_hold(graph, context->diags)) return NULL;
    Graph *result = extend_copy(graph, context->arena, NULL);
    Derivation derivation = derivation_start(result, context->arena);
    NodeId loss = graph_find_output(result, "loss");
    NodeId scale = loss_scale(result, &context->optimizer);
    if (derivation.wanted[loss])
        derivation.adjoint[loss] = scale == NODE_NONE ? build_const(result, DTYPE_F32, 1.0) : scale;
    for (NodeId id = loss + 1; id-- > 0;)
        derive_node(&derivation, id);
    output_gradients(&derivation);
    return result;
}
