// The command line as a user meets it: wrong flags, broken files, exit codes, stages as text.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/e2e/run.h"

#define SMALL                                                                                                          \
    " --n_layer=1 --n_head=2 --n_embd=16 --block_size=8 --batch_size=2 --eval_interval=0 "                             \
    "--gradient_accumulation_steps=1 "

static void usage_errors_have_exit_code_2(void **state) {
    (void)state;
    expect(2, "no command 'trian'", "trian");
    expect(0, "sinter train", "--help");
    expect(0, "--eval_interval=2000", "train --help");
    expect(2, "batch_size", "train --bach_size=3");
    expect(2, "max_iters", "train --max_iters=many");
    expect(2, "num_workers", "train --num_workers=4");
    expect(2, "device 'cuda': ", "train --device=cuda");
    expect(2, "bfloat16", "train --dtype=bfloat16");
    expect(2, "at least 1", "train --batch_size=0");
    expect(2, "no model 'gpt9'", "train --model=gpt9");
    expect(2, "needs a value", "train --batch_size");
    expect(2, "not a .spec", "train something");
    write_text("bad.spec", "model bad\ndim A=1\nx = y\n");
    expect(2, "bad.spec:", "train bad.spec");
    write_text("bad.py", "import os\n");
    expect(2, "bad.py:1", "train bad.py");
}

static void bad_files_have_exit_code_3(void **state) {
    (void)state;
    expect(3, "no.cfg", "train no.cfg");
    expect(3, "no.spec", "train no.spec");
    expect(3, "missing.bin", "train" SMALL "--train_bin=missing.bin");
    write_bytes("empty.bin", "", 0);
    expect(3, "empty.bin", "train" SMALL "--train_bin=empty.bin");
    write_bytes("odd.bin", "\1\0\1", 3);
    expect(3, "odd.bin", "train" SMALL "--train_bin=odd.bin");
    write_bytes("short.bin", "\1\0\1\0", 4);
    expect(3, "short.bin", "train" SMALL "--train_bin=short.bin");
    char tokens[400];
    memset(tokens, 0x7f, sizeof tokens);
    write_bytes("beyond.bin", tokens, sizeof tokens);
    expect(3, "beyond.bin", "train" SMALL "--vocab_size=100 --train_bin=beyond.bin");
    write_bytes("w.safetensors", "\7\0\0\0\0\0\0\0{\"a\":1}", 15);
    write_tokens("good.bin", 200);
    expect(3, "w.safetensors", "train" SMALL "--vocab_size=5 --train_bin=good.bin --init_from=w.safetensors");
    expect(3, "nowhere: no checkpoint to go on from", "sample --out_dir=nowhere");
}

static void explain_prints_the_plan_and_its_reasons(void **state) {
    (void)state;
    expect(0, "refused\n", "explain" SMALL "--vocab_size=5");
    expect(0, "waits of all threads", "explain" SMALL "--vocab_size=5 --fuse=none");
    expect(0, "kept for the backward part", "explain --model=llama --n_layer=1 --vocab_size=5 --block_size=8");
    expect(2, "n_heads", "explain --n_heads=2");
}

static void a_run_writes_a_checkpoint_that_samples(void **state) {
    (void)state;
    expect(0, "iter 5: loss ", "train" SMALL "--vocab_size=5 --train_bin=good.bin --max_iters=5 --time --out_dir=run");
    expect(0, "---------------", "sample --out_dir=run --num_samples=1 --max_new_tokens=4");
    expect(0, "iter 1: loss ", "train --model=llama --n_kv_head=1 --n_ffn=24" SMALL
                               "--vocab_size=5 --train_bin=good.bin --max_iters=1 --gradient_accumulation_steps=3");
    expect(0, "is ignored", "train --model=llama --dropout=0.1 --n_kv_head=1 --n_ffn=24" SMALL
                            "--vocab_size=5 --train_bin=good.bin --max_iters=1");
}

static void a_value_tells_its_story(void **state) {
    (void)state;
    expect(0, "computed by", "explain" SMALL "--vocab_size=5 --why=layer[0].p");
    expect(0, "in the spec layer[0].Wfc", "explain" SMALL "--vocab_size=5 --why=layer[*].Wfc");
    expect(2, "did you mean 'logits'?", "explain" SMALL "--vocab_size=5 --why=logit");
    expect(2, "nothing in this step is called 'layer[9].p'", "explain" SMALL "--vocab_size=5 --why=layer[9].p");
}

static void a_step_is_drawn(void **state) {
    (void)state;
    expect(0, "step.svg: ", "explain" SMALL "--vocab_size=5 --svg=step.svg --dot=step.dot");
    expect(0, "step.dot: ",
           "explain --model=llama --n_layer=2 --n_head=2 --n_kv_head=1 --n_embd=16 --vocab_size=5 --block_size=8 "
           "--fuse=op --dot=step.dot");
    expect(5, "no/step.svg", "explain" SMALL "--vocab_size=5 --svg=no/step.svg");
    expect(5, "no/step.dot", "explain" SMALL "--vocab_size=5 --dot=no/step.dot");
}

static void curves_of_runs(void **state) {
    (void)state;
    expect(0, "iter 9: loss ", "train" SMALL "--vocab_size=5 --train_bin=good.bin --max_iters=9 --out_dir=curves");
    expect(0, "gradient norm", "plot curves --ascii");
    expect(0, "mean of 3 iterations", "plot curves/metrics.jsonl curves --smooth=3 --x=time");
    expect(0, "3 panels", "plot curves --svg=curves.svg");
    expect(5, "no/where.svg", "plot curves --svg=no/where.svg");
    expect(2, "which run?", "plot");
    expect(2, "smooth = -1", "plot curves --smooth=-1");
    expect(3, "nowhere", "plot nowhere");
    write_text("bad.jsonl", "{\"iter\":0,\"loss\":1}\n{]\n");
    expect(3, "bad.jsonl:2: not JSON", "plot bad.jsonl");
    write_text("none.jsonl", "");
    expect(3, "no record", "plot none.jsonl");
    expect(0, "iter 1: loss ",
           "train" SMALL "--vocab_size=5 --train_bin=good.bin --max_iters=1 --out_dir=mute --metrics=none");
    expect(3, "mute has no metrics.jsonl", "plot mute");
}

#if defined(__x86_64__)
static void a_slow_blas_is_told(void **state) {
    (void)state;
    setenv("OPENBLAS_CORETYPE", "Haswell", 1);
    expect(0, "Haswell MAX_THREADS", "info");
    expect(0, ", forced by OPENBLAS_CORETYPE=Haswell\n", "info");
    setenv("OPENBLAS_CORETYPE", "", 1);
    expect(1, "", "info | grep forced");
    unsetenv("OPENBLAS_CORETYPE");
}
#endif

static void memory_that_cannot_fit_is_refused(void **state) {
    (void)state;
    expect(4, "MB", "train --n_layer=1 --n_head=2 --n_embd=16 --block_size=4096 --batch_size=4096 --eval_interval=0 "
                    "--gradient_accumulation_steps=1 --fuse=none --vocab_size=5 --train_bin=good.bin");
}

static void stages_are_text_and_can_be_read_again(void **state) {
    (void)state;
    static const char *const stages[] = {"ast", "graph", "optimized", "plan", "ledger", "tiles", "llvm", "asm",
#ifdef HAS_CUDA
                                         "cuda"
#endif
    };
    for (size_t i = 0; i < sizeof stages / sizeof *stages; i++) {
        int status = run_sinter("lower --emit=%s" SMALL "--vocab_size=5", stages[i]);
        expect_log(status, 0, "", stages[i]);
    }
    assert_int_equal(run_shell("$SINTER lower --emit=graph" SMALL "--vocab_size=5 >a.ir && "
                               "$SINTER lower a.ir --emit=graph >b.ir && cmp a.ir b.ir"),
                     0);
    expect(0, "region", "lower a.ir --emit=plan");
    expect(0, "", "lower --dump_dir=dump" SMALL "--vocab_size=5");
    assert_int_equal(run_shell("$SINTER lower --emit=plan" SMALL "--vocab_size=5 2>log >p.ir && "
                               "$SINTER lower p.ir >q.ir && cmp p.ir q.ir"),
                     0);
    expect(0, "kernel ", "lower p.ir --emit=tiles");
    write_text("broken.ir", "plan \"x\"\nvalue nonsense\n");
    expect(2, "broken.ir:2", "lower broken.ir");
    assert_int_equal(run_shell("test -s dump/00-input.ir -a -s dump/01-differentiate.ir"), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(usage_errors_have_exit_code_2),
        cmocka_unit_test(bad_files_have_exit_code_3),
        cmocka_unit_test(explain_prints_the_plan_and_its_reasons),
        cmocka_unit_test(a_run_writes_a_checkpoint_that_samples),
        cmocka_unit_test(a_value_tells_its_story),
        cmocka_unit_test(a_step_is_drawn),
        cmocka_unit_test(curves_of_runs),
#if defined(__x86_64__)
        cmocka_unit_test(a_slow_blas_is_told),
#endif
        cmocka_unit_test(memory_that_cannot_fit_is_refused),
        cmocka_unit_test(stages_are_text_and_can_be_read_again),
    };
    return cmocka_run_group_tests(tests, run_setup, run_teardown);
}
