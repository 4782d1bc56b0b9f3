// Reading safetensors. The header is the only thing parsed; every number in it is checked before it is used.
#include "runtime/tensor_file.h"

#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/half.h"
#include "base/hash.h"
#include "base/size.h"
#include "runtime/input.h"
#include "runtime/json_text.h"
#include "runtime/tensor_hashes.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "files are little endian and read as they are");

enum { HEADER_LIMIT = 100000000, LENGTH_BYTES = 8, SHOWN_NAME = 80, CHUNK_ELEMENTS = 16384, CHUNK_BYTES = 1 << 20 };

struct TensorFile {
    MemoryOwned owned;
    char *path;
    int file;
    size_t data_start, data_bytes;
    size_t count, metadata_count;
    TensorEntry *entries; // by begin
    TensorMetadata *metadata;
    uint64_t *hashes;     // of the header, then by entry; NULL: the file has none
};

typedef struct {
    Arena *arena;
    TensorFile *file;
    Diags *diags;
} Reader;

static const struct {
    const char *name;
    size_t bytes;
} element_types[] = {{"F32", 4}, {"BF16", 2}, {"F16", 2},     {"F64", 8},     {"BOOL", 1},   {"U8", 1},
                     {"I8", 1},  {"I16", 2},  {"U16", 2},     {"I32", 4},     {"U32", 4},    {"I64", 8},
                     {"U64", 8}, {"C64", 8},  {"F8_E4M3", 1}, {"F8_E5M2", 1}, {"F8_E8M0", 1}};

static size_t element_bytes(const char *type) {
    for (size_t i = 0; i < sizeof element_types / sizeof element_types[0]; i++)
        if (strcmp(type, element_types[i].name) == 0) return element_types[i].bytes;
    return 0;
}

#define REFUSE(reader, ...)                                                                                            \
    diag_error((reader)->diags, (Place){0}, "%s: %s", (reader)->file->path, arena_format((reader)->arena, __VA_ARGS__))

// Names come from the file: shown without control characters and not longer than a line.
static const char *shown(Arena *arena, const char *name) {
    size_t length = strlen(name);
    char *copy = arena_copy_range(arena, name, length < SHOWN_NAME ? length : SHOWN_NAME);
    for (char *c = copy; *c; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f) *c = '?';
    return copy;
}

// A count, extent or offset: an integer >= 0 (JSON integers beyond 64 bits are refused by the parser).
static bool read_size(const json_t *value, size_t *result) {
    if (!json_is_integer(value) || json_integer_value(value) < 0) return false;
    *result = (size_t)json_integer_value(value);
    return true;
}

static bool read_shape(Reader *reader, const json_t *shape, TensorEntry *entry) {
    const char *name = shown(reader->arena, entry->name);
    if (!json_is_array(shape)) return REFUSE(reader, "tensor '%s': 'shape' must be a list", name);
    if (json_array_size(shape) > TENSOR_MAX_RANK)
        return REFUSE(reader, "tensor '%s': %zu dimensions, at most %d are supported", name, json_array_size(shape),
                      TENSOR_MAX_RANK);
    entry->rank = (int)json_array_size(shape);
    entry->elements = 1;
    for (int d = 0; d < entry->rank; d++) {
        size_t extent;
        if (!read_size(json_array_get(shape, (size_t)d), &extent))
            return REFUSE(reader, "tensor '%s': extent %d of 'shape' must be an integer >= 0", name, d);
        if (!size_multiply(entry->elements, extent, &entry->elements))
            return REFUSE(reader, "tensor '%s': the product of 'shape' overflows", name);
        entry->extents[d] = (int64_t)extent;
    }
    return true;
}

static bool read_range(Reader *reader, const json_t *offsets, TensorEntry *entry) {
    const char *name = shown(reader->arena, entry->name);
    size_t end, wanted;
    if (!json_is_array(offsets) || json_array_size(offsets) != 2 ||
        !read_size(json_array_get(offsets, 0), &entry->begin) || !read_size(json_array_get(offsets, 1), &end))
        return REFUSE(reader, "tensor '%s': 'data_offsets' must be two integers >= 0", name);
    if (end < entry->begin)
        return REFUSE(reader, "tensor '%s': data_offsets end at %zu, before their begin %zu", name, end, entry->begin);
    if (end > reader->file->data_bytes)
        return REFUSE(reader, "tensor '%s': data_offsets end at %zu, but there are only %zu bytes of data", name, end,
                      reader->file->data_bytes);
    entry->bytes = end - entry->begin;
    if (!size_multiply(entry->elements, element_bytes(entry->type), &wanted))
        return REFUSE(reader, "tensor '%s': the bytes of 'shape' as %s overflow", name, entry->type);
    if (wanted != entry->bytes)
        return REFUSE(reader, "tensor '%s': shape and dtype %s make %zu bytes and do not fit its %zu bytes", name,
                      entry->type, wanted, entry->bytes);
    return true;
}

static bool read_entry(Reader *reader, const char *name, const json_t *value, TensorEntry *entry) {
    entry->name = arena_copy(reader->arena, name);
    name = shown(reader->arena, name);
    if (!*entry->name) return REFUSE(reader, "a tensor without a name");
    if (!json_is_object(value)) return REFUSE(reader, "tensor '%s': its description must be an object", name);
    const json_t *type = json_object_get(value, "dtype");
    const json_t *shape = json_object_get(value, "shape"), *offsets = json_object_get(value, "data_offsets");
    if (!type || !shape || !offsets)
        return REFUSE(reader, "tensor '%s': '%s' is missing", name,
                      !type ? "dtype" : !shape ? "shape" : "data_offsets");
    if (json_object_size(value) != 3)
        return REFUSE(reader, "tensor '%s': needs exactly 'dtype', 'shape' and 'data_offsets', and has %zu keys", name,
                      json_object_size(value));
    if (!json_is_string(type)) return REFUSE(reader, "tensor '%s': 'dtype' must be a string", name);
    entry->type = arena_copy(reader->arena, json_string_value(type));
    if (element_bytes(entry->type) == 0)
        return REFUSE(reader, "tensor '%s': unknown dtype '%s'", name, shown(reader->arena, entry->type));
    return read_shape(reader, shape, entry) && read_range(reader, offsets, entry);
}

static bool read_metadata(Reader *reader, json_t *map) {
    if (!json_is_object(map)) return REFUSE(reader, "'__metadata__' must be an object");
    TensorFile *file = reader->file;
    file->metadata = ARENA_ARRAY(reader->arena, TensorMetadata, json_object_size(map));
    const char *key;
    json_t *value;
    json_object_foreach(map, key, value) {
        if (!json_is_string(value)) return REFUSE(reader, "metadata '%s' must be a string", shown(reader->arena, key));
        TensorMetadata *entry = &file->metadata[file->metadata_count++];
        entry->key = arena_copy(reader->arena, key);
        entry->value = arena_copy(reader->arena, json_string_value(value));
    }
    return true;
}

static int compare_places(const void *left, const void *right) {
    const TensorEntry *a = left, *b = right;
    if (a->begin != b->begin) return a->begin < b->begin ? -1 : 1;
    if (a->bytes != b->bytes) return a->bytes < b->bytes ? -1 : 1; // empty tensors before the one that has bytes
    return strcmp(a->name, b->name);
}

// One after the other, from the first byte of the data to the last: nothing shared, nothing hidden.
static bool check_places(Reader *reader) {
    TensorFile *file = reader->file;
    if (file->count > 1) qsort(file->entries, file->count, sizeof *file->entries, compare_places);
    size_t end = 0;
    for (size_t i = 0; i < file->count; i++) {
        const TensorEntry *entry = &file->entries[i];
        if (entry->begin != end)
            return REFUSE(
                reader, "tensor '%s': data begin at %zu, %s byte %zu", shown(reader->arena, entry->name), entry->begin,
                entry->begin < end ? "overlapping the tensor before it, which ends at" : "leaving a hole after", end);
        end += entry->bytes;
    }
    if (end != file->data_bytes) return REFUSE(reader, "%zu bytes after the last tensor", file->data_bytes - end);
    return true;
}

// The header's own hash is compared here; those of the tensors where they are read.
static bool read_hashes(Reader *reader, char *header, size_t length) {
    TensorFile *file = reader->file;
    const char *text = tensor_file_metadata(file, TENSOR_HASHES), *format = tensor_file_metadata(file, "format");
    if (!text) {
        bool needed = format && strcmp(format, "sinter") == 0;
        return !needed || REFUSE(reader, "was written by sinter, but its hashes are not there");
    }
    uint64_t *hashes = ARENA_ARRAY(reader->arena, uint64_t, file->count + 1);
    size_t at;
    if (!hashes_parse(text, hashes, file->count) || !hashes_find(header, length, file->count, &at))
        return REFUSE(reader, "its hashes are damaged, or of another number of tensors");
    memset(header + at, '0', strlen(text));
    if (hash_bytes(header, length) != hashes[0]) return REFUSE(reader, "damaged: the header does not match its hash");
    file->hashes = hashes;
    return true;
}

static bool read_header(Reader *reader, char *header, size_t length) {
    json_error_t error;
    if (length == 0 || header[0] != '{') return REFUSE(reader, "the header does not start with '{'");
    JsonText text;
    if (!json_text_read(&text, header, length, JSON_REJECT_DUPLICATES, &error))
        return REFUSE(reader, "header, byte %d: %s", error.position, shown(reader->arena, error.text));
    TensorFile *file = reader->file;
    file->entries = ARENA_ARRAY(reader->arena, TensorEntry, json_object_size(text.root));
    bool sound = true;
    const char *name;
    json_t *value;
    json_object_foreach(text.root, name, value) {
        sound = strcmp(name, "__metadata__") == 0 ? read_metadata(reader, value)
                                                  : read_entry(reader, name, value, &file->entries[file->count++]);
        if (!sound) break;
    }
    json_text_free(&text);
    return sound && check_places(reader) && read_hashes(reader, header, length);
}

// Files that are often given in the place of one.
static const char *foreign_kind(const unsigned char *start) {
    static const struct {
        const char *start, *kind;
    } kinds[] = {{"PK\3\4", "it is a zip archive, as torch.save writes"},
                 {"GGUF", "it is a GGUF file"},
                 {"version ", "it is a pointer of Git LFS, not the file itself"},
                 {"<!DOCTYP", "it is a web page"},
                 {"<html", "it is a web page"},
                 {"\x80", "it is a pickle"}};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (memcmp(start, kinds[i].start, strlen(kinds[i].start)) == 0) return kinds[i].kind;
    return "is it one?";
}

// The length field and the header's bytes; NULL after a diagnostic.
static char *load_header(Reader *reader, size_t file_bytes, size_t *length, RuntimeStatus *status) {
    TensorFile *file = reader->file;
    unsigned char field[LENGTH_BYTES];
    *status = RUNTIME_BAD_FILE;
    if (file_bytes < LENGTH_BYTES) {
        REFUSE(reader, "%zu bytes, too short for a safetensors file", file_bytes);
        return NULL;
    }
    *status = RUNTIME_IO;
    if (!file_read_at(file->file, file->path, field, LENGTH_BYTES, 0, reader->diags)) return NULL;
    uint64_t wanted = 0;
    for (int i = LENGTH_BYTES - 1; i >= 0; i--)
        wanted = wanted << 8 | field[i];
    *status = RUNTIME_BAD_FILE;
    if (wanted > HEADER_LIMIT) {
        REFUSE(reader, "header of %llu bytes, the limit is %d: not a safetensors file (%s)", (unsigned long long)wanted,
               HEADER_LIMIT, foreign_kind(field));
        return NULL;
    }
    if (wanted > file_bytes - LENGTH_BYTES) {
        REFUSE(reader, "header of %llu bytes in a file of %zu", (unsigned long long)wanted, file_bytes);
        return NULL;
    }
    *length = (size_t)wanted;
    file->data_start = LENGTH_BYTES + *length;
    file->data_bytes = file_bytes - file->data_start;
    char *header = arena_alloc(reader->arena, *length + 1);
    *status = RUNTIME_IO;
    return file_read_at(file->file, file->path, header, *length, LENGTH_BYTES, reader->diags) ? header : NULL;
}

static void close_file(void *file) {
    tensor_file_close(file);
}

RuntimeStatus tensor_file_open(Arena *arena, const char *path, TensorFile **result, Diags *diags) {
    Reader reader = {arena, ARENA_NEW(arena, TensorFile), diags};
    TensorFile *file = reader.file;
    int64_t file_bytes;
    file->path = arena_copy(arena, path);
    RuntimeStatus status = input_open(path, &file->file, &file_bytes, diags);
    if (status != RUNTIME_OK) return status;
    memory_own(&file->owned, close_file, file);
    size_t length;
    char *header = load_header(&reader, (size_t)file_bytes, &length, &status);
    if (header) status = read_header(&reader, header, length) ? RUNTIME_OK : RUNTIME_BAD_FILE;
    if (status == RUNTIME_OK)
        *result = file;
    else
        tensor_file_close(file);
    return status;
}

void tensor_file_close(TensorFile *file) {
    if (!file || file->file < 0) return;
    memory_disown(&file->owned);
    file_table.close(file->file);
    file->file = -1;
}

const char *tensor_file_path(const TensorFile *file) {
    return file->path;
}

size_t tensor_file_count(const TensorFile *file) {
    return file->count;
}

const TensorEntry *tensor_file_at(const TensorFile *file, size_t i) {
    CHECK(i < file->count);
    return &file->entries[i];
}

const TensorEntry *tensor_file_find(const TensorFile *file, const char *name) {
    for (size_t i = 0; i < file->count; i++)
        if (strcmp(file->entries[i].name, name) == 0) return &file->entries[i];
    return NULL;
}

const char *tensor_file_metadata(const TensorFile *file, const char *key) {
    for (size_t i = 0; i < file->metadata_count; i++)
        if (strcmp(file->metadata[i].key, key) == 0) return file->metadata[i].value;
    return NULL;
}

// ---- elements

static float widen_bf16(uint16_t half) { return float_from_bf16(half); }
static float widen_f16(uint16_t half) { return float_from_f16(half); }

static RuntimeStatus check_hash(const TensorFile *file, const TensorEntry *entry, uint64_t hash, Diags *diags) {
    if (!file->hashes || file->hashes[1 + (entry - file->entries)] == hash) return RUNTIME_OK;
    diag_error(diags, (Place){0}, "%s: damaged: tensor '%s' does not match its hash", file->path, entry->name);
    return RUNTIME_BAD_FILE;
}

// The way of a tensor from the file to `take`.
typedef struct {
    float (*widen)(uint16_t); // NULL: F32
    Hash *hash;               // of the bytes as they are in the file
    TensorTake take;
    void *context;
} Stream;

static RuntimeStatus stream_chunks(const TensorFile *file, const TensorEntry *entry, const Stream *stream,
                                   Diags *diags) {
    float values[CHUNK_ELEMENTS];
    uint16_t halves[CHUNK_ELEMENTS];
    void *read = stream->widen ? (void *)halves : values;
    size_t size = stream->widen ? sizeof *halves : sizeof *values;
    for (size_t done = 0, count; done < entry->elements; done += count) {
        count = entry->elements - done < CHUNK_ELEMENTS ? entry->elements - done : CHUNK_ELEMENTS;
        int64_t offset = (int64_t)(file->data_start + entry->begin + done * size);
        if (!file_read_at(file->file, file->path, read, count * size, offset, diags)) return RUNTIME_IO;
        hash_add(stream->hash, read, count * size);
        for (size_t i = 0; stream->widen && i < count; i++)
            values[i] = stream->widen(halves[i]);
        stream->take(stream->context, values, (int64_t)done, (int64_t)count);
    }
    return check_hash(file, entry, hash_value(stream->hash), diags);
}

RuntimeStatus tensor_file_stream(TensorFile *file, const TensorEntry *entry, TensorTake take, void *context,
                                 Diags *diags) {
    Stream stream = {.take = take, .context = context};
    if (strcmp(entry->type, "BF16") == 0) stream.widen = widen_bf16;
    if (strcmp(entry->type, "F16") == 0) stream.widen = widen_f16;
    if (!stream.widen && strcmp(entry->type, "F32") != 0) {
        diag_error(diags, (Place){0}, "%s: tensor '%s' is %s; F32, BF16 and F16 can be read", file->path, entry->name,
                   entry->type);
        return RUNTIME_BAD_FILE;
    }
    stream.hash = hash_create();
    RuntimeStatus status = stream_chunks(file, entry, &stream, diags);
    hash_free(stream.hash);
    return status;
}

static void copy_chunk(void *context, const float *values, int64_t first, int64_t count) {
    memcpy((float *)context + first, values, (size_t)count * sizeof *values);
}

RuntimeStatus tensor_file_read(TensorFile *file, const TensorEntry *entry, float *values, Diags *diags) {
    return tensor_file_stream(file, entry, copy_chunk, values, diags);
}

// ---- the whole file

bool tensor_file_has_hashes(const TensorFile *file) {
    return file->hashes != NULL;
}

static RuntimeStatus verify_entry(TensorFile *file, const TensorEntry *entry, Hash *hash, char *chunk, Diags *diags) {
    hash_reset(hash);
    for (size_t done = 0; done < entry->bytes;) {
        size_t count = entry->bytes - done < CHUNK_BYTES ? entry->bytes - done : CHUNK_BYTES;
        int64_t offset = (int64_t)(file->data_start + entry->begin + done);
        if (!file_read_at(file->file, file->path, chunk, count, offset, diags)) return RUNTIME_IO;
        hash_add(hash, chunk, count);
        done += count;
    }
    return check_hash(file, entry, hash_value(hash), diags);
}

RuntimeStatus tensor_file_verify(TensorFile *file, Diags *diags) {
    if (!file->hashes) return RUNTIME_OK;
    Hash *hash = hash_create();
    char *chunk = memory_allocate(CHUNK_BYTES);
    RuntimeStatus status = RUNTIME_OK;
    for (size_t i = 0; i < file->count && status == RUNTIME_OK; i++)
        status = verify_entry(file, &file->entries[i], hash, chunk, diags);
    memory_release(chunk);
    hash_free(hash);
    return status;
}
