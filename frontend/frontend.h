// The door of frontend/: spec text -> Spec (AST) -> Graph of primitives; config files -> Config.
#ifndef SINTER_FRONTEND_FRONTEND_H
#define SINTER_FRONTEND_FRONTEND_H

#include "base/diag.h"
#include "base/memory.h"
#include "base/text.h"
#include "ir/graph.h"

// ---- configuration: typed keys with defaults; values from files and `--key=value`, left to right, later wins
typedef enum { CONFIG_INT, CONFIG_FLOAT, CONFIG_BOOL, CONFIG_STRING } ConfigType;

typedef struct {
    ConfigType type;
    int64_t integer;       // INT, BOOL (0 or 1)
    double number;         // FLOAT (also set for INT)
    const char *string;    // STRING
} ConfigValue;

typedef struct {
    const char *name;
    ConfigValue value;             // default, then current value
    const char *const *choices;    // STRING: NULL-terminated list of allowed values, or NULL
    bool from_spec;                // a `config` name of the spec
    bool ignored;                  // a nanoGPT key that this program accepts and does not use
    bool assigned;                 // set by a file or the command line
    Place place;                   // where it was set last
} ConfigKey;

typedef struct Config Config;
Config *config_create(Arena *arena);
// Declares a key. A key declared twice (nanoGPT's n_layer, then the spec's) keeps an assigned value; the later default
// and choices win. Returns the key.
ConfigKey *config_declare(Config *config, const char *name, ConfigValue value, const char *const *choices,
                          bool from_spec);
// One `key = literal` from text (the literal as written: 3, 1e-3, True, 'text', "text", bare word). Unknown key, wrong
// type and value outside the choices are errors that name the nearest key. Ints are accepted for floats.
bool config_assign(Config *config, const char *key, const char *literal, Place place, Diags *diags);
// A .cfg or nanoGPT .py file: blank lines, # comments, `key = literal` lines. Anything else in it is an error that says
// so. With `echo` the assignments are also appended there, as nanoGPT echoes them.
bool config_read(Config *config, const char *file, const char *source, Text *echo, Diags *diags);
// Only the keys and literals of such a file, no checking against declared keys: for finding `model` before a spec is
// read.
const char *config_peek(Arena *arena, const char *source, const char *key);  // NULL when absent
const ConfigKey *config_find(const Config *config, const char *name);   // NULL when unknown
size_t config_count(const Config *config);
const ConfigKey *config_at(const Config *config, size_t i);
int64_t config_int(const Config *config, const char *name);             // these BUG on an unknown key or other type
double config_float(const Config *config, const char *name);
bool config_bool(const Config *config, const char *name);
const char *config_string(const Config *config, const char *name);

// ---- the language of models (docs/spec.md)
typedef struct Spec Spec;
// Parses a model; the prelude's functions are known in it. NULL with diagnostics. `source` must outlive the Spec.
Spec *spec_parse(Arena *arena, const char *file, const char *source, Diags *diags);
const char *spec_name(const Spec *spec);
// Declares the spec's `config` names in `config`.
bool spec_declare(const Spec *spec, Config *config, Diags *diags);
void spec_print(const Spec *spec, Text *out);    // the AST as an indented tree (lower --emit=ast)

typedef enum {
    SPEC_LOSS,       // outputs: loss
    SPEC_EVAL,       // outputs: loss; config `dropout` counts as 0
    SPEC_LOGITS      // outputs: logits [.., V]; dropout 0, no `target` input
} SpecUse;
// Lowers to primitives with the values of `config` (shapes are constants). All dims, names and types are checked here;
// NULL with diagnostics.
Graph *spec_lower(Arena *arena, const Spec *spec, const Config *config, SpecUse use, Diags *diags);

// Text of the prelude and of the models shipped in the binary ("gpt2", "llama"); NULL when there is none of that name.
const char *spec_prelude(void);
const char *spec_embedded(const char *model);

#endif
