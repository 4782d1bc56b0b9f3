// Text of a model -> tokens.
//
//     x = sum(C) a * W   # note      ->   name x, symbol =, name sum, symbol (, name C, symbol ), name a, ... newline,
//     end
//
// Comments vanish. A line end is a token, because a statement ends there; inside ( ) and [ ] it is only a blank.
#ifndef SINTER_FRONTEND_TOKEN_H
#define SINTER_FRONTEND_TOKEN_H

#include "base/diag.h"
#include "base/memory.h"

typedef enum { TOKEN_END, TOKEN_NEWLINE, TOKEN_NAME, TOKEN_NUMBER, TOKEN_STRING, TOKEN_SYMBOL } TokenKind;

typedef struct {
    TokenKind kind;
    Place place;
    const char *text; // as written; of a string, what stands between the quotes
    double number;    // NUMBER
    bool integral;    // NUMBER: written without point and exponent
} Token;

// All tokens, the last one TOKEN_END. NULL with diagnostics.
Token *tokens_read(Arena *arena, const char *file, const char *source, Diags *diags);
// For messages: "'x'", "the end of the line", "the string \"a\"".
const char *token_describe(Arena *arena, const Token *token);

#endif
