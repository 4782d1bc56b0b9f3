// What the files of lowering share. In: a Spec, the values of a Config. Out: a Graph of primitives, or diagnostics.
//
// Lowering is an interpreter: it walks the statements of the model, `layer` blocks as often as they say, and evaluates
// every expression to a Value; one that depends on data is a node of the graph. Every statement is lowered, so that
// mistakes are found wherever they are; at the end the graph is cut down to what the output needs. All mistakes of a
// model that are not of grammar are reported from here.
#ifndef SINTER_FRONTEND_LOWER_H
#define SINTER_FRONTEND_LOWER_H

#include "frontend/ast.h"

// What an expression is worth. Numbers, bools and strings are known while compiling and folded in double precision.
typedef enum {
    VALUE_ERROR,  // reported already; whatever uses it fails quietly
    VALUE_ABSENT, // a param whose `if` is false: reads as 0 and vanishes
    VALUE_NUMBER, // number; integral: an integer, which may stand where i32 is wanted
    VALUE_BOOL,   // number: 0 or 1
    VALUE_STRING, // string; choices: the list it was chosen from, or NULL
    VALUE_TENSOR  // node
} ValueKind;

typedef struct {
    ValueKind kind;
    double number;
    bool integral;
    const char *string;
    const char *const *choices;
    NodeId node;
} Value;

// One turn of a `layer` block, or the model's top level.
typedef struct {
    const char *stored;             // prefix of stored names: "h.0", "" at top level
    const char *report;             // prefix of reported names: "layer[0]", "" at top level
    LIST_OF(const char *) assigned; // names assigned so far: the second x is reported as "layer[0].x.1"
} Instance;

// A name of the model and what it stands for now.
typedef enum { ENTRY_VALUE, ENTRY_PARAM, ENTRY_INPUT, ENTRY_COUNTER } EntryKind;
typedef struct {
    EntryKind kind;
    Name name;
    Value value;
} Entry;

typedef struct {
    const char *name;
    DimId dim;
    Place place;
} NamedDim;

typedef struct {
    const char *name;
    Place place;
    Value value;
} Local;

// A function being evaluated. At top level there is a frame without a function.
typedef struct Frame Frame;
struct Frame {
    Frame *caller;
    const Function *function;
    const Expr *call;
    LIST_OF(Local) locals;  // arguments, then values assigned in the body; the newest wins
    LIST_OF(NamedDim) dims; // dim parameters and local dims
    DimSet own_dims;        // the local ones
    const char *report;     // what values named here are called in reports: "layer[0].a"
};

typedef struct {
    const Function *function;
    const char *name;
    int64_t extent;
    DimId dim;
} LocalDim;

typedef struct {
    Arena *arena;
    const Spec *spec;
    const Config *config;
    SpecUse use;
    Diags *diags;
    Graph *graph;
    LIST_OF(NamedDim) dims;       // of the model
    LIST_OF(LocalDim) local_dims; // of functions: one for each function, name and extent
    LIST_OF(Entry) entries;       // names of the model in sight, the newest last
    LIST_OF(Name) stored;         // names of params in files, to find the second use
    LIST_OF(unsigned long long) stored_hashes;   // of their texts
    LIST_OF(Place) reported;      // a mistake in a layer is reported once
    bool repeated;                // the last mistake had been reported before
    Frame *frame;
    Instance *instance;
    unsigned randoms; // calls of random() in the statement being lowered
    unsigned depth;   // of evaluation
    size_t steps;     // expressions evaluated
    bool extents;     // inside a dim or a count: a bare dim is its extent, '/' must be exact
} Lower;

// ---- lower_value.c: words, errors, conversions
// Reports, unless this place has been reported. Inside a prelude function the place is the call in the model.
Value lower_error(Lower *lower, Place place, const char *format, ...) __attribute__((format(printf, 3, 4)));
// Attached to the last lower_error.
void lower_note(Lower *lower, Place place, const char *format, ...) __attribute__((format(printf, 3, 4)));
bool lower_first_at(Lower *lower, Place place);    // nothing was reported at this place yet
Place lower_spot(const Lower *lower, Place place); // the place that an error at `place` would show
// Like lower_error, for callers that return a bool.
#define lower_fail(...) (lower_error(__VA_ARGS__).kind != VALUE_ERROR)
Value value_number(double number, bool integral);
Value value_bool(bool truth);
Value value_tensor(NodeId node);
DimSet value_dims(const Lower *lower, Value value);
const char *value_describe(Lower *lower, Value value); // "f32[B,T]", "the number 3"
const char *dims_describe(Lower *lower, DimSet dims);  // "B, T"
// The node of a number (as f32), a tensor, an absent param (as 0). NODE_NONE for the others, which are errors.
NodeId value_float(Lower *lower, Value value, Place place);
double dims_elements(const Lower *lower, DimSet dims);
// Rank and size of a value that is about to be built are possible.
bool lower_dims_fit(Lower *lower, DimSet dims, Place place);
// build_node for a request that may break a rule: then the rule's sentence is reported.
Value lower_build(Lower *lower, Place place, Op op, const NodeId *operands, uint32_t count, Attr attr);

// ---- lower_scope.c: names
bool lower_dim(Lower *lower, const Name *name, DimId *dim); // reports an unknown dim
bool lower_find_dim(const Lower *lower, const char *name, DimId *dim);
Entry *lower_find(const Lower *lower, const char *name); // a name of the model; NULL when there is none
// The config value of this name, with what `use` changes; false when there is none.
bool lower_config(const Lower *lower, const char *name, Value *value);
Value lower_unknown_name(Lower *lower, const Name *name);

// ---- lower_declare.c: dims, params, inputs
bool lower_declare_dims(Lower *lower);
bool lower_local_dim(Lower *lower, const Statement *statement);
Value lower_input(Lower *lower, const InputItem *input);
Value lower_param(Lower *lower, const Statement *param);
// Evaluates `expr` as an integer of dims: exact division, bare dims are extents.
bool lower_dim_extent(Lower *lower, const Expr *expr, const char *what, int64_t least, int64_t most, int64_t *result);
// Replaces {name} by the counters and arguments in sight.
const char *lower_expand(Lower *lower, const Name *text);
NodeId lower_scalar_input(Lower *lower, const char *name); // "seed", "step", "micro"

// ---- lower_compact.c: only what the outputs need
// A graph with the same outputs, and no other dims, leaves, groups and nodes than they depend on. In `arena`.
Graph *graph_compact(Arena *arena, const Graph *graph);

// ---- lower_expression.c and the files of its cases
Value lower_expression(Lower *lower, const Expr *expr);
bool lower_condition(Lower *lower, const Expr *expr, bool *truth);
Value lower_index(Lower *lower, const Expr *expr);
Value lower_pointwise(Lower *lower, const Expr *expr);
Value pointwise(Lower *lower, Builtin builtin, Value a, Value b, const Expr *expr);
Value lower_reduce(Lower *lower, const Expr *expr);
Value lower_builtin_form(Lower *lower, const Expr *expr);
Value lower_call(Lower *lower, const Expr *expr);

#endif
