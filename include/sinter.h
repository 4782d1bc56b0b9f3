// Sinter as a library: compile a model spec, train it step by step, read and write its parameters.
//
//     const char *settings[] = {"n_layer=4", "n_head=4", "n_embd=128", "batch_size=12", "block_size=64",
//                               "vocab_size=65"};
//     SinterModel *model = sinter_open(NULL, "gpt2", settings, 6, 2);
//     if (!model) { fputs(sinter_error(), stderr); ... }
//     float loss = sinter_step(model, tokens, targets, 1e-3);    // tokens, targets: int32_t [batch_size][block_size]
//     sinter_close(model);
//
// examples/train.c is a whole program. One model per thread at a time; models are independent of each other.
#ifndef SINTER_H
#define SINTER_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct SinterModel SinterModel;

// Compiles the training step and the evaluation of a model. `spec` is the text of a .spec file, named `name` in
// messages; with a NULL spec `name` is a model shipped in the library ("gpt2", "llama"). settings: `key=value` texts of
// the command line's training keys (shapes, beta1, beta2, weight_decay, grad_clip, fuse, seed ...). threads: 0 means
// one for each core. Parameters start as the spec says. NULL on failure: see sinter_error.
SinterModel *sinter_open(const char *spec, const char *name, const char *const *settings, size_t count, int threads);
void sinter_close(SinterModel *model);  // NULL is allowed

// Why the last call of this thread failed, as the command line would print it; "" when it did not.
const char *sinter_error(void);

// One AdamW update on one batch; the loss before the update, NaN when it is not finite (the parameters are then lost).
float sinter_step(SinterModel *model, const int32_t *tokens, const int32_t *targets, double learning_rate);
// The loss of one batch, dropout off; changes nothing.
float sinter_evaluate(SinterModel *model, const int32_t *tokens, const int32_t *targets);
// Global gradient norm of the last step, before clipping.
float sinter_gradient_norm(const SinterModel *model);

// Parameters by stored name, row-major in stored order: "wte.weight". Elements of a parameter, 0 when there is none.
size_t sinter_parameter_size(const SinterModel *model, const char *name);
// 0 when done, otherwise an exit code of the command line (3: no such parameter or another number of elements).
int sinter_read_parameter(const SinterModel *model, const char *name, float *values, size_t count);
int sinter_write_parameter(SinterModel *model, const char *name, const float *values, size_t count);

// Parameters and moments as safetensors; 0 when done, otherwise an exit code.
int sinter_save(const SinterModel *model, const char *path);
int sinter_load(SinterModel *model, const char *path);

#ifdef __cplusplus
}
#endif

#endif
