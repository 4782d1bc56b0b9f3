// The loop. One Trainer holds what changes from iteration to iteration; each moment of nanoGPT's loop is one function.
#include "runtime/train.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "runtime/interrupt.h"
#include "runtime/prefetch.h"
#include "runtime/run_inputs.h"
#include "runtime/train_log.h"
#include "runtime/weights.h"

enum { LINE_SIZE = 512, KEPT_TIMES = 1024, MFU_FROM = 5, MOST_UNFINISHED = 64 };
static const double ahead_seconds = 0.05; // of work at most that a device has before it: nobody waits long for a signal

// A program of the loop, and where its inputs are.
typedef struct {
    const Program *program;
    RunInputs inputs;
} Bound;

// An iteration whose runs are not all done.
typedef struct {
    int64_t iteration, collected; // runs of it whose results are known
    double start, learning_rate, loss, grad_norm, loss_scale; // loss: the sum so far
} Unfinished;

typedef struct {
    const TrainOptions *options;
    Diags *diags;
    Arena *arena;
    Bound step, micro, eval;
    BatchSource source;
    Prefetch *prefetch;
    Metrics *metrics;
    Unfinished unfinished[MOST_UNFINISHED]; // iteration first_unfinished + k in place k modulo their number
    int64_t first_unfinished, next_iteration;
    int under_way;            // runs submitted and not collected
    bool has_begun;           // with its first run
    bool is_halted;           // what is under way updates nothing
    bool has_failed;          // what is under way counts, and nothing more is said of it
    double last_end;          // when the last iteration was done
    double times[KEPT_TIMES]; // seconds of the last iterations
    int64_t saved_iteration;  // of the last checkpoint; -1: none
    bool checkpoint_failed;
    int skipped;              // iterations without an update since the last with one
    TrainResult *result;
} Trainer;

static void say(const Trainer *trainer, const char *line) {
    if (trainer->options->say) trainer->options->say(trainer->options->say_context, line);
}

// Nothing of it can be trusted: there is nothing to wait for, and nothing to be saved.
static RuntimeStatus lose_device(Trainer *trainer) {
    trainer->under_way = 0;
    trainer->checkpoint_failed = true;
    return RUNTIME_IO;
}

static Bound bind_program(const TrainOptions *options, const Program *program) {
    int64_t tokens = options->batch_size * options->block_size;
    Bound bound = {program, run_inputs_find(options->session, program, tokens)};
    CHECK(bound.inputs.tokens && bound.inputs.targets && program_slot(program, SLOT_OUTPUT, "loss"));
    return bound;
}

// ---- checkpoints

static RuntimeStatus save_checkpoint(Trainer *trainer, int64_t next_iteration, bool is_best, int keep_last) {
    const TrainOptions *options = trainer->options;
    if (!options->checkpoints || (next_iteration == trainer->saved_iteration && !is_best)) return RUNTIME_OK;
    enum { OWN = 2 };
    double start = clock_seconds();
    Arena *arena = arena_create();
    TensorMetadata *metadata = ARENA_ARRAY(arena, TensorMetadata, options->metadata_count + OWN);
    metadata[0] = (TensorMetadata){"best_val_loss", arena_format(arena, "%.17g", trainer->result->best_val_loss)};
    metadata[1] = (TensorMetadata){"seed", arena_format(arena, "%llu", (unsigned long long)options->seed)};
    for (size_t i = 0; i < options->metadata_count; i++)
        metadata[OWN + i] = options->metadata[i];
    CheckpointContents contents = {options->session, options->step, metadata, options->metadata_count + OWN,
                                   next_iteration,   is_best,       keep_last};
    say(trainer, arena_format(arena, "saving checkpoint to %s", checkpoints_newest(options->checkpoints)));
    RuntimeStatus status = checkpoints_save(options->checkpoints, &contents, trainer->diags);
    arena_free(arena);
    trainer->checkpoint_failed = status != RUNTIME_OK;
    if (status != RUNTIME_OK) return status;
    trainer->saved_iteration = next_iteration;
    trainer->result->checkpoints++;
    trainer->result->checkpoint_seconds += clock_seconds() - start;
    return RUNTIME_OK;
}

// ---- evaluation

// Submits one batch of it.
static RuntimeStatus estimate_batch(Trainer *trainer, const BatchSource *source, int64_t iteration, int64_t k) {
    const TrainOptions *options = trainer->options;
    int64_t evaluation = options->eval_interval > 0 ? iteration / options->eval_interval : 0;
    int64_t draw = evaluation * options->eval_iters + k;
    const RunInputs *inputs = &trainer->eval.inputs;
    RuntimeStatus status = batch_read(source, draw, inputs->tokens, inputs->targets, trainer->diags);
    if (status != RUNTIME_OK) return status;
    run_inputs_set(inputs, (RunNumbers){.step = iteration, .seed = options->seed});
    bool done = session_submit(options->session, options->eval, (RunOrder){.place = RUN_ASIDE}, trainer->diags);
    if (!done) return lose_device(trainer);
    trainer->under_way++;
    return RUNTIME_OK;
}

static RuntimeStatus collect_loss(Trainer *trainer, double *sum) {
    RunResult result;
    bool is_done;
    if (!session_collect(trainer->options->session, true, &is_done, &result, trainer->diags))
        return lose_device(trainer);
    trainer->under_way--;
    *sum += result.loss;
    return RUNTIME_OK;
}

static RuntimeStatus estimate(Trainer *trainer, TokenFile *file, DataStream stream, int64_t iteration, double *mean) {
    const TrainOptions *options = trainer->options;
    BatchSource source = trainer->source;
    source.file = file;
    source.order = ORDER_RANDOM;
    source.stream = stream;
    double sum = 0;
    RuntimeStatus status = RUNTIME_OK;
    for (int64_t k = 0; k < options->eval_iters && status == RUNTIME_OK; k++) {
        status = interrupt_requested() ? RUNTIME_STOPPED : estimate_batch(trainer, &source, iteration, k);
        while (status == RUNTIME_OK && trainer->under_way > session_ahead(options->session))
            status = collect_loss(trainer, &sum);
    }
    while (trainer->under_way > 0) {
        RuntimeStatus collected = collect_loss(trainer, &sum);
        if (collected != RUNTIME_OK) return collected;
    }
    *mean = sum / (double)options->eval_iters;
    return status;
}

static RuntimeStatus report_evaluation(Trainer *trainer, int64_t iteration) {
    const TrainResult *result = trainer->result;
    char line[LINE_SIZE];
    log_evaluation(line, sizeof line, iteration, result->train_loss, result->validation_loss);
    say(trainer, line);
    if (!trainer->metrics) return RUNTIME_OK;
    return metrics_evaluation(trainer->metrics, iteration, result->train_loss, result->validation_loss, trainer->diags);
}

static RuntimeStatus evaluate(Trainer *trainer, int64_t iteration) {
    const TrainOptions *options = trainer->options;
    TrainResult *result = trainer->result;
    RuntimeStatus status =
        estimate(trainer, options->train_tokens, STREAM_ESTIMATE_TRAIN, iteration, &result->train_loss);
    if (status == RUNTIME_OK)
        status = estimate(trainer, options->validation_tokens, STREAM_ESTIMATE_VALIDATION, iteration,
                          &result->validation_loss);
    if (status == RUNTIME_OK) status = report_evaluation(trainer, iteration);
    if (status != RUNTIME_OK) return status;
    if (!isfinite(result->train_loss + result->validation_loss)) {
        if (options->nonfinite == NONFINITE_SKIP) return RUNTIME_OK;
        diag_error(trainer->diags, (Place){0},
                   "iteration %lld: train loss is %f, val loss is %f; no checkpoint is written", (long long)iteration,
                   result->train_loss, result->validation_loss);
        return RUNTIME_NONFINITE;
    }
    bool improved = result->validation_loss < result->best_val_loss;
    if (improved) result->best_val_loss = result->validation_loss;
    bool is_due = improved || options->always_save_checkpoint;
    if (!is_due || iteration == 0 || options->eval_only) return RUNTIME_OK;
    return save_checkpoint(trainer, iteration, improved, options->keep_last);
}

// ---- one iteration

// A token file of so many tokens stays in the page cache: reading a batch of it takes less time than waking a thread,
// which needs one of the cores that compute.
enum { NEAR_TOKENS = 32 << 20 };

static void read_ahead(Trainer *trainer, int64_t draw) {
    const TrainOptions *options = trainer->options;
    bool is_wanted = draw < (options->max_iters + 1) * options->accumulation;
    if (is_wanted && token_file_count(trainer->source.file) > NEAR_TOKENS) prefetch_start(trainer->prefetch, draw);
}

static void account(Trainer *trainer, const StepRecord *record) {
    TrainResult *result = trainer->result;
    trainer->times[result->iterations % KEPT_TIMES] = record->seconds;
    result->iterations++;
    result->next_iteration = record->iteration + 1;
    result->last_loss = record->loss;
    result->step_seconds += record->seconds;
}

// As nanoGPT: measured at logged iterations, from the sixth of this call on, averaged 0.9 to 0.1.
static void update_mfu(Trainer *trainer, double seconds) {
    const TrainOptions *options = trainer->options;
    double *running = &trainer->result->running_mfu;
    if (trainer->result->iterations <= MFU_FROM || options->flops_per_iteration <= 0 || options->peak_flops <= 0)
        return;
    double mfu = options->flops_per_iteration / seconds / options->peak_flops;
    *running = *running == -1.0 ? mfu : 0.9 * *running + 0.1 * mfu;
}

static RuntimeStatus report_step(Trainer *trainer, const StepRecord *record) {
    const TrainOptions *options = trainer->options;
    if (options->log_interval > 0 && record->iteration % options->log_interval == 0) {
        char line[LINE_SIZE];
        update_mfu(trainer, record->seconds);
        log_step(line, sizeof line, record, trainer->result->running_mfu);
        say(trainer, line);
    }
    return trainer->metrics ? metrics_step(trainer->metrics, record, trainer->diags) : RUNTIME_OK;
}

// The states are those before the iteration. They are saved even so: to look at, and to go on from with other batches.
static RuntimeStatus halt(Trainer *trainer, const StepRecord *record) {
    const TrainOptions *options = trainer->options;
    trainer->result->next_iteration = record->iteration;
    trainer->is_halted = true;
    int keep_last = options->keep_last > 2 ? options->keep_last : 2; // the one before shall not make room for it
    bool is_saved = options->checkpoints && save_checkpoint(trainer, record->iteration, false, keep_last) == RUNTIME_OK;
    diag_error(trainer->diags, (Place){0}, "iteration %lld: loss is %f, grad_norm is %f: no update was made%s%s",
               (long long)record->iteration, record->loss, record->grad_norm,
               is_saved ? "; the state before it is in " : "",
               is_saved ? checkpoints_newest(options->checkpoints) : "");
    if (options->nonfinite == NONFINITE_HALT)
        diag_note(trainer->diags, (Place){0}, "--init_from=resume --nonfinite=skip goes on without its batch");
    else
        diag_note(trainer->diags, (Place){0}, "%d iterations before it were skipped", trainer->skipped);
    return RUNTIME_NONFINITE;
}

static bool has_overflowed(const StepRecord *record) {
    return run_overflowed((float)record->loss, (float)record->grad_norm, (float)record->loss_scale);
}

static bool is_sound(const StepRecord *record) {
    return isfinite(record->loss) && isfinite(record->grad_norm);
}

// The device has a smaller scale already.
static RuntimeStatus pass_overflow(Trainer *trainer, const StepRecord *record) {
    char line[LINE_SIZE];
    snprintf(line, sizeof line,
             "iter %lld: gradients overflow at a loss scale of %g: no update was made, the scale is halved",
             (long long)record->iteration, record->loss_scale);
    say(trainer, line);
    trainer->skipped = 0;
    trainer->result->skipped++;
    return RUNTIME_OK;
}

static RuntimeStatus pass_over(Trainer *trainer, const StepRecord *record) {
    const TrainOptions *options = trainer->options;
    if (has_overflowed(record)) return pass_overflow(trainer, record);
    if (options->nonfinite == NONFINITE_HALT || trainer->skipped == NONFINITE_IN_A_ROW) return halt(trainer, record);
    char line[LINE_SIZE];
    snprintf(line, sizeof line, "iter %lld: loss is %f, grad_norm is %f: no update was made, skipped",
             (long long)record->iteration, record->loss, record->grad_norm);
    say(trainer, line);
    trainer->skipped++;
    trainer->result->skipped++;
    return RUNTIME_OK;
}

static RuntimeStatus finish_iteration(Trainer *trainer, const StepRecord *record) {
    const TrainOptions *options = trainer->options;
    account(trainer, record);
    if (options->after_step) options->after_step(options->after_step_context, record);
    RuntimeStatus status = report_step(trainer, record);
    if (!is_sound(record)) {
        RuntimeStatus passed = pass_over(trainer, record);
        return passed != RUNTIME_OK ? passed : status;
    }
    trainer->skipped = 0;
    if (status == RUNTIME_OK && options->grads_path && record->iteration == options->first_iteration)
        status = weights_save_gradients(options->session, options->step, options->grads_path, trainer->diags);
    return status;
}

// ---- runs: submitted in order, on a device several before the first of them is collected

static RuntimeStatus finish_oldest(Trainer *trainer) {
    const TrainOptions *options = trainer->options;
    const Unfinished *oldest = &trainer->unfinished[trainer->first_unfinished++ % MOST_UNFINISHED];
    bool has_grad_norm = program_slot(options->step, SLOT_OUTPUT, "grad_norm") != NULL;
    double now = clock_seconds(), start = fmax(oldest->start, trainer->last_end);
    double tokens = (double)options->accumulation * (double)options->batch_size * (double)options->block_size;
    bool is_cut = !isfinite(oldest->loss) && options->accumulation > 1;
    StepRecord record = {.iteration = oldest->iteration,
                         .loss = oldest->loss / (double)options->accumulation,
                         .grad_norm = is_cut ? NAN : has_grad_norm ? oldest->grad_norm : 0,
                         .learning_rate = oldest->learning_rate,
                         .seconds = now - start,
                         .tokens_per_second = tokens / (now - start),
                         .has_grad_norm = has_grad_norm,
                         .loss_scale = is_cut ? NAN : oldest->loss_scale};
    trainer->last_end = now;
    if (!trainer->has_failed) return finish_iteration(trainer, &record);
    trainer->is_halted = options->nonfinite == NONFINITE_HALT && !is_sound(&record) && !has_overflowed(&record);
    if (!trainer->is_halted) account(trainer, &record);
    return RUNTIME_OK;
}

// The oldest run under way; with it, an iteration may be done.
static RuntimeStatus collect_run(Trainer *trainer, bool wait, bool *is_done) {
    const TrainOptions *options = trainer->options;
    RunResult result;
    if (!session_collect(options->session, wait, is_done, &result, trainer->diags)) return lose_device(trainer);
    if (!*is_done) return RUNTIME_OK;
    trainer->under_way--;
    Unfinished *oldest = &trainer->unfinished[trainer->first_unfinished % MOST_UNFINISHED];
    if (isfinite(oldest->loss)) oldest->loss += result.loss; // what follows one that is not is of no use
    oldest->grad_norm = result.grad_norm;
    oldest->loss_scale = result.loss_scale;
    if (trainer->is_halted || ++oldest->collected < options->accumulation) return RUNTIME_OK;
    return finish_oldest(trainer);
}

static RuntimeStatus collect_all(Trainer *trainer) {
    RuntimeStatus status = RUNTIME_OK;
    bool is_done;
    while (trainer->under_way > 0 && status == RUNTIME_OK) status = collect_run(trainer, true, &is_done);
    return status;
}

// How many runs may stay under way behind those of this iteration: as many as take no longer than a moment, but enough
// for one launch of several to run while the next is made up.
static int runs_ahead(const Trainer *trainer, int64_t iteration) {
    const TrainOptions *options = trainer->options;
    int most = session_ahead(options->session);
    bool is_looked_at = options->grads_path && iteration == options->first_iteration;
    if (most == 0 || is_looked_at) return 0;
    if (trainer->result->iterations == 0) return 1;
    double seconds = trainer->times[(trainer->result->iterations - 1) % KEPT_TIMES];
    double runs = ahead_seconds * (double)options->accumulation / seconds;
    int least = options->runs_per_launch > 1 ? 2 * options->runs_per_launch - 1 : 1;
    return runs < least ? least : runs < most ? (int)runs : most;
}

// Takes the batch into the program's inputs, starts reading the next one, and starts the run.
static RuntimeStatus submit_run(Trainer *trainer, int64_t iteration, int64_t micro, double rate) {
    const TrainOptions *options = trainer->options;
    const Bound *bound = micro + 1 < options->accumulation ? &trainer->micro : &trainer->step;
    int64_t draw = iteration * options->accumulation + micro;
    RunOrder order = {!trainer->has_begun ? RUN_ALONE : micro == 0 ? RUN_BEGINS : RUN_FOLLOWS,
                      options->nonfinite == NONFINITE_SKIP ? NONFINITE_IN_A_ROW : 0, micro + 1 < options->accumulation};
    const RunInputs *inputs = &bound->inputs;
    run_inputs_set(inputs, (RunNumbers){iteration, micro, options->seed, rate});
    RuntimeStatus status = prefetch_take(trainer->prefetch, draw, inputs->tokens, inputs->targets, trainer->diags);
    if (status != RUNTIME_OK) return status;
    read_ahead(trainer, draw + 1);
    if (!session_submit(options->session, bound->program, order, trainer->diags)) return lose_device(trainer);
    trainer->has_begun = true;
    trainer->under_way++;
    return RUNTIME_OK;
}

// One whose loss is not finite has gradients that are of no use: where that is known at once, the iteration ends there.
static RuntimeStatus cut_short(Trainer *trainer) {
    RuntimeStatus status =
        weights_forget_accumulated(trainer->options->session, trainer->options->step, trainer->diags);
    return status == RUNTIME_OK ? finish_oldest(trainer) : status;
}

static RuntimeStatus run_iteration(Trainer *trainer, int64_t iteration) {
    const TrainOptions *options = trainer->options;
    int ahead = runs_ahead(trainer, iteration);
    Unfinished *mine = &trainer->unfinished[trainer->next_iteration++ % MOST_UNFINISHED];
    *mine = (Unfinished){.iteration = iteration,
                         .start = clock_seconds(),
                         .learning_rate = schedule_rate(&options->schedule, iteration)};
    for (int64_t micro = 0; micro < options->accumulation; micro++) {
        RuntimeStatus status = submit_run(trainer, iteration, micro, mine->learning_rate);
        for (bool is_done = true; status == RUNTIME_OK && trainer->under_way > 0 && is_done;)
            status = collect_run(trainer, trainer->under_way > ahead, &is_done);
        if (status != RUNTIME_OK) return status;
        bool is_last = micro + 1 == options->accumulation;
        if (!is_last && trainer->under_way == 0 && !isfinite(mine->loss)) return cut_short(trainer);
    }
    return RUNTIME_OK;
}

static RuntimeStatus run_loop(Trainer *trainer) {
    const TrainOptions *options = trainer->options;
    if (options->eval_only) return options->eval ? evaluate(trainer, options->first_iteration) : RUNTIME_OK;
    for (int64_t iteration = options->first_iteration; iteration <= options->max_iters; iteration++) {
        RuntimeStatus status = RUNTIME_OK;
        if (options->eval && options->eval_interval > 0 && iteration % options->eval_interval == 0) {
            status = collect_all(trainer);
            if (status == RUNTIME_OK) status = evaluate(trainer, iteration);
        }
        if (status == RUNTIME_OK) status = run_iteration(trainer, iteration);
        if (status == RUNTIME_OK && interrupt_requested()) {
            status = collect_all(trainer);
            if (status == RUNTIME_OK) status = RUNTIME_STOPPED;
        }
        if (status != RUNTIME_OK) return status;
    }
    return collect_all(trainer);
}

// What was under way when the loop ended is done on a device all the same, and counts, unless it was halted.
static RuntimeStatus settle(Trainer *trainer, RuntimeStatus status) {
    const TrainOptions *options = trainer->options;
    trainer->has_failed = true;
    RuntimeStatus settled = collect_all(trainer);
    if (trainer->is_halted && settled == RUNTIME_OK)
        settled = weights_forget_accumulated(options->session, options->step, trainer->diags);
    return status == RUNTIME_OK || status == RUNTIME_STOPPED ? (settled == RUNTIME_OK ? status : settled) : status;
}

// ---- before and after

static bool trains(const TrainOptions *options) {
    return !options->eval_only && options->first_iteration <= options->max_iters;
}

static bool evaluates(const TrainOptions *options) {
    return options->eval && (options->eval_interval > 0 || options->eval_only);
}

static RuntimeStatus prepare(Trainer *trainer) {
    const TrainOptions *options = trainer->options;
    CHECK(options->accumulation >= 1 && (options->accumulation == 1 || options->micro));
    trainer->step = bind_program(options, options->step);
    if (options->accumulation > 1) trainer->micro = bind_program(options, options->micro);
    trainer->source = (BatchSource){options->train_tokens, options->order,      STREAM_TRAIN,       options->seed,
                                    options->batch_size,   options->block_size, options->vocab_size};
    RuntimeStatus status = batch_check(&trainer->source, trainer->diags);
    if (status == RUNTIME_OK && evaluates(options)) {
        CHECK(options->validation_tokens && options->eval_iters > 0);
        BatchSource source = trainer->source;
        source.file = options->validation_tokens;
        source.order = ORDER_RANDOM;
        trainer->eval = bind_program(options, options->eval);
        status = batch_check(&source, trainer->diags);
    }
    if (status == RUNTIME_OK && options->metrics_path)
        status = metrics_open(trainer->arena, options->metrics_path, options->first_iteration, &trainer->metrics,
                              trainer->diags);
    if (status != RUNTIME_OK || !trains(options)) return status;
    trainer->prefetch = prefetch_create(&trainer->source, trainer->diags);
    if (!trainer->prefetch) return RUNTIME_MEMORY;
    read_ahead(trainer, options->first_iteration * options->accumulation);
    return RUNTIME_OK;
}

static int compare_doubles(const void *left, const void *right) {
    double a = *(const double *)left, b = *(const double *)right;
    return (a > b) - (a < b);
}

static void summarise(Trainer *trainer) {
    TrainResult *result = trainer->result;
    size_t count = result->iterations < KEPT_TIMES ? (size_t)result->iterations : KEPT_TIMES;
    if (count == 0) return;
    qsort(trainer->times, count, sizeof *trainer->times, compare_doubles);
    result->median_seconds = trainer->times[count / 2];
}

// Whatever ended the loop, the states are those after a whole step, and worth keeping; a signal is always answered by a
// checkpoint. What is not finite ended with a checkpoint of its own, or with states that are worth none.
static RuntimeStatus save_last(Trainer *trainer, RuntimeStatus status) {
    const TrainOptions *options = trainer->options;
    bool is_worth = trainer->result->iterations > 0 || (status == RUNTIME_STOPPED && !options->eval_only);
    if (!is_worth || trainer->checkpoint_failed || status == RUNTIME_NONFINITE) return status;
    RuntimeStatus saved = save_checkpoint(trainer, trainer->result->next_iteration, false, options->keep_last);
    return saved != RUNTIME_OK && (status == RUNTIME_OK || status == RUNTIME_STOPPED) ? saved : status;
}

RuntimeStatus train_run(const TrainOptions *options, TrainResult *result, Diags *diags) {
    *result = (TrainResult){.next_iteration = options->first_iteration,
                            .best_val_loss = options->best_val_loss,
                            .last_loss = NAN,
                            .train_loss = NAN,
                            .validation_loss = NAN,
                            .running_mfu = -1.0};
    Arena *arena = arena_create();
    Trainer *trainer = ARENA_NEW(arena, Trainer);
    *trainer = (Trainer){.options = options,
                         .diags = diags,
                         .arena = arena,
                         .saved_iteration = options->saved_iteration,
                         .result = result};
    interrupt_install();
    RuntimeStatus status = prepare(trainer);
    if (status == RUNTIME_OK) status = settle(trainer, run_loop(trainer));
    status = save_last(trainer, status);
    summarise(trainer);
    interrupt_restore();
    metrics_close(trainer->metrics);
    prefetch_free(trainer->prefetch);
    arena_free(arena);
    return status;
}
