// The cost model of a step (see step_cost.h).
#include "passes/step_cost.h"

#include "passes/access.h"

static double elements(const Graph *graph, DimSet dims) {
    double count = 1;
    for (DimId dim = 0; dim < graph_dims(graph); dim++)
        if (dim_in(dims, dim)) count *= (double)graph_extent(graph, dim);
    return count;
}

static double node_flops(const Graph *region, const Node *node) {
    switch (op_class(node->op)) {
    case CLASS_POINTWISE: return elements(region, node->dims);
    case CLASS_REDUCE: return elements(region, graph_node(region, node->operands[0])->dims);
    case CLASS_CONTRACT: return 2 * elements(region, node->dims | node->attr.set);
    case CLASS_INDEXED:
        if (op_scatters(node->op))
            return elements(region, graph_node(region, node->operands[0])->dims |
                                        graph_node(region, node->operands[1])->dims);
        return 0;
    case CLASS_SOURCE:
    case CLASS_MOVE:
    case CLASS_OTHER: return 0;
    }
    return 0;
}

// By node of the region: how many of its elements are read at most. A select or a gather reads part of what lies below.
static double *elements_read(const Graph *region, Arena *arena, const bool *live) {
    uint32_t nodes = graph_nodes(region);
    double *read = ARENA_ARRAY(arena, double, nodes);
    for (uint32_t k = 0; k < graph_outputs(region); k++) {
        NodeId id = graph_output_at(region, k)->node;
        read[id] = elements(region, graph_node(region, id)->dims);
    }
    for (NodeId id = nodes; id-- > 0;) {
        if (!live[id]) continue;
        const Node *node = graph_node(region, id);
        bool reads_part = op_is_view(node->op) || node->op == OP_GATHER;
        for (uint32_t k = 0; k < node->operand_count; k++) {
            NodeId operand = node->operands[k];
            double whole = elements(region, graph_node(region, operand)->dims);
            double more = reads_part && k == 0 && read[id] < whole ? read[id] : whole;
            read[operand] = read[operand] + more < whole ? read[operand] + more : whole;
        }
    }
    return read;
}

// A scatter onto another step's value reads and writes there what it adds, and leaves the rest.
static double elements_added(const Graph *region, const Scattering *scattering) {
    return node_flops(region, graph_node(region, scattering->scatter));
}

static double output_bytes(const Plan *plan, const Step *step, uint32_t k, const Scattering *scattering) {
    const Value *value = &plan->values[step->outputs[k]];
    double whole = elements(plan->dims, dim_list_set(&value->order));
    double written = scattering->base == NODE_NONE ? whole : elements_added(step->region, scattering);
    return written * (double)dtype_bytes(value->dtype);
}

void step_cost(const Plan *plan, Step *step) {
    const Graph *region = step->region;
    bool *live = graph_live(region, plan->arena);
    double *read = elements_read(region, plan->arena, live);
    Scattering scattering = scattering_of(region);
    if (scattering.base != NODE_NONE) read[scattering.base] = elements_added(region, &scattering);
    step->flops = step->bytes = 0;
    for (NodeId id = 0; id < graph_nodes(region); id++) {
        if (!live[id]) continue;
        const Node *node = graph_node(region, id);
        step->flops += node_flops(region, node);
        if (node->op != OP_OPERAND) continue;
        step->bytes += read[id] * (double)dtype_bytes(plan->values[step->operands[node->attr.integer]].dtype);
    }
    for (uint32_t k = 0; k < step->output_count; k++) step->bytes += output_bytes(plan, step, k, &scattering);
}

double step_band_part(const Plan *plan, const Step *step) {
    const Band *band = &step->band;
    if (!band->is_set) return 1;
    int64_t rows = graph_extent(plan->dims, band->row), columns = graph_extent(plan->dims, band->column);
    double inside = 0;
    for (int64_t row = 0; row < rows; row++) {
        int64_t first = row + band->low > 0 ? row + band->low : 0;
        int64_t last = row + band->high < columns - 1 ? row + band->high : columns - 1;
        if (last >= first) inside += (double)(last - first + 1);
    }
    return inside / ((double)rows * (double)columns);
}
