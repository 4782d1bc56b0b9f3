// Order statistics: see statistics.h.
#include "driver/bench/statistics.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

static int compare_doubles(const void *left, const void *right) {
    double a = *(const double *)left, b = *(const double *)right;
    return (a > b) - (a < b);
}

static double *sorted_copy(const double *values, size_t count) {
    double *sorted = memory_allocate_array(count, sizeof *sorted);
    memcpy(sorted, values, count * sizeof *sorted);
    qsort(sorted, count, sizeof *sorted, compare_doubles);
    return sorted;
}

static double middle(const double *sorted, size_t count) {
    return (sorted[(count - 1) / 2] + sorted[count / 2]) / 2;
}

double median_of(const double *values, size_t count) {
    if (count == 0) return NAN;
    double *sorted = sorted_copy(values, count), median = middle(sorted, count);
    memory_release(sorted);
    return median;
}

// The number of values below the distribution's median is binomial(count, 1/2). The interval from the rank-th smallest
// to the rank-th largest misses the median when fewer than `rank` are below it, or above it.
size_t median_rank(size_t count, double *coverage) {
    double term = pow(0.5, (double)count), missed = term; // P(0 below); the sum up to rank - 1
    size_t rank = 1;
    while (rank < (count + 1) / 2) {
        term *= (double)(count - rank + 1) / (double)rank;
        if (2 * (missed + term) > 0.05) break;
        missed += term;
        rank++;
    }
    if (coverage) *coverage = count ? 1 - 2 * missed : 0;
    if (coverage && *coverage < 0) *coverage = 0;
    return rank;
}

Estimate estimate_median(const double *values, size_t count) {
    if (count == 0) return (Estimate){NAN, NAN, NAN, 0};
    double *sorted = sorted_copy(values, count);
    size_t rank = median_rank(count, NULL);
    Estimate estimate = {middle(sorted, count), sorted[rank - 1], sorted[count - rank], count};
    memory_release(sorted);
    for (int half = 0; half < 2 && count >= 2; half++) {
        double part = median_of(half ? values + count / 2 : values, half ? count - count / 2 : count / 2);
        estimate.low = fmin(estimate.low, part);
        estimate.high = fmax(estimate.high, part);
    }
    return estimate;
}

Estimate estimate_ratio(const double *numerator, const double *denominator, size_t count) {
    double *ratios = memory_allocate_array(count ? count : 1, sizeof *ratios);
    for (size_t i = 0; i < count; i++)
        ratios[i] = numerator[i] / denominator[i];
    Estimate estimate = estimate_median(ratios, count);
    memory_release(ratios);
    return estimate;
}

bool estimates_overlap(Estimate a, Estimate b) {
    return a.low <= b.high && b.low <= a.high;
}
