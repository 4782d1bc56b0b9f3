// Measuring: training steps with and without profiling in turns, an evaluation, a checkpoint. See profile.h.
//
// With gradient accumulation one `micro` run is measured and counted accumulation - 1 times.
#include <math.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "driver/profile/profile.h"
#include "runtime/interrupt.h"
#include "runtime/prefetch.h"
#include "runtime/random.h"
#include "runtime/weights.h"

static const double warm_up_seconds = 0.3, measured_seconds = 4;
static const double largest_checkpoint = 256 << 20;   // bytes; larger ones are not worth the wait
enum { FEWEST_STEPS = 2, MOST_STEPS = 400, TIMELINE_STEPS = 3, EVALUATION_RUNS = 4 };

typedef struct {
    int32_t *tokens, *targets;
    float *learning_rate;
    int32_t *step, *seed, *micro;
} Inputs;

typedef struct {
    const ProfileRequest *request;
    Profile *profile;
    Arena *arena;
    TrainOptions options;
    BatchSource source;
    Prefetch *prefetch;
    int32_t *random;                     // tokens and targets when there is no file
    ProfiledProgram programs[2];         // micro, if any, and step
    Inputs inputs[2];
    int program_count;
    int64_t iteration, draw;
    Timeline *timeline;                  // NULL: not now
} Meter;

// ---- the programs and their inputs

static Inputs find_inputs(const Session *session, const Program *program) {
    return (Inputs){
        .tokens = session_slot_data(session, program, SLOT_INPUT, "tok"),
        .targets = session_slot_data(session, program, SLOT_INPUT, "target"),
        .learning_rate = session_slot_data(session, program, SLOT_INPUT, "learning_rate"),
        .step = session_slot_data(session, program, SLOT_INPUT, "step"),
        .seed = session_slot_data(session, program, SLOT_INPUT, "seed"),
        .micro = session_slot_data(session, program, SLOT_INPUT, "micro"),
    };
}

static void set_inputs(const Meter *meter, const Inputs *inputs, int64_t micro) {
    if (inputs->learning_rate)
        *inputs->learning_rate = (float)schedule_rate(&meter->options.schedule, meter->iteration);
    if (inputs->step) *inputs->step = (int32_t)meter->iteration;
    if (inputs->seed) *inputs->seed = (int32_t)(uint32_t)meter->options.seed;
    if (inputs->micro) *inputs->micro = (int32_t)micro;
}

static size_t batch_tokens(const Meter *meter) {
    return (size_t)meter->options.batch_size * (size_t)meter->options.block_size;
}

static void fill_random(Meter *meter) {
    size_t count = 2 * batch_tokens(meter);
    meter->random = ARENA_ARRAY(meter->arena, int32_t, count);
    uint64_t key = random_key(meter->options.seed, "profile");
    for (size_t i = 0; i < count; i++)
        meter->random[i] = (int32_t)random_below(random_bits(key, i), (uint64_t)meter->options.vocab_size);
}

static RuntimeStatus take_batch(Meter *meter, const Inputs *inputs) {
    if (meter->random) {
        memcpy(inputs->tokens, meter->random, batch_tokens(meter) * sizeof(int32_t));
        memcpy(inputs->targets, meter->random + batch_tokens(meter), batch_tokens(meter) * sizeof(int32_t));
        return RUNTIME_OK;
    }
    Diags *diags = meter->request->command->diags;
    RuntimeStatus status = prefetch_take(meter->prefetch, meter->draw++, inputs->tokens, inputs->targets, diags);
    if (status == RUNTIME_OK) prefetch_start(meter->prefetch, meter->draw);
    return status;
}

// ---- one training step

static RuntimeStatus run_program(Meter *meter, int number, StepSample *sample) {
    const ProfiledProgram *profiled = &meter->programs[number];
    uint64_t began = trace_ticks();
    double start = clock_seconds();
    RuntimeStatus status = take_batch(meter, &meter->inputs[number]);
    if (status != RUNTIME_OK) return status;
    double taken = clock_seconds();
    if (meter->timeline) timeline_add_event(meter->timeline, "batch", cause_name(CAUSE_DATA), 0, began, trace_ticks());
    if (meter->random) start = taken;
    set_inputs(meter, &meter->inputs[number], number);
    double running = clock_seconds();
    session_run(meter->request->training->session, profiled->program);
    sample->total += profiled->runs * (clock_seconds() - running + taken - start);
    sample->data += profiled->runs * (taken - start);
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

// ---- evaluation and checkpoint

static RuntimeStatus measure_evaluation(Meter *meter) {
    const Program *eval = meter->request->training->model.programs[MODEL_EVAL];
    if (!eval) return RUNTIME_OK;
    Session *session = meter->request->training->session;
    Inputs inputs = find_inputs(session, eval);
    BatchSource source = meter->source;
    source.file = meter->request->training->validation_tokens;
    source.order = ORDER_RANDOM;
    source.stream = STREAM_ESTIMATE_VALIDATION;
    session_profile(session, false);
    double least = INFINITY;
    for (int i = 0; i < EVALUATION_RUNS; i++) {
        double start = clock_seconds();
        RuntimeStatus status =
            meter->random ? take_batch(meter, &inputs)
                          : batch_read(&source, i, inputs.tokens, inputs.targets, meter->request->command->diags);
        if (status != RUNTIME_OK) return status;
        set_inputs(meter, &inputs, 0);
        session_run(session, eval);
        least = fmin(least, clock_seconds() - start);
    }
    meter->profile->evaluation_seconds = 2 * (double)meter->options.eval_iters * least;   // both splits
    return RUNTIME_OK;
}

// Written where checkpoints would lie, or the nearest folder above that exists, and removed at once. A folder that
// cannot be written is no reason to lose a profile.
static void measure_checkpoint(Meter *meter) {
    const Program *step = meter->request->training->model.programs[MODEL_STEP];
    double bytes = 0;
    for (uint32_t i = 0; i < step->slot_count; i++)
        if (step->slots[i].kind == SLOT_STATE && !step->slots[i].copy_of) bytes += (double)step->slots[i].bytes;
    meter->profile->checkpoint_bytes = bytes;
    if (bytes > largest_checkpoint) return;
    const char *folder = config_string(meter->request->command->config, "out_dir");
    if (!*folder || access(folder, W_OK) != 0) folder = ".";
    const char *path = arena_format(meter->arena, "%s/.profile-%ld.safetensors", folder, (long)getpid());
    double start = clock_seconds();
    Diags *unseen = diags_create(meter->arena);
    if (weights_save(meter->request->training->session, step, path, NULL, 0, unseen) == RUNTIME_OK)
        meter->profile->checkpoint_seconds = clock_seconds() - start;
    file_table.remove(path);
}

// ---- all of it

static void add_program(Meter *meter, ModelProgram which, double runs) {
    const CompiledModel *model = &meter->request->training->model;
    meter->programs[meter->program_count] =
        profiled_program(&meter->profile->table, model->plans[which], model->programs[which], runs);
    meter->inputs[meter->program_count++] = find_inputs(meter->request->training->session, model->programs[which]);
}

static RuntimeStatus prepare(Meter *meter) {
    const TrainOptions *options = &meter->options;
    if (options->accumulation > 1) add_program(meter, MODEL_MICRO, (double)options->accumulation - 1);
    add_program(meter, MODEL_STEP, 1);
    meter->profile->data_is_random = !meter->request->training->train_tokens;
    if (!meter->request->training->train_tokens) {
        fill_random(meter);
        return RUNTIME_OK;
    }
    Diags *diags = meter->request->command->diags;
    meter->source = (BatchSource){meter->request->training->train_tokens, options->order, STREAM_TRAIN, options->seed,
                                  options->batch_size, options->block_size, options->vocab_size};
    RuntimeStatus status = batch_check(&meter->source, diags);
    if (status == RUNTIME_OK && meter->request->training->validation_tokens) {
        BatchSource source = meter->source;
        source.file = meter->request->training->validation_tokens;
        source.order = ORDER_RANDOM;
        status = batch_check(&source, diags);
    }
    if (status != RUNTIME_OK) return status;
    meter->prefetch = prefetch_create(&meter->source, diags);
    return meter->prefetch ? RUNTIME_OK : RUNTIME_MEMORY;
}

int profile_measure(const ProfileRequest *request, Profile *profile, Timeline *timeline) {
    Meter meter = {.request = request,
                   .profile = profile,
                   .arena = request->command->arena,
                   .options = training_options(request->command->config, request->training)};
    interrupt_install();
    RuntimeStatus status = prepare(&meter);
    if (status == RUNTIME_OK) status = measure_steps(&meter);
    if (status == RUNTIME_OK && timeline) status = record_timeline(&meter, timeline);
    if (status == RUNTIME_OK) status = measure_evaluation(&meter);
    if (status == RUNTIME_OK) measure_checkpoint(&meter);
    interrupt_restore();
    prefetch_free(meter.prefetch);
    return status;
}
