// Every reason to have no GPU is one clause; a GPU that is there is described; datasheets are known by exact name
// alone.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "fake_driver.h"
#include "runtime/cuda/device.h"

static Arena *arena;

static int set_up(void **state) {
    (void)state;
    arena = arena_create();
    fake_install();
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    fake_remove();
    arena_free(arena);
    return 0;
}

static const char *why_not(void) {
    const char *why = NULL;
    assert_null(cuda_driver_open(arena, &why));
    return why;
}

static void every_reason_to_have_no_gpu_is_a_clause(void **state) {
    (void)state;
    fake_driver.has_library = false;
    assert_string_equal(why_not(), "libcuda.so.1 was not found");
    fake_install();
    fake_driver.missing = "cuGraphAddKernelNode_v2";
    assert_string_equal(why_not(), "libcuda.so.1 is too old: it has no cuGraphAddKernelNode_v2");
    fake_install();
    fake_driver.version = 11080;
    assert_string_equal(why_not(), "the driver is for CUDA 11.8; 12.0 or newer is needed");
    fake_install();
    fake_driver.devices = 0;
    assert_string_equal(why_not(), "the driver finds no GPU");
    static const struct {
        int error;
        const char *why;
    } starts[] = {{100, "the driver finds no GPU"},
                  {34, "libcuda.so.1 is the toolkit's stub, not a driver"},
                  {999, "the driver does not start: words of a test (CUDA_ERROR_OF_A_TEST)"}};
    for (size_t i = 0; i < sizeof starts / sizeof *starts; i++) {
        fake_install();
        fake_driver.failing = "cuInit";
        fake_driver.failing_call = 1;
        fake_driver.error = starts[i].error;
        assert_string_equal(why_not(), starts[i].why);
    }
}

static void a_gpu_is_described(void **state) {
    (void)state;
    const char *why;
    Diags *diags = diags_create(arena);
    CudaDevice *devices;
    fake_driver.devices = 2;
    const CudaDriver *driver = cuda_driver_open(arena, &why);
    assert_non_null(driver);
    assert_string_equal(cuda_version_text(arena, driver->version), "13.0");
    assert_int_equal(cuda_devices(arena, driver, &devices, diags), 2);
    assert_string_equal(devices[1].name, "NVIDIA H200");
    assert_int_equal(devices[1].ordinal, 1);
    assert_int_equal(devices[1].multiprocessors, 132);
    assert_int_equal(devices[1].shared_bytes, 232448);
    assert_string_equal(devices[1].architecture, "sm_90a");
    assert_true(devices[1].peaks.bf16 > 989e12 && devices[1].peaks.bf16 < 990e12);
    assert_int_equal(diags_count(diags), 0);
}

static void a_gpu_that_does_not_answer_is_a_diagnostic(void **state) {
    (void)state;
    static const char *const names[] = {"cuDeviceGet", "cuDeviceGetName", "cuDeviceTotalMem_v2",
                                        "cuDeviceGetAttribute"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const char *why;
        Diags *diags = diags_create(arena);
        CudaDevice *devices;
        fake_install();
        fake_driver.failing = names[i];
        fake_driver.failing_call = 1;
        fake_driver.error = 999;
        assert_int_equal(cuda_devices(arena, cuda_driver_open(arena, &why), &devices, diags), 0);
        assert_int_equal(diags_errors(diags), 1);
    }
}

static void peaks_are_known_or_not_given(void **state) {
    (void)state;
    assert_true(cuda_peaks("NVIDIA A100-SXM4-40GB").bf16 == 312e12);
    assert_true(cuda_peaks("NVIDIA H200 NVL").bf16 < cuda_peaks("NVIDIA H200").bf16);
    static const char *const unknown[] = {"NVIDIA H200 MIG 1g.18gb", "NVIDIA GeForce RTX 4090 Laptop GPU", "Orin", ""};
    for (size_t i = 0; i < sizeof unknown / sizeof *unknown; i++) {
        CudaPeaks peaks = cuda_peaks(unknown[i]);
        assert_true(peaks.f32 == 0 && peaks.tf32 == 0 && peaks.bf16 == 0 && peaks.bandwidth == 0);
    }
}

static void architectures_are_named_for_the_compiler(void **state) {
    (void)state;
    char text[16];
    cuda_architecture(8, 0, text);
    assert_string_equal(text, "sm_80");
    cuda_architecture(9, 0, text);
    assert_string_equal(text, "sm_90a");
    cuda_architecture(12, 0, text);
    assert_string_equal(text, "sm_120");
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(every_reason_to_have_no_gpu_is_a_clause),
        TEST(a_gpu_is_described),
        TEST(a_gpu_that_does_not_answer_is_a_diagnostic),
        TEST(peaks_are_known_or_not_given),
        TEST(architectures_are_named_for_the_compiler),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
