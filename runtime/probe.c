// Measuring. Every figure is the best of a few short rounds: what the machine can do, not what its neighbours left.
#include "runtime/probe.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/memory.h"
#include "runtime/probe_kernels.h"
#include "runtime/topology.h"

// ---- what needs no measuring

static bool read_line(const char *path, char *line, int size) {
    FILE *file = fopen(path, "re");
    if (!file) return false;
    bool found = fgets(line, size, file) != NULL;
    fclose(file);
    line[strcspn(found ? line : "", "\n")] = '\0';
    return found;
}

static void read_model(char *model, size_t size) {
    char line[512];
    *model = '\0';
    FILE *file = fopen("/proc/cpuinfo", "re");
    if (!file) return;
    while (!*model && fgets(line, sizeof line, file)) {
        char *colon = strchr(line, ':');
        if (colon && (strncmp(line, "model name", 10) == 0 || strncmp(line, "CPU part", 8) == 0)) {
            line[strcspn(line, "\n")] = '\0';
            snprintf(model, size, "%s", colon[1] == ' ' ? colon + 2 : colon + 1);
        }
    }
    fclose(file);
}

// sysfs: one folder per cache of the core, with "level", "type" (Data, Instruction, Unified) and "size" ("48K").
static double cache_bytes(int cpu, int level) {
    for (int i = 0; i < 8; i++) {
        char path[128], line[64];
        const char *folder = "/sys/devices/system/cpu/cpu%d/cache/index%d/%s";
        snprintf(path, sizeof path, folder, cpu, i, "level");
        if (!read_line(path, line, sizeof line) || atoi(line) != level) continue;
        snprintf(path, sizeof path, folder, cpu, i, "type");
        if (!read_line(path, line, sizeof line) || line[0] == 'I') continue;
        snprintf(path, sizeof path, folder, cpu, i, "size");
        if (!read_line(path, line, sizeof line)) continue;
        char *unit;
        double size = strtod(line, &unit);
        return size * (*unit == 'K' ? 1024 : *unit == 'M' ? 1048576 : *unit == 'G' ? 1073741824 : 1);
    }
    static const int names[] = {_SC_LEVEL1_DCACHE_SIZE, _SC_LEVEL2_CACHE_SIZE, _SC_LEVEL3_CACHE_SIZE};
    long size = sysconf(names[level - 1]);
    return size > 0 ? (double)size : 0;
}

void probe_describe(ProbeResult *result) {
    const Topology *topology = topology_read();
    *result = (ProbeResult){0};
    read_model(result->model, sizeof result->model);
    result->logical_cpus = topology->cpu_count;
    result->cores = topology->core_count;
    result->vector_bytes = probe_kernel()->vector_bytes;
    result->vector_registers = probe_kernel()->vector_registers;
    result->l1_bytes = cache_bytes(topology->cores[0], 1);
    result->l2_bytes = cache_bytes(topology->cores[0], 2);
    result->l3_bytes = cache_bytes(topology->cores[0], 3);
}

// ---- barriers

typedef struct {
    ThreadPool *threads;
    int count;
} BarrierTask;

static void cross_barriers(void *context, int thread, int count) {
    (void)count;
    const BarrierTask *task = context;
    for (int i = 0; i < task->count; i++)
        threads_barrier(task->threads, thread);
}

double probe_barrier(ThreadPool *threads) {
    enum { ROUNDS = 5, BARRIERS = 200 };
    if (threads_count(threads) == 1) return 0;
    double best = 1;
    BarrierTask task = {threads, BARRIERS};
    for (int round = 0; round < ROUNDS; round++) {
        double start = clock_seconds();
        threads_run(threads, cross_barriers, &task);
        double seconds = (clock_seconds() - start) / BARRIERS;
        if (seconds < best) best = seconds;
    }
    return best;
}

// ---- arithmetic and memory

typedef struct {
    ThreadPool *threads;
    const ProbeKernel *kernel;
    int64_t repeats; // multiply-add rounds per thread
    float *memory;   // shared; thread t of n works on its n-th part
    size_t floats;
    double seconds;      // of thread 0, between barriers
    volatile float sink; // keeps results alive; every thread's value is as good
} Measurement;

// Thread 0 measures from the moment all are there to the moment all are done.
static double begin_measuring(const Measurement *task, int thread) {
    threads_barrier(task->threads, thread);
    return clock_seconds();
}

static void end_measuring(Measurement *task, int thread, double start) {
    threads_barrier(task->threads, thread);
    if (thread == 0) task->seconds = clock_seconds() - start;
}

static void measure_arithmetic(void *context, int thread, int count) {
    (void)count;
    Measurement *task = context;
    double start = begin_measuring(task, thread);
    float value = task->kernel->multiply_add(task->repeats);
    end_measuring(task, thread, start);
    if (thread == 0) task->sink = value;
}

static float *own_part(const Measurement *task, int thread, int count, size_t *floats) {
    *floats = task->floats / (size_t)count & ~(size_t)63;
    return task->memory + *floats * (size_t)thread;
}

static void touch_memory(void *context, int thread, int count) {
    const Measurement *task = context;
    size_t floats;
    float *part = own_part(task, thread, count, &floats);
    for (size_t i = 0; i < floats; i++)
        part[i] = 1.0f;
}

static void measure_read(void *context, int thread, int count) {
    Measurement *task = context;
    size_t floats;
    const float *part = own_part(task, thread, count, &floats);
    double start = begin_measuring(task, thread);
    float value = task->kernel->sum(part, floats);
    end_measuring(task, thread, start);
    if (thread == 0) task->sink = value;
}

static void measure_triad(void *context, int thread, int count) {
    Measurement *task = context;
    size_t floats;
    float *part = own_part(task, thread, count, &floats);
    size_t third = floats / 3 & ~(size_t)15;
    double start = begin_measuring(task, thread);
    task->kernel->triad(part, part + third, part + 2 * third, third);
    end_measuring(task, thread, start);
}

static double best_seconds(Measurement *task, ThreadBody body, int rounds) {
    double best = 1e9;
    for (int round = 0; round < rounds; round++) {
        threads_run(task->threads, body, task);
        if (task->seconds < best) best = task->seconds;
    }
    return best;
}

static double measure_flops(Measurement *task, bool quick) {
    enum { CALIBRATION = 20000 };
    const double wanted = 2e-3; // short enough to fall between two interruptions
    task->repeats = CALIBRATION;
    double calibration = best_seconds(task, measure_arithmetic, 3); // also wakes the cores up
    task->repeats = (int64_t)(CALIBRATION * wanted / calibration) + 1;
    double seconds = best_seconds(task, measure_arithmetic, quick ? 4 : 100);
    return task->kernel->flops_per_repeat * (double)task->repeats * threads_count(task->threads) / seconds;
}

double probe_peak(ThreadPool *threads, double known) {
    Measurement task = {.threads = threads, .kernel = probe_kernel()};
    double peak = measure_flops(&task, true);
    return peak > known ? peak : known;
}

// Four times the last cache, so that little of it is still there in the next round; within bounds.
static size_t memory_floats(const ProbeResult *result) {
    const double smallest = 16 << 20, largest = 512 << 20;
    double bytes = 4 * result->l3_bytes;
    bytes = bytes < smallest ? smallest : bytes > largest ? largest : bytes;
    return (size_t)bytes / sizeof(float);
}

static void measure_memory(Measurement *task, ProbeResult *result) {
    enum { HUGE_PAGE = 2 << 20 };
    task->floats = memory_floats(result);
    task->memory = memory_allocate_large(task->floats * sizeof(float), HUGE_PAGE);
    if (!task->memory) return;                                          // unknown: 0
    madvise(task->memory, task->floats * sizeof(float), MADV_HUGEPAGE); // a hint: fewer page faults
    threads_run(task->threads, touch_memory, task);
    size_t part, threads = (size_t)threads_count(task->threads);
    own_part(task, 0, (int)threads, &part);
    size_t third = part / 3 & ~(size_t)15;
    result->read_bandwidth = (double)(part * threads * sizeof(float)) / best_seconds(task, measure_read, 10);
    result->triad_bandwidth = (double)(3 * third * threads * sizeof(float)) / best_seconds(task, measure_triad, 10);
    memory_release_large(task->memory);
}

void probe_run(ThreadPool *threads, bool quick, ProbeResult *result) {
    Measurement task = {.threads = threads, .kernel = probe_kernel()};
    probe_describe(result);
    result->threads = threads_count(threads);
    result->fma_flops = measure_flops(&task, quick);
    if (!quick) measure_memory(&task, result);
    result->barrier_seconds = probe_barrier(threads);
}
