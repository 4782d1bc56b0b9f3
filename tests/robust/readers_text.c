// The languages: models, config files, graphs, plans, choices.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "driver/command.h"
#include "ir/plan.h"
#include "passes/choices.h"
#include "tests/robust/readers.h"
#include "tests/robust/samples.h"

// ---- models

Source spec_samples(Arena *arena) {
    static const char *const words[] = {
        "model",   "config", "dim",     "input", "init",    "param",     "layer",
        "fn",      "return", "in",      "as",    "if",      "else",      "and",
        "or",      "not",    "true",    "false", "inf",     "sum",       "mean",
        "max",     "lse",    "where",   "size",  "softmax", "layernorm", "cross_entropy",
        "dropout", "gelu",   "maximum", "B",     "T",       "S",         "C",
        "D",       "H",      "V",       "tok",   "x",       "(",         ")",
        "[",       "]",      "{",       "}",     "=",       "==",        ",",
        "\"",      "\n",     "#",       " * ",   " + ",     " / ",       "x[D = 1]",
        "[T=S]",   "(S)",    "i32",     "f32",   "zeros",   "normal",    "config(n_layer, 3)",
        NULL};
    Samples samples = {.arena = arena};
    samples_add_file(&samples, "models/gpt2.spec");
    samples_add_file(&samples, "models/llama.spec");
    samples_add_files(&samples, "examples", ".spec", 1 << 16);
    samples_add_files(&samples, "tests/frontend/cases", ".spec", 1 << 16);
    return samples_source(&samples, words);
}

static void shrink(const Config *config, Config *mutable, Diags *diags) {
    static const char *const sizes[][2] = {{"n_layer", "2"},    {"n_head", "2"},     {"n_embd", "8"},
                                           {"batch_size", "2"}, {"block_size", "4"}, {"vocab_size", "5"},
                                           {"n_kv_head", "1"},  {"n_ffn", "16"}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        const ConfigKey *key = config_find(config, sizes[i][0]);
        if (key && key->value.type == CONFIG_INT) config_assign(mutable, sizes[i][0], sizes[i][1], (Place){0}, diags);
    }
}

bool feed_spec(Arena *arena, Bytes input, Diags *diags) {
    Spec *spec = spec_parse(arena, "m.spec", input.bytes, diags);
    if (!spec) return false;
    Text tree = text_create(arena);
    spec_print(spec, &tree);
    Config *config = config_create(arena);
    declare_train_keys(config);
    if (!spec_declare(spec, config, diags)) return false;
    shrink(config, config, diags);
    bool sound = false; // not every model has logits
    for (int use = SPEC_LOSS; use <= SPEC_LOGITS; use++) {
        Graph *graph = spec_lower(arena, spec, config, (SpecUse)use, diags);
        if (!graph) continue;
        sound = true;
        const char *broken = graph_verify(graph, arena);
        if (broken) fail_msg("a graph that does not verify: %s", broken);
    }
    return sound;
}

// ---- config files

Source config_samples(Arena *arena) {
    static const char *const words[] = {
        "batch_size", "learning_rate", "out_dir", "dropout", "bias", "True", "False",     "None",   "=", "'",
        "\"",         "\"\"\"",        "'''",     "#",       "\n",   "1e-3", "import os", "'text'", " ", "\t",
        "\r",         "fuse",          "op",      NULL};
    Samples samples = {.arena = arena};
    samples_add_files(&samples, "configs", ".cfg", 1 << 16);
    static const char text[] = "\"\"\"nanoGPT's\nway\"\"\"\nout_dir = 'out-x' # folder\neval_interval=250\nbias = "
                               "False\nlearning_rate = 1e-3\n"
                               "dataset = \"text\"\ndtype = float32\nfuse = 'op'\ndropout = 0.2\n";
    samples_add(&samples, text, sizeof text - 1);
    return samples_source(&samples, words);
}

bool feed_config(Arena *arena, Bytes input, Diags *diags) {
    Config *config = config_create(arena);
    declare_train_keys(config);
    Text echo = text_create(arena);
    config_peek(arena, input.bytes, "model");
    return config_read(config, "m.cfg", input.bytes, &echo, diags);
}

// ---- graphs and plans

static const char *const ir_words[] = {
#define OP(ENUM, name, class_, operands, meaning) #name,
#include "ir/ops.def"
#undef OP
    "graph",        "plan",     "dim",      "group",   "output",   "value",     "step",    "region",
    "memory",       "f32",      "i32",      "bool",    "bf16",     "f16",       "stored",  "init",
    "normal",       "constant", "over",     "from",    "to",       "inner",     "at",      "name",
    "backward",     "of",       "B",        "T",       "C",        "%0",        "%1",      "%7",
    "[B,T]",        "[]",       "(C)",      "(",       ")",        "{",         "}",       "temporary",
    "state",        "map",      "row",      "product", "tiles",    "blas",      "cut",     "wait",
    "joined",       "same",     "all",      "none",    "arena+0",  "scratch+0", "next_of", "in_place",
    "parts 3",      "band",     "groups 2", "copy",    "bytes 64", "in",        "out",     "u16",
    "tile 3 by 16", "\"",       "\n",       NULL};

Source graph_samples(Arena *arena) {
    Samples samples = {.arena = arena};
    samples_add_files(&samples, "tests/ir/cases", ".graph", 1 << 14);
    samples_add_files(&samples, "tests/codegen/cases", ".graph", 1 << 12);
    samples_add_files(&samples, "tests/passes/simplify", ".ir", 1 << 12);
    for (size_t i = 0; i < samples.count; i++) { // a case of a pass: its input alone
        char *line = strstr(samples.list[i].bytes, "\n---");
        if (!line) continue;
        line[1] = '\0';
        samples.list[i].length = strlen(samples.list[i].bytes);
    }
    return samples_source(&samples, ir_words);
}

bool feed_graph(Arena *arena, Bytes input, Diags *diags) {
    Graph *graph = graph_parse(arena, "m.ir", input.bytes, diags);
    if (!graph) return false;
    Text once = text_create(arena), twice = text_create(arena);
    graph_print(graph, &once);
    Graph *again = graph_parse(arena, "again.ir", text_string(&once), diags);
    if (!again) fail_msg("what is printed cannot be read:\n%s", text_string(&once));
    graph_print(again, &twice);
    if (!text_equal(text_string(&once), text_string(&twice)))
        fail_msg("printed twice:\n%s\n%s", text_string(&once), text_string(&twice));
    return true;
}

Source plan_samples(Arena *arena) {
    Samples samples = {.arena = arena};
    static const char *const folders[] = {"tests/passes/cut_pieces",  "tests/passes/plan_edges",
                                          "tests/passes/plan_memory", "tests/passes/find_bands",
                                          "tests/passes/plan_chains", "tests/passes/choose_layouts"};
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++)
        samples_add_files(&samples, folders[i], ".ir", 1 << 13);
    size_t kept = 0;
    for (size_t i = 0; i < samples.count; i++) { // a case of a pass: its result alone, where that is a plan
        char *line = strstr(samples.list[i].bytes, "\n---\nplan ");
        if (line) samples.list[kept++] = bytes_copy(arena, line + 5, strlen(line + 5));
    }
    samples.count = kept;
    assert_true(kept >= 10);
    return samples_source(&samples, ir_words);
}

bool feed_plan(Arena *arena, Bytes input, Diags *diags) {
    Plan *plan = plan_parse(arena, "m.ir", input.bytes, diags);
    if (!plan) return false;
    Text once = text_create(arena), twice = text_create(arena);
    plan_print(plan, &once);
    Plan *again = plan_parse(arena, "again.ir", text_string(&once), diags);
    if (!again) fail_msg("what is printed cannot be read:\n%s", text_string(&once));
    plan_print(again, &twice);
    if (!text_equal(text_string(&once), text_string(&twice)))
        fail_msg("printed twice:\n%s\n%s", text_string(&once), text_string(&twice));
    return true;
}

// ---- choices

Source choices_samples(Arena *arena) {
    static const char *const words[] = {
        "forbid", "make",   "fuse",      "keep",     "redo",  "tile",       "chunk",
        "strand", "engine", "precision", "in",       "step",  "micro",      "eval",
        "at",     "with",   "over",      "groups",   "off",   "layer[*].p", "layer[0..3].m#2",
        "{0..3}", "[",      "]",         "*",        "..",    "#",          "\"",
        "13x32",  "0x0",    "f32",       "openblas", "tiles", "\n",         " ",
        NULL};
    static const char text[] =
        "forbid band at layer[*].p   # comment\nforbid strand\nforbid merge product with add\nmake pack at layer[0].y\n"
        "fuse layer[*].u with layer[*].m\nkeep layer[*].p\nredo layer[0..3].p in eval\ntile layer[*].u 13x32\n"
        "chunk layer[*].u 4 over B,T\nstrand 6 groups 2\nengine layer[*].u openblas\nprecision layer[*].u f32\nin "
        "eval\n"
        "forbid \"band of softmax\" at layer{0..3}.p\n";
    Samples samples = {.arena = arena};
    samples_add(&samples, text, sizeof text - 1);
    samples_add(&samples, "strand off\nin micro\nkeep x#2\n", 29);
    return samples_source(&samples, words);
}

bool feed_choices(Arena *arena, Bytes input, Diags *diags) {
    Choices *choices = choices_create(arena);
    bool sound = choices_add(choices, "m.choices", input.bytes, diags);
    for (size_t i = 0; i < choices_count(choices); i++) {
        const Choice *choice = choices_at(choices, i);
        static const char *const names[] = {"layer[0].p", "layer[11].m#2", "wte", "x~1", ""};
        for (size_t n = 0; n < sizeof names / sizeof *names; n++) {
            if (choice->place) choice_matches(choice->place, names[n]);
            if (choice->with) choice_matches(choice->with, names[n]);
            if (choice->label) choice_matches(choice->label, names[n]);
            for (int word = 0; word < choice->word_count; word++)
                choice_matches(choice->words[word], names[n]);
        }
    }
    choices_begin(choices, "step");
    choices_about(choices, "find_bands", "band of softmax", "layer[0].p");
    choices_of_value(choices, "layer[0].p");
    choices_of_strand(choices);
    Text out = text_create(arena);
    choices_print(choices, &out);
    return sound;
}
