// Graph text: exact both ways, places in messages, and no text that crashes the parser.
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/file.h"
#include "ir/text_format.h"

static char *read_file(Arena *arena, const char *path) {
    Diags *diags = diags_create(arena);
    char *source = file_read_all(arena, arena_format(arena, "%s/%s", SOURCE_DIR, path), 1 << 20, NULL, diags);
    assert_non_null(source);
    return source;
}

static const char *printed(Arena *arena, const Graph *graph) {
    Text text = text_create(arena);
    graph_print(graph, &text);
    return text_string(&text);
}

static Graph *parse_sound(Arena *arena, const char *file, const char *source) {
    Diags *diags = diags_create(arena);
    Graph *graph = graph_parse(arena, file, source, diags);
    Text text = text_create(arena);
    diags_render(diags, &text);
    if (!graph) fail_msg("%s", text_string(&text));
    return graph;
}

// Every file of tests/ir/cases prints as itself.
static void cases_print_as_they_are(void **state) {
    (void)state;
    Arena *arena = arena_create();
    DIR *folder = opendir(SOURCE_DIR "/tests/ir/cases");
    assert_non_null(folder);
    int count = 0;
    for (struct dirent *entry = readdir(folder); entry; entry = readdir(folder)) {
        size_t length = strlen(entry->d_name);
        if (length < 6 || strcmp(entry->d_name + length - 6, ".graph") != 0) continue;
        char *source = read_file(arena, arena_format(arena, "tests/ir/cases/%s", entry->d_name));
        assert_string_equal(printed(arena, parse_sound(arena, entry->d_name, source)), source);
        count++;
    }
    closedir(folder);
    assert_true(count >= 3);
    arena_free(arena);
}

// ops.graph has every op, so that no attribute goes unprinted.
static void cases_have_every_op(void **state) {
    (void)state;
    Arena *arena = arena_create();
    char *source = read_file(arena, "tests/ir/cases/ops.graph");
    char *region = read_file(arena, "tests/ir/cases/region.graph");
    for (int op = 0; op < OP_COUNT; op++) {
        const char *line = arena_format(arena, " = %s ", op_name((Op)op));
        if (!strstr(source, line) && !strstr(region, line)) fail_msg("no case has %s", op_name((Op)op));
    }
    arena_free(arena);
}

static void document_names_every_op(void **state) {
    (void)state;
    Arena *arena = arena_create();
    char *document = read_file(arena, "docs/ir.md");
    for (int op = 0; op < OP_COUNT; op++) {
        const char *row = arena_format(arena, "\n| `%s` |", op_name((Op)op));
        if (!strstr(document, row)) fail_msg("docs/ir.md has no row for %s", op_name((Op)op));
    }
    arena_free(arena);
}

// Only live nodes are printed, with dense numbers; comments, spacing and equal lines do not survive.
static void loose_text_is_read(void **state) {
    (void)state;
    Arena *arena = arena_create();
    Graph *graph = parse_sound(arena, "loose",
                               "\n graph \"g\"   # a comment\n dim A=2\ndim B=3\n"
                               "%5 = input f32[ B , A ] \"a\" stored((A),B) # stored otherwise\n"
                               "%7=neg f32[B,A]%5\n%8 = exp f32[A,B] %5\n%9 = exp f32[B,A] %5\noutput \"e\" %9");
    assert_string_equal(printed(arena, graph), "graph \"g\"\ndim A=2 B=3\n"
                                               "%0 = input f32[B,A] \"a\" stored(A,B)\n"
                                               "%1 = exp f32[A,B] %0\n"
                                               "output \"e\" %1\n");
    arena_free(arena);
}

// A region shares the dims, leaves and groups of the graph that it is made like, and ends before `}`.
static void bodies_are_read_alone(void **state) {
    (void)state;
    Arena *arena = arena_create();
    Graph *plan = graph_create(arena, "plan");
    graph_dim(plan, "A", 4);
    graph_group(plan, "softmax", "p", 0);
    const char *source = "  %0 = operand f32[A] 2\n  %1 = exp f32[A] %0 ; name=\"p\" group=1\n  output \"0\" %1\n";
    Tokens tokens;
    tokens_start(&tokens, arena, "region", arena_format(arena, "{\n%s} step", source), diags_create(arena));
    assert_true(token_expect_symbol(&tokens, '{'));
    Graph *region = graph_create_like(arena, plan);
    assert_true(graph_parse_body(&tokens, region));
    assert_true(token_expect_symbol(&tokens, '}') && token_expect_word(&tokens, "step"));
    Text text = text_create(arena);
    graph_print_body(region, &text, 2);
    assert_string_equal(text_string(&text), source);
    arena_free(arena);
}

// ---- wrong texts

#define HEAD "graph \"g\"\ndim A=2 B=3 C=6 L=9 M=3 X=2\ngroup 1 \"f\" at \"p\"\n"
// %0 f32[A,B], %1 i32[A], %2 bool[B], %3 f32[C], %4 i32[], %5 f32[C,B]
#define LINES                                                                                                          \
    HEAD "%0 = input f32[A,B] \"f\" stored(A,B)\n%1 = input i32[A] \"i\" stored(A)\n"                                  \
         "%2 = input bool[B] \"b\" stored(B)\n%3 = input f32[C] \"c\" stored(C)\n%4 = input i32[] \"n\" stored()\n"    \
         "%5 = input f32[C,B] \"d\" stored(C,B)\n"

static const struct {
    const char *source, *message;
} wrong[] = {
    // the frame
    {"", "expected 'graph', found the end of the text"},
    {"plan \"g\"", "expected 'graph', found 'plan'"},
    {"graph g", "expected the graph's name in quotes, found 'g'"},
    {"graph \"g", "this string does not end on its line"},
    {"graph \"g\\q\"", "unknown escape"},
    {"graph \"g\\x0\"", "unknown escape"},
    {"graph \"g\\x00\"", "unknown escape"},
    {"graph \"g\"\n\x01", "byte 0x01 has no meaning here"},
    {"graph \"g\"\n\xc3\xa9", "byte 0xc3 has no meaning here"},
    {"graph \"g\"", "the graph has no output"},
    {"graph \"g\"\nnode", "expected a node (%N = ...) or an output, found 'node'"},
    {"graph \"g\"\n}", "expected the end of the graph, found '}'"},
    // declarations
    {"graph \"g\"\ndim 3=4", "expected a dim, found '3'"},
    {"graph \"g\"\ndim A 4", "expected '=', found '4'"},
    {"graph \"g\"\ndim A=0", "the extent 0 is not in 1..2147483647"},
    {"graph \"g\"\ndim A=-1", "the extent -1 is not in"},
    {"graph \"g\"\ndim A=99999999999999999999", "is not in 1..2147483647"},
    {"graph \"g\"\ndim A=2.5", "the extent '2.5' is not an integer"},
    {"graph \"g\"\ndim A=2x", "the extent '2x' is not an integer"},
    {"graph \"g\"\ndim A=2 A=2", "dim A twice"},
    {"graph \"g\"\ngroup 2 \"f\" at \"p\"", "group 2 comes where group 1 should"},
    {"graph \"g\"\ngroup 1 \"f\" \"p\"", "expected 'at', found \"p\""},
    {"graph \"g\"\ngroup 1 \"f\" at \"p\" backward of 1", "the forward group 1 is not in 1..0"},
    // lines
    {HEAD "%0 neg", "expected '=', found 'neg'"},
    {HEAD "%x = neg", "expected the node's number, found 'x'"},
    {LINES "%6 = nag f32[A,B] %0", "unknown op 'nag'; did you mean 'neg'?"},
    {LINES "%6 = frobnicate f32[A,B] %0", "unknown op 'frobnicate'"},
    {LINES "%6 = neg f64[A,B] %0", "unknown type 'f64'"},
    {LINES "%6 = neg f32[A,Y] %0", "unknown dim 'Y'"},
    {LINES "%6 = neg f32[A,A] %0", "dim A twice"},
    {LINES "%6 = neg f32[A B] %0", "expected ']', found 'B'"},
    {LINES "%6 = neg f32[A,B] %7", "%7 is not defined above"},
    {LINES "%6 = neg f32[A,B] %6", "%6 is not defined above"},
    {LINES "%5 = neg f32[A,B] %0", "%5 after %5: numbers of nodes ascend"},
    {LINES "%6 = neg f32[A,B] %0 ; label=\"x\"", "expected 'name' or 'group', found 'label'"},
    {LINES "%6 = neg f32[A,B] %0 ; group=2", "the group 2 is not in 1..1"},
    {LINES "output \"y\" %9", "%9 is not defined above"},
    {LINES "output \"y\" %0\noutput \"y\" %0", "output \"y\" twice"},
    {LINES "output y %0", "expected the output's name in quotes, found 'y'"},
    // operand counts
    {LINES "%6 = neg f32[A,B]", "neg takes 1 operand, not 0"},
    {LINES "%6 = add f32[A,B] %0", "add takes 2 operands, not 1"},
    {LINES "%6 = stack f32[X] to X", "stack takes at least one operand"},
    // sources
    {LINES "%6 = input f32[A] \"f\" stored(A)", "leaf \"f\" is declared in two ways"},
    {LINES "%6 = input i32[A,B] \"f\" stored(A,B)", "leaf \"f\" is bound to another source above"},
    {LINES "%6 = param f32[A] \"w\" stored(A)", "expected 'init', found the end of the text"},
    {LINES "%6 = param f32[A] \"w\" stored(A) init uniform(1)", "expected 'normal' or 'constant', found 'uniform'"},
    {LINES "%6 = param i32[A] \"w\" stored(A) init normal(1)", "param \"w\" is i32, not f32"},
    {LINES "%6 = param f32[A,B] \"w\" stored(A) init normal(1)", "param gives the dims {A} here, not [A,B]"},
    {LINES "%6 = param f32[A] \"w\" stored(A,(B) init normal(1)", "expected ')', found 'init'"},
    {LINES "%6 = input f32[A] \"t\" stored(A) u16", "input \"t\" holds tokens, which are i32 inputs"},
    {LINES "%6 = input bf16[A] \"t\" stored(A)", "shorter floats are for storage"},
    {LINES "%6 = operand f32[A] -1", "the operand's number -1 is not in 0..2147483647"},
    {LINES "%6 = operand f32[A] 0\n%7 = operand f32[B] 0\noutput \"y\" %6", "operand 0 is already %6"},
    {LINES "%6 = const i32[] 0.5", "const: 0.5 is not i32"},
    {LINES "%6 = const bool[] 2", "const: 2 is not bool"},
    {LINES "%6 = const f32[] 1..2", "'1..2' is not a number"},
    {LINES "%6 = const f32[] x", "expected a number, found 'x'"},
    {LINES "%6 = const f32[A] 1", "expected '{', found '1'"},
    {LINES "%6 = const f32[A] { 1 }", "1 values for a table of 2"},
    {LINES "%6 = const f32[A] { 1 2", "expected a number, found the end of the text"},
    {LINES "%6 = index i32[A,B]", "index has one dim, not 2"},
    {LINES "%6 = index f32[A]", "index gives i32 here, not f32"},
    {LINES "%6 = random f32[A] %4 %4 %1 \"s\"", "random: the micro-batch is [A], not a scalar"},
    {LINES "%6 = random f32[A] %0 %4 %4 \"s\"", "random: operand 1 is f32, not i32"},
    {"graph \"g\"\ndim A=65536 B=65537\n%0 = const i32[] 0\n%1 = random f32[A,B] %0 %0 %0 \"s\"",
     "random over [A,B] has more than 2^32 elements"},
    // pointwise
    {LINES "%6 = add f32[A,B] %0 %1", "add: operand 1 is f32, but operand 2 is i32"},
    {LINES "%6 = add i32[A,B] %0 %0", "add gives f32 here, not i32"},
    {LINES "%6 = add f32[A] %0 %0", "add gives the dims {A,B} here, not [A]"},
    {LINES "%6 = add bool[B] %2 %2", "add takes f32 or i32, not bool"},
    {LINES "%6 = div i32[A] %1 %1", "div: operand 1 is i32, not f32"},
    {LINES "%6 = lt bool[B] %2 %2", "lt takes f32 or i32, not bool"},
    {LINES "%6 = and bool[A] %1 %1", "and: operand 1 is i32, not bool"},
    {LINES "%6 = where f32[A,B] %0 %0 %0", "where: operand 1 is f32, not bool"},
    {LINES "%6 = where f32[A,B] %2 %0 %1", "where: operand 2 is f32, but operand 3 is i32"},
    {LINES "%6 = to_float f32[A,B] %0", "to_float takes i32 or bool, not f32"},
    // reductions and contraction
    {LINES "%6 = sum f32[A,B] %0 over()", "sum over no dim"},
    {LINES "%6 = sum f32[A] %0 over(C)", "sum over {C}: operand 1 [A,B] lacks C"},
    {LINES "%6 = max i32[] %1 over(A)", "max: operand 1 is i32, not f32"},
    {LINES "%6 = sum f32[A] %0 over B", "expected '(', found 'B'"},
    {LINES "%6 = contract f32[A] %0 %3 over(C)", "contract over {C}: operand 1 [A,B] lacks C"},
    {LINES "%6 = contract f32[A] %0 %0 over(B)", "do not each keep a dim of their own"},
    // moves
    {LINES "%6 = rename f32[A,M] %0 from B", "expected 'to', found the end of the text"},
    {LINES "%6 = rename f32[A,M] %0 from C to M", "rename from C: operand 1 [A,B] lacks C"},
    {LINES "%6 = rename f32[A,C] %0 from B to C", "rename from B=3 to C=6: not the same extent"},
    {LINES "%6 = rename f32[A,B] %0 from B to A", "rename to A: operand 1 [A,B] already has A"},
    {LINES "%6 = prefix f32[A,C] %0 from B to C", "prefix from B=3 to C=6: not a shorter extent"},
    {LINES "%6 = pad f32[A,M] %0 from B to M", "pad from B=3 to M=3: not a longer extent"},
    {LINES "%6 = select f32[A] %0 from B at 3", "select from B: entry 3 is not in 0..2"},
    {LINES "%6 = stack f32[X,C] %3 to X", "stack to X=2 has 1 operands"},
    {LINES "%6 = stack f32[X,C] %3 %1 to X", "stack: operand 1 is f32, but operand 2 is i32"},
    {LINES "%6 = stack f32[A,B] %0 %0 to A", "stack to A: operand 1 [A,B] already has A"},
    {LINES "%6 = split f32[A,M] %3 from C to B inner M", "split: C=6 is not B=3 times M=3"},
    {LINES "%6 = split f32[A,M] %3 from C to A inner A", "split: outer and inner dim are both A"},
    {LINES "%6 = merge f32[L] %0 from A inner B to L", "merge: L=9 is not A=2 times B=3"},
    // indexed
    {LINES "%6 = gather f32[C,A] %5 %3 from B", "gather: operand 2 is f32, not i32"},
    {LINES "%6 = gather f32[A] %3 %1 from B", "gather from B: operand 1 [C] lacks B"},
    {LINES "%6 = gather f32[B,A] %0 %1 from A", "gather from A: operand 2 [A] already has A"},
    {LINES "%6 = scatter f32[C,M] %0 %1 to M", "scatter: no operand has {C} of the result {C,M}"},
    {LINES "%6 = scatter f32[B] %0 %1 to M", "scatter to M: the result {B} lacks it"},
    {LINES "%6 = scatter_onto f32[A,M] %0 %1 %0 to M", "scatter_onto: onto {A,B}, and the result has {A,M}"},
    {LINES "%6 = scatter_onto f32[A] %3 %4 %1 to A", "scatter_onto: operand 3 is i32, not f32"},
    // the whole
    {LINES "%6 = state f32[A] \"s\" stored(A) init constant(0)\noutput \"s\" %0",
     "output \"s\" has dims {A,B}, but the state of that name has {A}"},
    {LINES "%6 = state f32[A] \"s\" stored(A) init constant(0)\noutput \"s\" %1",
     "output \"s\" is i32, but the state of that name is f32"},
    {"graph \"g\"\ndim A=2147483647 B=2147483647\n%0 = operand f32[A,B] 0", "operand over [A,B] has more than 2^58"},
    {"graph \"g\"\ndim A=1 B=1 C=1 D=1 E=1 F=1 G=1 H=1 I=1\n%0 = operand f32[A,B,C,D,E,F,G,H,I] 0", "more than 8 dims"},
    {"graph \"g\"\ndim A=1 B=1 C=1 D=1 E=1 F=1 G=1 H=1 I=1\n%0 = operand f32[A,B,C,D,E,F,G,H] 0\n"
     "%1 = operand f32[I] 1\n%2 = add f32[A] %0 %1",
     "add would have 9 dims {A,B,C,D,E,F,G,H,I}; at most 8 are possible"},
};

static void wrong_texts_are_refused(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        Arena *arena = arena_create();
        Diags *diags = diags_create(arena);
        Text text = text_create(arena);
        Graph *graph = graph_parse(arena, "wrong", wrong[i].source, diags);
        diags_render(diags, &text);
        if (graph || !strstr(text_string(&text), wrong[i].message)) {
            fail_msg("for\n%s\nexpected: %s\n%s", wrong[i].source, wrong[i].message, text_string(&text));
        }
        assert_int_equal(diags_errors(diags), 1);
        arena_free(arena);
    }
}

static void messages_have_places(void **state) {
    (void)state;
    Arena *arena = arena_create();
    Diags *diags = diags_create(arena);
    Text text = text_create(arena);
    const char *source = "graph \"g\"\ndim A=2\n%0 = operand f32[A] 0\n%1 = neg f32[A] %3";
    assert_null(graph_parse(arena, "g.graph", source, diags));
    diags_render(diags, &text);
    assert_non_null(strstr(text_string(&text), "g.graph:4:17: error: %3 is not defined above"));
    arena_free(arena);
}

static void too_many_dims_are_refused(void **state) {
    (void)state;
    Arena *arena = arena_create();
    Text source = text_create(arena), text = text_create(arena);
    text_append(&source, "graph \"g\"\ndim");
    for (int i = 0; i < 65; i++) text_append(&source, " D%d=2", i);
    Diags *diags = diags_create(arena);
    assert_null(graph_parse(arena, "g", text_string(&source), diags));
    diags_render(diags, &text);
    assert_non_null(strstr(text_string(&text), "more than 64 dims"));
    arena_free(arena);
}

// ---- broken texts

// Read what is there; a graph that comes out must be sound, else there must be one complaint.
static void survive(const char *source) {
    Arena *arena = arena_create();
    Diags *diags = diags_create(arena);
    Graph *graph = graph_parse(arena, "broken", source, diags);
    if (graph) {
        assert_null(graph_verify(graph, arena));
        const char *once = printed(arena, graph);
        assert_string_equal(printed(arena, parse_sound(arena, "again", once)), once);
    } else {
        Text text = text_create(arena);
        diags_render(diags, &text);
        assert_int_equal(diags_errors(diags), 1);
    }
    arena_free(arena);
}

static void texts_cut_anywhere_are_survived(void **state) {
    (void)state;
    Arena *arena = arena_create();
    char *source = read_file(arena, "tests/ir/cases/ops.graph");
    for (size_t length = strlen(source); length-- > 0;) {
        source[length] = 0;
        survive(source);
    }
    arena_free(arena);
}

static void texts_with_a_changed_byte_are_survived(void **state) {
    (void)state;
    static const char bytes[] = "\x01\n\"%#{}()[],;=- .0AeZ_\\\xff";
    Arena *arena = arena_create();
    char *source = read_file(arena, "tests/ir/cases/ops.graph");
    size_t length = strlen(source);
    for (size_t i = 0, k = 0; i < length; i++, k = (k * 7 + i) % (sizeof bytes - 1)) {
        char old = source[i];
        source[i] = bytes[k];
        survive(source);
        source[i] = old;
    }
    arena_free(arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cases_print_as_they_are),
        cmocka_unit_test(cases_have_every_op),
        cmocka_unit_test(document_names_every_op),
        cmocka_unit_test(loose_text_is_read),
        cmocka_unit_test(bodies_are_read_alone),
        cmocka_unit_test(wrong_texts_are_refused),
        cmocka_unit_test(messages_have_places),
        cmocka_unit_test(too_many_dims_are_refused),
        cmocka_unit_test(texts_cut_anywhere_are_survived),
        cmocka_unit_test(texts_with_a_changed_byte_are_survived),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
