// The keys of nanoGPT that models use, as the driver declares them before a spec adds its own.
#ifndef SINTER_TESTS_FRONTEND_KEYS_H
#define SINTER_TESTS_FRONTEND_KEYS_H

#include <string.h>

#include "frontend/frontend.h"

static inline Config *keys_create(Arena *arena) {
    Config *config = config_create(arena);
    static const struct {
        const char *name;
        int64_t value;
    } integers[] = {{"batch_size", 12}, {"block_size", 1024}, {"n_layer", 12},
                    {"n_head", 12},     {"n_embd", 768},      {"max_iters", 600000}};
    for (size_t i = 0; i < sizeof integers / sizeof *integers; i++)
        config_declare(config, integers[i].name, (ConfigValue){.type = CONFIG_INT, .integer = integers[i].value}, NULL,
                       false);
    config_declare(config, "dropout", (ConfigValue){.type = CONFIG_FLOAT, .number = 0}, NULL, false);
    config_declare(config, "learning_rate", (ConfigValue){.type = CONFIG_FLOAT, .number = 6e-4}, NULL, false);
    config_declare(config, "bias", (ConfigValue){.type = CONFIG_BOOL, .integer = 0}, NULL, false);
    config_declare(config, "out_dir", (ConfigValue){.type = CONFIG_STRING, .string = "out"}, NULL, false);
    return config;
}

// Assigns "a=1 b=2". The words are keys of the config.
static inline void keys_assign(Arena *arena, Config *config, const char *words, Diags *diags) {
    char *text = arena_copy(arena, words), *rest = NULL;
    for (char *word = strtok_r(text, " ", &rest); word; word = strtok_r(NULL, " ", &rest)) {
        char *equals = strchr(word, '=');
        *equals = '\0';
        config_assign(config, word, equals + 1, (Place){.file = "keys"}, diags);
    }
}

#endif
