// The pool at every count, crowded or not; the worker.
#include "support.h"

#include <stdatomic.h>
#include <time.h>

#include "runtime/threads.h"
#include "runtime/topology.h"

enum { MAX_COUNT = 16 };

typedef struct {
    ThreadPool *pool;
    int barriers;
    int reached[MAX_COUNT][16]; // by thread; a cache line each; plain ints: the barrier alone orders them
    atomic_int mismatches;
} Lockstep;

// Between two barriers every thread writes its own counter; after them all counters must be equal.
static void walk_in_lockstep(void *context, int thread, int count) {
    Lockstep *lockstep = context;
    for (int i = 1; i <= lockstep->barriers; i++) {
        lockstep->reached[thread][0] = i;
        threads_barrier(lockstep->pool, thread);
        for (int t = 0; t < count; t++)
            if (lockstep->reached[t][0] != i) atomic_fetch_add(&lockstep->mismatches, 1);
        threads_barrier(lockstep->pool, thread);
    }
}

static void check_barriers(Fixture *fixture, int count, int barriers) {
    Lockstep lockstep = {.pool = threads_create(count, count % 2 == 0, fixture->diags), .barriers = barriers};
    assert_non_null(lockstep.pool);
    assert_int_equal(threads_count(lockstep.pool), count);
    threads_run(lockstep.pool, walk_in_lockstep, &lockstep);
    assert_int_equal(lockstep.mismatches, 0);
    for (int t = 0; t < count; t++)
        assert_int_equal(lockstep.reached[t][0], barriers);
    threads_free(lockstep.pool);
}

static void barriers_hold(void **state) {
    check_barriers(*state, 1, 10000);
    check_barriers(*state, 2, 10000);
    check_barriers(*state, 3, 2000);
    check_barriers(*state, 4, 2000);
    check_barriers(*state, 16, 200);
}

static void seven_threads_make_progress(void **state) {
    check_barriers(*state, 7, 10000);
}

typedef struct {
    int sums[MAX_COUNT][16];
    int added;
} Sums;

static void add_own(void *context, int thread, int count) {
    Sums *sums = context;
    (void)count;
    sums->sums[thread][0] += sums->added;
}

static void many_runs(void **state) {
    Fixture *fixture = *state;
    for (int count = 1; count <= 7; count++) {
        Sums sums = {.added = 0};
        ThreadPool *pool = threads_create(count, false, fixture->diags);
        int expected = 0;
        for (int run = 0; run < 2000; run++) {
            sums.added = run;
            expected += run;
            threads_run(pool, add_own, &sums);
            for (int t = 0; t < count; t++)
                assert_int_equal(sums.sums[t][0], expected);
        }
        threads_free(pool);
    }
}

static void pause_milliseconds(long milliseconds) {
    nanosleep(&(struct timespec){.tv_nsec = milliseconds * 1000000}, NULL);
}

// Long enough apart for the workers to fall asleep, and once just about when they do.
static void workers_wake_up(void **state) {
    Fixture *fixture = *state;
    Sums sums = {.added = 1};
    ThreadPool *pool = threads_create(3, false, fixture->diags);
    for (int run = 1; run <= 8; run++) {
        threads_run(pool, add_own, &sums);
        for (int t = 0; t < 3; t++)
            assert_int_equal(sums.sums[t][0], run);
        pause_milliseconds(run % 2 ? 120 : 49 + run);
    }
    threads_free(pool);
    pool = threads_create(3, false, fixture->diags);
    pause_milliseconds(120);
    threads_free(pool); // asleep since the beginning
}

static void refused_counts(void **state) {
    Fixture *fixture = *state;
    assert_null(threads_create(0, false, fixture->diags));
    assert_says(fixture, "0 threads");
    assert_null(threads_create(THREADS_MAX + 1, false, fixture->diags));
    assert_says(fixture, "must be 1 to");
    threads_free(NULL);
}

static void pin_is_undone(void **state) {
    Fixture *fixture = *state;
    cpu_set_t before, after;
    sched_getaffinity(0, sizeof before, &before);
    ThreadPool *pool = threads_create(topology_read()->core_count, true, fixture->diags);
    threads_free(pool);
    sched_getaffinity(0, sizeof after, &after);
    assert_true(CPU_EQUAL(&before, &after));
}

static void topology_is_sound(void **state) {
    (void)state;
    const Topology *topology = topology_read();
    assert_in_range(topology->core_count, 1, topology->cpu_count);
    for (int i = 0; i < topology->core_count; i++)
        assert_true(CPU_ISSET((size_t)topology->cores[i], &topology->allowed));
    assert_in_range(threads_default_count(), 1, topology->core_count);
}

static void count_job(void *context) {
    ++*(int *)context;
}

static void worker_runs_jobs(void **state) {
    Fixture *fixture = *state;
    int jobs = 0;
    Worker *worker = worker_create(count_job, &jobs, fixture->diags);
    worker_wait(worker); // nothing started
    for (int i = 1; i <= 1000; i++) {
        worker_start(worker);
        worker_wait(worker);
        assert_int_equal(jobs, i);
    }
    worker_start(worker);
    worker_free(worker); // waits for the job
    assert_int_equal(jobs, 1001);
    worker_free(NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(barriers_hold),     FIXTURE_TEST(seven_threads_make_progress),
        FIXTURE_TEST(many_runs),         FIXTURE_TEST(workers_wake_up),
        FIXTURE_TEST(refused_counts),    FIXTURE_TEST(pin_is_undone),
        FIXTURE_TEST(topology_is_sound), FIXTURE_TEST(worker_runs_jobs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
