// Medians and intervals against values worked out by hand and by published tables.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <math.h>

#include <cmocka.h>

#include "driver/bench/statistics.h"

static void medians(void **state) {
    (void)state;
    const double odd[] = {3, 1, 2}, even[] = {4, 1, 3, 2};
    assert_float_equal(median_of(odd, 3), 2, 0);
    assert_float_equal(median_of(even, 4), 2.5, 0);
    assert_float_equal(odd[0], 3, 0); // as they were
    assert_true(isnan(median_of(odd, 0)));
}

// Ranks of 95 % intervals for the median: Conover, Practical Nonparametric Statistics, 3rd ed., table A3 (p = 1/2).
static void ranks_are_those_of_tables(void **state) {
    (void)state;
    static const struct {
        size_t count, rank;
        double coverage;
    } table[] = {{6, 1, 0.96875},   {8, 1, 0.9921875}, {9, 2, 0.9609375}, {11, 2, 0.98828125}, {12, 3, 0.961426},
                 {15, 4, 0.964844}, {20, 6, 0.958611}, {25, 8, 0.956715}, {30, 10, 0.957226},  {50, 18, 0.967161}};
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        double coverage;
        assert_int_equal(median_rank(table[i].count, &coverage), table[i].rank);
        assert_float_equal(coverage, table[i].coverage, 1e-6);
    }
    double coverage;
    assert_int_equal(median_rank(3, &coverage), 1); // too few: said by the coverage
    assert_float_equal(coverage, 0.75, 1e-12);
    assert_int_equal(median_rank(1, &coverage), 1);
    assert_float_equal(coverage, 0, 1e-12);
}

static void intervals_are_order_statistics(void **state) {
    (void)state;
    double values[15];
    for (int i = 0; i < 15; i++)
        values[i] = (i * 7) % 15; // 0 to 14 in another order
    Estimate estimate = estimate_median(values, 15);
    assert_float_equal(estimate.median, 7, 0);
    assert_float_equal(estimate.low, 3, 0);   // the 4th smallest
    assert_float_equal(estimate.high, 11, 0); // the 4th largest
    assert_int_equal(estimate.count, 15);
}

static void drift_widens_the_interval(void **state) {
    (void)state;
    double steady[20], drifting[20];
    for (int i = 0; i < 20; i++) {
        steady[i] = i % 2 ? 10 : 10.1;
        drifting[i] = i < 10 ? 10 : 20 + 0.01 * i;
    }
    Estimate still = estimate_median(steady, 20), moved = estimate_median(drifting, 20);
    assert_float_equal(still.low, 10, 1e-12);
    assert_float_equal(still.high, 10.1, 1e-12);
    assert_true(moved.low <= 10 && moved.high >= 20.14);
}

// Both variants slow down together: their ratio does not move.
static void ratios_are_taken_round_by_round(void **state) {
    (void)state;
    double slow[12], fast[12];
    for (int i = 0; i < 12; i++) {
        slow[i] = 10 + 5 * i;
        fast[i] = slow[i] / 2;
    }
    Estimate ratio = estimate_ratio(slow, fast, 12);
    assert_float_equal(ratio.median, 2, 1e-12);
    assert_float_equal(ratio.low, 2, 1e-12);
    assert_float_equal(ratio.high, 2, 1e-12);
    assert_true(estimates_overlap((Estimate){2, 1, 3, 1}, (Estimate){3, 3, 4, 1}));
    assert_false(estimates_overlap((Estimate){2, 1, 3, 1}, (Estimate){4, 3.5, 5, 1}));
}

// Of many small samples of one distribution, about 19 in 20 intervals hold its median.
static void intervals_cover_the_median(void **state) {
    (void)state;
    uint64_t bits = 1;
    int held = 0, samples = 2000;
    for (int s = 0; s < samples; s++) {
        double values[12];
        for (int i = 0; i < 12; i++) {
            bits = bits * 6364136223846793005u + 1442695040888963407u;
            double uniform = (double)(bits >> 11) / 9007199254740992.0;
            values[i] = -log(1 - uniform); // exponential: median ln 2
        }
        Estimate estimate = estimate_median(values, 12);
        held += estimate.low <= log(2) && log(2) <= estimate.high;
    }
    assert_true(held >= 0.94 * samples);
    assert_true(held < samples);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(medians),
        cmocka_unit_test(ranks_are_those_of_tables),
        cmocka_unit_test(intervals_are_order_statistics),
        cmocka_unit_test(drift_widens_the_interval),
        cmocka_unit_test(ratios_are_taken_round_by_round),
        cmocka_unit_test(intervals_cover_the_median),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
