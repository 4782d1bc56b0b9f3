// Layouts of states, the same in all programs of a model (StateTable).
#ifndef SINTER_PASSES_STATE_LAYOUTS_H
#define SINTER_PASSES_STATE_LAYOUTS_H

#include "passes/passes.h"

// NULL when no program decided on that state, or when there is no table.
const StateLayout *state_layout_find(const StateTable *table, const char *name);
// In the dims of another program, which has them by the same names.
Layout state_layout_in(const StateLayout *state, const Graph *dims);
// Notes a state's layout; nothing when it is there, or without a table.
void state_layout_note(StateTable *table, const Plan *plan, const Value *state);

#endif
