// Launches -> one CUDA graph, by explicit nodes: every dependency is one that the plan has, so what does not wait for
// each other may run at the same time.
//
//     take -> launches without `after` -> ... -> launches that nobody waits for -> give -> take (the next run) ...
//
// With `begins_early` an edge lets the later kernel begin when every block of the earlier one has passed its own wait
// (CUDA driver API, "graph kernel node ports": programmatic). That one waits at its beginning until all before it have
// ended; theirs have then, too. A timed graph has none of these edges.
#include <string.h>

#include "runtime/cuda/session_parts.h"

typedef struct {
    const CudaSession *session;
    const CudaBound *bound;
    CudaGraph graph;
    CudaNode *nodes;       // by launch, of the run that is being added
    CudaNode *before;      // room for the nodes that one waits for
    bool is_early;         // whether kernels begin before these have ended
    CudaEdge *edges;       // room, as `before`
    CudaNode *behind;
    bool *is_waited_for;   // by launch
    Diags *diags;
    CudaNode last;         // give of the run before, or what a timed graph has come to; NULL at first
} Building;

static bool is_cooperative(const Building *building, const CudaLaunch *launch) {
    return !launch->product && building->session->settings.kernels[launch->kernel].is_cooperative;
}

// Kernels of a library neither wait at their beginning nor let others in; where all blocks must be there at once, none
// of others may be in their way, nor come in between.
static bool is_by_itself(const Building *building, CudaNode node) {
    const CudaProgram *program = building->bound->program;
    for (uint32_t i = 0; i < program->launch_count; i++) {
        const CudaLaunch *launch = &program->launches[i];
        if (building->nodes[i] == node) return launch->product || is_cooperative(building, launch);
    }
    return false;
}

// The node may begin as soon as all blocks of those before it have let it in, and waits inside (await_earlier in
// codegen/cuda/common.cu).
static CudaResult add_early_edges(Building *building, const CudaNode *before, size_t count, CudaNode node) {
    for (size_t i = 0; i < count; i++) {
        building->edges[i] = (CudaEdge){.from_port = CUDA_PORT_PROGRAMMATIC, .type = CUDA_EDGE_PROGRAMMATIC};
        if (is_by_itself(building, before[i])) building->edges[i] = (CudaEdge){0};
        building->behind[i] = node;
    }
    if (count == 0) return CUDA_OK;
    return building->session->settings.driver->graph_add_edges(building->graph, before, building->behind,
                                                               building->edges, count);
}

static CudaKernelNode node_of(CudaFunction function, unsigned blocks, unsigned threads, size_t shared,
                              void **arguments) {
    return (CudaKernelNode){.function = function,
                            .grid = {blocks, 1, 1},
                            .block = {threads, 1, 1},
                            .shared_bytes = (unsigned)shared,
                            .arguments = arguments};
}

static CudaResult add_node(Building *building, const CudaKernelNode *kernel, const CudaNode *before, size_t count,
                           CudaNode *node) {
    const CudaDriver *driver = building->session->settings.driver;
    size_t waits = building->is_early ? 0 : count;
    CudaResult result = driver->graph_add_kernel(node, building->graph, before, waits, kernel);
    return result == CUDA_OK && building->is_early ? add_early_edges(building, before, count, *node) : result;
}

// One whose blocks all are there at once; it begins when those before it have ended.
static CudaResult add_cooperative_node(Building *building, const CudaKernelNode *kernel, const CudaNode *before,
                                       size_t count, CudaNode *node) {
    const CudaDriver *driver = building->session->settings.driver;
    const CudaKernelAttribute at_once = {.is_cooperative = 1};
    CudaResult result = driver->graph_add_kernel(node, building->graph, before, count, kernel);
    return result == CUDA_OK ? driver->graph_set_kernel(*node, CUDA_KERNEL_COOPERATIVE, &at_once) : result;
}

static CudaResult add_take(Building *building, CudaNode *node) {
    const CudaSession *session = building->session;
    const CudaBound *bound = building->bound;
    CudaTake take = {.ring = session->ring,
                     .entry_bytes = session->entry_bytes,
                     .entries = CUDA_RING_ENTRIES,
                     .cursor = session->cursor,
                     .arena = session->blocks[MEMORY_ARENA],
                     .rate = UINT64_MAX,
                     .count = bound->input_count};
    for (uint32_t i = 0; i < bound->input_count; i++) {
        const ProgramSlot *slot = bound->inputs[i].slot;
        if (strcmp(slot->name, "learning_rate") == 0) take.rate = slot->buffer.offset;
        take.moves[i] = (CudaMove){slot->buffer.offset, bound->inputs[i].entry_offset, (slot->bytes + 3) / 4 * 4};
    }
    void *arguments[] = {&take};
    CudaKernelNode kernel = node_of(session->take, CUDA_TAKE_BLOCKS, CUDA_SERVICE_THREADS, 0, arguments);
    return add_node(building, &kernel, &building->last, building->last != NULL, node);
}

static uint64_t output_offset(const CudaProgram *program, const char *name) {
    for (uint32_t i = 0; i < program->slot_count; i++) {
        const ProgramSlot *slot = &program->slots[i];
        if (slot->kind == SLOT_OUTPUT && strcmp(slot->name, name) == 0) return slot->buffer.offset;
    }
    return UINT64_MAX;
}

// Behind `before`, and nothing else.
static CudaResult add_give_behind(Building *building, const CudaNode *before, size_t before_count) {
    const CudaSession *session = building->session;
    const CudaProgram *program = building->bound->program;
    CudaGive give = {.results = session->results_address,
                     .entries = CUDA_RING_ENTRIES,
                     .cursor = session->cursor,
                     .arena = session->blocks[MEMORY_ARENA],
                     .loss = output_offset(program, "loss"),
                     .grad_norm = output_offset(program, "grad_norm"),
                     .loss_scale = output_offset(program, "loss_scale")};
    void *arguments[] = {&give};
    CudaKernelNode kernel = node_of(session->give, 1, 1, 0, arguments);
    return add_node(building, &kernel, before, before_count, &building->last);
}

static CudaResult add_give(Building *building, CudaNode take) {
    size_t count = 0;
    for (uint32_t i = 0; i < building->bound->program->launch_count; i++)
        if (!building->is_waited_for[i]) building->before[count++] = building->nodes[i];
    if (count == 0) building->before[count++] = take;
    return add_give_behind(building, building->before, count);
}

static CudaResult add_launch_behind(Building *building, uint32_t number, const CudaNode *before, size_t before_count) {
    enum { MOST_BUFFERS = 500 };   // in 4 KB of parameters
    const CudaSession *session = building->session;
    const CudaLaunch *launch = &building->bound->program->launches[number];
    if (launch->product)
        return cuda_product_add(session, building->bound->program, launch, building->graph, before, before_count,
                                &building->nodes[number], building->diags);
    const CudaKernel *kernel = &session->settings.kernels[launch->kernel];
    CudaAddress addresses[MOST_BUFFERS];
    void *arguments[MOST_BUFFERS + CUDA_MOST_MAPS];
    _Alignas(64) char maps[CUDA_MOST_MAPS][CUDA_MAP_BYTES];
    CHECK(kernel->buffer_count <= MOST_BUFFERS && kernel->map_count <= CUDA_MOST_MAPS);
    for (uint32_t i = 0; i < kernel->buffer_count; i++) {
        addresses[i] = cuda_address(session, launch->buffers[i]);
        arguments[i] = &addresses[i];
    }
    for (uint32_t i = 0; i < kernel->map_count; i++) {
        const CudaMap *map = &kernel->maps[i];
        CudaResult result = cuda_map_encode(session->settings.driver, map, addresses[map->buffer], maps[i]);
        if (result != CUDA_OK) return result;
        arguments[kernel->buffer_count + i] = maps[i];
    }
    CudaFunction function = session->functions[launch->kernel];
    CudaKernelNode node = node_of(function, launch->blocks, kernel->threads, kernel->shared_bytes, arguments);
    if (!kernel->is_cooperative) return add_node(building, &node, before, before_count, &building->nodes[number]);
    uint32_t resident = session->resident[launch->kernel];
    if (node.grid[0] > resident) node.grid[0] = resident;
    return add_cooperative_node(building, &node, before, before_count, &building->nodes[number]);
}

static CudaResult add_launch(Building *building, uint32_t number, CudaNode take) {
    const CudaLaunch *launch = &building->bound->program->launches[number];
    size_t count = 0;
    for (uint32_t i = 0; i < launch->after_count; i++) {
        CHECK(launch->after[i] < number);
        building->before[count++] = building->nodes[launch->after[i]];
    }
    if (count == 0) building->before[count++] = take;
    return add_launch_behind(building, number, building->before, count);
}

static void begin_run(Building *building, const CudaBound *bound) {
    const CudaProgram *program = bound->program;
    building->bound = bound;
    memset(building->is_waited_for, 0, program->launch_count * sizeof *building->is_waited_for);
    for (uint32_t i = 0; i < program->launch_count; i++)
        for (uint32_t k = 0; k < program->launches[i].after_count; k++)
            building->is_waited_for[program->launches[i].after[k]] = true;
}

static CudaResult add_run(Building *building) {
    CudaNode take;
    CudaResult result = add_take(building, &take);
    for (uint32_t i = 0; i < building->bound->program->launch_count && result == CUDA_OK; i++)
        result = add_launch(building, i, take);
    return result == CUDA_OK ? add_give(building, take) : result;
}

// Behind what is there, which is a chain.
static CudaResult add_event(Building *building, uint32_t number) {
    CudaNode before = building->last;
    return building->session->settings.driver->graph_add_event(&building->last, building->graph, &before, 1,
                                                               building->bound->events[number]);
}

static CudaResult add_nothing(Building *building) {
    CudaNode before = building->last;
    CudaKernelNode kernel = node_of(building->session->nothing, 1, 1, 0, NULL);
    return add_node(building, &kernel, &before, 1, &building->last);
}

static CudaResult add_timed_run(Building *building) {
    CudaResult result = add_take(building, &building->last);
    if (result == CUDA_OK) result = add_event(building, 0);
    if (result == CUDA_OK) result = add_event(building, 1);
    if (result == CUDA_OK) result = add_nothing(building);
    if (result == CUDA_OK) result = add_event(building, 2);
    for (uint32_t i = 0; i < building->bound->program->launch_count && result == CUDA_OK; i++) {
        result = add_launch_behind(building, i, &building->last, 1);
        building->last = building->nodes[i];
        if (result == CUDA_OK) result = add_event(building, CUDA_EVENTS_BEFORE + i);
    }
    CudaNode before = building->last;
    return result == CUDA_OK ? add_give_behind(building, &before, 1) : result;
}

// The runs of a graph; a timed one is alone.
typedef struct {
    const CudaBound *const *bound;
    uint32_t count;
    bool is_timed;
} Runs;

static CudaResult add_runs(Building *building, Runs runs, CudaGraphExec *exec) {
    const CudaDriver *driver = building->session->settings.driver;
    CudaResult result = driver->graph_create(&building->graph, 0);
    if (result != CUDA_OK) return result;
    for (uint32_t i = 0; i < runs.count && result == CUDA_OK; i++) {
        begin_run(building, runs.bound[i]);
        result = runs.is_timed ? add_timed_run(building) : add_run(building);
    }
    if (result == CUDA_OK) result = driver->graph_instantiate(exec, building->graph, 0);
    driver->graph_destroy(building->graph);
    return result;
}

static bool build(const CudaSession *session, Runs runs, CudaGraphExec *exec, Diags *diags) {
    Arena *arena = arena_create();
    size_t most = 0;
    for (uint32_t i = 0; i < runs.count; i++)
        if (most < runs.bound[i]->program->launch_count) most = runs.bound[i]->program->launch_count;
    Building building = {.session = session,
                         .diags = diags,
                         .nodes = ARENA_ARRAY(arena, CudaNode, most + 1),
                         .before = ARENA_ARRAY(arena, CudaNode, most + 1),
                         .is_early = session->settings.begins_early && !runs.is_timed,
                         .edges = ARENA_ARRAY(arena, CudaEdge, most + 1),
                         .behind = ARENA_ARRAY(arena, CudaNode, most + 1),
                         .is_waited_for = ARENA_ARRAY(arena, bool, most + 1)};
    CudaResult result = add_runs(&building, runs, exec);
    bool done = result != CUDA_COMPLAINED &&
                cuda_check(session->settings.driver, result, "make a graph of the step", diags);
    arena_free(arena);
    return done;
}

bool cuda_graph_build(const CudaSession *session, const CudaBound *const *runs, uint32_t count, CudaGraphExec *exec,
                      Diags *diags) {
    CHECK(count > 0);
    return build(session, (Runs){.bound = runs, .count = count}, exec, diags);
}

bool cuda_graph_build_timed(const CudaSession *session, const CudaBound *bound, CudaGraphExec *exec, Diags *diags) {
    return build(session, (Runs){.bound = &bound, .count = 1, .is_timed = true}, exec, diags);
}
