// A bench as JSON: all that a replay needs, and all numbers that were measured.
//
//     {"format": "sinter bench", "version": 1, "machine": {...}, "config": "batch_size = 12\n...", "rounds": 25,
//      "variants": [{"name": "all", "level": "all", "choices": "", "ns": [[9931201, ...], ...], "losses": [...]}]}
//
// Times are integers of nanoseconds, losses doubles with 17 digits: both come back exactly.
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "driver/bench/bench.h"
#include "driver/bench/json.h"

static const char *const role_names[] = {"level", "without", "only", "bare"};

const char *bench_role_name(VariantRole role) {
    return role_names[role];
}

// JSON has no infinities: null.
static json_t *real(double value) {
    return isfinite(value) ? json_real(value) : json_null();
}

static json_t *text(const char *value) {
    return value ? json_string(value) : json_null();
}

static json_t *reals(const double *values, size_t count) {
    json_t *array = json_array();
    for (size_t i = 0; i < count; i++)
        json_array_append_new(array, real(values[i]));
    return array;
}

static json_t *nanoseconds(double seconds) {
    return json_integer((json_int_t)llround(1e9 * seconds));
}

static json_t *rounds_of_times(const Bench *bench, const Variant *variant) {
    json_t *rounds = json_array();
    for (int64_t round = 0; round < bench->rounds; round++) {
        json_t *steps = json_array();
        for (int64_t step = 0; step < bench->visit_steps; step++)
            json_array_append_new(steps, nanoseconds(variant->seconds[round * bench->visit_steps + step]));
        json_array_append_new(rounds, steps);
    }
    return rounds;
}

static json_t *estimate(Estimate of) {
    return json_pack("{s:o, s:o, s:o}", "median", real(of.median), "low", real(of.low), "high", real(of.high));
}

static json_t *worst(const WorstError *of) {
    return json_pack("{s:o, s:o}", "error", real(of->error), "tensor", text(of->name));
}

static json_t *boxes(const Variant *variant) {
    json_t *array = json_array();
    for (size_t i = 0; i < variant->box_count; i++) {
        const BoxFigure *box = &variant->boxes[i];
        json_array_append_new(array,
                              json_pack("{s:s, s:s, s:s, s:i, s:o, s:o, s:o}", "form", box->form, "label", box->label,
                                        "place", box->place, "count", (int)box->count, "flops", real(box->flops),
                                        "bytes", real(box->bytes), "seconds", real(box->seconds)));
    }
    return array;
}

static void set(json_t *object, const char *key, json_t *value) {
    json_object_set_new(object, key, value);
}

static json_t *variant_json(const Bench *bench, const Variant *variant) {
    json_t *object = json_object();
    set(object, "name", text(variant->name));
    set(object, "role", text(bench_role_name(variant->role)));
    set(object, "level", text(fuse_name(variant->fuse)));
    set(object, "device", text(variant->on_gpu ? "cuda" : "cpu"));
    set(object, "key", text(variant->key));
    set(object, "value", text(variant->value));
    set(object, "kind", text(variant->kind));
    set(object, "choices", text(variant->choices));
    set(object, "tokens", json_integer(variant->tokens));
    set(object, "parameters", real(variant->parameters));
    set(object, "formula_flops", real(variant->formula_flops));
    set(object, "product_flops", real(variant->product_flops));
    set(object, "model_bytes", real(variant->model_bytes));
    set(object, "planned_bytes",
        json_pack("{s:o, s:o, s:o}", "states", real(variant->state_bytes), "arena", real(variant->arena_bytes),
                  "scratch", real(variant->scratch_bytes)));
    set(object, "resident_bytes", real(variant->resident_bytes));
    set(object, "steps", json_integer(variant->steps));
    set(object, "kernels", json_integer(variant->kernels));
    set(object, "distinct_kernels", json_integer(variant->distinct_kernels));
    set(object, "compile_seconds", real(variant->compile_seconds));
    set(object, "seconds", estimate(variant->time));
    set(object, "tokens_per_second", real((double)variant->tokens / variant->time.median));
    set(object, "mfu", real(bench_mfu(bench, variant)));
    set(object, "mfu_a100", real(variant->formula_flops / variant->time.median / NANOGPT_PEAK_FLOPS));
    set(object, "errors",
        json_pack("{s:o, s:o, s:o, s:b}", "value", worst(&variant->errors.value), "gradient",
                  worst(&variant->errors.gradient), "update", worst(&variant->errors.update), "passed",
                  (int)variant->errors.passed));
    set(object, "losses", reals(variant->losses, (size_t)bench->rounds));
    if (variant->paired) set(object, "paired_seconds", reals(variant->paired, (size_t)bench->rounds));
    set(object, "ns", rounds_of_times(bench, variant));
    set(object, "boxes", boxes(variant));
    set(object, "arena_bytes_by_step", reals(variant->alive, variant->alive_count));
    return object;
}

static json_t *machine_json(const Machine *machine) {
    json_t *object = json_object();
    set(object, "cpu", text(machine->cpu));
    set(object, "cores", json_integer(machine->cores));
    set(object, "threads", json_integer(machine->threads));
    set(object, "vector_bytes", json_integer(machine->vector_bytes));
    set(object, "l1_bytes", real(machine->l1_bytes));
    set(object, "l2_bytes", real(machine->l2_bytes));
    set(object, "l3_bytes", real(machine->l3_bytes));
    set(object, "peak_flops", real(machine->peak_flops));
    set(object, "read_bandwidth", real(machine->read_bandwidth));
    set(object, "triad_bandwidth", real(machine->triad_bandwidth));
    if (!machine->gpu) return object;
    set(object, "gpu", text(machine->gpu));
    set(object, "gpu_kind", text(machine->gpu_kind));
    set(object, "gpu_flops", real(machine->gpu_flops));
    set(object, "gpu_bandwidth", real(machine->gpu_bandwidth));
    return object;
}

static json_t *bench_json(Arena *arena, const Bench *bench) {
    json_t *object = json_object();
    set(object, "format", text(BENCH_FORMAT));
    set(object, "version", json_integer(BENCH_FORMAT_VERSION));
    set(object, "when", text(bench->when));
    set(object, "versions",
        json_pack("{s:o, s:o, s:o}", "sinter", text(bench->sinter), "llvm", text(bench->llvm), "blas",
                  text(bench->blas)));
    set(object, "machine", machine_json(&bench->machine));
    set(object, "model", text(bench->model));
    set(object, "spec_file", text(bench->spec_file));
    set(object, "spec", text(bench->spec_source));
    set(object, "spec_hash", text(bench_hash(arena, bench->spec_source)));
    set(object, "config", text(bench->config));
    set(object, "config_hash", text(bench_hash(arena, bench->config)));
    set(object, "tokens",
        json_pack("{s:o, s:I, s:o}", "path", text(bench->tokens_path), "bytes", (json_int_t)bench->tokens_bytes, "hash",
                  text(bench->tokens_hash)));
    set(object, "ablation", json_boolean(bench->ablates));
    set(object, "resident", json_boolean(bench->resident));
    set(object, "rounds", json_integer(bench->rounds));
    set(object, "steps", json_integer(bench->visit_steps));
    set(object, "warmup", json_integer(bench->warmup_steps));
    set(object, "error_shape", text(bench->error_shape));
    set(object, "seconds", real(bench->seconds));
    set(object, "processor_share", real(bench->processor_share));
    set(object, "barrier_seconds", reals(bench->barriers, (size_t)bench->rounds + 1));
    json_t *variants = json_array();
    for (size_t i = 0; i < bench->variant_count; i++)
        json_array_append_new(variants, variant_json(bench, &bench->variants[i]));
    set(object, "variants", variants);
    return object;
}

const char *bench_record(Arena *arena, const Bench *bench) {
    json_t *object = bench_json(arena, bench);
    char *dumped = json_dumps(object, JSON_INDENT(1) | JSON_REAL_PRECISION(17));
    json_decref(object);
    if (!dumped) BUG("a bench does not become JSON");
    const char *copy = arena_format(arena, "%s\n", dumped);
    free(dumped);
    return copy;
}
