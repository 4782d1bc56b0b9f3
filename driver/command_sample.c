// sinter sample: nanoGPT's sample.py on a checkpoint of sinter train.
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "driver/checkpoint.h"
#include "driver/command.h"
#include "driver/compile.h"
#include "driver/gpu.h"
#include "driver/report.h"
#include "driver/start.h"
#include "runtime/interrupt.h"
#include "runtime/sample.h"
#include "runtime/weights.h"

typedef struct {
    Arena *arena;
    const Vocabulary *vocabulary;   // NULL: tokens are printed as numbers
} Printer;

static void print_sample(void *context, int64_t sample, const int32_t *tokens, int64_t count) {
    (void)sample;
    Printer *printer = context;
    Text text = text_create(printer->arena);
    for (int64_t i = 0; i < count; i++) {
        if (printer->vocabulary) {
            vocabulary_decode(printer->vocabulary, tokens[i], &text);
        } else {
            text_append(&text, i ? " %d" : "%d", tokens[i]);
        }
    }
    printf("%s\n---------------\n", text_string(&text));
    fflush(stdout);
}

// --start: a text, or FILE:path.
static int read_start(Command *command, const Vocabulary *vocabulary, int32_t **tokens, size_t *count) {
    const char *start = config_string(command->config, "start"), *shown = "--start";
    if (strncmp(start, "FILE:", 5) == 0) {
        shown = start + 5;
        start = file_read_text(command->arena, shown, 1 << 20, command->diags);
        if (!start) return EXIT_BAD_FILE;
    }
    size_t length = strlen(start);
    *tokens = ARENA_ARRAY(command->arena, int32_t, length + 1);
    *count = 1;   // without characters, or with an empty start: token 0
    if (!vocabulary || length == 0) return EXIT_DONE;
    return vocabulary_encode(vocabulary, shown, start, length, *tokens, count, command->diags);
}

static int sample(Command *command, const CompiledModel *model, ThreadPool *threads, TensorFile *file,
                  const Vocabulary *vocabulary) {
    const Config *config = command->config;
    const Program *logits = model->programs[MODEL_LOGITS];
    Session *session = NULL;
    int32_t *start;
    size_t start_count;
    int status = read_start(command, vocabulary, &start, &start_count);
    if (status == EXIT_DONE)
        status = model->gpu ? gpu_session(model->gpu, 1, threads, &session, command->diags)
                            : session_create(&logits, 1, threads, &session, command->diags);
    if (status == EXIT_DONE) status = weights_load(session, logits, file, command->diags);
    if (status == EXIT_DONE) {
        Printer printer = {command->arena, vocabulary};
        SampleOptions options = {
            .session = session,
            .logits = logits,
            .seed = (uint64_t)config_int(config, "seed"),
            .temperature = config_float(config, "temperature"),
            .top_k = config_int(config, "top_k"),
            .start = start,
            .start_count = (int64_t)start_count,
            .num_samples = config_int(config, "num_samples"),
            .max_new_tokens = config_int(config, "max_new_tokens"),
            .vocab_size = vocabulary ? vocabulary->size : 0,
            .done = print_sample,
            .context = &printer,
        };
        interrupt_install();
        status = sample_run(&options, command->diags);
        interrupt_restore();
    }
    session_free(session);
    return status;
}

static int compile_and_sample(Command *command, TensorFile *file) {
    Vocabulary *vocabulary;
    int status = checkpoint_read_model(command, file, &vocabulary);
    if (status != EXIT_DONE) return status;
    int64_t samples = config_int(command->config, "num_samples");
    int64_t tokens = config_int(command->config, "max_new_tokens");
    if (samples < 1 || samples > INT32_MAX || tokens < 1 || tokens > INT32_MAX ||
        config_float(command->config, "temperature") < 0) {
        diag_error(command->diags, (Place){0},
                   "num_samples and max_new_tokens must be from 1 to %d, temperature at least 0", INT32_MAX);
        return EXIT_USAGE;
    }
    // The program has a fixed number of rows: as many as there are samples, within reason.
    const char *rows = arena_format(command->arena, "%lld", (long long)(samples < 16 ? samples : 16));
    config_assign(command->config, "batch_size", rows, (Place){0}, command->diags);
    PassTimes times = {0};
    Target target = command_target(command);
    CompileRequest request = {.observer = report_observer(&times), .target = &target,
                              .gpu = command->gpu, .fuse = configured_fuse(command->config)};
    request.wanted[MODEL_LOGITS] = true;
    request.report.cache = configured_cache(command);
    CompiledModel model;
    if (!compile_model(command->arena, command->spec, command->config, &request, &model, command->diags)) {
        compiled_free(&model);
        return EXIT_USAGE;
    }
    ThreadPool *threads = threads_create(configured_threads(command->config), true, command->diags);
    status = threads ? sample(command, &model, threads, file, vocabulary) : EXIT_IO;
    threads_free(threads);
    compiled_free(&model);
    return status;
}

// init_from: 'resume', the newest checkpoint of out_dir that is sound, or a file.
static int open_checkpoint(Command *command, TensorFile **file) {
    const char *from = config_string(command->config, "init_from");
    if (!text_equal(from, "resume")) return tensor_file_open(command->arena, from, file, command->diags);
    Checkpoints *checkpoints;
    int status = checkpoints_open(config_string(command->config, "out_dir"), &checkpoints, command->diags);
    if (status != EXIT_DONE) return status;
    status = newest_checkpoint(command, checkpoints, file);
    checkpoints_free(checkpoints);
    return status;
}

int command_sample(Command *command) {
    int status = check_device(command);
    if (status != EXIT_DONE) return status;
    TensorFile *file = NULL;
    status = open_checkpoint(command, &file);
    if (status == EXIT_DONE) status = compile_and_sample(command, file);
    tensor_file_close(file);
    return status;
}
