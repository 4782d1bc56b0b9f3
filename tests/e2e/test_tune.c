// --tune as a user runs it, at a tiny size: what it finds is remembered, steers the training as --choices=FILE would,
// and leaves everything else as it is.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/e2e/run.h"
#include "tests/e2e/tuned.h"

#define SIZES                                                                                                          \
    " --n_layer=1 --n_head=2 --n_embd=16 --block_size=8 --batch_size=4 --vocab_size=5 --train_bin=t.bin "              \
    "--val_bin=t.bin --gradient_accumulation_steps=1 "
#define TINY "train" SIZES "--max_iters=6 --eval_interval=3 --eval_iters=2 --log_interval=1 "

// Runs it, checks that `fragment` is in what it says, and returns all it says.
static const char *said(Arena *arena, int code, const char *fragment, const char *arguments) {
    expect(code, fragment, arguments);
    return read_file(arena, "log");
}

static int prepare(void **state) {
    if (run_setup(state) != 0) return -1;
    Arena *arena = arena_create();
    setenv("XDG_CACHE_HOME", arena_format(arena, "%s/cache", run_folder), 1);
    arena_free(arena);
    write_tokens("t.bin", 500);
    return 0;
}

// Weights and moments, bit for bit.
static void assert_equal_runs(const char *a, const char *b) {
    assert_int_equal(run_shell(". %s/tests/e2e/tensors.sh && same_tensors %s/ckpt.safetensors %s/ckpt.safetensors",
                               SOURCE_DIR, a, b),
                     0);
}

static void bits_are_those_of_the_untuned_run(void **state) {
    (void)state;
    Arena *arena = arena_create();
    expect(0, "iter 6", TINY "--out_dir=plain");
    const char *log = said(arena, 0, "tuned: ", TINY "--out_dir=on --tune=on --tune_seconds=1");
    assert_non_null(strstr(log, "tune: 1 s for choices that keep every bit"));
    assert_equal_runs("plain", "on");
    expect(0, "found before, in ", TINY "--out_dir=again --tune=on --tune_seconds=1");
    assert_equal_runs("plain", "again");
    arena_free(arena);
}

static void stored_choices_are_choices(void **state) {
    (void)state;
    Arena *arena = arena_create();
    const char *log = said(arena, 0, "may change bits", TINY "--out_dir=all --tune=all --tune_seconds=0.001");
    const char *path = tuned_path(arena, log);
    tuned_store(arena, path, "engine * openblas in step\n");
    log = said(arena, 0, "tuned: by a test; found before, in ", TINY "--out_dir=all --tune=all --tune_seconds=1");
    expect(0, "iter 6", arena_format(arena, TINY "--out_dir=given --choices=%s", path));
    assert_equal_runs("all", "given");
    expect(0, "all tuned",
           "bench" SIZES "--levels=all --rounds=2 --steps=2 --tune=all --tune_seconds=1 --json=b.json");
    assert_non_null(strstr(read_file(arena, "b.json"), "engine * openblas in step"));
    expect(0, "losses: equal", "bench --replay=b.json"); // with the choices of the record, and no tuning
    expect(2, "--tune and --sweep: one at a time", "bench" SIZES "--sweep=batch_size:1,2 --tune=on");
    arena_free(arena);
}

// A choice file of the user's own is there before, and stays in effect.
static void tuning_begins_at_given_choices(void **state) {
    (void)state;
    Arena *arena = arena_create();
    assert_int_equal(run_shell("printf 'forbid strand\\nin eval\\ntile * 2x16' >own.choices"), 0);
    expect(0, "iter 6", TINY "--out_dir=own --choices=own.choices");
    const char *log =
        said(arena, 0, "tuned: ", TINY "--out_dir=owned --choices=own.choices --tune=on --tune_seconds=0.5");
    assert_non_null(strstr(read_file(arena, tuned_path(arena, log)), "\nforbid strand\nin eval\ntile * 2x16\n"));
    assert_equal_runs("own", "owned");
    assert_int_equal(run_shell("echo 'forbid nonsense' >wrong.choices"), 0);
    expect(2, "matches nothing", TINY "--tune=on --choices=wrong.choices");
    assert_int_equal(run_shell("echo 'no choice' >wrong.choices"), 0);
    expect(2, "there is no choice 'no'", TINY "--tune=on --choices=wrong.choices");
    arena_free(arena);
}

static void damaged_files_are_tuned_again(void **state) {
    (void)state;
    Arena *arena = arena_create();
    const char *arguments = TINY "--out_dir=damaged --tune=on --tune_seconds=0.001 --batch_size=2";
    const char *path = tuned_path(arena, said(arena, 0, "tuned: ", arguments));
    assert_int_equal(run_shell("echo 'tile * 1x16' >>%s", path), 0);
    const char *log = said(arena, 0, "damaged, or of another version; it is not used", arguments);
    assert_string_equal(tuned_path(arena, log), path);
    expect(0, "found before", arguments);
    tuned_store(arena, path, "forbid what is not there\n"); // whole, but no longer possible
    expect(0, "is of another compiler; it is not used", arguments);
    arena_free(arena);
}

static void a_cache_that_cannot_be_is_a_note(void **state) {
    (void)state;
    Arena *arena = arena_create();
    const char *cache = arena_copy(arena, getenv("XDG_CACHE_HOME"));
    setenv("XDG_CACHE_HOME", "/dev/null/cache", 1);
    const char *log = said(arena, 0, "iter 6", TINY "--out_dir=nowhere --tune=on --tune_seconds=0.001");
    setenv("XDG_CACHE_HOME", cache, 1);
    assert_non_null(strstr(log, "tune: not remembered: "));
    expect(2, "tune_seconds = 0", TINY "--tune=on --tune_seconds=0");
    expect(2, "tune", TINY "--tune=sometimes");
    arena_free(arena);
}

static void accumulated_gradients_are_tuned_too(void **state) {
    (void)state;
    Arena *arena = arena_create();
    expect(0, "iter 6", TINY "--gradient_accumulation_steps=2 --out_dir=micro");
    expect(0, "tuned: ", TINY "--gradient_accumulation_steps=2 --out_dir=micro_on --tune=on --tune_seconds=1");
    assert_equal_runs("micro", "micro_on");
    arena_free(arena);
}

static void a_signal_ends_it_with_nothing_stored(void **state) {
    (void)state;
    assert_int_equal(run_shell("export XDG_CACHE_HOME=$PWD/stopped; $SINTER " TINY
                           "--out_dir=stopped_out --tune=on --tune_seconds=500 "
                           ">stopped.log 2>&1 & child=$!; n=0; "
                           "until grep -q 'tune: 500 s' stopped.log || [ $n -gt 300 ]; do sleep 0.1; n=$((n+1)); done; "
                           "sleep 0.3; kill -TERM $child; wait $child"),
                     75);
    assert_int_equal(
        run_shell("grep -q 'stopped by a signal' stopped.log && ! ls stopped/sinter/tune/* stopped_out 2>/dev/null"),
        0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bits_are_those_of_the_untuned_run),    cmocka_unit_test(stored_choices_are_choices),
        cmocka_unit_test(tuning_begins_at_given_choices),       cmocka_unit_test(damaged_files_are_tuned_again),
        cmocka_unit_test(a_cache_that_cannot_be_is_a_note),     cmocka_unit_test(accumulated_gradients_are_tuned_too),
        cmocka_unit_test(a_signal_ends_it_with_nothing_stored),
    };
    return cmocka_run_group_tests(tests, prepare, run_teardown);
}
