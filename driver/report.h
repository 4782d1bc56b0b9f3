// Times and sizes of a compilation, for --time and the start of a log.
#ifndef SINTER_DRIVER_REPORT_H
#define SINTER_DRIVER_REPORT_H

#include "driver/compile.h"

enum { REPORT_MAX_PASSES = 32 };
typedef struct {
    const Pass *passes[REPORT_MAX_PASSES];
    double seconds[REPORT_MAX_PASSES];   // summed over programs
    int count;
    double verify_seconds;
} PassTimes;

// What a start-up did one after the other, besides compiling.
enum { REPORT_MAX_STAGES = 12 };
typedef struct {
    const char *names[REPORT_MAX_STAGES];
    double seconds[REPORT_MAX_STAGES];
    int count;
    double since;   // when the stage that goes on began
} StartTimes;
// The stage that goes on is over, and was this one; NULL: is not to be told.
void start_stage(StartTimes *times, const char *name);

PassObserver report_observer(PassTimes *times);   // verifies and adds up
void report_times(const PassTimes *times, const CompileRequest *request, const CompiledModel *model,
                  const StartTimes *start, double start_seconds);

#endif
