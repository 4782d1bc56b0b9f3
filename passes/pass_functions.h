// One prototype per row of passes.def: what a pass file defines and pipeline.c calls. Private to this room; a pass file
// includes it so that its function is checked against its kind. A pass never calls another pass.
#ifndef SINTER_PASSES_PASS_FUNCTIONS_H
#define SINTER_PASSES_PASS_FUNCTIONS_H

#include "passes/passes.h"

#define DECLARE_REWRITE(name) Graph *pass_##name(const Graph *graph, PassContext *context);
#define DECLARE_EXTEND(name) Graph *pass_##name(const Graph *graph, PassContext *context);
#define DECLARE_DRAW(name) Plan *pass_##name(const Graph *graph, PassContext *context);
#define DECLARE_PLAN(name) bool pass_##name(Plan *plan, PassContext *context);
#define PASS(name, kind, sentence) DECLARE_##kind(name)
#include "passes/passes.def"
#undef PASS
#undef DECLARE_REWRITE
#undef DECLARE_EXTEND
#undef DECLARE_DRAW
#undef DECLARE_PLAN

#endif
