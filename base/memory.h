// Memory with an owner: an injectable allocation table and arenas named by lifetime.
//
// Compile-time rooms (frontend, ir, passes, codegen) allocate from an Arena and never free; runtime objects own
// their memory and have a `_free`. When memory runs out, memory_exhausted() leaves through the innermost guard.
#ifndef SINTER_BASE_MEMORY_H
#define SINTER_BASE_MEMORY_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

// Where bytes come from. Tests replace the table to count and to fail allocations.
typedef struct {
    void *(*allocate)(void *context, size_t bytes, size_t alignment);  // uninitialised memory, or NULL
    void (*release)(void *context, void *memory);
    void *context;
} AllocTable;

extern AllocTable alloc_table;

// At least 1 byte, zeroed, aligned to 64. Never returns NULL: see memory_exhausted.
void *memory_allocate(size_t bytes);
// `count * size` with an overflow check.
void *memory_allocate_array(size_t count, size_t size);
void memory_release(void *memory);  // NULL is allowed

// The guard: `if (setjmp(guard.jump)) { out of memory } `. memory_exhausted longjmps to the innermost guard of this
// thread, or, without one, prints one line and aborts.
typedef struct MemoryGuard {
    jmp_buf jump;
    size_t wanted;  // bytes of the request that failed
    struct MemoryGuard *outer;
} MemoryGuard;
void memory_guard_push(MemoryGuard *guard);
void memory_guard_pop(void);
_Noreturn void memory_exhausted(size_t bytes);

// A bump allocator: everything in it lives until arena_reset or arena_free.
typedef struct Arena Arena;
Arena *arena_create(void);
void arena_free(Arena *arena);   // NULL is allowed
void arena_reset(Arena *arena);  // forgets all contents, keeps the first block
void *arena_alloc(Arena *arena, size_t bytes);                   // zeroed, aligned to 16
void *arena_alloc_array(Arena *arena, size_t count, size_t size);  // checked product
size_t arena_bytes(const Arena *arena);                          // bytes handed out since the last reset

#define ARENA_NEW(arena, type) ((type *)arena_alloc((arena), sizeof(type)))
#define ARENA_ARRAY(arena, type, count) ((type *)arena_alloc_array((arena), (count), sizeof(type)))

// Strings in an arena.
char *arena_copy(Arena *arena, const char *text);
char *arena_copy_range(Arena *arena, const char *text, size_t length);
char *arena_format(Arena *arena, const char *format, ...) __attribute__((format(printf, 2, 3)));

// Grows an arena array of `*capacity` elements of `size` bytes so that it holds at least `needed`; returns the
// (possibly moved) array. The old storage stays in the arena until it is reset.
void *arena_grow(Arena *arena, void *array, size_t *capacity, size_t needed, size_t size);

#endif
