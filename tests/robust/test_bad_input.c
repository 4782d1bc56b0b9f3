// What a person can get wrong on the command line, in files, on disks: the exit code of README.md and a sentence that
// names place and remedy. Never a signal.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/e2e/run.h"

#define SMALL                                                                                                          \
    " --n_layer=1 --n_head=2 --n_embd=16 --block_size=8 --batch_size=2 --eval_interval=0"                              \
    " --gradient_accumulation_steps=1 --vocab_size=5 --threads=2 "
#define GOOD SMALL "--train_bin=good.bin --max_iters=2 "

// The same in a shell: `before` is what the shell does first.
static void expect_shell(int code, const char *fragment, const char *before, const char *arguments) {
    int status = run_shell("{ %s; } && timeout 100 $SINTER %s >log 2>&1", before, arguments);
    expect_log(status, code, fragment, arguments);
}

static int set_up(void **state) {
    if (run_setup(state) != 0) return -1;
    write_tokens("good.bin", 4000);
    return 0;
}

static void keys(void **state) {
    (void)state;
    expect(2, "unknown key 'n_haed'; did you mean 'n_head'?", "train" GOOD "--n_haed=2");
    expect(2, "max_iters", "train" GOOD "--max_iters=2.5");
    expect(2, "max_iters", "train" GOOD "--max_iters=9223372036854775808");
    expect(2, "learning_rate", "train" GOOD "--learning_rate=fast");
    expect(2, "learning_rate", "train" GOOD "--learning_rate=1e999");
    expect(2, "fuse", "train" GOOD "--fuse=most");
    expect(2, "threads = -1", "train" GOOD "--threads=-1");
    expect(2, "threads = 100000", "train" GOOD "--threads=100000");
    expect(2, "16 is not divisible by 3", "train" GOOD "--n_head=3");
    expect(2, "block_size = 0", "train" GOOD "--block_size=0");
    write_text("odd.cfg", "batch_size = 2\nn_layr = 1\n");
    expect(2, "odd.cfg:2:1: error: unknown key 'n_layr'; did you mean 'n_layer'?", "train odd.cfg" GOOD);
    write_text("typed.cfg", "batch_size = 'two'\n");
    expect(2, "typed.cfg:1:14:", "train typed.cfg" GOOD);
    write_bytes("zero.cfg", "batch_size = 2\n\0max_iters = x\n", 30);
    expect(3, "zero.cfg: is no text: byte 15 is 0", "train zero.cfg" GOOD);
    assert_int_equal(run_shell("yes 'x' | head -c 200000 >many.cfg"), 0);
    expect(2, "many.cfg:20:1", "train many.cfg" GOOD);
}

#define MODEL "model odd\ndim B=batch_size T=block_size V=vocab_size C=4\n"
#define INPUTS "input tok[B,T]:u16 target[B,T]:u16\n"
#define PARAM(name) "param w[V,C] ones as \"" name "\"\n"
#define LOGITS "logits[B,T,V] = sum(C) w[V=tok] * w\n"
#define LOSS "loss = mean(B,T) cross_entropy(V)(logits, target)\n"

static void models(void **state) {
    (void)state;
    static const struct {
        const char *spec, *message;
    } specs[] = {
        {"", "a model begins with a line such as 'model mine'"},
        {MODEL "input tok[B,T]:u16\n" PARAM("w") LOGITS "loss = mean(B,T) lse(V) logits\n",
         "the loss does not depend on the input 'target'"},
        {MODEL "input tok[T,B]:u16 target[T,B]:u16\n" PARAM("w") LOGITS LOSS,
         "input tok[T=8,B=2] does not have the dims of a batch"},
        {MODEL
         "dim E=3\ninput tok[B,E]:u16 target[B,T]:u16\n" PARAM("w") "logits[B,V] = sum(C) w[V=tok[E=0]] * w\n" LOSS,
         "input tok[B=2,E=3] does not have"},
        {MODEL INPUTS "input z[B]:u16\n" PARAM("w") "logits[B,T,V] = z * sum(C) w[V=tok] * w\n" LOSS,
         "input z[B=2] is never given"},
        {MODEL INPUTS "logits[B,T,V] = tok * V\n" LOSS, "nothing to train"},
        {MODEL INPUTS PARAM("adam.m.w") LOGITS LOSS,
         "the stored name \"adam.m.w\" is kept for the optimizer's moments"},
        {MODEL INPUTS PARAM("accumulate.w") LOGITS LOSS, "is kept for accumulated gradients"},
        {MODEL INPUTS PARAM("grad.w") LOGITS LOSS, "is kept for gradients"},
        {MODEL INPUTS PARAM("__metadata__") LOGITS LOSS, "is kept for the metadata of a file"},
        {MODEL INPUTS PARAM("learning_rate") LOGITS LOSS, "is kept for an input of every model"},
        {MODEL INPUTS PARAM("loss") LOGITS LOSS, "is kept for the model's output"},
        {MODEL INPUTS PARAM("w\xff") LOGITS LOSS, "byte 0xff in a stored name"},
        {MODEL INPUTS "param w[V,C] as \"w\"\n" LOGITS LOSS, "no initial value here"},
        {MODEL INPUTS "param w[V,C] normal(0/0) as \"w\"\n" LOGITS LOSS, "w[V,C]"},
        {MODEL "dim E=2000000000 F=2000000000\n" INPUTS "param u[E,F] ones as \"u\"\n" PARAM("w") LOGITS LOSS,
         "would have 4e+18 elements"},
    };
    for (size_t i = 0; i < sizeof specs / sizeof *specs; i++) {
        write_text("odd.spec", specs[i].spec);
        expect(2, specs[i].message,
               "train odd.spec --train_bin=good.bin --batch_size=2 --block_size=8 --vocab_size=5 --max_iters=1 "
               "--eval_interval=0 --gradient_accumulation_steps=1");
    }
    write_bytes("zero.spec", "model x\n\0", 9);
    expect(3, "zero.spec: is no text: byte 8 is 0", "train zero.spec");
    write_text("flat.spec",
               MODEL INPUTS PARAM(
                   "w") "logits[B,V] = sum(C) w[V=tok[T=0]] * w\nloss = mean(B,T) cross_entropy(V)(logits, target)\n");
    expect(0, "iter 1",
           "train flat.spec --train_bin=good.bin --batch_size=2 --block_size=8 --vocab_size=5 --max_iters=1 "
           "--eval_interval=0 "
           "--gradient_accumulation_steps=1 --out_dir=flat");
    expect(2, "logits must have the dims", "sample --out_dir=flat --num_samples=1");
    expect(2, "num_samples and max_new_tokens", "sample --out_dir=flat --num_samples=0");
    expect(2, "num_samples and max_new_tokens", "sample --out_dir=flat --max_new_tokens=4294967296");
}

static void tokens(void **state) {
    (void)state;
    expect(3, "No such file", "train" SMALL "--train_bin=none.bin");
    expect(3, "Is a directory", "train" SMALL "--train_bin=.");
    expect(3, "not a plain file", "train" SMALL "--train_bin=/dev/null");
    write_bytes("empty.bin", "", 0);
    expect(3, "empty.bin: has no tokens", "train" SMALL "--train_bin=empty.bin");
    write_bytes("odd.bin", "\1\0\1", 3);
    expect(3, "odd.bin: 3 bytes are not a whole number of 2-byte tokens", "train" SMALL "--train_bin=odd.bin");
    write_bytes("short.bin", "\1\0\1\0", 4);
    expect(3, "short.bin: 2 tokens, too short for one batch, which needs 9", "train" SMALL "--train_bin=short.bin");
    char beyond[200];
    memset(beyond, 7, sizeof beyond);
    write_bytes("beyond.bin", beyond, sizeof beyond);
    expect(3, "but vocab_size is 5", "train" SMALL "--train_bin=beyond.bin");
    uint32_t header[256 + 20] = {20240520, 9, 40};
    write_bytes("version.bin", header, sizeof header);
    expect(3, "version.bin: token file with magic 20240520 and unknown version 9",
           "train" SMALL "--train_bin=version.bin");
    header[1] = 1, header[2] = 41;
    write_bytes("count.bin", header, sizeof header);
    expect(3, "count.bin: its header promises 41 tokens, but 80 bytes follow it",
           "train" SMALL "--train_bin=count.bin");
}

static void characters(void **state) {
    (void)state;
    static const struct {
        const char *name, *text, *message;
    } metas[] = {
        {"json", "", "meta.json:"},
        {"json", "{\"vocab_size\": }", "unexpected token near '}'"},
        {"json", "{}", "needs \"vocab_size\", a number from 1 to 2147483647"},
        {"json", "{\"vocab_size\": 0}", "needs \"vocab_size\", a number from 1"},
        {"json", "{\"vocab_size\": 4, \"itos\": [\"a\"]}", "\"itos\" must be a list of vocab_size = 4 characters"},
        {"json", "{\"vocab_size\": 2, \"itos\": [\"a\", \"bc\"]}", "entry 1 of \"itos\" is not one character"},
        {"json", "{\"vocab_size\": 2, \"itos\": [\"a\", \"a\"]}", "a character appears twice"},
        {"pkl", "\x80\4", "ends in the middle of an instruction"},
        {"pkl", "cposix\nsystem\n.", "pickle instruction 0x63 is not one of a plain dictionary"},
        {"pkl", "\x80\4}.", "needs 'vocab_size', and 'itos' as a dictionary"},
        {"pkl", "\x80\x09.", "pickle protocol 9; 2 to 5 can be read"},
    };
    for (size_t i = 0; i < sizeof metas / sizeof *metas; i++) {
        char name[64];
        assert_int_equal(run_shell("rm -rf set && mkdir set && cp good.bin set/train.bin"), 0);
        snprintf(name, sizeof name, "set/meta.%s", metas[i].name);
        write_text(name, metas[i].text);
        expect(3, metas[i].message,
               "train --n_layer=1 --n_head=2 --n_embd=16 --block_size=8 --batch_size=2 --eval_interval=0 "
               "--gradient_accumulation_steps=1 --train_bin=set/train.bin --max_iters=1");
    }
}

static void other_files(void **state) {
    (void)state;
    write_text("odd.choices", "forbid strand\nkeeep layer[*].p\n");
    expect(2, "odd.choices:2:1: error: there is no choice 'keeep'", "train" GOOD "--choices=odd.choices");
    write_text("none.choices", "keep layer[7].p\n");
    expect(2, "none.choices:1:1", "train" GOOD "--choices=none.choices");
    write_bytes("zero.choices", "forbid strand\0\n", 15);
    expect(3, "zero.choices: is no text: byte 13 is 0", "train" GOOD "--choices=zero.choices");
    expect(3, "No such file", "train" GOOD "--choices=absent.choices");
    write_text("bench.json", "{\"format\":\"sinter bench\",\"version\":1}");
    expect(3, "bench.json: not a record of sinter bench: 'versions' is missing", "bench --replay=bench.json");
    write_text("bench.json", "{\"format\":\"other\"}");
    expect(3, "its format is not \"sinter bench\"", "bench --replay=bench.json");
    write_text("m.jsonl", "{\"iter\":0,\"loss\":1}\nnull\n");
    expect(3, "m.jsonl:2: ", "plot m.jsonl");
    write_text("graph.ir", "graph \"x\"\ndim T=0\n");
    expect(2, "graph.ir:2:7: error: the extent 0 is not in 1..2147483647", "lower graph.ir");
    write_text("plan.ir", "plan \"x\"\nstep 0 map\n");
    expect(2, "plan.ir:3:1: error: expected a label in quotes", "lower plan.ir");
    write_text("latin.txt", "na\xefve");
    expect(3, "latin.txt: byte 2 is not valid UTF-8", "prepare latin.txt -o prepared");
}

static void places_to_write(void **state) {
    (void)state;
    expect(5, "good.bin: exists and is not a directory", "train" GOOD "--out_dir=good.bin");
    expect(5, "cannot create directory", "train" GOOD "--out_dir=good.bin/inner");
    expect(5, "cannot create", "train" GOOD "--metrics=absent/m.jsonl");
    if (geteuid() != 0) {
        expect_shell(5, "Permission denied", "mkdir -p locked && chmod 500 locked",
                     "train" GOOD "--out_dir=locked/out");
        expect_shell(3, "Permission denied", "cp good.bin secret.bin && chmod 0 secret.bin",
                     "train" SMALL "--train_bin=secret.bin");
    }
}

static void full_disks(void **state) {
    (void)state;
    expect(5, "/dev/full: cannot write: No space left on device", "train" GOOD "--metrics=/dev/full");
    expect_shell(5, "", "true", "train" GOOD "--out_dir=run >/dev/full #");
    // Files may have 4 kB: the checkpoint does not fit, and the one before it stays.
    expect(0, "iter 2", "train" GOOD "--out_dir=kept");
    expect_shell(5, "cannot write", "cp kept/ckpt.safetensors before && trap '' XFSZ && ulimit -f 8",
                 "train" GOOD "--out_dir=kept --metrics=none");
    expect_shell(0, "", "cmp before kept/ckpt.safetensors && ! ls kept/*.tmp* 2>/dev/null", "info --help");
}

static void files_that_shrink(void **state) {
    (void)state;
    // The tokens are there, and no earlier log, before anything runs beside the training. A line says that it has
    // begun; then the tokens are cut off under it.
    assert_int_equal(run_shell("cp good.bin shrinks.bin && : >log"), 0);
    expect_shell(5, "shrinks.bin: became shorter while it was read",
                 "{ for i in $(seq 1000); do grep -q 'iter 3:' log && break; sleep 0.05; done; "
                 "truncate -s 64 shrinks.bin; } & true",
                 "train" SMALL "--train_bin=shrinks.bin --max_iters=2000000 --out_dir=shrinking");
}

static void scarce_memory(void **state) {
    (void)state;
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) // which take more addresses than there is memory
    // The text is larger than the memory that the process may have.
    expect_shell(4, "out of memory (", "truncate -s 1900M huge.txt && ulimit -v 1500000",
                 "prepare huge.txt -o prepared");
    expect_shell(0, "", "rm huge.txt", "info --help");
#endif
    expect(4, "lower batch_size (100000) or block_size", "train" GOOD "--batch_size=100000 --n_embd=1024");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys),           cmocka_unit_test(models),     cmocka_unit_test(tokens),
        cmocka_unit_test(characters),     cmocka_unit_test(other_files), cmocka_unit_test(places_to_write),
        cmocka_unit_test(full_disks),     cmocka_unit_test(files_that_shrink), cmocka_unit_test(scarce_memory),
    };
    return cmocka_run_group_tests(tests, set_up, run_teardown);
}
