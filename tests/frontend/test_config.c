// Keys, their literals, config files, and what is said about wrong ones.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/frontend/keys.h"

static const char *render(Arena *arena, const Diags *diags) {
    Text text = text_create(arena);
    diags_render(diags, &text);
    return text_string(&text);
}

static void test_literals(void **state) {
    (void)state;
    static const struct {
        const char *key, *literal;
        double expected;
    } cases[] = {
        {"batch_size", "8", 8},       {"batch_size", "-1", -1},
        {"batch_size", "5 * 8", 40},  {"max_iters", "6e5", 600000},
        {"max_iters", "1_000", 1000}, {"max_iters", "600000 / 2", 300000},
        {"learning_rate", "1", 1},    {"learning_rate", "1e-3", 1e-3},
        {"learning_rate", ".5", 0.5}, {"learning_rate", "3 * 2 / 4", 1.5},
        {"dropout", "0", 0},          {"learning_rate", "+2.5", 2.5},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        Arena *arena = arena_create();
        Diags *diags = diags_create(arena);
        Config *config = keys_create(arena);
        assert_true(config_assign(config, cases[i].key, cases[i].literal, (Place){0}, diags));
        const ConfigKey *key = config_find(config, cases[i].key);
        assert_true(key->value.number == cases[i].expected);
        if (key->value.type == CONFIG_INT) assert_int_equal(key->value.integer, (int64_t)cases[i].expected);
        assert_true(key->assigned);
        arena_free(arena);
    }
}

static void test_bools_and_strings(void **state) {
    (void)state;
    Arena *arena = arena_create();
    Diags *diags = diags_create(arena);
    Config *config = keys_create(arena);
    static const char *const yes[] = {"True", "true", "1"}, *const no[] = {"False", "false", "0"};
    for (int i = 0; i < 3; i++) {
        assert_true(config_assign(config, "bias", yes[i], (Place){0}, diags));
        assert_true(config_bool(config, "bias"));
        assert_true(config_assign(config, "bias", no[i], (Place){0}, diags));
        assert_false(config_bool(config, "bias"));
    }
    static const char *const same[] = {"a b", "'a b'", "\"a b\""};
    for (int i = 0; i < 3; i++) {
        assert_true(config_assign(config, "out_dir", same[i], (Place){0}, diags));
        assert_string_equal(config_string(config, "out_dir"), "a b");
    }
    assert_true(config_assign(config, "out_dir", "", (Place){0}, diags));
    assert_string_equal(config_string(config, "out_dir"), "");
    assert_int_equal(diags_count(diags), 0);
    arena_free(arena);
}

static void test_wrong_literals(void **state) {
    (void)state;
    static const struct {
        const char *key, *literal, *message;
    } cases[] = {
        {"batch_sise", "8", "unknown key 'batch_sise'; did you mean 'batch_size'?"},
        {"zzz", "8", "unknown key 'zzz'"},
        {"batch_size", "many", "'batch_size' must be an integer, found 'many'"},
        {"batch_size", "", "'batch_size' must be an integer, found ''"},
        {"batch_size", "1.5", "'batch_size' must be an integer, found '1.5'"},
        {"batch_size", "3 / 2", "'batch_size' must be an integer, found '3 / 2'"},
        {"batch_size", "5 *", "'batch_size' must be an integer, found '5 *'"},
        {"batch_size", "5 + 1", "'batch_size' must be an integer, found '5 + 1'"},
        {"batch_size", "1 / 0", "'batch_size' must be an integer, found '1 / 0'"},
        {"batch_size", "'12'", "'batch_size' must be an integer, found ''12''"},
        {"batch_size", "True", "'batch_size' must be an integer, found 'True'"},
        {"batch_size", "1e300", "'batch_size': the integer '1e300' is too large"},
        {"learning_rate", "1e-3x", "'learning_rate' must be a number, found '1e-3x'"},
        {"learning_rate", "nan", "'learning_rate' must be a number, found 'nan'"},
        {"learning_rate", "inf", "'learning_rate' must be a number, found 'inf'"},
        {"learning_rate", "1e999", "'learning_rate' must be a number, found '1e999'"},
        {"bias", "yes", "'bias' must be True or False, found 'yes'"},
        {"bias", "2", "'bias' must be True or False, found '2'"},
        {"out_dir", "'open", "'out_dir' must be a string, found 'open"},
        {"out_dir", "'a' + 'b'", "'out_dir' must be a string, found 'a' + 'b'"},
        {"gelu", "relu", "'gelu' is one of erf, tanh; found 'relu'"},
    };
    static const char *const choices[] = {"erf", "tanh", NULL};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        Arena *arena = arena_create();
        Diags *diags = diags_create(arena);
        Config *config = keys_create(arena);
        config_declare(config, "gelu", (ConfigValue){.type = CONFIG_STRING, .string = "erf"}, choices, true);
        assert_false(config_assign(config, cases[i].key, cases[i].literal, (Place){.file = "--"}, diags));
        assert_string_equal(render(arena, diags), arena_format(arena, "--: error: %s\n", cases[i].message));
        arena_free(arena);
    }
}

static const char shakespeare[] = "\"\"\"\nA docstring = not read.\n\"\"\"\n"
                                  "# train a miniature character-level shakespeare model\n"
                                  "\n"
                                  "out_dir = 'out-#1' # it's kept\n"
                                  "batch_size=5 * 8\r\n"
                                  "\tlearning_rate = 1e-3 # with baby networks can afford to go a bit higher\n"
                                  "bias = True";

static void test_file(void **state) {
    (void)state;
    Arena *arena = arena_create();
    Diags *diags = diags_create(arena);
    Config *config = keys_create(arena);
    Text echo = text_create(arena);
    assert_true(config_read(config, "c.py", shakespeare, &echo, diags));
    assert_string_equal(render(arena, diags), "");
    assert_string_equal(config_string(config, "out_dir"), "out-#1");
    assert_int_equal(config_int(config, "batch_size"), 40);
    assert_true(config_float(config, "learning_rate") == 1e-3);
    assert_true(config_bool(config, "bias"));
    assert_true(config_float(config, "n_layer") == 12);
    const ConfigKey *key = config_find(config, "learning_rate");
    assert_int_equal(key->place.line, 8);
    assert_int_equal(key->place.column, 18);
    assert_string_equal(text_string(&echo), arena_format(arena, "%s\n", shakespeare));
    arena_free(arena);
}

static void test_wrong_files(void **state) {
    (void)state;
    static const char *const grammar = "a config file has only comments, blank lines and lines such as 'key = literal'";
    const struct {
        const char *source;
        unsigned line, column;
        const char *message;
    } cases[] = {
        {"bias = True\nimport time\n", 2, 1, grammar},
        {"if bias:\n  batch_size = 1\n", 1, 1, grammar},
        {"  batch_size\n", 1, 3, grammar},
        {"batch_size =   # nothing\n", 1, 1, grammar},
        {"batch_size == 3\n", 1, 1, grammar},
        {"= 3\n", 1, 1, grammar},
        {"8 = 3\n", 1, 1, grammar},
        {"bias = True\n\"\"\"late docstring\"\"\"\n", 2, 1, grammar},
        {"\"\"\"open\nbatch_size = 3\n", 1, 1, grammar},
        {"\n  batch_sise = 3\n", 2, 3, "unknown key 'batch_sise'; did you mean 'batch_size'?"},
        {"batch_size =  'a'\n", 1, 15, "'batch_size' must be an integer, found ''a''"},
        {"out_dir = 'ft-' + str(1)\n", 1, 11, "'out_dir' must be a string, found 'ft-' + str(1)"},
        {"out_dir = name + str(1)\n", 1, 11, "expected a literal, found the expression 'name + str(1)'"},
        {"bias = not True\n", 1, 8, "'bias' must be True or False, found 'not True'"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        Arena *arena = arena_create();
        Diags *diags = diags_create(arena);
        assert_false(config_read(keys_create(arena), "c.py", cases[i].source, NULL, diags));
        const char *all = render(arena, diags);
        const char *expected =
            arena_format(arena, "c.py:%u:%u: error: %s\n", cases[i].line, cases[i].column, cases[i].message);
        assert_string_equal(arena_copy_range(arena, all, strcspn(all, "\n") + 1), expected);
        arena_free(arena);
    }
}

static void test_peek(void **state) {
    (void)state;
    Arena *arena = arena_create();
    const char *source = "import time\nmodel = 'gpt2' # first\nmodel=llama\nother = \"model = x\"\n";
    assert_string_equal(config_peek(arena, source, "model"), "llama");
    assert_string_equal(config_peek(arena, source, "other"), "model = x");
    assert_null(config_peek(arena, source, "absent"));
    assert_null(config_peek(arena, "", "model"));
    arena_free(arena);
}

// What the spec declares meets what nanoGPT declared and the user assigned.
static void test_declare_again(void **state) {
    (void)state;
    Arena *arena = arena_create();
    Diags *diags = diags_create(arena);
    Config *config = keys_create(arena);
    size_t before = config_count(config);
    assert_true(config_assign(config, "n_layer", "3", (Place){0}, diags));
    const char *source = "model m\nconfig n_layer=7 n_head=5 dropout=0 act=erf|tanh extra=\"text\"\nloss = 1\n";
    Spec *spec = spec_parse(arena, "m", source, diags);
    assert_non_null(spec);
    assert_true(spec_declare(spec, config, diags));
    assert_int_equal(config_count(config), before + 2);
    assert_int_equal(config_int(config, "n_layer"), 3);
    assert_int_equal(config_int(config, "n_head"), 5);
    assert_true(config_find(config, "n_layer")->from_spec);
    assert_false(config_find(config, "batch_size")->from_spec);
    assert_int_equal(config_find(config, "dropout")->value.type, CONFIG_FLOAT);
    assert_string_equal(config_string(config, "act"), "erf");
    assert_string_equal(config_at(config, before)->name, "act");
    assert_string_equal(config_string(config, "extra"), "text");
    assert_null(config_find(config, "absent"));
    arena_free(arena);
}

// A value given before its choices were known is checked when they are.
static void test_early_choice(void **state) {
    (void)state;
    Arena *arena = arena_create();
    Diags *diags = diags_create(arena);
    Config *config = config_create(arena);
    config_declare(config, "act", (ConfigValue){.type = CONFIG_STRING, .string = ""}, NULL, false);
    assert_true(config_assign(config, "act", "relu", (Place){.file = "--act"}, diags));
    Spec *spec = spec_parse(arena, "m", "model m\nconfig act=erf|tanh\nloss = 1\n", diags);
    assert_non_null(spec);
    assert_false(spec_declare(spec, config, diags));
    assert_string_equal(render(arena, diags), "--act: error: 'act' is one of erf, tanh; found 'relu'\n");
    arena_free(arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_literals),       cmocka_unit_test(test_bools_and_strings),
        cmocka_unit_test(test_wrong_literals), cmocka_unit_test(test_file),
        cmocka_unit_test(test_wrong_files),    cmocka_unit_test(test_peek),
        cmocka_unit_test(test_declare_again),  cmocka_unit_test(test_early_choice),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
