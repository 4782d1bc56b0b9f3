// The built program on a GPU that is none (fake_library.c, fake_nvrtc.c): train, resume, sample, check, bench and every
// refusal, as a user sees them. The kernels are the real ones, run by the emulation.
#include <setjmp.h>
#include <stdbool.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/e2e/run.h"

#define MODEL                                                                                                          \
    "--n_layer=1 --n_head=2 --n_embd=16 --block_size=8 --batch_size=2 --gradient_accumulation_steps=1 --data_dir=. "   \
    "--dataset=data --vocab_size=32 --eval_interval=2 --eval_iters=2 --log_interval=1 --warmup_iters=1 "               \
    "--learning_rate=1e-2 --keep_last=1 "

static void run_ok(const char *arguments) { expect(0, "", arguments); }

static bool log_has(const char *text) { return run_shell("grep -qF -- \"%s\" log", text) == 0; }

// The tensors of the folders' checkpoints: all behind their heads, which tell times and folders.
static bool same_tensors(const char *a, const char *b) {
    return run_shell("for d in %s %s; do f=$d/ckpt.safetensors; n=$(od -An -tu8 -N8 $f | tr -d ' '); "
                     "tail -c +$((n + 9)) $f | cksum; done | uniq | wc -l | grep -qx 1", a, b) == 0;
}

static bool same_lines(const char *pattern, const char *a, const char *b) {
    return run_shell("grep -o '%s' %s >a; grep -o '%s' %s >b; [ -s a ] && cmp a b", pattern, a, pattern, b) == 0;
}

// Tokens below 32, of no meaning.
static int set_up(void **state) {
    if (run_setup(state) != 0 || run_shell("mkdir data") != 0) return -1;
    uint16_t tokens[3000];
    for (uint32_t i = 0, x = 7; i < 3000; i++) tokens[i] = (uint16_t)((x = x * 1664525u + 1013904223u) >> 27);
    write_bytes("data/train.bin", tokens, sizeof tokens);
    write_bytes("data/val.bin", tokens, sizeof tokens);
    return 0;
}

// With SINTER_FAKE_GPU; see fake_library.c.
// A disassembler of our own, which shows that it was given machine code.
static void machine_code_is_shown_by_a_tool(void **state) {
    (void)state;
#define SASS "lower " MODEL "--emit=sass --target=sm_90a"
    if (run_shell("command -v nvdisasm || command -v cuobjdump") != 0)
        expect(2, "--emit=sass needs nvdisasm or cuobjdump, and neither is on PATH", SASS);
    assert_int_equal(run_shell("mkdir tools"), 0);
    write_text("tools/nvdisasm", "#!/bin/sh\ntest \"$1\" = -c && test -s \"$2\" && echo HMMA of $(wc -c <$2) bytes\n");
    assert_int_equal(run_shell("chmod +x tools/nvdisasm"), 0);
    const char *path = getenv("PATH");
    char *kept = strdup(path), longer[8192];
    assert_in_range(snprintf(longer, sizeof longer, "%s/tools:%s", run_folder, kept), 1, sizeof longer - 1);
    setenv("PATH", longer, 1);
    expect(0, "HMMA of ", SASS);
    write_text("tools/nvdisasm", "#!/bin/sh\nexit 3\n");
    expect(2, "'nvdisasm -c' ended with exit code 3", SASS);
    setenv("PATH", kept, 1);
    free(kept);
}

static void with_gpu(const char *kind, int code, const char *words, const char *arguments) {
    if (kind) setenv("SINTER_FAKE_GPU", kind, 1);
    expect(code, words, arguments);
    unsetenv("SINTER_FAKE_GPU");
}

// ---- tests

static void trains_and_resumes_exactly(void **state) {
    (void)state;
    run_ok("train " MODEL "--device=cuda --max_iters=6 --out_dir=whole");
    assert_true(log_has("device: NVIDIA H200"));
    assert_true(log_has("in all of the GPU"));
    run_ok("train " MODEL "--device=cuda --max_iters=6 --out_dir=again");
    assert_true(same_tensors("whole", "again"));
    run_ok("train " MODEL "--device=cuda --max_iters=3 --out_dir=parts");
    assert_false(same_tensors("whole", "parts"));
    run_ok("train --device=cuda --init_from=resume --max_iters=6 --out_dir=parts");
    assert_true(same_tensors("whole", "parts"));
    assert_true(same_lines("\"iter\":[0-9]*,\"loss\":[^,]*", "whole/metrics.jsonl", "parts/metrics.jsonl"));
}

// Stopped and resumed where no launch of four ends, and by a signal: what is under way is done, and counts.
static void several_steps_a_launch(void **state) {
    (void)state;
#define SEVERAL "train " MODEL "--device=cuda --eval_interval=7 --max_iters=19 "
    run_ok(SEVERAL "--steps_per_launch=1 --out_dir=singly");
    assert_true(log_has("steps in one graph, 1 steps a launch"));
    run_ok(SEVERAL "--steps_per_launch=4 --out_dir=fours");
    assert_true(same_tensors("singly", "fours"));
    assert_true(same_lines("\"iter\":[0-9]*,\"loss\":[^,]*,\"grad_norm\":[^,]*", "singly/metrics.jsonl",
                           "fours/metrics.jsonl"));
    run_ok(SEVERAL "--steps_per_launch=8 --max_iters=10 --out_dir=again4");
    run_ok("train --device=cuda --init_from=resume --steps_per_launch=3 --max_iters=19 --out_dir=again4");
    assert_true(same_tensors("singly", "again4"));
    assert_int_equal(run_shell("timeout -s INT 2 $SINTER " SEVERAL "--steps_per_launch=4 --max_iters=100000 "
                               "--out_dir=cut >log 2>&1; [ $? = 124 ]"), 0);
    assert_int_equal(run_shell("n=$(tail -1 cut/metrics.jsonl | grep -o '^{.iter.:[0-9]*' | grep -o '[0-9]*$') && "
                               "[ $n -gt 8 ] && $SINTER " SEVERAL
                               "--steps_per_launch=1 --max_iters=$n --out_dir=uncut >log 2>&1"), 0);
    assert_true(same_tensors("cut", "uncut"));
    run_ok("check " MODEL "--device=cuda --steps_per_launch=8");
    expect(2, "steps_per_launch = 9: 1 to 8", SEVERAL "--steps_per_launch=9");
    expect(2, "steps_per_launch = -1: 1 to 8", "check " MODEL "--steps_per_launch=-1");
}

// Kernels that begin early wait inside: the same bits as with plain edges. Those that forget to are seen.
static void kernels_begin_early(void **state) {
    (void)state;
#define EARLY "train " MODEL "--device=cuda --eval_interval=0 --max_iters=5 "
    run_ok(EARLY "--dependent_launch=False --out_dir=plain");
    assert_true(log_has("a kernel begins when those before it have ended"));
    run_ok(EARLY "--out_dir=early");
    assert_true(log_has("a kernel begins while those before it end"));
    assert_true(same_tensors("plain", "early"));
    setenv("SINTER_FAKE_NVRTC", "-DNEVER_AWAIT", 1);
    int code = run_sinter(EARLY "--cache=False --out_dir=slip");
    unsetenv("SINTER_FAKE_NVRTC");
    assert_true(code != 0 || !same_tensors("plain", "slip"));
    with_gpu("ampere", 0, "a kernel begins when those before it have ended", EARLY "--out_dir=ampere");
    with_gpu("ampere", 0, "have ended: its compute capability is below 9.0", "info");
    expect(0, "kernels may begin while those before them end", "info");
}

// A step as two kernels with barriers of the grid: the same bits, run after run, several steps a launch or one; by
// key or by choice. Barriers that do nothing are seen.
static void persistent_kernels(void **state) {
    (void)state;
#define PERSISTENT "train " MODEL "--device=cuda --max_iters=9 "
    with_gpu("few", 0, "", PERSISTENT "--out_dir=launched");
    with_gpu("few", 0, "launches: 2 kernels for the plan's", PERSISTENT "--persistent=True --out_dir=persistent");
    assert_true(same_tensors("launched", "persistent"));
    assert_true(same_lines("\"iter\":[0-9]*,\"loss\":[^,]*", "launched/metrics.jsonl", "persistent/metrics.jsonl"));
    with_gpu("few", 0, "4 steps a launch", PERSISTENT "--persistent=True --steps_per_launch=4 --out_dir=fours");
    assert_true(same_tensors("launched", "fours"));
    write_text("one.choices", "make \"persistent kernel\"\n");
    with_gpu("few", 0, "launches: 2 kernels", PERSISTENT "--choices=one.choices --out_dir=chosen");
    assert_true(same_tensors("launched", "chosen"));
    setenv("SINTER_FAKE_GPU", "few", 1);
    setenv("SINTER_FAKE_NVRTC", "-DNO_GRID_BARRIER", 1);
    int code = run_sinter(PERSISTENT "--persistent=True --cache=False --out_dir=slip");
    unsetenv("SINTER_FAKE_NVRTC");
    unsetenv("SINTER_FAKE_GPU");
    assert_true(code != 0 || !same_tensors("launched", "slip"));
    expect(0, "grid_barrier(", "lower " MODEL "--emit=cuda --target=sm_90a --persistent=True");
    expect(0, "persistent kernel: a candidate: ", "lower " MODEL "--emit=ledger --target=sm_90a");
}

// A checkpoint has f32 only: copies in bf16 are made of it.
static void trains_in_bf16(void **state) {
    (void)state;
    assert_int_equal(
        run_shell("printf 'make product by tensor cores\\nmake product by warpgroups\\n' >tensor.choices"), 0);
#define HALF "train " MODEL "--n_embd=32 --block_size=16 --device=cuda --dtype=bfloat16 --choices=tensor.choices "
    run_ok(HALF "--max_iters=4 --out_dir=whole_half");
    run_ok(HALF "--max_iters=2 --out_dir=half");
    assert_false(same_tensors("whole_half", "half"));
    run_ok("train --device=cuda --choices=tensor.choices --init_from=resume --max_iters=4 --out_dir=half");
    assert_true(same_tensors("whole_half", "half"));
    run_ok("sample --device=cuda --dtype=bfloat16 --out_dir=half --num_samples=1 --max_new_tokens=4");
}

// Products by cuBLASLt have the bits of Sinter's own here: sums are exact chains in both. What a machine lacks is said.
// Attention without scores anywhere; who computes them is told, and nobody else.
static void attention_is_swept(void **state) {
    (void)state;
#define SWEPT MODEL "--device=cuda --dtype=bfloat16 --choices=sweep.choices --block_size=64 --n_embd=64 "
    write_text("sweep.choices", "make product by tensor cores\nmake sweep\n");
    run_ok("train " SWEPT "--max_iters=4 --out_dir=swept");
    run_ok("train " SWEPT "--max_iters=2 --out_dir=swept_twice");
    run_ok("train --device=cuda --choices=sweep.choices --init_from=resume --max_iters=4 --out_dir=swept_twice");
    assert_true(same_tensors("swept", "swept_twice"));
    run_ok("check " SWEPT "--full=True");
    run_ok("explain " SWEPT "--why=layer[0].p");
    assert_true(log_has("sweep softmax at layer[0].y"));
    assert_int_equal(run_shell("sed '/stored/,$d' log | grep -c 'step [0-9]*, sweep' | grep -qx 3"), 0);
    assert_int_equal(run_shell("sed '/stored/,$d' log | grep -c 'step [0-9]*, [a-z]' | grep -qx 3"), 0);
}

static void products_by_a_library(void **state) {
    (void)state;
    write_text("library.choices", "engine * cublaslt\n");
#define SHORT "train " MODEL "--device=cuda --max_iters=2 "
    run_ok(SHORT "--fuse=op --out_dir=by_library");
    assert_false(log_has("no cuBLASLt"));
    setenv("SINTER_FAKE_LIBRARY", "old", 1);
    run_ok(SHORT "--fuse=op --out_dir=own");
    assert_true(log_has("products: by Sinter's own kernels; no cuBLASLt: libcublasLt.so.13 is version 11.11.1"));
    expect(2, "cannot be followed: there is no cuBLASLt on this machine", SHORT "--choices=library.choices");
    unsetenv("SINTER_FAKE_LIBRARY");
    assert_true(same_tensors("by_library", "own"));
    run_ok(SHORT "--choices=library.choices --gradient_accumulation_steps=2 --out_dir=by_library");
    run_ok(SHORT "--gradient_accumulation_steps=2 --out_dir=own");
    assert_true(log_has("steps in one graph, 4 steps a launch"));
    assert_true(same_tensors("by_library", "own"));
    run_ok("explain " MODEL "--device=cuda --fuse=op");
    assert_true(log_has("product, cublaslt"));
    run_ok("check " MODEL "--device=cuda --full --n_embd=32 --block_size=16 --choices=library.choices --tf32=True");
    run_ok("check " MODEL "--device=cuda --full --n_embd=32 --fuse=op --dtype=bfloat16");
    run_ok("check " MODEL "--device=cuda --full --bias=True --gelu=tanh --choices=library.choices");   // with epilogues
    setenv("SINTER_FAKE_LIBRARY", "refuses", 1);
    expect(5, "cuBLASLt cannot compute", SHORT "--fuse=op --out_dir=refused");
    unsetenv("SINTER_FAKE_LIBRARY");
}

// ---- float16

// What metrics say of a training; loss_scale 0: nothing of it. An overflow has a gradient norm of -1.
enum { MOST_STEPS = 64 };
typedef struct {
    int count, overflows;
    double losses[MOST_STEPS], norms[MOST_STEPS], scales[MOST_STEPS];
} Steps;

static double number_behind(const char *line, const char *key) {
    const char *at = strstr(line, key);
    return !at ? 0 : strncmp(at + strlen(key), "null", 4) == 0 ? -1 : strtod(at + strlen(key), NULL);
}

static Steps steps_of(const char *folder) {
    char path[4096], line[512];
    Steps steps = {0};
    assert_in_range(snprintf(path, sizeof path, "%s/%s/metrics.jsonl", run_folder, folder), 1, sizeof path - 1);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    while (fgets(line, sizeof line, file)) {
        assert_in_range(steps.count, 0, MOST_STEPS - 1);
        int k = steps.count++;
        steps.losses[k] = number_behind(line, "\"loss\":");
        steps.norms[k] = number_behind(line, "\"grad_norm\":");
        steps.scales[k] = number_behind(line, "\"loss_scale\":");
        steps.overflows += steps.norms[k] == -1;
    }
    fclose(file);
    return steps;
}

// So many tokens more than a block has that there is one place to begin at: all batches are one.
static void write_one_batch(void) {
    assert_int_equal(run_shell("mkdir -p single"), 0);
    uint16_t tokens[17];
    for (uint32_t i = 0, x = 7; i < 17; i++) tokens[i] = (uint16_t)((x = x * 1664525u + 1013904223u) >> 27);
    write_bytes("single/train.bin", tokens, sizeof tokens);
    write_bytes("single/val.bin", tokens, sizeof tokens);
}

#define ONE_BATCH                                                                                                      \
    "train " MODEL "--n_embd=32 --block_size=16 --device=cuda --dataset=single --eval_interval=0 --decay_lr=False "    \
    "--learning_rate=1e-3 "
#define IN_F16 ONE_BATCH "--dtype=float16 --choices=tensor.choices --growth_interval=100 "
enum { LAST = 17, LARGE = 1 << 29 };

// Gradients overflow until the scale has been halved often enough. The steps taken from there on have the bits of a run
// whose scale is right from its beginning, so that nothing is left of those that were skipped, and they are near those
// in f32. A run that is interrupted among the overflows goes on with its scale.
static void trains_in_f16(void **state) {
    (void)state;
    write_one_batch();
    assert_int_equal(run_shell("echo 'make product by tensor cores' >tensor.choices"), 0);
    assert_int_equal(run_sinter(IN_F16 "--init_scale=%d --max_iters=%d --out_dir=large", LARGE, LAST), 0);
    assert_true(log_has("iter 0: gradients overflow at a loss scale of 5.36871e+08: no update was made, the scale is "
                        "halved"));
    Steps large = steps_of("large");
    int skipped = large.overflows, taken = LAST - skipped;
    assert_int_equal(large.count, LAST + 1);
    assert_in_range(skipped, 3, LAST - 4);
    for (int i = 0; i <= LAST; i++) {
        assert_true((large.norms[i] == -1) == (i < skipped));
        assert_true(large.scales[i] == LARGE >> (i < skipped ? i : skipped));
    }
    assert_int_equal(run_sinter(IN_F16 "--init_scale=%d --max_iters=%d --out_dir=fitting", LARGE >> skipped, taken), 0);
    assert_int_equal(run_sinter(ONE_BATCH "--max_iters=%d --out_dir=wide", taken), 0);
    Steps fitting = steps_of("fitting"), wide = steps_of("wide");
    assert_int_equal(fitting.count + wide.count, 2 * (taken + 1));
    for (int i = 0; i <= taken; i++) {
        assert_true(fitting.losses[i] == large.losses[skipped + i] && fitting.norms[i] == large.norms[skipped + i]);
        assert_true(fabs(fitting.losses[i] - wide.losses[i]) < 1e-3 * wide.losses[i]);
        assert_true(fabs(fitting.norms[i] - wide.norms[i]) < 2e-2 * wide.norms[i] && wide.scales[i] == 0);
    }
    assert_true(fitting.losses[taken] < fitting.losses[0] && fitting.losses[taken] != wide.losses[taken]);
    assert_int_equal(run_sinter(IN_F16 "--init_scale=%d --max_iters=%d --out_dir=parts_f16", LARGE, skipped - 2), 0);
    assert_false(same_tensors("large", "parts_f16"));
    assert_int_equal(run_sinter("train --device=cuda --choices=tensor.choices --init_from=resume --max_iters=%d "
                                "--out_dir=parts_f16", LAST), 0);
    assert_true(same_tensors("large", "parts_f16"));
    run_ok("sample --device=cuda --dtype=float16 --out_dir=large --num_samples=1 --max_new_tokens=4");
}

// Where nothing is rounded to f16, a scale that is a power of two changes no bits but its own: of no parameter, nor of
// the gradients that are shown.
static void a_scale_alone_changes_nothing(void **state) {
    (void)state;
    assert_int_equal(run_shell("echo 'forbid product by tensor cores' >vector.choices"), 0);
#define PLAIN "train " MODEL "--device=cuda --gradient_accumulation_steps=2 --max_iters=4 "
    run_ok(PLAIN "--grads_out=plain.grads --out_dir=plain");
    run_ok(PLAIN "--grads_out=scaled.grads --out_dir=scaled --dtype=float16 --choices=vector.choices "
                 "--init_scale=1024");
    Steps plain = steps_of("plain"), scaled = steps_of("scaled");
    assert_int_equal(plain.count, scaled.count);
    for (int i = 0; i < plain.count; i++)
        assert_true(plain.losses[i] == scaled.losses[i] && plain.norms[i] == scaled.norms[i]);
    assert_int_equal(run_shell("cmp plain.grads scaled.grads"), 0);
}

static void accumulates_and_drops_out(void **state) {
    (void)state;
    run_ok("train " MODEL "--device=cuda --gradient_accumulation_steps=3 --dropout=0.2 --max_iters=4 --out_dir=one");
    run_ok("train " MODEL "--device=cuda --gradient_accumulation_steps=3 --dropout=0.2 --max_iters=4 --out_dir=two");
    assert_true(same_tensors("one", "two"));
    run_ok("train " MODEL "--device=cuda --gradient_accumulation_steps=3 --dropout=0.0 --max_iters=4 --out_dir=two");
    assert_false(same_tensors("one", "two"));
}

static void evaluates_only(void **state) {
    (void)state;
    run_ok("train " MODEL "--device=cuda --max_iters=2 --out_dir=eval");
    run_ok("train --device=cuda --init_from=resume --eval_only=True --out_dir=eval");
    assert_true(log_has("step 3: train loss"));
}

static void is_chosen_where_it_is(void **state) {
    (void)state;
    run_ok("train " MODEL "--max_iters=1 --out_dir=auto");
    assert_true(log_has("device: NVIDIA H200"));
}

// Every kernel of a step, timed on the driver's clock; with micro-batches, theirs too.
static void profiles(void **state) {
    (void)state;
    run_ok("profile " MODEL "--device=cuda --fuse=op --steps=2 --full");
    assert_true(log_has("product, cublaslt"));
    assert_true(log_has("of the step is products by cuBLASLt"));
    run_ok("profile " MODEL "--device=cuda --steps=2 --full --json=profile.json --trace=trace.json");
    assert_true(log_has("of NVIDIA H200 (66.9 TFLOP/s f32, datasheet)"));
    assert_true(log_has("launches, "));
    assert_true(log_has("cross_entropy"));
    assert_int_equal(run_shell("grep -qF '\"name\":\"training step ' trace.json"), 0);
    // As many kernels of the last traced step as launches.
    assert_int_equal(run_shell("launches=$(grep -o 'waiting .* launches' log | grep -o ' [0-9]* launches' | head -1); "
                               "traced=$(grep -c '\"tid\":1,\"args\":{\"place\"' trace.json); "
                               "[ \"$launches\" = \" $((traced / 3)) launches\" ]"), 0);
    run_ok("profile " MODEL "--device=cuda --steps=2 --gradient_accumulation_steps=3 --tf32=True --fuse=none");
    assert_true(log_has("batch 2 x 3"));
    with_gpu("broken", 5, "the GPU cannot", "profile " MODEL "--device=cuda --steps=1");
}

// Levels on a GPU, alone and beside the processor, whose losses they have bit for bit; and again from the record.
static void benches(void **state) {
    (void)state;
    run_ok("bench " MODEL
           "--device=cuda --levels=op,all --rounds=2 --steps=2 --json=gpu.json --report=gpu.html");
    assert_true(log_has("gpu: NVIDIA H200, 66.9 TFLOP/s f32, 4800 GB/s by its datasheet"));
    assert_true(log_has("last losses: 1 of 1 like all's bit for bit"));
    assert_false(log_has("devices: "));
    assert_int_equal(run_shell("grep -qF '\"device\": \"cuda\"' gpu.json && grep -qF '\"gpu\": \"NVIDIA H200\"' "
                               "gpu.json && grep -qF 'peak 66900 GFLOP/s' gpu.html"), 0);
    expect(0, "losses: equal", "bench --replay=gpu.json");
    with_gpu("none", 2, "no usable GPU", "bench --replay=gpu.json");
#ifdef HAS_CPU
    run_ok("bench " MODEL "--device=cuda,cpu --levels=op --rounds=2 --steps=2 --json=both.json --tf32=True");
    assert_true(log_has("devices: cuda op takes "));
    assert_true(log_has("unlike: products on the GPU may round their factors to tf32"));
    expect(0, "losses: equal", "bench --replay=both.json");
#endif
}

static void samples(void **state) {
    (void)state;
    run_ok("train " MODEL "--device=cuda --max_iters=1 --out_dir=spoken");
    run_ok("sample --device=cuda --out_dir=spoken --num_samples=2 --max_new_tokens=4");
    assert_true(log_has("---------------"));

}

static void checks_against_the_reference(void **state) {
    (void)state;
    run_ok("check " MODEL "--device=cuda --full");
    assert_true(log_has("passed"));
    run_ok("check " MODEL "--device=cuda --full --fuse=op");
    assert_int_equal(run_shell("echo 'make product by tensor cores' >tensor.choices"), 0);
#define ROUNDS "check " MODEL "--device=cuda --full --n_embd=32 --block_size=16 --choices=tensor.choices "
    run_ok(ROUNDS "--tf32=True");
    run_ok(ROUNDS "--dtype=bfloat16");
    assert_int_equal(run_shell("grep -q 'worst gradient error [0-9.]*e-0[23] ' log"), 0);   // it rounds
    run_ok(ROUNDS "--dtype=float16");
    assert_int_equal(run_shell("grep -q 'worst gradient error [0-9.]*e-0[34] ' log"), 0);
}

// The first update is far too large: what follows is not finite, and updates nothing.
static void what_is_not_finite_is_not_applied(void **state) {
    (void)state;
#define WILD "train " MODEL "--device=cuda --eval_interval=0 --decay_lr=False --learning_rate=1e18 --max_iters=8 "
    expect(6, "iteration 1: loss is", WILD "--out_dir=wild");
    assert_true(log_has("the state before it is in wild/ckpt.safetensors"));
    run_ok("train " MODEL
           "--device=cuda --eval_interval=0 --decay_lr=False --learning_rate=1e18 --max_iters=0 --out_dir=tame");
    assert_true(same_tensors("wild", "tame"));
    expect(6, "3 iterations before it were skipped", WILD "--nonfinite=skip --out_dir=skips");
    assert_true(log_has("iteration 4: loss is"));
    assert_true(same_tensors("skips", "tame"));
}

static void every_refusal_is_a_line_and_an_exit_code(void **state) {
    (void)state;
#define TRAIN "train " MODEL "--device=cuda --max_iters=1 --out_dir=refused"
    with_gpu("none", 2, "device 'cuda': no usable GPU: the driver finds no GPU", TRAIN);
    with_gpu("old", 2, "the driver is for CUDA 11.8; 12.0 or newer is needed", TRAIN);
    with_gpu("small", 4, "MB of the GPU's memory", "train " MODEL "--device=cuda --n_embd=256 --out_dir=refused");
    with_gpu("broken", 5, "the GPU cannot", TRAIN);
    with_gpu(NULL, 2, "dtype 'int8': float32, or on a GPU bfloat16", TRAIN " --dtype=int8");
    with_gpu(NULL, 2, "init_scale = 0.5: 1 to 2^126", TRAIN " --dtype=float16 --init_scale=0.5");
    with_gpu(NULL, 2, "growth_interval = 0: 1 to 2^24", TRAIN " --dtype=float16 --growth_interval=0");
    with_gpu(NULL, 2, "--ablate: one device at a time", "bench " MODEL "--device=cpu,cuda --ablate=True");
    with_gpu(NULL, 2, "device 'cuda,gpu': cpu, cuda, auto, or both", "bench " MODEL "--device=cuda,gpu");
    with_gpu("none", 2, "device 'cuda': no usable GPU", "bench " MODEL "--device=cpu,cuda");
    const char *path = getenv("LD_LIBRARY_PATH");
    char *kept = path ? strdup(path) : NULL;
    unsetenv("LD_LIBRARY_PATH");
    with_gpu(NULL, 2, "no usable GPU: ", TRAIN);
    if (kept) setenv("LD_LIBRARY_PATH", kept, 1);
    free(kept);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(trains_and_resumes_exactly),
        cmocka_unit_test(several_steps_a_launch),
        cmocka_unit_test(kernels_begin_early),
        cmocka_unit_test(persistent_kernels),
        cmocka_unit_test(trains_in_bf16),
        cmocka_unit_test(attention_is_swept), cmocka_unit_test(products_by_a_library),
        cmocka_unit_test(trains_in_f16),
        cmocka_unit_test(a_scale_alone_changes_nothing),
        cmocka_unit_test(accumulates_and_drops_out),
        cmocka_unit_test(evaluates_only),
        cmocka_unit_test(is_chosen_where_it_is),
        cmocka_unit_test(profiles),
        cmocka_unit_test(benches),
        cmocka_unit_test(samples),
        cmocka_unit_test(checks_against_the_reference),
        cmocka_unit_test(what_is_not_finite_is_not_applied),
        cmocka_unit_test(machine_code_is_shown_by_a_tool),
        cmocka_unit_test(every_refusal_is_a_line_and_an_exit_code),
    };
    return cmocka_run_group_tests(tests, set_up, run_teardown);
}
