// ELF, as little of it as counting needs: see cubin.h.
#include "cubin.h"

#include <elf.h>
#include <stdbool.h>
#include <string.h>

enum { INSTRUCTION_BYTES = 16, OPCODE_MASK = 0xfff, ANY_OPCODE = -1 };

typedef struct {
    const unsigned char *bytes;
    size_t count;
    Elf64_Ehdr header;
    Elf64_Shdr names;  // the section with the sections' names
} Cubin;

static bool read_at(const Cubin *cubin, uint64_t offset, void *result, size_t bytes) {
    if (offset > cubin->count || bytes > cubin->count - offset) return false;
    memcpy(result, cubin->bytes + offset, bytes);
    return true;
}

static bool section(const Cubin *cubin, unsigned number, Elf64_Shdr *result) {
    return read_at(cubin, cubin->header.e_shoff + (uint64_t)number * sizeof *result, result, sizeof *result);
}

static bool open_cubin(Cubin *cubin) {
    return read_at(cubin, 0, &cubin->header, sizeof cubin->header) &&
           memcmp(cubin->header.e_ident, ELFMAG, SELFMAG) == 0 &&
           section(cubin, cubin->header.e_shstrndx, &cubin->names);
}

static bool is_code_of(const Cubin *cubin, const Elf64_Shdr *header, const char *kernel) {
    static const char prefix[] = ".text.";
    uint64_t at = cubin->names.sh_offset + header->sh_name;
    if (at >= cubin->count || !memchr(cubin->bytes + at, 0, cubin->count - at)) return false;
    const char *name = (const char *)cubin->bytes + at;
    if (strncmp(name, prefix, sizeof prefix - 1) != 0) return false;
    return !kernel || strcmp(name + sizeof prefix - 1, kernel) == 0;
}

static int count(const void *bytes, size_t length, const char *kernel, int opcode) {
    Cubin cubin = {.bytes = bytes, .count = length};
    int result = -1;
    if (!open_cubin(&cubin)) return -1;
    for (unsigned s = 0; s < cubin.header.e_shnum; s++) {
        Elf64_Shdr header;
        if (!section(&cubin, s, &header)) return -1;
        if (!is_code_of(&cubin, &header, kernel)) continue;
        if (result < 0) result = 0;
        uint64_t word;
        for (uint64_t at = 0; at + INSTRUCTION_BYTES <= header.sh_size; at += INSTRUCTION_BYTES) {
            if (!read_at(&cubin, header.sh_offset + at, &word, sizeof word)) return -1;
            result += opcode == ANY_OPCODE || (word & OPCODE_MASK) == (unsigned)opcode;
        }
    }
    return result;
}

int cubin_first(const void *bytes, size_t length, const char *kernel, unsigned opcode) {
    Cubin cubin = {.bytes = bytes, .count = length};
    if (!open_cubin(&cubin)) return -1;
    for (unsigned s = 0; s < cubin.header.e_shnum; s++) {
        Elf64_Shdr header;
        if (!section(&cubin, s, &header)) return -1;
        if (!is_code_of(&cubin, &header, kernel)) continue;
        uint64_t word;
        for (uint64_t at = 0; at + INSTRUCTION_BYTES <= header.sh_size; at += INSTRUCTION_BYTES)
            if (read_at(&cubin, header.sh_offset + at, &word, sizeof word) && (word & OPCODE_MASK) == opcode)
                return (int)(at / INSTRUCTION_BYTES);
    }
    return -1;
}

int cubin_count(const void *cubin, size_t bytes, const char *kernel, unsigned opcode) {
    return count(cubin, bytes, kernel, (int)opcode);
}

int cubin_instructions(const void *cubin, size_t bytes, const char *kernel) {
    return count(cubin, bytes, kernel, ANY_OPCODE);
}
