// prepare: text files to train.bin, val.bin (uint16, 90 % and 10 % of the characters, in order) and meta.json.
#ifndef SINTER_RUNTIME_PREPARE_H
#define SINTER_RUNTIME_PREPARE_H

#include "base/diag.h"
#include "runtime/status.h"

typedef struct {
    int64_t characters, train_tokens, validation_tokens, vocab_size;
} PrepareResult;

// The texts are read one after the other as one text. `folder` is made when it is missing.
RuntimeStatus prepare_run(const char *const *texts, int count, const char *folder, PrepareResult *result, Diags *diags);

#endif
