// The compiler, read top to bottom: spec -> Graph -> (passes) -> Plan -> (codegen) -> Program.
#include "driver/compile.h"
#include "base/clock.h"


static const char *const program_names[MODEL_PROGRAMS] = {"step", "micro", "eval", "logits"};
static const SpecUse program_uses[MODEL_PROGRAMS] = {SPEC_LOSS, SPEC_LOSS, SPEC_EVAL, SPEC_LOGITS};
static const ProgramKind program_kinds[MODEL_PROGRAMS] = {PROGRAM_STEP, PROGRAM_MICRO, PROGRAM_PLAIN, PROGRAM_PLAIN};

OptimizerSettings optimizer_settings(const Config *config) {
    return (OptimizerSettings){
        .beta1 = config_float(config, "beta1"),
        .beta2 = config_float(config, "beta2"),
        .epsilon = 1e-8,
        .weight_decay = config_float(config, "weight_decay"),
        .grad_clip = config_float(config, "grad_clip"),
        .accumulation = (int)config_int(config, "gradient_accumulation_steps"),
    };
}

Plan *compile_plan(Arena *arena, const Spec *spec, const Config *config, ModelProgram program, CompileRequest *request,
                   Ledger *ledger, StateTable *states, Diags *diags) {
    Graph *graph = spec_lower(arena, spec, config, program_uses[program], diags);
    if (!graph) return NULL;
    PassContext context = {
        .arena = arena,
        .diags = diags,
        .ledger = ledger,
        .target = request->target,
        .fuse = request->fuse,
        .states = states,
        .program = program_kinds[program],
    };
    if (context.program != PROGRAM_PLAIN) context.optimizer = optimizer_settings(config);
    Plan *plan = NULL;
    return passes_run(&graph, &plan, NULL, &context, &request->observer) ? plan : NULL;
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
    for (int program = 0; program < MODEL_PROGRAMS; program++) {
        if (!request->wanted[program]) continue;
        Plan *plan = compile_plan(arena, spec, config, (ModelProgram)program, request, model->ledger, &states, diags);
        if (!plan) return false;
        model->plans[program] = plan;
        names[count] = program_names[program];
        plans[count++] = plan;
    }
    if (!codegen_cpu(plans, names, count, request->target, &request->report, programs, diags)) return false;
    for (int program = 0, i = 0; program < MODEL_PROGRAMS; program++) {
        if (model->plans[program]) model->programs[program] = programs[i++];
    }
    model->seconds = clock_seconds() - start;
    return true;
}

void compiled_free(CompiledModel *model) {
    for (int program = 0; program < MODEL_PROGRAMS; program++) {
        if (model->programs[program]) program_free(model->programs[program]);
    }
}

// ---- what a step costs, as nanoGPT counts it and as it is

// A position table reaches its users by renaming or cutting its first dim only: no contraction, no gather by tokens.
static bool is_position_table(const Plan *plan, ValueId table) {
    bool used = false;
    for (uint32_t i = 0; i < plan->step_count; i++) {
        const Step *step = &plan->steps[i];
        if (text_equal(step->label, "adamw") || text_equal(step->label, "square_norm")) continue;
        for (uint32_t k = 0; k < step->operand_count; k++) {
            if (step->operands[k] != table) continue;
            for (NodeId n = 0; n < graph_nodes(step->region); n++) {
                const Node *node = graph_node(step->region, n);
                for (uint32_t a = 0; a < node->operand_count; a++) {
                    const Node *source = graph_node(step->region, node->operands[a]);
                    if (source->op != OP_OPERAND || source->attr.integer != (int32_t)k) continue;
                    if (node->op != OP_PREFIX && node->op != OP_RENAME) return false;
                    used = true;
                }
            }
        }
    }
    return used;
}

double model_counted_parameters(const Plan *plan) {
    double count = 0;
    for (ValueId v = 0; v < plan->value_count; v++) {
        const Value *value = &plan->values[v];
        if (value->kind != VALUE_STATE || !value->is_param || is_position_table(plan, v)) continue;
        count += (double)graph_elements(plan->dims, dim_list_set(&value->order));
    }
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
        if (plan->steps[i].form == FORM_PRODUCT) flops += plan->steps[i].flops;
    }
    return flops;
}
