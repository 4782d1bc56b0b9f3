// The whole compiler as one short function: Spec + Config + Target -> Programs.
#ifndef SINTER_DRIVER_COMPILE_H
#define SINTER_DRIVER_COMPILE_H

#include "codegen/codegen.h"
#include "frontend/frontend.h"
#include "ir/ledger.h"
#include "ir/plan.h"
#include "ir/target.h"
#include "passes/passes.h"
#include "runtime/program.h"

// The programs of one model, over one set of states.
typedef enum { MODEL_STEP, MODEL_MICRO, MODEL_EVAL, MODEL_LOGITS, MODEL_PROGRAMS } ModelProgram;

typedef struct {
    bool wanted[MODEL_PROGRAMS];
    FuseLevel fuse;
    const Target *target;
    const struct Gpu *gpu;          // that `target` describes; NULL: the processor
    bool without_budget;            // the key activation_budget does not count
    size_t least_budget;            // set when it cannot be met: the smallest that can
    Choices *choices;               // NULL: none. compile_model resets them and complains of those that meet nothing
    bool plain_launches;            // on a GPU no kernel begins before those it waits for have ended
    bool lone_launches;             // there each step is a launch of its own
    PassObserver observer;
    CodegenReport report;           // texts to be filled in may be set; counts and times come back
    double spec_seconds;            // comes back: from the spec to graphs
    int sample_batch;               // MODEL_LOGITS: batch_size of that program, 0: as configured
} CompileRequest;

typedef struct {
    Plan *plans[MODEL_PROGRAMS];    // NULL where not wanted
    Program *programs[MODEL_PROGRAMS];
    struct GpuModel *gpu;           // what runs them there; NULL: the processor does
    Ledger *ledger;
    size_t ledger_ends[MODEL_PROGRAMS];   // how long it was when that program's plan was made
    double seconds;                 // all of it
} CompiledModel;

const char *model_program_name(ModelProgram program);   // "step", "micro", "eval", "logits"

OptimizerSettings optimizer_settings(const Config *config);
// What products on a GPU may round their operands to, by the keys dtype and tf32.
TensorKind configured_tensor(const Config *config);
// Spec -> Graph -> Plan of one program, no code yet. NULL with diagnostics.
Plan *compile_plan(Arena *arena, const Spec *spec, const Config *config, ModelProgram program, CompileRequest *request,
                   Ledger *ledger, StateTable *states, Diags *diags);
// Whether the graph of a spec has just the inputs that a run fills in (inputs.c). False after a diagnostic.
bool model_inputs_fit(const Graph *graph, const Config *config, bool has_loss, Diags *diags);
// Everything. False with diagnostics. Programs are freed with compiled_free.
bool compile_model(Arena *arena, const Spec *spec, const Config *config, CompileRequest *request, CompiledModel *model,
                   Diags *diags);
void compiled_free(CompiledModel *model);

// What nanoGPT's estimate_mfu counts: parameters without position tables (params that are only renamed or cut to a
// prefix), and 6 N + 12 L H Q T flops a token where the spec has n_layer and n_embd.
double model_counted_parameters(const Plan *plan);
double model_flops_per_token(const Plan *plan, const Config *config);
// The fixed denominator of nanoGPT's mfu: an A100's bfloat16 peak.
#define NANOGPT_PEAK_FLOPS 312e12
// Multiply-adds of the plan's products, counted as 2 flops each, for one run of the program.
double model_true_flops(const Plan *plan);

#endif
