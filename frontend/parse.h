// What the files of the parser share: a cursor over the tokens and the words every rule needs.
#ifndef SINTER_FRONTEND_PARSE_H
#define SINTER_FRONTEND_PARSE_H

#include "frontend/ast.h"
#include "frontend/token.h"

// Deeper trees are refused, so that no text can exhaust the stack here or in lowering.
enum { MAX_EXPRESSION_DEPTH = 200 };

typedef struct {
    Arena *arena;
    Diags *diags;
    const Token *tokens;
    size_t next;
    Spec *spec;
    bool prelude;     // reading the prelude: only functions, and they are marked
    unsigned nesting; // of expressions and blocks being read
    unsigned statements; // so far
} Parser;

const Token *parser_peek(const Parser *parser);
const Token *parser_take(Parser *parser);
// The next token is this symbol or word.
bool parser_at(const Parser *parser, const char *text);
bool parser_accept(Parser *parser, const char *text);
// Error "expected WHAT, found ..." at the next token; false.
bool parser_expected(Parser *parser, const char *what);
bool parser_expect(Parser *parser, const char *symbol);
// Closes the bracket `open`; when it is missing a note shows where it was opened.
bool parser_close(Parser *parser, const char *symbol, const Token *open);
// A name that is not a reserved word.
bool parser_name(Parser *parser, Name *name, const char *what);
// "(" name {"," name} ")" or with square brackets.
bool parser_names(Parser *parser, NameList *names, const char *what);
bool parser_enter(Parser *parser); // false, with an error, when nested too deeply
void parser_leave(Parser *parser);

// A statement that begins here.
Statement *parser_statement(Parser *parser, StatementKind kind);
// At the end of the line, the file or the block.
bool parser_at_end(const Parser *parser);

// The function of this name, the latest definition; NULL when there is none.
const Function *spec_function(const Spec *spec, const char *name);

// ---- parse_expression.c
Expr *parse_expression(Parser *parser);

// ---- parse_declare.c; the word that begins the statement has been read
bool parse_config(Parser *parser);
bool parse_dims(Parser *parser, StatementList *into);
bool parse_input(Parser *parser);
bool parse_init(Parser *parser);
bool parse_param(Parser *parser, StatementList *body);
bool parse_as(Parser *parser, Name *stored, const char *what);

#endif
