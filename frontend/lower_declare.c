// What a model declares: dims, inputs and params, as dims and leaves of the graph.
//
//     dim C=n_embd H=n_head D=C/H            ->   dims C=768, H=12, D=64
//     param Wo[(H,D),C] resid as "attn.c_proj.weight"   in layer 0
//         ->   leaf "h.0.attn.c_proj.weight", dims (H,D,C), stored as 2 axes, init normal(0.00408)
#include "base/hash.h"
#include "frontend/lower.h"

#include <math.h>
#include <string.h>

// ---- integers
bool lower_dim_extent(Lower *lower, const Expr *expr, const char *what, int64_t least, int64_t most, int64_t *result) {
    bool before = lower->extents;
    lower->extents = true;
    Value value = lower_expression(lower, expr);
    lower->extents = before;
    if (value.kind == VALUE_ERROR) return false;
    if (value.kind != VALUE_NUMBER || !value.integral)
        return lower_fail(lower, expr->place, "%s must be an integer, found %s", what, value_describe(lower, value));
    if (value.number < (double)least || value.number > (double)most)
        return lower_fail(lower, expr->place, "%s is %.0f; it must be in %lld..%lld", what, value.number,
                          (long long)least, (long long)most);
    *result = (int64_t)value.number;
    return true;
}

// ---- dims
static bool dim_extent(Lower *lower, const Statement *statement, int64_t *extent) {
    const char *what = arena_format(lower->arena, "dimension %s", statement->name.text);
    return lower_dim_extent(lower, statement->value, what, 1, INT32_MAX, extent);
}

static bool too_many_dims(Lower *lower, const Name *name) {
    return lower_fail(lower, name->place, "a model can have %d dimensions; '%s' is one too many", MAX_DIMS, name->text);
}

bool lower_declare_dims(Lower *lower) {
    const Spec *spec = lower->spec;
    bool sound = true;
    for (size_t i = 0; i < spec->dims.count; i++) {
        const Statement *statement = spec->dims.items[i];
        const Name *name = &statement->name;
        for (size_t k = 0; k < lower->dims.count; k++) {
            if (text_equal(lower->dims.items[k].name, name->text))
                return lower_fail(lower, name->place, "dimension '%s' is already declared at line %u", name->text,
                                  lower->dims.items[k].place.line);
        }
        for (size_t k = 0; k < spec->configs.count; k++) {
            if (text_equal(spec->configs.items[k].name.text, name->text))
                return lower_fail(lower, name->place, "'%s' is a config value already", name->text);
        }
        // An extent that failed becomes 1, so that uses of the dim do not fail for that reason too.
        int64_t extent;
        if (!dim_extent(lower, statement, &extent)) {
            sound = false;
            extent = 1;
        }
        if (lower->dims.count == MAX_DIMS) return too_many_dims(lower, name);
        *LIST_ADD(lower->arena, &lower->dims) =
            (NamedDim){name->text, graph_dim(lower->graph, name->text, extent), name->place};
    }
    return sound;
}

// The same dim for every call of a function with this extent, so that equal expressions of two calls stay equal nodes.
static DimId local_dim(Lower *lower, const Function *function, const char *name, int64_t extent) {
    for (size_t i = 0; i < lower->local_dims.count; i++) {
        const LocalDim *local = &lower->local_dims.items[i];
        if (local->function == function && local->extent == extent && text_equal(local->name, name)) return local->dim;
    }
    DimId dim = graph_dim_fresh(lower->graph, name, extent);
    if (dim != DIM_NONE) *LIST_ADD(lower->arena, &lower->local_dims) = (LocalDim){function, name, extent, dim};
    return dim;
}

bool lower_local_dim(Lower *lower, const Statement *statement) {
    Frame *frame = lower->frame;
    const Name *name = &statement->name;
    for (size_t i = 0; i < frame->dims.count; i++) {
        if (text_equal(frame->dims.items[i].name, name->text))
            return lower_fail(lower, name->place, "'%s' is a dimension of '%s' already", name->text,
                              frame->function->name.text);
    }
    int64_t extent;
    if (!dim_extent(lower, statement, &extent)) return false;
    DimId dim = local_dim(lower, frame->function, name->text, extent);
    if (dim == DIM_NONE) return too_many_dims(lower, name);
    frame->own_dims |= dim_bit(dim);
    *LIST_ADD(lower->arena, &frame->dims) = (NamedDim){name->text, dim, name->place};
    return true;
}

// A declared list of dims, none of them twice.
static bool dim_list(Lower *lower, const NameList *names, const char *owner, DimList *list) {
    *list = (DimList){0};
    for (size_t i = 0; i < names->count; i++) {
        const Name *name = &names->items[i];
        DimId dim;
        if (!lower_dim(lower, name, &dim)) return false;
        if (dim_in(dim_list_set(list), dim))
            return lower_fail(
                lower, name->place,
                "'%s' has dimension %s twice; a tensor has a dimension once (declare another of the same extent)",
                owner, name->text);
        if (list->rank == MAX_RANK)
            return lower_fail(lower, name->place, "'%s' has more than %d dimensions", owner, MAX_RANK);
        list->dims[list->rank++] = dim;
    }
    return true;
}

// ---- names in files
const char *lower_expand(Lower *lower, const Name *text) {
    Text result = text_create(lower->arena);
    const char *at = text->text;
    for (;;) {
        size_t plain = strcspn(at, "{}");
        text_append_bytes(&result, at, plain);
        at += plain;
        if (!*at) return text_string(&result);
        size_t length = strcspn(at, "}");
        if (*at == '}' || at[length] != '}') {
            lower_error(lower, text->place, "'{' and '}' do not match in \"%s\"", text->text);
            return NULL;
        }
        Expr name = {.kind = EXPR_NAME,
                     .place = text->place,
                     .depth = 1,
                     .text = arena_copy_range(lower->arena, at + 1, length - 1)};
        Value value = lower_expression(lower, &name);
        if (value.kind == VALUE_ERROR) return NULL;
        if (value.kind == VALUE_STRING)
            text_append(&result, "%s", value.string);
        else if (value.kind == VALUE_NUMBER && value.integral)
            text_append(&result, "%.0f", value.number);
        else {
            lower_error(lower, text->place, "{%s} must be a counter or a string, found %s", name.text,
                        value_describe(lower, value));
            return NULL;
        }
        at += length + 1;
    }
}

enum { MAX_STORED = 16384 };

// Names that files and programs have uses of their own for.
static const char *reserved_use(const char *stored) {
    static const struct {
        const char *name, *use;
        bool is_prefix;
    } reserved[] = {
        {"adam.", "the optimizer's moments", true},      {"accumulate.", "accumulated gradients", true},
        {"grad.", "gradients", true},                    {"__metadata__", "the metadata of a file", false},
        {"scaler.", "the scale of a loss", true},        {"loss_scale", "the scale of a loss", false},
        {"loss", "the model's output", false},           {"logits", "the model's output", false},
        {"grad_norm", "the gradients' norm", false},     {"seed", "an input of every model", false},
        {"step", "an input of every model", false},      {"micro", "an input of every model", false},
        {"learning_rate", "an input of every model", false}};
    for (size_t i = 0; i < sizeof reserved / sizeof *reserved; i++) {
        size_t length = strlen(reserved[i].name) + !reserved[i].is_prefix;
        if (strncmp(stored, reserved[i].name, length) == 0) return reserved[i].use;
    }
    return NULL;
}

static bool check_stored(Lower *lower, const char *stored, Place place) {
    for (const char *c = stored; *c; c++) {
        if ((unsigned char)*c >= 0x20 && (unsigned char)*c < 0x7f) continue;
        return lower_fail(lower, place, "byte 0x%02x in a stored name; such names are printable ASCII text",
                          (unsigned char)*c);
    }
    const char *use = reserved_use(stored);
    return !use || lower_fail(lower, place, "the stored name \"%s\" is kept for %s; choose another one", stored, use);
}

// A name in files belongs to one param or input.
static bool claim_stored(Lower *lower, const char *stored, Place place) {
    if (!check_stored(lower, stored, place)) return false;
    unsigned long long hash = hash_text(stored);
    for (size_t i = 0; i < lower->stored.count; i++) {
        const Name *other = &lower->stored.items[i];
        if (lower->stored_hashes.items[i] != hash || !text_equal(other->text, stored)) continue;
        lower_error(lower, place, "the stored name \"%s\" is taken already", stored);
        Place shown = lower_spot(lower, place);
        bool same = other->place.line == shown.line && other->place.column == shown.column;
        if (same)
            lower_note(lower, shown, "by another turn of the layer, whose 'as' needs the counter, such as \"h.{i}\"");
        else
            lower_note(lower, other->place, "by this one");
        return false;
    }
    if (lower->stored.count == MAX_STORED)
        return lower_fail(lower, place, "more than %d stored parameters and inputs", MAX_STORED);
    *LIST_ADD(lower->arena, &lower->stored) = (Name){stored, lower_spot(lower, place)};
    *LIST_ADD(lower->arena, &lower->stored_hashes) = hash;
    return true;
}

// ---- leaves
// As nanoGPT's files: two bytes while every token fits.
static bool token_width(Lower *lower, const InputItem *input, uint8_t *bytes) {
    DimId vocabulary;
    *bytes = (uint8_t)input->token_bytes;
    if (*bytes > 0) return true;
    if (!lower_dim(lower, &input->vocabulary, &vocabulary)) return false;
    *bytes = graph_extent(lower->graph, vocabulary) <= 65536 ? 2 : 4;
    return true;
}

Value lower_input(Lower *lower, const InputItem *input) {
    static const char *const taken[] = {"seed", "step", "micro", "learning_rate"};
    for (size_t i = 0; i < sizeof taken / sizeof *taken; i++) {
        if (text_equal(input->name.text, taken[i]))
            return lower_error(lower, input->name.place, "'%s' is an input that every model has; choose another name",
                               taken[i]);
    }
    Leaf leaf = {.name = input->name.text};
    if (!token_width(lower, input, &leaf.token_bytes)) return (Value){.kind = VALUE_ERROR};
    if (!dim_list(lower, &input->dims, input->name.text, &leaf.stored)) return (Value){.kind = VALUE_ERROR};
    if (!claim_stored(lower, input->name.text, input->name.place)) return (Value){.kind = VALUE_ERROR};
    if (!lower_dims_fit(lower, dim_list_set(&leaf.stored), input->name.place)) return (Value){.kind = VALUE_ERROR};
    leaf.stored_rank = leaf.stored.rank;
    for (int i = 0; i < leaf.stored.rank; i++)
        leaf.group_end[i] = (uint8_t)(i + 1);
    return value_tensor(build_input(lower->graph, graph_leaf(lower->graph, &leaf), DTYPE_I32));
}

NodeId lower_scalar_input(Lower *lower, const char *name) {
    return build_input(lower->graph, graph_leaf(lower->graph, &(Leaf){.name = name}), DTYPE_I32);
}

// The initializer that a name stands for; NULL after an error.
static const Initializer *find_init(Lower *lower, const Initializer *initializer) {
    if (initializer->kind == INITIALIZER_NORMAL || initializer->kind == INITIALIZER_CONSTANT) return initializer;
    const char *name = initializer->kind == INITIALIZER_NAMED ? initializer->name.text : "default";
    LIST_OF(const char *) names = {0};
    for (size_t i = lower->spec->inits.count; i-- > 0;) {
        const InitItem *item = &lower->spec->inits.items[i];
        if (text_equal(item->name.text, name)) return &item->initializer;
        *LIST_ADD(lower->arena, &names) = item->name.text;
    }
    if (initializer->kind == INITIALIZER_DEFAULT) {
        lower_error(lower, initializer->place, "no initial value here, and the model has no 'init default'");
        return NULL;
    }
    const char *nearest = text_nearest(name, names.items, names.count);
    if (nearest)
        lower_error(lower, initializer->place, "unknown init '%s'; did you mean '%s'?", name, nearest);
    else
        lower_error(lower, initializer->place, "unknown init '%s'", name);
    return NULL;
}

static bool leaf_init(Lower *lower, const Initializer *written, Leaf *leaf) {
    const Initializer *initializer = find_init(lower, written);
    if (!initializer) return false;
    // A named one stands at top level and is evaluated there, not in the function that mentions it.
    Frame top = {.report = ""}, *frame = lower->frame;
    if (initializer != written) lower->frame = &top;
    Value value = lower_expression(lower, initializer->value);
    lower->frame = frame;
    if (value.kind == VALUE_ERROR) return false;
    bool normal = initializer->kind == INITIALIZER_NORMAL;
    const char *what = normal ? "a standard deviation" : "an initial value";
    if (value.kind != VALUE_NUMBER || !isfinite(value.number) || (normal && value.number < 0))
        return lower_fail(lower, initializer->value->place, "%s must be a finite number%s, found %s", what,
                          normal ? " >= 0" : "", value_describe(lower, value));
    leaf->init = normal ? INIT_NORMAL : INIT_CONSTANT;
    leaf->init_value = value.number;
    return true;
}

Value lower_param(Lower *lower, const Statement *param) {
    bool present = true;
    if (param->condition && !lower_condition(lower, param->condition, &present)) return (Value){.kind = VALUE_ERROR};
    Leaf leaf = {0};
    if (!dim_list(lower, &param->dims, param->name.text, &leaf.stored)) return (Value){.kind = VALUE_ERROR};
    if (!lower_dims_fit(lower, dim_list_set(&leaf.stored), param->name.place)) return (Value){.kind = VALUE_ERROR};
    const char *stored = lower_expand(lower, &param->stored);
    if (!stored) return (Value){.kind = VALUE_ERROR};
    if (*lower->instance->stored) stored = arena_format(lower->arena, "%s.%s", lower->instance->stored, stored);
    leaf.name = stored;
    const char *dot = *lower->instance->report ? "." : "";
    // A function's own name for it says nothing outside.
    if (!lower->frame->function)
        leaf.spec_name = arena_format(lower->arena, "%s%s%s", lower->instance->report, dot, param->name.text);
    for (size_t i = 0; i < param->axes.count; i++) {
        leaf.stored_rank = (uint8_t)(param->axes.items[i] + 1);
        leaf.group_end[param->axes.items[i]] = (uint8_t)(i + 1);
    }
    if (!leaf_init(lower, &param->initializer, &leaf)) return (Value){.kind = VALUE_ERROR};
    if (!present) return (Value){.kind = VALUE_ABSENT};
    if (!claim_stored(lower, stored, param->stored.place)) return (Value){.kind = VALUE_ERROR};
    return value_tensor(build_param(lower->graph, graph_leaf(lower->graph, &leaf)));
}
