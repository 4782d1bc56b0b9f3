// Spec + Config -> Graph: the statements in order, `layer` blocks unrolled.
//
//     layer i in n_layer as "h.{i}" { u = ... }   ->   nodes named layer[0].u, layer[1].u ...; leaves h.0.*, h.1.* ...
//
// A layer sees the names around it. What it assigns to one of them stays after it; names of its own end with each turn.
#include "frontend/lower.h"

enum { MAX_LAYERS = 4096 };

static bool lower_block(Lower *lower, const StatementList *statements);

// ---- names
// A name means one thing: a dim, a config value of the model, or a value, param, input or counter.
static bool check_name(Lower *lower, const Name *name, bool assigns) {
    DimId dim;
    if (lower_find_dim(lower, name->text, &dim))
        return lower_fail(lower, name->place, "'%s' is a dimension; choose another name", name->text);
    for (size_t i = 0; i < lower->spec->configs.count; i++) {
        if (text_equal(lower->spec->configs.items[i].name.text, name->text))
            return lower_fail(lower, name->place, "'%s' is a config value; choose another name", name->text);
    }
    const Entry *entry = lower_find(lower, name->text);
    if (!entry || (assigns && entry->kind == ENTRY_VALUE)) return true;
    static const char *const kinds[] = {"a value", "a parameter", "an input", "a layer counter"};
    return lower_fail(lower, name->place, "'%s' is %s already, from line %u", name->text, kinds[entry->kind],
                      entry->name.place.line);
}

static void entry_add(Lower *lower, EntryKind kind, Name name, Value value) {
    *LIST_ADD(lower->arena, &lower->entries) = (Entry){kind, name, value};
}

// "layer[0].x", and for the second x of this turn "layer[0].x.1".
static const char *report_name(Lower *lower, const char *name) {
    Instance *instance = lower->instance;
    unsigned before = 0;
    for (size_t i = 0; i < instance->assigned.count; i++)
        before += text_equal(instance->assigned.items[i], name);
    *LIST_ADD(lower->arena, &instance->assigned) = name;
    const char *dot = *instance->report ? "." : "";
    if (before == 0) return arena_format(lower->arena, "%s%s%s", instance->report, dot, name);
    return arena_format(lower->arena, "%s%s%s.%u", instance->report, dot, name, before);
}

// ---- assignments
// The declared dims are those of the expression, in the order in which the value is to be stored.
static bool apply_dims(Lower *lower, const Target *target, Value value, bool is_new) {
    DimList order = {0};
    for (size_t i = 0; i < target->dims.count; i++) {
        const Name *name = &target->dims.items[i];
        DimId dim;
        if (!lower_dim(lower, name, &dim)) return false;
        if (dim_in(dim_list_set(&order), dim))
            return lower_fail(lower, name->place, "'%s' has dimension %s twice", target->name.text, name->text);
        if (order.rank == MAX_RANK)
            return lower_fail(lower, name->place, "'%s' has more than %d dimensions", target->name.text, MAX_RANK);
        order.dims[order.rank++] = dim;
    }
    if (value.kind == VALUE_ABSENT) return true;
    DimSet declared = dim_list_set(&order), found = value_dims(lower, value);
    if (declared != found)
        return lower_fail(lower, target->name.place, "'%s' is declared with dimensions %s, but its expression has %s",
                          target->name.text, dims_describe(lower, declared), dims_describe(lower, found));
    if (is_new && value.kind == VALUE_TENSOR) graph_set_order(lower->graph, value.node, order);
    return true;
}

static Value lower_target(Lower *lower, const Target *target, const Expr *expr) {
    const char *report = report_name(lower, target->name.text);
    lower->frame->report = report;
    lower->randoms = 0;
    NodeId before = graph_nodes(lower->graph);
    Value value = lower_expression(lower, expr);
    if (value.kind == VALUE_ERROR) return value;
    bool is_new = value.kind == VALUE_TENSOR && value.node >= before; // not merely another name of an older value
    if (target->has_dims && !apply_dims(lower, target, value, is_new)) return (Value){.kind = VALUE_ERROR};
    if (is_new) graph_set_name(lower->graph, value.node, report);
    return value;
}

static bool lower_assign(Lower *lower, const Statement *statement) {
    size_t count = statement->targets.count;
    Value *values = ARENA_ARRAY(lower->arena, Value, count);
    bool sound = true;
    for (size_t i = 0; i < count; i++) {
        values[i] = lower_target(lower, &statement->targets.items[i], statement->values.items[i]);
        sound = sound && values[i].kind != VALUE_ERROR;
    }
    for (size_t i = 0; i < count; i++) {
        const Name *name = &statement->targets.items[i].name;
        if (!check_name(lower, name, true)) {
            sound = false;
            continue;
        }
        Entry *entry = lower_find(lower, name->text);
        if (entry)
            *entry = (Entry){ENTRY_VALUE, *name, values[i]};
        else
            entry_add(lower, ENTRY_VALUE, *name, values[i]);
    }
    return sound;
}

// ---- layers
static bool layer_turn(Lower *lower, const Statement *layer, int64_t turn, const char *word) {
    Instance *outer = lower->instance;
    size_t names = lower->entries.count;
    entry_add(lower, ENTRY_COUNTER, layer->name, value_number((double)turn, true));
    const char *stored = lower_expand(lower, &layer->stored);
    bool sound = stored != NULL;
    if (sound) {
        Instance inner = {.stored =
                              *outer->stored ? arena_format(lower->arena, "%s.%s", outer->stored, stored) : stored,
                          .report = arena_format(lower->arena, "%s%s%s[%lld]", outer->report, *outer->report ? "." : "",
                                                 word, (long long)turn)};
        lower->instance = &inner;
        sound = lower_block(lower, &layer->body);
        lower->instance = outer;
    }
    lower->entries.count = names;
    return sound;
}

static bool lower_layer(Lower *lower, const Statement *layer, unsigned block) {
    int64_t turns;
    if (!check_name(lower, &layer->name, false) ||
        !lower_dim_extent(lower, layer->value, "the number of layers", 0, MAX_LAYERS, &turns))
        return false;
    const char *word = block == 0 ? "layer" : arena_format(lower->arena, "layer%u", block + 1);
    bool sound = true;
    // A mistake would be the same in every turn.
    for (int64_t turn = 0; turn < turns && sound; turn++)
        sound = layer_turn(lower, layer, turn, word);
    return sound;
}

static bool lower_param_statement(Lower *lower, const Statement *param) {
    if (!check_name(lower, &param->name, false)) return false;
    lower->frame->report = param->name.text;
    Value value = lower_param(lower, param);
    entry_add(lower, ENTRY_PARAM, param->name, value);
    return value.kind != VALUE_ERROR;
}

static bool lower_block(Lower *lower, const StatementList *statements) {
    bool sound = true;
    unsigned layers = 0;
    for (size_t i = 0; i < statements->count; i++) {
        const Statement *statement = statements->items[i];
        switch (statement->kind) {
        case STATEMENT_ASSIGN: sound = lower_assign(lower, statement) && sound; break;
        case STATEMENT_PARAM: sound = lower_param_statement(lower, statement) && sound; break;
        case STATEMENT_LAYER: sound = lower_layer(lower, statement, layers++) && sound; break;
        case STATEMENT_DIM: BUG("a dim among the statements of a model");
        }
    }
    return sound;
}

// ---- outputs
static bool lower_inputs(Lower *lower) {
    bool sound = true;
    for (size_t i = 0; i < lower->spec->inputs.count; i++) {
        const InputItem *input = &lower->spec->inputs.items[i];
        if (!check_name(lower, &input->name, false)) return false;
        Value value = lower_input(lower, input);
        entry_add(lower, ENTRY_INPUT, input->name, value);
        sound = sound && value.kind != VALUE_ERROR;
    }
    return sound;
}

static bool output_fits(Lower *lower, const Entry *entry, bool scalar) {
    const Name *name = &entry->name;
    if (entry->value.kind != VALUE_TENSOR || graph_node(lower->graph, entry->value.node)->dtype != DTYPE_F32)
        return lower_fail(lower, name->place, "'%s' must be f32 and depend on the inputs, found %s", name->text,
                          value_describe(lower, entry->value));
    DimSet dims = value_dims(lower, entry->value);
    if (scalar && dims)
        return lower_fail(lower, name->place,
                          "'%s' must be one number, but it has dimensions %s; take a mean over them", name->text,
                          dims_describe(lower, dims));
    return scalar || dims || lower_fail(lower, name->place, "'%s' has no dimensions", name->text);
}

static bool lower_output(Lower *lower) {
    const char *name = lower->use == SPEC_LOGITS ? "logits" : "loss";
    const Entry *entry = lower_find(lower, name);
    if (!entry || entry->kind != ENTRY_VALUE)
        return lower_fail(lower, lower->spec->end, "the model assigns no '%s'", name);
    if (!output_fits(lower, entry, lower->use != SPEC_LOGITS)) return false;
    graph_output(lower->graph, name, entry->value.node);
    return true;
}

// A parameter that is trained and changes nothing is most likely forgotten.
static void warn_unused(Lower *lower) {
    const bool *live = graph_live(lower->graph, lower->arena);
    for (size_t i = 0; i < lower->stored.count; i++) {
        const Name *stored = &lower->stored.items[i];
        NodeId node = graph_find_leaf_node(lower->graph, stored->text);
        if (node == NODE_NONE || live[node] || graph_node(lower->graph, node)->op != OP_PARAM) continue;
        if (!lower_first_at(lower, stored->place)) continue; // once for all layers
        diag_warning(lower->diags, stored->place, "parameter \"%s\" does not influence the loss and is left out",
                     stored->text);
    }
}

Graph *spec_lower(Arena *arena, const Spec *spec, const Config *config, SpecUse use, Diags *diags) {
    Instance instance = {.stored = "", .report = ""};
    Frame frame = {.report = ""};
    Lower lower = {.arena = arena,
                   .spec = spec,
                   .config = config,
                   .use = use,
                   .diags = diags,
                   .frame = &frame,
                   .instance = &instance};
    lower.graph = graph_create(arena, spec_name(spec));
    bool sound = lower_declare_dims(&lower) && lower_inputs(&lower);
    if (!sound || !lower_block(&lower, &spec->body) || !lower_output(&lower)) {
        CHECK(diags_errors(diags) > 0);
        return NULL;
    }
    if (use == SPEC_LOSS) warn_unused(&lower);
    return graph_compact(arena, lower.graph);
}
