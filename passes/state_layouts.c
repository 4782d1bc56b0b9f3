// What programs of one model agree on about their states (see state_layouts.h).
#include "passes/state_layouts.h"

#include "base/diag.h"
#include "base/text.h"

static DimId find_dim(const Graph *dims, const char *name) {
    for (DimId dim = 0; dim < graph_dims(dims); dim++)
        if (text_equal(graph_dim_name(dims, dim), name)) return dim;
    BUG("a state's dim %s is not in every program", name);
}

Layout state_layout_in(const StateLayout *state, const Graph *dims) {
    Layout layout = state->layout;
    for (int i = 0; i < layout.count; i++)
        for (int k = 0; k < layout.pieces[i].dims.rank; k++) {
            DimId *dim = &layout.pieces[i].dims.dims[k];
            *dim = find_dim(dims, graph_dim_name(state->dims, *dim));
        }
    return layout;
}

const StateLayout *state_layout_find(const StateTable *table, const char *name) {
    for (size_t i = 0; table && i < table->layout_count; i++)
        if (text_equal(table->layouts[i].name, name)) return &table->layouts[i];
    return NULL;
}

void state_layout_note(StateTable *table, const Plan *plan, const Value *state) {
    if (!table || state_layout_find(table, state->name)) return;
    table->layouts = arena_grow(table->arena, table->layouts, &table->layout_capacity, table->layout_count + 1,
                                sizeof(StateLayout));
    table->layouts[table->layout_count++] =
        (StateLayout){.name = arena_copy(table->arena, state->name),
                      .copy_of = state->is_copy ? arena_copy(table->arena, state->leaf->name) : NULL,
                      .dtype = state->dtype,
                      .dims = plan->dims,
                      .layout = state->layout};
}
