// A device behind a Session: what something other than this machine's processor must do to be trained on.
//
// `device` is the device's own object. Slots are those of the programs that the session was made for.
#ifndef SINTER_RUNTIME_SESSION_DEVICE_H
#define SINTER_RUNTIME_SESSION_DEVICE_H

#include "runtime/session.h"

typedef struct {
    int ahead;  // see session_ahead
    bool (*submit)(void *device, const Program *program, RunOrder order, Diags *diags);
    bool (*collect)(void *device, bool wait, bool *is_done, RunResult *result, Diags *diags);
    bool (*time)(void *device, const Program *program, double *times, Diags *diags);  // see session_time
    void *(*input)(void *device, const ProgramSlot *slot);  // host memory, the same for the device's whole life
    // Behind all runs so far.
    bool (*read)(void *device, void *to, const ProgramSlot *slot, Diags *diags);
    bool (*write)(void *device, const ProgramSlot *slot, const void *from, Diags *diags);
    bool (*clear)(void *device, const ProgramSlot *slot, Diags *diags);
    void (*free)(void *device);
} SessionDevice;

// Takes `device` over: session_free frees it. The threads are for what the host does beside it, and stay the caller's.
Session *session_create_on(const SessionDevice *functions, void *device, ThreadPool *threads);
// The device's object, or NULL for a session that is not of these functions.
void *session_device(const Session *session, const SessionDevice *functions);

#endif
