// Typed keys with defaults, and values given to them as text.
//
//     declared learning_rate = 6e-4 (float), assigned "1e-3"   ->   0.001
//     assigned "lerning_rate" ...                              ->   unknown key; did you mean 'learning_rate'?
#include "frontend/config.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

struct Config {
    Arena *arena;
    ConfigKey **keys; // pointers, so that a ConfigKey * stays valid
    size_t count, capacity;
};

Config *config_create(Arena *arena) {
    Config *config = ARENA_NEW(arena, Config);
    config->arena = arena;
    return config;
}

// ---- reading
static ConfigKey *key_find(const Config *config, const char *name) {
    for (size_t i = 0; i < config->count; i++) {
        if (text_equal(config->keys[i]->name, name)) return config->keys[i];
    }
    return NULL;
}

const ConfigKey *config_find(const Config *config, const char *name) {
    return key_find(config, name);
}
size_t config_count(const Config *config) {
    return config->count;
}
Arena *config_arena(const Config *config) {
    return config->arena;
}

const ConfigKey *config_at(const Config *config, size_t i) {
    CHECK(i < config->count);
    return config->keys[i];
}

static const ConfigValue *value_of(const Config *config, const char *name, ConfigType type) {
    const ConfigKey *key = key_find(config, name);
    if (!key) BUG("no config key '%s'", name);
    bool fits = key->value.type == type || (type == CONFIG_FLOAT && key->value.type == CONFIG_INT);
    if (!fits) BUG("config key '%s' is %s, not %s", name, config_type_name(key->value.type), config_type_name(type));
    return &key->value;
}

int64_t config_int(const Config *config, const char *name) {
    return value_of(config, name, CONFIG_INT)->integer;
}
double config_float(const Config *config, const char *name) {
    return value_of(config, name, CONFIG_FLOAT)->number;
}
bool config_bool(const Config *config, const char *name) {
    return value_of(config, name, CONFIG_BOOL)->integer != 0;
}
const char *config_string(const Config *config, const char *name) {
    return value_of(config, name, CONFIG_STRING)->string;
}

const char *config_type_name(ConfigType type) {
    static const char *const names[] = {"an integer", "a number", "a bool", "a string"};
    return names[type];
}

// ---- declaring
static ConfigValue value_normal(ConfigValue value) {
    if (value.type == CONFIG_INT) value.number = (double)value.integer;
    return value;
}

// nanoGPT's `dropout` is a float; a spec may write its default as 0.
static bool widens(ConfigType from, ConfigType to) {
    return from == CONFIG_INT && to == CONFIG_FLOAT;
}

bool config_types_agree(ConfigType a, ConfigType b) {
    return a == b || widens(a, b) || widens(b, a);
}

static void key_redeclare(ConfigKey *key, ConfigValue value, const char *const *choices, bool from_spec) {
    if (!config_types_agree(key->value.type, value.type))
        BUG("config key '%s' is declared as %s and as %s", key->name, config_type_name(key->value.type),
            config_type_name(value.type));
    ConfigType type = key->value.type == value.type ? value.type : CONFIG_FLOAT;
    if (!key->assigned) key->value = value;
    key->value.type = type;
    key->choices = choices;
    key->from_spec = key->from_spec || from_spec;
    if (from_spec) key->ignored = false;
}

ConfigKey *config_declare(Config *config, const char *name, ConfigValue value, const char *const *choices,
                          bool from_spec) {
    value = value_normal(value);
    ConfigKey *key = key_find(config, name);
    if (key) {
        key_redeclare(key, value, choices, from_spec);
        return key;
    }
    config->keys = arena_grow(config->arena, config->keys, &config->capacity, config->count + 1, sizeof *config->keys);
    key = config->keys[config->count++] = ARENA_NEW(config->arena, ConfigKey);
    *key = (ConfigKey){
        .name = arena_copy(config->arena, name), .value = value, .choices = choices, .from_spec = from_spec};
    return key;
}

// ---- assigning
static bool unknown_key(const Config *config, const char *name, Place place, Diags *diags) {
    const char **names = ARENA_ARRAY(config->arena, const char *, config->count + 1);
    for (size_t i = 0; i < config->count; i++)
        names[i] = config->keys[i]->name;
    const char *nearest = text_nearest(name, names, config->count);
    if (nearest) return diag_error(diags, place, "unknown key '%s'; did you mean '%s'?", name, nearest);
    return diag_error(diags, place, "unknown key '%s'", name);
}

// One number of a product: digits with "_" between them, point, exponent, sign. Moves *at behind it.
static bool number_read(const char **at, double *number, bool *integral) {
    char digits[64];
    size_t length = 0;
    const char *c = *at;
    *integral = true;
    for (; *c && !strchr(" \t*/", *c); c++) {
        if (*c == '_') continue;
        if (!strchr("+-0123456789.eE", *c) || length + 1 == sizeof digits) return false;
        if (strchr(".eE", *c)) *integral = false;
        digits[length++] = *c;
    }
    digits[length] = '\0';
    char *end;
    *number = strtod(digits, &end);
    *at = c;
    return length > 0 && *end == '\0' && isfinite(*number);
}

// number {("*" | "/") number}, as in `gradient_accumulation_steps = 5 * 8`. As in Python a quotient is a float.
bool config_number(const char *literal, double *number, bool *integral) {
    const char *at = literal;
    char operator= '*';
    *number = 1;
    *integral = true;
    for (;;) {
        double factor;
        bool factor_integral;
        at += strspn(at, " \t");
        if (!number_read(&at, &factor, &factor_integral) || (operator== '/' && factor == 0)) return false;
        *number = operator== '*' ? *number * factor : * number / factor;
        *integral = *integral && factor_integral && operator== '*';
        at += strspn(at, " \t");
        if (!*at) return isfinite(*number);
        operator= * at++;
        if (operator!= '*' && operator!= '/') return false;
    }
}

// Without the quotes; NULL when they do not match or stand inside.
const char *config_unquote(Arena *arena, const char *literal) {
    size_t length = strlen(literal);
    char quote = *literal;
    if (quote != '\'' && quote != '"') return strpbrk(literal, "'\"") ? NULL : literal;
    if (length < 2 || literal[length - 1] != quote) return NULL;
    const char *inside = arena_copy_range(arena, literal + 1, length - 2);
    return strchr(inside, quote) ? NULL : inside;
}

static bool assign_number(ConfigKey *key, const char *literal, Place place, Diags *diags) {
    double number;
    bool integral;
    if (!config_number(literal, &number, &integral))
        return diag_error(diags, place, "'%s' must be %s, found '%s'", key->name, config_type_name(key->value.type),
                          literal);
    if (key->value.type == CONFIG_INT) {
        // 6e5 is a float in Python; it means an integer here.
        if (number != floor(number))
            return diag_error(diags, place, "'%s' must be an integer, found '%s'", key->name, literal);
        if (fabs(number) > 9007199254740992.0)
            return diag_error(diags, place, "'%s': the integer '%s' is too large", key->name, literal);
        key->value.integer = (int64_t)number;
    }
    key->value.number = number;
    return true;
}

static bool assign_bool(ConfigKey *key, const char *literal, Place place, Diags *diags) {
    static const char *const words[2][3] = {{"False", "false", "0"}, {"True", "true", "1"}};
    for (int truth = 0; truth < 2; truth++) {
        for (int i = 0; i < 3; i++) {
            if (!text_equal(literal, words[truth][i])) continue;
            key->value.integer = truth;
            return true;
        }
    }
    return diag_error(diags, place, "'%s' must be True or False, found '%s'", key->name, literal);
}

static bool assign_string(Config *config, ConfigKey *key, const char *literal, Place place, Diags *diags) {
    const char *text = config_unquote(config->arena, literal);
    if (!text) return diag_error(diags, place, "'%s' must be a string, found %s", key->name, literal);
    const char *const *choice = key->choices;
    while (choice && *choice && !text_equal(*choice, text))
        choice++;
    if (choice && !*choice) {
        Text list = text_create(config->arena);
        for (choice = key->choices; *choice; choice++)
            text_append(&list, "%s%s", list.length ? ", " : "", *choice);
        return diag_error(diags, place, "'%s' is one of %s; found '%s'", key->name, text_string(&list), text);
    }
    key->value.string = arena_copy(config->arena, text);
    return true;
}

bool config_assign(Config *config, const char *name, const char *literal, Place place, Diags *diags) {
    ConfigKey *key = key_find(config, name);
    if (!key) return unknown_key(config, name, place, diags);
    bool done = false;
    switch (key->value.type) {
    case CONFIG_INT:
    case CONFIG_FLOAT: done = assign_number(key, literal, place, diags); break;
    case CONFIG_BOOL: done = assign_bool(key, literal, place, diags); break;
    case CONFIG_STRING: done = assign_string(config, key, literal, place, diags); break;
    }
    if (!done) return false;
    key->assigned = true;
    key->place = place;
    return true;
}

// ---- of a spec
bool spec_declare(const Spec *spec, Config *config, Diags *diags) {
    for (size_t i = 0; i < spec->configs.count; i++) {
        const ConfigItem *item = &spec->configs.items[i];
        const ConfigKey *key = config_find(config, item->name.text);
        if (key && !config_types_agree(key->value.type, item->value.type))
            return diag_error(diags, item->name.place, "'%s' is a key of every model and must be %s, found %s",
                              item->name.text, config_type_name(key->value.type), config_type_name(item->value.type));
        ConfigKey *declared = config_declare(config, item->name.text, item->value, item->choices, true);
        // A value given before the choices were known.
        bool early = declared->assigned && declared->choices;
        if (early && !assign_string(config, declared, declared->value.string, declared->place, diags)) return false;
    }
    return true;
}
