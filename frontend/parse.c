// Statements and whole models, by recursive descent: one function per rule, the rule above it.
//
//     layer i in n_layer as "h.{i}" {        STATEMENT_LAYER i, "h.{i}", body:
//       param W[C,F] as "w.weight"      ->     STATEMENT_PARAM W, dims C F, "w.weight"
//       u = sum(C) x * W                       STATEMENT_ASSIGN u, sum (C) of (x * W)
//     }
//
// After an error the parser goes on at the next line, so that one run reports several mistakes.
#include "frontend/parse.h"

enum { MAX_ERRORS = 20, MAX_STATEMENTS = 10000 };

// ---- line ends
static bool parse_statement_end(Parser *parser) {
    if (!parser_at_end(parser)) return parser_expected(parser, "the end of the line");
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

// False, once, when there are too many: names are looked for among all that came before.
static bool count_statement(Parser *parser) {
    if (++parser->statements <= MAX_STATEMENTS) return true;
    if (parser->statements == MAX_STATEMENTS + 1)
        diag_error(parser->diags, parser_peek(parser)->place, "more than %d statements; a layer repeats them",
                   MAX_STATEMENTS);
    return false;
}

// ---- statements
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
            return diag_error(parser->diags, target.name.place, "'%s' is assigned twice in one statement",
                              target.name.text);
    }
    *LIST_ADD(parser->arena, &assign->targets) = target;
    return true;
}

// assignment = target {"," target} "=" expression {"," expression}
static bool parse_assignment(Parser *parser, StatementList *body) {
    Statement *assign = parser_statement(parser, STATEMENT_ASSIGN);
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
        return diag_error(parser->diags, assign->place, "names on the left: %zu, values on the right: %zu",
                          assign->targets.count, assign->values.count);
    *LIST_ADD(parser->arena, body) = assign;
    return true;
}

// block = "{" {statement} "}"; `one` reads a statement
static bool parse_block(Parser *parser, bool (*one)(Parser *, void *), void *context) {
    const Token *open = parser_peek(parser);
    if (!parser_expect(parser, "{") || !parser_enter(parser)) return false;
    for (;;) {
        while (parser_peek(parser)->kind == TOKEN_NEWLINE)
            parser_take(parser);
        if (parser_at(parser, "}") || parser_peek(parser)->kind == TOKEN_END) break;
        if (!count_statement(parser)) return false;
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
    Statement *layer = parser_statement(parser, STATEMENT_LAYER);
    if (!parser_name(parser, &layer->name, "the name of the layer counter") || !parser_expect(parser, "in"))
        return false;
    if (!(layer->value = parse_expression(parser))) return false;
    if (!parse_as(parser, &layer->stored, "the prefix of the layer's parameters in files, such as \"h.{i}\""))
        return false;
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
            return diag_error(parser->diags, parser_peek(parser)->place, "'%s' may not stand inside a layer",
                              outside[i]);
    }
    return parse_assignment(parser, body);
}

// fn-statement = param | dim | assignment | "return" expression
static bool parse_function_statement(Parser *parser, void *context) {
    Function *function = context;
    if (function->result)
        return diag_error(parser->diags, parser_peek(parser)->place, "nothing may follow the 'return' of '%s'",
                          function->name.text);
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
        return diag_error(parser->diags, name->place, "function '%s' is already defined at line %u", name->text,
                          other->name.place.line);
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
                return diag_error(parser->diags, name->place, "'%s' stands twice in the parameters of '%s'", name->text,
                                  function->name.text);
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
    if (!parser_name(parser, &function->name, "the name of a function") || !check_new_function(parser, function))
        return false;
    if (!parse_parameters(parser, &function->arguments)) return false;
    if (parser_at(parser, "(")) {
        function->dims = function->arguments;
        function->arguments = (NameList){0};
        if (!parse_parameters(parser, &function->arguments)) return false;
    }
    if (!check_parameters(parser, function)) return false;
    if (parser_at(parser, "{")) {
        if (!parse_block(parser, parse_function_statement, function)) return false;
        if (!function->result)
            return diag_error(parser->diags, function->name.place, "'%s' has no 'return'", function->name.text);
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
    if (parser->spec->name.text)
        return diag_error(parser->diags, token->place, "'model' is already named at line %u",
                          parser->spec->name.place.line);
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
        while (parser_peek(parser)->kind == TOKEN_NEWLINE)
            parser_take(parser);
        if (parser_peek(parser)->kind == TOKEN_END || !count_statement(parser)) break;
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

const char *spec_name(const Spec *spec) {
    return spec->name.text;
}
