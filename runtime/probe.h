// What this machine can do: measured peaks, caches, cores. The driver turns it into a Target.
#ifndef SINTER_RUNTIME_PROBE_H
#define SINTER_RUNTIME_PROBE_H

#include <stdbool.h>

#include "runtime/threads.h"

typedef struct {
    char model[128];            // "AMD EPYC", as the kernel names it; "" when it does not
    int logical_cpus, cores;    // allowed to this process
    int threads;                // that took part in the measurements
    int vector_bytes;           // widest full vectors: 64 (AVX-512), 32 (AVX2 with FMA), 16
    int vector_registers;       // 32 or 16
    double l1_bytes, l2_bytes;  // data cache of one core
    double l3_bytes;            // one instance
    double fma_flops;           // f32 multiply-adds (2 flop each) of all threads, flop/s, measured
    double read_bandwidth;      // summing memory larger than the caches, byte/s, all threads
    double triad_bandwidth;     // a = b + s*c, three streams counted, byte/s
    double barrier_seconds;     // one barrier of all threads; 0 with one thread
} ProbeResult;

// quick: about 10 ms and no memory, for the start of a training: bandwidths stay 0. Otherwise about a second, with
// steadier figures.
void probe_run(ThreadPool *threads, bool quick, ProbeResult *result);
// The larger one of fma_flops as known so far and as measured now, in about 10 ms. A share of a machine is moved about
// on it: two threads on one core reach half of what the same two reach a second later.
double probe_peak(ThreadPool *threads, double known);
// Only what needs no measuring (everything but the last four).
void probe_describe(ProbeResult *result);
double probe_barrier(ThreadPool *threads);  // under 1 ms: about 100 ns when the cores share a cache, 500 ns across

#endif
