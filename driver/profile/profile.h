// Where the time of a training step goes, and why mfu is what it is: the parts of `sinter profile`.
//
// In: a compiled model, a session, tokens. Out: a Profile, which is plain numbers; text, record and predictions are
// made from it alone. All seconds are of one training step (with gradient accumulation: of all its runs), and of the
// mean thread: what two threads do side by side for a millisecond is one millisecond.
//
//     step_seconds = contraction + pointwise + memory + waiting + data + unaccounted
#ifndef SINTER_DRIVER_PROFILE_H
#define SINTER_DRIVER_PROFILE_H

#include "base/file.h"
#include "driver/command.h"
#include "driver/training.h"
#include "ir/layer_text.h"
#include "runtime/probe.h"
#include "runtime/session.h"

// ---- boxes

typedef enum { CAUSE_CONTRACTION, CAUSE_POINTWISE, CAUSE_MEMORY, CAUSE_WAITING, CAUSE_DATA, CAUSE_COUNT } Cause;
const char *cause_name(Cause cause);
const char *cause_sentence(Cause cause);

// Steps of one label and one place but for the layer, of all programs of a training step, as `sinter explain` names
// them.
typedef struct {
    const char *label, *place;     // "layernorm", "layer[0..3].a"
    const char *first_place;       // of the first step
    LayerSet layers;
    Form form;
    Engine engine;
    TensorKind tensor;             // of its products, on a GPU
    double peak;                   // flop/s that bounds it; 0: the machine's
    Cause cause;
    uint32_t steps;                // of the plans that it stands for
    double seconds, wait_seconds;  // in its pieces; before them, waiting for other threads
    double flops, bytes;           // model
    double far_bytes;              // of them, those that do not lie in a thread's scratch memory
} ProfileBox;

typedef struct {
    Arena *arena;
    ProfileBox *boxes;
    size_t count, capacity;
} BoxTable;

// Adds the steps of a plan that runs `runs` times in a training step. By step: its box.
uint32_t *box_table_add(BoxTable *table, const Plan *plan, double runs);
// The box of a step of another plan; NULL when there is none.
const ProfileBox *box_table_find(const BoxTable *table, const Plan *plan, const Step *step);
// Bytes that a step reads and writes outside of scratch memory.
double step_far_bytes(const Plan *plan, const Step *step);
// Seconds are in: places as text, and causes. A box is `memory` when it only moves numbers, or moves far bytes at two
// thirds of `bandwidth`.
void box_table_finish(BoxTable *table, double bandwidth);

// ---- the profile

// What a change of the configuration would do, from the plan it leads to and the rates measured here.
typedef struct {
    const char *change;            // "batch_size 48"
    double seconds, tokens;        // of a training step
    double gain;                   // of tokens per second: 0.05 is 5 % more
    const char *note;              // what else it changes; "" when nothing
} Prediction;
enum { MOST_PREDICTIONS = 8 };

typedef struct {
    const char *model, *level;
    int64_t batch_size, block_size, accumulation;
    double tokens;                 // of a training step
    ProbeResult machine;           // of a GPU: its name, the peak of what most of its products use, its bandwidth
    const char *gpu;               // its name; NULL: a processor
    const char *peak_kind;         // on a GPU, what its peak is of: "f32", "tf32" ...
    double formula_flops;          // nanoGPT's
    double product_flops;          // of the contractions that are done

    int steps;                     // profiled ones; as many were run without profiling, in turns
    int window;                    // on a GPU: these were as many times so many steps, in a row
    double step_seconds;           // without profiling
    double profiled_seconds;       // with it
    const char *blas_forced;       // NULL, or how the environment chose OpenBLAS' kernels
    double spread;                 // how much longer the median step without it took
    BoxTable table;
    double imbalance_seconds;      // waiting for a thread with more to do
    double barrier_seconds;        // the rest of waiting: what the last one to arrive waits; on a GPU, launches
    uint32_t launches;             // on a GPU, of a training step
    double launch_seconds;         // on a GPU, what one costs that does nothing
    double host_seconds;           // on a GPU, beside it: taking batches and submitting runs
    double data_seconds;
    bool data_is_random;           // no token file: nothing was read
    double evaluation_seconds;     // one whole evaluation; 0: none in this configuration
    double checkpoint_seconds;     // one checkpoint; 0: not measured
    double checkpoint_bytes;
    int64_t eval_interval;

    Prediction predictions[MOST_PREDICTIONS];
    int prediction_count;
} Profile;

double profile_cause_seconds(const Profile *profile, Cause cause);
double profile_unaccounted(const Profile *profile);   // negative when profiling cost more than was left over
double profile_box_peak(const Profile *profile, const ProfileBox *box);
// Seconds that a box would take at its peak, or at the memory's bandwidth, whichever takes longer.
double profile_roof_seconds(const Profile *profile, const ProfileBox *box);

// ---- measuring: run.c

typedef struct {
    Command *command;
    const Training *training;      // compiled, bound and initialised; without train_tokens the batches are random
    int steps;                     // 0: what fits some seconds
} ProfileRequest;

typedef struct Timeline Timeline;
// Fills in what is measured; `timeline`, unless NULL, gets some training steps slice by slice.
int profile_measure(const ProfileRequest *request, Profile *profile, Timeline *timeline);

// ---- from traces to sums: samples.c

typedef struct {
    const Plan *plan;
    const Program *program;
    double runs;                   // in a training step
    uint32_t *boxes;               // by step: number in the table
    const char **places;           // by step, as `explain` names it
} ProfiledProgram;
ProfiledProgram profiled_program(BoxTable *table, const Plan *plan, const Program *program, double runs);

// What one training step has cost.
typedef struct {
    double total, data;            // seconds
    double imbalance, barrier;     // ticks of all threads
    double *boxes, *waits;         // by box: ticks of all threads
} StepSample;
StepSample sample_create(Arena *arena, size_t boxes);
void sample_add(StepSample *sample, const ProfiledProgram *profiled, const Trace *trace);
// Into the profile, and its causes: the mean of the fastest quarter of profile->steps plain and as many profiled steps.
void profile_keep(Profile *profile, StepSample *plain, StepSample *profiled, double tick_seconds);

// ---- from traces to tracks: timeline.c

typedef struct {
    const char *label, *place, *kind;   // kind: "contraction", ..., "step"
    uint64_t begin, end;                // ticks
    int thread;                         // -1: the track of training steps
    int64_t piece;                      // -1: none
    double flops;                       // of the piece
} TimelineSlice;

struct Timeline {
    Arena *arena;
    TimelineSlice *slices;              // of each thread in the order of time
    size_t count, capacity;
    int threads;
    uint64_t base;                      // ticks
    double tick_seconds;
};
void timeline_add_slice(Timeline *timeline, TimelineSlice slice);
void timeline_add_event(Timeline *timeline, const char *label, const char *kind, int thread, uint64_t begin,
                        uint64_t end);
void timeline_add_run(Timeline *timeline, const ProfiledProgram *profiled, const BoxTable *table, const Trace *trace);

// ---- predicting: predict.c

void profile_predict(Command *command, const Training *training, const Target *target, Choices *choices,
                     Profile *profile);

// ---- telling

void profile_why(const Profile *profile, Text *out);     // sentences, one a line
void profile_print(const Profile *profile, bool every_box, Text *out);
void profile_record(const Profile *profile, Text *out);  // JSON
// Chrome's trace event format, as Perfetto reads it.
void timeline_print(const Timeline *timeline, const char *title, Text *out);

#endif
