// Setting up a training: see training.h.
#include "driver/training.h"

#include "driver/gpu.h"
#include "driver/memory_limit.h"

void training_free(Training *training) {
    token_file_close(training->train_tokens);
    token_file_close(training->validation_tokens);
    session_free(training->session);
    threads_free(training->threads);
    compiled_free(&training->model);
}

static int positive(Command *command, const char *key, int64_t least) {
    int64_t value = config_int(command->config, key);
    if (value >= least) return EXIT_DONE;
    diag_error(command->diags, config_find(command->config, key)->place, "%s = %lld: at least %lld is needed", key,
               (long long)value, (long long)least);
    return EXIT_USAGE;
}

int training_check_numbers(Command *command) {
    static const struct {
        const char *key;
        int64_t least;
    } limits[] = {{"batch_size", 1}, {"block_size", 1},    {"vocab_size", 1},   {"gradient_accumulation_steps", 1},
                  {"max_iters", 0},  {"eval_interval", 0}, {"log_interval", 0}, {"eval_iters", 1},
                  {"keep_last", 1}};
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
        int status = positive(command, limits[i].key, limits[i].least);
        if (status != EXIT_DONE) return status;
    }
    return EXIT_DONE;
}

static int check_launches(Command *command) {
    long long wanted = (long long)config_int(command->config, "steps_per_launch");
    if (wanted >= 0 && wanted <= GPU_MOST_RUNS_PER_LAUNCH) return EXIT_DONE;
    diag_error(command->diags, config_find(command->config, "steps_per_launch")->place,
               "steps_per_launch = %lld: 1 to %d, or 0 for as many as take some 2 ms", wanted,
               GPU_MOST_RUNS_PER_LAUNCH);
    return EXIT_USAGE;
}

// Micro-batches are runs of their own. 0: not on a GPU.
static int runs_per_launch(const Config *config, const CompiledModel *model) {
    int64_t steps = config_int(config, "steps_per_launch");
    if (!model->gpu) return 0;
    if (steps == 0) return gpu_runs_per_launch(model->gpu);
    int64_t micros = config_int(config, "gradient_accumulation_steps");
    return micros <= GPU_MOST_RUNS_PER_LAUNCH / steps ? (int)(steps * micros) : GPU_MOST_RUNS_PER_LAUNCH;
}

// "2 steps", "8 of 40 micro-batches": what a launch holds of iterations, as runtime/cuda/noted.c has it.
static const char *launch_text(Command *command, const CompiledModel *model) {
    long long micros = (long long)config_int(command->config, "gradient_accumulation_steps");
    long long runs = runs_per_launch(command->config, model);
    if (runs < micros) return arena_format(command->arena, "%lld of %lld micro-batches", runs, micros);
    return arena_format(command->arena, "%lld steps", runs / micros);
}

int training_compile(Command *command, const Target *target, bool evaluates, CompileRequest *request,
                     Training *training) {
    const Config *config = command->config;
    int status = check_launches(command);
    if (status != EXIT_DONE) return status;
    if (!request->choices) status = configured_choices(command->arena, config, command->diags, &request->choices);
    if (status != EXIT_DONE) return status;
    request->wanted[MODEL_STEP] = true;
    request->wanted[MODEL_MICRO] = config_int(config, "gradient_accumulation_steps") > 1;
    request->wanted[MODEL_EVAL] = evaluates;
    request->target = target;
    request->gpu = command->gpu;
    request->plain_launches = !config_bool(config, "dependent_launch");
    request->lone_launches = !config_bool(config, "merge_launches");
    bool compiled = compile_model(command->arena, command->spec, config, request, &training->model, command->diags);
    if (compiled) return EXIT_DONE;
    return request->least_budget ? EXIT_MEMORY : EXIT_USAGE;
}

int training_open_tokens(Command *command, Training *training, bool evaluates) {
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

static int program_list(const Training *training, const Program *programs[MODEL_PROGRAMS]) {
    int count = 0;
    for (int i = 0; i < MODEL_PROGRAMS; i++) {
        if (training->model.programs[i]) programs[count++] = training->model.programs[i];
    }
    return count;
}

int training_bytes(Command *command, const Training *training, int threads, size_t bytes[MEMORY_COUNT]) {
    const Program *programs[MODEL_PROGRAMS];
    int count = program_list(training, programs);
    if (session_bytes(programs, count, threads, bytes)) return EXIT_DONE;
    diag_error(command->diags, (Place){0}, "the memory of this model overflows the address space");
    return EXIT_MEMORY;
}

// What would help: states are the model's own, all else grows with the batch.
static const char *what_to_lower(Command *command, const size_t bytes[MEMORY_COUNT], double available) {
    const Config *config = command->config;
    if ((double)bytes[MEMORY_STATE] > available)
        return "parameters and their moments alone do not fit: a smaller model (n_layer, n_embd, vocab_size) is needed";
    if (configured_fuse(config) == FUSE_NONE) return "use --fuse=op or all, or lower batch_size or block_size";
    size_t budget;
    bool has_budget = configured_budget(config, command->diags, &budget) && budget > 0;
    return arena_format(command->arena, "lower batch_size (%lld) or block_size (%lld)%s",
                        (long long)config_int(config, "batch_size"), (long long)config_int(config, "block_size"),
                        has_budget ? "" : ", or give an --activation_budget");
}

// On a GPU the host has a tensor at a time, and the GPU all else.
static int check_gpu_memory(Command *command, const Training *training, const size_t bytes[MEMORY_COUNT]) {
    size_t needed, free_bytes, all_bytes;
    if (!gpu_bytes(training->model.gpu, &needed)) {
        diag_error(command->diags, (Place){0}, "the memory of this model overflows the address space");
        return EXIT_MEMORY;
    }
    if (!gpu_memory(command->gpu, &free_bytes, &all_bytes, command->diags)) return EXIT_IO;
    double states = (double)bytes[MEMORY_STATE], arena = (double)bytes[MEMORY_ARENA];
    fprintf(command->echo,
            "memory: %.1f MB states, %.1f MB activations and gradients, %.1f MB in all of the GPU's %.1f MB, "
            "%.1f MB of which are free\n",
            1e-6 * states, 1e-6 * arena, 1e-6 * (double)needed, 1e-6 * (double)all_bytes, 1e-6 * (double)free_bytes);
    const CompiledModel *model = &training->model;
    fprintf(command->echo,
            "launches: %u kernels for the plan's %u steps in one graph, %s a launch, a kernel begins %s\n",
            model->programs[MODEL_STEP]->step_count, model->plans[MODEL_STEP]->step_count,
            launch_text(command, model),
            gpu_begins_early(training->model.gpu) ? "while those before it end" : "when those before it have ended");
    if (needed <= free_bytes) return EXIT_DONE;
    diag_error(command->diags, (Place){0},
               "this run needs %.1f MB of the GPU's memory (%.1f MB of them states), and %.1f MB are free; %s",
               1e-6 * (double)needed, 1e-6 * states, 1e-6 * (double)free_bytes,
               what_to_lower(command, bytes, (double)free_bytes));
    return EXIT_MEMORY;
}

int training_check_memory(Command *command, const Training *training, int threads) {
    size_t bytes[MEMORY_COUNT];
    int status = training_bytes(command, training, threads, bytes);
    if (status != EXIT_DONE) return status;
    if (training->model.gpu) return check_gpu_memory(command, training, bytes);
    double states = (double)bytes[MEMORY_STATE], arena = (double)bytes[MEMORY_ARENA];
    double scratch = (double)bytes[MEMORY_SCRATCH];
    double needed = states + arena + scratch;
    fprintf(command->echo, "memory: %.1f MB states, %.1f MB activations and gradients, %.1f MB scratch\n",
            1e-6 * states, 1e-6 * arena, 1e-6 * scratch);
    MemoryLimit limit = memory_limit("");
    if (limit.bytes == 0 || needed <= limit.bytes) return EXIT_DONE;
    diag_error(command->diags, (Place){0},
               "this run needs %.1f MB (%.1f MB of them states), and %s leaves it %.1f MB; %s", 1e-6 * needed,
               1e-6 * states, limit.by, 1e-6 * limit.bytes, what_to_lower(command, bytes, limit.bytes));
    return EXIT_MEMORY;
}

int training_session(Command *command, Training *training) {
    const Program *programs[MODEL_PROGRAMS];
    int count = program_list(training, programs);
    if (training->model.gpu)
        return gpu_session(training->model.gpu, runs_per_launch(command->config, &training->model), training->threads,
                           &training->session, command->diags);
    return session_create(programs, count, training->threads, &training->session, command->diags);
}

int64_t training_tokens(const Config *config) {
    return config_int(config, "gradient_accumulation_steps") * config_int(config, "batch_size") *
           config_int(config, "block_size");
}

TrainOptions training_options(const Config *config, const Training *training) {
    const CompiledModel *model = &training->model;
    return (TrainOptions){
        .session = training->session,
        .step = model->programs[MODEL_STEP],
        .micro = model->programs[MODEL_MICRO],
        .eval = model->programs[MODEL_EVAL],
        .train_tokens = training->train_tokens,
        .validation_tokens = training->validation_tokens,
        .order = text_equal(config_string(config, "data_order"), "sequential") ? ORDER_SEQUENTIAL : ORDER_RANDOM,
        .vocab_size = config_int(config, "vocab_size"),
        .batch_size = config_int(config, "batch_size"),
        .block_size = config_int(config, "block_size"),
        .accumulation = config_int(config, "gradient_accumulation_steps"),
        .max_iters = config_int(config, "max_iters"),
        .eval_interval = config_int(config, "eval_interval"),
        .eval_iters = config_int(config, "eval_iters"),
        .log_interval = config_int(config, "log_interval"),
        .runs_per_launch = runs_per_launch(config, model),
        .eval_only = config_bool(config, "eval_only"),
        .always_save_checkpoint = config_bool(config, "always_save_checkpoint"),
        .nonfinite = text_equal(config_string(config, "nonfinite"), "skip") ? NONFINITE_SKIP : NONFINITE_HALT,
        .keep_last = (int)config_int(config, "keep_last"),
        .saved_iteration = -1,
        .best_val_loss = 1e9,
        .schedule = {.learning_rate = config_float(config, "learning_rate"),
                     .min_lr = config_float(config, "min_lr"),
                     .warmup_iters = config_int(config, "warmup_iters"),
                     .lr_decay_iters = config_int(config, "lr_decay_iters"),
                     .decay_lr = config_bool(config, "decay_lr")},
        .seed = (uint64_t)config_int(config, "seed"),
        .flops_per_iteration =
            model_flops_per_token(model->plans[MODEL_STEP], config) * (double)training_tokens(config),
    };
}
