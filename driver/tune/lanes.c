// The machine of a search: compiles choices into programs, and trains them.
//
//     lines of choices --plan--> impossible | seen before | new --codegen--> lane --session--> steps, seconds, bits
//
// Every lane has an arena and a session of its own, and trains from initial weights on the first batches of the data:
// what a training does later is untouched. Choices are about `step` (and `micro`) only; evaluations stay as they are.
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/hash.h"
#include "driver/memory_limit.h"
#include "driver/training.h"
#include "driver/tune/tune.h"
#include "runtime/interrupt.h"
#include "runtime/slot.h"
#include "runtime/weights.h"

enum { WARMUP_STEPS = 1, CALIBRATION_STEPS = 3, MOST_STEPS = 20, MOST_GPU_STEPS = 400, BITS_STEPS = 2 };
// About what one visit takes, when a step does not take longer.
static const double visit_seconds = 0.05;

typedef struct {
    TuneLane lane;
    Arena *arena;
    Command command; // with the lane's own arena and complaints
    CompileRequest request;
    Training training; // its threads are the search's
    int64_t next_iteration;
} CompiledLane;

struct TuneLanes {
    Command *command;
    const Target *target;
    FuseLevel fuse;
    const char *base_file, *base;
    bool with_numeric;
    ThreadPool *threads;
    int64_t steps;            // of a visit; 0: not calibrated
    Cache *cache;             // on a GPU: of machine code
    unsigned long long *seen; // hashes of plans
    size_t seen_count, seen_capacity;
    Arena *arena;
};

static const char tuned_file[] = "tune";

static bool accumulates(const Command *command) {
    return config_int(command->config, "gradient_accumulation_steps") > 1;
}

// ---- plans

static Choices *parse_choices(Arena *arena, const char *base_file, const char *base, const char *lines, Diags *diags) {
    Choices *choices = choices_create(arena);
    return choices_add(choices, base_file, base, diags) && choices_add(choices, tuned_file, lines, diags) ? choices
                                                                                                          : NULL;
}

// Plans of step and micro of these choices, as text; NULL when they cannot be.
static const char *plan_text(Command *command, CompileRequest *request) {
    StateTable states = {.arena = command->arena};
    Text text = text_create(command->arena);
    choices_reset(request->choices);
    for (int program = MODEL_STEP; program <= MODEL_MICRO; program++) {
        if (program == MODEL_MICRO && !accumulates(command)) continue;
        const Plan *plan = compile_plan(command->arena, command->spec, command->config, (ModelProgram)program, request,
                                        ledger_create(command->arena), &states, command->diags);
        if (!plan) return NULL;
        plan_print(plan, &text);
    }
    return text_string(&text);
}

// The tuned lines that change something; later ones can make earlier ones idle.
static const char *followed_lines(Arena *arena, const Choices *choices) {
    Text lines = text_create(arena);
    for (size_t i = 0; i < choices_count(choices); i++) {
        const Choice *choice = choices_at(choices, i);
        if (choice->at.file == tuned_file && choice->followed > 0) text_append(&lines, "%s\n", choice->text);
    }
    return text_string(&lines);
}

static bool is_new(TuneLanes *lanes, const char *plan) {
    unsigned long long hash = hash_text(plan);
    for (size_t i = 0; i < lanes->seen_count; i++)
        if (lanes->seen[i] == hash) return false;
    lanes->seen = arena_grow(lanes->arena, lanes->seen, &lanes->seen_capacity, lanes->seen_count + 1, sizeof hash);
    lanes->seen[lanes->seen_count++] = hash;
    return true;
}

// ---- lanes

static const char *compile_lane(TuneLanes *lanes, CompiledLane *lane, const char *lines) {
    Command *command = &lane->command;
    CompileRequest *request = &lane->request;
    *request = (CompileRequest){.observer = {.limit = -1}, .fuse = lanes->fuse, .target = lanes->target};
    request->report.cache = lanes->cache;
    request->choices = parse_choices(lane->arena, lanes->base_file, lanes->base, lines, command->diags);
    const char *plan = request->choices ? plan_text(command, request) : NULL;
    if (!plan) return "it cannot be";
    if (!is_new(lanes, plan)) return "it changes nothing, or was tried";
    lane->lane.choices = followed_lines(lane->arena, request->choices);
    request->choices = parse_choices(lane->arena, lanes->base_file, lanes->base, lane->lane.choices, command->diags);
    if (training_compile(command, lanes->target, false, request, &lane->training) != EXIT_DONE) return "it cannot be";
    return training_open_tokens(command, &lane->training, false) == EXIT_DONE ? NULL : "its tokens cannot be read";
}

static void release_lane(void *context, TuneLane *released) {
    (void)context;
    CompiledLane *lane = (CompiledLane *)released;
    lane->training.threads = NULL;
    training_free(&lane->training);
    arena_free(lane->arena);
    memory_release(lane);
}

static TuneLane *open_lane(void *context, const char *lines, const char **why) {
    TuneLanes *lanes = context;
    CompiledLane *lane = memory_allocate(sizeof *lane);
    lane->arena = arena_create();
    lane->command = *lanes->command;
    lane->command.arena = lane->arena;
    lane->command.diags = diags_create(lane->arena);
    *why = compile_lane(lanes, lane, lines);
    if (!*why) return &lane->lane;
    release_lane(context, &lane->lane);
    return NULL;
}

static void rest_lane(void *context, TuneLane *resting) {
    (void)context;
    CompiledLane *lane = (CompiledLane *)resting;
    session_free(lane->training.session);
    lane->training.session = NULL;
}

// ---- training them

static bool begin_again(CompiledLane *lane) {
    const Program *step = lane->training.model.programs[MODEL_STEP];
    lane->next_iteration = 0;
    return weights_initialise(lane->training.session, step, (uint64_t)config_int(lane->command.config, "seed"),
                              lane->command.diags) == RUNTIME_OK;
}

static bool wake(TuneLanes *lanes, CompiledLane *lane) {
    if (lane->training.session) return true;
    size_t bytes[MEMORY_COUNT];
    lane->training.threads = lanes->threads;
    if (training_bytes(&lane->command, &lane->training, threads_count(lanes->threads), bytes) != EXIT_DONE)
        return false;
    double needed = (double)bytes[MEMORY_STATE] + (double)bytes[MEMORY_ARENA] + (double)bytes[MEMORY_SCRATCH];
    if (!lanes->command->gpu && !memory_fits(needed)) return false;
    if (training_session(&lane->command, &lane->training) != EXIT_DONE) return false;
    return begin_again(lane);
}

typedef struct {
    double seconds[MOST_STEPS + WARMUP_STEPS];
    int count;
} Steps;

static void keep_step(void *context, const StepRecord *record) {
    Steps *steps = context;
    if (steps->count < MOST_STEPS + WARMUP_STEPS) steps->seconds[steps->count] = record->seconds;
    steps->count++;
}

static bool train(CompiledLane *lane, int64_t count, Steps *steps) {
    TrainOptions options = training_options(lane->command.config, &lane->training);
    options.eval = NULL;
    options.eval_only = false;
    options.log_interval = 0;
    options.first_iteration = lane->next_iteration;
    options.max_iters = lane->next_iteration + count - 1;
    options.after_step = keep_step;
    options.after_step_context = steps;
    TrainResult result;
    steps->count = 0;
    bool ran = train_run(&options, &result, lane->command.diags) == RUNTIME_OK;
    lane->next_iteration = result.next_iteration;
    return ran && steps->count == count;
}

// Steps on a GPU are behind one another: all of them together are timed, to the last one's result.
static bool visit_on_gpu(TuneLanes *lanes, CompiledLane *lane, double *seconds) {
    Steps steps;
    int64_t count = lanes->steps ? lanes->steps : CALIBRATION_STEPS;
    if (!wake(lanes, lane) || !train(lane, WARMUP_STEPS, &steps)) return false;
    double start = clock_seconds();
    if (!train(lane, count, &steps)) return false;
    *seconds = (clock_seconds() - start) / (double)count;
    if (!lanes->steps) lanes->steps = (int64_t)fmin(fmax(visit_seconds / *seconds, 1), MOST_GPU_STEPS);
    return true;
}

static bool visit_lane(void *context, TuneLane *visited, double *seconds) {
    TuneLanes *lanes = context;
    CompiledLane *lane = (CompiledLane *)visited;
    if (lanes->command->gpu) return visit_on_gpu(lanes, lane, seconds);
    Steps steps;
    int64_t count = lanes->steps ? lanes->steps : CALIBRATION_STEPS;
    if (!wake(lanes, lane) || !train(lane, WARMUP_STEPS + count, &steps)) return false;
    *seconds = median_of(steps.seconds + WARMUP_STEPS, (size_t)count);
    if (!lanes->steps) lanes->steps = (int64_t)fmin(fmax(visit_seconds / *seconds, 1), MOST_STEPS);
    return true;
}

// Adds up what every tensor of the states holds, in any order of slots and any layout.
static unsigned long long hash_states(const CompiledLane *lane) {
    const Program *step = lane->training.model.programs[MODEL_STEP];
    unsigned long long sum = 0;
    Arena *scratch = arena_create();
    for (uint32_t i = 0; i < step->slot_count; i++) {
        const ProgramSlot *slot = &step->slots[i];
        if (slot->kind != SLOT_STATE || slot->copy_of || slot->element != ELEMENT_F32) continue;
        size_t count = (size_t)slot_elements(slot);
        float *values = memory_allocate_array(count + 1, sizeof *values);
        weights_get(lane->training.session, slot, values, scratch, lane->command.diags);
        unsigned long long pair[2] = {hash_text(slot->name),
                                      hash_bytes(values, count * sizeof *values)};
        sum += hash_bytes(pair, sizeof pair);
        memory_release(values);
        arena_reset(scratch);
    }
    arena_free(scratch);
    return sum;
}

// Moments hold every bit of the gradients, so a few steps tell.
static bool bits_of_lane(void *context, TuneLane *asked, unsigned long long *hash) {
    TuneLanes *lanes = context;
    CompiledLane *lane = (CompiledLane *)asked;
    Steps steps;
    if (!wake(lanes, lane)) return false;
    if (!begin_again(lane)) return false;
    if (!train(lane, BITS_STEPS, &steps)) return false;
    *hash = hash_states(lane);
    return true;
}

// ---- what the search asks besides

static size_t list_candidates(void *context, const TuneLane *asked, TuneCandidate **candidates) {
    const TuneLanes *lanes = context;
    const CompiledLane *lane = (const CompiledLane *)asked;
    const CompiledModel *model = &lane->training.model;
    return tune_candidates(lanes->arena, model->plans[MODEL_STEP], model->ledger, lanes->target, lanes->with_numeric,
                           candidates);
}

static const char *write_line(void *context, const char *lines) {
    const TuneLanes *lanes = context;
    Text text = text_create(lanes->arena);
    for (const char *line = lines; *line; line += strcspn(line, "\n"), line += *line == '\n') {
        const char *alone = arena_copy_range(lanes->arena, line, strcspn(line, "\n"));
        text_append(&text, "%s in step\n", alone);
        if (accumulates(lanes->command)) text_append(&text, "%s in micro\n", alone);
    }
    return text_string(&text);
}

static double now(void *context) {
    (void)context;
    return clock_seconds();
}

static bool is_interrupted(void *context) {
    (void)context;
    return interrupt_requested();
}

static void say(void *context, const char *line) {
    const TuneLanes *lanes = context;
    fprintf(lanes->command->echo, "%s\n", line);
    fflush(lanes->command->echo);
}

// ---- products one by one, on a GPU

enum { TIMED_RUNS = 5 };

// Medians by step of a plan, beyond what a launch takes. The inputs are those of the last step trained.
static bool time_program(CompiledLane *lane, int which, double *seconds) {
    const Program *program = lane->training.model.programs[which];
    uint32_t count = program->step_count;
    double *runs[TIMED_RUNS], sorted[TIMED_RUNS];
    RunResult unread;
    for (int r = 0; r < TIMED_RUNS; r++) {
        runs[r] = ARENA_ARRAY(lane->arena, double, (size_t)count + 2);
        if (!session_time(lane->training.session, program, runs[r], &unread, lane->command.diags)) return false;
    }
    for (uint32_t i = 0; i < count; i++) {
        for (int r = 0; r < TIMED_RUNS; r++) sorted[r] = fmax(runs[r][i] - runs[r][count], 0);
        seconds[program->steps[i].id] = median_of(sorted, TIMED_RUNS);
    }
    return true;
}

static bool time_products(TuneLanes *lanes, CompiledLane *lane, TuneProducts *products, const char *way) {
    Steps steps;
    if (!wake(lanes, lane) || !train(lane, WARMUP_STEPS, &steps)) return false;
    for (int which = MODEL_STEP; which <= MODEL_MICRO; which++) {
        const Plan *plan = lane->training.model.plans[which];
        if (!plan) continue;
        double *seconds = ARENA_ARRAY(lane->arena, double, (size_t)plan->step_count + 1);
        if (!time_program(lane, which, seconds)) return false;
        tune_add_times(products, plan, seconds, way);
    }
    return true;
}

static void time_way(TuneLanes *lanes, TuneProducts *products, const char *way) {
    const char *why;
    TuneLane *lane = open_lane(lanes, write_line(lanes, way), &why);
    if (!lane) return; // as it was, or impossible everywhere
    if (time_products(lanes, (CompiledLane *)lane, products, way))
        tune_end_way(products, way);
    else
        fprintf(lanes->command->echo, "tune: %s: does not run\n", way);
    release_lane(lanes, lane);
}

static const char *say_products(const TuneLanes *lanes, const TuneProducts *products, size_t ways) {
    Text lines = text_create(lanes->arena);
    size_t faster = 0;
    for (size_t i = 0; i < products->count; i++) {
        const char *line = tune_picked(products, i);
        if (!line) continue;
        faster++;
        text_append(&lines, "%s\n", line);
        fprintf(lanes->command->echo, "tune: %s: %.3g us against %.3g us\n", line, 1e6 * products->list[i].best,
                1e6 * products->list[i].untuned);
    }
    fprintf(lanes->command->echo, "tune: %zu kinds of products one by one, in %zu other ways: %zu are faster so\n",
            products->count, ways, faster);
    fflush(lanes->command->echo);
    return text_string(&lines);
}

static const char *survey(void *context, TuneLane *untuned, double deadline) {
    TuneLanes *lanes = context;
    TuneProducts products = {.arena = lanes->arena};
    TuneWays ways =
        tune_ways(lanes->arena, lanes->target, configured_tensor(lanes->command->config), lanes->with_numeric);
    size_t timed = 0, seen = lanes->seen_count;
    if (!time_products(lanes, (CompiledLane *)untuned, &products, NULL)) return "";
    for (; timed < ways.count && (timed == 0 || clock_seconds() < deadline) && !interrupt_requested(); timed++)
        time_way(lanes, &products, ways.lines[timed]);
    lanes->seen_count = seen; // as candidates they are new
    return interrupt_requested() ? "" : say_products(lanes, &products, timed);
}

TuneMachine tune_lanes_machine(TuneLanes *lanes) {
    return (TuneMachine){.context = lanes,
                         .survey = lanes->command->gpu ? survey : NULL,
                         .now = now,
                         .interrupted = is_interrupted,
                         .compile = open_lane,
                         .release = release_lane,
                         .list = list_candidates,
                         .written = write_line,
                         .visit = visit_lane,
                         .bits = bits_of_lane,
                         .rest = rest_lane,
                         .say = say};
}

TuneLanes *tune_lanes_create(Command *command, const Target *target, FuseLevel fuse, const char *base_file,
                             const char *base, bool with_numeric, ThreadPool *threads) {
    TuneLanes *lanes = memory_allocate(sizeof *lanes);
    *lanes = (TuneLanes){.command = command,
                         .target = target,
                         .fuse = fuse,
                         .base_file = base_file,
                         .base = base,
                         .with_numeric = with_numeric,
                         .threads = threads,
                         .cache = command->gpu ? configured_cache(command) : NULL,
                         .arena = arena_create()};
    return lanes;
}

void tune_lanes_free(TuneLanes *lanes) {
    if (!lanes) return;
    arena_free(lanes->arena);
    memory_release(lanes);
}

bool tune_choices_hold(Command *command, const Target *target, FuseLevel fuse, const char *file, const char *choices) {
    Command trial = *command;
    trial.arena = arena_create();
    trial.diags = diags_create(trial.arena);
    CompileRequest request = {.observer = {.limit = -1}, .fuse = fuse, .target = target};
    request.choices = choices_create(trial.arena);
    bool hold = choices_add(request.choices, file, choices, trial.diags) && plan_text(&trial, &request) &&
                choices_finish(request.choices, trial.diags);
    arena_free(trial.arena);
    return hold;
}
