// Runs tile programs op by op, in float: what a backend must compute, in the plainest way. Every access is checked.
#ifndef SINTER_TESTS_INTERPRET_TILE_H
#define SINTER_TESTS_INTERPRET_TILE_H

#include "codegen/tile.h"

// buffers[i]: float, int32_t or unsigned char elements by the buffer's type. Runs piece `piece`.
// NULL, or what went wrong (in `arena`).
const char *interpret_tile(const TileProgram *program, void *const *buffers, uint32_t piece, Arena *arena);

#endif
