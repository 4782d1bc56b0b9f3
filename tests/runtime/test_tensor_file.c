// safetensors: what we write we read; widening of halves; a table of bad files, each with its own message.
#include "support.h"

#include <errno.h>
#include <math.h>

#include "base/file.h"
#include "runtime/tensor_file.h"

static const char *write_raw(Fixture *fixture, uint64_t length, const char *header, size_t header_bytes, size_t data) {
    char *bytes = arena_alloc(fixture->arena, 8 + header_bytes + data);
    for (int i = 0; i < 8; i++)
        bytes[i] = (char)(length >> 8 * i);
    memcpy(bytes + 8, header, header_bytes);
    return fixture_file(fixture, "x.safetensors", bytes, 8 + header_bytes + data);
}

static TensorFile *open_good(Fixture *fixture, const char *header, size_t data) {
    TensorFile *file = NULL;
    const char *path = write_raw(fixture, strlen(header), header, strlen(header), data);
    RuntimeStatus status = tensor_file_open(fixture->arena, path, &file, fixture->diags);
    assert_quiet(fixture);
    assert_int_equal(status, RUNTIME_OK);
    return file;
}

static void round_trip(void **state) {
    Fixture *fixture = *state;
    const char *path = fixture_path(fixture, "w.safetensors");
    TensorWriter *writer = tensor_writer_create(fixture->arena, path);
    tensor_writer_metadata(writer, "iter", "12");
    tensor_writer_metadata(writer, "caf\xC3\xA9", "a \"b\" \xFF\n"); // the value is not UTF-8
    tensor_writer_add(writer, "w", 2, (int64_t[]){2, 3});
    tensor_writer_add(writer, "scalar", 0, NULL);
    tensor_writer_add(writer, "empty", 2, (int64_t[]){0, 4});
    float w[6] = {1, -2, 3.5f, INFINITY, 0, 1e-40f}, scalar = 42, read[6];
    assert_int_equal(tensor_writer_begin(writer, fixture->diags), RUNTIME_OK);
    assert_false(file_exists(path)); // not before commit
    assert_int_equal(tensor_writer_data(writer, w, 4, fixture->diags), RUNTIME_OK);
    assert_int_equal(tensor_writer_data(writer, w + 4, 2, fixture->diags), RUNTIME_OK);
    assert_int_equal(tensor_writer_data(writer, &scalar, 1, fixture->diags), RUNTIME_OK);
    assert_int_equal(tensor_writer_commit(writer, fixture->diags), RUNTIME_OK);
    TensorFile *file;
    assert_int_equal(tensor_file_open(fixture->arena, path, &file, fixture->diags), RUNTIME_OK);
    assert_quiet(fixture);
    assert_int_equal(tensor_file_count(file), 3);
    assert_string_equal(tensor_file_at(file, 0)->name, "w");
    const TensorEntry *entry = tensor_file_find(file, "w");
    assert_true(entry->rank == 2 && entry->extents[0] == 2 && entry->extents[1] == 3 && entry->elements == 6);
    assert_int_equal(tensor_file_read(file, entry, read, fixture->diags), RUNTIME_OK);
    assert_memory_equal(read, w, sizeof w);
    assert_int_equal(tensor_file_read(file, tensor_file_find(file, "scalar"), read, fixture->diags), RUNTIME_OK);
    assert_true(read[0] == 42);
    assert_int_equal(tensor_file_find(file, "empty")->elements, 0);
    assert_null(tensor_file_find(file, "W"));
    assert_string_equal(tensor_file_metadata(file, "iter"), "12");
    assert_string_equal(tensor_file_metadata(file, "caf\xC3\xA9"), "a \"b\" ?\n");
    assert_null(tensor_file_metadata(file, "absent"));
    tensor_file_close(file);
    tensor_file_close(file);
}

static void halves_are_widened(void **state) {
    Fixture *fixture = *state;
    const char *header = "{\"h\":{\"dtype\":\"F16\",\"shape\":[7],\"data_offsets\":[0,14]},"
                         "\"b\":{\"dtype\":\"BF16\",\"shape\":[3],\"data_offsets\":[14,20]},"
                         "\"i\":{\"dtype\":\"I64\",\"shape\":[1],\"data_offsets\":[20,28]}}   ";
    uint16_t halves[] = {0x3c00, 0xc000, 0x7bff, 0x0001, 0x7c00, 0x8000, 0x7e00, 0x3f80, 0xc040, 0x0001};
    char bytes[400] = {(char)strlen(header)};
    memcpy(bytes + 8, header, strlen(header));
    memcpy(bytes + 8 + strlen(header), halves, sizeof halves);
    const char *path = fixture_file(fixture, "h.safetensors", bytes, 8 + strlen(header) + 28);
    TensorFile *file;
    assert_int_equal(tensor_file_open(fixture->arena, path, &file, fixture->diags), RUNTIME_OK);
    float values[7];
    assert_int_equal(tensor_file_read(file, tensor_file_find(file, "h"), values, fixture->diags), RUNTIME_OK);
    assert_true(values[0] == 1 && values[1] == -2 && values[2] == 65504 && values[3] == 0x1p-24f);
    assert_true(isinf(values[4]) && values[5] == 0 && signbit(values[5]) && isnan(values[6]));
    assert_int_equal(tensor_file_read(file, tensor_file_find(file, "b"), values, fixture->diags), RUNTIME_OK);
    assert_true(values[0] == 1 && values[1] == -3 && values[2] == 0x1p-133f);
    assert_int_equal(tensor_file_read(file, tensor_file_find(file, "i"), values, fixture->diags), RUNTIME_BAD_FILE);
    assert_says(fixture, "tensor 'i' is I64; F32, BF16 and F16 can be read");
    tensor_file_close(file);
}

static void no_tensors_at_all(void **state) {
    TensorFile *file = open_good(*state, "{}", 0);
    assert_int_equal(tensor_file_count(file), 0);
    tensor_file_close(file);
    file = open_good(*state, "{\"__metadata__\":{}}", 0);
    assert_int_equal(tensor_file_count(file), 0);
    tensor_file_close(file);
}

// ---- bad files

#define F32(name, shape, offsets) "\"" name "\":{\"dtype\":\"F32\",\"shape\":" shape ",\"data_offsets\":" offsets "}"
typedef struct {
    const char *header;
    size_t data;
    const char *message;
} BadFile;

static const BadFile bad_files[] = {
    {"", 0, "does not start with '{'"},
    {" {}", 0, "does not start with '{'"},
    {"[]", 0, "does not start with '{'"},
    {"{", 0, "header, byte 1"},
    {"{}{}", 0, "end of file expected"},
    {"{\"a\":}", 0, "unexpected token"},
    {"{\"a\xFF\":1}", 0, "unable to decode"},
    {"{\"a\\u0000\":1}", 0, "\\u0000"},
    {"{" F32("a", "[1]", "[0,4]") "," F32("a", "[1]", "[0,4]") "}", 4, "duplicate object key"},
    {"{\"a\":{\"dtype\":\"F32\",\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4, "duplicate object key"},
    {"{\"a\":1}", 0, "tensor 'a': its description must be an object"},
    {"{\"\":{}}", 0, "a tensor without a name"},
    {"{\"a\":{\"shape\":[1],\"data_offsets\":[0,4]}}", 4, "'dtype' is missing"},
    {"{\"a\":{\"dtype\":\"F32\",\"data_offsets\":[0,4]}}", 4, "'shape' is missing"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1]}}", 4, "'data_offsets' is missing"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4],\"x\":1}}", 4, "needs exactly"},
    {"{\"a\":{\"dtype\":7,\"shape\":[1],\"data_offsets\":[0,4]}}", 4, "'dtype' must be a string"},
    {"{\"a\":{\"dtype\":\"F31\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4, "unknown dtype 'F31'"},
    {"{" F32("a", "{}", "[0,4]") "}", 4, "'shape' must be a list"},
    {"{" F32("a", "[1,1,1,1,1,1,1,1,1]", "[0,4]") "}", 4, "9 dimensions, at most 8"},
    {"{" F32("a", "[-1]", "[0,4]") "}", 4, "extent 0 of 'shape' must be an integer >= 0"},
    {"{" F32("a", "[1,1.0]", "[0,4]") "}", 4, "extent 1 of 'shape' must be an integer >= 0"},
    {"{" F32("a", "[\"1\"]", "[0,4]") "}", 4, "extent 0 of 'shape' must be an integer >= 0"},
    {"{" F32("a", "[18446744073709551615]", "[0,4]") "}", 4, "too big integer"},
    {"{" F32("a", "[4294967296,4294967296]", "[0,4]") "}", 4, "the product of 'shape' overflows"},
    {"{" F32("a", "[4611686018427387905]", "[0,4]") "}", 4, "the bytes of 'shape' as F32 overflow"},
    {"{" F32("a", "[1]", "[0]") "}", 4, "'data_offsets' must be two integers"},
    {"{" F32("a", "[1]", "[0,4,8]") "}", 4, "'data_offsets' must be two integers"},
    {"{" F32("a", "[1]", "[-4,0]") "}", 4, "'data_offsets' must be two integers >= 0"},
    {"{" F32("a", "[1]", "[0,\"4\"]") "}", 4, "'data_offsets' must be two integers"},
    {"{" F32("a", "[1]", "null") "}", 4, "'data_offsets' must be two integers"},
    {"{" F32("a", "[1]", "[4,0]") "}", 4, "data_offsets end at 0, before their begin 4"},
    {"{" F32("a", "[2]", "[0,8]") "}", 4, "data_offsets end at 8, but there are only 4 bytes"},
    {"{" F32("a", "[1]", "[9223372036854775803,9223372036854775807]") "}", 4, "there are only 4 bytes of data"},
    {"{" F32("a", "[2]", "[0,4]") "}", 4, "do not fit its 4 bytes"},
    {"{" F32("a", "[0]", "[0,4]") "}", 4, "do not fit its 4 bytes"},
    {"{" F32("a", "[1]", "[0,4]") "," F32("b", "[1]", "[0,4]") "}", 4, "tensor 'b': data begin at 0, overlapping"},
    {"{" F32("a", "[2]", "[0,8]") "," F32("b", "[2]", "[4,12]") "}", 12, "data begin at 4, overlapping"},
    {"{" F32("a", "[1]", "[4,8]") "}", 8, "tensor 'a': data begin at 4, leaving a hole after byte 0"},
    {"{" F32("a", "[1]", "[0,4]") "," F32("b", "[1]", "[8,12]") "}", 12, "leaving a hole after byte 4"},
    {"{" F32("a", "[1]", "[0,4]") "}", 7, "3 bytes after the last tensor"},
    {"{}", 1, "1 bytes after the last tensor"},
    {"{\"__metadata__\":[]}", 0, "'__metadata__' must be an object"},
    {"{\"__metadata__\":{\"k\":1}}", 0, "metadata 'k' must be a string"},
    {"{\"__metadata__\":{\"k\":null}}", 0, "metadata 'k' must be a string"},
    {"{\"__metadata__\":{\"k\":\"1\",\"k\":\"2\"}}", 0, "duplicate object key"},
    {"{\"\\u001b[31m\":1}", 0, "tensor '?[31m'"},
};

static void bad_files_are_refused(void **state) {
    Fixture *fixture = *state;
    for (size_t i = 0; i < sizeof bad_files / sizeof bad_files[0]; i++) {
        const BadFile *bad = &bad_files[i];
        TensorFile *file = NULL;
        const char *path = write_raw(fixture, strlen(bad->header), bad->header, strlen(bad->header), bad->data);
        RuntimeStatus status = tensor_file_open(fixture->arena, path, &file, fixture->diags);
        const char *messages = fixture_messages(fixture);
        if (status != RUNTIME_BAD_FILE || file || !strstr(messages, bad->message) || !strstr(messages, path))
            fail_msg("header %s: status %d, expected '%s' in:\n%s", bad->header, status, bad->message, messages);
    }
}

static void bad_lengths_are_refused(void **state) {
    Fixture *fixture = *state;
    static const struct {
        uint64_t length;
        const char *message;
    } cases[] = {
        {UINT64_MAX, "header of 18446744073709551615 bytes, the limit is 100000000"},
        {UINT64_C(1) << 63, "the limit is 100000000"},
        {100000001, "the limit is 100000000"},
        {100000000, "header of 100000000 bytes in a file of 10"},
        {3, "header of 3 bytes in a file of 10"},
        {0, "does not start with '{'"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        TensorFile *file = NULL;
        const char *path = write_raw(fixture, cases[i].length, "{}", 2, 0);
        assert_int_equal(tensor_file_open(fixture->arena, path, &file, fixture->diags), RUNTIME_BAD_FILE);
        assert_says(fixture, cases[i].message);
    }
    TensorFile *file;
    for (size_t bytes = 0; bytes < 8; bytes++) {
        const char *path = fixture_file(fixture, "short", "\2\0\0\0\0\0\0\0", bytes);
        assert_int_equal(tensor_file_open(fixture->arena, path, &file, fixture->diags), RUNTIME_BAD_FILE);
        assert_says(fixture, "too short for a safetensors file");
    }
    assert_int_equal(tensor_file_open(fixture->arena, fixture_path(fixture, "none"), &file, fixture->diags),
                     RUNTIME_BAD_FILE);
    assert_says(fixture, "cannot open");
    assert_int_equal(tensor_file_open(fixture->arena, fixture->folder, &file, fixture->diags), RUNTIME_BAD_FILE);
    assert_says(fixture, fixture->folder);
}

static void deep_nesting_is_refused(void **state) {
    Fixture *fixture = *state;
    enum { DEPTH = 10000 };
    Text text = text_create(fixture->arena);
    text_append(&text, "{\"a\":");
    for (int i = 0; i < DEPTH; i++)
        text_append(&text, "[");
    const char *path = write_raw(fixture, text.length, text.data, text.length, 0);
    TensorFile *file;
    assert_int_equal(tensor_file_open(fixture->arena, path, &file, fixture->diags), RUNTIME_BAD_FILE);
    assert_says(fixture, "depth");
}

// Every shorter file and every flipped bit of the length and header: refused or still well-formed, never a crash.
static void truncation_and_bit_flips(void **state) {
    Fixture *fixture = *state;
    const char *header = "{\"__metadata__\":{\"k\":\"v\"}," F32("a", "[2]", "[0,8]") "," F32("b", "[1]", "[8,12]") "}";
    size_t length = strlen(header), total = 8 + length + 12;
    char *bytes = arena_alloc(fixture->arena, total);
    bytes[0] = (char)length;
    memcpy(bytes + 8, header, length);
    Arena *arena = arena_create();
    for (size_t cut = 0; cut < total; cut++) {
        TensorFile *file = NULL;
        const char *path = fixture_file(fixture, "cut", bytes, cut);
        assert_int_equal(tensor_file_open(arena, path, &file, fixture->diags), RUNTIME_BAD_FILE);
        arena_reset(arena);
    }
    for (size_t bit = 0; bit < 8 * (8 + length); bit++) {
        TensorFile *file = NULL;
        bytes[bit / 8] ^= (char)(1 << bit % 8);
        const char *path = fixture_file(fixture, "flip", bytes, total);
        RuntimeStatus status = tensor_file_open(arena, path, &file, fixture->diags);
        assert_true(status == RUNTIME_BAD_FILE || (status == RUNTIME_OK && tensor_file_count(file) <= 3));
        tensor_file_close(file);
        bytes[bit / 8] ^= (char)(1 << bit % 8);
        arena_reset(arena);
    }
    arena_free(arena);
    fixture_messages(fixture);
}

// ---- failing calls

static int calls_left;

static ssize_t failing_write(int file, const void *bytes, size_t count) {
    if (calls_left-- > 0) return write(file, bytes, count < 3 ? count : 3); // short writes
    errno = ENOSPC;
    return -1;
}

static int failing_sync(int file) {
    (void)file;
    errno = EIO;
    return -1;
}

static ssize_t failing_pread(int file, void *bytes, size_t count, off_t offset) {
    (void)file, (void)bytes, (void)count, (void)offset;
    errno = EIO;
    return -1;
}

static RuntimeStatus write_one(Fixture *fixture, const char *path) {
    TensorWriter *writer = tensor_writer_create(fixture->arena, path);
    tensor_writer_add(writer, "w", 1, (int64_t[]){4});
    RuntimeStatus status = tensor_writer_begin(writer, fixture->diags);
    if (status == RUNTIME_OK) status = tensor_writer_data(writer, (float[]){1, 2, 3, 4}, 4, fixture->diags);
    if (status == RUNTIME_OK) status = tensor_writer_commit(writer, fixture->diags);
    if (status != RUNTIME_OK) tensor_writer_abandon(writer);
    return status;
}

static void failed_writes_leave_the_old_file(void **state) {
    Fixture *fixture = *state;
    FileTable before = file_table;
    const char *path = fixture_file(fixture, "w", "old", 3);
    for (int allowed = 0; allowed < 30; allowed++) {
        file_table.write = failing_write;
        calls_left = allowed;
        RuntimeStatus status = write_one(fixture, path);
        file_table = before;
        if (status == RUNTIME_OK) break;
        assert_int_equal(status, RUNTIME_IO);
        assert_says(fixture, "No space left");
        size_t length;
        assert_memory_equal(fixture_read(fixture, path, &length), "old", 3);
    }
    file_table.sync = failing_sync;
    assert_int_equal(write_one(fixture, fixture_path(fixture, "other")), RUNTIME_IO);
    file_table = before;
    assert_says(fixture, "cannot sync");
    assert_false(file_exists(fixture_path(fixture, "other")));
    assert_int_equal(write_one(fixture, fixture_path(fixture, "no/such/folder/w")), RUNTIME_IO);
    assert_says(fixture, "cannot create");
}

static void failed_reads_are_io_errors(void **state) {
    Fixture *fixture = *state;
    FileTable before = file_table;
    const char *path = fixture_path(fixture, "w");
    assert_int_equal(write_one(fixture, path), RUNTIME_OK);
    TensorFile *file;
    file_table.pread = failing_pread;
    RuntimeStatus status = tensor_file_open(fixture->arena, path, &file, fixture->diags);
    file_table = before;
    assert_int_equal(status, RUNTIME_IO);
    assert_says(fixture, "cannot read");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(round_trip),
        FIXTURE_TEST(halves_are_widened),
        FIXTURE_TEST(no_tensors_at_all),
        FIXTURE_TEST(bad_files_are_refused),
        FIXTURE_TEST(bad_lengths_are_refused),
        FIXTURE_TEST(deep_nesting_is_refused),
        FIXTURE_TEST(truncation_and_bit_flips),
        FIXTURE_TEST(failed_writes_leave_the_old_file),
        FIXTURE_TEST(failed_reads_are_io_errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
