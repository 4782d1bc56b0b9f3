// Bad checkpoints, one by one: damaged, foreign, or of another model. Each is refused with exit code 3 and a message of
// its own, which names the file.
//
// A file goes the way that `sinter sample` sends it: opened, its model read from the metadata, its tensors into the
// states of a session. A row is what is wrong with it; the sound file that all of them start from is the first test.
#include "tests/runtime/support.h"

#include "base/file.h"
#include "driver/checkpoint.h"
#include "runtime/weights.h"

#define SPEC                                                                                                           \
    "model tiny\\nconfig n=4 kind=a|b\\ndim B=batch_size T=block_size V=vocab_size C=n\\ninput tok[B,T]:u16 "          \
    "target[B,T]:u16\\nparam w[V,C] ones as \\\"w\\\"\\nparam b[C] zeros as \\\"b\\\"\\n"                              \
    "logits[B,T,V] = sum(C) (w[V=tok] + b) * w\\nloss = mean(B,T) cross_entropy(V)(logits, target)\\n"
#define CONFIG "batch_size = 2\\nblock_size = 4\\nvocab_size = 3\\nn = 4\\nkind = 'b'\\n"
#define META(spec, config, characters)                                                                                 \
    "\"__metadata__\":{\"sinter.spec\":\"" spec "\",\"sinter.spec_file\":\"tiny.spec\",\"sinter.config\":\"" config    \
    "\",\"sinter.characters\":\"" characters "\"}"
#define GOOD_META META(SPEC, CONFIG, "ab\\u00e9")
#define TENSOR(name, dtype, shape, offsets)                                                                            \
    "\"" name "\":{\"dtype\":" dtype ",\"shape\":" shape ",\"data_offsets\":" offsets "}"
#define W TENSOR("w", "\"F32\"", "[3,4]", "[0,48]")
#define B TENSOR("b", "\"F32\"", "[4]", "[48,64]")
#define FILE_OF(meta, tensors) "{" meta "," tensors "}"
#define WITH(tensors) FILE_OF(GOOD_META, tensors)
#define ONLY(tensor) "{" tensor "}"

// What the model of SPEC is compiled to, as far as loading sees it.
static const ProgramSlot slots[] = {{.name = "w",
                                     .kind = SLOT_STATE,
                                     .is_param = true,
                                     .rank = 2,
                                     .extents = {3, 4},
                                     .stored_rank = 2,
                                     .stored_extents = {3, 4},
                                     .is_plain = true,
                                     .buffer = {MEMORY_STATE, 0},
                                     .bytes = 64,
                                     .init = 1},
                                    {.name = "b",
                                     .kind = SLOT_STATE,
                                     .is_param = true,
                                     .rank = 1,
                                     .extents = {4},
                                     .stored_rank = 1,
                                     .stored_extents = {4},
                                     .is_plain = true,
                                     .buffer = {MEMORY_STATE, 64},
                                     .bytes = 64,
                                     .init = 1},
                                    {.name = "adam.m.w",
                                     .kind = SLOT_STATE,
                                     .rank = 2,
                                     .extents = {3, 4},
                                     .stored_rank = 2,
                                     .stored_extents = {3, 4},
                                     .is_plain = true,
                                     .buffer = {MEMORY_STATE, 128},
                                     .bytes = 64,
                                     .init = 1}};
static const Program program = {.name = "step", .slots = slots, .slot_count = 3, .state_bytes = 256, .arena_bytes = 64};

static int load(Fixture *fixture, const char *path) {
    Command command = {.arena = fixture->arena, .diags = fixture->diags, .config = config_create(fixture->arena)};
    declare_sample_keys(command.config);
    TensorFile *file = NULL;
    Vocabulary *vocabulary;
    int status = tensor_file_open(fixture->arena, path, &file, fixture->diags);
    if (status == RUNTIME_OK) status = checkpoint_read_model(&command, file, &vocabulary);
    if (status == EXIT_DONE) {
        ThreadPool *threads = threads_create(1, false, fixture->diags);
        const Program *programs[] = {&program};
        Session *session = NULL;
        status = session_create(programs, 1, threads, &session, fixture->diags);
        if (status == RUNTIME_OK) status = weights_load(session, &program, file, fixture->diags);
        session_free(session);
        threads_free(threads);
    }
    tensor_file_close(file);
    return status;
}

// Eight bytes of length, the header, and so many bytes of data.
static const char *write_file(Fixture *fixture, uint64_t length, const char *header, size_t header_bytes, size_t data) {
    char *bytes = arena_alloc(fixture->arena, 8 + header_bytes + data + 1);
    for (int i = 0; i < 8; i++)
        bytes[i] = (char)(length >> 8 * i);
    memcpy(bytes + 8, header, header_bytes);
    return fixture_file(fixture, "ckpt.safetensors", bytes, 8 + header_bytes + data);
}

static void the_sound_file_is_loaded(void **state) {
    Fixture *fixture = *state;
    static const char *const headers[] = {WITH(W "," B), WITH(W "," B "  "), FILE_OF(META(SPEC, CONFIG, ""), W "," B),
                                          WITH(W "," B "," TENSOR("extra", "\"I64\"", "[0]", "[64,64]"))};
    for (size_t i = 0; i < sizeof headers / sizeof *headers; i++) {
        int status = load(fixture, write_file(fixture, strlen(headers[i]), headers[i], strlen(headers[i]), 64));
        const char *messages = fixture_messages(fixture);
        if (status != EXIT_DONE || strstr(messages, "error")) fail_msg("header %zu: exit %d: %s", i, status, messages);
    }
}

// ---- headers

typedef struct {
    const char *header;
    size_t data;
    const char *message;
} BadHeader;

static const BadHeader bad_headers[] = {
    // not JSON, or not the JSON of a header
    {"", 64, "the header does not start with '{'"},
    {"{", 64, "header, byte 1: "},
    {"{\"w\"}", 64, "':' expected near '}'"},
    {"{\"w\":}", 64, "unexpected token near '}'"},
    {"{\"w\":nul}", 64, "invalid token near 'nul'"},
    {"{\"w\":1,}", 64, "string or '}' expected near '}'"},
    {"{}{}", 0, "end of file expected near '{'"},
    {"{\"w\":\"", 64, "premature end of input near"},
    {"{\"w\":\"\n\"}", 64, "unexpected newline"},
    {"{\"w\":\"\1\"}", 64, "control character 0x1"},
    {"{\"w\":\"\\q\"}", 64, "invalid escape"},
    {"{\"w\":\"\\ud800\"}", 64, "invalid Unicode '\\uD800'"},
    {"{\"w\xFF\":1}", 64, "unable to decode byte 0xff"},
    {"{\"w\\u0000\":1}", 64, "NUL byte in object key"},
    {"{" W "," W "}", 48, "duplicate object key near '\"w\"'"},
    {"{\"w\":{\"dtype\":\"F32\",\"dtype\":\"F32\",\"shape\":[12],\"data_offsets\":[0,48]}}", 48,
     "duplicate object key near '\"dtype\"'"},
    // a tensor that is none
    {"{\"w\":[]}", 64, "tensor 'w': its description must be an object"},
    {"{\"\":{}}", 64, "a tensor without a name"},
    {"{\"\\u001b[2J\":1}", 64, "tensor '?[2J'"},
    {"{\"w\":{\"shape\":[12],\"data_offsets\":[0,48]}}", 48, "tensor 'w': 'dtype' is missing"},
    {"{\"w\":{\"dtype\":\"F32\",\"data_offsets\":[0,48]}}", 48, "tensor 'w': 'shape' is missing"},
    {"{\"w\":{\"dtype\":\"F32\",\"shape\":[12]}}", 48, "tensor 'w': 'data_offsets' is missing"},
    {"{\"w\":{\"dtype\":\"F32\",\"shape\":[12],\"data_offsets\":[0,48],\"x\":1}}", 48, "and has 4 keys"},
    {ONLY(TENSOR("w", "32", "[12]", "[0,48]")), 48, "tensor 'w': 'dtype' must be a string"},
    {ONLY(TENSOR("w", "\"f32\"", "[12]", "[0,48]")), 48, "tensor 'w': unknown dtype 'f32'"},
    {ONLY(TENSOR("w", "\"Q4_0\"", "[12]", "[0,48]")), 48, "tensor 'w': unknown dtype 'Q4_0'"},
    // shapes
    {ONLY(TENSOR("w", "\"F32\"", "12", "[0,48]")), 48, "tensor 'w': 'shape' must be a list"},
    {ONLY(TENSOR("w", "\"F32\"", "[1,1,1,1,1,1,1,1,12]", "[0,48]")), 48,
     "tensor 'w': 9 dimensions, at most 8 are supported"},
    {ONLY(TENSOR("w", "\"F32\"", "[-12]", "[0,48]")), 48, "tensor 'w': extent 0 of 'shape' must be an integer >= 0"},
    {ONLY(TENSOR("w", "\"F32\"", "[1,12.0]", "[0,48]")), 48, "tensor 'w': extent 1 of 'shape' must be an integer >= 0"},
    {ONLY(TENSOR("w", "\"F32\"", "[1,1,\"12\"]", "[0,48]")), 48,
     "tensor 'w': extent 2 of 'shape' must be an integer >= 0"},
    {ONLY(TENSOR("w", "\"F32\"", "[18446744073709551615]", "[0,48]")), 48,
     "too big integer near '18446744073709551615'"},
    {ONLY(TENSOR("w", "\"F32\"", "[1e400]", "[0,48]")), 48, "real number overflow"},
    {ONLY(TENSOR("w", "\"F32\"", "[4294967296,4294967296]", "[0,48]")), 48,
     "tensor 'w': the product of 'shape' overflows"},
    {ONLY(TENSOR("w", "\"F32\"", "[4611686018427387907]", "[0,12]")), 12,
     "tensor 'w': the bytes of 'shape' as F32 overflow"},
    {ONLY(TENSOR("w", "\"F32\"", "[13]", "[0,48]")), 48,
     "shape and dtype F32 make 52 bytes and do not fit its 48 bytes"},
    {ONLY(TENSOR("w", "\"F64\"", "[12]", "[0,48]")), 48,
     "shape and dtype F64 make 96 bytes and do not fit its 48 bytes"},
    {ONLY(TENSOR("w", "\"F32\"", "[0]", "[0,48]")), 48, "shape and dtype F32 make 0 bytes and do not fit its 48 bytes"},
    // places
    {ONLY(TENSOR("w", "\"F32\"", "[12]", "[0]")), 48, "tensor 'w': 'data_offsets' must be two integers >= 0"},
    {ONLY(TENSOR("v", "\"F32\"", "[12]", "[0,24,48]")), 48, "tensor 'v': 'data_offsets' must be two integers >= 0"},
    {ONLY(TENSOR("u", "\"F32\"", "[12]", "[-48,0]")), 48, "tensor 'u': 'data_offsets' must be two integers >= 0"},
    {ONLY(TENSOR("t", "\"F32\"", "[12]", "null")), 48, "tensor 't': 'data_offsets' must be two integers >= 0"},
    {ONLY(TENSOR("w", "\"F32\"", "[12]", "[48,0]")), 48, "tensor 'w': data_offsets end at 0, before their begin 48"},
    {ONLY(TENSOR("w", "\"F32\"", "[12]", "[0,48]")), 47,
     "tensor 'w': data_offsets end at 48, but there are only 47 bytes of data"},
    {ONLY(TENSOR("w", "\"F32\"", "[12]", "[9223372036854775759,9223372036854775807]")), 48,
     "data_offsets end at 9223372036854775807, but there are only 48 bytes of data"},
    {"{" W "," TENSOR("x", "\"F32\"", "[3,4]", "[0,48]") "}", 48,
     "tensor 'x': data begin at 0, overlapping the tensor before it, which ends at byte 48"},
    {"{" W "," TENSOR("x", "\"F32\"", "[4]", "[44,60]") "}", 60, "tensor 'x': data begin at 44, overlapping"},
    {"{" W "," TENSOR("x", "\"F32\"", "[4]", "[0,16]") "}", 48, "tensor 'w': data begin at 0, overlapping"},
    {ONLY(TENSOR("w", "\"F32\"", "[12]", "[4,52]")), 52, "tensor 'w': data begin at 4, leaving a hole after byte 0"},
    {"{" W "," TENSOR("x", "\"F32\"", "[4]", "[52,68]") "}", 68,
     "tensor 'x': data begin at 52, leaving a hole after byte 48"},
    {WITH(W "," B), 65, "1 bytes after the last tensor"},
    {"{}", 64, "64 bytes after the last tensor"},
    // metadata
    {"{\"__metadata__\":[]}", 0, "'__metadata__' must be an object"},
    {"{\"__metadata__\":{\"iter\":12}}", 0, "metadata 'iter' must be a string"},
    {"{\"__metadata__\":{\"k\":{\"deep\":\"er\"}}}", 0, "metadata 'k' must be a string"},
    {"{\"__metadata__\":{\"iter\":\"1\",\"iter\":\"2\"}}", 0, "duplicate object key near '\"iter\"'"},
    // the model in it
    {"{" W "," B "}", 64, "not written by sinter train (no model in its metadata)"},
    {FILE_OF("\"__metadata__\":{\"sinter.config\":\"" CONFIG "\"}", W "," B), 64, "(no spec in its metadata)"},
    {FILE_OF("\"__metadata__\":{\"sinter.spec\":\"" SPEC "\"}", W "," B), 64, "(no configuration in its metadata)"},
    {FILE_OF(META("", CONFIG, "ab"), W "," B), 64, "a model begins with a line such as 'model mine'"},
    {FILE_OF(META("model tiny\\ndim B=\\n", CONFIG, "ab"), W "," B), 64, "tiny.spec:2:7: error: expected"},
    {FILE_OF(META("model tiny\\nconfig batch_size=\\\"x\\\"\\n", CONFIG, "ab"), W "," B), 64,
     "'batch_size' is a key of every model"},
    {FILE_OF(META(SPEC, "batches = 2\\n", "ab"), W "," B), 64, "(sinter.config):1:1: error: unknown key 'batches'"},
    {FILE_OF(META(SPEC, "vocab_size = many\\n", "ab"), W "," B), 64, "(sinter.config):1:14: error:"},
    {FILE_OF(META(SPEC, "import os\\n", "ab"), W "," B), 64, "lines such as 'key = literal'"},
    {FILE_OF(META(SPEC, CONFIG, "aba"), W "," B), 64, "its list of characters is damaged"},
    {FILE_OF(META(SPEC, CONFIG, "abcd"), W "," B), 64, "names 4 characters, but its vocab_size is 3"},
    // its tensors
    {WITH(W), 48, "has no tensor 'b' [4]"},
    {WITH(TENSOR("W", "\"F32\"", "[3,4]", "[0,48]") "," B), 64, "has no tensor 'w' [3,4]"},
    {WITH(TENSOR("w", "\"F32\"", "[4,3]", "[0,48]") "," B), 64, "tensor 'w' has shape [4,3], the model's is [3,4]"},
    {WITH(TENSOR("w", "\"F32\"", "[12]", "[0,48]") "," B), 64, "tensor 'w' has shape [12], the model's is [3,4]"},
    {WITH(TENSOR("w", "\"F32\"", "[3,4,1]", "[0,48]") "," B), 64, "tensor 'w' has shape [3,4,1], the model's is [3,4]"},
    {WITH(W "," TENSOR("b", "\"F32\"", "[]", "[48,52]")), 52, "tensor 'b' has shape [], the model's is [4]"},
    {WITH(W "," TENSOR("b", "\"F32\"", "[3]", "[48,60]")), 60, "tensor 'b' has shape [3], the model's is [4]"},
    {WITH(W "," TENSOR("b", "\"I32\"", "[4]", "[48,64]")), 64, "tensor 'b' is I32; F32, BF16 and F16 can be read"},
    {WITH(TENSOR("w", "\"F64\"", "[3,4]", "[0,96]") "," TENSOR("b", "\"F32\"", "[4]", "[96,112]")), 112,
     "tensor 'w' is F64; F32, BF16 and F16 can be read"},
    {WITH(W "," B "," TENSOR("adam.m.w", "\"F32\"", "[12]", "[64,112]")), 112,
     "tensor 'adam.m.w' has shape [12], the model's is [3,4]"},
};
enum { BAD_HEADERS = sizeof bad_headers / sizeof *bad_headers };

static void refuse(Fixture *fixture, const char *what, const char *path, const char *message) {
    int status = load(fixture, path);
    const char *messages = fixture_messages(fixture);
    if (status != EXIT_BAD_FILE || !strstr(messages, message) || !strstr(messages, "error: "))
        fail_msg("%s: exit %d, expected 3 and '%s' in:\n%s", what, status, message, messages);
    // The file, or the spec in it.
    if (!strstr(messages, path) && !strstr(messages, "tiny.spec")) fail_msg("%s: which file? %s", what, messages);
}

static void bad_headers_are_refused(void **state) {
    Fixture *fixture = *state;
    for (size_t i = 0; i < BAD_HEADERS; i++) {
        const BadHeader *bad = &bad_headers[i];
        refuse(fixture, bad->header,
               write_file(fixture, strlen(bad->header), bad->header, strlen(bad->header), bad->data), bad->message);
        for (size_t k = 0; k < i; k++)
            if (strcmp(bad_headers[k].message, bad->message) == 0)
                fail_msg("'%s' is the message of two files", bad->message);
    }
    assert_true(BAD_HEADERS >= 60);
}

// ---- files

static void bad_files_are_refused(void **state) {
    Fixture *fixture = *state;
    static const struct {
        const char *bytes;
        size_t length;
        const char *message;
    } files[] = {
        {"", 0, "0 bytes, too short for a safetensors file"},
        {"\2\0\0\0\0\0\0", 7, "7 bytes, too short for a safetensors file"},
        {"\xff\xff\xff\xff\xff\xff\xff\xff{}", 10, "header of 18446744073709551615 bytes, the limit is 100000000"},
        {"\0\0\0\0\0\0\0\x80{}", 10, "header of 9223372036854775808 bytes, the limit is 100000000"},
        {"\1\xe1\xf5\5\0\0\0\0{}", 10, "header of 100000001 bytes, the limit is 100000000"},
        {"\0\xe1\xf5\5\0\0\0\0{}", 10, "header of 100000000 bytes in a file of 10"},
        {"\3\0\0\0\0\0\0\0{}", 10, "header of 3 bytes in a file of 10"},
        {"\0\0\0\0\0\0\0\0", 8, "the header does not start with '{'"},
        {"\3\0\0\0\0\0\0\0 {}", 11, "the header does not start with '{'"},
        {"PK\3\4\24\0\0\0\0\0\10\0archive/data.pkl", 28, "it is a zip archive, as torch.save writes"},
        {"\x80\2}q\0(X\5\0\0\0modelq", 18, "it is a pickle"},
        {"GGUF\3\0\0\0\0\0\0\0\0\0\0\0", 16, "it is a GGUF file"},
        {"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", 57, "it is a pointer of Git LFS"},
        {"<!DOCTYPE html><html></html>", 28, "it is a web page"},
    };
    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        refuse(fixture, files[i].message, fixture_file(fixture, "ckpt.safetensors", files[i].bytes, files[i].length),
               files[i].message);
    refuse(fixture, "missing", fixture_path(fixture, "none.safetensors"), "No such file or directory");
    refuse(fixture, "folder", fixture->folder, "Is a directory");
    refuse(fixture, "a file as a folder",
           arena_format(fixture->arena, "%s/x", fixture_path(fixture, "ckpt.safetensors")), "Not a directory");
    refuse(fixture, "device", "/dev/null", "not a plain file");
}

static void deep_headers_are_refused(void **state) {
    Fixture *fixture = *state;
    static const char *const pieces[] = {"[", "{\"a\":"};
    for (size_t i = 0; i < 2; i++) {
        Text text = text_create(fixture->arena);
        text_append(&text, "{\"w\":");
        for (int depth = 0; depth < 10000; depth++)
            text_append(&text, "%s", pieces[i]);
        refuse(fixture, "depth", write_file(fixture, text.length, text.data, text.length, 0),
               "maximum parsing depth reached");
    }
}

// ---- a file that is cut off at any byte, and one that becomes shorter while it is read

static void every_shorter_file_is_refused(void **state) {
    Fixture *fixture = *state;
    static const char header[] = WITH(W "," B);
    size_t whole = 8 + sizeof header - 1 + 64, length;
    const char *bytes =
        fixture_read(fixture, write_file(fixture, sizeof header - 1, header, sizeof header - 1, 64), &length);
    assert_int_equal(length, whole);
    Arena *arena = fixture->arena;
    for (size_t cut = 0; cut < whole; cut++) {
        fixture->arena = arena_create();
        fixture->diags = diags_create(fixture->arena);
        const char *path = fixture_file(fixture, "cut.safetensors", bytes, cut);
        assert_int_equal(load(fixture, path), EXIT_BAD_FILE);
        assert_true(diags_errors(fixture->diags) > 0);
        arena_free(fixture->arena);
    }
    fixture->arena = arena;
    fixture->diags = diags_create(arena);
}

static void a_file_that_shrinks_is_no_crash(void **state) {
    Fixture *fixture = *state;
    static const char header[] = WITH(W "," B);
    const char *path = write_file(fixture, sizeof header - 1, header, sizeof header - 1, 64);
    TensorFile *file = NULL;
    float values[12];
    assert_int_equal(tensor_file_open(fixture->arena, path, &file, fixture->diags), RUNTIME_OK);
    assert_int_equal(truncate(path, 8 + sizeof header - 1 + 20), 0);
    assert_int_equal(tensor_file_read(file, tensor_file_find(file, "w"), values, fixture->diags), RUNTIME_IO);
    assert_says(fixture, "28 more were expected");
    tensor_file_close(file);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(the_sound_file_is_loaded),      FIXTURE_TEST(bad_headers_are_refused),
        FIXTURE_TEST(bad_files_are_refused),         FIXTURE_TEST(deep_headers_are_refused),
        FIXTURE_TEST(every_shorter_file_is_refused), FIXTURE_TEST(a_file_that_shrinks_is_no_crash),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
