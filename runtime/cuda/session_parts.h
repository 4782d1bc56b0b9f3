// Inside of a GPU session: what session.c, noted.c, graph.c, product.c and timing.c share.
#ifndef SINTER_RUNTIME_CUDA_SESSION_PARTS_H
#define SINTER_RUNTIME_CUDA_SESSION_PARTS_H

#include "runtime/cuda/session.h"

// An input of a program: where it lies in an entry of the ring, and in the arena.
typedef struct {
    const ProgramSlot *slot;
    size_t entry_offset;
} CudaInput;

typedef struct {
    const CudaProgram *program;
    CudaInput inputs[CUDA_MOST_MOVES];
    uint32_t input_count;
    CudaGraphExec single;           // one run
    CudaGraphExec timed;            // one run with an event between every two launches; NULL: never asked for
    CudaEvent *events;              // of `timed`: cuda_event_count(program) of them
} CudaBound;

// Runs that are one graph, in order.
enum { CUDA_MOST_RUNS = CUDA_RING_ENTRIES / 2 };
typedef struct CudaSequence {
    struct CudaSequence *next;
    const CudaBound *runs[CUDA_MOST_RUNS];
    uint32_t count;
    CudaGraphExec exec;
} CudaSequence;

enum { CUDA_BLOCKS = 2 };  // MEMORY_STATE, MEMORY_ARENA

struct CudaSession {
    MemoryOwned owned;
    CudaSessionSettings settings;
    CudaContext context;
    LtHandle library;                  // NULL: no program has products of a library
    CudaAddress blocks[CUDA_BLOCKS];
    size_t block_bytes[CUDA_BLOCKS];
    size_t entry_bytes;
    CudaAddress ring, cursor, results_address;
    char *staging;                     // pinned: the ring as the host fills it
    volatile CudaResultEntry *results; // pinned, written by the device
    CudaModule *modules, service;
    CudaFunction *functions, take, give, nothing;
    uint32_t *resident;                // by kernel, of cooperative ones: how many blocks find room at once
    CudaStream compute, copies;
    CudaEvent copied[CUDA_RING_ENTRIES];
    CudaBound *programs;
    uint64_t submitted, launched, collected;  // runs, in order
    const CudaBound *noted[CUDA_MOST_RUNS];   // the runs submitted and not launched
    uint32_t iteration_runs;                  // so far, of the iteration that goes on; 0: none does
    CudaSequence *sequences;                  // as they first came together
};

CudaAddress cuda_address(const CudaSession *session, ProgramBuffer buffer);
CudaBound *cuda_bound(const CudaSession *session, const CudaProgram *program);
// The next run's order and inputs, into the ring. False after a diagnostic.
bool cuda_copy_entry(CudaSession *session, CudaOrder order, Diags *diags);
// product.c: a launch that a library computes, as one node. CUDA_COMPLAINED after a diagnostic in the library's words.
enum { CUDA_COMPLAINED = -1 };
CudaResult cuda_product_add(const CudaSession *session, const CudaProgram *program, const CudaLaunch *launch,
                            CudaGraph graph, const CudaNode *before, size_t before_count, CudaNode *node,
                            Diags *diags);
// graph.c: runs, one after the other, as one graph. False after a diagnostic.
bool cuda_graph_build(const CudaSession *session, const CudaBound *const *runs, uint32_t count, CudaGraphExec *exec,
                      Diags *diags);
// One run, one launch after the other in the order of the table, between events:
//
//     take -> event 0 -> event 1 -> nothing -> event 2 -> launch 0 -> event 3 -> launch 1 -> event 4 ... -> give
//
// So the first interval is what an event costs, the second what a launch costs that does nothing.
bool cuda_graph_build_timed(const CudaSession *session, const CudaBound *bound, CudaGraphExec *exec, Diags *diags);
enum { CUDA_EVENTS_BEFORE = 3 };
static inline uint32_t cuda_event_count(const CudaProgram *program) {
    return program->launch_count + CUDA_EVENTS_BEFORE;
}
// maps.c: the tensor map of a kernel whose buffer begins at `buffer`, 128 bytes at a multiple of 64.
CudaResult cuda_map_encode(const CudaDriver *driver, const CudaMap *map, CudaAddress buffer, void *result);
void cuda_sequences_free(CudaSession *session);   // noted.c
// timing.c
void cuda_timing_free(const CudaSession *session, CudaBound *bound);

#endif
