// Weights: between files or initial distributions and the states of a session.
//
// Files hold tensors under the spec's stored names and stored extents, whatever layout the program chose; moments of
// AdamW under "adam.m.NAME" and "adam.v.NAME".
#ifndef SINTER_RUNTIME_WEIGHTS_H
#define SINTER_RUNTIME_WEIGHTS_H

#include "runtime/session.h"
#include "runtime/tensor_file.h"

// A state's stored elements, into its slot and into every slot that copies it. RUNTIME_IO when a device fails, here and
// below.
RuntimeStatus weights_set(const Session *session, const Program *program, const ProgramSlot *slot, const void *values,
                          Arena *scratch, Diags *diags);
// The slot's stored elements.
RuntimeStatus weights_get(const Session *session, const ProgramSlot *slot, void *values, Arena *scratch, Diags *diags);

// Every state of `program` from its slot's init: constants, or normal(0, init_value) keyed by (seed, name, logical
// index): the values depend neither on layout nor on order or number of threads.
RuntimeStatus weights_initialise(Session *session, const Program *program, uint64_t seed, Diags *diags);

// Every parameter must be in the file with the stored extents (transposed or missing: RUNTIME_BAD_FILE, with both
// shapes). Moments are read when the file has them, else left as they are. Tensors that the model does not have become
// one note.
RuntimeStatus weights_load(Session *session, const Program *program, TensorFile *file, Diags *diags);

// Parameters only: a new training that starts from them.
RuntimeStatus weights_load_parameters(Session *session, const Program *program, TensorFile *file, Diags *diags);
// The gradients summed so far over micro-batches become zero.
RuntimeStatus weights_forget_accumulated(Session *session, const Program *program, Diags *diags);

// Of the tensors of a checkpoint.
size_t weights_file_bytes(const Program *program);
// Parameters and moments, with metadata, atomically. RUNTIME_NONFINITE when one of them is not finite.
RuntimeStatus weights_save(const Session *session, const Program *program, const char *path,
                           const TensorMetadata *metadata, size_t metadata_count, Diags *diags);
// The outputs "grad.NAME" of the run just done, as tensors NAME, without the scale of its loss. BUG when the program
// has none.
RuntimeStatus weights_save_gradients(const Session *session, const Program *program, const char *path, Diags *diags);

#endif
