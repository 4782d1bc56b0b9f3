// nanoGPT's get_lr, value by value.
#include "support.h"

#include <math.h>

#include "runtime/schedule.h"

static void expect_rate(const Schedule *schedule, int64_t iteration, double expected) {
    double rate = schedule_rate(schedule, iteration);
    if (fabs(rate - expected) > 1e-15)
        fail_msg("iteration %lld: %.17g, expected %.17g", (long long)iteration, rate, expected);
}

static void warm_up_and_cosine(void **state) {
    (void)state;
    Schedule schedule = {
        .learning_rate = 1e-3, .min_lr = 1e-4, .warmup_iters = 100, .lr_decay_iters = 2000, .decay_lr = true};
    expect_rate(&schedule, 0, 1e-3 * 1 / 101);
    expect_rate(&schedule, 99, 1e-3 * 100 / 101);
    expect_rate(&schedule, 100, 1e-3);
    expect_rate(&schedule, 1050, 5.5e-4); // half way
    expect_rate(&schedule, 2000, 1e-4);
    expect_rate(&schedule, 2001, 1e-4);
    expect_rate(&schedule, 1000000, 1e-4);
}

static void constant(void **state) {
    (void)state;
    Schedule schedule = {.learning_rate = 1e-3, .min_lr = 1e-4, .warmup_iters = 100, .lr_decay_iters = 2000};
    expect_rate(&schedule, 0, 1e-3);
    expect_rate(&schedule, 5000, 1e-3);
}

static void no_warm_up_and_no_decay(void **state) {
    (void)state;
    Schedule schedule = {.learning_rate = 1, .min_lr = 0.5, .lr_decay_iters = 10, .decay_lr = true};
    expect_rate(&schedule, 0, 1);
    expect_rate(&schedule, 10, 0.5);
    Schedule empty = {.learning_rate = 1, .min_lr = 0.5, .warmup_iters = 10, .lr_decay_iters = 10, .decay_lr = true};
    expect_rate(&empty, 9, 10.0 / 11);
    expect_rate(&empty, 10, 0.5);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(warm_up_and_cosine),
        cmocka_unit_test(constant),
        cmocka_unit_test(no_warm_up_and_no_decay),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
