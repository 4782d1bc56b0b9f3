#include "runtime/topology.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

// sysfs and cgroup files are the kernel's own numbers, short and without errors worth reporting: a missing one means
// "not known", so they do not go through base/file.
static bool read_line(const char *path, char *line, int size) {
    FILE *file = fopen(path, "re");
    if (!file) return false;
    bool found = fgets(line, size, file) != NULL;
    fclose(file);
    return found;
}

// "0-3,8,10-11" as the kernel writes CPU lists.
static void parse_list(const char *text, cpu_set_t *set) {
    CPU_ZERO(set);
    while (*text >= '0' && *text <= '9') {
        char *end;
        long first = strtol(text, &end, 10), last = first;
        if (*end == '-') last = strtol(end + 1, &end, 10);
        for (long cpu = first; cpu <= last && cpu < CPU_SETSIZE; cpu++)
            CPU_SET((size_t)cpu, set);
        text = *end == ',' ? end + 1 : end;
    }
}

static bool read_list(const char *path, cpu_set_t *set) {
    char line[4096];
    if (!read_line(path, line, sizeof line)) return false;
    parse_list(line, set);
    return true;
}

// Larger is faster: the kernel's relative capacity (ARM), else 1024 for Intel's performance cores and 512 for others.
static long cpu_speed(int cpu, bool hybrid, const cpu_set_t *performance) {
    char path[96], line[64];
    snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%d/cpu_capacity", cpu);
    if (read_line(path, line, sizeof line)) return strtol(line, NULL, 10);
    return !hybrid || CPU_ISSET((size_t)cpu, performance) ? 1024 : 512;
}

// cgroup v2 writes "max 100000" or "QUOTA PERIOD"; v1 has one file for each. Spinning threads beyond the quota would
// only be stopped by the scheduler in the middle of a step.
static int read_quota(void) {
    char line[64], period[64];
    long quota = 0, length = 0;
    if (read_line("/sys/fs/cgroup/cpu.max", line, sizeof line)) {
        if (sscanf(line, "%ld %ld", &quota, &length) != 2) return 0;
    } else if (read_line("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", line, sizeof line) &&
               read_line("/sys/fs/cgroup/cpu/cpu.cfs_period_us", period, sizeof period)) {
        quota = strtol(line, NULL, 10);
        length = strtol(period, NULL, 10);
    }
    return quota > 0 && length > 0 ? (int)((quota + length - 1) / length) : 0;
}

static void find_cores(Topology *topology) {
    long speeds[TOPOLOGY_MAX_CORES];
    cpu_set_t seen, performance;
    CPU_ZERO(&seen);
    bool hybrid = read_list("/sys/devices/cpu_core/cpus", &performance);
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (!CPU_ISSET((size_t)cpu, &topology->allowed) || CPU_ISSET((size_t)cpu, &seen)) continue;
        char path[96];
        cpu_set_t siblings;
        snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%d/topology/thread_siblings_list", cpu);
        if (read_list(path, &siblings)) CPU_OR(&seen, &seen, &siblings);
        long speed = cpu_speed(cpu, hybrid, &performance);
        int place = topology->core_count++;
        for (; place > 0 && speeds[place - 1] < speed; place--) { // insertion: stable, fastest first
            speeds[place] = speeds[place - 1];
            topology->cores[place] = topology->cores[place - 1];
        }
        speeds[place] = speed;
        topology->cores[place] = cpu;
    }
}

const Topology *topology_read(void) {
    static Topology shared;
    if (shared.core_count > 0) return &shared;
    CPU_ZERO(&shared.allowed);
    if (sched_getaffinity(0, sizeof shared.allowed, &shared.allowed) != 0 || CPU_COUNT(&shared.allowed) == 0)
        CPU_SET(0, &shared.allowed);
    shared.cpu_count = CPU_COUNT(&shared.allowed);
    shared.quota = read_quota();
    find_cores(&shared);
    return &shared;
}
