// fake_driver.c as a libcuda.so.1: a GPU whose kernels the emulation runs, for the built program as a user runs it.
//
// SINTER_FAKE_GPU may say what it is like: "none", "old", "small" (memory of 4 MB), "few" (multiprocessors: 3, so that
// cooperative launches can be emulated), "ampere" (sm_80), "broken" (every launch fails), "clock" (events read a clock
// that is made up: products of cuBLASLt take a tenth of any kernel's time).
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/cuda/emulator.h"
#include "tests/cuda/fake_cubin.h"
#include "tests/cuda/fake_driver.h"

typedef struct {
    Emulated *emulated;
    void (*entry)(void **arguments);
} Entry;

static void *load(const void *image) {
    const FakeCubin *head = image;
    char path[] = "/tmp/sinter-fake-module-XXXXXX";
    if (strcmp(head->mark, FAKE_CUBIN_MARK) != 0) return NULL;
    int file = mkstemp(path);
    if (file < 0) return NULL;
    bool written = write(file, head + 1, head->bytes) == (ssize_t)head->bytes;
    close(file);
    void *library = written ? dlopen(path, RTLD_NOW | RTLD_LOCAL) : NULL;
    unlink(path);
    return library;
}

static void unload(void *library) { dlclose(library); }

static bool run_grid(void *context, void **arguments, const FakeGrid *grid) {
    static unsigned long long seed;
    const Entry *entry = context;
    Arena *arena = arena_create();
    EmulatedLaunch launch = {.emulated = entry->emulated,
                             .entry = entry->entry,
                             .buffers = arguments,
                             .blocks = grid->blocks,
                             .threads = grid->threads,
                             .shared_bytes = grid->shared_bytes,
                             .is_cooperative = grid->is_cooperative,
                             .await_earlier = fake_await_earlier,
                             .seed = ++seed};
    const char *wrong = emulate(arena, &launch);
    if (wrong) fprintf(stderr, "emulated kernel: %s\n", wrong);
    arena_free(arena);
    return !wrong;
}

static const FakeKernel *find(void *library, const char *name) {
    char symbol[300];
    FakeKernel *kernel = calloc(1, sizeof *kernel);
    Entry *entry = calloc(1, sizeof *entry);
    snprintf(symbol, sizeof symbol, "enter_%s", name);
    *(void **)&entry->entry = dlsym(library, symbol);
    entry->emulated = dlsym(library, "emulated");
    snprintf(symbol, sizeof symbol, "sizes_%s", name);
    kernel->argument_sizes = dlsym(library, symbol);
    if (!entry->entry || !kernel->argument_sizes) return NULL;
    while (kernel->argument_sizes[kernel->argument_count]) kernel->argument_count++;
    kernel->name = strdup(name);
    kernel->run_grid = run_grid;
    kernel->context = entry;
    return kernel;
}

static double made_up_seconds(const FakeKernel *kernel, unsigned blocks) {
    (void)blocks;
    if (!kernel) return 0;
    return strncmp(kernel->name, "sinter_", 7) == 0 ? 1e-6 : strcmp(kernel->name, "cublaslt") == 0 ? 1e-5 : 1e-4;
}

static __attribute__((constructor)) void begin(void) {
    const char *kind = getenv("SINTER_FAKE_GPU");
    fake_install();
    fake_driver.modules = (FakeModules){load, unload, find};
    if (!kind) return;
    if (strcmp(kind, "none") == 0) fake_driver.devices = 0;
    if (strcmp(kind, "old") == 0) fake_driver.version = 11080;
    if (strcmp(kind, "small") == 0) fake_driver.memory_bytes = fake_driver.free_bytes = 4 << 20;
    if (strcmp(kind, "few") == 0) fake_driver.multiprocessors = 3;
    if (strcmp(kind, "ampere") == 0) {
        fake_driver.device_name = "NVIDIA A100-SXM4-80GB";
        fake_driver.major = 8;
    }
    if (strcmp(kind, "broken") == 0) fake_driver.launch_error = 719;
    if (strcmp(kind, "clock") == 0) fake_driver.seconds_of = made_up_seconds;
}
