// Token files with and without header, bad files, both orders, prefetch.
#include "support.h"

#include "runtime/prefetch.h"
#include "runtime/tokens.h"

enum { ROWS = 3, COLUMNS = 4 };

static const char *write_tokens(Fixture *fixture, const char *name, int count) {
    uint16_t tokens[4096];
    for (int i = 0; i < count; i++)
        tokens[i] = (uint16_t)i;
    return fixture_file(fixture, name, tokens, (size_t)count * 2);
}

static TokenFile *open_tokens(Fixture *fixture, int count) {
    TokenFile *file;
    assert_int_equal(token_file_open(write_tokens(fixture, "t.bin", count), 2, &file, fixture->diags), RUNTIME_OK);
    assert_int_equal(token_file_count(file), count);
    return file;
}

static void expect_refused(Fixture *fixture, const void *bytes, size_t count, const char *message) {
    TokenFile *file = NULL;
    const char *path = fixture_file(fixture, "bad.bin", bytes, count);
    assert_int_equal(token_file_open(path, 2, &file, fixture->diags), RUNTIME_BAD_FILE);
    assert_null(file);
    assert_says(fixture, message);
}

static void bad_files(void **state) {
    Fixture *fixture = *state;
    TokenFile *file;
    assert_int_equal(token_file_open(fixture_path(fixture, "none"), 2, &file, fixture->diags), RUNTIME_BAD_FILE);
    assert_says(fixture, "No such file");
    assert_int_equal(token_file_open(fixture->folder, 2, &file, fixture->diags), RUNTIME_BAD_FILE);
    assert_says(fixture, "directory");
    expect_refused(fixture, "", 0, "has no tokens");
    expect_refused(fixture, "abc", 3, "3 bytes are not a whole number of 2-byte tokens");
    uint32_t header[258] = {20240520, 2, 4};
    expect_refused(fixture, header, 1032, "unknown version 2");
    header[1] = 1;
    expect_refused(fixture, header, 1030, "promises 4 tokens, but 6 bytes follow");
    expect_refused(fixture, header, 1024, "promises 4 tokens, but 0 bytes follow");
    header[2] = 0;
    expect_refused(fixture, header, 1024, "has no tokens");
}

static void headers_are_recognised(void **state) {
    Fixture *fixture = *state;
    TokenFile *file;
    uint32_t header[258] = {20240520, 1, 4};
    ((uint16_t *)(header + 256))[1] = 7;
    assert_int_equal(token_file_open(fixture_file(fixture, "a", header, 1032), 4, &file, fixture->diags), RUNTIME_OK);
    assert_int_equal(token_file_count(file), 4);
    BatchSource source = {file, ORDER_SEQUENTIAL, STREAM_TRAIN, 1, 1, 3, 0};
    int32_t tokens[3], targets[3];
    assert_int_equal(batch_read(&source, 0, tokens, targets, fixture->diags), RUNTIME_OK);
    assert_true(tokens[0] == 0 && tokens[1] == 7 && targets[0] == 7);
    token_file_close(file);
    header[0] = 20240801, header[1] = 7, header[2] = 2, header[256] = 5, header[257] = 100000;
    assert_int_equal(token_file_open(fixture_file(fixture, "b", header, 1032), 2, &file, fixture->diags), RUNTIME_OK);
    source = (BatchSource){file, ORDER_SEQUENTIAL, STREAM_TRAIN, 1, 1, 1, 0};
    assert_int_equal(batch_read(&source, 0, tokens, targets, fixture->diags), RUNTIME_OK);
    assert_true(tokens[0] == 5 && targets[0] == 100000);
    token_file_close(file);
    assert_quiet(fixture);
}

static void sequential_batches(void **state) {
    Fixture *fixture = *state;
    TokenFile *file = open_tokens(fixture, 2 * ROWS * COLUMNS + 1);
    BatchSource source = {file, ORDER_SEQUENTIAL, STREAM_TRAIN, 1, ROWS, COLUMNS, 0};
    int32_t tokens[ROWS * COLUMNS], targets[ROWS * COLUMNS];
    assert_int_equal(batch_check(&source, fixture->diags), RUNTIME_OK);
    for (int draw = 0; draw < 2; draw++) {
        assert_int_equal(batch_read(&source, draw, tokens, targets, fixture->diags), RUNTIME_OK);
        for (int i = 0; i < ROWS * COLUMNS; i++) {
            assert_int_equal(tokens[i], draw * ROWS * COLUMNS + i);
            assert_int_equal(targets[i], draw * ROWS * COLUMNS + i + 1);
        }
    }
    assert_quiet(fixture);
    assert_int_equal(batch_read(&source, 2, tokens, targets, fixture->diags), RUNTIME_BAD_FILE);
    assert_says(fixture, "batch 2 of 3 x 4 tokens lies beyond its 25 tokens");
    assert_int_equal(batch_read(&source, INT64_MAX / 2, tokens, targets, fixture->diags), RUNTIME_BAD_FILE);
    token_file_close(file);
    file = open_tokens(fixture, 2 * ROWS * COLUMNS); // the last target is missing
    source.file = file;
    assert_int_equal(batch_read(&source, 1, tokens, targets, fixture->diags), RUNTIME_BAD_FILE);
    token_file_close(file);
}

static void random_batches(void **state) {
    Fixture *fixture = *state;
    TokenFile *file = open_tokens(fixture, 10);
    BatchSource source = {file, ORDER_RANDOM, STREAM_TRAIN, 1337, ROWS, COLUMNS, 10};
    int32_t tokens[ROWS * COLUMNS], targets[ROWS * COLUMNS], again[ROWS * COLUMNS];
    int starts[10] = {0}, differing = 0;
    for (int64_t draw = 0; draw < 1000; draw++) {
        assert_int_equal(batch_read(&source, draw, tokens, targets, fixture->diags), RUNTIME_OK);
        for (int row = 0; row < ROWS; row++) {
            starts[tokens[row * COLUMNS]]++;
            for (int i = 0; i < COLUMNS; i++)
                assert_int_equal(targets[row * COLUMNS + i], tokens[row * COLUMNS] + i + 1);
        }
        BatchSource other = source;
        other.stream = STREAM_ESTIMATE_TRAIN;
        assert_int_equal(batch_read(&other, draw, again, targets, fixture->diags), RUNTIME_OK);
        differing += memcmp(tokens, again, sizeof tokens) != 0;
        assert_int_equal(batch_read(&source, draw, again, targets, fixture->diags), RUNTIME_OK);
        assert_memory_equal(tokens, again, sizeof tokens); // a pure function of the draw
    }
    for (int start = 0; start <= 5; start++) // uniform in [0, 10 - 4 - 1]
        assert_in_range(starts[start], 420, 580);
    assert_int_equal(starts[6] + starts[7] + starts[8] + starts[9], 0);
    assert_in_range(differing, 900, 1000);
    assert_quiet(fixture);
    token_file_close(file);
}

static void too_short_for_a_batch(void **state) {
    Fixture *fixture = *state;
    TokenFile *file = open_tokens(fixture, COLUMNS);
    BatchSource source = {file, ORDER_RANDOM, STREAM_TRAIN, 1, ROWS, COLUMNS, 0};
    assert_int_equal(batch_check(&source, fixture->diags), RUNTIME_BAD_FILE);
    assert_says(fixture, "4 tokens, too short for one batch, which needs 5");
    token_file_close(file);
    file = open_tokens(fixture, COLUMNS + 1);
    source.file = file;
    int32_t tokens[ROWS * COLUMNS], targets[ROWS * COLUMNS];
    assert_int_equal(batch_check(&source, fixture->diags), RUNTIME_OK);
    assert_int_equal(batch_read(&source, 5, tokens, targets, fixture->diags), RUNTIME_OK);
    assert_int_equal(targets[COLUMNS - 1], COLUMNS);
    source.order = ORDER_SEQUENTIAL;
    assert_int_equal(batch_check(&source, fixture->diags), RUNTIME_BAD_FILE);
    assert_says(fixture, "which needs 13");
    token_file_close(file);
}

static void tokens_beyond_the_vocabulary(void **state) {
    Fixture *fixture = *state;
    TokenFile *file = open_tokens(fixture, 100);
    BatchSource source = {file, ORDER_SEQUENTIAL, STREAM_TRAIN, 1, ROWS, COLUMNS, 24};
    int32_t tokens[ROWS * COLUMNS], targets[ROWS * COLUMNS];
    assert_int_equal(batch_read(&source, 0, tokens, targets, fixture->diags), RUNTIME_OK);
    assert_int_equal(batch_read(&source, 1, tokens, targets, fixture->diags), RUNTIME_BAD_FILE);
    assert_says(fixture, "token 24 at position 24, but vocab_size is 24");
    token_file_close(file);
}

static void prefetch_gives_the_same_batches(void **state) {
    Fixture *fixture = *state;
    TokenFile *file = open_tokens(fixture, 1000);
    BatchSource source = {file, ORDER_RANDOM, STREAM_TRAIN, 5, ROWS, COLUMNS, 0};
    int32_t tokens[ROWS * COLUMNS], targets[ROWS * COLUMNS], expected[ROWS * COLUMNS], expected_targets[ROWS * COLUMNS];
    Prefetch *prefetch = prefetch_create(&source, fixture->diags);
    for (int64_t draw = 0; draw < 500; draw++) {
        if (draw % 3 != 1) prefetch_start(prefetch, draw % 3 ? draw : draw + 1); // right, wrong or none
        assert_int_equal(prefetch_take(prefetch, draw, tokens, targets, fixture->diags), RUNTIME_OK);
        assert_int_equal(batch_read(&source, draw, expected, expected_targets, fixture->diags), RUNTIME_OK);
        assert_memory_equal(tokens, expected, sizeof tokens);
        assert_memory_equal(targets, expected_targets, sizeof targets);
    }
    prefetch_start(prefetch, 1);
    prefetch_free(prefetch);
    source.vocab_size = 1;
    prefetch = prefetch_create(&source, fixture->diags);
    prefetch_start(prefetch, 0);
    assert_int_equal(prefetch_take(prefetch, 0, tokens, targets, fixture->diags), RUNTIME_BAD_FILE);
    assert_says(fixture, "but vocab_size is 1");
    prefetch_free(prefetch);
    token_file_close(file);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(bad_files),
        FIXTURE_TEST(headers_are_recognised),
        FIXTURE_TEST(sequential_batches),
        FIXTURE_TEST(random_batches),
        FIXTURE_TEST(too_short_for_a_batch),
        FIXTURE_TEST(tokens_beyond_the_vocabulary),
        FIXTURE_TEST(prefetch_gives_the_same_batches),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
