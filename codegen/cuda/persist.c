// The launches of a program -> one cooperative kernel: all blocks of the grid take the work of a phase, meet at a
// barrier of the whole grid, and go on with the next phase.
//
//     launch 5 row_norm_..    768 blocks after 4      phase 3:  768 blocks of body 2          b0 = arena + 4096, ..
//     launch 6 product_1f..    96 blocks after 5  ->  phase 4:   96 blocks of body 0, then
//     launch 7 map_copy_..      1 block  after 5                  1 block of body 7
//
// A phase is a level of the launches, as in merge.c. Bodies are the kernels as they were, each a function that is
// compiled once; which blocks of them a phase has, and with which buffers, is a table. Block b of G takes blocks b,
// b + G, .. of a phase, so each does what it did in a launch of its own, or more of it: bits are the same for any G.
//
// Products of a library, and kernels that copy boxes (their tensor maps are parameters, their registers are handed
// over), stay launches: what depends on them is in the next kernel.
//
//     kernel 0 | a product of the library | kernel 1 | ..
//
// And a kernel has few bodies, so that several are compiled at once.
//
// Method: persistent threads and a software barrier of the grid (Xiao and Feng, "Inter-block GPU communication via fast
// barrier synchronization", IPDPS 2010), as cooperative launches have it.
#include "codegen/cuda/persist.h"

#include <string.h>

#include "base/hash.h"
#include "codegen/cuda/cuda.h"
#include "codegen/cuda/merge.h"

enum { LANES = TILE_LANES, WARP = 32, PLAIN_THREADS = 256, MOST_BODIES = 32, COUNT_BYTES = 256, BUFFERS = 3 };

// A launch: which kernel has it, and in which phase of that; or, when it stays one, behind which kernel it comes.
typedef struct {
    uint32_t segment, phase;
    bool stays;
} Part;

typedef struct {
    CudaCode *code;
    const Target *target;
    Arena *arena, *scratch;
    KernelList kernels;      // those of the code, and persistent ones
    size_t count_offset;      // of the barrier's count, in the arena
    // of the program that is at work
    const CudaProgram *program;
    Part *parts;
    uint32_t threads;         // of a block
} Persisting;

static const CudaKernel *kernel_of(const Persisting *persisting, const CudaLaunch *launch) {
    return &persisting->kernels.list[launch->kernel];
}

static bool is_cooperative(const Persisting *persisting, const CudaLaunch *launch) {
    return !launch->product && kernel_of(persisting, launch)->is_cooperative;
}

// ---- phases

static bool stays(const Persisting *persisting, const CudaLaunch *launch) {
    return launch->product || kernel_of(persisting, launch)->map_count > 0;
}

static uint32_t threads_of(const Persisting *persisting) {
    uint32_t most = 0;
    for (uint32_t i = 0; i < persisting->program->launch_count; i++) {
        const CudaLaunch *launch = &persisting->program->launches[i];
        if (stays(persisting, launch) || !kernel_has_fixed_blocks(kernel_of(persisting, launch))) continue;
        if (kernel_of(persisting, launch)->threads > most) most = kernel_of(persisting, launch)->threads;
    }
    return most ? most : PLAIN_THREADS;
}

// Each as early as what it waits for allows.
static void place_parts(Persisting *persisting) {
    const CudaProgram *program = persisting->program;
    for (uint32_t i = 0; i < program->launch_count; i++) {
        const CudaLaunch *launch = &program->launches[i];
        Part *part = &persisting->parts[i];
        *part = (Part){.stays = stays(persisting, launch)};
        for (uint32_t k = 0; k < launch->after_count; k++) {
            const Part *before = &persisting->parts[launch->after[k]];
            uint32_t segment = before->segment + (before->stays && !part->stays);
            uint32_t phase = before->stays || part->stays ? 0 : before->phase + 1;
            if (segment > part->segment) *part = (Part){segment, phase, part->stays};
            else if (segment == part->segment && phase > part->phase) part->phase = phase;
        }
    }
}

static uint32_t last_segment(const Persisting *persisting) {
    uint32_t last = 0;
    for (uint32_t i = 0; i < persisting->program->launch_count; i++)
        if (persisting->parts[i].segment > last) last = persisting->parts[i].segment;
    return last;
}

// Notes a phase's bodies; false, and none are noted, when there are too many with those that were.
static bool note_bodies(const Persisting *persisting, uint32_t segment, uint32_t phase, bool *noted, uint32_t *count,
                        bool *is_there) {
    uint32_t *fresh = ARENA_ARRAY(persisting->scratch, uint32_t, (size_t)persisting->program->launch_count + 1);
    uint32_t found = 0;
    *is_there = false;
    for (uint32_t i = 0; i < persisting->program->launch_count; i++) {
        const Part *part = &persisting->parts[i];
        uint32_t kernel = persisting->program->launches[i].kernel;
        if (part->stays || part->segment != segment || part->phase != phase) continue;
        *is_there = true;
        if (!noted[kernel]) fresh[found++] = kernel;
        noted[kernel] = true;
    }
    *count += found;
    if (*count <= MOST_BODIES || *count == found) return true;
    for (uint32_t k = 0; k < found; k++) noted[fresh[k]] = false;
    return false;
}

// By phase of one segment: how many kernels begin before it. Returns how many there are.
static uint32_t cut_segment(const Persisting *persisting, uint32_t segment, uint32_t *kernel_of_phase) {
    bool *noted = ARENA_ARRAY(persisting->scratch, bool, (size_t)persisting->kernels.count + 1), is_there = true;
    uint32_t count = 0, kernels = 1;
    for (uint32_t phase = 0;; phase++) {
        if (!note_bodies(persisting, segment, phase, noted, &count, &is_there)) {
            memset(noted, 0, persisting->kernels.count * sizeof *noted);
            count = 0;
            kernels++;
            note_bodies(persisting, segment, phase, noted, &count, &is_there);
        }
        if (!is_there) return kernels;
        kernel_of_phase[phase] = kernels - 1;
    }
}

// A kernel is compiled by one thread, so one of many bodies would be waited for: it becomes several.
static void cut_segments(Persisting *persisting) {
    uint32_t count = persisting->program->launch_count, last = last_segment(persisting), before = 0;
    Part *cut = ARENA_ARRAY(persisting->scratch, Part, (size_t)count + 1);
    uint32_t *kernel_of_phase = ARENA_ARRAY(persisting->scratch, uint32_t, (size_t)count + 1);
    for (uint32_t segment = 0; segment <= last; segment++) {
        uint32_t kernels = cut_segment(persisting, segment, kernel_of_phase);
        for (uint32_t i = 0; i < count; i++) {
            const Part *part = &persisting->parts[i];
            if (part->segment != segment) continue;
            uint32_t own = part->stays ? kernels - 1 : kernel_of_phase[part->phase], first = part->phase;
            while (first > 0 && !part->stays && kernel_of_phase[first - 1] == own) first--;
            cut[i] = (Part){before + own, part->phase - first, part->stays};
        }
        before += kernels;
    }
    persisting->parts = cut;
}

// ---- one kernel

// What blocks do, phase by phase: the table and the text.
typedef struct {
    uint32_t *bodies;         // kernels of the code, by body
    uint32_t body_count, work_count, place_count, phase_count;
    uint32_t most_blocks;     // of a phase
    Text text, works, places, phases;
    size_t shared_bytes;
} Body;

static uint32_t body_of(Body *body, uint32_t kernel) {
    for (uint32_t i = 0; i < body->body_count; i++)
        if (body->bodies[i] == kernel) return i;
    body->bodies[body->body_count] = kernel;
    return body->body_count++;
}

// As many as its own threads fill, or one for each multiprocessor, as long as each has a warp of workers with work.
static uint32_t blocks_of(const Persisting *persisting, const CudaLaunch *launch) {
    const CudaKernel *kernel = kernel_of(persisting, launch);
    if (kernel_has_fixed_blocks(kernel)) return launch->blocks;
    uint32_t threads = launch->blocks * kernel->threads;
    uint32_t full = (threads + persisting->threads - 1) / persisting->threads, thin = (threads + WARP - 1) / WARP;
    uint32_t wide = thin < (uint32_t)persisting->target->cores ? thin : (uint32_t)persisting->target->cores;
    return full > wide ? full : wide;
}

static void append_place(Body *body, ProgramBuffer buffer) {
    CHECK(buffer.memory != MEMORY_SCRATCH && buffer.offset < (size_t)1 << 31);
    unsigned place = (unsigned)buffer.offset << 1 | (buffer.memory == MEMORY_ARENA);
    text_append(&body->places, "%s%uu", body->place_count == 0 ? "" : body->place_count % 12 == 0 ? ",\n    " : ", ",
                place);
    body->place_count++;
}

// The launches of one phase, equal kernels side by side.
static void append_phase(const Persisting *persisting, Body *body, const uint32_t *members, uint32_t count) {
    uint32_t end = 0;
    text_append(&body->phases, "%u, ", body->work_count);
    for (uint32_t i = 0; i < count; i++) {
        const CudaLaunch *launch = &persisting->program->launches[members[i]];
        uint32_t blocks = blocks_of(persisting, launch);
        end += blocks;
        text_append(&body->works, "%s{%u, %u, %u, %u}", body->work_count % 6 ? ", " : body->work_count ? ",\n    " : "",
                    end, body_of(body, launch->kernel), blocks, body->place_count);
        body->work_count++;
        for (uint32_t b = 0; b < kernel_of(persisting, launch)->buffer_count; b++)
            append_place(body, launch->buffers[b]);
    }
    body->phase_count++;
    if (end > body->most_blocks) body->most_blocks = end;
}

static void append_phases(const Persisting *persisting, Body *body, uint32_t segment) {
    uint32_t count = persisting->program->launch_count;
    uint32_t *members = ARENA_ARRAY(persisting->scratch, uint32_t, (size_t)count + 1);
    for (uint32_t phase = 0;; phase++) {
        uint32_t found = 0;
        for (uint32_t i = 0; i < count; i++) {
            const Part *part = &persisting->parts[i];
            if (part->stays || part->segment != segment || part->phase != phase) continue;
            uint32_t at = found++, kernel = persisting->program->launches[i].kernel;
            for (; at > 0 && persisting->program->launches[members[at - 1]].kernel > kernel; at--)
                members[at] = members[at - 1];
            members[at] = i;
        }
        if (found == 0) return;
        append_phase(persisting, body, members, found);
    }
}

// ---- its text

// What memory holds changes while the kernel is there: no buffer is anybody's alone.
static void append_function(const Persisting *persisting, const CudaKernel *kernel, const char *name, Text *out) {
    text_append(out, "\n");
    kernel_append_before(kernel, out);
    bool is_part = kernel_has_fixed_blocks(kernel) && kernel->threads < persisting->threads;
    if (is_part)
        text_append(out, "#undef block_barrier\n#define block_barrier() PART_OF_BLOCK(%u)\n", kernel->threads);
    text_append(out, "// %s\nBODY(%s) {\n", kernel->name, name);
    for (uint32_t b = 0; b < kernel->buffer_count; b++) {
        const char *type = parameter_text(persisting->scratch, &kernel->text->parameters[b], false);
        text_append(out, "    %sconst %s%u = (%s)BUFFER(%u);\n", type, kernel->text->letter, b, type, b);
    }
    kernel_append_rest(kernel, out);
    if (is_part) text_append(out, "#undef block_barrier\n#define block_barrier() WHOLE_BLOCK()\n");
}

static const char *before_of(const Persisting *persisting, const Body *body, const char *symbol) {
    Text text = text_create(persisting->arena);
    text_append(&text, "#undef WORKER\n#define WORKER BY_WARPS\n");
    for (uint32_t i = 0; i < body->body_count; i++)
        append_function(persisting, &persisting->kernels.list[body->bodies[i]],
                        arena_format(persisting->scratch, "%s_%u", symbol, i), &text);
    text_append(&text, "#undef WORKER\n#define WORKER BY_BLOCKS\n");
    text_append(&text, "\nTABLE Work %s_works[%u] = {\n    %s};\n", symbol, body->work_count,
                text_string(&body->works));
    text_append(&text, "TABLE unsigned %s_places[%u] = {\n    %s};\n", symbol, body->place_count + 1,
                text_string(&body->places));
    text_append(&text, "TABLE unsigned %s_phases[%u] = {%s%u};\n", symbol, body->phase_count + 1,
                text_string(&body->phases), body->work_count);
    return text_string(&text);
}

// Those of a block's threads that the body is for.
static const char *who_calls(const Persisting *persisting, const CudaKernel *kernel) {
    if (kernel->threads == LANES || (kernel_has_fixed_blocks(kernel) && kernel->threads < persisting->threads))
        return arena_format(persisting->scratch, "if (threadIdx.x < %u) ", kernel->threads);
    return "";
}

// A block's shared memory is free when all of its threads are done with it.
static void append_case(const Persisting *persisting, const Body *body, const char *symbol, uint32_t number,
                        Text *out) {
    const CudaKernel *kernel = &persisting->kernels.list[body->bodies[number]];
    text_append(out, "            case %u: %s%s_%u(buffers, own, blocks); %sbreak;\n", number,
                who_calls(persisting, kernel), symbol, number, kernel->shared_bytes ? "block_barrier(); " : "");
}

static const char *body_text(const Persisting *persisting, const Body *body, const char *symbol) {
    Text text = text_create(persisting->arena);
    text_append(&text,
                "    for (int phase = 0; phase < %u; phase++) {\n"
                "        if (phase > 0) grid_barrier((unsigned *)b2);\n"
                "        const Work *work = %s_works + %s_phases[phase];\n"
                "        const int all = (int)%s_works[%s_phases[phase + 1] - 1].end;\n"
                "        for (int mine = block; mine < all; mine += (int)gridDim.x) {\n"
                "            while (mine >= (int)work->end) work++;\n"
                "            const Buffers buffers = {b0, b1, %s_places + work->buffers};\n"
                "            const int blocks = (int)work->blocks, own = mine - (int)work->end + blocks;\n"
                "            switch (work->body) {\n",
                body->phase_count, symbol, symbol, symbol, symbol, symbol);
    for (uint32_t i = 0; i < body->body_count; i++) append_case(persisting, body, symbol, i, &text);
    text_append(&text, "            }\n        }\n    }\n");
    return text_string(&text);
}

static const CudaText *text_of(const Persisting *persisting, const Body *body, const char *symbol) {
    static const CudaParameter parameters[BUFFERS] = {{DTYPE_BOOL, true, false},
                                                      {DTYPE_BOOL, true, false},
                                                      {DTYPE_I32, true, false}};   // states, arena, count
    CudaText *text = ARENA_NEW(persisting->arena, CudaText);
    *text = (CudaText){.before = before_of(persisting, body, symbol),
                       .letter = "b",
                       .parameters = parameters,
                       .body = body_text(persisting, body, symbol)};
    return text;
}

static const char *symbol_of(const Persisting *persisting, const Body *body) {
    Text key = text_create(persisting->scratch);
    for (uint32_t i = 0; i < body->body_count; i++)
        text_append(&key, "%s\n", persisting->kernels.list[body->bodies[i]].name);
    text_append(&key, "%s\n%s\n%s\n%u", text_string(&body->works), text_string(&body->places),
                text_string(&body->phases), persisting->threads);
    return arena_format(persisting->arena, "persistent_%016llx",
                        (unsigned long long)hash_bytes(key.data, key.length));
}

static uint32_t add_kernel(Persisting *persisting, const Body *body) {
    const CudaProgram *program = persisting->program;
    CudaBuffer *buffers = ARENA_ARRAY(persisting->arena, CudaBuffer, BUFFERS);
    const size_t bytes[BUFFERS] = {program->state_bytes, program->arena_bytes, sizeof(unsigned)};
    for (int b = 0; b < BUFFERS; b++) buffers[b] = (CudaBuffer){.bytes = bytes[b], .read = true, .written = true};
    const char *symbol = symbol_of(persisting, body);
    CudaKernel kernel = {.name = symbol,
                         .text = text_of(persisting, body, symbol),
                         .buffer_count = BUFFERS,
                         .buffers = buffers,
                         .threads = persisting->threads,
                         .shared_bytes = body->shared_bytes,
                         .is_cooperative = true};
    return kernel_list_add(&persisting->kernels, kernel);
}

// ---- launches

static CudaLaunch launch_of(Persisting *persisting, uint32_t segment) {
    const CudaProgram *program = persisting->program;
    Body body = {.bodies = ARENA_ARRAY(persisting->scratch, uint32_t, (size_t)persisting->kernels.count + 1),
                 .works = text_create(persisting->scratch),
                 .places = text_create(persisting->scratch),
                 .phases = text_create(persisting->scratch)};
    append_phases(persisting, &body, segment);
    for (uint32_t i = 0; i < body.body_count; i++)
        if (persisting->kernels.list[body.bodies[i]].shared_bytes > body.shared_bytes)
            body.shared_bytes = persisting->kernels.list[body.bodies[i]].shared_bytes;
    ProgramBuffer *buffers = ARENA_ARRAY(persisting->arena, ProgramBuffer, BUFFERS);
    buffers[0] = (ProgramBuffer){.memory = MEMORY_STATE};
    buffers[1] = (ProgramBuffer){.memory = MEMORY_ARENA};
    buffers[2] = (ProgramBuffer){.memory = MEMORY_ARENA, .offset = persisting->count_offset};
    CudaLaunch launch = {.kernel = add_kernel(persisting, &body),
                         .blocks = body.most_blocks,
                         .buffers = buffers,
                         .id = UINT32_MAX,
                         .label = arena_format(persisting->arena, "%u launches in %u phases", body.work_count,
                                               body.phase_count)};
    for (uint32_t i = 0; i < program->launch_count; i++) {
        if (persisting->parts[i].stays || persisting->parts[i].segment != segment) continue;
        launch.flops += program->launches[i].flops;
        launch.bytes += program->launches[i].bytes;
        if (program->launches[i].id < launch.id) launch.id = program->launches[i].id;
    }
    return launch;
}

// What a launch waits for: what its parts wait for, by where that is now; a cooperative one also for the one before it,
// since they share the barrier's count.
static void find_after(const Persisting *persisting, CudaLaunch *launches, uint32_t number, const uint32_t *place) {
    const CudaProgram *program = persisting->program;
    uint32_t *after = ARENA_ARRAY(persisting->arena, uint32_t, (size_t)number + 1), count = 0, last = number;
    bool *is_there = ARENA_ARRAY(persisting->scratch, bool, (size_t)number + 1);
    is_there[number] = true;
    for (uint32_t i = 0; i < program->launch_count; i++)
        for (uint32_t k = 0; place[i] == number && k < program->launches[i].after_count; k++) {
            uint32_t earlier = place[program->launches[i].after[k]];
            CHECK(earlier <= number);
            if (!is_there[earlier]) after[count++] = earlier;
            is_there[earlier] = true;
        }
    while (last > 0 && !is_cooperative(persisting, &launches[last - 1])) last--;
    if (is_cooperative(persisting, &launches[number]) && last > 0 && !is_there[last - 1]) after[count++] = last - 1;
    launches[number].after = after;
    launches[number].after_count = count;
}

static bool has_segment(const Persisting *persisting, uint32_t segment) {
    for (uint32_t i = 0; i < persisting->program->launch_count; i++)
        if (!persisting->parts[i].stays && persisting->parts[i].segment == segment) return true;
    return false;
}

static CudaProgram persist_program(Persisting *persisting, const CudaProgram *program) {
    uint32_t all = program->launch_count, count = 0;
    persisting->program = program;
    persisting->parts = ARENA_ARRAY(persisting->scratch, Part, (size_t)all + 1);
    persisting->threads = threads_of(persisting);
    place_parts(persisting);
    cut_segments(persisting);
    CudaLaunch *launches = ARENA_ARRAY(persisting->arena, CudaLaunch, 2 * (size_t)all + 1);
    uint32_t *place = ARENA_ARRAY(persisting->scratch, uint32_t, (size_t)all + 1);
    for (uint32_t segment = 0, last = last_segment(persisting); segment <= last; segment++) {
        uint32_t kernel = count;
        if (has_segment(persisting, segment)) launches[count++] = launch_of(persisting, segment);
        for (uint32_t i = 0; i < all; i++) {
            if (persisting->parts[i].segment != segment) continue;
            place[i] = persisting->parts[i].stays ? count : kernel;
            if (persisting->parts[i].stays) launches[count++] = program->launches[i];
        }
    }
    for (uint32_t n = 0; n < count; n++) find_after(persisting, launches, n, place);
    CudaProgram result = *program;
    result.launches = launches;
    result.launch_count = count;
    result.arena_bytes = persisting->count_offset + COUNT_BYTES;
    return result;
}

// ---- the door

void cuda_persist(CudaCode *code, const Target *target) {
    Persisting persisting = {.code = code,
                             .target = target,
                             .arena = code->arena,
                             .scratch = arena_create(),
                             .kernels = kernel_list(code->arena, code->kernels, code->kernel_count)};
    bool any = false;
    CudaProgram *programs = ARENA_ARRAY(code->arena, CudaProgram, (size_t)code->program_count + 1);
    for (int p = 0; p < code->program_count; p++) {
        programs[p] = code->programs[p];
        any |= programs[p].is_persistent && programs[p].launch_count > 0;
        if (programs[p].arena_bytes > persisting.count_offset) persisting.count_offset = programs[p].arena_bytes;
    }
    persisting.count_offset = (persisting.count_offset + COUNT_BYTES - 1) / COUNT_BYTES * COUNT_BYTES;
    for (int p = 0; p < code->program_count; p++)
        if (programs[p].is_persistent && programs[p].launch_count > 0)
            programs[p] = persist_program(&persisting, &code->programs[p]);
    if (any) {
        code->common = arena_format(code->arena, "%s%s", code->common, cuda_persistent());
        code->programs = programs;
        code->kernels = persisting.kernels.list;
        code->kernel_count = persisting.kernels.count;
        cuda_keep_launched(code);
    }
    arena_free(persisting.scratch);
}
