// Bits do not depend on the number of threads: losses and weights of a run with dropout are equal with == for 1, 2, 3,
// 4 and 7 threads, at every level, and from run to run. Bits belong to the primitive: levels none and all, which
// compute products by the same rule, agree bit for bit too, where no strand adds gradients in parts; op has OpenBLAS'
// bits.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/diag.h"
#include "base/file.h"
#include "base/hash.h"
#include "tests/e2e/run.h"

static void write_text_and_prepare(void) {
    assert_int_equal(run_shell("cat %s/docs/*.md %s/base/*.c >text", SOURCE_DIR, SOURCE_DIR), 0);
    assert_int_equal(run_sinter("prepare text -o data/text"), 0);
}

// Losses of every step, as printed with 9 digits (enough to tell floats apart), without the times.
static const char *losses(Arena *arena) {
    char *text = read_file(arena, "m.jsonl");
    Text kept = text_create(arena);
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
        const char *ms = strstr(line, "\"ms\"");
        assert_non_null(ms);
        text_append_bytes(&kept, line, (size_t)(ms - line));
    }
    return text_string(&kept);
}

static char sizes[100] = "--max_iters=49 --batch_size=5 --block_size=24";

static unsigned long long train(const char *level, int threads, const char *model, Arena *arena) {
    Diags *diags = diags_create(arena);
    int status = run_sinter("train %s --dataset=text --device=cpu --fuse=%s --threads=%d --eval_interval=0 "
                            "--gradient_accumulation_steps=1 --metrics=m.jsonl --out_dir=o %s "
                            "--learning_rate=1e-3 --warmup_iters=5 --seed=7",
                            model, level, threads, sizes);
    if (status != 0) run_show_log();
    assert_int_equal(status, 0);
    char path[200];
    size_t length = 0;
    snprintf(path, sizeof path, "%s/o/ckpt.safetensors", run_folder);
    char *checkpoint = file_read_all(arena, path, 100 << 20, &length, diags);
    assert_non_null(checkpoint);
    size_t header = 0; // says how often was saved in this folder, and the like
    memcpy(&header, checkpoint, 8);
    assert_true(8 + header < length);
    const char *record = losses(arena);
    return hash_text(record) ^ hash_bytes(checkpoint + 8 + header, length - 8 - header);
}

static void equal_bits(const char *model) {
    static const int counts[] = {1, 2, 3, 4, 7, 1};
    static const char *const levels[] = {"none", "op", "all"};
    unsigned long long unfused = 0;
    for (size_t l = 0; l < 3; l++) {
        Arena *arena = arena_create();
        unsigned long long first = train(levels[l], counts[0], model, arena);
        if (l == 0) unfused = first;
        if (l == 2) assert_true(first == unfused);
        for (size_t i = 1; i < sizeof counts / sizeof *counts; i++) {
            if (train(levels[l], counts[i], model, arena) != first)
                fail_msg("level %s: %d threads differ from 1", levels[l], counts[i]);
        }
        arena_free(arena);
    }
}

static void gpt2_with_dropout_has_equal_bits(void **state) {
    (void)state;
    write_text_and_prepare();
    equal_bits("--model=gpt2 --n_layer=2 --n_head=3 --n_embd=36 --dropout=0.1 --bias=True");
}

static void llama_has_equal_bits(void **state) {
    (void)state;
    equal_bits("--model=llama --n_layer=2 --n_head=4 --n_kv_head=2 --n_embd=32 --n_ffn=56");
}

// Large enough for a strand of the whole step, whose gradients of weights are sums of parts. The later arguments win.
static void large_step_has_equal_bits(const char *length) {
    static const int counts[] = {2, 3, 5, 1};
    const char *model = "--model=gpt2 --n_layer=4 --n_head=4 --n_embd=128 --dropout=0.1 --bias=True";
    Arena *arena = arena_create();
    snprintf(sizes, sizeof sizes, "%s --batch_size=12 --block_size=64", length);
    unsigned long long first = train("all", 1, model, arena);
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
        if (train("all", counts[i], model, arena) != first) fail_msg("%d threads differ from 1", counts[i]);
    arena_free(arena);
}

static void strands_have_equal_bits(void **state) {
    (void)state;
    large_step_has_equal_bits("--max_iters=15");
}

// Of such a strand, what is added to the gradients of micro-batches before.
static void micro_batches_have_equal_bits(void **state) {
    (void)state;
    large_step_has_equal_bits("--max_iters=5 --gradient_accumulation_steps=3");
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(gpt2_with_dropout_has_equal_bits),
                                       cmocka_unit_test(llama_has_equal_bits),
                                       cmocka_unit_test(strands_have_equal_bits),
                                       cmocka_unit_test(micro_batches_have_equal_bits)};
    return cmocka_run_group_tests(tests, run_setup, run_teardown);
}
