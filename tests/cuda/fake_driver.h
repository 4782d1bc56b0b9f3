// A driver of our own making, behind base/library.h's table: no GPU is needed to see what Sinter asks of one.
//
// Device memory is host memory. Streams are queues whose operations run when somebody asks the stream, one a question,
// so that whatever is not waited for really is late. Kernels are C functions; a graph's nodes run in any order that its
// edges allow: behind programmatic ones a node may begin before the other one has done anything. Every call is counted
// and can be made to fail.
#ifndef SINTER_TESTS_CUDA_FAKE_DRIVER_H
#define SINTER_TESTS_CUDA_FAKE_DRIVER_H

#include <stdbool.h>
#include <stddef.h>

typedef struct {
    unsigned blocks, threads, shared_bytes;
    bool is_cooperative;
} FakeGrid;

typedef struct {
    const char *name;
    size_t argument_bytes;  // of each argument
    int argument_count;
    void (*run)(void **arguments, unsigned block, unsigned blocks);  // one block of the grid
    // In its place: the whole grid, with arguments of these sizes. False: the launch fails.
    bool (*run_grid)(void *context, void **arguments, const FakeGrid *grid);
    bool waits_for_blocks;  // the launch must be cooperative
    void *context;
    const unsigned *argument_sizes;
} FakeKernel;

// Where kernels come from, for a driver that loads modules; all NULL: they are those of the list below.
typedef struct {
    void *(*load)(const void *image);  // NULL: it is no module
    void (*unload)(void *module);
    const FakeKernel *(*find)(void *module, const char *name);
} FakeModules;

typedef struct {
    bool has_library;
    int version, devices;
    const char *device_name;
    int multiprocessors;
    int resident;            // blocks of a cooperative launch that find room on each
    int major, minor;
    size_t memory_bytes, free_bytes;
    const char *failing;     // name of the call that fails, at its `failing_call`th call (from 1)
    int failing_call, error;
    const char *missing;     // a symbol that the library lacks
    int launch_error;        // of a kernel: shows at the next question to its stream
    unsigned order;          // seed for the order of nodes
    // How long a kernel of so many blocks takes by the clock that events read, NULL: an event; NULL: the real clock.
    double (*seconds_of)(const FakeKernel *kernel, unsigned blocks);
    const FakeKernel *kernels;
    size_t kernel_count;
    FakeModules modules;
} FakeDriver;

extern FakeDriver fake_driver;

void fake_install(void);   // a driver with one H200, and the table in place
void fake_remove(void);
int fake_calls(const char *name);     // since fake_install
long fake_held(void);      // allocations, streams, events, modules, graphs, contexts that were not given back
// A kernel that begins early calls it before it touches memory: the nodes that it waits for run now, if they have not.
void fake_await_earlier(void);
// Lets all streams do all they have.
void fake_run_all(void);

#endif
