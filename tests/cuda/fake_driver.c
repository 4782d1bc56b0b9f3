// The driver that is none: see fake_driver.h.
#include "fake_driver.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/cuda/driver.h"

FakeDriver fake_driver;

enum { MOST_CALLS = 64, MOST_NODES = 512, MOST_EDGES = 16, MOST_OPERATIONS = 4096, MOST_ARGUMENTS = 16 };

static struct {
    const char *name;
    int count;
} calls[MOST_CALLS];
static long held;
static LibraryTable real_table;

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

// ---- queues

typedef struct {
    enum { COPY, FILL, RECORD, WAIT, GRAPH } kind;
    void *to;
    const void *from;
    size_t bytes;
    int byte;
    struct CUevent_st *event;
    long event_number;  // WAIT: of the record that it waits for
    struct CUgraphExec_st *exec;
} Operation;

struct CUevent_st {
    long recorded, reached;  // numbers of records put into queues, and done
};
struct CUstream_st {
    Operation operations[MOST_OPERATIONS];
    size_t first, end;
    int error;
};
struct CUgraphNode_st {
    const FakeKernel *kernel;
    unsigned blocks;
    _Alignas(16) unsigned char arguments[MOST_ARGUMENTS][512];
    int before[MOST_EDGES], before_count;
};
struct CUgraph_st {
    struct CUgraphNode_st nodes[MOST_NODES];
    int count;
};
struct CUgraphExec_st {
    struct CUgraph_st graph;
};
struct CUfunc_st {
    const FakeKernel *kernel;
};

static struct CUstream_st *streams[8];

static void run_node(const struct CUgraphNode_st *node) {
    void *arguments[MOST_ARGUMENTS];
    for (int i = 0; i < node->kernel->argument_count; i++) arguments[i] = (void *)node->arguments[i];
    for (unsigned block = 0; block < node->blocks; block++) node->kernel->run(arguments, block, node->blocks);
}

// Any node whose predecessors are done may come next: a generator picks.
static void run_graph(const struct CUgraph_st *graph) {
    bool done[MOST_NODES] = {false};
    for (int left = graph->count; left > 0; left--) {
        int ready[MOST_NODES], ready_count = 0;
        for (int n = 0; n < graph->count; n++) {
            bool is_ready = !done[n];
            for (int b = 0; b < graph->nodes[n].before_count; b++) is_ready &= done[graph->nodes[n].before[b]];
            if (is_ready) ready[ready_count++] = n;
        }
        if (ready_count == 0) abort();  // a cycle
        fake_driver.order = fake_driver.order * 1664525u + 1013904223u;
        int chosen = ready[(fake_driver.order >> 16) % (unsigned)ready_count];
        run_node(&graph->nodes[chosen]);
        done[chosen] = true;
    }
}

// One operation, unless it has to wait. True when the queue moved.
static bool advance(struct CUstream_st *stream) {
    if (stream->first == stream->end || stream->error) return false;
    Operation *operation = &stream->operations[stream->first % MOST_OPERATIONS];
    if (operation->kind == WAIT && operation->event->reached < operation->event_number) return false;
    stream->first++;
    switch (operation->kind) {
    case COPY: memcpy(operation->to, operation->from, operation->bytes); break;
    case FILL: memset(operation->to, operation->byte, operation->bytes); break;
    case RECORD: operation->event->reached++; break;
    case WAIT: break;
    case GRAPH:
        if (fake_driver.launch_error) stream->error = fake_driver.launch_error;
        else run_graph(&operation->exec->graph);
        break;
    }
    return true;
}

void fake_run_all(void) {
    for (bool moved = true; moved;) {
        moved = false;
        for (int i = 0; i < 8; i++)
            if (streams[i]) moved |= advance(streams[i]);
    }
}

static void put(struct CUstream_st *stream, Operation operation) {
    stream->operations[stream->end++ % MOST_OPERATIONS] = operation;
}

// ---- the calls, under the driver's own names

static int cuInit(unsigned flags) {
    BEGIN();
    return flags == 0 ? 0 : 1;
}
static int cuDriverGetVersion(int *version) {
    BEGIN();
    *version = fake_driver.version;
    return 0;
}
static int cuGetErrorName(int error, const char **name) {
    *name = error == 2 ? "CUDA_ERROR_OUT_OF_MEMORY" : error == 719 ? "CUDA_ERROR_LAUNCH_FAILED" : "CUDA_ERROR_OF_A_TEST";
    return 0;
}
static int cuGetErrorString(int error, const char **text) {
    *text = error == 2 ? "out of memory" : error == 719 ? "unspecified launch failure" : "words of a test";
    return 0;
}
static int cuDeviceGetCount(int *count) {
    BEGIN();
    *count = fake_driver.devices;
    return 0;
}
static int cuDeviceGet(int *device, int ordinal) {
    BEGIN();
    *device = ordinal;
    return 0;
}
static int cuDeviceGetName(char *name, int length, int device) {
    (void)device;
    BEGIN();
    strncpy(name, fake_driver.device_name, (size_t)length);
    return 0;
}
static int cuDeviceGetAttribute(int *value, int attribute, int device) {
    (void)device;
    BEGIN();
    switch (attribute) {
    case 16: *value = 132; break;
    case 38: *value = 50 << 20; break;
    case 75: *value = fake_driver.major; break;
    case 76: *value = fake_driver.minor; break;
    case 97: *value = 232448; break;
    default: return 1;
    }
    return 0;
}
static int cuDeviceTotalMem_v2(size_t *bytes, int device) {
    (void)device;
    BEGIN();
    *bytes = fake_driver.memory_bytes;
    return 0;
}
static int cuDevicePrimaryCtxRetain(CudaContext *context, int device) {
    (void)device;
    BEGIN();
    held++;
    *context = (CudaContext)&held;
    return 0;
}
static int cuDevicePrimaryCtxRelease_v2(int device) {
    (void)device;
    BEGIN();
    held--;
    return 0;
}
static int cuCtxSetCurrent(CudaContext context) {
    BEGIN();
    return context ? 0 : 1;
}
static int cuMemGetInfo_v2(size_t *free_bytes, size_t *all) {
    BEGIN();
    *free_bytes = fake_driver.free_bytes;
    *all = fake_driver.memory_bytes;
    return 0;
}
static int cuMemAlloc_v2(CudaAddress *address, size_t bytes) {
    BEGIN();
    void *memory = aligned_alloc(256, (bytes + 255) / 256 * 256);
    memset(memory, 0xff, bytes);  // what is not cleared is NaN
    *address = (CudaAddress)(uintptr_t)memory;
    held++;
    return 0;
}
static int cuMemFree_v2(CudaAddress address) {
    BEGIN();
    free((void *)(uintptr_t)address);
    held--;
    return 0;
}
static int cuMemHostAlloc(void **memory, size_t bytes, unsigned flags) {
    (void)flags;
    BEGIN();
    *memory = malloc(bytes);
    held++;
    return 0;
}
static int cuMemFreeHost(void *memory) {
    BEGIN();
    free(memory);
    held--;
    return 0;
}
static int cuMemHostGetDevicePointer_v2(CudaAddress *address, void *memory, unsigned flags) {
    (void)flags;
    BEGIN();
    *address = (CudaAddress)(uintptr_t)memory;
    return 0;
}
static int cuMemcpyHtoD_v2(CudaAddress to, const void *from, size_t bytes) {
    BEGIN();
    memcpy((void *)(uintptr_t)to, from, bytes);
    return 0;
}
static int cuMemcpyDtoH_v2(void *to, CudaAddress from, size_t bytes) {
    BEGIN();
    memcpy(to, (const void *)(uintptr_t)from, bytes);
    return 0;
}
static int cuMemcpyHtoDAsync_v2(CudaAddress to, const void *from, size_t bytes, CudaStream stream) {
    BEGIN();
    put(stream, (Operation){.kind = COPY, .to = (void *)(uintptr_t)to, .from = from, .bytes = bytes});
    return 0;
}
static int cuMemsetD8Async(CudaAddress address, unsigned char byte, size_t bytes, CudaStream stream) {
    BEGIN();
    put(stream, (Operation){.kind = FILL, .to = (void *)(uintptr_t)address, .byte = byte, .bytes = bytes});
    return 0;
}
static int cuModuleLoadData(CudaModule *module, const void *image) {
    BEGIN();
    if (!image) return 1;
    *module = (CudaModule)(uintptr_t)image;
    held++;
    return 0;
}
static int cuModuleUnload(CudaModule module) {
    (void)module;
    BEGIN();
    held--;
    return 0;
}
static int cuModuleGetFunction(CudaFunction *function, CudaModule module, const char *name) {
    static struct CUfunc_st functions[64];
    (void)module;
    BEGIN();
    for (size_t i = 0; i < fake_driver.kernel_count; i++) {
        if (strcmp(fake_driver.kernels[i].name, name) != 0) continue;
        functions[i].kernel = &fake_driver.kernels[i];
        *function = &functions[i];
        return 0;
    }
    return 500;  // CUDA_ERROR_NOT_FOUND
}
static int cuFuncSetAttribute(CudaFunction function, int attribute, int value) {
    (void)function;
    BEGIN();
    return attribute == 8 && value > 0 ? 0 : 1;
}
static int cuStreamCreate(CudaStream *stream, unsigned flags) {
    BEGIN();
    if (flags != 1) return 1;
    *stream = calloc(1, sizeof **stream);
    for (int i = 0; i < 8; i++) {
        if (streams[i]) continue;
        streams[i] = *stream;
        break;
    }
    held++;
    return 0;
}
static int cuStreamDestroy_v2(CudaStream stream) {
    BEGIN();
    for (int i = 0; i < 8; i++)
        if (streams[i] == stream) streams[i] = NULL;
    free(stream);
    held--;
    return 0;
}
static int cuStreamSynchronize(CudaStream stream) {
    BEGIN();
    fake_run_all();
    return stream->error;
}
static int cuStreamQuery(CudaStream stream) {
    BEGIN();
    for (int i = 0; i < 8; i++)
        if (streams[i]) advance(streams[i]);
    if (stream->error) return stream->error;
    return stream->first == stream->end ? 0 : CUDA_NOT_READY;
}
static int cuStreamWaitEvent(CudaStream stream, CudaEvent event, unsigned flags) {
    (void)flags;
    BEGIN();
    put(stream, (Operation){.kind = WAIT, .event = event, .event_number = event->recorded});
    return 0;
}
static int cuEventCreate(CudaEvent *event, unsigned flags) {
    (void)flags;
    BEGIN();
    *event = calloc(1, sizeof **event);
    held++;
    return 0;
}
static int cuEventDestroy_v2(CudaEvent event) {
    BEGIN();
    free(event);
    held--;
    return 0;
}
static int cuEventRecord(CudaEvent event, CudaStream stream) {
    BEGIN();
    event->recorded++;
    put(stream, (Operation){.kind = RECORD, .event = event});
    return 0;
}
static int cuEventQuery(CudaEvent event) {
    BEGIN();
    return event->reached == event->recorded ? 0 : CUDA_NOT_READY;
}
static int cuEventSynchronize(CudaEvent event) {
    (void)event;
    BEGIN();
    fake_run_all();
    return 0;
}
static int cuEventElapsedTime(float *milliseconds, CudaEvent first, CudaEvent last) {
    (void)first, (void)last;
    BEGIN();
    *milliseconds = 1;
    return 0;
}
static int cuGraphCreate(CudaGraph *graph, unsigned flags) {
    (void)flags;
    BEGIN();
    *graph = calloc(1, sizeof **graph);
    held++;
    return 0;
}
static int cuGraphDestroy(CudaGraph graph) {
    BEGIN();
    free(graph);
    held--;
    return 0;
}
static int cuGraphAddKernelNode_v2(CudaNode *node, CudaGraph graph, const CudaNode *before, size_t count,
                                   const CudaKernelNode *kernel) {
    BEGIN();
    if (count > MOST_EDGES || graph->count == MOST_NODES) abort();
    *node = &graph->nodes[graph->count++];
    (*node)->kernel = kernel->function->kernel;
    (*node)->blocks = kernel->grid[0];
    for (int i = 0; i < (*node)->kernel->argument_count; i++)
        memcpy((*node)->arguments[i], kernel->arguments[i], (*node)->kernel->argument_bytes);
    for (size_t i = 0; i < count; i++) (*node)->before[(*node)->before_count++] = (int)(before[i] - graph->nodes);
    return 0;
}
static int cuGraphInstantiateWithFlags(CudaGraphExec *exec, CudaGraph graph, unsigned long long flags) {
    (void)flags;
    BEGIN();
    *exec = calloc(1, sizeof **exec);
    (*exec)->graph = *graph;
    held++;
    return 0;
}
static int cuGraphExecDestroy(CudaGraphExec exec) {
    BEGIN();
    free(exec);
    held--;
    return 0;
}
static int cuGraphLaunch(CudaGraphExec exec, CudaStream stream) {
    BEGIN();
    put(stream, (Operation){.kind = GRAPH, .exec = exec});
    return 0;
}

// ---- the library

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
                 ROW(cuStreamCreate),
                 ROW(cuStreamDestroy_v2),
                 ROW(cuStreamSynchronize),
                 ROW(cuStreamQuery),
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
                 ROW(cuGraphInstantiateWithFlags),
                 ROW(cuGraphExecDestroy),
                 ROW(cuGraphLaunch)};

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

void fake_install(void) {
    memset(calls, 0, sizeof calls);
    held = 0;
    fake_driver = (FakeDriver){.has_library = true,
                               .version = 13000,
                               .devices = 1,
                               .device_name = "NVIDIA H200",
                               .major = 9,
                               .minor = 0,
                               .memory_bytes = 150754820096,
                               .free_bytes = 150000000000};
    if (library_table.open != fake_open) real_table = library_table;
    library_table = (LibraryTable){fake_open, fake_symbol, fake_error, real_table.exists};
}

void fake_remove(void) { library_table = real_table; }
