#include "tests/robust/scarce.h"

#include <dirent.h>
#include <jansson.h>
#include <setjmp.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#include "base/file.h"
#include "base/memory.h"

static atomic_long requests, blocks, files, refused_at;
static bool is_lasting;

static bool is_refused(void) {
    long number = atomic_fetch_add(&requests, 1) + 1, point = refused_at;
    return point > 0 && (is_lasting ? number >= point : number == point);
}

static void *scarce_allocate(void *context, size_t bytes, size_t alignment) {
    (void)context;
    void *memory = NULL;
    if (is_refused() || posix_memalign(&memory, alignment, bytes) != 0) return NULL;
    blocks++;
    return memory;
}

static void scarce_release(void *context, void *memory) {
    (void)context;
    blocks--;
    free(memory);
}

static void *scarce_malloc(size_t bytes) {
    return scarce_allocate(NULL, bytes, 16);
}
static void scarce_free(void *memory) {
    if (memory) scarce_release(NULL, memory);
}

static FileTable plain_files;

static int counting_open(const char *path, int flags, unsigned mode) {
    int file = plain_files.open(path, flags, mode);
    files += file >= 0;
    return file;
}

static int counting_close(int file) {
    files--;
    return plain_files.close(file);
}

static int thread_count(void) {
    DIR *folder = opendir("/proc/self/task");
    int count = 0;
    for (const struct dirent *entry = folder ? readdir(folder) : NULL; entry; entry = readdir(folder))
        count += entry->d_name[0] != '.';
    if (folder) closedir(folder);
    return count;
}

// A joined thread may be in the list for a moment longer.
static int threads_more_than(int before) {
    for (int wait = 0; wait < 200 && thread_count() > before; wait++)
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    return thread_count() - before;
}

static Outcome guarded(Outcome (*work)(void *context), void *context) {
    MemoryGuard guard;
    memory_guard_push(&guard);
    if (setjmp(guard.jump)) return OUT_OF_MEMORY;
    Outcome outcome = work(context);
    memory_guard_pop();
    return outcome;
}

Scarce scarce_run(Outcome (*work)(void *context), void *context, long point, bool lasting) {
    AllocTable plain_memory = alloc_table;
    plain_files = file_table;
    int threads = thread_count();
    requests = files = 0;
    blocks = 0;
    refused_at = point;
    is_lasting = lasting;
    alloc_table = (AllocTable){scarce_allocate, scarce_release, NULL, 1};
    file_table.open = counting_open;
    file_table.close = counting_close;
    json_set_alloc_funcs(scarce_malloc, scarce_free);
    Scarce result = {.outcome = guarded(work, context)};
    json_set_alloc_funcs(malloc, free);
    alloc_table = plain_memory;
    file_table = plain_files;
    result.requests = requests;
    result.blocks = blocks;
    result.files = files;
    result.threads = threads_more_than(threads);
    return result;
}
