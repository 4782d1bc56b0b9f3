// The training loop, with nanoGPT's moments.
//
// Iterations first_iteration..max_iters, inclusive. At iteration i:
//   1. i % eval_interval == 0: loss over eval_iters random batches of both splits; a checkpoint when the validation
//      loss improved or always_save_checkpoint is set, never at 0
//   2. accumulation - 1 runs of `micro`, one of `step`; loss reported = mean over the micro-batches
//   3. log line, metrics line
// At the end, and at SIGINT or SIGTERM, a checkpoint.
//
// A step whose loss or gradient norm is not finite updates nothing (pass optimizer). What then:
//   halt: a checkpoint of the states before that step, and the end (RUNTIME_NONFINITE)
//   skip: the next batches, but never more than NONFINITE_IN_A_ROW iterations without an update
// One that only a scaled loss is to blame for (run_overflowed) is skipped, a line says so, and training goes on.
//
// Slots that are set when a program has them: tok, target i32[B,T]; learning_rate f32; step, seed, micro i32.
// Slots that are read: loss f32 (required), grad_norm f32, loss_scale f32, grad.NAME (grads_path).
//
// Training batches have draw number iteration * accumulation + micro, so a resumed run meets the same ones.
#ifndef SINTER_RUNTIME_TRAIN_H
#define SINTER_RUNTIME_TRAIN_H

#include "runtime/checkpoints.h"
#include "runtime/schedule.h"
#include "runtime/session.h"
#include "runtime/tensor_file.h"
#include "runtime/tokens.h"
#include "runtime/train_log.h"

typedef enum { NONFINITE_HALT, NONFINITE_SKIP } NonfinitePolicy;
enum { NONFINITE_IN_A_ROW = 3 };

typedef struct {
    Session *session;
    const Program *step;
    const Program *micro;              // NULL unless accumulation > 1
    const Program *eval;               // NULL: no evaluations
    TokenFile *train_tokens;
    TokenFile *validation_tokens;      // needed for evaluations only
    DataOrder order;                   // of training batches
    int64_t vocab_size;                // tokens must be below; 0: not checked
    int64_t batch_size, block_size;
    int64_t accumulation;              // >= 1
    int runs_per_launch;               // on a device: so many runs may be launched at once; 0: no device

    int64_t first_iteration;           // 0, or a checkpoint's
    int64_t max_iters, eval_interval, eval_iters, log_interval;  // intervals of 0: never
    bool eval_only, always_save_checkpoint;
    double best_val_loss;              // 1e9 at first, as in nanoGPT, or a checkpoint's
    Schedule schedule;
    uint64_t seed;
    NonfinitePolicy nonfinite;

    double flops_per_iteration;        // nanoGPT's formula, for mfu; 0: unknown
    double peak_flops;                 // denominator of mfu; 0: unknown

    Checkpoints *checkpoints;          // NULL: none is ever written
    int keep_last;                     // so many of them, >= 1
    int64_t saved_iteration;           // that of the checkpoint the run goes on from; -1: from none of these
    const TensorMetadata *metadata;    // for checkpoints, besides "iter" (the next one), "best_val_loss" and "seed"
    size_t metadata_count;
    const char *metrics_path;          // JSONL, NULL: none
    const char *grads_path;            // safetensors of the first step's gradients, NULL: none

    void (*say)(void *context, const char *line);  // a log line without newline; NULL: silence
    void *say_context;
    void (*after_step)(void *context, const StepRecord *record);   // what each step was; NULL: nobody listens
    void *after_step_context;
} TrainOptions;

typedef struct {
    int64_t next_iteration;            // max_iters + 1 after a whole run
    double last_loss;                  // of the last step; NaN when there was none
    double train_loss, validation_loss, best_val_loss;  // last evaluation; NaN when there was none
    double step_seconds;               // in steps, without evaluations and files
    double median_seconds;             // of one iteration
    double running_mfu;                // as in the log; -1 before the fifth iteration
    int64_t iterations;                // run in this call
    int64_t skipped;                   // of these, without an update
    int64_t checkpoints;               // written in this call
    double checkpoint_seconds;         // in writing them
} TrainResult;

RuntimeStatus train_run(const TrainOptions *options, TrainResult *result, Diags *diags);

#endif
