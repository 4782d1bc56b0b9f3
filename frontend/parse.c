// Statements and whole models, by recursive descent: one function per rule, the rule above it.
//
//     layer i in n_layer as "h.{i}" {        STATEMENT_LAYER i, "h.{i}", body:
//       param W[C,F] as "w.weight"      ->     STATEMENT_PARAM W, dims C F, "w.weight"
//       u = sum(C) x * W                       STATEMENT_ASSIGN u, sum (C) of (x * W)
//     }
//
// After an error the parser goes on at the next line, so that one run reports several mistakes.
#include "frontend/parse.h"

enum { MAX_ERRORS = 20 };

static Statement *statement_new(Parser *parser, StatementKind kind) {
    Statement *statement = ARENA_NEW(parser->arena, Statement);
    statement->kind = kind;
    statement->place = parser_peek(parser)->place;
    return statement;
}

// ---- line ends
static bool at_statement_end(const Parser *parser) {
    TokenKind kind = parser_peek(parser)->kind;
    return kind == TOKEN_NEWLINE || kind == TOKEN_END || parser_at(parser, "}");
}

static bool parse_statement_end(Parser *parser) {
    if (!at_statement_end(parser)) return parser_expected(parser, "the end of the line");
    if (parser_peek(parser)->kind == TOKEN_NEWLINE) parser_take(parser);
    return true;
}

// To the line end behind the mistake, jumping over a block that begins on the way.
static void skip_statement(Parser *parser) {
    unsigned blocks = 0;
    while (parser_peek(parser)->kind != TOKEN_END) {
        if (blocks == 0 && parser_at(parser, "}")) return;
        const Token *token = parser_take(parser);
        if (token->kind == TOKEN_NEWLINE && blocks == 0) return;
        if (token->kind != TOKEN_SYMBOL) continue;
        if (*token->text == '{') blocks++;
        if (*token->text == '}' && --blocks == 0) return;
    }
}

// ---- declarations
// config = "config" {NAME "=" default};  default = ["-"] NUMBER | "true" | "false" | STRING | NAME {"|" NAME}
static bool parse_config_value(Parser *parser, ConfigItem *item) {
    bool negative = parser_accept(parser, "-");
    const Token *token = parser_peek(parser);
    if (token->kind == TOKEN_NUMBER) {
        parser_take(parser);
        double number = negative ? -token->number : token->number;
        if (token->integral && token->number > 9e15) return diag_error(parser->diags, token->place, "integer '%s' is too large", token->text);
        item->value = (ConfigValue){.type = token->integral ? CONFIG_INT : CONFIG_FLOAT, .number = number,
                                    .integer = token->integral ? (int64_t)number : 0};
        return true;
    }
    if (negative) return parser_expected(parser, "a number after '-'");
    if (parser_at(parser, "true") || parser_at(parser, "false")) {
        item->value = (ConfigValue){.type = CONFIG_BOOL, .integer = text_equal(parser_take(parser)->text, "true")};
        return true;
    }
    if (token->kind == TOKEN_STRING) {
        item->value = (ConfigValue){.type = CONFIG_STRING, .string = parser_take(parser)->text};
        return true;
    }
    LIST_OF(const char *) choices = {0};
    do {
        Name choice;
        if (!parser_name(parser, &choice, "a number, true, false, a string or choices such as erf|tanh")) return false;
        *LIST_ADD(parser->arena, &choices) = choice.text;
    } while (parser_accept(parser, "|"));
    item->value = (ConfigValue){.type = CONFIG_STRING, .string = choices.items[0]};
    *LIST_ADD(parser->arena, &choices) = NULL;
    item->choices = choices.items;
    return true;
}

static bool parse_config(Parser *parser) {
    do {
        ConfigItem item = {0};
        if (!parser_name(parser, &item.name, "the name of a config value") || !parser_expect(parser, "=")) return false;
        if (!parse_config_value(parser, &item)) return false;
        for (size_t i = 0; i < parser->spec->configs.count; i++) {
            const Name *other = &parser->spec->configs.items[i].name;
            if (text_equal(other->text, item.name.text))
                return diag_error(parser->diags, item.name.place, "config '%s' is already declared at line %u", other->text, other->place.line);
        }
        *LIST_ADD(parser->arena, &parser->spec->configs) = item;
    } while (!at_statement_end(parser));
    return true;
}

// dim = "dim" {NAME "=" expression}
static bool parse_dims(Parser *parser, StatementList *into) {
    do {
        Statement *statement = statement_new(parser, STATEMENT_DIM);
        if (!parser_name(parser, &statement->name, "the name of a dimension") || !parser_expect(parser, "=")) return false;
        statement->value = parse_expression(parser);
        if (!statement->value) return false;
        *LIST_ADD(parser->arena, into) = statement;
    } while (!at_statement_end(parser));
    return true;
}

// width = "u16" | "u32" | "token" "(" NAME ")"
static bool parse_width(Parser *parser, InputItem *item) {
    if (parser_accept(parser, "u16")) item->token_bytes = 2;
    else if (parser_accept(parser, "u32")) item->token_bytes = 4;
    else if (parser_accept(parser, "token")) {
        const Token *open = parser_peek(parser);
        return parser_expect(parser, "(") && parser_name(parser, &item->vocabulary, "the dimension of the vocabulary") &&
               parser_close(parser, ")", open);
    } else return parser_expected(parser, "the width of a token in files: u16, u32 or token(V)");
    return true;
}

// input = "input" {NAME "[" dims "]" ":" width}
static bool parse_input(Parser *parser) {
    do {
        InputItem item = {0};
        if (!parser_name(parser, &item.name, "the name of an input")) return false;
        if (!parser_at(parser, "[")) return parser_expected(parser, "'[' and the dimensions of the input");
        if (!parser_names(parser, &item.dims, "a dimension") || !parser_expect(parser, ":") || !parse_width(parser, &item)) return false;
        *LIST_ADD(parser->arena, &parser->spec->inputs) = item;
    } while (!at_statement_end(parser));
    return true;
}

// initializer = "zeros" | "ones" | ("normal" | "constant") "(" expression ")" | NAME
static bool parse_initializer(Parser *parser, Initializer *initializer) {
    *initializer = (Initializer){.kind = INITIALIZER_NAMED, .place = parser_peek(parser)->place};
    if (!parser_name(parser, &initializer->name, "zeros, ones, normal(...), constant(...) or the name of an init")) return false;
    const char *name = initializer->name.text;
    bool normal = text_equal(name, "normal"), constant = text_equal(name, "constant");
    if (text_equal(name, "zeros") || text_equal(name, "ones")) {
        initializer->kind = INITIALIZER_CONSTANT;
        initializer->value = ARENA_NEW(parser->arena, Expr);
        *initializer->value = (Expr){.kind = EXPR_NUMBER, .place = initializer->place, .depth = 1, .number = *name == 'o'};
        return true;
    }
    if (!normal && !constant) return true;
    initializer->kind = normal ? INITIALIZER_NORMAL : INITIALIZER_CONSTANT;
    const Token *open = parser_peek(parser);
    if (!parser_expect(parser, "(")) return false;
    initializer->value = parse_expression(parser);
    return initializer->value && parser_close(parser, ")", open);
}

// init = "init" {NAME initializer}
static bool parse_init(Parser *parser) {
    do {
        InitItem item = {0};
        if (!parser_name(parser, &item.name, "'default' or a name for an initial value")) return false;
        if (!parse_initializer(parser, &item.initializer)) return false;
        if (item.initializer.kind == INITIALIZER_NAMED)
            return diag_error(parser->diags, item.initializer.place, "expected zeros, ones, normal(...) or constant(...), found '%s'",
                              item.initializer.name.text);
        *LIST_ADD(parser->arena, &parser->spec->inits) = item;
    } while (!at_statement_end(parser));
    return true;
}

// as = "as" STRING
static bool parse_as(Parser *parser, Name *stored, const char *what) {
    if (!parser_accept(parser, "as")) return parser_expected(parser, arena_format(parser->arena, "'as' and %s", what));
    const Token *token = parser_peek(parser);
    if (token->kind != TOKEN_STRING) return parser_expected(parser, arena_format(parser->arena, "%s in quotes", what));
    if (!*token->text) return diag_error(parser->diags, token->place, "a stored name may not be empty");
    *stored = (Name){token->text, parser_take(parser)->place};
    return true;
}

// ---- statements
// axes = "[" axis {"," axis} "]";  axis = NAME | "(" NAME {"," NAME} ")"
static bool parse_axes(Parser *parser, Statement *param) {
    const Token *open = parser_peek(parser);
    if (!parser_accept(parser, "[")) return parser_expected(parser, "'[' and the dimensions of the parameter");
    unsigned axis = 0;
    do {
        size_t before = param->dims.count;
        Name name;
        if (parser_at(parser, "(")) {
            if (!parser_names(parser, &param->dims, "a dimension")) return false;
        } else if (parser_name(parser, &name, "a dimension")) *LIST_ADD(parser->arena, &param->dims) = name;
        else return false;
        for (size_t i = before; i < param->dims.count; i++) *LIST_ADD(parser->arena, &param->axes) = axis;
        axis++;
    } while (parser_accept(parser, ","));
    return parser_close(parser, "]", open);
}

// param = "param" NAME axes [initializer] as ["if" expression]
static bool parse_param(Parser *parser, StatementList *body) {
    Statement *param = statement_new(parser, STATEMENT_PARAM);
    if (!parser_name(parser, &param->name, "the name of a parameter") || !parse_axes(parser, param)) return false;
    param->initializer = (Initializer){.kind = INITIALIZER_DEFAULT, .place = param->name.place};
    if (parser_peek(parser)->kind == TOKEN_NAME && !parser_at(parser, "as") && !parse_initializer(parser, &param->initializer)) return false;
    if (!parse_as(parser, &param->stored, "the name of the parameter in files")) return false;
    if (parser_accept(parser, "if") && !(param->condition = parse_expression(parser))) return false;
    *LIST_ADD(parser->arena, body) = param;
    return true;
}

// target = NAME ["[" dims "]"]
static bool parse_target(Parser *parser, Statement *assign) {
    Target target = {0};
    if (!parser_name(parser, &target.name, "a statement")) return false;
    if (parser_at(parser, "[")) {
        target.has_dims = true;
        if (!parser_names(parser, &target.dims, "a dimension")) return false;
    }
    for (size_t i = 0; i < assign->targets.count; i++) {
        if (text_equal(assign->targets.items[i].name.text, target.name.text))
            return diag_error(parser->diags, target.name.place, "'%s' is assigned twice in one statement", target.name.text);
    }
    *LIST_ADD(parser->arena, &assign->targets) = target;
    return true;
}

// assignment = target {"," target} "=" expression {"," expression}
static bool parse_assignment(Parser *parser, StatementList *body) {
    Statement *assign = statement_new(parser, STATEMENT_ASSIGN);
    do {
        if (!parse_target(parser, assign)) return false;
    } while (parser_accept(parser, ","));
    if (!parser_expect(parser, "=")) return false;
    do {
        Expr *value = parse_expression(parser);
        if (!value) return false;
        *LIST_ADD(parser->arena, &assign->values) = value;
    } while (parser_accept(parser, ","));
    if (assign->values.count != assign->targets.count)
        return diag_error(parser->diags, assign->place, "names on the left: %zu, values on the right: %zu", assign->targets.count,
                          assign->values.count);
    *LIST_ADD(parser->arena, body) = assign;
    return true;
}

// block = "{" {statement} "}"; `one` reads a statement
static bool parse_block(Parser *parser, bool (*one)(Parser *, void *), void *context) {
    const Token *open = parser_peek(parser);
    if (!parser_expect(parser, "{") || !parser_enter(parser)) return false;
    for (;;) {
        while (parser_peek(parser)->kind == TOKEN_NEWLINE) parser_take(parser);
        if (parser_at(parser, "}") || parser_peek(parser)->kind == TOKEN_END) break;
        if (!(one(parser, context) && parse_statement_end(parser))) {
            if (diags_errors(parser->diags) >= MAX_ERRORS) return false;
            skip_statement(parser);
        }
    }
    parser_leave(parser);
    return parser_close(parser, "}", open);
}

static bool parse_layer_statement(Parser *parser, void *context);

// layer = "layer" NAME "in" expression as block
static bool parse_layer(Parser *parser, StatementList *body) {
    Statement *layer = statement_new(parser, STATEMENT_LAYER);
    if (!parser_name(parser, &layer->name, "the name of the layer counter") || !parser_expect(parser, "in")) return false;
    if (!(layer->value = parse_expression(parser))) return false;
    if (!parse_as(parser, &layer->stored, "the prefix of the layer's parameters in files, such as \"h.{i}\"")) return false;
    if (!parse_block(parser, parse_layer_statement, &layer->body)) return false;
    *LIST_ADD(parser->arena, body) = layer;
    return true;
}

// layer-statement = param | layer | assignment
static bool parse_layer_statement(Parser *parser, void *context) {
    StatementList *body = context;
    if (parser_accept(parser, "param")) return parse_param(parser, body);
    if (parser_accept(parser, "layer")) return parse_layer(parser, body);
    static const char *const outside[] = {"model", "config", "dim", "input", "init", "fn"};
    for (size_t i = 0; i < sizeof outside / sizeof *outside; i++) {
        if (parser_at(parser, outside[i]))
            return diag_error(parser->diags, parser_peek(parser)->place, "'%s' may not stand inside a layer", outside[i]);
    }
    return parse_assignment(parser, body);
}

// fn-statement = param | dim | assignment | "return" expression
static bool parse_function_statement(Parser *parser, void *context) {
    Function *function = context;
    if (function->result)
        return diag_error(parser->diags, parser_peek(parser)->place, "nothing may follow the 'return' of '%s'", function->name.text);
    if (parser_accept(parser, "param")) return parse_param(parser, &function->body);
    if (parser_accept(parser, "dim")) return parse_dims(parser, &function->body);
    if (parser_accept(parser, "return")) return (function->result = parse_expression(parser)) != NULL;
    return parse_assignment(parser, &function->body);
}

static bool check_new_function(Parser *parser, const Function *function) {
    const Name *name = &function->name;
    for (int i = 0; i < BUILTIN_COUNT; i++) {
        if (text_equal(builtin_table[i].spelling, name->text))
            return diag_error(parser->diags, name->place, "'%s' is built in and cannot be defined again", name->text);
    }
    const Function *other = spec_function(parser->spec, name->text);
    if (other && other->prelude == parser->prelude)
        return diag_error(parser->diags, name->place, "function '%s' is already defined at line %u", name->text, other->name.place.line);
    return true;
}

// No two of a function's dims and arguments have one name.
static bool check_parameters(Parser *parser, const Function *function) {
    for (size_t i = 0; i < function->dims.count + function->arguments.count; i++) {
        size_t dims = function->dims.count;
        const Name *name = i < dims ? &function->dims.items[i] : &function->arguments.items[i - dims];
        for (size_t j = 0; j < i; j++) {
            const Name *other = j < dims ? &function->dims.items[j] : &function->arguments.items[j - dims];
            if (text_equal(name->text, other->text))
                return diag_error(parser->diags, name->place, "'%s' stands twice in the parameters of '%s'", name->text, function->name.text);
        }
    }
    return true;
}

// parameters = "(" [NAME {"," NAME}] ")"
static bool parse_parameters(Parser *parser, NameList *names) {
    const Token *after = parser_peek(parser);
    bool empty = parser_at(parser, "(") && text_equal(after[1].text, ")") && after[1].kind == TOKEN_SYMBOL;
    if (empty) parser->next += 2;
    return empty || parser_names(parser, names, "the name of a parameter");
}

// function = "fn" NAME [parameters] parameters ("=" expression | block); the first of two are dims
static bool parse_function(Parser *parser) {
    Function *function = ARENA_NEW(parser->arena, Function);
    function->prelude = parser->prelude;
    if (!parser_name(parser, &function->name, "the name of a function") || !check_new_function(parser, function)) return false;
    if (!parse_parameters(parser, &function->arguments)) return false;
    if (parser_at(parser, "(")) {
        function->dims = function->arguments;
        function->arguments = (NameList){0};
        if (!parse_parameters(parser, &function->arguments)) return false;
    }
    if (!check_parameters(parser, function)) return false;
    if (parser_at(parser, "{")) {
        if (!parse_block(parser, parse_function_statement, function)) return false;
        if (!function->result) return diag_error(parser->diags, function->name.place, "'%s' has no 'return'", function->name.text);
    } else {
        if (!parser_at(parser, "=")) return parser_expected(parser, "'=' or '{'");
        parser_take(parser);
        if (!(function->result = parse_expression(parser))) return false;
    }
    *LIST_ADD(parser->arena, &parser->spec->functions) = function;
    return true;
}

// ---- a whole text
// model = "model" NAME
static bool parse_model(Parser *parser) {
    const Token *token = parser_peek(parser);
    if (parser->spec->name.text) return diag_error(parser->diags, token->place, "'model' is already named at line %u", parser->spec->name.place.line);
    return parser_name(parser, &parser->spec->name, "the name of the model");
}

// statement = model | config | dim | input | init | function | param | layer | assignment
static bool parse_statement(Parser *parser) {
    Spec *spec = parser->spec;
    if (parser_accept(parser, "fn")) return parse_function(parser);
    if (parser->prelude) return parser_expected(parser, "'fn'");
    if (parser_accept(parser, "model")) return parse_model(parser);
    if (parser_accept(parser, "config")) return parse_config(parser);
    if (parser_accept(parser, "dim")) return parse_dims(parser, &spec->dims);
    if (parser_accept(parser, "input")) return parse_input(parser);
    if (parser_accept(parser, "init")) return parse_init(parser);
    if (parser_accept(parser, "param")) return parse_param(parser, &spec->body);
    if (parser_accept(parser, "layer")) return parse_layer(parser, &spec->body);
    return parse_assignment(parser, &spec->body);
}

static bool parse_text(Parser *parser, const char *file, const char *source) {
    parser->tokens = tokens_read(parser->arena, file, source, parser->diags);
    parser->next = 0;
    if (!parser->tokens) return false;
    size_t before = diags_errors(parser->diags);
    for (;;) {
        while (parser_peek(parser)->kind == TOKEN_NEWLINE) parser_take(parser);
        if (parser_peek(parser)->kind == TOKEN_END) break;
        bool stray = false;
        if (parse_statement(parser) && !(stray = parser_at(parser, "}")) && parse_statement_end(parser)) continue;
        if (stray) parser_expected(parser, "the end of the line");
        if (diags_errors(parser->diags) - before >= MAX_ERRORS) break;
        parser->nesting = 0;
        skip_statement(parser);
        if (parser_at(parser, "}")) parser_take(parser);
    }
    parser->spec->end = parser_peek(parser)->place;
    return diags_errors(parser->diags) == before;
}

Spec *spec_parse(Arena *arena, const char *file, const char *source, Diags *diags) {
    Spec *spec = ARENA_NEW(arena, Spec);
    Diags *prelude_diags = diags_create(arena);
    Parser parser = {.arena = arena, .diags = prelude_diags, .spec = spec, .prelude = true};
    if (!parse_text(&parser, "prelude.spec", spec_prelude())) {
        Text text = text_create(arena);
        diags_render(prelude_diags, &text);
        BUG("the prelude does not parse:\n%s", text_string(&text));
    }
    parser = (Parser){.arena = arena, .diags = diags, .spec = spec};
    if (!parse_text(&parser, file, source)) return NULL;
    if (!spec->name.text) {
        diag_error(diags, (Place){file, source, 1, 1}, "a model begins with a line such as 'model mine'");
        return NULL;
    }
    return spec;
}

const char *spec_name(const Spec *spec) { return spec->name.text; }
