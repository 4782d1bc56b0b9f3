// Small launches that do not wait for each other -> one launch: each has a range of its blocks.
//
//     level 7:  launch 45 product_1f..  96 blocks      ->   launch 31 level_8a..  98 blocks
//               launch 46 map_copy_..    1 block                if (block < 96) { level_8a.._0(b0, b1, b2, own, ..); ..
//               launch 47 map_copy_..    1 block                ...
//
// A launch's level is above those of all that it waits for: two of one level never wait for each other, not even by way
// of others (what writes over something waits for who reads it, too). Launches of the longest row have their lowest
// levels. What has time joins one that it keeps from nothing, which begins when it is ready and takes as long
// (serial.c); else it stays aside, with others that do. Each worker does what it did in its own launch: bits are the
// same. Kernels of a level that are equal, or alike but for how much there is to do, are one body, which takes its
// buffers by the block's number.
//
// Method: levels of a graph of tasks, and horizontal fusion (Li et al., "Automatic horizontal fusion for GPU kernels",
// CGO 2022), without any mixing of threads.
#include <math.h>
#include <string.h>

#include "base/hash.h"
#include "codegen/cuda/kernel.h"
#include "codegen/cuda/merge.h"
#include "codegen/lower.h"

// Beside what it costs to start a kernel, some 3 us, these take little. Parameters are at most 4 KB.
static const double small_seconds = 4e-6, launch_seconds = 3e-6;
enum { LANES = TILE_LANES, MOST_BUFFERS = 480, LEAST_THREADS = 32, MOST_THREADS = 128, BLOCKS_AT_ONCE = 32 };

typedef struct {
    CudaCode *code;
    const Target *target;
    Arena *arena, *scratch;
    KernelList kernels;      // those of the code, and merged ones
    const uint32_t *like;    // by kernel of the code: the first one that has its body, but for `works`
} Merging;

// Launches of one level that become one, equal kernels side by side.
typedef struct {
    const CudaLaunch *const *parts;
    uint32_t count, buffer_count;
    uint32_t threads;         // of a block
} Bundle;

// ---- kernels

static const CudaKernel *kernel_of(const Merging *merging, const CudaLaunch *launch) {
    return &merging->kernels.list[launch->kernel];
}

// Maps of tensors are parameters of another kind.
static bool is_mergeable(const CudaKernel *kernel) { return kernel->map_count == 0 && !kernel->is_cooperative; }

// Kernels of one bundle have equal blocks where these are fixed.
static int compare_classes(const CudaKernel *a, const CudaKernel *b) {
    uint32_t a_threads = kernel_has_fixed_blocks(a) ? a->threads : 0;
    uint32_t b_threads = kernel_has_fixed_blocks(b) ? b->threads : 0;
    if (a->text->resident != b->text->resident) return a->text->resident < b->text->resident ? -1 : 1;
    return a_threads == b_threads ? 0 : a_threads < b_threads ? -1 : 1;
}

static bool is_one_worker(const CudaKernel *kernel) { return kernel->threads == LANES; }

// As many threads as in the part's own launch, or a few more.
static uint32_t blocks_of(const Merging *merging, const CudaLaunch *part, uint32_t threads) {
    return (part->blocks * kernel_of(merging, part)->threads + threads - 1) / threads;
}

// ---- the body of a merged one: functions of its parts, and which blocks call them
//
//     if (block < 98) {
//         int own = block - 96, blocks, works;      three launches of two kernels that are alike, with a block each
//         float *x0;
//         if (own < 2) {
//             blocks = 1, works = 8;
//             switch (own / 1) {
//             case 0: x0 = b3; break;
//             default: x0 = b4; break;
//             }
//         } else {
//             own -= 2, blocks = 1, works = 4;
//             x0 = b5;
//         }
//         level_8a_1(x0, own % blocks, blocks, works);
//         return;
//     }

// Launches side by side that do the same: how many, blocks of each, where the first one's blocks and buffers begin.
typedef struct {
    const CudaKernel *kernel;
    uint32_t count, blocks, begin, buffer;
} Equal;

// Kernels with one function.
typedef struct {
    const char *function;
    const Equal *equals;
    uint32_t count;
} Alike;

// What is x0, x1, ...: the buffers of part own / blocks.
static void append_choice(const Equal *equal, const char *indent, Text *out) {
    uint32_t buffers = equal->kernel->buffer_count;
    if (equal->count > 1) text_append(out, "%sswitch (own / %u) {\n", indent, equal->blocks);
    for (uint32_t i = 0; i < equal->count; i++) {
        text_append(out, "%s", indent);
        if (i + 1 < equal->count) text_append(out, "case %u: ", i);
        else if (equal->count > 1) text_append(out, "default: ");
        for (uint32_t b = 0; b < buffers; b++)
            text_append(out, "%sx%u = b%u;", b ? " " : "", b, equal->buffer + i * buffers + b);
        text_append(out, equal->count > 1 ? " break;\n" : "\n");
    }
    if (equal->count > 1) text_append(out, "%s}\n", indent);
}

static void append_choices(const Alike *alike, Text *out) {
    uint32_t first = alike->equals[0].begin;
    for (uint32_t i = 0; i < alike->count; i++) {
        const Equal *equal = &alike->equals[i];
        uint32_t begin = equal->begin - first;
        text_append(out, i ? "        } else " : "        ");
        if (i + 1 < alike->count) text_append(out, "if (own < %u) ", begin + equal->count * equal->blocks);
        text_append(out, "{\n            ");
        if (begin) text_append(out, "own -= %u, ", begin);
        text_append(out, "blocks = %u, works = %u;\n", equal->blocks, equal->kernel->text->works);
        append_choice(equal, "            ", out);
    }
    text_append(out, "        }\n");
}

static void append_alike(const Alike *alike, Arena *scratch, Text *out) {
    const Equal *first = &alike->equals[0], *last = &alike->equals[alike->count - 1];
    const CudaText *text = first->kernel->text;
    bool has_choice = alike->count > 1 || first->count > 1;
    text_append(out, "    if (block < %u) {\n", last->begin + last->count * last->blocks);
    text_append(out, "        %sint own = block - %u%s;\n", alike->count > 1 ? "" : "const ", first->begin,
                alike->count > 1 ? ", blocks, works" : "");
    for (uint32_t b = 0; has_choice && b < first->kernel->buffer_count; b++)
        text_append(out, "        %sx%u;\n", parameter_text(scratch, &text->parameters[b], false), b);
    if (alike->count > 1) append_choices(alike, out);
    else if (has_choice) append_choice(first, "        ", out);
    text_append(out, "        %s%s(", is_one_worker(first->kernel) && !text->works ? "if (threadIdx.x < 16) " : "",
                alike->function);
    for (uint32_t b = 0; b < first->kernel->buffer_count; b++)
        text_append(out, "%c%u, ", has_choice ? 'x' : 'b', has_choice ? b : first->buffer + b);
    if (alike->count > 1) text_append(out, "own %% blocks, blocks, works");
    else text_append(out, "own %% %u, %u", first->blocks, first->blocks);
    if (alike->count == 1 && text->works) text_append(out, ", %u", text->works);
    text_append(out, ");\n        return;\n    }\n");
}

// The launches from `first` on with one body and one number of rounds.
static Equal equal_parts(const Merging *merging, const Bundle *bundle, uint32_t first) {
    const CudaLaunch *part = bundle->parts[first];
    Equal equal = {.kernel = kernel_of(merging, part), .blocks = blocks_of(merging, part, bundle->threads)};
    uint32_t like = merging->like[part->kernel], works = equal.kernel->text->works;
    for (; first + equal.count < bundle->count; equal.count++) {
        part = bundle->parts[first + equal.count];
        bool is_equal = merging->like[part->kernel] == like && kernel_of(merging, part)->text->works == works &&
                        blocks_of(merging, part, bundle->threads) == equal.blocks;
        if (!is_equal) break;
    }
    return equal;
}

static const CudaText *text_of(const Merging *merging, const Bundle *bundle, const char *symbol) {
    Text functions = text_create(merging->arena), body = text_create(merging->arena);
    CudaParameter *parameters = ARENA_ARRAY(merging->arena, CudaParameter, bundle->buffer_count + 1);
    Equal *equals = ARENA_ARRAY(merging->scratch, Equal, bundle->count + 1);
    uint32_t buffer = 0, begin = 0;
    for (uint32_t p = 0, number = 0; p < bundle->count; number++) {
        uint32_t like = merging->like[bundle->parts[p]->kernel];
        Alike alike = {.equals = equals, .function = arena_format(merging->scratch, "%s_%u", symbol, number)};
        for (; p < bundle->count && merging->like[bundle->parts[p]->kernel] == like; p += equals[alike.count++].count) {
            Equal equal = equal_parts(merging, bundle, p);
            equal.begin = begin;
            equal.buffer = buffer;
            begin += equal.count * equal.blocks;
            for (uint32_t b = 0; b < equal.count * equal.kernel->buffer_count; b++)
                parameters[buffer++] = equal.kernel->text->parameters[b % equal.kernel->buffer_count];
            equals[alike.count] = equal;
        }
        kernel_append_function(equals[0].kernel, alike.function, &functions);
        text_append(&functions, "\n");
        append_alike(&alike, merging->scratch, &body);
    }
    CudaText *text = ARENA_NEW(merging->arena, CudaText);
    *text = (CudaText){.before = text_string(&functions),
                       .letter = "b",
                       .parameters = parameters,
                       .resident = kernel_of(merging, bundle->parts[0])->text->resident,
                       .body = text_string(&body)};
    return text;
}

// ---- merged kernels and launches

// A part of few workers has small blocks, so that all multiprocessors have some.
static uint32_t threads_of(const Merging *merging, const Bundle *bundle) {
    uint32_t least = MOST_THREADS, blocks = 0;
    const CudaKernel *first = kernel_of(merging, bundle->parts[0]);
    if (kernel_has_fixed_blocks(first)) return first->threads;
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
    for (uint32_t i = merging->code->kernel_count; i < merging->kernels.count; i++)
        if (text_equal(merging->kernels.list[i].name, symbol)) return i;
    uint32_t number = 0;
    size_t shared_bytes = 0;
    CudaBuffer *buffers = ARENA_ARRAY(merging->arena, CudaBuffer, bundle->buffer_count + 1);
    for (uint32_t p = 0; p < bundle->count; p++) {
        const CudaKernel *kernel = kernel_of(merging, bundle->parts[p]);
        for (uint32_t b = 0; b < kernel->buffer_count; b++) buffers[number++] = kernel->buffers[b];
        if (kernel->shared_bytes > shared_bytes) shared_bytes = kernel->shared_bytes;
    }
    CudaKernel merged = {.name = symbol,
                         .text = text_of(merging, bundle, symbol),
                         .buffer_count = number,
                         .buffers = buffers,
                         .threads = bundle->threads,
                         .shared_bytes = shared_bytes};
    return kernel_list_add(&merging->kernels, merged);
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
        merged.serial_seconds = fmax(merged.serial_seconds, part->serial_seconds);
        if (part->id < merged.id) merged.id = part->id;
    }
    merged.kernel = find_or_add(merging, bundle);
    merged.label = arena_format(merging->arena, "%s and %u more", first->label, bundle->count - 1);
    return merged;
}

// ---- levels

static double roofline_of(const Merging *merging, const CudaLaunch *launch) {
    return fmax(launch->flops / merging->target->peak_flops, launch->bytes / merging->target->bandwidth);
}

static bool is_small(const Merging *merging, const CudaLaunch *launch) {
    if (launch->product || roofline_of(merging, launch) >= small_seconds) return false;
    return is_mergeable(kernel_of(merging, launch));
}

static double seconds_of(const Merging *merging, const CudaLaunch *launch) {
    return launch_seconds + fmax(roofline_of(merging, launch), launch->serial_seconds);
}

static uint32_t *lowest_levels(const Merging *merging, const CudaProgram *program, uint32_t *highest) {
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

// The highest levels that leave those who wait below theirs; what is large stays at its lowest one.
static uint32_t *latest_levels(const Merging *merging, const CudaProgram *program, const uint32_t *lowest,
                               uint32_t highest) {
    uint32_t *latest = ARENA_ARRAY(merging->scratch, uint32_t, (size_t)program->launch_count + 1);
    for (uint32_t i = 0; i < program->launch_count; i++) latest[i] = highest;
    for (uint32_t i = program->launch_count; i-- > 0;) {
        const CudaLaunch *launch = &program->launches[i];
        if (!is_small(merging, launch)) latest[i] = lowest[i];
        for (uint32_t k = 0; k < launch->after_count; k++)
            if (latest[launch->after[k]] >= latest[i]) latest[launch->after[k]] = latest[i] - 1;
    }
    return latest;
}

// Where launches stand. By launch of the program:
typedef struct {
    uint32_t *levels;
    bool *is_placed;
    bool *is_aside;       // merged with no one that others wait for
    double *start;        // seconds from the step's beginning, by the model
    uint32_t highest;
} Places;

static double start_of(const Merging *merging, const CudaProgram *program, const CudaLaunch *launch,
                       const Places *places) {
    double start = 0;
    for (uint32_t k = 0; k < launch->after_count; k++) {
        uint32_t before = launch->after[k];
        start = fmax(start, places->start[before] + seconds_of(merging, &program->launches[before]));
    }
    return start;
}

// Whether `other` loses nothing by being one with the launch: this is ready by then, and takes no longer than it, but
// for what a launch costs.
static bool can_join(const Merging *merging, const CudaLaunch *launch, double ready, const CudaLaunch *other,
                     double start) {
    return is_small(merging, other) && ready <= start + launch_seconds &&
           seconds_of(merging, launch) <= seconds_of(merging, other) + launch_seconds &&
           compare_classes(kernel_of(merging, launch), kernel_of(merging, other)) == 0;
}

// On the lowest level from `from` to `to` where it can join another one; else aside.
static void place(const Merging *merging, const CudaProgram *program, Places *places, uint32_t number, uint32_t from,
                  uint32_t to) {
    const CudaLaunch *launch = &program->launches[number];
    double ready = start_of(merging, program, launch, places);
    places->levels[number] = from;
    places->start[number] = ready;
    places->is_aside[number] = true;
    for (uint32_t i = 0; i < program->launch_count; i++) {
        uint32_t level = places->levels[i];
        bool is_lower = places->is_aside[number] ? level <= to : level < places->levels[number];
        if (!places->is_placed[i] || places->is_aside[i] || level < from || !is_lower) continue;
        if (!can_join(merging, launch, ready, &program->launches[i], places->start[i])) continue;
        places->levels[number] = level;
        places->start[number] = fmax(ready, places->start[i]);
        places->is_aside[number] = false;
    }
    places->is_placed[number] = true;
}

static Places places_of(const Merging *merging, const CudaProgram *program) {
    size_t count = (size_t)program->launch_count + 1;
    Places places = {.is_placed = ARENA_ARRAY(merging->scratch, bool, count),
                     .is_aside = ARENA_ARRAY(merging->scratch, bool, count),
                     .start = ARENA_ARRAY(merging->scratch, double, count)};
    places.levels = lowest_levels(merging, program, &places.highest);
    const uint32_t *latest = latest_levels(merging, program, places.levels, places.highest);
    for (uint32_t i = 0; i < program->launch_count; i++) {
        places.is_placed[i] = latest[i] == places.levels[i];
        places.start[i] = start_of(merging, program, &program->launches[i], &places);
    }
    for (uint32_t i = 0; i < program->launch_count; i++) {
        const CudaLaunch *launch = &program->launches[i];
        uint32_t from = places.levels[i];
        if (places.is_placed[i]) continue;
        for (uint32_t k = 0; k < launch->after_count; k++)
            if (places.levels[launch->after[k]] >= from) from = places.levels[launch->after[k]] + 1;
        place(merging, program, &places, i, from, latest[i]);
    }
    return places;
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

// Those of one class side by side, in these kernels that are alike, and in these equal ones.
static bool comes_before(const Merging *merging, const CudaLaunch *a, const CudaLaunch *b) {
    int order = compare_classes(kernel_of(merging, a), kernel_of(merging, b));
    if (order != 0) return order < 0;
    uint32_t a_like = merging->like[a->kernel], b_like = merging->like[b->kernel];
    return a_like != b_like ? a_like < b_like : a->kernel < b->kernel;
}

// As many of the small ones from `begin` on as have one class and room for their buffers.
static Bundle bundle_of(const Merging *merging, const CudaLaunch *const *small, uint32_t count) {
    Bundle bundle = {.parts = small};
    const CudaKernel *first = kernel_of(merging, small[0]);
    for (; bundle.count < count; bundle.count++) {
        const CudaKernel *kernel = kernel_of(merging, small[bundle.count]);
        bool fits = bundle.buffer_count + kernel->buffer_count <= MOST_BUFFERS;
        if (bundle.count > 0 && (!fits || compare_classes(kernel, first) != 0)) break;
        bundle.buffer_count += kernel->buffer_count;
    }
    return bundle;
}

// The small ones of a level in bundles, those aside or those not; the others by themselves.
static void put_level(Merging *merging, const CudaProgram *program, Merged *merged, const Places *places,
                      uint32_t level, bool is_aside) {
    const CudaLaunch **small = ARENA_ARRAY(merging->scratch, const CudaLaunch *, (size_t)program->launch_count + 1);
    uint32_t count = 0;
    for (uint32_t i = 0; i < program->launch_count; i++) {
        const CudaLaunch *launch = &program->launches[i];
        if (places->levels[i] != level || places->is_aside[i] != is_aside) continue;
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
    uint32_t count = program->launch_count;
    Places places = places_of(merging, program);
    Merged merged = {.launches = ARENA_ARRAY(merging->arena, CudaLaunch, (size_t)count + 1),
                     .place = ARENA_ARRAY(merging->scratch, uint32_t, (size_t)count + 1),
                     .words = count / 64 + 1};
    merged.reached = ARENA_ARRAY(merging->scratch, uint64_t, (count + 1) * merged.words);
    for (uint32_t level = 0; level <= places.highest && count > 0; level++)
        for (int is_aside = 0; is_aside <= 1; is_aside++)
            put_level(merging, program, &merged, &places, level, is_aside);
    CudaProgram result = *program;
    result.launches = merged.launches;
    result.launch_count = merged.count;
    return result;
}

static bool is_like(const CudaText *a, const CudaText *b) {
    return a->likeness && b->likeness && text_equal(a->likeness, b->likeness);
}

static const uint32_t *find_alike(const CudaCode *code, Arena *arena) {
    uint32_t *like = ARENA_ARRAY(arena, uint32_t, (size_t)code->kernel_count + 1);
    for (uint32_t k = 0; k < code->kernel_count; k++) {
        while (like[k] < k && !is_like(code->kernels[like[k]].text, code->kernels[k].text)) like[k]++;
    }
    return like;
}

// ---- the door

void cuda_merge_launches(CudaCode *code, const Target *target) {
    Merging merging = {.code = code,
                       .target = target,
                       .arena = code->arena,
                       .scratch = arena_create(),
                       .kernels = kernel_list(code->arena, code->kernels, code->kernel_count)};
    merging.like = find_alike(code, merging.scratch);
    CudaProgram *programs = ARENA_ARRAY(code->arena, CudaProgram, (size_t)code->program_count + 1);
    for (int p = 0; p < code->program_count; p++) programs[p] = merge_program(&merging, &code->programs[p]);
    code->programs = programs;
    code->kernels = merging.kernels.list;
    code->kernel_count = merging.kernels.count;
    cuda_keep_launched(code);
    arena_free(merging.scratch);
}
