// The invariants of a Graph, checked over. Building keeps them one by one; this looks at the whole, after every pass.
//
//     output "wpe" %9, where %9 is [C,P] and the param [P]   ->   output "wpe" has dims {P,C}, but the state ...
#include <string.h>

#include "ir/graph_storage.h"
#include "ir/shape.h"

// ---- declarations

// From the first dim, leaf or group on that was not found sound before.

static const char *verify_dims(const Graph *graph, uint32_t first, Arena *arena) {
    if (graph->dim_count > MAX_DIMS)
        return arena_format(arena, "%u dims; at most %d are possible", graph->dim_count, MAX_DIMS);
    for (uint32_t i = first; i < graph->dim_count; i++) {
        const Dim *dim = &graph->dims[i];
        if (dim->extent < 1 || dim->extent > MAX_EXTENT) {
            return arena_format(arena, "dim %s has extent %lld", dim->name, (long long)dim->extent);
        }
        for (uint32_t k = 0; k < i; k++) {
            if (strcmp(graph->dims[k].name, dim->name) == 0)
                return arena_format(arena, "two dims are called %s", dim->name);
        }
    }
    return NULL;
}

static const char *verify_leaves(const Graph *graph, size_t first, Arena *arena) {
    for (size_t i = first; i < graph->leaf_count; i++) {
        const Leaf *leaf = &graph->leaves[i];
        for (size_t k = 0; k < i; k++) {
            // Names are interned: equal text, equal pointer.
            if (graph->leaves[k].name == leaf->name)
                return arena_format(arena, "two leaves are called \"%s\"", leaf->name);
        }
        if (leaf->token_bytes != 0 && leaf->token_bytes != 2 && leaf->token_bytes != 4) {
            return arena_format(arena, "leaf \"%s\" has tokens of %d bytes", leaf->name, leaf->token_bytes);
        }
    }
    return NULL;
}

static const char *verify_groups(const Graph *graph, size_t first, Arena *arena) {
    for (GroupId id = (GroupId)first + 1; id <= graph->group_count; id++) {
        if (graph->groups[id - 1].forward >= id) {
            return arena_format(arena, "group %u is the backward of group %u, which comes later", id,
                                graph->groups[id - 1].forward);
        }
    }
    return NULL;
}

static const char *verify_declarations(const Graph *graph, const Graph *sound, Arena *arena) {
    uint32_t dims = 0;
    while (sound && dims < sound->dim_count && dims < graph->dim_count &&
           graph->dims[dims].name == sound->dims[dims].name && graph->dims[dims].extent == sound->dims[dims].extent)
        dims++;
    bool shares_leaves = sound && graph->leaves == sound->leaves && graph->leaf_count >= sound->leaf_count;
    bool shares_groups = sound && graph->groups == sound->groups && graph->group_count >= sound->group_count;
    const char *broken = verify_dims(graph, dims, arena);
    if (!broken) broken = verify_leaves(graph, shares_leaves ? sound->leaf_count : 0, arena);
    if (!broken) broken = verify_groups(graph, shares_groups ? sound->group_count : 0, arena);
    return broken;
}

const char *graph_verify_declarations(const Graph *graph, Arena *arena) {
    return verify_declarations(graph, NULL, arena);
}

// ---- nodes

// What is wrong with node `id`: its number and name, then the sentence.
__attribute__((format(printf, 4, 5))) static const char *node_broken(const Graph *graph, Arena *arena, NodeId id,
                                                                     const char *format, ...) {
    Text text = text_create(arena);
    const char *name = graph_node_name(graph, id);
    text_append(&text, "%%%u", id);
    if (name) text_append(&text, " (%s)", name);
    text_append(&text, ": ");
    va_list arguments;
    va_start(arguments, format);
    text_append_list(&text, format, arguments);
    va_end(arguments);
    return text_string(&text);
}

static const char *verify_node(const Graph *graph, Arena *arena, NodeId id) {
    const NodeSlot *slot = graph_slot(graph, id);
    const Node *node = &slot->node;
    if ((unsigned)node->op >= OP_COUNT) return node_broken(graph, arena, id, "unknown op");
    for (uint32_t i = 0; i < node->operand_count; i++) {
        if (node->operands[i] >= id) {
            return node_broken(graph, arena, id, "operand %u is %%%u, which does not come before it", i + 1,
                               node->operands[i]);
        }
    }
    if (op_commutes(node->op) && node->operand_count == 2 && node->operands[0] > node->operands[1]) {
        return node_broken(graph, arena, id, "operands of an op that commutes are not in ascending order");
    }
    Shape shape = {.graph = graph, .arena = arena, .op = node->op, .dtype = node->dtype, .order = &node->order,
                   .operands = node->operands, .count = node->operand_count,
                   .attr = attr_normal(node->op, &node->attr)};
    if (!shape_derive(&shape)) return node_broken(graph, arena, id, "%s", shape.error);
    if (node->dims != dim_list_set(&node->order)) {
        return node_broken(graph, arena, id, "its order is not a permutation of its dims");
    }
    if (slot->group > graph->group_count) return node_broken(graph, arena, id, "there is no group %u", slot->group);
    return NULL;
}

static bool is_leaf_op(Op op) {
    return op == OP_INPUT || op == OP_PARAM || op == OP_STATE;
}

// One leaf is one source, and so is one operand of a box.
static const char *verify_sources(const Graph *graph, Arena *arena) {
    NodeId *bound = NULL;  // by leaf; regions have none
    NodeId *operands = ARENA_ARRAY(arena, NodeId, graph->node_count);
    uint32_t operand_count = 0;
    for (NodeId id = 0; id < graph->node_count; id++) {
        const Node *node = graph_node(graph, id);
        if (is_leaf_op(node->op)) {
            if (!bound) {
                bound = ARENA_ARRAY(arena, NodeId, graph->leaf_count);
                memset(bound, 0xff, graph->leaf_count * sizeof(NodeId));  // NODE_NONE everywhere
            }
            if (bound[node->attr.leaf] != NODE_NONE) {
                return node_broken(graph, arena, id, "leaf \"%s\" is already bound to %%%u",
                                   graph->leaves[node->attr.leaf].name, bound[node->attr.leaf]);
            }
            bound[node->attr.leaf] = id;
        }
        if (node->op != OP_OPERAND) continue;
        for (uint32_t i = 0; i < operand_count; i++) {
            if (graph_node(graph, operands[i])->attr.integer == node->attr.integer) {
                return node_broken(graph, arena, id, "operand %d is already %%%u", node->attr.integer, operands[i]);
            }
        }
        operands[operand_count++] = id;
    }
    return NULL;
}

// ---- outputs

// An output named like a state is its next value.
static const char *verify_next_value(const Graph *graph, Arena *arena, const Output *output) {
    for (size_t i = 0; i < graph->leaf_count; i++) {
        const Leaf *leaf = &graph->leaves[i];
        if (leaf->name != output->name) continue;
        NodeId bound = graph_leaf_node(graph, (LeafId)i);
        const Node *source = bound == NODE_NONE ? NULL : graph_node(graph, bound);
        if (source && source->op == OP_INPUT) return NULL;
        const Node *next = graph_node(graph, output->node);
        DimSet stored = dim_list_set(&leaf->stored);
        if (next->dims != stored) {
            return arena_format(arena, "output \"%s\" has dims %s, but the state of that name has %s", output->name,
                                dim_set_text(graph, arena, next->dims), dim_set_text(graph, arena, stored));
        }
        if (source && next->dtype != source->dtype) {
            return arena_format(arena, "output \"%s\" is %s, but the state of that name is %s", output->name,
                                dtype_name(next->dtype), dtype_name(source->dtype));
        }
    }
    return NULL;
}

static const char *verify_outputs(const Graph *graph, Arena *arena) {
    if (graph->output_count == 0) return "the graph has no output";
    for (size_t i = 0; i < graph->output_count; i++) {
        const Output *output = &graph->outputs[i];
        if (output->node >= graph->node_count) {
            return arena_format(arena, "output \"%s\" is %%%u, which does not exist", output->name, output->node);
        }
        for (size_t k = 0; k < i; k++) {
            if (graph->outputs[k].name == output->name)
                return arena_format(arena, "two outputs are called \"%s\"", output->name);
        }
        const char *broken = verify_next_value(graph, arena, output);
        if (broken) return broken;
    }
    return NULL;
}

const char *graph_verify_like(const Graph *graph, const Graph *sound, Arena *arena) {
    const char *broken = verify_declarations(graph, sound, arena);
    for (NodeId id = 0; !broken && id < graph->node_count; id++) broken = verify_node(graph, arena, id);
    if (!broken) broken = verify_sources(graph, arena);
    if (!broken) broken = verify_outputs(graph, arena);
    return broken;
}

const char *graph_verify(const Graph *graph, Arena *arena) {
    return graph_verify_like(graph, NULL, arena);
}
