// Random graphs (see generate.h): the start, small steps, and the order in which parts are put together.
#include "tests/fuzz/generate.h"

#include <math.h>
#include <stdio.h>

#include "tests/fuzz/maker.h"

// ---- chance

uint32_t below(Maker *maker, uint32_t bound) { // splitmix64 (Steele, Lea, Flood, OOPSLA 2014)
    uint64_t z = (maker->state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return (uint32_t)((z ^ (z >> 31)) >> 33) % bound;
}

// Around the widths of vectors and register tiles, primes, and 1.
int64_t draw_extent(Maker *maker, int64_t largest) {
    static const int64_t extents[] = {1, 2, 3, 4, 5, 7, 8, 9, 13, 15, 16, 17, 23, 31, 32, 33, 40, 48, 63, 64, 65, 97};
    uint32_t count = 0;
    while (count < sizeof extents / sizeof extents[0] && extents[count] <= largest)
        count++;
    return extents[below(maker, count)];
}

// ---- small steps

NodeId number(Maker *maker, double value) {
    return build_const(maker->graph, DTYPE_F32, value);
}
NodeId unary(Maker *maker, Op op, NodeId a) {
    return build_unary(maker->graph, op, a);
}
NodeId binary(Maker *maker, Op op, NodeId a, NodeId b) {
    return build_binary(maker->graph, op, a, b);
}
NodeId scaled(Maker *maker, NodeId a, double factor) {
    return binary(maker, OP_MUL, a, number(maker, factor));
}
DimSet dims_of(const Maker *maker, NodeId node) {
    return graph_node(maker->graph, node)->dims;
}
int64_t extent(const Maker *maker, DimId dim) {
    return graph_extent(maker->graph, dim);
}

DimId new_dim(Maker *maker, const char *stem, int64_t wanted) {
    return graph_dim_fresh(maker->graph, stem, wanted);
}

static NodeId leaf(Maker *maker, Op op, const char *name, DimList order, double deviation) {
    Leaf described = {.name = name, .stored = order, .init = INIT_NORMAL, .init_value = deviation};
    if (deviation < 0) described.init = INIT_CONSTANT, described.init_value = 1;
    if (op == OP_INPUT) described.init = INIT_NORMAL, described.init_value = 0;
    LeafId id = graph_leaf(maker->graph, &described);
    if (op == OP_INPUT) return build_input(maker->graph, id, DTYPE_F32);
    return op == OP_PARAM ? build_param(maker->graph, id) : build_state(maker->graph, id);
}

NodeId weight(Maker *maker, DimList order, double deviation) {
    const char *name = arena_format(graph_arena(maker->graph), "w%u", maker->leaf_count++);
    if (maker->size.trains) return leaf(maker, OP_PARAM, name, order, deviation);
    NodeId input = leaf(maker, OP_INPUT, name, order, deviation);
    return deviation < 0 ? input : scaled(maker, input, deviation);
}

NodeId linear(Maker *maker, NodeId x, DimId from, DimList to) {
    DimList order = {.rank = 1, .dims = {from}};
    for (int i = 0; i < to.rank; i++)
        order.dims[order.rank++] = to.dims[i];
    if (chance(maker, 4)) { // stored the other way round
        for (int i = 0; i < to.rank; i++)
            order.dims[i] = to.dims[i];
        order.dims[to.rank] = from;
    }
    NodeId w = weight(maker, order, 1 / sqrt((double)extent(maker, from)));
    NodeId y = build_contract(maker->graph, x, w, dim_bit(from));
    return chance(maker, 3) ? binary(maker, OP_ADD, y, weight(maker, to, 0.5)) : y;
}

NodeId dropout(Maker *maker, NodeId x) {
    Graph *graph = maker->graph;
    group_begin(maker, "dropout");
    const char *site = arena_format(graph_arena(graph), "site%u", maker->site_count++);
    NodeId random = build_random(graph, maker->seed, maker->step, maker->micro, site, graph_node(graph, x)->order);
    NodeId kept = binary(maker, OP_LE, number(maker, 0.25), random);
    NodeId y = build_where(graph, kept, scaled(maker, x, 1 / 0.75), number(maker, 0));
    group_end(maker);
    return y;
}

NodeId mean(Maker *maker, NodeId x, DimSet over) {
    over &= dims_of(maker, x);
    if (!over) return x;
    double count = (double)graph_elements(maker->graph, over);
    return scaled(maker, build_reduce(maker->graph, OP_SUM, x, over), 1 / count);
}

void group_begin(Maker *maker, const char *label) {
    const char *place = arena_format(graph_arena(maker->graph), "part[%u]", maker->group_count++);
    graph_set_group(maker->graph, graph_group(maker->graph, label, place, 0));
}

void group_end(Maker *maker) {
    graph_set_group(maker->graph, 0);
}

void offer(Maker *maker, NodeId node) {
    if (maker->pool_count < POOL && dim_count(dims_of(maker, node)) <= 4) maker->pool[maker->pool_count++] = node;
}

void add_loss(Maker *maker, NodeId scalar) {
    if (maker->loss_count < 16) maker->losses[maker->loss_count++] = scalar;
}

// ---- the whole

static NodeId whole_input(Maker *maker, const char *name, DimList order, uint8_t token_bytes) {
    LeafId id = graph_leaf(maker->graph, &(Leaf){.name = name, .stored = order, .token_bytes = token_bytes});
    return build_input(maker->graph, id, DTYPE_I32);
}

static NodeId make_start(Maker *maker) {
    maker->tokens = whole_input(maker, "tokens", (DimList){2, {maker->B, maker->T}}, 2);
    maker->seed = whole_input(maker, "seed", (DimList){0}, 0);
    maker->step = whole_input(maker, "step", (DimList){0}, 0);
    maker->micro = whole_input(maker, "micro", (DimList){0}, 0);
    if (chance(maker, 3)) return leaf(maker, OP_INPUT, "x", (DimList){3, {maker->B, maker->T, maker->C}}, 0);
    NodeId table = weight(maker, (DimList){2, {maker->V, maker->C}}, 1);
    NodeId x = build_gather(maker->graph, table, maker->tokens, maker->V);
    if (chance(maker, 2)) {
        DimId P = new_dim(maker, "P", extent(maker, maker->T) + below(maker, 3));
        NodeId places = weight(maker, (DimList){2, {P, maker->C}}, 1);
        x = binary(maker, OP_ADD, x, build_prefix(maker->graph, places, P, maker->T));
    }
    return x;
}

// A tensor kept between runs, changed by something of the graph.
static void make_state(Maker *maker, NodeId x) {
    DimList order = {2, {maker->T, maker->C}};
    NodeId state = leaf(maker, OP_STATE, "kept", order, 1);
    NodeId next = binary(maker, OP_ADD, scaled(maker, state, 0.9), mean(maker, x, dim_bit(maker->B)));
    graph_output(maker->graph, "kept", next);
    offer(maker, state);
}

static NodeId make_part(Maker *maker, NodeId x) {
    switch (below(maker, 7)) {
    case 0:
    case 1:
    case 2: return make_attention(maker, x);
    case 3:
    case 4:
    case 5: return make_feed_forward(maker, x);
    default: return make_norm(maker, x, maker->C);
    }
}

// Half of the time the newest, or most single nodes would be dead.
static NodeId from_pool(Maker *maker) {
    return maker->pool[chance(maker, 2) ? maker->pool_count - 1 : below(maker, maker->pool_count)];
}

static NodeId pool_scalar(Maker *maker) {
    NodeId node = from_pool(maker);
    NodeId bounded = chance(maker, 2) ? unary(maker, OP_TANH, node) : node;
    if (chance(maker, 2)) bounded = binary(maker, OP_MUL, bounded, bounded);
    return mean(maker, bounded, dims_of(maker, bounded));
}

static void make_outputs(Maker *maker, NodeId x) {
    Graph *graph = maker->graph;
    if (maker->loss_count == 0 || chance(maker, 4))
        add_loss(maker, mean(maker, binary(maker, OP_MUL, x, x), dims_of(maker, x)));
    NodeId loss = maker->losses[0];
    for (uint32_t i = 1; i < maker->loss_count; i++)
        loss = binary(maker, OP_ADD, loss, maker->losses[i]);
    if (maker->size.trains || chance(maker, 2)) graph_output(graph, "loss", loss);
    uint32_t more = maker->size.trains ? below(maker, 3) : 1 + below(maker, 3);
    for (uint32_t i = 0; i < more; i++)
        graph_output(graph, arena_format(graph_arena(graph), "out%u", i), from_pool(maker));
    graph_output(graph, "last", x);
}

Graph *generate_graph(Arena *arena, uint64_t seed, GenerateSize size) {
    Maker maker = {.graph = graph_create(arena, "random"), .state = seed * 0x2545f4914f6cdd1du, .size = size};
    maker.B = graph_dim(maker.graph, "B", size.batch ? size.batch : 1 + below(&maker, 3));
    maker.T = graph_dim(maker.graph, "T", size.time ? size.time : draw_extent(&maker, size.largest));
    maker.C = graph_dim(maker.graph, "C", draw_extent(&maker, size.largest));
    maker.V = graph_dim(maker.graph, "V", draw_extent(&maker, size.largest) + 1);
    NodeId x = make_start(&maker);
    offer(&maker, x);
    bool keeps = chance(&maker, 4), early = chance(&maker, 2);
    if (keeps && early) make_state(&maker, x); // before others read what it was
    for (uint32_t parts = 1 + (below(&maker, 3) == 0); parts > 0; parts--) {
        if (chance(&maker, 2)) x = make_norm(&maker, x, maker.C);
        x = make_part(&maker, x);
        offer(&maker, x);
        for (uint32_t nodes = chance(&maker, 2) ? below(&maker, 6) : 0; nodes > 0; nodes--)
            make_node(&maker);
    }
    if (keeps && !early) make_state(&maker, x);
    if (chance(&maker, 3)) make_head(&maker, x);
    if (chance(&maker, 2)) add_loss(&maker, pool_scalar(&maker));
    make_outputs(&maker, x);
    return maker.graph;
}

// ---- the mix

bool graph_has_chain(const Graph *graph, Arena *arena) {
    uint32_t nodes = graph_nodes(graph);
    const bool *live = graph_live(graph, arena);
    // 0: no contraction below; 1: one, through moves only; 2: one, with work between
    uint8_t *reach = ARENA_ARRAY(arena, uint8_t, nodes);
    for (NodeId id = 0; id < nodes; id++) {
        const Node *node = graph_node(graph, id);
        if (!live[id]) continue;
        uint8_t best = 0;
        for (uint32_t i = 0; i < node->operand_count; i++)
            if (reach[node->operands[i]] > best) best = reach[node->operands[i]];
        OpClass class_ = op_class(node->op);
        if (class_ == CLASS_CONTRACT && best == 2) return true;
        if (class_ == CLASS_CONTRACT)
            reach[id] = 1;
        else if (class_ == CLASS_MOVE)
            reach[id] = best;
        else if (class_ == CLASS_POINTWISE || class_ == CLASS_REDUCE)
            reach[id] = best ? 2 : 0;
    }
    return false;
}

void mix_add(Mix *mix, const Graph *graph) {
    Arena *arena = arena_create();
    const bool *live = graph_live(graph, arena);
    bool seen[OP_COUNT] = {false}, one = false;
    for (NodeId id = 0; id < graph_nodes(graph); id++) {
        const Node *node = graph_node(graph, id);
        if (!live[id]) continue;
        mix->nodes++;
        seen[node->op] = true;
        for (DimId dim = 0; dim < graph_dims(graph); dim++)
            one = one || (dim_in(node->dims, dim) && graph_extent(graph, dim) == 1);
    }
    for (int op = 0; op < OP_COUNT; op++)
        mix->with_op[op] += seen[op];
    mix->graphs++;
    mix->with_extent_one += one;
    mix->with_chain += graph_has_chain(graph, arena);
    arena_free(arena);
}

void mix_print(const Mix *mix) {
    double graphs = mix->graphs ? mix->graphs : 1;
    printf("%u graphs, %.1f nodes each; %.0f %% with a chain, %.0f %% with an extent 1; graphs with each op:\n",
           mix->graphs, mix->nodes / graphs, 100 * mix->with_chain / graphs, 100 * mix->with_extent_one / graphs);
    for (int op = 0; op < OP_COUNT; op++)
        printf("%s%s %.0f %%%s", op % 8 ? "" : "   ", op_name((Op)op), 100 * mix->with_op[op] / graphs,
               op % 8 == 7 || op == OP_COUNT - 1 ? "\n" : ", ");
}
