// Which values are stored, by level of fusion.
//
// none: every primitive. op: contractions, reductions, gathers, scatters, stacks, pads, and every pointwise node that
// its operator does not keep to itself; moves are only ways of reading. all: what must be, and what is cheaper to
// store than to recompute.
//
//     %1 = mul %x %x      group layernorm        op: inside layernorm's box      all: recomputed by its readers
//     %2 = sum %1 over C  group layernorm        a box (merged later)
//     %3 = add %2 %y      no group               op: stored, an eager kernel     all: stored when many boxes read it
//
// Constants, indices and random bits are never stored: they are copied into the boxes that use them. A contraction
// reads its operands in place, through moves at most, so what it reads is stored; so is the table of a gather.
#include "passes/boxes.h"

// ---- addresses: what contractions, scatters and gathers read must lie in memory

DimList drawing_value_order(const Drawing *drawing, NodeId id) {
    const Node *node = graph_node(drawing->graph, id);
    if (node->op == OP_PARAM || node->op == OP_STATE) return graph_leaf_at(drawing->graph, node->attr.leaf)->stored;
    for (uint32_t i = 0; i < drawing->output_count; i++) {
        const DrawnOutput *output = &drawing->outputs[i];
        if (output->node == id && output->is_next) return graph_leaf_at(drawing->graph, output->leaf)->stored;
    }
    return node->order;
}

static NodeId first_operand(const Graph *graph, NodeId node) {
    return graph_node(graph, node)->operands[0];
}

static NodeId copy_views(Graph *region, const Drawing *drawing, NodeId node, NodeId base) {
    if (node == base)
        return build_operand(region, 0, graph_node(drawing->graph, node)->dtype, drawing_value_order(drawing, node));
    NodeId below = copy_views(region, drawing, first_operand(drawing->graph, node), base);
    return build_copy(region, drawing->graph, node, &below);
}

// Whether `node` is an affine view of the stored `base`.
static bool view_holds(const Drawing *drawing, NodeId node, NodeId base) {
    Graph *region = graph_create_like(drawing->scratch, drawing->graph);
    NodeId copy = copy_views(region, drawing, node, base);
    Layout layout = layout_plain(drawing->graph, drawing_value_order(drawing, base));
    View view;
    return view_of(region, copy, &(const Layout *){&layout}, &view);
}

static NodeId view_base(const Drawing *drawing, NodeId node) {
    while (!drawing->stored[node] && op_is_view(graph_node(drawing->graph, node)->op))
        node = first_operand(drawing->graph, node);
    return node;
}

// Stores the value of which `node` is a view: the furthest one down its chain of moves that gives an affine address.
static void store_for_address(Drawing *drawing, NodeId node) {
    NodeId base = view_base(drawing, node), candidate = node, best = node;
    for (; candidate != base; candidate = first_operand(drawing->graph, candidate))
        if (view_holds(drawing, node, candidate)) best = candidate;
    drawing->stored[view_holds(drawing, node, base) ? base : best] = true;
}

// What is scattered onto lies in memory, too, so that it can be done there.
static void store_base(Drawing *drawing, NodeId base) {
    if (!drawing->fixed[base] && !op_is_view(graph_node(drawing->graph, base)->op)) drawing->stored[base] = true;
}

static void store_operands(Drawing *drawing, NodeId id) {
    const Node *node = graph_node(drawing->graph, id);
    switch (node->op) {
    case OP_CONTRACT:
        store_for_address(drawing, node->operands[0]);
        store_for_address(drawing, node->operands[1]);
        break;
    case OP_SCATTER: store_for_address(drawing, node->operands[0]); break;
    case OP_SCATTER_ONTO:
        store_for_address(drawing, node->operands[0]);
        store_base(drawing, node->operands[2]);
        break;
    // Any chain of moves will do: the address is computed element by element.
    case OP_GATHER: drawing->stored[view_base(drawing, node->operands[0])] = true; break;
    default: break;
    }
}

static void store_outputs(Drawing *drawing) {
    for (uint32_t i = 0; i < drawing->output_count; i++) drawing->stored[drawing->outputs[i].node] = true;
}

static void find_fixed(Drawing *drawing) {
    for (NodeId id = 0; id < graph_nodes(drawing->graph); id++) {
        const Node *node = graph_node(drawing->graph, id);
        OpClass class = op_class(node->op);
        bool fixed = node->op == OP_CONST || node->op == OP_INDEX || class == CLASS_POINTWISE || class == CLASS_MOVE ||
                     class == CLASS_OTHER;
        for (uint32_t k = 0; k < node->operand_count; k++) fixed = fixed && drawing->fixed[node->operands[k]];
        drawing->fixed[id] = fixed;
    }
}

// ---- choices

static bool store_at_none(const Node *node) {
    return op_class(node->op) != CLASS_SOURCE && op_class(node->op) != CLASS_OTHER;
}

static bool must_store_at_all(const Node *node) {
    OpClass class = op_class(node->op);
    return class == CLASS_REDUCE || class == CLASS_CONTRACT || op_scatters(node->op);
}

static bool wants(const Drawing *drawing, NodeId id, ChoiceVerb verb) {
    return drawing->wishes[id] && drawing->wishes[id]->verb == verb;
}

// An operator that a choice takes apart: `forbid box layernorm at layer[0].m`.
static bool is_taken_apart(const Drawing *drawing, NodeId id) {
    PassContext *context = drawing->context;
    GroupId group = graph_node_group(drawing->graph, id);
    if (choices_count(context->choices) == 0 || group == 0) return false;
    const char *place = graph_group_at(drawing->graph, group)->place, *label = group_label(drawing->graph, group);
    const Form forms[] = {FORM_ROW, FORM_MAP};
    for (int i = 0; i < 2; i++) {
        const char *what = arena_format(drawing->scratch, "box %s %s", form_name(forms[i]), label);
        if (choices_forbid(context->choices, "draw_boxes", what, place, NULL)) return true;
    }
    return false;
}

// What is to be kept is stored from the beginning; what is to be redone is looked at where it is decided.
static void take_wishes(Drawing *drawing) {
    Choices *choices = drawing->context->choices;
    if (choices_count(choices) == 0) return;
    for (NodeId id = 0; id < graph_nodes(drawing->graph); id++) {
        const Node *node = graph_node(drawing->graph, id);
        if (!drawing->live[id]) continue;
        choices_precision(choices, drawing->names[id], node->dtype);
        drawing->apart[id] = is_taken_apart(drawing, id);
        if (drawing->apart[id] && store_at_none(node) && !drawing->fixed[id]) drawing->stored[id] = true;
        Choice *wish = choices_of_value(choices, drawing->names[id]);
        if (!wish) continue;
        drawing->wishes[id] = wish;
        if (wish->verb != CHOICE_KEEP || drawing->stored[id]) continue;
        drawing->stored[id] = store_at_none(node) && !drawing->fixed[id];
    }
}

static const char *wish_obstacle(const Drawing *drawing, NodeId id) {
    const Node *node = graph_node(drawing->graph, id);
    if (wants(drawing, id, CHOICE_KEEP) == drawing->stored[id]) return NULL;
    if (!drawing->stored[id])
        return drawing->fixed[id] ? "it depends on constants and indices only, and is computed where it is used"
                                  : "it is drawn anew where it is used";
    if (node_is_leaf(drawing->graph, id)) return "it is no computed value";
    for (uint32_t i = 0; i < drawing->output_count; i++)
        if (drawing->outputs[i].node == id) return "it is a result of the program";
    if (must_store_at_all(node)) return "results of products, reductions and scatters are always stored";
    return "a product or a gather reads it from memory";
}

// To the ledger: what became of them.
static void account_for_wishes(Drawing *drawing) {
    PassContext *context = drawing->context;
    for (NodeId id = 0; id < graph_nodes(drawing->graph); id++) {
        Choice *wish = drawing->wishes[id];
        if (!wish) continue;
        const char *obstacle = wish_obstacle(drawing, id);
        const char *reason =
            obstacle ? choice_obstruct(context->choices, wish, obstacle) : choice_follow(context->choices, wish);
        ledger_add(context->ledger, (Decision){.pass = "draw_boxes",
                                               .what = "store value",
                                               .place = drawing->names[id],
                                               .made = drawing->stored[id],
                                               .reason = reason});
    }
}

// ---- level op

// The contributions to one gradient are added up outside of any operator. Where several come from one operator's
// derivative their sum is part of it, as an eager framework's backward kernel yields one gradient per argument:
//
//     %8 = add %residual %6       %6, %7: group 2, backward       ->   %8, %9: group 2
//     %9 = add %8 %7
static bool is_addition(const Graph *graph, NodeId node) {
    return graph_node(graph, node)->op == OP_ADD || graph_node(graph, node)->op == OP_SUB;
}

static bool is_backward(const Graph *graph, GroupId group) {
    return group != 0 && graph_group_at(graph, group)->forward != 0;
}

// Whether the one user of `id` adds another contribution of `group`.
static bool more_follow(const Drawing *drawing, NodeId id, GroupId group) {
    if (drawing->user_count[id] != 1 || !is_addition(drawing->graph, drawing->users[id][0])) return false;
    const Node *user = graph_node(drawing->graph, drawing->users[id][0]);
    NodeId other = user->operands[user->operands[0] == id ? 1 : 0];
    return graph_node_group(drawing->graph, drawing->users[id][0]) == 0 &&
           graph_node_group(drawing->graph, other) == group;
}

static GroupId addition_group(const Drawing *drawing, NodeId id) {
    const Node *node = graph_node(drawing->graph, id);
    GroupId groups[2] = {drawing->group[node->operands[0]], drawing->group[node->operands[1]]};
    if (groups[0] == groups[1]) return is_backward(drawing->graph, groups[0]) ? groups[0] : 0;
    for (int k = 0; k < 2; k++)
        if (is_backward(drawing->graph, groups[k]) && more_follow(drawing, id, groups[k])) return groups[k];
    return 0;
}

static void find_groups(Drawing *drawing) {
    const Graph *graph = drawing->graph;
    for (NodeId id = 0; id < graph_nodes(graph); id++) {
        drawing->group[id] = graph_node_group(graph, id);
        bool is_free = drawing->group[id] == 0 && is_addition(graph, id);
        if (drawing->live[id] && is_free) drawing->group[id] = addition_group(drawing, id);
    }
}

static bool is_transparent(const Drawing *drawing, NodeId node) {
    return op_is_view(graph_node(drawing->graph, node)->op) && !drawing->stored[node];
}

// Whether the value is used by anything but its own operator and that operator's derivative. Users are decided first.
static bool used_outside(const Drawing *drawing, NodeId node, GroupId group) {
    for (uint32_t i = 0; i < drawing->user_count[node]; i++) {
        NodeId user = drawing->users[node][i];
        if (is_transparent(drawing, user)) {
            if (used_outside(drawing, user, group)) return true;
            continue;
        }
        GroupId user_group = drawing->group[user];
        bool is_derivative = user_group && graph_group_at(drawing->graph, user_group)->forward == group;
        if (user_group != group && !is_derivative) return true;
    }
    return false;
}

static bool store_at_op(const Drawing *drawing, NodeId id) {
    const Node *node = graph_node(drawing->graph, id);
    GroupId group = drawing->group[id];
    switch (op_class(node->op)) {
    case CLASS_REDUCE:
    case CLASS_CONTRACT: return true;
    case CLASS_INDEXED:
        if (op_scatters(node->op)) return true;
        break;
    case CLASS_POINTWISE: break;
    case CLASS_MOVE:
        if (op_is_view(node->op)) return false;
        break;
    case CLASS_SOURCE:
    case CLASS_OTHER: return false;
    }
    if (drawing->fixed[id]) return false;
    return group == 0 || used_outside(drawing, id, group);
}

// ---- level all

enum { CHEAP_NODES = 16, RANDOM_NODES = 8 };   // a cone of more is stored; random bits cost as much as this many

// By node: in how many stored nodes' cones it lies. One bit per stored node, passed from users to operands.
static uint32_t *count_readers(const Drawing *drawing) {
    uint32_t nodes = graph_nodes(drawing->graph), roots = 0;
    uint32_t *number = ARENA_ARRAY(drawing->scratch, uint32_t, nodes);
    uint32_t *readers = ARENA_ARRAY(drawing->scratch, uint32_t, nodes);
    for (NodeId id = 0; id < nodes; id++)
        if (drawing->stored[id]) number[id] = roots++;
    size_t words = (roots + 63) / 64;
    uint64_t *sets = arena_alloc_array(drawing->scratch, nodes, words * sizeof(uint64_t));
    for (NodeId id = nodes; id-- > 0;) {
        for (uint32_t i = 0; i < drawing->user_count[id]; i++) {
            NodeId user = drawing->users[id][i];
            if (drawing->stored[user])
                sets[id * words + number[user] / 64] |= (uint64_t)1 << number[user] % 64;
            else
                for (size_t w = 0; w < words; w++) sets[id * words + w] |= sets[user * words + w];
        }
        for (size_t w = 0; w < words; w++) readers[id] += (uint32_t)__builtin_popcountll(sets[id * words + w]);
    }
    return readers;
}

// What takes as long as tens of the others.
static bool is_series(Op op) {
    switch (op) {
    case OP_EXP:
    case OP_LOG:
    case OP_TANH:
    case OP_ERF:
    case OP_SIN:
    case OP_COS: return true;
    default: return false;
    }
}

// What becomes of a number when no more is computed of it alone.
static bool is_number_for_others(const Drawing *drawing, NodeId id) {
    if (graph_node(drawing->graph, id)->dims) return false;
    for (uint32_t i = 0; i < drawing->user_count[id]; i++)
        if (graph_node(drawing->graph, drawing->users[id][i])->dims) return true;
    return false;
}

// Every reader recomputes: it reads the cone's operands. Or: written once, read by each reader. Numbers are small
// either way; what counts is that every piece of every reader would compute them before it begins.
static bool storing_is_cheaper(Drawing *drawing, NodeId id, uint32_t readers, const char **reason) {
    Arena *arena = drawing->context->arena;
    Cone cone = cone_collect(drawing, (NodeList){.nodes = &id, .count = 1});
    uint32_t work = 0;
    const char *series = NULL;
    for (uint32_t i = 0; i < cone.inside.count; i++) {
        Op op = graph_node(drawing->graph, cone.inside.nodes[i])->op;
        work += op == OP_RANDOM ? RANDOM_NODES : 1;
        if (is_series(op)) series = op_name(op);
    }
    double size = (double)graph_elements(drawing->graph, graph_node(drawing->graph, id)->dims), reads = 0;
    *reason = arena_format(arena, "%u boxes read it, and it takes %u primitives", readers, work);
    if (work > CHEAP_NODES) return true;
    if (series && is_number_for_others(drawing, id)) {
        *reason = arena_format(arena, "%u boxes read it, a number that takes %s", readers, series);
        return true;
    }
    for (uint32_t i = 0; i < cone.operands.count; i++) {
        double elements =
            (double)graph_elements(drawing->graph, graph_node(drawing->graph, cone.operands.nodes[i])->dims);
        reads += elements < size ? elements : size;   // a gather reads no more than it yields
    }
    double redone = readers * reads, stored = reads + size + readers * size;
    *reason = arena_format(arena, "%u boxes read it: %.3g elements pass by when it is stored, %.3g when it is redone",
                           readers, stored, redone);
    return redone > stored;
}

static void choose_stored(Drawing *drawing, NodeId id, uint32_t readers) {
    PassContext *context = drawing->context;
    Decision decision = {.pass = "draw_boxes", .what = "store value", .place = drawing->names[id]};
    decision.made = storing_is_cheaper(drawing, id, readers, &decision.reason);
    choices_decide(context->choices, true, &decision);
    drawing->stored[id] = decision.made;
    ledger_add(context->ledger, decision);
}

static void choose_at_all(Drawing *drawing) {
    for (NodeId id = graph_nodes(drawing->graph); id-- > 0;) {
        if (!drawing->live[id]) continue;
        if (must_store_at_all(graph_node(drawing->graph, id))) drawing->stored[id] = true;
        store_operands(drawing, id);
    }
    drawing_keep_functions(drawing);
    const uint32_t *readers = count_readers(drawing);
    for (NodeId id = 0; id < graph_nodes(drawing->graph); id++) {
        const Node *node = graph_node(drawing->graph, id);
        if (!drawing->live[id] || drawing->stored[id] || drawing->fixed[id] || readers[id] < 2) continue;
        if (op_class(node->op) == CLASS_SOURCE || op_class(node->op) == CLASS_OTHER || op_is_view(node->op)) continue;
        if (!drawing->wishes[id]) choose_stored(drawing, id, readers[id]);
    }
}

// ---- the door


// Without a cost model, at levels none and op.
static void choose_by_rule(Drawing *drawing) {
    for (NodeId id = graph_nodes(drawing->graph); id-- > 0;) {
        const Node *node = graph_node(drawing->graph, id);
        if (!drawing->live[id]) continue;
        bool store = drawing->context->fuse == FUSE_NONE ? store_at_none(node) : store_at_op(drawing, id);
        if (wants(drawing, id, CHOICE_REDO)) store = must_store_at_all(node);
        if (store) drawing->stored[id] = true;
        store_operands(drawing, id);
    }
}

void drawing_choose_values(Drawing *drawing) {
    const Graph *graph = drawing->graph;
    find_fixed(drawing);
    find_groups(drawing);
    for (NodeId id = 0; id < graph_nodes(graph); id++)
        drawing->stored[id] = drawing->live[id] && node_is_leaf(graph, id);
    store_outputs(drawing);
    take_wishes(drawing);
    if (drawing->context->fuse == FUSE_ALL)
        choose_at_all(drawing);
    else
        choose_by_rule(drawing);
    account_for_wishes(drawing);
}
