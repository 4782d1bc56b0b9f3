// nanoGPT's learning rate: linear warm-up, cosine decay, floor.
#ifndef SINTER_RUNTIME_SCHEDULE_H
#define SINTER_RUNTIME_SCHEDULE_H

#include <stdbool.h>
#include <stdint.h>

typedef struct {
    double learning_rate, min_lr;
    int64_t warmup_iters, lr_decay_iters;
    bool decay_lr;            // false: learning_rate throughout
} Schedule;

double schedule_rate(const Schedule *schedule, int64_t iteration);  // iteration from 0

#endif
