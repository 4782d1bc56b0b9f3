// The scanner: one pass over the text, one token at a time, into one array.
#include "frontend/token.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    Arena *arena;
    const char *file, *source, *at, *line_start;
    uint32_t line;
    unsigned open; // ( and [ not yet closed
    Token *tokens;
    size_t count, capacity;
    Diags *diags;
} Scanner;

static bool is_name_start(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}
static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}
static bool is_name_part(char c) {
    return is_name_start(c) || is_digit(c);
}

static Place place_here(const Scanner *scanner) {
    return (Place){scanner->file, scanner->source, scanner->line, (uint32_t)(scanner->at - scanner->line_start) + 1};
}

static Token *token_add(Scanner *scanner, TokenKind kind, Place place, const char *text, size_t length) {
    scanner->tokens =
        arena_grow(scanner->arena, scanner->tokens, &scanner->capacity, scanner->count + 1, sizeof(Token));
    Token *token = &scanner->tokens[scanner->count++];
    *token = (Token){.kind = kind, .place = place, .text = arena_copy_range(scanner->arena, text, length)};
    return token;
}

// Blank lines and line ends inside brackets make no token.
static void scan_newline(Scanner *scanner) {
    bool blank = scanner->count == 0 || scanner->tokens[scanner->count - 1].kind == TOKEN_NEWLINE;
    if (scanner->open == 0 && !blank) token_add(scanner, TOKEN_NEWLINE, place_here(scanner), "", 0);
    scanner->at++;
    scanner->line++;
    scanner->line_start = scanner->at;
}

// number = digits ["." digits] ["e" ["+"|"-"] digits] | "." digits ...
static bool scan_number(Scanner *scanner) {
    Place place = place_here(scanner);
    const char *start = scanner->at, *at = start;
    bool integral = true;
    while (is_digit(*at))
        at++;
    if (*at == '.') {
        integral = false;
        at++;
        while (is_digit(*at))
            at++;
    }
    if (*at == 'e' || *at == 'E') {
        const char *exponent = at + 1 + (at[1] == '+' || at[1] == '-');
        if (is_digit(*exponent)) {
            integral = false;
            at = exponent;
            while (is_digit(*at))
                at++;
        }
    }
    if (is_name_part(*at)) {
        while (is_name_part(*at))
            at++;
        return diag_error(scanner->diags, place, "malformed number '%.*s'", (int)(at - start), start);
    }
    Token *token = token_add(scanner, TOKEN_NUMBER, place, start, (size_t)(at - start));
    token->number = strtod(token->text, NULL);
    token->integral = integral;
    scanner->at = at;
    if (isinf(token->number)) return diag_error(scanner->diags, place, "number '%s' is too large", token->text);
    return true;
}

// string = '"' any characters but '"' and line ends '"'
static bool scan_string(Scanner *scanner) {
    Place place = place_here(scanner);
    const char *start = scanner->at + 1;
    size_t length = strcspn(start, "\"\n");
    if (start[length] != '"') return diag_error(scanner->diags, place, "this string has no closing '\"' on its line");
    token_add(scanner, TOKEN_STRING, place, start, length);
    scanner->at = start + length + 1;
    return true;
}

static bool scan_symbol(Scanner *scanner) {
    Place place = place_here(scanner);
    static const char *const doubles[] = {"==", "!=", "<=", ">="};
    for (size_t i = 0; i < sizeof doubles / sizeof *doubles; i++) {
        if (strncmp(scanner->at, doubles[i], 2) != 0) continue;
        token_add(scanner, TOKEN_SYMBOL, place, scanner->at, 2);
        scanner->at += 2;
        return true;
    }
    char c = *scanner->at;
    if (!strchr("()[]{},:=<>+-*/|", c)) {
        unsigned char byte = (unsigned char)c;
        if (byte < 0x20 || byte >= 0x7f)
            return diag_error(scanner->diags, place,
                              "unexpected byte 0x%02x; outside strings and comments a model is ASCII text", byte);
        return diag_error(scanner->diags, place, "unexpected character '%c'", c);
    }
    if (c == '(' || c == '[') scanner->open++;
    if ((c == ')' || c == ']') && scanner->open > 0) scanner->open--;
    token_add(scanner, TOKEN_SYMBOL, place, scanner->at, 1);
    scanner->at++;
    return true;
}

static bool scan_one(Scanner *scanner) {
    char c = *scanner->at;
    if (c == ' ' || c == '\t' || c == '\r') {
        scanner->at++;
        return true;
    }
    if (c == '#') {
        scanner->at += strcspn(scanner->at, "\n");
        return true;
    }
    if (c == '\n') {
        scan_newline(scanner);
        return true;
    }
    if (c == '"') return scan_string(scanner);
    if (is_digit(c) || (c == '.' && is_digit(scanner->at[1]))) return scan_number(scanner);
    if (is_name_start(c)) {
        Place place = place_here(scanner);
        const char *start = scanner->at;
        while (is_name_part(*scanner->at))
            scanner->at++;
        token_add(scanner, TOKEN_NAME, place, start, (size_t)(scanner->at - start));
        return true;
    }
    return scan_symbol(scanner);
}

Token *tokens_read(Arena *arena, const char *file, const char *source, Diags *diags) {
    Scanner scanner = {
        .arena = arena, .file = file, .source = source, .at = source, .line_start = source, .line = 1, .diags = diags};
    while (*scanner.at) {
        if (!scan_one(&scanner)) return NULL;
    }
    // An unclosed bracket has swallowed the line ends; the parser names the bracket.
    token_add(&scanner, TOKEN_NEWLINE, place_here(&scanner), "", 0);
    token_add(&scanner, TOKEN_END, place_here(&scanner), "", 0);
    return scanner.tokens;
}

const char *token_describe(Arena *arena, const Token *token) {
    switch (token->kind) {
    case TOKEN_END: return "the end of the file";
    case TOKEN_NEWLINE: return "the end of the line";
    case TOKEN_STRING: return arena_format(arena, "the string \"%s\"", token->text);
    case TOKEN_NAME:
    case TOKEN_NUMBER:
    case TOKEN_SYMBOL: break;
    }
    return arena_format(arena, "'%s'", token->text);
}
