// Session: binds one state block and one arena to the programs of a model, and runs them.
//
// In: Programs of one compilation (they share the layout of states). Out: numbers in their slots.
// state = [max over programs of state_bytes], arena = [max of arena_bytes], and scratch memory for each thread; all
// zeroed at creation.
//
// A session runs on this machine's processor, or on another device (session_device.h) whose memory the host cannot see.
// What works on both: session_submit and session_collect for runs, session_data for inputs, session_map for all else.
#ifndef SINTER_RUNTIME_SESSION_H
#define SINTER_RUNTIME_SESSION_H

#include "base/diag.h"
#include "runtime/program.h"
#include "runtime/status.h"
#include "runtime/threads.h"
#include "runtime/trace.h"

typedef struct Session Session;

// The programs and the pool outlive the session and stay the caller's. RUNTIME_MEMORY when the blocks are refused.
RuntimeStatus session_create(const Program *const *programs, int count, ThreadPool *threads, Session **session,
                             Diags *diags);
void session_free(Session *session);  // NULL is allowed

// Bytes that a session over these programs maps, by ProgramMemory: what the driver predicts and prints. False when they
// overflow.
bool session_bytes(const Program *const *programs, int count, int threads, size_t bytes[MEMORY_COUNT]);

// ---- runs

// What a run is to the runs before it. On a device where several are under way, it decides by itself what a training
// loop on the processor decides when it has seen a loss: behind a loss or gradient norm that is not finite, the runs of
// the same iteration get a learning rate of NaN, and such a step updates nothing. Behind more than `forgiven` of such
// iterations without a good one between, all runs do, until one is RUN_ALONE. A gradient norm that overflowed by a
// scaled loss (run_overflowed) does not count: the next run has a smaller scale.
typedef enum {
    RUN_ALONE,    // whatever was before does not matter; what follows may follow it
    RUN_BEGINS,   // the first micro-batch of an iteration
    RUN_FOLLOWS,  // a further one
    RUN_ASIDE     // an evaluation between iterations: neither minds nor is minded
} RunPlace;
typedef struct {
    RunPlace place;
    uint32_t forgiven;
    bool goes_on;        // another micro-batch of the same iteration comes next
} RunOrder;

typedef struct {
    float loss, grad_norm, loss_scale;  // NaN where the program has none
} RunResult;

// Whether a scale of the loss (passes/loss_scale.h) was too large: the step was skipped, and the scale is smaller now.
bool run_overflowed(float loss, float grad_norm, float loss_scale);

// How many runs may be under way, submitted and not collected, when the next one is submitted. 0: a submit is the run.
int session_ahead(const Session *session);
// Starts a run with what the program's inputs hold; they may be written anew at once. False after a diagnostic.
bool session_submit(Session *session, const Program *program, RunOrder order, Diags *diags);
// The oldest run not collected yet. Without `wait`, *is_done is false while it is under way. False after a diagnostic:
// the device failed, and nothing of the session can be trusted.
bool session_collect(Session *session, bool wait, bool *is_done, RunResult *result, Diags *diags);
// One run alone, when none is under way, and its result.
bool session_complete(Session *session, const Program *program, RunResult *result, Diags *diags);

// On the processor. Runs all steps once; thread t of n runs pieces [pieces*t/n, pieces*(t+1)/n) of each, one piece of a
// step and of those joined to it after the other. `program` must be one of those given at creation (BUG otherwise).
// Inputs are in the arena and are the caller's to write before each run.
void session_run(Session *session, const Program *program);

// ---- memory

// Memory of a slot. States are shared by all programs; inputs and outputs belong to the one program whose run is next
// or last: another program's run overwrites them. On a device only inputs have memory here.
void *session_data(const Session *session, const ProgramSlot *slot);
void *session_slot_data(const Session *session, const Program *program, SlotKind kind, const char *name);  // or NULL
ThreadPool *session_threads(const Session *session);

// A slot's memory behind all runs so far, to be read, or to be written whole; on the processor its own, on a device a
// copy. NULL after a diagnostic.
typedef enum { MAP_READ, MAP_WRITE } MapUse;
void *session_map(const Session *session, const ProgramSlot *slot, MapUse use, Diags *diags);
// Ends it: what was written takes effect. False after a diagnostic.
bool session_unmap(const Session *session, const ProgramSlot *slot, void *memory, MapUse use, Diags *diags);
// The slot becomes zeros.
bool session_clear(const Session *session, const ProgramSlot *slot, Diags *diags);

// ---- looking at time

// On a device, when no run is under way. One run, its steps one after the other, each of them timed. times[s]: seconds
// of step s, with what it costs to start and time one; times[step_count]: of one that does nothing, timed alike;
// times[step_count + 1]: of the timing alone. False after a diagnostic.
bool session_time(Session *session, const Program *program, double *times, RunResult *result, Diags *diags);

// On the processor. Noting when each thread ends each piece, off at first. It costs one clock reading a piece.
void session_profile(Session *session, bool on);
// The last run while it was on, until the next one; NULL when it never was.
const Trace *session_trace(const Session *session);

#endif
