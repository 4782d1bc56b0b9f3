// The cursor over the tokens, and the errors of the form "expected ..., found ...".
#include "frontend/parse.h"

static const char *const reserved_words[] = {"model", "config", "dim",  "input", "init", "param", "layer",
                                             "fn",    "return", "in",   "as",    "if",   "else",  "and",
                                             "or",    "not",    "true", "false", "inf"};

const Token *parser_peek(const Parser *parser) {
    return &parser->tokens[parser->next];
}

const Token *parser_take(Parser *parser) {
    const Token *token = parser_peek(parser);
    if (token->kind != TOKEN_END) parser->next++;
    return token;
}

bool parser_at(const Parser *parser, const char *text) {
    const Token *token = parser_peek(parser);
    return (token->kind == TOKEN_SYMBOL || token->kind == TOKEN_NAME) && text_equal(token->text, text);
}

bool parser_accept(Parser *parser, const char *text) {
    if (!parser_at(parser, text)) return false;
    parser->next++;
    return true;
}

bool parser_expected(Parser *parser, const char *what) {
    const Token *token = parser_peek(parser);
    return diag_error(parser->diags, token->place, "expected %s, found %s", what, token_describe(parser->arena, token));
}

bool parser_expect(Parser *parser, const char *symbol) {
    return parser_accept(parser, symbol) || parser_expected(parser, arena_format(parser->arena, "'%s'", symbol));
}

bool parser_close(Parser *parser, const char *symbol, const Token *open) {
    if (parser_expect(parser, symbol)) return true;
    if (parser_peek(parser)->place.line != open->place.line)
        diag_note(parser->diags, open->place, "to close the '%s' here", open->text);
    return false;
}

bool parser_name(Parser *parser, Name *name, const char *what) {
    const Token *token = parser_peek(parser);
    if (token->kind != TOKEN_NAME) return parser_expected(parser, what);
    for (size_t i = 0; i < sizeof reserved_words / sizeof *reserved_words; i++) {
        if (text_equal(token->text, reserved_words[i]))
            return diag_error(parser->diags, token->place, "expected %s, found the reserved word '%s'", what,
                              token->text);
    }
    parser->next++;
    *name = (Name){token->text, token->place};
    return true;
}

bool parser_names(Parser *parser, NameList *names, const char *what) {
    const Token *open = parser_peek(parser);
    bool square = parser_at(parser, "[");
    if (!square && !parser_at(parser, "(")) return parser_expected(parser, "'('");
    parser_take(parser);
    do {
        Name name;
        if (!parser_name(parser, &name, what)) return false;
        *LIST_ADD(parser->arena, names) = name;
    } while (parser_accept(parser, ","));
    return parser_close(parser, square ? "]" : ")", open);
}

enum { MAX_NESTING = 200 };

bool parser_enter(Parser *parser) {
    if (parser->nesting++ < MAX_NESTING) return true;
    parser->nesting--;
    return diag_error(parser->diags, parser_peek(parser)->place, "nested too deeply; name a part of it");
}

void parser_leave(Parser *parser) {
    parser->nesting--;
}

Statement *parser_statement(Parser *parser, StatementKind kind) {
    Statement *statement = ARENA_NEW(parser->arena, Statement);
    statement->kind = kind;
    statement->place = parser_peek(parser)->place;
    return statement;
}

bool parser_at_end(const Parser *parser) {
    TokenKind kind = parser_peek(parser)->kind;
    return kind == TOKEN_NEWLINE || kind == TOKEN_END || parser_at(parser, "}");
}

const Function *spec_function(const Spec *spec, const char *name) {
    for (size_t i = spec->functions.count; i-- > 0;) {
        if (text_equal(spec->functions.items[i]->name.text, name)) return spec->functions.items[i];
    }
    return NULL;
}
