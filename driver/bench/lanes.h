// A bench while it runs: for every variant a lane with its own config, programs and session. The files of run.c's
// family share this; nobody else sees it.
#ifndef SINTER_DRIVER_BENCH_LANES_H
#define SINTER_DRIVER_BENCH_LANES_H

#include "driver/bench/bench.h"
#include "driver/training.h"

// A variant that runs.
typedef struct {
    Variant *variant;
    Command command;          // with the variant's own config and device
    CompileRequest request;
    Training training;        // its threads are the bench's
    int64_t next_iteration;
} Lane;

typedef struct {
    Command *command;
    Bench *bench;
    bool replays;             // rounds, steps and variants are those of a record
    double processor_seconds, seconds;   // of all threads, and by the clock, in visits on the processor
    ThreadPool *threads;
    Lane *lanes;
    size_t lane_count;
    Lane anchors[2];          // of an ablation: all, and all without any; variant NULL: there is none
} BenchRun;

// ---- compile.c: every variant, and with --ablate the rows that come of what level all decided.
int lanes_compile(BenchRun *run);
// The lines of a variant's choices that change something: leaving one decision out can make another one impossible, and
// a choice that meets nothing is an error elsewhere. Only plans are made for this. NULL after a diagnostic.
const char *effective_choices(Command *command, const Variant *variant);
// Compiles a command's model as the variant says: its level and its choices, for the command's device.
int lane_compile_as(Command *command, const Variant *variant, CompileRequest *request, Training *training);

// ---- run.c
// Room for the states and activations, with states as a training begins with.
int lane_open(BenchRun *run, Lane *lane);
void lane_close(Lane *lane);   // a session that is kept for all of the bench, or not
// Trains on for `warmup` steps and `steps` more; `keep` is told of all of them.
int lane_train(BenchRun *run, Lane *lane, int64_t warmup, int64_t steps,
               void (*keep)(void *context, const StepRecord *record), void *context);

// ---- boxes.c: the levels' steps once more, every piece timed.
int lanes_time_boxes(BenchRun *run);

// ---- errors.c: every variant beside one float64 reference. Ends the sessions.
int lanes_find_errors(BenchRun *run);

#endif
