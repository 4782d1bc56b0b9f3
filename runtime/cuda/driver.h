// NVIDIA's driver, opened at run time: the calls that Sinter makes of it, and its errors as sentences.
//
// Types, numbers and entry points are those of the toolkit's cuda.h, which is not needed to build this. Where there is
// no driver, no GPU or one that is too old, cuda_driver_open says so in one clause and nothing else happens.
#ifndef SINTER_RUNTIME_CUDA_DRIVER_H
#define SINTER_RUNTIME_CUDA_DRIVER_H

#include "base/diag.h"
#include "base/library.h"

typedef int CudaResult;                    // CUresult
typedef int CudaDeviceNumber;              // CUdevice
typedef unsigned long long CudaAddress;    // CUdeviceptr: of the device's memory
typedef struct CUctx_st *CudaContext;
typedef struct CUmod_st *CudaModule;
typedef struct CUfunc_st *CudaFunction;
typedef struct CUstream_st *CudaStream;
typedef struct CUevent_st *CudaEvent;
typedef struct CUgraph_st *CudaGraph;
typedef struct CUgraphNode_st *CudaNode;
typedef struct CUgraphExec_st *CudaGraphExec;

enum {
    CUDA_OK = 0,
    CUDA_OUT_OF_MEMORY = 2,
    CUDA_STUB_LIBRARY = 34,   // the toolkit's libcuda stands in for the driver's
    CUDA_NO_DEVICE = 100,
    CUDA_NO_CODE_FOR_DEVICE = 209,
    CUDA_NOT_READY = 600,
    CUDA_LAUNCH_FAILED = 719
};

// CUDA_KERNEL_NODE_PARAMS_v2
typedef struct {
    CudaFunction function;
    unsigned grid[3], block[3], shared_bytes;
    void **arguments;  // pointers to the values; copied when the node is added
    void **extra;
    void *kernel, *context;
} CudaKernelNode;

// CUlaunchAttributeValue, and one of its ids: all blocks of the launch are there at once.
typedef union {
    char all[64];
    int is_cooperative;
} CudaKernelAttribute;
enum { CUDA_KERNEL_COOPERATIVE = 2 };

// CUgraphEdgeData; zeros: the one node waits for the end of the other.
typedef struct {
    unsigned char from_port, to_port, type, reserved[5];
} CudaEdge;
enum { CUDA_PORT_PROGRAMMATIC = 1, CUDA_EDGE_PROGRAMMATIC = 1 };

typedef struct {
    Library library;
    int version;  // 13000 is CUDA 13.0

    CudaResult (*init)(unsigned flags);
    CudaResult (*driver_version)(int *version);
    CudaResult (*error_name)(CudaResult result, const char **name);
    CudaResult (*error_string)(CudaResult result, const char **text);
    CudaResult (*device_count)(int *count);
    CudaResult (*device_get)(CudaDeviceNumber *device, int ordinal);
    CudaResult (*device_name)(char *name, int length, CudaDeviceNumber device);
    CudaResult (*device_attribute)(int *value, int attribute, CudaDeviceNumber device);
    CudaResult (*device_memory)(size_t *bytes, CudaDeviceNumber device);
    CudaResult (*context_retain)(CudaContext *context, CudaDeviceNumber device);
    CudaResult (*context_release)(CudaDeviceNumber device);
    CudaResult (*context_use)(CudaContext context);
    CudaResult (*memory_info)(size_t *free_bytes, size_t *all_bytes);
    CudaResult (*memory_allocate)(CudaAddress *address, size_t bytes);
    CudaResult (*memory_free)(CudaAddress address);
    CudaResult (*host_allocate)(void **memory, size_t bytes, unsigned flags);
    CudaResult (*host_free)(void *memory);
    CudaResult (*host_address)(CudaAddress *address, void *memory, unsigned flags);
    CudaResult (*copy_to_device)(CudaAddress to, const void *from, size_t bytes);
    CudaResult (*copy_to_host)(void *to, CudaAddress from, size_t bytes);
    CudaResult (*copy_to_device_async)(CudaAddress to, const void *from, size_t bytes, CudaStream stream);
    CudaResult (*fill_async)(CudaAddress address, unsigned char byte, size_t bytes, CudaStream stream);
    CudaResult (*module_load)(CudaModule *module, const void *image);
    CudaResult (*module_unload)(CudaModule module);
    CudaResult (*module_function)(CudaFunction *function, CudaModule module, const char *name);
    CudaResult (*function_attribute)(CudaFunction function, int attribute, int value);
    CudaResult (*function_resident)(int *blocks, CudaFunction function, int threads, size_t shared_bytes);
    CudaResult (*stream_create)(CudaStream *stream, unsigned flags);
    CudaResult (*stream_destroy)(CudaStream stream);
    CudaResult (*stream_synchronize)(CudaStream stream);
    CudaResult (*stream_query)(CudaStream stream);
    CudaResult (*stream_begin_capture)(CudaStream stream, int mode);
    CudaResult (*stream_end_capture)(CudaStream stream, CudaGraph *graph);
    CudaResult (*stream_wait_event)(CudaStream stream, CudaEvent event, unsigned flags);
    CudaResult (*event_create)(CudaEvent *event, unsigned flags);
    CudaResult (*event_destroy)(CudaEvent event);
    CudaResult (*event_record)(CudaEvent event, CudaStream stream);
    CudaResult (*event_query)(CudaEvent event);
    CudaResult (*event_synchronize)(CudaEvent event);
    CudaResult (*event_elapsed)(float *milliseconds, CudaEvent begin, CudaEvent end);
    CudaResult (*graph_create)(CudaGraph *graph, unsigned flags);
    CudaResult (*graph_destroy)(CudaGraph graph);
    CudaResult (*graph_add_kernel)(CudaNode *node, CudaGraph graph, const CudaNode *after, size_t after_count,
                                   const CudaKernelNode *kernel);
    CudaResult (*graph_set_kernel)(CudaNode node, int attribute, const CudaKernelAttribute *value);
    CudaResult (*graph_add_event)(CudaNode *node, CudaGraph graph, const CudaNode *after, size_t after_count,
                                  CudaEvent event);
    CudaResult (*graph_add_graph)(CudaNode *node, CudaGraph graph, const CudaNode *after, size_t after_count,
                                  CudaGraph child);
    // NULL: the driver has no edges of several kinds (it is older than CUDA 12.3).
    CudaResult (*graph_add_edges)(CudaGraph graph, const CudaNode *from, const CudaNode *to, const CudaEdge *edges,
                                  size_t count);
    CudaResult (*graph_instantiate)(CudaGraphExec *exec, CudaGraph graph, unsigned long long flags);
    CudaResult (*graph_exec_destroy)(CudaGraphExec exec);
    CudaResult (*graph_launch)(CudaGraphExec exec, CudaStream stream);
    CudaResult (*map_encode)(void *map, int type, uint32_t rank, void *address, const uint64_t *extents,
                             const uint64_t *strides, const uint32_t *box, const uint32_t *element_strides,
                             int interleave, int swizzle, int promotion, int fill);
} CudaDriver;

// Opens libcuda.so.1, looks its functions up, initialises it. NULL: `*why` is one clause. There is at least one device
// when it succeeds. In `arena`; the library stays open until the process ends.
const CudaDriver *cuda_driver_open(Arena *arena, const char **why);
// "13.0"
const char *cuda_version_text(Arena *arena, int version);

// "out of memory (CUDA_ERROR_OUT_OF_MEMORY)", in the driver's words.
const char *cuda_error_text(Arena *arena, const CudaDriver *driver, CudaResult result);
// True when `result` is CUDA_OK; else one diagnostic, "the GPU cannot WHAT: ...".
bool cuda_check(const CudaDriver *driver, CudaResult result, const char *what, Diags *diags);

#endif
