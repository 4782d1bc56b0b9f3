#include "runtime/trace.h"

#include "base/clock.h"
#include "base/memory.h"

// A thread runs at most all pieces of every step, and waits at most once before each of its rounds, once to wake and
// once at the end.
static size_t most_slices(const Program *program) {
    size_t slices = 2;
    for (uint32_t s = 0; s < program->step_count; s++)
        slices += 1 + (size_t)program->steps[s].rounds + (size_t)program->steps[s].pieces;
    return slices;
}

Trace *trace_create(const Program *const *programs, int count, int threads) {
    size_t slices = 0;
    for (int i = 0; i < count; i++)
        slices = most_slices(programs[i]) > slices ? most_slices(programs[i]) : slices;
    Trace *trace = memory_allocate(sizeof *trace);
    trace->thread_count = threads;
    trace->threads = memory_allocate_array((size_t)threads, sizeof *trace->threads);
    for (int t = 0; t < threads; t++) {   // apart from each other: no two threads write to one cache line
        trace->threads[t] = memory_allocate(sizeof *trace->threads[t] + 64);
        trace->threads[t]->slices = memory_allocate_array(slices, sizeof(TraceSlice));
    }
    return trace;
}

void trace_free(Trace *trace) {
    if (!trace) return;
    for (int t = 0; t < trace->thread_count; t++) {
        memory_release(trace->threads[t]->slices);
        memory_release(trace->threads[t]);
    }
    memory_release(trace->threads);
    memory_release(trace);
}

void trace_begin(Trace *trace, const Program *program) {
    trace->program = program;
    for (int t = 0; t < trace->thread_count; t++)
        trace->threads[t]->count = 0;
    trace->begin = trace_ticks();
}

void trace_end(Trace *trace) {
    trace->end = trace_ticks();
    for (int t = 0; t < trace->thread_count; t++) {
        TraceThread *thread = trace->threads[t];
        thread->slices[thread->count++] = (TraceSlice){trace->end, trace->program->step_count, TRACE_WAIT};
    }
}

TraceClock trace_clock(void) {
    uint64_t ticks = trace_ticks();
    return (TraceClock){ticks, clock_seconds()};
}

double trace_tick_seconds(TraceClock from, TraceClock to) {
    return to.ticks > from.ticks ? (to.seconds - from.seconds) / (double)(to.ticks - from.ticks) : 0;
}
