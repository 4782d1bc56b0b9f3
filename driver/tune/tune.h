// Tuning: choices found by measuring, for --tune=on|all.
//
//     the model's own choice --tune_search--> choices that are faster, or none --tune_save--> a file for the next run
//
// The search knows nothing of compilers: it gets a TuneMachine, which makes programs of choices and times them, and
// keeps a choice only where the timing proves it. lanes.c is the machine that compiles and trains; tests have
// others.
#ifndef SINTER_DRIVER_TUNE_H
#define SINTER_DRIVER_TUNE_H

#include "driver/bench/statistics.h"
#include "driver/command.h"
#include "driver/compile.h"
#include "ir/layer_text.h"
#include "runtime/threads.h"

// ---- candidates: candidates.c

// One choice that could be faster: a line of choices without its program.
typedef struct {
    const char *line; // "tile product at layer[0..3].u 12x32", or several
    const char *name; // in what a person reads; NULL: the line
    bool is_numeric;  // known to change bits
    int tier;         // lower ones are tried first, ..
    double weight;    // .. and in a tier heavier ones
} TuneCandidate;

// The neighbourhood of what a compile of the step decided: each made kind left out, each refused one made, each number
// one step smaller or larger. Returns how many.
size_t tune_candidates(Arena *arena, const Plan *plan, const Ledger *ledger, const Target *target, bool with_numeric,
                       TuneCandidate **candidates);

// ---- products one by one: survey.c

// Choices that computes all products in one way each, the more promising ones first: "block * 64x64".
typedef struct {
    Arena *arena;
    const char **lines;
    size_t count, capacity;
} TuneWays;
TuneWays tune_ways(Arena *arena, const Target *target, TensorKind tensor, bool with_numeric);

// The products of one label and place, but for the layer: seconds in the untuned program, and at best.
typedef struct {
    const char *label, *place;
    LayerSet layers;
    double untuned, best, now;
    bool is_left;    // a step of it did not go the way at hand
    const char *way; // the best one; NULL: none was measured
} TuneProduct;
typedef struct {
    Arena *arena;
    TuneProduct *list;
    size_t count, capacity;
} TuneProducts;
// Adds seconds by step of a plan: of one way of all products, or, without `way`, of the untuned program. A product with
// a step that cannot go that way does not go it. tune_end_way ends a way; a tie leaves the earlier one.
void tune_add_times(TuneProducts *products, const Plan *plan, const double *seconds, const char *way);
void tune_end_way(TuneProducts *products, const char *way);
// The line of choices that product i is faster with; NULL: it stays as it is.
const char *tune_picked(const TuneProducts *products, size_t i);

// ---- the search: search.c

// A program that can be timed. Machines put what else it needs behind this.
typedef struct {
    const char *choices; // the lines that made it what it is, beyond those that were there before
} TuneLane;

typedef struct {
    void *context;
    double (*now)(void *context); // seconds from anywhere
    bool (*interrupted)(void *context);
    // A program of these choices; NULL with the reason in *why: it cannot be, or it is the same as an earlier one.
    TuneLane *(*compile)(void *context, const char *choices, const char **why);
    void (*release)(void *context, TuneLane *lane);
    // Lines, each of a part of the program that is faster so by itself, of what could be tried up to `deadline` on the
    // clock; "": there are none. NULL: this machine cannot time parts.
    const char *(*survey)(void *context, TuneLane *untuned, double deadline);
    // What could be better than this lane, best guesses first.
    size_t (*list)(void *context, const TuneLane *lane, TuneCandidate **candidates);
    // `line`, as it must be written behind choices.
    const char *(*written)(void *context, const char *line);
    // Warms up, takes some steps, and gives the median of their seconds. False when it cannot run.
    bool (*visit)(void *context, TuneLane *lane, double *seconds);
    // What some steps from the beginning leave behind, as a hash: equal for programs that compute the same bits.
    bool (*bits)(void *context, TuneLane *lane, unsigned long long *hash);
    void (*rest)(void *context, TuneLane *lane);  // it is not visited for a while: its memory may go
    void (*say)(void *context, const char *line); // what a person reads while it goes on
} TuneMachine;

typedef struct {
    Arena *arena;
    double seconds;  // the budget; a comparison that has begun is finished
    bool keeps_bits; // --tune=on: a choice that changes bits is not taken
} TuneSettings;

typedef enum {
    TUNE_DONE,
    TUNE_STOPPED, // by a signal: nothing is to be kept
    TUNE_BROKEN   // the untuned program cannot be compiled or run here
} TuneEnd;

typedef struct {
    TuneEnd end;
    const char *choices; // "" when nothing was proved to be faster than the untuned program
    bool changes_bits;
    double untuned, tuned; // seconds of a step, medians of the last comparison; tuned == untuned without choices
    Estimate ratio;        // tuned / untuned, round by round
    size_t measured, kept; // candidates
    bool is_whole;         // all candidates were tried: more time finds nothing more
    double seconds;        // that it took
} TuneResult;

TuneResult tune_search(const TuneMachine *machine, const TuneSettings *settings);

// ---- the machine that compiles and trains: lanes.c

typedef struct TuneLanes TuneLanes;
// `base` are choices that all lanes share ("" none), as `base_file` says them. The pool stays the caller's.
TuneLanes *tune_lanes_create(Command *command, const Target *target, FuseLevel fuse, const char *base_file,
                             const char *base, bool with_numeric, ThreadPool *threads);
TuneMachine tune_lanes_machine(TuneLanes *lanes);
// Whether plans can still be made of these choices, all of them.
bool tune_choices_hold(Command *command, const Target *target, FuseLevel fuse, const char *file, const char *choices);
void tune_lanes_free(TuneLanes *lanes);

// ---- remembering: store.c

// $XDG_CACHE_HOME/sinter/tune, or ~/.cache/sinter/tune. NULL: neither is known.
const char *tune_folder(Arena *arena);
// FOLDER/0123456789abcdef.choices, by what the best choices depend on.
const char *tune_path(Arena *arena, const char *folder, const char *key);
// The text that a run stored for the key; NULL when there is none. *note says why one that is there is not taken.
const char *tune_load(Arena *arena, const char *path, const char *key, const char **note);
// Stores choices as a whole or not at all; NULL, or why it could not be done.
const char *tune_save(Arena *arena, const char *path, const char *key, const char *choices);

// ---- the door: tune.c

// What --tune finds for the model at that level, or an earlier run found: a text of choices, with those of
// --choices=FILE before them, and the file they are in. *choices is NULL with --tune=off, and where nothing is faster
// than the model's own choice. EXIT_DONE, EXIT_STOPPED, or another exit code after a diagnostic.
int tune_model(Command *command, const Target *target, FuseLevel fuse, const char **file, const char **choices);

#endif
