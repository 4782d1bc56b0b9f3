// The runner of pass tests: one case file in, exit code 0 or 1 out.
//
//     # pass: simplify               passes, comma-separated
//     # fuse: op                     optional, as are: program, accumulation, grad_clip, weight_decay, gpu: an
//                                    architecture for a Target, l2 and l3: bytes of its caches, library: bytes that
//                                    cuBLASLt may work in, budget: bytes of activations, init_scale and
//                                    growth_interval: of a scaled loss
//     # choice: keep p               any number of these
//     graph "case"                   input: a graph or a plan
//     ...
//     ---
//     graph "case"                   expected: the text, or `unchanged`, or `error: part of the message`
//
// Besides the text it checks that the result verifies (the pass runner does), that print-parse-print is stable, that a
// rewrite pass changes nothing the second time, and that the float64 reference gives the old outputs the same numbers
// before and after. With BLESS=1 in the environment the expected text is written into the file.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "passes/passes.h"
#include "tests/passes/same_values.h"

typedef struct {
    const char *path, *head, *input;  // head: everything up to the line ---, with its comments
    const char *expected, *names;
    Arena *arena;
    Diags *diags;
    Target target;
    PassContext context;
    Graph *graph;  // the input: this or the plan
    Plan *plan;
} Case;

static int fail(const Case *test, const char *what, const char *detail) {
    fprintf(stderr, "%s: %s\n%s\n", test->path, what, detail);
    return 1;
}

// ---- reading

// The value of a head line `# key: value`, or NULL.
static const char *head_value(const Case *test, const char *key) {
    const char *line = strstr(test->head, arena_format(test->arena, "# %s:", key));
    if (!line || (line != test->head && line[-1] != '\n')) return NULL;
    line += strlen(key) + 3;
    line += strspn(line, " ");
    return arena_copy_range(test->arena, line, strcspn(line, "\n"));
}

static bool read_options(Case *test) {
    PassContext *context = &test->context;
    context->optimizer = (OptimizerSettings){
        .beta1 = 0.9, .beta2 = 0.95, .epsilon = 1e-8, .weight_decay = 0.1, .grad_clip = 1, .accumulation = 1};
    const char *fuse = head_value(test, "fuse"), *program = head_value(test, "program");
    const char *accumulation = head_value(test, "accumulation"), *clip = head_value(test, "grad_clip");
    const char *decay = head_value(test, "weight_decay");
    context->fuse = FUSE_OP;
    if (fuse && !fuse_from_name(fuse, &context->fuse)) return false;
    if (program && text_equal(program, "micro")) context->program = PROGRAM_MICRO;
    if (program && text_equal(program, "step")) context->program = PROGRAM_STEP;
    if (accumulation) context->optimizer.accumulation = atoi(accumulation);
    if (clip) context->optimizer.grad_clip = atof(clip);
    if (decay) context->optimizer.weight_decay = atof(decay);
    const char *scale = head_value(test, "init_scale"), *interval = head_value(test, "growth_interval");
    if (scale) context->optimizer.init_scale = atof(scale);
    if (interval) context->optimizer.growth_interval = atoi(interval);
    const char *gpu = head_value(test, "gpu"), *tensor = head_value(test, "tensor");
    if (gpu && !target_of_gpu(gpu, &test->target)) return false;
    for (int kind = TENSOR_NONE; tensor && kind < TENSOR_KINDS; kind++)
        if (text_equal(tensor, tensor_name((TensorKind)kind))) context->tensor = (TensorKind)kind;
    const char *l2 = head_value(test, "l2"), *l3 = head_value(test, "l3"), *budget = head_value(test, "budget");
    if (l2) test->target.l2_bytes = atof(l2);
    if (l3) test->target.l3_bytes = atof(l3);
    const char *library = head_value(test, "library");
    if (library) test->target.library_bytes = atof(library);
    if (budget) context->activation_budget = (size_t)atoll(budget);
    test->names = head_value(test, "pass");
    return test->names != NULL;
}

// Every line `# choice: ...`, as a text with these lines alone where they stand.
static bool read_choices(Case *test) {
    static const char key[] = "# choice:";
    Text text = text_create(test->arena);
    for (const char *line = test->head; *line; line += strcspn(line, "\n"), line += *line == '\n') {
        bool is_choice = strncmp(line, key, strlen(key)) == 0;
        const char *begin = is_choice ? line + strlen(key) : "";
        text_append(&text, "%s\n", arena_copy_range(test->arena, begin, strcspn(begin, "\n")));
    }
    test->context.choices = choices_create(test->arena);
    choices_begin(test->context.choices, "step");
    return choices_add(test->context.choices, "choices", text_string(&text), test->diags);
}

static void read_parts(Case *test, const char *text) {
    const char *line = strstr(text, "\n---\n");
    const char *end = line ? line + 1 : text + strlen(text);
    test->head = arena_copy_range(test->arena, text, (size_t)(end - text));
    test->expected = line ? line + strlen("\n---\n") : "";
    test->input = test->head;
    while (*test->input == '#')
        test->input += strcspn(test->input, "\n") + 1;
}

static bool read_input(Case *test) {
    if (strncmp(test->input, "plan ", 5) == 0)
        test->plan = plan_parse(test->arena, test->path, test->head, test->diags);
    else
        test->graph = graph_parse(test->arena, test->path, test->head, test->diags);
    return test->plan || test->graph;
}

static bool read_case(Case *test, const char *path) {
    test->path = path;
    test->arena = arena_create();
    test->diags = diags_create(test->arena);
    test->target = target_default();
    StateTable *states = ARENA_NEW(test->arena, StateTable);
    states->arena = test->arena;
    test->context = (PassContext){.arena = test->arena,
                                  .diags = test->diags,
                                  .ledger = ledger_create(test->arena),
                                  .target = &test->target,
                                  .states = states};
    const char *text = file_read_all(test->arena, path, 64 << 20, NULL, test->diags);
    if (!text) return false;
    read_parts(test, text);
    if (!read_options(test)) return diag_error(test->diags, (Place){.file = path}, "the head lines are not right");
    if (!read_choices(test)) return false;
    return read_input(test);
}

// ---- checks

static const char *print_result(const Case *test, const Graph *graph, const Plan *plan) {
    Text text = text_create(test->arena);
    if (plan)
        plan_print(plan, &text);
    else
        graph_print(graph, &text);
    return text_string(&text);
}

static int check_stable(const Case *test, const char *text) {
    bool is_plan = strncmp(text, "plan ", 5) == 0;
    Graph *graph = is_plan ? NULL : graph_parse(test->arena, "result", text, test->diags);
    Plan *plan = is_plan ? plan_parse(test->arena, "result", text, test->diags) : NULL;
    if (!graph && !plan) return fail(test, "the printed result does not parse", text);
    const char *again = print_result(test, graph, plan);
    return text_equal(text, again) ? 0 : fail(test, "print, parse, print gives another text:", again);
}

// Runs the passes one by one, a rewrite twice.
static int run_passes(Case *test, Graph **graph, Plan **plan, bool *refused) {
    char *names = arena_copy(test->arena, test->names), *rest = NULL;
    for (char *name = strtok_r(names, ", ", &rest); name; name = strtok_r(NULL, ", ", &rest)) {
        const Pass *pass = pass_find(name);
        *refused = !passes_run(graph, plan, name, &test->context, NULL);
        if (*refused) return 0;
        if (pass->kind != PASS_REWRITE) continue;
        Graph *again = *graph;
        if (!passes_run(&again, plan, name, &test->context, NULL)) return fail(test, "the second run is refused", name);
        if (again != *graph) return fail(test, "the pass changes its own result:", print_result(test, again, NULL));
    }
    return 0;
}

static int check_values(Case *test, const Graph *graph, const Plan *plan) {
    const char *wrong;
    if (test->plan)
        wrong = same_values_plans(test->plan, plan, test->arena);
    else if (plan)
        wrong = same_values_plan(test->graph, plan, test->arena);
    else
        wrong = same_values_graphs(test->graph, graph, test->arena);
    return wrong ? fail(test, "the reference differs:", wrong) : 0;
}

static int bless(const Case *test, const char *actual) {
    FILE *file = fopen(test->path, "w");
    if (!file) return fail(test, "cannot write the file", "");
    fprintf(file, "%s---\n%s", test->head, actual);
    return fclose(file) == 0 ? 0 : fail(test, "cannot write the file", "");
}

static int compare_text(const Case *test, const char *actual) {
    if (getenv("BLESS")) return bless(test, actual);
    if (text_equal(actual, test->expected)) return 0;
    return fail(test, "another result than expected:", actual);
}

static int compare_refusal(const Case *test) {
    Text text = text_create(test->arena);
    diags_render(test->diags, &text);
    if (strncmp(test->expected, "error: ", 7) != 0) return fail(test, "the pass refuses:", text_string(&text));
    const char *fragment = arena_copy_range(test->arena, test->expected + 7, strcspn(test->expected + 7, "\n"));
    if (strstr(text_string(&text), fragment)) return 0;
    return fail(test, "the pass refuses with another message:", text_string(&text));
}

static int run_case(Case *test) {
    Plan *input = test->plan;
    const char *before = print_result(test, test->graph, test->plan);
    // A plan pass works in place, so it gets a copy of its own.
    Plan *plan = input ? plan_parse(test->arena, test->path, test->head, test->diags) : NULL;
    Graph *graph = test->graph;
    bool refused = false;
    if (run_passes(test, &graph, &plan, &refused)) return 1;
    if (refused || !choices_finish(test->context.choices, test->diags)) return compare_refusal(test);
    const char *after = print_result(test, graph, plan);
    bool same = graph == test->graph && text_equal(before, after);
    if (check_stable(test, after) || check_values(test, graph, plan)) return 1;
    return compare_text(test, same ? "unchanged\n" : after);
}

int main(int count, char **arguments) {
    if (count != 2) return fail(&(Case){.path = "run_pass_case"}, "usage: run_pass_case FILE", "");
    Case test = {0};
    if (!read_case(&test, arguments[1])) {
        Text text = text_create(test.arena);
        diags_render(test.diags, &text);
        return fail(&test, "cannot read the case:", text_string(&text));
    }
    int result = run_case(&test);
    arena_free(test.arena);
    return result;
}
