// The tree of a model, as written: nothing is resolved or checked here but the grammar of docs/spec.md.
#ifndef SINTER_FRONTEND_AST_H
#define SINTER_FRONTEND_AST_H

#include "frontend/frontend.h"

// A growable array in an arena, and a new element at its end (to be assigned as a whole).
#define LIST_OF(type)                                                                                                  \
    struct {                                                                                                           \
        type *items;                                                                                                   \
        size_t count, capacity;                                                                                        \
    }
#define LIST_ADD(arena, list)                                                                                          \
    ((list)->items = arena_grow((arena), (list)->items, &(list)->capacity, (list)->count + 1, sizeof *(list)->items),  \
     (list)->items + (list)->count++)

typedef struct {
    const char *text;
    Place place;
} Name;
typedef LIST_OF(Name) NameList;

// ---- expressions
typedef enum {
#define BUILTIN(ENUM, spelling, class_, op, dims, operands) BUILTIN_##ENUM,
#include "frontend/builtins.def"
#undef BUILTIN
    BUILTIN_COUNT
} Builtin;

typedef enum {
    BUILTIN_CLASS_ARITHMETIC,
    BUILTIN_CLASS_REAL,
    BUILTIN_CLASS_COMPARE,
    BUILTIN_CLASS_LOGIC,
    BUILTIN_CLASS_REDUCE,
    BUILTIN_CLASS_FORM
} BuiltinClass;

typedef struct {
    const char *spelling;
    BuiltinClass class_;
    Op op;
    int dims, operands;
} BuiltinInfo;
extern const BuiltinInfo builtin_table[BUILTIN_COUNT];

typedef enum {
    EXPR_NUMBER,     // number, integral
    EXPR_STRING,     // text
    EXPR_BOOL,       // number: 0 or 1
    EXPR_NAME,       // text
    EXPR_BUILTIN,    // builtin, dims, operands
    EXPR_CALL,       // function, dims, operands
    EXPR_INDEX,      // operands[0][dims[i] = operands[1 + i]]
    EXPR_CONDITIONAL // operands[0] if operands[1] else operands[2]
} ExprKind;

typedef struct Function Function;
typedef struct Expr Expr;
struct Expr {
    ExprKind kind;
    Place place;    // of the name, the literal or the operator
    bool grouped;   // stood in parentheses
    unsigned depth; // 1 + that of the deepest operand: bounds every recursion over the tree
    double number;
    bool integral;
    const char *text;
    Builtin builtin;
    const Function *function;
    NameList dims;
    LIST_OF(Expr *) operands;
};

// ---- statements
typedef enum { INITIALIZER_DEFAULT, INITIALIZER_NAMED, INITIALIZER_NORMAL, INITIALIZER_CONSTANT } InitializerKind;
typedef struct {
    InitializerKind kind;
    Name name; // NAMED
    Place place;
    Expr *value; // NORMAL: standard deviation; CONSTANT
} Initializer;

typedef enum { STATEMENT_ASSIGN, STATEMENT_PARAM, STATEMENT_LAYER, STATEMENT_DIM } StatementKind;

typedef struct {
    Name name;
    bool has_dims; // x[B,T] = ...
    NameList dims;
} Target;

typedef struct Statement Statement;
typedef LIST_OF(Statement *) StatementList;
struct Statement {
    StatementKind kind;
    Place place;
    // ASSIGN: one expression for each target
    LIST_OF(Target) targets;
    LIST_OF(Expr *) values;
    // PARAM, LAYER, DIM: its name (LAYER: of the counter)
    Name name;
    // PARAM: dims[i] belongs to stored axis axes[i]
    NameList dims;
    LIST_OF(unsigned) axes;
    Initializer initializer;
    Name stored;        // PARAM, LAYER: the text after `as`
    Expr *condition;    // PARAM: after `if`, or NULL
    Expr *value;        // LAYER: how many; DIM: extent
    StatementList body; // LAYER
};

struct Function {
    Name name;
    NameList dims, arguments;
    StatementList body;
    Expr *result;
    bool prelude;
};

// ---- a whole model
typedef struct {
    Name name;
    ConfigValue value;
    const char *const *choices;
} ConfigItem;
typedef struct {
    Name name;
    NameList dims;
    unsigned token_bytes; // 2 or 4 as written; 0: the least that holds an entry of the dim `vocabulary`
    Name vocabulary;
} InputItem;
typedef struct {
    Name name;
    Initializer initializer;
} InitItem;

struct Spec {
    Name name;
    LIST_OF(ConfigItem) configs;
    StatementList dims; // STATEMENT_DIM
    LIST_OF(InputItem) inputs;
    LIST_OF(InitItem) inits;
    LIST_OF(Function *) functions; // the prelude's first, then the model's
    StatementList body;
    Place end;
};

#endif
