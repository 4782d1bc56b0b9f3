// Memory that runs out at any point of compiling, of a checkpoint and of reading data: no crash, nothing left behind,
// and the caller is told. SINTER_POINTS says how many points of each kind are tried; otherwise the gate's numbers hold.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "driver/command.h"
#include "driver/compile.h"
#include "runtime/prefetch.h"
#include "runtime/tensor_file.h"
#include "runtime/vocabulary.h"
#include "sinter.h"
#include "tests/robust/scarce.h"

static char folder[] = "/tmp/sinter-robust-XXXXXX";

static const char *in_folder(const char *name) {
    static char path[2][128];
    static int next;
    next = !next;
    snprintf(path[next], sizeof path[next], "%s/%s", folder, name);
    return path[next];
}

static void write_bytes(const char *path, const void *bytes, size_t count) {
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, count, file), count);
    assert_int_equal(fclose(file), 0);
}

static long points_wanted(long gate) {
    const char *text = getenv("SINTER_POINTS");
    return text ? atol(text) : gate;
}

// Refuses `wanted` requests, spread over all of them, each alone and with everything after it.
static void try_points(const char *what, Outcome (*work)(void *context), void *context, long wanted) {
    Scarce whole = scarce_run(work, context, 0, false);
    if (whole.outcome != WORK_DONE) fail_msg("%s: is refused with memory enough", what);
    long tried = whole.requests < wanted ? whole.requests : wanted, survived = 0;
    for (long i = 0; i < tried; i++) {
        long point = 1 + i * (whole.requests - 1) / (tried > 1 ? tried - 1 : 1);
        Scarce result = scarce_run(work, context, point, i % 2);
        if (result.blocks || result.files || result.threads)
            fail_msg("%s: refused at request %ld of %ld, it leaves %ld blocks, %ld files and %d threads", what, point,
                     whole.requests, result.blocks, result.files, result.threads);
        if (result.outcome == WORK_DONE) survived++;
    }
    printf("%s: %ld requests, refused at %ld points; %ld times it could do without\n", what, whole.requests, tried,
           survived);
    // Only what happens on the side may fail unseen: a batch read ahead, the memory of a measurement.
    assert_true(survived * 4 <= tried);
}

// ---- compiling

static const char *const settings[] = {"n_layer=1",    "n_head=2",     "n_embd=16",   "batch_size=2",
                                       "block_size=8", "vocab_size=5", "dropout=0.1", "bias=True"};
enum { SETTINGS = sizeof settings / sizeof *settings };

static Outcome make_plans(void *context) {
    const char *name = context;
    Arena *arena = arena_create();
    Diags *diags = diags_create(arena);
    Config *config = config_create(arena);
    declare_train_keys(config);
    Spec *spec = spec_parse(arena, name, spec_embedded(name), diags);
    bool sound = spec && spec_declare(spec, config, diags);
    for (size_t i = 0; i < SETTINGS && sound; i++) {
        const char *equals = strchr(settings[i], '=');
        const char *key = arena_copy_range(arena, settings[i], (size_t)(equals - settings[i]));
        sound = config_assign(config, key, equals + 1, (Place){0}, diags);
    }
    Target target = target_default();
    StateTable states = {.arena = arena};
    CompileRequest request = {.target = &target, .fuse = FUSE_ALL, .observer = {.verify = true, .limit = -1}};
    for (int program = MODEL_STEP; program <= MODEL_EVAL && sound; program++)
        sound = compile_plan(arena, spec, config, program, &request, ledger_create(arena), &states, diags);
    arena_free(arena);
    return sound ? WORK_DONE : WORK_REFUSED;
}

static void plans(void **state) {
    (void)state;
    try_points("plans of gpt2", make_plans, "gpt2", points_wanted(200));
}

// What a user of the library sees: the model, or NULL and a sentence.
static Outcome open_model(void *context) {
    (void)context;
    SinterModel *model = sinter_open(NULL, "gpt2", settings, SETTINGS, 2);
    if (model) {
        sinter_close(model);
        return WORK_DONE;
    }
    if (strstr(sinter_error(), "out of memory")) return OUT_OF_MEMORY;
    fail_msg("%s", sinter_error());
    return WORK_REFUSED;
}

static void models(void **state) {
    (void)state;
    try_points("a model with its code", open_model, NULL, points_wanted(10));
}

// ---- checkpoints

static Outcome save_and_load(void *context) {
    SinterModel *model = context;
    float weights[5 * 16];
    int saved = sinter_save(model, in_folder("model.safetensors"));
    int loaded = saved == 0 ? sinter_load(model, in_folder("model.safetensors")) : saved;
    int read = loaded == 0 ? sinter_read_parameter(model, "wte.weight", weights, 5 * 16) : loaded;
    if (read == 0) return WORK_DONE;
    if (read == EXIT_MEMORY && strstr(sinter_error(), "out of memory")) return OUT_OF_MEMORY;
    fail_msg("exit code %d: %s", read, sinter_error());
    return WORK_REFUSED;
}

static void checkpoints(void **state) {
    (void)state;
    SinterModel *model = sinter_open(NULL, "gpt2", settings, SETTINGS, 2);
    assert_non_null(model);
    assert_int_equal(save_and_load(model), WORK_DONE);
    float before[80], after[80];
    assert_int_equal(sinter_read_parameter(model, "wte.weight", before, 80), 0);
    try_points("a checkpoint", save_and_load, model, points_wanted(200));
    // Whatever was interrupted, the file that stands is whole.
    assert_int_equal(sinter_load(model, in_folder("model.safetensors")), 0);
    assert_int_equal(sinter_read_parameter(model, "wte.weight", after, 80), 0);
    assert_memory_equal(before, after, sizeof before);
    sinter_close(model);
    char command[200];
    snprintf(command, sizeof command, "test -z \"$(find %s -name '*.tmp*')\"", folder);
    assert_int_equal(system(command), 0);
}

// ---- data

static Outcome read_data(void *context) {
    (void)context;
    Arena *arena = arena_create();
    Diags *diags = diags_create(arena);
    TokenFile *file = NULL;
    Vocabulary *vocabulary;
    int64_t size;
    int32_t tokens[8], targets[8];
    int status = vocabulary_load(arena, in_folder("meta.json"), &vocabulary, &size, diags);
    if (status == RUNTIME_OK) status = token_file_open(in_folder("train.bin"), 2, &file, diags);
    if (status == RUNTIME_OK) {
        BatchSource source = {file, ORDER_RANDOM, STREAM_TRAIN, 1, 2, 4, size};
        Prefetch *prefetch = prefetch_create(&source, diags);
        assert_non_null(prefetch);
        prefetch_start(prefetch, 0);
        for (int64_t draw = 0; draw < 3 && status == RUNTIME_OK; draw++) {
            status = prefetch_take(prefetch, draw, tokens, targets, diags);
            prefetch_start(prefetch, draw + 1);
        }
        prefetch_free(prefetch);
    }
    token_file_close(file);
    arena_free(arena);
    return status == RUNTIME_OK ? WORK_DONE : WORK_REFUSED;
}

static void data(void **state) {
    (void)state;
    uint16_t tokens[40] = {0, 1, 2};
    static const char meta[] = "{\"vocab_size\": 3, \"itos\": [\"a\", \"b\", \"\\u00e9\"]}";
    write_bytes(in_folder("train.bin"), tokens, sizeof tokens);
    write_bytes(in_folder("meta.json"), meta, sizeof meta - 1);
    try_points("tokens and characters", read_data, NULL, points_wanted(200));
}

static int make_folder(void **state) {
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state) {
    (void)state;
    char command[64];
    snprintf(command, sizeof command, "rm -rf %s", folder);
    return system(command);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plans),
        cmocka_unit_test(models),
        cmocka_unit_test(checkpoints),
        cmocka_unit_test(data),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
