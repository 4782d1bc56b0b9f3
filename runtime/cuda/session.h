// A model on a GPU: its memory, one graph for each program, and runs that never wait for one another's results.
//
//     host:    fill inputs of run n+2 | submit | fill n+3 | submit | collect n ...    never waits, but for a full ring
//     copies:      [n+1]   [n+2]                                                      a stream of their own
//     device:  take n, launches, give n | take n+1, launches, give n+1 | ...          one graph each, or several in one
//
// Numbers that change from step to step (learning rate, step, seed, tokens) travel through a ring of entries in the
// device's memory: `take`, the first node of each graph, copies entry (run % entries) to where the kernels read it;
// `give`, the last, writes loss and gradient norm into pinned host memory, the run's number last. So the graph never
// changes, and the host learns of results by looking.
#ifndef SINTER_RUNTIME_CUDA_SESSION_H
#define SINTER_RUNTIME_CUDA_SESSION_H

#include "runtime/cuda/device.h"
#include "runtime/cuda/launch.h"
#include "runtime/cuda/library.h"
#include "runtime/session.h"

typedef struct CudaSession CudaSession;

typedef struct {
    const CudaDriver *driver;
    const CudaDevice *device;
    const CudaLibrary *library;  // NULL: no program has products of a library
    const CudaKernel *kernels;
    uint32_t kernel_count;
    const CudaImages *images;
    const CudaProgram *programs;
    int program_count;
    uint32_t runs_per_launch;   // runs that one launch may hold; 1 at least
    bool begins_early;          // images are compiled so: the driver may start a kernel while those before it end
} CudaSessionSettings;

enum { CUDA_RING_ENTRIES = 16 };  // runs that may be under way; runs_per_launch is at most half of it

// Bytes of the device's memory that a session takes. False when they overflow.
bool cuda_session_bytes(const CudaSessionSettings *settings, size_t *bytes);
// Kernels, programs, driver and device outlive the session; images need not. RUNTIME_MEMORY when the memory is not
// there.
RuntimeStatus cuda_session_create(const CudaSessionSettings *settings, CudaSession **session, Diags *diags);
void cuda_session_free(CudaSession *session);  // NULL is allowed; waits for what is under way

// Host memory for an input of the next run; NULL when the program has none of that name. To be written before the
// submit; what it held before is of an earlier run.
void *cuda_session_input(CudaSession *session, const CudaProgram *program, const char *name);
// Starts the next run, or, with several a launch, notes it until so many are together: whole iterations, where these
// fit (noted.c). Waits only when the ring is full; all runs but CUDA_RING_ENTRIES - 1 must have been collected. False
// after a diagnostic.
bool cuda_session_submit(CudaSession *session, const CudaProgram *program, CudaOrder order, Diags *diags);
// Starts what is noted.
bool cuda_session_flush(CudaSession *session, Diags *diags);

// timing.c: the next run, one launch after the other, all of them timed; none may be under way. It is submitted by
// this, and its result collected as any other's. times[i]: seconds of launch i, with what a launch and an event cost;
// times[launch_count]: of one that does nothing; times[launch_count + 1]: of an event alone.
bool cuda_session_time(CudaSession *session, const CudaProgram *program, CudaOrder order, double *times, Diags *diags);

typedef struct {
    uint64_t run;  // number of the submit, from 0
    float loss, grad_norm, loss_scale;  // NaN where the program has none
} CudaRunResult;
// The oldest run not collected yet. Without `wait`, *is_done is false while it is under way; with it, is waited for.
// False after a diagnostic: the device failed, and nothing of this session can be trusted.
bool cuda_session_collect(CudaSession *session, bool wait, bool *is_done, CudaRunResult *result, Diags *diags);
uint64_t cuda_session_under_way(const CudaSession *session);  // runs submitted and not collected

// Copies, behind all runs so far: these wait. Uncollected results stay.
bool cuda_session_write(CudaSession *session, ProgramBuffer to, const void *from, size_t bytes, Diags *diags);
bool cuda_session_read(CudaSession *session, void *to, ProgramBuffer from, size_t bytes, Diags *diags);
// Zeros; does not wait.
bool cuda_session_clear(CudaSession *session, ProgramBuffer at, size_t bytes, Diags *diags);

// ---- behind runtime/session.h: session_runs.c

// A Session whose runs and states are on the GPU: programs[i] has the slots of settings->programs[i]. What outlives it
// is as of cuda_session_create.
RuntimeStatus cuda_session_begin(const CudaSessionSettings *settings, const Program *const *programs,
                                 ThreadPool *threads, Session **session, Diags *diags);
// NULL for a session that is not on a GPU.
CudaSession *cuda_session_of(const Session *session);

#endif
