// A build without the CUDA half: see gpu.h.
#include "driver/command.h"
#include "driver/gpu.h"

static const char sentence[] = "this build has no GPU half (it was configured with SINTER_CUDA=OFF)";

const Gpu *gpu_open(Arena *arena, const char **why) {
    (void)arena;
    *why = sentence;
    return NULL;
}

// Where there is no Gpu, nobody comes here.
const char *gpu_name(const Gpu *gpu) { BUG("%s%p", sentence, (const void *)gpu); }
const char *gpu_libraries(const Gpu *gpu, Arena *arena) { BUG("%s%p%p", sentence, (const void *)gpu, (void *)arena); }
const char *gpu_why_no_library(const Gpu *gpu) { BUG("%s%p", sentence, (const void *)gpu); }
Target gpu_target(const Gpu *gpu) { BUG("%s%p", sentence, (const void *)gpu); }
double gpu_peak(const Gpu *gpu, TensorKind kind) { BUG("%s%p%d", sentence, (const void *)gpu, (int)kind); }
double gpu_roof(const Gpu *gpu, TensorKind kind) { BUG("%s%p%d", sentence, (const void *)gpu, (int)kind); }
GpuModel *gpu_compile(const Gpu *gpu, const Plan *const *plans, const char *const *names, int count,
                      const Target *target, GpuLaunching launching, CodegenReport *report, Program **programs,
                      Diags *diags) {
    (void)gpu, (void)plans, (void)names, (void)count, (void)target, (void)launching, (void)report, (void)programs;
    (void)diags;
    BUG("%s", sentence);
}
void gpu_model_free(GpuModel *model) { CHECK(!model); }
GpuReport gpu_model_report(const GpuModel *model) { BUG("%s%p", sentence, (const void *)model); }
bool gpu_bytes(const GpuModel *model, size_t *bytes) { BUG("%s%p%p", sentence, (const void *)model, (void *)bytes); }
bool gpu_memory(const Gpu *gpu, size_t *free_bytes, size_t *all_bytes, Diags *diags) {
    (void)gpu, (void)free_bytes, (void)all_bytes, (void)diags;
    BUG("%s", sentence);
}
bool gpu_begins_early(const GpuModel *model) { BUG("%s%p", sentence, (const void *)model); }
int gpu_runs_per_launch(const GpuModel *model) { BUG("%s%p", sentence, (const void *)model); }
RuntimeStatus gpu_session(const GpuModel *model, int runs_per_launch, ThreadPool *threads, Session **session,
                          Diags *diags) {
    (void)model, (void)runs_per_launch, (void)threads, (void)session, (void)diags;
    BUG("%s", sentence);
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
