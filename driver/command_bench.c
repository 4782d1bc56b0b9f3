// sinter bench: what each level of fusion, each decision, or each value of a key is worth on this machine.
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/file.h"
#include "base/hash.h"
#include "codegen/codegen.h"
#include "driver/bench/bench.h"
#include "driver/training.h"
#include "driver/tune/tune.h"
#include "runtime/input.h"

enum { HASHED_TOKENS = 16 << 20 };

// ---- files

// Whether the file can be made: found out before minutes of measuring, not after.
static int check_writable(Command *command, const char *path) {
    if (!*path) return EXIT_DONE;
    FileWriter *writer = file_writer_open(command->arena, path, command->diags);
    if (!writer) return EXIT_IO;
    file_writer_abandon(writer);
    return EXIT_DONE;
}

static int write_file(Command *command, const char *path, const char *text) {
    if (!*path) return EXIT_DONE;
    FileWriter *writer = file_writer_open(command->arena, path, command->diags);
    if (!writer) return EXIT_IO;
    bool written =
        file_writer_write(writer, text, strlen(text), command->diags) && file_writer_commit(writer, command->diags);
    if (!written)
        file_writer_abandon(writer);
    else
        printf("written: %s\n", path);
    return written ? EXIT_DONE : EXIT_IO;
}

// The training tokens' size and the hash of their first 16 MiB.
static int describe_tokens(Command *command, const char *path, Bench *bench) {
    int file;
    bench->tokens_path = path;
    RuntimeStatus status = input_open(path, &file, &bench->tokens_bytes, command->diags);
    if (status != RUNTIME_OK) return status;
    size_t length = bench->tokens_bytes < HASHED_TOKENS ? (size_t)bench->tokens_bytes : HASHED_TOKENS;
    char *bytes = memory_allocate(length ? length : 1);
    if (!file_read_at(file, path, bytes, length, 0, command->diags)) status = RUNTIME_IO;
    bench->tokens_hash = arena_format(command->arena, "%016llx", hash_bytes(bytes, length));
    memory_release(bytes);
    file_table.close(file);
    return status;
}

static void describe_program(Command *command, Bench *bench) {
    char when[40];
    time_t now = time(NULL);
    struct tm utc;
    strftime(when, sizeof when, "%Y-%m-%d %H:%M:%S UTC", gmtime_r(&now, &utc));
    bench->when = arena_copy(command->arena, when);
    bench->sinter = SINTER_VERSION;
    bench->llvm = codegen_llvm_version();
    bench->blas = blas_version(command->arena);
    bench->model = spec_name(command->spec);
    bench->spec_file = command->spec_file;
    bench->spec_source = command->spec_source;
    bench->config = bench_config_text(command);
}

// ---- running

static int check_counts(Command *command) {
    static const char *const keys[] = {"rounds", "steps"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        int64_t value = config_int(command->config, keys[i]);
        if (value >= 0 && value <= 1000000) continue;
        diag_error(command->diags, config_find(command->config, keys[i])->place,
                   "%s = %lld: 0 (chosen from --seconds) to 1000000", keys[i], (long long)value);
        return EXIT_USAGE;
    }
    double seconds = config_float(command->config, "seconds");
    if (seconds > 0) return EXIT_DONE;
    diag_error(command->diags, config_find(command->config, "seconds")->place, "seconds = %g: more than 0 is needed",
               seconds);
    return EXIT_USAGE;
}

static int write_results(Command *command, const Bench *bench) {
    const char *json = config_string(command->config, "json"), *page = config_string(command->config, "report");
    int status = write_file(command, json, *json ? bench_record(command->arena, bench) : "");
    if (status != EXIT_DONE || !*page) return status;
    Text text = text_create(command->arena);
    bench_report(bench, *json ? json : NULL, &text);
    return write_file(command, page, text_string(&text));
}

// --tune: level all with what it finds, beside the others, on each device.
static int add_tuned(const Command *of_all, bool on_gpu, const char *name, Bench *bench) {
    Command command = *of_all;
    const char *file, *choices;
    if (!on_gpu) command.gpu = NULL;
    Target target = command_target(&command);
    int status = training_check_numbers(&command);
    if (status == EXIT_DONE) status = tune_model(&command, &target, FUSE_ALL, &file, &choices);
    if (status == EXIT_DONE && choices)
        bench_add(command.arena, bench,
                  (Variant){
                      .name = name, .role = ROLE_LEVEL, .fuse = FUSE_ALL, .on_gpu = on_gpu, .choices = choices});
    return status;
}

static int tune_devices(Command *command, const bool *are_gpus, int device_count, Bench *bench) {
    int status = EXIT_DONE;
    if (text_equal(config_string(command->config, "tune"), "off")) return status;
    if (*config_string(command->config, "sweep")) {
        diag_error(command->diags, config_find(command->config, "tune")->place, "--tune and --sweep: one at a time");
        return EXIT_USAGE;
    }
    for (int d = 0; d < device_count && status == EXIT_DONE; d++) {
        const char *device = device_count == 1 ? "" : are_gpus[d] ? "cuda " : "cpu ";
        status = add_tuned(command, are_gpus[d], arena_format(command->arena, "%sall tuned", device), bench);
    }
    return status;
}

static int measure(Command *command, const bool *are_gpus, int device_count) {
    Bench bench = {.rounds = config_int(command->config, "rounds"),
                   .visit_steps = config_int(command->config, "steps"),
                   .budget_seconds = config_float(command->config, "seconds"),
                   .anew = config_bool(command->config, "anew")};
    int status = bench_variants(command, are_gpus, device_count, &bench);
    if (status == EXIT_DONE) status = configure_vocabulary(command);
    if (status == EXIT_DONE) status = describe_tokens(command, train_tokens_path(command), &bench);
    if (status == EXIT_DONE) status = tune_devices(command, are_gpus, device_count, &bench);
    if (status != EXIT_DONE) return status;
    describe_program(command, &bench);
    if ((status = bench_run(command, &bench, false)) != EXIT_DONE) return status;
    Text table = text_create(command->arena);
    bench_table(&bench, &table);
    printf("\n%s", text_string(&table));
    return write_results(command, &bench);
}

// ---- replaying

// A replay takes everything but its outputs from the record.
static int check_replay_keys(Command *command) {
    static const char *const allowed[] = {"replay", "json", "report"};
    for (size_t i = 0; i < config_count(command->config); i++) {
        const ConfigKey *key = config_at(command->config, i);
        bool fine = !key->assigned;
        for (size_t k = 0; k < sizeof allowed / sizeof *allowed; k++)
            fine |= text_equal(key->name, allowed[k]);
        if (fine) continue;
        diag_error(command->diags, key->place, "%s: --replay takes all but --json and --report from the record",
                   key->name);
        return EXIT_USAGE;
    }
    return EXIT_DONE;
}

// The model and config of the record in place of the command line's; the files to be written stay.
static int take_model(Command *command, const Bench *before) {
    Config *config = config_create(command->arena);
    declare_bench_keys(config);
    command->spec_file = before->spec_file;
    command->spec_source = before->spec_source;
    command->spec = spec_parse(command->arena, before->spec_file, before->spec_source, command->diags);
    if (!command->spec || !spec_declare(command->spec, config, command->diags)) return EXIT_BAD_FILE;
    const char *place = arena_format(command->arena, "%s (config)", config_string(command->config, "replay"));
    if (!config_read(config, place, before->config, NULL, command->diags)) return EXIT_BAD_FILE;
    static const char *const outputs[] = {"json", "report"};
    for (size_t i = 0; i < sizeof outputs / sizeof *outputs; i++) {
        Text literal = text_create(command->arena);
        config_literal(&literal, &config_find(command->config, outputs[i])->value);
        config_assign(config, outputs[i], text_string(&literal), (Place){0}, command->diags);
    }
    command->config = config;
    return EXIT_DONE;
}

// Those of the record; the config may say `auto`.
static int open_devices(Command *command, const Bench *before) {
    bool on_gpu = false, on_processor = false;
    for (size_t i = 0; i < before->variant_count; i++) {
        on_gpu |= before->variants[i].on_gpu;
        on_processor |= !before->variants[i].on_gpu;
    }
    bool are_gpus[MOST_DEVICES];
    int count;
    config_assign(command->config, "device", on_gpu && on_processor ? "'cpu,cuda'" : on_gpu ? "'cuda'" : "'cpu'",
                  (Place){0}, command->diags);
    return check_devices(command, are_gpus, &count);
}

static int check_tokens(Command *command, const Bench *before, Bench *now) {
    int status = describe_tokens(command, before->tokens_path, now);
    if (status != EXIT_DONE) return status;
    if (now->tokens_bytes == before->tokens_bytes && text_equal(now->tokens_hash, before->tokens_hash))
        return EXIT_DONE;
    diag_error(command->diags, (Place){0},
               "%s: not the tokens of the record: %lld bytes with hash %s, there %lld with %s", before->tokens_path,
               (long long)now->tokens_bytes, now->tokens_hash, (long long)before->tokens_bytes, before->tokens_hash);
    return EXIT_BAD_FILE;
}

static void take_variants(Arena *arena, const Bench *before, Bench *now) {
    for (size_t i = 0; i < before->variant_count; i++) {
        const Variant *variant = &before->variants[i];
        bench_add(arena, now,
                  (Variant){.name = variant->name,
                            .role = variant->role,
                            .fuse = variant->fuse,
                            .on_gpu = variant->on_gpu,
                            .key = variant->key,
                            .value = variant->value,
                            .kind = variant->kind,
                            .choices = variant->choices});
    }
}

static int replay(Command *command, const char *path) {
    Bench before;
    int status = check_replay_keys(command);
    if (status == EXIT_DONE) status = bench_read(command, path, &before);
    if (status == EXIT_DONE) status = take_model(command, &before);
    if (status == EXIT_DONE) status = open_devices(command, &before);
    if (status != EXIT_DONE) return status;
    Bench now = {.rounds = before.rounds,
                 .visit_steps = before.visit_steps,
                 .warmup_steps = before.warmup_steps,
                 .ablates = before.ablates,
                 .resident = before.resident};
    if ((status = check_tokens(command, &before, &now)) != EXIT_DONE) return status;
    take_variants(command->arena, &before, &now);
    describe_program(command, &now);
    if ((status = bench_run(command, &now, true)) != EXIT_DONE) return status;
    Text table = text_create(command->arena);
    bench_table(&now, &table);
    text_append(&table, "\nreplay of %s, made %s\n\n", path, before.when);
    bool equal = bench_replay_table(&before, &now, &table);
    printf("\n%s", text_string(&table));
    status = write_results(command, &now);
    return status == EXIT_DONE && !equal ? 1 : status;
}

int command_bench(Command *command) {
    const char *record = config_string(command->config, "replay");
    bool are_gpus[MOST_DEVICES];
    int device_count = 0;
    int status = *record ? EXIT_DONE : check_devices(command, are_gpus, &device_count);
    if (status == EXIT_DONE) status = check_counts(command);
    if (status == EXIT_DONE) status = check_writable(command, config_string(command->config, "json"));
    if (status == EXIT_DONE) status = check_writable(command, config_string(command->config, "report"));
    if (status != EXIT_DONE) return status;
    return *record ? replay(command, record) : measure(command, are_gpus, device_count);
}
