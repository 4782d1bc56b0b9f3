// A model on a GPU: plans -> kernels' text -> cubins -> a session. See gpu.h; driver/gpu_none.c stands for it
// otherwise.
#include <math.h>
#include <string.h>

#include "codegen/cuda/cubins.h"
#include "codegen/cuda/merge.h"
#include "codegen/cuda/persist.h"
#include "driver/gpu.h"
#include "runtime/cuda/session.h"

struct Gpu {
    const CudaDriver *driver;
    const Nvrtc *nvrtc;
    const CudaLibrary *library;   // NULL: there is none
    const char *why_no_library;
    const CudaDevice *device;
};

struct GpuModel {
    Arena *arena;               // cubins, programs
    const Gpu *gpu;
    CudaCode *code;
    CudaImages images;
    CubinReport report;
    const Program **programs;   // in the order of code->programs
};

// ---- the device

// In the words of its first complaint.
static const char *first_words(Arena *arena, const Diags *diags) {
    Text text = text_create(arena);
    diags_render(diags, &text);
    const char *words = text_string(&text), *mark = "error: ";
    if (strncmp(words, mark, strlen(mark)) == 0) words += strlen(mark);
    return arena_copy_range(arena, words, strcspn(words, "\n"));
}

const Gpu *gpu_open(Arena *arena, const char **why) {
    Gpu *gpu = ARENA_NEW(arena, Gpu);
    Diags *diags = diags_create(arena);
    CudaDevice *devices;
    Target unused;
    gpu->driver = cuda_driver_open(arena, why);
    if (!gpu->driver) {
        *why = arena_format(arena, "no usable GPU: %s", *why);
        return NULL;
    }
    if (cuda_devices(arena, gpu->driver, &devices, diags) == 0) {
        *why = arena_format(arena, "no usable GPU: %s", first_words(arena, diags));
        return NULL;
    }
    gpu->device = &devices[0];
    if (!target_of_gpu(gpu->device->architecture, &unused)) {
        *why = arena_format(arena, "kernels are made for %s, and %s is %s", target_known_gpus, gpu->device->name,
                            gpu->device->architecture);
        return NULL;
    }
    gpu->nvrtc = nvrtc_open(arena, why);
    if (!gpu->nvrtc) {
        *why = arena_format(arena, "no compiler for the GPU: %s", *why);
        return NULL;
    }
    gpu->library = cuda_library_open(arena, gpu->driver->version, &gpu->why_no_library);
    if (nvrtc_knows(gpu->nvrtc, gpu->device->architecture)) return gpu;
    *why = arena_format(arena, "NVRTC %s (%s) is too old for %s: it does not know %s", nvrtc_version(gpu->nvrtc),
                        nvrtc_path(gpu->nvrtc), gpu->device->name, gpu->device->architecture);
    return NULL;
}

const char *gpu_libraries(const Gpu *gpu, Arena *arena) {
    const char *version = gpu->library ? cuda_library_version(arena, gpu->library) : "none";
    return arena_format(arena, "driver %s, nvrtc %s, cublaslt %s", cuda_version_text(arena, gpu->driver->version),
                        nvrtc_version(gpu->nvrtc), version);
}

const char *gpu_why_no_library(const Gpu *gpu) { return gpu->library ? NULL : gpu->why_no_library; }

const char *gpu_name(const Gpu *gpu) { return gpu->device->name; }

double gpu_peak(const Gpu *gpu, TensorKind kind) {
    const CudaPeaks *peaks = &gpu->device->peaks;
    return kind == TENSOR_NONE ? peaks->f32 : kind == TENSOR_TF32 ? peaks->tf32 : peaks->bf16;
}

Target gpu_target(const Gpu *gpu) {
    const CudaDevice *device = gpu->device;
    Target target;
    CHECK(target_of_gpu(device->architecture, &target));
    target.cores = device->multiprocessors;
    target.l1_bytes = (double)device->shared_bytes;
    target.l2_bytes = (double)device->l2_bytes / device->multiprocessors;
    target.l3_bytes = (double)device->l2_bytes;
    if (device->peaks.f32 > 0) target.peak_flops = device->peaks.f32;
    if (gpu->library) target.library_bytes = cuda_library_bytes(device->major);
    if (device->peaks.bandwidth > 0) target.bandwidth = device->peaks.bandwidth;
    return target;
}

double gpu_roof(const Gpu *gpu, TensorKind kind) {
    Target target = gpu_target(gpu);
    double peak = gpu_peak(gpu, kind);
    if (peak > 0) return peak;
    return kind == TENSOR_NONE ? target.peak_flops : target_tensor_flops(&target, kind == TENSOR_TF32);
}

bool gpu_memory(const Gpu *gpu, size_t *free_bytes, size_t *all_bytes, Diags *diags) {
    const CudaDriver *driver = gpu->driver;
    CudaContext context;
    CudaResult result = driver->context_retain(&context, gpu->device->number);
    if (!cuda_check(driver, result, "be used", diags)) return false;
    result = driver->context_use(context);
    if (result == CUDA_OK) result = driver->memory_info(free_bytes, all_bytes);
    driver->context_release(gpu->device->number);
    return cuda_check(driver, result, "say what memory is free", diags);
}

// ---- a model

// What the rest of the house sees of a program: its slots, and its steps by name.
static Program *program_of(Arena *arena, const CudaProgram *from) {
    ProgramStep *steps = ARENA_ARRAY(arena, ProgramStep, (size_t)from->launch_count + 1);
    for (uint32_t i = 0; i < from->launch_count; i++) {
        const CudaLaunch *launch = &from->launches[i];
        steps[i] = (ProgramStep){
            .pieces = 1, .id = launch->id, .label = launch->label, .flops = launch->flops, .bytes = launch->bytes};
    }
    Program *program = ARENA_NEW(arena, Program);
    *program = (Program){.name = from->name,
                         .steps = steps,
                         .step_count = from->launch_count,
                         .slots = from->slots,
                         .slot_count = from->slot_count,
                         .state_bytes = from->state_bytes,
                         .arena_bytes = from->arena_bytes};
    return program;
}

GpuModel *gpu_compile(const Gpu *gpu, const Plan *const *plans, const char *const *names, int count,
                      const Target *target, GpuLaunching launching, CodegenReport *report, Program **programs,
                      Diags *diags) {
    CudaReport printed = {.tiles = report->tiles};
    CudaCode *code = codegen_cuda(plans, names, count, target, &printed, diags);
    if (!code) return NULL;
    cuda_persist(code, target);
    if (launching.merges) cuda_merge_launches(code, target);
    code->begins_early = launching.begins_early && !cuda_why_no_early_begin(gpu->driver, gpu->device);
    Arena *arena = arena_create();
    GpuModel *model = ARENA_NEW(arena, GpuModel);
    *model = (GpuModel){.arena = arena, .gpu = gpu, .code = code};
    if (!cubins_make(gpu->nvrtc, report->cache, arena, code, gpu->device->architecture, &model->images, &model->report,
                     diags)) {
        gpu_model_free(model);
        return NULL;
    }
    report->lower_seconds += printed.lower_seconds + printed.print_seconds;
    report->emit_seconds += model->report.seconds;
    for (int i = 0; i < count; i++) report->kernels += code->programs[i].launch_count;
    report->distinct_kernels += code->kernel_count;
    report->recalled = model->report.recalled == model->report.units;
    model->programs = ARENA_ARRAY(arena, const Program *, (size_t)count);
    for (int i = 0; i < count; i++) model->programs[i] = programs[i] = program_of(arena, &code->programs[i]);
    return model;
}

void gpu_model_free(GpuModel *model) {
    if (!model) return;
    cuda_code_free(model->code);
    arena_free(model->arena);
}

GpuReport gpu_model_report(const GpuModel *model) {
    return (GpuReport){model->report.seconds, model->report.units, model->report.recalled};
}

// ---- a session

static CudaSessionSettings settings_of(const GpuModel *model) {
    return (CudaSessionSettings){.driver = model->gpu->driver,
                                 .device = model->gpu->device,
                                 .library = model->gpu->library,
                                 .kernels = model->code->kernels,
                                 .kernel_count = model->code->kernel_count,
                                 .images = &model->images,
                                 .programs = model->code->programs,
                                 .program_count = model->code->program_count,
                                 .runs_per_launch = 1,
                                 .begins_early = model->code->begins_early};
}

bool gpu_bytes(const GpuModel *model, size_t *bytes) {
    CudaSessionSettings settings = settings_of(model);
    return cuda_session_bytes(&settings, bytes);
}

// What a graph of small kernels costs: from one to the next, and the least that one takes. (Published for H100: 1.3 us
// and some 2 us; bench/gpu/nodes.cu measures them.)
static const double hand_over_seconds = 1.3e-6, least_kernel_seconds = 2e-6;
// Launching a graph costs some 10 us. In launches of this length that is nothing, and nobody waits long for a signal.
static const double launch_seconds = 2e-3;

// By their rooflines in f32. What tensor cores do faster makes of this too much, and of the launches too few.
static double predicted_seconds(const Target *target, const CudaProgram *program) {
    double seconds = 0;
    for (uint32_t i = 0; i < program->launch_count; i++) {
        const CudaLaunch *launch = &program->launches[i];
        double kernel = fmax(launch->flops / target->peak_flops, launch->bytes / target->bandwidth);
        seconds += hand_over_seconds + fmax(kernel, least_kernel_seconds);
    }
    return seconds;
}

bool gpu_begins_early(const GpuModel *model) { return model->code->begins_early; }

int gpu_runs_per_launch(const GpuModel *model) {
    Target target = gpu_target(model->gpu);
    double longest = hand_over_seconds;
    for (int p = 0; p < model->code->program_count; p++)
        longest = fmax(longest, predicted_seconds(&target, &model->code->programs[p]));
    double fitting = launch_seconds / longest;
    return fitting < 1 ? 1 : fitting > GPU_MOST_RUNS_PER_LAUNCH ? GPU_MOST_RUNS_PER_LAUNCH : (int)fitting;
}

RuntimeStatus gpu_session(const GpuModel *model, int runs_per_launch, ThreadPool *threads, Session **session,
                          Diags *diags) {
    CudaSessionSettings settings = settings_of(model);
    _Static_assert(GPU_MOST_RUNS_PER_LAUNCH <= CUDA_RING_ENTRIES / 2, "one launch runs while the next is made up");
    settings.runs_per_launch = (uint32_t)runs_per_launch;
    return cuda_session_begin(&settings, model->programs, threads, session, diags);
}
