// What a bench finds out: variants of one model, timed in turn in one process, and all that is said of them.
//
//     command line or record --bench_variants, bench_read--> Bench --bench_run--> Bench with figures
//                                                             --bench_table, _record, _report--> text, JSON, page
//
// A variant is a level of fusion, a level with a decision left out (ablation), or a level with a key of the config set
// otherwise (sweep). Everything below is plain data in an arena; what runs lives in run.c alone.
#ifndef SINTER_DRIVER_BENCH_H
#define SINTER_DRIVER_BENCH_H

#include <stdint.h>

#include "driver/bench/statistics.h"
#include "driver/check.h"
#include "driver/command.h"
#include "passes/choices.h"

// A sort of steps in the plan: equal ones that differ only in the layer.
typedef struct {
    const char *form, *label, *place;   // "product", "matmul", "layer[0..3].u"
    uint32_t count;
    double flops, bytes;                // model, all of them, one run
    double seconds;                     // measured, all of them, one run
} BoxFigure;

typedef enum {
    ROLE_LEVEL,     // a level of fusion
    ROLE_WITHOUT,   // `all` without one kind of decision
    ROLE_ONLY,      // `all` without any kind of decision but one
    ROLE_BARE       // `all` without any of them
} VariantRole;

typedef struct {
    // what it is
    const char *name;                   // "all", "all without strand", "batch_size=24 op"
    VariantRole role;
    FuseLevel fuse;
    bool on_gpu;
    const char *key, *value;            // of the sweep; NULL: as configured
    const char *kind;                   // of the ablation: "plan_strands: strand"; NULL
    const char *choices;                // text that steers the compiler; "" none
    // what it computes
    int64_t tokens;                     // of one training step
    double parameters;                  // as nanoGPT counts them
    double formula_flops;               // of one training step, by nanoGPT's formula
    double product_flops, model_bytes;  // of one step: multiply-adds of products; bytes that boxes read and write
    // what was compiled
    double state_bytes, arena_bytes, scratch_bytes;   // of its session, planned
    double resident_bytes;              // by how much the process grew when the session was made and had run once
    uint32_t steps, kernels, distinct_kernels;
    double compile_seconds;
    // what was measured
    double *seconds;                    // [rounds][steps of a visit]
    double *losses;                     // [rounds], of the last step of each visit
    double *visits;                     // [rounds]: medians of the visits
    double *paired;                     // [rounds]: what it is compared with, right before and behind each visit;
                                        // NULL: in the same round
    Estimate time;                      // of one training step
    CheckErrors errors;                 // against float64
    // for the report; NULL or 0 in a record read back
    BoxFigure *boxes;
    size_t box_count;
    double *alive;                      // [alive_count]: bytes alive in the arena while each step of the plan runs
    size_t alive_count;
    const char *drawing;                // <svg> of its boxes; NULL: none
} Variant;

typedef struct {
    char cpu[128];
    int cores, threads, vector_bytes;
    double l1_bytes, l2_bytes, l3_bytes;
    double peak_flops, read_bandwidth, triad_bandwidth;
    const char *gpu;                    // its name; NULL: no variant runs on one
    const char *gpu_kind;               // what products compute with there: "f32", "tf32" ...
    double gpu_flops, gpu_bandwidth;    // its datasheet's peak of that, and of memory
} Machine;

typedef struct {
    // what was asked for
    const char *model, *spec_file, *spec_source;
    const char *config;                 // `key = literal` lines
    const char *choices;                // text of --choices; "" or NULL: none
    const char *tokens_path, *tokens_hash;
    int64_t tokens_bytes;
    int64_t rounds, visit_steps, warmup_steps;   // 0 rounds: chosen from `budget_seconds`
    double budget_seconds;
    bool ablates, resident;             // resident: all sessions at once; else made anew for each visit
    bool anew;                          // that was asked for
    Variant *variants;
    size_t variant_count;
    // the machine
    Machine machine;
    const char *sinter, *llvm, *blas;
    double *barriers;                   // [rounds + 1]: before the first round and behind each
    double processor_share;             // of the time of its threads that the process got while it measured on the
                                        // processor, 0..1
    double seconds;                     // the whole command
    const char *error_shape;            // at which sizes errors were found: "as configured", "batch_size=2 ..."
    const char *when;                   // "2026-01-31 12:00:00 UTC"
} Bench;

// Spec and config as a fingerprint: 16 hexadecimal digits.
const char *bench_hash(Arena *arena, const char *text);

// ---- variants.c: from the command line. EXIT_DONE or an exit code after diagnostics. The devices are open.
int bench_variants(Command *command, const bool *are_gpus, int device_count, Bench *bench);
// Rows of an ablation, once it is known what `all` decides: each kind of decision left out, none made, each made alone.
void bench_add_ablation(Arena *arena, Bench *bench, const MadeKind *kinds, size_t count);
Variant *bench_add(Arena *arena, Bench *bench, Variant variant);
// A config for the variant: the command's, with its own value of the swept key. NULL after a diagnostic.
Config *bench_config(Command *command, const Variant *variant);
// The command's config as `key = literal` lines.
const char *bench_config_text(Command *command);

// ---- run.c: compiles, runs, measures.
// A replay keeps the bench's own numbers of rounds and steps.
int bench_run(Command *command, Bench *bench, bool replays);

// ---- figures.c: what a plan says
double bench_model_bytes(const Plan *plan);
void bench_plan_figures(Arena *arena, const Plan *plan, Variant *variant);
// Measured seconds of each step of the plan, into its sorts.
void bench_box_figures(Arena *arena, const Plan *plan, const double *seconds, Variant *variant);

// ---- comparing
// Whether two variants do the same work: then their times may be compared.
bool bench_same_work(const Variant *a, const Variant *b);
// Seconds of a step of one visit: the median, and on a GPU, where several runs are under way, the mean.
double bench_visit_seconds(const Variant *variant, const double *seconds, size_t steps);
// The same variant on a processor; NULL: there is none, or `variant` is not on a GPU.
const Variant *bench_on_processor(const Bench *bench, const Variant *variant);
// What `variant` is compared with: level op of the same work on the same device. What is left out is compared with
// level all, what is made alone with level all without any. NULL: nothing.
const Variant *bench_base(const Bench *bench, const Variant *variant);
// How many times as fast as its base, and how many times its step time, visit by visit.
Estimate bench_speedup(const Bench *bench, const Variant *variant, const Variant *base);
Estimate bench_slowdown(const Bench *bench, const Variant *variant, const Variant *base);
// Left out, the step is more than 2 % faster, and no interval explains it: the compiler should not have made it.
bool bench_is_loss(const Bench *bench, const Variant *variant);
// Whether other work had a noticeable part of the processors while it was measured.
bool bench_was_disturbed(const Bench *bench);
// The one that the headline is about: level all, on a GPU before all others, or the first.
const Variant *bench_main(const Bench *bench);

const char *bench_milliseconds(Arena *arena, double seconds);      // "9.931": four digits or so
// The machine as the variant's roofs: on a GPU, its datasheet's peak and bandwidth.
Machine bench_machine(const Bench *bench, const Variant *variant);
double bench_mfu(const Bench *bench, const Variant *variant);   // of its peak, 0..1
const char *bench_headline(Arena *arena, const Bench *bench, const Variant *main, const Variant *base);

// ---- what people read; every line of the table fits 100 columns
void bench_table(const Bench *bench, Text *out);
// Both beside each other; false when a loss is not the record's.
bool bench_replay_table(const Bench *before, const Bench *now, Text *out);
void bench_report(const Bench *bench, const char *record_path, Text *out);

// ---- record.c, read.c: JSON
const char *bench_record(Arena *arena, const Bench *bench);
int bench_read(Command *command, const char *path, Bench *bench);

#endif
