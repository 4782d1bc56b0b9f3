// The library's door: include/sinter.h over the same rooms as the command line.
#include "sinter.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "driver/command.h"
#include "driver/compile.h"
#include "runtime/run_inputs.h"
#include "runtime/session.h"
#include "runtime/slot.h"
#include "runtime/weights.h"

struct SinterModel {
    Arena *arena;
    Config *config;
    CompiledModel compiled;
    Target target;
    ThreadPool *threads;
    Session *session;
    int64_t steps;
};

static _Thread_local char last_error[4096];

const char *sinter_error(void) { return last_error; }

static void keep_errors(const Diags *diags) {
    Arena *arena = arena_create();
    Text text = text_create(arena);
    diags_render(diags, &text);
    size_t length = text.length < sizeof last_error - 1 ? text.length : sizeof last_error - 1;
    memcpy(last_error, text_string(&text), length);
    last_error[length] = '\0';
    arena_free(arena);
}

static bool assign_settings(Arena *arena, Config *config, const char *const *settings, size_t count, Diags *diags) {
    for (size_t i = 0; i < count; i++) {
        const char *equals = strchr(settings[i], '=');
        Place place = {.file = "settings"};
        if (!equals) return diag_error(diags, place, "'%s': key=value is expected", settings[i]);
        const char *key = arena_copy_range(arena, settings[i], (size_t)(equals - settings[i]));
        if (!config_assign(config, key, equals + 1, place, diags)) return false;
    }
    return true;
}

static bool compile(SinterModel *model, const char *source, const char *name, const char *const *settings, size_t count,
                    Diags *diags) {
    const char *text = source ? arena_copy(model->arena, source) : spec_embedded(name);
    if (!text) return diag_error(diags, (Place){0}, "no model '%s' in this library", name);
    declare_train_keys(model->config);
    Spec *spec = spec_parse(model->arena, arena_copy(model->arena, name), text, diags);
    if (!spec || !spec_declare(spec, model->config, diags)) return false;
    config_assign(model->config, "gradient_accumulation_steps", "1", (Place){0}, diags);
    if (!assign_settings(model->arena, model->config, settings, count, diags)) return false;
    if (config_int(model->config, "gradient_accumulation_steps") != 1)
        return diag_error(diags, (Place){0}, "gradient accumulation is for the training loop of the command line");
    if (!text_equal(config_string(model->config, "dtype"), "float32"))
        return diag_error(diags, (Place){0}, "dtype '%s': the library runs on processors, in float32",
                          config_string(model->config, "dtype"));
    model->target = probed_target();
    CompileRequest request = {.target = &model->target, .fuse = configured_fuse(model->config)};
    request.observer = (PassObserver){.verify = true, .limit = -1};
    if (configured_choices(model->arena, model->config, diags, &request.choices) != EXIT_DONE) return false;
    request.wanted[MODEL_STEP] = request.wanted[MODEL_EVAL] = true;
    return compile_model(model->arena, spec, model->config, &request, &model->compiled, diags);
}

static bool bind(SinterModel *model, int threads, Diags *diags) {
    const Program *programs[] = {model->compiled.programs[MODEL_STEP], model->compiled.programs[MODEL_EVAL]};
    model->threads = threads_create(threads > 0 ? threads : threads_default_count(), true, diags);
    if (!model->threads) return false;
    if (session_create(programs, 2, model->threads, &model->session, diags) != RUNTIME_OK) return false;
    uint64_t seed = (uint64_t)config_int(model->config, "seed");
    return weights_initialise(model->session, programs[0], seed, diags) == RUNTIME_OK;
}

// What the guard of a call caught; the memory is given back already.
static void keep_exhausted(const MemoryGuard *guard) {
    snprintf(last_error, sizeof last_error, "out of memory (%zu bytes wanted)\n", guard->wanted);
}

// Begins a call of the library that asks for memory: the error of the call before is gone, and when memory runs out
// the call returns `result`. Such a call ends with memory_guard_pop(). A macro, since setjmp is the caller's own.
#define RETURN_WHEN_EXHAUSTED(result) \
    MemoryGuard guard;                \
    last_error[0] = '\0';             \
    memory_guard_push(&guard);        \
    if (setjmp(guard.jump)) return keep_exhausted(&guard), (result)

static SinterModel *open_model(const char *spec, const char *name, const char *const *settings, size_t count,
                               int threads) {
    Arena *arena = arena_create();
    Diags *diags = diags_create(arena);
    SinterModel *model = ARENA_NEW(arena, SinterModel);
    model->arena = arena;
    model->config = config_create(arena);
    if (compile(model, spec, name, settings, count, diags) && bind(model, threads, diags)) return model;
    keep_errors(diags);
    sinter_close(model);
    return NULL;
}

SinterModel *sinter_open(const char *spec, const char *name, const char *const *settings, size_t count, int threads) {
    RETURN_WHEN_EXHAUSTED(NULL);
    SinterModel *model = open_model(spec, name, settings, count, threads);
    memory_guard_pop();
    return model;
}

void sinter_close(SinterModel *model) {
    if (!model) return;
    session_free(model->session);
    threads_free(model->threads);
    compiled_free(&model->compiled);
    arena_free(model->arena);
}

static float run(SinterModel *model, ModelProgram which, const int32_t *tokens, const int32_t *targets, double rate) {
    const Program *program = model->compiled.programs[which];
    size_t count = (size_t)(config_int(model->config, "batch_size") * config_int(model->config, "block_size"));
    RunInputs inputs = run_inputs_find(model->session, program, (int64_t)count);
    if (inputs.tokens) memcpy(inputs.tokens, tokens, count * sizeof *tokens);
    if (inputs.targets) memcpy(inputs.targets, targets, count * sizeof *targets);
    uint64_t seed = (uint64_t)config_int(model->config, "seed");
    run_inputs_set(&inputs, (RunNumbers){.step = model->steps, .seed = seed, .learning_rate = rate});
    session_run(model->session, program);
    const float *loss = session_slot_data(model->session, program, SLOT_OUTPUT, "loss");
    return isfinite(*loss) ? *loss : NAN;
}

float sinter_step(SinterModel *model, const int32_t *tokens, const int32_t *targets, double learning_rate) {
    float loss = run(model, MODEL_STEP, tokens, targets, learning_rate);
    model->steps++;
    return loss;
}

float sinter_evaluate(SinterModel *model, const int32_t *tokens, const int32_t *targets) {
    return run(model, MODEL_EVAL, tokens, targets, 0);
}

float sinter_gradient_norm(const SinterModel *model) {
    const float *norm =
        session_slot_data(model->session, model->compiled.programs[MODEL_STEP], SLOT_OUTPUT, "grad_norm");
    return norm ? *norm : NAN;
}

static const ProgramSlot *parameter(const SinterModel *model, const char *name) {
    const ProgramSlot *slot = program_slot(model->compiled.programs[MODEL_STEP], SLOT_STATE, name);
    return slot && slot->is_param ? slot : NULL;
}

size_t sinter_parameter_size(const SinterModel *model, const char *name) {
    const ProgramSlot *slot = parameter(model, name);
    return slot ? (size_t)slot_elements(slot) : 0;
}

// The slot of `count` elements, or NULL with an error.
static const ProgramSlot *find_parameter(const SinterModel *model, const char *name, size_t count) {
    const ProgramSlot *slot = parameter(model, name);
    if (slot && (size_t)slot_elements(slot) == count) return slot;
    Arena *arena = arena_create();
    Diags *diags = diags_create(arena);
    if (slot)
        diag_error(diags, (Place){0}, "parameter '%s' has %zu elements, not %zu", name, (size_t)slot_elements(slot),
                   count);
    else
        diag_error(diags, (Place){0}, "no parameter '%s'", name);
    keep_errors(diags);
    arena_free(arena);
    return NULL;
}

int sinter_read_parameter(const SinterModel *model, const char *name, float *values, size_t count) {
    RETURN_WHEN_EXHAUSTED(EXIT_MEMORY);
    const ProgramSlot *slot = find_parameter(model, name, count);
    Arena *scratch = arena_create();
    Diags *diags = diags_create(scratch);
    int status = EXIT_BAD_FILE;
    if (slot) status = weights_get(model->session, slot, values, scratch, diags);
    if (slot && status != EXIT_DONE) keep_errors(diags);
    arena_free(scratch);
    memory_guard_pop();
    return status;
}

int sinter_write_parameter(SinterModel *model, const char *name, const float *values, size_t count) {
    RETURN_WHEN_EXHAUSTED(EXIT_MEMORY);
    const ProgramSlot *slot = find_parameter(model, name, count);
    Arena *scratch = arena_create();
    Diags *diags = diags_create(scratch);
    int status = EXIT_BAD_FILE;
    if (slot) status = weights_set(model->session, model->compiled.programs[MODEL_STEP], slot, values, scratch, diags);
    if (slot && status != EXIT_DONE) keep_errors(diags);
    arena_free(scratch);
    memory_guard_pop();
    return status;
}

int sinter_save(const SinterModel *model, const char *path) {
    RETURN_WHEN_EXHAUSTED(EXIT_MEMORY);
    Arena *arena = arena_create();
    Diags *diags = diags_create(arena);
    RuntimeStatus status =
        weights_save(model->session, model->compiled.programs[MODEL_STEP], path, NULL, 0, diags);
    if (status != RUNTIME_OK) keep_errors(diags);
    arena_free(arena);
    memory_guard_pop();
    return status;
}

int sinter_load(SinterModel *model, const char *path) {
    RETURN_WHEN_EXHAUSTED(EXIT_MEMORY);
    Arena *arena = arena_create();
    Diags *diags = diags_create(arena);
    TensorFile *file = NULL;
    RuntimeStatus status = tensor_file_open(arena, path, &file, diags);
    if (status == RUNTIME_OK) status = weights_load(model->session, model->compiled.programs[MODEL_STEP], file, diags);
    tensor_file_close(file);
    if (status != RUNTIME_OK) keep_errors(diags);
    arena_free(arena);
    memory_guard_pop();
    return status;
}
