// What plan_chains.c, chain_cost.c, chain_gpu.c and chain_tensor.c share. Private to them.
#ifndef SINTER_PASSES_CHAINS_H
#define SINTER_PASSES_CHAINS_H

#include "passes/strands.h"

typedef struct {
    uint32_t strand;           // inside of which it lies: the strand's first step; STEP_NONE: in none
    DimList dims;              // what it is cut along: all dims of its large values but the innermost
    DimId along;               // the last of them, whose ranges are the pieces
    uint32_t first, last;      // steps
    bool *in, *depends;        // by step: of the chain; behind a step of it
    Cut cut;
    bool pays;
    double shared_bytes;       // on a GPU: of a block
    uint32_t most_lanes, stages;   // of the tiles of its products on tensor cores
    double moved_bytes;        // of large values that no longer pass through memory
    bool *again;               // by step: makes what is read later
    uint32_t reader;           // the first step that does; STEP_NONE: none
    double kept_bytes;         // of what is read later, stored
    double again_flops;        // made again
} Chain;

// Places of the dims that every step of the chain has: pieces of one place are one group.
int64_t chain_places(const Strands *strands, const Chain *chain);
double chain_value_bytes(const Plan *plan, ValueId id);   // what lies outside of its band is not counted
// Fills in cut, moved_bytes and pays; the numbers as a sentence.
const char *chain_weigh(const Strands *strands, Chain *chain);
// Whether what is read later is made again rather than stored.
bool chain_weigh_again(const Strands *strands, const Chain *chain, const char **reason);

// ---- on a GPU
const char *chain_weigh_gpu(const Strands *strands, Chain *chain);
bool chain_weigh_again_gpu(const Strands *strands, const Chain *chain, const char **reason);
// How a value of the chain lies: with room behind its rows when its pieces would not be whole lines.
Layout chain_gpu_layout(const Strands *strands, const Chain *chain, ValueId id);
// The tile of a step of the chain, and the layouts of what it writes.
void chain_join_gpu(const Strands *strands, const Chain *chain, uint32_t s);

// ---- a chain on a GPU with products on tensor cores (chain_tensor.c)
typedef struct {
    double rows, lanes, summed;
} ChainPart;               // of a product: what a piece has of it

bool chain_has_tensor(const Strands *strands, const Chain *chain);
ChainPart chain_part(const Strands *strands, const Chain *chain, const Step *step);
TensorTile chain_tile(const Chain *chain, const ChainPart *part, TensorKind kind);
double chain_ring_bytes(const Strands *strands, const Chain *chain);
// Of all pieces, when so many blocks are on a multiprocessor at once and all multiprocessors have equally many.
double chain_tensor_seconds(const Strands *strands, const Chain *chain, double resident);
bool chain_value_is_shared(const Strands *strands, const Chain *chain, ValueId id);   // chain_gpu.c: in shared memory

#endif
