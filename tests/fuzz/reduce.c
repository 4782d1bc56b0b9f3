// Reducing a failing graph (see reduce.h). An edit is one small change; the graph is built anew with it, and edits that
// break a rule of the IR build nothing.
//
// Edits that halve the graph go first: about every second one of them fails still, so a graph of n nodes takes some
// log2(n) steps until only single nodes are left to try.
#include "tests/fuzz/reduce.h"

#include <stdlib.h>

#include "base/clock.h"

typedef struct {
    uint32_t dropped, only; // outputs, by number; NO_OUTPUT: none
    uint32_t moved;         // this output becomes the node `by`
    NodeId replaced, by;    // NODE_NONE: none; by NODE_NONE: a new input
    DimId dim;              // DIM_NONE: none
    int64_t extent;
    uint32_t rank; // the smaller, the earlier tried
} Edit;

#define NO_OUTPUT UINT32_MAX

static const Edit no_edit = {NO_OUTPUT, NO_OUTPUT, NO_OUTPUT, NODE_NONE, NODE_NONE, DIM_NONE, 0, 0};

typedef struct {
    Arena *arena; // of one round
    const Graph *graph;
    Edit *edits;
    size_t count, capacity;
} Round;

uint32_t graph_ops(const Graph *graph) {
    Arena *arena = arena_create();
    const bool *live = graph_live(graph, arena);
    uint32_t ops = 0;
    for (NodeId id = 0; id < graph_nodes(graph); id++)
        ops += live[id] && op_class(graph_node(graph, id)->op) != CLASS_SOURCE;
    arena_free(arena);
    return ops;
}

// ---- building

// A change of one extent goes on through renames, and to products of merges and splits.
static bool spread_extent(const Graph *graph, int64_t *extents, const Node *node) {
    DimId from = node->attr.from, to = node->attr.to, inner = node->attr.inner;
    int64_t *derived = NULL, wanted = 0;
    if (node->op == OP_RENAME && extents[from] != extents[to]) {
        bool changed = extents[from] != graph_extent(graph, from);
        derived = changed ? &extents[to] : &extents[from];
        wanted = changed ? extents[from] : extents[to];
    } else if (node->op == OP_SPLIT) {
        derived = &extents[from], wanted = extents[to] * extents[inner];
    } else if (node->op == OP_MERGE) {
        derived = &extents[to], wanted = extents[from] * extents[inner];
    }
    if (!derived || *derived == wanted) return false;
    *derived = wanted;
    return true;
}

static void edited_extents(const Graph *graph, const bool *live, const Edit *edit, int64_t *extents) {
    for (DimId dim = 0; dim < graph_dims(graph); dim++)
        extents[dim] = graph_extent(graph, dim);
    if (edit->dim == DIM_NONE) return;
    extents[edit->dim] = edit->extent;
    bool more = true;
    for (int turns = 0; more && turns < MAX_DIMS; turns++) {
        more = false;
        for (NodeId id = 0; id < graph_nodes(graph); id++)
            if (live[id]) more |= spread_extent(graph, extents, graph_node(graph, id));
    }
}

static Graph *empty_like(Arena *arena, const Graph *graph, const int64_t *extents) {
    Graph *result = graph_create(arena, graph_name(graph));
    for (DimId dim = 0; dim < graph_dims(graph); dim++)
        graph_dim(result, graph_dim_name(graph, dim), extents[dim]);
    for (LeafId id = 0; id < graph_leaves(graph); id++)
        graph_leaf(result, graph_leaf_at(graph, id));
    for (GroupId id = 1; id <= graph_groups(graph); id++) {
        const Group *group = graph_group_at(graph, id);
        graph_group(result, group->label, group->place, group->forward);
    }
    return result;
}

static NodeId new_input(Graph *graph, const Node *node) {
    if (node->dtype == DTYPE_BOOL) return build_const(graph, DTYPE_BOOL, 1);
    const char *name = arena_format(graph_arena(graph), "r%u", graph_leaves(graph));
    return build_input(graph, graph_leaf(graph, &(Leaf){.name = name, .stored = node->order}), node->dtype);
}

static NodeId copied(Graph *to, const Graph *from, NodeId id, const NodeId *map) {
    const Node *node = graph_node(from, id);
    NodeId *operands = ARENA_ARRAY(graph_arena(to), NodeId, node->operand_count + 1);
    for (uint32_t i = 0; i < node->operand_count; i++)
        operands[i] = map[node->operands[i]];
    if (node->attr.table && graph_elements(to, node->dims) != graph_elements(from, node->dims)) return NODE_NONE;
    Attr attr = node->attr;
    if (attr.site) attr.site = graph_string(to, attr.site);
    const char *error = NULL;
    graph_set_group(to, graph_node_group(from, id));
    return build_node(to, node->op, node->dtype, &node->order, operands, node->operand_count, &attr, &error);
}

static bool is_kept(const Edit *edit, uint32_t output) {
    return output != edit->dropped && (edit->only == NO_OUTPUT || edit->only == output);
}

// NULL when the edit breaks a rule.
static Graph *edited(Arena *arena, const Graph *graph, const Edit *edit) {
    int64_t extents[MAX_DIMS];
    const bool *live = graph_live(graph, arena);
    edited_extents(graph, live, edit, extents);
    Graph *result = empty_like(arena, graph, extents);
    NodeId *map = ARENA_ARRAY(arena, NodeId, graph_nodes(graph));
    for (NodeId id = 0; id < graph_nodes(graph); id++) {
        if (!live[id]) continue;
        if (id != edit->replaced)
            map[id] = copied(result, graph, id, map);
        else
            map[id] = edit->by == NODE_NONE ? new_input(result, graph_node(graph, id)) : map[edit->by];
        if (map[id] == NODE_NONE) return NULL;
    }
    for (uint32_t i = 0; i < graph_outputs(graph); i++) {
        const Output *output = graph_output_at(graph, i);
        // Not under its name, which may be that of a state of other dims.
        if (i == edit->moved)
            graph_output(result, arena_format(arena, "moved%u", i), map[edit->by]);
        else if (is_kept(edit, i))
            graph_output(result, output->name, map[output->node]);
    }
    return graph_verify(result, arena) ? NULL : result;
}

// ---- what to try

static void add(Round *round, Edit edit) {
    Graph *result = edited(round->arena, round->graph, &edit);
    if (!result) return;
    uint32_t half = graph_ops(round->graph) / 2, ops = graph_ops(result);
    edit.rank = ops > half ? ops - half : half - ops;
    round->edits = arena_grow(round->arena, round->edits, &round->capacity, round->count + 1, sizeof(Edit));
    round->edits[round->count++] = edit;
}

static void add_outputs(Round *round) {
    uint32_t count = graph_outputs(round->graph);
    for (uint32_t i = 0; i < count && count > 1; i++) {
        Edit only = no_edit, dropped = no_edit;
        only.only = i;
        dropped.dropped = i;
        add(round, only);
        if (count > 2) add(round, dropped);
    }
    for (uint32_t i = 0; i < count; i++) {
        const Node *node = graph_node(round->graph, graph_output_at(round->graph, i)->node);
        Edit edit = no_edit;
        edit.moved = i;
        for (uint32_t k = 0; k < node->operand_count; k++) {
            edit.by = node->operands[k];
            if (graph_node(round->graph, edit.by)->dtype == DTYPE_F32) add(round, edit);
        }
    }
}

static void add_replacements(Round *round, NodeId id) {
    const Node *node = graph_node(round->graph, id);
    Edit edit = no_edit;
    edit.replaced = id;
    if (op_class(node->op) == CLASS_SOURCE) return;
    add(round, edit);
    for (uint32_t i = 0; i < node->operand_count; i++) {
        const Node *operand = graph_node(round->graph, node->operands[i]);
        edit.by = node->operands[i];
        if (operand->dims == node->dims && operand->dtype == node->dtype) add(round, edit);
    }
}

static void add_extents(Round *round, DimId dim) {
    int64_t extent = graph_extent(round->graph, dim);
    const int64_t smaller[] = {extent / 2, 1, 2, extent - 1};
    Edit edit = no_edit;
    edit.dim = dim;
    for (int i = 0; i < 4; i++) {
        edit.extent = smaller[i];
        if (edit.extent >= 1 && edit.extent < extent) add(round, edit);
    }
}

static int compare_ranks(const void *left, const void *right) {
    const Edit *a = left, *b = right;
    return a->rank < b->rank ? -1 : a->rank > b->rank;
}

// ---- the door

Graph *reduce_graph(Arena *arena, const Graph *graph, bool (*fails)(void *context, const Graph *graph), void *context,
                    double seconds) {
    double end = clock_seconds() + seconds;
    Graph *best = edited(arena, graph, &no_edit);
    CHECK(best);
    for (bool smaller = true; smaller && clock_seconds() < end;) {
        Round round = {.arena = arena_create(), .graph = best};
        const bool *live = graph_live(best, round.arena);
        add_outputs(&round);
        for (NodeId id = graph_nodes(best); id-- > 0;)
            if (live[id]) add_replacements(&round, id);
        qsort(round.edits, round.count, sizeof(Edit), compare_ranks);
        for (DimId dim = 0; dim < graph_dims(best); dim++)
            add_extents(&round, dim); // last: structure goes first
        smaller = false;
        for (size_t i = 0; i < round.count && !smaller && clock_seconds() < end; i++) {
            Graph *tried = edited(round.arena, round.graph, &round.edits[i]);
            smaller = fails(context, tried);
            if (smaller) best = edited(arena, round.graph, &round.edits[i]);
        }
        arena_free(round.arena);
    }
    return best;
}
