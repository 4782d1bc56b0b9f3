#include "runtime/prefetch.h"

#include <string.h>

#include "base/memory.h"
#include "runtime/threads.h"

enum { NOTHING = -1 };

struct Prefetch {
    BatchSource source;
    Worker *worker;
    int64_t draw; // under way or ready; NOTHING
    bool sound;   // the job read it without an error
    int32_t *tokens, *targets;
    size_t bytes; // of each
    Arena *arena; // of the job's own diagnostics, which nobody sees
};

// Memory that runs out here is a batch that failed, too.
static void read_draw(void *context) {
    Prefetch *prefetch = context;
    MemoryGuard guard;
    memory_guard_push(&guard);
    if (setjmp(guard.jump)) return;
    arena_reset(prefetch->arena);
    Diags *unseen = diags_create(prefetch->arena);
    prefetch->sound =
        batch_read(&prefetch->source, prefetch->draw, prefetch->tokens, prefetch->targets, unseen) == RUNTIME_OK;
    memory_guard_pop();
}

Prefetch *prefetch_create(const BatchSource *source, Diags *diags) {
    Prefetch *prefetch = memory_allocate(sizeof *prefetch);
    size_t count = (size_t)source->rows * (size_t)source->columns;
    prefetch->source = *source;
    prefetch->draw = NOTHING;
    prefetch->tokens = memory_allocate_array(count, sizeof(int32_t));
    prefetch->targets = memory_allocate_array(count, sizeof(int32_t));
    prefetch->bytes = count * sizeof(int32_t);
    prefetch->arena = arena_create();
    prefetch->worker = worker_create(read_draw, prefetch, diags);
    if (prefetch->worker) return prefetch;
    prefetch_free(prefetch);
    return NULL;
}

void prefetch_free(Prefetch *prefetch) {
    if (!prefetch) return;
    worker_free(prefetch->worker);
    memory_release(prefetch->tokens);
    memory_release(prefetch->targets);
    arena_free(prefetch->arena);
    memory_release(prefetch);
}

void prefetch_start(Prefetch *prefetch, int64_t draw) {
    worker_wait(prefetch->worker);
    prefetch->draw = draw;
    prefetch->sound = false;
    worker_start(prefetch->worker);
}

// A batch that failed in the background is read again here, so that its diagnostic reaches the caller.
RuntimeStatus prefetch_take(Prefetch *prefetch, int64_t draw, int32_t *tokens, int32_t *targets, Diags *diags) {
    worker_wait(prefetch->worker);
    bool ready = prefetch->draw == draw && prefetch->sound;
    prefetch->draw = NOTHING;
    if (!ready) return batch_read(&prefetch->source, draw, tokens, targets, diags);
    memcpy(tokens, prefetch->tokens, prefetch->bytes);
    memcpy(targets, prefetch->targets, prefetch->bytes);
    return RUNTIME_OK;
}
