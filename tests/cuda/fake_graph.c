// Streams and graphs of the driver that is none: see fake_driver.h.
#include "fake_graph.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "runtime/cuda/driver.h"

double fake_made_up_seconds;
struct CUstream_st *fake_streams[FAKE_MOST_STREAMS];

void *fake_zeroed(size_t count, size_t size) {
    void *memory = calloc(count ? count : 1, size);
    if (!memory) abort();
    return memory;
}

// The values that `arguments` point at, each copied.
void **fake_copy_arguments(const FakeKernel *kernel, void *const *arguments) {
    void **copies = fake_zeroed((size_t)kernel->argument_count + 1, sizeof *copies);
    for (int i = 0; i < kernel->argument_count; i++) {
        size_t bytes = kernel->argument_sizes ? kernel->argument_sizes[i] : kernel->argument_bytes;
        copies[i] = memcpy(fake_zeroed(1, bytes), arguments[i], bytes);
    }
    return copies;
}

double fake_now(void) {
    struct timespec time;
    if (fake_driver.seconds_of) return fake_made_up_seconds;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

static void reach(struct CUevent_st *event) {
    if (fake_driver.seconds_of) fake_made_up_seconds += fake_driver.seconds_of(NULL, 0);
    event->reached++;
    event->time = fake_now();
}

static bool run_graph(const struct CUgraph_st *graph);

static bool run_node(const struct CUgraphNode_st *node) {
    const FakeKernel *kernel = node->kernel;
    if (node->graph) return run_graph(node->graph);
    if (!kernel) {
        node->event->recorded++;
        reach(node->event);
        return true;
    }
    if (fake_driver.seconds_of) fake_made_up_seconds += fake_driver.seconds_of(kernel, node->blocks);
    FakeGrid grid = {node->blocks, node->threads, node->shared_bytes, node->is_cooperative};
    unsigned room = (unsigned)(fake_driver.resident * fake_driver.multiprocessors);
    if (node->is_cooperative ? node->blocks > room : kernel->waits_for_blocks) return false;
    if (kernel->run_grid) return kernel->run_grid(kernel->context, node->arguments, &grid);
    for (unsigned block = 0; block < node->blocks; block++) kernel->run(node->arguments, block, node->blocks);
    return true;
}

// A graph that runs, and the node that does.
typedef struct {
    const struct CUgraph_st *graph;
    bool *done;
    int *ready;        // room
    int chosen;        // -1: none
    bool runs;
} Running;
static Running *running;

static bool all_done(const Running *run, int number) {
    const struct CUgraphNode_st *node = run->graph->nodes[number];
    for (int b = 0; b < node->before_count; b++)
        if (!run->done[node->before[b]]) return false;
    return true;
}

// A kernel lets others begin when it has waited itself: all before these are done.
static bool may_begin(const Running *run, int number) {
    const struct CUgraphNode_st *node = run->graph->nodes[number];
    for (int b = 0; b < node->before_count; b++)
        if (!run->done[node->before[b]] && !(node->is_early[b] && all_done(run, node->before[b]))) return false;
    return true;
}

static unsigned draw(unsigned bound) {
    fake_driver.order = fake_driver.order * 1664525u + 1013904223u;
    return (fake_driver.order >> 16) % bound;
}

// What the kernel never awaited comes behind it: too late.
static void run_chosen(Running *run, int number) {
    int before = run->chosen;
    run->chosen = number;
    run->runs &= run_node(run->graph->nodes[number]);
    fake_await_earlier();
    run->chosen = before;
    run->done[number] = true;
}

void fake_await_earlier(void) {
    Running *run = running;
    if (!run || run->chosen < 0) return;
    const struct CUgraphNode_st *node = run->graph->nodes[run->chosen];
    for (;;) {
        int count = 0, late[FAKE_MOST_OPERATIONS];
        for (int b = 0; b < node->before_count; b++)
            if (!run->done[node->before[b]]) late[count++] = node->before[b];
        if (count == 0 || !run->runs) return;
        run_chosen(run, late[draw((unsigned)count)]);
    }
}

// Any node whose predecessors are done, or let it begin, may come next: a generator picks.
static bool run_graph(const struct CUgraph_st *graph) {
    Running run = {.graph = graph, .chosen = -1, .runs = true};
    run.done = fake_zeroed((size_t)graph->count, sizeof *run.done);
    run.ready = fake_zeroed((size_t)graph->count, sizeof *run.ready);
    Running *outer = running;   // of whose nodes this graph is one
    running = &run;
    for (bool left = true; left && run.runs;) {
        int ready_count = 0;
        left = false;
        for (int n = 0; n < graph->count; n++) {
            left |= !run.done[n];
            if (!run.done[n] && may_begin(&run, n)) run.ready[ready_count++] = n;
        }
        if (left && ready_count == 0) abort();  // a cycle
        if (left) run_chosen(&run, run.ready[draw((unsigned)ready_count)]);
    }
    running = outer;
    free(run.done);
    free(run.ready);
    return run.runs;
}

static void release_node(struct CUgraphNode_st *node) {
    for (int i = 0; node->kernel && i < node->kernel->argument_count; i++) free(node->arguments[i]);
    if (node->graph) fake_release_graph(node->graph);
    free(node->arguments);
    free(node->before);
    free(node->is_early);
    free(node);
}

void fake_release_graph(struct CUgraph_st *graph) {
    if (--graph->owners > 0) return;
    for (int n = 0; n < graph->count; n++) release_node(graph->nodes[n]);
    free(graph->nodes);
    free(graph);
}

// One operation, unless it has to wait. True when the queue moved.
bool fake_advance(struct CUstream_st *stream) {
    if (stream->first == stream->end || stream->error) return false;
    FakeOperation *operation = &stream->operations[stream->first % FAKE_MOST_OPERATIONS];
    if (operation->kind == WAIT && operation->event->reached < operation->event_number) return false;
    stream->first++;
    switch (operation->kind) {
    case COPY: memcpy(operation->to, operation->from, operation->bytes); break;
    case FILL: memset(operation->to, operation->byte, operation->bytes); break;
    case RECORD:
        reach(operation->event);
        break;
    case WAIT: break;
    case GRAPH:
        if (fake_driver.launch_error) stream->error = fake_driver.launch_error;
        else if (!run_graph(operation->exec->graph)) stream->error = CUDA_LAUNCH_FAILED;
        break;
    case KERNEL:
        if (!run_node(operation->node)) stream->error = CUDA_LAUNCH_FAILED;
        release_node(operation->node);
        break;
    }
    return true;
}

void fake_run_all(void) {
    for (bool moved = true; moved;) {
        moved = false;
        for (int i = 0; i < FAKE_MOST_STREAMS; i++)
            if (fake_streams[i]) moved |= fake_advance(fake_streams[i]);
    }
}

void fake_put(struct CUstream_st *stream, FakeOperation operation) {
    if (stream->captured || stream->end - stream->first == FAKE_MOST_OPERATIONS) abort();
    stream->operations[stream->end++ % FAKE_MOST_OPERATIONS] = operation;
}
