// Random graphs at every level: each plan must verify after each pass, mean what its graph means, and tell the truth
// about which pieces depend on which.
//
// The graphs are made of everything at once: views of views, gathers of gathers, groups across products, states that
// become each other. Seeds are fixed; a failure names the seed.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "passes/passes.h"
#include "tests/boxes/same_piece.h"
#include "tests/passes/same_values.h"

enum { SEEDS = 500, NODES = 28 };

typedef struct {
    Graph *graph;
    uint64_t state;
    NodeId floats[NODES + 16], tokens;
    uint32_t count;
    DimId A, B, C, E, G, V;   // extents 2 3 4 3 6 5: E is another B, G is A and B merged
    GroupId groups[5];
} Maker;

static uint32_t below(Maker *maker, uint32_t bound) {   // splitmix64 (Steele, Lea, Flood, OOPSLA 2014)
    uint64_t z = (maker->state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return (uint32_t)((z ^ (z >> 31)) >> 33) % bound;
}

static NodeId pick(Maker *maker) {
    uint32_t recent = maker->count > 8 && below(maker, 2) ? 8 : maker->count;
    return maker->floats[maker->count - 1 - below(maker, recent)];
}

static DimSet dims_of(const Maker *maker, NodeId node) { return graph_node(maker->graph, node)->dims; }
static bool has(const Maker *maker, NodeId node, DimId dim) { return dim_in(dims_of(maker, node), dim); }

static NodeId add_leaf(Maker *maker, Op op, const char *name, DimList order) {
    LeafId leaf = graph_leaf(maker->graph, &(Leaf){.name = name, .stored = order, .init = INIT_CONSTANT});
    if (op == OP_INPUT) return build_input(maker->graph, leaf, DTYPE_F32);
    return op == OP_PARAM ? build_param(maker->graph, leaf) : build_state(maker->graph, leaf);
}

static Maker start(Arena *arena, uint64_t seed) {
    Maker maker = {.graph = graph_create(arena, "random"), .state = seed};
    Graph *graph = maker.graph;
    maker.A = graph_dim(graph, "A", 2);
    maker.B = graph_dim(graph, "B", 3);
    maker.C = graph_dim(graph, "C", 4);
    maker.E = graph_dim(graph, "E", 3);
    maker.G = graph_dim(graph, "G", 6);
    maker.V = graph_dim(graph, "V", 5);
    Leaf tokens = {.name = "tokens", .stored = {.rank = 1, .dims = {maker.B}}, .token_bytes = 2};
    maker.tokens = build_input(graph, graph_leaf(graph, &tokens), DTYPE_I32);
    NodeId *leaves = maker.floats;
    leaves[maker.count++] = add_leaf(&maker, OP_INPUT, "x", (DimList){3, {maker.A, maker.B, maker.C}});
    leaves[maker.count++] = add_leaf(&maker, OP_INPUT, "y", (DimList){2, {maker.C, maker.B}});
    leaves[maker.count++] = add_leaf(&maker, OP_PARAM, "w", (DimList){2, {maker.V, maker.C}});
    leaves[maker.count++] = add_leaf(&maker, OP_STATE, "m", (DimList){2, {maker.B, maker.C}});
    leaves[maker.count++] = add_leaf(&maker, OP_STATE, "n", (DimList){2, {maker.B, maker.C}});
    leaves[maker.count++] = build_const(graph, DTYPE_F32, 0.5);
    for (int i = 1; i <= 2; i++) maker.groups[i] = graph_group(graph, i == 1 ? "norm" : "gate", "here", 0);
    for (int i = 3; i <= 4; i++)
        maker.groups[i] = graph_group(graph, i == 3 ? "norm" : "gate", "here", maker.groups[i - 2]);
    return maker;
}

// ---- one node; NODE_NONE when the choice does not apply to what was picked

static NodeId random_pointwise(Maker *maker) {
    static const Op unary[] = {OP_NEG, OP_TANH, OP_SIN, OP_ABS, OP_STOP_GRADIENT};
    static const Op binary[] = {OP_ADD, OP_SUB, OP_MUL, OP_MAXIMUM};
    NodeId a = pick(maker), b = pick(maker);
    if (below(maker, 3) == 0) {
        Op op = unary[below(maker, 5)];
        return op == OP_STOP_GRADIENT ? build_stop_gradient(maker->graph, a) : build_unary(maker->graph, op, a);
    }
    if (dim_count(dims_of(maker, a) | dims_of(maker, b)) > 4) return NODE_NONE;
    if (below(maker, 5) > 0) return build_binary(maker->graph, binary[below(maker, 4)], a, b);
    NodeId mask =
        build_binary(maker->graph, OP_LT, build_index(maker->graph, maker->C), build_index(maker->graph, maker->B));
    return build_where(maker->graph, mask, a, b);
}

static NodeId random_sum(Maker *maker) {
    static const Op reductions[] = {OP_SUM, OP_MAX, OP_LSE};
    NodeId a = pick(maker), b = pick(maker);
    DimSet over = 0, some = below(maker, 2) ? dims_of(maker, a) & dims_of(maker, b) : dims_of(maker, a);
    for (DimId dim = 0; dim < MAX_DIMS; dim++)
        if (dim_in(some, dim) && below(maker, 2)) over |= dim_bit(dim);
    if (!over) return NODE_NONE;
    if (below(maker, 2) == 0) return build_reduce(maker->graph, reductions[below(maker, 3)], a, over);
    bool small = dim_count(dims_of(maker, a) | dims_of(maker, b)) <= 5;
    return small && !(over & ~dims_of(maker, b)) ? build_contract(maker->graph, a, b, over) : NODE_NONE;
}

static NodeId random_move(Maker *maker) {
    Graph *graph = maker->graph;
    NodeId a = pick(maker);
    bool A = has(maker, a, maker->A), B = has(maker, a, maker->B), C = has(maker, a, maker->C);
    bool E = has(maker, a, maker->E), G = has(maker, a, maker->G);
    switch (below(maker, 8)) {
    case 0: return B && !E ? build_rename(graph, a, maker->B, maker->E) : NODE_NONE;
    case 1: return E && !B ? build_rename(graph, a, maker->E, maker->B) : NODE_NONE;
    case 2: return A && B && !G ? build_merge(graph, a, maker->A, maker->B, maker->G) : NODE_NONE;
    case 3: return G && !A && !B ? build_split(graph, a, maker->G, maker->A, maker->B) : NODE_NONE;
    case 4: return A ? build_select(graph, a, maker->A, (int32_t)below(maker, 2)) : NODE_NONE;
    case 5: return C && !E ? build_prefix(graph, a, maker->C, maker->E) : NODE_NONE;
    case 6: return E && !C ? build_pad(graph, a, maker->E, maker->C) : NODE_NONE;
    default: break;
    }
    NodeId entries[2] = {a, pick(maker)};
    bool fits =
        !A && !has(maker, entries[1], maker->A) && dim_count(dims_of(maker, a) | dims_of(maker, entries[1])) < 4;
    return fits ? build_stack(graph, entries, 2, maker->A) : NODE_NONE;
}

static NodeId random_indexed(Maker *maker) {
    NodeId a = pick(maker);
    if (has(maker, a, maker->V)) {
        if (dim_count(dims_of(maker, a)) > 3) return NODE_NONE;
        return build_gather(maker->graph, a, maker->tokens, maker->V);
    }
    if (!has(maker, a, maker->B)) return NODE_NONE;
    DimList result = {.rank = 1, .dims = {maker->V}};
    for (DimId dim = 0; dim < MAX_DIMS; dim++)
        if (has(maker, a, dim) && result.rank < 4 && below(maker, 2)) result.dims[result.rank++] = dim;
    NodeId base = pick(maker);
    if (dims_of(maker, base) == dim_list_set(&result) && below(maker, 2))
        return build_scatter_onto(maker->graph, a, maker->tokens, base, maker->V);
    return build_scatter(maker->graph, a, maker->tokens, maker->V, result);
}

static NodeId random_node(Maker *maker) {
    graph_set_group(maker->graph, below(maker, 3) ? maker->groups[below(maker, 5)] : 0);
    uint32_t kind = below(maker, 12);
    if (kind < 5) return random_pointwise(maker);
    if (kind < 8) return random_sum(maker);
    return kind < 11 ? random_move(maker) : random_indexed(maker);
}

// Results of any dims, and next values of the states where something fits them.
static void add_outputs(Maker *maker) {
    static const char *const names[] = {"a", "b", "c", "d"};
    static const char *const states[] = {"m", "n", "w"};
    for (int i = 0; i < 4; i++) graph_output(maker->graph, names[i], pick(maker));
    graph_output(maker->graph, "last", maker->floats[maker->count - 1]);
    for (int i = 0; i < 3; i++) {
        DimSet wanted = dims_of(maker, graph_find_leaf_node(maker->graph, states[i]));
        for (uint32_t tries = 0; tries < maker->count; tries++) {
            NodeId node = pick(maker);
            if (dims_of(maker, node) != wanted) continue;
            graph_output(maker->graph, states[i], node);
            break;
        }
    }
}

static Graph *random_graph(Arena *arena, uint64_t seed) {
    Maker maker = start(arena, seed);
    while (maker.count < NODES) {
        NodeId node = random_node(&maker);
        if (node != NODE_NONE) maker.floats[maker.count++] = node;
    }
    add_outputs(&maker);
    return maker.graph;
}

static void check_seed(uint64_t seed, FuseLevel fuse) {
    Arena *arena = arena_create();
    Target target = target_default();
    target.peak_flops = target.bandwidth = 1;   // so slow that every step is worth cutting
    StateTable states = {.arena = arena};
    PassContext context = {.arena = arena,
                           .diags = diags_create(arena),
                           .ledger = ledger_create(arena),
                           .target = &target,
                           .fuse = fuse,
                           .states = &states};
    Graph *graph = random_graph(arena, seed), *drawn = graph;
    Plan *plan = NULL;
    const char *passes = "draw_boxes,choose_engines,choose_layouts,pack_operands,cut_pieces,plan_edges,plan_memory";
    assert_true(passes_run(&drawn, &plan, passes, &context, NULL));
    const char *wrong = same_values_plan(graph, plan, arena);
    if (!wrong) wrong = same_piece_check(plan, arena);
    if (wrong) fail_msg("seed %llu at level %s: %s", (unsigned long long)seed, fuse_name(fuse), wrong);
    arena_free(arena);
}

static void test_random_graphs(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++)
        for (int fuse = FUSE_NONE; fuse <= FUSE_ALL; fuse++) check_seed(seed, (FuseLevel)fuse);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_random_graphs)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
