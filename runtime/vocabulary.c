#include "runtime/vocabulary.h"

#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "runtime/input.h"
#include "runtime/json_text.h"
#include "runtime/pickle.h"

enum { META_LIMIT = 8 << 20 };

// ---- making and using

typedef struct {
    uint32_t character;
    int32_t token;
} Pair;

static int compare_pairs(const void *left, const void *right) {
    uint32_t a = ((const Pair *)left)->character, b = ((const Pair *)right)->character;
    return (a > b) - (a < b);
}

bool vocabulary_create(Arena *arena, const uint32_t *characters, int32_t size, Vocabulary **result) {
    Vocabulary *vocabulary = ARENA_NEW(arena, Vocabulary);
    Pair *pairs = ARENA_ARRAY(arena, Pair, (size_t)size);
    vocabulary->size = size;
    vocabulary->characters = ARENA_ARRAY(arena, uint32_t, (size_t)size);
    vocabulary->sorted = ARENA_ARRAY(arena, int32_t, (size_t)size);
    for (int32_t i = 0; i < size; i++) {
        vocabulary->characters[i] = characters[i];
        pairs[i] = (Pair){characters[i], i};
    }
    qsort(pairs, (size_t)size, sizeof *pairs, compare_pairs);
    for (int32_t i = 0; i < size; i++) {
        if (i > 0 && pairs[i].character == pairs[i - 1].character) return false;
        vocabulary->sorted[i] = pairs[i].token;
    }
    *result = vocabulary;
    return true;
}

static RuntimeStatus refuse_byte(const char *path, size_t at, Diags *diags) {
    diag_error(diags, (Place){0}, "%s: byte %zu is not valid UTF-8", path, at);
    return RUNTIME_BAD_FILE;
}

RuntimeStatus vocabulary_build(Arena *arena, const char *path, const char *text, size_t length, Vocabulary **vocabulary,
                               Diags *diags) {
    bool *seen = ARENA_ARRAY(arena, bool, UTF8_LAST + 1);
    int32_t size = 0;
    uint32_t character;
    for (size_t at = 0; at < length;) {
        int bytes = utf8_read(text + at, length - at, &character);
        if (bytes == 0) return refuse_byte(path, at, diags);
        size += !seen[character];
        seen[character] = true;
        at += (size_t)bytes;
    }
    uint32_t *characters = ARENA_ARRAY(arena, uint32_t, (size_t)size);
    for (uint32_t c = 0, next = 0; c <= UTF8_LAST; c++)
        if (seen[c]) characters[next++] = c;
    CHECK(vocabulary_create(arena, characters, size, vocabulary));
    return RUNTIME_OK;
}

static int32_t find_token(const Vocabulary *vocabulary, uint32_t character) {
    int32_t first = 0, last = vocabulary->size;
    while (first < last) {
        int32_t middle = first + (last - first) / 2, token = vocabulary->sorted[middle];
        if (vocabulary->characters[token] == character) return token;
        if (vocabulary->characters[token] < character)
            first = middle + 1;
        else
            last = middle;
    }
    return -1;
}

RuntimeStatus vocabulary_encode(const Vocabulary *vocabulary, const char *path, const char *text, size_t length,
                                int32_t *tokens, size_t *count, Diags *diags) {
    size_t put = 0;
    for (size_t at = 0; at < length;) {
        uint32_t character;
        int bytes = utf8_read(text + at, length - at, &character);
        if (bytes == 0) return refuse_byte(path, at, diags);
        int32_t token = find_token(vocabulary, character);
        if (token < 0) {
            diag_error(diags, (Place){0}, "%s: character U+%04X at byte %zu is not in the vocabulary", path, character,
                       at);
            return RUNTIME_BAD_FILE;
        }
        tokens[put++] = token;
        at += (size_t)bytes;
    }
    *count = put;
    return RUNTIME_OK;
}

void vocabulary_decode(const Vocabulary *vocabulary, int32_t token, Text *out) {
    enum { REPLACEMENT = 0xFFFD };
    char bytes[4];
    bool known = token >= 0 && token < vocabulary->size;
    int count = utf8_write(known ? vocabulary->characters[token] : REPLACEMENT, bytes);
    text_append_bytes(out, bytes, (size_t)count);
}

// ---- files

static RuntimeStatus write_file(Arena *arena, const char *path, const char *bytes, size_t length, Diags *diags) {
    FileWriter *writer = file_writer_open(arena, path, diags);
    if (!writer) return RUNTIME_IO;
    if (file_writer_write(writer, bytes, length, diags) && file_writer_commit(writer, diags)) return RUNTIME_OK;
    file_writer_abandon(writer);
    return RUNTIME_IO;
}

RuntimeStatus vocabulary_save(Arena *arena, const Vocabulary *vocabulary, const char *path, Diags *diags) {
    json_t *list = json_array(), *root = json_object();
    bool made = json_object_set_new(root, "vocab_size", json_integer(vocabulary->size)) == 0 &&
                json_object_set(root, "itos", list) == 0;
    for (int32_t i = 0; i < vocabulary->size; i++) {
        char bytes[4];
        int count = utf8_write(vocabulary->characters[i], bytes);
        made = json_array_append_new(list, json_stringn(bytes, (size_t)count)) == 0 && made;
    }
    char *text = made ? json_dumps(root, JSON_INDENT(1)) : NULL;
    json_decref(list);
    json_decref(root);
    if (!text) memory_exhausted(0);
    RuntimeStatus status = write_file(arena, path, text, strlen(text), diags);
    free(text);
    return status;
}

static bool read_json(Arena *arena, const char *path, const json_t *root, Vocabulary **vocabulary, int64_t *vocab_size,
                      Diags *diags) {
    const json_t *size = json_object_get(root, "vocab_size"), *list = json_object_get(root, "itos");
    *vocab_size = json_integer_value(size);
    if (!json_is_integer(size) || *vocab_size < 1 || *vocab_size > INT32_MAX)
        return diag_error(diags, (Place){0}, "%s: needs \"vocab_size\", a number from 1 to %d", path, INT32_MAX);
    if (!list) return true;
    if (!json_is_array(list) || json_array_size(list) != (size_t)*vocab_size)
        return diag_error(diags, (Place){0}, "%s: \"itos\" must be a list of vocab_size = %lld characters", path,
                          (long long)*vocab_size);
    uint32_t *characters = ARENA_ARRAY(arena, uint32_t, (size_t)*vocab_size);
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *entry = json_array_get(list, i);
        size_t length = json_string_length(entry);
        if (length == 0 || utf8_read(json_string_value(entry), length, &characters[i]) != (int)length)
            return diag_error(diags, (Place){0}, "%s: entry %zu of \"itos\" is not one character", path, i);
    }
    return vocabulary_create(arena, characters, (int32_t)*vocab_size, vocabulary) ||
           diag_error(diags, (Place){0}, "%s: a character appears twice in \"itos\"", path);
}

static bool ends_with(const char *text, const char *end) {
    size_t length = strlen(text), tail = strlen(end);
    return length >= tail && strcmp(text + length - tail, end) == 0;
}

RuntimeStatus vocabulary_load(Arena *arena, const char *path, Vocabulary **vocabulary, int64_t *vocab_size,
                              Diags *diags) {
    char *contents;
    size_t length;
    *vocabulary = NULL;
    RuntimeStatus status = input_read_all(arena, path, META_LIMIT, &contents, &length, diags);
    if (status != RUNTIME_OK) return status;
    if (ends_with(path, ".pkl"))
        return pickle_read_meta(arena, path, (const unsigned char *)contents, length, vocabulary, vocab_size, diags);
    json_error_t error;
    JsonText text;
    if (!json_text_read(&text, contents, length, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &error)) {
        diag_error(diags,
                   (Place){path, contents, (uint32_t)error.line, (uint32_t)(error.column > 0 ? error.column : 1)}, "%s",
                   error.text);
        return RUNTIME_BAD_FILE;
    }
    bool sound = read_json(arena, path, text.root, vocabulary, vocab_size, diags);
    json_text_free(&text);
    return sound ? RUNTIME_OK : RUNTIME_BAD_FILE;
}

const char *vocabulary_find(Arena *arena, const char *token_path) {
    static const char *const names[] = {"meta.json", "meta.pkl"};
    const char *slash = strrchr(token_path, '/');
    int folder = slash ? (int)(slash - token_path) + 1 : 0;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        const char *path = arena_format(arena, "%.*s%s", folder, token_path, names[i]);
        if (file_exists(path)) return path;
    }
    return NULL;
}
