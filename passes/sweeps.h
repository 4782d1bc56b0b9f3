// What plan_sweeps.c, sweep_space.c, sweep_region.c and sweep_cost.c share. Private to them.
#ifndef SINTER_PASSES_SWEEPS_H
#define SINTER_PASSES_SWEEPS_H

#include "passes/passes.h"

typedef struct {
    Plan *plan;
    PassContext *context;
    Arena *scratch;
    const uint32_t *writer;    // by value; STEP_NONE
    size_t capacity;           // of plan->values
} Sweeps;

// One sweep, and the products whose place it takes, in the order of the plan.
typedef struct {
    uint32_t products[SWEEP_MOST];
    uint32_t count;
    DimSet swept;
    bool meets_lse;            // computes it, or reads it
    NodeId lse;                // of its region, when it computes it; NODE_NONE
    Step step;
} Sweep;

// Values of the same dims, and all steps that write and read them.
typedef struct {
    DimSet dims;
    DimId rows, columns;       // the last two in memory: one of them is swept
    bool *has_value, *has_step;    // by value, by step
    uint32_t *consumers;       // steps that read such values and write none
    uint32_t consumer_count;
    uint32_t lse_step;         // the row that computes the lse of such a value; STEP_NONE: none
    NodeId lse;                // of its region
    ValueId lse_value;         // that of the row, or a new one
    bool hands_lse;            // the sweep that computes it writes it
    const char *label, *place;
    Sweep *sweeps;
    uint32_t sweep_count;
    const char *refusal;       // why there are none; NULL
    bool pays;
    const char *weighed;       // the cost model's numbers as a sentence
    double bytes_saved, flops_saved;
} TileSpace;

// sweep_space.c: the space around what a step writes; false when no product of it has a matrix for each place of the
// other dims, or none sums such a value up over one of the two dims.
bool sweep_find_space(const Sweeps *sweeps, uint32_t step, TileSpace *space);

// sweep_region.c: how such a step is called in sentences.
const char *sweep_step_name(const Sweeps *sweeps, uint32_t step);
// One step for so many consumers, with all that they read of the space made inside of it.
Sweep sweep_build(const Sweeps *sweeps, const TileSpace *space, const uint32_t *products, uint32_t count,
                  bool computes_lse);
// One more output: the lse that it computes.
void sweep_hand_lse(const Sweeps *sweeps, const TileSpace *space, Sweep *sweep);

// sweep_cost.c: fills in weighed, pays and what is saved.
void sweep_weigh(const Sweeps *sweeps, TileSpace *space);

#endif
