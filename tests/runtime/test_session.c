// A hand-made program: rows are squared (piece k needs piece k), then each row sums its neighbours of the step before
// (all pieces: a wait), then a single piece reduces. Every number of threads must give the same bits.
#include "support.h"

#include <math.h>

#include "runtime/session.h"

enum { ROWS = 37, COLUMNS = 16, PIECES = 11, BLOCK = ROWS * COLUMNS * (int)sizeof(float) };
enum { INPUT_AT = 0, SQUARE_AT = 4096, SMOOTH_AT = 8192, TOTAL_AT = 12288, ARENA = 16384 };

static void piece_rows(int64_t piece, int64_t *first, int64_t *last) {
    *first = ROWS * piece / PIECES;
    *last = ROWS * (piece + 1) / PIECES;
}

static void square(void *const *buffers, int64_t piece, const void *context) {
    (void)context;
    const float *in = buffers[0];
    float *out = buffers[1];
    int64_t first, last;
    piece_rows(piece, &first, &last);
    for (int64_t i = first * COLUMNS; i < last * COLUMNS; i++)
        out[i] = in[i] * in[i];
}

static void smooth(void *const *buffers, int64_t piece, const void *context) {
    const float *in = buffers[0], *scale = buffers[1];
    float *out = buffers[2];
    int64_t first, last, reach = *(const int64_t *)context;
    piece_rows(piece, &first, &last);
    for (int64_t row = first; row < last; row++)
        for (int64_t c = 0; c < COLUMNS; c++) {
            float sum = 0;
            for (int64_t k = -reach; k <= reach; k++)
                sum += in[(row + k + ROWS) % ROWS * COLUMNS + c] * scale[0];
            out[row * COLUMNS + c] = sum;
        }
}

static void total(void *const *buffers, int64_t piece, const void *context) {
    (void)piece;
    (void)context;
    const float *in = buffers[0];
    float *out = buffers[1], *state = buffers[2];
    float sum = 0;
    for (int i = 0; i < ROWS * COLUMNS; i++)
        sum += in[i];
    *out = sum;
    state[0] = state[0] * 0.5f + 1.0f; // the next run's scale
}

static const int64_t reach = 5;
static const ProgramBuffer square_buffers[] = {{MEMORY_ARENA, INPUT_AT}, {MEMORY_ARENA, SQUARE_AT}};
static const ProgramBuffer smooth_buffers[] = {{MEMORY_ARENA, SQUARE_AT}, {MEMORY_STATE, 0}, {MEMORY_ARENA, SMOOTH_AT}};
static const ProgramBuffer total_buffers[] = {{MEMORY_ARENA, SMOOTH_AT}, {MEMORY_ARENA, TOTAL_AT}, {MEMORY_STATE, 0}};
#define STEP(function_, context_, buffers_, count, pieces_, wait_, id_, label_)                                        \
    {                                                                                                                  \
        .function = function_, .context = context_, .buffers = buffers_, .buffer_count = count, .pieces = pieces_,     \
        .wait = wait_, .id = id_, .label = label_, .flops = 1, .bytes = 1                                              \
    }
static const ProgramStep steps[] = {
    STEP(square, NULL, square_buffers, 2, PIECES, false, 7, "square"),
    STEP(smooth, &reach, smooth_buffers, 3, PIECES, true, 8, "smooth"),
    STEP(total, NULL, total_buffers, 3, 1, true, 9, "total"),
    STEP(square, NULL, square_buffers, 2, PIECES, true, 10, "square again"),
};
static const ProgramSlot slots[] = {
    {.name = "x", .kind = SLOT_INPUT, .buffer = {MEMORY_ARENA, INPUT_AT}, .bytes = BLOCK},
    {.name = "scale", .kind = SLOT_STATE, .buffer = {MEMORY_STATE, 0}, .bytes = 64},
    {.name = "x", .kind = SLOT_OUTPUT, .buffer = {MEMORY_ARENA, SMOOTH_AT}, .bytes = BLOCK},
    {.name = "total", .kind = SLOT_OUTPUT, .buffer = {MEMORY_ARENA, TOTAL_AT}, .bytes = 64},
};
static const Program program = {.name = "walk",
                                .steps = steps,
                                .step_count = 4,
                                .slots = slots,
                                .slot_count = 4,
                                .state_bytes = 64,
                                .arena_bytes = ARENA};
static const Program larger = {.name = "larger",
                               .steps = steps,
                               .step_count = 1,
                               .slots = slots,
                               .slot_count = 4,
                               .state_bytes = 128,
                               .arena_bytes = 3 << 20};

// Every piece once, on the thread it belongs to, and slices without gaps from the run's begin to its end.
static void trace_is_whole(const Trace *trace, int threads) {
    int seen[4][PIECES] = {{0}}, waits = 0;
    assert_ptr_equal(trace->program, &program);
    assert_int_equal(trace->thread_count, threads);
    for (int t = 0; t < threads; t++) {
        const TraceThread *thread = trace->threads[t];
        uint64_t before = trace->begin;
        for (size_t i = 0; i < thread->count; i++) {
            const TraceSlice *slice = &thread->slices[i];
            assert_true(slice->end >= before);
            before = slice->end;
            if (slice->piece == TRACE_WAIT) {
                waits++;
                continue;
            }
            assert_true(slice->step < 4 && slice->piece < steps[slice->step].pieces);
            assert_true(slice->piece >= steps[slice->step].pieces * (uint32_t)t / (uint32_t)threads);
            seen[slice->step][slice->piece]++;
        }
        assert_true(before == trace->end);
        assert_int_equal(thread->slices[thread->count - 1].step, program.step_count);
    }
    assert_int_equal(waits, threads * (3 + 2)); // three waiting steps, waking and the end
    for (uint32_t s = 0; s < 4; s++)
        for (uint32_t piece = 0; piece < steps[s].pieces; piece++)
            assert_int_equal(seen[s][piece], 1);
}

static void run_walk(Fixture *fixture, int threads, int runs, bool profile, float *totals) {
    const Program *programs[] = {&program, &larger};
    ThreadPool *pool = threads_create(threads, false, fixture->diags);
    Session *session;
    assert_int_equal(session_create(programs, 2, pool, &session, fixture->diags), RUNTIME_OK);
    session_profile(session, profile);
    float *x = session_slot_data(session, &program, SLOT_INPUT, "x");
    float *scale = session_slot_data(session, &program, SLOT_STATE, "scale");
    assert_ptr_not_equal(x, session_slot_data(session, &program, SLOT_OUTPUT, "x"));
    assert_null(session_slot_data(session, &program, SLOT_INPUT, "total"));
    assert_true(*scale == 0.0f); // states begin as zeros
    *scale = 0.3f;
    for (int run = 0; run < runs; run++) {
        for (int i = 0; i < ROWS * COLUMNS; i++)
            x[i] = sinf((float)(i + run));
        session_run(session, &program);
        totals[run] = *(float *)session_slot_data(session, &program, SLOT_OUTPUT, "total");
    }
    if (profile)
        trace_is_whole(session_trace(session), threads);
    else
        assert_null(session_trace(session));
    session_free(session);
    threads_free(pool);
}

static void equal_for_every_thread_count(void **state) {
    enum { RUNS = 50 };
    float expected[RUNS], totals[RUNS];
    run_walk(*state, 1, RUNS, false, expected);
    assert_true(expected[0] > 0 && expected[1] != expected[0]);
    const int counts[] = {2, 3, 4, 7};
    for (int i = 0; i < 4; i++) {
        run_walk(*state, counts[i], RUNS, i % 2 == 1, totals);
        assert_memory_equal(totals, expected, sizeof expected);
    }
}

// ---- a chain inside of a strand
//
//     step 0  3 elements of each of 6 pieces become 3 times as many, whole in scratch    w[i] = 10 * piece + i
//     step 1  of each of 18 ranges, alone in scratch memory                              r = w[range] + 1
//     step 2  chained: adds the range to what the piece has, whole in scratch            sum[0] += r, from range 0 on
//     step 3  of each piece                                                              out[piece] = sum[0]

enum { STRANDS = 6, RANGES = 3, LINE = 64 };
static const ProgramBuffer nest_whole[] = {{MEMORY_SCRATCH, 0}};
static const ProgramBuffer nest_range[] = {{MEMORY_SCRATCH, 0}, {MEMORY_SCRATCH, LINE}};
static const ProgramBuffer nest_sum[] = {{MEMORY_SCRATCH, LINE}, {MEMORY_SCRATCH, 2 * LINE}};
static const ProgramBuffer nest_out[] = {{MEMORY_SCRATCH, 2 * LINE}, {MEMORY_ARENA, 0}};
static const ProgramWindow whole_window[] = {{LINE, 1}};
static const ProgramWindow range_windows[] = {{LINE, RANGES}, {LINE, 1}};
static const ProgramWindow sum_windows[] = {{LINE, 1}, {LINE, RANGES}};
static const ProgramWindow out_windows[] = {{LINE, 1}, {0, 0}};

// The part of a window that the piece has: buffers are given as if all pieces lay there.
static float *line_of(void *buffer, int64_t line) {
    return (float *)((char *)buffer + line * LINE);
}

static void nest_make(void *const *buffers, int64_t piece, const void *context) {
    (void)context;
    for (int i = 0; i < RANGES; i++)
        line_of(buffers[0], piece)[i] = (float)(10 * piece + i);
}

static void nest_take(void *const *buffers, int64_t range, const void *context) {
    (void)context;
    *line_of(buffers[1], range) = line_of(buffers[0], range / RANGES)[range % RANGES] + 1;
}

static void nest_add(void *const *buffers, int64_t range, const void *context) {
    (void)context;
    float *sum = line_of(buffers[1], range / RANGES);
    *sum = (range % RANGES ? *sum : 0) + *line_of(buffers[0], range);
}

static void nest_put(void *const *buffers, int64_t piece, const void *context) {
    (void)context;
    ((float *)buffers[1])[piece] = *line_of(buffers[0], piece);
}

#define NESTED(function_, buffers_, count, windows_, pieces_, joined_, chained_, id_)                                  \
    {                                                                                                                  \
        .function = function_, .buffers = buffers_, .buffer_count = count, .windows = windows_, .pieces = pieces_,     \
        .groups = 2, .joined = joined_, .chained = chained_, .id = id_, .label = "nested"                              \
    }
static const ProgramStep nest_steps[] = {
    NESTED(nest_make, nest_whole, 1, whole_window, STRANDS, false, false, 0),
    NESTED(nest_take, nest_range, 2, range_windows, STRANDS * RANGES, true, false, 1),
    NESTED(nest_add, nest_sum, 2, sum_windows, STRANDS * RANGES, true, true, 2),
    NESTED(nest_put, nest_out, 2, out_windows, STRANDS, true, false, 3),
};
static const ProgramSlot nest_slots[] = {
    {.name = "out", .kind = SLOT_OUTPUT, .buffer = {MEMORY_ARENA, 0}, .bytes = LINE},
};
static const Program nest = {.name = "nest", .steps = nest_steps, .step_count = 4, .slots = nest_slots, .slot_count = 1,
                             .state_bytes = 64, .arena_bytes = LINE, .scratch_bytes = 3 * LINE};

// Within a piece, all ranges of both steps of the chain before the step behind them.
static void trace_is_nested(const Trace *trace) {
    const TraceThread *thread = trace->threads[0];
    size_t at = 0;
    for (int64_t piece = 0; piece < STRANDS; piece++)
        for (uint32_t i = 0; i < 2 + 2 * RANGES; i++, at++) {
            while (thread->slices[at].piece == TRACE_WAIT) at++;
            bool is_chain = i > 0 && i < 1 + 2 * RANGES;
            uint32_t step = is_chain ? 1 + (i - 1) % 2 : i == 0 ? 0 : 3;
            assert_int_equal(thread->slices[at].step, step);
            assert_int_equal(thread->slices[at].piece, is_chain ? piece * RANGES + (i - 1) / 2 : piece);
        }
}

static void a_chain_runs_inside_of_a_strand(void **state) {
    Fixture *fixture = *state;
    for (int threads = 1; threads <= 3; threads++)
        for (int profile = 0; profile < 2; profile++) {
            ThreadPool *pool = threads_create(threads, false, fixture->diags);
            Session *session;
            assert_int_equal(session_create((const Program *[]){&nest}, 1, pool, &session, fixture->diags), RUNTIME_OK);
            session_profile(session, profile);
            session_run(session, &nest);
            const float *out = session_slot_data(session, &nest, SLOT_OUTPUT, "out");
            for (int piece = 0; piece < STRANDS; piece++)
                assert_true(out[piece] == (float)(RANGES * 10 * piece + RANGES * (RANGES - 1) / 2 + RANGES));
            if (profile && threads == 1) trace_is_nested(session_trace(session));
            session_free(session);
            threads_free(pool);
        }
}

static void blocks_are_the_largest(void **state) {
    (void)state;
    const Program *programs[] = {&program, &larger};
    size_t bytes[MEMORY_COUNT];
    assert_true(session_bytes(programs, 2, 3, bytes));
    assert_int_equal(bytes[MEMORY_STATE], 128);
    assert_int_equal(bytes[MEMORY_ARENA], 4 << 20); // whole huge pages
    assert_int_equal(bytes[MEMORY_SCRATCH], 0);
    Program scratched = program;
    scratched.scratch_bytes = 100;
    assert_true(session_bytes((const Program *[]){&scratched}, 1, 3, bytes));
    assert_int_equal(bytes[MEMORY_SCRATCH], 3 * 4096); // no two threads share a page
    Program absurd = program;
    absurd.arena_bytes = SIZE_MAX - 5;
    assert_false(session_bytes((const Program *[]){&absurd}, 1, 1, bytes));
}

enum { MOST_REQUESTS = 64 };
static size_t requests[MOST_REQUESTS], request_count;

static void *note_request(void *context, size_t bytes, size_t alignment) {
    (void)context;
    assert_true(request_count < MOST_REQUESTS);
    requests[request_count++] = bytes;
    return aligned_alloc(alignment, (bytes + alignment - 1) / alignment * alignment);
}

static void release(void *context, void *memory) {
    (void)context;
    free(memory);
}

// What session_bytes foretells is asked for in one request each, to the byte, and all else is small.
static void what_is_planned_is_what_is_mapped(void **state) {
    Fixture *fixture = *state;
    Program scratched = larger;
    scratched.scratch_bytes = 100000;
    const Program *programs[] = {&program, &scratched};
    ThreadPool *pool = threads_create(3, false, fixture->diags);
    Session *session = NULL;
    AllocTable before = alloc_table;
    request_count = 0;
    alloc_table = (AllocTable){note_request, release, NULL, 1};
    assert_int_equal(session_create(programs, 2, pool, &session, fixture->diags), RUNTIME_OK);
    size_t planned[MEMORY_COUNT], small = 0;
    assert_true(session_bytes(programs, 2, 3, planned));
    for (size_t i = 0; i < request_count; i++) {
        int memory = 0;
        while (memory < MEMORY_COUNT && planned[memory] != requests[i])
            memory++;
        if (memory < MEMORY_COUNT)
            planned[memory] = 0; // met, and not again
        else
            small += requests[i];
    }
    for (int memory = 0; memory < MEMORY_COUNT; memory++)
        assert_int_equal(planned[memory], 0);
    assert_true(small < 8192);
    session_free(session);
    alloc_table = before;
    threads_free(pool);
}

static void *refuse_large(void *context, size_t bytes, size_t alignment) {
    (void)context;
    return bytes > (1 << 20) ? NULL : aligned_alloc(alignment, (bytes + alignment - 1) / alignment * alignment);
}

static void refused_memory_is_said(void **state) {
    Fixture *fixture = *state;
    ThreadPool *pool = threads_create(1, false, fixture->diags);
    Session *session = NULL;
    const Program *programs[] = {&larger};
    AllocTable before = alloc_table;
    alloc_table.allocate = refuse_large;
    alloc_table.release = release;
    RuntimeStatus status = session_create(programs, 1, pool, &session, fixture->diags);
    alloc_table = before;
    assert_int_equal(status, RUNTIME_MEMORY);
    assert_null(session);
    assert_says(fixture, "out of memory: the model needs");
    threads_free(pool);
}

static void slots_by_kind_and_name(void **state) {
    (void)state;
    assert_ptr_equal(program_slot(&program, SLOT_OUTPUT, "x"), &slots[2]);
    assert_ptr_equal(program_slot(&program, SLOT_INPUT, "x"), &slots[0]);
    assert_null(program_slot(&program, SLOT_STATE, "x"));
    program_free(NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(equal_for_every_thread_count),
        FIXTURE_TEST(a_chain_runs_inside_of_a_strand),
        FIXTURE_TEST(blocks_are_the_largest),
        FIXTURE_TEST(what_is_planned_is_what_is_mapped),
        FIXTURE_TEST(refused_memory_is_said),
        FIXTURE_TEST(slots_by_kind_and_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
