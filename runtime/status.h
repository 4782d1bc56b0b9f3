// How a runtime function ended. The values are the exit codes of the command line (docs: "Exit codes"); anything but
// RUNTIME_OK comes with a diagnostic, except RUNTIME_STOPPED, which is not an error.
#ifndef SINTER_RUNTIME_STATUS_H
#define SINTER_RUNTIME_STATUS_H

typedef enum {
    RUNTIME_OK = 0,
    RUNTIME_BAD_FILE = 3,    // a file that is missing, damaged or does not fit the model
    RUNTIME_MEMORY = 4,      // the machine refused the memory of a session
    RUNTIME_IO = 5,          // the world's fault: a read, write, sync or rename failed
    RUNTIME_NONFINITE = 6,   // loss or gradient norm became infinite or NaN
    RUNTIME_STOPPED = 75     // SIGINT or SIGTERM: the step was finished and a checkpoint written
} RuntimeStatus;

#endif
