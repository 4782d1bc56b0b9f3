// What plan_strands.c and strand_cost.c share. Private to them.
#ifndef SINTER_PASSES_STRANDS_H
#define SINTER_PASSES_STRANDS_H

#include "passes/passes.h"

#define NO_STEP UINT32_MAX

// Steps first .. end-1 as one strand, without those that run before it. The first and the last one are of the strand.
typedef struct {
    uint32_t first, end;
    uint64_t before;         // bit s - first: step s needs nothing of the strand and runs before it
    const uint8_t *where;    // by step: a StrandPlace; then `before` says nothing
    const bool *leaves;      // with where, by value: read by a step that is not in
    Cut cut;
    double held;             // bytes of one piece of all that the strand writes and still reads, where they are most
    double scratch;          // the same of what is kept in scratch
    double bytes_kept;       // whole values that need no memory
    double gain;             // bytes of traffic saved
    double total;            // gain of this run and of the best ones behind it
} Run;

typedef enum { STRAND_BEFORE, STRAND_IN, STRAND_AFTER } StrandPlace;

typedef struct {
    Plan *plan;
    PassContext *context;
    Arena *scratch;
    uint32_t *writer, *last_reader;   // by value; NO_STEP
    bool *writes_state;               // by step
    DimSet *cuttable;                 // by step
    DimList *summed;                  // by step whose outputs are plain sums: what a share can be taken of, outermost first
    int64_t *rows;                    // by step: rows of a product in all; INT64_MAX of others
    DimSet **own;                     // by step and operand: dims read at the step's own index
    DimSet **own_summed;              // and summed over at that index
    DimList *candidates;
    uint32_t candidate_count;
    size_t candidate_capacity;
    Run *best;                        // by first step
} Strands;

static inline bool run_has(const Run *run, uint32_t step) {
    if (step < run->first || step >= run->end) return false;
    return run->where ? run->where[step] == STRAND_IN : !(run->before >> (step - run->first) & 1);
}
// Dims of operand k of which a piece of step `s` reads its own part only.
static inline DimSet strand_own(const Strands *strands, uint32_t s, uint32_t k, DimSet cut) {
    return cut & ~strands->cuttable[s] ? strands->own_summed[s][k] : strands->own[s][k];
}

// Fills in cut, sizes and gain of a run cut along `dims`; false when it cannot be cut into enough pieces.
bool strand_weigh(const Strands *strands, Run *run, const DimList *dims);
// Whether a value that the run writes lives in scratch only.
bool strand_keeps(const Strands *strands, const Run *run, ValueId value);

// The layout of a value that the run writes: with the cut's dim outermost, when only the run reads it.
Layout strand_layout(const Strands *strands, const Run *run, ValueId value);
// The steps of forward, loss and backward as one strand over a few sequences a piece (strand_whole.c). False when it does
// not pay.
bool strand_whole(Strands *strands, Run *run);
double value_total_bytes(const Value *value);
// Bytes of one piece of all that the run writes and reads again, where they are most, times the pieces.
double strand_held(const Strands *strands, const Run *run, bool scratch_only);

#endif
