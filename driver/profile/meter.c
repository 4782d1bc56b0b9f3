// What a profile is measured with: see meter.h.
#include <math.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "driver/profile/meter.h"
#include "runtime/random.h"
#include "runtime/weights.h"

static const double largest_checkpoint = 256 << 20;   // bytes; larger ones are not worth the wait
enum { EVALUATION_RUNS = 4 };

// ---- the programs and their inputs

static size_t batch_tokens(const Meter *meter) {
    return (size_t)meter->options.batch_size * (size_t)meter->options.block_size;
}

static RunInputs find_inputs(const Meter *meter, const Program *program) {
    return run_inputs_find(meter->request->training->session, program, (int64_t)batch_tokens(meter));
}

static void set_inputs(const Meter *meter, const RunInputs *inputs, int64_t micro) {
    double rate = schedule_rate(&meter->options.schedule, meter->iteration);
    run_inputs_set(inputs, (RunNumbers){meter->iteration, micro, meter->options.seed, rate});
}

static void fill_random(Meter *meter) {
    size_t count = 2 * batch_tokens(meter);
    meter->random = ARENA_ARRAY(meter->arena, int32_t, count);
    uint64_t key = random_key(meter->options.seed, "profile");
    for (size_t i = 0; i < count; i++)
        meter->random[i] = (int32_t)random_below(random_bits(key, i), (uint64_t)meter->options.vocab_size);
}

static RuntimeStatus take_batch(Meter *meter, const RunInputs *inputs) {
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

RuntimeStatus meter_fill(Meter *meter, int number, double *data_seconds) {
    double start = clock_seconds();
    RuntimeStatus status = take_batch(meter, &meter->inputs[number]);
    if (status != RUNTIME_OK) return status;
    *data_seconds = meter->random ? 0 : clock_seconds() - start;
    set_inputs(meter, &meter->inputs[number], number);
    return RUNTIME_OK;
}

// ---- evaluation and checkpoint

RuntimeStatus meter_evaluation(Meter *meter) {
    const Program *eval = meter->request->training->model.programs[MODEL_EVAL];
    bool has_tokens = meter->random || meter->request->training->validation_tokens;
    if (!eval || !has_tokens) return RUNTIME_OK;
    Session *session = meter->request->training->session;
    RunInputs inputs = find_inputs(meter, eval);
    BatchSource source = meter->source;
    source.file = meter->request->training->validation_tokens;
    source.order = ORDER_RANDOM;
    source.stream = STREAM_ESTIMATE_VALIDATION;
    if (!meter->request->command->gpu) session_profile(session, false);
    double least = INFINITY;
    for (int i = 0; i < EVALUATION_RUNS; i++) {
        double start = clock_seconds();
        RuntimeStatus status =
            meter->random ? take_batch(meter, &inputs)
                          : batch_read(&source, i, inputs.tokens, inputs.targets, meter->request->command->diags);
        if (status != RUNTIME_OK) return status;
        set_inputs(meter, &inputs, 0);
        RunResult unread;
        if (!session_complete(session, eval, &unread, meter->request->command->diags)) return RUNTIME_IO;
        least = fmin(least, clock_seconds() - start);
    }
    meter->profile->evaluation_seconds = 2 * (double)meter->options.eval_iters * least;   // both splits
    return RUNTIME_OK;
}

// Written where checkpoints would lie, or the nearest folder above that exists, and removed at once. A folder that
// cannot be written is no reason to lose a profile.
void meter_checkpoint(Meter *meter) {
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
    meter->inputs[meter->program_count++] = find_inputs(meter, model->programs[which]);
}

RuntimeStatus meter_begin(Meter *meter) {
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

void meter_end(Meter *meter) { prefetch_free(meter->prefetch); }
