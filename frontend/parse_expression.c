// Expressions, by recursive descent: one function per rule, the rule above it. Precedence, loosest first:
//
//     a if c else b  |  or  |  and  |  not  |  comparison  |  + -  |  * /  |  - (sign), sum(C) product  |  x[d = e]  |
//     names, calls
//
// sum, mean, max and lse cover the product that follows: `sum(C) a * W + b` is (sum(C) a * W) + b.
#include "frontend/parse.h"

#include <math.h>

const BuiltinInfo builtin_table[BUILTIN_COUNT] = {
#define BUILTIN(ENUM, spelling, class_, op, dims, operands) {spelling, BUILTIN_CLASS_##class_, op, dims, operands},
#include "frontend/builtins.def"
#undef BUILTIN
};

static Expr *parse_or(Parser *parser);
static Expr *parse_product(Parser *parser);

// ---- making nodes
static Expr *expr_new(Parser *parser, ExprKind kind, Place place) {
    Expr *expr = ARENA_NEW(parser->arena, Expr);
    expr->kind = kind;
    expr->place = place;
    expr->depth = 1;
    return expr;
}

static bool expr_add(Parser *parser, Expr *expr, Expr *operand) {
    *LIST_ADD(parser->arena, &expr->operands) = operand;
    if (operand->depth + 1 > expr->depth) expr->depth = operand->depth + 1;
    if (expr->depth <= MAX_EXPRESSION_DEPTH) return true;
    return diag_error(parser->diags, expr->place, "this expression is over %d operations deep; name a part of it",
                      MAX_EXPRESSION_DEPTH);
}

static Expr *expr_builtin(Parser *parser, Builtin builtin, Place place, Expr *a, Expr *b) {
    Expr *expr = expr_new(parser, EXPR_BUILTIN, place);
    expr->builtin = builtin;
    if (!expr_add(parser, expr, a) || (b && !expr_add(parser, expr, b))) return NULL;
    return expr;
}

// The operator among `builtins` that comes next, or BUILTIN_COUNT.
static Builtin operator_next(Parser *parser, const Builtin *builtins, size_t count) {
    for (size_t i = 0; i < count; i++) {
        if (parser_at(parser, builtin_table[builtins[i]].spelling)) return builtins[i];
    }
    return BUILTIN_COUNT;
}

// operand {operator operand}, grouped from the left
static Expr *parse_chain(Parser *parser, Expr *(*operand)(Parser *), const Builtin *operators, size_t count) {
    Expr *left = operand(parser);
    Builtin builtin;
    while (left && (builtin = operator_next(parser, operators, count)) != BUILTIN_COUNT) {
        Place place = parser_take(parser)->place;
        Expr *right = operand(parser);
        left = right ? expr_builtin(parser, builtin, place, left, right) : NULL;
    }
    return left;
}

// ---- calls
// arguments = "(" [expression {"," expression}] ")"
static bool parse_arguments(Parser *parser, Expr *call) {
    const Token *open = parser_take(parser);
    if (parser_accept(parser, ")")) return true;
    do {
        Expr *argument = parse_expression(parser);
        if (!argument || !expr_add(parser, call, argument)) return false;
    } while (parser_accept(parser, ","));
    return parser_close(parser, ")", open);
}

static const char *plural(int count) {
    return count == 1 ? "" : "s";
}

static bool check_count(Parser *parser, const Expr *call, const char *name, const char *what, int wanted,
                        size_t found) {
    if (wanted == VARIADIC ? found > 0 : found == (size_t)wanted) return true;
    if (wanted == VARIADIC) return diag_error(parser->diags, call->place, "'%s' takes at least one %s", name, what);
    return diag_error(parser->diags, call->place, "'%s' takes %d %s%s, found %zu", name, wanted, what, plural(wanted),
                      found);
}

// What follows `name(dims)`: arguments in parentheses, or, for one argument, the product that follows.
static bool parse_covered(Parser *parser, Expr *call, const char *name, int operands, bool always_product) {
    if (!always_product && parser_at(parser, "(")) return parse_arguments(parser, call);
    if (operands != 1)
        return parser_expected(parser, arena_format(parser->arena, "'(' and the arguments of '%s'", name));
    const Token *next = parser_peek(parser);
    if (next->kind == TOKEN_NEWLINE || next->kind == TOKEN_END || parser_at(parser, ")") || parser_at(parser, ",")) {
        parser_expected(parser, arena_format(parser->arena, "a product after '%s(...)'", name));
        if (call->kind == EXPR_BUILTIN && call->builtin == BUILTIN_MAX)
            diag_note(parser->diags, call->place,
                      "the larger of two values is maximum(a, b); max(D) x is the largest along D");
        return false;
    }
    Expr *product = parse_product(parser);
    return product && expr_add(parser, call, product);
}

// config-call = "config" "(" NAME "," expression ")"
static Expr *parse_config_call(Parser *parser, Expr *call) {
    const Token *open = parser_peek(parser);
    Name name;
    if (!parser_expect(parser, "(") || !parser_name(parser, &name, "the name of a config value")) return NULL;
    *LIST_ADD(parser->arena, &call->dims) = name;
    if (!parser_expect(parser, ",")) return NULL;
    Expr *otherwise = parse_expression(parser);
    if (!otherwise || !expr_add(parser, call, otherwise) || !parser_close(parser, ")", open)) return NULL;
    return call;
}

// builtin-call = NAME ["(" dims ")"] (arguments | product)
static Expr *parse_builtin_call(Parser *parser, Builtin builtin, Place place) {
    const BuiltinInfo *info = &builtin_table[builtin];
    Expr *call = expr_new(parser, EXPR_BUILTIN, place);
    call->builtin = builtin;
    if (builtin == BUILTIN_CONFIG) return parse_config_call(parser, call);
    if (info->dims != 0) {
        if (!parser_names(parser, &call->dims, "a dimension")) return NULL;
        if (!check_count(parser, call, info->spelling, "dimension", info->dims, call->dims.count)) return NULL;
    }
    bool reduction = info->class_ == BUILTIN_CLASS_REDUCE;
    if (builtin != BUILTIN_SIZE) {
        bool done = info->dims != 0 ? parse_covered(parser, call, info->spelling, info->operands, reduction)
                                    : parse_arguments(parser, call);
        if (!done) return NULL;
    }
    return check_count(parser, call, info->spelling, "argument", info->operands, call->operands.count) ? call : NULL;
}

// function-call = NAME ["(" dims ")"] (arguments | product)
static Expr *parse_function_call(Parser *parser, const Function *function, Place place) {
    Expr *call = expr_new(parser, EXPR_CALL, place);
    call->function = function;
    const char *name = function->name.text;
    int dims = (int)function->dims.count, arguments = (int)function->arguments.count;
    if (dims > 0) {
        if (!parser_names(parser, &call->dims, "a dimension")) return NULL;
        if (!check_count(parser, call, name, "dimension", dims, call->dims.count)) return NULL;
        if (!parse_covered(parser, call, name, arguments, false)) return NULL;
    } else if (!parse_arguments(parser, call))
        return NULL;
    return check_count(parser, call, name, "argument", arguments, call->operands.count) ? call : NULL;
}

static Expr *unknown_function(Parser *parser, const Token *token) {
    LIST_OF(const char *) names = {0};
    for (int i = 0; i < BUILTIN_COUNT; i++) {
        char first = builtin_table[i].spelling[0];
        if (first >= 'a' && first <= 'z') *LIST_ADD(parser->arena, &names) = builtin_table[i].spelling;
    }
    for (size_t i = 0; i < parser->spec->functions.count; i++)
        *LIST_ADD(parser->arena, &names) = parser->spec->functions.items[i]->name.text;
    const char *nearest = text_nearest(token->text, names.items, names.count);
    if (nearest)
        diag_error(parser->diags, token->place, "unknown function '%s'; did you mean '%s'?", token->text, nearest);
    else
        diag_error(parser->diags, token->place, "unknown function '%s'; a function is defined before its first use",
                   token->text);
    return NULL;
}

// call = builtin-call | function-call; the next token is its name, the one after it "("
static Expr *parse_call(Parser *parser) {
    const Token *token = parser_take(parser);
    const Function *function = spec_function(parser->spec, token->text);
    if (function) return parse_function_call(parser, function, token->place);
    for (int i = 0; i < BUILTIN_COUNT; i++) {
        if (text_equal(builtin_table[i].spelling, token->text))
            return parse_builtin_call(parser, (Builtin)i, token->place);
    }
    return unknown_function(parser, token);
}

// ---- the rest, tightest first
// primary = NUMBER | STRING | "true" | "false" | "inf" | NAME | call | "(" expression ")"
static Expr *parse_primary(Parser *parser) {
    const Token *token = parser_peek(parser);
    if (token->kind == TOKEN_NUMBER || parser_at(parser, "inf")) {
        Expr *expr = expr_new(parser, EXPR_NUMBER, parser_take(parser)->place);
        expr->number = token->kind == TOKEN_NUMBER ? token->number : (double)INFINITY;
        expr->integral = token->integral;
        return expr;
    }
    if (parser_at(parser, "true") || parser_at(parser, "false")) {
        Expr *expr = expr_new(parser, EXPR_BOOL, parser_take(parser)->place);
        expr->number = text_equal(token->text, "true");
        return expr;
    }
    if (token->kind == TOKEN_STRING) {
        Expr *expr = expr_new(parser, EXPR_STRING, parser_take(parser)->place);
        expr->text = token->text;
        return expr;
    }
    if (parser_at(parser, "(")) {
        const Token *open = parser_take(parser);
        Expr *expr = parse_expression(parser);
        if (!expr || !parser_close(parser, ")", open)) return NULL;
        expr->grouped = true;
        return expr;
    }
    if (token->kind == TOKEN_NAME && parser->tokens[parser->next + 1].kind == TOKEN_SYMBOL &&
        text_equal(parser->tokens[parser->next + 1].text, "("))
        return parse_call(parser);
    Name name;
    if (!parser_name(parser, &name, "an expression")) return NULL;
    Expr *expr = expr_new(parser, EXPR_NAME, name.place);
    expr->text = name.text;
    return expr;
}

// postfix = primary {"[" NAME "=" expression {"," NAME "=" expression} "]"}
static Expr *parse_postfix(Parser *parser) {
    Expr *base = parse_primary(parser);
    while (base && parser_at(parser, "[")) {
        const Token *open = parser_take(parser);
        Expr *index = expr_new(parser, EXPR_INDEX, open->place);
        if (!expr_add(parser, index, base)) return NULL;
        do {
            if (!parser_name(parser, LIST_ADD(parser->arena, &index->dims), "a dimension")) return NULL;
            if (!parser_at(parser, "=")) {
                parser_expected(parser, "'=': an index is written x[D = e]");
                return NULL;
            }
            parser_take(parser);
            Expr *value = parse_expression(parser);
            if (!value || !expr_add(parser, index, value)) return NULL;
        } while (parser_accept(parser, ","));
        if (!parser_close(parser, "]", open)) return NULL;
        base = index;
    }
    return base;
}

// unary = "-" unary | postfix
static Expr *parse_unary(Parser *parser) {
    if (!parser_at(parser, "-")) return parse_postfix(parser);
    if (!parser_enter(parser)) return NULL;
    Place place = parser_take(parser)->place;
    Expr *operand = parse_unary(parser);
    parser_leave(parser);
    return operand ? expr_builtin(parser, BUILTIN_NEG, place, operand, NULL) : NULL;
}

// product = unary {("*" | "/") unary}
static Expr *parse_product(Parser *parser) {
    if (!parser_enter(parser)) return NULL;
    Expr *expr = parse_chain(parser, parse_unary, (const Builtin[]){BUILTIN_MUL, BUILTIN_DIV}, 2);
    parser_leave(parser);
    return expr;
}

// sum = product {("+" | "-") product}
static Expr *parse_sum(Parser *parser) {
    return parse_chain(parser, parse_product, (const Builtin[]){BUILTIN_ADD, BUILTIN_SUB}, 2);
}

// comparison = sum [("<" | "<=" | ">" | ">=" | "==" | "!=") sum]
static Expr *parse_comparison(Parser *parser) {
    static const Builtin operators[] = {BUILTIN_LESS_EQUAL, BUILTIN_LESS,  BUILTIN_GREATER_EQUAL,
                                        BUILTIN_GREATER,    BUILTIN_EQUAL, BUILTIN_NOT_EQUAL};
    size_t count = sizeof operators / sizeof *operators;
    Expr *left = parse_sum(parser);
    Builtin builtin = left ? operator_next(parser, operators, count) : BUILTIN_COUNT;
    if (builtin == BUILTIN_COUNT) return left;
    Place place = parser_take(parser)->place;
    Expr *right = parse_sum(parser);
    if (!right) return NULL;
    if (operator_next(parser, operators, count) != BUILTIN_COUNT) {
        diag_error(parser->diags, parser_peek(parser)->place, "comparisons do not chain; write 'a < b and b < c'");
        return NULL;
    }
    return expr_builtin(parser, builtin, place, left, right);
}

// not = "not" not | comparison
static Expr *parse_not(Parser *parser) {
    if (!parser_at(parser, "not")) return parse_comparison(parser);
    if (!parser_enter(parser)) return NULL;
    Place place = parser_take(parser)->place;
    Expr *operand = parse_not(parser);
    parser_leave(parser);
    return operand ? expr_builtin(parser, BUILTIN_NOT, place, operand, NULL) : NULL;
}

// and = not {"and" not}
static Expr *parse_and(Parser *parser) {
    return parse_chain(parser, parse_not, (const Builtin[]){BUILTIN_AND}, 1);
}

// or = and {"or" and}
static Expr *parse_or(Parser *parser) {
    return parse_chain(parser, parse_and, (const Builtin[]){BUILTIN_OR}, 1);
}

// conditional = or ["if" or "else" expression]
static Expr *parse_conditional(Parser *parser) {
    Expr *yes = parse_or(parser);
    if (!yes || !parser_at(parser, "if")) return yes;
    Expr *expr = expr_new(parser, EXPR_CONDITIONAL, parser_take(parser)->place);
    Expr *condition = parse_or(parser);
    if (!condition || !parser_expect(parser, "else")) return NULL;
    Expr *no = parse_expression(parser);
    if (!no || !expr_add(parser, expr, yes) || !expr_add(parser, expr, condition) || !expr_add(parser, expr, no))
        return NULL;
    return expr;
}

// expression = conditional
Expr *parse_expression(Parser *parser) {
    if (!parser_enter(parser)) return NULL;
    Expr *expr = parse_conditional(parser);
    parser_leave(parser);
    return expr;
}
