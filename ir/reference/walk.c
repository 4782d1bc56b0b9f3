// Nested loops over named dims; see walk.h.
#include "ir/reference/walk.h"

Strides strides_dense(const Graph *graph, DimList order) {
    Strides strides = {{0}};
    int64_t stride = 1;
    for (int i = order.rank - 1; i >= 0; i--) {
        strides.of[order.dims[i]] = stride;
        stride *= graph_extent(graph, order.dims[i]);
    }
    return strides;
}

void walk_order_add(WalkOrder *order, const DimList *list, DimSet only) {
    for (int i = 0; i < list->rank; i++) {
        bool there = !dim_in(only, list->dims[i]);
        for (int k = 0; k < order->count; k++)
            there = there || order->dims[k] == list->dims[i];
        if (there) continue;
        CHECK(order->count < WALK_DIMS);
        order->dims[order->count++] = list->dims[i];
    }
}

// Joins a new innermost loop to the one around it when every stream crosses both evenly.
static bool join_loop(Walk *walk, const Strides *const *strides, DimId dim, int64_t extent) {
    int last = walk->loops - 1;
    if (last < 0) return false;
    for (int s = 0; s < walk->streams; s++) {
        if (walk->stride[s][last] != strides[s]->of[dim] * extent) return false;
    }
    walk->extent[last] *= extent;
    for (int s = 0; s < walk->streams; s++)
        walk->stride[s][last] = strides[s]->of[dim];
    return true;
}

Walk walk_start(const Graph *graph, const WalkOrder *order, const Strides *const *strides, int streams) {
    Walk walk = {.more = true, .length = 1, .streams = streams};
    for (int i = 0; i < order->count; i++) {
        DimId dim = order->dims[i];
        int64_t extent = graph_extent(graph, dim);
        if (extent == 1 || join_loop(&walk, strides, dim, extent)) continue;
        for (int s = 0; s < streams; s++)
            walk.stride[s][walk.loops] = strides[s]->of[dim];
        walk.extent[walk.loops++] = extent;
    }
    if (walk.loops > 0) {
        walk.loops--;
        walk.length = walk.extent[walk.loops];
        for (int s = 0; s < streams; s++)
            walk.step[s] = walk.stride[s][walk.loops];
    }
    return walk;
}

void walk_next(Walk *walk) {
    for (int i = walk->loops - 1; i >= 0; i--) {
        for (int s = 0; s < walk->streams; s++)
            walk->offset[s] += walk->stride[s][i];
        if (++walk->index[i] < walk->extent[i]) return;
        for (int s = 0; s < walk->streams; s++)
            walk->offset[s] -= walk->stride[s][i] * walk->extent[i];
        walk->index[i] = 0;
    }
    walk->more = false;
}
