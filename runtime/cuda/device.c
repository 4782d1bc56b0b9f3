// Asking the driver about devices, and the datasheets: see device.h.
#include "runtime/cuda/device.h"

#include <stdio.h>
#include <string.h>

// CUdevice_attribute
enum {
    ATTRIBUTE_MULTIPROCESSORS = 16,
    ATTRIBUTE_L2_BYTES = 38,
    ATTRIBUTE_MAJOR = 75,
    ATTRIBUTE_MINOR = 76,
    ATTRIBUTE_SHARED_BYTES = 97
};

// NVIDIA's public datasheets of H200, H100, GH200, A100, A10, L4, L40S and DGX B200 (per GPU, matrix rate alone), and
// the appendices of the GA102 and Ada architecture papers for GeForce. By the driver's exact name, which tells form
// factors apart: the same chip has other clocks on another board. Matrix rates are those with f32 accumulation, half of
// the figure "with sparsity".
static const struct {
    const char *name;
    CudaPeaks peaks;
} datasheets[] = {
    {"NVIDIA B200", {0, 0, 2250e12, 8e12}},
    {"NVIDIA H200", {66.9e12, 494.7e12, 989.4e12, 4.8e12}},
    {"NVIDIA H200 NVL", {60e12, 417.5e12, 835.5e12, 4.8e12}},
    {"NVIDIA GH200 480GB", {66.9e12, 494.7e12, 989.4e12, 4e12}},
    {"NVIDIA H100 80GB HBM3", {66.9e12, 494.7e12, 989.4e12, 3.35e12}},
    {"NVIDIA H100 NVL", {60e12, 417.5e12, 835.5e12, 3.9e12}},
    {"NVIDIA H100 PCIe", {51.2e12, 378e12, 756e12, 2e12}},
    {"NVIDIA A100-SXM4-80GB", {19.5e12, 156e12, 312e12, 2.039e12}},
    {"NVIDIA A100-SXM4-40GB", {19.5e12, 156e12, 312e12, 1.555e12}},
    {"NVIDIA A100 80GB PCIe", {19.5e12, 156e12, 312e12, 1.935e12}},
    {"NVIDIA A100-PCIE-40GB", {19.5e12, 156e12, 312e12, 1.555e12}},
    {"NVIDIA A10", {31.2e12, 62.5e12, 125e12, 600e9}},
    {"NVIDIA L4", {30.3e12, 60e12, 121e12, 300e9}},
    {"NVIDIA L40S", {91.6e12, 183e12, 362e12, 864e9}},
    {"NVIDIA GeForce RTX 3090", {35.6e12, 35.6e12, 71e12, 936e9}},
    {"NVIDIA GeForce RTX 4090", {82.6e12, 82.6e12, 165.2e12, 1008e9}},
};

CudaPeaks cuda_peaks(const char *name) {
    for (size_t i = 0; i < sizeof datasheets / sizeof *datasheets; i++) {
        if (strcmp(datasheets[i].name, name) == 0) return datasheets[i].peaks;
    }
    return (CudaPeaks){0};
}

const char *cuda_why_no_early_begin(const CudaDriver *driver, const CudaDevice *device) {
    enum { FIRST_MAJOR = 9 };
    if (device->major < FIRST_MAJOR) return "its compute capability is below 9.0";
    if (!driver->graph_add_edges) return "the driver has no cuGraphAddDependencies_v2 (it is older than CUDA 12.3)";
    return NULL;
}

void cuda_architecture(int major, int minor, char architecture[16]) {
    bool is_specific = major == 9 || major == 10;  // wgmma, tcgen05
    snprintf(architecture, 16, "sm_%d%d%s", major, minor, is_specific ? "a" : "");
}

static bool ask(const CudaDriver *driver, CudaDevice *device, Diags *diags) {
    const struct {
        int attribute;
        int *value;
    } questions[] = {{ATTRIBUTE_MAJOR, &device->major},
                     {ATTRIBUTE_MINOR, &device->minor},
                     {ATTRIBUTE_MULTIPROCESSORS, &device->multiprocessors}};
    CudaResult result = driver->device_get(&device->number, device->ordinal);
    if (result == CUDA_OK) result = driver->device_name(device->name, sizeof device->name - 1, device->number);
    if (result == CUDA_OK) result = driver->device_memory(&device->memory_bytes, device->number);
    for (size_t i = 0; i < sizeof questions / sizeof *questions && result == CUDA_OK; i++)
        result = driver->device_attribute(questions[i].value, questions[i].attribute, device->number);
    int l2 = 0, shared = 0;
    if (result == CUDA_OK) result = driver->device_attribute(&l2, ATTRIBUTE_L2_BYTES, device->number);
    if (result == CUDA_OK) result = driver->device_attribute(&shared, ATTRIBUTE_SHARED_BYTES, device->number);
    if (!cuda_check(driver, result, "be asked what it is", diags)) return false;
    device->l2_bytes = (size_t)l2;
    device->shared_bytes = (size_t)shared;
    device->peaks = cuda_peaks(device->name);
    cuda_architecture(device->major, device->minor, device->architecture);
    return true;
}

int cuda_devices(Arena *arena, const CudaDriver *driver, CudaDevice **devices, Diags *diags) {
    int count = 0;
    if (!cuda_check(driver, driver->device_count(&count), "be counted", diags)) return 0;
    *devices = ARENA_ARRAY(arena, CudaDevice, (size_t)count + 1);
    for (int i = 0; i < count; i++) {
        (*devices)[i].ordinal = i;
        if (!ask(driver, &(*devices)[i], diags)) return 0;
    }
    return count;
}
