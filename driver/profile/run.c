// Measuring on a processor: training steps with and without profiling in turns. See profile.h.
//
// With gradient accumulation one `micro` run is measured and counted accumulation - 1 times.
#include <math.h>

#include "base/clock.h"
#include "driver/profile/meter.h"
#include "runtime/interrupt.h"

static const double warm_up_seconds = 0.3, measured_seconds = 4;
enum { FEWEST_STEPS = 2, MOST_STEPS = 400, TIMELINE_STEPS = 3 };

// ---- one training step

static RuntimeStatus run_program(Meter *meter, int number, StepSample *sample) {
    const ProfiledProgram *profiled = &meter->programs[number];
    uint64_t began = trace_ticks();
    double data_seconds;
    RuntimeStatus status = meter_fill(meter, number, &data_seconds);
    if (status != RUNTIME_OK) return status;
    if (meter->timeline) timeline_add_event(meter->timeline, "batch", cause_name(CAUSE_DATA), 0, began, trace_ticks());
    double running = clock_seconds();
    session_run(meter->request->training->session, profiled->program);
    sample->total += profiled->runs * (clock_seconds() - running + data_seconds);
    sample->data += profiled->runs * data_seconds;
    return RUNTIME_OK;
}

// `profiled`: with a clock reading a piece.
static RuntimeStatus run_step(Meter *meter, bool profiled, StepSample *sample) {
    Session *session = meter->request->training->session;
    uint64_t began = trace_ticks();
    session_profile(session, profiled);
    for (int p = 0; p < meter->program_count; p++) {
        RuntimeStatus status = run_program(meter, p, sample);
        if (status != RUNTIME_OK) return status;
        if (profiled) sample_add(sample, &meter->programs[p], session_trace(session));
        if (meter->timeline)
            timeline_add_run(meter->timeline, &meter->programs[p], &meter->profile->table, session_trace(session));
    }
    if (meter->timeline)
        timeline_add_event(meter->timeline,
                           arena_format(meter->arena, "training step %lld", (long long)meter->iteration), "step", -1,
                           began, trace_ticks());
    meter->iteration++;
    return interrupt_requested() ? RUNTIME_STOPPED : RUNTIME_OK;
}

// ---- many training steps

static RuntimeStatus warm_up(Meter *meter, double *seconds) {
    double start = clock_seconds();
    int steps = 0;
    do {
        StepSample sample = sample_create(meter->arena, meter->profile->table.count);
        RuntimeStatus status = run_step(meter, steps % 2 == 1, &sample);
        if (status != RUNTIME_OK) return status;
        steps++;
    } while (steps < FEWEST_STEPS || clock_seconds() - start < warm_up_seconds);
    *seconds = (clock_seconds() - start) / steps;
    return RUNTIME_OK;
}

static int steps_to_measure(const Meter *meter, double seconds) {
    if (meter->request->steps > 0) return meter->request->steps;
    double fitting = fmin(MOST_STEPS, 0.5 * measured_seconds / seconds);
    return fitting < FEWEST_STEPS ? FEWEST_STEPS : (int)fitting;
}

// Plain and profiled steps in turns, each first as often as the other.
static RuntimeStatus measure_steps(Meter *meter) {
    Profile *profile = meter->profile;
    double seconds;
    RuntimeStatus status = warm_up(meter, &seconds);
    if (status != RUNTIME_OK) return status;
    int steps = steps_to_measure(meter, seconds);
    StepSample *samples[2] = {ARENA_ARRAY(meter->arena, StepSample, (size_t)steps),
                              ARENA_ARRAY(meter->arena, StepSample, (size_t)steps)};
    TraceClock begin = trace_clock();
    for (int i = 0; i < 2 * steps; i++) {
        bool profiled = (i + i / 2) % 2;
        StepSample *sample = &samples[profiled][i / 2];
        *sample = sample_create(meter->arena, profile->table.count);
        status = run_step(meter, profiled, sample);
        if (status != RUNTIME_OK) return status;
    }
    profile->steps = steps;
    profile_keep(profile, samples[0], samples[1], trace_tick_seconds(begin, trace_clock()));
    return RUNTIME_OK;
}

static RuntimeStatus record_timeline(Meter *meter, Timeline *timeline) {
    TraceClock begin = trace_clock();
    timeline->threads = threads_count(meter->request->training->threads);
    timeline->base = begin.ticks;
    meter->timeline = timeline;
    RuntimeStatus status = RUNTIME_OK;
    for (int i = 0; i < TIMELINE_STEPS && status == RUNTIME_OK; i++) {
        StepSample sample = sample_create(meter->arena, meter->profile->table.count);
        status = run_step(meter, true, &sample);
    }
    timeline->tick_seconds = trace_tick_seconds(begin, trace_clock());
    meter->timeline = NULL;
    return status;
}

// ---- all of it

int profile_measure(const ProfileRequest *request, Profile *profile, Timeline *timeline) {
    Meter meter = {.request = request,
                   .profile = profile,
                   .arena = request->command->arena,
                   .options = training_options(request->command->config, request->training)};
    interrupt_install();
    RuntimeStatus status = meter_begin(&meter);
    if (status == RUNTIME_OK && request->command->gpu) status = gpu_measure_steps(&meter, timeline);
    if (status == RUNTIME_OK && !request->command->gpu) status = measure_steps(&meter);
    if (status == RUNTIME_OK && !request->command->gpu && timeline) status = record_timeline(&meter, timeline);
    if (status == RUNTIME_OK) status = meter_evaluation(&meter);
    if (status == RUNTIME_OK) meter_checkpoint(&meter);
    interrupt_restore();
    meter_end(&meter);
    return status;
}
