// A build without the CUDA half: see gpu.h.
#include "driver/command.h"
#include "driver/gpu.h"

static const char sentence[] = "this build has no GPU half (it was configured with SINTER_CUDA=OFF)";

const char *gpu_refusal(Arena *arena) {
    (void)arena;
    return sentence;
}

void gpu_describe(Arena *arena, Text *out, Diags *diags) {
    (void)arena, (void)diags;
    text_append(out, "gpu          none: %s\n", sentence);
}

int gpu_emit(Arena *arena, const Plan *plan, const char *name, const Target *target, GpuText what, Text *out,
             Diags *diags) {
    (void)arena, (void)plan, (void)name, (void)target, (void)what, (void)out;
    diag_error(diags, (Place){0}, "%s", sentence);
    return EXIT_USAGE;
}
