// What a checkpoint says about its model: the spec's text, the configuration and the characters, as safetensors
// metadata, so that `sample` needs nothing else.
#ifndef SINTER_DRIVER_CHECKPOINT_H
#define SINTER_DRIVER_CHECKPOINT_H

#include "driver/command.h"
#include "runtime/tensor_file.h"
#include "runtime/vocabulary.h"

// Keys: sinter.spec, sinter.spec_file, sinter.config (`key = literal` lines), sinter.characters (when there are any).
const TensorMetadata *checkpoint_metadata(Command *command, size_t *count);
// Spec and shape keys of the checkpoint into `command`; *vocabulary is NULL when it has no characters.
int checkpoint_read_model(Command *command, const TensorFile *file, Vocabulary **vocabulary);

#endif
