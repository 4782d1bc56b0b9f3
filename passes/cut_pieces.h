// How one step is cut, for a pass that adds steps behind cut_pieces. Private to passes/.
#ifndef SINTER_PASSES_CUT_PIECES_H
#define SINTER_PASSES_CUT_PIECES_H

#include "passes/passes.h"

// Cuts the step by shapes and Target, or as a choice wants it.
void cut_step(const Plan *plan, Step *step, PassContext *context);

#endif
