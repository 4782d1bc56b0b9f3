// GPUs by architecture, from their datasheets: what `--target=sm_90a` means on a machine that has none.
//
//     target_of_gpu("sm_90a", &target)   ->   gpu sm_90a, cores 132, l3_bytes 5.2e+07, peak_flops 6.7e+13, ...
#include <stdio.h>
#include <string.h>

#include "ir/target.h"

static const struct {
    const char *architecture;
    int cores;
    double shared_bytes, cache_bytes, peak_flops, bandwidth;   // peak: f32 outside of tensor cores
    double tf32_flops, bf16_flops;                             // in tensor cores, dense
} gpus[] = {
    {"sm_80", 108, 166912, 41943040, 19.5e12, 2.04e12, 156e12, 312e12},      // A100 80 GB
    {"sm_86", 84, 101376, 6291456, 38.7e12, 0.77e12, 77.4e12, 154.8e12},     // RTX A6000
    {"sm_89", 142, 101376, 100663296, 91.1e12, 0.86e12, 183e12, 362e12},     // L40S
    {"sm_90", 132, 232448, 52428800, 67e12, 4.8e12, 494.7e12, 989.4e12},     // H200
    {"sm_90a", 132, 232448, 52428800, 67e12, 4.8e12, 494.7e12, 989.4e12},
    {"sm_100a", 148, 232448, 132120576, 75e12, 8e12, 1125e12, 2250e12},      // B200
    {"sm_120", 170, 101376, 100663296, 104.8e12, 1.79e12, 104.8e12, 209.5e12}, // RTX 5090
};
const char *const target_known_gpus = "sm_80, sm_86, sm_89, sm_90, sm_90a, sm_100a, sm_120";

bool target_of_gpu(const char *architecture, Target *target) {
    for (size_t i = 0; i < sizeof gpus / sizeof *gpus; i++) {
        if (strcmp(gpus[i].architecture, architecture) != 0) continue;
        *target = target_default();
        snprintf(target->gpu, sizeof target->gpu, "%s", architecture);
        target->cores = gpus[i].cores;
        target->vector_bytes = 64;
        target->vector_registers = 32;
        target->l1_bytes = gpus[i].shared_bytes;
        target->l2_bytes = gpus[i].cache_bytes / gpus[i].cores;
        target->l3_bytes = gpus[i].cache_bytes;
        target->peak_flops = gpus[i].peak_flops;
        target->bandwidth = gpus[i].bandwidth;
        return true;
    }
    return false;
}

double target_tensor_flops(const Target *target, bool tf32) {
    for (size_t i = 0; i < sizeof gpus / sizeof *gpus; i++)
        if (strcmp(gpus[i].architecture, target->gpu) == 0) return tf32 ? gpus[i].tf32_flops : gpus[i].bf16_flops;
    return 0;
}

// sm_90 alone lacks it: what is particular to one architecture has an `a` in its name.
bool target_has_wgmma(const Target *target) {
    return target_is_gpu(target) && strcmp(target->gpu, "sm_90a") == 0;
}

// Of shared memory the system takes a KB of each block; a multiprocessor has that much more than one block may have.
enum { SYSTEM_SHARED = 1024, MOST_RESIDENT = 4, CHAIN_THREADS = 512, LEAST_BLOCK = 128 };

int target_resident_blocks(const Target *target, double shared_bytes) {
    int blocks = (int)((target->l1_bytes + SYSTEM_SHARED) / (shared_bytes + SYSTEM_SHARED));
    return blocks < 1 ? 1 : blocks > MOST_RESIDENT ? MOST_RESIDENT : blocks;
}

int target_block_threads(const Target *target, double shared_bytes) {
    int threads = CHAIN_THREADS / target_resident_blocks(target, shared_bytes);
    return threads == CHAIN_THREADS / 3 ? LEAST_BLOCK : threads;
}
