// The spinning pool. Every variable that one thread writes and others watch has a cache line of its own.
//
// A run starts when thread 0 raises `epoch`; each worker answers in its own `done` line. The barrier is the
// dissemination barrier of Hensgen, Finkel and Manber ("Two algorithms for barrier synchronization", 1988): in round r
// thread t signals thread t + 2^r and waits for thread t - 2^r, so after log2(n) rounds everyone has heard of everyone.
// With two threads that is one line written and one read, the least there can be. Counters only grow, so nothing is
// ever reset.
#include "runtime/threads.h"

#include <linux/futex.h>
#include <pthread.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "runtime/topology.h"

enum {
    LINE = 64,
    MAX_ROUNDS = 10,    // 2^10 = THREADS_MAX
    SPINS = 4000,       // tens of microseconds before a waiting thread offers its time slice
    SPINS_CROWDED = 50, // when threads outnumber processors, somebody else needs this one
    YIELDS_PER_CLOCK = 64,
    SLEEP_AFTER_MILLISECONDS = 50
};

typedef struct {
    alignas(LINE) atomic_uint value;
} Counter;

typedef struct {
    Counter signals[MAX_ROUNDS];   // signals[r]: how many barriers thread t - 2^r has reached, written by it alone
    Counter done;                  // the last epoch whose body this thread has finished
    alignas(LINE) unsigned passed; // barriers this thread has passed; its own
    ThreadPool *pool;
    int number;
    pthread_t handle;
} PoolThread;

struct ThreadPool {
    MemoryOwned owned;
    Counter epoch;                 // number of runs begun
    Counter sleepers;              // workers asleep, or about to be, on epoch
    alignas(LINE) ThreadBody body; // written before epoch, read after; NULL ends the worker
    void *context;
    int count, rounds, spins;
    bool pinned;
    cpu_set_t caller_affinity;
    PoolThread *threads; // [count]
};

static inline void relax(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("isb" ::: "memory");
#endif
}

static void futex_wait(atomic_uint *word, unsigned expected) {
    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, expected, NULL, NULL, 0);
}

static void futex_wake_all(atomic_uint *word) {
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, INT32_MAX, NULL, NULL, 0);
}

// Counters wrap around after 2^32 runs; the signed difference still orders them.
static inline bool reached(atomic_uint *counter, unsigned target) {
    return (int)(atomic_load_explicit(counter, memory_order_acquire) - target) >= 0;
}

static void wait_for(atomic_uint *counter, unsigned target, int spins) {
    for (int spin = 0; spin < spins; spin++) {
        if (reached(counter, target)) return;
        relax();
    }
    while (!reached(counter, target))
        sched_yield();
}

static int64_t milliseconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void sleep_until(ThreadPool *pool, unsigned target) {
    // Either threads_run sees this count and wakes us, or the kernel sees its epoch and does not let us sleep.
    atomic_fetch_add(&pool->sleepers.value, 1);
    while (!reached(&pool->epoch.value, target))
        futex_wait(&pool->epoch.value, target - 1);
    atomic_fetch_sub(&pool->sleepers.value, 1);
}

// Spin, then yield, and sleep when nothing has come for long: evaluation is over, or a file is being written.
static void wait_for_run(ThreadPool *pool, unsigned target) {
    for (int spin = 0; spin < pool->spins; spin++) {
        if (reached(&pool->epoch.value, target)) return;
        relax();
    }
    int64_t deadline = milliseconds() + SLEEP_AFTER_MILLISECONDS;
    do {
        for (int i = 0; i < YIELDS_PER_CLOCK; i++) {
            if (reached(&pool->epoch.value, target)) return;
            sched_yield();
        }
    } while (milliseconds() < deadline);
    sleep_until(pool, target);
}

static void *pool_main(void *argument) {
    PoolThread *self = argument;
    ThreadPool *pool = self->pool;
    for (unsigned run = 1;; run++) {
        wait_for_run(pool, run);
        ThreadBody body = pool->body;
        if (!body) return NULL;
        body(pool->context, self->number, pool->count);
        atomic_store_explicit(&self->done.value, run, memory_order_release);
    }
}

void threads_run(ThreadPool *pool, ThreadBody body, void *context) {
    CHECK(body);
    if (pool->count == 1) {
        body(context, 0, 1);
        return;
    }
    pool->body = body;
    pool->context = context;
    unsigned run = atomic_load_explicit(&pool->epoch.value, memory_order_relaxed) + 1;
    atomic_store(&pool->epoch.value, run);
    if (atomic_load(&pool->sleepers.value) > 0) futex_wake_all(&pool->epoch.value);
    body(context, 0, pool->count);
    for (int t = 1; t < pool->count; t++)
        wait_for(&pool->threads[t].done.value, run, pool->spins);
}

void threads_barrier(ThreadPool *pool, int thread) {
    PoolThread *self = &pool->threads[thread];
    unsigned number = ++self->passed;
    for (int round = 0; round < pool->rounds; round++) {
        int partner = (thread + (1 << round)) % pool->count;
        atomic_store_explicit(&pool->threads[partner].signals[round].value, number, memory_order_release);
        wait_for(&self->signals[round].value, number, pool->spins);
    }
}

static void bind_to(pthread_t thread, const cpu_set_t *set) {
    // Binding is a matter of speed; where the kernel refuses it, the pool works all the same.
    (void)pthread_setaffinity_np(thread, sizeof *set, set);
}

static void bind_to_core(pthread_t thread, int cpu) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET((size_t)cpu, &set);
    bind_to(thread, &set);
}

int threads_default_count(void) {
    const Topology *topology = topology_read();
    int count = topology->core_count < THREADS_MAX ? topology->core_count : THREADS_MAX;
    if (topology->quota > 0 && topology->quota < count) count = topology->quota;
    return count > 0 ? count : 1;
}

static ThreadPool *pool_allocate(int count, bool pin) {
    const Topology *topology = topology_read();
    ThreadPool *pool = memory_allocate(sizeof *pool);
    pool->count = count;
    pool->threads = memory_allocate_array((size_t)count, sizeof *pool->threads);
    while (1 << pool->rounds < count)
        pool->rounds++;
    pool->spins = count > topology->cpu_count ? SPINS_CROWDED : SPINS;
    pool->pinned = pin && count > 1 && count <= topology->core_count;
    for (int t = 0; t < count; t++) {
        pool->threads[t].pool = pool;
        pool->threads[t].number = t;
    }
    return pool;
}

// Ends the workers 1 .. started-1 and frees the pool.
static void pool_end(ThreadPool *pool, int started) {
    memory_disown(&pool->owned);
    pool->body = NULL;
    atomic_fetch_add(&pool->epoch.value, 1);
    futex_wake_all(&pool->epoch.value);
    for (int t = 1; t < started; t++)
        pthread_join(pool->threads[t].handle, NULL);
    if (pool->pinned) bind_to(pthread_self(), &pool->caller_affinity);
    memory_release(pool->threads);
    memory_release(pool);
}

static void release_pool(void *pool) {
    threads_free(pool);
}

ThreadPool *threads_create(int count, bool pin, Diags *diags) {
    if (count < 1 || count > THREADS_MAX) {
        diag_error(diags, (Place){0}, "%d threads: must be 1 to %d", count, THREADS_MAX);
        return NULL;
    }
    ThreadPool *pool = pool_allocate(count, pin);
    if (pool->pinned && pthread_getaffinity_np(pthread_self(), sizeof(cpu_set_t), &pool->caller_affinity) != 0)
        pool->pinned = false;
    for (int t = 1; t < count; t++) {
        int error = pthread_create(&pool->threads[t].handle, NULL, pool_main, &pool->threads[t]);
        if (error) {
            diag_error(diags, (Place){0}, "cannot start thread %d of %d: %s", t + 1, count, strerror(error));
            pool_end(pool, t);
            return NULL;
        }
        if (pool->pinned) bind_to_core(pool->threads[t].handle, topology_read()->cores[t]);
    }
    if (pool->pinned) bind_to_core(pthread_self(), topology_read()->cores[0]);
    memory_own(&pool->owned, release_pool, pool);
    return pool;
}

void threads_free(ThreadPool *pool) {
    if (pool) pool_end(pool, pool->count);
}

int threads_count(const ThreadPool *pool) {
    return pool->count;
}

// ---- the worker: one job at a time, asleep between jobs

typedef enum { WORKER_IDLE, WORKER_BUSY, WORKER_END } WorkerState;

struct Worker {
    MemoryOwned owned;
    void (*job)(void *context);
    void *context;
    pthread_t handle;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    WorkerState state; // under lock
};

static void *worker_main(void *argument) {
    Worker *worker = argument;
    pthread_mutex_lock(&worker->lock);
    while (worker->state != WORKER_END) {
        if (worker->state == WORKER_IDLE) {
            pthread_cond_wait(&worker->changed, &worker->lock);
            continue;
        }
        pthread_mutex_unlock(&worker->lock);
        worker->job(worker->context);
        pthread_mutex_lock(&worker->lock);
        worker->state = WORKER_IDLE;
        pthread_cond_broadcast(&worker->changed);
    }
    pthread_mutex_unlock(&worker->lock);
    return NULL;
}

static void release_worker(void *worker) {
    worker_free(worker);
}

Worker *worker_create(void (*job)(void *context), void *context, Diags *diags) {
    Worker *worker = memory_allocate(sizeof *worker);
    worker->job = job;
    worker->context = context;
    pthread_mutex_init(&worker->lock, NULL);
    pthread_cond_init(&worker->changed, NULL);
    int error = pthread_create(&worker->handle, NULL, worker_main, worker);
    if (error) {
        diag_error(diags, (Place){0}, "cannot start a background thread: %s", strerror(error));
        pthread_cond_destroy(&worker->changed);
        pthread_mutex_destroy(&worker->lock);
        memory_release(worker);
        return NULL;
    }
    bind_to(worker->handle, &topology_read()->allowed); // not to the one core that a pinned creator is bound to
    memory_own(&worker->owned, release_worker, worker);
    return worker;
}

static void worker_set(Worker *worker, WorkerState state) {
    pthread_mutex_lock(&worker->lock);
    while (worker->state == WORKER_BUSY)
        pthread_cond_wait(&worker->changed, &worker->lock);
    worker->state = state;
    pthread_cond_broadcast(&worker->changed);
    pthread_mutex_unlock(&worker->lock);
}

void worker_start(Worker *worker) {
    worker_set(worker, WORKER_BUSY);
}

void worker_wait(Worker *worker) {
    worker_set(worker, WORKER_IDLE);
}

void worker_free(Worker *worker) {
    if (!worker) return;
    memory_disown(&worker->owned);
    worker_set(worker, WORKER_END);
    pthread_join(worker->handle, NULL);
    pthread_cond_destroy(&worker->changed);
    pthread_mutex_destroy(&worker->lock);
    memory_release(worker);
}
