// sinter train: compile the model, bind it, run nanoGPT's loop.
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "driver/checkpoint.h"
#include "driver/command.h"
#include "driver/gpu.h"
#include "driver/progress.h"
#include "driver/report.h"
#include "driver/start.h"
#include "driver/training.h"
#include "driver/tune/tune.h"
#include "runtime/interrupt.h"
#include "runtime/probe.h"
#include "runtime/weights.h"

// What became of --activation_budget, for each program that trains.
static void say_budget(Command *command, const Ledger *ledger) {
    for (size_t i = 0; i < ledger_count(ledger); i++) {
        const Decision *decision = ledger_at(ledger, i);
        if (text_equal(decision->what, "activation budget"))
            fprintf(command->echo, "activation budget: %s\n", decision->reason);
    }
}

// The denominator of mfu, printed once: measured here, or what the GPU's datasheet promises for what products compute
// in.
static double find_peak(Command *command, ThreadPool *threads) {
    ProbeResult probe;
    if (command->gpu) {
        TensorKind kind = configured_tensor(command->config);
        double peak = gpu_peak(command->gpu, kind);
        fprintf(command->echo, "device: %s, ", gpu_name(command->gpu));
        if (peak > 0)
            fprintf(command->echo,
                    "peak %.1f TFLOP/s %s (datasheet); mfu is against this peak. nanoGPT's fixed A100 peak is "
                    "%.0f TFLOP/s\n",
                    1e-12 * peak, kind == TENSOR_NONE ? "f32" : tensor_name(kind), 1e-12 * NANOGPT_PEAK_FLOPS);
        else
            fprintf(command->echo, "no datasheet of it is known: there is no mfu\n");
        if (configured_fuse(command->config) == FUSE_OP && gpu_why_no_library(command->gpu))
            fprintf(command->echo, "products: by Sinter's own kernels; no cuBLASLt: %s\n",
                    gpu_why_no_library(command->gpu));
        return peak;
    }
    probe_run(threads, true, &probe);
    fprintf(command->echo,
            "device: %s, %d threads, peak %.1f GFLOP/s f32 (measured); mfu is against this peak. "
            "nanoGPT's fixed A100 peak is %.0f GFLOP/s\n",
            *probe.model ? probe.model : "cpu", threads_count(threads), 1e-9 * probe.fma_flops,
            1e-9 * NANOGPT_PEAK_FLOPS);
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

static TrainOptions train_options(Command *command, Training *training, const Choices *given, double peak) {
    const Config *config = command->config;
    const char *grads = config_string(config, "grads_out");
    TrainOptions options = training_options(config, training);
    options.peak_flops = peak;
    options.metrics_path = metrics_path(command);
    options.grads_path = *grads ? grads : NULL;
    options.metadata = checkpoint_metadata(command, &training->model, given, &options.metadata_count);
    return options;
}

static void say_result(Command *command, const Training *training, const TrainResult *result, double peak) {
    FILE *echo = command->echo;
    double formula = model_flops_per_token(training->model.plans[MODEL_STEP], command->config) *
                     (double)training_tokens(command->config);
    double true_flops = model_true_flops(training->model.plans[MODEL_STEP]);
    if (result->iterations > 0 && isfinite(result->median_seconds)) {
        fprintf(echo, "median %.2f ms/iter over %lld iterations: %.1f GFLOP/s by nanoGPT's formula (%.3f GFLOP/iter), "
               "mfu %.2f%% of this device, %.3f%% of an A100; products alone %.3f GFLOP/iter, %.2f%%\n",
               1e3 * result->median_seconds, (long long)result->iterations, 1e-9 * formula / result->median_seconds,
               1e-9 * formula, peak > 0 ? 100 * formula / result->median_seconds / peak : 0,
               100 * formula / result->median_seconds / NANOGPT_PEAK_FLOPS, 1e-9 * true_flops,
               peak > 0 ? 100 * true_flops / result->median_seconds / peak : 0);
    }
    if (result->checkpoints > 0)
        fprintf(echo, "checkpoints: %lld written, %.3f s each\n", (long long)result->checkpoints,
                result->checkpoint_seconds / (double)result->checkpoints);
    if (result->skipped > 0)
        fprintf(echo, "%lld iterations were skipped: their loss or gradient was not finite\n",
                (long long)result->skipped);
}

// Measured once more: what held it down at the start is no reason to call a run faster than it was.
static double find_peak_again(Command *command, const Training *training, double peak) {
    if (command->gpu) return peak;
    double again = probe_peak(training->threads, peak);
    if (again > 1.05 * peak)
        fprintf(command->echo, "the peak is %.1f GFLOP/s now, and was %.1f at the start: mfu so far was too high\n",
                1e-9 * again, 1e-9 * peak);
    return again;
}

static int run(Command *command, const Start *start, Training *training, const Choices *given, double peak) {
    TrainOptions options = train_options(command, training, given, peak);
    start_options(start, &options);
    if (options.first_iteration > options.max_iters && !options.eval_only)
        fprintf(command->echo,
                "nothing is left to do: the next iteration is %lld, and max_iters is %lld (raise it to go on)\n",
                (long long)options.first_iteration, (long long)options.max_iters);
    Progress progress =
        progress_begin(stdout, config_bool(command->config, "quiet"), options.first_iteration, options.max_iters);
    options.say = progress_say;
    options.after_step = progress_step;
    options.say_context = options.after_step_context = &progress;
    TrainResult result;
    signal(SIGPIPE, SIG_IGN); // whoever reads the log may go; training goes on
    interrupt_install();
    RuntimeStatus status = train_run(&options, &result, command->diags);
    interrupt_restore();
    progress_end(&progress);
    say_result(command, training, &result, find_peak_again(command, training, peak));
    if (status == RUNTIME_STOPPED)
        fprintf(command->echo, "stopped by a signal%s\n", options.checkpoints ? "; the checkpoint is written" : "");
    return status;
}

static int tune(Command *command, const Target *target, CompileRequest *request) {
    const char *file, *choices;
    int status = tune_model(command, target, request->fuse, &file, &choices);
    if (status != EXIT_DONE || !choices) return status;
    request->choices = choices_create(command->arena);
    return choices_add(request->choices, file, choices, command->diags) ? EXIT_DONE : EXIT_USAGE;
}

static int prepare_and_run(Command *command, const Start *start, Training *training, double began) {
    Config *config = command->config;
    PassTimes times = {0};
    StartTimes stages = {.since = began};
    CompileRequest request = {.observer = report_observer(&times), .fuse = configured_fuse(config)};
    request.report.cache = configured_cache(command);
    Target target = command_target(command);
    bool evaluates = config_int(config, "eval_interval") > 0 || config_bool(config, "eval_only");
    int status = tune(command, &target, &request);
    start_stage(&stages, "configuration");
    if (status == EXIT_DONE) status = start_choices(command, start, &target, &request);
    if (status == EXIT_DONE) status = training_compile(command, &target, evaluates, &request, training);
    if (status != EXIT_DONE) return status;
    start_stage(&stages, NULL);

    fprintf(command->echo, "tokens per iteration will be: %lld\n", (long long)training_tokens(config));
    fprintf(command->echo, "number of parameters: %.2fM\n",
            1e-6 * model_counted_parameters(training->model.plans[MODEL_STEP]));
    start_check_room(command, start, (double)weights_file_bytes(training->model.programs[MODEL_STEP]), stderr);
    if ((status = training_open_tokens(command, training, evaluates)) != EXIT_DONE) return status;
    training->threads = threads_create(configured_threads(config), true, command->diags);
    if (!training->threads) return EXIT_IO;
    start_stage(&stages, "tokens and threads");
    double peak = find_peak(command, training->threads);
    start_stage(&stages, "peak of the machine");
    status = training_check_memory(command, training, threads_count(training->threads));
    if (status != EXIT_DONE) return status;
    say_budget(command, training->model.ledger);
    if ((status = training_session(command, training)) != EXIT_DONE) return status;
    start_stage(&stages, "memory");
    if ((status = start_load(command, start, training)) != EXIT_DONE) return status;
    start_stage(&stages, "weights");
    if (config_bool(config, "time"))
        report_times(&times, &request, &training->model, &stages, clock_seconds() - began);
    return run(command, start, training, request.choices, peak);
}

static int start_and_run(Command *command, Start *start, double began) {
    int status = start_open(command, start);
    if (status == EXIT_DONE) status = training_check_numbers(command);
    if (status == EXIT_DONE) status = configure_vocabulary(command);
    if (status != EXIT_DONE) return status;
    Training training = {0};
    status = prepare_and_run(command, start, &training, began);
    training_free(&training);
    return status;
}

int command_train(Command *command) {
    double began = clock_seconds();
    int status = check_device(command);
    if (status != EXIT_DONE) return status;
    Start start;
    status = start_and_run(command, &start, began);
    start_close(&start);
    return status;
}
