// Times and sizes of a compilation, for --time and the start of a log.
#ifndef SINTER_DRIVER_REPORT_H
#define SINTER_DRIVER_REPORT_H

#include "driver/compile.h"

enum { REPORT_MAX_PASSES = 32 };
typedef struct {
    const Pass *passes[REPORT_MAX_PASSES];
    double seconds[REPORT_MAX_PASSES];   // summed over programs
    int count;
} PassTimes;

PassObserver report_observer(PassTimes *times);   // verifies and adds up
void report_times(const PassTimes *times, const CompileRequest *request, const CompiledModel *model, double start_seconds);

#endif
