// How much memory this process may take: what the machine has left, what its cgroups leave it, what `ulimit -v` does.
#ifndef SINTER_DRIVER_MEMORY_LIMIT_H
#define SINTER_DRIVER_MEMORY_LIMIT_H

#include <stdbool.h>

typedef struct {
    double bytes;      // left; 0: unknown
    const char *by;    // "the machine", "its cgroup", "ulimit -v"
} MemoryLimit;

// The tightest one. `root`: what stands before /proc and /sys, "" but for tests.
MemoryLimit memory_limit(const char *root);
// Whether this process may take so many bytes more; also when nobody knows.
bool memory_fits(double bytes);

#endif
