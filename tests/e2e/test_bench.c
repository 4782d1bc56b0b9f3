// sinter bench as a user runs it, at a tiny size: record, replay, sweep, wrong flags, files that cannot be written.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/e2e/run.h"

#define TINY                                                                                                           \
    " --n_layer=1 --n_head=2 --n_embd=16 --block_size=8 --batch_size=2 --vocab_size=5 --train_bin=t.bin "              \
    "--gradient_accumulation_steps=1 --rounds=3 --steps=2 "

static int make_tokens(void **state) {
    if (run_setup(state) != 0) return -1;
    write_tokens("t.bin", 500);
    return 0;
}

static void levels_are_measured_and_recorded(void **state) {
    (void)state;
    expect(0, "all takes", "bench" TINY "--json=a.json --report=a.html");
    Arena *arena = arena_create();
    const char *record = read_file(arena, "a.json"), *page = read_file(arena, "a.html"), *log = read_file(arena, "log");
    static const char *const names[] = {"\"name\": \"none\"", "\"name\": \"op\"", "\"name\": \"all\""};
    for (size_t i = 0; i < 3; i++)
        assert_non_null(strstr(record, names[i]));
    assert_non_null(strstr(page, "</html>"));
    assert_non_null(strstr(page, "Roofline"));
    assert_null(strstr(log, "beyond the limits of check\n!"));
    arena_free(arena);
}

static void replays_give_equal_losses(void **state) {
    (void)state;
    expect(0, "losses: equal", "bench --replay=a.json --json=b.json");
    expect(0, "losses: equal", "bench --replay=b.json"); // a replay's record is one, too
    expect(2, "batch_size: --replay takes all", "bench --replay=a.json --batch_size=3");
    expect(3, "missing.json", "bench --replay=missing.json");
    expect(3, "not a record of sinter bench", "bench --replay=t.bin");
    assert_int_equal(run_shell("sed 's/learning_rate = [0-9.e-]*/learning_rate = 0.5/' a.json >c.json"), 0);
    expect(1, "DIFFER", "bench --replay=c.json");
    assert_int_equal(run_shell("cp t.bin keep.bin && printf 'aa' >>t.bin"), 0);
    expect(3, "not the tokens of the record", "bench --replay=a.json");
    assert_int_equal(run_shell("mv keep.bin t.bin"), 0);
}

static void sweeps_flag_unlike_work(void **state) {
    (void)state;
    expect(0, "unlike: batch_size=4 does other work", "bench" TINY "--sweep=batch_size:2,4 --json=s.json");
    expect(0, "losses: equal", "bench --replay=s.json");
    expect(0, "grad_clip=0.5", "bench" TINY "--sweep=grad_clip:1,0.5");
    expect(2, "sweep 'batch_size'", "bench" TINY "--sweep=batch_size");
    expect(2, "unknown key 'batchsize'", "bench" TINY "--sweep=batchsize:1,2");
    expect(2, "threads", "bench" TINY "--sweep=threads:1,2");
    expect(2, "batch_size = 0", "bench" TINY "--sweep=batch_size:2,0");
}

static void visits_from_the_start_end_alike(void **state) {
    (void)state;
    expect(0, "repeats: op: 3 visits from the start, 3 of them with the same last loss", "bench" TINY
           "--levels=op --anew=True --json=n.json");
    expect(0, "repeats: op: 3 visits", "bench --replay=n.json");
}

// A model of few decisions: every row is compiled.
static void decisions_are_left_out_and_made_alone(void **state) {
    (void)state;
    static const char spec[] = "model tiny\n"
                               "config n_embd=16 block_size=8 vocab_size=5\n"
                               "dim B=batch_size T=block_size V=vocab_size C=n_embd F=2*C\n"
                               "input tok[B,T]:u16 target[B,T]:u16\n"
                               "init default normal(0.02)\n"
                               "param wte[V,C] as \"wte.weight\"\n"
                               "param W[C,F] as \"w.weight\"\n"
                               "param U[F,C] as \"u.weight\"\n"
                               "x[B,T,C] = wte[V=tok]\n"
                               "h[B,T,F] = gelu(sum(C) x * W)\n"
                               "x = x + sum(F) h * U\n"
                               "logits[B,T,V] = sum(C) x * wte\n"
                               "loss = mean(B,T) cross_entropy(V)(logits, target)\n";
    write_text("tiny.spec", spec);
    expect(0, "none of these made",
           "bench tiny.spec --vocab_size=5 --n_embd=16 --block_size=8 --batch_size=2 "
           "--train_bin=t.bin --gradient_accumulation_steps=1 --rounds=2 --steps=2 --ablate "
           "--levels=all --json=ab.json --report=ab.html");
    Arena *arena = arena_create();
    const char *log = read_file(arena, "log"), *record = read_file(arena, "ab.json");
    assert_non_null(strstr(log, "all without "));
    assert_non_null(strstr(log, "made alone"));
    assert_null(strstr(record, "\"passed\": false"));
    assert_non_null(strstr(record, "\"choices\": \"forbid "));
    assert_non_null(strstr(read_file(arena, "ab.html"), "What each decision is worth"));
    arena_free(arena);
    expect(0, "losses: equal", "bench --replay=ab.json");
}

static void accumulated_gradients_are_measured_too(void **state) {
    (void)state;
    expect(0, "all takes", "bench" TINY "--levels=all --gradient_accumulation_steps=3");
}

static void wrong_flags_are_refused(void **state) {
    (void)state;
    expect(0, "--sweep", "bench --help");
    expect(2, "'most' is none of", "bench" TINY "--levels=most");
    expect(2, "twice", "bench" TINY "--levels=op,op");
    expect(2, "none is named", "bench" TINY "--levels=");
    expect(2, "level all, which is missing", "bench" TINY "--ablate --levels=op");
    expect(2, "one at a time", "bench" TINY "--ablate --sweep=batch_size:2,4");
    expect(2, "rounds = -1", "bench" TINY "--rounds=-1");
    expect(2, "seconds = 0", "bench" TINY "--seconds=0");
    expect(3, "missing.bin", "bench" TINY "--train_bin=missing.bin");
}

// Found out before anything is compiled.
static void files_that_cannot_be_written_are_found_out_first(void **state) {
    (void)state;
    Arena *arena = arena_create();
    expect(5, "no/folder/a.json", "bench" TINY "--json=no/folder/a.json");
    assert_null(strstr(read_file(arena, "log"), "rounds of"));
    expect(5, "no/folder/a.html", "bench" TINY "--report=no/folder/a.html");
    assert_null(strstr(read_file(arena, "log"), "rounds of"));
    arena_free(arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(levels_are_measured_and_recorded),
        cmocka_unit_test(replays_give_equal_losses),
        cmocka_unit_test(sweeps_flag_unlike_work),
        cmocka_unit_test(visits_from_the_start_end_alike),
        cmocka_unit_test(decisions_are_left_out_and_made_alone),
        cmocka_unit_test(accumulated_gradients_are_measured_too),
        cmocka_unit_test(wrong_flags_are_refused),
        cmocka_unit_test(files_that_cannot_be_written_are_found_out_first),
    };
    return cmocka_run_group_tests(tests, make_tokens, run_teardown);
}
