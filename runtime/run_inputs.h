// The inputs that the programs of a training share: where they lie, and the numbers of a run written into them.
//
//     RunInputs inputs = run_inputs_find(session, program, batch_size * block_size);
//     ... inputs.tokens and inputs.targets are the caller's to write ...
//     run_inputs_set(&inputs, (RunNumbers){.step = 7, .seed = 1337, .learning_rate = 1e-3});
//     session_run(session, program);
#ifndef SINTER_RUNTIME_RUN_INPUTS_H
#define SINTER_RUNTIME_RUN_INPUTS_H

#include "runtime/session.h"

// NULL for those that a program lacks.
typedef struct {
    int32_t *tokens, *targets;   // of one batch
    float *learning_rate;
    int32_t *step, *seed, *micro;
} RunInputs;

typedef struct {
    int64_t step, micro;
    uint64_t seed;
    double learning_rate;
} RunNumbers;

// `tokens`: so many has a batch.
RunInputs run_inputs_find(const Session *session, const Program *program, int64_t tokens);
void run_inputs_set(const RunInputs *inputs, RunNumbers numbers);

#endif
