// Trace: what every thread did during one run of a program, from one clock reading a piece.
//
// Each thread has a list of its own, so that nothing is shared while kernels run. A slice begins where the one before
// it ended, the first one at the run's begin, and the last one ends with the run: on every thread the slices add up to
// the whole run, without gaps.
//
//     thread 0   wait | qkv 0 | qkv 1 | softmax 0 | softmax 1 | wait ....... | adamw 0 | wait
//     thread 1   wait | qkv 2 | qkv 3 | softmax 2   | softmax 3       | wait | adamw 1 . | wait
#ifndef SINTER_RUNTIME_TRACE_H
#define SINTER_RUNTIME_TRACE_H

#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "runtime/program.h"

#define TRACE_WAIT UINT32_MAX

typedef struct {
    uint64_t end;     // ticks
    uint32_t step;    // number in the program; step_count: behind the last one
    uint32_t piece;   // TRACE_WAIT: no piece, but waiting for other threads before the step
} TraceSlice;

typedef struct {
    TraceSlice *slices;
    size_t count;
} TraceThread;

typedef struct {
    const Program *program;   // of the run; NULL before the first one
    uint64_t begin, end;      // ticks, read by thread 0 before the others wake and after they have finished
    int thread_count;
    TraceThread **threads;
} Trace;

// Room for a run of any of the programs.
Trace *trace_create(const Program *const *programs, int count, int threads);
void trace_free(Trace *trace);   // NULL is allowed
// Around a run, by the thread that starts it.
void trace_begin(Trace *trace, const Program *program);
void trace_end(Trace *trace);

// A counter that every core reads alike, in about 10 ns; its unit is measured, not known.
static inline uint64_t trace_ticks(void) {
#if defined(__x86_64__)
    return __builtin_ia32_rdtsc();
#elif defined(__aarch64__)
    uint64_t ticks;
    __asm__ volatile("mrs %0, cntvct_el0" : "=r"(ticks));
    return ticks;
#else
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
#endif
}

static inline void trace_add(TraceThread *thread, uint32_t step, uint32_t piece) {
    thread->slices[thread->count++] = (TraceSlice){trace_ticks(), step, piece};
}

// Two readings some time apart give the length of a tick; at least some milliseconds for three digits.
typedef struct {
    uint64_t ticks;
    double seconds;
} TraceClock;
TraceClock trace_clock(void);
double trace_tick_seconds(TraceClock from, TraceClock to);

#endif
