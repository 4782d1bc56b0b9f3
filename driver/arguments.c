// argv -> Config and Spec: nanoGPT's argument rules. Files and `--key=value`s count left to right, later wins; files
// are echoed, and so is each override.
#include <string.h>

#include "base/file.h"
#include "driver/command.h"

enum { LARGEST_TEXT = 256 << 10 };  // of a spec or a config file; gpt2.spec has 2 kB

static bool ends_with(const char *text, const char *ending) {
    size_t length = strlen(text), tail = strlen(ending);
    return length >= tail && strcmp(text + length - tail, ending) == 0;
}

static bool is_config_file(const char *argument) { return ends_with(argument, ".cfg") || ends_with(argument, ".py"); }

// The value of `--key=...` among the arguments, the last one; NULL when absent.
static const char *last_option(int count, char **arguments, const char *key) {
    size_t length = strlen(key);
    const char *value = NULL;
    for (int i = 0; i < count; i++) {
        const char *argument = arguments[i];
        if (strncmp(argument, "--", 2) == 0 && strncmp(argument + 2, key, length) == 0 && argument[2 + length] == '=')
            value = argument + 3 + length;
    }
    return value;
}

// Which spec: a .spec argument, else --model=, else `model =` in a config file, else gpt2. EXIT_DONE or an exit code.
static int find_model(Command *command, int count, char **arguments, const char **found) {
    const char *model = NULL;
    for (int i = 0; i < count; i++) {
        if (ends_with(arguments[i], ".spec")) {
            if (model) {
                diag_error(command->diags, (Place){0}, "two specs given: %s and %s", model, arguments[i]);
                return EXIT_USAGE;
            }
            model = arguments[i];
        }
    }
    if (!model) model = last_option(count, arguments, "model");
    for (int i = 0; i < count && !model; i++) {
        if (!is_config_file(arguments[i])) continue;
        const char *source = file_read_text(command->arena, arguments[i], LARGEST_TEXT, command->diags);
        if (!source) return EXIT_BAD_FILE;
        model = config_peek(command->arena, source, "model");
    }
    *found = model ? model : "gpt2";
    return EXIT_DONE;
}

static int read_spec(Command *command, const char *model) {
    if (ends_with(model, ".spec")) {
        command->spec_file = model;
        command->spec_source = file_read_text(command->arena, model, LARGEST_TEXT, command->diags);
        if (!command->spec_source) return EXIT_BAD_FILE;
    } else {
        command->spec_file = arena_format(command->arena, "%s.spec", model);
        command->spec_source = spec_embedded(model);
        if (!command->spec_source) {
            diag_error(command->diags, (Place){0}, "no model '%s' in this program; give a .spec file, gpt2 or llama",
                       model);
            return EXIT_USAGE;
        }
    }
    command->spec = spec_parse(command->arena, command->spec_file, command->spec_source, command->diags);
    return command->spec && spec_declare(command->spec, command->config, command->diags) ? EXIT_DONE : EXIT_USAGE;
}

static int read_config_file(Command *command, const char *path, Text *echo) {
    const char *source = file_read_text(command->arena, path, LARGEST_TEXT, command->diags);
    if (!source) return EXIT_BAD_FILE;
    text_append(echo, "Overriding config with %s:\n", path);
    return config_read(command->config, path, source, echo, command->diags) ? EXIT_DONE : EXIT_USAGE;
}

// `--key=value`; `--flag` alone is allowed for booleans and means True.
static int read_option(Command *command, const char *argument, Text *echo) {
    const char *equals = strchr(argument, '=');
    const char *key = equals ? arena_copy_range(command->arena, argument + 2, (size_t)(equals - argument - 2))
                             : arena_copy(command->arena, argument + 2);
    Place place = {.file = "command line"};
    const char *literal = equals ? equals + 1 : "True";
    const ConfigKey *known = config_find(command->config, key);
    if (!equals && known && known->value.type != CONFIG_BOOL) {
        diag_error(command->diags, place, "--%s needs a value: --%s=...", key, key);
        return EXIT_USAGE;
    }
    if (!config_assign(command->config, key, literal, place, command->diags)) return EXIT_USAGE;
    text_append(echo, "Overriding: %s = %s\n", key, literal);
    return EXIT_DONE;
}

static void note_ignored_keys(const Config *config, Text *echo) {
    for (size_t i = 0; i < config_count(config); i++) {
        const ConfigKey *key = config_at(config, i);
        if (key->assigned && key->ignored && !key->from_spec)
            text_append(echo, "note: %s has no meaning for this model here and is ignored\n", key->name);
    }
}

int arguments_read(Command *command, int count, char **arguments, void (*declare)(Config *config), bool wants_model) {
    declare(command->config);
    if (wants_model) {
        const char *model;
        int status = find_model(command, count, arguments, &model);
        if (status == EXIT_DONE) status = read_spec(command, model);
        if (status != EXIT_DONE) return status;
    }
    const char **files = ARENA_ARRAY(command->arena, const char *, (size_t)count + 1);
    Text echo = text_create(command->arena);
    for (int i = 0; i < count; i++) {
        int status = EXIT_DONE;
        if (strncmp(arguments[i], "--", 2) == 0) {
            status = read_option(command, arguments[i], &echo);
        } else if (wants_model && ends_with(arguments[i], ".spec")) {
            continue;
        } else if (wants_model && is_config_file(arguments[i])) {
            status = read_config_file(command, arguments[i], &echo);
        } else {
            files[command->file_count++] = arguments[i];
        }
        if (status != EXIT_DONE) return status;
    }
    command->files = files;
    note_ignored_keys(command->config, &echo);
    const ConfigKey *quiet = config_find(command->config, "quiet");
    if (quiet && quiet->value.integer) command->echo = fopen("/dev/null", "w");
    fputs(text_string(&echo), command->echo);
    return EXIT_DONE;
}
