// The processors this process may use, one entry per physical core.
//
// In: the affinity mask, /sys/devices/system/cpu, the cgroup's CPU quota. Out: logical CPU numbers.
#ifndef SINTER_RUNTIME_TOPOLOGY_H
#define SINTER_RUNTIME_TOPOLOGY_H

#include <sched.h>

enum { TOPOLOGY_MAX_CORES = CPU_SETSIZE };

typedef struct {
    cpu_set_t allowed;              // affinity of the process when it was read
    int cpu_count;                  // allowed logical CPUs
    int core_count;                 // physical cores among them: SMT siblings are counted once
    int quota;                      // CPUs granted by the cgroup, rounded up; 0: no limit
    int cores[TOPOLOGY_MAX_CORES];  // first allowed CPU of each core; the fastest kind of core comes first
} Topology;

// Read by the first call and kept. That call is made by the main thread before any thread is pinned: threads_create and
// threads_default_count make it.
const Topology *topology_read(void);

#endif
