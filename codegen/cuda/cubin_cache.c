// One translation unit -> one cubin, compiled once: see cubins.h.
//
// An entry of the cache: number of bytes of the cubin [8], the cubin, the log with its NUL.
#include <stdint.h>
#include <string.h>

#include "base/hash.h"
#include "codegen/cuda/cubins.h"

static const char kind[] = "cubin";

static WideHash key_of(const Nvrtc *nvrtc, const CudaSource *source) {
    Arena *arena = arena_create();
    Text text = text_create(arena);
    text_append(&text, "cubin 1\nnvrtc %s\n%s\n", nvrtc_version(nvrtc), source->architecture);
    for (const char *const *option = nvrtc_options(); *option; option++) text_append(&text, "%s\n", *option);
    for (const char *const *option = source->options; option && *option; option++) text_append(&text, "%s\n", *option);
    text_append_bytes(&text, source->text, strlen(source->text));
    WideHash key = hash_wide(text.data, text.length);
    arena_free(arena);
    return key;
}

bool cubin_recall(const Nvrtc *nvrtc, Cache *cache, Arena *arena, const CudaSource *source, CudaObject *object) {
    size_t length = 0;
    uint64_t bytes;
    if (!cache) return false;
    const char *entry = cache_get(cache, arena, key_of(nvrtc, source), kind, &length);
    if (!entry) return false;
    CHECK(length > sizeof bytes);  // the cache has verified what was stored
    memcpy(&bytes, entry, sizeof bytes);
    CHECK(bytes < length - sizeof bytes && entry[length - 1] == '\0');
    *object = (CudaObject){.cubin = entry + sizeof bytes, .cubin_bytes = bytes, .log = entry + sizeof bytes + bytes};
    nvrtc_read_usage(arena, object);
    return true;
}

void cubin_remember(const Nvrtc *nvrtc, Cache *cache, const CudaSource *source, const CudaObject *object) {
    if (!cache || !object->cubin) return;
    Arena *arena = arena_create();
    Text entry = text_create(arena);
    uint64_t bytes = object->cubin_bytes;
    text_append_bytes(&entry, (const char *)&bytes, sizeof bytes);
    text_append_bytes(&entry, object->cubin, object->cubin_bytes);
    text_append_bytes(&entry, object->log, strlen(object->log) + 1);
    cache_put(cache, key_of(nvrtc, source), kind, entry.data, entry.length);
    arena_free(arena);
}
