// Random graphs, compiled at every level for random machines, against the float64 reference (see net.h). The gate runs
// the first ones; SINTER_FUZZ_GRAPHS=2000 the whole.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "tests/fuzz/hunt.h"

static void compiled_as_meant(void **state) {
    (void)state;
    hunt_run(&(Hunt){.net = net_compiled,
                     .graphs = 50,
                     .largest = 97,
                     .extends = true,
                     .narrower = {net_compiled_none, net_compiled_op, net_compiled_all}});
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(compiled_as_meant)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
