// What the verifier lets through as a sweep, and what it says of the rest: regions that cannot be computed tile by
// tile, factors that cannot be copied as they lie.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "ir/plan.h"
#include "tests/cuda/sweep_text.h"

// NULL when it is sound.
static const char *complaint(Arena *arena, const char *text) {
    Diags *diags = diags_create(arena);
    if (plan_parse(arena, "case", text, diags)) return NULL;
    Text words = text_create(arena);
    diags_render(diags, &words);
    return text_string(&words);
}

static void expect(Arena *arena, const char *text, const char *fragment) {
    const char *words = complaint(arena, text);
    if (!words || !strstr(words, fragment)) fail_msg("'%s' is not in: %s", fragment, words ? words : "(accepted)");
}

// ---- regions

// Queries, keys and values, and others; the step reads the first three of them and what a case adds.
static const char values[] = "plan \"sweeps\"\n"
                             "dim B=2 H=2 T=128 S=128 D=64 E=64 F=64 C=68 Z=4 G=66\n"
                             "value %0 input bf16[B,T,H,D] @ (B, T, H, D) \"q\" stored(B,T,H,D)\n"
                             "value %1 input bf16[B,S,H,D] @ (B, S, H, D) \"k\" stored(B,S,H,D)\n"
                             "value %2 input bf16[B,S,H,E] @ (B, S, H, E) \"v\" stored(B,S,H,E)\n"
                             "value %3 input f32[T] @ (T) \"m\" stored(T)\n"
                             "value %4 input bf16[B,S,T,E] @ (B, S, T, E) \"r\" stored(B,S,T,E)\n"
                             "value %5 input f32[S,T] @ (S, T) \"u\" stored(S,T)\n"
                             "value %6 input bf16[B,S,H,E,F] @ (B, S, H, E, F) \"w\" stored(B,S,H,E,F)\n"
                             "value %7 input bf16[T,D] @ (T, D) \"p\" stored(T,D)\n"
                             "value %8 input bf16[S,D] @ (S, D) \"n\" stored(S,D)\n"
                             "value %9 input f32[F] @ (F) \"f\" stored(F)\n"
                             "value %10 input bf16[S,C] @ (S, C) \"c\" stored(S,C)\n"
                             "value %11 input bf16[S,Z,G] @ (S, Z, G) \"g\" stored(S,Z,G)\n";
static const char products[] = "    %0 = operand f32[B,T,H,D] 0\n"
                               "    %1 = operand f32[B,S,H,D] 1\n"
                               "    %2 = operand f32[B,S,H,E] 2\n"
                               "    %3 = contract f32[B,H,T,S] %0 %1 over(D)\n"
                               "    %4 = contract f32[B,T,H,E] %3 %2 over(S)\n"
                               "    output \"y\" %4\n";

// With a second output, of these dims, unless NULL.
static const char *text_of(Arena *arena, const char *also_reads, const char *lines, const char *dims) {
    const char *other = "";
    if (dims) other = arena_format(arena, "value %%13 output f32[%s] @ (%s) name \"other\"\n", dims, dims);
    return arena_format(arena,
                        "%svalue %%12 output f32[B,T,H,E] @ (B, T, H, E) name \"y\"\n%s"
                        "step 0 sweep \"sweep\" at \"\" tiles inner(S) cut()/1 tensor bf16 64 by 64 stages 2\n"
                        "  in %%0 none, %%1 none, %%2 none%s\n  out %%12%s\n  region {\n%s%s  }\n",
                        values, other, also_reads, dims ? ", %13" : "", products, lines);
}

#define TILE "f32[B,H,T,S]"

static const struct {
    const char *also_reads, *lines, *dims, *expected;   // one that is NULL is sound
} regions[] = {
    {"", "", NULL, NULL},
    {"", "%5 = exp " TILE " %3\n %6 = contract f32[B,T,H,E] %5 %2 over(S)\n output \"z\" %6\n", "B,T,H,E", NULL},
    {", %5 none", "%5 = operand f32[S,T] 3\n %6 = add f32[B,H,T,S] %3 %5\n"
                  "%7 = contract f32[B,T,H,E] %6 %2 over(S)\n output \"z\" %7\n",
     "B,T,H,E", NULL},
    {"", "%5 = lse f32[B,H,T] %3 over(S)\n output \"z\" %5\n", "B,H,T", "multiplies on what is no multiple"},
    {"", "%5 = exp " TILE " %3\n %6 = contract f32[B,T,H,E] %5 %2 over(S)\n %7 = neg " TILE " %5\n"
         "%8 = contract f32[B,T,H,E] %7 %2 over(S)\n %9 = add f32[B,T,H,E] %6 %8\n output \"z\" %9\n",
     "B,T,H,E", "has more than two outer products"},
    {"", "%5 = contract f32[B,H,D,E] %1 %2 over(S)\n output \"z\" %5\n", "B,H,D,E",
     "sums over the swept dim what is no tile"},
    {"", "%5 = exp f32[B,S,H,E] %2\n %6 = contract f32[B,T,H,E] %3 %5 over(S)\n output \"z\" %6\n", "B,T,H,E",
     "multiplies its tiles with no view of an operand"},
    {", %6 none", "%5 = operand f32[B,S,H,E,F] 3\n %6 = contract f32[B,T,H,E,F] %3 %5 over(S)\n output \"z\" %6\n",
     "B,T,H,E,F", "has an outer product with more than one dim of lanes"},
    {", %4 none", "%5 = operand f32[B,S,T,E] 3\n %6 = contract f32[B,T,H,E] %3 %5 over(S)\n output \"z\" %6\n",
     "B,T,H,E", "has outer products of other rows"},
    {", %7 none, %8 none",
     "%5 = operand f32[T,D] 3\n %6 = operand f32[S,D] 4\n %7 = contract " TILE " %5 %1 over(D)\n"
     "%8 = contract " TILE " %0 %6 over(D)\n %9 = mul " TILE " %7 %8\n"
     "%10 = contract f32[B,T,H,E] %9 %2 over(S)\n output \"z\" %10\n",
     "B,T,H,E", "has more than two inner products"},
    {"", "%5 = neg f32[B,T,H,D] %0\n %6 = contract " TILE " %5 %1 over(D)\n"
         "%7 = contract f32[B,T,H,E] %6 %2 over(S)\n output \"z\" %7\n",
     "B,T,H,E", "makes its tiles of no views of operands"},
    {", %4 none, %6 none", "%5 = operand f32[B,S,T,E] 3\n %6 = operand f32[B,S,H,E,F] 4\n"
                           "%7 = contract f32[B,H,T,S,F] %5 %6 over(E)\n output \"z\" %7\n",
     "B,H,T,S,F", "has an inner product both of whose factors move along the swept dim"},
    {", %4 none", "%5 = operand f32[B,S,T,E] 3\n %6 = rename f32[B,S,T,D] %5 from E to D\n"
                  "%7 = contract " TILE " %0 %6 over(D)\n"
                  "%8 = contract f32[B,T,H,E] %7 %2 over(S)\n output \"z\" %8\n",
     "B,T,H,E", "has an inner product whose rows and columns are not a factor's each"},
    {"", "%5 = contract f32[B,T,S] %0 %1 over(H,D)\n %6 = mul " TILE " %5 %3\n"
         "%7 = contract f32[B,T,H,E] %6 %2 over(S)\n output \"z\" %7\n",
     "B,T,H,E", "has an inner product over more than one dim"},
    {"", "%5 = contract f32[B,H,S,D] %3 %0 over(T)\n output \"z\" %5\n", "B,H,S,D", "multiplies tiles otherwise"},
    {"", "%5 = lse f32[B,H,E] %2 over(S)\n output \"z\" %5\n", "B,H,E", "has an lse of what is no tile"},
    {"", "%5 = sum f32[B,H,T] %3 over(S)\n output \"z\" %5\n", "B,H,T", "holds a sum"},
    {"", "%5 = rename f32[B,H,T,F] %4 from E to F\n output \"z\" %5\n", "B,H,T,F", "holds a rename"},
    {", %7 none, %8 none",
     "%5 = operand f32[T,D] 3\n %6 = operand f32[S,D] 4\n %7 = contract f32[T,S] %5 %6 over(D)\n"
     "%8 = mul " TILE " %7 %3\n %9 = contract f32[B,T,H,E] %8 %2 over(S)\n output \"z\" %9\n",
     "B,T,H,E", "has inner products of several shapes"},
    {", %9 none", "%5 = operand f32[F] 3\n %6 = mul f32[F,B,H,T,S] %5 %3\n"
                  "%7 = contract f32[F,B,T,H,E] %6 %2 over(S)\n output \"z\" %7\n",
     "F,B,T,H,E", "has results of other dims than its tiles"},
    {"", "%5 = exp " TILE " %3\n output \"z\" %5\n", "B,H,T,S", "made of no outer product, or of several"},
    {"", "%5 = exp " TILE " %3\n %6 = contract f32[B,T,H,E] %5 %2 over(S)\n %7 = add f32[B,T,H,E] %4 %6\n"
         "output \"z\" %7\n",
     "B,T,H,E", "made of no outer product, or of several"},
    {", %9 none", "%5 = operand f32[F] 3\n %6 = mul f32[B,T,H,E,F] %4 %5\n output \"z\" %6\n", "B,T,H,E,F",
     "has an output of other dims than its outer product"},
    {", %10 none", "%5 = operand f32[S,C] 3\n %6 = prefix f32[S,E] %5 from C to E\n"
                   "%7 = contract f32[B,T,H,E] %3 %6 over(S)\n output \"z\" %7\n",
     "B,T,H,E", "is not at multiples of 16 bytes"},
    {", %11 none", "%5 = operand f32[S,Z,G] 3\n %6 = select f32[S,G] %5 from Z at 1\n"
                   "%7 = prefix f32[S,E] %6 from G to E\n"
                   "%8 = contract f32[B,H,T,E] %3 %7 over(S)\n output \"z\" %8\n",
     "B,H,T,E", "begins elsewhere than at a multiple of 16 bytes"},
    {", %9 none", "%5 = operand f32[F] 3\n %6 = neg f32[F] %5\n output \"z\" %6\n", "F",
     "made of no outer product, or of several"},
};

static void regions_of_sweeps(void **state) {
    (void)state;
    Arena *arena = arena_create();
    for (size_t i = 0; i < sizeof regions / sizeof *regions; i++) {
        const char *text = text_of(arena, regions[i].also_reads, regions[i].lines, regions[i].dims);
        const char *words = complaint(arena, text), *expected = regions[i].expected;
        bool good = expected ? words && strstr(words, expected) : !words;
        if (!good) fail_msg("'%s' is not in: %s\n%s", expected ? expected : "", words ? words : "(accepted)", text);
    }
    arena_free(arena);
}

// ---- attention's, with something changed

static const char *edited(Arena *arena, const char *text, const char *from, const char *to) {
    const char *at = strstr(text, from);
    if (!at) fail_msg("there is no '%s' in:\n%s", from, text);
    return arena_format(arena, "%.*s%s%s", (int)(at - text), text, to, at + strlen(from));
}

static const SweepCase forward = {.name = "forward", .parts = SWEEP_FORWARD},
                       causal = {.name = "causal", .parts = SWEEP_FORWARD, .mask = MASK_CAUSAL};

static void must_be_refused(const SweepCase *how, const char *from, const char *to, const char *expected) {
    Arena *arena = arena_create();
    expect(arena, edited(arena, sweep_text(arena, how), from, to), expected);
    arena_free(arena);
}

static void what_depends_on_lse(void **state) {
    (void)state;
    must_be_refused(&forward, "%7 = exp f32[B,H,T,S] %6", "%7 = add f32[B,H,T,S] %4 %5", "uses lse for more");
    must_be_refused(&forward, "%7 = exp f32[B,H,T,S] %6", "%7 = tanh f32[B,H,T,S] %6", "uses lse for more");
    must_be_refused(&forward, "%6 = sub f32[B,H,T,S] %4 %5", "%6 = sub f32[B,H,T,S] %2 %5", "uses lse for more");
    must_be_refused(&forward, "%6 = sub f32[B,H,T,S] %4 %5", "%6 = sub f32[B,H,T,S] %5 %4", "uses lse for more");
    must_be_refused(&forward, "contract f32[B,T,H,E] %7", "contract f32[B,T,H,E] %4", "no multiple of exp(x - lse)");
    SweepCase dropped = forward;
    dropped.dropped = true;
    must_be_refused(&dropped, "const f32[] 0\n", "const f32[] 1\n", "no multiple of exp(x - lse)");
    must_be_refused(&dropped, "%15 = mul f32[B,H,T,S] %7 %14", "%15 = mul f32[B,H,T,S] %7 %7",
                    "no multiple of exp(x - lse)");
    must_be_refused(&dropped, "%15 = mul f32[B,H,T,S] %7 %14", "%15 = div f32[B,H,T,S] %14 %7",
                    "no multiple of exp(x - lse)");
}

static void wrong_blocks(void **state) {
    (void)state;
    static const char usual[] = "tensor bf16 64 by 64 stages 2", blocks[] = "sweeps in other blocks";
    must_be_refused(&forward, usual, "tensor bf16 96 by 64 stages 2", blocks);
    must_be_refused(&forward, usual, "tensor bf16 64 by 128 stages 2", blocks);
    must_be_refused(&forward, usual, "tensor bf16 64 by 64 stages 1", "has a ring of less");
    must_be_refused(&forward, usual, "tensor bf16 64 by 64 stages 5", "has a ring of less");
    must_be_refused(&forward, usual, "tensor tf32 64 by 64 stages 2", "without tensor cores that take 16 bits");
    must_be_refused(&forward, usual, "", "without tensor cores that take 16 bits");
    must_be_refused(&forward, usual, "tensor bf16 64 by 64 stages 2 wgmma", "take 16 bits");
    must_be_refused(&forward, "tiles inner(S)", "blas inner(S)", "");
    must_be_refused(&forward, "inner(S) cut()/1", "inner(S) cut(B,H)/4", "is a sweep, and cut");
    must_be_refused(&forward, "inner(S)", "inner(S,E)", "sweeps over other than one dim");
    must_be_refused(&forward, "inner(S)", "", "sweeps over other than one dim");
    must_be_refused(&forward, "inner(S)", "inner(D)", "");
    must_be_refused(&forward, "inner(S)", "inner(T)", "");
}

static void factors_that_lie_otherwise(void **state) {
    (void)state;
    static const char whole[] = "rows or columns that are no multiple of a tile";
    static const char sizes[] = "T=128 S=128 Z=3 D=64 E=64", queries[] = "bf16[B,T,H,D] @ (B,T,H,D)";
    must_be_refused(&forward, sizes, "T=96 S=128 Z=3 D=64 E=64", whole);
    must_be_refused(&forward, sizes, "T=128 S=100 Z=3 D=64 E=64", whole);
    must_be_refused(&forward, sizes, "T=128 S=128 Z=3 D=24 E=64", "lines that are no multiple of 16, or over 128");
    must_be_refused(&forward, sizes, "T=128 S=128 Z=3 D=64 E=144", "lines that are no multiple of 16, or over 128");
    must_be_refused(&forward, queries, "f32[B,T,H,D] @ (B,T,H,D)", "is not in memory in 16 bits");
    must_be_refused(&forward, queries, "f16[B,T,H,D] @ (B,T,H,D)", "is not in memory in 16 bits");
    must_be_refused(&forward, queries, "bf16[B,T,H,D] @ (B,T,D,H)", "has other elements than its lanes");
    must_be_refused(&forward, queries, "bf16[B,T,H,D] @ (B,T,H,D%68)", "is not at multiples of 16 bytes");
    must_be_refused(&forward, queries, "bf16[B,T,H,D] @ (D/32,B,T,H,D%32)", "is no view of a plain layout");
    must_be_refused(&forward, queries, "bf16[B,T,H,D] @ (B,T,H,D) parts 2", "");
    SweepCase large = forward;
    large.rows = 128;
    must_be_refused(&large, sizes, "T=192 S=128 Z=3 D=64 E=64", whole);
}

static void inner_dims_of_other_forms(void **state) {
    (void)state;
    must_be_refused(&forward, "map \"map\" at \"\" tiles", "map \"map\" at \"\" tiles inner(D)",
                    "has inner dims and is neither a row nor a sweep");
    must_be_refused(&forward, "map \"map\" at \"\" tiles cut()/1 wait",
                    "map \"map\" at \"\" tiles cut()/1 wait tensor bf16 64 by 64 stages 2",
                    "takes tensor cores and is no product");
}

static void text_and_back(void **state) {
    (void)state;
    Arena *arena = arena_create();
    Text first = text_create(arena), second = text_create(arena);
    Plan *plan = plan_parse(arena, "case", sweep_text(arena, &causal), diags_create(arena));
    assert_non_null(plan);
    const Step *step = &plan->steps[plan->step_count - 1];
    assert_int_equal(step->form, FORM_SWEEP);
    assert_true(step->tensor.kind == TENSOR_BF16 && step->tensor.rows == 64 && step->tensor.stages == 2);
    assert_true(step->band.is_set && step->band.high == 0 && step->band.low == -BAND_OPEN);
    plan_print(plan, &first);
    assert_non_null(strstr(text_string(&first),
                           "sweep \"sweep\" at \"\" tiles inner(S) band(T, S) to 0 cut()/1 wait tensor bf16 64 by 64"));
    plan_print(plan_parse(arena, "case", text_string(&first), diags_create(arena)), &second);
    assert_string_equal(text_string(&first), text_string(&second));
    arena_free(arena);
}

// ---- which is what

static void finds_both_directions(void **state) {
    (void)state;
    Arena *arena = arena_create();
    SweepCase all = {.name = "all", .parts = SWEEP_ALL, .mask = MASK_CAUSAL, .in_one = true};
    Plan *plan = plan_parse(arena, "case", sweep_text(arena, &all), diags_create(arena));
    assert_non_null(plan);
    static const struct {
        int inner, outer;
        bool has_lse, is_of_keys;
    } expected[] = {{1, 1, true, false}, {2, 1, false, false}, {2, 2, false, true}};
    int found = 0;
    DimId queries, keys;
    assert_true(graph_find_dim(plan->dims, "T", &queries) && graph_find_dim(plan->dims, "S", &keys));
    for (uint32_t s = 0; s < plan->step_count; s++) {
        Sweeping sweep;
        if (plan->steps[s].form != FORM_SWEEP) continue;
        assert_null(sweep_of(&plan->steps[s], arena, &sweep));
        assert_int_equal(sweep.inner_count, expected[found].inner);
        assert_int_equal(sweep.outer_count, expected[found].outer);
        assert_true((sweep.lse != NODE_NONE) == expected[found].has_lse);
        assert_true((sweep.exponential != NODE_NONE) == expected[found].has_lse);
        assert_int_equal(sweep.rows, expected[found].is_of_keys ? keys : queries);
        assert_int_equal(sweep.swept, expected[found].is_of_keys ? queries : keys);
        assert_int_equal(sweep.places.rank, 2);
        found++;
    }
    assert_int_equal(found, 3);
    arena_free(arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(regions_of_sweeps),   cmocka_unit_test(what_depends_on_lse),
        cmocka_unit_test(wrong_blocks),        cmocka_unit_test(factors_that_lie_otherwise),
        cmocka_unit_test(text_and_back),       cmocka_unit_test(inner_dims_of_other_forms),
        cmocka_unit_test(finds_both_directions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
