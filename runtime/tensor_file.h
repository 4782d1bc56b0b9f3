// safetensors files: named tensors with shapes, a JSON header, a string map.
//
//     8 bytes n (little endian) | n bytes JSON {"name":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]},...} | data
//
// Reading trusts nothing: header <= 100,000,000 bytes and inside the file, starts with '{', no duplicate keys, known
// dtypes, byte range = shape x dtype by checked arithmetic, ranges in a row without hole or overlap from 0 to the very
// end of the file, metadata strings only. Elements: F32 as such, BF16 and F16 widened; other dtypes may be in the file
// and cannot be read. Files are read by pread, never mapped.
// Writing: F32, atomic (the file appears whole or not at all), with a hash of the header and of every tensor in the
// metadata (tensor_hashes.h). A file that has them is checked against them; one that says `format: sinter` must have
// them.
#ifndef SINTER_RUNTIME_TENSOR_FILE_H
#define SINTER_RUNTIME_TENSOR_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/diag.h"
#include "base/memory.h"
#include "runtime/status.h"

enum { TENSOR_MAX_RANK = 8 };

typedef struct {
    const char *name;
    const char *type;                  // "F32", "BF16", ...
    int rank;                          // 0 to TENSOR_MAX_RANK
    int64_t extents[TENSOR_MAX_RANK];  // row-major, outermost first
    size_t elements;
    size_t begin, bytes;               // place in the data part of the file
} TensorEntry;

typedef struct {
    const char *key, *value;
} TensorMetadata;

typedef struct TensorFile TensorFile;

// Opens and checks; the data stays in the file. Everything lives in `arena`. RUNTIME_BAD_FILE with a diagnostic that
// names the path, the tensor and what is wrong.
RuntimeStatus tensor_file_open(Arena *arena, const char *path, TensorFile **file, Diags *diags);
void tensor_file_close(TensorFile *file);  // NULL is allowed
const char *tensor_file_path(const TensorFile *file);
size_t tensor_file_count(const TensorFile *file);
const TensorEntry *tensor_file_at(const TensorFile *file, size_t i);           // in order of data
const TensorEntry *tensor_file_find(const TensorFile *file, const char *name);  // NULL when absent
const char *tensor_file_metadata(const TensorFile *file, const char *key);      // NULL when absent
// Reads everything and compares it with the hashes; a file without any is sound. RUNTIME_BAD_FILE names the tensor.
RuntimeStatus tensor_file_verify(TensorFile *file, Diags *diags);
bool tensor_file_has_hashes(const TensorFile *file);
// All elements as f32 into values[entry->elements]; compared with the hash.
RuntimeStatus tensor_file_read(TensorFile *file, const TensorEntry *entry, float *values, Diags *diags);
// The same in parts: `take` gets `count` elements from number `first` on, in ascending order. What is damaged is known
// only when all were taken.
typedef void (*TensorTake)(void *context, const float *values, int64_t first, int64_t count);
RuntimeStatus tensor_file_stream(TensorFile *file, const TensorEntry *entry, TensorTake take, void *context,
                                 Diags *diags);

// Writing: add all tensors, begin, then the elements of each in the same order (in as many calls as wanted), commit.
typedef struct TensorWriter TensorWriter;
TensorWriter *tensor_writer_create(Arena *arena, const char *path);
void tensor_writer_metadata(TensorWriter *writer, const char *key, const char *value);
void tensor_writer_add(TensorWriter *writer, const char *name, int rank, const int64_t *extents);
RuntimeStatus tensor_writer_begin(TensorWriter *writer, Diags *diags);
RuntimeStatus tensor_writer_data(TensorWriter *writer, const float *values, size_t count, Diags *diags);
RuntimeStatus tensor_writer_commit(TensorWriter *writer, Diags *diags);  // BUG when elements are missing
void tensor_writer_abandon(TensorWriter *writer);                        // a no-op after commit

#endif
