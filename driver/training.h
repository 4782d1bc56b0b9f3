// What every command that runs training steps shares: compiled programs, token files, memory, the loop's settings.
//
//     Config + Spec --training_compile--> programs --training_session--> Session --training_options--> TrainOptions
#ifndef SINTER_DRIVER_TRAINING_H
#define SINTER_DRIVER_TRAINING_H

#include "driver/command.h"
#include "driver/compile.h"
#include "runtime/train.h"

// Everything of one training that must be given back, so that every way out is the same.
typedef struct {
    CompiledModel model;
    ThreadPool *threads;
    Session *session;
    TokenFile *train_tokens, *validation_tokens;
} Training;

// Sizes and counts of the config are ones that a training can have. EXIT_DONE, or EXIT_USAGE after a diagnostic.
int training_check_numbers(Command *command);
// `step`, `micro` when gradients are accumulated, and `eval` when wanted, at the level of `request`.
int training_compile(Command *command, const Target *target, bool evaluates, CompileRequest *request,
                     Training *training);
int training_open_tokens(Command *command, Training *training, bool evaluates);
// The bytes of a session over the compiled programs. EXIT_DONE, or EXIT_MEMORY when they overflow.
int training_bytes(Command *command, const Training *training, int threads, size_t bytes[MEMORY_COUNT]);
// Says what the session will take, to the byte, and refuses what there is no room for. EXIT_DONE or EXIT_MEMORY.
int training_check_memory(Command *command, const Training *training, int threads);
int training_session(Command *command, Training *training);
// The loop as configured, without a peak, files, or anybody who listens.
TrainOptions training_options(const Config *config, const Training *training);
// Tokens of one update, all micro-batches together.
int64_t training_tokens(const Config *config);
void training_free(Training *training);

#endif
