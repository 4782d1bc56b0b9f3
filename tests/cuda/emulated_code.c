// Generated kernels on a CPU (see emulated_code.h).
#include "tests/cuda/emulated_code.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/cuda/emulated_map.h"
#include "tests/cuda/emulator.h"

struct EmulatedCode {
    const CudaCode *code;
    void *library;
    Emulated *emulated;
    void (**entries)(void **buffers); // by kernel
};

// ---- compiling

// Behind the kernels: an entry for each that takes its buffers as an array.
static void append_entries(const CudaCode *code, Text *source) {
    for (uint32_t i = 0; i < code->kernel_count; i++) {
        const CudaKernel *kernel = &code->kernels[i];
        text_append(source, "void enter_%s(void **b);\nvoid enter_%s(void **b) { %s(", kernel->name, kernel->name,
                    kernel->name);
        for (uint32_t b = 0; b < kernel->buffer_count; b++) text_append(source, "%sb[%u]", b ? ", " : "", b);
        for (uint32_t m = 0; m < kernel->map_count; m++)
            text_append(source, ", *(const TensorMap *)b[%u]", kernel->buffer_count + m);
        text_append(source, "); }\n");
    }
}

static void write_file(const char *path, const char *text) {
    FILE *file = fopen(path, "w");
    if (!file || fputs(text, file) < 0 || fclose(file) != 0) BUG("%s cannot be written", path);
}

static const char no_compiler[] = "there is no C compiler here (" C_COMPILER ")";

const char *emulation_missing(void) {
    return system(C_COMPILER " --version >/dev/null 2>&1") == 0 ? NULL : no_compiler;
}

static void *compile(Arena *arena, const char *source, const char **why) {
    char folder[] = "/tmp/sinter-emulation-XXXXXX";
    if (!mkdtemp(folder)) BUG("no temporary folder");
    const char *text = arena_format(arena, "%s/kernels.c", folder),
               *library = arena_format(arena, "%s/kernels.so", folder);
    const char *log = arena_format(arena, "%s/log", folder);
    write_file(text, source);
    // The machine's own instructions, so that fmaf is one; no contraction, as on the GPU. Optimizing takes longer than
    // what it saves.
    const char *command = arena_format(arena,
                                       "%s -std=gnu17 -O0 -march=native -ffp-contract=off -fwrapv -w -shared -fPIC "
                                       "-DEMULATED_KERNELS -include %s/tests/cuda/emulation.h -o %s %s -lm >%s 2>&1",
                                       C_COMPILER, SOURCE_DIR, library, text, log);
    int status = system(command);
    void *handle = status == 0 ? dlopen(library, RTLD_NOW | RTLD_LOCAL) : NULL;
    *why = NULL;
    if (status != 0 && WIFEXITED(status) && WEXITSTATUS(status) == 127) {
        *why = no_compiler;
    } else if (!handle) {
        if (system(arena_format(arena, "head -n 20 %s >&2", log)) != 0) fprintf(stderr, "no log\n");
        BUG("the generated kernels do not compile: %s", command);
    }
    if (system(arena_format(arena, "rm -rf %s", folder)) != 0) fprintf(stderr, "%s is left behind\n", folder);
    return handle;
}

EmulatedCode *emulated_code_create(Arena *arena, const CudaCode *code, SourceEdit edit, const char **why) {
    Text source = text_create(arena);
    text_append(&source, "%s%s", code->common, EMULATED_SITES);
    cuda_kernels_source(code, 0, code->kernel_count, &source);
    append_entries(code, &source);
    const char *text = edit ? edit(arena, text_string(&source)) : text_string(&source);
    void *library = compile(arena, text, why);
    if (!library) return NULL;
    EmulatedCode *result = ARENA_NEW(arena, EmulatedCode);
    *result = (EmulatedCode){.code = code, .library = library, .emulated = dlsym(library, "emulated")};
    result->entries = (void (**)(void **))ARENA_ARRAY(arena, void *, code->kernel_count + 1);
    for (uint32_t i = 0; i < code->kernel_count; i++) {
        void *entry = dlsym(library, arena_format(arena, "enter_%s", code->kernels[i].name));
        if (!entry) BUG("kernel %s is gone", code->kernels[i].name);
        memcpy(&result->entries[i], &entry, sizeof entry);
    }
    return result;
}

void emulated_code_free(EmulatedCode *code) {
    if (code) dlclose(code->library);
}

// ---- buffers between pages that nobody may touch

typedef struct {
    char *home;            // where it belongs
    size_t bytes;
    char *mapped, *inside; // its copy
    size_t mapped_bytes;
    ProgramMemory memory;
    bool read, written;
} Region;

static void region_map(Region *region, bool at_end) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE), pages = (region->bytes + page - 1) / page * page;
    region->mapped_bytes = pages + 2 * page;
    region->mapped = mmap(NULL, region->mapped_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (region->mapped == MAP_FAILED || mprotect(region->mapped + page, pages, PROT_READ | PROT_WRITE) != 0)
        BUG("no memory for a guarded buffer");
    memset(region->mapped + page, 0xff, pages);
    region->inside = region->mapped + page + (at_end ? pages - region->bytes : 0);
    if (region->read) memcpy(region->inside, region->home, region->bytes);
}

// Buffers that meet in memory are one region.
static uint32_t collect(const CudaKernel *kernel, const CudaLaunch *launch, char *const *bases, Region *regions) {
    uint32_t count = 0;
    for (uint32_t i = 0; i < kernel->buffer_count; i++) {
        CHECK(launch->buffers[i].memory != MEMORY_SCRATCH);
        Region next = {.home = bases[launch->buffers[i].memory] + launch->buffers[i].offset,
                       .bytes = kernel->buffers[i].bytes,
                       .memory = launch->buffers[i].memory,
                       .read = kernel->buffers[i].read,
                       .written = kernel->buffers[i].written};
        for (uint32_t k = 0; k < count;) {
            Region *other = &regions[k];
            bool apart = next.home + next.bytes <= other->home || other->home + other->bytes <= next.home;
            if (apart) {
                k++;
                continue;
            }
            char *begin = next.home < other->home ? next.home : other->home;
            char *end = next.home + next.bytes > other->home + other->bytes ? next.home + next.bytes
                                                                             : other->home + other->bytes;
            next.home = begin;
            next.bytes = (size_t)(end - begin);
            next.read |= other->read;
            next.written |= other->written;
            *other = regions[--count];
        }
        regions[count++] = next;
    }
    return count;
}

static void *place_of(const Region *regions, uint32_t count, const char *home) {
    for (uint32_t k = 0; k < count; k++)
        if (home == regions[k].home || (home > regions[k].home && home < regions[k].home + regions[k].bytes))
            return regions[k].inside + (home - regions[k].home);
    BUG("a buffer has no region");
}

// Both blocks of memory begin at a multiple of 256 on a device.
typedef struct {
    const Region *regions;
    uint32_t count;
    char *const *bases;
} Places;

static uintptr_t place_on_device(void *context, const void *byte) {
    const Places *places = context;
    for (uint32_t k = 0; k < places->count; k++) {
        const Region *region = &places->regions[k];
        const char *at = byte;
        if (at < region->inside || at >= region->inside + region->bytes) continue;
        return (uintptr_t)(region->home - places->bases[region->memory]) + (uintptr_t)(at - region->inside);
    }
    return 0;
}

// The tensor maps of a launch, as the driver of the emulation makes them of where buffers lie on a device.
static TensorMap *maps_of(Arena *arena, const CudaKernel *kernel, const CudaLaunch *launch, void *const *buffers) {
    const uint32_t ones[CUDA_MAP_RANK] = {1, 1, 1, 1, 1};
    enum { BF16 = 9, SWIZZLE_128 = 3, PROMOTION_256 = 3 };
    char *memory = arena_alloc(arena, (kernel->map_count + 1) * sizeof(TensorMap));
    TensorMap *maps = (TensorMap *)(void *)(memory + (64 - (uintptr_t)memory % 64) % 64);
    for (uint32_t i = 0; i < kernel->map_count; i++) {
        const CudaMap *map = &kernel->maps[i];
        uintptr_t place = 256 + launch->buffers[map->buffer].offset + map->offset;
        if (emulated_map_encode(&maps[i], BF16, map->rank, (void *)place, map->extents, map->strides + 1, map->box,
                                ones, 0, SWIZZLE_128, PROMOTION_256, 0) != 0)
            BUG("a tensor map of %s that no driver would make", kernel->name);
        maps[i].address = (uintptr_t)buffers[map->buffer] + map->offset;
    }
    return maps;
}

// How many of a cooperative launch's blocks find room: few, and another number each time.
static uint32_t resident(uint32_t blocks, uint64_t seed) {
    uint32_t found = 2 + (uint32_t)(seed % 4);
    return found < blocks ? found : blocks;
}

const char *emulated_launch(const EmulatedCode *code, Arena *arena, const CudaLaunch *launch, const EmulatedRun *how) {
    const CudaKernel *kernel = &code->code->kernels[launch->kernel];
    char *bases[MEMORY_COUNT] = {[MEMORY_STATE] = how->state, [MEMORY_ARENA] = how->memory};
    uint64_t seed = how->seed;
    Region *regions = ARENA_ARRAY(arena, Region, kernel->buffer_count + 1);
    void **buffers = ARENA_ARRAY(arena, void *, kernel->buffer_count + kernel->map_count + 1);
    uint32_t count = collect(kernel, launch, bases, regions);
    for (uint32_t k = 0; k < count; k++) region_map(&regions[k], (seed + k) % 4 != 0);
    for (uint32_t i = 0; i < kernel->buffer_count; i++)
        buffers[i] = place_of(regions, count, bases[launch->buffers[i].memory] + launch->buffers[i].offset);
    TensorMap *maps = maps_of(arena, kernel, launch, buffers);
    for (uint32_t i = 0; i < kernel->map_count; i++) buffers[kernel->buffer_count + i] = &maps[i];
    EmulatedLaunch run = {.emulated = code->emulated,
                          .entry = code->entries[launch->kernel],
                          .buffers = buffers,
                          .blocks = kernel->is_cooperative ? resident(launch->blocks, seed) : launch->blocks,
                          .is_cooperative = kernel->is_cooperative,
                          .threads = kernel->threads,
                          .shared_bytes = kernel->shared_bytes,
                          .exact = !how->rounds,
                          .seed = seed,
                          .place = place_on_device,
                          .context = &(Places){regions, count, bases}};
    const char *wrong = emulate(arena, &run);
    for (uint32_t k = 0; k < count; k++) {
        if (regions[k].written && !wrong) memcpy(regions[k].home, regions[k].inside, regions[k].bytes);
        munmap(regions[k].mapped, regions[k].mapped_bytes);
    }
    return wrong ? arena_format(arena, "kernel %s: %s", kernel->name, wrong) : NULL;
}
