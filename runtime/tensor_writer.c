// Writing safetensors: the header is known before the first element, so data streams through.
#include <jansson.h>
#include <string.h>

#include "base/file.h"
#include "base/size.h"
#include "base/text.h"
#include "runtime/tensor_file.h"
#include "runtime/utf8.h"

enum { ALIGNMENT = 8, LENGTH_BYTES = 8, ELEMENT_BYTES = 4 };

struct TensorWriter {
    MemoryOwned owned;
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

// A new value is hung into the header before it is filled, so that nothing is lost when memory runs out.
static json_t *set_new(json_t *object, const char *key, json_t *value) {
    if (json_object_set_new(object, key, require(value)) != 0) memory_exhausted(0);
    return value;
}

static void append_integer(json_t *array, int64_t value) {
    if (json_array_append_new(array, require(json_integer(value))) != 0) memory_exhausted(0);
}

// JSON holds UTF-8 only; bytes that are not (in a path, in a comment of a spec) become question marks.
static const char *clean_text(Arena *arena, const char *text) {
    char *copy = arena_copy(arena, text);
    size_t length = strlen(copy);
    uint32_t character;
    for (size_t at = 0; at < length;) {
        int bytes = utf8_read(copy + at, length - at, &character);
        if (bytes == 0) copy[at] = '?';
        at += bytes > 0 ? (size_t)bytes : 1;
    }
    return copy;
}

static void abandon(void *writer) {
    tensor_writer_abandon(writer);
}

TensorWriter *tensor_writer_create(Arena *arena, const char *path) {
    TensorWriter *writer = ARENA_NEW(arena, TensorWriter);
    writer->arena = arena;
    writer->path = arena_copy(arena, path);
    writer->header = require(json_object());
    memory_own(&writer->owned, abandon, writer);
    return writer;
}

void tensor_writer_metadata(TensorWriter *writer, const char *key, const char *value) {
    json_t *map = json_object_get(writer->header, "__metadata__");
    if (!map) map = set_new(writer->header, "__metadata__", json_object());
    set_new(map, key, json_string(clean_text(writer->arena, value)));
}

void tensor_writer_add(TensorWriter *writer, const char *name, int rank, const int64_t *extents) {
    CHECK(!json_object_get(writer->header, name));
    if (!text_equal(clean_text(writer->arena, name), name)) BUG("'%s' is not a name that JSON can hold", name);
    json_t *entry = set_new(writer->header, name, json_object());
    set_new(entry, "dtype", json_string("F32"));
    json_t *shape = set_new(entry, "shape", json_array());
    size_t bytes = ELEMENT_BYTES, begin = writer->data_bytes;
    for (int d = 0; d < rank; d++) {
        CHECK(size_multiply(bytes, (size_t)extents[d], &bytes));
        append_integer(shape, extents[d]);
    }
    CHECK(size_add(begin, bytes, &writer->data_bytes));
    json_t *offsets = set_new(entry, "data_offsets", json_array());
    append_integer(offsets, (int64_t)begin);
    append_integer(offsets, (int64_t)writer->data_bytes);
}

RuntimeStatus tensor_writer_begin(TensorWriter *writer, Diags *diags) {
    size_t length = json_dumpb(writer->header, NULL, 0, JSON_COMPACT), padded;
    if (length == 0) memory_exhausted(0);
    CHECK(size_align_up(length, ALIGNMENT, &padded));
    char *bytes = arena_alloc(writer->arena, LENGTH_BYTES + padded);
    for (int i = 0; i < LENGTH_BYTES; i++)
        bytes[i] = (char)(padded >> 8 * i);
    memset(bytes + LENGTH_BYTES, ' ', padded);
    if (json_dumpb(writer->header, bytes + LENGTH_BYTES, length, JSON_COMPACT) != length) memory_exhausted(0);
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
    memory_disown(&writer->owned);
    return file_writer_commit(writer->file, diags) ? RUNTIME_OK : RUNTIME_IO;
}

void tensor_writer_abandon(TensorWriter *writer) {
    memory_disown(&writer->owned);
    json_decref(writer->header); // NULL is allowed
    writer->header = NULL;
    if (writer->file) file_writer_abandon(writer->file);
}
