// Times and sizes of a compilation: see report.h.
#include "driver/report.h"

#include <stdio.h>

static void add_time(void *context, const Pass *pass, const Graph *graph, const Plan *plan, double seconds) {
    (void)graph, (void)plan;
    PassTimes *times = context;
    int i = 0;
    while (i < times->count && times->passes[i] != pass) i++;
    if (i == REPORT_MAX_PASSES) return;
    if (i == times->count) times->passes[times->count++] = pass;
    times->seconds[i] += seconds;
}

PassObserver report_observer(PassTimes *times) {
    return (PassObserver){.after = add_time, .context = times, .verify = true, .limit = -1};
}

void report_times(const PassTimes *times, const CompileRequest *request, const CompiledModel *model,
                  double start_seconds) {
    const CodegenReport *report = &request->report;
    double passes = 0;
    for (int i = 0; i < times->count; i++) {
        printf("time: pass %-16s %7.2f ms\n", times->passes[i]->name, 1e3 * times->seconds[i]);
        passes += times->seconds[i];
    }
    printf("time: all passes            %7.2f ms\n", 1e3 * passes);
    printf("time: tile programs         %7.2f ms\n", 1e3 * report->lower_seconds);
    if (report->recalled) {
        puts("time: machine code             from the cache");
    } else {
        printf("time: LLVM optimize         %7.2f ms\n", 1e3 * report->optimize_seconds);
        printf("time: LLVM emit             %7.2f ms\n", 1e3 * report->emit_seconds);
    }
    printf("time: link                  %7.2f ms\n", 1e3 * report->link_seconds);
    printf("time: compile               %7.2f ms, %u kernels, %u distinct\n", 1e3 * model->seconds, report->kernels,
           report->distinct_kernels);
    printf("time: start to first step   %7.2f ms\n", 1e3 * start_seconds);
}
