// Plan text in, a Plan or diagnostics out; the grammar stands at the head of ir/plan_print.c.
#include <string.h>

#include "ir/plan_text.h"

typedef struct {
    Tokens tokens;
    Plan *plan;
    Graph *dims;
    size_t value_capacity, step_capacity;
} Parser;

// ---- small pieces

static bool parse_number(Parser *p, const char *what, int64_t most, int64_t *number) {
    return token_expect_integer(&p->tokens, what, 0, most, number);
}

static bool parse_size(Parser *p, const char *what, size_t *size) {
    int64_t number;
    if (!parse_number(p, what, INT64_MAX, &number)) return false;
    *size = (size_t)number;
    return true;
}

// `%3`, below `count`
static bool parse_value_id(Parser *p, uint32_t count, ValueId *id) {
    Place place = p->tokens.token.place;
    int64_t number;
    if (!token_expect_symbol(&p->tokens, '%') || !parse_number(p, "the value's number", UINT32_MAX - 1, &number))
        return false;
    if (number >= count) return token_fail(&p->tokens, place, "there is no value %%%lld", (long long)number);
    *id = (ValueId)number;
    return true;
}

// A value's or step's number must be the next one: texts are read top down, and %3 means the fourth value line.
static bool parse_next_number(Parser *p, const char *what, uint32_t next) {
    Place place = p->tokens.token.place;
    int64_t number;
    if (!parse_number(p, "a number", UINT32_MAX - 1, &number)) return false;
    if (number == next) return true;
    return token_fail(&p->tokens, place, "%s%lld comes where %u should", what, (long long)number, next);
}

static bool parse_word_of(Parser *p, const char *what, const char *const *words, int count, int *index) {
    for (int i = 0; i < count; i++)
        if (token_take_word(&p->tokens, words[i])) {
            *index = i;
            return true;
        }
    return token_unexpected(&p->tokens, what);
}

// Dims up to `close`, and it; the product of their extents stays far from overflow (in floating point, to test it).
static bool parse_dims(Parser *p, char close, DimList *list) {
    Place place = p->tokens.token.place;
    if (!dims_parse(&p->tokens, p->dims, close, list) || !token_expect_symbol(&p->tokens, close)) return false;
    double elements = 1;
    for (int i = 0; i < list->rank; i++)
        elements *= (double)graph_extent(p->dims, list->dims[i]);
    return elements < 0x1p58 || token_fail(&p->tokens, place, "%.3g elements are too many", elements);
}

static bool parse_dims_in_parentheses(Parser *p, DimList *list) {
    return token_expect_symbol(&p->tokens, '(') && parse_dims(p, ')', list);
}

// ---- values

static bool parse_piece(Parser *p, LayoutPiece *piece) {
    *piece = (LayoutPiece){.divisor = 1};
    if (token_is_symbol(&p->tokens, '(')) {
        if (!parse_dims_in_parentheses(p, &piece->dims)) return false;
    } else {
        piece->dims.rank = 1;
        if (!dim_parse(&p->tokens, p->dims, &piece->dims.dims[0])) return false;
    }
    if (token_take_symbol(&p->tokens, '/') &&
        !token_expect_integer(&p->tokens, "the divisor", 1, INT64_MAX, &piece->divisor))
        return false;
    piece->extent = layout_piece_whole(p->dims, piece);
    return !token_take_symbol(&p->tokens, '%') ||
           token_expect_integer(&p->tokens, "the extent", 1, INT64_MAX, &piece->extent);
}

static bool parse_layout(Parser *p, Layout *layout) {
    Place place = p->tokens.token.place;
    double elements = 1;
    if (!token_expect_symbol(&p->tokens, '@') || !token_expect_symbol(&p->tokens, '(')) return false;
    while (!token_is_symbol(&p->tokens, ')')) {
        if (layout->count && !token_expect_symbol(&p->tokens, ',')) return false;
        if (layout->count == MAX_RANK + 2)
            return token_fail(&p->tokens, p->tokens.token.place, "a layout has at most %d pieces", MAX_RANK + 2);
        if (!parse_piece(p, &layout->pieces[layout->count])) return false;
        elements *= (double)layout->pieces[layout->count++].extent;
    }
    if (elements >= 0x1p58) return token_fail(&p->tokens, place, "a layout of %.3g elements is too large", elements);
    return token_expect_symbol(&p->tokens, ')');
}

static bool parse_value_kind(Parser *p, Value *value) {
    value->is_param = token_take_word(&p->tokens, "param");
    value->is_copy = !value->is_param && token_take_word(&p->tokens, "copy");
    value->kind = VALUE_STATE;
    if (value->is_param || value->is_copy) return true;
    int kind = 0;
    const char *what = "input, param, copy, state, temporary or output";
    if (!parse_word_of(p, what, value_kind_words, VALUE_KIND_COUNT, &kind)) return false;
    value->kind = (ValueKind)kind;
    return true;
}

static bool parse_value_type(Parser *p, Value *value) {
    Place place = p->tokens.token.place;
    const char *type;
    if (!token_expect_name(&p->tokens, "a type", &type)) return false;
    if (!dtype_from_name(type, &value->dtype)) return token_fail(&p->tokens, place, "unknown type '%s'", type);
    return token_expect_symbol(&p->tokens, '[') && parse_dims(p, ']', &value->order);
}

static bool parse_band_dim(Parser *p, DimId *dim) {
    const char *name;
    Place place = p->tokens.token.place;
    if (!token_expect_name(&p->tokens, "a dim", &name)) return false;
    return graph_find_dim(p->dims, name, dim) || token_fail(&p->tokens, place, "there is no dim %s", name);
}

static bool parse_band(Parser *p, Band *band) {
    if (!token_take_word(&p->tokens, "band")) return !p->tokens.failed;
    *band = (Band){.is_set = true, .low = -BAND_OPEN, .high = BAND_OPEN};
    if (!token_expect_symbol(&p->tokens, '(') || !parse_band_dim(p, &band->row) ||
        !token_expect_symbol(&p->tokens, ',') || !parse_band_dim(p, &band->column) ||
        !token_expect_symbol(&p->tokens, ')'))
        return false;
    if (token_take_word(&p->tokens, "from") &&
        !token_expect_integer(&p->tokens, "the band's low end", -BAND_OPEN, BAND_OPEN, &band->low))
        return false;
    return !token_take_word(&p->tokens, "to") ||
           token_expect_integer(&p->tokens, "the band's high end", -BAND_OPEN, BAND_OPEN, &band->high);
}

static bool parse_parts(Parser *p, Value *value) {
    int64_t parts;
    if (!token_take_word(&p->tokens, "parts")) return !p->tokens.failed;
    if (!token_expect_integer(&p->tokens, "the parts", 2, UINT32_MAX, &parts)) return false;
    value->parts = (uint32_t)parts;
    return true;
}

static bool parse_value_rounds(Parser *p, Value *value) {
    int64_t rounds;
    if (!token_take_word(&p->tokens, "rounds")) return !p->tokens.failed;
    if (!token_expect_integer(&p->tokens, "the rounds", 2, UINT32_MAX, &rounds)) return false;
    value->rounds = (uint32_t)rounds;
    return true;
}

static bool parse_value_name(Parser *p, Value *value) {
    if (value->kind == VALUE_INPUT || value->kind == VALUE_STATE) {
        LeafId id;
        if (!leaf_parse(&p->tokens, p->dims, value->kind == VALUE_INPUT, &id)) return false;
        Leaf *leaf = ARENA_NEW(p->plan->arena, Leaf);  // a copy: reading more leaves moves the graph's array
        *leaf = *graph_leaf_at(p->dims, id);
        value->leaf = leaf;
        value->name = leaf->name;
        if (value->is_copy)
            value->name = copy_name(p->plan->arena, p->dims, leaf->name, value->dtype, &value->layout);
        return true;
    }
    return !token_take_word(&p->tokens, "name") || token_expect_string(&p->tokens, "a name in quotes", &value->name);
}

static bool parse_value_memory(Parser *p, Value *value) {
    if (token_take_word(&p->tokens, "next_of")) {
        if (!parse_value_id(p, VALUE_NONE, &value->next_of)) return false;  // may come later in the text
        value->in_place = token_take_word(&p->tokens, "in_place");
    }
    value->is_over = token_take_word(&p->tokens, "over");
    if (value->is_over && !parse_value_id(p, VALUE_NONE, &value->over)) return false;
    for (int space = 0; space < SPACE_COUNT; space++) {
        if (!token_take_word(&p->tokens, space_words[space])) continue;
        value->space = (Space)space;
        if (!token_expect_symbol(&p->tokens, '+') || !parse_size(p, "the offset", &value->offset)) return false;
        return !token_take_word(&p->tokens, "bytes") || parse_size(p, "the bytes", &value->bytes);
    }
    return !p->tokens.failed;
}

static bool parse_value(Parser *p) {
    Plan *plan = p->plan;
    if (!token_expect_symbol(&p->tokens, '%') || !parse_next_number(p, "value %", plan->value_count)) return false;
    Value value = {.next_of = VALUE_NONE};
    if (!parse_value_kind(p, &value) || !parse_value_type(p, &value) || !parse_layout(p, &value.layout) ||
        !parse_band(p, &value.band) || !parse_parts(p, &value) ||
        !parse_value_rounds(p, &value) || !parse_value_name(p, &value) || !parse_value_memory(p, &value))
        return false;
    plan->values = arena_grow(plan->arena, plan->values, &p->value_capacity, plan->value_count + 1, sizeof(Value));
    plan->values[plan->value_count++] = value;
    return true;
}

// ---- steps

static bool parse_form(Parser *p, Step *step) {
    const char *words[FORM_COUNT];
    int form = 0;
    for (int i = 0; i < FORM_COUNT; i++)
        words[i] = form_name((Form)i);
    if (!parse_word_of(p, "map, row, product or sweep", words, FORM_COUNT, &form)) return false;
    step->form = (Form)form;
    return true;
}

static bool parse_engine(Parser *p, Step *step) {
    const char *words[ENGINE_COUNT];
    int engine = 0;
    for (int i = 0; i < ENGINE_COUNT; i++)
        words[i] = engine_name((Engine)i);
    if (!parse_word_of(p, "tiles or blas", words, ENGINE_COUNT, &engine)) return false;
    step->engine = (Engine)engine;
    return true;
}

static bool parse_groups(Parser *p, Cut *cut) {
    int64_t groups;
    if (!token_take_word(&p->tokens, "groups")) return !p->tokens.failed;
    if (!token_expect_integer(&p->tokens, "the groups", 1, UINT32_MAX, &groups)) return false;
    cut->groups = (uint32_t)groups;
    return true;
}

static bool parse_rounds(Parser *p, Cut *cut) {
    int64_t rounds;
    if (!token_take_word(&p->tokens, "rounds")) return !p->tokens.failed;
    if (!token_expect_integer(&p->tokens, "the rounds", 2, UINT32_MAX, &rounds)) return false;
    cut->rounds = (uint32_t)rounds;
    return token_expect_word(&p->tokens, "over") && parse_dims_in_parentheses(p, &cut->over);
}

static bool parse_cut(Parser *p, Cut *cut) {
    int64_t pieces;
    if (!parse_dims_in_parentheses(p, &cut->dims) || !token_expect_symbol(&p->tokens, '/') ||
        !token_expect_integer(&p->tokens, "the pieces", 1, UINT32_MAX, &pieces))
        return false;
    cut->pieces = (uint32_t)pieces;
    cut->total = graph_elements(p->dims, dim_list_set(&cut->dims));
    return parse_groups(p, cut) && parse_rounds(p, cut);
}

static bool parse_tile(Parser *p, Step *step) {
    int64_t rows, lanes;
    if (!parse_number(p, "the tile's rows", UINT32_MAX, &rows) || !token_expect_word(&p->tokens, "by") ||
        !parse_number(p, "the tile's lanes", UINT32_MAX, &lanes))
        return false;
    step->tile_rows = (uint32_t)rows;
    step->tile_lanes = (uint32_t)lanes;
    return true;
}

// A library chooses its own blocks.
static bool parse_tensor(Parser *p, bool has_blocks, TensorTile *tensor) {
    const char *words[TENSOR_KINDS];
    int kind = 0;
    int64_t rows = 0, lanes = 0, stages = 0;
    for (int i = 0; i < TENSOR_KINDS; i++)
        words[i] = tensor_name((TensorKind)i);
    if (!parse_word_of(p, "tf32, bf16 or f16", words, TENSOR_KINDS, &kind)) return false;
    if (has_blocks &&
        (!parse_number(p, "the block's rows", UINT32_MAX, &rows) || !token_expect_word(&p->tokens, "by") ||
         !parse_number(p, "the block's lanes", UINT32_MAX, &lanes) || !token_expect_word(&p->tokens, "stages") ||
         !parse_number(p, "the stages", UINT32_MAX, &stages)))
        return false;
    *tensor = (TensorTile){.kind = (TensorKind)kind,
                           .rows = (uint32_t)rows,
                           .lanes = (uint32_t)lanes,
                           .stages = (uint32_t)stages,
                           .wgmma = token_take_word(&p->tokens, "wgmma")};
    tensor->in_turns = tensor->wgmma && token_take_word(&p->tokens, "turns");
    return true;
}

static bool parse_how(Parser *p, Step *step) {
    Tokens *tokens = &p->tokens;
    if (!parse_engine(p, step)) return false;
    if (token_take_word(tokens, "inner")) {
        DimList inner;
        if (!parse_dims_in_parentheses(p, &inner)) return false;
        step->inner = dim_list_set(&inner);
    }
    if (!parse_band(p, &step->band)) return false;
    if (token_take_word(tokens, "cut") && !parse_cut(p, &step->cut)) return false;
    step->wait = token_take_word(tokens, "wait");
    step->joined = token_take_word(tokens, "joined");
    step->chained = token_take_word(tokens, "chained");
    if (token_take_word(tokens, "tile") && !parse_tile(p, step)) return false;
    bool has_blocks = step->engine == ENGINE_TILES;
    if (token_take_word(tokens, "tensor") && !parse_tensor(p, has_blocks, &step->tensor)) return false;
    if (!token_take_word(tokens, "flops")) return !tokens->failed;
    return token_expect_number(tokens, &step->flops) && token_expect_word(tokens, "bytes") &&
           token_expect_number(tokens, &step->bytes);
}

// `in %1 same, %2 none`
static bool parse_operands(Parser *p, Step *step) {
    if (!token_take_word(&p->tokens, "in")) return !p->tokens.failed;
    size_t value_capacity = 0, edge_capacity = 0;
    do {
        ValueId value = VALUE_NONE;
        int edge = 0;
        if (!parse_value_id(p, p->plan->value_count, &value) ||
            !parse_word_of(p, "none, same or all", edge_words, EDGE_COUNT, &edge))
            return false;
        uint32_t count = step->operand_count++;
        step->operands = arena_grow(p->plan->arena, step->operands, &value_capacity, count + 1, sizeof(ValueId));
        step->edges = arena_grow(p->plan->arena, step->edges, &edge_capacity, count + 1, sizeof(EdgeKind));
        step->operands[count] = value;
        step->edges[count] = (EdgeKind)edge;
    } while (token_take_symbol(&p->tokens, ','));
    return !p->tokens.failed;
}

static bool parse_outputs(Parser *p, Step *step) {
    if (!token_expect_word(&p->tokens, "out")) return false;
    size_t capacity = 0;
    do {
        ValueId value = VALUE_NONE;
        if (!parse_value_id(p, p->plan->value_count, &value)) return false;
        step->outputs = arena_grow(p->plan->arena, step->outputs, &capacity, step->output_count + 1, sizeof(ValueId));
        step->outputs[step->output_count++] = value;
    } while (token_take_symbol(&p->tokens, ','));
    return !p->tokens.failed;
}

static bool parse_region(Parser *p, Step *step) {
    step->region = graph_create_like(p->plan->arena, p->dims);
    return token_expect_word(&p->tokens, "region") && token_expect_symbol(&p->tokens, '{') &&
           graph_parse_body(&p->tokens, step->region) && token_expect_symbol(&p->tokens, '}');
}

static bool parse_step(Parser *p) {
    Plan *plan = p->plan;
    Step step = {0};
    if (!parse_next_number(p, "step ", plan->step_count)) return false;
    if (!parse_form(p, &step) || !token_expect_string(&p->tokens, "a label in quotes", &step.label) ||
        !token_expect_word(&p->tokens, "at") || !token_expect_string(&p->tokens, "a place in quotes", &step.place))
        return false;
    if (!parse_how(p, &step) || !parse_operands(p, &step) || !parse_outputs(p, &step) || !parse_region(p, &step))
        return false;
    plan->steps = arena_grow(plan->arena, plan->steps, &p->step_capacity, plan->step_count + 1, sizeof(Step));
    plan->steps[plan->step_count++] = step;
    return true;
}

static bool parse_memory(Parser *p) {
    bool good = token_expect_word(&p->tokens, "arena") && parse_size(p, "the arena's bytes", &p->plan->arena_bytes) &&
                token_expect_word(&p->tokens, "state") && parse_size(p, "the state's bytes", &p->plan->state_bytes) &&
                (!token_take_word(&p->tokens, "scratch") ||
                 parse_size(p, "the scratch memory's bytes", &p->plan->scratch_bytes)) &&
                (!token_take_word(&p->tokens, "workspace") ||
                 parse_size(p, "the workspace's bytes", &p->plan->workspace_bytes));
    p->plan->is_persistent = good && token_take_word(&p->tokens, "persistent");
    return good;
}

static bool parse_lines(Parser *p) {
    while (p->tokens.token.kind != TOKEN_END) {
        bool good;
        if (token_take_word(&p->tokens, "value"))
            good = parse_value(p);
        else if (token_take_word(&p->tokens, "step"))
            good = parse_step(p);
        else if (token_take_word(&p->tokens, "memory"))
            good = parse_memory(p);
        else
            good = token_unexpected(&p->tokens, "a value, a step or the memory line");
        if (!good) return false;
    }
    return !p->tokens.failed;
}

Plan *plan_parse(Arena *arena, const char *file, const char *source, Diags *diags) {
    Parser parser = {.plan = ARENA_NEW(arena, Plan)};
    tokens_start(&parser.tokens, arena, file, source, diags);
    Place start = parser.tokens.token.place;
    const char *name;
    if (!token_expect_word(&parser.tokens, "plan") ||
        !token_expect_string(&parser.tokens, "the plan's name in quotes", &name))
        return NULL;
    parser.dims = graph_create(arena, name);
    parser.plan->arena = arena;
    parser.plan->dims = parser.dims;
    if (!graph_parse_declarations(&parser.tokens, parser.dims) || !parse_lines(&parser)) return NULL;
    const char *wrong = plan_verify(parser.plan, arena);
    if (wrong) {
        diag_error(diags, start, "the plan is not sound: %s", wrong);
        return NULL;
    }
    return parser.plan;
}
