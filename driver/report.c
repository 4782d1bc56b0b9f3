// Times and sizes of a compilation: see report.h.
#include "driver/report.h"

#include <stdio.h>

#include "base/clock.h"

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
    return (PassObserver){.after = add_time,
                          .context = times,
                          .verify = true,
                          .verify_seconds = &times->verify_seconds,
                          .limit = -1};
}

void start_stage(StartTimes *times, const char *name) {
    double now = clock_seconds();
    if (name && times->count < REPORT_MAX_STAGES) {
        times->names[times->count] = name;
        times->seconds[times->count++] = now - times->since;
    }
    times->since = now;
}

static double line(const char *what, double seconds) {
    printf("time: %-21s %7.2f ms\n", what, 1e3 * seconds);
    return seconds;
}

static double report_passes(const PassTimes *times) {
    double passes = 0;
    for (int i = 0; i < times->count; i++) {
        printf("time: pass %-16s %7.2f ms\n", times->passes[i]->name, 1e3 * times->seconds[i]);
        passes += times->seconds[i];
    }
    return line("all passes", passes) + line("verifying all of that", times->verify_seconds);
}

// Times of LLVM are those of its busiest thread; it makes tile programs into instructions there, too.
static double report_codegen(const CodegenReport *report) {
    double told = line("tile programs", report->lower_seconds);
    if (report->recalled) {
        puts("time: machine code             from the cache");
    } else {
        told += line("LLVM optimize", report->optimize_seconds) + line("LLVM emit", report->emit_seconds);
        double instructions = report->instruction_seconds;
        double rest = report->llvm_seconds - instructions - report->optimize_seconds - report->emit_seconds;
        line("LLVM set-up", rest > 0 ? rest : 0);
        told = report->lower_seconds - instructions + report->llvm_seconds;
    }
    return told + line("link", report->link_seconds);
}

void report_times(const PassTimes *times, const CompileRequest *request, const CompiledModel *model,
                  const StartTimes *start, double start_seconds) {
    const CodegenReport *report = &request->report;
    double told = line("spec to graphs", request->spec_seconds);
    told += report_passes(times);
    told += report_codegen(report);
    line("other", model->seconds - told);
    printf("time: compile               %7.2f ms, %u kernels, %u distinct\n", 1e3 * model->seconds, report->kernels,
           report->distinct_kernels);
    for (int i = 0; i < start->count; i++) line(start->names[i], start->seconds[i]);
    line("start to first step", start_seconds);
}
