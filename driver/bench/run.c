// Runs a bench: all variants compiled first, then their sessions visited in turn on one pool of threads.
//
//     compile A B C     round 0: A B C     round 1: B C A     round 2: C A B     ...     boxes timed     errors
//
// Where many variants are compared with one, as in an ablation, a round takes long and the machine may change
// meanwhile. So that one has an anchor, a second session of the same programs, which is visited every few variants;
// each of them is compared with the anchor's visits right before and right behind its own.
//
// A visit is some warm-up steps, which bring the variant's weights and code back into the caches, and some timed ones,
// of the training loop itself (train_run) with all that belongs to it. Every variant sees the same batches. A drift of
// the machine meets all variants of a round alike, and each place in the order.
//
// Where the sessions do not fit into memory together, each visit makes its own and starts from scratch.
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "driver/bench/lanes.h"
#include "driver/gpu.h"
#include "driver/memory_limit.h"
#include "runtime/interrupt.h"
#include "runtime/probe.h"
#include "runtime/weights.h"

enum {
    WARMUP_STEPS = 2,
    CALIBRATION_STEPS = 3,
    LEAST_ROUNDS = 7, // fewer give no interval of 95 %
    USUAL_ROUNDS = 25,
    MOST_ROUNDS = 201,
    LEAST_STEPS = 3,
    MOST_STEPS = 200,
    ANCHOR_EVERY = 6
};
// The largest share of what is available that sessions may take together.
static const double resident_share = 0.7;

// ---- anchors: second sessions of programs that others are compared with

static void make_anchors(BenchRun *run) {
    for (size_t i = 0; i < run->lane_count; i++) {
        const Variant *variant = run->lanes[i].variant;
        if (variant == bench_main(run->bench)) run->anchors[0] = run->lanes[i];
        if (variant->role == ROLE_BARE) run->anchors[1] = run->lanes[i];
    }
}

// Programs and tokens are the lanes'.
static void free_anchors(BenchRun *run) {
    for (int i = 0; i < 2; i++)
        session_free(run->anchors[i].training.session);
}

// ---- memory

static double resident_bytes(void) {
    FILE *file = fopen("/proc/self/statm", "r");
    double pages = 0;
    if (!file) return 0;
    if (fscanf(file, "%*s %lf", &pages) != 1) pages = 0;
    fclose(file);
    return pages * (double)sysconf(_SC_PAGESIZE);
}

static int refuse_memory(BenchRun *run, const Variant *variant, double needed, double available) {
    diag_error(run->command->diags, (Place){0},
               "%s needs %.1f MB and %.1f MB are available; lower batch_size or block_size", variant->name,
               1e-6 * needed, 1e-6 * available);
    return EXIT_MEMORY;
}

// What a device has for sessions, and what they would take there.
typedef struct {
    double available, together;
    const char *where;
} Room;

static bool room_fits(const Room *room) {
    return room->available <= 0 || room->together <= resident_share * room->available;
}

static int find_rooms(const BenchRun *run, Room rooms[2]) {
    const Command *command = run->command;
    size_t free_bytes = 0, all_bytes;
    if (command->gpu && !gpu_memory(command->gpu, &free_bytes, &all_bytes, command->diags)) return EXIT_IO;
    rooms[0] = (Room){memory_limit("").bytes, 0, ""};
    rooms[1] = (Room){(double)free_bytes, 0, " of the GPU's memory"};
    return EXIT_DONE;
}

static int refuse_together(BenchRun *run, const Room *room) {
    diag_error(run->command->diags, (Place){0},
               "the record ran all variants together, which needs %.1f MB%s; %.1f MB are available",
               1e-6 * room->together, room->where, 1e-6 * room->available);
    return EXIT_MEMORY;
}

// Do all sessions fit together?
static int plan_residence(BenchRun *run) {
    Room rooms[2];
    int status = find_rooms(run, rooms);
    if (status != EXIT_DONE) return status;
    for (size_t i = 0; i < run->lane_count; i++) {
        Lane *lane = &run->lanes[i];
        Room *room = &rooms[lane->variant->on_gpu];
        size_t bytes[MEMORY_COUNT];
        status = training_bytes(&lane->command, &lane->training, threads_count(run->threads), bytes);
        if (status != EXIT_DONE) return status;
        Variant *variant = lane->variant;
        variant->state_bytes = (double)bytes[MEMORY_STATE];
        variant->arena_bytes = (double)bytes[MEMORY_ARENA];
        variant->scratch_bytes = (double)bytes[MEMORY_SCRATCH];
        double needed = variant->state_bytes + variant->arena_bytes + variant->scratch_bytes;
        if (room->available > 0 && needed > room->available)
            return refuse_memory(run, variant, needed, room->available);
        room->together += needed;
    }
    const Room *full = !room_fits(&rooms[0]) ? &rooms[0] : !room_fits(&rooms[1]) ? &rooms[1] : NULL;
    if (!run->replays) run->bench->resident = !full && !run->bench->anew;
    if (run->bench->resident && full) return refuse_together(run, full);
    if (!run->bench->resident && full)
        printf("bench: all variants together need %.1f MB%s, %.1f MB are available: each visit makes its session "
               "anew\n",
               1e-6 * full->together, full->where, 1e-6 * full->available);
    return EXIT_DONE;
}

int lane_open(BenchRun *run, Lane *lane) {
    double before = resident_bytes();
    lane->training.threads = run->threads;
    int status = training_session(&lane->command, &lane->training);
    if (status != EXIT_DONE) return status;
    status = weights_initialise(lane->training.session, lane->training.model.programs[MODEL_STEP],
                                (uint64_t)config_int(lane->command.config, "seed"), run->command->diags);
    if (status != EXIT_DONE) return status;
    lane->next_iteration = 0;
    if (!lane->variant->on_gpu)
        lane->variant->resident_bytes = fmax(lane->variant->resident_bytes, resident_bytes() - before);
    return EXIT_DONE;
}

void lane_close(Lane *lane) {
    session_free(lane->training.session);
    lane->training.session = NULL;
}

// ---- visits

typedef struct {
    double *seconds; // of the timed steps
    double loss;     // of the last step
    int64_t taken, skipped;
} Visit;

static void keep_step(void *context, const StepRecord *record) {
    Visit *visit = context;
    visit->loss = record->loss;
    if (visit->skipped > 0)
        visit->skipped--;
    else
        visit->seconds[visit->taken++] = record->seconds;
}

int lane_train(BenchRun *run, Lane *lane, int64_t warmup, int64_t steps,
               void (*keep)(void *context, const StepRecord *record), void *context) {
    TrainOptions options = training_options(lane->command.config, &lane->training);
    options.eval = NULL;
    options.eval_only = false;
    options.log_interval = 0;
    options.first_iteration = lane->next_iteration;
    options.max_iters = lane->next_iteration + warmup + steps - 1;
    options.after_step = keep;
    options.after_step_context = context;
    TrainResult result;
    int status = train_run(&options, &result, run->command->diags);
    lane->next_iteration = result.next_iteration;
    return status;
}

// Enters a lane, does `steps` of training there into `seconds`, leaves it.
static int visit_lane(BenchRun *run, Lane *lane, int64_t warmup, int64_t steps, Visit *visit) {
    *visit = (Visit){.seconds = visit->seconds, .skipped = warmup, .loss = NAN};
    bool made = !lane->training.session;
    int status = made ? lane_open(run, lane) : EXIT_DONE;
    if (status == EXIT_DONE) status = lane_train(run, lane, warmup, steps, keep_step, visit);
    if (made && !run->bench->resident) lane_close(lane);
    return status;
}

// One visit each, to see that all of them run and how long they take: from that, how many rounds of how many steps.
static int calibrate(BenchRun *run) {
    Bench *bench = run->bench;
    double of_all = 0;
    double seconds[CALIBRATION_STEPS];
    for (size_t i = 0; i < run->lane_count; i++) {
        Visit visit = {.seconds = seconds};
        int status = visit_lane(run, &run->lanes[i], 1, CALIBRATION_STEPS, &visit);
        if (status != EXIT_DONE) return status;
        of_all += bench_visit_seconds(run->lanes[i].variant, seconds, CALIBRATION_STEPS);
    }
    if (!run->replays) bench->warmup_steps = WARMUP_STEPS;
    if (bench->visit_steps == 0) {
        double steps = bench->budget_seconds / (USUAL_ROUNDS * of_all) - WARMUP_STEPS;
        bench->visit_steps = (int64_t)fmin(fmax(steps, LEAST_STEPS), MOST_STEPS);
    }
    double round = (double)(bench->visit_steps + bench->warmup_steps) * of_all;
    if (bench->ablates) round *= 1 + 1.0 / ANCHOR_EVERY;
    if (bench->rounds == 0)
        bench->rounds = (int64_t)fmin(fmax(bench->budget_seconds / round, LEAST_ROUNDS), MOST_ROUNDS);
    printf("bench: %zu variants, %lld rounds of %lld steps each behind %lld to warm up, about %.0f s\n",
           run->lane_count, (long long)bench->rounds, (long long)bench->visit_steps, (long long)bench->warmup_steps,
           round * (double)bench->rounds);
    fflush(stdout);
    return EXIT_DONE;
}

static void make_room(BenchRun *run) {
    Bench *bench = run->bench;
    Arena *arena = run->command->arena;
    size_t rounds = (size_t)bench->rounds, steps = (size_t)bench->visit_steps;
    bench->barriers = ARENA_ARRAY(arena, double, rounds + 1);
    for (size_t i = 0; i < bench->variant_count; i++) {
        bench->variants[i].seconds = arena_alloc_array(arena, rounds, steps * sizeof(double));
        bench->variants[i].visits = ARENA_ARRAY(arena, double, rounds);
        bench->variants[i].losses = ARENA_ARRAY(arena, double, rounds);
        if (bench->variants[i].role != ROLE_LEVEL) bench->variants[i].paired = ARENA_ARRAY(arena, double, rounds);
    }
}

static double processor_seconds(void) {
    struct timespec used;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
    return (double)used.tv_sec + 1e-9 * (double)used.tv_nsec;
}

static int visit_and_keep(BenchRun *run, Lane *lane, int64_t round) {
    const Bench *bench = run->bench;
    Variant *variant = lane->variant;
    Visit visit = {.seconds = variant->seconds + round * bench->visit_steps};
    double start = clock_seconds(), used = processor_seconds();
    int status = visit_lane(run, lane, bench->warmup_steps, bench->visit_steps, &visit);
    if (status != EXIT_DONE) return status;
    if (!variant->on_gpu) {
        run->processor_seconds += processor_seconds() - used;
        run->seconds += clock_seconds() - start;
    }
    variant->visits[round] = bench_visit_seconds(variant, visit.seconds, (size_t)bench->visit_steps);
    variant->losses[round] = visit.loss;
    return EXIT_DONE;
}

static int visit_anchor(BenchRun *run, Lane *anchor, double *seconds, double *median) {
    const Bench *bench = run->bench;
    Visit visit = {.seconds = seconds};
    int status = visit_lane(run, anchor, bench->warmup_steps, bench->visit_steps, &visit);
    *median =
        status == EXIT_DONE ? bench_visit_seconds(anchor->variant, seconds, (size_t)bench->visit_steps) : NAN;
    return status;
}

// The lanes first..last-1 once, in an order that rotates with the round; between visits of the anchor, if there is one.
static int visit_group(BenchRun *run, size_t first, size_t last, Lane *anchor, int64_t round) {
    size_t count = last - first;
    double before = 0, behind = 0;
    int status = EXIT_DONE;
    double *seconds = ARENA_ARRAY(run->command->arena, double, (size_t)run->bench->visit_steps);
    if (anchor && count) status = visit_anchor(run, anchor, seconds, &before);
    for (size_t i = 0; i < count && status == EXIT_DONE; i++) {
        status = visit_and_keep(run, &run->lanes[first + ((size_t)round + i) % count], round);
        if (!anchor || status != EXIT_DONE || ((i + 1) % ANCHOR_EVERY && i + 1 < count)) continue;
        status = visit_anchor(run, anchor, seconds, &behind);
        for (size_t k = i - i % ANCHOR_EVERY; k <= i; k++)
            run->lanes[first + ((size_t)round + k) % count].variant->paired[round] = (before + behind) / 2;
        before = behind;
    }
    return status;
}

// Lanes of one role lie together. Levels are compared with each other; what is left out or made alone, with an anchor.
static int visit_all(BenchRun *run, int64_t round) {
    size_t levels = 0, left_out = 0;
    for (size_t i = 0; i < run->lane_count; i++) {
        levels += run->lanes[i].variant->role == ROLE_LEVEL;
        left_out += run->lanes[i].variant->role != ROLE_ONLY;
    }
    int status = visit_group(run, 0, levels, NULL, round);
    if (status == EXIT_DONE) status = visit_group(run, levels, left_out, &run->anchors[0], round);
    if (status == EXIT_DONE) status = visit_group(run, left_out, run->lane_count, &run->anchors[1], round);
    return status;
}

// Whether a variant runs on a GPU, or on the processor.
static bool uses(const BenchRun *run, bool gpu) {
    for (size_t i = 0; i < run->lane_count; i++)
        if (run->lanes[i].variant->on_gpu == gpu) return true;
    return false;
}

static int run_rounds(BenchRun *run) {
    Bench *bench = run->bench;
    make_room(run);
    bench->barriers[0] = probe_barrier(run->threads);
    for (int64_t round = 0; round < bench->rounds; round++) {
        int status = visit_all(run, round);
        if (status != EXIT_DONE) return status;
        bench->barriers[round + 1] = probe_barrier(run->threads);
        if (uses(run, false)) bench->machine.peak_flops = probe_peak(run->threads, bench->machine.peak_flops);
    }
    double of_threads = run->seconds * threads_count(run->threads);
    bench->processor_share = of_threads > 0 ? run->processor_seconds / of_threads : 1;
    for (size_t i = 0; i < bench->variant_count; i++)
        bench->variants[i].time = estimate_median(bench->variants[i].visits, (size_t)bench->rounds);
    return EXIT_DONE;
}

// ---- the machine

static void describe_machine(BenchRun *run) {
    ProbeResult probe;
    probe_run(run->threads, false, &probe);
    Machine *machine = &run->bench->machine;
    *machine = (Machine){.cores = probe.cores,
                         .threads = probe.threads,
                         .vector_bytes = probe.vector_bytes,
                         .l1_bytes = probe.l1_bytes,
                         .l2_bytes = probe.l2_bytes,
                         .l3_bytes = probe.l3_bytes,
                         .peak_flops = probe.fma_flops,
                         .read_bandwidth = probe.read_bandwidth,
                         .triad_bandwidth = probe.triad_bandwidth};
    memcpy(machine->cpu, probe.model, sizeof machine->cpu);
    if (!uses(run, true)) return;
    const Gpu *gpu = run->command->gpu;
    TensorKind kind = configured_tensor(run->command->config);
    machine->gpu = gpu_name(gpu);
    machine->gpu_kind = kind == TENSOR_NONE ? "f32" : tensor_name(kind);
    machine->gpu_flops = gpu_roof(gpu, kind);
    machine->gpu_bandwidth = gpu_target(gpu).bandwidth;
}

static int run_all(BenchRun *run) {
    int status = lanes_compile(run);
    if (status != EXIT_DONE) return status;
    run->threads = threads_create(configured_threads(run->command->config), true, run->command->diags);
    if (!run->threads) return EXIT_IO;
    make_anchors(run);
    describe_machine(run);
    if ((status = plan_residence(run)) != EXIT_DONE) return status;
    interrupt_install();
    status = calibrate(run);
    if (status == EXIT_DONE) status = run_rounds(run);
    if (status == EXIT_DONE) status = lanes_time_boxes(run);
    interrupt_restore();
    return status == EXIT_DONE ? lanes_find_errors(run) : status;
}

int bench_run(Command *command, Bench *bench, bool replays) {
    BenchRun run = {.command = command, .bench = bench, .replays = replays};
    double start = clock_seconds();
    int status = run_all(&run);
    free_anchors(&run);
    for (size_t i = 0; i < run.lane_count; i++) {
        run.lanes[i].training.threads = NULL; // one pool for all
        training_free(&run.lanes[i].training);
    }
    threads_free(run.threads);
    bench->seconds = clock_seconds() - start;
    return status;
}
