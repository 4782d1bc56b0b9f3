// The door of passes/: Graph in, Graph or Plan out, by the one visible list in passes.def.
#ifndef SINTER_PASSES_PASSES_H
#define SINTER_PASSES_PASSES_H

#include "base/diag.h"
#include "base/memory.h"
#include "ir/graph.h"
#include "ir/ledger.h"
#include "ir/plan.h"
#include "ir/target.h"
#include "passes/choices.h"

// none: one kernel per primitive. op: operator at a time, as an eager framework. all: every fusion there is.
typedef enum { FUSE_NONE, FUSE_OP, FUSE_ALL } FuseLevel;
const char *fuse_name(FuseLevel level);
bool fuse_from_name(const char *name, FuseLevel *level);

// AdamW (Loshchilov and Hutter, ICLR 2019) with decoupled decay on leaves of stored rank >= 2, and clipping of the
// global gradient norm. Learning rate and step are run-time inputs "learning_rate" (f32) and "step" (i32, from 0).
typedef struct {
    double beta1, beta2, epsilon, weight_decay;
    double grad_clip;                   // 0: no clipping
    int accumulation;                   // micro-batches per update, >= 1; 1: no micro program, no accumulate states
    double init_scale;                  // of the loss, whose gradients are scaled then (loss_scale.h); 0: it is not
    int64_t growth_interval;            // steps without an overflow after which that scale doubles
} OptimizerSettings;

// Where states live: shared by all programs of one model, so that `step`, `eval` and `logits` see the same bytes.
typedef struct {
    const char *name;
    size_t offset, bytes;
} StatePlace;
// And in which layout: the first program compiled decides. A copy of a param exists only when the program that updates
// the param makes it anew, too.
typedef struct {
    const char *name;
    const char *copy_of;                // the param's name; NULL: no copy
    DType dtype;
    const Graph *dims;                  // of that program; others know them by name
    Layout layout;
} StateLayout;
typedef struct {
    Arena *arena;
    StatePlace *places;
    size_t count, capacity, bytes;
    StateLayout *layouts;
    size_t layout_count, layout_capacity;
    bool updates;                       // a program that updates params is compiled: no more copies than it knows
} StateTable;

// Which program of the model is being compiled. plain (eval, logits): `extend` passes are left out. micro: gradients
// are added to the states `accumulate.NAME`. step: gradients (plus what was accumulated) update params and moments.
typedef enum { PROGRAM_PLAIN, PROGRAM_MICRO, PROGRAM_STEP } ProgramKind;

typedef struct {
    Arena *arena;                       // results
    Diags *diags;
    Ledger *ledger;
    const Target *target;
    FuseLevel fuse;
    OptimizerSettings optimizer;
    TensorKind tensor;                  // what products may round their operands to; TENSOR_NONE: nothing
    bool persistent;                    // on a GPU: one kernel for each program that can be one (choose_persistent)
    StateTable *states;
    ProgramKind program;
    Choices *choices;                   // decisions steered by text; NULL: none
    size_t activation_budget;           // bytes for activations at one time (plan_again); 0: no limit
    size_t least_budget;                // set when that cannot be met: the smallest one that can
} PassContext;

typedef enum {
    PASS_REWRITE,   // Graph -> Graph: idempotent, keeps all outputs and their values
    PASS_EXTEND,    // Graph -> Graph: adds outputs, refuses a second run
    PASS_DRAW,      // Graph -> Plan
    PASS_PLAN       // fills in the Plan
} PassKind;

typedef struct {
    const char *name;
    PassKind kind;
    const char *sentence;
    Graph *(*graph)(const Graph *graph, PassContext *context);   // REWRITE, EXTEND; NULL after a diagnostic
    Plan *(*draw)(const Graph *graph, PassContext *context);     // DRAW; NULL after a diagnostic
    bool (*plan)(Plan *plan, PassContext *context);              // PLAN; false after a diagnostic
} Pass;

extern const Pass pass_list[];
extern const size_t pass_count;
const Pass *pass_find(const char *name);

// What the runner reports for each pass (for --dump_dir, --time, --emit).
typedef struct {
    void (*after)(void *context, const Pass *pass, const Graph *graph, const Plan *plan, double seconds);
    void *context;
    bool verify;
    double *verify_seconds;             // when not NULL: what verifying took is added
    int limit;                          // run only the first `limit` passes' worth of rewrites; < 0: all
} PassObserver;

// Runs `names` (comma-separated), or with NULL the whole list. *graph is replaced; *plan is set once drawn.
// Verifies after each pass (BUG with the pass's name on a violation). False after a diagnostic.
bool passes_run(Graph **graph, Plan **plan, const char *names, PassContext *context, const PassObserver *observer);

#endif
