// The float64 reference of a step and the comparison with it: see check.h.
#include "driver/check.h"

#include <math.h>
#include <string.h>

#include "ir/reference/reference.h"
#include "runtime/random.h"
#include "runtime/slot.h"
#include "runtime/weights.h"

struct CheckReference {
    Command *command;
    const Graph *graph; // the whole step as primitives: what is meant
    Reference *values;
};

// A compiled step that is compared with it.
typedef struct {
    const CheckReference *reference;
    const CompiledModel *model;
    Session *session;
    Diags *diags;
    RuntimeStatus status; // of the session
} Check;

// ---- sizes small enough for the reference

static void cap(Command *command, const char *name, int64_t largest, FILE *said) {
    const ConfigKey *key = config_find(command->config, name);
    if (!key || key->value.type != CONFIG_INT || (key->ignored && !key->from_spec)) return;
    if (key->value.integer <= largest) return;
    if (said)
        fprintf(said, "check: %s %lld capped at %lld (--full: as configured)\n", name, (long long)key->value.integer,
                (long long)largest);
    const char *literal = arena_format(command->arena, "%lld", (long long)largest);
    config_assign(command->config, name, literal, (Place){0}, command->diags);
}

void check_cap_sizes(Command *command, FILE *said) {
    cap(command, "batch_size", 2, said);
    cap(command, "block_size", 24, said);
    cap(command, "n_layer", 2, said);
    cap(command, "vocab_size", 101, said);
    const ConfigKey *heads = config_find(command->config, "n_head");
    if (heads && heads->from_spec && heads->value.integer > 0) cap(command, "n_embd", 16 * heads->value.integer, said);
    cap(command, "n_ffn", 88, said);
}

// ---- inputs and states: random, the same for both sides

static double leaf_value(const Leaf *leaf, DType dtype, int64_t i, int64_t vocabulary) {
    uint64_t bits = random_bits(random_key(1337, leaf->name), (uint64_t)i);
    double uniform = random_uniform(bits), normal, other;
    if (leaf->token_bytes) return (double)random_below(bits, (uint64_t)vocabulary);
    if (text_equal(leaf->name, "learning_rate")) return 1e-3;
    if (text_equal(leaf->name, "seed")) return 1337;
    if (dtype == DTYPE_I32) return 3;                                          // step, micro
    if (strncmp(leaf->name, "scaler.", 7) == 0) return leaf->init_value;
    if (strncmp(leaf->name, "adam.v.", 7) == 0) return 1e-4 * (0.5 + uniform); // second moments are positive
    random_normals(bits, &normal, &other);
    if (strncmp(leaf->name, "adam.m.", 7) == 0 || strncmp(leaf->name, "accumulate.", 11) == 0) return 1e-3 * normal;
    return (leaf->init == INIT_CONSTANT ? leaf->init_value : 0) + 0.05 * normal;
}

// A leaf's stored elements, as both sides get them.
static double *stored_values(const CheckReference *reference, NodeId id) {
    const Node *node = graph_node(reference->graph, id);
    const Leaf *leaf = graph_leaf_at(reference->graph, node->attr.leaf);
    int64_t count = graph_elements(reference->graph, node->dims);
    int64_t vocabulary = config_int(reference->command->config, "vocab_size");
    double *stored = memory_allocate_array((size_t)count, sizeof(double));
    for (int64_t i = 0; i < count; i++) {
        stored[i] = leaf_value(leaf, node->dtype, i, vocabulary);
        if (node->dtype == DTYPE_F32) stored[i] = (float)stored[i]; // both sides start from the same numbers
    }
    return stored;
}

static bool is_leaf(const Graph *graph, NodeId id) {
    Op op = graph_node(graph, id)->op;
    return op == OP_INPUT || op == OP_PARAM || op == OP_STATE;
}

static void bind_leaf(CheckReference *reference, NodeId id) {
    const Graph *graph = reference->graph;
    const Node *node = graph_node(graph, id);
    const Leaf *leaf = graph_leaf_at(graph, node->attr.leaf);
    double *stored = stored_values(reference, id);
    double *ordered = memory_allocate_array((size_t)graph_elements(graph, node->dims), sizeof(double));
    reference_reorder(graph, stored, leaf->stored, node->order, ordered);
    reference_bind(reference->values, leaf->name, ordered);
    memory_release(stored);
    memory_release(ordered);
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
    RuntimeStatus status =
        weights_set(check->session, check->model->programs[MODEL_STEP], slot, values, scratch, check->diags);
    if (check->status == RUNTIME_OK) check->status = status;
    arena_free(scratch);
}

// Every leaf that the program has, into the session.
static void write_leaves(Check *check) {
    const Graph *graph = check->reference->graph;
    for (NodeId id = 0; id < graph_nodes(graph); id++) {
        if (!is_leaf(graph, id)) continue;
        const Node *node = graph_node(graph, id);
        const Leaf *leaf = graph_leaf_at(graph, node->attr.leaf);
        const ProgramSlot *slot = program_slot(check->model->programs[MODEL_STEP],
                                               node->op == OP_INPUT ? SLOT_INPUT : SLOT_STATE, leaf->name);
        if (!slot) continue;
        double *stored = stored_values(check->reference, id);
        write_slot(check, slot, stored, graph_elements(graph, node->dims));
        memory_release(stored);
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
    const Plan *plan = check->model->plans[MODEL_STEP];
    if (value->next_of != VALUE_NONE) return plan->values[value->next_of].leaf->stored;
    for (ValueId v = 0; v < plan->value_count; v++) {
        const Value *param = &plan->values[v];
        if (param->is_param &&
            text_equal(arena_format(check->reference->command->arena, "grad.%s", param->name), value->name))
            return param->leaf->stored;
    }
    return value->order;
}

// Largest difference over largest value; infinite when the compiled side is not a number.
static double output_error(Check *check, const Output *output) {
    const Plan *plan = check->model->plans[MODEL_STEP];
    const Program *step = check->model->programs[MODEL_STEP];
    const Value *value = output_value(plan, output->name);
    const ProgramSlot *slot = program_slot(step, SLOT_OUTPUT, output->name);
    if (!slot) slot = program_slot(step, SLOT_STATE, output->name); // a next value, written in place
    if (!value || !slot) BUG("output '%s' is missing in the program", output->name);
    const Node *node = graph_node(check->reference->graph, output->node);
    int64_t count = graph_elements(check->reference->graph, node->dims);
    double *expected = memory_allocate_array((size_t)count, sizeof(double));
    reference_reorder(check->reference->graph, reference_value(check->reference->values, output->node), node->order,
                      slot_order(check, value), expected);
    Arena *scratch = arena_create();
    float *actual = ARENA_ARRAY(scratch, float, (size_t)count);
    RuntimeStatus status = weights_get(check->session, slot, actual, scratch, check->diags);
    if (check->status == RUNTIME_OK) check->status = status;
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

static void keep_worst(WorstError *worst, double error, const char *name) {
    if (!worst->name || error > worst->error) *worst = (WorstError){error, name};
}

// By how much of itself the plan's products round a factor at most, beyond f32.
static double rounding_unit(const Plan *plan) {
    static const double units[TENSOR_KINDS] = {[TENSOR_TF32] = 0x1p-12, [TENSOR_BF16] = 0x1p-9, [TENSOR_F16] = 0x1p-12};
    double most = 0;
    for (uint32_t s = 0; s < plan->step_count; s++) most = fmax(most, units[plan->steps[s].tensor.kind]);
    return most;
}

// The key third of a fused query-key-value bias has a gradient of exactly zero: softmax does not see a shift of all
// scores of a row. Its computed gradient is rounding noise, to be compared with the scale of the whole tensor (which
// output_error does); AdamW then amplifies that noise, bounded here by second moments that are not zero.
RuntimeStatus check_compare(const CheckReference *reference, const CompiledModel *model, Session *session,
                            CheckErrors *errors, Diags *diags) {
    Check check = {reference, model, session, diags, RUNTIME_OK};
    RunResult result;
    write_leaves(&check);
    if (check.status == RUNTIME_OK && !session_complete(session, model->programs[MODEL_STEP], &result, diags))
        check.status = RUNTIME_IO;
    *errors = (CheckErrors){0};
    for (uint32_t i = 0; i < graph_outputs(reference->graph) && check.status == RUNTIME_OK; i++) {
        const Output *output = graph_output_at(reference->graph, i);
        bool is_gradient = strncmp(output->name, "grad.", 5) == 0;
        bool is_value = text_equal(output->name, "loss") || text_equal(output->name, "grad_norm");
        keep_worst(is_gradient ? &errors->gradient
                   : is_value  ? &errors->value
                               : &errors->update,
                   output_error(&check, output), output->name);
    }
    double unit = rounding_unit(model->plans[MODEL_STEP]);
    double value_limit = fmax(CHECK_VALUE_LIMIT, CHECK_VALUE_UNITS * unit);
    double gradient_limit = fmax(CHECK_GRADIENT_LIMIT, CHECK_GRADIENT_UNITS * unit);
    errors->passed = errors->value.error <= value_limit && errors->gradient.error <= gradient_limit &&
                     errors->update.error <= gradient_limit;
    return check.status;
}

// ---- the reference

static const Graph *step_graph(Command *command, const Target *target) {
    Graph *graph = spec_lower(command->arena, command->spec, command->config, SPEC_LOSS, command->diags);
    if (!graph) return NULL;
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
    return passes_run(&graph, &no_plan, "differentiate,optimizer", &context, &observer) ? graph : NULL;
}

CheckReference *check_reference(Command *command, const Target *target) {
    CHECK(config_int(command->config, "gradient_accumulation_steps") == 1);
    const Graph *graph = step_graph(command, target);
    if (!graph) return NULL;
    CheckReference *reference = ARENA_NEW(command->arena, CheckReference);
    *reference = (CheckReference){.command = command, .graph = graph, .values = reference_create(graph)};
    for (NodeId id = 0; id < graph_nodes(graph); id++)
        if (is_leaf(graph, id)) bind_leaf(reference, id);
    const char *unbound;
    if (!reference_run(reference->values, &unbound)) BUG("leaf '%s' has no value", unbound);
    return reference;
}

void check_reference_free(CheckReference *reference) {
    if (reference) reference_free(reference->values);
}
