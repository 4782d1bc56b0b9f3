// The driver that is none: see fake_driver.h.
#include "fake_graph.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "runtime/cuda/driver.h"
#include "tests/cuda/emulated_map.h"

#ifdef FAKE_LIBRARY
#define FAKE_CALL
#else
#define FAKE_CALL static
#endif

FakeDriver fake_driver;

enum { MOST_CALLS = 64 };

static struct {
    const char *name;
    int count;
} calls[MOST_CALLS];
static long held;
#ifndef FAKE_LIBRARY
static LibraryTable real_table;
#endif

// Counts the call; its error when it is the one to fail.
static int begin(const char *name) {
    int i = 0;
    while (calls[i].name && strcmp(calls[i].name, name) != 0) i++;
    calls[i].name = name;
    calls[i].count++;
    bool fails =
        fake_driver.failing && strcmp(fake_driver.failing, name) == 0 && calls[i].count == fake_driver.failing_call;
    return fails ? fake_driver.error : 0;
}

#define BEGIN()                                 \
    int error_ = begin(__func__);               \
    if (error_) return error_

int fake_calls(const char *name) {
    for (int i = 0; i < MOST_CALLS && calls[i].name; i++)
        if (strcmp(calls[i].name, name) == 0) return calls[i].count;
    return 0;
}

long fake_held(void) { return held; }

// ---- the calls, under the driver's own names

FAKE_CALL int cuInit(unsigned flags) {
    BEGIN();
    return flags == 0 ? 0 : 1;
}
FAKE_CALL int cuDriverGetVersion(int *version) {
    BEGIN();
    *version = fake_driver.version;
    return 0;
}
FAKE_CALL int cuGetErrorName(int error, const char **name) {
    *name = error == 2     ? "CUDA_ERROR_OUT_OF_MEMORY"
            : error == 719 ? "CUDA_ERROR_LAUNCH_FAILED"
                           : "CUDA_ERROR_OF_A_TEST";
    return 0;
}
FAKE_CALL int cuGetErrorString(int error, const char **text) {
    *text = error == 2 ? "out of memory" : error == 719 ? "unspecified launch failure" : "words of a test";
    return 0;
}
FAKE_CALL int cuDeviceGetCount(int *count) {
    BEGIN();
    *count = fake_driver.devices;
    return 0;
}
FAKE_CALL int cuDeviceGet(int *device, int ordinal) {
    BEGIN();
    *device = ordinal;
    return 0;
}
FAKE_CALL int cuDeviceGetName(char *name, int length, int device) {
    (void)device;
    BEGIN();
    strncpy(name, fake_driver.device_name, (size_t)length);
    return 0;
}
FAKE_CALL int cuDeviceGetAttribute(int *value, int attribute, int device) {
    (void)device;
    BEGIN();
    switch (attribute) {
    case 16: *value = fake_driver.multiprocessors; break;
    case 38: *value = 50 << 20; break;
    case 75: *value = fake_driver.major; break;
    case 76: *value = fake_driver.minor; break;
    case 97: *value = 232448; break;
    default: return 1;
    }
    return 0;
}
FAKE_CALL int cuDeviceTotalMem_v2(size_t *bytes, int device) {
    (void)device;
    BEGIN();
    *bytes = fake_driver.memory_bytes;
    return 0;
}
FAKE_CALL int cuDevicePrimaryCtxRetain(CudaContext *context, int device) {
    (void)device;
    BEGIN();
    held++;
    *context = (CudaContext)&held;
    return 0;
}
FAKE_CALL int cuDevicePrimaryCtxRelease_v2(int device) {
    (void)device;
    BEGIN();
    held--;
    return 0;
}
FAKE_CALL int cuCtxSetCurrent(CudaContext context) {
    BEGIN();
    return context ? 0 : 1;
}
FAKE_CALL int cuMemGetInfo_v2(size_t *free_bytes, size_t *all) {
    BEGIN();
    *free_bytes = fake_driver.free_bytes;
    *all = fake_driver.memory_bytes;
    return 0;
}
FAKE_CALL int cuMemAlloc_v2(CudaAddress *address, size_t bytes) {
    BEGIN();
    void *memory = aligned_alloc(256, (bytes + 255) / 256 * 256);
    memset(memory, 0xff, bytes);  // what is not cleared is NaN
    *address = (CudaAddress)(uintptr_t)memory;
    held++;
    return 0;
}
FAKE_CALL int cuMemFree_v2(CudaAddress address) {
    BEGIN();
    free((void *)(uintptr_t)address);
    held--;
    return 0;
}
FAKE_CALL int cuMemHostAlloc(void **memory, size_t bytes, unsigned flags) {
    (void)flags;
    BEGIN();
    *memory = malloc(bytes);
    held++;
    return 0;
}
FAKE_CALL int cuMemFreeHost(void *memory) {
    BEGIN();
    free(memory);
    held--;
    return 0;
}
FAKE_CALL int cuMemHostGetDevicePointer_v2(CudaAddress *address, void *memory, unsigned flags) {
    (void)flags;
    BEGIN();
    *address = (CudaAddress)(uintptr_t)memory;
    return 0;
}
FAKE_CALL int cuMemcpyHtoD_v2(CudaAddress to, const void *from, size_t bytes) {
    BEGIN();
    memcpy((void *)(uintptr_t)to, from, bytes);
    return 0;
}
FAKE_CALL int cuMemcpyDtoH_v2(void *to, CudaAddress from, size_t bytes) {
    BEGIN();
    memcpy(to, (const void *)(uintptr_t)from, bytes);
    return 0;
}
FAKE_CALL int cuMemcpyHtoDAsync_v2(CudaAddress to, const void *from, size_t bytes, CudaStream stream) {
    BEGIN();
    fake_put(stream, (FakeOperation){.kind = COPY, .to = (void *)(uintptr_t)to, .from = from, .bytes = bytes});
    return 0;
}
FAKE_CALL int cuMemsetD8Async(CudaAddress address, unsigned char byte, size_t bytes, CudaStream stream) {
    BEGIN();
    fake_put(stream, (FakeOperation){.kind = FILL, .to = (void *)(uintptr_t)address, .byte = byte, .bytes = bytes});
    return 0;
}
FAKE_CALL int cuModuleLoadData(CudaModule *module, const void *image) {
    BEGIN();
    if (!image) return 1;
    *module = (CudaModule)(uintptr_t)image;
    if (fake_driver.modules.load) *module = fake_driver.modules.load(image);
    if (!*module) return 200;  // CUDA_ERROR_INVALID_IMAGE
    held++;
    return 0;
}
FAKE_CALL int cuModuleUnload(CudaModule module) {
    BEGIN();
    if (fake_driver.modules.unload) fake_driver.modules.unload(module);
    held--;
    return 0;
}
FAKE_CALL int cuModuleGetFunction(CudaFunction *function, CudaModule module, const char *name) {
    BEGIN();
    if (fake_driver.modules.find) {
        *function = (CudaFunction)(uintptr_t)fake_driver.modules.find(module, name);
        return *function ? 0 : 500;
    }
    for (size_t i = 0; i < fake_driver.kernel_count; i++) {
        if (strcmp(fake_driver.kernels[i].name, name) != 0) continue;
        *function = (CudaFunction)(uintptr_t)&fake_driver.kernels[i];
        return 0;
    }
    return 500;  // CUDA_ERROR_NOT_FOUND
}
FAKE_CALL int cuFuncSetAttribute(CudaFunction function, int attribute, int value) {
    (void)function;
    BEGIN();
    return attribute == 8 && value > 0 ? 0 : 1;
}
FAKE_CALL int cuOccupancyMaxActiveBlocksPerMultiprocessor(int *blocks, CudaFunction function, int threads,
                                                          size_t shared_bytes) {
    (void)function;
    BEGIN();
    if (threads <= 0 || shared_bytes > 232448) return 1;
    *blocks = fake_driver.resident;
    return 0;
}
FAKE_CALL int cuStreamCreate(CudaStream *stream, unsigned flags) {
    BEGIN();
    if (flags != 1) return 1;
    *stream = calloc(1, sizeof **stream);
    for (int i = 0; i < FAKE_MOST_STREAMS; i++) {
        if (fake_streams[i]) continue;
        fake_streams[i] = *stream;
        break;
    }
    held++;
    return 0;
}
FAKE_CALL int cuStreamDestroy_v2(CudaStream stream) {
    BEGIN();
    for (int i = 0; i < FAKE_MOST_STREAMS; i++)
        if (fake_streams[i] == stream) fake_streams[i] = NULL;
    free(stream);
    held--;
    return 0;
}
FAKE_CALL int cuStreamSynchronize(CudaStream stream) {
    BEGIN();
    fake_run_all();
    return stream->error;
}
FAKE_CALL int cuStreamQuery(CudaStream stream) {
    BEGIN();
    for (int i = 0; i < FAKE_MOST_STREAMS; i++)
        if (fake_streams[i]) fake_advance(fake_streams[i]);
    if (stream->error) return stream->error;
    return stream->first == stream->end ? 0 : CUDA_NOT_READY;
}
FAKE_CALL int cuStreamBeginCapture_v2(CudaStream stream, int mode) {
    BEGIN();
    if (mode != 2 || stream->captured) return 1;
    stream->captured = fake_zeroed(1, sizeof *stream->captured);
    stream->captured->owners = 1;
    held++;
    return 0;
}
FAKE_CALL int cuStreamEndCapture(CudaStream stream, CudaGraph *graph) {
    int error = begin(__func__);
    *graph = stream->captured;
    stream->captured = NULL;
    if (error && *graph) {
        fake_release_graph(*graph);
        held--;
        *graph = NULL;
    }
    return error ? error : *graph ? 0 : 900;
}
FAKE_CALL int cuStreamWaitEvent(CudaStream stream, CudaEvent event, unsigned flags) {
    (void)flags;
    BEGIN();
    fake_put(stream, (FakeOperation){.kind = WAIT, .event = event, .event_number = event->recorded});
    return 0;
}
FAKE_CALL int cuEventCreate(CudaEvent *event, unsigned flags) {
    (void)flags;
    BEGIN();
    *event = calloc(1, sizeof **event);
    held++;
    return 0;
}
FAKE_CALL int cuEventDestroy_v2(CudaEvent event) {
    BEGIN();
    free(event);
    held--;
    return 0;
}
FAKE_CALL int cuEventRecord(CudaEvent event, CudaStream stream) {
    BEGIN();
    event->recorded++;
    fake_put(stream, (FakeOperation){.kind = RECORD, .event = event});
    return 0;
}
FAKE_CALL int cuEventQuery(CudaEvent event) {
    BEGIN();
    return event->reached == event->recorded ? 0 : CUDA_NOT_READY;
}
FAKE_CALL int cuEventSynchronize(CudaEvent event) {
    (void)event;
    BEGIN();
    fake_run_all();
    return 0;
}
FAKE_CALL int cuEventElapsedTime(float *milliseconds, CudaEvent first, CudaEvent last) {
    BEGIN();
    *milliseconds = (float)(1e3 * (last->time - first->time));
    return 0;
}
FAKE_CALL int cuGraphCreate(CudaGraph *graph, unsigned flags) {
    (void)flags;
    BEGIN();
    *graph = fake_zeroed(1, sizeof **graph);
    (*graph)->owners = 1;
    held++;
    return 0;
}
FAKE_CALL int cuGraphDestroy(CudaGraph graph) {
    BEGIN();
    fake_release_graph(graph);
    held--;
    return 0;
}

static struct CUgraphNode_st *make_node(const CudaKernelNode *kernel) {
    struct CUgraphNode_st *node = fake_zeroed(1, sizeof *node);
    node->kernel = (const FakeKernel *)(uintptr_t)kernel->function;
    node->blocks = kernel->grid[0];
    node->threads = kernel->block[0];
    node->shared_bytes = kernel->shared_bytes;
    node->arguments = fake_copy_arguments(node->kernel, kernel->arguments);
    return node;
}

static void add_edge(const struct CUgraphNode_st *from, struct CUgraphNode_st *to, bool is_early) {
    size_t count = (size_t)to->before_count + 1;
    to->before = realloc(to->before, count * sizeof *to->before);
    to->is_early = realloc(to->is_early, count * sizeof *to->is_early);
    to->before[to->before_count] = from->number;
    to->is_early[to->before_count++] = is_early;
}

static void put_behind(struct CUgraph_st *graph, struct CUgraphNode_st *node, const CudaNode *before, size_t count) {
    node->number = graph->count++;
    graph->nodes = realloc(graph->nodes, (size_t)graph->count * sizeof *graph->nodes);
    graph->nodes[node->number] = node;
    for (size_t i = 0; i < count; i++) add_edge(before[i], node, false);
}

FAKE_CALL int cuGraphAddKernelNode_v2(CudaNode *node, CudaGraph graph, const CudaNode *before, size_t count,
                                      const CudaKernelNode *kernel) {
    BEGIN();
    *node = make_node(kernel);
    put_behind(graph, *node, before, count);
    return 0;
}
FAKE_CALL int cuGraphKernelNodeSetAttribute(CudaNode node, int attribute, const CudaKernelAttribute *value) {
    BEGIN();
    if (!node->kernel || attribute != CUDA_KERNEL_COOPERATIVE || value->is_cooperative != 1) return 1;
    node->is_cooperative = true;
    return 0;
}
// Programmatic edges are from kernel to kernel, from their port.
FAKE_CALL int cuGraphAddDependencies_v2(CudaGraph graph, const CudaNode *from, const CudaNode *to,
                                        const CudaEdge *edges, size_t count) {
    BEGIN();
    for (size_t i = 0; i < count; i++) {
        const CudaEdge *edge = &edges[i];
        bool is_early = edge->type == CUDA_EDGE_PROGRAMMATIC;
        int port = is_early ? CUDA_PORT_PROGRAMMATIC : 0;
        if (edge->type > CUDA_EDGE_PROGRAMMATIC || edge->to_port != 0 || edge->from_port != port) return 1;
        if (is_early && (!from[i]->kernel || !to[i]->kernel)) return 1;
        for (int b = 0; b < to[i]->before_count; b++)
            if (to[i]->before[b] == from[i]->number) return 1;
        if (from[i]->number >= graph->count || to[i]->number >= graph->count) return 1;
        add_edge(from[i], to[i], is_early);
    }
    return 0;
}
FAKE_CALL int cuGraphAddEventRecordNode(CudaNode *node, CudaGraph graph, const CudaNode *before, size_t count,
                                        CudaEvent event) {
    BEGIN();
    *node = fake_zeroed(1, sizeof **node);
    (*node)->event = event;
    put_behind(graph, *node, before, count);
    return 0;
}
FAKE_CALL int cuGraphAddChildGraphNode(CudaNode *node, CudaGraph graph, const CudaNode *before, size_t count,
                                       CudaGraph child) {
    BEGIN();
    *node = fake_zeroed(1, sizeof **node);
    (*node)->graph = child;
    child->owners++;
    put_behind(graph, *node, before, count);
    return 0;
}
FAKE_CALL int cuGraphInstantiateWithFlags(CudaGraphExec *exec, CudaGraph graph, unsigned long long flags) {
    (void)flags;
    BEGIN();
    *exec = fake_zeroed(1, sizeof **exec);
    (*exec)->graph = graph;
    graph->owners++;
    held++;
    return 0;
}
FAKE_CALL int cuGraphExecDestroy(CudaGraphExec exec) {
    BEGIN();
    fake_release_graph(exec->graph);
    free(exec);
    held--;
    return 0;
}
FAKE_CALL int cuLaunchKernel(CudaFunction function, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x,
                             unsigned block_y, unsigned block_z, unsigned shared_bytes, CudaStream stream,
                             void **arguments, void **extra) {
    (void)extra;
    BEGIN();
    if (grid_y * grid_z * block_y * block_z != 1) return 1;
    CudaKernelNode kernel = {function, {grid_x, 1, 1}, {block_x, 1, 1}, shared_bytes, arguments, NULL, NULL, NULL};
    if (stream->captured) {
        int last = stream->captured->count - 1;
        put_behind(stream->captured, make_node(&kernel), last < 0 ? NULL : &stream->captured->nodes[last], last >= 0);
        return 0;
    }
    fake_put(stream, (FakeOperation){.kind = KERNEL, .node = make_node(&kernel)});
    return 0;
}
FAKE_CALL int cuGraphLaunch(CudaGraphExec exec, CudaStream stream) {
    BEGIN();
    fake_put(stream, (FakeOperation){.kind = GRAPH, .exec = exec});
    return 0;
}
FAKE_CALL int cuTensorMapEncodeTiled(void *map, int type, uint32_t rank, void *address, const uint64_t *extents,
                                     const uint64_t *strides, const uint32_t *box, const uint32_t *element_strides,
                                     int interleave, int swizzle, int promotion, int fill) {
    BEGIN();
    return emulated_map_encode(map, type, rank, address, extents, strides, box, element_strides, interleave, swizzle,
                               promotion, fill);
}

// ---- the library

#ifndef FAKE_LIBRARY
#define ROW(name) {#name, (void *)name}
static const struct {
    const char *name;
    void *function;
} functions[] = {ROW(cuInit),
                 ROW(cuDriverGetVersion),
                 ROW(cuGetErrorName),
                 ROW(cuGetErrorString),
                 ROW(cuDeviceGetCount),
                 ROW(cuDeviceGet),
                 ROW(cuDeviceGetName),
                 ROW(cuDeviceGetAttribute),
                 ROW(cuDeviceTotalMem_v2),
                 ROW(cuDevicePrimaryCtxRetain),
                 ROW(cuDevicePrimaryCtxRelease_v2),
                 ROW(cuCtxSetCurrent),
                 ROW(cuMemGetInfo_v2),
                 ROW(cuMemAlloc_v2),
                 ROW(cuMemFree_v2),
                 ROW(cuMemHostAlloc),
                 ROW(cuMemFreeHost),
                 ROW(cuMemHostGetDevicePointer_v2),
                 ROW(cuMemcpyHtoD_v2),
                 ROW(cuMemcpyDtoH_v2),
                 ROW(cuMemcpyHtoDAsync_v2),
                 ROW(cuMemsetD8Async),
                 ROW(cuModuleLoadData),
                 ROW(cuModuleUnload),
                 ROW(cuModuleGetFunction),
                 ROW(cuFuncSetAttribute),
                 ROW(cuOccupancyMaxActiveBlocksPerMultiprocessor),
                 ROW(cuStreamCreate),
                 ROW(cuStreamDestroy_v2),
                 ROW(cuStreamSynchronize),
                 ROW(cuStreamQuery),
                 ROW(cuStreamBeginCapture_v2),
                 ROW(cuStreamEndCapture),
                 ROW(cuStreamWaitEvent),
                 ROW(cuEventCreate),
                 ROW(cuEventDestroy_v2),
                 ROW(cuEventRecord),
                 ROW(cuEventQuery),
                 ROW(cuEventSynchronize),
                 ROW(cuEventElapsedTime),
                 ROW(cuGraphCreate),
                 ROW(cuGraphDestroy),
                 ROW(cuGraphAddKernelNode_v2),
                 ROW(cuGraphAddDependencies_v2),
                 ROW(cuGraphKernelNodeSetAttribute),
                 ROW(cuGraphAddEventRecordNode),
                 ROW(cuGraphAddChildGraphNode),
                 ROW(cuGraphInstantiateWithFlags),
                 ROW(cuGraphExecDestroy),
                 ROW(cuLaunchKernel),
                 ROW(cuGraphLaunch),
                 ROW(cuTensorMapEncodeTiled)};

static void *fake_open(const char *path) {
    static int library;
    if (strcmp(path, "libcuda.so.1") != 0) return real_table.open(path);
    return fake_driver.has_library ? &library : NULL;
}
static void *fake_symbol(void *library, const char *name) {
    if (fake_driver.missing && strcmp(name, fake_driver.missing) == 0) return NULL;
    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++)
        if (strcmp(functions[i].name, name) == 0) return functions[i].function;
    return real_table.symbol(library, name);
}
static const char *fake_error(void) { return "cannot open shared object file"; }
#endif

void fake_install(void) {
    memset(calls, 0, sizeof calls);
    held = 0;
    fake_driver = (FakeDriver){.has_library = true,
                               .version = 13000,
                               .devices = 1,
                               .device_name = "NVIDIA H200",
                               .multiprocessors = 132,
                               .resident = 1,
                               .major = 9,
                               .minor = 0,
                               .memory_bytes = 150754820096,
                               .free_bytes = 150000000000};
#ifndef FAKE_LIBRARY
    if (library_table.open != fake_open) real_table = library_table;
    library_table = (LibraryTable){fake_open, fake_symbol, fake_error, real_table.exists};
#endif
}

#ifndef FAKE_LIBRARY
void fake_remove(void) { library_table = real_table; }
#endif
