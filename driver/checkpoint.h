// What a checkpoint says about its training, as safetensors metadata, so that nothing else is needed to go on or to
// sample.
//
//     sinter.spec, sinter.spec_file   the model's text
//     sinter.config                   `key = literal` lines: the spec's keys and the sizes of a batch
//     sinter.training                 all other keys that a step depends on
//     sinter.characters               the text of all characters, when there are any
//     sinter.plan                     hash of the plans of step and micro
//     sinter.choices                  the choices that make these plans again (see choices.h)
#ifndef SINTER_DRIVER_CHECKPOINT_H
#define SINTER_DRIVER_CHECKPOINT_H

#include "driver/command.h"
#include "driver/compile.h"
#include "runtime/tensor_file.h"
#include "runtime/vocabulary.h"

// `given`: choices in effect; NULL: none.
const TensorMetadata *checkpoint_metadata(Command *command, const CompiledModel *model, const Choices *given,
                                          size_t *count);
// Spec and shape keys of the checkpoint into `command`; *vocabulary is NULL when it has no characters.
int checkpoint_read_model(Command *command, const TensorFile *file, Vocabulary **vocabulary);
// The whole training: the checkpoint's keys, but for those that the user assigned and that decide no shape. What the
// user says otherwise than the checkpoint is told on command->echo; *same_shapes: nothing of it changes what is
// compiled.
int checkpoint_read_training(Command *command, const TensorFile *file, bool *same_shapes);
// Of the plans of step and micro, as text.
const char *checkpoint_plan_hash(Arena *arena, const Plan *const plans[MODEL_PROGRAMS]);

#endif
