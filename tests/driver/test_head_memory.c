// What the loss head holds does not grow with the vocabulary, nor with the batch: planned memory of gpt2's training
// step beside its parameters, gradients and moments. Plans only.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "driver/command.h"
#include "driver/compile.h"

static Target server(void) {
    Target target = target_default();
    target.l3_bytes = 32 << 20;
    return target;
}

// Arena minus the gradient of the table of words, MB.
static double held(int vocabulary, int batch, FuseLevel level) {
    Arena *arena = arena_create();
    Diags *diags = diags_create(arena);
    Target target = server();
    Spec *spec = spec_parse(arena, "gpt2", spec_embedded("gpt2"), diags);
    Config *config = config_create(arena);
    declare_train_keys(config);
    assert_true(spec && spec_declare(spec, config, diags));
    const char *const sizes[][2] = {{"n_layer", "2"},
                                    {"n_head", "12"},
                                    {"n_embd", "768"},
                                    {"batch_size", arena_format(arena, "%d", batch)},
                                    {"block_size", "1024"},
                                    {"vocab_size", arena_format(arena, "%d", vocabulary)},
                                    {"gradient_accumulation_steps", "1"}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        assert_true(config_assign(config, sizes[i][0], sizes[i][1], (Place){0}, diags));
    StateTable states = {.arena = arena};
    CompileRequest request = {.fuse = level, .target = &target, .observer = {.verify = true, .limit = -1}};
    Ledger *ledger = ledger_create(arena);
    const Plan *plan = compile_plan(arena, spec, config, MODEL_STEP, &request, ledger, &states, diags);
    assert_non_null(plan);
    double bytes = (double)plan->arena_bytes - 4.0 * 768 * vocabulary;
    arena_free(arena);
    return 1e-6 * bytes;
}

static void of_any_vocabulary(void **state) {
    (void)state;
    double small = held(50257, 1, FUSE_ALL);
    for (int vocabulary = 60000; vocabulary <= 240000; vocabulary += 60000) {
        double large = held(vocabulary, 1, FUSE_ALL);
        print_message("%d words: %.1f MB, 50257: %.1f\n", vocabulary, large, small);
        assert_true(large < small + 4e-6 * server().l3_bytes);
    }
}

static void of_any_batch(void **state) {
    (void)state;
    double one = held(50257, 1, FUSE_ALL), eight = held(50257, 8, FUSE_ALL), whole = held(50257, 8, FUSE_OP);
    print_message("8 sequences: %.1f MB, 1: %.1f; operator at a time, 8: %.1f\n", eight, one, whole);
    assert_true(whole - eight > 8 * 1e-6 * 4 * 1024 * 50257 - 4e-6 * server().l3_bytes);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(of_any_vocabulary), cmocka_unit_test(of_any_batch)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
