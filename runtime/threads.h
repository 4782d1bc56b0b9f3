// Threads: a fixed pool that spins between the steps of a program, and a worker for one background job.
//
//     ThreadPool *pool = threads_create(4, true, diags);
//     threads_run(pool, body, &context);        // body(&context, thread, 4) on all four; returns when all are done
//     ... inside body: threads_barrier(pool, thread);
//
// A barrier costs about 0.1 us between two cores that share a cache. When more threads than processors take part,
// waiting threads give up their time slice, so that every count makes progress.
#ifndef SINTER_RUNTIME_THREADS_H
#define SINTER_RUNTIME_THREADS_H

#include <stdbool.h>

#include "base/diag.h"

typedef struct ThreadPool ThreadPool;
typedef void (*ThreadBody)(void *context, int thread, int count);

enum { THREADS_MAX = 1024 };

// Physical cores allowed by affinity and cgroup quota, SMT siblings counted once; at least 1.
int threads_default_count(void);

// `count` threads, 1 to THREADS_MAX; the calling thread is thread 0 of every run. `pin` binds thread t to core t while
// 1 < count <= physical cores (otherwise it is ignored); the caller is bound too, until threads_free, and threads that
// it starts meanwhile inherit that: create the pool after compiling. NULL with a diagnostic when a thread cannot start.
ThreadPool *threads_create(int count, bool pin, Diags *diags);
void threads_free(ThreadPool *pool);  // NULL is allowed
int threads_count(const ThreadPool *pool);

// Fork and join: body runs on every thread, then the call returns. Only the thread that created the pool may call it,
// and not from inside a body. Everything written before is visible in body, everything body wrote is visible after.
void threads_run(ThreadPool *pool, ThreadBody body, void *context);
// All threads of the pool must call it equally often within one body; `thread` is the number body was given.
void threads_barrier(ThreadPool *pool, int thread);

// One background thread that runs `job(context)` once per worker_start and sleeps otherwise.
typedef struct Worker Worker;
Worker *worker_create(void (*job)(void *context), void *context, Diags *diags);  // NULL with a diagnostic
void worker_start(Worker *worker);  // the former job must have been waited for
void worker_wait(Worker *worker);   // until the started job is done; returns at once when none is
void worker_free(Worker *worker);   // waits first; NULL is allowed

#endif
