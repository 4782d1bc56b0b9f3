// The compiled trainer against an independent float64 implementation (tests/fixtures), at levels none, op and all, with
// 1, 2 and 3 threads: losses, gradients of the first step, weights after 20 steps.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "tests/e2e/run.h"
#include "runtime/tensor_file.h"

static const char *const names[] = {"gpt2-tiny", "gpt2-tiny-bias", "llama-tiny"};
static const char *const levels[] = {"none", "op", "all"};

static double number(const json_t *config, const char *key) { return json_number_value(json_object_get(config, key)); }

// The command line of the fixture's README, from its JSON.
static int train(const char *name, const json_t *fixture, const char *level, int threads) {
    const json_t *config = json_object_get(fixture, "config");
    const char *kind = json_string_value(json_object_get(fixture, "kind"));
    char keys[800];
    if (strcmp(kind, "gpt2") == 0) {
        snprintf(keys, sizeof keys, "--bias=%s --gelu=%s --dropout=0.0",
                 json_is_true(json_object_get(config, "bias")) ? "True" : "False",
                 json_string_value(json_object_get(config, "gelu")));
    } else {
        snprintf(keys, sizeof keys, "--n_kv_head=%g --n_ffn=%g --rope_theta=%g --norm_eps=%g",
                 number(config, "n_kv_head"), number(config, "n_ffn"), number(config, "rope_theta"),
                 number(config, "norm_eps"));
    }
    return run_sinter(
        "train %s/models/%s.spec --init_from=%s/tests/fixtures/%s.safetensors --train_bin=%s/tests/fixtures/%s.bin "
        "--data_order=sequential --eval_interval=0 --gradient_accumulation_steps=1 --max_iters=19 --metrics=m.jsonl "
        "--grads_out=g.safetensors --out_dir=o --device=cpu --fuse=%s --threads=%d %s --n_layer=%g --n_head=%g "
        "--n_embd=%g --block_size=%g --vocab_size=%g --batch_size=%g --learning_rate=%g --min_lr=%g --warmup_iters=%g "
        "--lr_decay_iters=%g --beta1=%g --beta2=%g --weight_decay=%g --grad_clip=%g",
        SOURCE_DIR, kind, SOURCE_DIR, name, SOURCE_DIR, name, level, threads, keys, number(config, "n_layer"),
        number(config, "n_head"), number(config, "n_embd"), number(config, "block_size"), number(config, "vocab_size"),
        number(config, "batch_size"), number(config, "learning_rate"), number(config, "min_lr"),
        number(config, "warmup_iters"), number(config, "lr_decay_iters"), number(config, "beta1"),
        number(config, "beta2"), number(config, "weight_decay"), number(config, "grad_clip"));
}

static void compare_losses(const json_t *fixture) {
    char path[200], line[1000];
    snprintf(path, sizeof path, "%s/m.jsonl", run_folder);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    for (size_t step = 0; step < 20; step++) {
        assert_non_null(fgets(line, sizeof line, file));
        json_t *record = json_loads(line, 0, NULL);
        assert_non_null(record);
        double expected = json_number_value(json_array_get(json_object_get(fixture, "losses"), step));
        double norm = json_number_value(json_array_get(json_object_get(fixture, "grad_norms"), step));
        if (fabs(number(record, "loss") - expected) > 1e-5)
            fail_msg("step %zu: loss %.9f, expected %.9f", step, number(record, "loss"), expected);
        if (fabs(number(record, "grad_norm") - norm) > 1e-5 * norm)
            fail_msg("step %zu: grad_norm %.9f, expected %.9f", step, number(record, "grad_norm"), norm);
        json_decref(record);
    }
    fclose(file);
}

// Every tensor of the expected file, to `relative` of its largest value, or to `absolute` when relative is 0.
static void compare_tensors(const char *expected_path, const char *actual_path, double relative, double absolute) {
    Arena *arena = arena_create();
    Diags *diags = diags_create(arena);
    TensorFile *expected = NULL, *actual = NULL;
    assert_int_equal(tensor_file_open(arena, expected_path, &expected, diags), RUNTIME_OK);
    assert_int_equal(tensor_file_open(arena, actual_path, &actual, diags), RUNTIME_OK);
    for (size_t t = 0; t < tensor_file_count(expected); t++) {
        const TensorEntry *entry = tensor_file_at(expected, t), *other = tensor_file_find(actual, entry->name);
        if (!other || other->elements != entry->elements) fail_msg("tensor %s is missing", entry->name);
        assert_int_equal(other->rank, entry->rank);
        assert_memory_equal(other->extents, entry->extents, (size_t)entry->rank * sizeof entry->extents[0]);
        float *want = ARENA_ARRAY(arena, float, entry->elements), *got = ARENA_ARRAY(arena, float, entry->elements);
        assert_int_equal(tensor_file_read(expected, entry, want, diags), RUNTIME_OK);
        assert_int_equal(tensor_file_read(actual, other, got, diags), RUNTIME_OK);
        double largest = 0;
        for (size_t i = 0; i < entry->elements; i++) largest = fmax(largest, fabs((double)want[i]));
        // The key third of the fused bias has an exact gradient of zero: AdamW amplifies rounding noise there.
        bool key_bias = strstr(entry->name, "c_attn.bias") != NULL;
        for (size_t i = 0; i < entry->elements; i++) {
            bool noise = key_bias && i >= entry->elements / 3 && i < entry->elements / 3 * 2;
            double limit = relative > 0 ? relative * largest : noise ? 1e-2 : absolute;
            if (!(fabs((double)got[i] - (double)want[i]) <= limit))
                fail_msg("%s[%zu]: %.9g, expected %.9g, limit %.2g", entry->name, i, (double)got[i], (double)want[i],
                         limit);
        }
    }
    tensor_file_close(expected);
    tensor_file_close(actual);
    arena_free(arena);
}

static void compare_run(const char *name, const char *level, int threads) {
    char path[300], other[300];
    snprintf(path, sizeof path, "%s/tests/fixtures/%s.json", SOURCE_DIR, name);
    json_t *fixture = json_load_file(path, 0, NULL);
    assert_non_null(fixture);
    if (train(name, fixture, level, threads) != 0) {
        run_show_log();
        fail_msg("%s at %s with %d threads failed", name, level, threads);
    }
    compare_losses(fixture);
    snprintf(path, sizeof path, "%s/tests/fixtures/%s.grads.safetensors", SOURCE_DIR, name);
    snprintf(other, sizeof other, "%s/g.safetensors", run_folder);
    compare_tensors(path, other, 1e-5, 0);
    snprintf(path, sizeof path, "%s/tests/fixtures/%s.final.safetensors", SOURCE_DIR, name);
    snprintf(other, sizeof other, "%s/o/ckpt.safetensors", run_folder);
    compare_tensors(path, other, 0, 2e-5);
    json_decref(fixture);
}

static void fixtures_agree_at_every_level_and_thread_count(void **state) {
    (void)state;
    for (size_t n = 0; n < sizeof names / sizeof *names; n++) {
        for (size_t l = 0; l < sizeof levels / sizeof *levels; l++) {
            for (int threads = 1; threads <= 3; threads++) compare_run(names[n], levels[l], threads);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(fixtures_agree_at_every_level_and_thread_count)};
    return cmocka_run_group_tests(tests, run_setup, run_teardown);
}
