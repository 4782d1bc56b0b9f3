// Prefetch: reads the next batch in the background while the current one is computed.
#ifndef SINTER_RUNTIME_PREFETCH_H
#define SINTER_RUNTIME_PREFETCH_H

#include "runtime/tokens.h"

typedef struct Prefetch Prefetch;
// Starts one helper thread. NULL with a diagnostic when that fails.
Prefetch *prefetch_create(const BatchSource *source, Diags *diags);
void prefetch_free(Prefetch *prefetch);  // NULL is allowed
// Begins reading batch `draw`; at most one is under way, an older one is dropped.
void prefetch_start(Prefetch *prefetch, int64_t draw);
// Batch `draw` into tokens and targets [rows][columns]; read at once when it was not started.
RuntimeStatus prefetch_take(Prefetch *prefetch, int64_t draw, int32_t *tokens, int32_t *targets, Diags *diags);

#endif
