// What NVRTC and ptxas write, read line by line.
//
//     ptxas info    : Compiling entry function 'add' for 'sm_90a'
//     ptxas         .     0 bytes stack frame, 8 bytes spill stores, 8 bytes spill loads   ->   add: 8, 8
//     ptxas info    : Used 11 registers, used 1 barriers, 512 bytes smem                       11 registers, 512 bytes
//     ptxas info    : (C7510) Potential Performance Loss: ...                             ->   an advisory
//     step.cu(2): error: identifier "nothing" is undefined                                ->   a diagnostic at line 2
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codegen/cuda/nvrtc.h"

// Cuts the next line off `*rest`, into the arena; NULL at the end.
static char *next_line(Arena *arena, const char **rest) {
    if (!**rest) return NULL;
    size_t length = strcspn(*rest, "\n");
    char *line = arena_copy_range(arena, *rest, length);
    *rest += length + ((*rest)[length] == '\n');
    return line;
}

// ---- usage

typedef struct {
    Arena *arena;
    CudaUsage *kernels;
    size_t kernel_count, kernel_capacity;
    const char **advisories;
    size_t advisory_count, advisory_capacity;
} Usage;

// The number right before `word`, as 512 in "512 bytes smem"; 0 when the line lacks it.
static size_t number_before(const char *line, const char *word) {
    const char *at = strstr(line, word);
    if (!at) return 0;
    while (at > line && !isdigit((unsigned char)at[-1])) at--;
    while (at > line && isdigit((unsigned char)at[-1])) at--;
    return strtoull(at, NULL, 10);
}

static bool is_advisory(const char *line) {
    const char *mark = strstr(line, "(C");
    return mark && isdigit((unsigned char)mark[2]) && isdigit((unsigned char)mark[3]);
}

static void begin_kernel(Usage *usage, const char *line) {
    const char *name = strchr(line, '\'');
    if (!name) return;
    size_t length = strcspn(++name, "'");
    usage->kernels = arena_grow(usage->arena, usage->kernels, &usage->kernel_capacity, usage->kernel_count + 1,
                                sizeof *usage->kernels);
    usage->kernels[usage->kernel_count++] = (CudaUsage){.name = arena_copy_range(usage->arena, name, length)};
}

// Functions that a kernel calls are listed behind it and count with it.
static void read_line(Usage *usage, const char *line) {
    if (is_advisory(line)) {
        usage->advisories = arena_grow(usage->arena, usage->advisories, &usage->advisory_capacity,
                                       usage->advisory_count + 1, sizeof *usage->advisories);
        usage->advisories[usage->advisory_count++] = line;
        return;
    }
    if (strstr(line, "Compiling entry function")) begin_kernel(usage, line);
    if (usage->kernel_count == 0) return;
    CudaUsage *kernel = &usage->kernels[usage->kernel_count - 1];
    kernel->stack_bytes += number_before(line, "bytes stack frame");
    kernel->spill_store_bytes += number_before(line, "bytes spill stores");
    kernel->spill_load_bytes += number_before(line, "bytes spill loads");
    if (!strstr(line, ": Used ")) return;
    int registers = (int)number_before(line, "registers"), barriers = (int)number_before(line, "barriers");
    if (registers > kernel->registers) kernel->registers = registers;
    if (barriers > kernel->barriers) kernel->barriers = barriers;
    kernel->shared_bytes += number_before(line, "bytes smem");
}

void nvrtc_read_usage(Arena *arena, CudaObject *object) {
    Usage usage = {.arena = arena};
    const char *rest = object->log, *line;
    while ((line = next_line(arena, &rest))) read_line(&usage, line);
    object->kernels = usage.kernels;
    object->kernel_count = (uint32_t)usage.kernel_count;
    object->advisories = usage.advisories;
    object->advisory_count = (uint32_t)usage.advisory_count;
}

// ---- errors

enum { MOST_ERRORS = 8, MOST_NOTES = 6, LONGEST_LINE = 400 };

// "NAME(12): error: WORDS": the line and the words; 0 for others.
static uint32_t error_line(const CudaSource *source, const char *line, const char **words) {
    size_t length = strlen(source->name);
    static const char mark[] = "): error: ";
    if (strncmp(line, source->name, length) != 0 || line[length] != '(') return 0;
    char *end;
    unsigned long number = strtoul(line + length + 1, &end, 10);
    if (strncmp(end, mark, sizeof mark - 1) != 0) return 0;
    *words = end + sizeof mark - 1;
    return (uint32_t)number;
}

static int report_lines(const CudaSource *source, const char *log, Arena *arena, Diags *diags) {
    int errors = 0;
    const char *line, *words;
    while ((line = next_line(arena, &log)) && errors < MOST_ERRORS) {
        uint32_t number = error_line(source, line, &words);
        if (number == 0) continue;
        Place place = {.file = source->name, .source = source->text, .line = number, .column = 1};
        diag_error(diags, place, "%.*s (NVRTC, for %s)", LONGEST_LINE, words, source->architecture);
        errors++;
    }
    return errors;
}

void nvrtc_report(const CudaSource *source, const char *log, const char *result, Diags *diags) {
    Arena *arena = arena_create();
    if (report_lines(source, log, arena, diags) == 0) {
        diag_error(diags, (Place){0}, "NVRTC cannot compile %s for %s: %s", source->name, source->architecture, result);
        const char *line;
        for (int notes = 0; notes < MOST_NOTES && (line = next_line(arena, &log));) {
            if (!*line || strstr(line, "ptxas info")) continue;
            diag_note(diags, (Place){0}, "%.*s", LONGEST_LINE, line);
            notes++;
        }
    }
    arena_free(arena);
}
