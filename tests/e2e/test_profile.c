// `sinter profile` as a user runs it: at every level, with accumulated gradients, its files, and what it refuses.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>
#include <math.h>

#include "tests/e2e/run.h"

static json_t *read_json(const char *name) {
    char path[300];
    snprintf(path, sizeof path, "%s/%s", run_folder, name);
    json_error_t error;
    json_t *value = json_load_file(path, 0, &error);
    if (!value) fail_msg("%s: %s", path, error.text);
    return value;
}

static double real(const json_t *object, const char *key) {
    const json_t *value = json_object_get(object, key);
    if (!json_is_number(value)) fail_msg("no number '%s'", key);
    return json_number_value(value);
}

#define SMALL \
    "profile --n_layer=2 --n_head=2 --n_embd=16 --block_size=8 --batch_size=2 --vocab_size=5 --eval_iters=2 --steps=3 "
#define DATA "--train_bin=train.bin --val_bin=val.bin "

// Causes and what is left over are the step, and boxes are the causes that are computed.
static void assert_adds_up(const char *name) {
    json_t *record = read_json(name), *cause, *box;
    const char *key;
    size_t i;
    double shares = 0, computed = 0, boxes = 0;
    json_object_foreach(json_object_get(record, "causes"), key, cause) {
        shares += real(cause, "share");
        if (strcmp(key, "contraction") == 0 || strcmp(key, "pointwise") == 0 || strcmp(key, "memory") == 0)
            computed += real(cause, "share");
    }
    json_array_foreach(json_object_get(record, "boxes"), i, box) {
        assert_true(real(box, "seconds") >= 0);
        boxes += real(box, "share");
    }
    assert_true(fabs(shares - 1) < 1e-6);
    assert_true(fabs(boxes - computed) < 1e-6 && boxes > 0);
    json_decref(record);
}

static void every_level_adds_up(void **state) {
    (void)state;
    write_tokens("train.bin", 200);
    write_tokens("val.bin", 200);
    expect(0, "verdict", SMALL DATA "--gradient_accumulation_steps=1 --json=a.json");
    assert_adds_up("a.json");
    expect(0, "verdict", SMALL "--train_bin=train.bin --gradient_accumulation_steps=1");   // no validation tokens
    expect(0, "contraction", SMALL DATA "--fuse=op --gradient_accumulation_steps=4 --threads=3 --json=b.json");
    assert_adds_up("b.json");
    expect(0, "unaccounted", SMALL DATA "--fuse=none --gradient_accumulation_steps=2 --threads=1 --full --json=c.json");
    assert_adds_up("c.json");
    expect(0, "evaluation", SMALL DATA "--gradient_accumulation_steps=1 --eval_interval=10");
    expect(0, "rmsnorm",
           SMALL "--model=llama --n_kv_head=1 --n_ffn=24 --gradient_accumulation_steps=1 --eval_interval=0 --full");
}

static void without_data_it_says_so(void **state) {
    (void)state;
    expect(0, "no data/openwebtext/train.bin: random tokens", SMALL "--gradient_accumulation_steps=1");
    expect(3, "missing.bin", SMALL "--train_bin=missing.bin");
    expect(3, "short.bin", (write_tokens("short.bin", 2), SMALL "--train_bin=short.bin"));
}

// One track a thread; slices of a track follow each other.
static void the_trace_is_sound(void **state) {
    (void)state;
    expect(0, "wrote t.json",
           SMALL DATA "--gradient_accumulation_steps=2 --threads=2 --eval_interval=0 --trace=t.json");
    json_t *root = read_json("t.json"), *event;
    size_t i, slices[3] = {0}, named = 0, waits = 0;
    double ends[3] = {0};
    json_array_foreach(json_object_get(root, "traceEvents"), i, event) {
        const char *kind = json_string_value(json_object_get(event, "ph"));
        int track = (int)json_integer_value(json_object_get(event, "tid"));
        assert_non_null(kind);
        assert_in_range(track, 0, 2);
        if (strcmp(kind, "M") == 0) {
            named++;
            continue;
        }
        assert_string_equal(kind, "X");
        double begin = real(event, "ts"), length = real(event, "dur");
        if (begin < ends[track] - 1e-6 || length < 0)
            fail_msg("event %zu overlaps the one before on track %d", i, track);
        ends[track] = begin + length;
        slices[track]++;
        waits += strcmp(json_string_value(json_object_get(event, "name")), "wait") == 0;
        assert_non_null(json_object_get(event, "args"));
    }
    assert_int_equal(named, 4);      // the process, the training steps, two threads
    assert_int_equal(slices[0], 3);  // training steps
    assert_true(slices[1] > 100 && slices[2] > 100 && waits > 12);
    json_decref(root);
}

static void what_it_refuses(void **state) {
    (void)state;
    expect(0, "--trace=''", "profile --help");
    expect(2, "steps", SMALL "--steps=-1");
    expect(2, "steps", SMALL "--steps=some");
    expect(2, "trace", SMALL "--tracs=t.json");
    expect(2, "at least 1", SMALL "--batch_size=0");
    expect(2, "not a .spec", "profile something");
    expect(2, "device 'cuda'", SMALL "--device=cuda");
    expect(5, "nowhere/t.json", SMALL "--trace=nowhere/t.json");
    expect(5, "nowhere/r.json", SMALL "--trace=u.json --json=nowhere/r.json");
    assert_int_equal(run_shell("test -z \"$(ls | grep -E 'u.json|tmp|profile-')\""), 0);   // nothing is left behind
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_level_adds_up),
        cmocka_unit_test(without_data_it_says_so),
        cmocka_unit_test(the_trace_is_sound),
        cmocka_unit_test(what_it_refuses),
    };
    return cmocka_run_group_tests(tests, run_setup, run_teardown);
}
