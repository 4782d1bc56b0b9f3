// Which dim, value or config value a name stands for, and what to say when it stands for none.
//
// A function sees its own parameters and locals, and (unless it is of the prelude) dims and config values of the model.
// Statements of the model see everything that was declared or assigned above them.
#include "frontend/lower.h"

static bool find_named_dim(const NamedDim *dims, size_t count, const char *name, DimId *dim) {
    for (size_t i = count; i-- > 0;) {
        if (!text_equal(dims[i].name, name)) continue;
        *dim = dims[i].dim;
        return true;
    }
    return false;
}

static bool sees_model(const Lower *lower) {
    return !lower->frame->function || !lower->frame->function->prelude;
}

bool lower_find_dim(const Lower *lower, const char *name, DimId *dim) {
    const Frame *frame = lower->frame;
    if (find_named_dim(frame->dims.items, frame->dims.count, name, dim)) return true;
    return sees_model(lower) && find_named_dim(lower->dims.items, lower->dims.count, name, dim);
}

bool lower_dim(Lower *lower, const Name *name, DimId *dim) {
    if (lower_find_dim(lower, name->text, dim)) return true;
    LIST_OF(const char *) names = {0};
    const Frame *frame = lower->frame;
    for (size_t i = 0; i < frame->dims.count; i++)
        *LIST_ADD(lower->arena, &names) = frame->dims.items[i].name;
    for (size_t i = 0; sees_model(lower) && i < lower->dims.count; i++)
        *LIST_ADD(lower->arena, &names) = lower->dims.items[i].name;
    Text list = text_create(lower->arena);
    for (size_t i = 0; i < names.count; i++)
        text_append(&list, "%s%s", i ? ", " : "", names.items[i]);
    return lower_fail(lower, name->place, "unknown dimension '%s'; dimensions here: %s", name->text,
                      names.count ? text_string(&list) : "none");
}

Entry *lower_find(const Lower *lower, const char *name) {
    for (size_t i = lower->entries.count; i-- > 0;) {
        if (text_equal(lower->entries.items[i].name.text, name)) return &lower->entries.items[i];
    }
    return NULL;
}

bool lower_config(const Lower *lower, const char *name, Value *value) {
    const ConfigKey *key = config_find(lower->config, name);
    if (!key) return false;
    const ConfigValue *found = &key->value;
    switch (found->type) {
    case CONFIG_INT: *value = value_number((double)found->integer, true); break;
    case CONFIG_FLOAT: *value = value_number(found->number, false); break;
    case CONFIG_BOOL: *value = value_bool(found->integer != 0); break;
    case CONFIG_STRING: *value = (Value){.kind = VALUE_STRING, .string = found->string, .choices = key->choices}; break;
    }
    // Evaluation and sampling are without dropout, whatever the rate in training.
    if (lower->use != SPEC_LOSS && value->kind == VALUE_NUMBER && text_equal(name, "dropout")) value->number = 0;
    return true;
}

Value lower_unknown_name(Lower *lower, const Name *name) {
    LIST_OF(const char *) names = {0};
    const Frame *frame = lower->frame;
    for (size_t i = 0; i < frame->locals.count; i++)
        *LIST_ADD(lower->arena, &names) = frame->locals.items[i].name;
    for (size_t i = 0; i < frame->dims.count; i++)
        *LIST_ADD(lower->arena, &names) = frame->dims.items[i].name;
    for (size_t i = 0; !frame->function && i < lower->entries.count; i++)
        *LIST_ADD(lower->arena, &names) = lower->entries.items[i].name.text;
    if (sees_model(lower)) {
        for (size_t i = 0; i < lower->dims.count; i++)
            *LIST_ADD(lower->arena, &names) = lower->dims.items[i].name;
        for (size_t i = 0; i < config_count(lower->config); i++)
            *LIST_ADD(lower->arena, &names) = config_at(lower->config, i)->name;
    }
    // Every letter is near every other.
    const char *nearest = name->text[1] ? text_nearest(name->text, names.items, names.count) : NULL;
    if (nearest) return lower_error(lower, name->place, "unknown name '%s'; did you mean '%s'?", name->text, nearest);
    return lower_error(lower, name->place, "unknown name '%s'; no value, dimension or config value above has it",
                       name->text);
}
