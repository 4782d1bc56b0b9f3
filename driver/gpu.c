// GPUs, for the command line: see gpu.h. Compiled with SINTER_CUDA only; driver/gpu_none.c stands for it otherwise.
#include "driver/gpu.h"

#include <string.h>

#include "codegen/cuda/cuda_program.h"
#include "codegen/cuda/nvrtc.h"
#include "codegen/cuda/persist.h"
#include "driver/command.h"
#include "driver/disassemble.h"
#include "runtime/cuda/device.h"
#include "runtime/cuda/library.h"

// ---- sinter info

static void describe_rate(Text *out, const char *name, double rate) {
    if (rate > 0) text_append(out, ", %s %.1f TFLOP/s", name, 1e-12 * rate);
}

static void describe_launches(const CudaDriver *driver, const CudaDevice *device, Text *out) {
    const char *missing = cuda_why_no_early_begin(driver, device);
    text_append(out, "  launches   %s%s\n",
                missing ? "kernels begin when those before them have ended: " :
                          "kernels may begin while those before them end",
                missing ? missing : "");
}

static void describe_device(const CudaDevice *device, Text *out) {
    text_append(out, "gpu %d        %s, compute capability %d.%d, %.1f GB, %d multiprocessors\n", device->ordinal,
                device->name, device->major, device->minor, 1e-9 * (double)device->memory_bytes,
                device->multiprocessors);
    const CudaPeaks *peaks = &device->peaks;
    if (peaks->bf16 == 0) return;
    text_append(out, "  datasheet  dense");
    describe_rate(out, "bf16 and fp16", peaks->bf16);
    describe_rate(out, "tf32", peaks->tf32);
    describe_rate(out, "f32", peaks->f32);
    text_append(out, "; memory %.2f TB/s\n", 1e-12 * peaks->bandwidth);
}

// Its version; 0: there is none.
static int describe_driver(Arena *arena, Text *out, Diags *diags) {
    const char *why;
    const CudaDriver *driver = cuda_driver_open(arena, &why);
    if (!driver) {
        text_append(out, "gpu          none: %s\n", why);
        return 0;
    }
    CudaDevice *devices;
    int count = cuda_devices(arena, driver, &devices, diags);
    for (int i = 0; i < count; i++) {
        describe_device(&devices[i], out);
        describe_launches(driver, &devices[i], out);
    }
    text_append(out, "cuda driver  for CUDA %s (%s)\n", cuda_version_text(arena, driver->version),
                driver->library.path);
    return driver->version;
}

static void describe_cublas(Arena *arena, int driver_version, Text *out) {
    const char *why;
    const CudaLibrary *library = cuda_library_open(arena, driver_version, &why);
    if (library)
        text_append(out, "cublaslt     %s (%s)\n", cuda_library_version(arena, library), library->library.path);
    else
        text_append(out, "cublaslt     none: %s\n", why);
}

void gpu_describe(Arena *arena, Text *out, Diags *diags) {
    const char *why;
    int driver_version = describe_driver(arena, out, diags);
    const Nvrtc *nvrtc = nvrtc_open(arena, &why);
    if (nvrtc) text_append(out, "nvrtc        %s (%s)\n", nvrtc_version(nvrtc), nvrtc_path(nvrtc));
    else text_append(out, "nvrtc        none: %s\n", why);
    describe_cublas(arena, driver_version, out);
}

// ---- sinter lower

static int compile_text(Arena *arena, const char *source, const char *architecture, GpuText what, Text *out,
                        Diags *diags) {
    const char *why;
    const Nvrtc *nvrtc = nvrtc_open(arena, &why);
    if (!nvrtc) {
        diag_error(diags, (Place){0}, "--emit=%s needs NVRTC: %s", what == GPU_PTX ? "ptx" : "sass", why);
        return EXIT_USAGE;
    }
    const char *virtual = arena_format(arena, "compute_%s", architecture + strlen("sm_"));
    CudaSource unit = {.name = "kernels.cu",
                       .text = source,
                       .architecture = what == GPU_PTX ? virtual : architecture,
                       .options = cuda_compile_options};
    CudaObject object;
    if (!nvrtc_compile(nvrtc, arena, &unit, &object, diags)) return EXIT_USAGE;
    if (what == GPU_SASS)
        return disassemble_cubin(object.cubin, object.cubin_bytes, out, diags) ? EXIT_DONE : EXIT_USAGE;
    text_append(out, "%s", object.ptx);
    return EXIT_DONE;
}

int gpu_emit(Arena *arena, const Plan *plan, const char *name, const Target *target, GpuText what, Text *out,
             Diags *diags) {
    CudaCode *code = codegen_cuda(&plan, &name, 1, target, NULL, diags);
    if (!code) return EXIT_USAGE;
    cuda_persist(code, target);
    Text source = text_create(arena);
    cuda_source(code, 0, code->kernel_count, &source);
    cuda_code_free(code);
    if (what != GPU_SOURCE) return compile_text(arena, text_string(&source), target->gpu, what, out, diags);
    text_append(out, "%s", text_string(&source));
    return EXIT_DONE;
}
