// The text of graphs: what ir/print.c writes and ir/parse.c reads. Its tokens are shared with the text of plans.
//
// Tokens: names (letter or _ first), numbers (-1.5e3, inf and nan are names that token_expect_number takes), strings in
// double quotes with \" \\ \n \t \xHH, single symbols. `#` starts a comment to the end of the line.
#ifndef SINTER_IR_TEXT_FORMAT_H
#define SINTER_IR_TEXT_FORMAT_H

#include "ir/graph.h"

// ---- tokens

typedef enum { TOKEN_END, TOKEN_NAME, TOKEN_NUMBER, TOKEN_STRING, TOKEN_SYMBOL } TokenKind;

typedef struct {
    TokenKind kind;
    const char *text;    // the name, the number as written, the string without quotes and escapes, the symbol
    Place place;
    bool first_on_line;  // nothing but blanks before it
} Token;

// `token` is the one to be read next. After the first complaint `failed` is set, every token is TOKEN_END and no
// further complaint is made: a caller only has to hand false up.
typedef struct {
    Arena *arena;
    Diags *diags;
    const char *at;      // behind `token`
    Place place;         // of `at`
    Token token;
    bool failed;
} Tokens;

void tokens_start(Tokens *tokens, Arena *arena, const char *file, const char *source, Diags *diags);
void token_next(Tokens *tokens);
// False, with one diagnostic at `place`, unless there was one before.
bool token_fail(Tokens *tokens, Place place, const char *format, ...) __attribute__((format(printf, 3, 4)));
// "expected WHAT, found 'x'" at the current token; false.
bool token_unexpected(Tokens *tokens, const char *what);

bool token_is_symbol(const Tokens *tokens, char symbol);
bool token_is_word(const Tokens *tokens, const char *word);
// Steps over the token when it is that one.
bool token_take_symbol(Tokens *tokens, char symbol);
bool token_take_word(Tokens *tokens, const char *word);
// Steps over it, or complains and returns false.
bool token_expect_symbol(Tokens *tokens, char symbol);
bool token_expect_word(Tokens *tokens, const char *word);
bool token_expect_name(Tokens *tokens, const char *what, const char **name);
bool token_expect_string(Tokens *tokens, const char *what, const char **text);
bool token_expect_number(Tokens *tokens, double *value);
bool token_expect_integer(Tokens *tokens, const char *what, int64_t least, int64_t most, int64_t *value);

// ---- pieces of graph text; `print_` and `parse_` of the same name are each other's inverse

// "text" in quotes, with escapes.
void text_append_quoted(Text *out, const char *text);

// `B,T,C`, without brackets; empty for a scalar. Reading ends before `close`.
void dims_print(const Graph *graph, const DimList *dims, Text *out);
bool dims_parse(Tokens *tokens, const Graph *graph, char close, DimList *dims);
bool dim_parse(Tokens *tokens, const Graph *graph, DimId *dim);

// `"wte.weight" stored(V,C) init normal(0.02)`; init for params and states only, token width for inputs only.
void leaf_print(const Graph *graph, const Leaf *leaf, bool is_input, Text *out);
bool leaf_parse(Tokens *tokens, Graph *graph, bool is_input, LeafId *leaf);

// The `dim` and `group` lines.
void graph_print_declarations(const Graph *graph, Text *out);
bool graph_parse_declarations(Tokens *tokens, Graph *graph);

// The node and output lines: what a `region { ... }` of a plan holds. A region's graph is made by graph_create_like
// from the plan's graph, whose dims, leaves and groups it shares. Reading ends before `}` or at the end of the text.
void graph_print_body(const Graph *graph, Text *out, int indent);
bool graph_parse_body(Tokens *tokens, Graph *graph);

#endif
