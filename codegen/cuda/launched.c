// Kernels that nobody launches any more are gone from the code, and the others have new numbers.
#include "codegen/cuda/merge.h"

static bool *find_launched(const CudaCode *code, Arena *scratch) {
    bool *is_launched = ARENA_ARRAY(scratch, bool, (size_t)code->kernel_count + 1);
    for (int p = 0; p < code->program_count; p++)
        for (uint32_t i = 0; i < code->programs[p].launch_count; i++)
            if (!code->programs[p].launches[i].product) is_launched[code->programs[p].launches[i].kernel] = true;
    return is_launched;
}

void cuda_keep_launched(CudaCode *code) {
    Arena *scratch = arena_create();
    const bool *is_launched = find_launched(code, scratch);
    uint32_t *place = ARENA_ARRAY(scratch, uint32_t, (size_t)code->kernel_count + 1), kept = 0;
    CudaKernel *kernels = (CudaKernel *)code->kernels;   // those of the code, and its launches, are its own
    for (uint32_t k = 0; k < code->kernel_count; k++) {
        if (!is_launched[k]) continue;
        place[k] = kept;
        kernels[kept++] = kernels[k];
    }
    code->kernel_count = kept;
    for (int p = 0; p < code->program_count; p++)
        for (uint32_t i = 0; i < code->programs[p].launch_count; i++) {
            CudaLaunch *launch = (CudaLaunch *)&code->programs[p].launches[i];
            if (!launch->product) launch->kernel = place[launch->kernel];
        }
    arena_free(scratch);
}
