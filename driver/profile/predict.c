// What another configuration would do: see profile.h.
//
// The other configuration is planned (no code is made), and every step of its plan is priced at what the box of the
// same name cost here for each unit of work:
//
//     seconds of a step there = its work there * (seconds of its box here / the box's work here)
//     work                    = flops / peak, and for all but products + bytes / bandwidth
//
// (Weights are a fixed part of a product's bytes, but every piece reads them again: flops measure its work better.)
//
// Between two waits each thread has its share of the pieces, and the longest counts. What the same formula does not
// explain of the measured step (barriers, interruptions, data) is kept in proportion. So whatever does not depend on
// the batch (optimizer, packing of weights, gradients' norms) is what a larger batch has less of for each token.
#include <math.h>
#include <stdlib.h>

#include "driver/memory_limit.h"
#include "driver/profile/profile.h"

typedef struct {
    Command *command;
    const Target *target;
    const Training *training;
    Choices *choices;      // NULL: none
    Profile *profile;
} Predictor;

static double work_of(const Predictor *predictor, Form form, double flops, double bytes) {
    const ProbeResult *machine = &predictor->profile->machine;
    return flops / machine->fma_flops + (form_multiplies(form) ? 0 : bytes / machine->read_bandwidth);
}

// Seconds per unit of work of the boxes of one label, or, with NULL, of one form; negative when there are none.
static double mean_rate(const Predictor *predictor, Form form, const char *label) {
    double work = 0, seconds = 0;
    const BoxTable *table = &predictor->profile->table;
    for (size_t i = 0; i < table->count; i++) {
        const ProfileBox *box = &table->boxes[i];
        if (box->form != form || (label && !text_equal(box->label, label))) continue;
        work += work_of(predictor, box->form, box->flops, box->bytes);
        seconds += box->seconds;
    }
    return work > 0 ? seconds / work : -1;
}

// A step without a box of its place here costs what its label costs elsewhere, or else its form; at worst its roof.
static double rate_of(const Predictor *predictor, const Plan *plan, const Step *step) {
    const ProfileBox *box = box_table_find(&predictor->profile->table, plan, step);
    double work = box ? work_of(predictor, box->form, box->flops, box->bytes) : 0;
    if (work > 0) return box->seconds / work;
    double rate = mean_rate(predictor, step->form, step->label);
    if (rate < 0) rate = mean_rate(predictor, step->form, NULL);
    return rate < 0 ? 1 : rate;
}

// Seconds of one thread that does the whole step alone.
static double step_seconds(const Predictor *predictor, const Plan *plan, const Step *step) {
    int threads = threads_count(predictor->training->threads);
    return threads * work_of(predictor, step->form, step->flops, step->bytes) * rate_of(predictor, plan, step);
}

// As the session hands out pieces.
static double share(const Step *step, int thread, int threads) {
    int64_t units = step->cut.groups ? step->cut.groups : step->cut.pieces;
    return (double)(units * (thread + 1) / threads - units * thread / threads) / (double)units;
}

// The longest thread of each stretch between two waits, added up.
static double plan_seconds(const Predictor *predictor, const Plan *plan, int threads) {
    double *loads = ARENA_ARRAY(predictor->command->arena, double, (size_t)threads), total = 0;
    for (uint32_t s = 0; s <= plan->step_count; s++) {
        if (s == plan->step_count || plan->steps[s].wait) {
            double longest = 0;
            for (int t = 0; t < threads; t++) {
                longest = fmax(longest, loads[t]);
                loads[t] = 0;
            }
            total += longest;
        }
        if (s == plan->step_count) break;
        double seconds = step_seconds(predictor, plan, &plan->steps[s]);
        for (int t = 0; t < threads; t++)
            loads[t] += seconds * share(&plan->steps[s], t, threads);
    }
    return total;
}

// Seconds of a training step: its `micro` runs and its `step`. 0: cannot be planned, or not in this machine's memory.
static double training_step_seconds(const Predictor *predictor, int64_t accumulation, int threads, FuseLevel level) {
    Command *command = predictor->command;
    StateTable states = {.arena = command->arena};
    CompileRequest request = {
        .fuse = level, .target = predictor->target, .choices = predictor->choices, .observer = {.limit = -1}};
    choices_reset(predictor->choices);
    double seconds = 0;
    for (ModelProgram program = MODEL_STEP; program <= MODEL_MICRO; program++) {
        if (program == MODEL_MICRO && accumulation == 1) break;
        const Plan *plan = compile_plan(command->arena, command->spec, command->config, program, &request,
                                        ledger_create(command->arena), &states, diags_create(command->arena));
        if (!plan) return 0;
        double bytes = (double)plan->arena_bytes + (double)plan->state_bytes + threads * (double)plan->scratch_bytes;
        if (!memory_fits(bytes)) return 0;
        double runs = program == MODEL_STEP ? 1 : (double)accumulation - 1;
        seconds += runs * plan_seconds(predictor, plan, threads);
    }
    return seconds;
}

// ---- candidates

typedef struct {
    const char *key;      // what changes; NULL: only threads or level
    int64_t value;
    int64_t accumulation; // with it
    int threads;
    FuseLevel level;
    const char *text, *note;
} Candidate;

static void assign(Predictor *predictor, const char *key, int64_t value) {
    Command *command = predictor->command;
    const char *literal = arena_format(command->arena, "%lld", (long long)value);
    CHECK(config_assign(command->config, key, literal, (Place){.file = "profile"}, command->diags));
}

static double tokens_of(const Predictor *predictor) { return (double)training_tokens(predictor->command->config); }

static double candidate_seconds(Predictor *predictor, const Candidate *candidate, double *tokens) {
    Profile *profile = predictor->profile;
    int64_t before = candidate->key ? config_int(predictor->command->config, candidate->key) : 0;
    if (candidate->key) assign(predictor, candidate->key, candidate->value);
    assign(predictor, "gradient_accumulation_steps", candidate->accumulation);
    double seconds =
        training_step_seconds(predictor, candidate->accumulation, candidate->threads, candidate->level);
    *tokens = tokens_of(predictor);
    if (candidate->key) assign(predictor, candidate->key, before);
    assign(predictor, "gradient_accumulation_steps", profile->accumulation);
    return seconds;
}

static void predict(Predictor *predictor, double here, const Candidate *candidate) {
    Profile *profile = predictor->profile;
    double tokens, planned = candidate_seconds(predictor, candidate, &tokens);
    if (planned <= 0 || profile->prediction_count == MOST_PREDICTIONS) return;
    double seconds = profile->step_seconds * planned / here;
    double gain = tokens / seconds * profile->step_seconds / profile->tokens - 1;
    profile->predictions[profile->prediction_count++] =
        (Prediction){candidate->text, seconds, tokens, gain, candidate->note};
}

// Fewer, larger micro-batches are the same update; a larger batch is another one.
static void predict_batches(Predictor *predictor, double here, Candidate candidate) {
    Profile *profile = predictor->profile;
    Arena *arena = predictor->command->arena;
    int64_t accumulation = profile->accumulation;
    candidate.key = "batch_size";
    for (int64_t times = 2; times <= 4; times *= 2) {
        candidate.value = times * profile->batch_size;
        bool same_update = accumulation > 1 && accumulation % times == 0;
        candidate.accumulation = same_update ? accumulation / times : accumulation;
        candidate.text = arena_format(arena, "batch_size %lld", (long long)candidate.value);
        if (same_update)
            candidate.text = arena_format(arena, "%s, accumulation %lld", candidate.text,
                                          (long long)candidate.accumulation);
        candidate.note = same_update ? "the same update" : "fewer, larger updates";
        predict(predictor, here, &candidate);
    }
}

static int compare_gains(const void *left, const void *right) {
    double a = ((const Prediction *)left)->gain, b = ((const Prediction *)right)->gain;
    return (a < b) - (a > b);
}

void profile_predict(Command *command, const Training *training, const Target *target, Choices *choices,
                     Profile *profile) {
    Predictor predictor = {.command = command, .target = target, .training = training, .choices = choices,
                           .profile = profile};
    int threads = threads_count(training->threads);
    const Candidate same = {.accumulation = profile->accumulation, .threads = threads,
                            .level = configured_fuse(command->config)};
    double here = training_step_seconds(&predictor, same.accumulation, threads, same.level);
    if (here <= 0) return;
    predict_batches(&predictor, here, same);
    Candidate candidate = same;
    candidate.key = "block_size";
    candidate.value = 2 * profile->block_size;
    candidate.text = arena_format(command->arena, "block_size %lld", (long long)candidate.value);
    candidate.note = "more attention for each token";
    predict(&predictor, here, &candidate);
    if (threads < target->cores) {
        candidate = same;
        candidate.threads = target->cores;
        candidate.text = arena_format(command->arena, "threads %d", target->cores);
        candidate.note = "one for each core, same bits";
        predict(&predictor, here, &candidate);
    }
    if (same.level != FUSE_ALL) {
        candidate = same;
        candidate.level = FUSE_ALL;
        candidate.text = "fuse all";
        candidate.note = "new boxes priced like their kind";
        predict(&predictor, here, &candidate);
    }
    qsort(profile->predictions, (size_t)profile->prediction_count, sizeof *profile->predictions, compare_gains);
}
