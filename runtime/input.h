// Opening files to read, with the status that fits: a path the user got wrong is a bad file, the machine's troubles are
// I/O errors.
#ifndef SINTER_RUNTIME_INPUT_H
#define SINTER_RUNTIME_INPUT_H

#include <stddef.h>
#include <stdint.h>

#include "base/diag.h"
#include "runtime/status.h"

// *file is open for reading (the caller closes it by file_table.close), *bytes its size. Only regular files.
RuntimeStatus input_open(const char *path, int *file, int64_t *bytes, Diags *diags);
// The whole file, NUL-terminated, into the arena; RUNTIME_BAD_FILE when it is larger than `limit`.
RuntimeStatus input_read_all(Arena *arena, const char *path, size_t limit, char **contents, size_t *length,
                             Diags *diags);

#endif
