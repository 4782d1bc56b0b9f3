// All kernels of a model -> cubins: see cubins.h.
#include "codegen/cuda/cubins.h"

#include "base/clock.h"
#include "codegen/cuda/service.h"

// Every unit compiles the common part again, which costs about as much as a small kernel; and a unit is what the cache
// knows, so a change of one kernel compiles its neighbours too.
enum { KERNELS_PER_UNIT = 8 };

static bool make_unit(const Nvrtc *nvrtc, Cache *cache, Arena *arena, const CudaSource *source, CudaObject *object,
                      CubinReport *report, Diags *diags) {
    bool is_recalled;
    if (!cubin_make(nvrtc, cache, arena, source, object, &is_recalled, diags)) return false;
    report->recalled += is_recalled;
    return true;
}

bool cubins_make(const Nvrtc *nvrtc, Cache *cache, Arena *arena, const CudaCode *code, const char *architecture,
                 CudaImages *images, CubinReport *report, Diags *diags) {
    double start = clock_seconds();
    uint32_t units = (code->kernel_count + KERNELS_PER_UNIT - 1) / KERNELS_PER_UNIT;
    CudaObject *objects = ARENA_ARRAY(arena, CudaObject, units + 1);
    const void **cubins = ARENA_ARRAY(arena, const void *, units + 1);
    uint32_t *cubin_of = ARENA_ARRAY(arena, uint32_t, code->kernel_count + 1);
    *report = (CubinReport){.units = units + 1, .objects = objects};
    for (uint32_t k = 0; k < code->kernel_count; k++) cubin_of[k] = k / KERNELS_PER_UNIT;
    for (uint32_t u = 0; u < units; u++) {
        uint32_t first = u * KERNELS_PER_UNIT, left = code->kernel_count - first;
        Text text = text_create(arena);
        cuda_source(code, first, left < KERNELS_PER_UNIT ? left : KERNELS_PER_UNIT, &text);
        CudaSource source = {.name = arena_format(arena, "kernels-%u.cu", u),
                             .text = text_string(&text),
                             .architecture = architecture,
                             .options = cuda_compile_options};
        if (!make_unit(nvrtc, cache, arena, &source, &objects[u], report, diags)) return false;
        cubins[u] = objects[u].cubin;
    }
    CudaSource service = {.name = "service.cu", .text = cuda_service_source, .architecture = architecture};
    if (!make_unit(nvrtc, cache, arena, &service, &objects[units], report, diags)) return false;
    *images = (CudaImages){cubins, units, cubin_of, objects[units].cubin};
    report->seconds = clock_seconds() - start;
    return true;
}
