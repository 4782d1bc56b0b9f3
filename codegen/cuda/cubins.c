// All kernels of a model -> cubins: see cubins.h.
//
//     kernels 0 1 2 3 | 4 | 5 6 7 8 9 ..   units, each in the cache or a text for NVRTC
//     thread 0:  unit 1   unit 3 ..        whoever is done takes the next unit, the longest first: the last ones are
//     thread 1:  unit 2   unit 0 ..        short, so that all threads end at about the same time
//
// NVRTC compiles several programs at once since 12.3 (before, its threads wait for each other inside of it).
#include "codegen/cuda/cubins.h"

#include <pthread.h>
#include <sched.h>
#include <string.h>

#include "base/clock.h"
#include "codegen/cuda/service.h"

// A unit costs 30 ms before its first kernel, and is what the cache knows, so a change of one kernel compiles its
// neighbours too. 1 KB of text takes some 20 ms. Each thread of a compilation holds some 50 MB.
enum { UNIT_BYTES = 30 << 10, MOST_THREADS = 16 };

// ---- compiling many at once

typedef struct {
    const Nvrtc *nvrtc;
    const CudaSource *sources;
    CudaObject *objects;
    Arena **arenas;            // of the objects, by unit; NULL: not compiled
    const uint32_t *missing;   // units
    uint32_t missing_count;
    uint32_t next;             // of `missing`; threads take it atomically
} Compiling;

// A thread of its own has a guard of its own. What fails here is done again by the caller's thread, which complains.
static void compile_guarded(Compiling *compiling, uint32_t unit) {
    MemoryGuard guard;
    memory_guard_push(&guard);
    if (setjmp(guard.jump)) return;
    Arena *arena = arena_create();
    Diags *unread = diags_create(arena);
    bool done =
        nvrtc_compile(compiling->nvrtc, arena, &compiling->sources[unit], &compiling->objects[unit], unread);
    memory_guard_pop();
    if (done) compiling->arenas[unit] = arena;
    else arena_free(arena);
}

static void *compile_units(void *context) {
    Compiling *compiling = context;
    uint32_t i;
    while ((i = __atomic_fetch_add(&compiling->next, 1, __ATOMIC_RELAXED)) < compiling->missing_count)
        compile_guarded(compiling, compiling->missing[i]);
    return NULL;
}

static uint32_t processors_allowed(void) {
    cpu_set_t allowed;
    int count = sched_getaffinity(0, sizeof allowed, &allowed) == 0 ? CPU_COUNT(&allowed) : 1;
    return count > 1 ? (uint32_t)count : 1;
}

static void compile_missing(Compiling *compiling) {
    pthread_t threads[MOST_THREADS];
    uint32_t wanted = processors_allowed(), started = 0;
    if (wanted > MOST_THREADS) wanted = MOST_THREADS;
    if (wanted > compiling->missing_count) wanted = compiling->missing_count;
    while (started + 1 < wanted && pthread_create(&threads[started], NULL, compile_units, compiling) == 0) started++;
    compile_units(compiling);
    for (uint32_t i = 0; i < started; i++) pthread_join(threads[i], NULL);
}

// Into the caller's arena.
static void take_over(Arena *arena, CudaObject *object, Arena *from) {
    void *cubin = arena_alloc(arena, object->cubin_bytes);
    memcpy(cubin, object->cubin, object->cubin_bytes);
    *object = (CudaObject){.cubin = cubin, .cubin_bytes = object->cubin_bytes, .log = arena_copy(arena, object->log)};
    nvrtc_read_usage(arena, object);
    arena_free(from);
}

// ---- all units

// The first kernel of each unit, and behind the last one how many kernels there are.
static uint32_t *find_units(Arena *arena, const CudaCode *code, uint32_t *units) {
    uint32_t *first = ARENA_ARRAY(arena, uint32_t, code->kernel_count + 1);
    size_t bytes = 0;
    *units = 0;
    for (uint32_t k = 0; k < code->kernel_count; k++) {
        Text text = text_create(arena);
        cuda_kernels_source(code, k, 1, &text);
        if (k == 0 || bytes + text.length > UNIT_BYTES) {
            first[(*units)++] = k;
            bytes = 0;
        }
        bytes += text.length;
    }
    first[*units] = code->kernel_count;
    return first;
}

static CudaSource *unit_sources(Arena *arena, const CudaCode *code, const char *architecture, const uint32_t *first,
                                uint32_t units) {
    CudaSource *sources = ARENA_ARRAY(arena, CudaSource, units + 1);
    for (uint32_t u = 0; u < units; u++) {
        Text text = text_create(arena);
        cuda_source(code, first[u], first[u + 1] - first[u], &text);
        sources[u] = (CudaSource){.name = arena_format(arena, "kernels-%u.cu", u),
                                  .text = text_string(&text),
                                  .architecture = architecture,
                                  .options = code->begins_early ? cuda_early_options : cuda_compile_options};
    }
    sources[units] = (CudaSource){.name = "service.cu", .text = cuda_service_source, .architecture = architecture};
    if (code->begins_early) sources[units].options = cuda_early_options;
    return sources;
}

static void longest_first(const CudaSource *sources, uint32_t *units, uint32_t count) {
    for (uint32_t i = 1; i < count; i++) {
        uint32_t unit = units[i], at = i;
        for (; at > 0 && strlen(sources[units[at - 1]].text) < strlen(sources[unit].text); at--)
            units[at] = units[at - 1];
        units[at] = unit;
    }
}

// From the cache, or compiled.
static bool make_units(const Nvrtc *nvrtc, Cache *cache, Arena *arena, const CudaSource *sources, CudaObject *objects,
                       CubinReport *report, Diags *diags) {
    uint32_t *missing = ARENA_ARRAY(arena, uint32_t, report->units);
    Compiling compiling = {.nvrtc = nvrtc,
                           .sources = sources,
                           .objects = objects,
                           .arenas = ARENA_ARRAY(arena, Arena *, report->units),
                           .missing = missing};
    for (uint32_t u = 0; u < report->units; u++) {
        if (cubin_recall(nvrtc, cache, arena, &sources[u], &objects[u])) report->recalled++;
        else missing[compiling.missing_count++] = u;
    }
    longest_first(sources, missing, compiling.missing_count);
    compile_missing(&compiling);
    bool done = true;
    for (uint32_t i = 0; i < compiling.missing_count; i++) {
        uint32_t u = missing[i];
        if (compiling.arenas[u]) take_over(arena, &objects[u], compiling.arenas[u]);
        else done = done && nvrtc_compile(nvrtc, arena, &sources[u], &objects[u], diags);
        if (done) cubin_remember(nvrtc, cache, &sources[u], &objects[u]);
    }
    return done;
}

bool cubins_make(const Nvrtc *nvrtc, Cache *cache, Arena *arena, const CudaCode *code, const char *architecture,
                 CudaImages *images, CubinReport *report, Diags *diags) {
    double start = clock_seconds();
    uint32_t units;
    const uint32_t *first = find_units(arena, code, &units);
    CudaObject *objects = ARENA_ARRAY(arena, CudaObject, units + 1);
    const void **cubins = ARENA_ARRAY(arena, const void *, units + 1);
    uint32_t *cubin_of = ARENA_ARRAY(arena, uint32_t, code->kernel_count + 1);
    *report = (CubinReport){.units = units + 1, .objects = objects};
    const CudaSource *sources = unit_sources(arena, code, architecture, first, units);
    if (!make_units(nvrtc, cache, arena, sources, objects, report, diags)) return false;
    for (uint32_t u = 0; u < units; u++) {
        cubins[u] = objects[u].cubin;
        for (uint32_t k = first[u]; k < first[u + 1]; k++) cubin_of[k] = u;
    }
    *images = (CudaImages){cubins, units, cubin_of, objects[units].cubin};
    report->seconds = clock_seconds() - start;
    return true;
}
