// What plan_strands.c, plan_chains.c and their cost models share. Private to them.
#ifndef SINTER_PASSES_STRANDS_H
#define SINTER_PASSES_STRANDS_H

#include "passes/passes.h"


typedef enum { STRAND_BEFORE, STRAND_IN, STRAND_AFTER } StrandPlace;

// One strand: where every step of the plan goes, and how its own steps are cut.
typedef struct {
    uint8_t *where;          // by step: a StrandPlace
    const bool *leaves;      // by value: read by a step that is not in
    Cut cut;
    double scratch;          // bytes of one piece of what lives only in the strand, where they are most
    double seconds_by_step, seconds_by_piece;   // model: time for traffic
} Strand;

// What can be said of a step before anything is decided.
typedef struct {
    bool writes_state;
    bool is_again;                    // made a second time, for later readers
    DimSet cuttable;                  // dims along which it can be cut
    DimList summed;                   // of a step of plain sums alone: what a share can be taken of, outermost first
    DimList apart;                    // of a step that adds sums to a state: what could be, taken apart (sums_apart.h)
    bool *behind;                     // by operand, then: only what is made of the sums reads it
    DimList product_rows;             // of a product: the rows of its matrix
    int64_t rows;                     // of a product: of all its matrices together; INT64_MAX of others
    DimSet *own;                      // by operand: dims read at the step's own index
    DimSet *own_summed;               // and summed over at that index
} StepFacts;

typedef struct {
    Plan *plan;
    PassContext *context;
    Choice *wish;                     // about the strand; NULL: none
    Arena *scratch;
    StepFacts *facts;                 // by step
    const uint32_t *writer, *last_reader;   // by value; STEP_NONE
    StepNest *nest;                   // by step
} Strands;

// strand_facts.c
Strands strands_create(Plan *plan, PassContext *context, Arena *scratch);
StepFacts strand_step_facts(const Plan *plan, const Step *step, Arena *scratch);
void strands_find_users(Strands *strands);   // anew, when steps have moved

// The first step of the strand that a step is of with others; STEP_NONE when it is of none.
static inline uint32_t strand_of(const Strands *strands, uint32_t step) {
    uint32_t first = strands->nest[step].strand;
    return plan_strand_end(strands->plan, first) > first + 1 ? first : STEP_NONE;
}
static inline bool strand_has(const Strand *strand, uint32_t step) {
    return step != STEP_NONE && strand->where[step] == STRAND_IN;
}
// Whether a step sums over the cut's dims, and each piece adds its share.
static inline bool strand_shares(const Strands *strands, uint32_t step, DimSet cut) {
    return (cut & ~strands->facts[step].cuttable) != 0;
}
// Whether it has to be taken apart for that.
static inline bool strand_takes_apart(const Strands *strands, uint32_t step, DimSet cut) {
    return strand_shares(strands, step, cut) && strands->facts[step].apart.rank > 0;
}
// Whether the strand's own step does not read operand k: what is made of its sums behind the strand does.
static inline bool strand_reads_behind(const Strands *strands, uint32_t step, uint32_t k, DimSet cut) {
    return strand_takes_apart(strands, step, cut) && strands->facts[step].behind[k];
}
// Dims of operand k of which a piece of the step reads its own part only.
static inline DimSet strand_own(const Strands *strands, uint32_t step, uint32_t k, DimSet cut) {
    return strand_shares(strands, step, cut) ? strands->facts[step].own_summed[k] : strands->facts[step].own[k];
}

// The layout of a value that the strand writes: with the cut's dim outermost when only the strand reads it.
Layout strand_layout(const Strands *strands, const Strand *strand, ValueId value);
// Whether a value that the strand writes lives in scratch memory only.
bool strand_keeps(const Strands *strands, const Strand *strand, ValueId value);
// Fills in cut, scratch and times; false when it cannot be cut into enough pieces.
bool strand_weigh(const Strands *strands, Strand *strand);

#endif
