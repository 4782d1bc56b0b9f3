// The allocation table, the out-of-memory guard and arenas: see memory.h.
#include "base/memory.h"

#if defined(__GLIBC__)
#include <malloc.h>
#endif
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/size.h"

static void *table_allocate(void *context, size_t bytes, size_t alignment) {
    (void)context;
    void *memory = NULL;
    return posix_memalign(&memory, alignment, bytes) == 0 ? memory : NULL;
}

static void table_release(void *context, void *memory) {
    (void)context;
    free(memory);
}

AllocTable alloc_table = {table_allocate, table_release, NULL, 0};

// ---- owning: rings of what a guard has to release

static _Thread_local MemoryGuard *innermost_guard;

static void ring_init(MemoryOwned *ring) { *ring = (MemoryOwned){.before = ring, .after = ring}; }

static void ring_insert(MemoryOwned *ring, MemoryOwned *owned) {
    owned->before = ring->before;
    owned->after = ring;
    owned->before->after = owned;
    ring->before = owned;
}

static void ring_remove(MemoryOwned *owned) {
    owned->before->after = owned->after;
    owned->after->before = owned->before;
    owned->before = owned->after = owned;
}

// All of `inner` behind what `ring` has.
static void ring_append(MemoryOwned *ring, MemoryOwned *inner) {
    if (inner->after == inner) return;
    inner->after->before = ring->before;
    ring->before->after = inner->after;
    inner->before->after = ring;
    ring->before = inner->before;
    ring_init(inner);
}

// Nobody's: each alone, so that memory_disown needs to know nothing.
static void ring_dissolve(MemoryOwned *ring) {
    while (ring->after != ring) ring_remove(ring->after);
}

void memory_own(MemoryOwned *owned, void (*release)(void *object), void *object) {
    *owned = (MemoryOwned){owned, owned, release, object};
    if (innermost_guard) ring_insert(&innermost_guard->objects, owned);
}

void memory_disown(MemoryOwned *owned) {
    if (owned->before) ring_remove(owned);
}

void memory_guard_push(MemoryGuard *guard) {
    guard->outer = innermost_guard;
    guard->wanted = 0;
    ring_init(&guard->objects);
    ring_init(&guard->blocks);
    innermost_guard = guard;
}

void memory_guard_pop(void) {
    MemoryGuard *guard = innermost_guard, *outer = guard->outer;
    innermost_guard = outer;
    if (outer) {
        ring_append(&outer->objects, &guard->objects);
        ring_append(&outer->blocks, &guard->blocks);
    } else {
        ring_dissolve(&guard->objects);
        ring_dissolve(&guard->blocks);
    }
}

// Objects first: their release functions still read their memory.
static void release_owned(MemoryGuard *guard) {
    while (guard->objects.before != &guard->objects) {
        MemoryOwned *newest = guard->objects.before;
        ring_remove(newest);
        newest->release(newest->object);
    }
    while (guard->blocks.before != &guard->blocks) memory_release(guard->blocks.before->object);
}

void memory_exhausted(size_t bytes) {
    MemoryGuard *guard = innermost_guard;
    if (!guard) {
        fprintf(stderr, "sinter: out of memory (%zu bytes wanted)\n", bytes);
        abort();
    }
    release_owned(guard);
    innermost_guard = guard->outer;
    guard->wanted = bytes;
    longjmp(guard->jump, 1);
}

enum { MEMORY_ALIGNMENT = 64 };

static void *allocate_raw(size_t bytes) {
    void *memory = alloc_table.allocate(alloc_table.context, bytes, MEMORY_ALIGNMENT);
    if (!memory) memory_exhausted(bytes);
    return memory;
}

// In front of each block, in a line of its own.
typedef struct {
    MemoryOwned owned;
} Header;
_Static_assert(sizeof(Header) <= MEMORY_ALIGNMENT, "contents start aligned after the header");

void *memory_allocate(size_t bytes) {
    size_t whole;
    if (!size_add(bytes ? bytes : 1, MEMORY_ALIGNMENT, &whole)) memory_exhausted(bytes);
    char *memory = (char *)memset(allocate_raw(whole), 0, whole) + MEMORY_ALIGNMENT;
    MemoryOwned *owned = &((Header *)(memory - MEMORY_ALIGNMENT))->owned;
    *owned = (MemoryOwned){owned, owned, NULL, memory};
    if (innermost_guard) ring_insert(&innermost_guard->blocks, owned);
    return memory;
}

void *memory_allocate_array(size_t count, size_t size) {
    size_t bytes;
    if (!size_multiply(count, size, &bytes)) memory_exhausted(SIZE_MAX);
    return memory_allocate(bytes);
}

void memory_release(void *memory) {
    if (!memory) return;
    Header *header = (Header *)((char *)memory - MEMORY_ALIGNMENT);
    ring_remove(&header->owned);
    alloc_table.release(alloc_table.context, header);
}

void *memory_allocate_large(size_t bytes, size_t alignment) {
    return alloc_table.allocate(alloc_table.context, bytes, alignment);
}

void memory_release_large(void *memory) {
    if (memory) alloc_table.release(alloc_table.context, memory);
}

void memory_trim(void) {
#if defined(__GLIBC__)
    malloc_trim(0);
#endif
}

// ---- arenas: a chain of blocks; the newest is filled from the front

typedef struct Block {
    struct Block *older;
    size_t capacity, used;  // of the bytes after this header
} Block;

struct Arena {
    MemoryOwned owned;
    Block *newest;
    size_t bytes;
};

enum { ARENA_ALIGNMENT = 16, ARENA_FIRST_BLOCK = 16 << 10, ARENA_LARGEST_STEP = 4 << 20 };
_Static_assert(sizeof(Block) <= MEMORY_ALIGNMENT, "contents start aligned after the header");

static Block *block_create(size_t capacity, Block *older) {
    size_t bytes;
    if (!size_add(capacity, MEMORY_ALIGNMENT, &bytes)) memory_exhausted(capacity);
    Block *block = allocate_raw(bytes);
    *block = (Block){older, capacity, 0};
    return block;
}

static char *block_contents(Block *block) { return (char *)block + MEMORY_ALIGNMENT; }

static void release_arena(void *arena) { arena_free(arena); }

Arena *arena_create(void) {
    Arena *arena = memory_allocate(sizeof(Arena));
    memory_own(&arena->owned, release_arena, arena);
    return arena;
}

void arena_reset(Arena *arena) {
    while (arena->newest && arena->newest->older) {
        Block *block = arena->newest;
        arena->newest = block->older;
        memory_release_large(block);
    }
    if (arena->newest) arena->newest->used = 0;
    arena->bytes = 0;
}

void arena_free(Arena *arena) {
    if (!arena) return;
    memory_disown(&arena->owned);
    arena_reset(arena);
    memory_release_large(arena->newest);
    memory_release(arena);
}

// Doubling blocks keep the number of blocks logarithmic; large requests get a block of their own size.
static Block *arena_block(Arena *arena, size_t bytes) {
    Block *block = arena->newest;
    if (block && block->capacity - block->used >= bytes) return block;
    size_t capacity = block ? block->capacity * 2 : ARENA_FIRST_BLOCK;
    size_t largest = alloc_table.largest_block ? alloc_table.largest_block : ARENA_LARGEST_STEP;
    if (capacity > largest) capacity = largest;
    if (capacity < bytes) capacity = bytes;
    return arena->newest = block_create(capacity, block);
}

void *arena_alloc(Arena *arena, size_t bytes) {
    size_t padded;
    if (!size_align_up(bytes ? bytes : 1, ARENA_ALIGNMENT, &padded)) memory_exhausted(bytes);
    Block *block = arena_block(arena, padded);
    void *memory = block_contents(block) + block->used;
    block->used += padded;
    arena->bytes += padded;
    return memset(memory, 0, padded);
}

void *arena_alloc_array(Arena *arena, size_t count, size_t size) {
    size_t bytes;
    if (!size_multiply(count, size, &bytes)) memory_exhausted(SIZE_MAX);
    return arena_alloc(arena, bytes);
}

size_t arena_bytes(const Arena *arena) { return arena->bytes; }

char *arena_copy(Arena *arena, const char *text) { return arena_copy_range(arena, text, strlen(text)); }

char *arena_copy_range(Arena *arena, const char *text, size_t length) {
    size_t bytes;
    if (!size_add(length, 1, &bytes)) memory_exhausted(length);
    char *copy = arena_alloc(arena, bytes);
    memcpy(copy, text, length);
    return copy;
}

char *arena_format(Arena *arena, const char *format, ...) {
    va_list arguments, again;
    va_start(arguments, format);
    va_copy(again, arguments);
    int length = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    char *text = arena_alloc(arena, (size_t)length + 1);
    vsnprintf(text, (size_t)length + 1, format, again);
    va_end(again);
    return text;
}

void *arena_grow(Arena *arena, void *array, size_t *capacity, size_t needed, size_t size) {
    if (needed <= *capacity) return array;
    size_t larger = *capacity ? *capacity : 8;
    while (larger < needed) {
        if (!size_multiply(larger, 2, &larger)) memory_exhausted(SIZE_MAX);
    }
    void *grown = arena_alloc_array(arena, larger, size);
    if (array) memcpy(grown, array, *capacity * size);
    *capacity = larger;
    return grown;
}
