// Characters: building, encoding, both meta files, preparing a text.
#include "support.h"

#include "runtime/prepare.h"
#include "runtime/vocabulary.h"

static Vocabulary *build(Fixture *fixture, const char *text) {
    Vocabulary *vocabulary;
    assert_int_equal(vocabulary_build(fixture->arena, "text", text, strlen(text), &vocabulary, fixture->diags),
                     RUNTIME_OK);
    return vocabulary;
}

static const char *decoded(Fixture *fixture, const Vocabulary *vocabulary, const int32_t *tokens, size_t count) {
    Text text = text_create(fixture->arena);
    for (size_t i = 0; i < count; i++)
        vocabulary_decode(vocabulary, tokens[i], &text);
    return text_string(&text);
}

static void encode_and_decode(void **state) {
    Fixture *fixture = *state;
    const char *text = "h\xC3\xA9llo\n\xF0\x9F\x98\x80 wo\xE2\x82\xACld";
    Vocabulary *vocabulary = build(fixture, text);
    assert_int_equal(vocabulary->size, 10);
    assert_int_equal(vocabulary->characters[0], '\n');
    assert_int_equal(vocabulary->characters[9], 0x1F600);
    int32_t tokens[64];
    size_t count;
    RuntimeStatus status = vocabulary_encode(vocabulary, "t", text, strlen(text), tokens, &count, fixture->diags);
    assert_int_equal(status, RUNTIME_OK);
    assert_int_equal(count, 13);
    assert_string_equal(decoded(fixture, vocabulary, tokens, count), text);
    assert_string_equal(decoded(fixture, vocabulary, (int32_t[]){-1, 10}, 2), "\xEF\xBF\xBD\xEF\xBF\xBD");
    assert_int_equal(vocabulary_encode(vocabulary, "t", "hex", 3, tokens, &count, fixture->diags), RUNTIME_BAD_FILE);
    assert_says(fixture, "character U+0065 at byte 1 is not in the vocabulary");
}

static void bad_utf8(void **state) {
    Fixture *fixture = *state;
    static const char *const bad[] = {"\x80",
                                      "\xC3",
                                      "\xC0\x80",
                                      "\xE0\x80\x80",
                                      "\xED\xA0\x80",
                                      "\xF0\x80\x80\x80",
                                      "\xF4\x90\x80\x80",
                                      "\xF8\x88\x80\x80\x80",
                                      "\xC3(",
                                      "\xFF"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        Vocabulary *vocabulary;
        char text[16];
        snprintf(text, sizeof text, "ab%s", bad[i]);
        RuntimeStatus status =
            vocabulary_build(fixture->arena, "text", text, strlen(text), &vocabulary, fixture->diags);
        assert_int_equal(status, RUNTIME_BAD_FILE);
        assert_says(fixture, "text: byte 2 is not valid UTF-8");
    }
    uint32_t character;
    for (uint32_t c = 0; c <= UTF8_LAST; c++) {
        char bytes[4];
        if (c >= 0xD800 && c <= 0xDFFF) continue;
        int count = utf8_write(c, bytes);
        assert_int_equal(utf8_read(bytes, (size_t)count, &character), count);
        assert_int_equal(character, c);
    }
}

static Vocabulary *load(Fixture *fixture, const char *path, int64_t *size) {
    Vocabulary *vocabulary;
    RuntimeStatus status = vocabulary_load(fixture->arena, path, &vocabulary, size, fixture->diags);
    assert_quiet(fixture);
    assert_int_equal(status, RUNTIME_OK);
    return vocabulary;
}

static void meta_json(void **state) {
    Fixture *fixture = *state;
    Vocabulary *vocabulary = build(fixture, "b\xC3\xA9\na\"\\");
    const char *path = fixture_path(fixture, "meta.json");
    assert_int_equal(vocabulary_save(fixture->arena, vocabulary, path, fixture->diags), RUNTIME_OK);
    int64_t size;
    Vocabulary *read = load(fixture, path, &size);
    assert_int_equal(size, 6);
    assert_memory_equal(read->characters, vocabulary->characters, 6 * sizeof(uint32_t));
    assert_memory_equal(read->sorted, vocabulary->sorted, 6 * sizeof(int32_t));
    assert_string_equal(vocabulary_find(fixture->arena, fixture_path(fixture, "train.bin")), path);
    path = fixture_file(fixture, "size.json", "{\"vocab_size\": 50257}", 21);
    assert_null(load(fixture, path, &size));
    assert_int_equal(size, 50257);
    path = fixture_file(fixture, "order.json", "{\"vocab_size\":3,\"itos\":[\"z\",\"a\",\"m\"]}", 37);
    read = load(fixture, path, &size);
    assert_string_equal(decoded(fixture, read, (int32_t[]){0, 1, 2}, 3), "zam");
    int32_t tokens[3];
    size_t count;
    vocabulary_encode(read, "t", "maz", 3, tokens, &count, fixture->diags);
    assert_memory_equal(tokens, ((int32_t[]){2, 1, 0}), sizeof tokens);
}

static void bad_meta_json(void **state) {
    Fixture *fixture = *state;
    static const char *const cases[][2] = {
        {"[1", "']' expected"},
        {"{}", "needs \"vocab_size\""},
        {"{\"vocab_size\":0}", "needs \"vocab_size\", a number from 1"},
        {"{\"vocab_size\":99999999999}", "needs \"vocab_size\", a number from 1"},
        {"{\"vocab_size\":\"65\"}", "needs \"vocab_size\", a number from 1"},
        {"{\"vocab_size\":2,\"itos\":[\"a\"]}", "must be a list of vocab_size = 2 characters"},
        {"{\"vocab_size\":1,\"itos\":{\"a\":0}}", "must be a list of vocab_size = 1 characters"},
        {"{\"vocab_size\":2,\"itos\":[\"a\",\"bc\"]}", "entry 1 of \"itos\" is not one character"},
        {"{\"vocab_size\":2,\"itos\":[\"\",\"b\"]}", "entry 0 of \"itos\" is not one character"},
        {"{\"vocab_size\":2,\"itos\":[\"a\",7]}", "entry 1 of \"itos\" is not one character"},
        {"{\"vocab_size\":2,\"itos\":[\"a\",\"a\"]}", "a character appears twice"},
        {"{\"vocab_size\":1,\"vocab_size\":2}", "duplicate object key"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        Vocabulary *vocabulary;
        int64_t size;
        const char *path = fixture_file(fixture, "meta.json", cases[i][0], strlen(cases[i][0]));
        RuntimeStatus status = vocabulary_load(fixture->arena, path, &vocabulary, &size, fixture->diags);
        assert_int_equal(status, RUNTIME_BAD_FILE);
        assert_says(fixture, cases[i][1]);
    }
}

// pickle.dumps({'vocab_size': 3, 'itos': {0: '\n', 1: 'a', 2: 'e-acute'}, 'stoi': {...}}, protocol) of CPython 3.11
static const char protocol_2[] =
    "\200\002\175\161\000\050\130\012\000\000\000\166\157\143\141\142\137\163\151\172\145\161\001\113\003\130\004\000"
    "\000\000\151\164\157\163\161\002\175\161\003\050\113\000\130\001\000\000\000\012\161\004\113\001\130\001\000\000"
    "\000\141\161\005\113\002\130\002\000\000\000\303\251\161\006\165\130\004\000\000\000\163\164\157\151\161\007\175"
    "\161\010\050\150\004\113\000\150\005\113\001\150\006\113\002\165\165\056";
static const char protocol_4[] =
    "\200\004\225\111\000\000\000\000\000\000\000\175\224\050\214\012\166\157\143\141\142\137\163\151\172\145\224\113"
    "\003\214\004\151\164\157\163\224\175\224\050\113\000\214\001\012\224\113\001\214\001\141\224\113\002\214\002\303"
    "\251\224\165\214\004\163\164\157\151\224\175\224\050\150\004\113\000\150\005\113\001\150\006\113\002\165\165\056";
// {'vocab_size': 70000}, and {'vocab_size': 3, 'itos': ['a', 'b', 'c']}
static const char only_size[] = "\200\004\225\026\000\000\000\000\000\000\000\175\224\214\012\166\157\143\141\142\137"
                                "\163\151\172\145\224\112\160\021\001\000\163\056";
static const char with_list[] =
    "\200\004\225\053\000\000\000\000\000\000\000\175\224\050\214\012\166\157\143\141\142\137\163\151\172\145\224\113"
    "\003\214\004\151\164\157\163\224\135\224\050\214\001\141\224\214\001\142\224\214\001\143\224\145\165\056";

static void meta_pickle(void **state) {
    Fixture *fixture = *state;
    int64_t size;
    const char *path = fixture_file(fixture, "meta.pkl", protocol_4, sizeof protocol_4 - 1);
    Vocabulary *vocabulary = load(fixture, path, &size);
    assert_int_equal(size, 3);
    assert_string_equal(decoded(fixture, vocabulary, (int32_t[]){1, 0, 2}, 3), "a\n\xC3\xA9");
    assert_string_equal(vocabulary_find(fixture->arena, fixture_path(fixture, "train.bin")), path);
    path = fixture_file(fixture, "meta.pkl", protocol_2, sizeof protocol_2 - 1);
    vocabulary = load(fixture, path, &size);
    assert_string_equal(decoded(fixture, vocabulary, (int32_t[]){1, 0, 2}, 3), "a\n\xC3\xA9");
    path = fixture_file(fixture, "meta.pkl", only_size, sizeof only_size - 1);
    assert_null(load(fixture, path, &size));
    assert_int_equal(size, 70000);
}

static void expect_pickle_refused(Fixture *fixture, const char *bytes, size_t length, const char *message) {
    Vocabulary *vocabulary;
    int64_t size;
    const char *path = fixture_file(fixture, "meta.pkl", bytes, length);
    assert_int_equal(vocabulary_load(fixture->arena, path, &vocabulary, &size, fixture->diags), RUNTIME_BAD_FILE);
    assert_says(fixture, message);
}

static void bad_pickles(void **state) {
    Fixture *fixture = *state;
    expect_pickle_refused(fixture, with_list, sizeof with_list - 1, "pickle instruction 0x5d is not one of");
    expect_pickle_refused(fixture, "\200\002cos\nsystem\n.", 14, "pickle instruction 0x63"); // a call of os.system
    expect_pickle_refused(fixture, "\200\011.", 3, "pickle protocol 9");
    expect_pickle_refused(fixture, "\200\002.", 3, "not one dictionary");
    expect_pickle_refused(fixture, "\200\002K\001.", 5, "not one dictionary");
    expect_pickle_refused(fixture, "\200\002}.x", 5, "not one dictionary");
    expect_pickle_refused(fixture, "\200\002}.", 4, "needs 'vocab_size'");
    expect_pickle_refused(fixture, "\200\002}u.", 5, "items without a mark");
    expect_pickle_refused(fixture, "\200\002(K\001u.", 7, "items without a dictionary");
    expect_pickle_refused(fixture, "\200\002K\001K\001K\001s.", 10, "items without a dictionary");
    expect_pickle_refused(fixture, "\200\002s.", 4, "an item without a dictionary");
    expect_pickle_refused(fixture, "\200\002h\000.", 5, "memo entry 0 does not exist");
    expect_pickle_refused(fixture, "\200\002}q\005.", 6, "memo entry 5 out of order");
    expect_pickle_refused(fixture, "\200\002q\000.", 5, "nothing to remember");
    expect_pickle_refused(fixture, "\200\002X\377\377\377\377a", 8, "goes past the end");
    expect_pickle_refused(fixture, "\200\002}q\000K\001h\000s.", 10, "a value that a dictionary cannot hold");
    Arena *arena = arena_create();
    for (size_t cut = 0; cut + 1 < sizeof protocol_4; cut++) {
        Vocabulary *vocabulary;
        int64_t size;
        const char *path = fixture_file(fixture, "meta.pkl", protocol_4, cut);
        assert_int_equal(vocabulary_load(arena, path, &vocabulary, &size, fixture->diags), RUNTIME_BAD_FILE);
    }
    for (size_t bit = 0; bit < 8 * (sizeof protocol_4 - 1); bit++) { // refused or read, never a crash
        char bytes[sizeof protocol_4];
        Vocabulary *vocabulary;
        int64_t size;
        memcpy(bytes, protocol_4, sizeof bytes);
        bytes[bit / 8] ^= (char)(1 << bit % 8);
        const char *path = fixture_file(fixture, "meta.pkl", bytes, sizeof bytes - 1);
        vocabulary_load(arena, path, &vocabulary, &size, fixture->diags);
        arena_reset(arena);
    }
    arena_free(arena);
}

static void prepare_a_text(void **state) {
    Fixture *fixture = *state;
    const char *first = fixture_file(fixture, "a.txt", "hello ", 6),
               *second = fixture_file(fixture, "b.txt", "world", 5);
    const char *folder = fixture_path(fixture, "data/set");
    PrepareResult result;
    RuntimeStatus status = prepare_run((const char *[]){first, second}, 2, folder, &result, fixture->diags);
    assert_quiet(fixture);
    assert_int_equal(status, RUNTIME_OK);
    assert_true(result.characters == 11 && result.train_tokens == 9 && result.validation_tokens == 2);
    assert_int_equal(result.vocab_size, 8);
    int64_t size;
    Vocabulary *vocabulary = load(fixture, fixture_path(fixture, "data/set/meta.json"), &size);
    size_t length;
    const unsigned char *train =
        (const unsigned char *)fixture_read(fixture, fixture_path(fixture, "data/set/train.bin"), &length);
    assert_int_equal(length, 18);
    int32_t tokens[9];
    for (int i = 0; i < 9; i++)
        tokens[i] = train[2 * i] | train[2 * i + 1] << 8;
    assert_string_equal(decoded(fixture, vocabulary, tokens, 9), "hello wor");
    fixture_read(fixture, fixture_path(fixture, "data/set/val.bin"), &length);
    assert_int_equal(length, 4);
}

static void prepare_refuses(void **state) {
    Fixture *fixture = *state;
    PrepareResult result;
    const char *one = fixture_file(fixture, "one", "x", 1), *none = fixture_path(fixture, "none");
    assert_int_equal(prepare_run(&one, 1, fixture->folder, &result, fixture->diags), RUNTIME_BAD_FILE);
    assert_says(fixture, "too little text to split");
    assert_int_equal(prepare_run(&none, 1, fixture->folder, &result, fixture->diags), RUNTIME_BAD_FILE);
    assert_says(fixture, "No such file");
    const char *binary = fixture_file(fixture, "bin", "ab\xFF", 3), *good = fixture_file(fixture, "good", "abc", 3);
    assert_int_equal(prepare_run(&binary, 1, fixture->folder, &result, fixture->diags), RUNTIME_BAD_FILE);
    assert_says(fixture, "bin: byte 2 is not valid UTF-8");
    assert_int_equal(prepare_run(&good, 1, fixture_path(fixture, "one/x"), &result, fixture->diags), RUNTIME_IO);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(encode_and_decode), FIXTURE_TEST(bad_utf8),        FIXTURE_TEST(meta_json),
        FIXTURE_TEST(bad_meta_json),     FIXTURE_TEST(meta_pickle),     FIXTURE_TEST(bad_pickles),
        FIXTURE_TEST(prepare_a_text),    FIXTURE_TEST(prepare_refuses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
