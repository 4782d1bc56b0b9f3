// Checkpoint metadata: see checkpoint.h.
#include "driver/checkpoint.h"

#include <string.h>

// The keys that decide shapes and meaning: the spec's own, and the three that dims commonly use.
static const char *config_text(Command *command) {
    static const char *const shape_keys[] = {"batch_size", "block_size", "vocab_size"};
    Text text = text_create(command->arena);
    for (size_t i = 0; i < config_count(command->config); i++) {
        const ConfigKey *key = config_at(command->config, i);
        bool wanted = key->from_spec;
        for (size_t k = 0; k < sizeof shape_keys / sizeof *shape_keys; k++)
            wanted |= text_equal(key->name, shape_keys[k]);
        if (!wanted) continue;
        text_append(&text, "%s = ", key->name);
        config_literal(&text, &key->value);
        text_append(&text, "\n");
    }
    return text_string(&text);
}

// The characters of the meta file beside the training tokens, as one UTF-8 text; NULL when there is none.
static const char *characters(Command *command) {
    const char *meta = vocabulary_find(command->arena, train_tokens_path(command));
    Vocabulary *vocabulary = NULL;
    int64_t size;
    Diags *ignored = diags_create(command->arena);  // a damaged meta was already reported by configure_vocabulary
    if (!meta || vocabulary_load(command->arena, meta, &vocabulary, &size, ignored) != RUNTIME_OK || !vocabulary)
        return NULL;
    Text text = text_create(command->arena);
    for (int32_t token = 0; token < vocabulary->size; token++) {
        if (vocabulary->characters[token] == 0) return NULL;  // cannot be said in a text that ends at NUL
        vocabulary_decode(vocabulary, token, &text);
    }
    return text_string(&text);
}

const TensorMetadata *checkpoint_metadata(Command *command, size_t *count) {
    TensorMetadata *metadata = ARENA_ARRAY(command->arena, TensorMetadata, 4);
    *count = 0;
    metadata[(*count)++] = (TensorMetadata){"sinter.spec", command->spec_source};
    metadata[(*count)++] = (TensorMetadata){"sinter.spec_file", command->spec_file};
    metadata[(*count)++] = (TensorMetadata){"sinter.config", config_text(command)};
    const char *text = characters(command);
    if (text) metadata[(*count)++] = (TensorMetadata){"sinter.characters", text};
    return metadata;
}

static bool read_characters(Command *command, const char *text, Vocabulary **vocabulary) {
    size_t length = strlen(text);
    uint32_t *list = ARENA_ARRAY(command->arena, uint32_t, length + 1);
    int32_t count = 0;
    for (size_t at = 0; at < length;) {
        int bytes = utf8_read(text + at, length - at, &list[count]);
        if (bytes == 0) return false;
        at += (size_t)bytes;
        count++;
    }
    return vocabulary_create(command->arena, list, count, vocabulary);
}

int checkpoint_read_model(Command *command, const TensorFile *file, Vocabulary **vocabulary) {
    const char *path = tensor_file_path(file), *text = tensor_file_metadata(file, "sinter.characters");
    const char *config = tensor_file_metadata(file, "sinter.config");
    command->spec_source = tensor_file_metadata(file, "sinter.spec");
    command->spec_file = tensor_file_metadata(file, "sinter.spec_file");
    if (!command->spec_source || !config) {
        diag_error(command->diags, (Place){0}, "%s: not written by sinter train (no %s in its metadata)", path,
                   !command->spec_source && !config ? "model" : !config ? "configuration" : "spec");
        return EXIT_BAD_FILE;
    }
    if (!command->spec_file) command->spec_file = path;
    command->spec = spec_parse(command->arena, command->spec_file, command->spec_source, command->diags);
    if (!command->spec || !spec_declare(command->spec, command->config, command->diags)) return EXIT_BAD_FILE;
    const char *name = arena_format(command->arena, "%s (sinter.config)", path);
    if (!config_read(command->config, name, config, NULL, command->diags)) return EXIT_BAD_FILE;
    *vocabulary = NULL;
    if (text && !read_characters(command, text, vocabulary)) {
        diag_error(command->diags, (Place){0}, "%s: its list of characters is damaged", path);
        return EXIT_BAD_FILE;
    }
    int64_t words = config_int(command->config, "vocab_size");
    if (*vocabulary && (*vocabulary)->size > words) {
        diag_error(command->diags, (Place){0}, "%s: names %d characters, but its vocab_size is %lld", path,
                   (*vocabulary)->size, (long long)words);
        return EXIT_BAD_FILE;
    }
    return EXIT_DONE;
}
