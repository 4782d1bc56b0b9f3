// Checkpoint metadata: see checkpoint.h.
#include "driver/checkpoint.h"

#include <string.h>

#include "base/hash.h"

// Keys that say where things are and how a run is watched: they may be others every time.
static const char *const passing_keys[] = {"out_dir",  "init_from", "threads", "time",      "metrics",      "grads_out",
                                           "choices",  "tune",      "full",    "tune_seconds", "quiet",     "eval_only",
                                           "model",    "device",    "compile", "cache",     "steps_per_launch",
                                           "dependent_launch", "merge_launches", "persistent"};
// Those that decide shapes and meaning besides the spec's own.
static const char *const shape_keys[] = {"block_size", "vocab_size"};
// What the plans depend on, too.
static const char *const plan_keys[] = {
    "fuse",  "gradient_accumulation_steps", "activation_budget", "grad_clip", "dtype",
    "tf32", "init_scale",                  "growth_interval"};

static bool is_among(const char *name, const char *const *names, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (text_equal(name, names[i])) return true;
    return false;
}
#define IS_AMONG(name, names) is_among(name, names, sizeof names / sizeof *names)

static bool is_model_key(const ConfigKey *key) {
    return key->from_spec || text_equal(key->name, "batch_size") || IS_AMONG(key->name, shape_keys);
}

// As in nanoGPT, what the model's shape depends on is not for the command line to change; dropout and the like are.
static bool is_fixed(const ConfigKey *key) {
    return IS_AMONG(key->name, shape_keys) || (key->from_spec && key->value.type != CONFIG_FLOAT);
}

static const char *config_text(Command *command, bool of_model) {
    Text text = text_create(command->arena);
    for (size_t i = 0; i < config_count(command->config); i++) {
        const ConfigKey *key = config_at(command->config, i);
        if (is_model_key(key) != of_model || key->ignored || IS_AMONG(key->name, passing_keys)) continue;
        text_append(&text, "%s = ", key->name);
        if (text_equal(key->name, "fuse")) // what came of it and of compile
            text_append(&text, "'%s'", fuse_name(configured_fuse(command->config)));
        else
            config_literal(&text, &key->value);
        text_append(&text, "\n");
    }
    return text_string(&text);
}

// The characters of the meta file beside the training tokens, as one UTF-8 text; NULL when there is none.
static const char *characters(Command *command) {
    const char *meta = vocabulary_find(command->arena, train_tokens_path(command));
    Vocabulary *vocabulary = NULL;
    int64_t size;
    Diags *ignored = diags_create(command->arena);  // a damaged meta was already reported by configure_vocabulary
    if (!meta || vocabulary_load(command->arena, meta, &vocabulary, &size, ignored) != RUNTIME_OK || !vocabulary)
        return NULL;
    Text text = text_create(command->arena);
    for (int32_t token = 0; token < vocabulary->size; token++) {
        if (vocabulary->characters[token] == 0) return NULL;  // cannot be said in a text that ends at NUL
        vocabulary_decode(vocabulary, token, &text);
    }
    return text_string(&text);
}

// ---- plans

const char *checkpoint_plan_hash(Arena *arena, const Plan *const plans[MODEL_PROGRAMS]) {
    Text text = text_create(arena);
    for (int program = MODEL_STEP; program <= MODEL_MICRO; program++)
        if (plans[program]) plan_print(plans[program], &text);
    return arena_format(arena, "%016llx", hash_bytes(text_string(&text), text.length));
}

// What was decided for each program is what the ledger got while it was compiled.
static const char *choices_text(Command *command, const CompiledModel *model, const Choices *given) {
    Text text = text_create(command->arena);
    if (given) choices_print(given, &text);
    size_t at = 0;
    for (int program = 0; program < MODEL_PROGRAMS; program++) {
        if (!model->plans[program]) continue;
        Ledger *own = ledger_create(command->arena);
        for (; at < model->ledger_ends[program]; at++)
            ledger_add(own, *ledger_at(model->ledger, at));
        choices_write(model->plans[program], own, model_program_name((ModelProgram)program), &text);
    }
    return text_string(&text);
}

// ---- writing

const TensorMetadata *checkpoint_metadata(Command *command, const CompiledModel *model, const Choices *given,
                                          size_t *count) {
    enum { MOST = 7 };
    TensorMetadata *metadata = ARENA_ARRAY(command->arena, TensorMetadata, MOST);
    const Plan *plans[MODEL_PROGRAMS];
    for (int program = 0; program < MODEL_PROGRAMS; program++)
        plans[program] = model->plans[program];
    *count = 0;
    metadata[(*count)++] = (TensorMetadata){"sinter.spec", command->spec_source};
    metadata[(*count)++] = (TensorMetadata){"sinter.spec_file", command->spec_file};
    metadata[(*count)++] = (TensorMetadata){"sinter.config", config_text(command, true)};
    metadata[(*count)++] = (TensorMetadata){"sinter.training", config_text(command, false)};
    metadata[(*count)++] = (TensorMetadata){"sinter.plan", checkpoint_plan_hash(command->arena, plans)};
    metadata[(*count)++] = (TensorMetadata){"sinter.choices", choices_text(command, model, given)};
    const char *text = characters(command);
    if (text) metadata[(*count)++] = (TensorMetadata){"sinter.characters", text};
    return metadata;
}

// ---- reading

static bool read_characters(Command *command, const char *text, Vocabulary **vocabulary) {
    size_t length = strlen(text);
    uint32_t *list = ARENA_ARRAY(command->arena, uint32_t, length + 1);
    int32_t count = 0;
    for (size_t at = 0; at < length;) {
        int bytes = utf8_read(text + at, length - at, &list[count]);
        if (bytes == 0) return false;
        at += (size_t)bytes;
        count++;
    }
    return vocabulary_create(command->arena, list, count, vocabulary);
}

// The spec, and the keys of `sinter.config`, into a config that has no spec yet.
static int read_spec(Command *command, const TensorFile *file, Config *config) {
    const char *path = tensor_file_path(file), *keys = tensor_file_metadata(file, "sinter.config");
    command->spec_source = tensor_file_metadata(file, "sinter.spec");
    command->spec_file = tensor_file_metadata(file, "sinter.spec_file");
    if (!command->spec_source || !keys) {
        diag_error(command->diags, (Place){0}, "%s: not written by sinter train (no %s in its metadata)", path,
                   !command->spec_source && !keys ? "model" : !keys ? "configuration" : "spec");
        return EXIT_BAD_FILE;
    }
    if (!command->spec_file) command->spec_file = path;
    command->spec = spec_parse(command->arena, command->spec_file, command->spec_source, command->diags);
    if (!command->spec || !spec_declare(command->spec, config, command->diags)) return EXIT_BAD_FILE;
    const char *name = arena_format(command->arena, "%s (sinter.config)", path);
    return config_read(config, name, keys, NULL, command->diags) ? EXIT_DONE : EXIT_BAD_FILE;
}

int checkpoint_read_model(Command *command, const TensorFile *file, Vocabulary **vocabulary) {
    int status = read_spec(command, file, command->config);
    if (status != EXIT_DONE) return status;
    const char *text = tensor_file_metadata(file, "sinter.characters");
    *vocabulary = NULL;
    if (text && !read_characters(command, text, vocabulary)) {
        diag_error(command->diags, (Place){0}, "%s: its list of characters is damaged", tensor_file_path(file));
        return EXIT_BAD_FILE;
    }
    int64_t words = config_int(command->config, "vocab_size");
    if (*vocabulary && (*vocabulary)->size > words) {
        diag_error(command->diags, (Place){0}, "%s: names %d characters, but its vocab_size is %lld",
                   tensor_file_path(file), (*vocabulary)->size, (long long)words);
        return EXIT_BAD_FILE;
    }
    return EXIT_DONE;
}

static const char *literal(Arena *arena, const ConfigValue *value) {
    Text text = text_create(arena);
    config_literal(&text, value);
    return text_string(&text);
}

// One key that the user assigned, over what the checkpoint says.
static bool take_user_key(Command *command, Config *config, const ConfigKey *user, bool *same_shapes) {
    const ConfigKey *key = config_find(config, user->name);
    const char *wanted = literal(command->arena, &user->value);
    if (!key) return diag_error(command->diags, user->place, "the checkpoint's model has no key '%s'", user->name);
    const char *stored = literal(command->arena, &key->value);
    bool differs = !text_equal(wanted, stored), is_passing = key->ignored || IS_AMONG(key->name, passing_keys);
    if (differs && is_fixed(key)) {
        fprintf(command->echo, "resume: %s = %s is the checkpoint's; %s is not taken\n", key->name, stored, wanted);
        return true;
    }
    if (differs && !is_passing)
        fprintf(command->echo, "resume: %s = %s, was %s\n", key->name, wanted, stored);
    if (differs && (is_model_key(key) || IS_AMONG(key->name, plan_keys))) *same_shapes = false;
    return config_assign(config, key->name, wanted, user->place, command->diags);
}

int checkpoint_read_training(Command *command, const TensorFile *file, bool *same_shapes) {
    const char *training = tensor_file_metadata(file, "sinter.training"), *path = tensor_file_path(file);
    Config *user = command->config, *config = config_create(command->arena);
    declare_train_keys(config);
    int status = read_spec(command, file, config);
    if (status != EXIT_DONE) return status;
    if (!training) {
        diag_error(command->diags, (Place){0}, "%s: not written by sinter train (no training in its metadata)", path);
        return EXIT_BAD_FILE;
    }
    const char *name = arena_format(command->arena, "%s (sinter.training)", path);
    if (!config_read(config, name, training, NULL, command->diags)) return EXIT_BAD_FILE;
    *same_shapes = true;
    for (size_t i = 0; i < config_count(user); i++) {
        const ConfigKey *key = config_at(user, i);
        if (key->assigned && !take_user_key(command, config, key, same_shapes)) return EXIT_USAGE;
    }
    bool operators = !config_bool(user, "compile") && !config_find(user, "fuse")->assigned;
    if (operators && !config_assign(config, "fuse", "op", (Place){0}, command->diags)) return EXIT_USAGE;
    command->config = config;
    return EXIT_DONE;
}
