// The tree of a model as indented text, for `sinter lower --emit=ast`.
//
//     u[B,T,F] = sum(C) m * W   ->   assign u[B,T,F]
//                                      sum (C)
//                                        *
//                                          name m
//                                          name W
#include "frontend/ast.h"

static void line(Text *out, unsigned indent, const char *format, ...) __attribute__((format(printf, 3, 4)));

static void line(Text *out, unsigned indent, const char *format, ...) {
    text_append(out, "%*s", (int)(2 * indent), "");
    va_list arguments;
    va_start(arguments, format);
    text_append_list(out, format, arguments);
    va_end(arguments);
    text_append(out, "\n");
}

static const char *names(Text *out, const NameList *list, const char *open, const char *close) {
    Text text = text_create(out->arena);
    text_append(&text, "%s", open);
    for (size_t i = 0; i < list->count; i++)
        text_append(&text, "%s%s", i ? "," : "", list->items[i].text);
    text_append(&text, "%s", close);
    return text_string(&text);
}

static const char *number(Text *out, double value) {
    Text text = text_create(out->arena);
    text_append_double(&text, value);
    return text_string(&text);
}

static void print_expr(Text *out, const Expr *expr, unsigned indent) {
    size_t first = 0;
    switch (expr->kind) {
    case EXPR_NUMBER: line(out, indent, "number %s", number(out, expr->number)); break;
    case EXPR_BOOL: line(out, indent, "%s", expr->number != 0 ? "true" : "false"); break;
    case EXPR_STRING: line(out, indent, "string \"%s\"", expr->text); break;
    case EXPR_NAME: line(out, indent, "name %s", expr->text); break;
    case EXPR_CONDITIONAL: line(out, indent, "yes, condition, no"); break;
    case EXPR_BUILTIN:
    case EXPR_CALL: {
        const char *name = expr->kind == EXPR_CALL ? expr->function->name.text : builtin_table[expr->builtin].spelling;
        const char *call = expr->kind == EXPR_CALL ? "call " : "";
        line(out, indent, "%s%s%s", call, name, expr->dims.count ? names(out, &expr->dims, " (", ")") : "");
        break;
    }
    case EXPR_INDEX:
        line(out, indent, "index");
        print_expr(out, expr->operands.items[0], indent + 1);
        for (size_t i = 0; i < expr->dims.count; i++) {
            line(out, indent + 1, "%s =", expr->dims.items[i].text);
            print_expr(out, expr->operands.items[1 + i], indent + 2);
        }
        first = expr->operands.count;
        break;
    }
    for (size_t i = first; i < expr->operands.count; i++)
        print_expr(out, expr->operands.items[i], indent + 1);
}

static void print_initializer(Text *out, const Initializer *initializer, unsigned indent) {
    switch (initializer->kind) {
    case INITIALIZER_DEFAULT: return;
    case INITIALIZER_NAMED: line(out, indent, "init %s", initializer->name.text); return;
    case INITIALIZER_NORMAL: line(out, indent, "init normal"); break;
    case INITIALIZER_CONSTANT: line(out, indent, "init constant"); break;
    }
    print_expr(out, initializer->value, indent + 1);
}

static void print_param(Text *out, const Statement *param, unsigned indent) {
    Text axes = text_create(out->arena);
    for (size_t i = 0; i < param->dims.count; i++) {
        bool starts = i == 0 || param->axes.items[i] != param->axes.items[i - 1];
        text_append(&axes, "%s%s", i == 0 ? "" : starts ? " | " : ",", param->dims.items[i].text);
    }
    line(out, indent, "param %s [%s] \"%s\"", param->name.text, text_string(&axes), param->stored.text);
    print_initializer(out, &param->initializer, indent + 1);
    if (!param->condition) return;
    line(out, indent + 1, "if");
    print_expr(out, param->condition, indent + 2);
}

static void print_assign(Text *out, const Statement *assign, unsigned indent) {
    Text targets = text_create(out->arena);
    for (size_t i = 0; i < assign->targets.count; i++) {
        const Target *target = &assign->targets.items[i];
        text_append(&targets, "%s%s%s", i ? ", " : "", target->name.text,
                    target->has_dims ? names(out, &target->dims, "[", "]") : "");
    }
    line(out, indent, "assign %s", text_string(&targets));
    for (size_t i = 0; i < assign->values.count; i++)
        print_expr(out, assign->values.items[i], indent + 1);
}

static void print_statements(Text *out, const StatementList *statements, unsigned indent);

static void print_statement(Text *out, const Statement *statement, unsigned indent) {
    switch (statement->kind) {
    case STATEMENT_ASSIGN: print_assign(out, statement, indent); break;
    case STATEMENT_PARAM: print_param(out, statement, indent); break;
    case STATEMENT_DIM:
        line(out, indent, "dim %s", statement->name.text);
        print_expr(out, statement->value, indent + 1);
        break;
    case STATEMENT_LAYER:
        line(out, indent, "layer %s \"%s\"", statement->name.text, statement->stored.text);
        print_expr(out, statement->value, indent + 1);
        print_statements(out, &statement->body, indent + 1);
        break;
    }
}

static void print_statements(Text *out, const StatementList *statements, unsigned indent) {
    for (size_t i = 0; i < statements->count; i++)
        print_statement(out, statements->items[i], indent);
}

static void print_config(Text *out, const ConfigItem *item) {
    const char *value = item->value.string;
    if (item->value.type == CONFIG_BOOL) value = item->value.integer ? "true" : "false";
    if (item->value.type == CONFIG_INT || item->value.type == CONFIG_FLOAT) value = number(out, item->value.number);
    line(out, 1, "config %s = %s", item->name.text, value);
}

static void print_function(Text *out, const Function *function) {
    line(out, 1, "fn %s%s%s", function->name.text, function->dims.count ? names(out, &function->dims, "(", ")") : "",
         names(out, &function->arguments, "(", ")"));
    print_statements(out, &function->body, 2);
    line(out, 2, "return");
    print_expr(out, function->result, 3);
}

void spec_print(const Spec *spec, Text *out) {
    line(out, 0, "model %s", spec->name.text);
    for (size_t i = 0; i < spec->configs.count; i++)
        print_config(out, &spec->configs.items[i]);
    print_statements(out, &spec->dims, 1);
    for (size_t i = 0; i < spec->inputs.count; i++) {
        const InputItem *input = &spec->inputs.items[i];
        const char *dims = names(out, &input->dims, "[", "]");
        if (input->token_bytes)
            line(out, 1, "input %s%s u%u", input->name.text, dims, 8 * input->token_bytes);
        else
            line(out, 1, "input %s%s token(%s)", input->name.text, dims, input->vocabulary.text);
    }
    for (size_t i = 0; i < spec->inits.count; i++) {
        line(out, 1, "init %s", spec->inits.items[i].name.text);
        print_initializer(out, &spec->inits.items[i].initializer, 2);
    }
    for (size_t i = 0; i < spec->functions.count; i++) {
        if (!spec->functions.items[i]->prelude) print_function(out, spec->functions.items[i]);
    }
    print_statements(out, &spec->body, 1);
}
