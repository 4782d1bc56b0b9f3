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
    size_t largest_block;  // arenas take blocks of at most so many bytes, unless more is asked for at once; 0: 4 MiB
} AllocTable;

extern AllocTable alloc_table;

// At least 1 byte, zeroed, aligned to 64. Never returns NULL: see memory_exhausted.
void *memory_allocate(size_t bytes);
// `count * size` with an overflow check.
void *memory_allocate_array(size_t count, size_t size);
void memory_release(void *memory);  // NULL is allowed

// For blocks of a session's size: uninitialised, aligned as asked for, owned by nobody; NULL when there is none.
void *memory_allocate_large(size_t bytes, size_t alignment);
void memory_release_large(void *memory);  // NULL is allowed

// Gives what is released back to the system, which the C library would keep for later: after work that took much more
// memory than what follows it.
void memory_trim(void);

// A thing that must not be left behind when memory runs out: memory, a file, a thread, an object of a library.
typedef struct MemoryOwned {
    struct MemoryOwned *before, *after;
    void (*release)(void *object);
    void *object;
} MemoryOwned;

// The guard: `if (setjmp(guard.jump)) { out of memory }`. memory_exhausted releases what this thread has come to own
// since the guard was pushed, the newest first, and longjmps to the innermost guard; without one it prints one line and
// aborts. What is still owned when a guard is popped belongs to the guard around it, or to nobody.
typedef struct MemoryGuard {
    jmp_buf jump;
    size_t wanted;                // bytes of the request that failed
    MemoryOwned objects, blocks;  // rings: what has a `release`, and plain memory
    struct MemoryGuard *outer;
} MemoryGuard;
void memory_guard_push(MemoryGuard *guard);
void memory_guard_pop(void);
_Noreturn void memory_exhausted(size_t bytes);

// memory_allocate and arena_create own what they return by themselves. All else says so with a MemoryOwned inside of
// the object, or on the stack for as long as a function needs it:
//
//     file->file = open(...);
//     memory_own(&file->owned, close_file, file);      // from here on close_file(file) is called when memory runs out
//     ...
//     memory_disown(&file->owned);                     // first thing in the object's own _free
//
// Release functions may release memory, and must not ask for any. Both calls belong to the thread that has the guard.
void memory_own(MemoryOwned *owned, void (*release)(void *object), void *object);
void memory_disown(MemoryOwned *owned);  // also allowed when nobody owns it, or when it is all zero

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
