// The probe gives figures that can be true; how large they are is the machine's affair.
#include "support.h"

#include "runtime/probe.h"

static void quick_probe_leaves_the_memory_alone(void **state) {
    Fixture *fixture = *state;
    for (int threads = 1; threads <= 2; threads++) {
        ThreadPool *pool = threads_create(threads, false, fixture->diags);
        ProbeResult result;
        probe_run(pool, true, &result);
        threads_free(pool);
        assert_int_equal(result.threads, threads);
        assert_in_range(result.cores, 1, result.logical_cpus);
        assert_true(result.vector_bytes == 16 || result.vector_bytes == 32 || result.vector_bytes == 64);
        assert_true(result.vector_registers == 16 || result.vector_registers == 32);
        assert_true(result.fma_flops > 1e6 && result.fma_flops < 1e15);
        assert_true(result.read_bandwidth == 0 && result.triad_bandwidth == 0);
        assert_true(threads == 1 ? result.barrier_seconds == 0 : result.barrier_seconds > 0);
    }
}

static void description_needs_no_threads(void **state) {
    (void)state;
    ProbeResult result;
    probe_describe(&result);
    assert_true(result.cores >= 1 && result.threads == 0 && result.fma_flops == 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(quick_probe_leaves_the_memory_alone),
        FIXTURE_TEST(description_needs_no_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
