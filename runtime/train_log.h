// What a training says: nanoGPT's log lines, and metrics as JSON lines.
//
//     iter 10: loss 3.2101, time 7.91ms, mfu 55.10%, tok/s 97,100
//     {"iter":10,"loss":3.21012345,"grad_norm":1.5,"lr":0.0001,"ms":7.91,"tok_s":97100}
//     {"iter":10,"loss":3.21012345,"grad_norm":null,"loss_scale":65536,"lr":0.0001, ...     of a scaled loss
#ifndef SINTER_RUNTIME_TRAIN_LOG_H
#define SINTER_RUNTIME_TRAIN_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/diag.h"
#include "runtime/status.h"

typedef struct {
    int64_t iteration;
    double loss, grad_norm, learning_rate, seconds, tokens_per_second;
    bool has_grad_norm;
    double loss_scale;    // not positive: the loss is not scaled
} StepRecord;

void log_step(char *line, size_t size, const StepRecord *record, double running_mfu);
void log_evaluation(char *line, size_t size, int64_t iteration, double train_loss, double validation_loss);

// One object per line, one write per line; numbers with 9 significant digits, null for what is not finite. A run that
// starts at iteration `first` goes on in a file whose lines are of earlier ones; what an interrupted run wrote beyond
// its last checkpoint is cut off. From 0 on, the file is new.
typedef struct Metrics Metrics;
RuntimeStatus metrics_open(Arena *arena, const char *path, int64_t first, Metrics **metrics, Diags *diags);
RuntimeStatus metrics_step(Metrics *metrics, const StepRecord *record, Diags *diags);
RuntimeStatus metrics_evaluation(Metrics *metrics, int64_t iteration, double train_loss, double validation_loss,
                                 Diags *diags);
void metrics_close(Metrics *metrics);  // NULL is allowed

#endif
