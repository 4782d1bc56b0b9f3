// Many random graphs through a net (see hunt.h).
#include "tests/fuzz/hunt.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "tests/fuzz/reduce.h"

static const double reduce_seconds = 60;

static uint64_t setting(const char *name, uint64_t otherwise) {
    const char *text = getenv(name);
    return text && *text ? strtoull(text, NULL, 10) : otherwise;
}

// Half of the graphs train. Extents: small ones in half of the graphs, up to `largest` in an eighth. One graph of four
// has a batch that strands can share, one of 16 with sequences so long that chains divide them there, one of 32 so long
// a batch that sums over it are walked in blocks.
Graph *hunt_graph(Arena *arena, const Hunt *hunt, uint64_t seed) {
    static const int64_t largest[8] = {5, 5, 5, 5, 17, 17, 33, 97};
    int64_t of_seed = largest[seed / 2 % 8];
    GenerateSize size = {.largest = of_seed < hunt->largest ? of_seed : hunt->largest, .trains = seed % 2};
    bool small = hunt->largest <= 17;
    if (seed % (small ? 32 : 4) == 3) size.batch = 8, size.largest = small ? 5 : 17;
    if (seed % 16 == 7 && !small) size.batch = 4, size.time = seed % 64 < 32 ? 32 : 64;
    if (seed % 32 == 9 && !small) size.batch = 90;
    return generate_graph(arena, seed, size);
}

// What the net gets.
static const Graph *net_graph(Arena *arena, const Hunt *hunt, const Graph *graph, uint64_t seed) {
    return hunt->extends ? graph_extended(arena, graph, seed) : graph;
}

Verdict hunt_verdict(Arena *arena, const Hunt *hunt, uint64_t seed) {
    const Graph *graph = net_graph(arena, hunt, hunt_graph(arena, hunt, seed), seed);
    return graph ? isolated(arena, hunt->net, graph, seed) : (Verdict){VERDICT_REFUSED, "no gradients"};
}

typedef struct {
    Net net;
    uint64_t seed;
    VerdictKind kind;
} Caught;

static bool is_caught(void *context, const Graph *graph) {
    const Caught *caught = context;
    Arena *arena = arena_create();
    VerdictKind kind = isolated(arena, caught->net, graph, caught->seed).kind;
    arena_free(arena);
    return kind == caught->kind;
}

static _Noreturn void report(const Hunt *hunt, const Graph *graph, uint64_t seed, Verdict verdict) {
    static const char *const kinds[] = {"fine", "unsure", "refused", "wrong", "crashed"};
    Arena *arena = arena_create();
    Caught caught = {hunt->net, seed, verdict.kind};
    for (int i = 0; i < 3 && hunt->narrower[i] && caught.net == hunt->net; i++)
        if (is_caught(&(Caught){hunt->narrower[i], seed, verdict.kind}, graph)) caught.net = hunt->narrower[i];
    printf("seed %llu: %s: %s\n", (unsigned long long)seed, kinds[verdict.kind], verdict.message);
    const Graph *reduced = reduce_graph(arena, graph, is_caught, &caught, reduce_seconds);
    Text text = text_create(arena);
    graph_print(reduced, &text);
    printf("reduced to %u ops: %s\n%s", graph_ops(reduced), isolated(arena, caught.net, reduced, seed).message,
           text_string(&text));
    fail_msg("seed %llu", (unsigned long long)seed);
    abort();
}

void hunt_run(const Hunt *hunt) {
    uint64_t first = setting("SINTER_FUZZ_SEED", 1), graphs = setting("SINTER_FUZZ_GRAPHS", hunt->graphs);
    Mix mix = {0};
    uint32_t unsure = 0;
    double start = clock_seconds();
    for (uint64_t seed = first; seed < first + graphs; seed++) {
        Arena *arena = arena_create();
        Graph *graph = hunt_graph(arena, hunt, seed);
        mix_add(&mix, graph);
        const Graph *extended = net_graph(arena, hunt, graph, seed);
        if (!extended) fail_msg("seed %llu: no gradients", (unsigned long long)seed);
        Verdict verdict = isolated(arena, hunt->net, extended, seed);
        if (verdict_is_bad(verdict)) report(hunt, extended, seed, verdict);
        unsure += verdict.kind == VERDICT_UNSURE;
        arena_free(arena);
    }
    double seconds = clock_seconds() - start;
    mix_print(&mix);
    printf("%.1f s, %.1f graphs a second; of %u rounding decides\n", seconds, (double)graphs / seconds, unsure);
}
