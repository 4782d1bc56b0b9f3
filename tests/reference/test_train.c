// The float64 reference trains the fixtures: spec -> graph -> differentiate -> optimizer -> 20 steps, evaluated op by
// op.
//
// tests/fixtures/README.md says where the numbers come from. Losses must agree within 1e-9, gradient norms within 1e-8,
// gradients of step 0 within 1e-5 of their tensor's largest, final weights within 1e-6.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "base/file.h"
#include "frontend/frontend.h"
#include "ir/reference/reference.h"
#include "passes/pass_functions.h"

#define FIXTURES SOURCE_DIR "/tests/fixtures/"

typedef struct {
    Arena *arena;
    Diags *diags;
    const char *name;
    json_t *record; // NAME.json
    Config *config;
    Graph *graph;
    Reference *reference;
    const uint16_t *tokens;
} Training;

static void fail_with_diags(const Training *training, const char *what) {
    Text text = text_create(training->arena);
    diags_render(training->diags, &text);
    fail_msg("%s: %s\n%s", training->name, what, text_string(&text));
}

static char *read_fixture(Training *training, const char *suffix, size_t *length) {
    const char *path = arena_format(training->arena, FIXTURES "%s%s", training->name, suffix);
    char *bytes = file_read_all(training->arena, path, 1 << 24, length, training->diags);
    if (!bytes) fail_with_diags(training, suffix);
    return bytes;
}

// ---- safetensors: u64 length of a JSON header, the header, the data

typedef struct {
    json_t *header;
    const char *data;
} Tensors;

static Tensors tensors_read(Training *training, const char *suffix) {
    size_t length;
    uint64_t header;
    char *bytes = read_fixture(training, suffix, &length);
    memcpy(&header, bytes, sizeof header);
    assert_true(header <= length - sizeof header);
    json_t *json = json_loadb(bytes + sizeof header, header, 0, NULL);
    assert_non_null(json);
    return (Tensors){json, bytes + sizeof header + header};
}

// The tensor as doubles, in the stored order of the leaf of that name.
static double *tensor_values(const Training *training, const Tensors *tensors, const char *name, int64_t elements) {
    json_t *entry = json_object_get(tensors->header, name), *range = json_object_get(entry, "data_offsets");
    if (!entry) fail_msg("%s: no tensor %s", training->name, name);
    int64_t start = json_integer_value(json_array_get(range, 0)), end = json_integer_value(json_array_get(range, 1));
    assert_int_equal(end - start, elements * (int64_t)sizeof(float));
    double *values = ARENA_ARRAY(training->arena, double, (size_t)elements);
    for (int64_t i = 0; i < elements; i++) {
        float value;
        memcpy(&value, tensors->data + start + i * (int64_t)sizeof value, sizeof value);
        values[i] = (double)value;
    }
    return values;
}

// ---- the program

static double number(const Training *training, const char *key) {
    json_t *value = json_object_get(json_object_get(training->record, "config"), key);
    assert_true(json_is_number(value));
    return json_number_value(value);
}

static const char *literal(Training *training, json_t *value) {
    if (json_is_string(value)) return json_string_value(value);
    if (json_is_boolean(value)) return json_is_true(value) ? "True" : "False";
    if (json_is_integer(value)) return arena_format(training->arena, "%lld", (long long)json_integer_value(value));
    return arena_format(training->arena, "%.17g", json_real_value(value));
}

// Keys that belong to the trainer, not to the spec, are declared with the value they get.
static void set_config(Training *training) {
    const char *key;
    json_t *value;
    json_object_foreach(json_object_get(training->record, "config"), key, value) {
        if (!config_find(training->config, key)) {
            ConfigValue declared = {.type = json_is_integer(value) ? CONFIG_INT : CONFIG_FLOAT,
                                    .integer = json_integer_value(value),
                                    .number = json_number_value(value)};
            if (json_is_boolean(value)) declared = (ConfigValue){.type = CONFIG_BOOL, .integer = json_is_true(value)};
            if (json_is_string(value)) {
                declared = (ConfigValue){.type = CONFIG_STRING, .string = json_string_value(value)};
            }
            config_declare(training->config, key, declared, NULL, false);
        } else if (!config_assign(training->config, key, literal(training, value), (Place){0}, training->diags)) {
            fail_with_diags(training, key);
        }
    }
}

static void compile(Training *training) {
    Arena *arena = training->arena;
    const char *model = json_string_value(json_object_get(training->record, "kind"));
    const char *file = arena_format(arena, "%s.spec", model);
    Spec *spec = spec_parse(arena, file, spec_embedded(model), training->diags);
    if (!spec) fail_with_diags(training, "spec_parse");
    training->config = config_create(arena);
    if (!spec_declare(spec, training->config, training->diags)) fail_with_diags(training, "spec_declare");
    set_config(training);
    Graph *graph = spec_lower(arena, spec, training->config, SPEC_LOSS, training->diags);
    if (!graph) fail_with_diags(training, "spec_lower");
    PassContext context = {.arena = arena, .diags = training->diags, .program = PROGRAM_STEP};
    context.optimizer = (OptimizerSettings){.beta1 = number(training, "beta1"),
                                            .beta2 = number(training, "beta2"),
                                            .epsilon = number(training, "adam_eps"),
                                            .accumulation = 1,
                                            .weight_decay = number(training, "weight_decay"),
                                            .grad_clip = number(training, "grad_clip")};
    graph = pass_differentiate(graph, &context);
    if (graph) graph = pass_optimizer(graph, &context);
    if (!graph) fail_with_diags(training, "passes");
    const char *broken = graph_verify(graph, arena);
    if (broken) fail_msg("%s: %s", training->name, broken);
    training->graph = graph;
}

// ---- the run

static int64_t elements_of(const Training *training, const Leaf *leaf) {
    return graph_elements(training->graph, dim_list_set(&leaf->stored));
}

// Params and states in turn; false after the last.
static bool next_leaf(const Training *training, LeafId *id, Op *op, const Leaf **leaf) {
    for (; *id < graph_leaves(training->graph); ++*id) {
        *leaf = graph_leaf_at(training->graph, *id);
        NodeId node = graph_find_leaf_node(training->graph, (*leaf)->name);
        if (node == NODE_NONE) continue;
        *op = graph_node(training->graph, node)->op;
        if (*op == OP_PARAM || *op == OP_STATE) return true;
    }
    return false;
}

static void bind_stored(Training *training, const Leaf *leaf, const double *values) {
    NodeId node = graph_find_leaf_node(training->graph, leaf->name);
    double *ordered = ARENA_ARRAY(training->arena, double, (size_t)elements_of(training, leaf));
    reference_reorder(training->graph, values, leaf->stored, graph_node(training->graph, node)->order, ordered);
    assert_true(reference_bind(training->reference, leaf->name, ordered));
}

static double *output_stored(Training *training, const char *output, const Leaf *leaf) {
    NodeId node = graph_find_output(training->graph, output);
    if (node == NODE_NONE) fail_msg("%s: no output %s", training->name, output);
    double *values = ARENA_ARRAY(training->arena, double, (size_t)elements_of(training, leaf));
    reference_reorder(training->graph, reference_value(training->reference, node),
                      graph_node(training->graph, node)->order, leaf->stored, values);
    return values;
}

static void bind_initial(Training *training) {
    Tensors weights = tensors_read(training, ".safetensors");
    const Leaf *leaf;
    Op op;
    for (LeafId id = 0; next_leaf(training, &id, &op, &leaf); id++) {
        int64_t elements = elements_of(training, leaf);
        double *values = op == OP_PARAM ? tensor_values(training, &weights, leaf->name, elements)
                                        : ARENA_ARRAY(training->arena, double, (size_t)elements);
        bind_stored(training, leaf, values);
    }
    json_decref(weights.header);
}

// nanoGPT's schedule.
static double learning_rate(const Training *training, int step) {
    double top = number(training, "learning_rate"), bottom = number(training, "min_lr");
    double warmup = number(training, "warmup_iters"), end = number(training, "lr_decay_iters");
    if (step < warmup) return top * (step + 1) / (warmup + 1);
    if (step > end) return bottom;
    return bottom + 0.5 * (1.0 + cos(acos(-1.0) * (step - warmup) / (end - warmup))) * (top - bottom);
}

static void bind_step(Training *training, int step) {
    int count = (int)(number(training, "batch_size") * number(training, "block_size"));
    double *tok = ARENA_ARRAY(training->arena, double, (size_t)count),
           *target = ARENA_ARRAY(training->arena, double, (size_t)count);
    for (int i = 0; i < count; i++) {
        tok[i] = training->tokens[step * count + i];
        target[i] = training->tokens[step * count + i + 1];
    }
    assert_true(reference_bind(training->reference, "tok", tok));
    assert_true(reference_bind(training->reference, "target", target));
    double rate = learning_rate(training, step), now = step;
    assert_true(reference_bind(training->reference, "learning_rate", &rate));
    assert_true(reference_bind(training->reference, "step", &now));
}

static void check_scalar(Training *training, const char *output, const char *key, int step, double tolerance) {
    double wanted = json_number_value(json_array_get(json_object_get(training->record, key), (size_t)step));
    double got = reference_value(training->reference, graph_find_output(training->graph, output))[0];
    if (fabs(got - wanted) <= tolerance) return;
    fail_msg("%s, step %d: %s is %.15g, not %.15g", training->name, step, output, got, wanted);
}

static void check_first_gradients(Training *training) {
    Tensors gradients = tensors_read(training, ".grads.safetensors");
    const Leaf *leaf;
    Op op;
    for (LeafId id = 0; next_leaf(training, &id, &op, &leaf); id++) {
        if (op != OP_PARAM) continue;
        int64_t elements = elements_of(training, leaf);
        double *wanted = tensor_values(training, &gradients, leaf->name, elements), largest = 0.0;
        double *got = output_stored(training, arena_format(training->arena, "grad.%s", leaf->name), leaf);
        for (int64_t i = 0; i < elements; i++)
            largest = fmax(largest, fabs(wanted[i]));
        for (int64_t i = 0; i < elements; i++) {
            if (fabs(got[i] - wanted[i]) <= 1e-5 * largest) continue;
            fail_msg("%s: gradient of %s [%lld] is %.9g, not %.9g", training->name, leaf->name, (long long)i, got[i],
                     wanted[i]);
        }
    }
    json_decref(gradients.header);
}

// The key third of the attention bias has an exact gradient of zero: AdamW only amplifies rounding noise there.
static double weight_tolerance(const char *name, int64_t i, int64_t elements) {
    static const char bias[] = "attn.c_attn.bias";
    size_t length = strlen(name), tail = strlen(bias);
    bool is_bias = length >= tail && strcmp(name + length - tail, bias) == 0;
    return is_bias && i >= elements / 3 && i < 2 * elements / 3 ? 1e-2 : 1e-6;
}

static void check_final_weights(Training *training) {
    Tensors weights = tensors_read(training, ".final.safetensors");
    const Leaf *leaf;
    Op op;
    size_t params = 0;
    for (LeafId id = 0; next_leaf(training, &id, &op, &leaf); id++) {
        if (op != OP_PARAM) continue;
        params++;
        int64_t elements = elements_of(training, leaf);
        double *wanted = tensor_values(training, &weights, leaf->name, elements);
        double *got = output_stored(training, leaf->name, leaf);
        for (int64_t i = 0; i < elements; i++) {
            if (fabs(got[i] - wanted[i]) <= weight_tolerance(leaf->name, i, elements)) continue;
            fail_msg("%s: %s [%lld] is %.9g, not %.9g", training->name, leaf->name, (long long)i, got[i], wanted[i]);
        }
    }
    assert_int_equal(params,
                     json_object_size(weights.header) - (json_object_get(weights.header, "__metadata__") != NULL));
    json_decref(weights.header);
}

static void run_steps(Training *training) {
    int steps = (int)number(training, "steps");
    for (int step = 0; step < steps; step++) {
        bind_step(training, step);
        const char *unbound = NULL;
        if (!reference_run(training->reference, &unbound)) fail_msg("%s: nothing bound to %s", training->name, unbound);
        check_scalar(training, "loss", "losses", step, 1e-9);
        check_scalar(training, "grad_norm", "grad_norms", step, 1e-8);
        if (step == 0) check_first_gradients(training);
        if (step == steps - 1) check_final_weights(training);
        const Leaf *leaf;
        Op op;
        for (LeafId id = 0; next_leaf(training, &id, &op, &leaf); id++) {
            bind_stored(training, leaf, output_stored(training, leaf->name, leaf));
        }
    }
}

static void train(void **state) {
    Training training = {.arena = arena_create(), .name = *state};
    training.diags = diags_create(training.arena);
    size_t length;
    char *text = read_fixture(&training, ".json", &length);
    training.record = json_loadb(text, length, 0, NULL);
    assert_non_null(training.record);
    training.tokens = (const uint16_t *)(const void *)read_fixture(&training, ".bin", &length);
    compile(&training);
    training.reference = reference_create(training.graph);
    bind_initial(&training);
    run_steps(&training);
    reference_free(training.reference);
    json_decref(training.record);
    arena_free(training.arena);
}

int main(void) {
    static const struct CMUnitTest tests[] = {
        {"gpt2-tiny", train, NULL, NULL, (void *)"gpt2-tiny"},
        {"gpt2-tiny-bias", train, NULL, NULL, (void *)"gpt2-tiny-bias"},
        {"llama-tiny", train, NULL, NULL, (void *)"llama-tiny"},
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
