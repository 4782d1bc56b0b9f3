// Token files by pread, and batches as pure functions of their number.
#include "runtime/tokens.h"

#include <stdbool.h>
#include <string.h>

#include "base/file.h"
#include "base/size.h"
#include "runtime/input.h"
#include "runtime/random.h"

enum { MAGIC_16 = 20240520, MAGIC_32 = 20240801, VERSION_16 = 1, VERSION_32 = 7, HEADER_WORDS = 256 };

struct TokenFile {
    MemoryOwned owned;
    char *path;
    int file;
    int token_bytes;
    int64_t start, count; // first byte of the tokens; tokens
};

static uint32_t word_at(const unsigned char *bytes) {
    return (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[3] << 24;
}

// llm.c's header: magic, version, number of tokens, zeros to 256 words.
static RuntimeStatus read_header(TokenFile *file, int64_t bytes, Diags *diags) {
    unsigned char header[HEADER_WORDS * 4];
    if (bytes < (int64_t)sizeof header) return RUNTIME_OK;
    if (!file_read_at(file->file, file->path, header, sizeof header, 0, diags)) return RUNTIME_IO;
    uint32_t magic = word_at(header), version = word_at(header + 4);
    if (magic != MAGIC_16 && magic != MAGIC_32) return RUNTIME_OK;
    if (version != (magic == MAGIC_16 ? VERSION_16 : VERSION_32)) {
        diag_error(diags, (Place){0}, "%s: token file with magic %u and unknown version %u", file->path, magic,
                   version);
        return RUNTIME_BAD_FILE;
    }
    file->token_bytes = magic == MAGIC_16 ? 2 : 4;
    file->start = sizeof header;
    file->count = word_at(header + 8);
    if ((bytes - file->start) / file->token_bytes == file->count && (bytes - file->start) % file->token_bytes == 0)
        return RUNTIME_OK;
    diag_error(diags, (Place){0}, "%s: its header promises %lld tokens, but %lld bytes follow it", file->path,
               (long long)file->count, (long long)(bytes - file->start));
    return RUNTIME_BAD_FILE;
}

static RuntimeStatus measure(TokenFile *file, int64_t bytes, Diags *diags) {
    RuntimeStatus status = read_header(file, bytes, diags);
    if (status != RUNTIME_OK || file->start > 0) return status;
    if (bytes % file->token_bytes != 0) {
        diag_error(diags, (Place){0}, "%s: %lld bytes are not a whole number of %d-byte tokens", file->path,
                   (long long)bytes, file->token_bytes);
        return RUNTIME_BAD_FILE;
    }
    file->count = bytes / file->token_bytes;
    return RUNTIME_OK;
}

static void close_tokens(void *file) {
    token_file_close(file);
}

RuntimeStatus token_file_open(const char *path, int token_bytes, TokenFile **result, Diags *diags) {
    CHECK(token_bytes == 2 || token_bytes == 4);
    int64_t bytes;
    TokenFile *file = memory_allocate(sizeof *file);
    file->path = memory_allocate(strlen(path) + 1);
    strcpy(file->path, path);
    file->token_bytes = token_bytes;
    RuntimeStatus status = input_open(path, &file->file, &bytes, diags);
    memory_own(&file->owned, close_tokens, file);
    if (status == RUNTIME_OK) status = measure(file, bytes, diags);
    if (status == RUNTIME_OK && file->count == 0) {
        diag_error(diags, (Place){0}, "%s: has no tokens", path);
        status = RUNTIME_BAD_FILE;
    }
    if (status == RUNTIME_OK)
        *result = file;
    else
        token_file_close(file);
    return status;
}

void token_file_close(TokenFile *file) {
    if (!file) return;
    memory_disown(&file->owned);
    if (file->file >= 0) file_table.close(file->file);
    memory_release(file->path);
    memory_release(file);
}

int64_t token_file_count(const TokenFile *file) {
    return file->count;
}

const char *token_file_path(const TokenFile *file) {
    return file->path;
}

// ---- batches

RuntimeStatus batch_check(const BatchSource *source, Diags *diags) {
    size_t needed = (size_t)source->columns;
    if (source->order == ORDER_SEQUENTIAL) CHECK(size_multiply(needed, (size_t)source->rows, &needed));
    CHECK(size_add(needed, 1, &needed));
    if ((uint64_t)source->file->count >= needed) return RUNTIME_OK;
    diag_error(diags, (Place){0}, "%s: %lld tokens, too short for one batch, which needs %zu", source->file->path,
               (long long)source->file->count, needed);
    return RUNTIME_BAD_FILE;
}

static int64_t row_position(const BatchSource *source, int64_t draw, int64_t row) {
    static const char *const streams[] = {"train", "estimate.train", "estimate.validation"};
    if (source->order == ORDER_SEQUENTIAL) return (draw * source->rows + row) * source->columns;
    uint64_t key = random_key(source->seed, streams[source->stream]);
    uint64_t bits = random_bits(key, (uint64_t)draw * (uint64_t)source->rows + (uint64_t)row);
    return (int64_t)random_below(bits, (uint64_t)(source->file->count - source->columns));
}

static uint32_t token_at(const TokenFile *file, const unsigned char *row, int64_t i) {
    const unsigned char *bytes = row + i * file->token_bytes;
    return file->token_bytes == 2 ? (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 : word_at(bytes);
}

// `row` holds columns + 1 tokens: the inputs, and the same one later.
static RuntimeStatus spread_row(const BatchSource *source, const unsigned char *row, int64_t position, int32_t *tokens,
                                int32_t *targets, Diags *diags) {
    int64_t limit = source->vocab_size > 0 ? source->vocab_size : INT32_MAX;
    for (int64_t i = 0; i <= source->columns; i++) {
        uint32_t token = token_at(source->file, row, i);
        if (token >= limit) {
            diag_error(diags, (Place){0}, "%s: token %u at position %lld, but vocab_size is %lld", source->file->path,
                       token, (long long)(position + i), (long long)limit);
            return RUNTIME_BAD_FILE;
        }
        if (i < source->columns) tokens[i] = (int32_t)token;
        if (i > 0) targets[i - 1] = (int32_t)token;
    }
    return RUNTIME_OK;
}

static bool is_past_end(const BatchSource *source, int64_t draw) {
    size_t batch, end;
    return source->order == ORDER_SEQUENTIAL &&
           (!size_multiply((size_t)source->rows, (size_t)source->columns, &batch) ||
            !size_multiply((size_t)draw + 1, batch, &end) || end >= (size_t)source->file->count);
}

// The file is read by pread and never mapped: when somebody shortens it, that is a message and no signal.
static RuntimeStatus read_row(const TokenFile *file, unsigned char *bytes, size_t count, int64_t offset, Diags *diags) {
    int64_t size;
    if (file_table.size(file->file, &size) == 0 && size < offset + (int64_t)count) {
        diag_error(diags, (Place){0}, "%s: became shorter while it was read: %lld bytes, and had %lld tokens",
                   file->path, (long long)size, (long long)file->count);
        return RUNTIME_IO;
    }
    return file_read_at(file->file, file->path, bytes, count, offset, diags) ? RUNTIME_OK : RUNTIME_IO;
}

RuntimeStatus batch_read(const BatchSource *source, int64_t draw, int32_t *tokens, int32_t *targets, Diags *diags) {
    if (is_past_end(source, draw)) {
        diag_error(diags, (Place){0},
                   "%s: batch %lld of %lld x %lld tokens lies beyond its %lld tokens (data_order=sequential)",
                   source->file->path, (long long)draw, (long long)source->rows, (long long)source->columns,
                   (long long)source->file->count);
        return RUNTIME_BAD_FILE;
    }
    const TokenFile *file = source->file;
    size_t row_bytes = ((size_t)source->columns + 1) * (size_t)file->token_bytes;
    unsigned char *bytes = memory_allocate(row_bytes);
    RuntimeStatus status = RUNTIME_OK;
    for (int64_t row = 0; row < source->rows && status == RUNTIME_OK; row++) {
        int64_t position = row_position(source, draw, row), first = row * source->columns;
        int64_t offset = file->start + position * file->token_bytes;
        status = read_row(file, bytes, row_bytes, offset, diags);
        if (status == RUNTIME_OK) status = spread_row(source, bytes, position, tokens + first, targets + first, diags);
    }
    memory_release(bytes);
    return status;
}
