// include/sinter.h: open, step, parameters, files, errors.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "runtime/weights.h"
#include "sinter.h"

// In the place of weights_set and weights_get: these, or what they say when the memory of a state cannot be reached.
RuntimeStatus __real_weights_set(const Session *session, const Program *program, const ProgramSlot *slot,
                                 const void *values, Arena *scratch, Diags *diags);
RuntimeStatus __wrap_weights_set(const Session *session, const Program *program, const ProgramSlot *slot,
                                 const void *values, Arena *scratch, Diags *diags);
RuntimeStatus __real_weights_get(const Session *session, const ProgramSlot *slot, void *values, Arena *scratch,
                                 Diags *diags);
RuntimeStatus __wrap_weights_get(const Session *session, const ProgramSlot *slot, void *values, Arena *scratch,
                                 Diags *diags);
static bool is_unreachable;

static RuntimeStatus refuse(const ProgramSlot *slot, Diags *diags) {
    diag_error(diags, (Place){0}, "%s cannot be reached", slot->name);
    return RUNTIME_IO;
}

RuntimeStatus __wrap_weights_set(const Session *session, const Program *program, const ProgramSlot *slot,
                                 const void *values, Arena *scratch, Diags *diags) {
    return is_unreachable ? refuse(slot, diags) : __real_weights_set(session, program, slot, values, scratch, diags);
}

RuntimeStatus __wrap_weights_get(const Session *session, const ProgramSlot *slot, void *values, Arena *scratch,
                                 Diags *diags) {
    return is_unreachable ? refuse(slot, diags) : __real_weights_get(session, slot, values, scratch, diags);
}

static const char *const settings[] = {"n_layer=1",    "n_head=2",     "n_embd=16",  "batch_size=2",
                                       "block_size=4", "vocab_size=7", "dropout=0.0"};
static const int32_t tokens[8] = {0, 1, 2, 3, 4, 5, 6, 0}, targets[8] = {1, 2, 3, 4, 5, 6, 0, 1};

static SinterModel *open_small(void) {
    SinterModel *model = sinter_open(NULL, "gpt2", settings, 7, 2);
    if (!model) fail_msg("%s", sinter_error());
    return model;
}

static void a_model_trains(void **state) {
    (void)state;
    SinterModel *model = open_small();
    float first = sinter_evaluate(model, tokens, targets), loss = 0;
    assert_true(fabsf(first - logf(7)) < 0.2f);
    for (int step = 0; step < 60; step++) loss = sinter_step(model, tokens, targets, 1e-2);
    assert_true(loss < 0.3f * first);
    assert_true(sinter_gradient_norm(model) > 0);
    sinter_close(model);
}

static void parameters_are_read_and_written_and_decide_the_loss(void **state) {
    (void)state;
    SinterModel *model = open_small(), *other = open_small();
    float loss = 0;
    for (int step = 0; step < 5; step++) loss = sinter_step(model, tokens, targets, 1e-2);
    loss = sinter_evaluate(model, tokens, targets);
    char path[] = "/tmp/sinter-api-XXXXXX";
    assert_true(mkstemp(path) >= 0);
    assert_int_equal(sinter_save(model, path), 0);
    assert_int_equal(sinter_load(other, path), 0);
    float again = sinter_evaluate(other, tokens, targets);
    assert_memory_equal(&again, &loss, sizeof loss);
    unlink(path);

    size_t count = sinter_parameter_size(model, "wte.weight");
    assert_int_equal(count, 7 * 16);
    float values[7 * 16];
    assert_int_equal(sinter_read_parameter(model, "wte.weight", values, count), 0);
    memset(values, 0, sizeof values);
    assert_int_equal(sinter_write_parameter(model, "wte.weight", values, count), 0);
    assert_true(fabsf(sinter_evaluate(model, tokens, targets) - logf(7)) < 1e-5f);  // equal logits
    sinter_close(model);
    sinter_close(other);
}

static void failures_say_why(void **state) {
    (void)state;
    const char *bad[] = {"n_layers=1"};
    assert_null(sinter_open(NULL, "gpt2", bad, 1, 1));
    assert_non_null(strstr(sinter_error(), "n_layer"));
    assert_null(sinter_open("model m\nx = y\n", "m.spec", NULL, 0, 1));
    assert_non_null(strstr(sinter_error(), "m.spec:"));
    assert_null(sinter_open(NULL, "gpt9", NULL, 0, 1));
    SinterModel *model = open_small();
    float value;
    assert_int_equal(sinter_read_parameter(model, "nothing", &value, 1), 3);
    assert_int_equal(sinter_read_parameter(model, "wte.weight", &value, 1), 3);
    assert_int_equal(sinter_parameter_size(model, "adam.m.wte.weight"), 0);
    assert_int_equal(sinter_load(model, "/nonexistent.safetensors"), 3);
    assert_non_null(strstr(sinter_error(), "/nonexistent.safetensors"));
    sinter_close(model);
}

static void what_the_runtime_refuses_is_reported(void **state) {
    (void)state;
    SinterModel *model = open_small();
    float values[7 * 16] = {0};
    is_unreachable = true;
    assert_int_equal(sinter_write_parameter(model, "wte.weight", values, 7 * 16), 5);
    assert_non_null(strstr(sinter_error(), "wte.weight cannot be reached"));
    assert_int_equal(sinter_read_parameter(model, "wte.weight", values, 7 * 16), 5);
    assert_non_null(strstr(sinter_error(), "wte.weight cannot be reached"));
    is_unreachable = false;
    assert_int_equal(sinter_write_parameter(model, "wte.weight", values, 7 * 16), 0);
    assert_string_equal(sinter_error(), "");
    sinter_close(model);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_model_trains),
                                       cmocka_unit_test(parameters_are_read_and_written_and_decide_the_loss),
                                       cmocka_unit_test(failures_say_why),
                                       cmocka_unit_test(what_the_runtime_refuses_is_reported)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
