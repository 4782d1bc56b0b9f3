// Binding and running. All pointers are resolved once, at creation; a run is a few nested loops.
#include "runtime/session_device.h"

#include <math.h>
#include <string.h>
#include <sys/mman.h>

#include "base/memory.h"
#include "base/planted.h"
#include "base/size.h"

typedef struct {
    const Program *program;
    void ***buffers; // [step_count]: pointers of each step, inside `pointers`; scratch as thread 0 has it for piece 0
    void **pointers;
    const float *loss, *grad_norm, *loss_scale;  // NULL where the program has none
} BoundProgram;

struct Session {
    MemoryOwned owned;
    ThreadPool *threads;
    char *blocks[MEMORY_COUNT]; // scratch: one part for each thread
    size_t bytes[MEMORY_COUNT];
    size_t scratch_bytes;       // of one thread
    int program_count;
    BoundProgram *programs;
    Trace *trace;               // made by the first session_profile
    bool profile;
    const BoundProgram *done;   // the run not collected yet
    const SessionDevice *functions;  // NULL: the processor, and all above
    void *device;
};

enum { HUGE_PAGE = 2 << 20, PAGE = 4096, CACHE_LINE = 64, MOST_SCRATCH_BUFFERS = 256 };

static size_t larger(size_t a, size_t b) {
    return a > b ? a : b;
}

// Bytes of one thread, in whole pages: no two threads write to one.
static bool scratch_of_thread(const Program *const *programs, int count, size_t *bytes) {
    *bytes = 0;
    for (int i = 0; i < count; i++)
        *bytes = larger(*bytes, programs[i]->scratch_bytes);
    return size_align_up(*bytes, PAGE, bytes);
}

bool session_bytes(const Program *const *programs, int count, int threads, size_t bytes[MEMORY_COUNT]) {
    bytes[MEMORY_STATE] = bytes[MEMORY_ARENA] = CACHE_LINE;
    for (int i = 0; i < count; i++) {
        bytes[MEMORY_STATE] = larger(bytes[MEMORY_STATE], programs[i]->state_bytes);
        bytes[MEMORY_ARENA] = larger(bytes[MEMORY_ARENA], programs[i]->arena_bytes);
    }
    size_t scratch;
    if (!scratch_of_thread(programs, count, &scratch) ||
        !size_multiply(scratch, (size_t)threads, &bytes[MEMORY_SCRATCH]))
        return false;
    for (int m = 0; m < MEMORY_COUNT; m++) {
        size_t alignment = bytes[m] >= HUGE_PAGE ? HUGE_PAGE : CACHE_LINE;
        if (!size_align_up(bytes[m], alignment, &bytes[m])) return false;
    }
    return true;
}

typedef struct {
    char *block;
    size_t bytes;
} ZeroTask;

// Pages come into being where they are first written, so all threads share that work.
static void zero_part(void *context, int thread, int count) {
    const ZeroTask *task = context;
    size_t lines = task->bytes / CACHE_LINE, part = lines / (size_t)count;
    size_t first = part * (size_t)thread * CACHE_LINE;
    size_t end = thread + 1 == count ? task->bytes : first + part * CACHE_LINE;
    memset(task->block + first, 0, end - first);
}

static bool block_create(Session *session, ProgramMemory memory, size_t bytes) {
    if (bytes == 0) return true;
    size_t alignment = bytes >= HUGE_PAGE ? HUGE_PAGE : CACHE_LINE;
    char *block = memory_allocate_large(bytes, alignment);
    if (!block) return false;
    if (alignment == HUGE_PAGE) madvise(block, bytes, MADV_HUGEPAGE); // a hint: refusal costs only speed
    session->blocks[memory] = block;
    session->bytes[memory] = bytes;
    threads_run(session->threads, zero_part, &(ZeroTask){block, bytes});
    return true;
}

static void *resolve(const Session *session, ProgramBuffer buffer) {
    CHECK(buffer.offset < session->bytes[buffer.memory]);
    return session->blocks[buffer.memory] + buffer.offset;
}

static void bind_program(Session *session, BoundProgram *bound, const Program *program) {
    size_t total = 0;
    for (uint32_t s = 0; s < program->step_count; s++) {
        CHECK(!program->steps[s].windows || program->steps[s].buffer_count <= MOST_SCRATCH_BUFFERS);
        total += program->steps[s].buffer_count;
    }
    bound->program = program;
    bound->buffers = memory_allocate_array(program->step_count, sizeof *bound->buffers);
    bound->pointers = memory_allocate_array(total, sizeof *bound->pointers);
    void **next = bound->pointers;
    for (uint32_t s = 0; s < program->step_count; s++) {
        const ProgramStep *step = &program->steps[s];
        bound->buffers[s] = next;
        for (uint32_t b = 0; b < step->buffer_count; b++)
            *next++ = resolve(session, step->buffers[b]);
    }
    bound->loss = session_slot_data(session, program, SLOT_OUTPUT, "loss");
    bound->grad_norm = session_slot_data(session, program, SLOT_OUTPUT, "grad_norm");
    bound->loss_scale = session_slot_data(session, program, SLOT_OUTPUT, "loss_scale");
}

static bool blocks_create(Session *session, const size_t bytes[MEMORY_COUNT]) {
    for (int m = 0; m < MEMORY_COUNT; m++)
        if (!block_create(session, (ProgramMemory)m, bytes[m])) return false;
    return true;
}

static void release_session(void *session) {
    session_free(session);
}

RuntimeStatus session_create(const Program *const *programs, int count, ThreadPool *threads, Session **result,
                             Diags *diags) {
    size_t bytes[MEMORY_COUNT];
    bool sized = session_bytes(programs, count, threads_count(threads), bytes);
    Session *session = memory_allocate(sizeof *session);
    memory_own(&session->owned, release_session, session);
    session->threads = threads;
    if (!sized || !scratch_of_thread(programs, count, &session->scratch_bytes) || !blocks_create(session, bytes)) {
        session_free(session);
        diag_error(
            diags, (Place){0},
            "out of memory: the model needs %.1f MiB of states, %.1f MiB of arena and %.1f MiB of scratch memory",
            sized ? (double)bytes[MEMORY_STATE] / (1 << 20) : 0.0,
            sized ? (double)bytes[MEMORY_ARENA] / (1 << 20) : 0.0,
            sized ? (double)bytes[MEMORY_SCRATCH] / (1 << 20) : 0.0);
        return RUNTIME_MEMORY;
    }
    session->programs = memory_allocate_array((size_t)count, sizeof *session->programs);
    session->program_count = count;
    for (int i = 0; i < count; i++)
        bind_program(session, &session->programs[i], programs[i]);
    *result = session;
    return RUNTIME_OK;
}

void session_free(Session *session) {
    if (!session) return;
    memory_disown(&session->owned);
    if (session->functions) session->functions->free(session->device);
    for (int i = 0; i < session->program_count; i++) {
        memory_release(session->programs[i].buffers);
        memory_release(session->programs[i].pointers);
    }
    memory_release(session->programs);
    trace_free(session->trace);
    for (int m = 0; m < MEMORY_COUNT; m++)
        memory_release_large(session->blocks[m]);
    memory_release(session);
}

static BoundProgram *find_bound(const Session *session, const Program *program) {
    for (int i = 0; i < session->program_count; i++)
        if (session->programs[i].program == program) return &session->programs[i];
    BUG("program '%s' was not given to session_create", program->name);
}

// ---- running

typedef struct {
    Session *session;
    const BoundProgram *bound;
} Run;

static uint32_t strand_end(const Program *program, uint32_t first) {
    uint32_t end = first + 1;
    while (end < program->step_count && program->steps[end].joined)
        end++;
    return end;
}

// The step after the last one that runs round by round with `first`, or with its strand.
static uint32_t rounds_end(const Program *program, uint32_t first) {
    uint32_t end = first;
    while (end < program->step_count && program->steps[end].rounds)
        end++;
    return end > first ? end : strand_end(program, first);
}

// Where the pieces of thread `thread` of `count` begin in a round, and those of the thread before it end.
static int64_t first_piece(const ProgramStep *step, int64_t round, int thread, int count) {
    int64_t pieces = step->rounds ? step->pieces / step->rounds : step->pieces;
    int64_t units = step->groups ? step->groups : pieces;
    int64_t first = PLANTED(last_piece_lost) ? units / count * thread : units * thread / count;
    return round * pieces + first * (pieces / units);
}

// Runs one piece of a step. What is never whole in memory is handed over as if the whole buffer lay there.
static inline void run_piece(const Run *run, uint32_t s, int thread, int64_t piece) {
    const ProgramStep *step = &run->bound->program->steps[s];
    void *const *buffers = run->bound->buffers[s];
    if (!step->windows) {
        step->function(buffers, piece, step->context);
        return;
    }
    void *moved[MOST_SCRATCH_BUFFERS];
    for (uint32_t b = 0; b < step->buffer_count; b++) {
        uintptr_t start = (uintptr_t)buffers[b];
        ProgramWindow window = step->windows[b];
        if (window.bytes) {
            int64_t at = piece / (PLANTED(window_of_each_range) ? 1 : window.pieces);
            start -= (uintptr_t)at * window.bytes;
            if (step->buffers[b].memory == MEMORY_SCRATCH) start += (uintptr_t)thread * run->session->scratch_bytes;
        }
        moved[b] = (void *)start;
    }
    step->function(moved, piece, step->context);
}

// Runs one piece of a strand. A chain inside of it goes through all of its ranges before the strand's next step.
// `trace`: NULL, or where the thread notes when each piece and each wait has ended.
static inline __attribute__((always_inline)) void walk_strand(const Run *run, uint32_t first, uint32_t end, int thread,
                                                              int64_t piece, TraceThread *trace) {
    const ProgramStep *steps = run->bound->program->steps;
    for (uint32_t s = first, next; s < end; s = next) {
        int64_t ranges = steps[s].pieces / steps[first].pieces;
        for (next = s + 1; next < end && steps[next].chained;) next++;
        for (int64_t range = piece * ranges; range < (piece + 1) * ranges; range++)
            for (uint32_t step = s; step < next; step++) {
                run_piece(run, step, thread, range);
                if (trace) trace_add(trace, step, (uint32_t)range);
            }
    }
}

static inline __attribute__((always_inline)) void walk_steps(const Run *run, int thread, int count,
                                                             TraceThread *trace) {
    const Program *program = run->bound->program;
    if (trace) trace_add(trace, 0, TRACE_WAIT);
    for (uint32_t first = 0; first < program->step_count;) {
        uint32_t end = rounds_end(program, first), round = 0;
        do {
            for (uint32_t s = first, next; s < end; s = next) {
                bool begins = round > 0 && s == first;
                bool wait = (begins || program->steps[s].wait) && !(PLANTED(barrier_passed) && s % 2);
                if (wait) {
                    threads_barrier(run->session->threads, thread);
                    if (trace) trace_add(trace, s, TRACE_WAIT);
                }
                next = strand_end(program, s);
                int64_t last = first_piece(&program->steps[s], round, thread + 1, count);
                for (int64_t piece = first_piece(&program->steps[s], round, thread, count); piece < last; piece++)
                    walk_strand(run, s, next, thread, piece, trace);
            }
        } while (++round < program->steps[first].rounds);
        first = end;
    }
}

static void run_steps(void *context, int thread, int count) {
    walk_steps(context, thread, count, NULL);
}

static void run_steps_traced(void *context, int thread, int count) {
    const Run *run = context;
    walk_steps(run, thread, count, run->session->trace->threads[thread]);
}

void session_run(Session *session, const Program *program) {
    Run run = {session, find_bound(session, program)};
    if (!session->profile) {
        threads_run(session->threads, run_steps, &run);
        return;
    }
    trace_begin(session->trace, program);
    threads_run(session->threads, run_steps_traced, &run);
    trace_end(session->trace);
}

// ---- runs and memory, here or on a device

Session *session_create_on(const SessionDevice *functions, void *device, ThreadPool *threads) {
    Session *session = memory_allocate(sizeof *session);
    session->threads = threads;
    session->functions = functions;
    session->device = device;
    memory_own(&session->owned, release_session, session);
    return session;
}

void *session_device(const Session *session, const SessionDevice *functions) {
    return session->functions == functions ? session->device : NULL;
}

bool run_overflowed(float loss, float grad_norm, float loss_scale) {
    return isfinite(loss) && !isfinite(grad_norm) && loss_scale > 1;
}

int session_ahead(const Session *session) {
    return session->functions ? session->functions->ahead : 0;
}

bool session_submit(Session *session, const Program *program, RunOrder order, Diags *diags) {
    if (session->functions) return session->functions->submit(session->device, program, order, diags);
    CHECK(!session->done);
    session_run(session, program);
    session->done = find_bound(session, program);
    return true;
}

static float value_or_nan(const float *value) {
    return value ? *value : NAN;
}

bool session_collect(Session *session, bool wait, bool *is_done, RunResult *result, Diags *diags) {
    if (session->functions) return session->functions->collect(session->device, wait, is_done, result, diags);
    const BoundProgram *done = session->done;
    CHECK(done);
    *result = (RunResult){value_or_nan(done->loss), value_or_nan(done->grad_norm), value_or_nan(done->loss_scale)};
    *is_done = true;
    session->done = NULL;
    return true;
}

bool session_complete(Session *session, const Program *program, RunResult *result, Diags *diags) {
    bool is_done = false;
    return session_submit(session, program, (RunOrder){.place = RUN_ALONE, .forgiven = UINT32_MAX}, diags) &&
           session_collect(session, true, &is_done, result, diags) && is_done;
}

void *session_data(const Session *session, const ProgramSlot *slot) {
    if (!session->functions) return resolve(session, slot->buffer);
    if (slot->kind != SLOT_INPUT) BUG("'%s' lies on a device", slot->name);
    return session->functions->input(session->device, slot);
}

void *session_slot_data(const Session *session, const Program *program, SlotKind kind, const char *name) {
    const ProgramSlot *slot = program_slot(program, kind, name);
    return slot ? session_data(session, slot) : NULL;
}

ThreadPool *session_threads(const Session *session) {
    return session->threads;
}

void *session_map(const Session *session, const ProgramSlot *slot, MapUse use, Diags *diags) {
    if (!session->functions || slot->kind == SLOT_INPUT) return session_data(session, slot);
    void *memory = memory_allocate(slot->bytes);
    if (use == MAP_WRITE || session->functions->read(session->device, memory, slot, diags)) return memory;
    memory_release(memory);
    return NULL;
}

bool session_unmap(const Session *session, const ProgramSlot *slot, void *memory, MapUse use, Diags *diags) {
    if (!session->functions || slot->kind == SLOT_INPUT) return true;
    bool done = use == MAP_READ || session->functions->write(session->device, slot, memory, diags);
    memory_release(memory);
    return done;
}

bool session_clear(const Session *session, const ProgramSlot *slot, Diags *diags) {
    if (session->functions) return session->functions->clear(session->device, slot, diags);
    threads_run(session->threads, zero_part, &(ZeroTask){session_data(session, slot), slot->bytes});
    return true;
}

// ---- looking at time

bool session_time(Session *session, const Program *program, double *times, RunResult *result, Diags *diags) {
    bool is_done = false;
    CHECK(session->functions);
    return session->functions->time(session->device, program, times, diags) &&
           session_collect(session, true, &is_done, result, diags) && is_done;
}

void session_profile(Session *session, bool on) {
    session->profile = on;
    if (!on || session->trace) return;
    const Program **programs = memory_allocate_array((size_t)session->program_count, sizeof *programs);
    for (int i = 0; i < session->program_count; i++)
        programs[i] = session->programs[i].program;
    session->trace = trace_create(programs, session->program_count, threads_count(session->threads));
    memory_release(programs);
}

const Trace *session_trace(const Session *session) {
    return session->trace;
}
