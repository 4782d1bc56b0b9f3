// Machine code of a GPU as text, by NVIDIA's own tools.
#ifndef SINTER_DRIVER_DISASSEMBLE_H
#define SINTER_DRIVER_DISASSEMBLE_H

#include "base/diag.h"
#include "base/text.h"

// What nvdisasm, or cuobjdump, on PATH says of a cubin. False with a diagnostic: neither is there, or it fails.
bool disassemble_cubin(const void *cubin, size_t bytes, Text *out, Diags *diags);

#endif
