// Where the time of a run goes, launch by launch: a graph with an event between every two of them.
//
// Events between launches in a stream would time the host that submits them, which takes longer than a small kernel; a
// graph's nodes follow each other without it. In a training step kernels may overlap, and begin sooner: these times,
// of one launch after the other, add up to more.
#include "runtime/cuda/session_parts.h"

// From cuda.h.
enum { EVENT_USUAL = 0 };

void cuda_timing_free(const CudaSession *session, CudaBound *bound) {
    const CudaDriver *driver = session->settings.driver;
    if (bound->timed) driver->graph_exec_destroy(bound->timed);
    for (uint32_t i = 0; bound->events && i < cuda_event_count(bound->program); i++)
        if (bound->events[i]) driver->event_destroy(bound->events[i]);
    memory_release(bound->events);
    bound->timed = NULL;
    bound->events = NULL;
}

static bool make_events(const CudaSession *session, CudaBound *bound, Diags *diags) {
    uint32_t count = cuda_event_count(bound->program);
    CudaResult result = CUDA_OK;
    bound->events = memory_allocate_array(count, sizeof *bound->events);
    for (uint32_t i = 0; i < count && result == CUDA_OK; i++)
        result = session->settings.driver->event_create(&bound->events[i], EVENT_USUAL);
    return cuda_check(session->settings.driver, result, "make events", diags);
}

// Made when it is first asked for: training needs none of it.
static bool prepare(const CudaSession *session, CudaBound *bound, Diags *diags) {
    if (bound->timed) return true;
    if (make_events(session, bound, diags) && cuda_graph_build_timed(session, bound, &bound->timed, diags)) return true;
    cuda_timing_free(session, bound);
    return false;
}

static CudaResult read_interval(const CudaSession *session, const CudaBound *bound, uint32_t first, double *seconds) {
    float milliseconds = 0;
    CudaResult result =
        session->settings.driver->event_elapsed(&milliseconds, bound->events[first], bound->events[first + 1]);
    *seconds = 1e-3 * (double)milliseconds;
    return result;
}

static CudaResult read_times(const CudaSession *session, const CudaBound *bound, double *times) {
    uint32_t count = bound->program->launch_count;
    CudaResult result = session->settings.driver->stream_synchronize(session->compute);
    if (result == CUDA_OK) result = read_interval(session, bound, 0, &times[count + 1]);
    if (result == CUDA_OK) result = read_interval(session, bound, 1, &times[count]);
    for (uint32_t i = 0; i < count && result == CUDA_OK; i++)
        result = read_interval(session, bound, CUDA_EVENTS_BEFORE - 1 + i, &times[i]);
    return result;
}

bool cuda_session_time(CudaSession *session, const CudaProgram *program, CudaOrder order, double *times,
                       Diags *diags) {
    const CudaDriver *driver = session->settings.driver;
    CHECK(cuda_session_under_way(session) == 0);
    CudaBound *bound = cuda_bound(session, program);
    if (!prepare(session, bound, diags) || !cuda_copy_entry(session, order, diags)) return false;
    CudaEvent copied = session->copied[session->submitted % CUDA_RING_ENTRIES];
    CudaResult result = driver->stream_wait_event(session->compute, copied, 0);
    if (result == CUDA_OK) result = driver->graph_launch(bound->timed, session->compute);
    session->launched = ++session->submitted;
    if (result == CUDA_OK) result = read_times(session, bound, times);
    return cuda_check(driver, result, "time its kernels", diags);
}
