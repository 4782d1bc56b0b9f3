// Object files kept between runs: a warm start links what an earlier one compiled.
//
// In: the kernels of one compilation, and the processor they are for. Out: their object files, or none.
//
// The key is a hash over all that the bytes depend on: the kernels' symbols, which hold a hash of each program's text
// and tables; processor, features, vector width and passes; and which builds of Sinter and of LLVM these are, by the
// build ids that the linker gave them. An unknown build remembers nothing.
#include <elf.h>
#include <link.h>
#include <string.h>

#include "base/hash.h"
#include "codegen/cpu/module.h"

// ---- which build this is

typedef struct {
    uintptr_t address;  // in the program or library whose build id is wanted
    Text *out;
    bool is_found;
} BuildSearch;

static bool holds_address(const struct dl_phdr_info *object, uintptr_t address) {
    for (int i = 0; i < object->dlpi_phnum; i++) {
        const ElfW(Phdr) *segment = &object->dlpi_phdr[i];
        uintptr_t start = object->dlpi_addr + segment->p_vaddr;
        if (segment->p_type == PT_LOAD && address >= start && address - start < segment->p_memsz) return true;
    }
    return false;
}

// One segment of notes: each a header, a name and a description, both padded to four bytes.
static void search_notes(BuildSearch *search, const char *notes, size_t bytes) {
    for (size_t at = 0; at + sizeof(ElfW(Nhdr)) <= bytes;) {
        ElfW(Nhdr) note;
        memcpy(&note, notes + at, sizeof note);
        size_t name = at + sizeof note, description = name + (note.n_namesz + 3u) / 4 * 4;
        at = description + (note.n_descsz + 3u) / 4 * 4;
        if (at > bytes) return;
        if (note.n_type != NT_GNU_BUILD_ID || note.n_namesz != 4 || memcmp(notes + name, "GNU", 4) != 0) continue;
        text_append_bytes(search->out, notes + description, note.n_descsz);
        search->is_found = true;
        return;
    }
}

static int search_object(struct dl_phdr_info *object, size_t size, void *context) {
    (void)size;
    BuildSearch *search = context;
    if (!holds_address(object, search->address)) return 0;
    for (int i = 0; i < object->dlpi_phnum && !search->is_found; i++) {
        const ElfW(Phdr) *segment = &object->dlpi_phdr[i];
        // Notes of another alignment are of another form; the build id is never among them.
        if (segment->p_type == PT_NOTE && segment->p_align <= 4)
            search_notes(search, (const char *)(object->dlpi_addr + segment->p_vaddr), segment->p_memsz);
    }
    return 1;
}

static bool append_build_id(Text *out, void (*function)(void)) {
    BuildSearch search = {.address = (uintptr_t)function, .out = out};
    dl_iterate_phdr(search_object, &search);
    return search.is_found;
}

// ---- the key

bool cpu_objects_key(const CpuKernel *kernels, uint32_t count, const char *processor, WideHash *key) {
    Arena *arena = arena_create();
    Text text = text_create(arena);
    text_append(&text, "cpu objects 1\nllvm %s\n%s\n", codegen_llvm_version(), processor);
    bool is_known = append_build_id(&text, (void (*)(void))cpu_objects_key) &&
                    append_build_id(&text, (void (*)(void))LLVMGetVersion);
    for (uint32_t i = 0; i < count; i++) text_append(&text, "\n%s", kernels[i].symbol);
    *key = hash_wide(text.data, text.length);
    arena_free(arena);
    return is_known;
}

// ---- the objects: their number, the size of each [8 bytes], then each

static const char kind[] = "objects";

uint32_t cpu_objects_recall(Cache *cache, WideHash key, LLVMMemoryBufferRef *objects, uint32_t most) {
    Arena *arena = arena_create();
    size_t length = 0;
    const char *bytes = cache_get(cache, arena, key, kind, &length);
    uint64_t count = 0, found = 0;
    if (bytes && length >= sizeof count) memcpy(&count, bytes, sizeof count);
    size_t at = (size_t)(1 + count) * sizeof count;
    for (; count <= most && found < count && at <= length; found++) {
        uint64_t size;
        memcpy(&size, bytes + (1 + found) * sizeof size, sizeof size);
        CHECK(size <= length - at);  // the cache has verified what was stored
        objects[found] = LLVMCreateMemoryBufferWithMemoryRangeCopy(bytes + at, size, "kernels");
        at += size;
    }
    arena_free(arena);
    return (uint32_t)found;
}

void cpu_objects_remember(Cache *cache, WideHash key, const LLVMMemoryBufferRef *objects, uint32_t number) {
    if (!cache) return;
    Arena *arena = arena_create();
    Text bytes = text_create(arena);
    uint64_t count = number;
    text_append_bytes(&bytes, (const char *)&count, sizeof count);
    for (uint32_t i = 0; i < number; i++) {
        uint64_t size = LLVMGetBufferSize(objects[i]);
        text_append_bytes(&bytes, (const char *)&size, sizeof size);
    }
    for (uint32_t i = 0; i < number; i++)
        text_append_bytes(&bytes, LLVMGetBufferStart(objects[i]), LLVMGetBufferSize(objects[i]));
    cache_put(cache, key, kind, bytes.data, bytes.length);
    arena_free(arena);
}
