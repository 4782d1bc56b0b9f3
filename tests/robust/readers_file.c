// The files: tensors, checkpoints, tokens, characters, records.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/hash.h"
#include "driver/bench/bench.h"
#include "driver/checkpoint.h"
#include "driver/plot/plot.h"
#include "driver/tune/tune.h"
#include "runtime/tensor_file.h"
#include "runtime/tokens.h"
#include "tests/robust/readers.h"
#include "tests/robust/samples.h"

static const char *const json_words[] = {"{",
                                         "}",
                                         "[",
                                         "]",
                                         ":",
                                         ",",
                                         "\"",
                                         "null",
                                         "true",
                                         "1",
                                         "-1",
                                         "0",
                                         "1e400",
                                         "{}",
                                         "[]",
                                         "\"\"",
                                         "\"a\"",
                                         "\\u0000",
                                         "\\ud800",
                                         "\"dtype\"",
                                         "\"shape\"",
                                         "\"data_offsets\"",
                                         "\"__metadata__\"",
                                         "F32",
                                         "F16",
                                         "BF16",
                                         "I64",
                                         "\"itos\"",
                                         "\"vocab_size\"",
                                         "\"variants\"",
                                         "\"ns\"",
                                         "\"iter\"",
                                         "\"loss\"",
                                         "NaN",
                                         "\n",
                                         NULL};

// ---- tensors

static Bytes tensor_sample(Arena *arena, const char *header, size_t data) {
    size_t length = strlen(header);
    char *bytes = arena_alloc(arena, 8 + length + data + 1);
    for (int i = 0; i < 8; i++)
        bytes[i] = (char)((uint64_t)length >> 8 * i);
    memcpy(bytes + 8, header, length);
    for (size_t i = 0; i < data; i++)
        bytes[8 + length + i] = (char)(i * 37);
    return (Bytes){bytes, 8 + length + data};
}

static void add_tensors(Samples *samples, const char *header, size_t data) {
    Bytes bytes = tensor_sample(samples->arena, header, data);
    samples_add(samples, bytes.bytes, bytes.length);
}

Source tensor_samples(Arena *arena) {
    Samples samples = {.arena = arena};
    add_tensors(&samples,
                "{\"__metadata__\":{\"format\":\"pt\",\"iter\":\"12\"},\"a\":{\"dtype\":\"F32\",\"shape\":[2,3],\"data_"
                "offsets\":[0,24]},"
                "\"b\":{\"dtype\":\"BF16\",\"shape\":[4],\"data_offsets\":[24,32]},\"c\":{\"dtype\":\"F16\",\"shape\":["
                "],\"data_offsets\":[32,34]},"
                "\"d\":{\"dtype\":\"F32\",\"shape\":[0,7],\"data_offsets\":[34,34]}}",
                34);
    add_tensors(&samples, "{\"w\":{\"dtype\":\"F32\",\"shape\":[1,1,1,1,1,1,1,2],\"data_offsets\":[0,8]}}   ", 8);
    add_tensors(&samples, "{}", 0);
    return samples_source(&samples, json_words);
}

// The header is as long as the first eight bytes say again: up to its last brace, or about there.
Bytes tensor_repair(Arena *arena, Bytes input) {
    (void)arena;
    if (input.length < 8) return input;
    size_t end = 8;
    for (size_t i = 8; i + 1 < input.length; i++)
        if (input.bytes[i] == '}' && input.bytes[i + 1] == '}') end = i + 2;
    for (int i = 0; i < 8; i++)
        input.bytes[i] = (char)((uint64_t)(end - 8) >> 8 * i);
    return input;
}

static bool read_tensors(Arena *arena, Diags *diags, TensorFile **file) {
    if (tensor_file_open(arena, "m.safetensors", file, diags) != RUNTIME_OK) return false;
    bool sound = true;
    for (size_t i = 0; i < tensor_file_count(*file); i++) {
        const TensorEntry *entry = tensor_file_at(*file, i);
        float *values = arena_alloc_array(arena, entry->elements, sizeof(float));
        sound = tensor_file_read(*file, entry, values, diags) == RUNTIME_OK && sound;
        assert_non_null(tensor_file_find(*file, entry->name));
    }
    return sound;
}

bool feed_tensor(Arena *arena, Bytes input, Diags *diags) {
    TensorFile *file = NULL;
    memory_file_install(input);
    bool sound = read_tensors(arena, diags, &file);
    tensor_file_close(file);
    memory_file_remove();
    return sound;
}

// ---- checkpoints: with a model in their metadata

Source checkpoint_samples(Arena *arena) {
    static const char header[] =
        "{\"__metadata__\":{\"sinter.spec\":\"model tiny\\nconfig n=4 kind=a|b\\ndim B=batch_size T=block_size "
        "V=vocab_size C=n\\n"
        "input tok[B,T]:u16 target[B,T]:u16\\nparam w[V,C] as \\\"w\\\"\\nlogits[B,T,V] = sum(C) w[V=tok] * w\\n"
        "loss = mean(B,T) cross_entropy(V)(logits, target)\\n\",\"sinter.spec_file\":\"tiny.spec\",\"sinter.config\":"
        "\"batch_size = 2\\nblock_size = 4\\nvocab_size = 3\\nn = 4\\nkind = "
        "'b'\\n\",\"sinter.characters\":\"ab\\u00e9\",\"iter\":\"5\"},"
        "\"w\":{\"dtype\":\"F32\",\"shape\":[3,4],\"data_offsets\":[0,48]}}";
    Samples samples = {.arena = arena};
    add_tensors(&samples, header, 48);
    return samples_source(&samples, json_words);
}

bool feed_checkpoint(Arena *arena, Bytes input, Diags *diags) {
    TensorFile *file = NULL;
    memory_file_install(input);
    bool sound = read_tensors(arena, diags, &file);
    if (sound) {
        Command command = {.arena = arena, .diags = diags, .config = config_create(arena)};
        declare_sample_keys(command.config);
        Vocabulary *vocabulary;
        sound = checkpoint_read_model(&command, file, &vocabulary) == EXIT_DONE;
        if (sound && vocabulary) {
            Text text = text_create(arena);
            for (int32_t token = -1; token <= vocabulary->size; token++)
                vocabulary_decode(vocabulary, token, &text);
        }
    }
    tensor_file_close(file);
    memory_file_remove();
    return sound;
}

// ---- tokens

Source tokens_samples(Arena *arena) {
    static const char *const words[] = {"", NULL};
    Samples samples = {.arena = arena};
    uint16_t raw[40] = {0, 1, 2, 64, 7, 3};
    uint32_t header[256 + 20] = {20240520, 1, 40};
    samples_add(&samples, (const char *)raw, sizeof raw);
    samples_add(&samples, (const char *)header, sizeof header);
    header[0] = 20240801, header[1] = 7, header[2] = 20;
    samples_add(&samples, (const char *)header, sizeof header);
    return samples_source(&samples, words);
}

bool feed_tokens(Arena *arena, Bytes input, Diags *diags) {
    (void)arena;
    enum { ROWS = 2, COLUMNS = 4 };
    bool sound = true;
    memory_file_install(input);
    for (int width = 2; width <= 4; width += 2) {
        TokenFile *file = NULL;
        int32_t tokens[ROWS * COLUMNS], targets[ROWS * COLUMNS];
        bool opened = token_file_open("m.bin", width, &file, diags) == RUNTIME_OK;
        for (int order = ORDER_RANDOM; order <= ORDER_SEQUENTIAL && opened; order++) {
            BatchSource source = {file, (DataOrder)order, STREAM_TRAIN, 7, ROWS, COLUMNS, 65};
            bool fits = batch_check(&source, diags) == RUNTIME_OK;
            for (int64_t draw = 0; draw < 3 && fits; draw++) {
                if (batch_read(&source, draw, tokens, targets, diags) != RUNTIME_OK) break;
                for (int i = 0; i < ROWS * COLUMNS; i++)
                    assert_true(tokens[i] >= 0 && tokens[i] < 65 && targets[i] >= 0 && targets[i] < 65);
            }
            sound = sound && fits;
        }
        sound = sound && opened;
        token_file_close(file);
    }
    memory_file_remove();
    return sound;
}

// ---- characters

Source meta_samples(Arena *arena) {
    Samples samples = {.arena = arena};
    static const char full[] = "{\"vocab_size\": 4, \"itos\": [\"a\", \"\\n\", \"\\u00e9\", \"\\u0000\"]}",
                      bare[] = "{\"vocab_size\": 50304}";
    samples_add(&samples, full, sizeof full - 1);
    samples_add(&samples, bare, sizeof bare - 1);
    return samples_source(&samples, json_words);
}

static bool load_meta(Arena *arena, const char *path, Bytes input, Diags *diags) {
    Vocabulary *vocabulary = NULL;
    int64_t size;
    memory_file_install(input);
    bool sound = vocabulary_load(arena, path, &vocabulary, &size, diags) == RUNTIME_OK;
    memory_file_remove();
    if (!sound || !vocabulary) return sound;
    int32_t tokens[8];
    size_t count;
    vocabulary_encode(vocabulary, "text", "a\n\xC3\xA9", 4, tokens, &count, diags_create(arena));
    Text text = text_create(arena);
    for (int32_t token = -1; token <= vocabulary->size; token++)
        vocabulary_decode(vocabulary, token, &text);
    return true;
}

bool feed_meta(Arena *arena, Bytes input, Diags *diags) {
    return load_meta(arena, "meta.json", input, diags);
}

Source pickle_samples(Arena *arena) {
    static const char *const words[] = {"\x80\x04",
                                        "\x95",
                                        ".",
                                        "(",
                                        "}",
                                        "s",
                                        "u",
                                        "J",
                                        "K",
                                        "M",
                                        "\x8c",
                                        "X",
                                        "\x94",
                                        "q",
                                        "r",
                                        "h",
                                        "j",
                                        "\x8c\x04itos",
                                        "X\xff\xff\xff\xff",
                                        "r\xff\xff\xff\x7f",
                                        NULL};
    // {'vocab_size': 3, 'itos': {0: '\n', 1: 'a', 2: 'é'}} by Python 3.11, protocols 4 and 2
    static const char four[] = "\x80\x04\x95\x2d\0\0\0\0\0\0\0}\x94(\x8c\nvocab_size\x94K\3\x8c\4itos\x94}\x94("
                               "K\0\x8c\1\n\x94K\1\x8c\1a\x94K\2\x8c\2\xc3\xa9\x94uu.";
    static const char two[] = "\x80\2}q\0(X\n\0\0\0vocab_sizeq\1K\3X\4\0\0\0itosq\2}q\3("
                              "K\0X\1\0\0\0\nq\4K\1X\1\0\0\0aq\5K\2X\2\0\0\0\xc3\xa9q\6uu.";
    Samples samples = {.arena = arena};
    samples_add(&samples, four, sizeof four - 1);
    samples_add(&samples, two, sizeof two - 1);
    Diags *diags = diags_create(arena);
    for (size_t i = 0; i < samples.count; i++)
        if (!load_meta(arena, "meta.pkl", samples.list[i], diags)) fail_msg("sample %zu of meta.pkl is not sound", i);
    return samples_source(&samples, words);
}

bool feed_pickle(Arena *arena, Bytes input, Diags *diags) {
    return load_meta(arena, "meta.pkl", input, diags);
}

// ---- records

Source record_samples(Arena *arena) {
    static const char text[] =
        "{\"format\":\"sinter "
        "bench\",\"version\":1,\"when\":\"now\",\"versions\":{\"sinter\":\"0\",\"llvm\":\"22\",\"blas\":\"x\"},"
        "\"machine\":{\"cpu\":\"c\",\"cores\":2,"
        "\"threads\":2,\"vector_bytes\":64,\"l1_bytes\":1,\"l2_bytes\":2,\"l3_bytes\":3,\"peak_flops\":1e11,\"read_"
        "bandwidth\":1e10,\"triad_bandwidth\":1e10},"
        "\"model\":\"gpt2\",\"spec_file\":\"gpt2.spec\",\"spec\":\"model gpt2\\n\",\"config\":\"n = "
        "1\\n\",\"tokens\":{\"path\":\"t.bin\",\"bytes\":100,\"hash\":\"ab\"},"
        "\"ablation\":false,\"resident\":true,\"rounds\":2,\"steps\":2,\"processor_share\":0.9,\"warmup\":1,"
        "\"variants\":[{\"name\":\"all\",\"role\":\"level\",\"level\":\"all\","
        "\"key\":null,\"value\":null,\"kind\":null,\"choices\":\"\",\"tokens\":64,\"parameters\":10,\"formula_flops\":"
        "100,\"losses\":[1.5,1.25],\"ns\":[[1000,1001],[1002,1003]]}]}";
    Samples samples = {.arena = arena};
    samples_add(&samples, text, sizeof text - 1);
    Diags *diags = diags_create(arena);
    Text said = text_create(arena);
    bool sound = feed_record(arena, samples.list[0], diags);
    diags_render(diags, &said);
    if (!sound) fail_msg("the sample of a record is not sound: %s", text_string(&said));
    return samples_source(&samples, json_words);
}

bool feed_record(Arena *arena, Bytes input, Diags *diags) {
    Command command = {.arena = arena, .diags = diags, .config = config_create(arena)};
    Bench bench;
    memory_file_install(input);
    bool sound = bench_read(&command, "m.json", &bench) == EXIT_DONE;
    memory_file_remove();
    return sound;
}

Source metrics_samples(Arena *arena) {
    static const char text[] = "{\"iter\":0,\"train_loss\":4.2,\"val_loss\":4.3}\n{\"iter\":0,\"loss\":4.1,\"grad_"
                               "norm\":1.5,\"lr\":0.001,\"ms\":10.5,\"tok_s\":1000}\n"
                               "{\"iter\":1,\"loss\":null,\"lr\":0.001,\"ms\":10.5,\"tok_s\":1000}\n{\"iter\":"
                               "9223372036854775807,\"loss\":1e300,\"ms\":1}\n";
    Samples samples = {.arena = arena};
    samples_add(&samples, text, sizeof text - 1);
    return samples_source(&samples, json_words);
}

bool feed_metrics(Arena *arena, Bytes input, Diags *diags) {
    Run run;
    memory_file_install(input);
    bool sound = run_read(arena, "m.jsonl", &run, diags);
    memory_file_remove();
    return sound;
}

// ---- what tuning remembered: a real file, since its owner and mode count

static const char tune_key[] = "a key";

// Makes the last line the hash of what stands before it.
Bytes tune_repair(Arena *arena, Bytes input) {
    char *end = strstr(input.bytes, "# end ");
    size_t length = end ? (size_t)(end - input.bytes) : input.length;
    if (memchr(input.bytes, 0, length)) return input;
    const char *fixed =
        arena_format(arena, "%.*s# end %016llx\n", (int)length, input.bytes, hash_bytes(input.bytes, length));
    return bytes_copy(arena, fixed, strlen(fixed));
}

Source tune_samples(Arena *arena) {
    static const char *const words[] = {"# sinter tune 1 ",           "# end ", "\n", "strand 6",
                                        "# searched, in seconds: 30", NULL};
    Samples samples = {.arena = arena};
    const char *text =
        arena_format(arena, "# sinter tune 1 %016llx\n# searched, in seconds: 30\nstrand 24 groups 2 in step\n",
                     hash_text(tune_key));
    Bytes whole = tune_repair(arena, bytes_copy(arena, text, strlen(text)));
    samples_add(&samples, whole.bytes, whole.length);
    return samples_source(&samples, words);
}

bool feed_tune(Arena *arena, Bytes input, Diags *diags) {
    const char *home = getenv("SINTER_MUTATION_FOLDER"), *note;
    const char *path = arena_format(arena, "%s/x.choices", home);
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(input.bytes, 1, input.length, file), input.length);
    assert_int_equal(fclose(file), 0);
    const char *text = tune_load(arena, path, tune_key, &note);
    if (!text) return diag_error(diags, (Place){0}, "%s", note ? note : "nothing there");
    return choices_add(choices_create(arena), path, text, diags);
}
