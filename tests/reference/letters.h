// Small graphs for tests: every dim is one capital letter, a tensor's dims are a string of them ("BC").
#ifndef SINTER_TESTS_REFERENCE_LETTERS_H
#define SINTER_TESTS_REFERENCE_LETTERS_H

#include <string.h>

#include "ir/graph.h"

// A has extent 1, D and G are odd, E is as long as C, F = B * C, M = C + 2.
static const struct {
    char letter[2];
    int64_t extent;
} letter_dims[] = {{"A", 1}, {"B", 2}, {"C", 3}, {"D", 5}, {"E", 3}, {"F", 6}, {"G", 7}, {"H", 4}, {"M", 5}};

static inline Graph *letters_graph(Arena *arena) {
    Graph *graph = graph_create(arena, "test");
    for (size_t i = 0; i < sizeof letter_dims / sizeof *letter_dims; i++) {
        graph_dim(graph, letter_dims[i].letter, letter_dims[i].extent);
    }
    return graph;
}

static inline DimId letter(const Graph *graph, char name) {
    DimId dim = DIM_NONE;
    CHECK(graph_find_dim(graph, (char[]){name, 0}, &dim));
    return dim;
}

static inline DimList letters(const Graph *graph, const char *names) {
    DimList list = {.rank = (uint8_t)strlen(names)};
    for (int i = 0; i < list.rank; i++)
        list.dims[i] = letter(graph, names[i]);
    return list;
}

static inline DimSet letter_set(const Graph *graph, const char *names) {
    DimList list = letters(graph, names);
    return dim_list_set(&list);
}

static inline NodeId letters_param(Graph *graph, const char *name, const char *dims) {
    Leaf leaf = {.name = name, .stored = letters(graph, dims)};
    leaf.stored_rank = leaf.stored.rank;
    for (int i = 0; i < leaf.stored_rank; i++)
        leaf.group_end[i] = (uint8_t)(i + 1);
    return build_param(graph, graph_leaf(graph, &leaf));
}

// In the order of `dims`.
static inline NodeId letters_table(Graph *graph, DType dtype, const char *dims, const double *values) {
    if (!*dims) return build_const(graph, dtype, values[0]);
    return build_table(graph, dtype, letters(graph, dims), values);
}

#endif
