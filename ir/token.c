// Tokens of graph and plan texts. Any bytes in; tokens or one diagnostic out.
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ir/text_format.h"

bool token_fail(Tokens *tokens, Place place, const char *format, ...) {
    if (!tokens->failed) {
        Text text = text_create(tokens->arena);
        va_list arguments;
        va_start(arguments, format);
        text_append_list(&text, format, arguments);
        va_end(arguments);
        diag_error(tokens->diags, place, "%s", text_string(&text));
    }
    tokens->failed = true;
    tokens->token.kind = TOKEN_END;
    return false;
}

static void advance(Tokens *tokens) {
    if (*tokens->at == '\n') {
        tokens->place.line++;
        tokens->place.column = 1;
    } else {
        tokens->place.column++;
    }
    tokens->at++;
}

static void skip_blanks(Tokens *tokens) {
    while (isspace((unsigned char)*tokens->at) || *tokens->at == '#') {
        if (*tokens->at == '#') {
            while (*tokens->at && *tokens->at != '\n') advance(tokens);
        } else {
            advance(tokens);
        }
    }
}

static bool is_name_start(char c) {
    return isalpha((unsigned char)c) || c == '_';
}

static bool is_name_part(char c) {
    return isalnum((unsigned char)c) || c == '_';
}

static void read_name(Tokens *tokens) {
    tokens->token.kind = TOKEN_NAME;
    while (is_name_part(*tokens->at)) advance(tokens);
}

// Generous: what follows the first digit is a number's as long as it looks so; token_expect_* judge the whole.
static void read_number(Tokens *tokens) {
    tokens->token.kind = TOKEN_NUMBER;
    if (*tokens->at == '-') advance(tokens);
    while (is_name_part(*tokens->at) || *tokens->at == '.') {
        bool exponent = *tokens->at == 'e' || *tokens->at == 'E';
        advance(tokens);
        if (exponent && (*tokens->at == '+' || *tokens->at == '-')) advance(tokens);
    }
}

static int hex_digit(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    return -1;
}

// The character after a backslash; 0 when it is none of ours.
static char read_escape(Tokens *tokens) {
    char c = *tokens->at;
    if (c == 'n' || c == 't' || c == '"' || c == '\\') {
        advance(tokens);
        return c == 'n' ? '\n' : c == 't' ? '\t' : c;
    }
    if (c != 'x') return 0;
    advance(tokens);
    int value = 0;
    for (int i = 0; i < 2; i++) {
        int digit = hex_digit(*tokens->at);
        if (digit < 0) return 0;
        value = value * 16 + digit;
        advance(tokens);
    }
    return (char)value;
}

static void read_string(Tokens *tokens) {
    Text text = text_create(tokens->arena);
    Place start = tokens->place;
    advance(tokens);
    while (*tokens->at != '"') {
        Place place = tokens->place;
        char c = *tokens->at;
        if (c == 0 || c == '\n') {
            token_fail(tokens, start, "this string does not end on its line");
            return;
        }
        advance(tokens);
        if (c == '\\') c = read_escape(tokens);
        if (c == 0) {
            token_fail(tokens, place, "unknown escape; there are \\\" \\\\ \\n \\t and \\xHH");
            return;
        }
        text_append_bytes(&text, &c, 1);
    }
    advance(tokens);
    tokens->token.kind = TOKEN_STRING;
    tokens->token.text = text_string(&text);
}

void token_next(Tokens *tokens) {
    if (tokens->failed) return;
    uint32_t line = tokens->place.line;
    bool is_first = tokens->at == tokens->place.source;
    skip_blanks(tokens);
    tokens->token = (Token){.kind = TOKEN_END, .text = "", .place = tokens->place,
                            .first_on_line = is_first || tokens->place.line != line};
    const char *start = tokens->at;
    char c = *start;
    if (c == 0) return;
    if (c == '"') {
        read_string(tokens);
        return;
    }
    if (is_name_start(c)) {
        read_name(tokens);
    } else if (isdigit((unsigned char)c) || (c == '-' && is_name_part(start[1])) || (c == '-' && start[1] == '.')) {
        read_number(tokens);
    } else if (ispunct((unsigned char)c)) {
        tokens->token.kind = TOKEN_SYMBOL;
        advance(tokens);
    } else {
        token_fail(tokens, tokens->place, "byte 0x%02x has no meaning here", (unsigned char)c);
        return;
    }
    tokens->token.text = arena_copy_range(tokens->arena, start, (size_t)(tokens->at - start));
}

void tokens_start(Tokens *tokens, Arena *arena, const char *file, const char *source, Diags *diags) {
    *tokens = (Tokens){.arena = arena, .diags = diags, .at = source, .place = {file, source, 1, 1}};
    token_next(tokens);
}

// ---- asking

bool token_unexpected(Tokens *tokens, const char *what) {
    const Token *token = &tokens->token;
    switch (token->kind) {
    case TOKEN_END: return token_fail(tokens, token->place, "expected %s, found the end of the text", what);
    case TOKEN_STRING: return token_fail(tokens, token->place, "expected %s, found \"%s\"", what, token->text);
    default: return token_fail(tokens, token->place, "expected %s, found '%s'", what, token->text);
    }
}

bool token_is_symbol(const Tokens *tokens, char symbol) {
    return tokens->token.kind == TOKEN_SYMBOL && tokens->token.text[0] == symbol;
}

bool token_is_word(const Tokens *tokens, const char *word) {
    return tokens->token.kind == TOKEN_NAME && strcmp(tokens->token.text, word) == 0;
}

bool token_take_symbol(Tokens *tokens, char symbol) {
    if (!token_is_symbol(tokens, symbol)) return false;
    token_next(tokens);
    return true;
}

bool token_take_word(Tokens *tokens, const char *word) {
    if (!token_is_word(tokens, word)) return false;
    token_next(tokens);
    return true;
}

bool token_expect_symbol(Tokens *tokens, char symbol) {
    if (token_take_symbol(tokens, symbol)) return !tokens->failed;
    return token_unexpected(tokens, (char[]){'\'', symbol, '\'', 0});
}

bool token_expect_word(Tokens *tokens, const char *word) {
    if (token_take_word(tokens, word)) return !tokens->failed;
    return token_unexpected(tokens, arena_format(tokens->arena, "'%s'", word));
}

bool token_expect_name(Tokens *tokens, const char *what, const char **name) {
    if (tokens->token.kind != TOKEN_NAME) return token_unexpected(tokens, what);
    *name = tokens->token.text;
    token_next(tokens);
    return !tokens->failed;
}

bool token_expect_string(Tokens *tokens, const char *what, const char **text) {
    if (tokens->token.kind != TOKEN_STRING) return token_unexpected(tokens, what);
    *text = tokens->token.text;
    token_next(tokens);
    return !tokens->failed;
}

bool token_expect_number(Tokens *tokens, double *value) {
    const char *text = tokens->token.text;
    bool is_word = tokens->token.kind == TOKEN_NAME && (strcmp(text, "inf") == 0 || strcmp(text, "nan") == 0);
    if (tokens->token.kind != TOKEN_NUMBER && !is_word) return token_unexpected(tokens, "a number");
    char *end;
    *value = strtod(text, &end);
    if (*end) return token_fail(tokens, tokens->token.place, "'%s' is not a number", text);
    token_next(tokens);
    return !tokens->failed;
}

bool token_expect_integer(Tokens *tokens, const char *what, int64_t least, int64_t most, int64_t *value) {
    if (tokens->token.kind != TOKEN_NUMBER) return token_unexpected(tokens, what);
    const char *text = tokens->token.text;
    char *end;
    errno = 0;
    long long number = strtoll(text, &end, 10);
    if (*end) return token_fail(tokens, tokens->token.place, "%s '%s' is not an integer", what, text);
    if (errno || number < least || number > most) {
        return token_fail(tokens, tokens->token.place, "%s %s is not in %lld..%lld", what, text, (long long)least,
                          (long long)most);
    }
    *value = number;
    token_next(tokens);
    return !tokens->failed;
}
