// Opening the driver: see driver.h.
#include "runtime/cuda/driver.h"

// Graphs with explicit kernel nodes and their second parameter block, tensor maps: driver API 12.0.
enum { OLDEST_DRIVER = 12000 };

static bool load_functions(Arena *arena, CudaDriver *driver, const char **why) {
    const LibrarySymbol symbols[] = {
        {"cuInit", (void **)&driver->init, false},
        {"cuDriverGetVersion", (void **)&driver->driver_version, false},
        {"cuGetErrorName", (void **)&driver->error_name, false},
        {"cuGetErrorString", (void **)&driver->error_string, false},
        {"cuDeviceGetCount", (void **)&driver->device_count, false},
        {"cuDeviceGet", (void **)&driver->device_get, false},
        {"cuDeviceGetName", (void **)&driver->device_name, false},
        {"cuDeviceGetAttribute", (void **)&driver->device_attribute, false},
        {"cuDeviceTotalMem_v2", (void **)&driver->device_memory, false},
        {"cuDevicePrimaryCtxRetain", (void **)&driver->context_retain, false},
        {"cuDevicePrimaryCtxRelease_v2", (void **)&driver->context_release, false},
        {"cuCtxSetCurrent", (void **)&driver->context_use, false},
        {"cuMemGetInfo_v2", (void **)&driver->memory_info, false},
        {"cuMemAlloc_v2", (void **)&driver->memory_allocate, false},
        {"cuMemFree_v2", (void **)&driver->memory_free, false},
        {"cuMemHostAlloc", (void **)&driver->host_allocate, false},
        {"cuMemFreeHost", (void **)&driver->host_free, false},
        {"cuMemHostGetDevicePointer_v2", (void **)&driver->host_address, false},
        {"cuMemcpyHtoD_v2", (void **)&driver->copy_to_device, false},
        {"cuMemcpyDtoH_v2", (void **)&driver->copy_to_host, false},
        {"cuMemcpyHtoDAsync_v2", (void **)&driver->copy_to_device_async, false},
        {"cuMemsetD8Async", (void **)&driver->fill_async, false},
        {"cuModuleLoadData", (void **)&driver->module_load, false},
        {"cuModuleUnload", (void **)&driver->module_unload, false},
        {"cuModuleGetFunction", (void **)&driver->module_function, false},
        {"cuFuncSetAttribute", (void **)&driver->function_attribute, false},
        {"cuOccupancyMaxActiveBlocksPerMultiprocessor", (void **)&driver->function_resident, false},
        {"cuStreamCreate", (void **)&driver->stream_create, false},
        {"cuStreamDestroy_v2", (void **)&driver->stream_destroy, false},
        {"cuStreamSynchronize", (void **)&driver->stream_synchronize, false},
        {"cuStreamQuery", (void **)&driver->stream_query, false},
        {"cuStreamBeginCapture_v2", (void **)&driver->stream_begin_capture, false},
        {"cuStreamEndCapture", (void **)&driver->stream_end_capture, false},
        {"cuStreamWaitEvent", (void **)&driver->stream_wait_event, false},
        {"cuEventCreate", (void **)&driver->event_create, false},
        {"cuEventDestroy_v2", (void **)&driver->event_destroy, false},
        {"cuEventRecord", (void **)&driver->event_record, false},
        {"cuEventQuery", (void **)&driver->event_query, false},
        {"cuEventSynchronize", (void **)&driver->event_synchronize, false},
        {"cuEventElapsedTime", (void **)&driver->event_elapsed, false},
        {"cuGraphCreate", (void **)&driver->graph_create, false},
        {"cuGraphDestroy", (void **)&driver->graph_destroy, false},
        {"cuGraphAddKernelNode_v2", (void **)&driver->graph_add_kernel, false},
        {"cuGraphKernelNodeSetAttribute", (void **)&driver->graph_set_kernel, false},
        {"cuGraphAddEventRecordNode", (void **)&driver->graph_add_event, false},
        {"cuGraphAddChildGraphNode", (void **)&driver->graph_add_graph, false},
        {"cuGraphAddDependencies_v2", (void **)&driver->graph_add_edges, true},
        {"cuGraphInstantiateWithFlags", (void **)&driver->graph_instantiate, false},
        {"cuGraphExecDestroy", (void **)&driver->graph_exec_destroy, false},
        {"cuGraphLaunch", (void **)&driver->graph_launch, false},
        {"cuTensorMapEncodeTiled", (void **)&driver->map_encode, false},
    };
    return library_symbols(arena, &driver->library, symbols, sizeof symbols / sizeof *symbols, why);
}

const char *cuda_version_text(Arena *arena, int version) {
    return arena_format(arena, "%d.%d", version / 1000, version % 1000 / 10);
}

const char *cuda_error_text(Arena *arena, const CudaDriver *driver, CudaResult result) {
    const char *name = NULL, *text = NULL;
    if (driver->error_name(result, &name) != CUDA_OK || !name) name = "an error without a name";
    if (driver->error_string(result, &text) != CUDA_OK || !text) text = arena_format(arena, "error %d", result);
    return arena_format(arena, "%s (%s)", text, name);
}

bool cuda_check(const CudaDriver *driver, CudaResult result, const char *what, Diags *diags) {
    if (result == CUDA_OK) return true;
    Arena *arena = arena_create();
    diag_error(diags, (Place){0}, "the GPU cannot %s: %s", what, cuda_error_text(arena, driver, result));
    arena_free(arena);
    return false;
}

static const char *start_refusal(Arena *arena, const CudaDriver *driver, CudaResult result) {
    switch (result) {
    case CUDA_NO_DEVICE: return "the driver finds no GPU";
    case CUDA_STUB_LIBRARY: return arena_format(arena, "%s is the toolkit's stub, not a driver", driver->library.path);
    default: return arena_format(arena, "the driver does not start: %s", cuda_error_text(arena, driver, result));
    }
}

static bool start(Arena *arena, CudaDriver *driver, const char **why) {
    CudaResult result = driver->init(0);
    int count = 0;
    if (result == CUDA_OK) result = driver->driver_version(&driver->version);
    if (result == CUDA_OK && driver->version < OLDEST_DRIVER) {
        *why = arena_format(arena, "the driver is for CUDA %s; %s or newer is needed",
                            cuda_version_text(arena, driver->version), cuda_version_text(arena, OLDEST_DRIVER));
        return false;
    }
    if (result == CUDA_OK) result = driver->device_count(&count);
    if (result == CUDA_OK && count == 0) result = CUDA_NO_DEVICE;
    if (result != CUDA_OK) *why = start_refusal(arena, driver, result);
    return result == CUDA_OK;
}

const CudaDriver *cuda_driver_open(Arena *arena, const char **why) {
    static const char *const names[] = {"libcuda.so.1", NULL};
    CudaDriver *driver = ARENA_NEW(arena, CudaDriver);
    bool is_open = library_open(arena, names, NULL, &driver->library, why) && load_functions(arena, driver, why) &&
                   start(arena, driver, why);
    return is_open ? driver : NULL;
}
