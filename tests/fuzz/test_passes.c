// Random graphs through random sequences of passes: the float64 reference gives the same outputs after each one. And
// what the extending passes add: gradients and updates. ctest runs the first ones, SINTER_FUZZ_GRAPHS=20000 the whole.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "tests/fuzz/hunt.h"

static void pass_by_pass(void **state) {
    (void)state;
    hunt_run(&(Hunt){.net = net_passes, .graphs = 8000, .largest = 5});
}

// The same for programs of a training step, of which some accumulate gradients over micro-batches.
static void steps_pass_by_pass(void **state) {
    (void)state;
    hunt_run(&(Hunt){.net = net_passes, .graphs = 2000, .largest = 5, .extends = true});
}

static void gradients_and_updates(void **state) {
    (void)state;
    hunt_run(&(Hunt){.net = net_derived, .graphs = 2000, .largest = 5});
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(pass_by_pass), cmocka_unit_test(steps_pass_by_pass),
                                       cmocka_unit_test(gradients_and_updates)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
