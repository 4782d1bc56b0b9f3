// sinter train: compile the model, bind it, run nanoGPT's loop.
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/file.h"
#include "driver/checkpoint.h"
#include "driver/command.h"
#include "driver/compile.h"
#include "driver/report.h"
#include "runtime/interrupt.h"
#include "runtime/probe.h"
#include "runtime/train.h"
#include "runtime/weights.h"

// Everything of one training that must be given back, so that every way out is the same.
typedef struct {
    CompiledModel model;
    ThreadPool *threads;
    Session *session;
    TokenFile *train_tokens, *validation_tokens;
} Training;

static void training_free(Training *training) {
    token_file_close(training->train_tokens);
    token_file_close(training->validation_tokens);
    session_free(training->session);
    threads_free(training->threads);
    compiled_free(&training->model);
}

static void say(void *context, const char *line) {
    (void)context;
    puts(line);
    fflush(stdout);
}

static int positive(Command *command, const char *key, int64_t least) {
    int64_t value = config_int(command->config, key);
    if (value >= least) return EXIT_DONE;
    diag_error(command->diags, config_find(command->config, key)->place, "%s = %lld: at least %lld is needed", key,
               (long long)value, (long long)least);
    return EXIT_USAGE;
}

static int check_numbers(Command *command) {
    static const struct {
        const char *key;
        int64_t least;
    } limits[] = {{"batch_size", 1}, {"block_size", 1},    {"vocab_size", 1},   {"gradient_accumulation_steps", 1},
                  {"max_iters", 0},  {"eval_interval", 0}, {"log_interval", 0}, {"eval_iters", 1}};
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
        int status = positive(command, limits[i].key, limits[i].least);
        if (status != EXIT_DONE) return status;
    }
    return EXIT_DONE;
}

static int open_tokens(Command *command, Training *training, bool evaluates) {
    const ProgramSlot *slot = program_slot(training->model.programs[MODEL_STEP], SLOT_INPUT, "tok");
    if (!slot || !slot->token_bytes) {
        diag_error(command->diags, (Place){0}, "the model has no token input named 'tok'");
        return EXIT_USAGE;
    }
    RuntimeStatus status =
        token_file_open(train_tokens_path(command), slot->token_bytes, &training->train_tokens, command->diags);
    if (status != RUNTIME_OK || !evaluates) return status;
    return token_file_open(validation_tokens_path(command), slot->token_bytes, &training->validation_tokens,
                           command->diags);
}

static int initialise(Command *command, Training *training) {
    const Program *step = training->model.programs[MODEL_STEP];
    const char *from = config_string(command->config, "init_from");
    weights_initialise(training->session, step, (uint64_t)config_int(command->config, "seed"));
    if (text_equal(from, "scratch")) {
        puts("Initializing a new model from scratch");
        return EXIT_DONE;
    }
    if (strlen(from) < 12 || !text_equal(from + strlen(from) - 12, ".safetensors")) {
        diag_error(command->diags, config_find(command->config, "init_from")->place,
                   "init_from '%s': 'scratch' or a .safetensors file", from);
        return EXIT_USAGE;
    }
    printf("Initializing from %s\n", from);
    TensorFile *file = NULL;
    RuntimeStatus status = tensor_file_open(command->arena, from, &file, command->diags);
    if (status == RUNTIME_OK) status = weights_load(training->session, step, file, command->diags);
    tensor_file_close(file);
    return status;
}

// Compiles the programs that this run needs.
static int compile(Command *command, const Target *target, Training *training, CompileRequest *request) {
    const Config *config = command->config;
    bool evaluates = config_int(config, "eval_interval") > 0 || config_bool(config, "eval_only");
    request->wanted[MODEL_STEP] = true;
    request->wanted[MODEL_MICRO] = config_int(config, "gradient_accumulation_steps") > 1;
    request->wanted[MODEL_EVAL] = evaluates;
    request->fuse = configured_fuse(config);
    request->target = target;
    return compile_model(command->arena, command->spec, config, request, &training->model, command->diags) ? EXIT_DONE
                                                                                                          : EXIT_USAGE;
}

static int create_session(Command *command, Training *training) {
    const Program *programs[MODEL_PROGRAMS];
    int count = 0;
    for (int i = 0; i < MODEL_PROGRAMS; i++) {
        if (training->model.programs[i]) programs[count++] = training->model.programs[i];
    }
    size_t bytes[MEMORY_COUNT];
    if (!session_bytes(programs, count, threads_count(training->threads), bytes)) {
        diag_error(command->diags, (Place){0}, "the memory of this model overflows the address space");
        return EXIT_MEMORY;
    }
    double states = (double)bytes[MEMORY_STATE], arena = (double)bytes[MEMORY_ARENA];
    double scratch = (double)bytes[MEMORY_SCRATCH], needed = states + arena + scratch, available = memory_available();
    printf("memory: %.1f MB states, %.1f MB activations and gradients, %.1f MB scratch\n", 1e-6 * states, 1e-6 * arena,
           1e-6 * scratch);
    if (available > 0 && needed > available) {
        diag_error(command->diags, (Place){0},
                   "this run needs %.1f MB and %.1f MB are available; lower batch_size or block_size%s", 1e-6 * needed,
                   1e-6 * available, configured_fuse(command->config) == FUSE_NONE ? ", or use --fuse=op" : "");
        return EXIT_MEMORY;
    }
    return session_create(programs, count, training->threads, &training->session, command->diags);
}

// The denominator of mfu: measured here, once, and printed.
static double measure_peak(ThreadPool *threads) {
    ProbeResult probe;
    probe_run(threads, true, &probe);
    printf("device: %s, %d threads, peak %.1f GFLOP/s f32 (measured); mfu is against this peak. "
           "nanoGPT's fixed A100 peak is %.0f GFLOP/s\n",
           *probe.model ? probe.model : "cpu", threads_count(threads), 1e-9 * probe.fma_flops, 1e-9 * NANOGPT_PEAK_FLOPS);
    return probe.fma_flops;
}

static TrainOptions train_options(Command *command, Training *training, double peak) {
    const Config *config = command->config;
    Arena *arena = command->arena;
    const char *metrics = config_string(config, "metrics"), *grads = config_string(config, "grads_out");
    int64_t accumulation = config_int(config, "gradient_accumulation_steps");
    int64_t tokens = accumulation * config_int(config, "batch_size") * config_int(config, "block_size");
    TrainOptions options = {
        .session = training->session,
        .step = training->model.programs[MODEL_STEP],
        .micro = training->model.programs[MODEL_MICRO],
        .eval = training->model.programs[MODEL_EVAL],
        .train_tokens = training->train_tokens,
        .validation_tokens = training->validation_tokens,
        .order = text_equal(config_string(config, "data_order"), "sequential") ? ORDER_SEQUENTIAL : ORDER_RANDOM,
        .vocab_size = config_int(config, "vocab_size"),
        .batch_size = config_int(config, "batch_size"),
        .block_size = config_int(config, "block_size"),
        .accumulation = accumulation,
        .max_iters = config_int(config, "max_iters"),
        .eval_interval = config_int(config, "eval_interval"),
        .eval_iters = config_int(config, "eval_iters"),
        .log_interval = config_int(config, "log_interval"),
        .eval_only = config_bool(config, "eval_only"),
        .always_save_checkpoint = config_bool(config, "always_save_checkpoint"),
        .best_val_loss = 1e9,
        .schedule = {.learning_rate = config_float(config, "learning_rate"),
                     .min_lr = config_float(config, "min_lr"),
                     .warmup_iters = config_int(config, "warmup_iters"),
                     .lr_decay_iters = config_int(config, "lr_decay_iters"),
                     .decay_lr = config_bool(config, "decay_lr")},
        .seed = (uint64_t)config_int(config, "seed"),
        .flops_per_iteration = model_flops_per_token(training->model.plans[MODEL_STEP], config) * (double)tokens,
        .peak_flops = peak,
        .checkpoint_path = arena_format(arena, "%s/ckpt.safetensors", config_string(config, "out_dir")),
        .metrics_path = *metrics ? metrics : NULL,
        .grads_path = *grads ? grads : NULL,
        .say = say,
    };
    options.metadata = checkpoint_metadata(command, &options.metadata_count);
    return options;
}

static int run(Command *command, Training *training, double peak) {
    TrainOptions options = train_options(command, training, peak);
    TrainResult result;
    interrupt_install();
    RuntimeStatus status = train_run(&options, &result, command->diags);
    interrupt_restore();
    if (result.iterations > 0 && isfinite(result.median_seconds)) {
        double formula = options.flops_per_iteration, true_flops = model_true_flops(training->model.plans[MODEL_STEP]);
        printf("median %.2f ms/iter over %lld iterations: %.1f GFLOP/s by nanoGPT's formula (%.3f GFLOP/iter), "
               "mfu %.2f%% of this device, %.3f%% of an A100; products alone %.3f GFLOP/iter, %.2f%%\n",
               1e3 * result.median_seconds, (long long)result.iterations, 1e-9 * formula / result.median_seconds,
               1e-9 * formula, 100 * formula / result.median_seconds / peak,
               100 * formula / result.median_seconds / NANOGPT_PEAK_FLOPS, 1e-9 * true_flops,
               100 * true_flops / result.median_seconds / peak);
    }
    if (status == RUNTIME_STOPPED) puts("stopped by a signal; the checkpoint is written");
    return status;
}

static int prepare_and_run(Command *command, Training *training, double start) {
    Config *config = command->config;
    PassTimes times = {0};
    CompileRequest request = {.observer = report_observer(&times)};
    Target target = probed_target();
    int status = compile(command, &target, training, &request);
    if (status != EXIT_DONE) return status;

    int64_t tokens = config_int(config, "gradient_accumulation_steps") * config_int(config, "batch_size") *
                     config_int(config, "block_size");
    printf("tokens per iteration will be: %lld\n", (long long)tokens);
    printf("number of parameters: %.2fM\n", 1e-6 * model_counted_parameters(training->model.plans[MODEL_STEP]));
    if (!file_make_directories(config_string(config, "out_dir"), command->diags)) return EXIT_IO;
    if ((status = open_tokens(command, training, request.wanted[MODEL_EVAL])) != EXIT_DONE) return status;
    training->threads = threads_create(configured_threads(config), true, command->diags);
    if (!training->threads) return EXIT_IO;
    double peak = measure_peak(training->threads);
    if ((status = create_session(command, training)) != EXIT_DONE) return status;
    if ((status = initialise(command, training)) != EXIT_DONE) return status;
    if (config_bool(config, "time")) report_times(&times, &request, &training->model, clock_seconds() - start);
    return run(command, training, peak);
}

int command_train(Command *command) {
    double start = clock_seconds();
    int status = check_device(command);
    if (status == EXIT_DONE) status = check_numbers(command);
    if (status == EXIT_DONE) status = configure_vocabulary(command);
    if (status != EXIT_DONE) return status;
    Training training = {0};
    status = prepare_and_run(command, &training, start);
    training_free(&training);
    return status;
}
