// sinter check: one training step of the compiled program against the float64 reference, on random weights and tokens.
//
// Compared: the loss, the gradient norm, every gradient, every next parameter and moment. The error of a tensor is its
// largest difference over its largest value. f32 rounding of sums of a few hundred terms stays well below the limits;
// a wrong formula does not.
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "driver/command.h"
#include "driver/compile.h"
#include "driver/report.h"
#include "ir/reference/reference.h"
#include "runtime/random.h"
#include "runtime/session.h"
#include "runtime/slot.h"
#include "runtime/weights.h"

static const double value_limit = 2e-6, gradient_limit = 2e-5;

typedef struct {
    Command *command;
    const Graph *graph;        // the whole step as primitives: what is meant
    Reference *reference;
    CompiledModel model;       // what was compiled
    ThreadPool *threads;
    Session *session;
} Check;

// ---- sizes small enough for the reference

static void cap(Command *command, const char *name, int64_t largest) {
    const ConfigKey *key = config_find(command->config, name);
    if (!key || key->value.type != CONFIG_INT || (key->ignored && !key->from_spec)) return;
    if (key->value.integer <= largest) return;
    printf("check: %s %lld capped at %lld (--full: as configured)\n", name, (long long)key->value.integer,
           (long long)largest);
    const char *literal = arena_format(command->arena, "%lld", (long long)largest);
    config_assign(command->config, name, literal, (Place){0}, command->diags);
}

static void cap_sizes(Command *command) {
    if (config_bool(command->config, "full")) return;
    cap(command, "batch_size", 2);
    cap(command, "block_size", 24);
    cap(command, "n_layer", 2);
    cap(command, "vocab_size", 101);
    const ConfigKey *heads = config_find(command->config, "n_head");
    if (heads && heads->from_spec && heads->value.integer > 0) cap(command, "n_embd", 16 * heads->value.integer);
    cap(command, "n_ffn", 88);
}

// ---- inputs and states: random, the same for both sides

static double leaf_value(const Leaf *leaf, DType dtype, int64_t i, int64_t vocabulary) {
    uint64_t bits = random_bits(random_key(1337, leaf->name), (uint64_t)i);
    double uniform = random_uniform(bits), normal, other;
    if (leaf->token_bytes) return (double)random_below(bits, (uint64_t)vocabulary);
    if (text_equal(leaf->name, "learning_rate")) return 1e-3;
    if (text_equal(leaf->name, "seed")) return 1337;
    if (dtype == DTYPE_I32) return 3;                                            // step, micro
    if (strncmp(leaf->name, "adam.v.", 7) == 0) return 1e-4 * (0.5 + uniform);  // second moments are positive
    random_normals(bits, &normal, &other);
    if (strncmp(leaf->name, "adam.m.", 7) == 0 || strncmp(leaf->name, "accumulate.", 11) == 0) return 1e-3 * normal;
    return (leaf->init == INIT_CONSTANT ? leaf->init_value : 0) + 0.05 * normal;
}

static void write_slot(Check *check, const ProgramSlot *slot, const double *stored, int64_t count) {
    Arena *scratch = arena_create();
    int32_t *integers = ARENA_ARRAY(scratch, int32_t, (size_t)count);
    float *floats = ARENA_ARRAY(scratch, float, (size_t)count);
    for (int64_t i = 0; i < count; i++) {
        integers[i] = slot->element == ELEMENT_I32 ? (int32_t)stored[i] : 0;
        floats[i] = (float)stored[i];
    }
    const void *values = slot->element == ELEMENT_I32 ? (const void *)integers : floats;
    weights_set(check->session, check->model.programs[MODEL_STEP], slot, values, scratch);
    arena_free(scratch);
}

static void bind_leaf(Check *check, NodeId id) {
    const Node *node = graph_node(check->graph, id);
    const Leaf *leaf = graph_leaf_at(check->graph, node->attr.leaf);
    int64_t count = graph_elements(check->graph, node->dims);
    int64_t vocabulary = config_int(check->command->config, "vocab_size");
    double *stored = memory_allocate_array((size_t)count, sizeof(double));
    double *ordered = memory_allocate_array((size_t)count, sizeof(double));
    for (int64_t i = 0; i < count; i++) {
        stored[i] = leaf_value(leaf, node->dtype, i, vocabulary);
        if (node->dtype == DTYPE_F32) stored[i] = (float)stored[i];   // both sides start from the same numbers
    }
    reference_reorder(check->graph, stored, leaf->stored, node->order, ordered);
    reference_bind(check->reference, leaf->name, ordered);
    const Program *step = check->model.programs[MODEL_STEP];
    const ProgramSlot *slot = program_slot(step, node->op == OP_INPUT ? SLOT_INPUT : SLOT_STATE, leaf->name);
    if (slot) write_slot(check, slot, stored, count);
    memory_release(stored);
    memory_release(ordered);
}

static void bind_leaves(Check *check) {
    for (NodeId id = 0; id < graph_nodes(check->graph); id++) {
        Op op = graph_node(check->graph, id)->op;
        if (op == OP_INPUT || op == OP_PARAM || op == OP_STATE) bind_leaf(check, id);
    }
}

// ---- comparing

static const Value *output_value(const Plan *plan, const char *name) {
    for (ValueId v = 0; v < plan->value_count; v++) {
        if (plan->values[v].kind == VALUE_OUTPUT && text_equal(plan->values[v].name, name)) return &plan->values[v];
    }
    return NULL;
}

// The order in which a program's slot shows a value: that of files for states, next values and gradients of params.
static DimList slot_order(const Check *check, const Value *value) {
    const Plan *plan = check->model.plans[MODEL_STEP];
    if (value->next_of != VALUE_NONE) return plan->values[value->next_of].leaf->stored;
    for (ValueId v = 0; v < plan->value_count; v++) {
        const Value *param = &plan->values[v];
        if (param->is_param && text_equal(arena_format(check->command->arena, "grad.%s", param->name), value->name))
            return param->leaf->stored;
    }
    return value->order;
}

// Largest difference over largest value; infinite when the compiled side is not a number.
static double output_error(const Check *check, const Output *output) {
    const Plan *plan = check->model.plans[MODEL_STEP];
    const Program *step = check->model.programs[MODEL_STEP];
    const Value *value = output_value(plan, output->name);
    const ProgramSlot *slot = program_slot(step, SLOT_OUTPUT, output->name);
    if (!slot) slot = program_slot(step, SLOT_STATE, output->name);   // a next value, written in place
    if (!value || !slot) BUG("output '%s' is missing in the program", output->name);
    const Node *node = graph_node(check->graph, output->node);
    int64_t count = graph_elements(check->graph, node->dims);
    double *expected = memory_allocate_array((size_t)count, sizeof(double));
    reference_reorder(check->graph, reference_value(check->reference, output->node), node->order,
                      slot_order(check, value), expected);
    Arena *scratch = arena_create();
    float *actual = ARENA_ARRAY(scratch, float, (size_t)count);
    slot_unpack(slot, session_data(check->session, slot), actual, scratch);
    double difference = 0, largest = 1e-30;
    for (int64_t i = 0; i < count; i++) {
        double gap = fabs((double)actual[i] - expected[i]);
        difference = gap <= difference ? difference : isnan(gap) ? INFINITY : gap;
        largest = fmax(largest, fabs(expected[i]));
    }
    arena_free(scratch);
    memory_release(expected);
    return difference / largest;
}

typedef struct {
    double error;
    const char *name;
} Worst;

static void keep_worst(Worst *worst, double error, const char *name) {
    if (!worst->name || error > worst->error) *worst = (Worst){error, name};
}

// The key third of a fused query-key-value bias has a gradient of exactly zero: softmax does not see a shift of all
// scores of a row. Its computed gradient is rounding noise, to be compared with the scale of the whole tensor (which
// output_error does); AdamW then amplifies that noise, bounded here by second moments that are not zero.
static int compare(const Check *check, const char *level) {
    Worst value = {0}, gradient = {0}, update = {0};
    for (uint32_t i = 0; i < graph_outputs(check->graph); i++) {
        const Output *output = graph_output_at(check->graph, i);
        double error = output_error(check, output);
        bool is_gradient = strncmp(output->name, "grad.", 5) == 0;
        bool is_value = text_equal(output->name, "loss") || text_equal(output->name, "grad_norm");
        keep_worst(is_gradient ? &gradient : is_value ? &value : &update, error, output->name);
    }
    bool passed = value.error <= value_limit && gradient.error <= gradient_limit && update.error <= gradient_limit;
    printf("check: %s, level %s, %d threads: worst value error %.2e (%s), worst gradient error %.2e (%s), "
           "worst update error %.2e (%s): %s\n",
           spec_name(check->command->spec), level, threads_count(check->threads), value.error, value.name,
           gradient.error, gradient.name, update.error, update.name, passed ? "passed" : "FAILED");
    return passed ? EXIT_DONE : 1;
}

static bool compile(Check *check, const Target *target, CompileRequest *request, PassTimes *times) {
    Command *command = check->command;
    *request = (CompileRequest){.observer = report_observer(times), .target = target};
    request->fuse = configured_fuse(command->config);
    request->wanted[MODEL_STEP] = true;
    if (!compile_model(command->arena, command->spec, command->config, request, &check->model, command->diags))
        return false;
    Graph *graph = spec_lower(command->arena, command->spec, command->config, SPEC_LOSS, command->diags);
    if (!graph) return false;
    StateTable states = {.arena = command->arena};
    PassContext context = {.arena = command->arena,
                           .diags = command->diags,
                           .ledger = ledger_create(command->arena),
                           .target = target,
                           .optimizer = optimizer_settings(command->config),
                           .states = &states,
                           .program = PROGRAM_STEP};
    Plan *no_plan = NULL;
    PassObserver observer = {.verify = true, .limit = -1};
    if (!passes_run(&graph, &no_plan, "differentiate,optimizer", &context, &observer)) return false;
    check->graph = graph;
    return true;
}

static int run(Check *check) {
    Command *command = check->command;
    Target target = probed_target();
    PassTimes times = {0};
    CompileRequest request;
    if (!compile(check, &target, &request, &times)) return EXIT_USAGE;
    check->threads = threads_create(configured_threads(command->config), true, command->diags);
    if (!check->threads) return EXIT_IO;
    const Program *step = check->model.programs[MODEL_STEP];
    int status = session_create(&step, 1, check->threads, &check->session, command->diags);
    if (status != EXIT_DONE) return status;
    check->reference = reference_create(check->graph);
    bind_leaves(check);
    const char *unbound;
    if (!reference_run(check->reference, &unbound)) BUG("leaf '%s' has no value", unbound);
    session_run(check->session, step);
    return compare(check, fuse_name(request.fuse));
}

int command_check(Command *command) {
    int status = check_device(command);
    if (status != EXIT_DONE) return status;
    config_assign(command->config, "gradient_accumulation_steps", "1", (Place){0}, command->diags);
    cap_sizes(command);
    Check check = {.command = command};
    status = run(&check);
    reference_free(check.reference);
    session_free(check.session);
    threads_free(check.threads);
    compiled_free(&check.model);
    return status;
}
