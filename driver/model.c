// What the commands that run a model share: vocabulary, device, threads, target, tokens.
#include <stdlib.h>
#include <string.h>

#include "codegen/codegen.h"
#include "driver/command.h"
#include "driver/gpu.h"
#include "runtime/probe.h"
#include "runtime/threads.h"
#include "runtime/vocabulary.h"

FuseLevel configured_fuse(const Config *config) {
    FuseLevel level = FUSE_ALL;
    if (!config_bool(config, "compile")) level = FUSE_OP;
    if (config_find(config, "fuse")->assigned) fuse_from_name(config_string(config, "fuse"), &level);
    return level;
}

bool configured_budget(const Config *config, Diags *diags, size_t *bytes) {
    const ConfigKey *key = config_find(config, "activation_budget");
    *bytes = 0;
    if (!key) return true;
    const char *text = key->value.string, *unit;
    char *end;
    double number = strtod(text, &end);
    static const char units[] = "KMGT";
    unit = *end ? strchr(units, *end) : NULL;
    for (int i = 0; unit && i <= unit - units; i++) number *= 1000;
    bool is_number = *text >= '0' && *text <= '9' && (unit ? !end[1] : !*end);
    if (!is_number || !(number >= 0 && number <= 9e18))
        return diag_error(diags, key->place,
                          "activation_budget = %s: bytes, as 500000000, 500M or 1.5G; 0 for no limit", text);
    *bytes = (size_t)number;
    return true;
}

static const char *tokens_path(const Command *command, const char *key, const char *file) {
    const char *given = config_string(command->config, key);
    if (*given) return given;
    return arena_format(command->arena, "%s/%s/%s", config_string(command->config, "data_dir"),
                        config_string(command->config, "dataset"), file);
}

const char *train_tokens_path(const Command *command) { return tokens_path(command, "train_bin", "train.bin"); }
const char *validation_tokens_path(const Command *command) { return tokens_path(command, "val_bin", "val.bin"); }

int configure_vocabulary(Command *command) {
    if (config_find(command->config, "vocab_size")->assigned) return EXIT_DONE;
    const char *meta = vocabulary_find(command->arena, train_tokens_path(command));
    if (!meta) return EXIT_DONE;
    Vocabulary *vocabulary;
    int64_t size;
    RuntimeStatus status = vocabulary_load(command->arena, meta, &vocabulary, &size, command->diags);
    if (status != RUNTIME_OK) return status;
    fprintf(command->echo, "found vocab_size = %lld (inside %s)\n", (long long)size, meta);
    const char *literal = arena_format(command->arena, "%lld", (long long)size);
    Place place = {.file = meta};
    return config_assign(command->config, "vocab_size", literal, place, command->diags) ? EXIT_DONE : EXIT_BAD_FILE;
}

int configured_threads(const Config *config) {
    int64_t threads = config_int(config, "threads");
    return threads > 0 ? (int)threads : threads_default_count();
}

Target probed_target(void) {
    Target target = target_default();
    ProbeResult probe;
    probe_describe(&probe);
    target.cores = probe.cores;
    target.vector_bytes = probe.vector_bytes;
    target.vector_registers = probe.vector_registers;
    target.l1_bytes = probe.l1_bytes;
    target.l2_bytes = probe.l2_bytes;
    target.l3_bytes = probe.l3_bytes;
    return target;
}

Target command_target(const Command *command) {
    return command->gpu ? gpu_target(command->gpu) : probed_target();
}

Cache *configured_cache(Command *command) {
    enum { LIMIT = 512 << 20 };
    const char *home = config_bool(command->config, "cache") ? cache_home(command->arena) : NULL;
    return home ? cache_open(command->arena, arena_format(command->arena, "%s/code", home), LIMIT, command->diags)
                : NULL;
}

// OpenBLAS takes only names that it knows, and then calls itself so.
const char *blas_forced(Arena *arena) {
    const char *core = getenv("OPENBLAS_CORETYPE");
    if (!core || !*core || !strcasestr(codegen_blas_version(), core)) return NULL;
    return arena_format(arena, "forced by OPENBLAS_CORETYPE=%s", core);
}

const char *blas_version(Arena *arena) {
    const char *forced = blas_forced(arena);
    return forced ? arena_format(arena, "%s, %s", codegen_blas_version(), forced) : codegen_blas_version();
}

static int choose_device(Command *command, const char *device) {
    Place place = config_find(command->config, "device")->place;
    bool is_open = text_equal(device, "auto"), is_gpu = text_equal(device, "cuda");
    const char *why;
    if (text_equal(device, "cpu")) return EXIT_DONE;
    if (!is_open && !is_gpu) {
        diag_error(command->diags, place, "device '%s': cpu, cuda or auto", device);
        return EXIT_USAGE;
    }
    command->gpu = gpu_open(command->arena, &why);
    if (command->gpu) return EXIT_DONE;
    if (is_open) {
        fprintf(command->echo, "device: cpu (%s)\n", why);
        return EXIT_DONE;
    }
    diag_error(command->diags, place, "device 'cuda': %s", why);
    return EXIT_USAGE;
}

// What is missing for a dtype; NULL: nothing.
static const char *dtype_refusal(const char *dtype, bool is_gpu) {
    if (text_equal(dtype, "float32")) return NULL;
    if (text_equal(dtype, "bfloat16") || text_equal(dtype, "float16"))
        return is_gpu ? NULL : "products are rounded to it on GPUs (--device=cuda); a processor computes in float32";
    return "float32, or on a GPU bfloat16 or float16";
}

// Of a config that has them: sampling takes no gradients.
static bool check_scale(Command *command) {
    const ConfigKey *scale = config_find(command->config, "init_scale");
    const ConfigKey *interval = config_find(command->config, "growth_interval");
    const double largest = 0x1p126;
    if (scale && !(scale->value.number >= 1 && scale->value.number <= largest))
        return diag_error(command->diags, scale->place, "init_scale = %g: 1 to 2^126", scale->value.number);
    return !interval || (interval->value.integer >= 1 && interval->value.integer <= 1 << 24) ||
           diag_error(command->diags, interval->place, "growth_interval = %lld: 1 to 2^24",
                      (long long)interval->value.integer);
}

bool check_dtype(Command *command, bool is_gpu) {
    const char *dtype = config_string(command->config, "dtype"), *why = dtype_refusal(dtype, is_gpu);
    if (!why) return check_scale(command);
    return diag_error(command->diags, config_find(command->config, "dtype")->place, "dtype '%s': %s", dtype, why);
}

static int check_numbers(Command *command) {
    Diags *diags = command->diags;
    if (!check_dtype(command, command->gpu != NULL)) return EXIT_USAGE;
    int64_t threads = config_int(command->config, "threads");
    if (threads < 0 || threads > THREADS_MAX) {
        diag_error(diags, config_find(command->config, "threads")->place, "threads = %lld: 0 (one for each core) to %d",
                   (long long)threads, THREADS_MAX);
        return EXIT_USAGE;
    }
    return EXIT_DONE;
}

int check_device(Command *command) {
    int status = choose_device(command, config_string(command->config, "device"));
    return status == EXIT_DONE ? check_numbers(command) : status;
}

static int refuse_list(Command *command, const char *list) {
    diag_error(command->diags, config_find(command->config, "device")->place,
               "device '%s': cpu, cuda, auto, or both as cpu,cuda", list);
    return EXIT_USAGE;
}

int check_devices(Command *command, bool are_gpus[MOST_DEVICES], int *count) {
    const char *list = config_string(command->config, "device"), *comma = strchr(list, ',');
    *count = 1;
    if (!comma) {
        int status = check_device(command);
        are_gpus[0] = command->gpu != NULL;
        return status;
    }
    *count = MOST_DEVICES;
    are_gpus[0] = text_equal(list, "cuda,cpu");
    are_gpus[1] = text_equal(list, "cpu,cuda");
    if (are_gpus[0] == are_gpus[1]) return refuse_list(command, list);
    int status = choose_device(command, "cuda");
    return status == EXIT_DONE ? check_numbers(command) : status;
}
