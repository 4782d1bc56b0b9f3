// Which variants a command line asks for.
//
//     --levels=op,all --sweep=batch_size:12,24    ->    batch_size=12 op, batch_size=12 all, batch_size=24 op, ...
//     --ablate                                    ->    all without band of softmax, ..., only band of softmax, ...
#include <string.h>

#include "base/file.h"
#include "driver/bench/bench.h"

enum { LARGEST_CHOICES = 4 << 20 };

Variant *bench_add(Arena *arena, Bench *bench, Variant variant) {
    size_t capacity = bench->variant_count; // exactly what is there: lists are short
    bench->variants = arena_grow(arena, bench->variants, &capacity, bench->variant_count + 1, sizeof *bench->variants);
    Variant *added = &bench->variants[bench->variant_count++];
    *added = variant;
    if (!added->choices) added->choices = "";
    return added;
}

// ---- configurations

static bool is_about_files(const char *key) {
    static const char *const keys[] = {"out_dir", "metrics", "grads_out", "time",    "full",
                                       "model",   "fuse",    "compile",   "choices", "choices_out"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (text_equal(keys[i], key)) return true;
    return false;
}

// A config with the keys of train and of the spec, at their defaults.
static Config *empty_config(Command *command) {
    Config *config = config_create(command->arena);
    declare_train_keys(config);
    return spec_declare(command->spec, config, command->diags) ? config : NULL;
}

const char *bench_config_text(Command *command) {
    Text text = text_create(command->arena);
    const Config *known = empty_config(command);
    for (size_t i = 0; known && i < config_count(known); i++) {
        const char *name = config_at(known, i)->name;
        const ConfigKey *key = config_find(command->config, name);
        if (!key || is_about_files(name) || (key->ignored && !key->from_spec)) continue;
        text_append(&text, "%s = ", name);
        config_literal(&text, &key->value);
        text_append(&text, "\n");
    }
    return text_string(&text);
}

Config *bench_config(Command *command, const Variant *variant) {
    Config *config = empty_config(command);
    if (!config || !config_read(config, "bench", bench_config_text(command), NULL, command->diags)) return NULL;
    if (!variant->key) return config;
    Place place = {.file = "--sweep"};
    return config_assign(config, variant->key, variant->value, place, command->diags) ? config : NULL;
}

// ---- lists

// The pieces of `text` between commas.
static const char **split(Arena *arena, const char *text, size_t *count) {
    const char **pieces = ARENA_ARRAY(arena, const char *, strlen(text) + 1);
    *count = 0;
    for (const char *at = text; *text;) {
        size_t length = strcspn(at, ",");
        pieces[(*count)++] = arena_copy_range(arena, at, length);
        if (!at[length]) break;
        at += length + 1;
    }
    return pieces;
}

static int wrong(Command *command, const char *key, const char *message, const char *value) {
    diag_error(command->diags, config_find(command->config, key)->place, message, value);
    return EXIT_USAGE;
}

static int read_levels(Command *command, const char *text, FuseLevel *levels, size_t *count) {
    size_t names;
    const char **pieces = split(command->arena, text, &names);
    *count = 0;
    for (size_t i = 0; i < names; i++) {
        FuseLevel level;
        if (!fuse_from_name(pieces[i], &level))
            return wrong(command, "levels", "levels: '%s' is none of: none, op, all", pieces[i]);
        for (size_t k = 0; k < *count; k++)
            if (levels[k] == level) return wrong(command, "levels", "levels: '%s' is there twice", pieces[i]);
        levels[(*count)++] = level;
    }
    return *count ? EXIT_DONE : wrong(command, "levels", "levels: none is named in '%s'", text);
}

typedef struct {
    const char *key; // NULL: no sweep
    const char **values;
    size_t count;
} Sweep;

// Keys that are one for the whole process, or that are variants by other means.
static bool cannot_sweep(const char *key) {
    static const char *const keys[] = {"threads",   "device",  "dtype",    "init_from",
                                       "train_bin", "val_bin", "data_dir", "dataset"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (text_equal(keys[i], key)) return true;
    return is_about_files(key);
}

static int read_sweep(Command *command, Sweep *sweep) {
    const char *text = config_string(command->config, "sweep"), *colon = strchr(text, ':');
    *sweep = (Sweep){0};
    if (!*text) return EXIT_DONE;
    if (!colon || colon == text || !colon[1])
        return wrong(command, "sweep", "sweep '%s': a key and its values are needed, as in batch_size:12,24,48", text);
    sweep->key = arena_copy_range(command->arena, text, (size_t)(colon - text));
    sweep->values = split(command->arena, colon + 1, &sweep->count);
    if (cannot_sweep(sweep->key))
        return wrong(command, "sweep", "sweep: '%s' is one for all variants of a bench; run one bench for each value",
                     sweep->key);
    return EXIT_DONE;
}

typedef struct {
    FuseLevel levels[3];
    size_t level_count;
    Sweep sweep;
    const bool *are_gpus;
    int device_count;
} Asked;

// "all", "cuda all", "batch_size=24 cuda op"
static const char *variant_name(Arena *arena, const Asked *asked, size_t value, int device, size_t level) {
    Text name = text_create(arena);
    if (asked->sweep.key) text_append(&name, "%s=%s", asked->sweep.key, asked->sweep.values[value]);
    if (asked->device_count > 1)
        text_append(&name, "%s%s", name.length ? " " : "", asked->are_gpus[device] ? "cuda" : "cpu");
    if (!asked->sweep.key || asked->level_count > 1)
        text_append(&name, "%s%s", name.length ? " " : "", fuse_name(asked->levels[level]));
    return text_string(&name);
}

static void add_levels(Arena *arena, Bench *bench, const Asked *asked) {
    const Sweep *sweep = &asked->sweep;
    for (size_t s = 0; s < (sweep->key ? sweep->count : 1); s++)
        for (int d = 0; d < asked->device_count; d++)
            for (size_t i = 0; i < asked->level_count; i++)
                bench_add(arena, bench,
                          (Variant){.role = ROLE_LEVEL,
                                    .fuse = asked->levels[i],
                                    .on_gpu = asked->are_gpus[d],
                                    .name = variant_name(arena, asked, s, d, i),
                                    .key = sweep->key,
                                    .value = sweep->key ? sweep->values[s] : NULL,
                                    .choices = asked->levels[i] == FUSE_ALL ? bench->choices : NULL});
}

// The text of --choices: it steers level all, and all rows of an ablation.
static int read_choices(Command *command, Bench *bench) {
    const char *path = config_string(command->config, "choices");
    bench->choices = *path ? file_read_all(command->arena, path, LARGEST_CHOICES, NULL, command->diags) : "";
    return bench->choices ? EXIT_DONE : EXIT_BAD_FILE;
}

static int check_ablation(Command *command, const Asked *asked, const char *levels_text) {
    bool has_all = false;
    for (size_t i = 0; i < asked->level_count; i++)
        has_all |= asked->levels[i] == FUSE_ALL;
    if (asked->sweep.key)
        return wrong(command, "sweep", "sweep '%s' and --ablate: one at a time",
                     config_string(command->config, "sweep"));
    if (asked->device_count > 1)
        return wrong(command, "device", "device '%s' and --ablate: one device at a time",
                     config_string(command->config, "device"));
    if (has_all) return EXIT_DONE;
    return wrong(command, "levels", "levels '%s': --ablate leaves parts out of level all, which is missing",
                 levels_text);
}

int bench_variants(Command *command, const bool *are_gpus, int device_count, Bench *bench) {
    const Config *config = command->config;
    const char *levels_text = config_string(config, "levels");
    Asked asked = {.are_gpus = are_gpus, .device_count = device_count};
    bench->ablates = config_bool(config, "ablate");
    int status = read_choices(command, bench);
    if (status == EXIT_DONE) status = read_sweep(command, &asked.sweep);
    if (status != EXIT_DONE) return status;
    if (asked.sweep.key && !config_find(config, "levels")->assigned) levels_text = "all";
    if ((status = read_levels(command, levels_text, asked.levels, &asked.level_count)) != EXIT_DONE) return status;
    if (bench->ablates && (status = check_ablation(command, &asked, levels_text)) != EXIT_DONE) return status;
    add_levels(command->arena, bench, &asked);
    return EXIT_DONE;
}

// ---- ablation

// What leaves out every kind but one; `kept` beyond the list: every kind.
static const char *forbid_others(Arena *arena, const MadeKind *kinds, size_t count, size_t kept) {
    Text text = text_create(arena);
    for (size_t i = 0; i < count; i++)
        if (i != kept) text_append(&text, "%s\n", kinds[i].forbid);
    return text_string(&text);
}

static void add_part(Arena *arena, Bench *bench, VariantRole role, const char *kind, const char *choices) {
    if (bench->choices && *bench->choices) choices = arena_format(arena, "%s\n%s", bench->choices, choices);
    bench_add(arena, bench,
              (Variant){.role = role,
                        .fuse = FUSE_ALL,
                        .on_gpu = bench_main(bench)->on_gpu,
                        .name = arena_format(arena, "%s %s", role == ROLE_ONLY ? "only" : "all without", kind),
                        .kind = role == ROLE_BARE ? NULL : kind,
                        .choices = choices});
}

void bench_add_ablation(Arena *arena, Bench *bench, const MadeKind *kinds, size_t count) {
    for (size_t i = 0; i < count; i++)
        add_part(arena, bench, ROLE_WITHOUT, kinds[i].what, arena_format(arena, "%s\n", kinds[i].forbid));
    if (count < 2) return;
    add_part(arena, bench, ROLE_BARE, "any of these", forbid_others(arena, kinds, count, count));
    for (size_t i = 0; i < count; i++)
        add_part(arena, bench, ROLE_ONLY, kinds[i].what, forbid_others(arena, kinds, count, i));
}
