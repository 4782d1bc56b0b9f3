// Products one by one: which ways there are, and what their times say, on made-up times.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "driver/tune/tune.h"
#include "tests/driver/explained.h"

static Arena *arena;
static Plan *plan;
static double *seconds;

static bool is_at(const Step *step, const char *place) {
    return !*place || layer_text_same(step->place, place);
}

// Every product takes `rest`, those at the place, in any layer, `there`; all else a second, which nobody counts.
static const double *times(const char *place, double there, double rest) {
    for (uint32_t s = 0; s < plan->step_count; s++) {
        const Step *step = &plan->steps[s];
        seconds[s] = step->form != FORM_PRODUCT ? 1 : is_at(step, place) ? there : rest;
    }
    return seconds;
}

static TuneProducts untuned(void) {
    TuneProducts products = {.arena = arena};
    tune_add_times(&products, plan, times("", 10e-6, 0), NULL);
    return products;
}

// A plan in which all products are computed so, but for those at a place, which are not; NULL: none of them.
static void compute(const char *way, const char *but) {
    Choices *choices = choices_create(arena);
    assert_true(choices_add(choices, "way", way, diags_create(arena)));
    const Choice *choice = choices_at(choices, 0);
    for (uint32_t s = 0; s < plan->step_count; s++) {
        Step *step = &plan->steps[s];
        if (step->form != FORM_PRODUCT) continue;
        bool is_left = but && is_at(step, but), is_block = choice->verb == CHOICE_BLOCK;
        step->engine = is_block || is_left ? ENGINE_TILES : ENGINE_BLAS;
        step->tensor = (TensorTile){0};
        if (is_block && !is_left)
            step->tensor = (TensorTile){TENSOR_BF16, choice->rows, choice->lanes, 2, choice->wgmma, choice->in_turns};
    }
}

static void add_way(TuneProducts *products, const char *way, const char *place, double there, double rest) {
    compute(way, NULL);
    tune_add_times(products, plan, times(place, there, rest), way);
    tune_end_way(products, way);
}

// The picked lines, one a line.
static const char *picked(const TuneProducts *products) {
    Text text = text_create(arena);
    for (size_t i = 0; i < products->count; i++)
        if (tune_picked(products, i)) text_append(&text, "%s\n", tune_picked(products, i));
    return text_string(&text);
}

static size_t lines_with(const char *text, const char *words) {
    size_t count = 0;
    for (const char *at = strstr(text, words); at; at = strstr(at + 1, words)) count++;
    return count;
}

static void layers_are_one_product(void **state) {
    (void)state;
    TuneProducts products = untuned();
    uint32_t steps = 0;
    for (uint32_t s = 0; s < plan->step_count; s++) steps += plan->steps[s].form == FORM_PRODUCT;
    assert_in_range(products.count, 4, steps - 1);
    for (size_t i = 0; i < products.count; i++) assert_null(strchr(products.list[i].place, '#'));
}

static void the_fastest_way_is_picked(void **state) {
    (void)state;
    TuneProducts products = untuned();
    add_way(&products, "block * 64x64", "layer[0].t", 5e-6, 20e-6);
    add_way(&products, "engine * cublaslt", "logits", 4e-6, 20e-6);
    add_way(&products, "block * 32x32 stages 2", "layer[0].t", 8e-6, 20e-6);
    const char *lines = picked(&products);
    assert_string_equal(lines, "block product at layer[0..2].t 64x64\nengine product at logits cublaslt\n");
    assert_null(strstr(lines, "32x32"));
    Choices *choices = choices_create(arena);
    assert_true(choices_add(choices, "test", lines, diags_create(arena)));
}

static void ties_stay(void **state) {
    (void)state;
    TuneProducts products = untuned();
    add_way(&products, "block * 64x64", "", 9.9e-6, 0);   // within what timing twice may differ
    assert_string_equal(picked(&products), "");
    add_way(&products, "block * 128x64", "", 5e-6, 0);
    add_way(&products, "block * 128x128", "", 5e-6, 0);
    assert_int_equal(lines_with(picked(&products), " 128x64\n"), products.count);
}

static void what_was_not_measured_is_not_picked(void **state) {
    (void)state;
    TuneProducts products = untuned();
    tune_end_way(&products, "block * 64x64");
    assert_string_equal(picked(&products), "");
}

// Where one layer cannot go a way, its product does not, however fast the rest is; and a block that looks like another
// one is none.
static void who_cannot_go_a_way_is_left(void **state) {
    (void)state;
    TuneProducts products = untuned();
    static const char way[] = "block * 128x128 wgmma";
    compute(way, "logits");
    for (uint32_t s = 0; s < plan->step_count; s++)
        if (text_equal(plan->steps[s].place, "layer[1].t")) plan->steps[s].tensor.wgmma = false;
    tune_add_times(&products, plan, times("", 1e-6, 0), way);
    tune_end_way(&products, way);
    const char *lines = picked(&products);
    assert_int_equal(lines_with(lines, " 128x128 wgmma\n"), products.count - 2);
    assert_null(strstr(lines, " at logits "));
    assert_null(strstr(lines, "].t "));
}

static bool has_way(const TuneWays *ways, const char *line) {
    for (size_t i = 0; i < ways->count; i++)
        if (text_equal(ways->lines[i], line)) return true;
    return false;
}

static void ways_are_choices(void **state) {
    (void)state;
    Target target;
    assert_true(target_of_gpu("sm_90a", &target));
    TuneWays exact = tune_ways(arena, &target, TENSOR_BF16, false), f32 = tune_ways(arena, &target, TENSOR_NONE, true);
    assert_int_equal(f32.count, 0);   // neither tensor cores nor a library
    assert_true(has_way(&exact, "block * 128x64") && !has_way(&exact, "block * 128x64 parts 4"));
    target.library_bytes = 1 << 20;
    TuneWays all = tune_ways(arena, &target, TENSOR_BF16, true);
    assert_string_equal(all.lines[0], "engine * cublaslt");
    assert_true(has_way(&all, "block * 128x64 parts 4"));
    assert_true(has_way(&all, "block * 128x256 wgmma") && has_way(&all, "block * 64x256 parts 4 wgmma"));
    assert_false(has_way(&exact, "block * 128x256 wgmma"));
    TuneWays tf32 = tune_ways(arena, &target, TENSOR_TF32, true);
    assert_false(has_way(&tf32, "block * 128x256 wgmma"));
    for (size_t i = 0; i < all.count; i++)
        assert_true(choices_add(choices_create(arena), "test", all.lines[i], diags_create(arena)));
    assert_int_equal(tune_ways(arena, &target, TENSOR_NONE, true).count, 3);
    assert_int_equal(tune_ways(arena, &target, TENSOR_NONE, false).count, 0);
}

static int set_up(void **state) {
    (void)state;
    arena = arena_create();
    const Plan *made = explained_tiny(arena, "gpt2.spec", spec_embedded("gpt2"), FUSE_ALL).plan;
    plan = ARENA_NEW(arena, Plan);   // steps of its own, which tests compute in other ways
    *plan = *made;
    plan->steps = ARENA_ARRAY(arena, Step, made->step_count);
    memcpy(plan->steps, made->steps, made->step_count * sizeof *made->steps);
    seconds = ARENA_ARRAY(arena, double, (size_t)plan->step_count + 1);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    arena_free(arena);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(layers_are_one_product),   cmocka_unit_test(the_fastest_way_is_picked),
        cmocka_unit_test(ties_stay),                cmocka_unit_test(what_was_not_measured_is_not_picked),
        cmocka_unit_test(who_cannot_go_a_way_is_left),
        cmocka_unit_test(ways_are_choices),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
