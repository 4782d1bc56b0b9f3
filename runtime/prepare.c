#include "runtime/prepare.h"

#include <string.h>

#include "base/file.h"
#include "base/size.h"
#include "runtime/input.h"
#include "runtime/vocabulary.h"

enum { TEXT_LIMIT = INT32_MAX, LARGEST_VOCABULARY = 65536 };

// All texts, one after the other. A single one is not copied.
static RuntimeStatus read_texts(Arena *arena, const char *const *paths, int count, char **text, size_t *length,
                                Diags *diags) {
    *length = 0;
    *text = NULL;
    for (int i = 0; i < count; i++) {
        char *part;
        size_t part_length;
        RuntimeStatus status = input_read_all(arena, paths[i], TEXT_LIMIT, &part, &part_length, diags);
        if (status != RUNTIME_OK) return status;
        char *joined = i == 0 ? part : arena_alloc(arena, *length + part_length + 1);
        if (i > 0) {
            memcpy(joined, *text, *length);
            memcpy(joined + *length, part, part_length);
        }
        *text = joined;
        *length += part_length;
    }
    return RUNTIME_OK;
}

static RuntimeStatus write_tokens(Arena *arena, const char *path, const int32_t *tokens, size_t count, Diags *diags) {
    unsigned char *bytes = arena_alloc(arena, count * 2);
    for (size_t i = 0; i < count; i++) {
        bytes[2 * i] = (unsigned char)tokens[i];
        bytes[2 * i + 1] = (unsigned char)(tokens[i] >> 8);
    }
    FileWriter *writer = file_writer_open(arena, path, diags);
    if (!writer) return RUNTIME_IO;
    if (file_writer_write(writer, bytes, count * 2, diags) && file_writer_commit(writer, diags)) return RUNTIME_OK;
    file_writer_abandon(writer);
    return RUNTIME_IO;
}

static RuntimeStatus write_folder(Arena *arena, const char *folder, const Vocabulary *vocabulary, const int32_t *tokens,
                                  const PrepareResult *result, Diags *diags) {
    if (!file_make_directories(folder, diags)) return RUNTIME_IO;
    const char *train = arena_format(arena, "%s/train.bin", folder),
               *meta = arena_format(arena, "%s/meta.json", folder);
    const char *validation = arena_format(arena, "%s/val.bin", folder);
    size_t split = (size_t)result->train_tokens;
    RuntimeStatus status = write_tokens(arena, train, tokens, split, diags);
    if (status == RUNTIME_OK)
        status = write_tokens(arena, validation, tokens + split, (size_t)result->validation_tokens, diags);
    return status == RUNTIME_OK ? vocabulary_save(arena, vocabulary, meta, diags) : status;
}

static RuntimeStatus prepare_in(Arena *arena, const char *const *texts, int count, const char *folder,
                                PrepareResult *result, Diags *diags) {
    char *text;
    size_t length, characters;
    Vocabulary *vocabulary;
    const char *name = count == 1 ? texts[0] : "the texts, joined";
    RuntimeStatus status = read_texts(arena, texts, count, &text, &length, diags);
    if (status == RUNTIME_OK) status = vocabulary_build(arena, name, text, length, &vocabulary, diags);
    if (status != RUNTIME_OK) return status;
    if (vocabulary->size > LARGEST_VOCABULARY) {
        diag_error(diags, (Place){0}, "%s: %d different characters, more than 16-bit tokens can tell apart", name,
                   vocabulary->size);
        return RUNTIME_BAD_FILE;
    }
    int32_t *tokens = ARENA_ARRAY(arena, int32_t, length);
    status = vocabulary_encode(vocabulary, name, text, length, tokens, &characters, diags);
    if (status != RUNTIME_OK) return status;
    if (characters < 2) {
        diag_error(diags, (Place){0}, "%s: too little text to split", name);
        return RUNTIME_BAD_FILE;
    }
    int64_t train = (int64_t)((double)characters * 0.9); // as nanoGPT: int(n * 0.9)
    *result = (PrepareResult){(int64_t)characters, train, (int64_t)characters - train, vocabulary->size};
    return write_folder(arena, folder, vocabulary, tokens, result, diags);
}

RuntimeStatus prepare_run(const char *const *texts, int count, const char *folder, PrepareResult *result,
                          Diags *diags) {
    Arena *arena = arena_create();
    RuntimeStatus status = prepare_in(arena, texts, count, folder, result, diags);
    arena_free(arena);
    return status;
}
