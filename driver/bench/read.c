// A record of a bench read back: see record.c for its form. Anything missing or odd is the file's fault.
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "driver/bench/bench.h"
#include "driver/bench/json.h"
#include "runtime/json_text.h"

enum { LARGEST_RECORD = 256 << 20, MOST_VARIANTS = 1000, MOST_TIMES = 1 << 20 };

typedef struct {
    Command *command;
    const char *path;
    bool sound; // nothing has been complained of
} Reader;

static void complain(Reader *reader, const char *what) {
    if (reader->sound)
        diag_error(reader->command->diags, (Place){0}, "%s: not a record of sinter bench: %s", reader->path, what);
    reader->sound = false;
}

static const json_t *member(Reader *reader, const json_t *object, const char *key) {
    const json_t *value = json_object_get(object, key);
    if (!value) complain(reader, arena_format(reader->command->arena, "'%s' is missing", key));
    return value;
}

static const char *read_text(Reader *reader, const json_t *object, const char *key) {
    const json_t *value = member(reader, object, key);
    if (value && json_is_null(value)) return NULL;
    if (value && !json_is_string(value)) complain(reader, arena_format(reader->command->arena, "'%s' is no text", key));
    return value && json_is_string(value) ? arena_copy(reader->command->arena, json_string_value(value)) : "";
}

// A text that must be there.
static const char *read_word(Reader *reader, const json_t *object, const char *key) {
    const char *text = read_text(reader, object, key);
    if (!text) complain(reader, arena_format(reader->command->arena, "'%s' is null", key));
    return text ? text : "";
}

static double read_number(Reader *reader, const json_t *object, const char *key) {
    const json_t *value = member(reader, object, key);
    if (value && !json_is_number(value) && !json_is_null(value))
        complain(reader, arena_format(reader->command->arena, "'%s' is no number", key));
    return value && json_is_number(value) ? json_number_value(value) : 0;
}

static int64_t read_count(Reader *reader, const json_t *object, const char *key, int64_t least, int64_t most) {
    const json_t *value = member(reader, object, key);
    int64_t count = value && json_is_integer(value) ? (int64_t)json_integer_value(value) : least - 1;
    if (value && (count < least || count > most))
        complain(reader, arena_format(reader->command->arena, "'%s' is no count from %lld to %lld", key,
                                      (long long)least, (long long)most));
    return count;
}

static bool read_truth(Reader *reader, const json_t *object, const char *key) {
    const json_t *value = member(reader, object, key);
    if (value && !json_is_boolean(value))
        complain(reader, arena_format(reader->command->arena, "'%s' is no boolean", key));
    return value && json_is_true(value);
}

static void read_numbers(Reader *reader, const json_t *array, const char *key, double *values, size_t count,
                         double scale) {
    if (!json_is_array(array) || json_array_size(array) != count) {
        complain(reader, arena_format(reader->command->arena, "'%s' is no list of %zu numbers", key, count));
        return;
    }
    for (size_t i = 0; i < count; i++) {
        const json_t *value = json_array_get(array, i);
        if (!json_is_number(value)) complain(reader, arena_format(reader->command->arena, "'%s' holds no number", key));
        values[i] = scale * json_number_value(value);
    }
}

// ---- parts

static void read_machine(Reader *reader, const json_t *object, Machine *machine) {
    const char *cpu = read_word(reader, object, "cpu");
    memcpy(machine->cpu, cpu, strnlen(cpu, sizeof machine->cpu - 1));
    machine->cores = (int)read_count(reader, object, "cores", 0, 1 << 20);
    machine->threads = (int)read_count(reader, object, "threads", 1, 1 << 20);
    machine->vector_bytes = (int)read_count(reader, object, "vector_bytes", 0, 1 << 20);
    machine->l1_bytes = read_number(reader, object, "l1_bytes");
    machine->l2_bytes = read_number(reader, object, "l2_bytes");
    machine->l3_bytes = read_number(reader, object, "l3_bytes");
    machine->peak_flops = read_number(reader, object, "peak_flops");
    machine->read_bandwidth = read_number(reader, object, "read_bandwidth");
    machine->triad_bandwidth = read_number(reader, object, "triad_bandwidth");
    if (!json_object_get(object, "gpu")) return;
    machine->gpu = read_word(reader, object, "gpu");
    machine->gpu_kind = read_word(reader, object, "gpu_kind");
    machine->gpu_flops = read_number(reader, object, "gpu_flops");
    machine->gpu_bandwidth = read_number(reader, object, "gpu_bandwidth");
}

static VariantRole read_role(Reader *reader, const json_t *object) {
    const char *name = read_word(reader, object, "role");
    for (int role = ROLE_LEVEL; role <= ROLE_BARE; role++)
        if (text_equal(bench_role_name((VariantRole)role), name)) return (VariantRole)role;
    complain(reader, arena_format(reader->command->arena, "no role '%s'", name));
    return ROLE_LEVEL;
}

static void read_times(Reader *reader, const json_t *object, const Bench *bench, Variant *variant) {
    Arena *arena = reader->command->arena;
    size_t rounds = (size_t)bench->rounds, steps = (size_t)bench->visit_steps;
    const json_t *list = member(reader, object, "ns"), *losses = member(reader, object, "losses");
    // What the file promises is believed only as far as it is there.
    bool fits = json_array_size(list) == rounds && json_array_size(losses) == rounds;
    for (size_t round = 0; round < rounds && fits; round++)
        fits = json_array_size(json_array_get(list, round)) == steps;
    if (!fits)
        complain(reader, arena_format(arena, "'ns' or 'losses' is no list of %zu rounds of %zu steps", rounds, steps));
    if (!reader->sound) return;
    variant->seconds = arena_alloc_array(arena, rounds, steps * sizeof(double));
    variant->visits = ARENA_ARRAY(arena, double, rounds);
    variant->losses = ARENA_ARRAY(arena, double, rounds);
    read_numbers(reader, losses, "losses", variant->losses, rounds, 1);
    const json_t *paired = json_object_get(object, "paired_seconds");
    if (paired) {
        variant->paired = ARENA_ARRAY(arena, double, rounds);
        read_numbers(reader, paired, "paired_seconds", variant->paired, rounds, 1);
    }
    for (size_t round = 0; round < rounds && reader->sound; round++) {
        double *seconds = variant->seconds + round * steps;
        read_numbers(reader, json_array_get(list, round), "ns", seconds, steps, 1e-9);
        variant->visits[round] = bench_visit_seconds(variant, seconds, steps);
    }
    variant->time = estimate_median(variant->visits, rounds);
}

static void read_variant(Reader *reader, const json_t *object, Bench *bench) {
    Variant variant = {
        .name = read_word(reader, object, "name"),
        .role = read_role(reader, object),
        .key = read_text(reader, object, "key"),
        .value = read_text(reader, object, "value"),
        .kind = read_text(reader, object, "kind"),
        .choices = read_word(reader, object, "choices"),
        .tokens = read_count(reader, object, "tokens", 1, INT64_MAX),
        .parameters = read_number(reader, object, "parameters"),
        .formula_flops = read_number(reader, object, "formula_flops"),
    };
    const char *level = read_word(reader, object, "level");
    if (json_object_get(object, "device")) variant.on_gpu = text_equal(read_word(reader, object, "device"), "cuda");
    if (reader->sound && !fuse_from_name(level, &variant.fuse))
        complain(reader, arena_format(reader->command->arena, "no level '%s'", level));
    if (reader->sound && !variant.key != !variant.value) complain(reader, "a key without a value");
    if (reader->sound) read_times(reader, object, bench, &variant);
    bench_add(reader->command->arena, bench, variant);
}

static void read_bench(Reader *reader, const json_t *object, Bench *bench) {
    const json_t *versions = member(reader, object, "versions"), *tokens = member(reader, object, "tokens");
    const json_t *variants = member(reader, object, "variants");
    if (!reader->sound) return;
    bench->when = read_word(reader, object, "when");
    bench->sinter = read_word(reader, versions, "sinter");
    bench->llvm = read_word(reader, versions, "llvm");
    bench->blas = read_word(reader, versions, "blas");
    read_machine(reader, member(reader, object, "machine"), &bench->machine);
    bench->model = read_word(reader, object, "model");
    bench->spec_file = read_word(reader, object, "spec_file");
    bench->spec_source = read_word(reader, object, "spec");
    bench->config = read_word(reader, object, "config");
    bench->tokens_path = read_word(reader, tokens, "path");
    bench->tokens_hash = read_word(reader, tokens, "hash");
    bench->tokens_bytes = read_count(reader, tokens, "bytes", 0, INT64_MAX);
    bench->ablates = read_truth(reader, object, "ablation");
    bench->resident = read_truth(reader, object, "resident");
    bench->rounds = read_count(reader, object, "rounds", 1, MOST_TIMES);
    bench->visit_steps = read_count(reader, object, "steps", 1, MOST_TIMES);
    bench->processor_share = read_number(reader, object, "processor_share");
    bench->warmup_steps = read_count(reader, object, "warmup", 0, MOST_TIMES);
    if (!json_is_array(variants) || json_array_size(variants) < 1 || json_array_size(variants) > MOST_VARIANTS)
        complain(reader, "'variants' is no list of variants");
    for (size_t i = 0; reader->sound && i < json_array_size(variants); i++)
        read_variant(reader, json_array_get(variants, i), bench);
}

int bench_read(Command *command, const char *path, Bench *bench) {
    size_t length;
    const char *source = file_read_all(command->arena, path, LARGEST_RECORD, &length, command->diags);
    if (!source) return EXIT_BAD_FILE;
    *bench = (Bench){0};
    Reader reader = {command, path, true};
    json_error_t error;
    JsonText text;
    if (!json_text_read(&text, source, length, JSON_REJECT_DUPLICATES, &error)) {
        complain(&reader, arena_format(command->arena, "line %d: %s", error.line, error.text));
        return EXIT_BAD_FILE;
    }
    const json_t *format = json_object_get(text.root, "format"), *version = json_object_get(text.root, "version");
    if (!json_is_string(format) || !text_equal(json_string_value(format), BENCH_FORMAT))
        complain(&reader, "its format is not \"" BENCH_FORMAT "\"");
    else if (json_integer_value(version) != BENCH_FORMAT_VERSION)
        complain(&reader, arena_format(command->arena, "version %lld; this program reads version %d",
                                       (long long)json_integer_value(version), BENCH_FORMAT_VERSION));
    if (reader.sound) read_bench(&reader, text.root, bench);
    json_text_free(&text);
    return reader.sound ? EXIT_DONE : EXIT_BAD_FILE;
}
