// --tune on a GPU that is none, as a user runs it. Its clock is made up (SINTER_FAKE_GPU=clock), so which products are
// faster by themselves is known; whether the step is, a real clock says, and nothing here depends on it.
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "tests/e2e/run.h"
#include "tests/e2e/tuned.h"

#define MODEL                                                                                                          \
    "--n_layer=1 --n_head=1 --n_embd=16 --block_size=8 --batch_size=2 --gradient_accumulation_steps=1 --data_dir=. "   \
    "--dataset=data --vocab_size=32 "
#define TRAIN                                                                                                          \
    "train --device=cuda " MODEL "--eval_interval=0 --log_interval=1 --max_iters=1 --out_dir=out --tune_seconds=3 "
#define BENCH "bench " MODEL "--rounds=2 --steps=2 --tune=on --tune_seconds=0.001 "

static bool log_has(const char *text) { return run_shell("grep -qF -- \"%s\" log", text) == 0; }

static int set_up(void **state) {
    if (run_setup(state) != 0 || run_shell("mkdir data cache") != 0) return -1;
    uint16_t tokens[500];
    char path[300];
    for (uint32_t i = 0, x = 7; i < 500; i++) tokens[i] = (uint16_t)((x = x * 1664525u + 1013904223u) >> 27);
    write_bytes("data/train.bin", tokens, sizeof tokens);
    write_bytes("data/val.bin", tokens, sizeof tokens);
    assert_in_range(strlen(run_folder), 1, 200);
    strcpy(path, run_folder);
    setenv("XDG_CACHE_HOME", strcat(path, "/cache"), 1);
    setenv("SINTER_FAKE_GPU", "clock", 1);
    return 0;
}

static void what_is_found_is_remembered(void **state) {
    (void)state;
    expect(0, "engine product at layer[0].t cublaslt: 9 us against 99 us", TRAIN "--tune=all");
    assert_true(log_has("kinds of products one by one, in "));
    assert_true(log_has("tune: each product's fastest way by itself: "));
    assert_true(log_has("tune: stored in "));
    expect(0, "found before, in ", TRAIN "--tune=all");
    assert_false(log_has("one by one"));
    setenv("SINTER_FAKE_LIBRARY", "old", 1);   // another machine: nothing is known of it
    expect(0, "tune: stored in ", TRAIN "--tune=all");
    assert_false(log_has("cublaslt"));
    unsetenv("SINTER_FAKE_LIBRARY");
}

// Only what keeps bits: without tensor cores, no other way of a product does.
static void bits_are_kept(void **state) {
    (void)state;
    expect(0, "kinds of products one by one, in 0 other ways: 0 are faster so", TRAIN "--tune=on --seed=2");
    assert_false(log_has("cublaslt"));
}

static void a_way_that_does_not_run_is_said(void **state) {
    (void)state;
    setenv("SINTER_FAKE_LIBRARY", "refuses", 1);
    expect(0, "tune: engine * cublaslt: does not run", TRAIN "--tune=all --n_embd=32");
    unsetenv("SINTER_FAKE_LIBRARY");
}

// As if a longer search on that device had found these lines.
static void store_for(Arena *arena, const char *device, const char *lines) {
    assert_int_equal(run_shell("mkdir -p cache/sinter/tune && rm -f cache/sinter/tune/*"), 0);
    expect(0, "tune: stored in ", arena_format(arena, TRAIN "--tune=on --tune_seconds=0.001 --device=%s", device));
    tuned_store(arena, tuned_path(arena, read_file(arena, "log")), lines);
}

// What an earlier run found is a row of a bench, beside level all, and in its record.
static void a_bench_has_a_row(void **state) {
    (void)state;
    Arena *arena = arena_create();
    store_for(arena, "cuda", "engine product at layer[0].t cublaslt in step\n");
    expect(0, "tuned: by a test; found before, in ", BENCH "--device=cuda --levels=op,all --json=tuned.json");
    assert_true(log_has("all tuned"));
    const char *record = read_file(arena, "tuned.json");
    assert_non_null(strstr(record, "engine product at layer[0].t cublaslt in step"));
    expect(0, "losses: equal", "bench --replay=tuned.json");
    expect(2, "--tune and --sweep: one at a time", BENCH "--device=cuda --sweep=batch_size:1,2");
    arena_free(arena);
}

// Each device has its own.
static void both_devices_are_tuned(void **state) {
    (void)state;
#ifdef HAS_CPU
    Arena *arena = arena_create();
    store_for(arena, "cpu", "tile * 2x16 in step\n");
    expect(0, "cpu all tuned", BENCH "--device=cpu,cuda --levels=all --json=both.json");
    assert_false(log_has("cuda all tuned"));   // nothing was found there
    assert_true(log_has("devices: cuda all takes "));
    assert_false(log_has(", cpu all tuned "));
    arena_free(arena);
#endif
}

static void a_folder_that_cannot_be_written_costs_the_memory(void **state) {
    (void)state;
    setenv("XDG_CACHE_HOME", "/proc/nowhere", 1);
    expect(0, "tune: not remembered: ", TRAIN "--tune=on");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_found_is_remembered),
        cmocka_unit_test(bits_are_kept),
        cmocka_unit_test(a_way_that_does_not_run_is_said),
        cmocka_unit_test(a_bench_has_a_row),
        cmocka_unit_test(both_devices_are_tuned),
        cmocka_unit_test(a_folder_that_cannot_be_written_costs_the_memory),
    };
    return cmocka_run_group_tests(tests, set_up, run_teardown);
}
