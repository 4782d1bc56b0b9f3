// Writing safetensors: the header is known before the first element, so data streams through.
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/size.h"
#include "runtime/tensor_file.h"
#include "runtime/utf8.h"

enum { ALIGNMENT = 8, LENGTH_BYTES = 8, ELEMENT_BYTES = 4 };

struct TensorWriter {
    Arena *arena;
    const char *path;
    FileWriter *file;
    json_t *header;
    size_t data_bytes, written; // of the elements
};

// jansson returns NULL or -1 only when memory runs out.
static json_t *require(json_t *value) {
    if (!value) memory_exhausted(0);
    return value;
}

static void set_new(json_t *object, const char *key, json_t *value) {
    if (json_object_set_new(object, key, require(value)) != 0) BUG("'%s' is not a name that JSON can hold", key);
}

// JSON holds UTF-8 only; bytes that are not (in a path, in a comment of a spec) become question marks.
static const char *clean_text(Arena *arena, const char *text) {
    char *copy = arena_copy(arena, text);
    size_t length = strlen(copy);
    uint32_t character;
    for (size_t at = 0; at < length;) {
        int bytes = utf8_decode(copy + at, length - at, &character);
        if (bytes == 0) copy[at] = '?';
        at += bytes > 0 ? (size_t)bytes : 1;
    }
    return copy;
}

TensorWriter *tensor_writer_create(Arena *arena, const char *path) {
    TensorWriter *writer = ARENA_NEW(arena, TensorWriter);
    writer->arena = arena;
    writer->path = arena_copy(arena, path);
    writer->header = require(json_object());
    return writer;
}

void tensor_writer_metadata(TensorWriter *writer, const char *key, const char *value) {
    json_t *map = json_object_get(writer->header, "__metadata__");
    if (!map) {
        map = require(json_object());
        set_new(writer->header, "__metadata__", map);
    }
    set_new(map, key, json_string(clean_text(writer->arena, value)));
}

void tensor_writer_add(TensorWriter *writer, const char *name, int rank, const int64_t *extents) {
    CHECK(!json_object_get(writer->header, name));
    json_t *shape = require(json_array());
    size_t bytes = ELEMENT_BYTES, begin = writer->data_bytes;
    for (int d = 0; d < rank; d++) {
        CHECK(size_multiply(bytes, (size_t)extents[d], &bytes));
        json_array_append_new(shape, require(json_integer(extents[d])));
    }
    CHECK(size_add(begin, bytes, &writer->data_bytes));
    json_t *entry = require(json_object());
    set_new(entry, "dtype", json_string("F32"));
    set_new(entry, "shape", shape);
    set_new(entry, "data_offsets", json_pack("[I,I]", (json_int_t)begin, (json_int_t)writer->data_bytes));
    set_new(writer->header, name, entry);
}

RuntimeStatus tensor_writer_begin(TensorWriter *writer, Diags *diags) {
    char *text = json_dumps(writer->header, JSON_COMPACT);
    if (!text) memory_exhausted(0);
    size_t length = strlen(text), padded;
    CHECK(size_align_up(length, ALIGNMENT, &padded));
    char *bytes = arena_alloc(writer->arena, LENGTH_BYTES + padded);
    for (int i = 0; i < LENGTH_BYTES; i++)
        bytes[i] = (char)(padded >> 8 * i);
    memset(bytes + LENGTH_BYTES, ' ', padded);
    memcpy(bytes + LENGTH_BYTES, text, length);
    free(text);
    json_decref(writer->header);
    writer->header = NULL;
    writer->file = file_writer_open(writer->arena, writer->path, diags);
    if (!writer->file) return RUNTIME_IO;
    return file_writer_write(writer->file, bytes, LENGTH_BYTES + padded, diags) ? RUNTIME_OK : RUNTIME_IO;
}

RuntimeStatus tensor_writer_data(TensorWriter *writer, const float *values, size_t count, Diags *diags) {
    writer->written += count * ELEMENT_BYTES;
    CHECK(writer->written <= writer->data_bytes);
    return file_writer_write(writer->file, values, count * ELEMENT_BYTES, diags) ? RUNTIME_OK : RUNTIME_IO;
}

RuntimeStatus tensor_writer_commit(TensorWriter *writer, Diags *diags) {
    CHECK(writer->written == writer->data_bytes);
    return file_writer_commit(writer->file, diags) ? RUNTIME_OK : RUNTIME_IO;
}

void tensor_writer_abandon(TensorWriter *writer) {
    json_decref(writer->header); // NULL is allowed
    writer->header = NULL;
    if (writer->file) file_writer_abandon(writer->file);
}
