// The compiler, read top to bottom: spec -> Graph -> (passes) -> Plan -> (codegen) -> Program.
#include "driver/compile.h"
#include "base/clock.h"
#include "driver/command.h"
#include "driver/gpu.h"

static const char *const program_names[MODEL_PROGRAMS] = {"step", "micro", "eval", "logits"};
static const SpecUse program_uses[MODEL_PROGRAMS] = {SPEC_LOSS, SPEC_LOSS, SPEC_EVAL, SPEC_LOGITS};
static const ProgramKind program_kinds[MODEL_PROGRAMS] = {PROGRAM_STEP, PROGRAM_MICRO, PROGRAM_PLAIN, PROGRAM_PLAIN};

const char *model_program_name(ModelProgram program) { return program_names[program]; }

OptimizerSettings optimizer_settings(const Config *config) {
    bool is_scaled = configured_tensor(config) == TENSOR_F16;
    return (OptimizerSettings){
        .beta1 = config_float(config, "beta1"),
        .beta2 = config_float(config, "beta2"),
        .epsilon = 1e-8,
        .weight_decay = config_float(config, "weight_decay"),
        .grad_clip = config_float(config, "grad_clip"),
        .accumulation = (int)config_int(config, "gradient_accumulation_steps"),
        .init_scale = is_scaled ? config_float(config, "init_scale") : 0,
        .growth_interval = is_scaled ? config_int(config, "growth_interval") : 0,
    };
}

TensorKind configured_tensor(const Config *config) {
    const char *dtype = config_string(config, "dtype");
    if (text_equal(dtype, "bfloat16")) return TENSOR_BF16;
    if (text_equal(dtype, "float16")) return TENSOR_F16;
    return config_bool(config, "tf32") ? TENSOR_TF32 : TENSOR_NONE;
}

Plan *compile_plan(Arena *arena, const Spec *spec, const Config *config, ModelProgram program, CompileRequest *request,
                   Ledger *ledger, StateTable *states, Diags *diags) {
    double start = clock_seconds();
    Graph *graph = spec_lower(arena, spec, config, program_uses[program], diags);
    request->spec_seconds += clock_seconds() - start;
    if (!graph || !model_inputs_fit(graph, config, program != MODEL_LOGITS, diags)) return NULL;
    PassContext context = {
        .arena = arena,
        .diags = diags,
        .ledger = ledger,
        .target = request->target,
        .fuse = request->fuse,
        .states = states,
        .program = program_kinds[program],
        .choices = request->choices,
        .tensor = configured_tensor(config),
        .persistent = config_bool(config, "persistent"),
    };
    choices_begin(request->choices, program_names[program]);
    if (context.program != PROGRAM_PLAIN) {
        context.optimizer = optimizer_settings(config);
        // Programs without a backward part keep nothing for later: there is nothing to make again.
        bool is_read = request->without_budget || configured_budget(config, diags, &context.activation_budget);
        if (!is_read) return NULL;
    }
    Plan *plan = NULL;
    bool done = passes_run(&graph, &plan, NULL, &context, &request->observer);
    request->least_budget = context.least_budget;
    return done ? plan : NULL;
}

static bool generate(const Plan *const *plans, const char *const *names, int count, CompileRequest *request,
                     Program **programs, GpuModel **gpu, Diags *diags) {
    if (!request->gpu) return codegen_cpu(plans, names, count, request->target, &request->report, programs, diags);
    GpuLaunching launching = {.begins_early = !request->plain_launches, .merges = !request->lone_launches};
    *gpu = gpu_compile(request->gpu, plans, names, count, request->target, launching, &request->report, programs,
                       diags);
    return *gpu != NULL;
}

bool compile_model(Arena *arena, const Spec *spec, const Config *config, CompileRequest *request, CompiledModel *model,
                   Diags *diags) {
    double start = clock_seconds();
    *model = (CompiledModel){.ledger = ledger_create(arena)};
    StateTable states = {.arena = arena};
    const Plan *plans[MODEL_PROGRAMS];
    const char *names[MODEL_PROGRAMS];
    Program *programs[MODEL_PROGRAMS];
    int count = 0;
    choices_reset(request->choices);
    for (int program = 0; program < MODEL_PROGRAMS; program++) {
        if (!request->wanted[program]) continue;
        Plan *plan = compile_plan(arena, spec, config, (ModelProgram)program, request, model->ledger, &states, diags);
        if (!plan) return false;
        model->plans[program] = plan;
        model->ledger_ends[program] = ledger_count(model->ledger);
        names[count] = program_names[program];
        plans[count++] = plan;
    }
    if (!choices_finish(request->choices, diags)) return false;
    if (!generate(plans, names, count, request, programs, &model->gpu, diags)) return false;
    for (int program = 0, i = 0; program < MODEL_PROGRAMS; program++) {
        if (model->plans[program]) model->programs[program] = programs[i++];
    }
    memory_trim();
    model->seconds = clock_seconds() - start;
    return true;
}

void compiled_free(CompiledModel *model) {
    for (int program = 0; program < MODEL_PROGRAMS; program++) {
        if (model->programs[program]) program_free(model->programs[program]);
    }
    gpu_model_free(model->gpu);
}

// ---- what a step costs, as nanoGPT counts it and as it is

// Marks what the loss depends on: the forward part, whatever a level of fusion made of the rest.
static void mark_forward(const Graph *graph, bool *forward) {
    for (uint32_t i = 0; i < graph_outputs(graph); i++) {
        const Output *output = graph_output_at(graph, i);
        if (text_equal(output->name, "loss")) forward[output->node] = true;
    }
    for (NodeId id = graph_nodes(graph); id-- > 0;) {
        const Node *node = graph_node(graph, id);
        for (uint32_t k = 0; forward[id] && k < node->operand_count; k++) forward[node->operands[k]] = true;
    }
}

// A position table reaches its users by renaming or cutting its first dim only: no contraction, no gather by tokens.
static bool is_position_table(const Graph *graph, const bool *forward, const char *name) {
    bool used = false;
    for (NodeId id = 0; id < graph_nodes(graph); id++) {
        const Node *node = graph_node(graph, id);
        for (uint32_t k = 0; forward[id] && k < node->operand_count; k++) {
            const Node *source = graph_node(graph, node->operands[k]);
            if (source->op != OP_PARAM || !text_equal(graph_leaf_at(graph, source->attr.leaf)->name, name)) continue;
            if (node->op != OP_PREFIX && node->op != OP_RENAME) return false;
            used = true;
        }
    }
    return used;
}

double model_counted_parameters(const Plan *plan) {
    double count = 0;
    bool *forward = memory_allocate_array(graph_nodes(plan->dims), sizeof *forward);
    mark_forward(plan->dims, forward);
    for (ValueId v = 0; v < plan->value_count; v++) {
        const Value *value = &plan->values[v];
        if (value->kind != VALUE_STATE || !value->is_param || is_position_table(plan->dims, forward, value->name))
            continue;
        count += (double)graph_elements(plan->dims, dim_list_set(&value->order));
    }
    memory_release(forward);
    return count;
}

double model_flops_per_token(const Plan *plan, const Config *config) {
    double flops = 6 * model_counted_parameters(plan);
    const ConfigKey *layers = config_find(config, "n_layer"), *width = config_find(config, "n_embd");
    if (layers && layers->from_spec && width && width->from_spec)
        flops += 12.0 * (double)layers->value.integer * (double)width->value.integer *
                 (double)config_int(config, "block_size");
    return flops;
}

double model_true_flops(const Plan *plan) {
    double flops = 0;
    for (uint32_t i = 0; i < plan->step_count; i++) {
        if (form_multiplies(plan->steps[i].form)) flops += plan->steps[i].flops;
    }
    return flops;
}
