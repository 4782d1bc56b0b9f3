// What a training says while it runs: log lines as they are; on a terminal, under them, one line that is written over:
//
//     iter 1240/2000  62%  loss 1.9023  7.91 ms/iter  0:06 left
//
// On anything but a terminal there are only the log lines; with --quiet there is nothing.
#ifndef SINTER_DRIVER_PROGRESS_H
#define SINTER_DRIVER_PROGRESS_H

#include <stdio.h>

#include "runtime/train_log.h"

typedef struct {
    FILE *file;
    bool quiet, is_terminal;
    int64_t first, last;       // iterations of this run
    double start, shown_at;    // clock
    size_t shown;              // characters on the terminal now
} Progress;

Progress progress_begin(FILE *file, bool quiet, int64_t first, int64_t last);
void progress_say(void *progress, const char *line);
void progress_step(void *progress, const StepRecord *record);
void progress_end(Progress *progress);

// The line itself, in at most `width` characters; seconds: since the first iteration began.
void progress_line(char *line, size_t width, const Progress *progress, const StepRecord *record, double seconds);

#endif
