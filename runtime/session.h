// Session: binds one state block and one arena to the programs of a model, and runs them.
//
// In: Programs of one compilation (they share the layout of states). Out: numbers in their slots.
// state = [max over programs of state_bytes], arena = [max of arena_bytes], and scratch memory for each thread; all
// zeroed at creation.
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

// Runs all steps once; thread t of n runs pieces [pieces*t/n, pieces*(t+1)/n) of each, one piece of a step and of those
// joined to it after the other. `program` must be one of those
// given at creation (BUG otherwise). Inputs are in the arena and are the caller's to write before each run.
void session_run(Session *session, const Program *program);

// Memory of a slot. States are shared by all programs; inputs and outputs belong to the one program whose run is next
// or last: another program's run overwrites them.
void *session_data(const Session *session, const ProgramSlot *slot);
void *session_slot_data(const Session *session, const Program *program, SlotKind kind, const char *name);  // or NULL
ThreadPool *session_threads(const Session *session);

// Noting when each thread ends each piece, off at first. It costs one clock reading a piece.
void session_profile(Session *session, bool on);
// The last run while it was on, until the next one; NULL when it never was.
const Trace *session_trace(const Session *session);

#endif
