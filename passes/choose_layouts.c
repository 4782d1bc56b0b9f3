// choose_layouts: memory order of every value.
//
// requires  a drawn plan
// ensures   every value lies densely in its order, outermost dim first; a next value lies like its state
// does nothing where a layout is already so
//
//     value %3 temporary f32[B,T,C]   ->   @ (B, T, C)
//
// The order of a value was chosen when it was built: contractions yield batch, rows, lanes; states lie as files store
// them.
#include "passes/pass_functions.h"

bool pass_choose_layouts(Plan *plan, PassContext *context) {
    (void)context;
    for (ValueId id = 0; id < plan->value_count; id++) {
        Value *value = &plan->values[id];
        const Value *model = value->next_of == VALUE_NONE ? value : &plan->values[value->next_of];
        value->layout = layout_plain(plan->dims, model->order);
    }
    return true;
}
