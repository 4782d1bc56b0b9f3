// Layouts, views and contractions: addresses and parts, against a count by hand.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "ir/plan.h"

static Arena *arena;

static int setup(void **state) {
    (void)state;
    arena = arena_create();
    return 0;
}

static int teardown(void **state) {
    (void)state;
    arena_free(arena);
    return 0;
}

// Dims in the order of the names in the tests: A=2 B=3 C=5 D=7 E=10 F=15 P=4 T=3
enum { A, B, C, D, E, F, P, T };

static Graph *new_graph(void) {
    Graph *graph = graph_create(arena, "case");
    const char *names[] = {"A", "B", "C", "D", "E", "F", "P", "T"};
    const int64_t extents[] = {2, 3, 5, 7, 10, 15, 4, 3};
    for (int i = 0; i < 8; i++)
        graph_dim(graph, names[i], extents[i]);
    return graph;
}

#define DIMS(...) ((DimList){.rank = sizeof((DimId[]){__VA_ARGS__}), .dims = {__VA_ARGS__}})
#define PIECE(divisor_, extent_, ...) ((LayoutPiece){DIMS(__VA_ARGS__), divisor_, extent_})

static void plain_layout_is_row_major(void **state) {
    (void)state;
    Graph *graph = new_graph();
    Layout layout = layout_plain(graph, DIMS(B, A, C));
    assert_true(layout_is_plain(graph, &layout));
    assert_int_equal(layout_elements(&layout), 30);
    int64_t index[MAX_DIMS] = {[A] = 1, [B] = 2, [C] = 3};
    assert_int_equal(layout_offset(graph, &layout, index), (2 * 2 + 1) * 5 + 3);
    Layout scalar = layout_plain(graph, (DimList){0});
    assert_true(layout_is_plain(graph, &scalar));
    assert_int_equal(layout_elements(&scalar), 1);
    assert_int_equal(layout_offset(graph, &scalar, index), 0);
}

static void panel_layout_is_padded(void **state) {
    (void)state;
    Graph *graph = new_graph();
    // D=7 in panels of 4: D/4, C, D%4
    Layout layout = {3, {PIECE(4, 2, D), PIECE(1, 5, C), PIECE(1, 4, D)}};
    assert_false(layout_is_plain(graph, &layout));
    assert_int_equal(layout_elements(&layout), 40);
    int64_t index[MAX_DIMS] = {[C] = 3, [D] = 6};
    assert_int_equal(layout_offset(graph, &layout, index), (1 * 5 + 3) * 4 + 2);
    Layout other = layout;
    assert_true(layout_equal(&layout, &other));
    other.pieces[2].extent = 8;
    assert_false(layout_equal(&layout, &other));
}

// Every address of the view, compared with the layout's own count at the operand's index that the moves stand for.
static void view_follows_moves(void **state) {
    (void)state;
    Graph *graph = new_graph();
    NodeId operand = build_operand(graph, 0, DTYPE_F32, DIMS(B, E, D));
    NodeId split = build_split(graph, operand, E, A, C);  // E=10 -> A=2, C=5
    NodeId selected = build_select(graph, split, C, 3);
    NodeId shorter = build_prefix(graph, selected, D, P);
    NodeId renamed = build_rename(graph, shorter, B, T);
    Layout layout = layout_plain(graph, DIMS(E, B, D));
    View view;
    assert_true(view_of(graph, renamed, (const Layout *[]){&layout}, &view));
    assert_int_equal(view.operand, 0);
    for (int64_t t = 0; t < 3; t++)
        for (int64_t a = 0; a < 2; a++)
            for (int64_t p = 0; p < 4; p++) {
                int64_t at[MAX_DIMS] = {[B] = t, [E] = a * 5 + 3, [D] = p};
                int64_t address = view.offset + t * view.stride[T] + a * view.stride[A] + p * view.stride[P];
                assert_int_equal(address, layout_offset(graph, &layout, at));
            }
    assert_int_equal(view.stride[B], 0);
    assert_int_equal(view.stride[E], 0);
}

static void view_merges_neighbours_only(void **state) {
    (void)state;
    Graph *graph = new_graph();
    NodeId operand = build_operand(graph, 0, DTYPE_F32, DIMS(B, C, A));
    NodeId merged = build_merge(graph, operand, B, C, F);
    Layout inside = layout_plain(graph, DIMS(A, B, C)), apart = layout_plain(graph, DIMS(B, A, C));
    View view;
    assert_true(view_of(graph, merged, (const Layout *[]){&inside}, &view));
    assert_int_equal(view.stride[F], 1);
    assert_int_equal(view.stride[A], 15);
    assert_false(view_of(graph, merged, (const Layout *[]){&apart}, &view));
}

static void view_of_joined_pieces(void **state) {
    (void)state;
    Graph *graph = new_graph();
    NodeId operand = build_operand(graph, 0, DTYPE_F32, DIMS(A, B, C));
    Layout joined = {2, {PIECE(1, 2, A), PIECE(1, 15, B, C)}};
    Layout cut = {3, {PIECE(1, 2, A), PIECE(4, 4, B, C), PIECE(1, 4, B, C)}};
    Layout padded = {2, {PIECE(1, 2, A), PIECE(1, 16, B, C)}}, short_of = {2, {PIECE(1, 2, A), PIECE(1, 14, B, C)}};
    View view;
    assert_true(view_of(graph, operand, (const Layout *[]){&joined}, &view));
    assert_int_equal(view.stride[A], 15);
    assert_int_equal(view.stride[B], 5);
    assert_int_equal(view.stride[C], 1);
    assert_false(view_of(graph, operand, (const Layout *[]){&cut}, &view));
    assert_false(view_of(graph, operand, (const Layout *[]){&short_of}, &view));
    assert_true(view_of(graph, operand, (const Layout *[]){&padded}, &view));   // room behind rows
    assert_int_equal(view.stride[A], 16);
    assert_int_equal(view.stride[B], 5);
}

static void view_stops_at_arithmetic(void **state) {
    (void)state;
    Graph *graph = new_graph();
    NodeId operand = build_operand(graph, 0, DTYPE_F32, DIMS(A, B));
    NodeId renamed = build_rename(graph, build_unary(graph, OP_NEG, operand), B, T);
    Layout layout = layout_plain(graph, DIMS(A, B));
    View view;
    assert_false(view_of(graph, renamed, (const Layout *[]){&layout}, &view));
}

static void check_list(DimList actual, DimList expected) {
    assert_true(dim_list_equal(&actual, &expected));
}

static void contraction_parts(void **state) {
    (void)state;
    Graph *graph = new_graph();
    NodeId q = build_operand(graph, 0, DTYPE_F32, DIMS(A, B, D, E)),
           k = build_operand(graph, 1, DTYPE_F32, DIMS(E, C, A, D));
    NodeId scores = build_contract(graph, q, k, dim_bit(E) | dim_bit(D));
    Contraction by_key = contraction_of(graph, scores, DIMS(B, A, C));
    assert_int_equal(by_key.rows_operand, q);
    assert_int_equal(by_key.lanes_operand, k);
    check_list(by_key.batch, DIMS(A));
    check_list(by_key.rows, DIMS(B));
    check_list(by_key.lanes, DIMS(C));
    check_list(by_key.summed, DIMS(D, E));
    // The innermost dim is shared, so the one before it decides.
    Contraction by_query = contraction_of(graph, scores, DIMS(C, B, A));
    assert_int_equal(by_query.lanes_operand, q);
    check_list(by_query.lanes, DIMS(B));
    check_list(by_query.rows, DIMS(C));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(plain_layout_is_row_major, setup, teardown),
        cmocka_unit_test_setup_teardown(panel_layout_is_padded, setup, teardown),
        cmocka_unit_test_setup_teardown(view_follows_moves, setup, teardown),
        cmocka_unit_test_setup_teardown(view_merges_neighbours_only, setup, teardown),
        cmocka_unit_test_setup_teardown(view_of_joined_pieces, setup, teardown),
        cmocka_unit_test_setup_teardown(view_stops_at_arithmetic, setup, teardown),
        cmocka_unit_test_setup_teardown(contraction_parts, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
