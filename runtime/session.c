// Binding and running. All pointers are resolved once, at creation; a run is two nested loops.
#include "runtime/session.h"

#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "base/memory.h"
#include "base/size.h"

typedef struct {
    const Program *program;
    void ***buffers; // [step_count]: pointers of each step, inside `pointers`
    void **pointers;
    SessionCounter *counters; // [step_count]
} BoundProgram;

struct Session {
    ThreadPool *threads;
    char *blocks[2]; // by ProgramMemory
    size_t bytes[2];
    int program_count;
    BoundProgram *programs;
    bool profile;
};

enum { HUGE_PAGE = 2 << 20, CACHE_LINE = 64 };

bool session_bytes(const Program *const *programs, int count, size_t *state_bytes, size_t *arena_bytes) {
    size_t largest[2] = {CACHE_LINE, CACHE_LINE};
    for (int i = 0; i < count; i++) {
        if (programs[i]->state_bytes > largest[MEMORY_STATE]) largest[MEMORY_STATE] = programs[i]->state_bytes;
        if (programs[i]->arena_bytes > largest[MEMORY_ARENA]) largest[MEMORY_ARENA] = programs[i]->arena_bytes;
    }
    for (int m = 0; m < 2; m++) {
        size_t alignment = largest[m] >= HUGE_PAGE ? HUGE_PAGE : CACHE_LINE;
        if (!size_align_up(largest[m], alignment, &largest[m])) return false;
    }
    *state_bytes = largest[MEMORY_STATE];
    *arena_bytes = largest[MEMORY_ARENA];
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
    size_t first = part * (size_t)thread, last = thread + 1 == count ? lines : first + part;
    memset(task->block + first * CACHE_LINE, 0, (last - first) * CACHE_LINE);
}

static bool block_create(Session *session, ProgramMemory memory, size_t bytes) {
    size_t alignment = bytes >= HUGE_PAGE ? HUGE_PAGE : CACHE_LINE;
    char *block = alloc_table.allocate(alloc_table.context, bytes, alignment);
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
    for (uint32_t s = 0; s < program->step_count; s++)
        total += program->steps[s].buffer_count;
    bound->program = program;
    bound->buffers = memory_allocate_array(program->step_count, sizeof *bound->buffers);
    bound->pointers = memory_allocate_array(total, sizeof *bound->pointers);
    bound->counters = memory_allocate_array(program->step_count, sizeof *bound->counters);
    void **next = bound->pointers;
    for (uint32_t s = 0; s < program->step_count; s++) {
        const ProgramStep *step = &program->steps[s];
        bound->buffers[s] = next;
        for (uint32_t b = 0; b < step->buffer_count; b++)
            *next++ = resolve(session, step->buffers[b]);
        bound->counters[s].id = step->id;
    }
}

RuntimeStatus session_create(const Program *const *programs, int count, ThreadPool *threads, Session **result,
                             Diags *diags) {
    size_t bytes[2];
    bool sized = session_bytes(programs, count, &bytes[MEMORY_STATE], &bytes[MEMORY_ARENA]);
    Session *session = memory_allocate(sizeof *session);
    session->threads = threads;
    if (!sized || !block_create(session, MEMORY_STATE, bytes[MEMORY_STATE]) ||
        !block_create(session, MEMORY_ARENA, bytes[MEMORY_ARENA])) {
        session_free(session);
        diag_error(diags, (Place){0}, "out of memory: the model needs %.1f MiB of states and %.1f MiB of arena",
                   sized ? (double)bytes[MEMORY_STATE] / (1 << 20) : 0.0,
                   sized ? (double)bytes[MEMORY_ARENA] / (1 << 20) : 0.0);
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
    for (int i = 0; i < session->program_count; i++) {
        memory_release(session->programs[i].buffers);
        memory_release(session->programs[i].pointers);
        memory_release(session->programs[i].counters);
    }
    memory_release(session->programs);
    memory_release(session->blocks[MEMORY_STATE]);
    memory_release(session->blocks[MEMORY_ARENA]);
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

static inline void run_pieces(const ProgramStep *step, void *const *buffers, int thread, int count) {
    int64_t pieces = step->pieces;
    int64_t last = pieces * (thread + 1) / count;
    for (int64_t piece = pieces * thread / count; piece < last; piece++)
        step->function(buffers, piece, step->context);
}

static void run_steps(void *context, int thread, int count) {
    const Run *run = context;
    const Program *program = run->bound->program;
    for (uint32_t s = 0; s < program->step_count; s++) {
        const ProgramStep *step = &program->steps[s];
        if (step->wait) threads_barrier(run->session->threads, thread);
        run_pieces(step, run->bound->buffers[s], thread, count);
    }
}

static double seconds_now(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static void run_steps_timed(void *context, int thread, int count) {
    const Run *run = context;
    if (thread != 0) {
        run_steps(context, thread, count);
        return;
    }
    const Program *program = run->bound->program;
    double before = seconds_now();
    for (uint32_t s = 0; s < program->step_count; s++) {
        const ProgramStep *step = &program->steps[s];
        SessionCounter *counter = &run->bound->counters[s];
        if (step->wait) {
            threads_barrier(run->session->threads, thread);
            double ready = seconds_now();
            counter->wait_seconds += ready - before;
            before = ready;
        }
        run_pieces(step, run->bound->buffers[s], thread, count);
        double after = seconds_now();
        counter->seconds += after - before;
        counter->runs++;
        before = after;
    }
}

void session_run(Session *session, const Program *program) {
    Run run = {session, find_bound(session, program)};
    threads_run(session->threads, session->profile ? run_steps_timed : run_steps, &run);
}

// ---- looking in

void *session_data(const Session *session, const ProgramSlot *slot) {
    return resolve(session, slot->buffer);
}

void *session_slot_data(const Session *session, const Program *program, SlotKind kind, const char *name) {
    const ProgramSlot *slot = program_slot(program, kind, name);
    return slot ? session_data(session, slot) : NULL;
}

ThreadPool *session_threads(const Session *session) {
    return session->threads;
}

void session_profile(Session *session, bool on) {
    session->profile = on;
    for (int i = 0; on && i < session->program_count; i++) {
        BoundProgram *bound = &session->programs[i];
        for (uint32_t s = 0; s < bound->program->step_count; s++)
            bound->counters[s] = (SessionCounter){.id = bound->program->steps[s].id};
    }
}

const SessionCounter *session_counters(const Session *session, const Program *program) {
    return find_bound(session, program)->counters;
}
