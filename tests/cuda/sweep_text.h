// Texts of plans with sweeps, put together from what a case says: attention forward, what it leaves for queries, and
// for keys and values, each by itself or one after the other.
//
//     inputs in f32 -> copies in 16 bits -> sweeps -> outputs in f32
#ifndef TESTS_CUDA_SWEEP_TEXT_H
#define TESTS_CUDA_SWEEP_TEXT_H

#include <stdbool.h>

#include "base/memory.h"

enum { SWEEP_FORWARD = 1, SWEEP_QUERIES = 2, SWEEP_KEYS = 4, SWEEP_ALL = 7 };
typedef enum { SCORES_SOFTMAX, SCORES_SIGMOID, SCORES_PLAIN } SweepScores;
// strict: a query does not see its own key, and the first one sees none. later: its own key and those behind it.
// window: its own and so many before it.
typedef enum { MASK_NONE, MASK_CAUSAL, MASK_STRICT, MASK_LATER, MASK_WINDOW } SweepMask;
enum { SWEEP_WINDOW = 40 };

typedef struct {
    const char *name;                    // in messages
    unsigned parts;
    int batch, heads;                    // extents; 0: 1 and 2
    int queries, keys, width, lanes;     // of T, S, D and E; 0: 128, 128, 64 and 64
    SweepScores scores;
    SweepMask mask;
    int rows, columns, stages;           // of a block; 0: 64, 64 and 2
    bool in_f16;                         // else bf16
    bool no_band, band_turned;           // the step says nothing of its mask, or with rows and columns exchanged
    bool without_lse;                    // forward: it is no output
    bool in_one;                         // q, k and v selected out of one value; keys are queries renamed
    bool heads_first;                    // in memory
    bool shared_keys;                    // places (B,H,R), and keys and values without R
    bool capped, dropped, biased;        // 30 tanh(s / 30); dropout; + bias[H,T,S]
    bool half_result, both_results;      // forward: y in 16 bits; and in f32
    bool steep;                          // scores that differ much, so that the largest ones move
} SweepCase;

const char *sweep_text(Arena *arena, const SweepCase *how);

#endif
