// sinter train: compile the model, bind it, run nanoGPT's loop.
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/file.h"
#include "driver/checkpoint.h"
#include "driver/command.h"
#include "driver/report.h"
#include "driver/training.h"
#include "driver/tune.h"
#include "runtime/interrupt.h"
#include "runtime/probe.h"
#include "runtime/weights.h"

static void say(void *context, const char *line) {
    (void)context;
    puts(line);
    fflush(stdout);
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

// What became of --activation_budget, for each program that trains.
static void say_budget(const Ledger *ledger) {
    for (size_t i = 0; i < ledger_count(ledger); i++) {
        const Decision *decision = ledger_at(ledger, i);
        if (text_equal(decision->what, "activation budget")) printf("activation budget: %s\n", decision->reason);
    }
}

static int create_session(Command *command, Training *training) {
    size_t bytes[MEMORY_COUNT];
    int status = training_bytes(command, training, threads_count(training->threads), bytes);
    if (status != EXIT_DONE) return status;
    double states = (double)bytes[MEMORY_STATE], arena = (double)bytes[MEMORY_ARENA];
    double scratch = (double)bytes[MEMORY_SCRATCH], needed = states + arena + scratch, available = memory_available();
    printf("memory: %.1f MB states, %.1f MB activations and gradients, %.1f MB scratch\n", 1e-6 * states, 1e-6 * arena,
           1e-6 * scratch);
    say_budget(training->model.ledger);
    if (available > 0 && needed > available) {
        diag_error(command->diags, (Place){0},
                   "this run needs %.1f MB and %.1f MB are available; lower batch_size or block_size%s", 1e-6 * needed,
                   1e-6 * available, configured_fuse(command->config) == FUSE_NONE ? ", or use --fuse=op" : "");
        return EXIT_MEMORY;
    }
    return training_session(command, training);
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

// Beside the checkpoint, where `sinter plot` looks, unless --metrics=FILE or --metrics=none. An evaluation alone is no
// training: it must not take the place of one.
static const char *metrics_path(const Command *command) {
    const char *metrics = config_string(command->config, "metrics");
    if (text_equal(metrics, "none")) return NULL;
    if (*metrics) return metrics;
    if (config_bool(command->config, "eval_only")) return NULL;
    return arena_format(command->arena, "%s/metrics.jsonl", config_string(command->config, "out_dir"));
}

static TrainOptions train_options(Command *command, Training *training, double peak) {
    const Config *config = command->config;
    const char *grads = config_string(config, "grads_out");
    TrainOptions options = training_options(config, training);
    options.peak_flops = peak;
    options.checkpoint_path = arena_format(command->arena, "%s/ckpt.safetensors", config_string(config, "out_dir"));
    options.metrics_path = metrics_path(command);
    options.grads_path = *grads ? grads : NULL;
    options.say = say;
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

static int tune(Command *command, const Target *target, CompileRequest *request) {
    const char *file, *choices;
    int status = tune_model(command, target, request->fuse, &file, &choices);
    if (status != EXIT_DONE || !choices) return status;
    request->choices = choices_create(command->arena);
    return choices_add(request->choices, file, choices, command->diags) ? EXIT_DONE : EXIT_USAGE;
}

static int prepare_and_run(Command *command, Training *training, double start) {
    Config *config = command->config;
    PassTimes times = {0};
    CompileRequest request = {.observer = report_observer(&times), .fuse = configured_fuse(config)};
    request.report.cache = configured_cache(command);
    Target target = probed_target();
    bool evaluates = config_int(config, "eval_interval") > 0 || config_bool(config, "eval_only");
    int status = tune(command, &target, &request);
    if (status == EXIT_DONE) status = training_compile(command, &target, evaluates, &request, training);
    if (status != EXIT_DONE) return status;

    printf("tokens per iteration will be: %lld\n", (long long)training_tokens(config));
    printf("number of parameters: %.2fM\n", 1e-6 * model_counted_parameters(training->model.plans[MODEL_STEP]));
    if (!file_make_directories(config_string(config, "out_dir"), command->diags)) return EXIT_IO;
    if ((status = training_open_tokens(command, training, evaluates)) != EXIT_DONE) return status;
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
    if (status == EXIT_DONE) status = training_check_numbers(command);
    if (status == EXIT_DONE) status = configure_vocabulary(command);
    if (status != EXIT_DONE) return status;
    Training training = {0};
    status = prepare_and_run(command, &training, start);
    training_free(&training);
    return status;
}
