// Choices: decisions of the compiler, steered by text. One choice a line; later lines win; `#` begins a comment.
//
//     forbid band at layer[*].p            # the ledger: made find_bands: band of softmax at layer[0..5].p: ...
//     forbid strand
//     forbid merge product with add        # at every place
//     make   pack at layer[0].y            # the cost model refused it; an error where it cannot be
//     fuse   layer[*].u with layer[*].m    # one box; an error with the first condition that failed
//     keep   layer[*].p                    # store the value ..
//     redo   layer[0..3].p                 # .. or compute it again in every box that reads it
//     tile   layer[*].u 13x32              # register tile of a product: rows x lanes
//     block  layer[*].u 128x64 stages 3    # block of a product in tensor cores; `parts 4`: of its sum; `wgmma`: by
//                                          # warpgroups
//     chunk  layer[*].u 4                  # pieces of a step; `over B,T`: of these dims
//     strand 6                             # pieces of the strand, `groups 2` of them; `strand off`: none
//     engine layer[*].u openblas           # or tiles, or on a GPU cublaslt; `plain`: without any epilogue
//     precision layer[*].u f32             # what a value is stored in; on a GPU bf16 or f16, too
//     redo   layer[*].p in eval            # in one program only: step, micro, eval or logits
//     in eval                              # and so are all the lines that follow, up to the next such line
//
// A decision is what a ledger line says: a pass, what, a place. The words of `forbid` and `make` are words of that line
// (pass, what, or the place); every one of them must be met, "words in quotes" by all of what, and `at PLACE` by the
// place. `tile`, `block`, `chunk` and `engine` may name the step before its place: `chunk pack at layer[*].y 4`. A
// pattern is a name with `*` for any text, `[*]`, `[3]`, `[0..3]` or `{0..3}` for layers; layer[0].m means all steps of
// that place, layer[0].m#2 the second one.
//
// A choice that is followed, or not, is in the ledger: "by choice FILE:LINE". One that matches nothing, or that can be
// followed nowhere, is an error at its line, with the reason.
#ifndef SINTER_PASSES_CHOICES_H
#define SINTER_PASSES_CHOICES_H

#include "base/diag.h"
#include "base/memory.h"
#include "ir/ledger.h"
#include "ir/plan.h"

typedef enum {
#define CHOICE_VERB(ENUM, name, usage) CHOICE_##ENUM,
#include "passes/choices.def"
#undef CHOICE_VERB
    CHOICE_VERBS
} ChoiceVerb;

enum { CHOICE_WORDS = 12 };

// One line.
typedef struct {
    ChoiceVerb verb;
    Place at;                             // of the verb
    const char *words[CHOICE_WORDS];      // forbid, make: what, word by word
    int word_count;
    const char *label;                    // tile, block, chunk, engine: pattern of the step's label; NULL: any
    const char *place;                    // pattern; NULL: every place
    const char *with;                     // fuse: the other pattern; NULL: any neighbour
    const char *program;                  // NULL: every program
    const char *section;                  // that of the section it stands in
    uint32_t rows, lanes;                 // tile, block
    uint32_t stages;                      // block; 0: as the cost model says
    bool wgmma, in_turns;                 // block: by warpgroups, each with a tile of its own
    uint32_t pieces;                      // chunk, strand; 0: off; block: parts, 0: as the cost model says
    const char *over;                     // chunk: the dims, "B,T"; NULL: as few of the outermost as have so many rows
    uint32_t groups;                      // strand; 0: as many as the Target has cores
    const char *engine;                   // engine: "tiles", or a library's name
    bool is_plain;                        // engine: of products without an epilogue alone
    DType precision;                      // precision
    const char *text;                     // the line as written, without comment
    uint32_t met, followed;               // decisions that it matched; that went, or would have gone, its way
    const char *obstacle;                 // why the first one could not be followed
} Choice;

typedef struct Choices Choices;

// ---- text

// An empty list; then any number of texts. `file` and `source` must outlive the list. False with diagnostics.
Choices *choices_create(Arena *arena);
bool choices_add(Choices *choices, const char *file, const char *source, Diags *diags);
size_t choices_count(const Choices *choices);
const Choice *choices_at(const Choices *choices, size_t i);

// ---- one compile

// The next program: "step", "micro", "eval" or "logits". The first call after choices_create or choices_reset begins a
// compile. NULL choices are allowed everywhere below.
void choices_begin(Choices *choices, const char *program);
// After the last program: false with a diagnostic for each line that matched nothing, or could be followed nowhere, in
// the programs compiled.
bool choices_finish(Choices *choices, Diags *diags);
// From now on choices_finish warns only: for a compile at other sizes than the choices were written for.
void choices_be_lenient(Choices *choices);
// Forgets what was matched, so that the same list can steer another compile.
void choices_reset(Choices *choices);

// ---- what passes ask

// The last `forbid` or `make` that meets the decision; NULL when none does.
Choice *choices_about(Choices *choices, const char *pass, const char *what, const char *place);
// For what is made unless it is forbidden: whether it is. Then *reason is what the ledger says.
bool choices_forbid(Choices *choices, const char *pass, const char *what, const char *place, const char **reason);
// For what the cost model decides: `made` and `reason` become what the last one says, where that is possible.
void choices_decide(Choices *choices, bool is_possible, Decision *decision);
// The last `keep` or `redo` of a value.
Choice *choices_of_value(Choices *choices, const char *place);
// The last choice of the verb for a step.
Choice *choices_of_step(Choices *choices, ChoiceVerb verb, const Step *step);
// The last `strand`, `forbid` or `make` about the strand; and what it makes of it: *made is set, and the ledger's words
// are returned. NULL choice: NULL, and *made stays.
Choice *choices_of_strand(Choices *choices);
const char *choice_strand(Choices *choices, Choice *choice, bool is_possible, bool *made);
// The lines of one verb, in order: the one after `before`, or the first; NULL at the end.
Choice *choices_next(Choices *choices, ChoiceVerb verb, const Choice *before);
// For a product that a library may compute: what `engine`, or words about the decision, say of it. `refusal`: why it
// cannot be, or NULL; `is_wanted`: whether it is without a choice. False: no choice speaks of it.
bool choices_decide_engine(Choices *choices, const Step *step, const char *library, const char *refusal, bool is_wanted,
                           Decision *decision);
// Follows `precision PLACE f32` for a value of that type, or notes why not.
void choices_precision(Choices *choices, const char *place, DType dtype);
// Whether the last `precision` of a value is that type; and what is made of it then, as by choices_decide.
bool choices_ask_for(Choices *choices, const char *place, DType dtype);
void choices_decide_precision(Choices *choices, bool is_possible, DType dtype, Decision *decision);
// Whether the pattern meets the name.
bool choice_matches(const char *pattern, const char *name);
// Notes that the choice is followed, or why it cannot be, and returns the ledger's words: "by choice FILE:LINE".
const char *choice_follow(Choices *choices, Choice *choice);
const char *choice_obstruct(Choices *choices, Choice *choice, const char *reason);

// ---- what was decided

// What was made, without places: one row for each pass and what. `forbid` is a line that leaves it out everywhere.
typedef struct {
    const char *pass, *what;              // "find_bands", "band of softmax"
    const char *forbid;                   // forbid "band of softmax"
    uint32_t places;
    double bytes_saved, flops_saved;      // all places together
} MadeKind;
// In the order of the ledger; what could not have gone otherwise is left out. Returns how many.
size_t choices_list_made(Arena *arena, const Ledger *ledger, MadeKind **kinds);

// Appends the lines of a list as they were written, but for those whose decisions choices_write states one by one.
void choices_print(const Choices *choices, Text *out);
// Appends a section `in PROGRAM` with one line for each decision that the cost model took: behind the lines in effect
// (choices_print) it makes the same plan again, for other Targets too; but for chains, which are not written.
void choices_write(const Plan *plan, const Ledger *ledger, const char *program, Text *out);

#endif
