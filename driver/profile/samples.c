// From traces to sums: see profile.h.
#include <stdlib.h>

#include "driver/explain/explain.h"
#include "driver/profile/profile.h"

ProfiledProgram profiled_program(BoxTable *table, const Plan *plan, const Program *program, double runs) {
    ProfiledProgram profiled = {.plan = plan, .program = program, .runs = runs};
    profiled.boxes = box_table_add(table, plan, runs);
    profiled.places = ARENA_ARRAY(table->arena, const char *, plan->step_count);
    for (uint32_t s = 0; s < plan->step_count; s++)
        profiled.places[s] = explain_place(plan, plan->steps[s].place, table->arena);
    return profiled;
}

StepSample sample_create(Arena *arena, size_t boxes) {
    return (StepSample){.boxes = ARENA_ARRAY(arena, double, boxes), .waits = ARENA_ARRAY(arena, double, boxes)};
}

// ---- one run

typedef struct {
    const TraceThread *thread;
    size_t next;
    uint64_t before;   // end of the slice before the next one
} Cursor;

// Adds the pieces up to the next wait; ticks of that wait, and the step behind it.
static double walk_to_wait(Cursor *cursor, const ProfiledProgram *profiled, StepSample *sample, uint32_t *step) {
    for (;;) {
        const TraceSlice *slice = &cursor->thread->slices[cursor->next++];
        double ticks = (double)(int64_t)(slice->end - cursor->before);   // clocks of two cores may differ by a little
        cursor->before = slice->end;
        *step = slice->step;
        if (slice->piece == TRACE_WAIT) return ticks;
        sample->boxes[profiled->boxes[slice->step]] += profiled->runs * ticks;
    }
}

// All threads wait at the same places. What the last one to arrive waits is the price of the barrier; what others wait
// beyond that, they wait for it. Waking up is all price.
void sample_add(StepSample *sample, const ProfiledProgram *profiled, const Trace *trace) {
    Cursor cursors[THREADS_MAX];
    for (int t = 0; t < trace->thread_count; t++)
        cursors[t] = (Cursor){trace->threads[t], 0, trace->begin};
    for (bool wakes = true; cursors[0].next < cursors[0].thread->count; wakes = false) {
        double least = 0, sum = 0;
        uint32_t step = 0;
        for (int t = 0; t < trace->thread_count; t++) {
            double ticks = walk_to_wait(&cursors[t], profiled, sample, &step);
            least = t == 0 || ticks < least ? ticks : least;
            sum += ticks;
        }
        double price = wakes ? sum : least * trace->thread_count;
        sample->barrier += profiled->runs * price;
        sample->imbalance += profiled->runs * (sum - price);
        if (step < profiled->program->step_count) sample->waits[profiled->boxes[step]] += profiled->runs * sum;
    }
}

// ---- many steps

static int compare_samples(const void *left, const void *right) {
    double a = ((const StepSample *)left)->total, b = ((const StepSample *)right)->total;
    return (a > b) - (a < b);
}

// What other work on the machine adds to a step is in the slower ones; sums stay sums. Sorts the samples.
static StepSample fastest_quarter(const Profile *profile, StepSample *samples) {
    size_t count = (size_t)profile->steps, kept = (count + 3) / 4;
    qsort(samples, count, sizeof *samples, compare_samples);
    StepSample mean = sample_create(profile->table.arena, profile->table.count);
    double part = 1.0 / (double)kept;
    for (size_t i = 0; i < kept; i++) {
        mean.total += part * samples[i].total;
        mean.data += part * samples[i].data;
        mean.imbalance += part * samples[i].imbalance;
        mean.barrier += part * samples[i].barrier;
        for (size_t b = 0; b < profile->table.count; b++) {
            mean.boxes[b] += part * samples[i].boxes[b];
            mean.waits[b] += part * samples[i].waits[b];
        }
    }
    return mean;
}

void profile_keep(Profile *profile, StepSample *plain, StepSample *profiled, double tick_seconds) {
    StepSample without = fastest_quarter(profile, plain), with = fastest_quarter(profile, profiled);
    double scale = tick_seconds / profile->machine.threads;
    profile->step_seconds = without.total;
    profile->profiled_seconds = with.total;
    profile->spread = plain[profile->steps / 2].total / without.total - 1;
    profile->data_seconds = with.data;
    profile->imbalance_seconds = scale * with.imbalance;
    profile->barrier_seconds = scale * with.barrier;
    for (size_t b = 0; b < profile->table.count; b++) {
        profile->table.boxes[b].seconds = scale * with.boxes[b];
        profile->table.boxes[b].wait_seconds = scale * with.waits[b];
    }
    box_table_finish(&profile->table, profile->machine.read_bandwidth);
}
