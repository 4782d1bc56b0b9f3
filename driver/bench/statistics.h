// Medians and their intervals from repeated timings, without assuming a distribution.
//
//     rounds 10.1 9.8 10.4 9.9 10.0 10.2 10.3 9.7 10.1   ->   median 10.1 in 9.8..10.3
//
// A bench visits its variants in turn, round after round; the median of a visit is one value here. Values of one round
// share the state of the machine, values of different rounds do not quite: so an interval comes from the spread between
// rounds, and two variants are compared round by round.
#ifndef SINTER_DRIVER_BENCH_STATISTICS_H
#define SINTER_DRIVER_BENCH_STATISTICS_H

#include <stdbool.h>
#include <stddef.h>

typedef struct {
    double median, low, high;
    size_t count;
} Estimate;

// The middle one, or the mean of the two middle ones; NaN for none. `values` stay as they are.
double median_of(const double *values, size_t count);

// Which order statistics hold the median of the distribution with at least 95 %: the `rank`-th smallest and the
// `rank`-th largest, from 1 (David and Nagaraja, Order Statistics, 3rd ed., section 7.1). With fewer than 6 values the
// smallest and the largest, which is less than 95 %: *coverage says how much.
size_t median_rank(size_t count, double *coverage);

// The median with that interval. Values in the order of time: a machine that drifts makes them less independent than
// the theorem wants, so the interval also holds the medians of both halves.
Estimate estimate_median(const double *values, size_t count);

// The same of numerator[i] / denominator[i]: how two variants compare in one and the same round.
Estimate estimate_ratio(const double *numerator, const double *denominator, size_t count);

bool estimates_overlap(Estimate a, Estimate b);

#endif
