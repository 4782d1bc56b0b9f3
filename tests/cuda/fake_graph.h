// What the fake driver's streams and graphs are, and how they run. Shared by fake_driver.c and fake_graph.c.
#ifndef SINTER_TESTS_CUDA_FAKE_GRAPH_H
#define SINTER_TESTS_CUDA_FAKE_GRAPH_H

#include "fake_driver.h"

enum { FAKE_MOST_STREAMS = 64, FAKE_MOST_OPERATIONS = 4096 };

typedef struct {
    enum { COPY, FILL, RECORD, WAIT, GRAPH, KERNEL } kind;
    void *to;
    const void *from;
    size_t bytes;
    int byte;
    struct CUevent_st *event;
    long event_number;  // WAIT: of the record that it waits for
    struct CUgraphExec_st *exec;
    struct CUgraphNode_st *node;
} FakeOperation;

struct CUevent_st {
    long recorded, reached;  // numbers of records put into queues, and done
    double time;             // of the last one done
};
struct CUstream_st {
    FakeOperation operations[FAKE_MOST_OPERATIONS];
    size_t first, end;
    int error;
    struct CUgraph_st *captured;  // not NULL: what is put into it becomes nodes of this
};
// A node is what its handle is; graphs share their nodes with what is instantiated of them.
struct CUgraphNode_st {
    const FakeKernel *kernel;  // NULL: it records the event, or is a graph
    struct CUevent_st *event;
    struct CUgraph_st *graph;
    unsigned blocks, threads, shared_bytes;
    bool is_cooperative;
    void **arguments;   // each of its own
    int *before, before_count;
    bool *is_early;     // by `before`
    int number;
};
struct CUgraph_st {
    struct CUgraphNode_st **nodes;
    int count, owners;
};
struct CUgraphExec_st {
    struct CUgraph_st *graph;
};

extern struct CUstream_st *fake_streams[FAKE_MOST_STREAMS];
extern double fake_made_up_seconds;

void *fake_zeroed(size_t count, size_t size);
// The values that `arguments` point at, each copied.
void **fake_copy_arguments(const FakeKernel *kernel, void *const *arguments);
double fake_now(void);
void fake_put(struct CUstream_st *stream, FakeOperation operation);
bool fake_advance(struct CUstream_st *stream);      // one operation, unless it has to wait; true when the queue moved
void fake_release_graph(struct CUgraph_st *graph);

#endif
