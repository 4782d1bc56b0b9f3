// What plan_again.c, again_build.c and again_cost.c share. Private to them.
#ifndef SINTER_PASSES_AGAIN_H
#define SINTER_PASSES_AGAIN_H

#include "passes/plan_measure.h"


// By step of the plan: whether it is made a second time, and which steps then read that: those from `from` on.
typedef struct {
    bool made;
    uint32_t from;
} Again;

typedef struct {
    const Plan *plan;            // as it came
    PassContext *context;
    Arena *scratch;
    const uint32_t *writer;      // by value; STEP_NONE
    uint32_t *overwriter;        // by value: the step that writes over that state; STEP_NONE
    bool *in_strand;             // by step
    Again *again;                // by step: what is decided so far
} Remaking;

// Who reads a value, and when, seen from the peak.
typedef struct {
    uint32_t before, epoch;      // the first one behind it: this step of the plan, or made again right before it;
                                 // STEP_NONE
    uint32_t last;               // epoch of the last one
    bool at_peak, by_copy;       // one reads in the epoch of the peak; one until then is made again
} LateReads;

// The plan with some steps in it a second time, as plan_edges and plan_memory will see it. Values of the plan keep
// their numbers; those made again follow.
typedef struct {
    Arena *arena;                // owns all of it
    Plan plan;
    uint32_t *origin;            // by step of it: the step of the original that it is or stands before
    bool *is_copy;               // by step of it
    const uint32_t *epoch;       // by step of it
    MemoryBlock *lives;          // by value
    uint32_t peak;               // the epoch in which most bytes of activations are held
    size_t held;                 // so many
    LateReads *reads;            // by value
} Trial;

// again_build.c: the plan with the steps of `again` in it a second time. `trial` gets origin and is_copy; NULL: not
// asked for.
Plan again_plan(const Remaking *remaking, Arena *arena, Trial *trial);

// again_cost.c
bool again_measure(const Remaking *remaking, Trial *trial);   // false after a diagnostic
double again_work(const Remaking *remaking, uint32_t step);

// What one step costs and saves when it is made again: with it, what it reads and is no longer there.
typedef struct {
    uint32_t root;
    uint32_t *members, count;    // steps to be made again, the root last
    double saved, work;          // bytes at the peak; flops, traffic included
    const char *reason;          // why not; NULL: it can be made again
} Remake;
// False when nothing of the step lies idle at the peak.
bool again_weigh(const Remaking *remaking, const Trial *now, uint32_t step, Remake *remake);
// Marks the members.
void again_decide(Remaking *remaking, const Trial *now, const Remake *remake);

#endif
