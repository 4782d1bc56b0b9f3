// As much of cmocka's interface as the tests use, for machines without the library. A failed assertion leaves the test by
// longjmp; exit status is the number of failed tests.
#ifndef SINTER_CARRIED_CMOCKA_H
#define SINTER_CARRIED_CMOCKA_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef uintmax_t LargestIntegralType;
typedef void (*CMUnitTestFunction)(void **state);
typedef int (*CMFixtureFunction)(void **state);
struct CMUnitTest {
    const char *name;
    CMUnitTestFunction test_func;
    CMFixtureFunction setup_func, teardown_func;
    void *initial_state;
};

#define cmocka_unit_test(f) {#f, f, NULL, NULL, NULL}
#define cmocka_unit_test_setup_teardown(f, setup, teardown) {#f, f, setup, teardown, NULL}

static jmp_buf carried_leave;
enum { CARRIED_FAILED = 1, CARRIED_SKIPPED = 2 };

__attribute__((noreturn, unused, format(printf, 3, 4))) static void carried_fail(const char *file, int line,
                                                                                const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fprintf(stderr, "%s:%d: error: ", file, line);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    longjmp(carried_leave, CARRIED_FAILED);
}

__attribute__((unused)) static void carried_same(const char *file, int line, uintmax_t a, uintmax_t b, int wants_same) {
    if ((a == b) != wants_same)
        carried_fail(file, line, "%#jx %s %#jx", a, wants_same ? "!=" : "==", b);
}
__attribute__((unused)) static void carried_text(const char *file, int line, const char *a, const char *b, int wants_same) {
    if ((strcmp(a, b) == 0) != wants_same) carried_fail(file, line, "\"%s\" %s \"%s\"", a, wants_same ? "!=" : "==", b);
}
__attribute__((unused)) static void carried_bytes(const char *file, int line, const void *a, const void *b, size_t bytes,
                                                  int wants_same) {
    if ((memcmp(a, b, bytes) == 0) != wants_same)
        carried_fail(file, line, "%zu bytes %s", bytes, wants_same ? "differ" : "are the same");
}
__attribute__((unused)) static void carried_near(const char *file, int line, double a, double b, double epsilon) {
    if (!(a - b <= epsilon && b - a <= epsilon)) carried_fail(file, line, "%g is not within %g of %g", a, epsilon, b);
}
__attribute__((unused)) static void carried_range(const char *file, int line, uintmax_t a, uintmax_t low, uintmax_t high) {
    if (a < low || a > high) carried_fail(file, line, "%ju is not within %ju .. %ju", a, low, high);
}

#define CARRIED_HERE __FILE__, __LINE__
#define assert_true(c) ((c) ? (void)0 : carried_fail(CARRIED_HERE, "%s", #c))
#define assert_false(c) ((c) ? carried_fail(CARRIED_HERE, "not %s", #c) : (void)0)
#define assert_non_null(p) assert_true((p) != NULL)
#define assert_null(p) assert_true((p) == NULL)
#define assert_int_equal(a, b) carried_same(CARRIED_HERE, (uintmax_t)(a), (uintmax_t)(b), 1)
#define assert_int_not_equal(a, b) carried_same(CARRIED_HERE, (uintmax_t)(a), (uintmax_t)(b), 0)
#define assert_ptr_equal(a, b) assert_true((const void *)(a) == (const void *)(b))
#define assert_ptr_not_equal(a, b) assert_true((const void *)(a) != (const void *)(b))
#define assert_string_equal(a, b) carried_text(CARRIED_HERE, a, b, 1)
#define assert_string_not_equal(a, b) carried_text(CARRIED_HERE, a, b, 0)
#define assert_memory_equal(a, b, n) carried_bytes(CARRIED_HERE, a, b, n, 1)
#define assert_memory_not_equal(a, b, n) carried_bytes(CARRIED_HERE, a, b, n, 0)
#define assert_float_equal(a, b, e) carried_near(CARRIED_HERE, a, b, e)
#define assert_in_range(a, low, high) carried_range(CARRIED_HERE, (uintmax_t)(a), (uintmax_t)(low), (uintmax_t)(high))
#define fail() carried_fail(CARRIED_HERE, "failed")
#define fail_msg(...) carried_fail(CARRIED_HERE, __VA_ARGS__)
#define skip() longjmp(carried_leave, CARRIED_SKIPPED)
#define print_message(...) ((void)printf(__VA_ARGS__))

__attribute__((unused)) static int carried_fixture(CMFixtureFunction fixture, void **state) {
    int left = setjmp(carried_leave);
    return left ? left : fixture ? fixture(state) : 0;
}

__attribute__((unused)) static int carried_test(const struct CMUnitTest *test, void *group_state) {
    static void *state;  // survives the jump
    static int left;
    state = test->initial_state ? test->initial_state : group_state;
    if (carried_fixture(test->setup_func, &state)) return CARRIED_FAILED;
    left = setjmp(carried_leave);
    if (left == 0) test->test_func(&state);
    int torn = carried_fixture(test->teardown_func, &state);
    return left ? left : torn ? CARRIED_FAILED : 0;
}

__attribute__((unused)) static int carried_group(const struct CMUnitTest *tests, size_t count, CMFixtureFunction setup,
                                                 CMFixtureFunction teardown) {
    static void *state;
    static int failed, skipped;
    state = NULL;
    failed = skipped = 0;
    printf("[==========] Running %zu test(s).\n", count);
    if (carried_fixture(setup, &state)) return (int)count;
    for (size_t i = 0; i < count; i++) {
        printf("[ RUN      ] %s\n", tests[i].name);
        fflush(stdout);
        int result = carried_test(&tests[i], state);
        printf("[ %s ] %s\n", result == 0 ? "      OK" : result == CARRIED_SKIPPED ? " SKIPPED" : " FAILED ", tests[i].name);
        failed += result == CARRIED_FAILED;
        skipped += result == CARRIED_SKIPPED;
    }
    if (carried_fixture(teardown, &state)) failed++;
    printf("[==========] %zu test(s) run.\n[  PASSED  ] %zu test(s).\n", count, count - (size_t)failed - (size_t)skipped);
    if (skipped) printf("[  SKIPPED ] %d test(s).\n", skipped);
    return failed;
}
#define _cmocka_run_group_tests(name, tests, count, setup, teardown) carried_group(tests, count, setup, teardown)
#define cmocka_run_group_tests(tests, setup, teardown) \
    carried_group(tests, sizeof(tests) / sizeof(*(tests)), setup, teardown)

#endif
