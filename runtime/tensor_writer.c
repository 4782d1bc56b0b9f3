// Writing safetensors: the header is known before the first element, so data streams through. Only the hashes are not:
// their place in the header holds zeros until commit (tensor_hashes.h).
#include <jansson.h>
#include <string.h>

#include "base/file.h"
#include "base/hash.h"
#include "base/size.h"
#include "base/text.h"
#include "runtime/tensor_file.h"
#include "runtime/tensor_hashes.h"
#include "runtime/utf8.h"

enum { ALIGNMENT = 8, LENGTH_BYTES = 8, ELEMENT_BYTES = 4 };

struct TensorWriter {
    MemoryOwned owned;
    Arena *arena;
    const char *path;
    FileWriter *file;
    json_t *header;
    size_t data_bytes, written; // of the elements
    size_t *ends;               // by tensor: where its data end
    uint64_t *hashes;           // of the header, then by tensor
    size_t count, capacity, hashed;
    int64_t hashes_at;          // in the file
    Hash *hash;                 // of the tensor that is being written
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
    writer->ends = arena_grow(writer->arena, writer->ends, &writer->capacity, writer->count + 1, sizeof *writer->ends);
    writer->ends[writer->count++] = writer->data_bytes;
    json_t *offsets = set_new(entry, "data_offsets", json_array());
    append_integer(offsets, (int64_t)begin);
    append_integer(offsets, (int64_t)writer->data_bytes);
}

// The header's bytes, behind its length; *hashes: where in it the hashes are to be.
static char *render_header(TensorWriter *writer, size_t *padded, size_t *hashes) {
    tensor_writer_metadata(writer, TENSOR_HASHES, hashes_blank(writer->arena, writer->count));
    size_t length = json_dumpb(writer->header, NULL, 0, JSON_COMPACT);
    if (length == 0) memory_exhausted(0);
    CHECK(size_align_up(length, ALIGNMENT, padded));
    char *bytes = arena_alloc(writer->arena, LENGTH_BYTES + *padded);
    for (int i = 0; i < LENGTH_BYTES; i++)
        bytes[i] = (char)(*padded >> 8 * i);
    memset(bytes + LENGTH_BYTES, ' ', *padded);
    if (json_dumpb(writer->header, bytes + LENGTH_BYTES, length, JSON_COMPACT) != length) memory_exhausted(0);
    json_decref(writer->header);
    writer->header = NULL;
    CHECK(hashes_find(bytes + LENGTH_BYTES, *padded, writer->count, hashes));
    return bytes;
}

RuntimeStatus tensor_writer_begin(TensorWriter *writer, Diags *diags) {
    size_t length, hashes;
    char *bytes = render_header(writer, &length, &hashes);
    writer->hashes = ARENA_ARRAY(writer->arena, uint64_t, writer->count + 1);
    writer->hashes[0] = hash_bytes(bytes + LENGTH_BYTES, length);
    writer->hashes_at = (int64_t)(LENGTH_BYTES + hashes);
    writer->hash = hash_create();
    writer->file = file_writer_open(writer->arena, writer->path, diags);
    if (!writer->file) return RUNTIME_IO;
    return file_writer_write(writer->file, bytes, LENGTH_BYTES + length, diags) ? RUNTIME_OK : RUNTIME_IO;
}

// Ends the tensors that are complete.
static void end_tensors(TensorWriter *writer) {
    while (writer->hashed < writer->count && writer->ends[writer->hashed] == writer->written) {
        writer->hashes[++writer->hashed] = hash_value(writer->hash);
        hash_reset(writer->hash);
    }
}

RuntimeStatus tensor_writer_data(TensorWriter *writer, const float *values, size_t count, Diags *diags) {
    const char *bytes = (const char *)values;
    CHECK(count * ELEMENT_BYTES <= writer->data_bytes - writer->written);
    for (size_t left = count * ELEMENT_BYTES; left > 0;) {
        end_tensors(writer);
        size_t part = writer->ends[writer->hashed] - writer->written;
        if (part > left) part = left;
        hash_add(writer->hash, bytes, part);
        writer->written += part;
        bytes += part;
        left -= part;
    }
    return file_writer_write(writer->file, values, count * ELEMENT_BYTES, diags) ? RUNTIME_OK : RUNTIME_IO;
}

static void forget_hash(TensorWriter *writer) {
    hash_free(writer->hash);
    writer->hash = NULL;
}

RuntimeStatus tensor_writer_commit(TensorWriter *writer, Diags *diags) {
    CHECK(writer->written == writer->data_bytes);
    memory_disown(&writer->owned);
    end_tensors(writer);
    CHECK(writer->hashed == writer->count);
    const char *hashes = hashes_print(writer->arena, writer->hashes, writer->count);
    if (!file_writer_patch(writer->file, hashes, strlen(hashes), writer->hashes_at, diags)) return RUNTIME_IO;
    forget_hash(writer);
    return file_writer_commit(writer->file, diags) ? RUNTIME_OK : RUNTIME_IO;
}

void tensor_writer_abandon(TensorWriter *writer) {
    memory_disown(&writer->owned);
    json_decref(writer->header); // NULL is allowed
    writer->header = NULL;
    forget_hash(writer);
    if (writer->file) file_writer_abandon(writer->file);
}
