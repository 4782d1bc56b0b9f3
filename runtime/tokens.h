// Token files and the batches drawn from them.
//
// Files: raw little-endian uint16 or uint32 without a header (nanoGPT), or llm.c's 1024-byte header (magic 20240520:
// uint16, 20240801: uint32), which is recognised and then decides the width. Read by pread, window by window.
#ifndef SINTER_RUNTIME_TOKENS_H
#define SINTER_RUNTIME_TOKENS_H

#include <stdint.h>

#include "base/diag.h"
#include "runtime/status.h"

typedef struct TokenFile TokenFile;
// token_bytes: 2 or 4, for files without a header. RUNTIME_BAD_FILE: missing, empty, odd length, wrong header.
RuntimeStatus token_file_open(const char *path, int token_bytes, TokenFile **file, Diags *diags);
void token_file_close(TokenFile *file);  // NULL is allowed
int64_t token_file_count(const TokenFile *file);
const char *token_file_path(const TokenFile *file);

typedef enum { ORDER_RANDOM, ORDER_SEQUENTIAL } DataOrder;
// Draws of different streams are independent, also from one file.
typedef enum { STREAM_TRAIN, STREAM_ESTIMATE_TRAIN, STREAM_ESTIMATE_VALIDATION } DataStream;

// A batch is a pure function of these and the draw number:
//   random:      row r starts at a position uniform in [0, count - columns - 1], keyed by (seed, stream, draw, r)
//   sequential:  row r starts at (draw * rows + r) * columns; beyond the end of the file is an error
typedef struct {
    TokenFile *file;        // stays the caller's
    DataOrder order;
    DataStream stream;
    uint64_t seed;
    int64_t rows, columns;  // batch_size, block_size
    int64_t vocab_size;     // tokens must be below; 0: not checked
} BatchSource;

// RUNTIME_BAD_FILE when the file is too short for one batch: random needs columns + 1 tokens, sequential rows * columns
// + 1.
RuntimeStatus batch_check(const BatchSource *source, Diags *diags);
// tokens[rows][columns] and targets[rows][columns] (one later). Any thread may call it.
RuntimeStatus batch_read(const BatchSource *source, int64_t draw, int32_t *tokens, int32_t *targets, Diags *diags);

#endif
