// Sampling by nanoGPT's rules, with a program of fixed shape: input tok[B,T], output logits[B,T,V].
//
// Each new token: the last T tokens of the row, left-aligned (the rest is 0 and, the mask being causal, unseen), logits
// at the last of them, divided by the temperature, all below the top_k-th largest removed, softmax, one draw keyed by
// (seed, sample, position). B samples are drawn per run. Temperature 0 takes the largest logit.
#ifndef SINTER_RUNTIME_SAMPLE_H
#define SINTER_RUNTIME_SAMPLE_H

#include "runtime/session.h"

typedef struct {
    Session *session;
    const Program *logits;
    uint64_t seed;
    double temperature;
    int64_t top_k;                 // 0 or >= V: all
    const int32_t *start;          // at least one token
    int64_t start_count;
    int64_t num_samples, max_new_tokens;
    int64_t vocab_size;            // tokens that may be drawn, when fewer than V (padded vocabulary); 0: V
    // One finished sample: the start and what was drawn, count = start_count + max_new_tokens.
    void (*done)(void *context, int64_t sample, const int32_t *tokens, int64_t count);
    void *context;
} SampleOptions;

// RUNTIME_STOPPED after SIGINT or SIGTERM when interrupt_install was called; RUNTIME_NONFINITE when no logit is
// finite; RUNTIME_BAD_FILE when a start token is outside the vocabulary.
RuntimeStatus sample_run(const SampleOptions *options, Diags *diags);
// One draw from logits[count]; `random` in [0, 1). -1 when no logit is finite.
int32_t sample_draw(const float *logits, int64_t count, double temperature, int64_t top_k, double random);

#endif
