// Small launches that do not wait for each other -> one launch: each has a range of its blocks.
//
//     level 7:  launch 45 product_1f..  96 blocks      ->   launch 31 level_8a..  98 blocks
//               launch 46 map_copy_..    1 block                if (block < 96) { level_8a.._0(b0, b1, b2, block, ..);
//               launch 47 map_copy_..    1 block                ...
//
// A launch's level is one more than the highest of those it waits for: two of one level never wait for each other, not
// even by way of others (what writes over something waits for who reads it, too). Each worker does what it did in its
// own launch: bits are the same. Equal kernels of a level are one body, which takes its buffers by the block's number.
//
// Method: levels of a graph of tasks, and horizontal fusion (Li et al., "Automatic horizontal fusion for GPU kernels",
// CGO 2022), without any mixing of threads.
#include <math.h>
#include <string.h>

#include "base/hash.h"
#include "codegen/cuda/merge.h"
#include "codegen/lower.h"

// Beside what it costs to start a kernel, some 3 us, these take little. Parameters are at most 4 KB.
static const double small_seconds = 4e-6;
enum { LANES = TILE_LANES, MOST_BUFFERS = 240, LEAST_THREADS = 32, MOST_THREADS = 128, BLOCKS_AT_ONCE = 32 };

typedef struct {
    CudaCode *code;
    const Target *target;
    Arena *arena, *scratch;
    CudaKernel *kernels;      // those of the code, and merged ones
    uint32_t kernel_count;
    size_t kernel_capacity;
} Merging;

// Launches of one level that become one, equal kernels side by side.
typedef struct {
    const CudaLaunch *const *parts;
    uint32_t count, buffer_count;
    uint32_t threads;         // of a block
} Bundle;

// ---- the text of a kernel, taken apart
//
//     KERNEL(name, 128)(PARAMETERS) {          TENSOR_KERNEL(name, 128, 3)(PARAMETERS) {
//         const int lane = ..                      const int block = ..
//         await_earlier();                         await_earlier();
//         BODY                                     BODY

static const char plain_head[] = "KERNEL(", tensor_head[] = "TENSOR_KERNEL(", before_body[] = "await_earlier();\n";

static const CudaKernel *kernel_of(const Merging *merging, const CudaLaunch *launch) {
    return &merging->kernels[launch->kernel];
}

static bool begins_with(const char *text, const char *head) { return strncmp(text, head, strlen(head)) == 0; }

static bool is_tensor(const CudaKernel *kernel) { return begins_with(kernel->source, tensor_head); }

// Where no tables stand before it, and the body knows of its blocks only what the first line says: a chain asks for
// blockIdx. Maps of tensors are parameters of another kind.
static bool is_mergeable(const CudaKernel *kernel) {
    if (kernel->map_count > 0) return false;
    const char *body = strstr(kernel->source, before_body);
    bool is_known = begins_with(kernel->source, plain_head) || is_tensor(kernel);
    return is_known && body && !strstr(body, "blockIdx") && !strstr(body, "gridDim");
}

// What kernels of one bundle have in common: nothing, or, for tensor cores, how many threads a block has and how many
// blocks a multiprocessor at once: ", 128, 3".
static const char *class_of(const Merging *merging, const CudaKernel *kernel) {
    if (!is_tensor(kernel)) return "";
    const char *begin = kernel->source + strlen(tensor_head) + strlen(kernel->name);
    return arena_copy_range(merging->scratch, begin, (size_t)(strstr(begin, ")(") - begin));
}

static const char *parameters_of(const CudaKernel *kernel, size_t *length) {
    const char *begin = strstr(kernel->source, ")(") + 2;
    *length = strcspn(begin, ")");
    return begin;
}

// "const float *RESTRICT " of parameter `number`.
static const char *type_of(Arena *arena, const CudaKernel *kernel, uint32_t number) {
    size_t left;
    const char *at = parameters_of(kernel, &left);
    for (uint32_t i = 0; i < number; i++) at = strchr(at, ',') + 2;
    size_t length = strcspn(at, ",)");
    while (at[length - 1] != 'b') length--;
    return arena_copy_range(arena, at, length - 1);
}

static const char *without_restrict(Arena *arena, const char *type) {
    const char *at = strstr(type, "RESTRICT ");
    return at ? arena_copy_range(arena, type, (size_t)(at - type)) : type;
}

// ---- the text of a merged one

static bool is_one_worker(const CudaKernel *kernel) { return kernel->threads == LANES; }

// As many threads as in the part's own launch, or a few more.
static uint32_t blocks_of(const Merging *merging, const CudaLaunch *part, uint32_t threads) {
    return (part->blocks * kernel_of(merging, part)->threads + threads - 1) / threads;
}

static uint32_t equal_parts(const Bundle *bundle, uint32_t first) {
    uint32_t end = first + 1;
    while (end < bundle->count && bundle->parts[end]->kernel == bundle->parts[first]->kernel) end++;
    return end - first;
}

static void append_function(const CudaKernel *kernel, const char *symbol, uint32_t number, Text *out) {
    size_t length;
    const char *parameters = parameters_of(kernel, &length);
    text_append(out, "INLINE void %s_%u(", symbol, number);
    text_append_bytes(out, parameters, length);
    text_append(out, ", const int block, const int blocks) {\n%s%s\n",
                is_tensor(kernel) ? "" : "    const int lane = LANE;\n",
                strstr(kernel->source, before_body) + strlen(before_body));
}

static void append_head(const Merging *merging, const Bundle *bundle, const char *symbol, Text *out) {
    uint32_t number = 0;
    const CudaKernel *first = kernel_of(merging, bundle->parts[0]);
    if (is_tensor(first)) text_append(out, "%s%s%s)(", tensor_head, symbol, class_of(merging, first));
    else text_append(out, "%s%s, %u)(", plain_head, symbol, bundle->threads);
    for (uint32_t p = 0; p < bundle->count; p++) {
        const CudaKernel *kernel = kernel_of(merging, bundle->parts[p]);
        for (uint32_t b = 0; b < kernel->buffer_count; b++, number++)
            text_append(out, "%s%sb%u", number ? ", " : "", type_of(merging->scratch, kernel, b), number);
    }
    text_append(out, ") {\n    %s    int block = (int)blockIdx.x;\n", before_body);
}

// Its buffers are x0, x1, ...: those of part block / blocks.
static void append_choice(const Merging *merging, const CudaKernel *kernel, uint32_t first_buffer, uint32_t count,
                          uint32_t blocks, Text *out) {
    for (uint32_t b = 0; b < kernel->buffer_count; b++)
        text_append(out, "        %sx%u;\n",
                    without_restrict(merging->scratch, type_of(merging->scratch, kernel, b)), b);
    text_append(out, "        switch (block / %u) {\n", blocks);
    for (uint32_t i = 0; i < count; i++) {
        if (i + 1 < count) text_append(out, "        case %u:", i);
        else text_append(out, "        default:");
        for (uint32_t b = 0; b < kernel->buffer_count; b++)
            text_append(out, " x%u = b%u;", b, first_buffer + i * kernel->buffer_count + b);
        text_append(out, " break;\n");
    }
    text_append(out, "        }\n");
}

static void append_call(const CudaKernel *kernel, const char *symbol, uint32_t number, char prefix,
                        uint32_t first_buffer, uint32_t blocks, Text *out) {
    text_append(out, "        %s%s_%u(", is_one_worker(kernel) ? "if (threadIdx.x < 16) " : "", symbol, number);
    for (uint32_t b = 0; b < kernel->buffer_count; b++) text_append(out, "%c%u, ", prefix, first_buffer + b);
    text_append(out, "block %% %u, %u);\n        return;\n    }\n", blocks, blocks);
}

static const char *text_of(const Merging *merging, const Bundle *bundle, const char *symbol, uint32_t *blocks) {
    Text text = text_create(merging->arena);
    uint32_t number = 0, buffer = 0;
    *blocks = 0;
    for (uint32_t p = 0; p < bundle->count; p += equal_parts(bundle, p), number++)
        append_function(kernel_of(merging, bundle->parts[p]), symbol, number, &text);
    append_head(merging, bundle, symbol, &text);
    number = 0;
    for (uint32_t p = 0; p < bundle->count; number++) {
        const CudaKernel *kernel = kernel_of(merging, bundle->parts[p]);
        uint32_t count = equal_parts(bundle, p), each = blocks_of(merging, bundle->parts[p], bundle->threads);
        text_append(&text, "    if (block < %u) {\n", count * each);
        if (count > 1) append_choice(merging, kernel, buffer, count, each, &text);
        append_call(kernel, symbol, number, count > 1 ? 'x' : 'b', count > 1 ? 0 : buffer, each, &text);
        text_append(&text, "    block -= %u;\n", count * each);
        *blocks += count * each;
        buffer += count * kernel->buffer_count;
        p += count;
    }
    text_append(&text, "}\n");
    return text_string(&text);
}

// ---- kernels and launches

// A part of few workers has small blocks, so that all multiprocessors have some.
static uint32_t threads_of(const Merging *merging, const Bundle *bundle) {
    uint32_t least = MOST_THREADS, blocks = 0;
    if (is_tensor(kernel_of(merging, bundle->parts[0]))) return kernel_of(merging, bundle->parts[0])->threads;
    for (uint32_t p = 0; p < bundle->count; p++) {
        uint32_t threads = kernel_of(merging, bundle->parts[p])->threads;
        if (threads < least) least = threads < LEAST_THREADS ? LEAST_THREADS : threads;
    }
    for (uint32_t p = 0; p < bundle->count; p++) blocks += blocks_of(merging, bundle->parts[p], least);
    return blocks > (uint32_t)merging->target->cores * BLOCKS_AT_ONCE ? MOST_THREADS : least;
}

static const char *symbol_of(const Merging *merging, const Bundle *bundle) {
    Text key = text_create(merging->scratch);
    for (uint32_t p = 0; p < bundle->count; p++)
        text_append(&key, "%s %u\n", kernel_of(merging, bundle->parts[p])->name, bundle->parts[p]->blocks);
    WideHash hash = hash_wide(key.data, key.length);
    return arena_format(merging->arena, "level_%016llx", hash.words[0]);
}

static uint32_t find_or_add(Merging *merging, const Bundle *bundle) {
    const char *symbol = symbol_of(merging, bundle);
    for (uint32_t i = merging->code->kernel_count; i < merging->kernel_count; i++)
        if (text_equal(merging->kernels[i].name, symbol)) return i;
    uint32_t blocks, number = 0;
    size_t shared_bytes = 0;
    CudaBuffer *buffers = ARENA_ARRAY(merging->arena, CudaBuffer, bundle->buffer_count + 1);
    for (uint32_t p = 0; p < bundle->count; p++) {
        const CudaKernel *kernel = kernel_of(merging, bundle->parts[p]);
        for (uint32_t b = 0; b < kernel->buffer_count; b++) buffers[number++] = kernel->buffers[b];
        if (kernel->shared_bytes > shared_bytes) shared_bytes = kernel->shared_bytes;
    }
    CudaKernel merged = {.name = symbol,
                         .source = text_of(merging, bundle, symbol, &blocks),
                         .buffer_count = number,
                         .buffers = buffers,
                         .threads = bundle->threads,
                         .shared_bytes = shared_bytes};
    merging->kernels = arena_grow(merging->arena, merging->kernels, &merging->kernel_capacity,
                                  (size_t)merging->kernel_count + 1, sizeof(CudaKernel));
    merging->kernels[merging->kernel_count] = merged;
    return merging->kernel_count++;
}

static CudaLaunch merge(Merging *merging, Bundle *bundle) {
    const CudaLaunch *first = bundle->parts[0];
    ProgramBuffer *buffers = ARENA_ARRAY(merging->arena, ProgramBuffer, bundle->buffer_count + 1);
    CudaLaunch merged = {.buffers = buffers, .id = first->id};
    bundle->threads = threads_of(merging, bundle);
    uint32_t number = 0;
    for (uint32_t p = 0; p < bundle->count; p++) {
        const CudaLaunch *part = bundle->parts[p];
        for (uint32_t b = 0; b < kernel_of(merging, part)->buffer_count; b++) buffers[number++] = part->buffers[b];
        merged.blocks += blocks_of(merging, part, bundle->threads);
        merged.flops += part->flops;
        merged.bytes += part->bytes;
        if (part->id < merged.id) merged.id = part->id;
    }
    merged.kernel = find_or_add(merging, bundle);
    merged.label = arena_format(merging->arena, "%s and %u more", first->label, bundle->count - 1);
    return merged;
}

// ---- levels

static bool is_small(const Merging *merging, const CudaLaunch *launch) {
    if (launch->product) return false;
    const Target *target = merging->target;
    double seconds = fmax(launch->flops / target->peak_flops, launch->bytes / target->bandwidth);
    return seconds < small_seconds && is_mergeable(kernel_of(merging, launch));
}

static uint32_t *levels_of(const Merging *merging, const CudaProgram *program, uint32_t *highest) {
    uint32_t *levels = ARENA_ARRAY(merging->scratch, uint32_t, (size_t)program->launch_count + 1);
    *highest = 0;
    for (uint32_t i = 0; i < program->launch_count; i++) {
        const CudaLaunch *launch = &program->launches[i];
        for (uint32_t k = 0; k < launch->after_count; k++)
            if (levels[launch->after[k]] >= levels[i]) levels[i] = levels[launch->after[k]] + 1;
        if (levels[i] > *highest) *highest = levels[i];
    }
    return levels;
}

// What a merged program's launches wait for: those of all parts, without those that these have waited for.
typedef struct {
    CudaLaunch *launches;
    uint32_t count;
    uint32_t *place;      // by launch of the program: where it is now
    uint64_t *reached;    // a row for each of `launches`
    size_t words;
} Merged;

static void find_after(const Merging *merging, Merged *merged, const CudaLaunch *const *parts, uint32_t part_count) {
    uint32_t mine = merged->count - 1, count = 0;
    uint64_t *wanted = ARENA_ARRAY(merging->scratch, uint64_t, merged->words);
    uint64_t *row = &merged->reached[mine * merged->words];
    uint32_t *after = ARENA_ARRAY(merging->arena, uint32_t, (size_t)mine + 1);
    for (uint32_t p = 0; p < part_count; p++)
        for (uint32_t k = 0; k < parts[p]->after_count; k++) {
            uint32_t place = merged->place[parts[p]->after[k]];
            wanted[place / 64] |= (uint64_t)1 << place % 64;
        }
    for (uint32_t t = mine; t-- > 0;) {
        if (!(wanted[t / 64] >> t % 64 & 1) || (row[t / 64] >> t % 64 & 1)) continue;
        after[count++] = t;
        row[t / 64] |= (uint64_t)1 << t % 64;
        for (size_t w = 0; w < merged->words; w++) row[w] |= merged->reached[t * merged->words + w];
    }
    merged->launches[mine].after = after;
    merged->launches[mine].after_count = count;
}

static void put(Merging *merging, const CudaProgram *program, Merged *merged, Bundle *bundle) {
    merged->launches[merged->count++] = bundle->count == 1 ? *bundle->parts[0] : merge(merging, bundle);
    for (uint32_t p = 0; p < bundle->count; p++)
        merged->place[bundle->parts[p] - program->launches] = merged->count - 1;
    find_after(merging, merged, bundle->parts, bundle->count);
}

// Those of one class side by side, and in these equal kernels.
static bool comes_before(const Merging *merging, const CudaLaunch *a, const CudaLaunch *b) {
    int order = strcmp(class_of(merging, kernel_of(merging, a)), class_of(merging, kernel_of(merging, b)));
    return order != 0 ? order < 0 : a->kernel < b->kernel;
}

// As many of the small ones from `begin` on as have one class and room for their buffers.
static Bundle bundle_of(const Merging *merging, const CudaLaunch *const *small, uint32_t count) {
    Bundle bundle = {.parts = small};
    const char *kind = class_of(merging, kernel_of(merging, small[0]));
    for (; bundle.count < count; bundle.count++) {
        const CudaKernel *kernel = kernel_of(merging, small[bundle.count]);
        bool fits = bundle.buffer_count + kernel->buffer_count <= MOST_BUFFERS;
        if (bundle.count > 0 && (!fits || !text_equal(class_of(merging, kernel), kind))) break;
        bundle.buffer_count += kernel->buffer_count;
    }
    return bundle;
}

// The small ones of a level in bundles, the others by themselves.
static void put_level(Merging *merging, const CudaProgram *program, Merged *merged, const uint32_t *levels,
                      uint32_t level) {
    const CudaLaunch **small = ARENA_ARRAY(merging->scratch, const CudaLaunch *, (size_t)program->launch_count + 1);
    uint32_t count = 0;
    for (uint32_t i = 0; i < program->launch_count; i++) {
        const CudaLaunch *launch = &program->launches[i];
        if (levels[i] != level) continue;
        if (!is_small(merging, launch)) {
            put(merging, program, merged, &(Bundle){.parts = &launch, .count = 1});
            continue;
        }
        uint32_t at = count++;
        for (; at > 0 && comes_before(merging, launch, small[at - 1]); at--) small[at] = small[at - 1];
        small[at] = launch;
    }
    for (uint32_t begin = 0; begin < count;) {
        Bundle bundle = bundle_of(merging, small + begin, count - begin);
        put(merging, program, merged, &bundle);
        begin += bundle.count;
    }
}

static CudaProgram merge_program(Merging *merging, const CudaProgram *program) {
    uint32_t highest, count = program->launch_count;
    const uint32_t *levels = levels_of(merging, program, &highest);
    Merged merged = {.launches = ARENA_ARRAY(merging->arena, CudaLaunch, (size_t)count + 1),
                     .place = ARENA_ARRAY(merging->scratch, uint32_t, (size_t)count + 1),
                     .words = count / 64 + 1};
    merged.reached = ARENA_ARRAY(merging->scratch, uint64_t, (count + 1) * merged.words);
    for (uint32_t level = 0; level <= highest && count > 0; level++)
        put_level(merging, program, &merged, levels, level);
    CudaProgram result = *program;
    result.launches = merged.launches;
    result.launch_count = merged.count;
    return result;
}

// ---- the door

// Kernels that nobody launches any more are gone.
static void keep_launched(Merging *merging, CudaProgram *programs) {
    uint32_t *place = ARENA_ARRAY(merging->scratch, uint32_t, (size_t)merging->kernel_count + 1), kept = 0;
    bool *is_used = ARENA_ARRAY(merging->scratch, bool, (size_t)merging->kernel_count + 1);
    for (int p = 0; p < merging->code->program_count; p++)
        for (uint32_t i = 0; i < programs[p].launch_count; i++)
            if (!programs[p].launches[i].product) is_used[programs[p].launches[i].kernel] = true;
    for (uint32_t k = 0; k < merging->kernel_count; k++) {
        if (!is_used[k]) continue;
        place[k] = kept;
        merging->kernels[kept++] = merging->kernels[k];
    }
    merging->kernel_count = kept;
    for (int p = 0; p < merging->code->program_count; p++)
        for (uint32_t i = 0; i < programs[p].launch_count; i++) {
            CudaLaunch *launch = (CudaLaunch *)&programs[p].launches[i];  // of this file's making
            if (!launch->product) launch->kernel = place[launch->kernel];
        }
}

void cuda_merge_launches(CudaCode *code, const Target *target) {
    Merging merging = {.code = code,
                       .target = target,
                       .arena = code->arena,
                       .scratch = arena_create(),
                       .kernel_count = code->kernel_count};
    merging.kernels = arena_grow(merging.arena, NULL, &merging.kernel_capacity, (size_t)code->kernel_count + 1,
                                 sizeof(CudaKernel));
    memcpy(merging.kernels, code->kernels, code->kernel_count * sizeof(CudaKernel));
    CudaProgram *programs = ARENA_ARRAY(code->arena, CudaProgram, (size_t)code->program_count + 1);
    for (int p = 0; p < code->program_count; p++) programs[p] = merge_program(&merging, &code->programs[p]);
    keep_launched(&merging, programs);
    code->programs = programs;
    code->kernels = merging.kernels;
    code->kernel_count = merging.kernel_count;
    arena_free(merging.scratch);
}
