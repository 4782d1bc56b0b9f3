// A profile while it is measured: batches, inputs and programs, the same on a processor (run.c) and on a GPU (gpu.c).
#ifndef SINTER_DRIVER_PROFILE_METER_H
#define SINTER_DRIVER_PROFILE_METER_H

#include "driver/profile/profile.h"
#include "runtime/prefetch.h"
#include "runtime/run_inputs.h"

typedef struct {
    const ProfileRequest *request;
    Profile *profile;
    Arena *arena;
    TrainOptions options;
    BatchSource source;
    Prefetch *prefetch;
    int32_t *random;                     // tokens and targets when there is no file
    ProfiledProgram programs[2];         // micro, if any, and step
    RunInputs inputs[2];
    int program_count;
    int64_t iteration, draw;
    Timeline *timeline;                  // NULL: not now
} Meter;

// Programs, tokens and the first batch. A status, after a diagnostic where it is not RUNTIME_OK.
RuntimeStatus meter_begin(Meter *meter);
void meter_end(Meter *meter);
// The next batch and all other inputs, for a run of program `number`; *data_seconds: what taking the batch took.
RuntimeStatus meter_fill(Meter *meter, int number, double *data_seconds);
// An evaluation, and a checkpoint, as often as they need to be looked at.
RuntimeStatus meter_evaluation(Meter *meter);
void meter_checkpoint(Meter *meter);

// gpu.c: training steps, and each of their kernels; `timeline`, unless NULL, gets some of them.
RuntimeStatus gpu_measure_steps(Meter *meter, Timeline *timeline);

#endif
