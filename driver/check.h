// Compiled training steps beside the float64 reference, on random weights and tokens.
//
// In: a model and its config; compiled programs of it, of any level. Out: for the loss, the gradients and the next
// values, the largest error: largest difference of a tensor over its largest value.
#ifndef SINTER_DRIVER_CHECK_H
#define SINTER_DRIVER_CHECK_H

#include "driver/command.h"
#include "driver/compile.h"
#include "runtime/session.h"

// f32 rounding of sums of a few hundred terms stays well below these; a wrong formula does not.
#define CHECK_VALUE_LIMIT 2e-6
#define CHECK_GRADIENT_LIMIT 2e-5
// Tensor cores round the factors of products: tf32 by up to 2^-12 of each, bf16 2^-9. In such units; a gradient comes
// through twice as many products as the loss, and may be a small sum of large terms.
#define CHECK_VALUE_UNITS 4
#define CHECK_GRADIENT_UNITS 32

typedef struct {
    double error;
    const char *name;     // of the tensor; NULL: there is none of this sort
} WorstError;

typedef struct {
    WorstError value, gradient, update;   // loss and grad_norm; grad.NAME; next params and moments
    bool passed;
} CheckErrors;

// Sizes small enough for the reference, into the config; each change is said on `said` (NULL: nowhere).
void check_cap_sizes(Command *command, FILE *said);

// The step as primitives with every node's float64 value; made once, compared with many programs. Its random leaves
// depend on names and config only. NULL with diagnostics. gradient_accumulation_steps must be 1.
typedef struct CheckReference CheckReference;
CheckReference *check_reference(Command *command, const Target *target);
void check_reference_free(CheckReference *reference);   // NULL is allowed

// Gives the session of a compiled step the reference's leaves, runs it once and compares every output. Overwrites the
// session's states. RUNTIME_IO when a device fails.
RuntimeStatus check_compare(const CheckReference *reference, const CompiledModel *model, Session *session,
                            CheckErrors *errors, Diags *diags);

#endif
