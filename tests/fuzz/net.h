// A net catches bugs: a property that every graph must have, whatever it computes.
//
//     Verdict verdict = isolated(arena, net_compiled_all, graph, seed);     // in a process of its own
//
// In: a graph, and a seed for whatever the net draws (leaves, passes, machine). Out: fine, or what is wrong, in words.
#ifndef SINTER_TESTS_FUZZ_NET_H
#define SINTER_TESTS_FUZZ_NET_H

#include "ir/graph.h"

typedef enum {
    VERDICT_FINE,
    VERDICT_UNSURE,    // rounding decides about a comparison: nothing can be said
    VERDICT_REFUSED,   // the compiler says, with a diagnostic, that it does not take the graph
    VERDICT_WRONG,
    VERDICT_CRASHED    // a broken invariant, a signal, or no end
} VerdictKind;

typedef struct {
    VerdictKind kind;
    const char *message;   // NULL when fine
} Verdict;

typedef Verdict (*Net)(Arena *arena, const Graph *graph, uint64_t seed);

static inline bool verdict_is_bad(Verdict verdict) { return verdict.kind >= VERDICT_REFUSED; }
static inline Verdict verdict_wrong(const char *message) {
    return (Verdict){message ? VERDICT_WRONG : VERDICT_FINE, message};
}

// The verdict of a child process, so that crashes and endless loops are verdicts too.
Verdict isolated(Arena *arena, Net net, const Graph *graph, uint64_t seed);

// A random sequence of passes, then perhaps a plan: after each pass the float64 reference gives the same outputs,
// and what the plan says about edges is true.
Verdict net_passes(Arena *arena, const Graph *graph, uint64_t seed);
// Gradients against central differences of the loss, updates against AdamW, in float64. Takes a graph not yet extended.
Verdict net_derived(Arena *arena, const Graph *graph, uint64_t seed);
// Compiled for a random machine at one level, at all three, or at the one that the seed says: outputs agree with the
// float64 reference as well as f32 can (see rounding.h), and have the same bits with one thread and with three that
// stumble.
Verdict net_compiled_none(Arena *arena, const Graph *graph, uint64_t seed);
Verdict net_compiled_op(Arena *arena, const Graph *graph, uint64_t seed);
Verdict net_compiled_all(Arena *arena, const Graph *graph, uint64_t seed);
Verdict net_compiled(Arena *arena, const Graph *graph, uint64_t seed);
Verdict net_compiled_any(Arena *arena, const Graph *graph, uint64_t seed);

// The graph with gradients and, where the seed says so, an optimizer; as it is when it has no loss. NULL when refused.
Graph *graph_extended(Arena *arena, const Graph *graph, uint64_t seed);

#endif
