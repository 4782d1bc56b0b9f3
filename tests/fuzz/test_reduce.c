// The reducer, with made-up faults: "the graph has this pattern" must come down to hardly more than the pattern.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "tests/fuzz/generate.h"
#include "tests/fuzz/reduce.h"

enum { SEEDS = 40 };

typedef struct {
    Op op, below;  // a node of `op` with an operand of `below`
    int64_t least; // ... and a dim of at least this extent
    uint32_t tried;
    bool unsound;
} Fault;

static bool is_long(const Graph *graph, const Node *node, int64_t least) {
    for (DimId dim = 0; dim < graph_dims(graph); dim++)
        if (dim_in(node->dims, dim) && graph_extent(graph, dim) >= least) return true;
    return least <= 1;
}

static bool has_fault(void *context, const Graph *graph) {
    Fault *fault = context;
    Arena *arena = arena_create();
    const bool *live = graph_live(graph, arena);
    bool found = false;
    fault->tried++;
    fault->unsound |= graph_verify(graph, arena) != NULL;
    for (NodeId id = 0; id < graph_nodes(graph); id++) {
        const Node *node = graph_node(graph, id);
        for (uint32_t i = 0; live[id] && node->op == fault->op && i < node->operand_count; i++)
            found |= graph_node(graph, node->operands[i])->op == fault->below && is_long(graph, node, fault->least);
    }
    arena_free(arena);
    return found;
}

static void comes_down_to(Fault fault, uint32_t most_ops) {
    uint32_t graphs = 0;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        Arena *arena = arena_create();
        Graph *graph = generate_graph(arena, seed, (GenerateSize){.largest = 17, .trains = false});
        if (has_fault(&fault, graph)) {
            graphs++;
            fault.tried = 0;
            Graph *reduced = reduce_graph(arena, graph, has_fault, &fault, 60);
            Text text = text_create(arena);
            graph_print(reduced, &text);
            if (graph_ops(reduced) > most_ops) fail_msg("%u ops left:\n%s", graph_ops(reduced), text_string(&text));
            assert_true(has_fault(&fault, reduced));
            assert_int_equal(graph_outputs(reduced), 1);
            assert_true(fault.tried < 400);
            for (DimId dim = 0; dim < graph_dims(reduced); dim++)
                assert_true(graph_extent(reduced, dim) <= (fault.least > 1 ? fault.least : 2));
        }
        arena_free(arena);
    }
    assert_true(graphs > 3);
    assert_false(fault.unsound);
}

static void one_op(void **state) {
    (void)state;
    comes_down_to((Fault){.op = OP_EXP, .below = OP_SUB, .least = 1}, 2);
}

static void a_chain_of_some_size(void **state) {
    (void)state;
    comes_down_to((Fault){.op = OP_CONTRACT, .below = OP_MUL, .least = 4}, 2);
}

static void keeps_what_moves(void **state) {
    (void)state;
    comes_down_to((Fault){.op = OP_ADD, .below = OP_CONTRACT, .least = 3}, 3);
}

static void a_sound_graph_stays(void **state) {
    (void)state;
    Arena *arena = arena_create();
    Graph *graph = generate_graph(arena, 5, (GenerateSize){.largest = 5, .trains = false});
    Fault never = {.op = OP_NOT, .below = OP_CONTRACT, .least = 1};
    Graph *reduced = reduce_graph(arena, graph, has_fault, &never, 60);
    assert_int_equal(graph_ops(graph), graph_ops(reduced));
    arena_free(arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(one_op), cmocka_unit_test(a_chain_of_some_size),
                                       cmocka_unit_test(keeps_what_moves), cmocka_unit_test(a_sound_graph_stays)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
