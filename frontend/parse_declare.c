// Declarations, by recursive descent: config, dim, input, init and param, one function per rule, the rule above it.
#include "frontend/parse.h"

// config = "config" {NAME "=" default};  default = ["-"] NUMBER | "true" | "false" | STRING | NAME {"|" NAME}
static bool parse_config_value(Parser *parser, ConfigItem *item) {
    bool negative = parser_accept(parser, "-");
    const Token *token = parser_peek(parser);
    if (token->kind == TOKEN_NUMBER) {
        parser_take(parser);
        double number = negative ? -token->number : token->number;
        if (token->integral && token->number > 9e15)
            return diag_error(parser->diags, token->place, "integer '%s' is too large", token->text);
        item->value = (ConfigValue){.type = token->integral ? CONFIG_INT : CONFIG_FLOAT,
                                    .number = number,
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

bool parse_config(Parser *parser) {
    do {
        ConfigItem item = {0};
        if (!parser_name(parser, &item.name, "the name of a config value") || !parser_expect(parser, "=")) return false;
        if (!parse_config_value(parser, &item)) return false;
        for (size_t i = 0; i < parser->spec->configs.count; i++) {
            const Name *other = &parser->spec->configs.items[i].name;
            if (text_equal(other->text, item.name.text))
                return diag_error(parser->diags, item.name.place, "config '%s' is already declared at line %u",
                                  other->text, other->place.line);
        }
        *LIST_ADD(parser->arena, &parser->spec->configs) = item;
    } while (!parser_at_end(parser));
    return true;
}

// dim = "dim" {NAME "=" expression}
bool parse_dims(Parser *parser, StatementList *into) {
    do {
        Statement *statement = parser_statement(parser, STATEMENT_DIM);
        if (!parser_name(parser, &statement->name, "the name of a dimension") || !parser_expect(parser, "="))
            return false;
        statement->value = parse_expression(parser);
        if (!statement->value) return false;
        *LIST_ADD(parser->arena, into) = statement;
    } while (!parser_at_end(parser));
    return true;
}

// width = "u16" | "u32" | "token" "(" NAME ")"
static bool parse_width(Parser *parser, InputItem *item) {
    if (parser_accept(parser, "u16"))
        item->token_bytes = 2;
    else if (parser_accept(parser, "u32"))
        item->token_bytes = 4;
    else if (parser_accept(parser, "token")) {
        const Token *open = parser_peek(parser);
        return parser_expect(parser, "(") &&
               parser_name(parser, &item->vocabulary, "the dimension of the vocabulary") &&
               parser_close(parser, ")", open);
    } else
        return parser_expected(parser, "the width of a token in files: u16, u32 or token(V)");
    return true;
}

// input = "input" {NAME "[" dims "]" ":" width}
bool parse_input(Parser *parser) {
    do {
        InputItem item = {0};
        if (!parser_name(parser, &item.name, "the name of an input")) return false;
        if (!parser_at(parser, "[")) return parser_expected(parser, "'[' and the dimensions of the input");
        if (!parser_names(parser, &item.dims, "a dimension") || !parser_expect(parser, ":") ||
            !parse_width(parser, &item))
            return false;
        *LIST_ADD(parser->arena, &parser->spec->inputs) = item;
    } while (!parser_at_end(parser));
    return true;
}

// initializer = "zeros" | "ones" | ("normal" | "constant") "(" expression ")" | NAME
static bool parse_initializer(Parser *parser, Initializer *initializer) {
    *initializer = (Initializer){.kind = INITIALIZER_NAMED, .place = parser_peek(parser)->place};
    if (!parser_name(parser, &initializer->name, "zeros, ones, normal(...), constant(...) or the name of an init"))
        return false;
    const char *name = initializer->name.text;
    bool normal = text_equal(name, "normal"), constant = text_equal(name, "constant");
    if (text_equal(name, "zeros") || text_equal(name, "ones")) {
        initializer->kind = INITIALIZER_CONSTANT;
        initializer->value = ARENA_NEW(parser->arena, Expr);
        *initializer->value =
            (Expr){.kind = EXPR_NUMBER, .place = initializer->place, .depth = 1, .number = *name == 'o'};
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
bool parse_init(Parser *parser) {
    do {
        InitItem item = {0};
        if (!parser_name(parser, &item.name, "'default' or a name for an initial value")) return false;
        if (!parse_initializer(parser, &item.initializer)) return false;
        if (item.initializer.kind == INITIALIZER_NAMED)
            return diag_error(parser->diags, item.initializer.place,
                              "expected zeros, ones, normal(...) or constant(...), found '%s'",
                              item.initializer.name.text);
        *LIST_ADD(parser->arena, &parser->spec->inits) = item;
    } while (!parser_at_end(parser));
    return true;
}

// as = "as" STRING
bool parse_as(Parser *parser, Name *stored, const char *what) {
    if (!parser_accept(parser, "as")) return parser_expected(parser, arena_format(parser->arena, "'as' and %s", what));
    const Token *token = parser_peek(parser);
    if (token->kind != TOKEN_STRING) return parser_expected(parser, arena_format(parser->arena, "%s in quotes", what));
    if (!*token->text) return diag_error(parser->diags, token->place, "a stored name may not be empty");
    *stored = (Name){token->text, parser_take(parser)->place};
    return true;
}

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
        } else if (parser_name(parser, &name, "a dimension"))
            *LIST_ADD(parser->arena, &param->dims) = name;
        else
            return false;
        for (size_t i = before; i < param->dims.count; i++)
            *LIST_ADD(parser->arena, &param->axes) = axis;
        axis++;
    } while (parser_accept(parser, ","));
    return parser_close(parser, "]", open);
}

// param = "param" NAME axes [initializer] as ["if" expression]
bool parse_param(Parser *parser, StatementList *body) {
    Statement *param = parser_statement(parser, STATEMENT_PARAM);
    if (!parser_name(parser, &param->name, "the name of a parameter") || !parse_axes(parser, param)) return false;
    param->initializer = (Initializer){.kind = INITIALIZER_DEFAULT, .place = param->name.place};
    if (parser_peek(parser)->kind == TOKEN_NAME && !parser_at(parser, "as") &&
        !parse_initializer(parser, &param->initializer))
        return false;
    if (!parse_as(parser, &param->stored, "the name of the parameter in files")) return false;
    if (parser_accept(parser, "if") && !(param->condition = parse_expression(parser))) return false;
    *LIST_ADD(parser->arena, body) = param;
    return true;
}
