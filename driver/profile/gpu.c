// Measuring on a GPU: training steps as they are trained, several under way, and each of their kernels by itself.
//
// Two measurements in turns. Plain: `window` steps in a row, from one result to the next on this machine's clock; runs
// are behind each other on the device, so nothing of the host is in it unless the host is slower. Timed: one run with
// an event between every two launches (session_time). Of a launch's time,
//
//     its kernel  = its interval - that of a launch that does nothing
//     waiting     = that of a launch that does nothing - that of an event alone, once for each launch
//
// A step's kernels may overlap and follow closer than timed ones: what it takes less than these is `unaccounted`, below
// zero.
#include <math.h>

#include "base/clock.h"
#include "driver/gpu.h"
#include "driver/profile/meter.h"
#include "runtime/interrupt.h"

static const double warm_up_seconds = 0.3, measured_seconds = 4;
static const double alone_from = 0.05;   // seconds: a step that is so long is a window of its own
enum { FEWEST_STEPS = 2, MOST_STEPS = 200, WINDOW_STEPS = 16, TIMELINE_STEPS = 3 };

// ---- steps in a row

typedef struct {
    Meter *meter;
    int ahead;                 // runs that may be under way
    int under_way;
    double host_seconds;       // taking batches and submitting, so far
    int64_t steps;             // so far
    double collected;          // on the clock: when the last result was there
} Stream;

static RuntimeStatus collect(Stream *stream, int most) {
    const ProfileRequest *request = stream->meter->request;
    for (; stream->under_way > most; stream->under_way--) {
        RunResult unread;
        bool is_done;
        if (!session_collect(request->training->session, true, &is_done, &unread, request->command->diags))
            return RUNTIME_IO;
        stream->collected = clock_seconds();
    }
    return RUNTIME_OK;
}

static RuntimeStatus submit(Stream *stream, int number) {
    Meter *meter = stream->meter;
    const ProfileRequest *request = meter->request;
    double data_seconds, start = clock_seconds();
    RuntimeStatus status = meter_fill(meter, number, &data_seconds);
    if (status != RUNTIME_OK) return status;
    if (!session_submit(request->training->session, meter->programs[number].program,
                        (RunOrder){.place = RUN_ALONE, .forgiven = UINT32_MAX}, request->command->diags))
        return RUNTIME_IO;
    stream->host_seconds += clock_seconds() - start;
    stream->under_way++;
    return collect(stream, stream->ahead);
}

static RuntimeStatus run_step(Stream *stream) {
    Meter *meter = stream->meter;
    RuntimeStatus status = RUNTIME_OK;
    for (int p = 0; p < meter->program_count; p++)
        for (int64_t run = 0; run < (int64_t)meter->programs[p].runs && status == RUNTIME_OK; run++)
            status = submit(stream, p);
    meter->iteration++;
    stream->steps++;
    return status == RUNTIME_OK && interrupt_requested() ? RUNTIME_STOPPED : status;
}

// Begins when so many runs are under way that one has had to be collected, and leaves none.
static RuntimeStatus run_window(Stream *stream, int steps, double *seconds) {
    RuntimeStatus status = RUNTIME_OK;
    stream->collected = 0;
    while (status == RUNTIME_OK && stream->collected == 0) status = run_step(stream);
    double start = stream->collected;
    for (int i = 0; i < steps && status == RUNTIME_OK; i++) status = run_step(stream);
    *seconds = (stream->collected - start) / steps;
    return status == RUNTIME_OK ? collect(stream, 0) : status;
}

static RuntimeStatus warm_up(Stream *stream, double *seconds) {
    double start = clock_seconds();
    int steps = 0;
    do {
        RuntimeStatus status = run_step(stream);
        if (status != RUNTIME_OK) return status;
        steps++;
    } while (steps < FEWEST_STEPS || clock_seconds() - start < warm_up_seconds);
    RuntimeStatus status = collect(stream, 0);
    *seconds = (clock_seconds() - start) / steps;
    return status;
}

// ---- kernels one by one

static void add_slice(Meter *meter, const ProfiledProgram *profiled, uint32_t launch, double begin, double seconds) {
    const Step *step = &profiled->plan->steps[profiled->program->steps[launch].id];
    uint32_t id = profiled->program->steps[launch].id;
    timeline_add_slice(meter->timeline,
                       (TimelineSlice){.label = plan_in_strand(profiled->plan, id) ? "chain" : step->label,
                                       .place = profiled->places[id],
                                       .kind = cause_name(meter->profile->table.boxes[profiled->boxes[id]].cause),
                                       .begin = (uint64_t)(1e9 * begin),
                                       .end = (uint64_t)(1e9 * (begin + seconds)),
                                       .piece = -1,
                                       .flops = profiled->program->steps[launch].flops});
}

// A chain's time belongs to its steps' boxes, to each as much as it has of the flops.
static void add_kernel_time(const ProfiledProgram *profiled, uint32_t launch, double kernel, StepSample *sample) {
    const Plan *plan = profiled->plan;
    const ProgramStep *step = &profiled->program->steps[launch];
    uint32_t end = plan_strand_end(plan, step->id);
    for (uint32_t s = step->id; s < end; s++) {
        double share = end == step->id + 1 ? 1 : plan->steps[s].flops / step->flops;
        sample->boxes[profiled->boxes[s]] += profiled->runs * kernel * share;
    }
}

// Into the sample, and the timeline, if there is one, from its second *at on.
static void add_times(Meter *meter, const ProfiledProgram *profiled, const double *times, StepSample *sample,
                      double *at) {
    const Program *program = profiled->program;
    double event = times[program->step_count + 1], nothing = fmax(times[program->step_count], event);
    for (uint32_t i = 0; i < program->step_count; i++) {
        uint32_t box = profiled->boxes[program->steps[i].id];
        double kernel = fmax(times[i] - nothing, 0), launch = nothing - event;
        add_kernel_time(profiled, i, kernel, sample);
        sample->waits[box] += profiled->runs * launch;
        sample->barrier += profiled->runs * launch;
        sample->total += profiled->runs * (kernel + launch);
        if (meter->timeline) add_slice(meter, profiled, i, *at + launch, kernel);
        *at += launch + kernel;
    }
}

static RuntimeStatus time_step(Meter *meter, StepSample *sample, double *at) {
    const ProfileRequest *request = meter->request;
    double began = *at;
    for (int p = 0; p < meter->program_count; p++) {
        const ProfiledProgram *profiled = &meter->programs[p];
        double *times = ARENA_ARRAY(meter->arena, double, (size_t)profiled->program->step_count + 2), unread;
        RunResult result;
        RuntimeStatus status = meter_fill(meter, p, &unread);
        if (status != RUNTIME_OK) return status;
        if (!session_time(request->training->session, profiled->program, times, &result, request->command->diags))
            return RUNTIME_IO;
        add_times(meter, profiled, times, sample, at);
    }
    if (meter->timeline)
        timeline_add_event(meter->timeline,
                           arena_format(meter->arena, "training step %lld", (long long)meter->iteration), "step", -1,
                           (uint64_t)(1e9 * began), (uint64_t)(1e9 * *at));
    meter->iteration++;
    return interrupt_requested() ? RUNTIME_STOPPED : RUNTIME_OK;
}

static RuntimeStatus record_timeline(Meter *meter, Timeline *timeline) {
    timeline->threads = 1;
    timeline->tick_seconds = 1e-9;
    meter->timeline = timeline;
    double at = 0;
    RuntimeStatus status = RUNTIME_OK;
    for (int i = 0; i < TIMELINE_STEPS && status == RUNTIME_OK; i++) {
        StepSample sample = sample_create(meter->arena, meter->profile->table.count);
        status = time_step(meter, &sample, &at);
    }
    meter->timeline = NULL;
    return status;
}

// ---- the peaks that boxes are held against

// The machine's own is that of what does most of the products' flops.
static void set_peaks(Meter *meter) {
    Profile *profile = meter->profile;
    const Gpu *gpu = meter->request->command->gpu;
    double flops[TENSOR_F16 + 1] = {0};
    TensorKind most = TENSOR_NONE;
    for (size_t i = 0; i < profile->table.count; i++) {
        ProfileBox *box = &profile->table.boxes[i];
        box->peak = gpu_roof(gpu, box->tensor);
        if (form_multiplies(box->form)) flops[box->tensor] += box->flops;
    }
    for (TensorKind kind = TENSOR_NONE; kind <= TENSOR_F16; kind++)
        if (flops[kind] > flops[most]) most = kind;
    profile->peak_kind = most == TENSOR_NONE ? "f32" : tensor_name(most);
    profile->machine.fma_flops = gpu_roof(gpu, most);
}

static void describe(Meter *meter) {
    Profile *profile = meter->profile;
    const Gpu *gpu = meter->request->command->gpu;
    profile->gpu = gpu_name(gpu);
    profile->machine = (ProbeResult){.threads = 1, .read_bandwidth = gpu_target(gpu).bandwidth};
    for (int p = 0; p < meter->program_count; p++)
        profile->launches += (uint32_t)meter->programs[p].runs * meter->programs[p].program->step_count;
    set_peaks(meter);
}

// ---- both, in turns

static void choose_steps(Meter *meter, Stream *stream, double seconds) {
    Profile *profile = meter->profile;
    profile->window = seconds > alone_from ? 1 : WINDOW_STEPS;
    if (seconds > alone_from) stream->ahead = 1;
    double fitting = fmin(MOST_STEPS, measured_seconds / (seconds * (profile->window + 3)));
    int wanted = meter->request->steps;
    profile->steps = wanted > 0 ? wanted : fitting < FEWEST_STEPS ? FEWEST_STEPS : (int)fitting;
}

static RuntimeStatus measure(Meter *meter, Stream *stream, StepSample *plain, StepSample *timed) {
    const Profile *profile = meter->profile;
    RuntimeStatus status = RUNTIME_OK;
    for (int i = 0; i < profile->steps && status == RUNTIME_OK; i++) {
        double unread = 0;
        plain[i] = sample_create(meter->arena, profile->table.count);
        timed[i] = sample_create(meter->arena, profile->table.count);
        status = run_window(stream, profile->window, &plain[i].total);
        if (status == RUNTIME_OK) status = time_step(meter, &timed[i], &unread);
    }
    return status;
}

RuntimeStatus gpu_measure_steps(Meter *meter, Timeline *timeline) {
    Profile *profile = meter->profile;
    Stream stream = {.meter = meter, .ahead = session_ahead(meter->request->training->session)};
    double seconds;
    describe(meter);
    RuntimeStatus status = warm_up(&stream, &seconds);
    if (status != RUNTIME_OK) return status;
    choose_steps(meter, &stream, seconds);
    StepSample *plain = ARENA_ARRAY(meter->arena, StepSample, (size_t)profile->steps);
    StepSample *timed = ARENA_ARRAY(meter->arena, StepSample, (size_t)profile->steps);
    stream.host_seconds = 0;
    stream.steps = 0;
    status = measure(meter, &stream, plain, timed);
    if (status != RUNTIME_OK) return status;
    profile_keep(profile, plain, timed, 1);
    profile->host_seconds = stream.host_seconds / (double)stream.steps;
    profile->launch_seconds = profile->barrier_seconds / (profile->launches ? profile->launches : 1);
    return timeline ? record_timeline(meter, timeline) : RUNTIME_OK;
}
