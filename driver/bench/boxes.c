// The levels' steps once more, every piece timed: where the time of a step goes, box by box.
#include <math.h>

#include "driver/bench/lanes.h"

enum { LEAST_TRACED = 9 }; // steps: a median of fewer says little

typedef struct {
    int64_t skipped, taken; // steps to warm up, still to come; steps timed
    const Session *session;
    double *ticks; // [steps][plan steps]: of all threads
    uint32_t plan_steps;
} Traced;

static void keep_trace(void *context, const StepRecord *record) {
    Traced *traced = context;
    (void)record;
    if (traced->skipped-- > 0) return;
    const Trace *trace = session_trace(traced->session);
    double *ticks = traced->ticks + (size_t)traced->taken++ * traced->plan_steps;
    for (int t = 0; t < trace->thread_count; t++) {
        uint64_t before = trace->begin;
        for (size_t i = 0; i < trace->threads[t]->count; i++) {
            const TraceSlice *slice = &trace->threads[t]->slices[i];
            if (slice->piece != TRACE_WAIT)
                ticks[trace->program->steps[slice->step].id] += (double)(int64_t)(slice->end - before);
            before = slice->end;
        }
    }
}

// The median of each plan step's time, as if all threads had shared it evenly.
static double *box_seconds(BenchRun *run, const Traced *traced, double tick) {
    size_t steps = (size_t)traced->taken;
    double *seconds = ARENA_ARRAY(run->command->arena, double, traced->plan_steps);
    double *column = ARENA_ARRAY(run->command->arena, double, steps);
    for (uint32_t s = 0; s < traced->plan_steps; s++) {
        for (size_t i = 0; i < steps; i++)
            column[i] = traced->ticks[i * traced->plan_steps + s];
        seconds[s] = tick * median_of(column, steps) / threads_count(run->threads);
    }
    return seconds;
}

// On a GPU: one launch after the other, beyond what a launch takes that does nothing.
static int time_gpu_boxes(BenchRun *run, Lane *lane) {
    Arena *arena = run->command->arena;
    const Plan *plan = lane->training.model.plans[MODEL_STEP];
    const Program *program = lane->training.model.programs[MODEL_STEP];
    double *times[LEAST_TRACED], *seconds = ARENA_ARRAY(arena, double, plan->step_count), column[LEAST_TRACED];
    int status = lane->training.session ? EXIT_DONE : lane_open(run, lane);
    if (status == EXIT_DONE) status = lane_train(run, lane, 0, run->bench->warmup_steps + 1, NULL, NULL);
    for (int i = 0; i < LEAST_TRACED && status == EXIT_DONE; i++) {
        RunResult unread;
        times[i] = ARENA_ARRAY(arena, double, (size_t)program->step_count + 2);
        if (!session_time(lane->training.session, program, times[i], &unread, run->command->diags)) status = EXIT_IO;
    }
    for (uint32_t s = 0; s < program->step_count && status == EXIT_DONE; s++) {
        for (int i = 0; i < LEAST_TRACED; i++) column[i] = fmax(times[i][s] - times[i][program->step_count], 0);
        seconds[program->steps[s].id] += median_of(column, LEAST_TRACED);
    }
    if (status == EXIT_DONE) bench_box_figures(arena, plan, seconds, lane->variant);
    if (!run->bench->resident) lane_close(lane);
    return status;
}

static int time_boxes(BenchRun *run, Lane *lane) {
    Arena *arena = run->command->arena;
    const Plan *plan = lane->training.model.plans[MODEL_STEP];
    int64_t steps = run->bench->visit_steps < LEAST_TRACED ? LEAST_TRACED : run->bench->visit_steps;
    int status = lane->training.session ? EXIT_DONE : lane_open(run, lane);
    if (status != EXIT_DONE) return status;
    Traced traced = {
        .skipped = run->bench->warmup_steps, .session = lane->training.session, .plan_steps = plan->step_count};
    traced.ticks = arena_alloc_array(arena, (size_t)steps, plan->step_count * sizeof(double));
    session_profile(lane->training.session, true);
    TraceClock from = trace_clock();
    status = lane_train(run, lane, run->bench->warmup_steps, steps, keep_trace, &traced);
    double tick = trace_tick_seconds(from, trace_clock());
    session_profile(lane->training.session, false);
    if (status == EXIT_DONE) bench_box_figures(arena, plan, box_seconds(run, &traced, tick), lane->variant);
    if (!run->bench->resident) lane_close(lane);
    return status;
}

int lanes_time_boxes(BenchRun *run) {
    for (size_t i = 0; i < run->lane_count; i++) {
        if (run->lanes[i].variant->role != ROLE_LEVEL) continue;
        Lane *lane = &run->lanes[i];
        int status = lane->variant->on_gpu ? time_gpu_boxes(run, lane) : time_boxes(run, lane);
        if (status != EXIT_DONE) return status;
    }
    return EXIT_DONE;
}
